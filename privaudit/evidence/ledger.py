"""The ledger: every audit that was started, what it was to make, and what it left when it ended.

`attempts.jsonl` lies beside the runs. Lines are only ever added. Each holds the sha256 of the one
before, so that a line that is changed, removed or inserted breaks the chain from there on, and an
HMAC under the key of the folder of runs, so that nobody without that key can write the chain anew.
Which line is its last is kept in `restricted/ledger.json` under the same key: a ledger
that was cut or begun afresh no longer fits. It has no path, no key and no row of data.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from privaudit.commitments import KEY, commit, load_key
from privaudit.engine.store import write_atomically
from privaudit.errors import PrivauditError
from privaudit.restricted import NAME
from privaudit.results import Attempts

LEDGER = "attempts.jsonl"
HEAD = "ledger.json"
"""In `restricted/`: the last line's sha256, under the key."""
FIRST = "0" * 64
"""What stands for the line before the first."""

_EVENTS = ("started", "data", "planned", "ended", "resealed", "signed")


@dataclass(frozen=True)
class Entry:
    """One line about one attempt. sha256: of the line, which the next one holds as `previous`;
    mac: of all else in it, under the key of the folder of runs.

    event: `started` (command, request), `data` (run, task, data), `planned` (run, plan: a
    commitment), `ended` (run, outcome, code, statement: its sha256), `resealed` (run, statement) or
    `signed` (run, statement, signer).
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
    plan: str = ""
    statement: str = ""
    signer: str = ""
    mac: str = ""


@dataclass(frozen=True)
class Ledger:
    """All lines that can be read, and where the chain does not hold. keyed: the key was at hand, so
    that every line's HMAC and the length of the chain were checked; forged: lines that were not
    written under it."""

    entries: tuple[Entry, ...]
    faults: tuple[str, ...]
    keyed: bool = False
    forged: tuple[Entry, ...] = ()

    def of_run(self, run: str, *events: str) -> tuple[Entry, ...]:
        """The lines of these events about a run, in their order."""
        return tuple(e for e in self.entries if e.run == run and e.event in events)

    @property
    def head(self) -> str:
        return self.entries[-1].sha256 if self.entries else FIRST

    def seal_faults(self, run: str, statement: str) -> list[str]:
        """What does not fit the seals noted for a run. statement: the sha256 of its statement; a
        run that the ledger knows nothing of has none."""
        lines = self.of_run(run, "ended", "resealed")
        known = [one for one in lines if one not in self.forged]
        if not self.keyed or not known or known[-1].statement == statement:
            return []
        return [f"{LEDGER}: this run was sealed again by other means: its statement is another"]

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
    key: bytes
    ended: bool = False

    def add(self, event: str, **facts: Any) -> None:
        """Add a line about this attempt."""
        _add(self.path, self.key, {"attempt": self.name, "event": event, **facts})

    def saw(self, run: str, task: str, data: str) -> Attempts:
        """The data are read; how often they were audited for this task. data: their commitment."""
        if not re.fullmatch(r"[\w.:+=-]*", data):
            raise ValueError("the ledger holds a commitment of the data, nothing else")
        self.add("data", run=run, task=task, data=data)
        return read(self.path.parent).count(task, data)

    def planned(self, run: str, plan: str) -> None:
        """What the run is to make is known, and nothing of it is made yet. plan: its text."""
        self.add("planned", run=run, plan=commit(self.key, plan))

    def end(self, run: str, code: int, statement: str = "") -> None:
        """It came to its end, with this exit code. statement: sha256 of the run's statement."""
        outcome = "finished" if run else "nothing"
        self.add("ended", run=run, outcome=outcome, code=code, statement=statement)
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
    try:
        key = load_key(out)
    except OSError as error:
        raise _not_written(error) from None
    made = Attempt(out / LEDGER, secrets.token_hex(8), key)
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


def note(out: Path, run: str, event: str, **facts: str) -> None:
    """Add a line about a finished run, where its folder of runs has a ledger and the key of it."""
    key, path = find_key(out), out / LEDGER
    if key is not None and path.is_file():
        _add(path, key, {"attempt": secrets.token_hex(8), "event": event, "run": run, **facts})


def find_key(out: Path) -> bytes | None:
    """The key of a folder of runs; None where it is not at hand. None is made."""
    if not (out / NAME / KEY).is_file():
        return None
    try:
        return load_key(out)
    except (OSError, PrivauditError):
        return None


