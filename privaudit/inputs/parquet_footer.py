"""What a Parquet file says of itself at its end, checked before its library believes it.

A few bytes may declare any number of rows, groups and bytes, and tables within tables to any depth.
Read is the file's metadata (Thrift, compact protocol; field numbers of parquet.thrift), no page.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAGIC = b"PAR1"
MAX_FOOTER = 256 << 20
MAX_DEPTH = 64
MAX_GROUPS = 1_000_000
MAX_RATIO = 300
"""Bytes that one byte of the file may become, as for other compressed tables."""

FREE_BYTES = 64 << 20
CELL_BYTES = 8
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = (
    *(0, 1, 2, 3, 7, 8, 9, 10, 11, 12),
)


class BadFooter(ValueError):
    """Metadata that no writer makes."""


@dataclass(frozen=True)
class Footer:
    """rows: of the whole file; columns: that hold values; widest: rows of the largest group;
    unpacked: bytes that all pages say to unpack to; nested: tables or lists within cells."""

    rows: int
    columns: int
    widest: int
    unpacked: int
    nested: bool


def read_footer(path: Path) -> Footer:
    """The metadata of a Parquet file, its numbers held against each other and the file's size.

    Raises:
        BadFooter: Metadata that is damaged, contradicts itself or points outside the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if size < 12 or file.read(4) != MAGIC:
            raise BadFooter("magic")
        file.seek(size - 8)
        length, end = struct.unpack("<I4s", file.read(8))
        if end != MAGIC or length > min(size - 12, MAX_FOOTER):
            raise BadFooter("length")
        file.seek(size - 8 - length)
        raw = file.read(length)
    try:
        tree = _Thrift(raw).struct(MAX_DEPTH)
        return _check(tree, size)
    except (IndexError, KeyError, TypeError, AttributeError, struct.error):
        raise BadFooter("metadata") from None


def measure_memory() -> int:
    """Bytes of memory of this machine, 16 GiB where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 16 << 30


def _check(tree: dict[int, Any], size: int) -> Footer:
    schema, rows, groups = tree[2], tree[3], tree.get(4, [])
    if len(groups) > MAX_GROUPS or rows < 0:
        raise BadFooter("groups")
    children = [one.get(5, 0) for one in schema]
    if not children or children[0] != sum(1 for _ in children[1:]) - sum(children[1:]):
        raise BadFooter("schema")
    columns = sum(1 for count in children[1:] if not count)
    widest = total = packed = unpacked = 0
    for group in groups:
        here, chunks = group[3], group[1]
        if here < 0 or len(chunks) != columns:
            raise BadFooter("a group")
        widest, total = max(widest, here), total + here
        for chunk in chunks:
            facts = chunk[3]
            first = min(facts[9], facts.get(11, facts[9]))
            if facts[7] < 0 or facts[6] < 0 or first < 0 or first + facts[7] > size:
                raise BadFooter("a chunk")
            packed, unpacked = packed + facts[7], unpacked + facts[6]
    # Chunks that lie over one another would be unpacked again and again.
    if total != rows or packed > size:
        raise BadFooter("rows")
    return Footer(rows, columns, widest, unpacked, any(children[1:]))


class _Thrift:
    """The compact protocol, as much of it as metadata needs."""

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
                raise BadFooter("a number")

    def number(self) -> int:
        found = self.varint()
        return (found >> 1) ^ -(found & 1)

    def value(self, kind: int, depth: int) -> Any:
        if depth <= 0:
            raise BadFooter("depth")
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
                raise BadFooter("a text")
            self.at += length
            return None
        if kind in (_LIST, _SET):
            return self.list(depth)
        if kind == _MAP:
            return self.map(depth)
        if kind == _STRUCT:
            return self.struct(depth - 1)
        raise BadFooter("a type")

    def list(self, depth: int) -> list[Any]:
        head = self.byte()
        count, kind = head >> 4, head & 15
        count = self.varint() if count == 15 else count
        if count > len(self.raw) - self.at:
            raise BadFooter("a list")
        if kind in (_TRUE, _FALSE):
            self.at += count
            return []
        return [self.value(kind, depth - 1) for _ in range(count)]

    def map(self, depth: int) -> None:
        count = self.varint()
        if count > len(self.raw) - self.at:
            raise BadFooter("a map")
        kinds = self.byte() if count else 0
        for _ in range(count):
            self.value(kinds >> 4, depth - 1)
            self.value(kinds & 15, depth - 1)

    def struct(self, depth: int) -> dict[int, Any]:
        if depth <= 0:
            raise BadFooter("depth")
        found: dict[int, Any] = {}
        field = 0
        while (head := self.byte()) != _STOP:
            kind = head & 15
            field = field + (head >> 4) if head >> 4 else self.number()
            found[field] = kind == _TRUE if kind in (_TRUE, _FALSE) else self.value(kind, depth)
        return found


__all__ = ["CELL_BYTES", "FREE_BYTES", "MAX_RATIO", "BadFooter", "measure_memory", "read_footer"]
