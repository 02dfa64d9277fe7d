"""Tables of rows among a file's arrays, however the rows were laid out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

WIDEST = 4096
"""Columns of one table that are looked at."""
LEAST_ROWS = 20
"""Rows of a table: fewer hold next to nobody, and a table of one axis is read the other way."""
LEAST_FOLDED = 20
"""Records that one row of cells holds at least."""
CELLS = 10**8
"""Most cells of a table that is put together of short arrays."""
MOST_FOLDED = 60
"""Flat arrays that are folded, the longest first."""
MOST_INVERSES = 20_000
"""Columns that are turned back in ways that are tried for one table."""
LARGEST = 1e100
"""No value of a record is as large."""
SHORT = 1.5e-7
"""Records are held in single precision: by what share of its size a value may be off."""
MOST_VECTORS = 8
"""Arrays of one length that may be a scaler's."""
MOST_TURNED = 40
"""Tables of which a matrix turns the axes back."""
TURNED = 1e-6
"""By what share of its size a value of single precision may be off after that."""
MOST_PLACES = 20
"""Columns at which quantiles may begin to hold."""


@dataclass(frozen=True, eq=False)
class Table:
    """(r, w) float64, texts as codes; gaps NaN. rounded: (w,) float64, by what share of its size a
    stored value may be off."""

    cells: np.ndarray
    rounded: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[np.ndarray]) -> Table:
        """Of arrays (r, w_i) side by side."""
        cells = [_as_numbers(part) for part in parts]
        rounded = [
            np.array([_rounding(part, column) for column in own.T])
            for part, own in zip(parts, cells, strict=True)
        ]
        return cls(np.concatenate(cells, axis=1), np.concatenate(rounded))


def list_tables(arrays: Sequence[np.ndarray], width: int) -> Iterator[Table]:
    """Every table that rows of about `width` cells may be stored as, each once.

    Arrays of one length side by side, as columns of a frame are and as inputs and outcomes; turned
    arrays; arrays of one width below each other, as chunks and support vectors of classes are; flat
    arrays, folded by records or by columns; and last, axes that a matrix of the file turns back.
    """
    plain = [one for one in arrays if one.dtype.kind in "biufUS" and one.ndim and one.size]
    seen: set[bytes] = set()
    for parts in _group(plain, width):
        total = sum(part.size for part in parts)
        if len(parts[0]) < LEAST_ROWS or total > CELLS:
            continue
        key = b"".join(
            repr((part.shape, part.strides, part.__array_interface__["data"][0])).encode()
            for part in parts
        )
        if key not in seen:
            seen.add(key)
            yield Table.of(parts)
    for turned, off in _turn_back(plain):
        yield Table(turned, np.full(turned.shape[1], off))


def _turn_back(arrays: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, float]]:
    """(r, d) tables whose axes a matrix of the same file turned, as principal components do, with
    each axis as it is and times a vector's roots, as whitening divides by them; and by what share
    of its size a value may be off."""
    plain = [one for one in arrays if one.dtype.kind == "f" and np.isfinite(one).all()]
    square = [
        one for one in plain if one.ndim == 2 and 2 <= min(one.shape) <= max(one.shape) <= 512
    ]
    made = 0
    for table in plain:
        if table.ndim != 2 or len(table) < max(LEAST_ROWS, 2 * table.shape[1]):
            continue
        wide, k = table.astype(np.float64), table.shape[1]
        steps = [
            one.ravel() for one in plain if one.size == k == max(one.shape) and (one > 0).all()
        ]
        for matrix in square:
            if matrix is table or k not in matrix.shape or 2 * max(matrix.shape) > len(table):
                continue
            # (k, d), or its other side where it is square.
            ways = [matrix] if matrix.shape[0] == k else []
            ways += [matrix.T] if matrix.shape[1] == k else []
            for way in ways:
                back = np.linalg.pinv(way.astype(np.float64)).T
                for factor in (np.ones(k), *(np.sqrt(one) for one in steps[:MOST_VECTORS])):
                    if made >= MOST_TURNED or wide.shape[0] * back.shape[1] > CELLS:
                        return
                    made += 1
                    yield (wide * factor) @ back, SHORT if table.dtype.itemsize > 4 else TURNED