def read(out: Path) -> Ledger:
    """The ledger of a folder of runs; empty where there is none."""
    key, found = find_key(out), _read_lines(out / LEDGER)
    if key is None:
        return found
    faults = list(found.faults)
    forged = tuple(
        entry
        for entry in found.entries
        if not hmac.compare_digest(entry.mac.encode(), _mac(entry, key).encode())
    )
    for entry in forged:
        faults.append(f"{LEDGER}: the line of {entry.at:.40} was not written under the key")
    faults += _check_head(out, found, key)
    return Ledger(found.entries, tuple(faults), keyed=True, forged=forged)


def _check_head(out: Path, found: Ledger, key: bytes) -> Iterator[str]:
    """Whether the ledger still holds the line that was its last; a process that was killed may
    have added one more."""
    try:
        known = _read_head(out, key)
    except FileNotFoundError:
        if found.entries:
            yield f"{NAME}/{HEAD}: missing: which line was the ledger's last is not known"
        return
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        yield f"{NAME}/{HEAD}: was not written under the key"
        return
    if not set(known) <= {entry.sha256 for entry in found.entries}:
        yield f"{LEDGER}: was cut or begun afresh: it does not hold a line that was its last"


def _read_head(out: Path, key: bytes) -> list[str]:
    """The sha256 of the line that was the last, and of every last one that was lost since."""
    tree = json.loads((out / NAME / HEAD).read_bytes())
    heads = [str(one) for one in tree["heads"]]
    if not hmac.compare_digest(str(tree["mac"]), _head_mac(heads, key)):
        raise ValueError("another key")
    return heads


def _mac(entry: Entry, key: bytes) -> str:
    body = {k: v for k, v in vars(entry).items() if k not in ("sha256", "mac")}
    text = b"privaudit ledger\0" + json.dumps(body, sort_keys=True).encode()
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def _head_mac(heads: list[str], key: bytes) -> str:
    return hmac.new(key, f"privaudit ledger head {heads}".encode(), "sha256").hexdigest()


def _read_lines(path: Path) -> Ledger:
    try:
        lines = path.read_bytes().split(b"\n")
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
            entry = _parse(line, digest)
            same = line == _line(entry)
        except (ValueError, TypeError, RecursionError):
            faults.append(f"{LEDGER}: line {number} is no entry")
        else:
            if not same or entry.event not in _EVENTS:
                faults.append(f"{LEDGER}: line {number} is not as privaudit writes it")
            if entry.previous != previous:
                faults.append(f"{LEDGER}: line {number} does not follow the line before it")
            entries.append(entry)
        previous = digest
    return Ledger(tuple(entries), tuple(faults))


def _parse(line: bytes, digest: str) -> Entry:
    tree = json.loads(line)
    for name, value in tree.items():
        if not isinstance(value, int if name == "code" else str):
            raise TypeError(name)
    return Entry(sha256=digest, **tree)


def _line(entry: Entry) -> bytes:
    body = {k: v for k, v in vars(entry).items() if k != "sha256" and v not in ("", None)}
    return json.dumps(body, sort_keys=True).encode()


def _add(path: Path, key: bytes, body: dict[str, Any]) -> None:
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
            line = _line(replace(entry, mac=_mac(entry, key)))
            file.write(start + line + b"\n")
            file.flush()
            os.fsync(file.fileno())
            _write_head(path.parent, lines, line, key)
    except OSError as error:
        raise _not_written(error) from None


def _write_head(out: Path, before: bytes, line: bytes, key: bytes) -> None:
    """Keep the new last line; an earlier one that is gone stays named, so that adding lines to a
    ledger that was cut does not heal it."""
    try:
        known = _read_head(out, key)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        known = []
    there = {hashlib.sha256(one).hexdigest() for one in before.split(b"\n")}
    heads = [one for one in known if one not in there] + [hashlib.sha256(line).hexdigest()]
    body = json.dumps({"heads": heads, "mac": _head_mac(heads, key)}, sort_keys=True).encode()
    write_atomically(out / NAME / HEAD, lambda made: made.write_bytes(body))


def _not_written(error: OSError) -> PrivauditError:
    return PrivauditError(
        f"the ledger of attempts ({LEDGER}) cannot be written",
        f"the system reports: {error.strerror}",
        "give another folder with --out, or make this one writable",
    )


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


__all__ = [
    *("FIRST", "HEAD", "LEDGER", "Attempt", "Entry", "Ledger", "attempt", "find_key"),
    *("note", "read"),
]
