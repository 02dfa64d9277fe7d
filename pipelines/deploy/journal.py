"""What happened in a run, as lines of JSON that are never rewritten: events, and a hospital's
outbox."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any


class Event(StrEnum):
    """What a line of a journal says. No line holds a patient's value, a key or a path."""

    STARTED = "started"  # hospitals: names; segment: number
    RESUMED = "resumed"  # round
    HELLO = "hello"  # hospital, state, patients
    ROUND = "round"  # round, hospitals, seconds, norm, loss, bytes_up, bytes_down
    IDLE = "idle"  # round, hospitals: too few answered
    NO_ANSWER = "no_answer"  # hospital, kind, round
    BAD_ANSWER = "bad_answer"  # hospital, kind, round, why: a code of `REFUSALS`
    REFUSED = "refused"  # hospital, round, why: the gate's reason
    CLIPPED = "clipped"  # hospital, round
    LATE = "late"  # hospital, kind
    RECOVERED = "recovered"  # round, hospitals whose masks were taken away
    WITHDRAWN = "withdrawn"  # hospital
    CONSENTED = "consented"  # at a hospital: terms
    BACK = "back"  # hospital: it answers again
    ALARM = "alarm"  # hospital, what: second_login, decrypted_apart, clock, disk, other_build
    GRADED = "graded"  # hospitals
    STOPPED = "stopped"  # why
    DONE = "done"  # rounds, seconds


class Journal:
    """An append-only file of events, one JSON object a line: `t` (seconds since 1970), `event`, and
    what belongs to it. A line that a crash cut off is left out when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, event: Event | str, **what: Any) -> None:
        """Append one line and hand it to the disk."""
        line = json.dumps({"t": round(time.time(), 3), "event": str(event), **what})
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            # One write, so that lines of two processes never mix; a cut line ends here.
            start = b"" if _ends_well(self.path) else b"\n"
            os.write(handle, start + line.encode() + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)

    def read(self, since: int = 0) -> Iterator[dict[str, Any]]:
        """The lines after the first `since`."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        for line in [line for line in lines if line][since:]:
            try:
                made = json.loads(line)
            except ValueError:
                continue
            if isinstance(made, dict):
                yield made


def _ends_well(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return True
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
    except FileNotFoundError:
        return True


__all__ = ["Event", "Journal"]
