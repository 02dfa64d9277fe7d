"""From right guesses in one membership game to the least epsilon that explains them.

Two bounds, both valid for any number of guesses and for abstentions, and however the patients'
records act on each other in training: by the binomial that dominates the number of right guesses
(Steinke, Nasr and Jagielski 2023), and by the trade-off curve of a whole family of mechanisms
(Mahloujifar, Melis and Chaudhuri 2024). Each takes several tests at once, (t,) arrays of guesses
made and of those right, each at one level or at its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np

Family = Literal["approximate", "gaussian"]

Least = Callable[[np.ndarray], np.ndarray]
"""The least chance that an event of these chances keeps on a neighbouring table."""


class Curves(Protocol):
    """One mechanism with more or less noise: the family of its trade-off curves.

    size: how many times less noise than claimed; 1 is the claim itself, and a larger size leaks
    more. `privaudit.dp.curves` makes one from an accountant's privacy-loss distributions.
    """

    @property
    def most(self) -> float:
        """The largest size that has a curve."""
        ...

    def least(self, size: float) -> Least:
        """What the curve of this size leaves of an event; never more than the mechanism does."""
        ...

    def epsilon(self, size: float) -> float:
        """Its epsilon, at the delta of the claim."""
        ...


POINTS = 48
"""Candidates tried at once; four rounds leave 1e-6 of the first bracket."""
ROUNDS = 4
MOST = 200.0
"""No search goes beyond this epsilon (or Gaussian mu)."""
LEAST = 1 / 128
"""No search goes below this share of a claimed mechanism's leak."""


