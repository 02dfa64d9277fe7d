"""One round of a run at the coordinator: what every way of taking the sum has in common, and the
open one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.deploy.desk import Desk
from pipelines.deploy.journal import Event
from pipelines.deploy.messages import Body
from pipelines.deploy.terms import RunTerms
from pipelines.federated.gate import LARGEST
from pipelines.federated.ledger import Ledger


@dataclass(frozen=True, eq=False)
class Made:
    """A round that came to its end.

    Args:
        combined: (p,) the update of all; None where none can be made, and the model stays as it is.
        seen: (roster, p) float32, what the coordinator could read of each hospital.
        hospitals: Whose updates are in it.
        loss: The mean of what they stated, weighted by their records; None where none did.
    """

    combined: np.ndarray | None
    seen: np.ndarray
    hospitals: tuple[str, ...]
    loss: float | None = None


@dataclass(eq=False)
class Rounds:
    """How rounds of one kind are made.

    Args:
        folder: Of the run.
        records: Of each hospital, as it stated them.
    """

    terms: RunTerms
    desk: Desk
    ledger: Ledger
    folder: Path
    records: Mapping[str, int]

    def make(self, round: int, ready: Sequence[str]) -> Made | None:
        """Make this round among these hospitals; None where too few answered: to be asked again."""
        raise NotImplementedError

    def train(self, round: int, ready: Sequence[str], protected: bool) -> dict[str, Body]:
        """What came of local training."""
        weights = self.ledger.weights.astype("<f4").tobytes()
        question = {"round": round, "weights": weights, "protected": protected}

        def look(name: str, body: Body) -> str:
            if protected:
                # It is not read, and nobody may think that it was kept secret.
                return "open_update" if "update" in body else ""
            return "" if len(body.get("update", b"...")) % 4 == 0 else "size"

        return self.desk.ask("train", dict.fromkeys(ready, question), round, look=look)

    def places(self, names: Sequence[str]) -> np.ndarray:
        """Their numbers in the roster."""
        return np.array([self.terms.roster.index(name) for name in names], dtype=np.int64)

    def counts(self, names: Sequence[str]) -> np.ndarray:
        return np.array([self.records[name] for name in names], dtype=np.float64)

    def mean_loss(self, came: Mapping[str, Body]) -> float | None:
        stated: dict[str, float] = {}
        for name, body in came.items():
            with suppress(OverflowError):
                # A mean of larger ones may be no number.
                if abs(loss := float(body.get("loss", np.nan))) <= LARGEST:
                    stated[name] = loss
        if not stated:
            return None
        return float(np.average(list(stated.values()), weights=self.counts(list(stated))))

    def model(self) -> bytes:
        """What hospitals grade."""
        return self.ledger.weights.astype("<f4").tobytes()

    def note(self, **what: Any) -> None:
        self.desk.journal.write(**what)


class OpenRounds(Rounds):
    """The coordinator reads every update, looks at it and combines them."""

    def make(self, round: int, ready: Sequence[str]) -> Made | None:
        came = self.train(round, ready, protected=False)
        if len(came) < self.terms.quorum:
            return None
        names = tuple(came)
        ledger, places = self.ledger, self.places(names)
        arrived = [np.frombuffer(came[name]["update"], "<f4") for name in names]
        seen, before = ledger.blank(), list(ledger.refused)
        ledger.refused.clear()
        combined = ledger.combine(
            places, arrived, self.counts(names), seen, fewest=self.terms.quorum
        )
        refused = list(ledger.refused)
        ledger.refused[:] = [*before, *(entry for entry in refused if entry not in before)]
        roster = self.terms.roster
        for place, why in refused:
            self.note(event=Event.REFUSED, hospital=roster[place], round=round, why=why)
        for place in ledger.clipped:
            self.note(event=Event.CLIPPED, hospital=roster[place], round=round)
        out = {roster[place] for place, _ in refused}
        return Made(
            combined,
            seen,
            tuple(name for name in names if name not in out),
            self.mean_loss({name: body for name, body in came.items() if name not in out}),
        )


__all__ = ["Made", "OpenRounds", "Rounds"]
