"""The last step of every generator: values that the schema allows, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.records import Column, Records

WITHIN = ("first", "last", "mean")
"""Summaries of a variable that lie between its least and its greatest value."""


@dataclass(frozen=True)
class Shape:
    """What a fitted generator must remember of its records besides what it learnt: columns,
    classes."""

    columns: tuple[Column, ...]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, records: Records) -> Shape:
        return cls(records.columns, records.classes)

    def records(self, X: np.ndarray, y: np.ndarray) -> Records:
        """Valid records from drawn values (n, d) and outcome codes (n,): each row a patient of its
        own."""
        codes = np.clip(np.asarray(y).astype(np.int64), 0, len(self.classes) - 1)
        return Records(
            columns=self.columns,
            X=valid(self.columns, X),
            y=codes,
            patient=np.arange(len(codes)),
            site=np.zeros(len(codes), dtype=np.int64),
            classes=self.classes,
        )


def valid_records(records: Records) -> Records:
    """The same records with every value valid (see `valid`)."""
    return replace(records, X=valid(records.columns, records.X))


def valid(columns: Sequence[Column], X: np.ndarray) -> np.ndarray:
    """(n, d) float32: X moved to the nearest values that the columns allow; valid values stay.

    Codes are whole numbers that name a level. Numbers are inside their bounds, whole where the
    column is `integer` or a count. A `measured` column is never missing; where it, or a count, says
    that a variable was not measured, its summaries are NaN and its count 0, and where it says so,
    none of its summaries is missing. No column exceeds the one that its `at_most` names, and min <=
    first, last, mean <= max of one variable. Infinite values become the bound, or NaN where there
    is none. Applying it twice changes nothing.

    Raises:
        PrivauditError: Where no value can satisfy the columns.
    """
    columns = tuple(columns)
    rules = _rules(columns)
    out = np.array(X, dtype=np.float32)
    if out.ndim != 2 or out.shape[1] != len(columns):
        raise PrivauditError(
            f"drawn values of shape {out.shape} for {len(columns)} columns",
            "every column needs one value a row",
            "report this as a defect of the generator",
        )
    # A second pass finds nothing to do unless a count is itself limited by another column.
    for _ in range(len(columns) + 2):
        before = out.copy()
        _boxes(rules, out)
        for gauge in rules.gauges:
            _measured(gauge, out)
        for low, high, inner in rules.spans:
            _span(out, low, high, inner)
        _boxes(rules, out)
        for lower, upper in rules.lowered:
            cap = out[:, upper]
            if rules.whole[lower]:
                cap = np.floor(cap)
            np.copyto(
                out[:, lower], cap, where=out[:, lower] > cap
            )  # False where either is missing
        if np.array_equal(before, out, equal_nan=True):
            break
    return out


@dataclass(frozen=True)
class _Gauge:
    """A variable whose presence a column records: -1 where it has no such column."""

    measured: int
    count: int
    values: tuple[int, ...]


@dataclass(frozen=True)
class _Rules:
    """low, high: (d,) float32, infinite where unbounded, already narrowed by the order of
    columns."""

    low: np.ndarray
    high: np.ndarray
    whole: np.ndarray
    gauges: tuple[_Gauge, ...]
    spans: tuple[tuple[int, int, tuple[int, ...]], ...]
    lowered: tuple[tuple[int, int], ...]


@lru_cache(maxsize=16)
def _rules(columns: tuple[Column, ...]) -> _Rules:
    low = np.full(len(columns), -np.inf, dtype=np.float32)
    high = np.full(len(columns), np.inf, dtype=np.float32)
    whole = np.zeros(len(columns), dtype=bool)
    for j, column in enumerate(columns):
        whole[j] = column.kind != "numeric" or column.integer or column.statistic in _COUNTED
        if column.kind != "numeric" or column.statistic == "measured":
            low[j], high[j] = 0, _last_code(column)
        elif column.bounds is not None:
            low[j], high[j] = column.bounds
        elif column.statistic == "count":
            low[j] = 0
    low[whole], high[whole] = np.ceil(low[whole]), np.floor(high[whole])
    gauges, spans = _variables(columns)
    edges = _edges(columns, spans)
    for lower, upper in edges:  # from the top down
        high[lower] = min(high[lower], np.floor(high[upper]) if whole[lower] else high[upper])
    for lower, upper in reversed(edges):
        low[upper] = max(low[upper], np.ceil(low[lower]) if whole[upper] else low[lower])
    empty = np.flatnonzero(low > high)
    if len(empty):
        raise PrivauditError(
            f"column {columns[empty[0]].name!r} can hold no value",
            "its bounds, whole numbers and the columns that it may not exceed leave nothing "
            f"({len(empty)} such columns)",
            "correct bounds, integer and at_most in the schema",
        )
    return _Rules(low, high, whole, gauges, spans, edges)


_COUNTED = ("count", "measured")


def _last_code(column: Column) -> float:
    if column.levels:
        return len(column.levels) - 1
    return np.inf if column.kind == "category" else 1


def _variables(
    columns: tuple[Column, ...],
) -> tuple[tuple[_Gauge, ...], tuple[tuple[int, int, tuple[int, ...]], ...]]:
    found: dict[str, dict[str, int]] = {}
    for j, column in enumerate(columns):
        if column.variable and column.statistic:
            found.setdefault(column.variable, {})[column.statistic] = j
    gauges, spans = [], []
    for place in found.values():
        values = tuple(j for statistic, j in place.items() if statistic not in _COUNTED)
        if values and ("measured" in place or "count" in place):
            gauges.append(_Gauge(place.get("measured", -1), place.get("count", -1), values))
        inner = tuple(place[s] for s in WITHIN if s in place)
        if all(columns[j].kind == "numeric" or columns[j].kind == "binary" for j in values):
            spans.append((place.get("min", -1), place.get("max", -1), inner))
    return tuple(gauges), tuple(s for s in spans if s[0] >= 0 or s[1] >= 0)


def _edges(
    columns: tuple[Column, ...], spans: tuple[tuple[int, int, tuple[int, ...]], ...]
) -> tuple[tuple[int, int], ...]:
    """(lower, upper) pairs, every consequence included, those of the uppermost columns first."""
    place = {column.name: j for j, column in enumerate(columns)}
    above: dict[int, set[int]] = {j: set() for j in range(len(columns))}
    for j, column in enumerate(columns):
        # A column that a narrower table leaves out limits nothing there.
        if column.at_most in place and column.kind != "category":
            above[j].add(place[column.at_most])
    for low, high, inner in spans:
        for j in inner:
            if low >= 0:
                above[low].add(j)
            if high >= 0:
                above[j].add(high)
        if low >= 0 and high >= 0:
            above[low].add(high)
    try:
        order = list(TopologicalSorter(above).static_order())
    except CycleError as error:
        names = ", ".join(repr(columns[j].name) for j in error.args[1][:-1])
        raise PrivauditError(
            f"columns that may not exceed each other in a circle: {names}",
            "at_most says that one column never exceeds another, which is then the larger one",
            "correct at_most in the schema",
        ) from None
    for j in order:  # uppermost first, so what is above is complete
        above[j] |= {far for near in above[j] for far in above[near]}
    rank = {j: i for i, j in enumerate(order)}
    return tuple((j, up) for j in order for up in sorted(above[j], key=rank.__getitem__))


def _boxes(rules: _Rules, out: np.ndarray) -> None:
    np.clip(out, rules.low, rules.high, out=out)
    out[:, rules.whole] = np.rint(out[:, rules.whole])
    out[np.isinf(out)] = np.nan


def _measured(gauge: _Gauge, out: np.ndarray) -> None:
    """Let a variable's summaries, its count and its measured-or-not agree."""
    values = out[:, gauge.values]
    present = ~np.isnan(values)
    some = present.any(axis=1)
    if gauge.measured >= 0:
        measured = out[:, gauge.measured]
        seen = np.where(np.isnan(measured), some, measured > 0.5) & some
        out[:, gauge.measured] = seen
    elif gauge.count >= 0:
        count = out[:, gauge.count]
        seen = np.where(np.isnan(count), some, count > 0) & some
    if gauge.count >= 0:
        count = out[:, gauge.count]
        lacking = gauge.measured >= 0 and np.isnan(count)
        out[:, gauge.count] = np.where(
            seen, np.where(lacking, 1, np.maximum(count, 1)), np.where(np.isnan(count), count, 0)
        )
        if gauge.measured >= 0:
            out[~seen, gauge.count] = 0
    partly = seen & ~present.all(axis=1)
    if partly.any():
        # A missing summary of a measured variable: the others' middle is the nearest thing known.
        middle = np.nanmean(values[partly], axis=1, keepdims=True)
        values[partly] = np.where(present[partly], values[partly], middle)
    values[~seen] = np.nan
    out[:, gauge.values] = values


def _span(out: np.ndarray, low: int, high: int, inner: tuple[int, ...]) -> None:
    """Put least and greatest in order, and the other summaries between them."""
    if low >= 0 and high >= 0:
        crossed = out[:, low] > out[:, high]
        out[crossed, low], out[crossed, high] = out[crossed, high], out[crossed, low]
    for j in inner:
        for end, beyond in ((low, np.less), (high, np.greater)):
            if end >= 0:
                np.copyto(out[:, j], out[:, end], where=beyond(out[:, j], out[:, end]))


__all__ = ["Shape", "valid", "valid_records"]
