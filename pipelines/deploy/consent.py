"""What a hospital has agreed to: one entry a run, bound to the run's terms to the letter.

The file is read before every answer leaves, so that a withdrawal takes effect with the next
message.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from pipelines.deploy.homes import HospitalHome, make_private
from pipelines.deploy.journal import Event, Journal
from pipelines.deploy.private_files import write_private
from pipelines.deploy.terms import RunTerms
from privaudit.errors import PrivauditError

State = Literal["ready", "pending", "withdrawn"]


@dataclass(frozen=True)
class Grant:
    """What was agreed to for one run, and by whom.

    Args:
        terms: The fingerprint of the terms.
        rounds: How many rounds are answered at most.
        protection: What hides or covers an update; see `describe_protection`.
        granted_at, withdrawn_at: Seconds since 1970; None while it holds.
        by: The person who agreed.
        records: Of the records that the dry round was made on, and of who is trained on, as
            `SiteData.fingerprint`; empty where none was made.
    """

    terms: str
    rounds: int
    protection: str
    granted_at: float
    by: str
    withdrawn_at: float | None = None
    records: str = ""


@dataclass(frozen=True)
class Consent:
    """Everything that a hospital has agreed to, by run."""

    runs: Mapping[str, Grant] = field(default_factory=dict)

    @classmethod
    def read(cls, home: HospitalHome) -> Consent:
        """As it is on disk now; PrivauditError for a file that is none, which allows nothing."""
        try:
            made = json.loads(home.consent.read_text("utf-8"))
            if not isinstance(made, dict):
                raise TypeError("not an object")
            return cls({run: _read_grant(entry) for run, entry in made.items()})
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, TypeError):
            raise PrivauditError(
                "a consent.json that cannot be read",
                "nothing leaves this hospital while it is unclear what was agreed to",
                "remove the file and consent again with `privaudit federation join DIR --consent "
                "RUN`",
            ) from None

    def state(self, terms: RunTerms) -> State:
        """Whether these terms, and no others, are agreed to."""
        found = self.runs.get(terms.run)
        if found is None or found.terms != terms.fingerprint:
            return "pending"
        return "ready" if found.withdrawn_at is None else "withdrawn"

    def allows(self, terms: RunTerms) -> bool:
        """Whether answers to this run may leave."""
        return self.state(terms) == "ready"


def grant(home: HospitalHome, terms: RunTerms, by: str, records: str = "") -> Grant:
    """Agree to these terms; an earlier consent to the same run, or its withdrawal, ends.

    Args:
        by: The name of the person who agrees.
        records: Those that the person saw the audit of; see `Grant`.
    """
    if not by.strip():
        raise PrivauditError("a consent of nobody", "a person agrees to a run", "state who agrees")
    _, method = terms.build()
    made = Grant(
        terms.fingerprint,
        _rounds(method),
        _protection(terms, method),
        round(time.time(), 3),
        by.strip(),
        records=records,
    )
    with _locked(home):
        _write(home, {**Consent.read(home).runs, terms.run: made})
    Journal(home.journal).write(Event.CONSENTED, run=terms.run, terms=terms.fingerprint)
    return made


def withdraw(home: HospitalHome, run: str) -> Grant:
    """Answer nothing more of this run; PrivauditError where nothing was agreed to."""
    with _locked(home):
        runs = dict(Consent.read(home).runs)
        found = runs.get(run)
        if found is None:
            raise PrivauditError(
                f"no consent to a run {run!r}",
                "there is nothing to withdraw",
                "see which runs there are: `privaudit federation status DIR`",
            )
        if found.withdrawn_at is not None:
            return found
        values = asdict(found) | {"withdrawn_at": round(time.time(), 3)}
        runs[run] = Grant(**values)
        _write(home, runs)
    Journal(home.journal).write(Event.WITHDRAWN, run=run)
    return runs[run]


def count_rounds(terms: RunTerms) -> int:
    """How many rounds these terms ask for."""
    return _rounds(terms.build()[1])


def describe_protection(terms: RunTerms) -> str:
    """What stands between an update and the coordinator: `none`, `secure_sum`, `encrypted_sum`,
    `patient_noise`, or the last with one of the others (`patient_noise+secure_sum`)."""
    return _protection(terms, terms.build()[1])


def _rounds(method: Any) -> int:
    return int(method.rounds)


def _protection(terms: RunTerms, method: Any) -> str:
    parts = ["patient_noise"] if terms.method == "federated_private" else []
    name = getattr(getattr(method, "protect", None), "name", "")
    parts += [name] if name else []
    return "+".join(parts) or "none"


def _read_grant(entry: Any) -> Grant:
    if not isinstance(entry, dict) or set(entry) | {"records"} != {
        part.name for part in fields(Grant)
    }:
        raise TypeError("not a grant")
    made = Grant(**entry)
    numbers = (made.granted_at, 0.0 if made.withdrawn_at is None else made.withdrawn_at)
    texts = (made.terms, made.protection, made.by, made.records)
    fits = all(isinstance(n, (int, float)) for n in numbers)
    if not fits or not all(isinstance(t, str) for t in texts) or not isinstance(made.rounds, int):
        raise TypeError("not a grant")
    return made


def _write(home: HospitalHome, runs: Mapping[str, Grant]) -> None:
    made = {run: asdict(entry) for run, entry in sorted(runs.items())}
    write_private(home.consent, (json.dumps(made, indent=1) + "\n").encode())


@contextmanager
def _locked(home: HospitalHome) -> Iterator[None]:
    """Two commands at once: the second reads what the first has written."""
    make_private(home.root)
    handle = os.open(home.root / ".consent.lock", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


__all__ = [
    *("Consent", "Grant", "State", "count_rounds", "describe_protection", "grant", "withdraw"),
]
