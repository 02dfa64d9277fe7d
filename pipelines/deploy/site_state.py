"""What a hospital keeps of a run: on disk before an answer leaves, so that a worker may be killed
anywhere."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.deploy.homes import HospitalHome, make_private
from pipelines.deploy.messages import Body
from pipelines.deploy.private_files import write_private
from pipelines.deploy.refused import Refused

NEVER = -1
"""The round before the first."""


@dataclass(frozen=True)
class Kept:
    """The last answer of one kind: to which question, of which round."""

    round: int
    question: str
    answer: Body


@dataclass(eq=False)
class SiteState:
    """One hospital in one run.

    Args:
        terms, records: Fingerprints of what the run began with; neither may change under it.
        answers: The last answer of each kind that survives a restart.
        trained: How many rounds were trained, hence how much privacy is spent.
        revealed: The last round whose masks this hospital may have helped to take away.
        left: Rows that the current shuffle has not used.
        rng: State of the random stream, empty where every round has a new one.
        update: (p,) float64, of the round `updated`.
        trained_on: sha256 of the weights that it was trained from.
        received: (p,) float32, what the coordinator could read of it last; empty for nothing.
        secret, holders: The key of the encrypted sum, and who else holds it.
        roll: The encrypted sum that this hospital last sent to: round, members, counts.
        agreed, failed: The last rounds for which it signed who arrived, and whose sum did not open.
        margins: (n, k) what the trees so far answer, of boosted trees.
        held, tries: The last round whose update was held back, and how often.
    """

    terms: str
    records: str
    answers: dict[str, Kept] = field(default_factory=dict)
    trained: int = 0
    revealed: int = NEVER
    left: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    rng: str = ""
    update: np.ndarray = field(default_factory=lambda: np.empty(0))
    received: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    updated: int = NEVER
    trained_on: str = ""
    secret: bytes = b""
    holders: list[str] = field(default_factory=list)
    roll: dict[str, Any] = field(default_factory=dict)
    agreed: int = NEVER
    failed: int = NEVER
    margins: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    grown: int = NEVER
    held: int = NEVER
    tries: int = 0

    @classmethod
    def read(cls, path: Path, terms: str, records: str) -> SiteState:
        """As it is on disk, or a new one.

        Raises:
            Refused: It is damaged, or of other terms or other records. It is never begun anew: what
                was spent would be forgotten.
        """
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                made = {name: file[name] for name in file.files}
            found = cls._of(made)
        except FileNotFoundError:
            return cls(terms, records)
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise _damaged() from error
        except Exception as error:  # zipfile raises errors of its own
            raise _damaged() from error
        if found.terms != terms:
            raise Refused(
                "bad_state",
                "other terms under the name of a run that this hospital has answered",
                "answers to both would tell more than either was agreed to",
                "the operator gives the new run a new name",
            )
        if found.records != records:
            raise Refused(
                "bad_state",
                "records that are not those the run began with",
                "what was spent of privacy, and who was trained on, is known of those alone",
                "restore the records, or have the operator start a new run",
            )
        return found

    @classmethod
    def _of(cls, made: Mapping[str, np.ndarray]) -> SiteState:
        head = json.loads(str(made["head"]))
        answers = {
            kind: Kept(entry["round"], entry["question"], unpack_body(entry["answer"]))
            for kind, entry in head.pop("answers").items()
        }
        head |= {name: made[name] for name in ("left", "update", "received", "margins")}
        head["secret"] = base64.b64decode(head["secret"])
        return cls(**head, answers=answers)

    def write(self, path: Path) -> None:
        """Put it on the disk, whole."""
        head = {
            "terms": self.terms,
            "records": self.records,
            "answers": {
                kind: {
                    "round": kept.round,
                    "question": kept.question,
                    "answer": pack_body(kept.answer),
                }
                for kind, kept in self.answers.items()
            },
            "trained": self.trained,
            "revealed": self.revealed,
            "rng": self.rng,
            "updated": self.updated,
            "trained_on": self.trained_on,
            "secret": base64.b64encode(self.secret).decode(),
            "holders": self.holders,
            "roll": self.roll,
            "agreed": self.agreed,
            "failed": self.failed,
            "grown": self.grown,
            "held": self.held,
            "tries": self.tries,
        }
        file = io.BytesIO()
        np.savez(
            file,
            head=np.array(json.dumps(head)),
            left=self.left,
            update=self.update,
            received=self.received,
            margins=self.margins,
        )
        write_private(path, file.getvalue())


def state_path(home: HospitalHome, run: str) -> Path:
    """Where the state of a run lies; its folder is made."""
    return make_private(make_private(home.run(run)) / "restricted") / "state.npz"


def mark_of(path: Path) -> tuple[int, ...]:
    """Stands for what the file holds: another once it was written again; () where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


@contextmanager
def alone(path: Path) -> Iterator[tuple[int, ...]]:
    """Answer while no other worker of this run does: what two remember apart is spent twice. Gives
    the mark of the state."""
    handle = os.open(path.with_name("lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield mark_of(path)
    finally:
        os.close(handle)


def digest_question(kind: str, body: Mapping[str, Any]) -> str:
    """sha256 of a question, the same for equal ones alone."""
    digest = hashlib.sha256()

    def feed(value: Any) -> None:
        if isinstance(value, Mapping):
            digest.update(b"m%d;" % len(value))
            for name in sorted(value):
                feed(name)
                feed(value[name])
        elif isinstance(value, (list, tuple)):
            digest.update(b"l%d;" % len(value))
            for part in value:
                feed(part)
        else:
            raw = value if isinstance(value, bytes) else repr(value).encode()
            digest.update(b"%s%d;" % (type(value).__name__.encode(), len(raw)))
            digest.update(raw)

    feed(kind)
    feed(body)
    return digest.hexdigest()


def pack_body(body: Body) -> dict[str, Any]:
    """A message as JSON can hold it."""
    return {name: _pack(value) for name, value in body.items()}


def unpack_body(made: Mapping[str, Any]) -> Body:
    """The inverse of `pack_body`."""
    return {name: _unpack(value) for name, value in made.items()}


def _pack(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {"m": {name: _pack(part) for name, part in value.items()}}
    if isinstance(value, list):
        return {"l": [_pack(part) for part in value]}
    return {"v": value}


def _unpack(made: Any) -> Any:
    ((kind, value),) = made.items()
    if kind == "b":
        return base64.b64decode(value)
    if kind == "m":
        return {name: _unpack(part) for name, part in value.items()}
    if kind == "l":
        return [_unpack(part) for part in value]
    return value


def _damaged() -> Refused:
    return Refused(
        "bad_state",
        "the state of a run that cannot be read",
        "begun anew, what was spent of privacy would be forgotten",
        "take it from a backup, or have the operator start a new run",
    )


__all__ = [
    *("NEVER", "Kept", "SiteState", "alone", "digest_question", "mark_of", "pack_body"),
    *("state_path", "unpack_body"),
]
