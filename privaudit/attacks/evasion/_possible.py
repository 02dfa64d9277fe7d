"""The possible patients near a record, and those of them that lie furthest in a direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privaudit.attacks._constraints import AS_EITHER, AS_MAX, AS_MIN, Cells
from privaudit.attacks.evasion._summaries import FIRST, LAST, MAX, MEAN, MIN, maximise


@dataclass(frozen=True, eq=False)
class Point:
    """Values of records, or slopes for them: x (n, d) float64, series (n, hours, channels) or
    None."""

    x: np.ndarray
    series: np.ndarray | None

    def rows(self, rows: np.ndarray) -> Point:
        """Those of some records."""
        return Point(self.x[rows], None if self.series is None else self.series[rows])

    def put(self, rows: np.ndarray, other: Point) -> None:
        """Replace those of some records."""
        self.x[rows] = other.x
        if self.series is not None and other.series is not None:
            self.series[rows] = other.series

    def copy(self) -> Point:
        """The same in memory of its own."""
        return Point(self.x.copy(), None if self.series is None else self.series.copy())


@dataclass(frozen=True, eq=False)
class Box:
    """The possible patients within a budget of each record.

    start, low, high: the records, and how far each value may move, NaN where nothing was measured;
    cells: the summaries that hang together.
    """

    start: Point
    low: Point
    high: Point
    cells: Cells

    def rows(self, rows: np.ndarray) -> Box:
        """The boxes of some records."""
        start, low, high = (part.rows(rows) for part in (self.start, self.low, self.high))
        return Box(start, low, high, self.cells.rows_of(rows, len(self.start.x)))

    def push(self, slopes: Point, at: Point) -> Point:
        """The possible patients for whom the sum of slopes times values is largest.

        Exact: the constraints hold within one variable each (see `_summaries`). What has a slope of
        0 stays as at `at`, as far as it may.
        """
        x = _reach(slopes.x, self.low.x, self.high.x, at.x)
        cells = self.cells
        if len(cells.rows):
            goal = np.nan_to_num(cells.pick(slopes.x))
            active = (goal != 0).any(axis=1)
            for part, solve in ((active & ~cells.one, _apart), (active & cells.one, _together)):
                rows = np.flatnonzero(part)
                if len(rows):
                    own = cells.take(rows)
                    low, high = own.pick(self.low.x), own.pick(self.high.x)
                    now, start = own.pick(at.x), own.pick(self.start.x)
                    own.put(x, solve(goal[rows], low, high, now, start, own))
        if slopes.series is None or at.series is None:
            return Point(x, at.series)
        assert self.low.series is not None
        assert self.high.series is not None
        return Point(x, _reach(slopes.series, self.low.series, self.high.series, at.series))

    def blend(self, at: Point, end: Point, share: np.ndarray) -> Point:
        """The possible patients this (n,) share of the way from one to another, to the next whole
        number where a value is one. A variable for which there is none on the way is at its end."""
        x = at.x + share[:, None] * (end.x - at.x)
        steps = (at.x == np.rint(at.x)) & (end.x == np.rint(end.x))
        cells = self.cells
        if not len(cells.rows):
            return Point(np.where(steps, np.rint(x), x), _between(at.series, end.series, share))
        values, began = cells.pick(x), cells.pick(self.start.x)
        inner = cells.whole[:, None] & (np.arange(5) != MEAN)
        moved = began + np.rint(values - began)
        values = np.where(np.where(cells.one[:, None], cells.whole[:, None], inner), moved, values)
        apart = ~cells.one & np.isfinite(values[:, MEAN])
        lower, upper = cells.between(values)
        lower = np.fmax(lower, cells.pick(self.low.x)[:, MEAN])
        upper = np.fmin(upper, cells.pick(self.high.x)[:, MEAN])
        mean = np.fmin(np.fmax(values[:, MEAN], lower), upper)
        values[:, MEAN] = np.where(apart, mean, values[:, MEAN])
        lost = apart & cells.whole & (lower > upper)
        values[lost] = cells.pick(end.x)[lost]
        x = np.where(steps, np.rint(x), x)
        cells.put(x, values)
        return Point(x, _between(at.series, end.series, share))


def _between(at: np.ndarray | None, end: np.ndarray | None, share: np.ndarray) -> np.ndarray | None:
    return at if at is None or end is None else at + share[:, None, None] * (end - at)


def _reach(slopes: np.ndarray, low: np.ndarray, high: np.ndarray, at: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.where(slopes > 0, high, np.where(slopes < 0, low, at))
    return found


def _apart(
    goal: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    now: np.ndarray,
    start: np.ndarray,
    cells: Cells,
) -> np.ndarray:
    """Summaries that may move against each other."""
    least = np.broadcast_to(np.nanmin(low, axis=1, keepdims=True), low.shape)
    most = np.broadcast_to(np.nanmax(high, axis=1, keepdims=True), high.shape)
    gaps = np.isnan(now)
    # What is not there limits nothing: a minimum below all others, a maximum above them.
    for part, values in ((MIN, least), (MAX, most)):
        for side in (low, high, now):
            side[:, part] = np.where(gaps[:, part], values[:, part], side[:, part])
    for side, values in ((low, least), (high, most), (now, least)):
        inner = gaps & np.isin(np.arange(5), (FIRST, LAST, MEAN))
        side[inner] = values[inner]
    ties = _choose_ends(cells.ties, goal, now)
    for k, part in enumerate((FIRST, LAST)):
        for tie, end in ((AS_MIN, MIN), (AS_MAX, MAX)):
            held = (ties[:, k] == tie) & ~gaps[:, part]
            low[held, end] = np.maximum(low[held, end], low[held, part])
            high[held, end] = np.minimum(high[held, end], high[held, part])
            goal[held, end] += goal[held, part]
            goal[held, part] = 0.0
            low[held, part], high[held, part] = least[held, part], most[held, part]
    found = maximise(goal, low, high, now, cells.share, cells.whole)
    for k, part in enumerate((FIRST, LAST)):
        for tie, end in ((AS_MIN, MIN), (AS_MAX, MAX)):
            held = (ties[:, k] == tie) & ~gaps[:, part]
            found[held, part] = found[held, end]
    return found


def _choose_ends(ties: np.ndarray, goal: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Of two values the first is the minimum or the last is, whichever is there or suits the
    goal."""
    free = ties[:, 0] == AS_EITHER
    rising = np.where(
        now[:, FIRST] == now[:, LAST],
        goal[:, FIRST] < goal[:, LAST],
        now[:, FIRST] < now[:, LAST],
    )
    one = np.where(rising, AS_MIN, AS_MAX), np.where(rising, AS_MAX, AS_MIN)
    return np.where(free[:, None], np.stack(one, axis=1), ties)


