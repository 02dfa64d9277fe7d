"""One-sided bounds at any level from a stored two-sided interval: what verdicts are made of.

An audit keeps, for every number, its value and one two-sided interval. A limit is judged by
one-sided bounds, the lower one at a level that depends on how many rules are judged together. The
two halves of the interval are stretched apart, on a scale where they are nearly symmetric.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.facts import Bound, BoundMethod, Metric
from privaudit.results import Estimate
from privaudit.stats.catalogue import CATALOGUE, POWER, PPV_FPR, Scale
from privaudit.stats.rates import quantile, wilson

PROOF_STEP = 0.1
"""What a bound on epsilon is rounded down to in a document that does not state its guesses."""
LEAST, MOST = 1e-12, 0.5
"""Levels between which a p-value is looked for."""


@dataclass(frozen=True)
class Bounds:
    """How surely a number lies above or below another.

    centre, low, high: value and two-sided interval as they are stretched on `scale`; patients: the
    least number behind it. `lower` and `upper` answer on the number's own scale, None where the
    interval leaves them unknown.
    """

    estimate: Estimate
    scale: Scale
    centre: float
    low: float | None
    high: float | None
    patients: int

    def lower(self, level: float) -> float | None:
        """The bound that the truth lies below in at most a share `level` of audits."""
        if proof(self.estimate):
            return restated(self.estimate, level)
        if (listed := _listed(self.estimate)) is not None:
            return _find_listed(listed.below, level)
        return self._bound(self.low, self.high, level, -1)

    def upper(self, level: float) -> float | None:
        """The bound that the truth lies above in at most a share `level` of audits."""
        if proof(self.estimate):
            return None
        if (listed := _listed(self.estimate)) is not None:
            return _find_listed(listed.levels, level)
        return self._bound(self.high, self.low, level, 1)

    def above(self, limit: float) -> float:
        """The least level at which `lower` lies above the limit: a p-value of "at most the
        limit"."""
        return _least(lambda level: _more(self.lower(level), limit))

    def below(self, limit: float) -> float:
        """The least level at which `upper` lies below the limit: a p-value of "at least the
        limit"."""
        return _least(lambda level: _more(limit, self.upper(level)))

    def _bound(
        self, own: float | None, other: float | None, level: float, sign: int
    ) -> float | None:
        if own is None:
            return None
        metric, value = self.estimate.metric, self.estimate.value
        assert value is not None
        usual = (1 - self.estimate.confidence) / 2
        if math.isinf(self.centre):
            if (value > 0) == (sign > 0):
                return value
            # Wilson's interval of 0 or n successes has odds of z^2 / n.
            moved = 2 * math.log(_z(level) / _z(usual))
            return _back(metric, self.scale, own - moved if self.centre > 0 else own + moved)
        half, centre = abs(own - self.centre), self.centre
        across = 0.0 if other is None else abs(other - self.centre)
        false = self.false_positives
        if sign < 0 and false:
            # Read at a threshold that so few set, a rate is up to 1 / false too high, and a
            # percentile interval short on the side where that matters.
            half, centre = max(half, across), centre - 1 / false
        half = half or across
        if half == 0:
            return None
        moved = centre + sign * stretched(half, usual, level, self.patients)
        return _back(metric, self.scale, moved)

    @property
    def false_positives(self) -> float:
        """How many held-out patients are expected above the threshold; 0 where none is
        estimated."""
        metric = self.estimate.metric
        if metric.fpr is None or metric.name not in ("tpr", "ppv"):
            return 0.0
        return self.estimate.n.get("nonmember_patients", 0) * metric.fpr


def bounds(estimate: Estimate) -> Bounds | None:
    """What can be said of an estimate; None where it has no value or no interval, or an impossible
    one."""
    if estimate.value is None or (estimate.low is None and estimate.high is None):
        return None
    scale = _scale(estimate)
    if scale is None:
        return None
    value = _forth(estimate.metric, scale, estimate.value)
    low, high = (
        None if bound is None else _forth(estimate.metric, scale, bound)
        for bound in (estimate.low, estimate.high)
    )
    counts = [n for key, n in estimate.n.items() if "patients" in key]
    # Attempts at what is no patient's, such as a description, count each for themselves.
    counts = counts or [estimate.n.get("attempts", 0)]
    return Bounds(estimate, scale, value, low, high, min(counts, default=0))


