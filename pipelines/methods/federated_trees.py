"""Federated boosted trees: each round every hospital grows a tree, and the server bags them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.federated.kernel import streams
from pipelines.federated.sites import ByUnit, Sites
from pipelines.learners._prepare import check_levels, check_outcomes
from pipelines.learners.boosted import Trees, _values
from pipelines.settings import COUNT, SHARE, check_settings
from privaudit.contracts import Claim, Method, Release
from privaudit.records import Records

if TYPE_CHECKING:
    import xgboost


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

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        check_settings(self, rounds=COUNT, depth=COUNT, rate=SHARE)
        check_outcomes(members)
        check_levels(members, range(len(members.columns)))
        start = time.process_time()
        own = streams(rng)
        parts = self.sites.divide(members, own["sites"])
        trees, sent = self._grow(members, parts.rows, own["clients"])
        saved, size = _join(trees, len(members.classes))
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
        trust = (
            ("server", "one hospital's trees", "yes, every one: cut points and leaves"),
            ("another hospital", "one hospital's trees", "yes, in the forest it is sent"),
            (
                "whoever holds the released model",
                "one hospital's trees",
                "yes, but not which hospital grew them",
            ),
        )
        model = Trees(members.columns, len(members.classes), saved)
        return Release(
            Claim(),
            model,
            costs=costs,
            trust=trust,
            notes=parts.notes,
            restricted_notes=parts.restricted_notes,
        )

    def _grow(
        self, members: Records, rows: Sequence[np.ndarray], rng: np.random.Generator
    ) -> tuple[list[tuple[dict[str, Any], float]], int]:
        """Every grown booster of one round as XGBoost's document, with its weight; bytes sent
        up."""
        import xgboost

        k = len(members.classes)
        x = np.ascontiguousarray(_values(members), dtype=np.float32)
        data = [
            xgboost.QuantileDMatrix(x[own], label=members.y[own], max_bin=self.bins, nthread=1)
            for own in rows
        ]
        margins = [np.zeros((len(own), k if k > 2 else 1)) for own in rows]
        share = np.array([len(own) for own in rows]) / sum(map(len, rows))
        found, sent = [], 0
        for _ in range(self.rounds):
            grown = []
            for part, margin in zip(data, margins, strict=True):
                part.set_base_margin(margin if k > 2 else margin[:, 0])
                booster = xgboost.train(self._parameters(k, rng), part, num_boost_round=1)
                raw = bytes(booster.save_raw("json"))
                sent += len(bytes(booster.save_raw("ubj")))
                grown.append((booster, raw))
            for (booster, raw), weight in zip(grown, share, strict=True):
                found.append((json.loads(raw), float(weight)))
                for own, margin in zip(rows, margins, strict=True):
                    margin += weight * _margin(booster, x[own])
        return found, sent

    def _parameters(self, k: int, rng: np.random.Generator) -> dict[str, Any]:
        several = {"objective": "multi:softprob", "num_class": k}
        return {
            "max_depth": self.depth,
            "eta": self.rate,
            "min_child_weight": self.lightest,
            "colsample_bytree": self.columns,
            "max_bin": self.bins,
            "tree_method": "hist",
            "base_score": 0.5,
            "nthread": 1,
            "seed": int(rng.integers(2**31 - 1)),
            "verbosity": 0,
            **(several if k > 2 else {"objective": "binary:logistic"}),
        }


def _margin(booster: xgboost.Booster, x: np.ndarray) -> np.ndarray:
    """(n, 1 or k) what the trees of one round add; a base score of one half adds nothing."""
    found = np.asarray(booster.inplace_predict(x, predict_type="margin"), dtype=np.float64)
    return found.reshape(len(x), -1)


def _join(grown: Sequence[tuple[dict[str, Any], float]], k: int) -> tuple[bytes, int]:
    """All trees in one booster, each tree's leaves times its weight; its own format, and its
    size."""
    import xgboost

    document = grown[0][0]
    trees: list[dict[str, Any]] = []
    info: list[int] = []
    for one, weight in grown:
        part = one["learner"]["gradient_booster"]["model"]
        for tree, kind in zip(part["trees"], part["tree_info"], strict=True):
            leaves = np.array(tree["left_children"]) == -1
            values = np.array(tree["split_conditions"], dtype=np.float64)
            values[leaves] *= weight
            tree["split_conditions"] = values.tolist()
            tree["id"] = len(trees)
            trees.append(tree)
            info.append(kind)
    model = document["learner"]["gradient_booster"]["model"]
    per_round = k if k > 2 else 1
    model["trees"], model["tree_info"] = trees, info
    model["iteration_indptr"] = list(range(0, len(trees) + 1, per_round))
    model["gbtree_model_param"]["num_trees"] = str(len(trees))
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(json.dumps(document).encode()))
    saved = bytes(booster.save_raw("ubj"))
    return saved, len(saved)


__all__ = ["FederatedTrees"]
