"""The account of an audit while it runs: commitments to its data, and its place in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from privaudit import commitments
from privaudit.evidence import statement, sums
from privaudit.evidence.ledger import Attempt, attempt
from privaudit.evidence.seals import seal
from privaudit.results import Attempts


@dataclass(frozen=True)
class Account:
    """The engine's witness (`privaudit.engine.run.Witness`) of one audit."""

    attempt: Attempt

    def commit(self, value: str) -> str:
        """What stands for a fingerprint in a document that is shared."""
        return commitments.commit(self.attempt.key, value)

    def saw(self, run: str, task: str, data: str) -> Attempts:
        """The data are read; how often they were audited so far."""
        return self.attempt.saw(run, task, data)

    def planned(self, run: str, plan: str) -> None:
        """What is to be made is known, and nothing of it is made yet."""
        self.attempt.planned(run, plan)

    def finish(self, run: Path, code: int) -> None:
        """Seal the finished run, where it has something to be shared, and note how it ended and
        what it was sealed with."""
        sealed = ""
        if (run / "shareable").is_dir():
            seal(run)
            sealed = sums.digest(run / statement.FILE)
        self.attempt.end(run.name, code, sealed)


@contextmanager
def account(out: Path, command: str) -> Iterator[Account]:
    """Account for an audit: hand it to the engine as witness, then call its `finish`."""
    with attempt(out, command) as one:
        yield Account(one)


__all__ = ["Account", "account"]
