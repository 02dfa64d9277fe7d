"""Which cells of known records a file's arrays give back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from privaudit.inputs.artefacts.pickled_arrays import Content
from privaudit.records import Records

WIDEST = 4096
"""Columns of one array that are looked at."""
CODES = 1000
"""Most different values of an array that may be codes of levels."""
SCREEN = 2000
"""Records on which arrays are tried first."""
CLOSE = 1e-3
"""Numbers are given back if they are right to this share of a standard deviation."""
CELLS = 10**8
"""Most cells of a table that is put together of short arrays."""
IDENTIFYING = 20
"""Different values that a column needs to tell records apart."""
ALIKE = 0.5
"""How far a longer stored column must agree on how often values occur; chance is below."""


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
            found += _one_hot(array)
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


def _one_hot(array: np.ndarray) -> list[np.ndarray]:
    """Codes of runs of columns of which one is 1 in each row and the others 0."""
    with np.errstate(invalid="ignore"):
        binary = ((array == 0) | (array == 1)).all(axis=0)
    found, start = [], 0
    while start < len(binary):
        total = np.zeros(len(array))
        for end in range(start, len(binary)):
            if not binary[end]:
                break
            total += array[:, end]
            if total.max() > 1:
                break
            if end > start and (total == 1).all():
                found.append(array[:, start : end + 1].argmax(axis=1))
                start = end
                break
        start += 1
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
    return Read(read, off), Read(usual, off)


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


def stored_rows(content: Content, members: Cells, others: Cells) -> tuple[np.ndarray, np.ndarray]:
    """(n,) and (m,) float64, 1 where all identifying cells of a record are in one stored row.

    A stored column stands for the column of the records whose values it holds as often
    (`_aligned`), of numbers or of codes as they are or up to a change of scale (`_unscale`); a
    column of few values stands for none. At least two must.
    """
    sides = (members, others)
    inside, outside = (np.concatenate([side.numbers, side.codes], axis=1) for side in sides)
    present, absent = np.zeros(len(inside)), np.zeros(len(outside))
    known = {}
    for j, column in enumerate(inside.T):
        values = _Values.of(column)
        if len(values.distinct) >= IDENTIFYING:
            known[j] = values
    for array in (*content.arrays, *_stack(content)):
        if array.ndim != 2 or array.dtype.kind not in "iuf" or min(array.shape) < 2:
            continue
        for table in (array, array.T):
            if table.shape[1] > WIDEST or len(table) < 2:
                continue
            table = _unscale(table, known)
            pairs = _aligned(table.astype(np.float32), known)
            if len(pairs) < 2:
                continue
            ours, theirs = [p[0] for p in pairs], [p[1] for p in pairs]
            rows = {_key(row) for row in table[:, theirs].astype(np.float32)}
            for cells, out in ((inside, present), (outside, absent)):
                narrow = cells[:, ours].astype(np.float32)
                found = np.array([_key(row) in rows for row in narrow], dtype=bool)
                out[found & np.isfinite(narrow).any(axis=1)] = 1.0
    return present, absent


def _stack(content: Content) -> list[np.ndarray]:
    """Short arrays of one length, as the rows of a table: how lists and mappings of rows are
    stored; and arrays of one entry a row, as its columns."""
    found: dict[int, list[np.ndarray]] = {}
    for array in content.arrays:
        if array.ndim == 1 and len(array) > 1 and array.dtype.kind in "iuf":
            found.setdefault(len(array), []).append(array.astype(np.float64))
    return [
        np.stack(parts)
        for width, parts in found.items()
        if len(parts) > 1 and max(width, len(parts)) >= IDENTIFYING and len(parts) * width <= CELLS
    ]


def _unscale(table: np.ndarray, known: dict[int, _Values]) -> np.ndarray:
    """(n, d) float64: columns that are a rising straight line of a known column, value for value,
    as that column's values; the others as they are.

    A scaler before the model stores rows so: they hold as many different values as the records,
    each as often.
    """
    plain = table.astype(np.float64)
    for c in range(plain.shape[1]):
        there = np.isfinite(plain[:, c])
        distinct, place, counts = np.unique(
            plain[there, c], return_inverse=True, return_counts=True
        )
        for own in known.values():
            values = own.distinct.astype(np.float64)
            if len(values) != len(distinct) or (counts != own.counts).mean() > 1 - ALIKE:
                continue
            slope = (values[-1] - values[0]) / (distinct[-1] - distinct[0])
            line = values[0] + slope * (distinct - distinct[0])
            if np.abs(line - values).max() <= CLOSE * values.std():
                plain[there, c] = values[place]
                break
    return plain


def _key(row: np.ndarray) -> bytes:
    return np.where(np.isnan(row), np.float32(np.inf), row + np.float32(0.0)).tobytes()


@dataclass(frozen=True, eq=False)
class _Values:
    """The different values of a column, float32 in order, and how often each occurs."""

    distinct: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, column: np.ndarray) -> _Values:
        narrow = column[np.isfinite(column)].astype(np.float32)
        return cls(*np.unique(narrow, return_counts=True))

    def alike(self, other: _Values) -> float:
        """How far both agree on how often each of their common values occurs, from 0 to 1."""
        _, one, two = np.intersect1d(
            self.distinct, other.distinct, assume_unique=True, return_indices=True
        )
        if not len(one):
            return 0.0
        a, b = self.counts[one], other.counts[two]
        return float(np.minimum(a / a.sum(), b / b.sum()).sum())


def _aligned(table: np.ndarray, known: dict[int, _Values]) -> list[tuple[int, int]]:
    """(column of the records, stored column) pairs, the closest fits first come.

    A column fits another if it holds all its values, either way round: a file may hold a part of
    the records, and an audit may read a part of those the file was made from, where the values
    must occur as often too.
    """
    fits = []
    for c in range(table.shape[1]):
        values = _Values.of(table[:, c])
        if len(values.distinct) < IDENTIFYING:
            continue
        for j, own in known.items():
            part = _within(values.distinct, own.distinct)
            if not part and not _within(own.distinct, values.distinct):
                continue
            alike = values.alike(own)
            if part or alike >= ALIKE:
                fits.append((alike, j, c))
    pairs: list[tuple[int, int]] = []
    for _, j, c in sorted(fits, key=lambda fit: (-fit[0], abs(fit[1] - fit[2]))):
        if all(j != one and c != other for one, other in pairs):
            pairs.append((j, c))
    return pairs


def _within(part: np.ndarray, other: np.ndarray) -> bool:
    """Whether all of these values are among those; a few are tried first."""
    return bool(np.isin(part[:50], other).all() and np.isin(part, other).all())
