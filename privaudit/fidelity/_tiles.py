"""Every record of one table against every record of another, in blocks that stay in a core's cache.

Sums over columns in float32. Cells that agree or not are counted in bytes, numbers added one column
at a time, so that equal pairs get equal sums wherever they are. Why no matrix product:
docs/design/007-table-attacks.md, Cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from privaudit.fidelity._cells import Cells

CELLS = 2**17
"""Pairs of records in a block."""
WIDE = 2**14
"""Rows of the table in a block: numpy compares long lines three times as fast as short ones."""
BYTE = 255
"""Columns counted in one byte."""


def tiles(
    queries: Cells,
    table: Cells,
    *,
    exclude_self: bool = False,
    tolerance: float | None = None,
    gap: float = 1.0,
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Summed distances block by block: queries, rows of the table, (b, m) float32.

    exclude_self: query i is row i of the table, and infinitely far from itself. gap: what a cell
    adds that is missing on one side alone. tolerance: the share of differing cells in place of
    distances, numbers within it being the same, cells missing on both sides not counting. The array
    is used again for the next block.
    """
    width = min(len(table), WIDE, CELLS)
    height = max(1, CELLS // max(1, width))
    pair = _Pair.of(queries, table, gap, tolerance)
    space = _Space.of(min(height, len(queries)), width)
    for start in range(0, len(queries), height):
        part = slice(start, min(start + height, len(queries)))
        for left in range(0, len(table), width):
            cut = slice(left, min(left + width, len(table)))
            with _lines(cut.stop - cut.start):
                d = pair.costs(part, cut, space)
            if exclude_self:
                own = np.arange(max(part.start, cut.start), min(part.stop, cut.stop))
                d[own - part.start, own - cut.start] = np.inf
            yield part, cut, d


@dataclass(frozen=True, eq=False)
class _Space:
    """Buffers of one block: sums and differences, counts, and what was just compared."""

    sums: np.ndarray
    away: np.ndarray
    ones: np.ndarray
    count: np.ndarray
    unlike: np.ndarray

    @classmethod
    def of(cls, height: int, width: int) -> _Space:
        n = height * width
        return cls(
            np.empty(n, dtype=np.float32),
            np.empty(n, dtype=np.float32),
            np.ones(n, dtype=np.float32),
            np.empty(n, dtype=np.uint8),
            np.empty(n, dtype=bool),
        )

    def cut(self, height: int, width: int) -> _Space:
        """The buffers for a block of this shape, without gaps."""
        buffers = (self.sums, self.away, self.ones, self.count, self.unlike)
        return _Space(*(part[: height * width].reshape(height, width) for part in buffers))


Column = tuple[np.ndarray, np.ndarray]
"""One column of the queries and of the table, (n,) and (m,), of one type."""


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two tables' columns in the smallest types that hold them, without those that add nothing.

    clipped: whether a number's difference may exceed its range; lone, both: missing or not, of the
    columns in which something is missing on either side, and on both sides; measured: columns in
    all.
    """

    codes: tuple[Column, ...]
    numbers: tuple[Column, ...]
    clipped: tuple[bool, ...]
    lone: tuple[Column, ...]
    both: tuple[Column, ...]
    measured: int
    gap: float
    tolerance: float | None

    @classmethod
    def of(cls, queries: Cells, table: Cells, gap: float, tolerance: float | None) -> _Pair:
        codes = [
            (q.astype(_least_type(k)), t.astype(_least_type(k)))
            for q, t, k in zip(queries.codes, table.codes, queries.levels, strict=True)
            if _differ(q, t)
        ]
        numbers, clipped = [], []
        for q, t in zip(queries.numbers, table.numbers, strict=True):
            if not _differ(q, t):
                continue
            numbers.append((q.astype(np.float32), t.astype(np.float32)))
            ends = [end(side, initial=0.0) for side in (q, t) for end in (np.min, np.max)]
            clipped.append(bool(max(ends) > 1 or min(ends) < 0))
        gone = [
            (q.astype(np.uint8), t.astype(np.uint8))
            for q, t in zip(queries.missing, table.missing, strict=True)
        ]
        lone = [pair for pair in gone if gap != 1.0 and tolerance is None and _differ(*pair)]
        both = [pair for pair in gone if all(side.any() for side in pair)]
        return cls(
            tuple(codes),
            tuple(numbers),
            tuple(clipped),
            tuple(lone),
            tuple(both),
            len(gone),
            gap,
            tolerance,
        )

    def costs(self, part: slice, cut: slice, space: _Space) -> np.ndarray:
        """(b, m) float32 of this block, in the buffers of `space`."""
        space = space.cut(part.stop - part.start, cut.stop - cut.start)
        d, away = space.sums, space.away
        _counted(self.codes, part, cut, space, np.not_equal, d)
        if self.tolerance is not None:
            near = np.float32(self.tolerance)
            for k in range(0, len(self.numbers), BYTE):
                space.count[...] = 0
                for a, b in self.numbers[k : k + BYTE]:
                    np.abs(np.subtract(a[part, None], b[cut], out=away), out=away)
                    np.greater(away, near, out=space.unlike)
                    np.add(space.count, space.unlike.view(np.uint8), out=space.count)
                d += space.count
            seen = away
            _counted(self.both, part, cut, space, np.logical_and, seen)
            np.subtract(np.float32(self.measured), seen, out=seen)
            d /= np.maximum(seen, space.ones, out=seen)
            return d
        for (a, b), clip in zip(self.numbers, self.clipped, strict=True):
            np.abs(np.subtract(a[part, None], b[cut], out=away), out=away)
            d += np.minimum(away, space.ones, out=away) if clip else away
        if self.lone:
            _counted(self.lone, part, cut, space, np.not_equal, away)
            away *= np.float32(1.0 - self.gap)
            d -= away
        return d


def _counted(
    columns: tuple[Column, ...],
    part: slice,
    cut: slice,
    space: _Space,
    test: np.ufunc,
    out: np.ndarray,
) -> None:
    """out: in how many columns the test holds."""
    out[...] = 0.0
    for k in range(0, len(columns), BYTE):
        space.count[...] = 0
        for a, b in columns[k : k + BYTE]:
            test(a[part, None], b[cut], out=space.unlike)
            np.add(space.count, space.unlike.view(np.uint8), out=space.count)
        out += space.count


@contextmanager
def _lines(width: int) -> Iterator[None]:
    """Without this, lines shorter than numpy's buffer are copied first, at three times the cost."""
    before = np.setbufsize(min(8192, max(16, width // 32 * 16)))
    try:
        yield
    finally:
        np.setbufsize(before)


def _differ(q: np.ndarray, t: np.ndarray) -> bool:
    """Whether any value of one column differs from any other, on either side."""
    first = q[:1] if len(q) else t[:1]
    return bool((q != first).any() or (t != first).any())


def _least_type(levels: int) -> type[np.unsignedinteger]:
    for kind in (np.uint8, np.uint16):
        if levels <= np.iinfo(kind).max:
            return kind
    return np.uint32
