"""A membership attack less what it reads where nothing can leak, on the same patients.

Where nobody assigned membership at random, members may be easier to predict than non-members, and
an attack then reads that difference too. A null model, trained on none of the records that it is
asked about, meets the same members and the same non-members: what the attack reads of it is the
difference between the pools and no leak.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from privaudit.contracts import Scores
from privaudit.facts import Bound, BoundMethod, Metric
from privaudit.results import Estimate
from privaudit.stats import differences, thresholds
from privaudit.stats.catalogue import FPRS, PPV_FPR, PRIORS
from privaudit.stats.membership import Patients, check, membership, ppv
from privaudit.stats.patients import by_patient

NULL_NUMBERS = ("auc", "tpr")
"""What is stated of the null itself."""


def read_null(
    null: Scores, *, patients: Patients, confidence: float, rng: np.random.Generator
) -> tuple[Estimate, ...]:
    """What the attack reads of the null, at the confidence of the attack's own numbers."""
    return membership(null, patients=patients, confidence=confidence, rng=rng, names=NULL_NUMBERS)


def correct(
    subject: Scores,
    null: Scores,
    *,
    patients: Patients,
    confidence: float,
    rng: np.random.Generator,
) -> tuple[Estimate, ...]:
    """The attack's AUC, rates and predictive values, less what it reads of the null.

    The AUC is 0.5 and a true positive rate the false positive rate, plus the difference from the
    null's, so that guessing stays guessing; all are cut to [0, 1]. The intervals are those of
    paired differences (`privaudit.stats.differences`): both answer for the same patients.

    Args:
        subject: The attack's scores of the release.
        null: Its scores of the null, of the same records in the same order.
        patients: Whose records the members' and the non-members' scores are.
        confidence: Coverage of the intervals.
        rng: Draws patients again.

    Returns:
        Estimates of the metrics auc, tpr and ppv; a number that the patients do not support, or
        whose interval is unknown because both rankings are perfect, is left out.
    """
    subject, ids = check(subject, patients)
    null, _ = check(replace(null, combine=subject.combine), patients)
    one, people = by_patient(subject, ids)
    other, _ = by_patient(null, ids)
    sizes = len(np.unique(people[0])), len(np.unique(people[1]))
    n = {
        "members": len(subject.members),
        "nonmembers": len(subject.nonmembers),
        "member_patients": sizes[0],
        "nonmember_patients": sizes[1],
    }
    if not min(sizes):
        return ()
    found = []
    area = differences.area(other, one, people, confidence)
    if area is not None:
        shown = _shift(area, 0.5)
        bound = Bound(BoundMethod.PAIRED_DELONG)
        found.append(Estimate(Metric("auc"), *shown, 0.5, n, confidence, bound))
    for fpr in FPRS:
        if thresholds.shortfall(sizes[1], fpr):
            continue
        rate = differences.recognised(other, one, fpr, people, confidence, rng)
        shown = _shift(rate, fpr)
        bound = Bound(BoundMethod.PAIRED_BOOTSTRAP_NEWCOMBE)
        found.append(Estimate(Metric("tpr", fpr=fpr), *shown, fpr, n, confidence, bound))
        if fpr == PPV_FPR:
            found += [_predictive(prior, shown, n, confidence) for prior in PRIORS]
    return tuple(found)


def _predictive(
    prior: float, rate: differences.Bounds, n: dict[str, int], confidence: float
) -> Estimate:
    metric = Metric("ppv", fpr=PPV_FPR, prior=prior)
    value, low, high = (ppv(part, PPV_FPR, prior) for part in rate)
    bound = Bound(BoundMethod.BAYES_RULE)
    return Estimate(metric, value, low, high, prior, n, confidence, bound)


def _shift(difference: differences.Bounds, chance: float) -> differences.Bounds:
    """Chance plus a difference, cut to [0, 1]."""
    value, low, high = (min(1.0, max(0.0, chance + part)) for part in difference)
    return value, low, high


__all__ = ["correct", "read_null"]
