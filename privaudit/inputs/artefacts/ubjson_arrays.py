"""Universal Binary JSON, in which XGBoost saves models, as Python's lists, dictionaries and arrays.

Draft 12 of ubjson.org, with containers of one stated type and size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
CONSTANTS = {"T": True, "F": False, "Z": None, "N": None}
DEEPEST = 60


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def take(self, size: int) -> bytes:
        if size < 0 or self.at + size > len(self.raw):
            raise ValueError("cut short")
        self.at += size
        return self.raw[self.at - size : self.at]

    def mark(self) -> str:
        return chr(self.take(1)[0])

    def peek(self) -> str:
        return chr(self.raw[self.at]) if self.at < len(self.raw) else ""

    def number(self, mark: str) -> int | float:
        dtype = np.dtype(NUMBERS[mark])
        (value,) = np.frombuffer(self.take(dtype.itemsize), dtype)
        result: int | float = value.item()
        return result

    def length(self) -> int:
        value = self.number(self.mark())
        if not isinstance(value, int) or value < 0:
            raise ValueError("a length")
        return value

    def text(self) -> str:
        return self.take(self.length()).decode("utf-8", "replace")

    def value(self, mark: str, depth: int) -> Any:
        if depth > DEEPEST:
            raise ValueError("nested too deep")
        if mark in NUMBERS:
            return self.number(mark)
        if mark in CONSTANTS:
            return CONSTANTS[mark]
        if mark == "S" or mark == "H":
            return self.text()
        if mark == "C":
            return self.mark()
        if mark == "[":
            return self._list(depth)
        if mark == "{":
            return self._object(depth)
        raise ValueError("a mark")

    def _header(self) -> tuple[str, int | None]:
        kind, count = "", None
        if self.peek() == "$":
            self.mark()
            kind = self.mark()
        if self.peek() == "#":
            self.mark()
            count = self.length()
        if kind and count is None:
            raise ValueError("a type without a size")
        return kind, count

    def _list(self, depth: int) -> Any:
        kind, count = self._header()
        if kind in NUMBERS and count is not None:
            dtype = np.dtype(NUMBERS[kind])
            flat = np.frombuffer(self.take(count * dtype.itemsize), dtype)
            return flat.astype(dtype.newbyteorder("="))
        if count is not None and count > len(self.raw):
            raise ValueError("cut short")
        found: list[Any] = []
        while count is None or len(found) < count:
            mark = kind or self.mark()
            if count is None and mark == "]":
                break
            if mark != "N" or count is not None:
                found.append(self.value(mark, depth + 1))
        return found

    def _object(self, depth: int) -> dict[str, Any]:
        kind, count = self._header()
        found: dict[str, Any] = {}
        made = 0
        while count is None or made < count:
            if count is None and self.peek() == "}":
                self.mark()
                break
            name = self.text()
            found[f"{name}\0{made}" if name in found else name] = self.value(
                kind or self.mark(), depth + 1
            )
            made += 1
        return found


def is_ubjson(raw: bytes) -> bool:
    """Whether a file begins as XGBoost's do: a dictionary whose first key has a binary length."""
    return raw[:1] == b"{" and raw[1:2] in (b"L", b"l", b"i", b"U", b"I", b"$", b"#")


def parse_ubjson(raw: bytes) -> tuple[Any, int]:
    """The root, and how many bytes lie behind it. ValueError, IndexError or KeyError for a damaged
    file."""
    reader = _Reader(raw)
    root = reader.value(reader.mark(), 0)
    return root, len(raw) - reader.at


__all__ = ["is_ubjson", "parse_ubjson"]
