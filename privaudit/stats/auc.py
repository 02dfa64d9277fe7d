"""The area under the ROC curve, with an interval that knows about patients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from privaudit.facts import BoundMethod
from privaudit.stats import resample
from privaudit.stats.catalogue import POWER
from privaudit.stats.rates import quantile

EDGE = 5.0
"""Below this many patients' worth of errors (min(A, 1 - A) times the smaller pool) the logit
interval is joined with Newcombe's, whose variance does not vanish at 0 and 1."""


@dataclass(frozen=True)
class Area:
    """An AUC: its clustered variance (None: too few patients), degrees of freedom, patients a
    side."""

    value: float
    variance: float | None
    df: float
    patients: tuple[int, int]

    def interval(self, confidence: float) -> tuple[float, float, BoundMethod]:
        """Lower bound, upper bound and how they were made."""
        few = min(self.patients)
        edge = min(self.value, 1 - self.value) * few < EDGE
        if self.variance is None or self.variance <= 0:
            return *newcombe(self.value, self.patients, confidence), BoundMethod.NEWCOMBE_AUC
        if not edge:
            return *self._logit(confidence), BoundMethod.DELONG
        low, high = newcombe(self.value, self.patients, confidence)
        if 0 < self.value < 1:
            other = self._logit(confidence)
            low, high = min(low, other[0]), max(high, other[1])
        return low, high, BoundMethod.DELONG_NEWCOMBE

    def _logit(self, confidence: float) -> tuple[float, float]:
        from scipy.special import expit, logit, stdtrit

        assert self.variance is not None
        spread = self.value * (1 - self.value)
        half = float(stdtrit(self.df, 0.5 + confidence / 2)) * math.sqrt(self.variance) / spread
        centre = float(logit(self.value))
        return float(expit(centre - half)), float(expit(centre + half))


def placements(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """(len(positive),): the share of negatives below each positive, ties counting half."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left")
    return (below + np.searchsorted(ordered, positive, "right")) / (2 * len(negative))


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Chance that a positive scores above a negative, ties counting half (Mann-Whitney)."""
    return float(placements(positive, negative).mean())


def area(
    positive: np.ndarray,
    negative: np.ndarray,
    ids_positive: np.ndarray,
    ids_negative: np.ndarray,
) -> Area:
    """The AUC and its variance with patients as clusters, who may be on both sides.

    Obuchowski 1997 (Biometrics 53:567), section 3; with one record a patient it is DeLong 1988.
    Degrees of freedom after Satterthwaite, as in Brunner and Munzel 2000.
    """
    v10 = placements(positive, negative)
    v01 = 1 - placements(negative, positive)
    value = float(v10.mean())
    (one, zero), clusters = resample.codes(ids_positive, ids_negative)
    m, n = len(positive), len(negative)
    in_one = np.bincount(one, minlength=clusters) > 0
    in_zero = np.bincount(zero, minlength=clusters) > 0
    i10, i01 = int(in_one.sum()), int(in_zero.sum())
    if i10 < 2 or i01 < 2:
        return Area(value, None, 1.0, (i10, i01))
    a = np.bincount(one, v10 - value, minlength=clusters)
    b = np.bincount(zero, v01 - value, minlength=clusters)
    first = i10 / (i10 - 1) * float((a**2).sum()) / m**2
    second = i01 / (i01 - 1) * float((b**2).sum()) / n**2
    both = clusters / (clusters - 1) * float((a * b).sum()) / (m * n)
    variance = first + second + 2 * both
    if variance <= 1e-15:
        return Area(value, 0.0, 1.0, (i10, i01))
    df = (first + second) ** 2 / (first**2 / (i10 - 1) + second**2 / (i01 - 1))
    return Area(value, variance, max(1.0, df), (i10, i01))


def mean_area(parts: list[tuple[np.ndarray, np.ndarray]], ids: np.ndarray) -> Area:
    """The mean AUC of several questions on the same records, each (scores, positive mask).

    The clustered influence of every patient is averaged over the questions before squaring, so
    their dependence is counted.
    """
    (code,), clusters = resample.codes(ids)
    influence = np.zeros(clusters)
    values = []
    few = clusters
    for scores, positive in parts:
        one, zero = scores[positive], scores[~positive]
        v10, v01 = placements(one, zero), 1 - placements(zero, one)
        value = float(v10.mean())
        values.append(value)
        influence += np.bincount(code[positive], v10 - value, minlength=clusters) / len(one)
        influence += np.bincount(code[~positive], v01 - value, minlength=clusters) / len(zero)
        few = min(few, resample.count(ids[positive]), resample.count(ids[~positive]))
    if few < 2:
        return Area(float(np.mean(values)), None, 1.0, (few, few))
    variance = clusters / (clusters - 1) * float(((influence / len(parts)) ** 2).sum())
    return Area(float(np.mean(values)), variance if variance > 1e-15 else 0.0, few - 1, (few, few))


def spread(theta: float, patients: tuple[int, int]) -> float:
    """Standard deviation of an AUC whose true value is theta, from the pool sizes alone.

    Newcombe 2006 (Stat Med 25:559), method 5, after Hanley and McNeil 1982.
    """
    m, n = patients
    half = (m + n) / 2 - 1
    inner = 1 + half * ((1 - theta) / (2 - theta) + theta / (1 + theta))
    return math.sqrt(max(0.0, theta * (1 - theta) * inner) / (m * n))


def newcombe(value: float, patients: tuple[int, int], confidence: float) -> tuple[float, float]:
    """Score interval for an AUC from its value and the pool sizes; bounded, never empty.

    Newcombe 2006 (Stat Med 25:559), method 5.
    """
    z = quantile(confidence)

    def lower(a: float) -> float:
        left, right = 0.0, a
        for _ in range(60):
            middle = (left + right) / 2
            if a - middle > z * spread(middle, patients):
                left = middle
            else:
                right = middle
        return left

    return lower(value), 1 - lower(1 - value)


def detectable(patients: tuple[int, int], confidence: float) -> float | None:
    """Smallest AUC whose interval excludes 0.5 in 4 of 5 audits of this size; None: not even 1."""
    z, power = quantile(confidence), quantile(2 * POWER - 1)
    m, n = patients
    null = math.sqrt((m + n + 1) / (12 * m * n))

    def found(theta: float) -> bool:
        return theta - 0.5 >= z * null + power * spread(theta, patients)

    if not found(0.9999):
        return None
    left, right = 0.5, 0.9999
    for _ in range(60):
        middle = (left + right) / 2
        left, right = (left, middle) if found(middle) else (middle, right)
    return right
