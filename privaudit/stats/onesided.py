"""One-sided bounds at any level from a stored two-sided interval: what verdicts are made of.

An audit keeps, for every number, its value and one two-sided interval. A limit is judged by one-sided
bounds, the lower one at a level that depends on how many rules are judged together. The two halves
of the interval are stretched apart, on a scale where they are nearly symmetric.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from privaudit.results import Estimate
from privaudit.stats.catalogue import PPV_FPR
from privaudit.stats.rates import quantile

DIFFERENCES = ("attack_minus_",)
UNBOUNDED = ("log_loss", "calibration_slope", "calibration_intercept")
PROOFS = ("epsilon_lower_bound",)
"""Lower bounds by themselves: they have no upper one."""

LEAST, MOST = 1e-12, 0.5
"""Levels between which a p-value is looked for."""


@dataclass(frozen=True)
class Bounds:
    """How surely a number lies above or below another.

    centre, low, high: value and two-sided interval on the scale that is stretched; patients: the
    least number behind it. `lower` and `upper` answer on the number's own scale, None where the
    interval does not tell.
    """

    estimate: Estimate
    centre: float
    low: float | None
    high: float | None
    patients: int

    def lower(self, level: float) -> float | None:
        """The bound that the truth lies below in at most a share `level` of audits."""
        if proof(self.estimate):
            return restated(self.estimate, level)
        return self._bound(self.low, self.high, level, -1)

    def upper(self, level: float) -> float | None:
        """The bound that the truth lies above in at most a share `level` of audits."""
        if proof(self.estimate):
            return None
        return self._bound(self.high, self.low, level, 1)

    def above(self, limit: float) -> float:
        """The least level at which `lower` lies above the limit: a p-value of "at most the limit"."""
        return _least(lambda level: _more(self.lower(level), limit))

    def below(self, limit: float) -> float:
        """The least level at which `upper` lies below the limit: a p-value of "at least the limit"."""
        return _least(lambda level: _more(limit, self.upper(level)))

    def _bound(
        self, own: float | None, other: float | None, level: float, sign: int
    ) -> float | None:
        if own is None:
            return None
        name, value = self.estimate.name, self.estimate.value
        assert value is not None
        usual = (1 - self.estimate.confidence) / 2
        if math.isinf(self.centre):
            if (value > 0) == (sign > 0):
                return value
            # Wilson's interval of 0 or n successes has odds of z^2 / n.
            moved = 2 * math.log(_z(level) / _z(usual))
            return _back(name, own - moved if self.centre > 0 else own + moved)
        half, centre = abs(own - self.centre), self.centre
        across = 0.0 if other is None else abs(other - self.centre)
        false = self.false_positives
        if sign < 0 and false:
            # Read at a threshold that so few set, a rate is up to 1 / false too high, and a percentile
            # interval short on the side where that matters.
            half, centre = max(half, across), centre - 1 / false
        half = half or across
        if half == 0:
            return None
        return _back(name, centre + sign * stretched(half, usual, level, self.patients))

    @property
    def false_positives(self) -> float:
        """How many held-out patients are expected above the threshold; 0 where none is estimated."""
        name = self.estimate.name
        fpr = PPV_FPR if name.startswith("ppv_at_prior_") else None
        if name.startswith("tpr_at_fpr_"):
            fpr = float(name.rpartition("_")[2])
        return 0.0 if fpr is None else self.estimate.n.get("nonmember_patients", 0) * fpr


def bounds(estimate: Estimate) -> Bounds | None:
    """What can be said of an estimate, or None where it has no value or no interval."""
    if estimate.value is None or (estimate.low is None and estimate.high is None):
        return None
    value = _forth(estimate.name, estimate.value)
    low, high = (
        None if bound is None else _forth(estimate.name, bound)
        for bound in (estimate.low, estimate.high)
    )
    counts = [n for key, n in estimate.n.items() if "patients" in key]
    return Bounds(estimate, value, low, high, min(counts, default=0))


def stretched(half: float, usual: float, level: float, patients: int) -> float:
    """Half of an interval at level `usual` on each side, made to hold at another level.

    In proportion to normal quantiles, to Student's with patients - 1 degrees of freedom, or as the
    halves of Wilson's interval on the logit scale go (2 asinh(z c)), whichever is widest: the audit
    does not tell which of the three its interval was made with.
    """
    from scipy.special import stdtrit

    ratio = _z(level) / _z(usual)
    found = [half * ratio]
    if half < 50:
        found.append(2 * math.asinh(math.sinh(half / 2) * ratio))
    if patients > 1:
        df = patients - 1
        found.append(half * float(stdtrit(df, 1 - level) / stdtrit(df, 1 - usual)))
    return max(found)


def proof(estimate: Estimate) -> bool:
    """Whether the number is a lower bound by itself, as those on epsilon are."""
    return estimate.name.startswith(PROOFS)


def restated(estimate: Estimate, level: float) -> float | None:
    """A lower bound on epsilon at another level, from the right guesses that its `how` tells of.

    At a smaller level than the stated one another number of guesses might prove more, so this is a
    valid bound and not the largest. Without those numbers, None at any level below the stated one.
    """
    from privaudit.stats import epsilon_bounds

    if estimate.value is None:
        return None
    if level >= 1 - estimate.confidence - 1e-12:
        return estimate.value
    told = re.search(
        r"delta (\S+);.* over (\d+) numbers of guesses.*; (\d+) of (\d+) guesses right; (\d+) coins",
        estimate.how,
    )
    if told is None:
        return 0.0 if estimate.value == 0 else None
    delta, tried, right, made, coins = float(told[1]), *(int(told[i]) for i in range(2, 6))
    counts = (coins, np.array([made]), np.array([right]), delta, level / tried)
    if estimate.name == "epsilon_lower_bound":
        found = epsilon_bounds.binomial(*counts)
    else:
        family = "gaussian" if "one Gaussian" in estimate.how else "approximate"
        found = epsilon_bounds.tradeoff(*counts, family)  # type: ignore[arg-type]
    return min(estimate.value, float(found[0]))


def provable(patients: int, level: float) -> float:
    """The largest epsilon that so many coins could prove, were every guess right (without delta)."""
    from scipy.special import logit

    from privaudit.stats.epsilon import BOTH, TOP

    if patients < 2:
        return 0.0
    share = (level / (len(BOTH) + len(TOP))) ** (1 / patients)
    return max(0.0, float(logit(share)))


def floor(name: str, chance: float, pools: tuple[int, int], level: float) -> float | None:
    """The smallest limit that a model which leaks nothing keeps to in 4 audits of 5.

    name: `auc`, `tpr_at_fpr_F` or `ppv_at_prior_P`; chance: what guessing gives; pools: patients among
    members and non-members; None where the number cannot be stated. Normal approximation: the upper
    bound of the value that 4 of 5 audits stay below.
    """
    from scipy.special import expit, logit

    from privaudit.stats.catalogue import POWER

    m, n = pools
    if min(pools) < 2:
        return None
    power = quantile(2 * POWER - 1)
    if name == "auc":
        return min(1.0, 0.5 + (_z(level) + power) * math.sqrt((m + n + 1) / (12 * m * n)))
    if name.startswith("ppv_at_prior_"):
        rate = floor(f"tpr_at_fpr_{PPV_FPR:g}", PPV_FPR, pools, level)
        return None if rate is None else chance * rate / (chance * rate + (1 - chance) * PPV_FPR)
    if not name.startswith("tpr_at_fpr_"):
        return None
    threshold = chance * (1 - chance) / n
    value = min(0.999, chance + power * math.sqrt(chance * (1 - chance) / m + threshold))
    error = math.sqrt(value * (1 - value) / m + threshold) / (value * (1 - value))
    return float(expit(logit(value) + _z(level) * error))


def more(estimate: Estimate, limit: float, level: float) -> float | None:
    """How many times as many patients would bring the upper bound down to the limit, other things equal.

    None where the value itself lies above the limit, or nothing is known of its error.
    """
    known = bounds(estimate)
    if known is None or estimate.value is None or estimate.value >= limit:
        return None
    if math.isinf(known.centre):
        high = known.upper(level)
        if high is None or not 0 < high < 1 or not 0 < limit < 1:
            return None
        return (high / (1 - high)) / (limit / (1 - limit))
    upper = known.upper(level)
    if upper is None:
        return None
    gap = _forth(estimate.name, limit) - known.centre
    return ((_forth(estimate.name, upper) - known.centre) / gap) ** 2 if gap > 0 else None


def _z(level: float) -> float:
    return quantile(1 - 2 * level)


def _more(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and one > other


def _least(holds: Callable[[float], bool]) -> float:
    """The least level in [LEAST, MOST] at which a test that holds at all larger ones does; 1 for none."""
    left, right = math.log(LEAST), math.log(MOST)
    if not holds(MOST - 1e-9):
        return 1.0
    if holds(LEAST):
        return LEAST
    for _ in range(40):
        middle = (left + right) / 2
        left, right = (left, middle) if holds(math.exp(middle)) else (middle, right)
    return math.exp(right)


def _forth(name: str, value: float) -> float:
    """The scale on which an interval's halves are stretched: log odds for shares, of the true positive
    rate for predictive values, of (1 + d) / 2 for differences; as it is for numbers without bounds."""
    if name.startswith(UNBOUNDED):
        return value
    if name.startswith(DIFFERENCES):
        return _logit((1 + value) / 2)
    if name.startswith("ppv_at_prior_"):
        return _logit(_rate(value, float(name.rpartition("_")[2])))
    return _logit(value)


def _back(name: str, value: float) -> float:
    from scipy.special import expit

    if name.startswith(UNBOUNDED):
        return value
    share = float(expit(value))
    if name.startswith(DIFFERENCES):
        return 2 * share - 1
    if name.startswith("ppv_at_prior_"):
        prior = float(name.rpartition("_")[2])
        return prior * share / (prior * share + (1 - prior) * PPV_FPR)
    return share


def _rate(predictive: float, prior: float) -> float:
    """The true positive rate behind a predictive value at this prior."""
    if predictive >= 1:
        return 1.0
    return min(1.0, predictive / (1 - predictive) * (1 - prior) / prior * PPV_FPR)


def _logit(share: float) -> float:
    if share <= 0:
        return -math.inf
    if share >= 1:
        return math.inf
    return math.log(share / (1 - share))


__all__ = ["Bounds", "bounds", "floor", "more", "proof", "provable", "restated", "stretched"]
