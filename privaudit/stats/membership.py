"""Membership scores to estimates: AUC, rates at few false alarms, predictive values, the ROC."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from privaudit.contracts import Scores
from privaudit.errors import PrivauditError
from privaudit.results import Curve, Estimate
from privaudit.stats import auc as area_module
from privaudit.stats import resample, thresholds
from privaudit.stats.catalogue import FPRS, MIN_FALSE_POSITIVES, PPV_FPR, PRIORS

Patients = tuple[np.ndarray, np.ndarray]


def check(evidence: Scores, patients: Patients) -> tuple[Scores, Patients]:
    """Scores as float64 with one patient each; NaN and unequal lengths are refused."""
    members = np.asarray(evidence.members, dtype=np.float64).ravel()
    nonmembers = np.asarray(evidence.nonmembers, dtype=np.float64).ravel()
    ids = (np.asarray(patients[0]).ravel(), np.asarray(patients[1]).ravel())
    if (len(members), len(nonmembers)) != (len(ids[0]), len(ids[1])):
        raise PrivauditError(
            f"{len(members)} and {len(nonmembers)} scores for {len(ids[0])} and {len(ids[1])} records",
            "every score needs the patient of its record",
            "pass the patients of the members and of the non-members, in the order of the scores",
        )
    missing = int(np.isnan(members).sum() + np.isnan(nonmembers).sum())
    if missing:
        raise PrivauditError(
            f"{missing} membership scores are not a number",
            "scores are compared by order, and NaN has none",
            "make the attack return a finite score for every record",
        )
    return Scores(members, nonmembers, evidence.randomised), ids


def membership(
    evidence: Scores,
    *,
    patients: Patients,
    confidence: float,
    rng: np.random.Generator,
    names: Collection[str] | None = None,
) -> tuple[Estimate, ...]:
    """Every estimate of a membership game, in the order of `catalogue.MEMBERSHIP`."""
    evidence, ids = check(evidence, patients)
    sizes = (resample.count(ids[0]), resample.count(ids[1]))
    n = {
        "members": len(evidence.members),
        "nonmembers": len(evidence.nonmembers),
        "member_patients": sizes[0],
        "nonmember_patients": sizes[1],
    }

    def asked(*some: str) -> bool:
        return names is None or any(name in names for name in some)

    found = []
    if asked("auc", "detectable_auc"):
        found += _area(evidence, ids, sizes, n, confidence)
    rates = [f"tpr_at_fpr_{f:g}" for f in FPRS]
    if asked(*rates, *(f"detectable_{r}" for r in rates), *(f"ppv_at_prior_{p:g}" for p in PRIORS)):
        found += _rates(evidence, ids, sizes, n, confidence, rng)
    return tuple(e for e in found if asked(e.name))


def _area(
    evidence: Scores,
    ids: Patients,
    sizes: tuple[int, int],
    n: dict[str, int],
    confidence: float,
) -> list[Estimate]:
    if not min(sizes):
        reason = "needs at least one member and one non-member"
        return [
            Estimate(name, None, None, None, 0.5, n, confidence, area_module.HOW, reason)
            for name in ("auc", "detectable_auc")
        ]
    area = area_module.area(evidence.members, evidence.nonmembers, *ids)
    low, high, how = area.interval(confidence)
    least = area_module.detectable(sizes, confidence)
    return [
        Estimate("auc", area.value, low, high, 0.5, n, confidence, how),
        Estimate(
            "detectable_auc",
            least,
            chance=0.5,
            n=n,
            confidence=confidence,
            how="80 % power, patients counted as independent; Newcombe 2006",
            refusal=None if least is not None else "too few patients to reveal any leak",
        ),
    ]


def _rates(
    evidence: Scores,
    ids: Patients,
    sizes: tuple[int, int],
    n: dict[str, int],
    confidence: float,
    rng: np.random.Generator,
) -> list[Estimate]:
    stated = [f for f in FPRS if min(sizes) and not thresholds.shortfall(sizes[1], f)]
    known: dict[float, tuple[float, float, float]] = {}
    if stated:
        curve = thresholds.Roc.of(evidence.members, evidence.nonmembers, *ids)
        band = curve.band(np.array(stated), confidence, rng)
        known = {f: tuple(float(part[i]) for part in band) for i, f in enumerate(stated)}  # type: ignore[misc]
    found: list[Estimate] = []
    for f in FPRS:
        refusal = None if f in known else refuse(sizes, f)
        value, low, high = known.get(f, (None, None, None))
        found.append(
            Estimate(
                f"tpr_at_fpr_{f:g}", value, low, high, f, n, confidence, thresholds.HOW, refusal
            )
        )
    for f in FPRS:
        least = thresholds.detectable(f, sizes, confidence) if f in known else None
        refusal = None if f in known else refuse(sizes, f)
        if least is None and refusal is None:
            refusal = "too few patients to reveal any leak at this rate of false alarms"
        how = "80 % power, patients counted as independent, threshold estimated"
        found.append(
            Estimate(
                f"detectable_tpr_at_fpr_{f:g}", least, None, None, f, n, confidence, how, refusal
            )
        )
    for prior in PRIORS:
        found.append(_ppv(prior, known.get(PPV_FPR), sizes, n, confidence))
    return found


def _ppv(
    prior: float,
    rate: tuple[float, float, float] | None,
    sizes: tuple[int, int],
    n: dict[str, int],
    confidence: float,
) -> Estimate:
    name = f"ppv_at_prior_{prior:g}"
    how = f"Bayes' rule at a false positive rate of {PPV_FPR:.0%}; bounds carried over: {thresholds.HOW}"
    if rate is None:
        reason = refuse(sizes, PPV_FPR)
        return Estimate(name, None, None, None, prior, n, confidence, how, reason)
    value, low, high = (ppv(part, PPV_FPR, prior) for part in rate)
    return Estimate(name, value, low, high, prior, n, confidence, how)


def ppv(tpr: float, fpr: float, prior: float) -> float:
    """Chance that a record named a member is one, when a share `prior` of those asked about are."""
    right = prior * tpr
    return right / (right + (1 - prior) * fpr)


def refuse(sizes: tuple[int, int], fpr: float) -> str:
    """Why a rate at this false positive rate is not stated, and what would be needed."""
    if not sizes[0]:
        return "needs at least one member"
    more = thresholds.shortfall(sizes[1], fpr)
    return (
        f"needs {more} more held-out patients: {sizes[1]} give {sizes[1] * fpr:.3g} expected false "
        f"positives at a false positive rate of {fpr:g}, and {MIN_FALSE_POSITIVES} are asked for"
    )


def curve(
    evidence: Scores,
    *,
    patients: Patients,
    confidence: float = 0.95,
    rng: np.random.Generator,
) -> Curve:
    """The ROC on a logarithmic grid of false positive rates, with a pointwise band.

    It starts where 10 held-out patients are expected above the threshold; with fewer than 10
    held-out patients, or no member, it is empty.
    """
    evidence, ids = check(evidence, patients)
    sizes = (resample.count(ids[0]), resample.count(ids[1]))
    labels = ("false positive rate", "true positive rate")
    if not sizes[0] or sizes[1] < MIN_FALSE_POSITIVES:
        return Curve("roc", (), (), (), (), *labels)
    start = MIN_FALSE_POSITIVES / sizes[1]
    points = max(2, round(-np.log10(start) * 12) + 1) if start < 1 else 1
    grid = np.geomspace(start, 1.0, points)
    value, low, high = thresholds.Roc.of(evidence.members, evidence.nonmembers, *ids).band(
        grid, confidence, rng
    )
    low[grid >= 1] = high[grid >= 1] = 1.0
    x, y, lower, upper = (tuple(float(v) for v in part) for part in (grid, value, low, high))
    return Curve("roc", x, y, lower, upper, *labels)
