"""The last step of an audit: bill of materials, statement and sums, so that any later change shows."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from privaudit import verdicts
from privaudit.engine.folder import read as read_audit
from privaudit.engine.folder import write_text
from privaudit.engine.store import write_atomically
from privaudit.errors import PrivauditError
from privaudit.evidence import bom, statement, sums
from privaudit.results import Audit

VERDICTS = "verdicts.json"


def seal(run: Path) -> None:
    """Write bom.json, statement.json and SHA256SUMS of a finished run, each whole or not at all.

    The sums come last: a run that was cut short has none, and `verify` says so. Sealing again after a
    wanted change (a report rendered again) is allowed; an earlier signature then no longer fits.
    """
    if not (run / "shareable" / "audit.json").is_file():
        raise PrivauditError(
            f"the run {run.name!r} is not finished",
            "a finished run holds shareable/audit.json; one that was cut short does not",
            "run the same command again: it goes on where it stopped",
        )
    audit = read_audit(run)
    write_text(run / "shareable" / bom.FILE, bom.render(audit))
    if (run / sums.RESTRICTED).is_dir():
        sums.write_restricted(run)
    body = predicate(audit, run)
    write_atomically(run / statement.FILE, lambda made: made.write_bytes(body))
    sums.write(run)


@contextmanager
def resealed(run: Path, makes: Collection[str] = ()) -> Iterator[None]:
    """Let files of a run be made again inside, and seal it after; a run never sealed is left so.

    makes: the files that will be, by their path in the run; what became of them does not matter. A run
    whose other files are not as they were sealed is refused: sealing it would cover up what was changed.
    """
    sealed = (run / sums.SUMS).is_file()
    faults = sums.check(run) if sealed else ()
    faults = tuple(fault for fault in faults if fault.partition(": ")[0] not in makes)
    if faults:
        raise PrivauditError(
            f"a run that is not as it was sealed: {faults[0]}",
            "making files of it again, and sealing it, would cover up what was changed",
            "look with `privaudit verify RUN`, and put back what was changed",
        )
    yield
    if sealed:
        seal(run)


def stated(run: Path) -> dict[str, str]:
    """The files that a statement is about, with their sha256."""
    return {
        name: sums.digest(path) for name, path in sums.outer(run).items() if name != statement.FILE
    }


def read_verdicts(run: Path) -> verdicts.Verdicts | None:
    """The verdicts of a run; None where it was not judged."""
    path = run / "shareable" / VERDICTS
    if not path.is_file():
        return None
    try:
        return verdicts.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise PrivauditError(
            f"{VERDICTS} cannot be read as text",
            "it holds the verdicts of the run as JSON",
            "put back the file that the audit wrote",
        ) from None


def predicate(audit: Audit, run: Path) -> bytes:
    """The statement as it must be for the run's files as they are."""
    return statement.render(audit, stated(run), read_verdicts(run), rendering())


@cache
def rendering() -> str:
    """One name for the code, templates and style that make a report of an audit document."""
    import privaudit.report

    folder = Path(str(privaudit.report.__file__)).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


__all__ = ["VERDICTS", "predicate", "read_verdicts", "rendering", "resealed", "seal", "stated"]