def binomial_p(m: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """Chance of at least so many right guesses about m assignments if training is (epsilon,
    delta)-private.

    Steinke, Nasr and Jagielski 2023 (arXiv 2305.08846), theorem 5.2 with add-or-remove neighbours.
    """
    return _binomial_p(m, guesses, right, epsilon, delta, _log_ways(guesses, right))


def _log_ways(guesses: int, right: int) -> np.ndarray:
    """Log of how many sets of right - 1, right - 2, ..., 0 guesses there are."""
    from scipy.special import gammaln

    k = np.arange(right - 1, -1, -1)
    return np.asarray(gammaln(guesses + 1) - gammaln(k + 1) - gammaln(guesses - k + 1))


def _binomial_p(
    m: int, guesses: int, right: int, epsilon: float, delta: float, ways: np.ndarray
) -> float:
    from scipy.special import bdtrc

    if right <= 0:
        return 1.0
    q = 1.0 / (1.0 + np.exp(-epsilon))
    beta = float(bdtrc(right - 1, guesses, q))
    if not delta:
        return beta
    k = np.arange(right - 1, -1, -1)
    # log q and log(1 - q), without the cancellation of 1 - q at large epsilon.
    logs = ways - k * np.log1p(np.exp(-epsilon)) - (guesses - k) * np.logaddexp(0.0, epsilon)
    below = np.cumsum(np.exp(logs))
    alpha = float((below / np.arange(1, right + 1)).max())
    return min(1.0, beta + 2.0 * m * delta * alpha)


def binomial(
    m: int, guesses: np.ndarray, right: np.ndarray, delta: float, levels: float | np.ndarray
) -> np.ndarray:
    """(t,) the largest epsilon that each test rejects at its level; 0 where it rejects none."""
    from scipy.special import betaincinv, logit

    found = np.zeros(len(guesses))
    of_each = np.broadcast_to(np.asarray(levels, dtype=np.float64), len(guesses)).tolist()
    tests = zip(guesses.tolist(), right.tolist(), of_each, strict=True)
    for t, (made, good, level) in enumerate(tests):
        ways = _log_ways(made, good)
        if good <= 0 or _binomial_p(m, made, good, 0.0, delta, ways) > level:
            continue
        # Without delta the bound is Clopper and Pearson's on the share of right guesses.
        high = min(max(float(logit(betaincinv(good, made - good + 1, level))), 0.0), MOST)
        near = max(high - 0.01, 0.0)  # the usual effect of delta is smaller than this
        fits = _binomial_p(m, made, good, near, delta, ways) <= level
        low, high = (near, high) if fits else (0.0, near)
        while high - low > 1e-5:
            middle = (low + high) / 2
            fits = _binomial_p(m, made, good, middle, delta, ways) <= level
            low, high = (middle, high) if fits else (low, middle)
        found[t] = low
    return found


def tradeoff(
    m: int,
    guesses: np.ndarray,
    right: np.ndarray,
    delta: float,
    level: float | np.ndarray,
    family: Family = "approximate",
) -> np.ndarray:
    """(t,) the largest epsilon at this delta of a mechanism of the family that each test rejects.

    level: of all tests, or (t,) of each.

    family: "approximate", everything that is (epsilon, delta)-private, so that the bound holds
    whatever the mechanism; "gaussian", Gaussian differential privacy with its own mu, which binds
    more but holds only for mechanisms whose trade-off curve is that of one Gaussian.
    Mahloujifar, Melis and Chaudhuri 2024 (arXiv 2410.22235), algorithm 3 with abstentions.
    """
    order, made, good, level = _sorted(guesses, right, level)
    low, high = np.zeros(len(good)), np.full(len(good), 8.0)
    while True:
        tried = high[:, None]
        beyond = _rejects(m, made, good, level, _least(tried, delta, family))[:, 0]
        if not beyond.any() or high.max() >= MOST:
            break
        low, high = np.where(beyond, high, low), np.where(beyond, 2 * high, high)
    steps = np.linspace(0.0, 1.0, POINTS + 1)
    never = np.zeros(len(good), dtype=bool)
    for _ in range(ROUNDS):
        tried = low[:, None] + (high - low)[:, None] * steps
        rejected = _rejects(m, made, good, level, _least(tried, delta, family))
        never |= (low == 0.0) & ~rejected[:, 0]
        last = np.where(rejected, np.arange(POINTS + 1), 0).max(axis=1)
        rows = np.arange(len(good))
        low, high = tried[rows, last], tried[rows, np.minimum(last + 1, POINTS)]
    low[never] = 0.0
    found = np.empty(len(good))
    found[order] = low if family == "approximate" else [epsilon_of(mu, delta) for mu in low]
    return found


def epsilon_of(mu: float, delta: float) -> float:
    """The epsilon at this delta of mu-Gaussian differential privacy.

    Dong, Roth and Su 2022 (arXiv 1905.02383), corollary 2.13.
    """
    if mu <= 0.0:
        return 0.0
    if delta <= 0.0:
        return float("inf")

    def exceeds(epsilon: float) -> bool:
        return gaussian_delta(epsilon, mu) > delta

    if not exceeds(0.0):
        return 0.0
    high = 1.0
    while exceeds(high):
        high *= 2.0
    low = 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if exceeds(middle) else (low, middle)
    return low


def gaussian_delta(epsilon: float, mu: float) -> float:
    """The delta at this epsilon of mu-Gaussian differential privacy."""
    from scipy.special import log_ndtr, ndtr

    tail = np.exp(epsilon + log_ndtr(-epsilon / mu - mu / 2))
    return float(ndtr(-epsilon / mu + mu / 2) - tail)


def _least(
    tried: np.ndarray, delta: float, family: Family
) -> Callable[[np.ndarray, int], np.ndarray]:
    """The least chance that an event of chance x keeps on a neighbouring table: f(1 - x).

    tried: (t, k) epsilons, or mus of the Gaussian family.
    """
    if family == "gaussian":
        from scipy.special import ndtr, ndtri

        def gaussian(x: np.ndarray, rows: int) -> np.ndarray:
            return np.asarray(ndtr(ndtri(x) - tried[:rows]))

        return gaussian
    with np.errstate(over="ignore"):
        grow = np.exp(np.minimum(tried, 700.0))
    shrink = 1.0 / grow
    fixed = 1.0 - delta - grow

    def approximate(x: np.ndarray, rows: int) -> np.ndarray:
        low, high = shrink[:rows] * (x - delta), fixed[:rows] + grow[:rows] * x
        return np.asarray(np.maximum(high, low))

    return approximate


def least_of(size: float, delta: float, family: Family) -> Least:
    """What one mechanism of the family leaves of an event. size: epsilon, or mu of a Gaussian."""
    one = _least(np.array([[size]]), delta, family)
    return lambda x: one(x, len(x))


def tradeoff_p(m: int, guesses: int, right: int, least: Least) -> float:
    """The smallest level, to 1 %, at which so many right guesses reject one trade-off curve; 1
    where none below one half does."""
    made, good = np.array([guesses]), np.array([right])

    def rejected(log_level: float) -> bool:
        level = np.exp(np.array([log_level]))
        return bool(_rejects(m, made, good, level, lambda x, rows: least(x))[0, 0])

    low, high = np.log(1e-300), np.log(0.5)
    if not rejected(high):
        return 1.0
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (low, middle) if rejected(middle) else (middle, high)
    return float(np.exp(high))


def largest_size(
    m: int, guesses: np.ndarray, right: np.ndarray, level: float | np.ndarray, curves: Curves
) -> tuple[float, int]:
    """The largest size of a mechanism that one of the tests rejects, to 1 %, and which of them.

    0 where none rejects even the least of the sizes that are tried.
    """
    order, made, good, level = _sorted(guesses, right, level)
    best = 0

    def rejected(size: float) -> bool:
        nonlocal best
        least = curves.least(size)
        found = _rejects(m, made, good, level, lambda x, rows: least(x))[:, 0]
        if found.any():
            best = int(order[np.argmax(found)])
        return bool(found.any())

    low, high = 1.0, 1.0
    if rejected(1.0):
        while (high := min(2 * high, curves.most)) > low and rejected(high):
            low = high
        if low == high:
            return low, best
    else:
        while (low := low / 2) > LEAST and not rejected(low):
            high = low
        if low <= LEAST:
            return 0.0, 0
    while high / low > 1.01:
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if rejected(middle) else (low, middle)
    return low, best


def _sorted(
    guesses: np.ndarray, right: np.ndarray, level: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The order by right guesses, the most first; guesses, right guesses and levels in it."""
    order = np.argsort(-right, kind="stable")
    levels = np.broadcast_to(np.asarray(level, dtype=np.float64), len(right))
    return order, guesses[order].astype(np.int64), right[order].astype(np.int64), levels[order]


def _rejects(
    m: int,
    guesses: np.ndarray,
    right: np.ndarray,
    level: np.ndarray,
    least: Callable[[np.ndarray, int], np.ndarray],
) -> np.ndarray:
    """(t, k): whether so many right guesses are rarer than `level` under each candidate.

    guesses, right, level: (t,), `right` in descending order. For at least i right guesses let r be
    the chance that an assignment is guessed right in such a run and h that it is guessed wrong.
    Both are known from below at i = right if so many are as likely as `level`; a step from i + 1 to
    i uses that h is at least what the trade-off curve leaves of r. The chances of all i may not
    exceed the share of assignments guessed.
    """
    made, good = guesses[:, None] / m, right[:, None] / m
    k = least(np.full((len(right), 1), 0.5), len(right)).shape[1]
    r = np.repeat(level[:, None] * good, k, axis=1)
    h = np.repeat(level[:, None] * (made - good), k, axis=1)
    active = np.searchsorted(-right, -np.arange(right.max(initial=0) + 1), side="left")
    for i in range(int(right.max(initial=0)) - 1, -1, -1):
        rows = int(active[i])  # those with more than i right
        more = least(r[:rows], rows)
        more -= h[:rows]
        np.maximum(more, 0.0, out=more)
        h[:rows] += more
        more *= (i / (guesses[:rows] - i))[:, None]
        r[:rows] += more
        np.minimum(r[:rows], 1.0, out=r[:rows])
        if rows == len(right) and not i % 16:
            settled = (more <= 0.0) | (r + h > made)
            if settled.all():
                break
    return r + h > made


__all__ = [
    "Curves",
    "Family",
    "Least",
    "binomial",
    "binomial_p",
    "epsilon_of",
    "gaussian_delta",
    "largest_size",
    "least_of",
    "tradeoff",
    "tradeoff_p",
]
