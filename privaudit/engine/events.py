"""What the engine reports while it works. It never prints: listeners draw or write to a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Event:
    """One thing that happened: a stage started, finished a step, ended, or something worth a note.

    Args:
        stage: prepare, plan, train, compare, attack, measure or write.
        state: What happened to it.
        what: Names models and attacks, never data.
        done: Steps finished; a share in [0, 1] while preparing data.
        total: Steps of the stage.
        seconds: Wall time since the stage started.
        failed: The step failed with an error.
    """

    stage: str
    state: Literal["start", "step", "end", "note"]
    what: str = ""
    done: float = 0.0
    total: float = 0.0
    seconds: float = 0.0
    failed: bool = False


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Ignore every event."""


def to_file(path: Path, then: Listener) -> Listener:
    """Append every event to `path`, one JSON object a line, then pass it on."""

    def listen(event: Event) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"at": at, **asdict(event)}) + "\n")
        then(event)

    return listen
