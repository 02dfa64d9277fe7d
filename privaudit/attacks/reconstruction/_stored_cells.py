"""Which cells of known records a file's arrays give back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from privaudit.attacks.reconstruction._row_tables import WIDEST, name_one_hot
from privaudit.inputs.artefacts.pickled_arrays import Content
from privaudit.records import Records

CODES = 1000
"""Most different values of an array that may be codes of levels."""
SCREEN = 2000
"""Records on which arrays are tried first."""
CLOSE = 1e-3
"""Numbers are given back if they are right to this share of a standard deviation."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Records as numbers (n, p) and codes (n, c), NaN where missing; the outcome is a code."""

    numbers: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, records: Records, names: Collection[str]) -> Cells:
        """Of these columns; the outcome is always there."""
        known = [j for j, c in enumerate(records.columns) if c.name in names]
        kinds = np.array([records.columns[j].kind == "numeric" for j in known], dtype=bool)
        x = records.X[:, known].astype(np.float64)
        codes = [x[:, ~kinds]]
        if len(records.classes) > 1:
            codes.append(records.y[:, None].astype(np.float64))
        numbers = [x[:, kinds]]
        if records.outcome_kind != "class":
            numbers.append(records.y[:, None])
        return cls(np.concatenate(numbers, axis=1), np.concatenate(codes, axis=1))


