"""The sha256 of every file of a run, and what became of the files since.

`SHA256SUMS` lists what may be handed on: shareable/, manifest.json, events.jsonl, statement.json.
The restricted files are listed in `restricted/SHA256SUMS`, which is itself listed in the first: a
copy of the run without `restricted/` can still be checked, and names nothing of it. Both have the
format of `sha256sum -c`.
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
"""Signatures are made after the checksums, over the statement; they are checked by themselves."""

TEMPORARY = "tables"
"""What a run in progress stores under `restricted/` and removes at its end."""

_LINE = re.compile(r"([0-9a-f]{64})  (\S(?:[^\n\\]*\S)?)")


def digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def outer_files(run: Path) -> dict[str, Path]:
    """The files that the first list names."""
    files = _collect(run, {SUMS, RESTRICTED, SIGNATURES})
    inner = run / RESTRICTED / SUMS
    return files | ({f"{RESTRICTED}/{SUMS}": inner} if inner.is_file() else {})


def inner_files(run: Path) -> dict[str, Path]:
    """The files that the second list names."""
    return _collect(run / RESTRICTED, {SUMS, TEMPORARY})


def _collect(folder: Path, leave: set[str]) -> dict[str, Path]:
    """Every file under a folder by its path in it, links included, but for some parts."""
    found = {}
    for path in sorted(folder.rglob("*")):
        part = path.relative_to(folder)
        if (path.is_symlink() or not path.is_dir()) and part.parts[0] not in leave:
            found[part.as_posix()] = path
    return found


def write(run: Path) -> None:
    """List every file of a run but the restricted ones, whose own list is among them."""
    _write(run, outer_files(run))


def write_restricted(run: Path) -> None:
    """List every restricted file of a run."""
    _write(run / RESTRICTED, inner_files(run))


def _write(folder: Path, files: Mapping[str, Path]) -> None:
    lines = [f"{digest(files[name])}  {name}\n" for name in sorted(files)]
    write_text(folder / SUMS, "".join(lines))


def read(path: Path) -> dict[str, str]:
    """File -> sha256 of a list.

    Raises:
        ValueError: For a list that is not as `write` makes it.
    """
    try:
        lines = path.read_bytes().decode().split("\n")
    except UnicodeDecodeError:
        raise ValueError("it is not text") from None
    if lines.pop() != "":
        raise ValueError("its last line is cut short")
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise ValueError(f"its line {number} is not a checksum and a file")
        found[parts[2]] = parts[1]
    if list(found) != sorted(found) or len(found) != len(lines):
        raise ValueError("its lines are not in order")
    return found


def check(run: Path) -> tuple[str, ...]:
    """Every file that was changed, lost or added since the run was sealed; none where all hold."""
    return tuple(f"{name}: {what}" for name, what in find_changes(run).items())


def find_changes(run: Path) -> dict[str, str]:
    """File -> what became of it, for each that was changed, lost or added since the run was sealed.

    A run without `restricted/`, as it is when handed on, is checked without it.
    """
    if not (run / SUMS).is_file():
        return {SUMS: "missing: the run was cut short before it was sealed, or it was removed"}
    faults = dict(_faults(run, outer_files(run), ""))
    if not (run / RESTRICTED).is_dir():
        faults.pop(f"{RESTRICTED}/{SUMS}", None)
    elif (run / RESTRICTED / SUMS).is_file():
        faults |= _faults(run / RESTRICTED, inner_files(run), f"{RESTRICTED}/")
    return faults


def _faults(folder: Path, files: Mapping[str, Path], before: str) -> Iterator[tuple[str, str]]:
    try:
        listed = read(folder / SUMS)
    except ValueError as error:
        yield f"{before}{SUMS}", str(error)
        return
    for name in sorted(listed.keys() | files.keys()):
        if name not in files:
            yield before + name, "missing"
        elif name not in listed:
            yield before + name, "not there when the run was sealed"
        elif files[name].is_symlink():
            yield before + name, "a link, which proves nothing of where it points"
        elif digest(files[name]) != listed[name]:
            yield before + name, "changed since the run was sealed"


__all__ = [
    *("RESTRICTED", "SIGNATURES", "SUMS", "check", "digest", "find_changes"),
    *("outer_files", "read", "write", "write_restricted"),
]
