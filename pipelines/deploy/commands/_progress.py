"""What happens in a run, in lines for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipelines.deploy.journal import Event


def describe(line: Mapping[str, Any]) -> str:
    """One line of a journal in words; empty for what need not be seen."""

    def of(name: str) -> str:
        # What came over the network must not move the cursor.
        text = str(line.get(name, "?"))[:60]
        return "".join(letter if letter.isprintable() else "?" for letter in text)

    def number() -> str:
        """Rounds are counted from 0 in files, and from 1 for people."""
        found = line.get("round")
        return str(found + 1) if isinstance(found, int) else "?"

    def names() -> str:
        found = line.get("hospitals")
        if not isinstance(found, list | tuple):
            return of("hospitals")
        return ", ".join(str(name)[:40] for name in found if str(name).isprintable()) or "none"

    event = str(line.get("event"))
    if event == Event.ROUND:
        told = f"round {number()}: {names()}"
        if isinstance(seconds := line.get("seconds"), (int, float)):
            told += f"; {seconds:.1f} s"
        if isinstance(loss := line.get("loss"), (int, float)):
            told += f"; loss {loss:.4f}"
        return told
    words: dict[str, Callable[[], str]] = {
        Event.STARTED: lambda: f"started with {names()}",
        Event.RESUMED: lambda: f"goes on with round {number()}",
        Event.HELLO: lambda: f"{of('hospital')}: {_STATES.get(of('state'), of('state'))}",
        Event.IDLE: lambda: f"round {number()} is not made: too few hospitals answer",
        Event.NO_ANSWER: lambda: f"{of('hospital')} does not answer ({of('kind')})",
        Event.BAD_ANSWER: lambda: f"{of('hospital')}: no valid answer ({of('why')})",
        Event.REFUSED: lambda: f"an update of {of('hospital')} is refused ({of('why')})",
        Event.LATE: lambda: f"{of('hospital')} is late ({of('kind')})",
        Event.RECOVERED: lambda: f"round {number()}: the sum without those who left",
        Event.WITHDRAWN: lambda: f"{of('hospital')} has withdrawn",
        Event.BACK: lambda: f"{of('hospital')} answers again",
        Event.ALARM: lambda: f"ALARM at {of('hospital')}: {of('what')}",
        Event.GRADED: lambda: f"attacked the final model: {names()}",
        Event.STOPPED: lambda: f"stopped ({of('why')})",
        Event.DONE: lambda: f"done after {of('rounds')} rounds",
    }
    # What the supervising loop does beside the journal: its `Step`.
    steps: dict[str, Callable[[], str]] = {
        "waiting": lambda: f"{line.get('quorum', '?')} hospitals are needed; connected: {names()}",
        "submitted": lambda: f"sent to the hospitals (part {of('segment')})",
        "rejoined": lambda: f"{names()} came back: a new part begins",
        "trouble": lambda: f"trouble: {of('what')}; trying again",
    }
    made = (words | steps).get(event)
    return made() if made else ""


_STATES = {
    "ready": "has consented and takes part",
    "pending": "has not consented yet",
    "withdrawn": "has withdrawn",
    "too_few": "has too few patients",
    "refused": "does not accept these terms",
}


__all__ = ["describe"]
