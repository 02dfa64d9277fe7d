"""What an attacker may change in a record so that it still describes a possible patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privaudit.records import Column, Records

SUMMARIES = ("min", "max", "mean", "first", "last")
FIXED = ("count", "measured")
ROUNDS = 6


def movable(column: Column) -> bool:
    """Mutable numbers move; codes, flags, counts do not: a budget below one step reaches none."""
    return column.mutable and column.kind == "numeric" and column.statistic not in FIXED


@dataclass(frozen=True, eq=False)
class Box:
    """How far each value may move, and how the summaries of one variable hang together.

    low, high: (n, d) float64, equal to x where nothing may move; places: (variables, 5) column
    numbers in the order of SUMMARIES, -1 where there is none.
    """

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    places: np.ndarray

    @classmethod
    def of(cls, records: Records, spread: np.ndarray, budget: float) -> Box:
        """Boxes of `budget` standard deviations (spread: (d,), 0 for what must not move)."""
        x = records.X.astype(np.float64)
        low, high = x - budget * spread, x + budget * spread
        for j, column in enumerate(records.columns):
            if column.bounds is not None:
                # A value already outside its public range may stay there but goes no further.
                low[:, j] = np.maximum(low[:, j], np.minimum(x[:, j], column.bounds[0]))
                high[:, j] = np.minimum(high[:, j], np.maximum(x[:, j], column.bounds[1]))
        return cls(x, low, high, summaries(records.columns))

    def rows(self, rows: np.ndarray) -> Box:
        """The boxes of some records."""
        return Box(self.x[rows], self.low[rows], self.high[rows], self.places)

    def project(self, values: np.ndarray) -> np.ndarray:
        """The nearest possible record found: in the box, and min <= mean, first, last <= max.

        Where a variable was measured once (min = max) its summaries move together. Alternating
        projections first; a variable that still breaks a rule moves back towards where it was just
        as far as it must. Missing stays missing.
        """
        values = np.clip(values, self.low, self.high)
        if not len(self.places):
            return values
        moved = _pick(values, self.places)
        start = _pick(self.x, self.places)
        low, high = _pick(self.low, self.places), _pick(self.high, self.places)
        once = start[..., 0] == start[..., 1]
        for _ in range(ROUNDS):
            met = [_meet(moved, i, j) for i, j in _rules()]
            if not any(met):
                break
            moved = np.clip(moved, low, high)
        moved = np.where(once[..., None], _together(moved, start, low, high), moved)
        moved = start + _share(moved, start)[..., None] * (moved - start)
        variables, statistics = np.nonzero(self.places >= 0)
        values[:, self.places[variables, statistics]] = moved[:, variables, statistics]
        return values


def summaries(columns: tuple[Column, ...]) -> np.ndarray:
    """(variables, 5) column numbers of each variable's summaries, -1 where there is none."""
    names = sorted({c.variable for c in columns if c.variable})
    places = np.full((len(names), len(SUMMARIES)), -1)
    for j, column in enumerate(columns):
        if column.variable and column.statistic in SUMMARIES:
            places[names.index(column.variable), SUMMARIES.index(column.statistic)] = j
    result: np.ndarray = places[(places >= 0).sum(axis=1) > 1]
    return result


def broken(x: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(n, variables) bool: a summary outside what the others allow."""
    values = _pick(x, places)
    result: np.ndarray = np.any([values[..., i] > values[..., j] for i, j in _rules()], axis=0)
    return result


def _rules() -> list[tuple[int, int]]:
    """Pairs of statistics of which the first may not exceed the second."""
    low, high = SUMMARIES.index("min"), SUMMARIES.index("max")
    inner = [i for i, name in enumerate(SUMMARIES) if name not in ("min", "max")]
    return [(low, high), *((low, i) for i in inner), *((i, high) for i in inner)]


def _pick(x: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(n, variables, 5), NaN where a variable has no such column."""
    return np.where(places[None] >= 0, x[:, np.maximum(places, 0)], np.nan)


def _meet(held: np.ndarray, i: int, j: int) -> bool:
    over = held[..., i] > held[..., j]
    if not over.any():
        return False
    middle = (held[..., i][over] + held[..., j][over]) / 2
    held[..., i][over] = middle
    held[..., j][over] = middle
    return True


def _together(held: np.ndarray, start: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """One shift for all summaries of a variable, their mean shift cut to what each may move."""
    known = np.isfinite(start)
    shift = np.where(known, held - start, 0.0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
    least = np.where(known, low - start, -np.inf).max(axis=-1)
    most = np.where(known, high - start, np.inf).min(axis=-1)
    result: np.ndarray = start + np.clip(shift, least, most)[..., None]
    return result


def _share(held: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(n, variables) in [0, 1]: how much of the move obeys every rule that the record obeyed."""
    share = np.ones(held.shape[:2])
    for i, j in _rules():
        before, after = start[..., j] - start[..., i], held[..., j] - held[..., i]
        # 1e-9: after the midpoint rule a difference may be a rounding error below zero.
        wrong = after < np.where(before >= 0, 0.0, before)
        room = np.where(before >= 0, before, 0.0)[wrong]
        share[wrong] = np.minimum(share[wrong], room / (before - after)[wrong] * (1 - 1e-9))
    return share
