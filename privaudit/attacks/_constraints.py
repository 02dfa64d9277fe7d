"""What an attacker may change in a record so that it still describes a possible patient."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from privaudit.records import Column, Records

SUMMARIES = ("min", "max", "mean", "first", "last")
FIXED = ("count", "measured")
FEWEST = 20
"""Own values at least from which it is read that a column holds whole numbers, or where it ends."""
FREE, AS_MIN, AS_MAX, AS_EITHER = range(4)
"""What a first or last value is tied to: to nothing, to the minimum, to the maximum, to one of them
while the other of first and last is the other."""
_MIN, _MAX, _MEAN, _FIRST, _LAST = range(5)


def movable(column: Column) -> bool:
    """Mutable numbers move; codes, flags, counts do not: a budget below one step reaches none."""
    return column.mutable and column.kind == "numeric" and column.statistic not in FIXED


def summaries(columns: tuple[Column, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(variables, 5) column numbers of each variable's summaries, -1 where there is none, and
    (variables,) of its count."""
    names = sorted({c.variable for c in columns if c.variable})
    places = np.full((len(names), len(SUMMARIES)), -1)
    counts = np.full(len(names), -1)
    for j, column in enumerate(columns):
        if column.variable and column.statistic in SUMMARIES:
            places[names.index(column.variable), SUMMARIES.index(column.statistic)] = j
        elif column.variable and column.statistic == "count":
            counts[names.index(column.variable)] = j
    several = (places >= 0).sum(axis=1) > 1
    return places[several], counts[several]


def lacks_counts(columns: tuple[Column, ...]) -> bool:
    """Whether some variable has summaries but no number of values behind them."""
    return bool((summaries(columns)[1] < 0).any())


@dataclass(frozen=True, eq=False)
class Scale:
    """What each column can hold, from its public bounds and the attacker's own records.

    whole: (d,) bool, whole numbers alone, as of a score; the mean of a variable never is. low,
    high: (d,) the range: the public bounds; where there are none, of whole numbers the range of the
    own records, and never below 0 where none of them is.
    """

    whole: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, columns: tuple[Column, ...], own: np.ndarray) -> Scale:
        """own: (n, d) the attacker's records."""
        whole = np.array([column.integer for column in columns], dtype=bool)
        low, high = np.full(len(columns), -np.inf), np.full(len(columns), np.inf)
        for j, column in enumerate(columns):
            seen = own[np.isfinite(own[:, j]), j].astype(np.float64)
            enough = len(seen) >= FEWEST
            if column.statistic != "mean":
                whole[j] |= enough and bool((seen == np.rint(seen)).all())
            if column.bounds is not None:
                # As float32, the precision of records.
                low[j], high[j] = np.asarray(column.bounds, dtype=np.float32)
            elif enough and whole[j]:
                low[j], high[j] = seen.min(), seen.max()
            elif enough and seen.min() >= 0:
                low[j] = 0.0
        places, _ = summaries(columns)
        for own_places in places:
            inner = [int(j) for k, j in enumerate(own_places) if j >= 0 and k != _MEAN]
            whole[inner] = whole[inner].all()
        return cls(whole, low, high)


