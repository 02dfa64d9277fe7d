"""Which hospitals take part in a run: what each last answered to `hello`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from pipelines.deploy.build import source_digest
from pipelines.deploy.desk import Desk
from pipelines.deploy.journal import Event
from pipelines.deploy.messages import STATES, Body
from pipelines.deploy.terms import RunTerms
from privaudit.errors import PrivauditError

QUICK = 15.0
"""Seconds for a hospital that is asked again between rounds: the others wait meanwhile."""
SLOWEST = 10.0
"""Seconds between two times of asking who is ready, after some time."""
SEEN_AGAIN = 6
"""A hospital that stays away is asked after 1, 2, 4, ... rounds, at most 2 to this power."""
MOST = 10**12
"""No hospital has more records."""


@dataclass(frozen=True)
class Shape:
    """What all hospitals must have alike.

    Args:
        schema: The digest of columns and classes.
        widths: What the method's `find_shape` says of such records.
    """

    schema: str
    widths: tuple[int, ...]


class Attendance:
    """The hospitals of the roster, and which of them are ready.

    Args:
        shape: What those of an earlier segment of the run had; None to take what the most state,
            once they are a quorum.
    """

    def __init__(self, terms: RunTerms, desk: Desk, shape: Shape | None = None) -> None:
        self.terms, self.desk, self.shape = terms, desk, shape
        self.records: dict[str, int] = {}
        self.patients: dict[str, int] = {}
        self._shapes: dict[str, Shape] = {}
        self._said: dict[str, str] = {}
        self._ready: set[str] = set()
        self._away: dict[str, tuple[int, int]] = {}

    @property
    def ready(self) -> tuple[str, ...]:
        """Names in the order of the roster."""
        good = {n for n in self._ready if self.shape is None or self._shapes[n] == self.shape}
        return tuple(name for name in self.terms.roster if name in good)

    def gather(self, until: float, pause: float) -> tuple[str, ...]:
        """Ask until the quorum is ready; PrivauditError after the time `until` (monotonic)."""
        while True:
            here = set(self.desk.wire.present())
            # Also those that were ready: who withdraws meanwhile is seen to have.
            self.greet([n for n in self.terms.roster if n in here])
            if self.shape is None:
                self._settle()
            if self.shape is not None and len(self.ready) >= self.terms.quorum:
                return self.ready
            if time.monotonic() >= until:
                self.despair(len(self.ready))
            time.sleep(pause)
            pause = min(pause * 1.5, max(pause, SLOWEST))

    def wait_for(self, names: Iterable[str], until: float, pause: float) -> tuple[str, ...]:
        """Those of these that are ready, once all are or have said that they will not be, or after
        the time `until`."""
        names = set(names)
        while names - set(self.ready):
            open_ = {n for n in names - set(self.ready) if self._said.get(n, "ready") == "ready"}
            if not open_ or time.monotonic() >= until:
                break
            self.greet(sorted(open_ & set(self.desk.wire.present())))
            if not open_ <= set(self.ready):
                time.sleep(pause)
        return tuple(name for name in self.ready if name in names)

    def despair(self, count: int) -> NoReturn:
        """End the wait: PrivauditError."""
        self.desk.journal.write(Event.STOPPED, why="too_few")
        raise PrivauditError(
            f"{count} hospitals that are ready",
            f"the terms ask for {self.terms.quorum}, and too few answered within the time that the "
            "coordinator waits",
            "see in the status who is missing, and run it again: it goes on from here",
        )

    def refresh(self, round: int) -> tuple[str, ...]:
        """Ask those that were not ready, seldom where they stay away: before a round."""
        here = set(self.desk.wire.present())
        due = [
            name
            for name in self.terms.roster
            if name in here and name not in self.ready and self._away.get(name, (0, 0))[0] <= round
        ]
        if due:
            self.greet(due, min(QUICK, self.desk.timeout))
        for name in due:
            times = self._away.get(name, (0, 0))[1]
            if name in self.ready:
                self._away.pop(name, None)
            else:
                self._away[name] = (round + 2 ** min(times, SEEN_AGAIN), times + 1)
        return self.ready

    def lose(self, names: Iterable[str]) -> None:
        """These must say hello before they are asked for anything else."""
        self._ready -= set(names)

    def greet(self, names: Iterable[str], timeout: float | None = None) -> None:
        """Ask `hello`, and note what changed."""
        names = list(names)
        came = self.desk.ask("hello", {name: {} for name in names}, timeout=timeout)
        for name in names:
            stood = name in self._ready
            self._ready.discard(name)
            if name in came:
                self._hear(name, came[name], stood)

    def _hear(self, name: str, body: Body, stood: bool) -> None:
        said = self._judge(name, body)
        before, self._said[name] = self._said.get(name, ""), said
        if said == "ready":
            self._ready.add(name)
        if said == before:
            if said == "ready" and not stood:
                self.desk.journal.write(Event.BACK, hospital=name)
            return
        if said.startswith("other_"):
            self.desk.journal.write(Event.ALARM, hospital=name, what=said)
        elif said == "withdrawn":
            self.desk.journal.write(Event.WITHDRAWN, hospital=name)
        else:
            known = {"patients": self.patients[name]} if said == "ready" else {}
            self.desk.journal.write(Event.HELLO, hospital=name, state=said, **known)

    def _judge(self, name: str, body: Body) -> str:
        """The state that it states, or what is wrong with it."""
        state = body["state"]
        if state not in STATES:
            return "refused"
        if state != "ready":
            return str(state)
        if body.get("terms") != self.terms.fingerprint:
            return "other_terms"
        if body.get("build") != source_digest():
            return "other_build"
        patients = int(body.get("patients", 0))
        records = int(body.get("records", patients))
        if not (1 <= patients <= MOST and 1 <= records <= MOST):
            return "refused"
        shape = Shape(body.get("schema", ""), tuple(body.get("widths", ())))
        wanted = self.terms.schema
        if (wanted and shape.schema != wanted) or (self.shape is not None and shape != self.shape):
            return "other_schema"
        self._shapes[name], self.records[name] = shape, records
        self.patients[name] = patients
        return "ready"

    def _settle(self) -> None:
        """Take the shape that the most have, once they are a quorum; the rest is told apart."""
        found = Counter(self._shapes[name] for name in self._ready).most_common(2)
        if not found or found[0][1] < self.terms.quorum:
            return
        if len(found) > 1 and found[1][1] == found[0][1]:
            return
        self.shape = found[0][0]
        for name in self.terms.roster:
            if name in self._ready and self._shapes[name] != self.shape:
                self.lose([name])
                self._said[name] = "other_schema"
                self.desk.journal.write(Event.ALARM, hospital=name, what="other_schema")


__all__ = ["Attendance", "Shape"]
