"""One number for many attacks, and the checks on the harness itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from privaudit.contracts import Scores
from privaudit.errors import PrivauditError
from privaudit.results import Control, Estimate
from privaudit.stats import auc as area_module
from privaudit.stats import resample, thresholds
from privaudit.stats.catalogue import FPRS
from privaudit.stats.membership import Patients, check, membership
from privaudit.stats.patients import by_patient

PLANTED = 0.55
"""A planted leak is found when the AUC's lower bound is at least this."""


def control_confidence(checks: int = 200, false_positive: float = 0.01) -> float:
    """Confidence at which `checks` intervals of a sound harness all cover, but for
    `false_positive`."""
    return 1 - false_positive / checks


ControlState = Literal["passed", "failed", "not made"]


def control_passed(kind: Literal["positive", "negative"], estimates: Iterable[Estimate]) -> bool:
    """Whether the harness does what it must.

    positive: the planted leak is found, the AUC's lower bound being at least 0.55. negative: the
    AUC's interval covers 0.5; make these estimates at `control_confidence()`, so that 200 of them,
    more than an audit of every method has, fail a sound harness in fewer than 1 audit of 100. An
    AUC that could not be estimated passes neither.
    """
    found = [e for e in estimates if e.metric.name == "auc"]
    if len(found) != 1:
        raise ValueError(f"a control is judged by one AUC; {len(found)} came")
    (auc,) = found
    if auc.value is None or auc.low is None or auc.high is None:
        return False
    if kind == "positive":
        return auc.low >= PLANTED
    return auc.low <= 0.5 <= auc.high


def control_state(control: Control) -> ControlState:
    """What a control of a document shows, by its numbers and not by what it states of itself.

    "not made" where it has an error in place of a number, or one that could not be estimated: such
    a control has not failed. One that states not to have passed is never "passed".
    """
    areas = [e for e in control.estimates if e.metric.name == "auc"]
    known = len(areas) == 1 and None not in (areas[0].value, areas[0].low, areas[0].high)
    if control.error is not None or not known:
        return "not made"
    passed = control.passed and control_passed(control.kind, areas)
    return "passed" if passed else "failed"


def strongest(
    evidence: Mapping[str, Scores],
    *,
    patients: Patients,
    confidence: float = 0.95,
    rng: np.random.Generator,
) -> tuple[str, tuple[Estimate, ...]]:
    """The strongest attack, chosen on one random half of the patients and estimated on the other.

    evidence: attack -> scores of the same records in the same order. Chosen by the TPR at the
    lowest false positive rate that the choosing half can support, by the AUC where none can be;
    ties go to the larger AUC, then to the first name. The estimates are on patients that had no
    part in the choice, so being the best of many adds nothing to them.
    """
    if not evidence:
        raise PrivauditError(
            "no membership attack to choose from",
            "a headline is the strongest of the attacks that ran",
            "run at least one membership attack",
        )
    choosing, judging = zip(*(_halves(np.asarray(ids), rng) for ids in patients), strict=True)
    ranks = []
    for name in sorted(evidence):
        scores, ids = check(evidence[name], patients)
        part, whose = _part(scores, choosing), _pick(ids, choosing)
        ranks.append((*strength(part, patients=whose), name))
    best = max(ranks, key=lambda rank: rank[:2])
    scores, ids = check(evidence[best[2]], patients)
    estimates = membership(
        _part(scores, judging), patients=_pick(ids, judging), confidence=confidence, rng=rng
    )
    return best[2], estimates


def _halves(ids: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Masks of two halves of the patients; the judging half takes the odd one."""
    (code,), clusters = resample.codes(ids)
    chosen = np.zeros(clusters, dtype=bool)
    chosen[rng.permutation(clusters)[: clusters // 2]] = True
    return chosen[code], ~chosen[code]


def _part(scores: Scores, masks: tuple[np.ndarray, ...]) -> Scores:
    return replace(scores, members=scores.members[masks[0]], nonmembers=scores.nonmembers[masks[1]])


def _pick(ids: Patients, masks: tuple[np.ndarray, ...]) -> Patients:
    return ids[0][masks[0]], ids[1][masks[1]]


def strength(scores: Scores, *, patients: Patients) -> tuple[float, float]:
    """How attacks are compared: the TPR at the lowest false positive rate that can be stated, then
    the AUC, by patient.

    The AUC stands in for both where no rate can be stated.
    """
    scores, ids = by_patient(*check(scores, patients))
    if not len(scores.members) or not len(scores.nonmembers):
        return 0.0, 0.0
    area = area_module.auc(scores.members, scores.nonmembers)
    stated = [f for f in FPRS if not thresholds.shortfall(resample.count(ids[1]), f)]
    if not stated:
        return area, area
    curve = thresholds.Roc.of(scores.members, scores.nonmembers, *ids)
    return float(curve.point(np.array([min(stated)]))[0]), area
