"""How far two records are apart, for columns of every kind and with missing values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.records import Column, Records

CELLS = 2**17
"""Pairs of records in a block: its buffers stay in a core's cache."""
ONE_HOT = 64
"""Categories of up to this many levels are compared by a matrix product, others one by one."""
GAP = 1e6
"""Where a missing number lies on a column's scale: as far as can be from every measured one."""
FAR = 1e4
CLOSEST = 1e-5
"""Distances below this are read as this much, so that the logarithm of a copy's is finite."""

Ranges = Mapping[str, tuple[float, float]]


def outcome(records: Records) -> str:
    """What the outcome y is called when it is treated as one more column."""
    taken = {column.name for column in records.columns}
    return "outcome" if "outcome" not in taken else "outcome (y)"


def shared(first: Records, second: Records) -> tuple[str, ...]:
    """Columns that both tables have, by name, in the order of the first; then the outcome.

    The outcome counts where a class of it is known to both and one table has at least two.
    """
    other = {column.name for column in second.columns}
    names = [column.name for column in first.columns if column.name in other]
    classes = len(set(first.classes) | set(second.classes))
    if classes > 1 and set(first.classes) & set(second.classes):
        names.append(outcome(first))
    return tuple(names)


@dataclass(frozen=True, eq=False)
class Cells:
    """One table's shared columns, made comparable with another's.

    numbers: (p, n) float64, in units of each column's range, `GAP` where missing; codes: (c, n)
    int64, equal codes for equal values, a missing value being one more of `levels` values.
    """

    numbers: np.ndarray
    codes: np.ndarray
    levels: tuple[int, ...]

    def __len__(self) -> int:
        return self.numbers.shape[1]

    @property
    def width(self) -> int:
        """How many columns are compared."""
        return len(self.numbers) + len(self.codes)

    @property
    def missing(self) -> np.ndarray:
        """(p + c, n) bool, numbers first: where nothing was measured."""
        top = np.array(self.levels, dtype=np.int64)[:, None] - 1
        return np.concatenate([self.numbers >= GAP, self.codes == top])


def match(
    first: Records,
    second: Records,
    columns: Sequence[str] | None = None,
    ranges: Ranges | None = None,
) -> tuple[Cells, Cells, tuple[str, ...]]:
    """Both tables in one coding, and the names of numbers, then of codes, in that order.

    Columns are matched by name and categories by the names of their levels, for a synthetic table
    has its own schema. columns: which ones, the outcome by the name that `outcome` gives; all
    shared ones if None. A number's range is that of `ranges`, else the column's public bounds,
    else what the second table spans; a column of no range is equal or not.
    """
    known = shared(first, second)
    wanted = known if columns is None else tuple(columns)
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise PrivauditError(
            f"columns to compare: {', '.join(unknown) or 'none'}",
            f"both tables have: {', '.join(known[:12])}{' ...' if len(known) > 12 else ''}"
            if known
            else "the two tables have no column of one name",
            "give both tables the same column names",
        )
    numbers: list[tuple[np.ndarray, np.ndarray]] = []
    codes: list[tuple[np.ndarray, np.ndarray]] = []
    levels: list[int] = []
    order: tuple[list[str], list[str]] = ([], [])
    at = [{column.name: j for j, column in enumerate(t.columns)} for t in (first, second)]
    for name in wanted:
        if name not in at[0]:
            pair, count = _classes(first, second)
        else:
            one, two = first.columns[at[0][name]], second.columns[at[1][name]]
            values = (first.X[:, at[0][name]], second.X[:, at[1][name]])
            kinds = {one.kind, two.kind}
            if "category" in kinds:
                pair, count = _levels(one, two, values)
            else:
                low, high = _range(one, two, values[1], (ranges or {}).get(name))
                if kinds != {"binary"} and high > low:
                    one_side, other = (_scaled(part, low, high) for part in values)
                    numbers.append((one_side, other))
                    order[0].append(name)
                    continue
                pair, count = _equal(values)
        codes.append(pair)
        levels.append(count)
        order[1].append(name)
    sides = []
    for side, table in enumerate((first, second)):
        n = len(table)
        own = [pair[side] for pair in numbers]
        named = [pair[side] for pair in codes]
        sides.append(
            Cells(
                np.array(own, dtype=np.float64).reshape(len(own), n),
                np.array(named, dtype=np.int64).reshape(len(named), n),
                tuple(levels),
            )
        )
    return sides[0], sides[1], (*order[0], *order[1])


