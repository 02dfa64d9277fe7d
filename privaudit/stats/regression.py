"""A model's utility where the outcome is a number: errors, R2 and calibration, by patient."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.facts import Bound, BoundMethod, Metric, Reason, ReasonCode
from privaudit.results import Estimate, GroupResult
from privaudit.stats import resample
from privaudit.stats._refusal import refuse_estimate
from privaudit.stats.catalogue import UTILITY_OF_NUMBERS
from privaudit.stats.groups import Measured, measure_levels


def check(
    predicted: np.ndarray, y: np.ndarray, patients: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) predictions and outcomes as float64, and patients, of one length."""
    predicted = np.asarray(predicted, dtype=np.float64)
    y, ids = np.asarray(y, dtype=np.float64).ravel(), np.asarray(patients).ravel()
    if predicted.ndim != 1 or not len(predicted) == len(y) == len(ids):
        raise PrivauditError(
            f"predictions of shape {predicted.shape} for {len(y)} outcomes and {len(ids)} patients",
            "a model of a number answers with one a record",
            "pass predictions of shape (records,) with one outcome and patient each",
        )
    if not (np.isfinite(predicted).all() and np.isfinite(y).all()):
        raise PrivauditError(
            "predictions or outcomes that are no finite number",
            "no error can be computed of them",
            "drop these records, or correct the model",
        )
    return predicted, y, ids


def utility_of_numbers(
    predicted: np.ndarray,
    y: np.ndarray,
    *,
    patients: np.ndarray,
    confidence: float = 0.95,
) -> tuple[Estimate, ...]:
    """How far predictions are from what happened: R2, MAE, RMSE and the slope of calibration.

    predicted, y: (n,), in the outcome's unit; patients: (n,). R2 is 1 less the mean squared error
    over the variance of these outcomes, below 0 for a model worse than their mean. The slope is
    that of the least squares line of the outcome on the prediction. `chance` is what the best
    constant gives (the mean; for MAE the median); for the slope it is the perfect value.
    """
    predicted, y, ids = check(predicted, y, patients)
    n = {"records": len(y), "patients": resample.count(ids)}
    if not len(y):
        reason = Reason(ReasonCode.NO_RECORD)
        return tuple(
            refuse_estimate(Metric(name), reason, None, n, confidence)
            for name in UTILITY_OF_NUMBERS
        )
    return (
        r2(predicted, y, ids, n, confidence),
        mae(predicted, y, ids, n, confidence),
        rmse(predicted, y, ids, n, confidence),
        prediction_slope(predicted, y, ids, n, confidence),
    )


def r2(
    predicted: np.ndarray, y: np.ndarray, ids: np.ndarray, n: Mapping[str, int], confidence: float
) -> Estimate:
    """1 - MSE / variance, with an interval on the log scale of that ratio."""
    error, total = (predicted - y) ** 2, (y - y.mean()) ** 2
    if not total.any():
        reason = Reason(ReasonCode.ONE_OUTCOME, {"outcomes": ()})
        return refuse_estimate(Metric("r2"), reason, 0.0, n, confidence)
    found = _log_mean(error, total, ids, confidence)
    if found is None:
        return _too_few("r2", 0.0, n, confidence)
    value, low, high = (1 - found[0], 1 - found[2], 1 - found[1])
    bound = Bound(BoundMethod.LINEARISED)
    return Estimate(Metric("r2"), value, low, high, 0.0, n, confidence, bound)


def mae(
    predicted: np.ndarray, y: np.ndarray, ids: np.ndarray, n: Mapping[str, int], confidence: float
) -> Estimate:
    """The mean absolute error, in the outcome's unit."""
    chance = float(np.abs(y - np.median(y)).mean())
    found = _log_mean(np.abs(predicted - y), None, ids, confidence)
    if found is None:
        return _too_few("mae", chance, n, confidence)
    bound = Bound(BoundMethod.LINEARISED)
    return Estimate(Metric("mae"), *found, chance, n, confidence, bound)


def rmse(
    predicted: np.ndarray, y: np.ndarray, ids: np.ndarray, n: Mapping[str, int], confidence: float
) -> Estimate:
    """The root of the mean squared error, in the outcome's unit."""
    chance = float(y.std())
    found = _log_mean((predicted - y) ** 2, None, ids, confidence)
    if found is None:
        return _too_few("rmse", chance, n, confidence)
    bound = Bound(BoundMethod.LINEARISED)
    value, low, high = (math.sqrt(part) for part in found)
    return Estimate(Metric("rmse"), value, low, high, chance, n, confidence, bound)


