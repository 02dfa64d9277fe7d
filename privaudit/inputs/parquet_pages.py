"""The pages of a Parquet file, by their headers: how much each says that it holds.

Polars sets aside what a header declares before it reads the page, and ends the process where that
is more than there is.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from privaudit.inputs.thrift_compact import BadThrift, Thrift

HEADER_BYTES = 1 << 16
MOST_HEADER_BYTES = 16 << 20
"""Of a header with the smallest and the largest text of its page."""

MAX_DEPTH = 16


def check_pages(file: BinaryIO, first: int, length: int, rows: int) -> None:
    """Hold the headers of one column's pages, in one group of rows, against its size and rows.

    Args:
        file: The Parquet file.
        first: Where the pages begin.
        length: Their bytes.
        rows: Rows of the group; a flat column has one value a row.

    Raises:
        BadThrift: A page that reaches outside, or says that it holds more than there is.
    """
    at, end, values = first, first + length, 0
    while at < end:
        header, size = _read_header(file, at, end)
        packed, unpacked = header[3], header[2]
        if packed < 0 or unpacked < 0 or at + size + packed > end:
            raise BadThrift("a page")
        at += size + packed
        one = header.get(5) or header.get(8)
        if one is not None:
            _check_count(one[1], rows)
            values += one[1]
            for part in (2, 3) if 8 in header else ():
                _check_count(one[part], rows)
            for part in (5, 6) if 8 in header else ():
                _check_count(one.get(part, 0), unpacked)
        elif 7 in header:
            # No entry of a dictionary takes less than a byte.
            _check_count(header[7][1], unpacked)
    if values != rows:
        raise BadThrift("values")


def _read_header(file: BinaryIO, at: int, end: int) -> tuple[dict[int, Any], int]:
    for most in (HEADER_BYTES, MOST_HEADER_BYTES):
        file.seek(at)
        reader = Thrift(file.read(min(most, end - at)))
        try:
            return reader.struct(MAX_DEPTH), reader.at
        except IndexError:
            continue
    raise BadThrift("a header")


def _check_count(count: int, most: int) -> None:
    if not 0 <= count <= most:
        raise BadThrift("a count")


__all__ = ["check_pages"]