@dataclass(frozen=True, eq=False)
class Cells:
    """Summaries of one variable in one record, (m,) of them, that hang together.

    rows: (m,) which record; places: (m, 5) column numbers in the order of SUMMARIES, -1 where there
    is none or it was not measured; share: (m,) 1 / n for n values behind them, 0 where n is not
    known or the record itself contradicts it; ties: (m, 2) what first and last are tied to; one:
    (m,) bool, all move together, as where one value was measured; whole: (m,) bool.
    """

    rows: np.ndarray
    places: np.ndarray
    share: np.ndarray
    ties: np.ndarray
    one: np.ndarray
    whole: np.ndarray

    @classmethod
    def of(cls, records: Records, spread: np.ndarray, scale: Scale) -> Cells:
        """Of all variables of which some summary may move (spread: (d,), 0 for what may not)."""
        x = records.X.astype(np.float64)
        parts = [
            _cells(x, own, x[:, count] if count >= 0 else np.full(len(x), np.nan), spread, scale)
            for own, count in zip(*summaries(records.columns), strict=True)
        ]
        if not parts:
            none, flags = np.zeros(0, dtype=int), np.zeros(0, dtype=bool)
            five, two = np.zeros((0, 5), dtype=int), np.zeros((0, 2), dtype=int)
            return cls(none, five, np.zeros(0), two, flags, flags)
        return cls(
            *(np.concatenate([getattr(p, name) for p in parts]) for name in cls.__annotations__)
        )

    def take(self, cells: np.ndarray) -> Cells:
        """Some of them, by number or mask."""
        return Cells(**{name: getattr(self, name)[cells] for name in Cells.__annotations__})

    def rows_of(self, rows: np.ndarray, n: int) -> Cells:
        """Those of some of n records, numbered as they are given."""
        number = np.full(n, -1)
        number[rows] = np.arange(len(rows))
        kept = self.take(number[self.rows] >= 0)
        return replace(kept, rows=number[kept.rows])

    def pick(self, x: np.ndarray) -> np.ndarray:
        """(m, 5) of (n, d), NaN where there is no such column."""
        found = x[self.rows[:, None], np.maximum(self.places, 0)]
        return np.where(self.places >= 0, found, np.nan)

    def put(self, x: np.ndarray, values: np.ndarray) -> None:
        """Write (m, 5) into (n, d)."""
        cell, part = np.nonzero(self.places >= 0)
        x[self.rows[cell], self.places[cell, part]] = values[cell, part]

    def between(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(m,) least and greatest mean of so many values of this minimum and maximum."""
        a, b, q = values[:, _MIN], values[:, _MAX], self.share
        return (1 - q) * a + q * b, q * a + (1 - q) * b


def _cells(
    x: np.ndarray, places: np.ndarray, count: np.ndarray, spread: np.ndarray, scale: Scale
) -> Cells:
    """Of one variable."""
    there = places >= 0
    values = np.where(there[None], x[:, np.maximum(places, 0)], np.nan)
    seen = np.isfinite(values)
    moves = seen & (np.where(there, spread[np.maximum(places, 0)], 0.0) > 0)[None]
    rows = np.flatnonzero((seen.sum(axis=1) > 1) & moves.any(axis=1))
    values, seen, count = values[rows], seen[rows], count[rows]
    inner = there & (np.arange(5) != _MEAN)
    whole = bool(scale.whole[places[inner]].all()) if inner.any() else False
    are_whole = whole & ~(np.isfinite(values) & (values != np.rint(values)))[:, inner].any(axis=1)
    a, b, mean, first, last = values.T
    # Comparisons with NaN are false: what is missing contradicts nothing.
    disordered = (a > b) | (np.nanmin(values, axis=1) < a) | (np.nanmax(values, axis=1) > b)
    same = (a == b) & (np.nanmax(values, axis=1) == np.nanmin(values, axis=1))
    counted = np.isfinite(count) & (count >= 1) & ~disordered & np.isfinite(a) & np.isfinite(b)
    counted &= ~((count < 2) & ~same)
    share = np.where(counted, 1 / np.maximum(np.where(counted, count, 1.0), 1.0), 0.0)
    # The mean was rounded to float32.
    slack = 4 * np.finfo(np.float32).eps * np.fmax(np.abs(a), np.abs(b))
    cells = Cells(
        rows, np.where(seen, places, -1), share, np.zeros((len(rows), 2), int), same, same
    )
    least, most = cells.between(values)
    counted &= ~((mean < least - slack) | (mean > most + slack))
    two = counted & (count >= 2) & (count < 3)
    ends = [(v == a) | (v == b) | ~np.isfinite(v) for v in (first, last)]
    counted &= ~(two & ~(ends[0] & ends[1] & ~((first == last) & (a < b))))
    ties = np.zeros((len(rows), 2), dtype=int)
    few = counted & (count >= 2) & (count < 4)
    for k, v in enumerate((first, last)):
        ties[few & (v == b), k] = AS_MAX
        ties[few & (v == a), k] = AS_MIN
    ties[few & (a == b)] = AS_EITHER
    one = np.where(counted, count < 2, same) | disordered
    return replace(
        cells,
        share=np.where(counted & ~one, np.minimum(share, 0.5), 0.0),
        ties=ties,
        one=one,
        whole=are_whole,
    )


def limits(
    records: Records, spread: np.ndarray, budget: float, scale: Scale
) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) least and greatest values within a budget, the value itself always among them."""
    x = records.X.astype(np.float64)
    low, high = x - budget * spread, x + budget * spread
    # A value already outside its range may stay there but goes no further.
    low, high = (
        np.maximum(low, np.minimum(x, scale.low)),
        np.minimum(high, np.maximum(x, scale.high)),
    )
    steps = scale.whole[None] & (x == np.rint(x))
    # 1e-9: a budget of exactly one step reaches it.
    low, high = (
        np.where(steps, np.ceil(low - 1e-9), low),
        np.where(steps, np.floor(high + 1e-9), high),
    )
    for lower, upper in _ordered(records.columns):
        _keep_order(x, low, high, lower, upper, spread, steps)
    return low, high


def _ordered(columns: tuple[Column, ...]) -> list[tuple[int, int]]:
    """Columns of which the first never exceeds the second, other than summaries of one variable."""
    place = {column.name: j for j, column in enumerate(columns)}
    found = [(j, place[c.at_most]) for j, c in enumerate(columns) if c.at_most in place]
    kept = []
    for j, k in found:
        one, other = columns[j], columns[k]
        known = one.variable and one.variable == other.variable
        known = known and {one.statistic, other.statistic} <= set(SUMMARIES)
        if not (known and (one.statistic == "min" or other.statistic == "max")):
            kept.append((j, k))
    return kept


def _keep_order(
    x: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    lower: int,
    upper: int,
    spread: np.ndarray,
    steps: np.ndarray,
) -> None:
    """Let each of two columns move as far as the middle between them, so that neither has to know
    of the other."""
    a, b = x[:, lower], x[:, upper]
    middle = (a + b) / 2
    if not spread[lower]:
        middle = a
    elif not spread[upper]:
        middle = b
    below = np.where(steps[:, lower], np.floor(middle), middle)
    above = np.where(steps[:, upper], np.ceil(middle), middle)
    # Where the record itself breaks the order, neither comes nearer to breaking it more.
    high[:, lower] = np.fmin(high[:, lower], np.where(np.isfinite(b), np.fmax(a, below), np.inf))
    low[:, upper] = np.fmax(low[:, upper], np.where(np.isfinite(a), np.fmin(b, above), -np.inf))


__all__ = [
    "AS_EITHER",
    "AS_MAX",
    "AS_MIN",
    "FIXED",
    "FREE",
    "SUMMARIES",
    "Cells",
    "Scale",
    "lacks_counts",
    "limits",
    "movable",
    "summaries",
]
