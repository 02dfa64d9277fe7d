"""Values in a file that few patients have: extremes of numbers, names of rare levels."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from privaudit.disclosure_limits import MIN_CELL
from privaudit.records import Records


def find_rare(
    arrays: Sequence[np.ndarray], words: Collection[str], pool: Records, names: Collection[str]
) -> np.ndarray:
    """(n,) bool: records with a value that the file holds and fewer than `MIN_CELL` patients of
    their pool have.

    Of a number the smallest and the largest value of the pool count, which scalers and tables of
    features store; others are thresholds of trees by chance. Of a category its levels' names.
    arrays: of the file; words: its texts; names: columns that count.
    """
    found = np.zeros(len(pool), dtype=bool)
    asked, where = [], []
    for j, column in enumerate(pool.columns):
        if column.name not in names:
            continue
        x = pool.X[:, j].astype(np.float64)
        seen = np.isfinite(x)
        if column.kind == "category":
            for code in np.unique(x[seen]).astype(int):
                rows = seen & (x == code)
                name = column.levels[code] if 0 <= code < len(column.levels) else ""
                if name in words and not _is_number(name) and _are_few(pool, rows):
                    found |= rows
        elif column.kind == "numeric" and seen.any():
            for value in (x[seen].min(), x[seen].max()):
                rows = seen & (x == value)
                if _are_few(pool, rows):
                    asked.append(np.float32(value))
                    where.append(rows)
    for value, rows in zip(_held(arrays, np.array(asked, dtype=np.float32)), where, strict=True):
        found |= rows & value
    return found


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _are_few(pool: Records, rows: np.ndarray) -> bool:
    return len(np.unique(pool.patient[rows])) < MIN_CELL


def _held(arrays: Sequence[np.ndarray], asked: np.ndarray) -> np.ndarray:
    """(k,) bool: whether an array of numbers that need not be whole holds each value."""
    held = np.zeros(len(asked), dtype=bool)
    distinct, place = np.unique(asked, return_inverse=True)
    if not len(distinct):
        return held
    there = np.zeros(len(distinct), dtype=bool)
    for array in arrays:
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                flat = array.astype(np.float32).ravel()
            at = np.searchsorted(distinct, flat).clip(0, len(distinct) - 1)
            there[np.unique(at[distinct[at] == flat])] = True
    held[:] = there[place]
    return held


__all__ = ["find_rare"]