def prediction_slope(
    predicted: np.ndarray, y: np.ndarray, ids: np.ndarray, n: Mapping[str, int], confidence: float
) -> Estimate:
    """The slope of the outcome on the prediction; a sandwich variance, patients as clusters."""
    from scipy.special import stdtrit

    metric = Metric("prediction_slope")
    away = predicted - predicted.mean()
    squares = float(away @ away)
    (code,), clusters = resample.codes(ids)
    if not squares > 0:
        return refuse_estimate(metric, Reason(ReasonCode.EQUAL_PREDICTIONS), 1.0, n, confidence)
    if clusters < 3:
        return _too_few("prediction_slope", 1.0, n, confidence, least=3)
    slope = float(away @ y) / squares
    left = y - y.mean() - slope * away
    totals = np.bincount(code, away * left, minlength=clusters)
    # Two parameters were fitted to so many patients.
    variance = clusters / (clusters - 2) * float(totals @ totals) / squares**2
    half = float(stdtrit(clusters - 2, 0.5 + confidence / 2)) * math.sqrt(variance)
    bound = Bound(BoundMethod.LINEARISED)
    return Estimate(metric, slope, slope - half, slope + half, 1.0, n, confidence, bound)


def utility_groups_of_numbers(
    predicted: np.ndarray,
    y: np.ndarray,
    *,
    patients: np.ndarray,
    groups: Mapping[str, np.ndarray],
    confidence: float = 0.95,
) -> tuple[GroupResult, ...]:
    """For whom the model errs more: the mean absolute error and R2 by group.

    groups: name -> (n,) labels. The test is of a group's mean absolute error against everybody
    else's, patients as clusters, Holm-adjusted over all groups.
    """
    predicted, y, ids = check(predicted, y, patients)
    size = np.abs(predicted - y)

    def measure(mask: np.ndarray, n: dict[str, int]) -> Measured:
        part = predicted[mask], y[mask], ids[mask]
        made = mae(*part, n, confidence), r2(*part, n, confidence)
        return made, _differ(size, ids, mask)

    return measure_levels(groups, ids, measure)


def _differ(size: np.ndarray, ids: np.ndarray, mask: np.ndarray) -> float | None:
    """p-value that errors inside and outside are equal on average (Welch, patients as clusters)."""
    from scipy.special import stdtr

    parts = []
    for side in (mask, ~mask):
        (code,), clusters = resample.codes(ids[side])
        variance = resample.mean_variance(size[side], code, clusters) if side.any() else None
        if variance is None or variance <= 0:
            return None
        parts.append((float(size[side].mean()), variance, clusters - 1))
    (x, u, du), (z, v, dv) = parts
    df = (u + v) ** 2 / (u**2 / du + v**2 / dv)
    return float(2 * stdtr(df, -abs(x - z) / math.sqrt(u + v)))


def _log_mean(
    values: np.ndarray, over: np.ndarray | None, ids: np.ndarray, confidence: float
) -> tuple[float, float, float] | None:
    """The mean of positive values, or its ratio to the mean of `over`, with a linearised interval
    by patient on the log scale, where errors with long tails are closer to normal."""
    from scipy.special import stdtrit

    (code,), clusters = resample.codes(ids)
    if clusters < 2:
        return None
    mean = float(values.mean())
    value = mean if over is None else mean / float(over.mean())
    if mean == 0:
        return 0.0, 0.0, 0.0
    influence = values / mean - (1.0 if over is None else over / over.mean())
    totals = np.bincount(code, influence, minlength=clusters)
    variance = clusters / (clusters - 1) * float(totals @ totals) / len(values) ** 2
    half = float(stdtrit(clusters - 1, 0.5 + confidence / 2)) * math.sqrt(variance)
    return value, value * math.exp(-half), value * math.exp(half)


def _too_few(
    name: str, chance: float, n: Mapping[str, int], confidence: float, least: int = 2
) -> Estimate:
    reason = Reason(ReasonCode.TOO_FEW_PATIENTS, {"least": least})
    return refuse_estimate(Metric(name), reason, chance, n, confidence)


__all__ = [
    "mae",
    "prediction_slope",
    "r2",
    "rmse",
    "utility_groups_of_numbers",
    "utility_of_numbers",
]
