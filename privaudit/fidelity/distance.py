"""Distance between records, for columns of every kind and with missing values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.fidelity._cells import Cells, Ranges, match, outcome, shared, spans
from privaudit.fidelity._tiles import tiles
from privaudit.records import Records

FEW_NEIGHBOURS = 64
"""Up to this many neighbours are found one by one, more by sorting."""
APART = 0.2
"""What a cell measured on one side alone adds in a search for copies
(docs/design/007-table-attacks.md)."""
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
    column's range, at most 1; other values by 0 or 1. Missing is a value to match: two missing
    values are equal, one is as far as can be. Ties go to the earlier row. exclude_self: query i is
    row i of the table, and not its own neighbour. columns, ranges: see `match`. k beyond the
    table's rows is refused. Gower 1971 (Biometrics 27:857), with his weight of missing values set
    to 1.
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

    ranges: what the middle of the table's columns spans if None, the scale on which copies stand
    out. A cell that is missing on one side alone adds little (`APART`): generators do not miss what
    patients do.
    """
    scale = spans(table) if ranges is None else ranges
    a, b, _ = match(queries, table, columns, scale)
    distance, _ = search(a, b, gap=APART)
    result: np.ndarray = -np.log(np.maximum(distance[:, 0], CLOSEST))
    return result


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
    """The row that agrees best with each query: share of cells that differ (n,), row (n,).

    Numbers agree within `tolerance` of their range. Cells missing on both sides do not count, so
    that two records with little measured are not alike for that reason; records with nothing
    measured on either side agree. The table may not be empty.
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

    A product kernel: Laplace's for numbers, and for other values Aitchison's, whose every mismatch
    costs exp(-1 / width). Not normalised.
    """
    total = np.full((len(widths), len(queries)), -np.inf)
    for part, _, d in tiles(queries, table, exclude_self=exclude_self, gap=gap):
        least = d.min(axis=1)
        base = np.where(np.isfinite(least), least, 0.0).astype(np.float64)
        d -= base[:, None].astype(np.float32)
        for i, width in enumerate(widths):
            mass = np.exp(d * np.float32(-1.0 / width)).sum(axis=1, dtype=np.float64)
            with np.errstate(divide="ignore"):
                total[i, part] = np.logaddexp(total[i, part], np.log(mass) - base / width)
    result: np.ndarray = total - np.log(len(table) - bool(exclude_self))
    return result


def _blocks(
    queries: Cells, table: Cells, k: int, exclude_self: bool, tolerance: float | None, gap: float
) -> Iterator[tuple[slice, tuple[np.ndarray, np.ndarray]]]:
    """The k least for each block of queries. tolerance: count differing cells instead."""
    best: tuple[np.ndarray, np.ndarray] | None = None
    for part, cut, d in tiles(
        queries, table, exclude_self=exclude_self, tolerance=tolerance, gap=gap
    ):
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


def _least(d: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k least of each row with their places, ties to the first. Overwrites d."""
    if k > FEW_NEIGHBOURS:
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
    "APART",
    "Cells",
    "Ranges",
    "apart",
    "closeness",
    "densities",
    "differing",
    "match",
    "nearest",
    "outcome",
    "search",
    "shared",
    "spans",
]
