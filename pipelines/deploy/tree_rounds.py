"""Rounds of boosted trees: every hospital grows its own against all that were grown before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.deploy.desk import Desk
from pipelines.deploy.messages import Body
from pipelines.deploy.rounds import Made
from pipelines.deploy.terms import RunTerms
from pipelines.federated.gate import share_out
from pipelines.federated.trees import (
    build_booster,
    pack_forest,
    read_trees,
    weigh_trees,
)
from pipelines.methods.federated_trees import FederatedTrees
from privaudit.errors import PrivauditError

COSTS = ("bytes_up", "bytes_down", "rounds", "refused_updates", "late_updates", "idle_rounds")


@dataclass(eq=False)
class TreeLedger:
    """The forest at its server.

    Args:
        inputs: Of XGBoost, after categories were spread.
        grown: round/hospital -> its document and its share of that round.
        held: For each hospital, of how many rounds it has been sent the trees.
    """

    method: FederatedTrees
    inputs: int
    classes: int
    counts: np.ndarray
    grown: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=lambda: dict.fromkeys(COSTS, 0.0))

    @classmethod
    def start(
        cls, method: FederatedTrees, shape: tuple[int, ...], roster: Sequence[str]
    ) -> TreeLedger:
        """Before the first round; PrivauditError for a shape that is none."""
        if len(shape) != 2 or shape[0] < 1 or shape[1] < 2:
            raise PrivauditError(
                f"records of the shape {shape}",
                "trees are grown on inputs and at least two classes",
                "run the same version of privaudit at the coordinator and every hospital",
            )
        return cls(method, shape[0], shape[1], np.zeros(len(roster)))

    def close(self, seen: np.ndarray, combined: np.ndarray | None) -> None:
        """End a round."""
        self.costs["rounds"] += 1

    def join(self) -> list[dict[str, Any]]:
        """All trees so far, leaves times their hospital's share."""
        found: list[dict[str, Any]] = []
        for raw, share in self.grown.values():
            trees = read_trees(raw, self.inputs, self.classes, self.method.depth)
            found += weigh_trees(trees, share)
        return found

    def forest(self) -> bytes:
        """The joined trees in XGBoost's own format."""
        booster = build_booster(self.join(), self.inputs, self.classes)
        return bytes(booster.save_raw("ubj"))

    def keep(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What goes on disk."""
        meta = {
            "grown": {name: [raw.decode(), share] for name, (raw, share) in self.grown.items()},
            "held": self.held,
            "costs": self.costs,
        }
        return meta, {"counts": self.counts}

    def restore(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """What `keep` gave."""
        self.grown = {name: (raw.encode(), share) for name, (raw, share) in meta["grown"].items()}
        self.held, self.costs = dict(meta["held"]), dict(meta["costs"])
        self.counts = arrays["counts"]


@dataclass(eq=False)
class TreeRounds:
    """Ask for trees, look at them, keep them."""

    terms: RunTerms
    desk: Desk
    ledger: TreeLedger
    folder: Path
    records: Mapping[str, int]

    def make(self, round: int, ready: Sequence[str]) -> Made | None:
        """As `Rounds.make`."""
        ledger = self.ledger

        def look(name: str, body: Body) -> str:
            try:
                read_trees(body["trees"], ledger.inputs, ledger.classes, ledger.method.depth)
            except PrivauditError:
                return "not_trees"
            return ""

        questions = {name: self._question(round, name) for name in ready}
        came = self.desk.ask("grow", questions, round, look=look)
        ledger.costs["refused_updates"] += len(ready) - len(came)
        if len(came) < self.terms.quorum:
            return None
        shares = share_out([self.records[name] for name in came])
        for (name, body), share in zip(came.items(), shares, strict=True):
            ledger.grown[f"{round}/{name}"] = (body["trees"], float(share))
            ledger.held[name] = round
        return Made(np.empty(0), np.empty(0), tuple(came))

    def model(self) -> bytes:
        """What hospitals grade."""
        return pack_forest(self.ledger.join())

    def _question(self, round: int, name: str) -> Body:
        """All trees that this hospital has not been sent: those of the last round, or of more where
        it was away."""
        first = self.ledger.held.get(name, 0)
        wanted = {
            key: value
            for key, value in self.ledger.grown.items()
            if first <= int(key.split("/")[0]) < round
        }
        return {
            "round": round,
            "trees": {key: raw for key, (raw, _) in wanted.items()},
            "shares": json.dumps({key: share for key, (_, share) in wanted.items()}).encode(),
        }


__all__ = ["TreeLedger", "TreeRounds"]
