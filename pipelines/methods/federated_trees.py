"""Federated boosted trees: each round every hospital grows a tree, and the server bags them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.federated.kernel import streams
from pipelines.federated.sites import ByUnit, Sites
from pipelines.federated.trees import Grower, Growth, draw_seed, join_documents
from pipelines.learners._prepare import check_levels, check_outcomes
from pipelines.learners.boosted import Trees, _values
from pipelines.settings import COUNT, SHARE, check_settings
from privaudit.contracts import Claim, Method, Release
from privaudit.records import Records


@dataclass(frozen=True)
class FederatedTrees(Method):
    """Boost over several hospitals: every one grows a tree on its own records, and all are kept.

    In each round the server sends the forest so far; each hospital grows one tree (one for each
    class, if more than two) against its answers on its own records; each new tree's leaves count by
    the hospital's share of records (the bag). Nothing is masked: the server reads the trees, whose
    splits are cut points of one hospital's records. It grows its own trees, so no learner
    is chosen.

    Args:
        rounds: How many rounds.
        depth, rate, lightest, columns: As in `boosted`.
        sites: ByUnit, Dirichlet or ByQuantity.

    Source: the bagging aggregation of federated XGBoost (Flower's FedXgbBagging, 2023); Chen and
    Guestrin 2016 (arXiv 1603.02754).
    """

    rounds: int = 40
    depth: int = 3
    rate: float = 0.1
    lightest: float = 4.0
    columns: float = 0.3
    bins: int = 32
    sites: Sites = field(default_factory=ByUnit)

    @property
    def growth(self) -> Growth:
        """How one hospital grows its trees of a round."""
        return Growth(self.depth, self.rate, self.lightest, self.columns, self.bins)

    def find_shape(self, records: Records) -> tuple[int, ...]:
        """(inputs, classes): what a server, which has no record, must know of them."""
        kinds = [column.kind == "category" for column in records.columns]
        levels = [len(column.levels) for column in records.columns if column.kind == "category"]
        return (kinds.count(False) + sum(levels), len(records.classes))

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        check_settings(self, rounds=COUNT, depth=COUNT, rate=SHARE)
        check_outcomes(members)
        check_levels(members, range(len(members.columns)))
        start = time.process_time()
        own = streams(rng)
        parts = self.sites.divide(members, own["sites"])
        trees, sent = self._grow(members, parts.rows, own["clients"])
        saved, size = join_documents(trees, len(members.classes))
        clients = len(parts.rows)
        costs = {
            "bytes_up": float(sent),
            # Each client is sent every other's trees once.
            "bytes_down": float(sent * clients),
            "rounds": float(self.rounds),
            "clients": float(clients),
            "model_bytes": float(size),
            "train_seconds": time.process_time() - start,
        }
        model = Trees(members.columns, len(members.classes), saved)
        return Release(
            Claim(),
            model,
            costs=costs,
            trust=self.trust,
            notes=parts.notes,
            restricted_notes=parts.restricted_notes,
        )

    @property
    def trust(self) -> tuple[tuple[str, str, str], ...]:
        """Who can read what of one hospital's trees."""
        return (
            ("server", "one {site}'s trees", "yes, every one: cut points and leaves"),
            ("another {site}", "one {site}'s trees", "yes, in the forest it is sent"),
            (
                "whoever holds the released model",
                "one {site}'s trees",
                "yes, but not which {site} grew them",
            ),
        )

    def _grow(
        self, members: Records, rows: Sequence[np.ndarray], rng: np.random.Generator
    ) -> tuple[list[tuple[dict[str, Any], float]], int]:
        """Every grown booster of one round as XGBoost's document, with its weight; bytes sent
        up."""
        k = len(members.classes)
        x = np.ascontiguousarray(_values(members), dtype=np.float32)
        growers = [Grower(self.growth, x[own], members.y[own], k) for own in rows]
        share = np.array([len(own) for own in rows]) / sum(map(len, rows))
        found, sent = [], 0
        for _ in range(self.rounds):
            grown = [grower.grow(draw_seed(rng)) for grower in growers]
            for booster, weight in zip(grown, share, strict=True):
                sent += len(bytes(booster.save_raw("ubj")))
                found.append((json.loads(bytes(booster.save_raw("json"))), float(weight)))
                for grower in growers:
                    grower.take(booster, weight)
        return found, sent


__all__ = ["FederatedTrees"]
