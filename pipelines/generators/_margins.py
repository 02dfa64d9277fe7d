"""How every column is distributed on its own, in the steps of `_pooled`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.generators._gaps import Gaps
from pipelines.generators._pooled import (
    POOL,
    Steps,
    count_patients,
    find_middle,
    round_shares,
    steps,
    weigh,
)
from pipelines.generators._saved import SavedGenerator, damaged
from pipelines.generators._valid import Shape
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records

LEAST = 50
"""Records at least: fewer say nothing about a distribution that would not be about a person."""


def check(records: Records) -> None:
    """Refuse tables that are too small, or have no columns, to learn a distribution from."""
    if len(records) < LEAST:
        raise PrivauditError(
            f"a table of fewer than {LEAST} rows",
            "a generator learns distributions: from so few rows it could only repeat people",
            f"give at least {LEAST} rows; several hundred for anything useful",
        )
    if not records.columns:
        raise PrivauditError(
            "a table without feature columns",
            "there is nothing to generate beside the outcome",
            "describe at least one column in the schema",
        )


@dataclass(frozen=True)
class Layout:
    """The columns that a distribution is kept of: values, then a flag a pattern of gaps, then the
    outcome.

    Args:
        order: (columns,) for a category, the codes in the order in which its distribution runs,
            else empty.
    """

    shape: Shape
    gaps: Gaps
    order: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, records: Records) -> Layout:
        """A category's levels run from the lowest to the highest mean outcome code."""
        order = tuple(
            _by_outcome(records, j) if c.kind == "category" else ()
            for j, c in enumerate(records.columns)
        )
        return cls(Shape.of(records), Gaps.of(records.columns, records.X), order)

    @property
    def coded(self) -> np.ndarray:
        """(width,) bool: whole numbers from 0 that name something."""
        own = [c.kind != "numeric" or c.statistic == "measured" for c in self.shape.columns]
        return np.array([*own, *[True] * len(self.gaps.flags), True])

    def spread(self, records: Records) -> np.ndarray:
        """(n, width) float64, NaN where a value is missing."""
        X = records.X.astype(np.float64)
        for j, codes in enumerate(self.order):
            if codes:
                rank = np.argsort(codes)
                seen = ~np.isnan(X[:, j])
                X[seen, j] = rank[X[seen, j].astype(np.int64)]
        flags = np.isnan(records.X[:, [self.gaps.patterns[i][0] for i in self.gaps.flags]])
        return np.column_stack([X, flags, records.y])

    def gather(self, drawn: np.ndarray) -> Records:
        """Valid records from (n, width) drawn values without gaps."""
        d = len(self.shape.columns)
        X = drawn[:, :d].copy()
        for j, codes in enumerate(self.order):
            if codes:
                X[:, j] = np.array(codes)[np.clip(X[:, j], 0, len(codes) - 1).astype(np.int64)]
        flags = drawn[:, d:-1] > 0.5
        return self.shape.records(self.gaps.join(X, flags), np.rint(drawn[:, -1]))

    @property
    def facts(self) -> dict[str, object]:
        """For the header of a saved file."""
        return {
            "patterns": self.gaps.patterns,
            "indicators": self.gaps.indicators,
            "order": self.order,
        }

    @classmethod
    def read(cls, saved: SavedGenerator) -> Layout:
        """From the header of a saved file; PrivauditError where it does not fit its columns."""
        d = len(saved.shape.columns)
        try:
            indicators = tuple(int(j) for j in saved.facts["indicators"])
            patterns = tuple(tuple(int(j) for j in p) for p in saved.facts["patterns"])
            order = tuple(tuple(int(c) for c in codes) for codes in saved.facts["order"])
        except (KeyError, TypeError, ValueError):
            raise damaged("its header lacks the layout of its columns") from None
        inside = all(0 <= j < d for p in patterns for j in p) and all(
            -1 <= j < d for j in indicators
        )
        levels = [len(c.levels) for c in saved.shape.columns]
        right = len(order) == d and all(
            not codes or sorted(codes) == list(range(k))
            for codes, k in zip(order, levels, strict=True)
        )
        if not (inside and right and len(indicators) == len(patterns) and all(patterns)):
            raise damaged("its header misstates the layout of its columns")
        return cls(saved.shape, Gaps(patterns, indicators), order)


def _by_outcome(records: Records, j: int) -> tuple[int, ...]:
    levels = len(records.columns[j].levels)
    codes = records.X[:, j]
    seen = ~np.isnan(codes)
    known = codes[seen].astype(np.int64)
    count = np.bincount(known, minlength=levels)
    total = np.bincount(known, weights=records.y[seen], minlength=levels)
    # A few records of the whole table's mean steady the rare levels.
    mean = (total + POOL * records.y.mean()) / (count + POOL)
    return tuple(np.argsort(mean, kind="stable").tolist())


