"""The last step of an audit: bill of materials, statement and checksums; any later change shows."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path

import privaudit
from privaudit import verdicts
from privaudit.engine.folder import read as read_audit
from privaudit.engine.folder import write_text
from privaudit.engine.store import write_atomically
from privaudit.errors import PrivauditError
from privaudit.evidence import bom, ledger, statement, sums

VERDICTS = "verdicts.json"


def seal(run: Path) -> None:
    """Write bom.json, statement.json and SHA256SUMS of a finished run.

    The checksums come last: a run that was cut short has none, and `verify` reports it. Sealing
    again after an intended change (a report rendered again) is allowed; an earlier signature then
    no longer matches.
    """
    if not (run / "shareable" / "audit.json").is_file():
        raise PrivauditError(
            f"the run {run.name!r} is not finished",
            "a finished run holds shareable/audit.json; one that was cut short does not",
            "run the same command again: it resumes where it stopped",
        )
    audit = read_audit(run)
    write_text(run / "shareable" / bom.FILE, bom.render(audit))
    if (run / sums.RESTRICTED).is_dir():
        sums.write_restricted(run)
    files = sums.outer_files(run)
    digests = {name: sums.digest(files[name]) for name in files if name != statement.FILE}
    body = statement.render(audit, digests, read_verdicts(run), rendering())
    write_atomically(run / statement.FILE, lambda made: made.write_bytes(body))
    sums.write(run)


@contextmanager
def resealed(run: Path, makes: Collection[str] = ()) -> Iterator[None]:
    """Let files of a run be written again, and seal it after; an unsealed run stays unsealed.

    Args:
        run: The run directory.
        makes: The files that will be written, by their path in the run; their faults do not matter.

    Raises:
        PrivauditError: For a run whose other files are not as they were sealed, or whose seal is
            not the one in the ledger: sealing it would cover up what was changed.
    """
    run = run.resolve()
    sealed = (run / sums.SUMS).is_file()
    faults = {n: w for n, w in (sums.find_changes(run) if sealed else {}).items() if n not in makes}
    if sealed and not faults:
        faults = dict.fromkeys(find_reseals(run), "")
    if faults:
        name, what = next(iter(faults.items()))
        raise PrivauditError(
            f"a run that is not as it was sealed: {name}{what and f': {what}'}",
            "writing files of it again, and sealing it, would cover up what was changed",
            "look with `privaudit verify RUN`, and restore what was changed",
        )
    yield
    if sealed:
        seal(run)
        made = sums.digest(run / statement.FILE)
        ledger.note(run.parent, run.name, "resealed", statement=made)


def check_seal(run: Path) -> tuple[str, ...]:
    """Every file that is not as the run was sealed, and whether that seal is privaudit's own, where
    the ledger and its key are beside the run."""
    faults = sums.check(run)
    return faults or tuple(find_reseals(run.resolve()))


def find_reseals(run: Path) -> list[str]:
    """Whether somebody sealed a run again by other means, as far as the ledger beside it shows."""
    try:
        now = sums.digest(run / statement.FILE)
    except OSError:
        now = ""
    return ledger.read(run.parent).seal_faults(run.name, now)


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
            "restore the file that the audit wrote",
        ) from None


@cache
def rendering() -> str:
    """One name for the code and the library that make a report of an audit document."""
    folder = Path(str(privaudit.__file__)).parent
    digest = hashlib.sha256(version("jinja2").encode())
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


__all__ = [
    *("VERDICTS", "check_seal", "find_reseals", "read_verdicts", "rendering", "resealed"),
    "seal",
]
