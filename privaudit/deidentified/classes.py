"""Classes of patients who cannot be told apart, counted in patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from privaudit.deidentified.read import Quasi, ReleaseTable

MOST_PATTERNS = 64
"""Ways in which values are missing that are compared with each other."""
PAIRS = 4_000_000
"""Pairs of records compared in one step."""
SALT = 20_221_101
"""Of the numbers that stand for records in sums: no secret, and the same in every run."""
TOP = 2**62


def pack(columns: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """(rows,) int64: equal for rows that are equal in every column of codes (-1 and up)."""
    key = np.zeros(rows, dtype=np.int64)
    size = 1
    for column in columns:
        wide = int(column.max(initial=-1)) + 2
        if size * wide >= TOP:
            _, key = np.unique(key, return_inverse=True)
            size = int(key.max(initial=0)) + 1
        key = key * wide + (column + 1)
        size *= wide
    return key


def rank(key: np.ndarray) -> np.ndarray:
    """The key as numbers 0, 1, ..."""
    found: np.ndarray = np.unique(key, return_inverse=True)[1].reshape(-1)
    return found


def count_patients(key: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """(rows,) how many different patients have a row with this row's key (0, 1, ...)."""
    pairs = np.unique(key * (int(patient.max(initial=0)) + 1) + patient)
    owners = pairs // (int(patient.max(initial=0)) + 1)
    found: np.ndarray = np.bincount(owners, minlength=int(key.max(initial=-1)) + 1)[key]
    return found


def profile(key: np.ndarray, patient: np.ndarray, patients: int) -> np.ndarray:
    """(patients,) class of each patient, by all their rows: equal where these are the same.

    A patient's rows are added up as two random 64-bit numbers each, drawn for each key.
    """
    if len(patient) == patients:
        ordered = np.empty(patients, dtype=np.int64)
        ordered[patient] = key
        return rank(ordered)
    drawn = np.random.default_rng(SALT).integers(
        0, 2**64, size=(2, int(key.max(initial=0)) + 1), dtype=np.uint64
    )
    sums = np.zeros((2, patients), dtype=np.uint64)
    for total, number in zip(sums, drawn, strict=True):
        np.add.at(total, patient, number[key])
    return rank(rank(sums[0]) * patients + rank(sums[1]))


def count_matching(
    queries: Sequence[np.ndarray],
    table: Sequence[np.ndarray],
    weights: np.ndarray,
    measured: Sequence[tuple[np.ndarray, np.ndarray, float]] = (),
) -> np.ndarray:
    """(n,) the weight of the table's rows that match each query: equal codes, numbers within a
    width.

    Args:
        queries: Columns of codes of the queries, all of n rows.
        table: The same columns of the table.
        weights: (m,) of the table's rows.
        measured: (numbers of the queries, of the table, width), for columns with a tolerance.
    """
    m = len(weights)
    n = len(measured[0][0]) if measured else len(queries[0]) if queries else 0
    both = [np.concatenate(pair) for pair in zip(queries, table, strict=True)]
    key = rank(pack(both, n + m)) if both else np.zeros(n + m, dtype=np.int64)
    mine, theirs = key[:n], key[n:]
    if not measured:
        sums = np.bincount(theirs, weights, minlength=int(key.max(initial=0)) + 1)
        return np.asarray(sums[mine], dtype=np.float64)
    x, y, width = measured[0]
    low = min(x.min(initial=0), y.min(initial=0))
    span = max(x.max(initial=0), y.max(initial=0)) - low + 3 * width + 1
    order = np.argsort(theirs * span + (y - low), kind="stable")
    placed = (theirs * span + (y - low))[order]
    at = mine * span + (x - low)
    slack = width + 1e-9 * span
    start, stop = np.searchsorted(placed, at - slack), np.searchsorted(placed, at + slack, "right")
    total = np.concatenate([[0.0], np.cumsum(weights[order])])
    if len(measured) == 1:
        return np.asarray(total[stop] - total[start], dtype=np.float64)
    return _count_pairs(start, stop, order, weights, measured[1:])