@dataclass(frozen=True, eq=False)
class Margins:
    """Inverse distribution functions, column by column, as broken lines: share of rows -> value.

    A value that enough patients share is kept as it is; of the rest the middles of runs of sorted
    values, so that no number is one patient's and none follows an extreme (see `steps`).

    Args:
        p, x: All columns' corners, one after the other.
        starts: (width + 1,) where each begins.
        whole: (width,) bool, columns whose values were whole numbers, of a few patients apart.
    """

    p: np.ndarray
    x: np.ndarray
    starts: np.ndarray
    whole: np.ndarray

    @classmethod
    def fit(cls, layout: Layout, spread: np.ndarray, patient: np.ndarray) -> Margins:
        who = np.unique(patient, return_inverse=True)[1]
        corners, whole = [], np.zeros(spread.shape[1], dtype=bool)
        for j in range(spread.shape[1]):
            seen = ~np.isnan(spread[:, j])
            values, own = spread[seen, j], who[seen]
            whole[j] = count_patients(own[values != np.floor(values)]) < POOL
            if layout.coded[j]:
                corners.append(_levels(values, own))
            else:
                corners.append(_corners(steps(values, own), layout.shape.columns[j]))
        starts = np.cumsum([0, *(len(p) for p, _ in corners)])
        p = np.concatenate([p for p, _ in corners])
        x = np.concatenate([x for _, x in corners])
        return cls(p, x, starts, whole)

    def __call__(self, u: np.ndarray) -> np.ndarray:
        """(n, width) values at these shares, (n, width) in [0, 1]."""
        out = np.empty(u.shape)
        for j, (a, b) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
            out[:, j] = np.interp(u[:, j], self.p[a:b], self.x[a:b])
        out[:, self.whole] = np.rint(out[:, self.whole])
        return out

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """For a saved file."""
        return {
            "corner_share": self.p,
            "corner_value": self.x,
            "corner_start": self.starts.astype(np.int64),
            "whole": self.whole,
        }

    @classmethod
    def read(cls, saved: SavedGenerator, width: int) -> Margins:
        """From a saved file; PrivauditError where its parts do not fit."""
        starts = saved.array("corner_start", 1, shape=(width + 1,)).astype(np.int64)
        p, x = saved.array("corner_share", 1), saved.array("corner_value", 1)
        whole = saved.array("whole", 1, shape=(width,)).astype(bool)
        fits = starts[0] == 0 and starts[-1] == len(p) == len(x) and (np.diff(starts) > 0).all()
        if not fits or np.isnan(p).any() or np.isnan(x).any():
            raise damaged("its distributions do not fit its columns")
        return cls(p.astype(np.float64), x.astype(np.float64), starts, whole)


def _levels(values: np.ndarray, who: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps of the codes that enough patients have, in rounded shares; the others are left out."""
    codes, first = np.unique(np.sort(values), return_index=True)
    parts = np.split(who[np.argsort(values, kind="stable")], first[1:])
    counts = np.array([weigh(part) for part in parts])
    enough = counts > 0
    if not enough.any():
        return np.array([0.0]), np.array([0.0])
    share = np.cumsum(round_shares(counts[enough], count_patients(who)))
    p = np.stack([np.concatenate([[0.0], share[:-1]]), share], axis=1).ravel()
    return p, np.repeat(codes[enough], 2)


def _corners(found: Steps, column: Column) -> tuple[np.ndarray, np.ndarray]:
    """Shared values as flat pieces, the middles of runs as corners between them."""
    bounds = column.bounds or (-np.inf, np.inf)
    if not len(found):
        return np.array([0.5]), np.array([find_middle(column)])
    p, x = [], []
    for value, begin, end, shared in zip(
        found.value, found.begin, found.end, found.shared, strict=True
    ):
        p += [begin, end] if shared else [(begin + end) / 2]
        x += [value, value] if shared else [value]
    return _join(*_ends(np.array(p), np.clip(x, *bounds), bounds))


def _join(p: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The line without the corners in the middle of a flat piece."""
    same = x[1:] == x[:-1]
    kept = np.ones(len(x), dtype=bool)
    kept[1:-1] = ~(same[:-1] & same[1:])
    return p[kept], x[kept]


def _ends(
    p: np.ndarray, x: np.ndarray, bounds: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The line carried on to shares 0 and 1 at its last slope, inside the bounds."""
    if len(p) > 1:
        for end, share in ((0, 0.0), (-1, 1.0)):
            near, far = (p[end], x[end]), (p[1 if end == 0 else -2], x[1 if end == 0 else -2])
            if near[0] not in (0.0, 1.0) and near[0] != far[0]:
                value = near[1] + (near[1] - far[1]) * (share - near[0]) / (near[0] - far[0])
                at = 0 if end == 0 else len(p)
                p, x = np.insert(p, at, share), np.insert(x, at, np.clip(value, *bounds))
    return p, x
