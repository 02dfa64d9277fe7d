"""Trials to estimates: how often an attack succeeds, beside its control and a guess."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from privaudit.contracts import Trials
from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError
from privaudit.facts import Bound, BoundMethod, Metric, Reason, ReasonCode, Setting
from privaudit.results import Curve, Estimate
from privaudit.stats import rates, resample
from privaudit.stats._refusal import refuse_estimate
from privaudit.stats.catalogue import TRIALS

TrialPatients = np.ndarray | tuple[np.ndarray, np.ndarray] | None


def _column(values: np.ndarray, what: str) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64).ravel()
    if not np.isfinite(values).all() or (
        len(values) and not 0 <= values.min() <= values.max() <= 1
    ):
        raise PrivauditError(
            f"trials whose {what} is outside 0 to 1 or not a number",
            "a trial's success is a share between 0 and 1",
            "make the attack return 0, 1 or a share for every attempt",
        )
    return values


def _ids(evidence: Trials, patients: TrialPatients) -> tuple[np.ndarray, np.ndarray | None]:
    """Patients of the attempts, and of the control where those are other records."""
    second: np.ndarray | None
    if isinstance(patients, tuple):
        first, second = (np.asarray(part).ravel() for part in patients)
    else:
        given = evidence.patients if patients is None else patients
        if given is None:
            raise PrivauditError(
                "trials without patients",
                "an interval must know which records belong to one patient",
                "pass `patients`, or set `patients` in the trials",
            )
        first = np.asarray(given).ravel()
        if evidence.control_patients is not None:
            second = np.asarray(evidence.control_patients).ravel()
        else:
            apart = len(evidence.control) != len(evidence.success)
            second = np.arange(len(evidence.control)) if apart else None
    lengths = (len(first), len(first) if second is None else len(second))
    if lengths != (len(evidence.success), len(evidence.control)):
        raise PrivauditError(
            f"{len(evidence.success)} attempts and {len(evidence.control)} controls for patients "
            f"of {lengths[0]} and {lengths[1]} records",
            "every attempt needs the patient of its record",
            "pass the patients in the order of the attempts",
        )
    return first, second


def trials(
    evidence: Trials,
    *,
    patients: TrialPatients = None,
    confidence: float = 0.95,
    at: Setting | None = None,
) -> tuple[Estimate, ...]:
    """Rates and differences of one series of attempts, in the order of `catalogue.TRIALS`.

    at: the series, where there are several.
    """
    first, second = _ids(evidence, patients)
    success = _column(evidence.success, "success")
    control = _column(evidence.control, "control")
    guess = None if evidence.guess is None else _column(evidence.guess, "guess")
    if guess is not None and len(guess) != len(success):
        raise PrivauditError(
            f"{len(guess)} guesses for {len(success)} attempts",
            "a guess is made on the same records as the attempt",
            "return one guess for every attempt",
        )
    n = {"attempts": len(success), "patients": resample.count(first)}
    n_control = (
        dict(n)
        if second is None
        else {"attempts": len(control), "patients": resample.count(second)}
    )
    if not len(success) or not len(control):
        reason = Reason(ReasonCode.NO_ATTEMPT)
        names = list(TRIALS)[: 3 if guess is None else 5]
        return tuple(
            refuse_estimate(Metric(name, at=at), reason, 0.0, n, confidence) for name in names
        )
    baseline = float(control.mean())
    floor = baseline if guess is None else float(guess.mean())

    def share(
        name: str, values: np.ndarray, ids: np.ndarray, chance: float, count: dict[str, int]
    ) -> Estimate:
        found = rates.rate(values, ids, confidence)
        bound = Bound(BoundMethod.WILSON)
        return Estimate(Metric(name, at=at), *found, chance, count, confidence, bound)

    def gap(
        name: str, other: np.ndarray, ids: np.ndarray | None, count: dict[str, int]
    ) -> Estimate:
        found = rates.difference(success, other, first, ids, confidence)
        paired = BoundMethod.NEWCOMBE_PAIRED if ids is None else BoundMethod.NEWCOMBE_INDEPENDENT
        return Estimate(Metric(name, at=at), *found, 0.0, count, confidence, Bound(paired))

    both = {**n, "controls": len(control)}
    found = [
        share("attack_rate", success, first, baseline, n),
        share("control_rate", control, first if second is None else second, floor, n_control),
        gap("attack_minus_control", control, second, both),
    ]
    if guess is not None:
        found += [
            share("guess_rate", guess, first, floor, n),
            gap("attack_minus_guess", guess, None, n),
        ]
    return tuple(found)


def budget_curve(
    series: Mapping[Setting, Trials],
    *,
    patients: TrialPatients = None,
    confidence: float = 0.95,
    which: str = "attack_rate",
) -> Curve:
    """A rate against the attack's budget, one point a setting.

    series: settings of kind "budget" in one unit, alike in their details; which: any name of
    `catalogue.TRIALS`. Budgets that fewer than 10 patients were tried on are left out. The curve's
    metric is read at a variant, the details, where there are any.
    """
    if any(at.kind != "budget" or isinstance(at.value, str) for at in series):
        raise PrivauditError(
            f"a budget curve of {', '.join(sorted({at.kind for at in series}))}",
            "a curve is drawn over budgets, which are numbers",
            "draw a curve only of series whose setting is a budget",
        )
    points = []
    for at, evidence in series.items():
        for estimate in trials(evidence, patients=patients, confidence=confidence):
            stated = estimate.value is not None and estimate.n["patients"] >= MIN_CELL
            if estimate.metric.name == which and stated:
                points.append((float(at.value), estimate.value, estimate.low, estimate.high))
    points.sort()
    x, y, low, high = (tuple(part) for part in zip(*points, strict=True)) if points else ((),) * 4
    first = next(iter(series), None)
    details, unit = (first.details, first.unit) if first is not None else ((), "")
    line = Setting("variant", details[0], details=details[1:]) if details else None
    return Curve("budget", Metric(which, at=line), x, y, low, high, unit)
