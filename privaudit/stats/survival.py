"""A model's utility where the outcome is a time to an event: Harrell's C, by patient."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.facts import Bound, BoundMethod, Metric, Reason, ReasonCode
from privaudit.results import Estimate, GroupResult
from privaudit.stats import resample
from privaudit.stats._refusal import refuse_estimate
from privaudit.stats.groups import Measured, measure_levels

ROWS = 500
"""Records compared with all others at once: bounds memory."""


def pairs(risk: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) of each record's comparable pairs, how many there are and how many are ranked right.

    y: times, negative where censored. A pair is comparable if the shorter time ended in the event;
    at equal times, if one alone did. Equal scores count a half.
    """
    time, event = np.abs(y), y > 0
    total, right = np.zeros(len(y)), np.zeros(len(y))
    for start in range(0, len(y), ROWS):
        at = slice(start, start + ROWS)
        sooner = time[at, None] < time[None, :]
        sooner |= (time[at, None] == time[None, :]) & ~event[None, :]
        sooner &= event[at, None]
        sooner[np.arange(sooner.shape[0]), np.arange(start, start + sooner.shape[0])] = False
        won = (risk[at, None] > risk[None, :]) + 0.5 * (risk[at, None] == risk[None, :])
        won = np.where(sooner, won, 0.0)
        total[at] += sooner.sum(axis=1)
        right[at] += won.sum(axis=1)
        total += sooner.sum(axis=0)
        right += won.sum(axis=0)
    return total, right


def c_index(
    risk: np.ndarray, y: np.ndarray, ids: np.ndarray, n: Mapping[str, int], confidence: float
) -> Estimate:
    """Harrell's C: the share of comparable pairs in which the higher risk had the event sooner.

    The variance is that of a ratio of U-statistics, patients as clusters, on the log odds scale.
    Harrell et al. 1982 (JAMA 247:2543); Pencina and D'Agostino 2004 (Stat Med 23:2109).
    """
    from scipy.special import expit, logit, stdtrit

    metric = Metric("c_index")
    total, right = pairs(risk, y)
    (code,), clusters = resample.codes(ids)
    if not total.any():
        reason = Reason(ReasonCode.ONE_OUTCOME, {"outcomes": ()})
        return refuse_estimate(metric, reason, 0.5, n, confidence)
    if clusters < 3:
        reason = Reason(ReasonCode.TOO_FEW_PATIENTS, {"least": 3})
        return refuse_estimate(metric, reason, 0.5, n, confidence)
    value = float(right.sum() / total.sum())
    # Each pair stands in the sums of both of its records: the projection is twice as large.
    influence = np.bincount(code, right - value * total, minlength=clusters)
    variance = clusters / (clusters - 1) * 4.0 * float(influence @ influence) / total.sum() ** 2
    bound = Bound(BoundMethod.LINEARISED)
    if not 0 < value < 1:
        return Estimate(metric, value, value, value, 0.5, n, confidence, bound)
    half = float(stdtrit(clusters - 1, 0.5 + confidence / 2)) * math.sqrt(variance)
    half /= value * (1 - value)
    low, high = (float(expit(logit(value) + side * half)) for side in (-1, 1))
    return Estimate(metric, value, low, high, 0.5, n, confidence, bound)


def check(
    risk: np.ndarray, y: np.ndarray, patients: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) risk scores and signed times as float64, and patients, of one length."""
    risk, y = np.asarray(risk, dtype=np.float64), np.asarray(y, dtype=np.float64).ravel()
    ids = np.asarray(patients).ravel()
    if risk.ndim != 1 or not len(risk) == len(y) == len(ids):
        raise PrivauditError(
            f"risk scores of shape {risk.shape} for {len(y)} times and {len(ids)} patients",
            "a model of a time to an event answers with one score a record",
            "pass scores of shape (records,) with one time and patient each",
        )
    return risk, y, ids


def utility_of_times(
    risk: np.ndarray, y: np.ndarray, *, patients: np.ndarray, confidence: float = 0.95
) -> tuple[Estimate, ...]:
    """How well risk scores rank times to an event; y: times, negative where censored."""
    risk, y, ids = check(risk, y, patients)
    n = {"records": len(y), "patients": resample.count(ids)}
    if not len(y):
        reason = Reason(ReasonCode.NO_RECORD)
        return (refuse_estimate(Metric("c_index"), reason, None, n, confidence),)
    return (c_index(risk, y, ids, n, confidence),)


def utility_groups_of_times(
    risk: np.ndarray,
    y: np.ndarray,
    *,
    patients: np.ndarray,
    groups: Mapping[str, np.ndarray],
    confidence: float = 0.95,
) -> tuple[GroupResult, ...]:
    """For whom the model ranks less well: Harrell's C by group, pairs within a group. No test."""
    risk, y, ids = check(risk, y, patients)

    def measure(mask: np.ndarray, n: dict[str, int]) -> Measured:
        return (c_index(risk[mask], y[mask], ids[mask], n, confidence),), None

    return measure_levels(groups, ids, measure)


__all__ = ["c_index", "pairs", "utility_groups_of_times", "utility_of_times"]
