"""How far two records are apart, for columns of every kind and with missing values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.records import Records
from privaudit.tables._cells import Cells, Ranges, match, outcome, shared, spans

CELLS = 2**17
"""Pairs of records in a block: its buffers stay in a core's cache."""
ONE_HOT = 64
"""Categories of up to this many levels are compared by a matrix product, others one by one."""
APART = 0.2
"""What a cell measured on one side alone adds in a search for copies; docs/design/007-table-attacks.md."""
CLOSEST = 1e-5
"""Distances below this are read as this much, so that the logarithm of a copy's is finite."""


def nearest(
    queries: Records,
    table: Records,
    k: int = 1,
    columns: Sequence[str] | None = None,
    exclude_self: bool = False,
    ranges: Ranges | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k records of a table most like each query: distances (n, k) float64 and rows (n, k).

    The distance is Gower's, the mean over columns, in [0, 1]: numbers differ by their share of the
    column's range, at most 1; other values by 0 or 1. Missing is a value to match: two missing values
    are equal, one is as far as can be. Ties go to the earlier row. exclude_self: query i is row i of
    the table, and not its own neighbour. columns, ranges: see `match`. k beyond the table's rows is
    refused. Gower 1971 (Biometrics 27:857), with his weight of missing values set to 1.
    """
    a, b, _ = match(queries, table, columns, ranges)
    return search(a, b, k, exclude_self=exclude_self)


def closeness(
    queries: Records,
    table: Records,
    columns: Sequence[str] | None = None,
    ranges: Ranges | None = None,
) -> np.ndarray:
    """(n,) float64: minus the log distance of each query to its nearest record of the table.

    ranges: what the middle of the table's columns spans if None, the scale on which copies stand out. A
    cell that is missing on one side alone adds little (`APART`): generators do not miss what patients do.
    """
    scale = spans(table) if ranges is None else ranges
    a, b, _ = match(queries, table, columns, scale)
    distance, _ = search(a, b, gap=APART)
    return -np.log(np.maximum(distance[:, 0], CLOSEST))


def search(
    queries: Cells, table: Cells, k: int = 1, *, exclude_self: bool = False, gap: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """`nearest`, of tables already matched. Searched in float32, measured in float64.

    gap: what a cell adds that is missing on one side alone.
    """
    most = len(table) - bool(exclude_self)
    if isinstance(k, bool) or not 1 <= k <= most:
        raise PrivauditError(
            f"{k} nearest records asked of a table of {len(table)}",
            f"a number from 1 to {most} can be found",
            "use a larger table or a smaller k",
        )
    rows = np.empty((len(queries), k), dtype=np.int64)
    for part, found in _blocks(queries, table, k, exclude_self, None, gap):
        rows[part] = found[1]
    exact = apart(queries, table, rows, gap)
    order = np.argsort(exact, axis=1, kind="stable")
    return np.take_along_axis(exact, order, 1), np.take_along_axis(rows, order, 1)


def apart(queries: Cells, table: Cells, rows: np.ndarray, gap: float = 1.0) -> np.ndarray:
    """(n, k) float64: distances of each query from the given rows (n, k) of the table."""
    total = np.zeros(rows.shape)
    for q, t in zip(queries.numbers, table.numbers, strict=True):
        total += np.minimum(np.abs(q[:, None] - t[rows]), 1.0)
    for q, t in zip(queries.codes, table.codes, strict=True):
        total += q[:, None] != t[rows]
    for lone, other in zip(queries.missing, table.missing, strict=True):
        total -= (1.0 - gap) * (lone[:, None] != other[rows])
    return total / queries.width


def differing(queries: Cells, table: Cells, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """The row of the table that agrees best with each query: share of cells that differ (n,), row (n,).

    Numbers agree within `tolerance` of their range. Cells missing on both sides do not count, so that
    two records with little measured are not alike for that reason; records with nothing measured
    on either side agree. The table may not be empty.
    """
    share = np.empty(len(queries))
    rows = np.empty(len(queries), dtype=np.int64)
    for part, (value, row) in _blocks(queries, table, 1, False, tolerance, 1.0):
        share[part], rows[part] = value[:, 0], row[:, 0]
    return share, rows


def densities(
    queries: Cells,
    table: Cells,
    widths: Sequence[float],
    *,
    exclude_self: bool = False,
    gap: float = 1.0,
) -> np.ndarray:
    """(w, n) float64: log of the mean over the table of exp(-D / width), D the summed distance.

    A product kernel: Laplace's for numbers, and for other values Aitchison's, whose every mismatch costs
    exp(-1 / width). Not normalised.
    """
    total = np.full((len(widths), len(queries)), -np.inf)
    for part, _, d in _tiles(queries, table, exclude_self, None, gap):
        least = d.min(axis=1)
        base = np.where(np.isfinite(least), least, 0.0).astype(np.float64)
        d -= base[:, None].astype(np.float32)
        for i, width in enumerate(widths):
            mass = np.exp(d * np.float32(-1.0 / width)).sum(axis=1, dtype=np.float64)
            with np.errstate(divide="ignore"):
                total[i, part] = np.logaddexp(total[i, part], np.log(mass) - base / width)
    return total - np.log(len(table) - bool(exclude_self))


def _blocks(
    queries: Cells, table: Cells, k: int, exclude_self: bool, tolerance: float | None, gap: float
) -> Iterator[tuple[slice, tuple[np.ndarray, np.ndarray]]]:
    """The k least for each block of queries. tolerance: count differing cells in place of distances."""
    best: tuple[np.ndarray, np.ndarray] | None = None
    for part, cut, d in _tiles(queries, table, exclude_self, tolerance, gap):
        found = _least(d, min(k, d.shape[1]))
        found = found[0], found[1] + cut.start
        if best is not None:
            values = np.concatenate([best[0], found[0]], axis=1)
            places = np.concatenate([best[1], found[1]], axis=1)
            order = np.argsort(values, axis=1, kind="stable")[:, :k]
            found = np.take_along_axis(values, order, 1), np.take_along_axis(places, order, 1)
        best = found
        if cut.stop == len(table):
            yield part, best
            best = None


def _tiles(
    queries: Cells, table: Cells, exclude_self: bool, tolerance: float | None, gap: float
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Summed distances block by block: queries, rows of the table, (b, m) float32."""
    width = min(len(table), CELLS)
    height = max(1, CELLS // max(1, width))
    q, t = _Prepared.of(queries), _Prepared.of(table)
    clipped = [
        bool(max(a.max(initial=0), b.max(initial=0)) > 1 or min(a.min(initial=0), b.min(initial=0)) < 0)
        for a, b in zip(q.numbers, t.numbers, strict=True)
    ]  # fmt: skip
    for start in range(0, len(queries), height):
        part = slice(start, min(start + height, len(queries)))
        for left in range(0, len(table), width):
            cut = slice(left, min(left + width, len(table)))
            d = _costs(q, t, part, cut, clipped, tolerance, gap)
            if exclude_self:
                own = np.arange(max(part.start, cut.start), min(part.stop, cut.stop))
                d[own - part.start, own - cut.start] = np.inf
            yield part, cut, d


@dataclass(frozen=True, eq=False)
class _Prepared:
    """float32 numbers (p, n), one-hot codes (n, w) of the shorter categories, codes of the others."""

    numbers: np.ndarray
    hot: np.ndarray
    few: int
    many: np.ndarray
    missing: np.ndarray
    gaps: bool

    @classmethod
    def of(cls, cells: Cells) -> _Prepared:
        few = [c for c, k in enumerate(cells.levels) if k <= ONE_HOT]
        many = [c for c, k in enumerate(cells.levels) if k > ONE_HOT]
        n = len(cells)
        hot = np.zeros((n, sum(cells.levels[c] for c in few)), dtype=np.float32)
        left = 0
        for c in few:
            hot[np.arange(n), left + cells.codes[c]] = 1.0
            left += cells.levels[c]
        return cls(
            cells.numbers.astype(np.float32),
            hot,
            len(few),
            cells.codes[many].astype(np.int32),
            cells.missing.T.astype(np.float32),
            bool(cells.missing.any()),
        )


def _costs(
    q: _Prepared,
    t: _Prepared,
    part: slice,
    cut: slice,
    clipped: Sequence[bool],
    tolerance: float | None,
    gap: float = 1.0,
) -> np.ndarray:
    """(b, m) float32: sums over columns. Equal pairs get equal sums, wherever they stand in the block:
    matrix products are of whole numbers only, and the rest is done cell by cell."""
    d = np.float32(q.few) - q.hot[part] @ t.hot[cut].T
    away, unlike = np.empty_like(d), np.empty(d.shape, dtype=bool)
    for a, b in zip(q.many, t.many, strict=True):
        d += np.not_equal(a[part, None], b[cut], out=unlike)
    for a, b, clip in zip(q.numbers, t.numbers, clipped, strict=True):
        np.abs(np.subtract(a[part, None], b[cut], out=away), out=away)
        if tolerance is not None:
            d += np.greater(away, np.float32(tolerance), out=unlike)
            continue
        d += np.minimum(away, np.float32(1.0), out=away) if clip else away
    if gap != 1.0 and tolerance is None and (q.gaps or t.gaps):
        one, other = q.missing[part], t.missing[cut]
        lone = one.sum(axis=1)[:, None] + other.sum(axis=1) - np.float32(2.0) * (one @ other.T)
        d -= np.float32(1.0 - gap) * lone
    if tolerance is not None:
        seen = np.float32(q.missing.shape[1]) - q.missing[part] @ t.missing[cut].T
        d /= np.maximum(seen, np.float32(1.0))
    return d


def _least(d: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k least of each row with their places, ties to the first. Overwrites d."""
    if k > ONE_HOT:
        order = np.argsort(d, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(d, order, 1), order
    line = np.arange(len(d))
    places = np.empty((len(d), k), dtype=np.int64)
    values = np.empty((len(d), k), dtype=np.float32)
    for i in range(k):
        places[:, i] = d.argmin(axis=1)
        values[:, i] = d[line, places[:, i]]
        d[line, places[:, i]] = np.inf
    return values, places


__all__ = [
    "APART", "Cells", "Ranges", "apart", "closeness", "densities", "differing", "match", "nearest", "outcome",
    "search", "shared", "spans",
]  # fmt: skip
