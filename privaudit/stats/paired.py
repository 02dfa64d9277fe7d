"""Two answers on the same records: how much better one ranks, with an interval by patient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from privaudit.facts import Bound, BoundMethod, Metric
from privaudit.results import Estimate
from privaudit.stats import auc as area_module
from privaudit.stats import resample
from privaudit.stats._refusal import refuse_estimate
from privaudit.stats.calibration import too_few_with_outcome
from privaudit.stats.prediction import check, questions


@dataclass(frozen=True)
class Gap:
    """A difference of two AUROCs of the same records: its clustered variance (None: too few
    patients) and degrees of freedom."""

    value: float
    variance: float | None
    df: float


def gap(first: np.ndarray, second: np.ndarray, y: np.ndarray, ids: np.ndarray) -> Gap | None:
    """AUROC of `first` minus that of `second`; None where the records hold one class alone.

    first, second: (n, k) probabilities; y: (n,) codes; ids: (n,) patients. k > 2: means of one
    class against the rest. The influences of both areas are subtracted patient by patient before
    they are squared, so that their dependence is counted (DeLong 1988, section 3; clusters:
    Obuchowski 1997).
    """
    (code,), clusters = resample.codes(ids)
    asked = [questions(part, y) for part in (first, second)]
    if not asked[0]:
        return None
    influence, values = np.zeros(clusters), [0.0, 0.0]
    few = clusters
    for side, sign in ((0, 1.0), (1, -1.0)):
        for scores, positive in asked[side]:
            one, zero = scores[positive], scores[~positive]
            v10, v01 = area_module.placements(one, zero), 1 - area_module.placements(zero, one)
            value = float(v10.mean())
            values[side] += value / len(asked[side])
            weight = sign / len(asked[side])
            influence += weight * np.bincount(
                code[positive], (v10 - value) / len(one), minlength=clusters
            )
            influence += weight * np.bincount(
                code[~positive], (v01 - value) / len(zero), minlength=clusters
            )
            few = min(few, resample.count(ids[positive]), resample.count(ids[~positive]))
    difference = values[0] - values[1]
    if few < 2:
        return Gap(difference, None, 1.0)
    variance = clusters / (clusters - 1) * float((influence**2).sum())
    return Gap(difference, variance if variance > 1e-15 else 0.0, float(few - 1))


def auroc_loss(
    first: np.ndarray,
    second: np.ndarray,
    y: np.ndarray,
    *,
    patients: np.ndarray,
    confidence: float = 0.95,
) -> Estimate:
    """How much better the first answers rank than the second, on the same records.

    Where no pair of patients varies, both score intervals are taken together
    (`PAIRED_DELONG_SCORE`).
    """
    from scipy.special import stdtrit

    first, y, ids = check(first, y, patients)
    second, _, _ = check(second, y, patients)
    metric = Metric("auroc_loss")
    n = {"records": len(y), "patients": resample.count(ids)}
    found = gap(first, second, y, ids) if len(y) else None
    if found is None or found.variance is None:
        return refuse_estimate(metric, too_few_with_outcome(2), 0.0, n, confidence)
    if found.variance > 0:
        half = float(stdtrit(found.df, 0.5 + confidence / 2)) * math.sqrt(found.variance)
        low, high = max(-1.0, found.value - half), min(1.0, found.value + half)
        paired = Bound(BoundMethod.PAIRED_DELONG)
        return Estimate(metric, found.value, low, high, 0.0, n, confidence, paired)
    sides, bound = [], Bound(BoundMethod.PAIRED_DELONG_SCORE)
    few = int(found.df) + 1
    for part in (first, second):
        value = float(np.mean([area_module.auc(s[m], s[~m]) for s, m in questions(part, y)]))
        sides.append((value, *area_module.newcombe(value, (few, few), confidence)))
    if abs(found.value) < 1e-12 and 0 < sides[0][0] < 1:
        # The two rank every pair alike: there is nothing that other patients could change by
        # chance.
        return Estimate(metric, 0.0, 0.0, 0.0, 0.0, n, confidence, bound)
    (a, low_a, high_a), (b, low_b, high_b) = sides
    low = found.value - math.hypot(a - low_a, high_b - b)
    high = found.value + math.hypot(high_a - a, b - low_b)
    low, high = max(-1.0, low), min(1.0, high)
    return Estimate(metric, found.value, low, high, 0.0, n, confidence, bound)


__all__ = ["Gap", "auroc_loss", "gap"]
