"""The sha256 of every file of a run, and what became of them since.

`SHA256SUMS` lists what may be handed on: shareable/, manifest.json, events.jsonl, statement.json. The
restricted files are listed in `restricted/SHA256SUMS`, which itself is listed in the first one: a copy
of the run without `restricted/` can still be checked, and names nothing of it. Both are in the format
of `sha256sum`, so that `sha256sum -c SHA256SUMS` says the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from privaudit.engine.folder import write_text

SUMS = "SHA256SUMS"
RESTRICTED = "restricted"
SIGNATURES = "signatures"
"""Signatures are made after the sums, over the statement; they are checked by themselves."""

_PASSING = ("tables",)
"""What a run in progress keeps under `restricted/` and takes away at its end."""

_LINE = re.compile(r"([0-9a-f]{64})  (\S(?:[^\n\\]*\S)?)")


def digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def collect(folder: Path, leave: frozenset[str] = frozenset()) -> dict[str, Path]:
    """Every file under a folder by its path in it, links included, but those in the parts to leave."""
    return {
        name: path
        for path in sorted(folder.rglob("*"))
        if (path.is_symlink() or not path.is_dir())
        and (name := path.relative_to(folder).as_posix()).partition("/")[0] not in leave
        and name not in leave
    }


def write(run: Path) -> None:
    """List every file of a run but the restricted ones, whose own list is among them."""
    _put(run, outer(run))


def write_restricted(run: Path) -> None:
    """List every restricted file of a run."""
    inner = run / RESTRICTED
    _put(inner, collect(inner, frozenset({SUMS, *_PASSING})))


def outer(run: Path) -> dict[str, Path]:
    """The files that the first list names."""
    files = collect(run, frozenset({SUMS, RESTRICTED, SIGNATURES}))
    inner = run / RESTRICTED / SUMS
    return files | ({f"{RESTRICTED}/{SUMS}": inner} if inner.is_file() else {})


def _put(folder: Path, files: Mapping[str, Path]) -> None:
    write_text(folder / SUMS, "".join(f"{digest(files[name])}  {name}\n" for name in sorted(files)))


def read(path: Path) -> dict[str, str]:
    """file -> sha256 of a list; ValueError where it is not as `write` made it."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        raise ValueError("it is not text") from None
    lines = text.split("\n")
    if lines.pop() != "":
        raise ValueError("its last line is cut short")
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise ValueError(f"its line {number} is not a sum and a file")
        found[parts[2]] = parts[1]
    if list(found) != sorted(found) or len(found) != len(lines):
        raise ValueError("its lines are not in order")
    return found


def check(run: Path) -> tuple[str, ...]:
    """Every file that was changed, lost or added since the run was sealed; none where all hold.

    A run whose `restricted/` is not here at all, as it is when handed on, is checked without it.
    """
    if not (run / SUMS).is_file():
        return (
            f"{SUMS} is missing: the run was cut short before it was sealed, or it was removed",
        )
    faults = list(_faults(run, outer(run), ""))
    inner = run / RESTRICTED
    if not inner.is_dir():
        lost = f"{RESTRICTED}/{SUMS}: missing"
        return tuple(fault for fault in faults if fault != lost)
    if (inner / SUMS).is_file():
        files = collect(inner, frozenset({SUMS, *_PASSING}))
        faults += _faults(inner, files, f"{RESTRICTED}/")
    return tuple(faults)


def _faults(folder: Path, files: Mapping[str, Path], before: str) -> Iterator[str]:
    try:
        listed = read(folder / SUMS)
    except ValueError as error:
        yield f"{before}{SUMS}: {error}"
        return
    for name in sorted(listed.keys() | files.keys()):
        if name not in files:
            yield f"{before}{name}: missing"
        elif name not in listed:
            yield f"{before}{name}: not there when the run was sealed"
        elif files[name].is_symlink():
            yield f"{before}{name}: a link, which proves nothing of where it points"
        elif digest(files[name]) != listed[name]:
            yield f"{before}{name}: changed since the run was sealed"


__all__ = [
    "RESTRICTED",
    "SIGNATURES",
    "SUMS",
    "check",
    "collect",
    "digest",
    "outer",
    "read",
    "write",
    "write_restricted",
]