def _scale(estimate: Estimate) -> Scale | None:
    """The metric's scale; that of a Brier score of many classes, which may exceed 1, is its own.

    None for any other number beyond the scale of its metric: no run makes one.
    """
    scale = CATALOGUE.get(estimate.metric.name)
    least = {"share": 0.0, "difference": -1.0}.get(scale or "")
    if least is None:
        return scale
    known = (estimate.value, estimate.low, estimate.high)
    inside = all(least <= number <= 1 for number in known if number is not None)
    if inside:
        return scale
    return "unbounded" if estimate.metric.name == "brier" else None


def stretched(half: float, usual: float, level: float, patients: int) -> float:
    """Half of an interval at level `usual` on each side, made to hold at another level.

    In proportion to normal quantiles, to Student's with patients - 1 degrees of freedom, or as the
    halves of Wilson's interval on the logit scale go (2 asinh(z c)), whichever is widest.
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
    return CATALOGUE[estimate.metric.name] == "proof"


def _listed(estimate: Estimate) -> Bound | None:
    """The bounds at the levels at which they are stated, where no others are known: they are not
    made of an error about the value."""
    bound = estimate.bound
    own = bound is not None and bound.method is BoundMethod.COMPLEMENTARY_PAIRS
    return bound if own else None


def _find_listed(bounds: Sequence[tuple[float, float]], level: float) -> float | None:
    """The stated bound at the largest level that is no larger than this one."""
    return next((bound for stated, bound in bounds if stated <= level * (1 + 1e-9)), None)


def most_proved(estimate: Estimate) -> float | None:
    """What a bound on epsilon can have been before it was rounded down, at the most: no limit is
    kept to by what was rounded off."""
    if estimate.value is None or estimate.bound is None or not estimate.bound.levels:
        return estimate.value
    return estimate.value + PROOF_STEP


def restated(estimate: Estimate, level: float) -> float | None:
    """A lower bound on epsilon at another level, from the right guesses that its `bound` states.

    At a smaller level than the stated one another number of guesses might prove more, so this is a
    valid bound and not the largest. Without those numbers, None at any level below the stated one.
    """
    from privaudit.stats import epsilon_bounds
    from privaudit.stats.epsilon import share_of

    if estimate.value is None:
        return None
    if level >= 1 - estimate.confidence - 1e-12:
        return estimate.value
    bound = estimate.bound
    if bound is not None and bound.levels:
        return next((stated for least, stated in bound.levels if least <= level), None)
    if bound is None or bound.delta is None or not bound.made or bound.family == "curve":
        return 0.0 if estimate.value == 0 else None
    guesses = np.array([bound.made]), np.array([bound.right])
    share = level * share_of(bound)
    if bound.method is BoundMethod.STEINKE:
        found = epsilon_bounds.binomial(bound.assigned, *guesses, bound.delta, share)
    else:
        family = bound.family or "approximate"
        found = epsilon_bounds.tradeoff(bound.assigned, *guesses, bound.delta, share, family)
    return min(estimate.value, float(found[0]))


def provable(patients: int, level: float) -> float:
    """The largest epsilon that so many assignments could prove, were every guess right (without
    delta)."""
    from scipy.special import logit

    from privaudit.stats.epsilon import BOTH, TOP

    if patients < 2:
        return 0.0
    share = (level / (len(BOTH) + len(TOP))) ** (1 / patients)
    return max(0.0, float(logit(share)))


def floor(
    metric: Metric, chance: float, pools: tuple[int, int], level: float, power: float = POWER
) -> float | None:
    """The smallest limit that a model which leaks nothing keeps to in 4 audits of 5.

    metric: `auc`, `tpr` or `ppv`; chance: what guessing gives; pools: patients among members and
    non-members; None where the number cannot be stated; power: another share than 4 of 5. Normal
    approximation: the upper bound of the value that this share of audits stays below.
    """
    from scipy.special import expit, logit

    m, n = pools
    if min(pools) < 2:
        return None
    reach = quantile(2 * power - 1)
    if metric.name == "auc":
        return min(1.0, 0.5 + (_z(level) + reach) * math.sqrt((m + n + 1) / (12 * m * n)))
    if metric.name == "ppv":
        rate = floor(Metric("tpr", fpr=PPV_FPR), PPV_FPR, pools, level, power)
        return None if rate is None else chance * rate / (chance * rate + (1 - chance) * PPV_FPR)
    if metric.name != "tpr":
        return None
    threshold = chance * (1 - chance) / n
    value = min(0.999, chance + reach * math.sqrt(chance * (1 - chance) / m + threshold))
    error = math.sqrt(value * (1 - value) / m + threshold) / (value * (1 - value))
    return float(expit(logit(value) + _z(level) * error))


def floor_of_trials(
    estimate: Estimate, beside: float | None, level: float, series: int = 1
) -> float | None:
    """The smallest limit that a release which leaks nothing keeps to in 4 audits of 5, of attempts.

    As `floor`, with the intervals of `privaudit.stats.rates` at what so many patients would read.

    Args:
        estimate: A rate, or its difference from that of a control or a guess.
        beside: That rate, None where it is not known.
        level: Of the upper bound.
        series: So many numbers must keep to the limit together.
    """
    known = bounds(estimate)
    share = CATALOGUE.get(estimate.metric.name) == "share"
    chance = estimate.chance if share else beside
    tried = estimate.n.get("patients", estimate.n.get("attempts", 0))
    if known is None or known.high is None or estimate.value is None or min(tried, series) < 1:
        return None
    power = quantile(2 * POWER ** (1 / series) - 1)
    if share:
        if chance is None:
            return None
        read = min(1.0, chance + power * math.sqrt(chance * (1 - chance) / tried))
        return wilson(read, tried, 1 - 2 * level)[1]
    if estimate.bound is not None and estimate.bound.method is BoundMethod.NEWCOMBE_PAIRED:
        # How far the two agree on one patient is known of the interval alone.
        assert estimate.high is not None
        usual = quantile(estimate.confidence)
        return (_z(level) + power) * (estimate.high - estimate.value) / usual
    others = estimate.n.get("controls", estimate.n.get("nonmembers", 0))
    if chance is None or others < 1:
        return None
    gap = power * math.sqrt(chance * (1 - chance) * (1 / tried + 1 / others))
    read = min(1.0, chance + gap)
    up = wilson(read, tried, 1 - 2 * level)[1] - read
    down = chance - wilson(chance, others, 1 - 2 * level)[0]
    return min(1.0, gap + math.hypot(up, down))


def more(estimate: Estimate, limit: float, level: float) -> float | None:
    """How many times as many patients would bring the upper bound down to the limit, other things
    equal.

    None where the value itself lies above the limit, or nothing is known of its error.
    """
    known = bounds(estimate)
    if known is None or estimate.value is None or estimate.value >= limit:
        return None
    if _listed(estimate) is not None:
        # More refits would bring it down, not patients alone.
        return None
    if math.isinf(known.centre):
        high = known.upper(level)
        if high is None or not 0 < high < 1 or not 0 < limit < 1:
            return None
        return (high / (1 - high)) / (limit / (1 - limit))
    upper = known.upper(level)
    if upper is None:
        return None
    gap = _forth(estimate.metric, known.scale, limit) - known.centre
    reach = _forth(estimate.metric, known.scale, upper) - known.centre
    return (reach / gap) ** 2 if gap > 0 else None


def _z(level: float) -> float:
    return quantile(1 - 2 * level)


def _more(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and one > other


def _least(holds: Callable[[float], bool]) -> float:
    """The least level in [LEAST, MOST] at which a test that holds at all larger ones does; 1 for
    none."""
    left, right = math.log(LEAST), math.log(MOST)
    if not holds(MOST - 1e-9):
        return 1.0
    if holds(LEAST):
        return LEAST
    for _ in range(40):
        middle = (left + right) / 2
        left, right = (left, middle) if holds(math.exp(middle)) else (middle, right)
    return math.exp(right)


def _forth(metric: Metric, scale: Scale, value: float) -> float:
    """Where an interval's halves are stretched: log odds for shares, of the true positive rate for
    predictive values, of (1 + d) / 2 for differences; as it is for numbers without bounds."""
    if scale == "unbounded":
        return value
    if scale == "difference":
        return _logit((1 + value) / 2)
    return _logit(value if metric.prior is None else _rate(value, metric.prior))


def _back(metric: Metric, scale: Scale, value: float) -> float:
    from scipy.special import expit

    if scale == "unbounded":
        return value
    share = float(expit(value))
    if scale == "difference":
        return 2 * share - 1
    if metric.prior is not None:
        return metric.prior * share / (metric.prior * share + (1 - metric.prior) * PPV_FPR)
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


__all__ = [
    "Bounds",
    "bounds",
    "floor",
    "floor_of_trials",
    "more",
    "proof",
    "provable",
    "restated",
    "stretched",
]
