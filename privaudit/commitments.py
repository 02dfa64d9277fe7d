"""Commitments to data: names that reveal nothing without the key that they were made with.

A plain sha256 of a small table, or of a split, can be guessed by trying tables; a keyed one cannot.
The key stays in `restricted/commitment.key` beside the runs (owner-only), so that the runs of one
folder are comparable, and never leaves with a report. Every random stream of a run comes from its
seed under this key (`privaudit.seeds.derive_entropy`): a folder with the same key gives the same
numbers for the same seed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path

from privaudit.errors import PrivauditError
from privaudit.restricted import keep_from_git, make_private
from privaudit.seeds import Seeds, derive_entropy

KEY = "commitment.key"
GIVEN = "PRIVAUDIT_KEY"
"""An environment variable: a file whose key new folders of runs are given, so that runs of several
folders, as a CI job makes them, have the same streams."""
_SIZE = 32
_KIND = "hmac-sha256"


_drawn: dict[Path, bytes] = {}
"""Keys that were asked for before their folder is made."""


def peek_key(out: Path) -> bytes:
    """The key that `load_key` gives for this folder of runs, which is not made yet for it."""
    path = out / "restricted" / KEY
    if path.is_file():
        return _read(path)
    return _read_given() or _drawn.setdefault(path.absolute(), secrets.token_bytes(_SIZE))


def load_key(out: Path) -> bytes:
    """The key of the folder of runs at `out`, made at its first use: drawn, or as `PRIVAUDIT_KEY`
    names it."""
    path = out / "restricted" / KEY
    given = _read_given()
    keep_from_git(out, make_private(path.parent))
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    with os.fdopen(handle, "wb") as file:
        made = given or _drawn.get(path.absolute()) or secrets.token_bytes(_SIZE)
        file.write(made)
        file.flush()
        os.fsync(file.fileno())
    return made


def _read_given() -> bytes | None:
    name = os.environ.get(GIVEN, "")
    if not name:
        return None
    try:
        found = Path(name).read_bytes()
    except OSError as error:
        raise PrivauditError(
            f"the key that {GIVEN} names cannot be read",
            f"the system reports: {error.strerror}",
            f"name a file of {_SIZE} random bytes, or unset {GIVEN}",
        ) from None
    if len(found) != _SIZE:
        raise PrivauditError(
            f"the key that {GIVEN} names holds {len(found)} bytes",
            f"a key has {_SIZE}, drawn at random",
            f"make one: head -c {_SIZE} /dev/urandom > FILE",
        )
    return found


def _read(path: Path) -> bytes:
    for _ in range(50):
        found = path.read_bytes()
        if len(found) == _SIZE:
            return found
        # Another process may be writing it just now.
        time.sleep(0.01)
    raise PrivauditError(
        f"{KEY} holds {len(found)} bytes",
        f"a key of commitments has {_SIZE}; with another one, no earlier run can be compared",
        f"restore the right {KEY}, or use another folder of runs with --out",
    )


SESSION = b"session"
"""What a seed is put under where nothing is stored: its numbers are then known by the seed."""


def seed_reading(out: Path | None) -> Seeds:
    """Streams by which supplied tables are read: which rows, and whose are the attacker's.

    They are the same for every seed, so that runs which differ in it alone make a baseline, and
    come from the key: who is drawn by a public stream, everybody can draw.
    """
    key = SESSION if out is None else peek_key(out)
    # The name of the stream is part of every number.
    return Seeds(derive_entropy(key, None)).child("brought")


def mark(key: bytes) -> str:
    """Twelve hex digits that tell which key it is, and nothing of it."""
    return hashlib.sha256(b"privaudit commitment key\0" + key).hexdigest()[:12]


def commit(key: bytes, value: str) -> str:
    """The commitment of a value under a key: `hmac-sha256:<which key>:<hex>`."""
    return f"{_KIND}:{mark(key)}:{hmac.new(key, value.encode(), hashlib.sha256).hexdigest()}"


def kind(text: str) -> str:
    """How a commitment was made: `hmac-sha256:<which key>`, `sha256`, or `none`."""
    if text.startswith(f"{_KIND}:") and text.count(":") == 2:
        return text.rpartition(":")[0]
    return "sha256" if text else "none"


def same(one: str, other: str) -> bool | None:
    """Whether two commitments are to the same data; None where their keys differ."""
    if kind(one) != kind(other) or not one:
        return None
    return hmac.compare_digest(one, other)


__all__ = [
    *("KEY", "SESSION", "commit", "kind", "load_key", "mark", "peek_key", "same", "seed_reading"),
]