def code_vectors(content: Content, n: int) -> np.ndarray:
    """(v, n) int64: every array with one entry a record that may be codes of levels, each once."""
    found: list[np.ndarray] = []
    for group in content.groups:
        joined = np.concatenate([*group, np.empty(0, dtype=np.int64)])
        if len(joined) != n or not 2 <= len(group) <= CODES:
            continue
        if (np.bincount(joined.clip(0, n), minlength=n) == 1)[:n].all():
            code = np.empty(n, dtype=np.int64)
            code[joined] = np.repeat(np.arange(len(group)), [len(one) for one in group])
            found.append(code)
    for array in _along(content, n):
        columns = [np.unique(column, return_inverse=True) for column in array.T]
        found += [code for values, code in columns if 2 <= len(values) <= min(CODES, n // 2)]
        if array.dtype.kind != "U":
            found += [code for _, code in name_one_hot(array)]
    return _once(found, n)


def number_vectors(content: Content, n: int) -> np.ndarray:
    """(v, n) float64: every array of numbers with one entry a record, each once."""
    found: list[np.ndarray] = []
    for array in _along(content, n):
        if array.dtype.kind != "U":
            found += list(np.asarray(array, dtype=np.float64).T)
    seen = [column[np.isfinite(column)] for column in found]
    varies = [len(part) > 2 and part.max() > part.min() for part in seen]
    return _once([column for column, moves in zip(found, varies, strict=True) if moves], n)


def _once(found: list[np.ndarray], n: int) -> np.ndarray:
    distinct = {one.tobytes(): one for one in found}
    return np.array(list(distinct.values())).reshape(len(distinct), n)


def _along(content: Content, n: int) -> list[np.ndarray]:
    """Arrays with an axis of n entries, as (n, w)."""
    found = []
    for array in content.arrays:
        for axis in range(min(array.ndim, 3)):
            if array.shape[axis] == n and n > 1:
                flat = np.moveaxis(array, axis, 0).reshape(n, -1)
                if flat.shape[1] <= WIDEST and flat.dtype.kind in "biufUS":
                    found.append(flat.astype(str) if flat.dtype.kind == "S" else flat)
    return found


@dataclass(frozen=True, eq=False)
class Read:
    """What is read of each cell of each record: (n, d) float64, and how far off it may be, (d,)."""

    values: np.ndarray
    off: np.ndarray

    def right(self, cells: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """(m, d) bool. rows: which record's values are taken for each of other records."""
        values = self.values if rows is None else self.values[rows]
        with np.errstate(invalid="ignore"):
            result: np.ndarray = np.abs(values - cells) <= self.off
            return result


def recovered(
    cells: np.ndarray, stored: np.ndarray, half: np.ndarray, scaled: bool
) -> tuple[Read, Read]:
    """What stored arrays (v, n) give of cells (n, d), and what the most frequent values give.

    For every column the array that does best on one half of the records is read for the other half,
    and the other way round; where none does better than the most frequent value, that is taken.
    """
    n, d = cells.shape
    mixed = _mix(cells, stored, half) if scaled else None
    read = np.empty((n, d))
    usual = np.empty((n, d))
    off = np.zeros(d)
    for j in range(d):
        column = cells[:, j]
        seen = np.isfinite(column)
        if scaled and seen.any():
            off[j] = CLOSE * float(column[seen].std())
        for side in (half, ~half):
            learn, try_ = np.flatnonzero(side & seen), np.flatnonzero(~side)
            best = _mode(column[learn])
            usual[try_, j] = read[try_, j] = best
            if len(learn) < 10:
                continue
            few = learn[:: max(1, len(learn) // SCREEN)]
            floor = float((np.abs(column[few] - best) <= off[j]).mean())
            best_array = _scaled if scaled else _mapped
            which, rate = best_array(stored, column, few, off[j])
            if which >= 0 and rate > floor + 0.01:
                read[try_, j] = _decode(stored[which], column, learn, try_, scaled, best)
            if mixed is not None:
                own = float((np.abs(mixed[few, j] - column[few]) <= off[j]).mean())
                if own > max(rate, floor + 0.01):
                    read[try_, j] = mixed[try_, j]
    return Read(read, off), Read(usual, off)


def _mix(cells: np.ndarray, stored: np.ndarray, half: np.ndarray) -> np.ndarray | None:
    """(n, d) what straight mixes of all stored arrays give of each cell, as turned axes do: fitted
    on records of the other half, gaps as that half's means; None where arrays are too many."""
    n, d = cells.shape
    v = len(stored)
    if not 2 <= v <= min(WIDEST, n // 8):
        return None
    given = np.nan_to_num(stored.T, nan=0.0, posinf=0.0, neginf=0.0)
    given = np.concatenate([given, np.ones((n, 1))], axis=1)
    found = np.empty((n, d))
    for side in (half, ~half):
        rows = np.flatnonzero(side)[: max(SCREEN, 4 * v)]
        own = cells[rows]
        seen = np.isfinite(own)
        mean = np.where(seen, own, 0.0).sum(axis=0) / np.maximum(1, seen.sum(axis=0))
        filled = np.where(seen, own, mean)
        whole = seen.all(axis=1)
        use = whole if whole.sum() > 2 * v else np.ones(len(rows), dtype=bool)
        found[~side] = given[~side] @ np.linalg.lstsq(given[rows[use]], filled[use], rcond=None)[0]
    return found


def _mode(values: np.ndarray) -> float:
    if not len(values):
        return 0.0
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[counts.argmax()])


def _mapped(
    stored: np.ndarray, column: np.ndarray, rows: np.ndarray, off: float
) -> tuple[int, float]:
    """The array of codes whose majority levels are right most often, and how often."""
    levels, level = np.unique(column[rows], return_inverse=True)
    best = (-1, 0.0)
    for v, codes in enumerate(stored):
        size = (int(codes.max()) + 1, len(levels))
        joined = codes[rows] * size[1] + level
        table = np.bincount(joined, minlength=size[0] * size[1]).reshape(size)
        # A code's own record does not count: as many codes as records would always be right.
        rate = float(np.maximum(table.max(axis=1) - 1.0, 0.0).sum() / len(rows))
        best = max(best, (v, rate), key=lambda pair: pair[1])
    return best


def _scaled(
    stored: np.ndarray, column: np.ndarray, rows: np.ndarray, off: float
) -> tuple[int, float]:
    """The array that a straight line turns into the column best, and the share it gives back."""
    if not len(stored):
        return -1, 0.0
    x = column[rows]
    v = np.nan_to_num(stored[:, rows], nan=0.0, posinf=0.0, neginf=0.0)
    v, centred = v - v.mean(axis=1, keepdims=True), x - x.mean()
    length = np.sqrt((v**2).sum(axis=1) * (centred**2).sum())
    alike = np.abs(np.divide(v @ centred, length, out=np.zeros(len(v)), where=length > 0))
    which = int(alike.argmax())
    line = _line(stored[which, rows], x)
    right = np.abs(stored[which, rows] * line[0] + line[1] - x) <= max(off, 1e-12)
    return which, float(right.mean())


def _line(v: np.ndarray, x: np.ndarray) -> tuple[float, float]:
    """Slope and offset from v to x, by the two records that lie farthest apart."""
    ok = np.flatnonzero(np.isfinite(v))
    if not len(ok):
        return 0.0, 0.0
    a, b = ok[v[ok].argmin()], ok[v[ok].argmax()]
    if v[a] == v[b]:
        return 0.0, float(x[a])
    slope = float((x[b] - x[a]) / (v[b] - v[a]))
    return slope, float(x[a] - slope * v[a])


def _decode(
    stored: np.ndarray,
    column: np.ndarray,
    learn: np.ndarray,
    try_: np.ndarray,
    scaled: bool,
    best: float,
) -> np.ndarray:
    if scaled:
        slope, offset = _line(stored[learn], column[learn])
        result: np.ndarray = stored[try_] * slope + offset
        return result
    codes, code = np.unique(stored, return_inverse=True)
    levels, level = np.unique(column[learn], return_inverse=True)
    table = np.zeros((len(codes), len(levels)))
    np.add.at(table, (code[learn], level), 1.0)
    named = np.where(table.max(axis=1) > 0, levels[table.argmax(axis=1)], best)
    guess: np.ndarray = named[code[try_]]
    return guess


__all__ = ["Cells", "Read", "code_vectors", "number_vectors", "recovered"]
