"""Membership scores to estimates: AUC, rates at low false positive rates, predictive values, the
ROC."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Literal

import numpy as np

from privaudit.contracts import Scores
from privaudit.disclosure_limits import MIN_FALSE_POSITIVES
from privaudit.errors import PrivauditError
from privaudit.facts import Bound, BoundMethod, Metric, Reason, ReasonCode
from privaudit.results import Curve, Estimate
from privaudit.stats import auc as area_module
from privaudit.stats import resample, thresholds
from privaudit.stats._refusal import refuse_estimate
from privaudit.stats.catalogue import FPRS, MEMBERSHIP_METRICS, PPV_FPR, PRIORS
from privaudit.stats.patients import by_patient, even_out, has_several

Patients = tuple[np.ndarray, np.ndarray]

Unit = Literal["patient", "record", "evened"]


def check(evidence: Scores, patients: Patients) -> tuple[Scores, Patients]:
    """Scores as float64 with one patient each; NaN and unequal lengths are refused."""
    members = np.asarray(evidence.members, dtype=np.float64).ravel()
    nonmembers = np.asarray(evidence.nonmembers, dtype=np.float64).ravel()
    ids = (np.asarray(patients[0]).ravel(), np.asarray(patients[1]).ravel())
    if (len(members), len(nonmembers)) != (len(ids[0]), len(ids[1])):
        raise PrivauditError(
            f"{len(members)} and {len(nonmembers)} scores for {len(ids[0])} and {len(ids[1])} "
            "records",
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
    return replace(evidence, members=members, nonmembers=nonmembers), ids


def membership(
    evidence: Scores,
    *,
    patients: Patients,
    confidence: float,
    rng: np.random.Generator,
    names: Collection[str] | None = None,
    unit: Unit = "patient",
) -> tuple[Estimate, ...]:
    """Every estimate of a membership game, in the order of `catalogue.MEMBERSHIP_METRICS`.

    Args:
        evidence: One score a record.
        patients: Whose records the members' and the non-members' scores are.
        confidence: Of the two-sided intervals.
        rng: Draws patients again.
        names: Only these, by the metric's name or as it is shown ("tpr", "tpr_at_fpr_0.01").
        unit: "patient", the scores of a patient's records made one (`Scores.combine`); "evened",
            these with the number of records evened out (`stats.patients.even_out`); "record", every
            record for itself, intervals by patient all the same.
    """
    evidence, ids = check(evidence, patients)
    sizes = (resample.count(ids[0]), resample.count(ids[1]))
    records = len(evidence.members), len(evidence.nonmembers)
    if unit == "patient":
        evidence, ids = by_patient(evidence, ids)
    elif unit == "evened":
        evidence, ids = even_out(evidence, ids)
    n = {
        "members": records[0],
        "nonmembers": records[1],
        "member_patients": sizes[0],
        "nonmember_patients": sizes[1],
    }

    def asked(metric: Metric) -> bool:
        return names is None or metric.name in names or str(metric) in names

    found = []
    areas = [metric for metric in MEMBERSHIP_METRICS if metric.fpr is None]
    if any(map(asked, areas)):
        found += _area(evidence, ids, sizes, n, confidence)
    if any(asked(metric) for metric in MEMBERSHIP_METRICS if metric not in areas):
        found += _rates(evidence, ids, sizes, n, confidence, rng)
    return tuple(estimate for estimate in found if asked(estimate.metric))


def by_record(
    evidence: Scores,
    *,
    patients: Patients,
    confidence: float = 0.95,
    rng: np.random.Generator,
) -> tuple[Estimate, ...]:
    """The AUC and the true positive rates with every record for itself, as a second line.

    None where every patient has one record: they are then the patients' own.
    """
    if not has_several(patients):
        return ()
    return membership(
        evidence,
        patients=patients,
        confidence=confidence,
        rng=rng,
        names=("auc", "tpr"),
        unit="record",
    )


def evened(
    evidence: Scores,
    *,
    patients: Patients,
    confidence: float = 0.95,
    rng: np.random.Generator,
) -> tuple[Estimate, ...]:
    """The same numbers where patients with many records do not set the threshold for the rest.

    None where every patient has one record. Less sharp than the patients' own numbers where all
    have about as many records, and what keeps a leak of patients with few from being within a
    limit where some have many.
    """
    if not has_several(patients):
        return ()
    return membership(
        evidence,
        patients=patients,
        confidence=confidence,
        rng=rng,
        names=("auc", "tpr", "ppv"),
        unit="evened",
    )


def _area(
    evidence: Scores,
    ids: Patients,
    sizes: tuple[int, int],
    n: dict[str, int],
    confidence: float,
) -> list[Estimate]:
    both = Metric("auc"), Metric("detectable_auc")
    if not min(sizes):
        reason = Reason(ReasonCode.ONE_SIDE_EMPTY)
        return [refuse_estimate(metric, reason, 0.5, n, confidence) for metric in both]
    area = area_module.area(evidence.members, evidence.nonmembers, *ids)
    low, high, method = area.interval(confidence)
    least = area_module.detectable(sizes, confidence)
    return [
        Estimate(both[0], area.value, low, high, 0.5, n, confidence, Bound(method)),
        _least(both[1], least, BoundMethod.POWER, 0.5, n, confidence),
    ]


def _least(
    metric: Metric,
    value: float | None,
    method: BoundMethod,
    chance: float,
    n: dict[str, int],
    confidence: float,
) -> Estimate:
    """The smallest detectable effect, where so many patients can reveal any."""
    if value is None:
        reason = Reason(ReasonCode.NOTHING_DETECTABLE)
        return refuse_estimate(metric, reason, chance, n, confidence)
    return Estimate(metric, value, None, None, chance, n, confidence, Bound(method))


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
        value, low, high = curve.band(np.array(stated), confidence, rng)
        known = {f: (float(value[i]), float(low[i]), float(high[i])) for i, f in enumerate(stated)}
    rates, least = [], []
    for f in FPRS:
        rate, effect = Metric("tpr", fpr=f), Metric("detectable_tpr", fpr=f)
        if f not in known:
            reason = too_few(sizes, f)
            rates.append(refuse_estimate(rate, reason, f, n, confidence))
            least.append(refuse_estimate(effect, reason, f, n, confidence))
            continue
        bound = Bound(BoundMethod.BOOTSTRAP_WILSON)
        rates.append(Estimate(rate, *known[f], f, n, confidence, bound))
        found = thresholds.detectable(f, sizes, confidence)
        least.append(_least(effect, found, BoundMethod.POWER_THRESHOLD, f, n, confidence))
    values = [_ppv(prior, known.get(PPV_FPR), sizes, n, confidence) for prior in PRIORS]
    return [*rates, *least, *values]


def _ppv(
    prior: float,
    rate: tuple[float, float, float] | None,
    sizes: tuple[int, int],
    n: dict[str, int],
    confidence: float,
) -> Estimate:
    metric = Metric("ppv", fpr=PPV_FPR, prior=prior)
    if rate is None:
        return refuse_estimate(metric, too_few(sizes, PPV_FPR), prior, n, confidence)
    value, low, high = (ppv(part, PPV_FPR, prior) for part in rate)
    bound = Bound(BoundMethod.BAYES_RULE)
    return Estimate(metric, value, low, high, prior, n, confidence, bound)


def ppv(tpr: float, fpr: float, prior: float) -> float:
    """Chance that a record named a member is one, when a share `prior` of those asked about are."""
    right = prior * tpr
    return right / (right + (1 - prior) * fpr)


def too_few(sizes: tuple[int, int], fpr: float) -> Reason:
    """Why a rate at this false positive rate is not stated, and how many more patients it needs."""
    if not sizes[0]:
        return Reason(ReasonCode.NO_MEMBER)
    more = thresholds.shortfall(sizes[1], fpr)
    return Reason(ReasonCode.TOO_FEW_HELD_OUT, {"more": more, "have": sizes[1], "fpr": fpr})


def curve(
    evidence: Scores,
    *,
    patients: Patients,
    confidence: float = 0.95,
    rng: np.random.Generator,
) -> Curve:
    """The ROC on a logarithmic grid of false positive rates, with a pointwise band.

    It starts where 10 held-out patients are expected above the threshold; with fewer than 10
    held-out patients, or no member, it is empty. The unit is the patient.
    """
    evidence, ids = by_patient(*check(evidence, patients))
    sizes = (resample.count(ids[0]), resample.count(ids[1]))
    if not sizes[0] or sizes[1] < MIN_FALSE_POSITIVES:
        return Curve("roc", Metric("tpr"), (), ())
    start = MIN_FALSE_POSITIVES / sizes[1]
    points = max(2, round(-np.log10(start) * 12) + 1) if start < 1 else 1
    grid = np.geomspace(start, 1.0, points)
    value, low, high = thresholds.Roc.of(evidence.members, evidence.nonmembers, *ids).band(
        grid, confidence, rng
    )
    low[grid >= 1] = high[grid >= 1] = 1.0
    x, y, lower, upper = (tuple(float(v) for v in part) for part in (grid, value, low, high))
    return Curve("roc", Metric("tpr"), x, y, lower, upper)
