"""Differences between two runs on the same records: every interval knows that the patients are the
same.

The difference is always second minus first. Two models read on one set of patients err alike, so
the interval of the difference is shorter than the two runs' own intervals suggest. Each function's
docstring ends with the `BoundMethod` that a document names it by.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from privaudit.contracts import Scores, Trials
from privaudit.stats import auc as area_module
from privaudit.stats import prediction, rates, resample, thresholds
from privaudit.stats.paired import gap
from privaudit.stats.patients import by_patient

Bounds = tuple[float, float, float]
"""Difference, lower and upper bound."""


def apart(first: Bounds, second: Bounds) -> Bounds:
    """Difference of two estimates with intervals of their own, taken as independent.

    first, second: (value, low, high). Zou and Donner 2008 (Stat Med 27:1693), section 2. Where the
    two were made on the same patients it is longer than it need be. MOVER.
    """
    (a, low_a, high_a), (b, low_b, high_b) = first, second
    down = math.hypot(b - low_b, high_a - a)
    up = math.hypot(high_b - b, a - low_a)
    return b - a, b - a - down, b - a + up


def area(
    first: Scores, second: Scores, patients: tuple[np.ndarray, np.ndarray], confidence: float
) -> Bounds | None:
    """Difference of two AUCs of a membership game, by patient; None where there are too few of
    them. PAIRED_DELONG."""
    (first, ids), (second, _) = (by_patient(scores, patients) for scores in (first, second))
    patients = ids
    parts = [
        (
            area_module.placements(s.members, s.nonmembers),
            1 - area_module.placements(s.nonmembers, s.members),
        )
        for s in (first, second)
    ]
    v10, v01 = parts[1][0] - parts[0][0], parts[1][1] - parts[0][1]
    value = float(v10.mean())
    (one, zero), clusters = resample.codes(*patients)
    sizes = resample.count(patients[0]), resample.count(patients[1])
    if min(sizes) < 2:
        return None
    influence = np.bincount(one, v10 - value, minlength=clusters) / len(v10)
    influence += np.bincount(zero, v01 - value, minlength=clusters) / len(v01)
    variance = clusters / (clusters - 1) * float((influence**2).sum())
    equal = np.array_equal(v10, np.zeros(len(v10)))
    return _student(value, variance, min(sizes) - 1, equal, confidence)


def auroc(
    first: np.ndarray, second: np.ndarray, y: np.ndarray, ids: np.ndarray, confidence: float
) -> Bounds | None:
    """Difference of the AUROC of two models' (n, k) answers; the mean over classes for k > 2.
    PAIRED_DELONG."""
    found = gap(second, first, y, ids)
    if found is None or found.variance is None:
        return None
    return _student(
        found.value, found.variance, found.df, np.array_equal(first, second), confidence
    )


def _student(
    value: float, variance: float, df: float, equal: bool, confidence: float
) -> Bounds | None:
    from scipy.special import stdtrit

    if variance <= 1e-15:
        # Equal scores differ by nothing; two perfect rankings leave the interval unknown.
        return (0.0, 0.0, 0.0) if equal else None
    half = float(stdtrit(df, 0.5 + confidence / 2)) * math.sqrt(variance)
    return value, max(-1.0, value - half), min(1.0, value + half)


def recognised(
    first: Scores,
    second: Scores,
    fpr: float,
    patients: tuple[np.ndarray, np.ndarray],
    confidence: float,
    rng: np.random.Generator,
) -> Bounds:
    """Difference of the true positive rates at one false positive rate, by patient, thresholds
    estimated.

    PAIRED_BOOTSTRAP_NEWCOMBE.
    """
    (first, ids), (second, _) = (by_patient(scores, patients) for scores in (first, second))
    patients = ids
    seed = int(rng.integers(2**63 - 1))
    at, draws, points, hits = np.array([fpr]), [], [], []
    for scores in (first, second):
        roc = thresholds.Roc.of(scores.members, scores.nonmembers, *patients)
        # The same seed draws the same patients: they are numbered alike in both.
        draws.append(roc.draws(at, np.random.default_rng(seed))[:, 0])
        points.append(float(roc.point(at)[0]))
        hits.append(_hits(scores, fpr, points[-1]))
    value = points[1] - points[0]
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws[1] - draws[0], [tail, 1 - tail])
    _, least, most = rates.difference(hits[1], hits[0], patients[0], None, confidence)
    return value, min(value, float(low), least), max(value, float(high), most)


def _hits(scores: Scores, fpr: float, rate: float) -> np.ndarray:
    """(members,) whether each is named at this rate; records tied at the threshold count by
    their share."""
    threshold = np.quantile(scores.nonmembers, 1 - fpr, method="inverted_cdf")
    hit: np.ndarray = (scores.members > threshold).astype(float)
    tied = scores.members == threshold
    if tied.any():
        hit[tied] = np.clip((rate * len(hit) - hit.sum()) / tied.sum(), 0, 1)
    return hit


def shares(first: np.ndarray, second: np.ndarray, ids: np.ndarray, confidence: float) -> Bounds:
    """Difference of two shares of successes in [0, 1] on the same records. NEWCOMBE_PAIRED."""
    return rates.difference(second, first, ids, None, confidence)


def gains(
    first: Trials, second: Trials, over: str, ids: np.ndarray, confidence: float
) -> Bounds | None:
    """Difference of two advantages over `control` or `guess`, made on the same records in both
    runs.

    Where the control was made on other records than the attack, the two changes are independent.
    PAIRED_MEAN.
    """
    pairs = [(t.success, getattr(t, over)) for t in (first, second)]
    if over == "control" and first.control_patients is not None:
        gain = _change(pairs[0][0], pairs[1][0], ids)
        lost = _change(pairs[0][1], pairs[1][1], np.asarray(first.control_patients))
        if gain is None or lost is None:
            return None
        value, variance, df = gain[0] - lost[0], gain[1] + lost[1], min(gain[2], lost[2])
        return _interval(value, variance, df, confidence)
    one, other = (np.asarray(a, float) - np.asarray(b, float) for a, b in pairs)
    return mean(one, other, ids, confidence)


def _change(
    first: np.ndarray, second: np.ndarray, ids: np.ndarray
) -> tuple[float, float, int] | None:
    """Difference of two means over the same records, its variance and degrees of freedom."""
    change = np.asarray(second, float) - np.asarray(first, float)
    (code,), clusters = resample.codes(ids)
    variance = resample.mean_variance(change, code, clusters)
    return None if variance is None else (float(change.mean()), variance, clusters - 1)


def _interval(value: float, variance: float, df: int, confidence: float) -> Bounds:
    from scipy.special import stdtrit

    half = float(stdtrit(df, 0.5 + confidence / 2)) * math.sqrt(variance)
    return value, value - half, value + half


def mean(
    first: np.ndarray, second: np.ndarray, ids: np.ndarray, confidence: float
) -> Bounds | None:
    """Difference of two means over the same records; None for one patient. PAIRED_MEAN."""
    found = _change(first, second, ids)
    return None if found is None else _interval(*found, confidence)


def losses(proba: np.ndarray, y: np.ndarray, name: str) -> np.ndarray:
    """(n,) each record's part of the Brier score or of the log loss, as `prediction` defines
    them."""
    k = proba.shape[1]
    if name == "brier":
        scale = 0.5 if k == 2 else 1.0
        return np.asarray(scale * ((proba - np.eye(k)[y]) ** 2).sum(axis=1))
    return np.asarray(-np.log(np.clip(proba[np.arange(len(y)), y], prediction.CLIP, 1.0)))


def drawn(
    first: Callable[[np.ndarray], np.ndarray],
    second: Callable[[np.ndarray], np.ndarray],
    ids: np.ndarray,
    confidence: float,
    rng: np.random.Generator,
) -> Bounds:
    """Difference of two statistics of record weights (resamples, n) -> (resamples,), patients drawn
    again.

    PAIRED_BOOTSTRAP.
    """
    (code,), clusters = resample.codes(ids)
    found = resample.bootstrap(lambda w: second(w) - first(w), code, clusters, rng)
    once = np.ones((1, len(ids)))
    value = float((second(once) - first(once))[0])
    tail = (1 - confidence) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return value, min(value, float(low)), max(value, float(high))


def precision(proba: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Average precision as a function of record weights."""
    asked = prediction.questions(proba, y)
    return lambda w: np.mean([prediction.average_precision(s, hit, w) for s, hit in asked], axis=0)


__all__ = [
    "Bounds",
    "apart",
    "area",
    "auroc",
    "drawn",
    "gains",
    "losses",
    "mean",
    "precision",
    "recognised",
    "shares",
]
