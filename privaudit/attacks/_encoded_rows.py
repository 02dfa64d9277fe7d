"""What an encoded row may look like, found by encoding probes, and how it is graded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from privaudit.records import Column, Records

WITHIN = 0.319
"""Standard deviations by which a reconstructed number may miss: Vero et al. 2023 (arXiv
2210.01785), section 5."""
EXACT = 0.01
"""Encoded units by which a column of an exactly reconstructed row may miss."""
SHARE = 0.95
"""Share of a row's encoded columns that must be that near: float32 weights lose the last digits."""
NOT_THERE = 1e6


@dataclass(frozen=True, eq=False)
class Layout:
    """Which encoded columns stand for which column, and what they may hold.

    low, high: (w,); discrete: (w,) bool, columns that hold one of two or three values; allowed:
    (w, 3), those values (repeated where there are fewer). value: (d,), the encoded column of each
    number, -1 for categories; mask: (d,), its mask's or -1; groups: the encoded columns of each
    category, by column; there: (d,), what a mask holds for a value that is there; tolerance: (d,),
    by how much a cell may miss; varies: (w,) bool, columns that differ between the attacker's own
    records; usual: (w,), the mean of numbers and the most frequent level of the rest, in those
    records.
    """

    low: np.ndarray
    high: np.ndarray
    discrete: np.ndarray
    allowed: np.ndarray
    value: np.ndarray
    mask: np.ndarray
    there: np.ndarray
    groups: dict[int, np.ndarray]
    tolerance: np.ndarray
    varies: np.ndarray
    usual: np.ndarray

    @classmethod
    def probe(cls, encode: Callable[[Records], np.ndarray], reference: Records) -> Layout:
        """Encode an empty record and one record for each level or bound of each column."""
        columns, own = reference.columns, encode(reference).astype(np.float64)
        asked = [(-1, np.nan)]
        for j, column in enumerate(columns):
            asked += [(j, v) for v in _values(column, reference.X[:, j])]
        x = np.full((len(asked), len(columns)), np.nan, dtype=np.float32)
        for row, (j, v) in enumerate(asked):
            if j >= 0:
                x[row, j] = v
        base = reference.take(np.zeros(len(asked), dtype=np.int64))
        shown = encode(replace(base, X=x)).astype(np.float64)
        w, d = shown.shape[1], len(columns)
        empty = shown[0]
        low, high = np.minimum(empty, own.min(axis=0)), np.maximum(empty, own.max(axis=0))
        discrete, allowed = np.zeros(w, dtype=bool), np.repeat(empty[:, None], 3, axis=1)
        value, mask, there = np.full(d, -1), np.full(d, -1), np.zeros(d)
        groups = {}
        owner = np.array([j for j, _ in asked])
        for j, column in enumerate(columns):
            rows = shown[owner == j]
            moved = np.ptp(rows, axis=0) > 1e-9
            low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
            if column.kind == "category":
                groups[j] = np.flatnonzero(moved)
            elif moved.any():
                value[j] = int(np.flatnonzero(moved)[0])
            sure = moved if column.kind != "numeric" else np.zeros(w, dtype=bool)
            flags = np.flatnonzero(~moved & (np.abs(rows[0] - empty) > 1e-9))
            if len(flags):
                mask[j], there[j] = int(flags[0]), rows[0, flags[0]]
            for c in (*np.flatnonzero(sure), *flags):
                discrete[c] = True
                allowed[c] = empty[c], rows[:, c].min(), rows[:, c].max()
        usual = own.mean(axis=0)
        gaps = np.abs(own[:, :, None] - allowed[None]) < 1e-6
        common = allowed[np.arange(w), gaps.sum(axis=0).argmax(axis=1)]
        usual = np.where(discrete, common, usual)
        for where in groups.values():
            usual[where] = 0.0
            if len(where) and own[:, where].any():
                usual[where[own[:, where].sum(axis=0).argmax()]] = 1.0
        tolerance = np.full(d, 0.5)
        numeric = [j for j in range(d) if value[j] >= 0 and columns[j].kind == "numeric"]
        tolerance[numeric] = np.maximum(WITHIN * own[:, value[numeric]].std(axis=0), 1e-3)
        varies = np.ptp(own, axis=0) > 1e-6
        return cls(
            low, high, discrete, allowed, value, mask, there, groups, tolerance, varies, usual
        )

    def keep_read(self) -> Layout:
        """The same without the columns that the encoding does not read: every guess of such a
        column would agree."""
        d = len(self.value)
        kept = [j for j in range(d) if self.value[j] >= 0 or len(self.groups.get(j, ()))]
        groups = {new: self.groups[j] for new, j in enumerate(kept) if j in self.groups}
        return replace(
            self,
            value=self.value[kept],
            mask=self.mask[kept],
            there=self.there[kept],
            tolerance=self.tolerance[kept],
            groups=groups,
        )

    def valid(self, rows: np.ndarray) -> np.ndarray:
        """(n,) share of a row's columns that hold what the encoding can produce.

        Of the discrete columns that differ between people; without any, of all columns.
        """
        inside = (rows >= self.low - 0.05) & (rows <= self.high + 0.05)
        near = np.abs(rows[:, :, None] - self.allowed[None]).min(axis=2) < 2 * EXACT
        chosen = self.discrete & self.varies
        found = inside.mean(axis=1)
        result: np.ndarray = (
            np.minimum(found, near[:, chosen].mean(axis=1)) if chosen.any() else found
        )
        return result

    def tidy(self, rows: np.ndarray) -> np.ndarray:
        """Rows as near as the encoding allows: numbers cut to their range, the rest to a value."""
        out = np.clip(rows, self.low, self.high)
        nearest = np.abs(out[:, :, None] - self.allowed[None]).argmin(axis=2)
        snapped = self.allowed[np.arange(out.shape[1]), nearest]
        out = np.where(self.discrete, snapped, out)
        for where in self.groups.values():
            if not len(where):
                continue
            block = rows[:, where]
            top = block.argmax(axis=1)
            out[:, where] = 0.0
            clear = block.max(axis=1) > 0.5
            out[clear, where[top[clear]]] = 1.0
        result: np.ndarray = out
        return result

    def cells(self, rows: np.ndarray) -> np.ndarray:
        """(n, w) encoded -> (n, d): a number's encoded value, a code, or NOT_THERE."""
        out = np.full((len(rows), len(self.value)), NOT_THERE)
        for j, where in self.groups.items():
            if len(where):
                block = rows[:, where]
                out[:, j] = np.where(block.max(axis=1) > 0.5, block.argmax(axis=1), NOT_THERE)
        some = self.value >= 0
        out[:, some] = rows[:, self.value[some]]
        coded = np.flatnonzero(some)[self.discrete[self.value[some]]]
        for j in coded:
            options = self.allowed[self.value[j]]
            out[:, j] = 10 * np.abs(out[:, j, None] - options).argmin(axis=1)
            # The first option is the encoding of a gap, which may also be that of a value.
            out[:, j] = np.where(options[(out[:, j] / 10).astype(int)] == options[0], 0, out[:, j])
        flagged = np.flatnonzero(self.mask >= 0)
        empty = self.allowed[self.mask[flagged], 0]
        seen = rows[:, self.mask[flagged]]
        gone = np.abs(seen - empty) < np.abs(seen - self.there[flagged])
        out[:, flagged] = np.where(gone, NOT_THERE, out[:, flagged])
        return out

    def agreement(self, guessed: np.ndarray, true: np.ndarray) -> np.ndarray:
        """(g, w), (t, w) encoded -> (g, t) share of cells right, for each guess and true row."""
        a, b = self.cells(guessed), self.cells(true)
        return np.stack([(np.abs(row - b) <= self.tolerance).mean(axis=1) for row in a])


def exact(guessed: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(t,) bool: some guessed row is this row, within EXACT in SHARE of the encoded columns."""
    found = np.zeros(len(true), dtype=bool)
    for row in guessed:
        found |= (np.abs(row - true) <= EXACT).mean(axis=1) >= SHARE
    return found


def matched(layout: Layout, guessed: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(t,) share of cells right in the guessed row assigned to each true row, the best for all.

    A server does not know which row is whose: assignment as in Vero et al. 2023, section 5.
    """
    from scipy.optimize import linear_sum_assignment

    share = layout.agreement(guessed, true)
    rows, columns = linear_sum_assignment(share, maximize=True)
    found = np.zeros(len(true))
    found[columns] = share[rows, columns]
    return found


def _values(column: Column, own: np.ndarray) -> list[float]:
    if column.kind == "category":
        return [float(v) for v in range(len(column.levels))]
    if column.kind == "binary":
        return [0.0, 1.0]
    if column.bounds is not None and column.bounds[1] > column.bounds[0]:
        return [float(column.bounds[0]), float(column.bounds[1])]
    seen = own[np.isfinite(own)]
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)
    return [low, high] if high > low else [low, low + 1.0]
