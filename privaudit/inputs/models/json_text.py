"""JSON and UBJSON of untrusted files: bounded in depth, and no key twice."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from privaudit.inputs.documents import refuse_depth

MAX_DEPTH = 100
"""Lists and tables within one another; the libraries' own readers end the process on deep ones."""

_NUMBERS = {
    b"i": "b",
    b"U": "B",
    b"I": "h",
    b"u": "H",
    b"l": "i",
    b"m": "I",
    b"L": "q",
    b"d": "f",
    b"D": "d",
}
_FIXED = {b"T": True, b"F": False, b"Z": None, b"N": None}


def parse_json(raw: bytes) -> Any:
    """ValueError for what is no JSON, is too deep, or holds a key twice."""
    try:
        tree = json.loads(raw, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("depth") from None
    refuse_depth(tree, MAX_DEPTH)
    return tree


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key twice")
    return made


def parse_ubjson(raw: bytes) -> Any:
    """Universal Binary JSON as XGBoost writes it; typed arrays are lists.

    ValueError for anything else, for what is too deep, and for a key twice.
    """
    try:
        reader = _Reader(raw)
        tree = reader.value(reader.take(1), MAX_DEPTH)
    except (struct.error, IndexError, UnicodeDecodeError, RecursionError, KeyError):
        raise ValueError("UBJSON") from None
    return tree


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def take(self, size: int) -> bytes:
        if size < 0 or self.at + size > len(self.raw):
            raise ValueError("cut short")
        self.at += size
        return self.raw[self.at - size : self.at]

    def number(self, kind: bytes) -> Any:
        form = ">" + _NUMBERS[kind]
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def size(self) -> int:
        kind = self.take(1)
        if kind in (b"d", b"D"):
            raise ValueError("a size")
        return int(self.number(kind))

    def value(self, kind: bytes, depth: int) -> Any:
        if not depth:
            raise ValueError("depth")
        if kind in _NUMBERS:
            return self.number(kind)
        if kind in _FIXED:
            return _FIXED[kind]
        if kind == b"S":
            return self.take(self.size()).decode()
        if kind == b"C":
            return self.take(1).decode()
        if kind == b"[":
            return self.array(depth)
        if kind == b"{":
            return self.table(depth)
        raise ValueError("a kind")

    def array(self, depth: int) -> list[Any]:
        mark = self.take(1)
        if mark == b"$":
            kind = self.take(1)
            if self.take(1) != b"#":
                raise ValueError("a typed array")
            count = self.size()
            dtype = np.dtype(">" + np.dtype(_NUMBERS[kind]).str[1:])
            found: list[Any] = np.frombuffer(self.take(count * dtype.itemsize), dtype).tolist()
            return found
        if mark == b"#":
            count = self.size()
            if count > len(self.raw):
                raise ValueError("a count")
            return [self.value(self.take(1), depth - 1) for _ in range(count)]
        made = []
        while mark != b"]":
            made.append(self.value(mark, depth - 1))
            mark = self.take(1)
        return made

    def table(self, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        mark = self.take(1)
        if mark == b"#":
            count = self.size()
            for _ in range(count):
                self.pair(self.take(1), made, depth)
            return made
        while mark != b"}":
            self.pair(mark, made, depth)
            mark = self.take(1)
        return made

    def pair(self, kind: bytes, made: dict[str, Any], depth: int) -> None:
        if kind in (b"d", b"D"):
            raise ValueError("a size")
        name = self.take(int(self.number(kind))).decode()
        if name in made:
            raise ValueError("a key twice")
        made[name] = self.value(self.take(1), depth - 1)


__all__ = ["MAX_DEPTH", "parse_json", "parse_ubjson"]
