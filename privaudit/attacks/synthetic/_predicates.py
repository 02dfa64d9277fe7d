"""Predicates over a table's columns, and how many records each holds for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

EQUAL, LEAST, MOST, GAP = range(4)
"""A cell equals the value, is at least it, is at most it, or is missing."""


@dataclass(frozen=True, eq=False)
class Predicates:
    """m conjunctions of q conditions each. columns, tests: (m, q) int64; values: (m, q) float64."""

    columns: np.ndarray
    tests: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.columns)

    def take(self, rows: np.ndarray) -> Predicates:
        """These of them."""
        return Predicates(self.columns[rows], self.tests[rows], self.values[rows])

    def counts(self, cells: np.ndarray) -> np.ndarray:
        """(m,) how many records each holds for. cells: (d, n) float64, NaN where missing."""
        return np.array([np.count_nonzero(holds) for holds in self._fits(cells)], dtype=np.int64)

    def isolate(self, cells: np.ndarray, whose: np.ndarray) -> np.ndarray:
        """(m,) 1 where records of exactly one patient fit, else 0. whose: (n,) numbers of the
        patients."""
        found = np.zeros(len(self))
        for i, holds in enumerate(self._fits(cells)):
            own = whose[holds]
            found[i] = len(own) and own.min() == own.max()
        return found

    def _fits(self, cells: np.ndarray) -> Iterator[np.ndarray]:
        """(n,) bool of each: the records that it holds for."""
        # Line by line, for a copy of the columns would cost more than the comparisons.
        for i in range(len(self)):
            holds = np.ones(cells.shape[1], dtype=bool)
            for column, test, value in zip(
                self.columns[i], self.tests[i], self.values[i], strict=True
            ):
                holds &= _holds(cells[column], int(test), float(value))
            yield holds

    def distinct(self) -> Predicates:
        """Each of them once, conditions in the order of their columns, the first of equals kept."""
        order = np.argsort(self.columns, axis=1, kind="stable")
        sorted_ = [np.take_along_axis(a, order, 1) for a in (self.columns, self.tests, self.values)]
        parts = [np.nan_to_num(part.astype(np.float64), nan=-1.0) for part in sorted_]
        key = np.concatenate(parts, axis=1)
        _, first = np.unique(key, axis=0, return_index=True)
        return Predicates(*sorted_).take(np.sort(first))

    @classmethod
    def join(cls, parts: list[Predicates]) -> Predicates:
        """All of them, in order."""
        return cls(
            np.concatenate([part.columns for part in parts]),
            np.concatenate([part.tests for part in parts]),
            np.concatenate([part.values for part in parts]),
        )


def _holds(cells: np.ndarray, test: int, value: float) -> np.ndarray:
    """(n,) bool of one column's cells; a missing one fits nothing but `GAP`."""
    fits: np.ndarray
    if test == EQUAL:
        fits = np.equal(cells, value)
    elif test == LEAST:
        fits = np.greater_equal(cells, value)
    elif test == MOST:
        fits = np.less_equal(cells, value)
    else:
        fits = np.isnan(cells)
    return fits


def univariate(cells: np.ndarray, ordered: np.ndarray) -> Predicates:
    """Every predicate on one column that holds for exactly one record.

    Its extremes, values that occur once, and the one that is missing. cells: (d, n); ordered: (d,)
    bool, the columns of numbers.
    """
    found: list[tuple[int, int, float]] = []
    for j, row in enumerate(cells):
        seen = row[~np.isnan(row)]
        distinct, count = np.unique(seen, return_counts=True)
        if len(row) - len(seen) == 1:
            found.append((j, GAP, np.nan))
        if ordered[j] and len(distinct):
            ends = ((MOST, 0), (LEAST, -1))
            found += [(j, test, distinct[at]) for test, at in ends if count[at] == 1]
        found += [(j, EQUAL, value) for value in distinct[count == 1]]
    table = np.array(found, dtype=np.float64).reshape(-1, 3)
    return Predicates(
        table[:, :1].astype(np.int64), table[:, 1:2].astype(np.int64), table[:, 2:].copy()
    )


def medians(cells: np.ndarray) -> np.ndarray:
    """(d,) the median of what is measured in each column, 0 where nothing is."""
    seen = [row[~np.isnan(row)] for row in cells]
    return np.array([np.median(row) if len(row) else 0.0 for row in seen])


def multivariate(
    cells: np.ndarray,
    ordered: np.ndarray,
    rows: np.ndarray,
    width: int,
    rng: np.random.Generator,
    middle: np.ndarray | None = None,
) -> Predicates:
    """One predicate from each of these records, on `width` columns drawn for it.

    Numbers must be at least, or at most, the record's, whichever is farther from the column's
    median; other values the same; a missing value missing. middle: `medians(cells)`, where they are
    known.
    """
    d, _ = cells.shape
    columns = np.argsort(rng.random((len(rows), d)), axis=1)[:, :width]
    values = cells[columns, rows[:, None]]
    middle = medians(cells) if middle is None else middle
    tests = np.where(values > middle[columns], LEAST, MOST)
    tests = np.where(ordered[columns], tests, EQUAL)
    return Predicates(columns, np.where(np.isnan(values), GAP, tests), values)


def at_random(
    cells: np.ndarray, ordered: np.ndarray, count: int, width: int, rng: np.random.Generator
) -> Predicates:
    """Predicates on columns, tests and values drawn at random, from these records' values."""
    d, n = cells.shape
    columns = np.argsort(rng.random((count, d)), axis=1)[:, :width]
    values = cells[columns, rng.integers(0, n, columns.shape)]
    tests = np.where(ordered[columns], rng.integers(EQUAL, MOST + 1, columns.shape), EQUAL)
    return Predicates(columns, np.where(np.isnan(values), GAP, tests), values)


__all__ = ["Predicates", "at_random", "medians", "multivariate", "univariate"]
