"""What the engine says while it works. It never prints: a listener draws, and a file keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Event:
    """One thing that happened: a stage began, came further, ended, or something worth a note.

    done and total count steps of the stage (a share in [0, 1] while preparing data); seconds is the
    wall time since the stage began. `what` names models and attacks, never data.
    """

    stage: str
    state: Literal["start", "step", "end", "note"]
    what: str = ""
    done: float = 0.0
    total: float = 0.0
    seconds: float = 0.0


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Listen to nothing."""


def to_file(path: Path, then: Listener) -> Listener:
    """Append every event to `path`, one JSON object a line, then pass it on."""

    def listen(event: Event) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"at": at, **asdict(event)}) + "\n")
        then(event)

    return listen
