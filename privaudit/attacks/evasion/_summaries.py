"""The summaries of one variable that suit an attacker best, among those of a possible patient.

Of the n values behind a variable's summaries the smallest is the minimum and the largest the
maximum, so the mean lies in [min + (max - min) / n, max - (max - min) / n]; the first and the last
lie between them. Under a box for each summary a linear goal has its maximum at a corner. For given
minimum and maximum the best first, last and mean are known, and what is left is a concave function
of two numbers, linear between few lines: its maximum lies where two of them cross. All crossings
are tried, for all variables and records at once, which is the exact solution of the linear program.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MIN, MAX, MEAN, FIRST, LAST = range(5)
"""Places of the summaries, in the order of `_constraints.SUMMARIES`."""

Crossings = list[tuple[np.ndarray, np.ndarray]]


def maximise(
    slopes: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    at: np.ndarray,
    share: np.ndarray,
    whole: np.ndarray,
) -> np.ndarray:
    """(m, 5) summaries that maximise the sum of slopes times summaries.

    Args:
        slopes: (m, 5) of the goal; where all of a variable are 0 it stays as it is.
        low: (m, 5) least values, finite.
        high: (m, 5) greatest values.
        at: (m, 5) a possible variable.
        share: (m,) 1 / n, at most one half; 0 where the number of values is not known.
        whole: (m,) bool, all but the mean are whole numbers. Crossings are then rounded either way,
            so the result is possible and within a step of the best.
    """
    found = at.copy()
    moves = (slopes != 0).any(axis=1)
    for part in (moves & ~whole, moves & whole):
        rows = np.flatnonzero(part)
        if len(rows):
            own = slopes[rows], low[rows], high[rows], at[rows], share[rows]
            found[rows] = _maximise(*own, whole=bool(whole[rows[0]]))
    return found


def _maximise(
    w: np.ndarray, low: np.ndarray, high: np.ndarray, at: np.ndarray, q: np.ndarray, *, whole: bool
) -> np.ndarray:
    least, most = low[:, MIN], high[:, [MIN, FIRST, LAST]].min(axis=1)
    floor, ceiling = low[:, [MAX, FIRST, LAST]].max(axis=1), high[:, MAX]
    sides = [low, high, w, least, most, floor, ceiling, q]
    a, b = (np.stack(part, axis=1) for part in zip(*_crossings(sides, at, whole), strict=True))
    # 1e-9: crossings are rounded sums of values of this size.
    slack = 1e-9 * (1 + np.abs(np.stack([low, high])).max(axis=(0, 2)))[:, None]
    with np.errstate(invalid="ignore"):
        lower, upper = _mean_between(a, b, q[:, None])
        possible = (a >= least[:, None] - slack) & (a <= most[:, None] + slack)
        possible &= (b >= floor[:, None] - slack) & (b <= ceiling[:, None] + slack)
        possible &= (a <= b + slack) & (lower <= high[:, MEAN, None] + slack)
        possible &= upper >= low[:, MEAN, None] - slack
        worth = w[:, MIN, None] * a + w[:, MAX, None] * b
        for part, lowest, highest in ((FIRST, a, b), (LAST, a, b), (MEAN, lower, upper)):
            up = np.minimum(high[:, part, None], highest)
            down = np.maximum(low[:, part, None], lowest)
            worth += w[:, part, None] * np.where(w[:, part, None] > 0, up, down)
        worth[~possible] = -np.inf
    best = worth.argmax(axis=1)
    rows = np.arange(len(w))
    found = np.empty_like(at)
    found[:, MIN] = np.clip(a[rows, best], least, most)
    found[:, MAX] = np.clip(b[rows, best], np.maximum(floor, found[:, MIN]), ceiling)
    lower, upper = _mean_between(found[:, MIN], found[:, MAX], q)
    ends = found[:, MIN].copy(), found[:, MAX].copy()
    for part, lowest, highest in ((FIRST, *ends), (LAST, *ends), (MEAN, lower, upper)):
        down, up = np.maximum(low[:, part], lowest), np.minimum(high[:, part], highest)
        goal = w[:, part]
        stay = np.maximum(down, np.minimum(up, at[:, part]))
        found[:, part] = np.where(goal > 0, up, np.where(goal < 0, down, stay))
    return found


def _mean_between(a: np.ndarray, b: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest mean of 1 / q values between a and b that touch both."""
    return (1 - q) * a + q * b, q * a + (1 - q) * b


def _crossings(sides: Sequence[np.ndarray], at: np.ndarray, whole: bool) -> Crossings:
    """Pairs of (m,) minima and maxima where two lines cross, the present pair first."""
    low, high, w, least, most, floor, ceiling, q = sides
    kinks = (FIRST, LAST)
    upright = [least, most, *(np.where(w[:, k] < 0, low[:, k], least) for k in kinks)]
    level = [floor, ceiling, *(np.where(w[:, k] > 0, high[:, k], ceiling) for k in kinks)]
    found = [(at[:, MIN], at[:, MAX])]
    found += [(a, b) for a in upright for b in level]
    found += [(v, v) for v in (*upright, *level)]
    rising = w[:, MEAN] > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        # (value, whether it is the greatest possible mean that is held at it) of three lines.
        lines = [
            (high[:, MEAN], np.zeros(len(q), dtype=bool)),
            (low[:, MEAN], np.ones(len(q), dtype=bool)),
            (np.where(rising, high[:, MEAN], low[:, MEAN]), rising),
        ]
        for value, greatest in lines:
            of_min = np.where(greatest, q, 1 - q)
            found += _rounded(
                [(a, (value - of_min * a) / (1 - of_min)) for a in upright], whole, (1,)
            )
            found += _rounded(
                [((value - (1 - of_min) * b) / of_min, b) for b in level], whole, (0,)
            )
        both = [(value, value) for value, _ in lines]
        for lower, upper in ((lines[0][0], lines[1][0]), (lines[2][0], lines[2][0])):
            both.append(
                (
                    ((1 - q) * lower - q * upper) / (1 - 2 * q),
                    ((1 - q) * upper - q * lower) / (1 - 2 * q),
                )
            )
        found += _rounded(both, whole, (0, 1))
    return found


def _rounded(pairs: Crossings, whole: bool, parts: tuple[int, ...]) -> Crossings:
    """The pairs, or all ways of rounding these parts of them."""
    if not whole:
        return pairs
    ways = [pairs]
    for part in parts:
        ways = [
            [
                (np.floor(p[0]) if side else np.ceil(p[0]), p[1])
                if part == 0
                else (p[0], np.floor(p[1]) if side else np.ceil(p[1]))
                for p in way
            ]
            for way in ways
            for side in (True, False)
        ]
    return [pair for way in ways for pair in way]


__all__ = ["FIRST", "LAST", "MAX", "MEAN", "MIN", "maximise"]