def spans(records: Records, tails: float = 0.01) -> dict[str, tuple[float, float]]:
    """What the middle of each numeric column spans, its tails of this share left aside.

    Public bounds hold the rarest values, so that on their scale most patients are alike; this is the
    scale on which they differ. A column whose middle is one value is left out.
    """
    found = {}
    for j, column in enumerate(records.columns):
        seen = records.X[:, j][np.isfinite(records.X[:, j])].astype(np.float64)
        if column.kind == "numeric" and len(seen):
            low, high = np.quantile(seen, [tails, 1.0 - tails])
            if high > low:
                found[column.name] = (float(low), float(high))
    return found


def _classes(first: Records, second: Records) -> tuple[tuple[np.ndarray, np.ndarray], int]:
    place = {name: i for i, name in enumerate(dict.fromkeys([*first.classes, *second.classes]))}
    pair = tuple(np.array([place[name] for name in t.classes])[t.y] for t in (first, second))
    return (pair[0], pair[1]), len(place) + 1


def _levels(
    one: Column, two: Column, values: tuple[np.ndarray, np.ndarray]
) -> tuple[tuple[np.ndarray, np.ndarray], int]:
    if one.kind != two.kind:
        raise PrivauditError(
            f"column {one.name!r} is {one.kind} in one table and {two.kind} in the other",
            "values of different kinds cannot be compared",
            "describe the column alike in both schemas",
        )
    place = {name: i for i, name in enumerate(dict.fromkeys([*one.levels, *two.levels]))}
    coded = []
    for column, part in zip((one, two), values, strict=True):
        seen = np.isfinite(part)
        inside = part[seen]
        if len(inside) and not (
            (inside == np.floor(inside)).all()
            and inside.min() >= 0
            and inside.max() < len(column.levels)
        ):
            raise PrivauditError(
                f"category {column.name!r} holds codes that are none of its {len(column.levels)} levels",
                f"codes are whole numbers from 0 to {len(column.levels) - 1}",
                "code the column by the levels of its schema",
            )
        row = np.full(len(part), len(place), dtype=np.int64)
        table = np.array([place[name] for name in column.levels] or [0])
        row[seen] = table[inside.astype(np.int64)]
        coded.append(row)
    return (coded[0], coded[1]), len(place) + 1


def _equal(values: tuple[np.ndarray, np.ndarray]) -> tuple[tuple[np.ndarray, np.ndarray], int]:
    joined = np.concatenate(values).astype(np.float64)
    seen = np.isfinite(joined)
    distinct, place = np.unique(joined[seen], return_inverse=True)
    row = np.full(len(joined), len(distinct), dtype=np.int64)
    row[seen] = place
    return (row[: len(values[0])], row[len(values[0]) :]), len(distinct) + 1


