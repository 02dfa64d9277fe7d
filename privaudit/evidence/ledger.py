"""The ledger of attempts: every audit that was started, so that repetition until a pass shows.

`attempts.jsonl` lies beside the runs. Lines are only ever added; each holds the sha256 of the one
before, so that a line that is changed, removed or inserted breaks the chain from there on. A run's
document and its signed statement hold the last line's sha256 at their time: a ledger that was
started anew, or cut, no longer holds it. It has no path, no key and no row of data.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from privaudit.errors import PrivauditError
from privaudit.results import Attempts

LEDGER = "attempts.jsonl"
FIRST = "0" * 64
"""What stands for the line before the first."""

_EVENTS = ("started", "data", "ended")


@dataclass(frozen=True)
class Entry:
    """One line about one attempt. sha256: of the line, which the next one holds as `previous`.

    event: `started` (command, request), `data` (run, task, data) or `ended` (run, outcome, code).
    """

    attempt: str
    event: str
    at: str
    previous: str
    sha256: str
    command: str = ""
    request: str = ""
    run: str = ""
    task: str = ""
    data: str = ""
    outcome: str = ""
    code: int | None = None


@dataclass(frozen=True)
class Ledger:
    """All lines that can be read, and where the chain does not hold."""

    entries: tuple[Entry, ...]
    faults: tuple[str, ...]

    @property
    def head(self) -> str:
        return self.entries[-1].sha256 if self.entries else FIRST

    def count(self, task: str, data: str) -> Attempts:
        """Attempts on this task and these data; those that ended before reading do not count."""
        own = {e.attempt for e in self.entries if (e.event, e.task, e.data) == ("data", task, data)}
        starts = [e for e in self.entries if e.event == "started" and e.attempt in own]
        ends = [e for e in self.entries if e.event == "ended" and e.attempt in own]
        outcomes = Counter(str(e.code) if e.code is not None else e.outcome for e in ends)
        return Attempts(
            started=len(starts),
            finished=len(ends),
            requests=len({e.request for e in starts}),
            outcomes=dict(sorted(outcomes.items())),
            since=min((e.at for e in starts), default=""),
            head=self.head,
        )


@dataclass
class Attempt:
    """One audit that was started."""

    path: Path
    name: str
    ended: bool = False

    def add(self, event: str, **facts: Any) -> None:
        """Add a line about this attempt."""
        _add(self.path, {"attempt": self.name, "event": event, **facts})

    def saw(self, run: str, task: str, data: str) -> Attempts:
        """The data are read; how often they were audited for this task. data: their commitment."""
        if not re.fullmatch(r"[\w.:+=-]*", data):
            raise ValueError("the ledger holds a commitment of the data, nothing else")
        self.add("data", run=run, task=task, data=data)
        return read(self.path).count(task, data)

    def end(self, run: str, code: int) -> None:
        """It came to its end, with this exit code."""
        self.add("ended", run=run, outcome="finished" if run else "nothing", code=code)
        self.ended = True


@contextmanager
def attempt(out: Path, command: str) -> Iterator[Attempt]:
    """Note in the ledger under `out` that this command was started, and how it ended.

    An end that `Attempt.end` did not report is noted as what stopped it; a process that was killed
    leaves a start without an end.

    Args:
        out: The folder of runs.
        command: As a document may show it, without folders.
    """
    made = Attempt(out / LEDGER, secrets.token_hex(8))
    made.add("started", command=command, request=hashlib.sha256(command.encode()).hexdigest())
    outcome: dict[str, Any] = {"outcome": "nothing"}
    try:
        yield made
    except PrivauditError:
        outcome = {"outcome": "refused", "code": 2}
        raise
    except KeyboardInterrupt:
        outcome = {"outcome": "interrupted", "code": 130}
        raise
    except Exception:
        outcome = {"outcome": "failed with an error", "code": 70}
        raise
    finally:
        if not made.ended:
            made.add("ended", **outcome)


def read(path: Path) -> Ledger:
    """The ledger at `path` (the file, or its folder of runs); empty where there is none."""
    try:
        lines = (path / LEDGER if path.is_dir() else path).read_bytes().split(b"\n")
    except FileNotFoundError:
        return Ledger((), ())
    entries: list[Entry] = []
    faults: list[str] = []
    previous = FIRST
    if lines[-1]:
        faults.append(f"{LEDGER}: line {len(lines)} is cut short")
    for number, line in enumerate(lines[:-1], 1):
        digest = hashlib.sha256(line).hexdigest()
        try:
            entry = Entry(sha256=digest, **json.loads(line))
            same = line == _line(entry)
        except (ValueError, TypeError):
            faults.append(f"{LEDGER}: line {number} is no entry")
        else:
            if not same or entry.event not in _EVENTS:
                faults.append(f"{LEDGER}: line {number} is not as privaudit writes it")
            if entry.previous != previous:
                faults.append(f"{LEDGER}: line {number} does not follow the line before it")
            entries.append(entry)
        previous = digest
    return Ledger(tuple(entries), tuple(faults))


def _line(entry: Entry) -> bytes:
    body = {k: v for k, v in vars(entry).items() if k != "sha256" and v not in ("", None)}
    return json.dumps(body, sort_keys=True).encode()


def _add(path: Path, body: dict[str, Any]) -> None:
    """One more line, after whatever the file holds now; one process at a time."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a+b") as file, _locked(file):
            file.seek(0)
            lines = file.read()
            # A line that a killed process cut short stays, as a fault; what follows starts anew.
            start = b"\n" if lines and not lines.endswith(b"\n") else b""
            last = lines.rstrip(b"\n").rsplit(b"\n", 1)[-1]
            previous = hashlib.sha256(last).hexdigest() if last else FIRST
            entry = Entry(at=at, previous=previous, sha256="", **body)
            file.write(start + _line(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise PrivauditError(
            f"the ledger of attempts ({LEDGER}) cannot be written",
            f"the system reports: {error.strerror}",
            "give another folder with --out, or make this one writable",
        ) from None


@contextmanager
def _locked(file: IO[bytes]) -> Iterator[None]:
    """Hold the file for this process where the system can."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


__all__ = ["FIRST", "LEDGER", "Attempt", "Entry", "Ledger", "attempt", "read"]
