"""Average precision (the area under the precision-recall curve), with an interval by patient."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from privaudit.stats import resample
from privaudit.stats.rates import wilson

EDGE = 1e-6
"""Resampled values are read as this far from 0 and 1, where they have no log odds."""

Question = tuple[np.ndarray, np.ndarray]
"""(n,) scores of one class against the rest, and who has it."""


def average_precision(scores: np.ndarray, positive: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(resamples,) average precision for weights (resamples, n), ties taken together."""
    down = np.argsort(-scores, kind="stable")
    ordered = scores[down]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    weight = weight[:, down]
    named = np.cumsum(weight, axis=1)[:, ends]
    right = np.cumsum(weight * positive[down], axis=1)[:, ends]
    gained = np.diff(right, axis=1, prepend=0.0)
    found = (gained * right / np.maximum(named, 1e-12)).sum(axis=1)
    return np.asarray(found / np.maximum(right[:, -1], 1e-12))


def influence(scores: np.ndarray, positive: np.ndarray) -> tuple[float, np.ndarray]:
    """Average precision, and (n,) what it moves by for a little more weight on each record.

    A record moves it by its own precision where it is positive, and by the precision of every
    positive that is scored no higher. Ties are taken together.
    """
    down = np.argsort(-scores, kind="stable")
    ordered, hit = scores[down], positive[down].astype(float)
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    place = np.searchsorted(ends, np.arange(len(ordered)))
    named, right = ends + 1.0, np.cumsum(hit)[ends]
    gained, precise = np.diff(right, prepend=0.0), right / named
    value = float((gained * precise).sum() / right[-1])
    below = np.cumsum((gained / named)[::-1])[::-1]
    lost = np.cumsum((gained * precise / named)[::-1])[::-1]
    moved = np.empty(len(ordered))
    moved[down] = hit * (precise[place] - value + below[place]) - lost[place]
    return value, moved / right[-1]


def mean_precision(
    asked: Sequence[Question], ids: np.ndarray, confidence: float, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Mean average precision over the classes asked about, and its interval.

    The interval is Wald's on the logit scale: linearised variance with patients as clusters,
    Student's t with as many degrees of freedom as the rarest class has patients, less one. In small
    samples the sample's own value is too high; by the median of a bootstrap of patients, that bias
    is told and the interval's end moved outwards, never inwards. A percentile interval has the bias
    twice: its lower end lies above the truth 6 to 12 times in 100 at 100 patients
    (docs/design/024-more-than-two-classes.md).
    """
    from scipy.special import expit, logit, stdtrit

    (code,), clusters = resample.codes(ids)
    parts = [influence(scores, mask) for scores, mask in asked]
    value = float(np.mean([part for part, _ in parts]))
    totals = np.bincount(code, np.mean([moved for _, moved in parts], axis=0), minlength=clusters)
    few = min(resample.count(ids[mask]) for _, mask in asked)
    variance = float((totals**2).sum()) * few / max(1, few - 1)
    if not 0 < value < 1 or clusters < 2 or variance < 1e-15:
        low, high = wilson(value, few, confidence)
        return value, min(value, float(low)), max(value, float(high))

    def mean(weight: np.ndarray) -> np.ndarray:
        drawn = [average_precision(scores, mask, weight) for scores, mask in asked]
        there = np.all([(weight * mask).sum(axis=1) > 0 for _, mask in asked], axis=0)
        return np.where(there, np.mean(drawn, axis=0), np.nan)

    drawn = resample.bootstrap(mean, code, clusters, rng)
    drawn = drawn[np.isfinite(drawn)]
    centre = float(logit(value))
    bias = float(np.median(logit(np.clip(drawn, EDGE, 1 - EDGE)))) - centre if len(drawn) else 0.0
    half = float(stdtrit(max(1, few - 1), 0.5 + confidence / 2))
    half *= math.sqrt(variance) / (value * (1 - value))
    low, high = expit(centre - max(bias, 0.0) - half), expit(centre - min(bias, 0.0) + half)
    return value, float(low), float(high)


__all__ = ["Question", "average_precision", "influence", "mean_precision"]
