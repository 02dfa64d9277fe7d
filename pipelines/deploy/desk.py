"""The coordinator's desk: asks hospitals, notes who did not answer well, counts what crossed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.deploy.journal import Event, Journal
from pipelines.deploy.messages import Body, check_answer
from pipelines.deploy.wire import Stopped, Wire
from privaudit.errors import PrivauditError

NO_ANSWER = "no_answer"
UNSAFE = "unsafe"
"""The code of a hospital whose answer would show its records; see `refused.Code`."""


@dataclass(eq=False)
class Desk:
    """Every question of a run goes through here.

    Args:
        timeout: Seconds in which a hospital answers.
        stop: A file that ends the run once it is there.
        lost: Hospitals that did not answer, or not well, since this was last emptied.
        refusing: Those of `lost` that would not answer, as an answer would show their records.
        traffic: hospital -> kind of message -> how many came, and their bytes.
        up, down: Bytes of answers and of questions, counted on what they hold.
    """

    wire: Wire
    journal: Journal
    timeout: float
    stop: Path
    lost: set[str] = field(default_factory=set)
    refusing: set[str] = field(default_factory=set)
    traffic: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    up: int = 0
    down: int = 0

    def halt(self) -> None:
        """Raises Stopped where the operator has asked for it."""
        if self.stop.exists():
            self.journal.write(Event.STOPPED, why="stop")
            raise Stopped("the operator stopped the run")

    def ask(
        self,
        kind: str,
        questions: Mapping[str, Body],
        round: int | None = None,
        timeout: float | None = None,
        look: Callable[[str, Body], str] | None = None,
    ) -> dict[str, Body]:
        """What came in time and is an answer to this, in the order of the questions.

        Args:
            look: Says what is wrong with an answer, as a code; empty where nothing is.
        """
        self.halt()
        # Also where nobody is asked: the engine may end the run.
        answers = self.wire.ask(kind, questions, self.timeout if timeout is None else timeout)
        self.down += sum(map(weigh, questions.values()))
        came: dict[str, Body] = {}
        for name in questions:
            body = answers.came.get(name)
            if body is None:
                self._note(name, kind, round, answers.missing.get(name, NO_ANSWER))
                continue
            size = weigh(body)
            self.up += size
            counted = self.traffic.setdefault(name, {}).setdefault(kind, [0, 0])
            counted[0], counted[1] = counted[0] + 1, counted[1] + size
            if why := self._doubt(kind, body, round) or (look(name, body) if look else ""):
                self._note(name, kind, round, why)
                continue
            came[name] = body
        return came

    def drop(self, name: str, kind: str, round: int | None, why: str) -> None:
        """Note an answer that turned out to be wrong later."""
        self._note(name, kind, round, why)

    @staticmethod
    def _doubt(kind: str, body: Body, round: int | None) -> str:
        try:
            check_answer(kind, body)
        except PrivauditError:
            return "not_an_answer"
        return "other_round" if round is not None and body.get("round", round) != round else ""

    def _note(self, name: str, kind: str, round: int | None, why: str) -> None:
        self.lost.add(name)
        if why == UNSAFE:
            self.refusing.add(name)
        what: dict[str, Any] = {"hospital": name, "kind": kind}
        if round is not None:
            what["round"] = round
        if why == NO_ANSWER:
            self.journal.write(Event.NO_ANSWER, **what)
        else:
            self.journal.write(Event.BAD_ANSWER, **what, why=str(why)[:40])


def weigh(body: Mapping[str, Any]) -> int:
    """Bytes that a message holds: its own without the engine's; 8 for each number."""
    return sum(map(_weigh, body.values()))


def _weigh(value: Any) -> int:
    if isinstance(value, (bytes, str)):
        return len(value)
    if isinstance(value, Mapping):
        return sum(len(name) + _weigh(part) for name, part in value.items())
    return sum(map(_weigh, value)) if isinstance(value, (list, tuple)) else 8


__all__ = ["NO_ANSWER", "UNSAFE", "Desk", "weigh"]
