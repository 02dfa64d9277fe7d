"""Mixtures of normal distributions, one a column and all columns at once: a number's modes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MODES = 10
LIGHTEST = 0.005
"""Modes of less weight than this are dropped (Xu et al. 2019's code)."""
CONCENTRATION = 1e-3
ROUNDS = 100
LLOYD = 20
STILL = 1e-3
"""A column is done when its log likelihood, summed over records, moves by less than this."""
FLOOR = 1e-6
POINTS = 256
"""Columns of more distinct values are summarised by this many means of equal shares of them."""
WIDE = 4.0
"""A value is encoded as (value - centre) / (WIDE x spread) of its mode."""


@dataclass(frozen=True, eq=False)
class Modes:
    """centre, spread: (s, MODES) in the columns' units, by rising centre; count: (s,), how many
    hold.

    Args:
        log_weight: (s, MODES), the log of a mode's posterior factor, -inf where it does not hold.
    """

    centre: np.ndarray
    spread: np.ndarray
    count: np.ndarray
    log_weight: np.ndarray

    @classmethod
    def fit(cls, columns: Sequence[np.ndarray]) -> Modes:
        """The modes of each column's values (without gaps, at least two distinct ones each).

        Variational Bayes for a mixture under a Dirichlet process, as scikit-learn's
        BayesianGaussianMixture runs it for the `ctgan` package, on distinct values with their
        counts (or means of equal shares, above POINTS), started from k-means in one dimension. Blei
        and Jordan 2006 (Bayesian Analysis 1), section 3; Xu et al. 2019 (arXiv 1907.00503), section
        4.2.
        """
        if not columns:
            none = np.empty((0, MODES))
            return cls(none, none, np.empty(0, dtype=np.int64), none)
        x, w, shift, scale = _points(columns)
        found = _variational(x, w)
        return _those_that_hold(*found, shift, scale)

    def pick(self, column: int, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(n,) a mode for each value, drawn by how likely it made the value."""
        k = int(self.count[column])
        z = (values[:, None] - self.centre[column, :k]) / self.spread[column, :k]
        score = self.log_weight[column, :k] - 0.5 * z**2
        p = np.exp(score - score.max(axis=1, keepdims=True)) + 1e-6
        edges = np.cumsum(p, axis=1)
        draws = rng.random(len(values))[:, None] * edges[:, -1:]
        return np.minimum((edges < draws).sum(axis=1), k - 1)

    def place(self, column: int, values: np.ndarray, picked: np.ndarray) -> np.ndarray:
        """(n,) where each value lies in its mode, in [-0.99, 0.99]."""
        gap = values - self.centre[column, picked]
        return np.clip(gap / (WIDE * self.spread[column, picked]), -0.99, 0.99)


def _points(
    columns: Sequence[np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(s, m) standardised points and their weights, 0 for padding; (s,) shifts and scales."""
    found = []
    for values in columns:
        distinct, count = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
        if len(distinct) > POINTS:
            share = (np.cumsum(count) - count / 2) * POINTS / count.sum()
            part = np.minimum(share.astype(np.int64), POINTS - 1)
            weight = np.bincount(part, count, minlength=POINTS)
            held = weight > 0
            total = np.bincount(part, distinct * count, minlength=POINTS)
            distinct, count = total[held] / weight[held], weight[held]
        found.append((distinct, count))
    m = max(len(points) for points, _ in found)
    x, w = np.zeros((len(found), m)), np.zeros((len(found), m))
    for i, (points, count) in enumerate(found):
        x[i, : len(points)], w[i, : len(points)] = points, count
    total = w.sum(axis=1)
    shift = (w * x).sum(axis=1) / total
    scale = np.sqrt((w * (x - shift[:, None]) ** 2).sum(axis=1) / total)
    return np.where(w > 0, (x - shift[:, None]) / scale[:, None], 0.0), w, shift, scale


def _variational(
    x: np.ndarray, w: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(weights, centres, variances, log factors), each (s, MODES), of the standardised points."""
    s = len(x)
    out = [np.empty((s, MODES)) for _ in range(4)]
    live = np.arange(s)
    r = _clusters(x, w)
    bound = np.full(s, -np.inf)
    for turn in range(ROUNDS):
        weights, centre, variance, factor = _maximise(x, w, r)
        score = factor[:, None, :] - (x[..., None] - centre[:, None, :]) ** 2 / (
            2 * variance[:, None, :]
        )
        top = score.max(axis=2, keepdims=True)
        r = np.exp(score - top)
        norm = r.sum(axis=2, keepdims=True)
        r /= norm
        now = (w * (top + np.log(norm))[..., 0]).sum(axis=1)
        for stored, part in zip(out, (weights, centre, variance, factor), strict=True):
            stored[live] = part
        moving = np.abs(now - bound) > STILL
        if turn + 1 == ROUNDS or not moving.any():
            break
        x, w, r, bound, live = x[moving], w[moving], r[moving], now[moving], live[moving]
    return out[0], out[1], out[2], out[3]


def _clusters(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(s, m, MODES) of 0 and 1: k-means in one dimension, from centres at equal steps of the
    range."""
    low = np.where(w > 0, x, np.inf).min(axis=1, keepdims=True)
    high = np.where(w > 0, x, -np.inf).max(axis=1, keepdims=True)
    centre = low + (high - low) * (np.arange(MODES) + 0.5) / MODES
    for _ in range(LLOYD):
        near = np.abs(x[..., None] - centre[:, None, :]).argmin(axis=2)
        r = (near[..., None] == np.arange(MODES)).astype(np.float64)
        rw = r * w[..., None]
        size = rw.sum(axis=1)
        total = np.einsum("smk,sm->sk", rw, x)
        centre = np.where(size > 0, total / np.maximum(size, 1e-12), centre)
    return r


def _maximise(
    x: np.ndarray, w: np.ndarray, r: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The posterior of weights, centres and variances, given who belongs to which mode."""
    from scipy.special import digamma

    n = w.sum(axis=1, keepdims=True)
    rw = r * w[..., None]
    size = rw.sum(axis=1) + 1e-12
    mean = np.einsum("smk,sm->sk", rw, x) / size
    square = np.einsum("smk,sm->sk", rw, x**2) / size - mean**2
    variance = np.maximum(square, 0.0) + FLOOR
    # Priors: mean 0, variance that of the column (1, over n - 1), one pseudo-record each.
    precision = 1.0 + size
    centre = size * mean / precision
    freedom = 1.0 + size
    prior = n / np.maximum(n - 1.0, 1.0)
    spread = (prior + size * (variance + mean**2 / precision)) / freedom
    a = 1.0 + size
    after = np.cumsum(size[:, ::-1], axis=1)[:, ::-1] - size
    b = CONCENTRATION + after
    both = digamma(a + b)
    passed = digamma(b) - both
    log_weight = digamma(a) - both + np.cumsum(passed, axis=1) - passed
    log_lambda = np.log(2.0) + digamma(0.5 * freedom)
    factor = (
        log_weight
        - 0.5 * np.log(2 * np.pi * spread)
        - 0.5 * np.log(freedom)
        + 0.5 * (log_lambda - 1.0 / precision)
    )
    share = a / (a + b)
    left = np.cumprod(b / (a + b), axis=1)
    weights = share * np.concatenate([np.ones((len(left), 1)), left[:, :-1]], axis=1)
    return weights / weights.sum(axis=1, keepdims=True), centre, spread, factor


def _those_that_hold(
    weights: np.ndarray,
    centre: np.ndarray,
    variance: np.ndarray,
    factor: np.ndarray,
    shift: np.ndarray,
    scale: np.ndarray,
) -> Modes:
    """The modes that hold, in the columns' own units and in the order of their centres."""
    held = weights > LIGHTEST
    held[np.arange(len(held)), weights.argmax(axis=1)] = True
    order = np.argsort(np.where(held, centre, np.inf), axis=1, kind="stable")

    def sorted_(part: np.ndarray) -> np.ndarray:
        return np.take_along_axis(part, order, axis=1)

    held = sorted_(held)
    centre = np.where(held, sorted_(centre) * scale[:, None] + shift[:, None], 0.0)
    spread = np.where(held, np.sqrt(sorted_(variance)) * scale[:, None], 1.0)
    log_weight = np.where(held, sorted_(factor), -np.inf)
    return Modes(centre, spread, held.sum(axis=1), log_weight)


__all__ = ["MODES", "WIDE", "Modes"]
