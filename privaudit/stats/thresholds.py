"""True positive rates at fixed false positive rates, with ties, by patient-clustered bootstrap."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from privaudit.disclosure_limits import MIN_FALSE_POSITIVES
from privaudit.stats import resample
from privaudit.stats.catalogue import POWER
from privaudit.stats.rates import quantile, wilson


@dataclass(frozen=True, eq=False)
class Roc:
    """The plain ROC of two pools of scores, ready to be re-weighted by resampled patients.

    At each false positive rate the rate is read on the ROC itself, never on its convex hull: the
    largest threshold set that does not exceed it, and, where records tie at the threshold, a random
    share of the tied ones, which is the straight line between the ROC's corners
    (`sklearn.metrics.roc_curve` read with linear interpolation). A score that knows nothing
    therefore reads as chance however it ties.
    """

    code_members: np.ndarray
    code_nonmembers: np.ndarray
    clusters: tuple[int, int]
    ends: np.ndarray
    above: np.ndarray
    upto: np.ndarray

    @classmethod
    def of(
        cls,
        members: np.ndarray,
        nonmembers: np.ndarray,
        ids_members: np.ndarray,
        ids_nonmembers: np.ndarray,
    ) -> Roc:
        """Sort once: pools with the patients of their records."""
        (one,), ones = resample.codes(ids_members)
        (zero,), zeros = resample.codes(ids_nonmembers)
        down_one = np.argsort(-members, kind="stable")
        down_zero = np.argsort(-nonmembers, kind="stable")
        ordered = nonmembers[down_zero]
        ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        rising = members[down_one][::-1]
        at = ordered[ends]
        return cls(
            one[down_one],
            zero[down_zero],
            (ones, zeros),
            ends,
            len(members) - np.searchsorted(rising, at, "right"),
            len(members) - np.searchsorted(rising, at, "left"),
        )

    def tpr(
        self, fprs: np.ndarray, weight_members: np.ndarray, weight_nonmembers: np.ndarray
    ) -> np.ndarray:
        """(resamples, len(fprs)) for weights of the records in sorted order, (resamples, n)
        each."""
        rows = np.arange(len(weight_members))[:, None]
        false = np.cumsum(weight_nonmembers, axis=1)[:, self.ends]
        true = np.cumsum(weight_members, axis=1)
        true = np.concatenate([np.zeros((len(true), 1)), true], axis=1)
        groups = false.shape[1]
        total = false[:, -1:]
        asked = fprs[None] * total + 1e-6
        step = float(total.max()) + 1.0
        at = np.searchsorted((false + rows * step).ravel(), (asked + rows * step).ravel(), "right")
        at = np.minimum(at.reshape(asked.shape) - rows * groups, groups - 1)
        here = false[rows, at]
        before = np.where(at > 0, false[rows, np.maximum(at - 1, 0)], 0.0)
        share = np.clip((asked - 1e-6 - before) / np.maximum(here - before, 1e-12), 0, 1)
        low, high = true[rows, self.above[at]], true[rows, self.upto[at]]
        rate = (low + share * (high - low)) / true[:, -1:]
        return np.where(fprs[None] >= 1, 1.0, rate)

    def point(self, fprs: np.ndarray) -> np.ndarray:
        """(len(fprs),): the rates on the records as they are."""
        ones = np.ones((1, len(self.code_members)))
        return np.asarray(self.tpr(fprs, ones, np.ones((1, len(self.code_nonmembers))))[0])

    def draws(
        self, fprs: np.ndarray, rng: np.random.Generator, resamples: int = resample.RESAMPLES
    ) -> np.ndarray:
        """(resamples, len(fprs)): both pools drawn again by patient."""
        width = len(self.code_members) + len(self.code_nonmembers)
        return np.concatenate(
            [
                self.tpr(
                    fprs,
                    resample.weights(self.code_members, self.clusters[0], n, rng),
                    resample.weights(self.code_nonmembers, self.clusters[1], n, rng),
                )
                for n in resample.chunks(width, resamples)
            ]
        )

    def band(
        self, fprs: np.ndarray, confidence: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The rates with lower and upper bounds.

        The percentile interval is joined with Wilson's for the share alone on the number of
        patients, which keeps it honest where hardly a member, or hardly any other, is recognised.
        """
        value = self.point(fprs)
        low, high = resample.percentile(self.draws(fprs, rng), value, confidence)
        alone = np.array([wilson(float(v), self.clusters[0], confidence) for v in value])
        low = np.minimum(np.minimum(low, alone[:, 0]), value)
        high = np.maximum(np.maximum(high, alone[:, 1]), value)
        return value, low, high


def shortfall(patients: int, fpr: float) -> int:
    """How many more held-out patients a rate at this false positive rate needs; 0 when enough."""
    return max(0, math.ceil(MIN_FALSE_POSITIVES / fpr - 1e-6) - patients)


def detectable(fpr: float, patients: tuple[int, int], confidence: float) -> float | None:
    """Smallest true positive rate whose interval excludes `fpr` in 4 of 5 audits of this size.

    Normal approximation with the variance of an estimated threshold; the ROC is taken as that of
    two normal distributions of equal spread. The interval's lower arm has the error half way to
    the null (percentile intervals are short on that side). None: not even a rate of 1.
    """
    from scipy.special import ndtr, ndtri

    z, power = quantile(confidence), quantile(2 * POWER - 1)
    m, n = patients
    edge = float(ndtri(fpr))

    def error(shift: float) -> float:
        rate = float(ndtr(shift + edge))
        slope = math.exp((edge**2 - (shift + edge) ** 2) / 2)
        return math.sqrt(rate * (1 - rate) / m + slope**2 * fpr * (1 - fpr) / n)

    def found(shift: float) -> bool:
        rate = float(ndtr(shift + edge))
        return rate - fpr >= z * error(shift / 2) + power * error(shift)

    left, right = 0.0, 8.0 - edge
    if not found(right):
        return None
    for _ in range(60):
        middle = (left + right) / 2
        left, right = (left, middle) if found(middle) else (middle, right)
    return float(ndtr(right + edge))