def _count_pairs(
    start: np.ndarray,
    stop: np.ndarray,
    order: np.ndarray,
    weights: np.ndarray,
    measured: Sequence[tuple[np.ndarray, np.ndarray, float]],
) -> np.ndarray:
    found = np.zeros(len(start))
    many = np.cumsum(stop - start)
    first = 0
    while first < len(start):
        done = many[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(many, done + PAIRS, "right")))
        sizes = (stop - start)[first:last]
        query = np.repeat(np.arange(first, last), sizes)
        inside = np.arange(len(query)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        row = order[start[query] + inside]
        fine = np.ones(len(query), dtype=bool)
        for x, y, width in measured:
            fine &= np.abs(x[query] - y[row]) <= width * (1 + 1e-9)
        found += np.bincount(query[fine], weights[row[fine]], minlength=len(start))
        first = last
    return found


class Matcher:
    """Counts, for tables of one row a patient, who matches whom.

    tolerances: by column; wildcard: a value that is missing, or a level that says nothing, fits
    every other.
    """

    def __init__(self, tolerances: dict[str, float], *, wildcard: bool) -> None:
        self.tolerances, self.wildcard = tolerances, wildcard

    def count(self, table: ReleaseTable, register: ReleaseTable) -> np.ndarray | None:
        """(rows of `table`,) how many rows of a register with the same codes match each row; None
        where values are missing in too many ways to compare them all."""
        mine, inverse, _ = self._distinct(table)
        theirs, _, weights = self._distinct(register)
        numbers = [self._numbers(a, b) for a, b in zip(table.quasi, register.quasi, strict=True)]
        groups, others = self._patterns(mine), self._patterns(theirs)
        if len(groups) * len(others) > MOST_PATTERNS**2:
            return None
        found = np.zeros(len(mine))
        for seen, rows in groups:
            for known, places in others:
                both = seen & known
                found[rows] += self._match(
                    mine[rows],
                    theirs[places],
                    weights[places],
                    both,
                    numbers,
                    [q.name for q in table.quasi],
                )
        return np.asarray(found[inverse])

    def _distinct(self, table: ReleaseTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        codes = np.stack(
            [np.where(q.silent, -1, q.codes) if self.wildcard else q.codes for q in table.quasi], 1
        )
        key = pack(list(codes.T), len(codes))
        _, first, inverse, weights = np.unique(
            key, return_index=True, return_inverse=True, return_counts=True
        )
        return codes[first], inverse.reshape(-1), weights.astype(float)

    def _patterns(self, codes: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """(which columns are recorded, the rows of that pattern)."""
        if not self.wildcard:
            return [(np.ones(codes.shape[1], dtype=bool), np.arange(len(codes)))]
        seen = codes >= 0
        _, first, inverse = np.unique(
            pack(list(seen.T.astype(np.int64)), len(seen)), return_index=True, return_inverse=True
        )
        inverse = inverse.reshape(-1)
        return [(seen[at], np.flatnonzero(inverse == i)) for i, at in enumerate(first)]

    def _numbers(self, mine: Quasi, theirs: Quasi) -> np.ndarray | None:
        """(levels and one more,) numbers such that words and gaps lie beyond every tolerance."""
        width = self.tolerances.get(mine.name)
        if width is None:
            return None
        longer = max((mine.numbers, theirs.numbers), key=len)
        numbers = np.append(longer, np.nan)
        lacking = ~np.isfinite(numbers)
        top = np.nanmax(numbers) if not lacking.all() else 0.0
        numbers[lacking] = top + (np.arange(lacking.sum()) + 1) * (3 * width + 1)
        return numbers

    def _match(
        self,
        mine: np.ndarray,
        theirs: np.ndarray,
        weights: np.ndarray,
        both: np.ndarray,
        numbers: Sequence[np.ndarray | None],
        names: Sequence[str],
    ) -> np.ndarray:
        plain = [j for j in map(int, np.flatnonzero(both)) if numbers[j] is None]
        near = [(j, numbers[j]) for j in map(int, np.flatnonzero(both)) if numbers[j] is not None]
        if not plain and not near:
            return np.full(len(mine), weights.sum())
        return count_matching(
            [mine[:, j] for j in plain],
            [theirs[:, j] for j in plain],
            weights,
            [
                (value[mine[:, j]], value[theirs[:, j]], self.tolerances[names[j]])
                for j, value in near
                if value is not None
            ],
        )


__all__ = ["Matcher", "count_matching", "count_patients", "pack", "profile", "rank"]
