"""Missing values as columns of their own: a value everywhere, and whether it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.records import Column


@dataclass(frozen=True)
class Gaps:
    """Which columns are missing together: each such pattern is one yes-or-no column.

    Args:
        patterns: Tuples of column indices.
        indicators: For each pattern the `measured` column that says the same already (its flag is
            then no further column), or -1.
    """

    patterns: tuple[tuple[int, ...], ...]
    indicators: tuple[int, ...]

    @classmethod
    def of(cls, columns: Sequence[Column], X: np.ndarray | None = None) -> Gaps:
        """The patterns of these columns. The summaries of one variable are one, by the schema.

        Without it nothing is read off the data: every column outside a variable may be missing.

        Args:
            X: (n, d); where given, columns that have no gap need no flag, and columns whose gaps
                are the same in every row share one.
        """
        own: dict[object, list[int]] = {}
        gauge: dict[object, int] = {}
        marked = {c.variable: j for j, c in enumerate(columns) if c.statistic == "measured"}
        for j, column in enumerate(columns):
            if column.statistic == "measured":
                continue
            key: object = j
            if column.variable in marked and column.variable:
                if column.statistic == "count":
                    continue
                key = column.variable
                gauge[key] = marked[column.variable]
            elif X is not None:
                missing = np.isnan(X[:, j])
                if not missing.any():
                    continue
                key = np.packbits(missing).tobytes()
            own.setdefault(key, []).append(j)
        return cls(tuple(tuple(js) for js in own.values()), tuple(gauge.get(k, -1) for k in own))

    @property
    def flags(self) -> list[int]:
        """Indices of the patterns that need a flag, in the order of `split`'s columns."""
        return [i for i, j in enumerate(self.indicators) if j < 0]

    def split(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, d) with the median in the gaps, and (n, flags) bool, True = missing."""
        flags = np.isnan(X[:, [self.patterns[i][0] for i in self.flags]])
        missing = np.isnan(X)
        filled = X.copy()
        for j in np.flatnonzero(missing.any(axis=0)):
            seen = X[~missing[:, j], j]
            filled[missing[:, j], j] = _typical(seen)
        return filled, flags

    def join(self, filled: np.ndarray, flags: np.ndarray) -> np.ndarray:
        """(n, d) with NaN where the flags, or `measured` columns, say that nothing was measured."""
        out = filled.copy()
        for column, i in enumerate(self.flags):
            _clear(out, flags[:, column], self.patterns[i])
        for pattern, j in zip(self.patterns, self.indicators, strict=True):
            if j >= 0:
                _clear(out, filled[:, j] < 0.5, pattern)
        return out


def _clear(out: np.ndarray, rows: np.ndarray, columns: Sequence[int]) -> None:
    out[np.flatnonzero(rows)[:, None], np.array(columns)] = np.nan


def _typical(seen: np.ndarray) -> float:
    """The lower median: a value that occurs, so that whole numbers and codes stay what they are."""
    if not len(seen):
        return 0.0
    return float(np.partition(seen, (len(seen) - 1) // 2)[(len(seen) - 1) // 2])


__all__ = ["Gaps"]
