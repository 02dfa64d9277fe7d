"""What a Parquet file says of itself at its end, checked before its library believes it.

A few bytes may declare any number of rows, groups and bytes, and tables within tables to any depth.
Read are the file's metadata and the headers of its pages (field numbers of parquet.thrift).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from privaudit.inputs.parquet_pages import check_pages
from privaudit.inputs.thrift_compact import BadThrift, Thrift

MAGIC = b"PAR1"
MAX_FOOTER = 256 << 20
MAX_DEPTH = 64
MAX_GROUPS = 1_000_000
MAX_RATIO = 300
"""Bytes that one byte of the file may become, as for other compressed tables."""

FREE_BYTES = 64 << 20
CELL_BYTES = 8


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
        BadThrift: Metadata that is damaged, contradicts itself or points outside the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if size < 12 or file.read(4) != MAGIC:
            raise BadThrift("magic")
        file.seek(size - 8)
        length, end = struct.unpack("<I4s", file.read(8))
        if end != MAGIC or length > min(size - 12, MAX_FOOTER):
            raise BadThrift("length")
        file.seek(size - 8 - length)
        try:
            return _check(Thrift(file.read(length)).struct(MAX_DEPTH), size, file)
        except (IndexError, KeyError, TypeError, AttributeError, struct.error):
            raise BadThrift("metadata") from None


def measure_memory() -> int:
    """Bytes of memory of this machine, 16 GiB where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 16 << 30


def _check(tree: dict[int, Any], size: int, file: BinaryIO) -> Footer:
    schema, rows, groups = tree[2], tree[3], tree.get(4, [])
    if len(groups) > MAX_GROUPS or rows < 0:
        raise BadThrift("groups")
    children = [one.get(5, 0) for one in schema]
    if not children or children[0] != sum(1 for _ in children[1:]) - sum(children[1:]):
        raise BadThrift("schema")
    columns = sum(1 for count in children[1:] if not count)
    widest = total = packed = unpacked = 0
    for group in groups:
        here, chunks = group[3], group[1]
        if here < 0 or len(chunks) != columns:
            raise BadThrift("a group")
        widest, total = max(widest, here), total + here
        for chunk in chunks:
            facts = chunk[3]
            first = _find_first(facts)
            if facts[7] < 0 or facts[6] < 0 or first < 0 or first + facts[7] > size:
                raise BadThrift("a chunk")
            packed, unpacked = packed + facts[7], unpacked + facts[6]
    # Chunks that lie over one another would be unpacked again and again.
    if total != rows or packed > size:
        raise BadThrift("rows")
    nested = any(children[1:])
    for group in (one for one in groups if one[3] and not nested):
        for facts in (chunk[3] for chunk in group[1]):
            first = _find_first(facts)
            check_pages(file, first, facts[7], group[3])
    return Footer(rows, columns, widest, unpacked, nested)


def _find_first(facts: dict[int, Any]) -> int:
    """Where a chunk's pages begin: at its dictionary, where it has one; 0 is for none."""
    return min((place for place in (facts[9], facts.get(11)) if place), default=0)


__all__ = ["CELL_BYTES", "FREE_BYTES", "MAX_RATIO", "BadThrift", "measure_memory", "read_footer"]
