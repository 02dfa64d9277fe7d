"""Lines of a run's journal, printed as they come."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.deploy.commands._verb import say
from pipelines.deploy.journal import Event, Journal

EVERY = 0.25


@contextmanager
def follow(path: Path) -> Iterator[None]:
    """Within, each new line of the journal is a line on standard error."""
    journal = Journal(path)
    seen = sum(1 for _ in journal.read())
    over = threading.Event()

    def read() -> None:
        nonlocal seen
        while True:
            last = over.is_set()
            for line in journal.read(seen):
                seen += 1
                if text := describe(line):
                    say(text)
            if last:
                return
            over.wait(EVERY)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5.0)


def describe(line: Mapping[str, Any]) -> str:
    """One line of a journal in words; empty for what need not be seen."""

    def of(name: str) -> str:
        # What came over the network must not move the cursor.
        text = str(line.get(name, "?"))[:60]
        return "".join(letter if letter.isprintable() else "?" for letter in text)

    def names() -> str:
        found = line.get("hospitals")
        if not isinstance(found, list):
            return of("hospitals")
        return ", ".join(str(name)[:40] for name in found if str(name).isprintable())

    event = line.get("event")
    if event == Event.ROUND:
        told = f"round {of('round')}: {names()}"
        if isinstance(seconds := line.get("seconds"), (int, float)):
            told += f"; {seconds:.1f} s"
        if isinstance(loss := line.get("loss"), (int, float)):
            told += f"; loss {loss:.4f}"
        return told
    words = {
        Event.STARTED: lambda: f"started with {names()}",
        Event.RESUMED: lambda: f"goes on after round {of('round')}",
        Event.HELLO: lambda: f"{of('hospital')}: {_STATES.get(of('state'), of('state'))}",
        Event.IDLE: lambda: f"round {of('round')} is not made: too few hospitals answer",
        Event.NO_ANSWER: lambda: f"{of('hospital')} does not answer ({of('kind')})",
        Event.BAD_ANSWER: lambda: f"{of('hospital')}: no valid answer ({of('why')})",
        Event.REFUSED: lambda: f"an update of {of('hospital')} is refused ({of('why')})",
        Event.LATE: lambda: f"{of('hospital')} is late ({of('kind')})",
        Event.RECOVERED: lambda: f"round {of('round')}: the sum without those who left",
        Event.WITHDRAWN: lambda: f"{of('hospital')} has withdrawn",
        Event.BACK: lambda: f"{of('hospital')} answers again",
        Event.ALARM: lambda: f"ALARM at {of('hospital')}: {of('what')}",
        Event.GRADED: lambda: f"attacked the final model: {names()}",
        Event.STOPPED: lambda: f"stopped ({of('why')})",
        Event.DONE: lambda: f"done after {of('rounds')} rounds",
    }
    known = _event(event)
    made = words.get(known) if known else None
    return made() if made else ""


_STATES = {
    "ready": "has consented and takes part",
    "pending": "has not consented yet",
    "withdrawn": "has withdrawn",
    "too_few": "has too few patients",
    "refused": "does not accept these terms",
}


def _event(text: object) -> Event | None:
    try:
        return Event(str(text))
    except ValueError:
        return None


__all__ = ["describe", "follow"]
