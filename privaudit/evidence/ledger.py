"""Every audit that was started on a shelf of runs, so that repeating one until it passes shows.

`attempts.jsonl` lies beside the runs. Lines are only ever added; each holds the sha256 of the one
before, so that a line that is changed, removed or put in breaks the chain from there on. A run's
document and its signed statement hold the last line's sha256 at their time: a ledger that was begun
afresh, or cut, no longer holds it. It has no path, no key and no row of data.
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
    """One line: `started` (command, request), `data` (run, task, data) or `ended` (run, outcome, code)
    of the attempt called `attempt`. sha256: of the line, which the next one holds as `previous`."""

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
        """Attempts on this task and these data; those that never came to read data are not among them."""
        own = [e.attempt for e in self.entries if (e.event, e.task, e.data) == ("data", task, data)]
        starts = [e for e in self.entries if e.event == "started" and e.attempt in own]
        ends = [e for e in self.entries if e.event == "ended" and e.attempt in own]
        told = Counter(str(e.code) if e.code is not None else e.outcome for e in ends)
        return Attempts(
            started=len(starts),
            finished=len(ends),
            requests=len({e.request for e in starts}),
            outcomes=dict(sorted(told.items())),
            since=min((e.at for e in starts), default=""),
            head=self.head,
        )


class Attempt:
    """One audit that was started."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name, self.told = path, name, False

    def saw(self, run: str, task: str, data: str) -> Attempts:
        """The data are read: which task, and the commitment of the records; how often they were tried."""
        if not re.fullmatch(r"[\w.:+=-]*", data):
            raise ValueError("the ledger holds a commitment of the data, nothing else")
        _add(
            self.path,
            {"attempt": self.name, "event": "data", "run": run, "task": task, "data": data},
        )
        return read(self.path).count(task, data)

    def ended(self, run: str, code: int) -> None:
        """It came to its end, with this exit code."""
        outcome = "finished" if run else "nothing"
        body = {
            "attempt": self.name,
            "event": "ended",
            "run": run,
            "outcome": outcome,
            "code": code,
        }
        _add(self.path, body)
        self.told = True


@contextmanager
def attempt(out: Path, command: str) -> Iterator[Attempt]:
    """Note in the ledger under `out` that this command was started, and how it ended.

    command: as it may be told, without folders. An end that nobody told is noted as what stopped it;
    a process that was killed leaves a start without an end.
    """
    path = out / LEDGER
    made = Attempt(path, secrets.token_hex(8))
    _add(path, {"attempt": made.name, "event": "started", "command": command,
                "request": _request(command)})  # fmt: skip
    outcome, code = "nothing", None
    try:
        yield made
    except PrivauditError:
        outcome, code = "refused", 2
        raise
    except KeyboardInterrupt:
        outcome, code = "interrupted", 130
        raise
    except Exception:
        outcome, code = "broke", 70
        raise
    finally:
        if not made.told:
            body: dict[str, Any] = {"attempt": made.name, "event": "ended", "outcome": outcome}
            _add(path, body | ({} if code is None else {"code": code}))


def _request(command: str) -> str:
    """What was asked for, apart from the seed."""
    plain = re.sub(r"\s--seed\s+\S+", "", command)
    return hashlib.sha256(plain.encode()).hexdigest()


def read(path: Path) -> Ledger:
    """The ledger at `path` (the file, or the folder of runs that it is in); empty where there is none."""
    if path.is_dir():
        path = path / LEDGER
    try:
        whole = path.read_bytes()
    except FileNotFoundError:
        return Ledger((), ())
    return _parse(whole)


def _parse(whole: bytes) -> Ledger:
    entries: list[Entry] = []
    faults: list[str] = []
    previous = FIRST
    lines = whole.split(b"\n")
    if lines[-1]:
        faults.append(f"{LEDGER}: line {len(lines)} is cut short")
    for number, line in enumerate(lines[:-1], 1):
        digest = hashlib.sha256(line).hexdigest()
        try:
            entry = Entry(sha256=digest, **json.loads(line))
            whole_line = line == _line(entry)
        except (ValueError, TypeError):
            faults.append(f"{LEDGER}: line {number} is no entry")
        else:
            if not whole_line or entry.event not in _EVENTS:
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
        with open(path, "a+b") as file, _alone(file):
            file.seek(0)
            whole = file.read()
            # A line that a killed process cut short stays, as a fault; what follows starts anew.
            start = b"\n" if whole and not whole.endswith(b"\n") else b""
            last = (whole + start).rstrip(b"\n").rsplit(b"\n", 1)[-1]
            previous = hashlib.sha256(last).hexdigest() if last else FIRST
            entry = Entry(at=at, previous=previous, sha256="", **body)
            file.write(start + _line(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise PrivauditError(
            f"the ledger of attempts ({LEDGER}) cannot be written",
            f"the system says: {error.strerror}",
            "give another folder with --out, or make this one writable",
        ) from None


@contextmanager
def _alone(file: IO[bytes]) -> Iterator[None]:
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
