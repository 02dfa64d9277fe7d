"""Files that another process writes, read without trust: lines as they are appended, and small
documents. Nothing here raises for what a file holds."""

from __future__ import annotations

import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from privaudit.report import inert

LONGEST_LINE = 1 << 16
"""Bytes. A longer line is counted as unreadable."""
LARGEST = 1 << 20
"""Bytes of a document; a larger one is not read."""
LATEST = 4_102_444_800.0
"""Seconds since 1970 at the end of the year 2099: a later time is none."""
WIDEST = 2**53
"""The largest count that is believed, which a float holds exactly."""
_TAIL = 256


class Follower:
    """The lines of a journal, read once each, however often one looks.

    Args:
        path: A file of JSON objects, one a line, that grows.

    `unreadable` counts lines that are no JSON object; `rewritten` how often the file was found
    shorter than, or other than, what had been read of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rewritten = 0
        self._forget()

    def _forget(self) -> None:
        self.unreadable = 0
        self._at, self._rest, self._tail, self._skips = 0, b"", b"", False
        self._file: tuple[int, int] | None = None

    def read(self) -> tuple[bool, list[dict[str, Any]]]:
        """Whether one has to begin again, and the objects of the lines that are new."""
        handle = _open(self.path)
        if handle is None:
            again = self._at > 0
            if again:
                self.rewritten += 1
                self._forget()
            return again, []
        with os.fdopen(handle, "rb") as file:
            again = self._is_other(file)
            if again:
                self.rewritten += 1
                self._forget()
            about = os.fstat(file.fileno())
            self._file = (about.st_dev, about.st_ino)
            file.seek(self._at)
            made = [one for chunk in _chunks(file) for one in self._take(chunk)]
        return again, made

    def _is_other(self, file: Any) -> bool:
        about = os.fstat(file.fileno())
        if self._at == 0:
            return False
        if (about.st_dev, about.st_ino) != self._file or about.st_size < self._at:
            return True
        file.seek(self._at - len(self._tail))
        return bool(file.read(len(self._tail)) != self._tail)

    def _take(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        self._at += len(chunk)
        self._tail = (self._tail + chunk)[-_TAIL:]
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            skipped, self._skips = self._skips, False
            if skipped or not line.strip():
                continue
            made = read_object(line) if len(line) <= LONGEST_LINE else None
            if made is None:
                self.unreadable += 1
            else:
                yield made
        if len(self._rest) > LONGEST_LINE:
            self.unreadable += not self._skips
            self._rest, self._skips = b"", True


def _open(path: Path) -> int | None:
    """A file that is a file, opened without waiting for anybody."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    return None


def _chunks(file: Any) -> Iterator[bytes]:
    while True:
        try:
            chunk = file.read(LARGEST)
        except OSError:
            return
        if not chunk:
            return
        yield chunk


def read_object(text: bytes | str) -> dict[str, Any] | None:
    """A JSON object; None for anything else."""
    try:
        # NaN and Infinity stay texts, which are no number and not nothing either.
        made = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    return made if isinstance(made, dict) else None


def write_object(made: dict[str, Any]) -> str:
    """The object as JSON."""
    return json.dumps(made)


def read_document(path: Path) -> dict[str, Any] | None:
    """The object of a small JSON or TOML file; None where there is no such file."""
    handle = _open(path)
    if handle is None:
        return None
    try:
        with os.fdopen(handle, "rb") as file:
            text = file.read(LARGEST + 1)
    except OSError:
        return None
    if len(text) > LARGEST:
        return None
    if path.suffix != ".toml":
        return read_object(text)
    try:
        return tomllib.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def list_names(folder: Path, most: int, suffix: str = "") -> list[str]:
    """The names in a folder, sorted, without the suffix that they must have; hidden ones left
    out."""
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return []
    return sorted(name.removesuffix(suffix) for name in found if name.endswith(suffix))[:most]


def as_text(value: Any, most: int = 60) -> str:
    """A text on one line without control characters, shortened; empty for what is no text."""
    return inert.clip(value[: 4 * most], most) if isinstance(value, str) else ""


_PATH = re.compile(r"\S*[/\\]\S*")


def as_reason(value: Any) -> str:
    """A reason of another process: a text without anything that looks like a path."""
    return as_text(_PATH.sub("…", value[:1000]), 160) if isinstance(value, str) else ""


def as_count(value: Any) -> int | None:
    """A whole number from 0 to `WIDEST`; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= WIDEST else None


def as_number(value: Any) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        made = float(value)
    except OverflowError:
        return None
    return made if math.isfinite(made) else None


def as_seconds(value: Any) -> float | None:
    """A length of time or a time since 1970, before the year 2100; None for anything else."""
    made = as_number(value)
    return made if made is not None and 0 <= made < LATEST else None


def as_names(value: Any, most: int) -> list[str]:
    """The texts of a list, each once."""
    if not isinstance(value, list):
        return []
    return list(dict.fromkeys(name for one in value[:most] if (name := as_text(one, 40))))


__all__ = [
    *("LATEST", "Follower", "as_count", "as_names", "as_number", "as_reason", "as_seconds"),
    *("as_text", "list_names", "read_document", "read_object", "write_object"),
]
