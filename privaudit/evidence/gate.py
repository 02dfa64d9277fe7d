"""Whether a run may be judged as it lies: sealed, under its own name, as the ledger beside it says.

`verify` compares everything; this is what a gate can do at each check without making anything
again. A document that lies alone, as a CI job hands it on, carries nothing to check.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from privaudit import commitments
from privaudit.evidence import ledger, statement, sums
from privaudit.evidence.seals import check_seal

MANIFEST = "manifest.json"
OF_A_RUN = (MANIFEST, "events.jsonl", statement.FILE, sums.SUMS, sums.RESTRICTED, sums.SIGNATURES)
"""What lies in the folder of a run and beside no document that was handed on alone."""
POINTER = "latest"
NO_SUMS = "nothing shows whether this audit was changed: it has no sums"
NO_LEDGER = "nothing shows who sealed this audit: the ledger of its folder is not beside it"


def check_gate(given: Path, audit: Path, unsealed: bool) -> tuple[tuple[str, ...], str]:
    """What is wrong with the evidence of a run, and what a reader must know.

    Args:
        given: The run as it was named.
        audit: The audit.json found for it.
        unsealed: Whether a run without sums may be judged.
    """
    given, audit = given.absolute(), audit.absolute()
    root = audit.parent.parent if audit.parent.name == "shareable" else audit.parent
    linked = tuple(_find_links({given, root, audit.parent, audit}))
    if linked:
        return linked, ""
    root = root.resolve()
    sealed, kept = (root / sums.SUMS).is_file(), _has_ledger(root.parent)
    if not sealed:
        whole = kept or any((root / name).exists() for name in OF_A_RUN)
        return ((), NO_SUMS) if unsealed or not whole else (check_seal(root), "")
    faults = [*check_seal(root), *_compare_lists(root)]
    if not (root / MANIFEST).is_file() and not any(f.startswith(MANIFEST) for f in faults):
        faults.append(f"{MANIFEST}: missing")
    if kept:
        faults += _compare_with_ledger(root)
    return tuple(faults), "" if kept else NO_LEDGER


def _find_links(paths: set[Path]) -> Iterator[str]:
    """A link would have one folder judged, and the ledger of another asked."""
    for path in sorted(paths):
        if not path.is_symlink():
            continue
        here = path.resolve().parent == path.parent.resolve()
        if path.name != POINTER or not here:
            yield f"{path.name}: a link, which proves nothing of where it points"


def _has_ledger(out: Path) -> bool:
    own = out / sums.RESTRICTED
    return any(
        path.exists() for path in (out / ledger.LEDGER, own / ledger.HEAD, own / commitments.KEY)
    )


def _compare_lists(root: Path) -> Iterator[str]:
    """The statement names every file with its hash, and its own hash is in the ledger."""
    if not (root / statement.FILE).is_file():
        return
    try:
        stated, _ = statement.read(root / statement.FILE)
        listed = sums.read(root / sums.SUMS)
    except (OSError, ValueError):
        yield f"{statement.FILE}: cannot be compared with {sums.SUMS}"
        return
    listed.pop(statement.FILE, None)
    if listed != stated:
        yield f"{statement.FILE}: names other files or checksums than {sums.SUMS}"


def _compare_with_ledger(root: Path) -> Iterator[str]:
    """Whether the ledger beside a run holds its end, under the key, with this statement."""
    book = ledger.read(root.parent)
    if not (root.parent / ledger.LEDGER).is_file():
        yield f"{ledger.LEDGER}: missing, and the key or the head of it is there"
        return
    if not book.keyed:
        yield f"restricted/{commitments.KEY}: missing: nobody can tell who wrote {ledger.LEDGER}"
        return
    if _read_name(root) != root.name:
        yield f"{MANIFEST}: is of another run than the folder is named after"
    if not any(one.statement for one in book.of_run(root.name, "ended") if one not in book.forged):
        yield f"{ledger.LEDGER}: holds no end of this run under the key"


def _read_name(root: Path) -> str:
    try:
        found = json.loads((root / MANIFEST).read_bytes())["run"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return str(found)


__all__ = ["check_gate"]
