"""Logistic recalibration: the outcome's log odds as a line in the predicted log odds."""

from __future__ import annotations

import math

import numpy as np

from privaudit.facts import Reason, ReasonCode
from privaudit.stats import resample

EDGE_PROBABILITY = 1e-6
"""Answers of 0 and 1 have no log odds; they are read as this close to sure."""

MAX_SLOPE = 100.0

MAX_STEP = 2.0
"""In log odds, by which no step of the fit is longer."""


class Separable(Exception):
    """The fit has no finite or stable answer."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def _unstable() -> Separable:
    return Separable(Reason(ReasonCode.NO_STABLE_FIT))


def _check_both_outcomes(hit: np.ndarray) -> None:
    if hit.min() == hit.max():
        raise Separable(Reason(ReasonCode.ONE_OUTCOME, {"outcomes": ()}))


def slope(
    odds: np.ndarray, hit: np.ndarray, ids: np.ndarray, confidence: float
) -> tuple[float, float, float]:
    """Slope of the recalibration line, intercept free, with its interval."""
    if np.ptp(odds) < 1e-9:
        raise Separable(Reason(ReasonCode.EQUAL_PREDICTIONS))
    _check_both_outcomes(hit)
    if odds[hit == 1].min() >= odds[hit == 0].max() or odds[hit == 1].max() <= odds[hit == 0].min():
        raise Separable(Reason(ReasonCode.SEPARATED_OUTCOMES))
    scale = float(odds.std())
    design = np.stack([np.ones_like(odds), (odds - odds.mean()) / scale], axis=1)
    beta, variance = _fit(design, np.zeros_like(odds), hit, ids)
    value, error = beta[1] / scale, math.sqrt(variance[1, 1]) / scale
    if abs(value) > MAX_SLOPE:
        raise _unstable()
    return _bounds(value, error, ids, confidence)


def intercept(
    odds: np.ndarray, hit: np.ndarray, ids: np.ndarray, confidence: float
) -> tuple[float, float, float]:
    """Shift of the log odds that makes predicted and observed rates agree, with its interval."""
    _check_both_outcomes(hit)
    beta, variance = _fit(np.ones((len(odds), 1)), odds, hit, ids)
    return _bounds(beta[0], math.sqrt(variance[0, 0]), ids, confidence)


def _bounds(
    value: float, error: float, ids: np.ndarray, confidence: float
) -> tuple[float, float, float]:
    from scipy.special import stdtrit

    half = float(stdtrit(max(1, resample.count(ids) - 1), 0.5 + confidence / 2)) * error
    return float(value), float(value - half), float(value + half)


def _fit(
    design: np.ndarray, offset: np.ndarray, hit: np.ndarray, ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Newton's method with short steps, halved where they fail; coefficients and their variance
    with patients as clusters."""
    from scipy.special import expit

    def loss(at: np.ndarray) -> float:
        eta = offset + design @ at
        return float((np.logaddexp(0, eta) - hit * eta).sum())

    (code,), clusters = resample.codes(ids)
    if clusters < 3:
        raise Separable(Reason(ReasonCode.TOO_FEW_PATIENTS, {"least": 3}))
    beta = np.zeros(design.shape[1])
    now = loss(beta)
    for _ in range(100):
        p = expit(offset + design @ beta)
        gradient = design.T @ (hit - p)
        curvature = (design * (p * (1 - p))[:, None]).T @ design
        if np.linalg.cond(curvature) > 1e12:
            raise _unstable()
        step = np.linalg.solve(curvature, gradient)
        # From far away a full step lands where the curve is flat, and the next one anywhere.
        size = min(1.0, MAX_STEP / max(float(np.abs(step).max()), MAX_STEP))
        while loss(beta + size * step) > now + 1e-12 * abs(now) and size > 1e-6:
            size /= 2
        beta = beta + size * step
        now = loss(beta)
        if np.abs(size * step).max() < 1e-9:
            break
    else:
        raise _unstable()
    p = expit(offset + design @ beta)
    bread = np.linalg.inv((design * (p * (1 - p))[:, None]).T @ design)
    pieces = design * (hit - p)[:, None]
    totals = np.stack(
        [np.bincount(code, column, minlength=clusters) for column in pieces.T], axis=1
    )
    meat = totals.T @ totals * clusters / (clusters - 1)
    return beta, bread @ meat @ bread
