"""Thrift's compact protocol, as much of it as the metadata of a Parquet file needs."""

from __future__ import annotations

from typing import Any

_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = (
    *(0, 1, 2, 3, 7, 8, 9, 10, 11, 12),
)


class BadThrift(ValueError):
    """Metadata that no writer makes."""


class Thrift:
    """A reader of the compact protocol. Texts are passed over, and read as None.

    IndexError where the bytes end.
    """

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def byte(self) -> int:
        self.at += 1
        return self.raw[self.at - 1]

    def varint(self) -> int:
        found = shift = 0
        while True:
            part = self.byte()
            found |= (part & 127) << shift
            if part < 128:
                return found
            shift += 7
            if shift > 63:
                raise BadThrift("a number")

    def number(self) -> int:
        found = self.varint()
        return (found >> 1) ^ -(found & 1)

    def value(self, kind: int, depth: int) -> Any:
        if depth <= 0:
            raise BadThrift("depth")
        if kind == _BYTE:
            return self.byte()
        if kind < _DOUBLE:
            return self.number()
        if kind == _DOUBLE:
            self.at += 8
            return None
        if kind == _BINARY:
            length = self.varint()
            if length > len(self.raw) - self.at:
                raise BadThrift("a text")
            self.at += length
            return None
        if kind in (_LIST, _SET):
            return self.list(depth)
        if kind == _MAP:
            return self.map(depth)
        if kind == _STRUCT:
            return self.struct(depth - 1)
        raise BadThrift("a type")

    def list(self, depth: int) -> list[Any]:
        head = self.byte()
        count, kind = head >> 4, head & 15
        count = self.varint() if count == 15 else count
        if count > len(self.raw) - self.at:
            raise BadThrift("a list")
        if kind in (_TRUE, _FALSE):
            self.at += count
            return []
        return [self.value(kind, depth - 1) for _ in range(count)]

    def map(self, depth: int) -> None:
        count = self.varint()
        if count > len(self.raw) - self.at:
            raise BadThrift("a map")
        kinds = self.byte() if count else 0
        for _ in range(count):
            self.value(kinds >> 4, depth - 1)
            self.value(kinds & 15, depth - 1)

    def struct(self, depth: int) -> dict[int, Any]:
        if depth <= 0:
            raise BadThrift("depth")
        found: dict[int, Any] = {}
        field = 0
        while (head := self.byte()) != _STOP:
            kind = head & 15
            field = field + (head >> 4) if head >> 4 else self.number()
            found[field] = kind == _TRUE if kind in (_TRUE, _FALSE) else self.value(kind, depth)
        return found


__all__ = ["BadThrift", "Thrift"]
