"""Whether every file that was made of the audit document is what it makes, rendered again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from privaudit import __version__, report
from privaudit.engine.folder import curves, manifest
from privaudit.errors import PrivauditError
from privaudit.evidence import bom, seals, statement, sums
from privaudit.evidence.checks import Check, conclude, leave
from privaudit.results import Audit, to_json

SHAREABLE = "shareable"
RENDERED = (report.HTML, report.MARKDOWN)
WRITTEN = (*RENDERED, report.PDF, "audit.json", "curves.csv", bom.FILE, seals.VERDICTS)
"""What privaudit writes into `shareable/`."""
BESIDE = (
    *(SHAREABLE, sums.RESTRICTED, sums.SIGNATURES, sums.SUMS, statement.FILE),
    *("manifest.json", "events.jsonl"),
)
"""What privaudit writes into a run."""


def check_documents(run: Path, audit: Audit) -> Check:
    """Compare the audit document's own form, curves, bill of materials, manifest and report."""
    made: dict[str, Callable[[Audit], str]] = {
        f"{SHAREABLE}/audit.json": to_json,
        f"{SHAREABLE}/curves.csv": curves,
        f"{SHAREABLE}/{bom.FILE}": bom.render,
        "manifest.json": manifest,
    }
    faults = list(_find_strangers(run))
    for name, make in made.items():
        faults += _compare(run / name, name, make(audit))
    try:
        differing = list(_render_again(run, audit))
    except PrivauditError as error:
        return conclude("documents", [*faults, f"the report cannot be rendered: {error.what}"])
    if differing and _rendering(run) != seals.rendering():
        # It may have been forged, or made by other code: nobody can tell here.
        note = (
            f"the report is not what this version ({__version__}) renders, and the statement names "
            f"other code (privaudit {audit.manifest.version}): install that version to compare it"
        )
        return leave("documents", note, faults)
    names = ", ".join((*RENDERED, "curves.csv", bom.FILE, "manifest.json"))
    return conclude("documents", [*faults, *differing], (f"{names}: made again and compared",))


def check_pdf(run: Path) -> Check | None:
    """A PDF is not rendered again: its bytes depend on the machine. None where there is none."""
    if not (run / SHAREABLE / report.PDF).exists():
        return None
    note = "report.pdf is not rendered again: its checksum alone was checked; read report.html"
    return leave("pdf", note)


def _find_strangers(run: Path) -> Iterator[str]:
    """Files that privaudit does not write, which a reader may take for a part of the run."""
    for folder, known in ((run, BESIDE), (run / SHAREABLE, WRITTEN)):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name not in known:
                place = path.relative_to(run).as_posix()
                yield f"{place}: is no file that privaudit writes"


def _render_again(run: Path, audit: Audit) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="privaudit-verify-") as scratch:
        report.write(audit, Path(scratch), seals.read_verdicts(run))
        for name in RENDERED:
            text = (Path(scratch) / name).read_text(encoding="utf-8")
            yield from _compare(run / SHAREABLE / name, f"{SHAREABLE}/{name}", text)


def _rendering(run: Path) -> str:
    """Which code made the report, as the statement has it; empty where it does not tell."""
    try:
        return statement.read(run / statement.FILE)[1]
    except (OSError, ValueError):
        return ""


def _compare(path: Path, name: str, wanted: str) -> Iterator[str]:
    try:
        if path.is_symlink() or path.read_bytes() != wanted.encode():
            yield f"{name}: is not what the audit document makes"
    except OSError:
        yield f"{name}: missing or not readable"


__all__ = ["check_documents", "check_pdf"]
