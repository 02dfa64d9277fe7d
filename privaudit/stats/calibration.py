"""Calibration: slope and intercept of the logistic recalibration, one a class, or one a cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from privaudit.disclosure_limits import MIN_CELL
from privaudit.facts import Bound, BoundMethod, Metric, Reason, ReasonCode, Setting
from privaudit.results import Estimate
from privaudit.stats import resample
from privaudit.stats._refusal import refuse_estimate
from privaudit.stats.recalibrate import EDGE_PROBABILITY, Separable, intercept, slope

FITS = (("calibration_slope", slope, 1.0), ("calibration_intercept", intercept, 0.0))
"""Name, fit, and the value of perfect answers."""

Question = tuple[Setting | None, np.ndarray, np.ndarray]
"""Which class or cut, (n,) probabilities of it, and (n,) whether it was so."""


def too_few_with_outcome(least: int, group: bool = False) -> Reason:
    """Why nothing is stated where too few have the outcome, or do not; group: of one subgroup."""
    return Reason(ReasonCode.TOO_FEW_WITH_OUTCOME, {"least": least, "group": group})


def calibration(
    proba: np.ndarray,
    y: np.ndarray,
    ids: np.ndarray,
    n: Mapping[str, int],
    confidence: float,
    *,
    classes: Sequence[str] = (),
    ordered: bool = False,
    names: Sequence[str] = ("calibration_slope", "calibration_intercept"),
    group: bool = False,
) -> tuple[Estimate, ...]:
    """Slope and intercept of the logistic recalibration, with intervals by patient.

    Two classes: one of each, of the second class. More: one of each a class against the rest
    (`Metric.at` an "outcome"), or for ordered classes one a cut, of that class or a higher one (a
    "cut"). All classes' answers stacked would sum to as many as there are records, as the outcomes
    do, so that one intercept of the stack is 0 whatever the model answers; and one slope of the
    stack would let one class's excess hide another's. With fewer than 10 patients on a side it is
    refused.

    Args:
        proba: (n, k) probabilities.
        y: (n,) class codes.
        ids: (n,) patients.
        n: What the estimates state as their size.
        confidence: Of the intervals.
        classes: The classes' names; their codes where it is empty.
        ordered: Whether the classes are in an order that means something.
        names: Which of the two.
        group: Whether it is about one subgroup, for refusals.

    Returns:
        Slopes and intercepts, class by class.
    """
    found = []
    for at, p, hit in _questions(proba, y, classes, ordered):
        few = at is not None and _has_few(hit, ids)
        for name, fit, perfect in FITS:
            if name not in names:
                continue
            metric = Metric(name, at=at)
            if few:
                reason = too_few_with_outcome(MIN_CELL, group)
                found.append(refuse_estimate(metric, reason, perfect, n, confidence))
                continue
            clipped = np.clip(p, EDGE_PROBABILITY, 1 - EDGE_PROBABILITY)
            odds = np.log(clipped) - np.log1p(-clipped)
            try:
                interval = fit(odds, hit.astype(float), ids, confidence)
            except Separable as error:
                found.append(refuse_estimate(metric, error.reason, perfect, n, confidence))
                continue
            bound = Bound(BoundMethod.RECALIBRATION)
            found.append(Estimate(metric, *interval, perfect, n, confidence, bound))
    return tuple(found)


def settings(k: int, classes: Sequence[str], ordered: bool) -> list[Setting | None]:
    """What the calibration of k classes is stated of: the whole, each class, or each cut."""
    names = tuple(classes) or tuple(map(str, range(k)))
    if k == 2:
        return [None]
    if ordered:
        return [Setting("cut", name) for name in names[1:]]
    return [Setting("outcome", name) for name in names]


def _questions(
    proba: np.ndarray, y: np.ndarray, classes: Sequence[str], ordered: bool
) -> Iterator[Question]:
    k = proba.shape[1]
    at = settings(k, classes, ordered)
    if k == 2:
        yield at[0], proba[:, 1], y == 1
    elif ordered:
        above = np.cumsum(proba[:, ::-1], axis=1)[:, ::-1]
        for c in range(1, k):
            yield at[c - 1], above[:, c], y >= c
    else:
        for c in range(k):
            yield at[c], proba[:, c], y == c


def _has_few(hit: np.ndarray, ids: np.ndarray) -> bool:
    return min(resample.count(ids[hit]), resample.count(ids[~hit])) < MIN_CELL


__all__ = ["FITS", "calibration", "settings", "too_few_with_outcome"]
