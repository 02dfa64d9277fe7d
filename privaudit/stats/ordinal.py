"""A model's utility where the classes are ordered: how far off it is, in classes.

All three read the answers as the order asks. The class that the model names for a record is the
median of its answer, the lowest class up to which at least half of the probability lies: of all
classes that one is expected to be missed by the least.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from privaudit.facts import Bound, BoundMethod, Metric, Reason, ReasonCode
from privaudit.results import Estimate
from privaudit.stats import auc as area_module
from privaudit.stats import resample
from privaudit.stats._refusal import refuse_estimate
from privaudit.stats.rates import wilson

FEW = 5
"""Below so many patients with a miss (of pairs: in one that is ranked wrongly) the interval is
joined with one that stays valid where nothing was missed."""

LEAST = 3
"""Patients below which a variance over them says nothing."""


def median_class(proba: np.ndarray) -> np.ndarray:
    """(n,) codes: the lowest class up to which at least half of the probability lies."""
    upto = np.cumsum(proba, axis=1)
    return np.asarray((upto < 0.5 * upto[:, -1:] - 1e-9).sum(axis=1), dtype=np.int64)


def utility_of_order(
    proba: np.ndarray, y: np.ndarray, ids: np.ndarray, n: Mapping[str, int], confidence: float
) -> tuple[Estimate, ...]:
    """Linear kappa, mean miss and concordance of ordered classes, with intervals by patient.

    Args:
        proba: (n, k) probabilities.
        y: (n,) class codes in the classes' order.
        ids: (n,) patients.
        n: What the estimates state as their size.
        confidence: Of the intervals.

    Returns:
        The three estimates; refused where they say nothing.
    """
    if resample.count(ids) < LEAST:
        reason = Reason(ReasonCode.TOO_FEW_PATIENTS, {"least": LEAST})
        return tuple(
            refuse_estimate(Metric(name), reason, chance, n, confidence)
            for name, chance in (("kappa_linear", 0.0), ("mean_miss", None), ("concordance", 0.5))
        )
    named, k = median_class(proba), proba.shape[1]
    return (
        kappa_linear(named, y, k, ids, n, confidence),
        mean_miss(named, y, k, ids, n, confidence),
        concordance(proba @ np.arange(k, dtype=float), y, ids, n, confidence),
    )


def _quantile(clusters: int, confidence: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(clusters - 1, 0.5 + confidence / 2))


def _edge(miss: np.ndarray, k: int, ids: np.ndarray, confidence: float) -> float | None:
    """A mean miss that would not surprise where few patients have any; None where enough have.

    Wilson's upper bound on the share of records missed, each by as much as the largest seen, or
    where none was seen by all classes.
    """
    patients = resample.count(ids)
    if resample.count(ids[miss > 0]) >= FEW:
        return None
    share = float((miss > 0).mean())
    largest = float(miss.max()) if share else k - 1.0
    return wilson(share, patients, confidence)[1] * largest


def kappa_linear(
    named: np.ndarray,
    y: np.ndarray,
    k: int,
    ids: np.ndarray,
    n: Mapping[str, int],
    confidence: float,
) -> Estimate:
    """Cohen's kappa with linear weights: 1 less the mean miss over that of answers dealt out anew.

    The variance is linearised over patients, on Fisher's scale (arctanh). Cohen 1968 (Psychological
    Bulletin 70:213); Fleiss, Cohen and Everitt 1969 (ibid. 72:323) for the linearisation.
    """
    metric, bound = Metric("kappa_linear"), Bound(BoundMethod.LINEARISED)
    (code,), clusters = resample.codes(ids)
    at = np.arange(k)
    apart = np.abs(at[:, None] - at[None, :]).astype(float)
    answers, outcomes = (np.bincount(part, minlength=k) / len(y) for part in (named, y))
    expected = float(answers @ apart @ outcomes)
    if expected <= 0:
        # One class alone, named for everybody who has it: there is nothing to agree about.
        reason = Reason(ReasonCode.ONE_OUTCOME, {"outcomes": ()})
        return refuse_estimate(metric, reason, 0.0, n, confidence)
    miss = np.abs(named - y).astype(float)
    value = 1.0 - float(miss.mean()) / expected
    dealt = (apart @ outcomes)[named] + (answers @ apart)[y]
    moved = -(miss - miss.mean()) + (1 - value) * (dealt - 2 * expected)
    totals = np.bincount(code, moved / expected / len(y), minlength=clusters)
    error = math.sqrt(clusters / (clusters - 1) * float((totals**2).sum()))
    low = high = value
    if abs(value) < 1 and error > 0:
        centre = math.atanh(value)
        half = _quantile(clusters, confidence) * error / (1 - value**2)
        low, high = math.tanh(centre - half), math.tanh(centre + half)
    edge = _edge(miss, k, ids, confidence)
    if edge is not None:
        low = max(-1.0, min(low, 1.0 - edge / expected))
    return Estimate(metric, value, low, high, 0.0, n, confidence, bound)


def mean_miss(
    named: np.ndarray,
    y: np.ndarray,
    k: int,
    ids: np.ndarray,
    n: Mapping[str, int],
    confidence: float,
) -> Estimate:
    """By how many classes the class named is off, in the mean over records.

    Its chance level is what the best single class for everybody, the median outcome, is off by.
    """
    metric, bound = Metric("mean_miss"), Bound(BoundMethod.LINEARISED)
    (code,), clusters = resample.codes(ids)
    miss = np.abs(named - y).astype(float)
    value = float(miss.mean())
    chance = min(float(np.abs(c - y).mean()) for c in range(k))
    variance = resample.mean_variance(miss, code, clusters) or 0.0
    half = _quantile(clusters, confidence) * math.sqrt(variance)
    low = high = value
    if value:
        # On the logarithm: misses are skewed, and the upper bound is the one that matters.
        low, high = value * math.exp(-half / value), min(k - 1.0, value * math.exp(half / value))
    edge = _edge(miss, k, ids, confidence)
    high = high if edge is None else min(k - 1.0, max(high, edge))
    return Estimate(metric, value, low, high, chance, n, confidence, bound)


def concordance(
    expected: np.ndarray, y: np.ndarray, ids: np.ndarray, n: Mapping[str, int], confidence: float
) -> Estimate:
    """The chance that of two records with different outcomes the higher one was expected higher.

    Harrell's C of the expected class, ties half; its variance is that of a ratio of U-statistics
    with patients as clusters, on the logit scale. Harrell et al. 1982 (JAMA 247:2543); Pencina and
    D'Agostino 2004 (Stat Med 23:2109).

    Args:
        expected: (n,) expected class, as a number.
        y: (n,) class codes.
        ids: (n,) patients.
        n: What the estimate states as its size.
        confidence: Of the interval.

    Returns:
        The estimate; refused where all have one outcome.
    """
    from scipy.special import expit, logit

    metric = Metric("concordance")
    total, right = count_pairs(expected, y)
    if not total.any():
        reason = Reason(ReasonCode.ONE_OUTCOME, {"outcomes": ()})
        return refuse_estimate(metric, reason, 0.5, n, confidence)
    (code,), clusters = resample.codes(ids)
    value = float(right.sum() / total.sum())
    # Each pair stands in the sums of both of its records: the projection is twice as large.
    moved = np.bincount(code, right - value * total, minlength=clusters)
    variance = clusters / (clusters - 1) * 4.0 * float(moved @ moved) / float(total.sum()) ** 2
    low = high = value
    if 0 < value < 1:
        half = _quantile(clusters, confidence) * math.sqrt(variance) / (value * (1 - value))
        low, high = (float(expit(logit(value) + side * half)) for side in (-1, 1))
    beaten = min(resample.count(ids[part > 1e-9]) for part in (right, total - right))
    if beaten < FEW:
        most = np.bincount(y).argmax()
        sides = resample.count(ids[y == most]), resample.count(ids[y != most])
        wide = area_module.newcombe(value, sides, confidence)
        low, high = min(low, wide[0]), max(high, wide[1])
    bound = Bound(BoundMethod.LINEARISED)
    return Estimate(metric, value, low, high, 0.5, n, confidence, bound)


def count_pairs(expected: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) each record's pairs with records of another outcome, and how many are ranked right."""
    rows = [np.flatnonzero(y == c) for c in np.unique(y)]
    total, right = np.zeros(len(y)), np.zeros(len(y))
    for above, upper in enumerate(rows):
        for lower in rows[:above]:
            total[upper] += len(lower)
            total[lower] += len(upper)
            right[upper] += area_module.placements(expected[upper], expected[lower]) * len(lower)
            beaten = 1 - area_module.placements(expected[lower], expected[upper])
            right[lower] += beaten * len(upper)
    return total, right


__all__ = [
    "concordance",
    "count_pairs",
    "kappa_linear",
    "mean_miss",
    "median_class",
    "utility_of_order",
]