def _together(
    goal: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    now: np.ndarray,
    start: np.ndarray,
    cells: Cells,
) -> np.ndarray:
    """One shift for all summaries of a variable."""
    least, most = np.nanmax(low - start, axis=1), np.nanmin(high - start, axis=1)
    least, most = (
        np.where(cells.whole, np.ceil(least), least),
        np.where(cells.whole, np.floor(most), most),
    )
    way = np.where(np.isnan(start), 0.0, goal).sum(axis=1)
    shift = np.where(way > 0, most, np.where(way < 0, least, np.nanmax(now - start, axis=1)))
    result: np.ndarray = start + shift[:, None]
    return result


def possible(cells: Cells, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(m,) bool: rounded to float32, the summaries still hang together, or did not before."""
    held = []
    for x in (before, after):
        values = cells.pick(x.astype(np.float64))
        ends = values[:, [MIN]], values[:, [MAX]]
        order = ~((values < ends[0]) | (values > ends[1])).any(axis=1)
        lower, upper = cells.between(values)
        slack = 4 * np.finfo(np.float32).eps * np.fmax(*(np.abs(e[:, 0]) for e in ends))
        mean = (values[:, MEAN] < lower - slack) | (values[:, MEAN] > upper + slack)
        held.append(order & ~mean)
    result: np.ndarray = held[1] | ~held[0]
    return result


__all__ = ["Box", "Point", "possible"]