def _range(
    one: Column, two: Column, table: np.ndarray, given: tuple[float, float] | None
) -> tuple[float, float]:
    if given is not None:
        return float(given[0]), float(given[1])
    bounds = one.bounds or two.bounds
    if bounds is not None:
        return float(bounds[0]), float(bounds[1])
    seen = table[np.isfinite(table)].astype(np.float64)
    return (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    scaled = np.clip((values.astype(np.float64) - low) / (high - low), -FAR, FAR)
    return np.where(np.isnan(scaled), GAP, scaled)


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
    """(n,) float64: minus the log distance of each query to its nearest record of the table."""
    distance, _ = nearest(queries, table, 1, columns, False, ranges)
    return -np.log(np.maximum(distance[:, 0], CLOSEST))


def search(
    queries: Cells, table: Cells, k: int = 1, *, exclude_self: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """`nearest`, of tables already matched. Searched in float32, measured in float64."""
    most = len(table) - bool(exclude_self)
    if isinstance(k, bool) or not 1 <= k <= most:
        raise PrivauditError(
            f"{k} nearest records asked of a table of {len(table)}",
            f"a number from 1 to {most} can be found",
            "use a larger table or a smaller k",
        )
    rows = np.empty((len(queries), k), dtype=np.int64)
    for part, found in _blocks(queries, table, k, exclude_self, None):
        rows[part] = found[1]
    exact = apart(queries, table, rows)
    order = np.argsort(exact, axis=1, kind="stable")
    return np.take_along_axis(exact, order, 1), np.take_along_axis(rows, order, 1)


def apart(queries: Cells, table: Cells, rows: np.ndarray) -> np.ndarray:
    """(n, k) float64: distances of each query from the given rows (n, k) of the table."""
    total = np.zeros(rows.shape)
    for q, t in zip(queries.numbers, table.numbers, strict=True):
        total += np.minimum(np.abs(q[:, None] - t[rows]), 1.0)
    for q, t in zip(queries.codes, table.codes, strict=True):
        total += q[:, None] != t[rows]
    return total / queries.width


def differing(queries: Cells, table: Cells, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """The row of the table that agrees best with each query: share of cells that differ (n,), row (n,).

    Numbers agree within `tolerance` of their range. Cells missing on both sides do not count, so that
    two records with little measured are not alike for that reason; records with nothing measured
    on either side agree. The table may not be empty.
    """
    share = np.empty(len(queries))
    rows = np.empty(len(queries), dtype=np.int64)
    for part, (value, row) in _blocks(queries, table, 1, False, tolerance):
        share[part], rows[part] = value[:, 0], row[:, 0]
    return share, rows


def _blocks(
    queries: Cells, table: Cells, k: int, exclude_self: bool, tolerance: float | None
) -> Iterator[tuple[slice, tuple[np.ndarray, np.ndarray]]]:
    """The k least for each block of queries. tolerance: count differing cells in place of distances."""
    width = min(len(table), CELLS)
    height = max(1, CELLS // max(1, width))
    q, t = _Prepared.of(queries), _Prepared.of(table)
    clipped = [
        bool(max(a.max(initial=0), b.max(initial=0)) > 1 or min(a.min(initial=0), b.min(initial=0)) < 0)
        for a, b in zip(q.numbers, t.numbers, strict=True)
    ]  # fmt: skip
    for start in range(0, len(queries), height):
        part = slice(start, min(start + height, len(queries)))
        best: tuple[np.ndarray, np.ndarray] | None = None
        for left in range(0, len(table), width):
            cut = slice(left, min(left + width, len(table)))
            d = _costs(q, t, part, cut, clipped, tolerance)
            if exclude_self:
                own = np.arange(max(part.start, cut.start), min(part.stop, cut.stop))
                d[own - part.start, own - cut.start] = np.inf
            found = _least(d, min(k, d.shape[1]))
            found = found[0], found[1] + left
            if best is not None:
                values = np.concatenate([best[0], found[0]], axis=1)
                places = np.concatenate([best[1], found[1]], axis=1)
                order = np.argsort(values, axis=1, kind="stable")[:, :k]
                found = np.take_along_axis(values, order, 1), np.take_along_axis(places, order, 1)
            best = found
        assert best is not None
        yield part, best


@dataclass(frozen=True, eq=False)
class _Prepared:
    """float32 numbers (p, n), one-hot codes (n, w) of the shorter categories, codes of the others."""

    numbers: np.ndarray
    hot: np.ndarray
    few: int
    many: np.ndarray
    missing: np.ndarray

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
        )


def _costs(
    q: _Prepared,
    t: _Prepared,
    part: slice,
    cut: slice,
    clipped: Sequence[bool],
    tolerance: float | None,
) -> np.ndarray:
    """(b, m) float32: sums over columns. Equal pairs get equal sums, wherever they stand in the block:
    matrix products are of whole numbers only, and the rest is done cell by cell."""
    d = np.float32(q.few) - q.hot[part] @ t.hot[cut].T
    gap, unlike = np.empty_like(d), np.empty(d.shape, dtype=bool)
    for a, b in zip(q.many, t.many, strict=True):
        d += np.not_equal(a[part, None], b[cut], out=unlike)
    for a, b, clip in zip(q.numbers, t.numbers, clipped, strict=True):
        np.abs(np.subtract(a[part, None], b[cut], out=gap), out=gap)
        if tolerance is not None:
            d += np.greater(gap, np.float32(tolerance), out=unlike)
            continue
        d += np.minimum(gap, np.float32(1.0), out=gap) if clip else gap
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
    "Cells", "Ranges", "apart", "closeness", "differing", "match", "nearest", "outcome", "search",
    "shared", "spans",
]  # fmt: skip