def _group(arrays: list[np.ndarray], width: int) -> Iterator[list[np.ndarray]]:
    by_rows: dict[int, list[np.ndarray]] = {}
    by_width: dict[int, list[np.ndarray]] = {}
    rows_of: dict[int, list[np.ndarray]] = {}
    flats = []
    for array in arrays:
        if array.ndim == 1:
            by_rows.setdefault(len(array), []).append(array[:, None])
            if array.dtype.kind in "biuf":
                rows_of.setdefault(len(array), []).append(array)
                flats.append(array)
            continue
        flat = array.reshape(len(array), -1)
        for turned in (flat, flat.T):
            if turned.shape[1] <= WIDEST:
                by_rows.setdefault(len(turned), []).append(turned)
        if flat.shape[1] > 1 and flat.shape[1] <= WIDEST and flat.dtype.kind in "biuf":
            by_width.setdefault(flat.shape[1], []).append(flat)
        if array.ndim > 2:
            last = array.reshape(-1, array.shape[-1])
            if last.shape[1] <= WIDEST:
                by_rows.setdefault(len(last), []).append(last)
        elif min(array.shape) == 1 and array.dtype.kind in "biuf":
            flats.append(array.ravel())
    for group in by_rows.values():
        yield from _cut(group)
        # Folds and bags of one size hold other records each.
        if len(group) > 1:
            yield from ([part] for part in group if part.shape[1] >= max(2, width // 3))
    for parts in by_width.values():
        if len(parts) > 1:
            yield [np.concatenate(parts)]
    for length, rows in rows_of.items():
        if 1 < length <= WIDEST and len(rows) >= LEAST_ROWS and len(rows) * length <= CELLS:
            yield [np.stack([row.astype(np.float64) for row in rows])]
    flats = [one for one in flats if len(one) >= LEAST_FOLDED * 2 and not _counts_up(one)]
    for flat in sorted(flats, key=len, reverse=True)[:MOST_FOLDED]:
        for d in range(max(2, width // 2), min(WIDEST, 2 * width + 8)):
            if len(flat) >= LEAST_FOLDED * d and len(flat) % d == 0:
                yield [flat.reshape(-1, d)]
                yield [flat.reshape(d, -1).T]


def _counts_up(flat: np.ndarray) -> bool:
    """Whether these are labels, or places in a table: nothing that rows are made of."""
    few = flat[:2000]
    return len(np.unique(few)) < 20 or bool((np.diff(np.sort(few)) == 1).all())


def name_one_hot(cells: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """(first column, codes) of runs of columns of which one is 1 in each row and the others 0."""
    with np.errstate(invalid="ignore"):
        binary = ((cells == 0) | (cells == 1)).all(axis=0)
    found: list[tuple[int, np.ndarray]] = []
    start = 0
    while start < len(binary):
        total = np.zeros(len(cells))
        for end in range(start, len(binary)):
            if not binary[end]:
                break
            total += cells[:, end]
            if total.max() > 1:
                break
            if end > start and (total == 1).all():
                found.append((start, cells[:, start : end + 1].argmax(axis=1)))
                start = end
                break
        start += 1
    return found


def _cut(parts: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """The arrays of one length, as tables of at most `WIDEST` columns."""
    own: list[np.ndarray] = []
    for part in parts:
        if own and sum(one.shape[1] for one in own) + part.shape[1] > WIDEST:
            yield own
            own = []
        own.append(part)
    yield own


def _as_numbers(part: np.ndarray) -> np.ndarray:
    if part.dtype.kind in "US":
        codes = [np.unique(column, return_inverse=True)[1] for column in part.T]
        return np.stack(codes, axis=1).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        wide = part.astype(np.float64)
    with np.errstate(invalid="ignore"):
        wide[~(np.abs(wide) < LARGEST)] = np.nan
    return wide


def _rounding(part: np.ndarray, column: np.ndarray) -> float:
    """By what share of its size a value of this column may be off: half precision is seen by its
    values where a later step widened them."""
    if part.dtype.kind != "f":
        return SHORT
    few = column[np.isfinite(column)][:200]
    with np.errstate(over="ignore"):
        half = few.astype(np.float16).astype(np.float64)
        short = few.astype(np.float32).astype(np.float64)
    if len(few) and (half == few).all() and (few != np.round(few)).any():
        return 6e-4
    return 2 * SHORT if len(few) and (short == few).all() else SHORT


def list_scalings(
    arrays: Sequence[np.ndarray], width: int, likely: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(first column, (b, k) factors, (b, k) offsets): how a scaler's own numbers in the same file
    may turn k columns back, of every two arrays of one length up to the table's width, those of
    about `likely` columns first."""
    vectors: dict[int, list[np.ndarray]] = {}
    for array in arrays:
        flat = array.ravel()
        most = min(width, 3 * likely + 20)
        if array.dtype.kind == "f" and 1 < flat.size <= most and flat.size == max(array.shape):
            own = vectors.setdefault(flat.size, [])
            if np.isfinite(flat).all() and not any(np.array_equal(flat, one) for one in own):
                own.append(flat.astype(np.float64))
    made = 0
    for size, own in sorted(vectors.items(), key=lambda one: (abs(one[0] - likely), one[0])):
        own = own[:MOST_VECTORS]
        factors, offsets = [], []
        for step in (np.ones(size), *own):
            for shift in (np.zeros(size), *own):
                factors.append(step)
                offsets.append(shift)
                if not (step == 0).any():
                    factors.append(1 / step)
                    offsets.append(-shift / step)
        for start in range(min(width - size + 1, MOST_PLACES)):
            made += len(factors) * size
            if made > MOST_INVERSES:
                return
            yield start, np.stack(factors), np.stack(offsets)


def read_ladders(table: Table, arrays: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """(first column, (r, k) float64) as columns of quantiles in the same file turn it back."""
    w = table.cells.shape[1]
    for array in arrays:
        if array.dtype.kind != "f" or array.ndim != 2 or not 2 < array.shape[0] >= array.shape[1]:
            continue
        size = array.shape[1]
        if size > w or not np.isfinite(array).all() or (np.diff(array, axis=0) < 0).any():
            continue
        for start in range(min(w - size + 1, MOST_PLACES)):
            part = table.cells[:, start : start + size]
            yield from ((start, back) for back in _read_ladder(part, array.astype(np.float64)))


def _read_ladder(part: np.ndarray, ladder: np.ndarray) -> Iterator[np.ndarray]:
    from scipy.special import ndtr

    at = np.linspace(0, 1, len(ladder))
    for shares in (part, ndtr(part)):
        known = np.where(np.isfinite(shares), shares, 0.0).clip(0, 1)
        columns = [np.interp(own, at, steps) for own, steps in zip(known.T, ladder.T, strict=True)]
        back = np.stack(columns, axis=1)
        back[~np.isfinite(part)] = np.nan
        yield back


__all__ = ["WIDEST", "Table", "list_scalings", "list_tables", "name_one_hot", "read_ladders"]
