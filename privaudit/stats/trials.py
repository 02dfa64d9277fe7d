"""Trials to estimates: how often an attack succeeds, beside its control and a guess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from privaudit.contracts import Trials
from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError
from privaudit.facts import Bound, BoundMethod, Metric, Reason, ReasonCode, Setting
from privaudit.results import Curve, Estimate
from privaudit.stats import rates, resample
from privaudit.stats._refusal import refuse_estimate
from privaudit.stats.catalogue import TRIALS
from privaudit.stats.trial_patients import by_patient, counts_records

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

    Attempts on patients where `Trials.rows` says what a patient's records come to. The control is
    then read at the members' numbers of records. Where it cannot be, because members have more, the
    difference's interval holds that of a comparison at equal numbers too. at: the series, where
    there are several.
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
    equal, weights = success, None
    if len(success) and len(control) and counts_records(evidence, first, second):
        whole = replace(evidence, success=success, control=control, guess=guess)
        found = by_patient(whole, first, second)
        success, control, guess, equal = found.success, found.control, found.guess, found.equal
        first, weights = found.ids, found.weights
        second = None if second is None else found.control_ids
    n = {"attempts": len(success), "patients": resample.count(first)}
    n_control = dict(n)
    if second is not None:
        others = resample.count(second)
        n_control = {
            "attempts": len(control) if weights is None else others,
            "patients": others,
        }
    if not len(success) or not len(control):
        reason = Reason(ReasonCode.NO_ATTEMPT)
        names = list(TRIALS)[: 3 if guess is None else 5]
        return tuple(
            refuse_estimate(Metric(name, at=at), reason, 0.0, n, confidence) for name in names
        )
    of_control = first if second is None else second
    controlled = rates.rate(control, of_control, confidence, weights)
    baseline = controlled[0]
    floor = baseline if guess is None else float(guess.mean())
    wilson = Bound(BoundMethod.WILSON)

    def state(
        name: str,
        found: tuple[float, float, float],
        chance: float,
        count: dict[str, int],
        bound: Bound = wilson,
    ) -> Estimate:
        return Estimate(Metric(name, at=at), *found, chance, count, confidence, bound)

    paired = Bound(BoundMethod.NEWCOMBE_PAIRED)
    apart = paired if second is None else Bound(BoundMethod.NEWCOMBE_INDEPENDENT)
    over = rates.difference(success, control, first, second, confidence, weights)
    if equal is not success:
        _, least, most = rates.difference(equal, control, first, second, confidence, weights)
        over = over[0], min(over[1], least), max(over[2], most)
    both = {**n, "controls": n_control["attempts"]}
    made = [
        state("attack_rate", rates.rate(success, first, confidence), baseline, n),
        state("control_rate", controlled, floor, n_control),
        state("attack_minus_control", over, 0.0, both, apart),
    ]
    if guess is not None:
        gain = rates.difference(success, guess, first, None, confidence)
        made += [
            state("guess_rate", rates.rate(guess, first, confidence), floor, n),
            state("attack_minus_guess", gain, 0.0, n, paired),
        ]
    return tuple(made)


def series_by_record(
    evidence: Trials,
    *,
    patients: TrialPatients = None,
    confidence: float = 0.95,
    at: Setting | None = None,
) -> tuple[Estimate, ...]:
    """The same with every record for itself; nothing where each patient has one."""
    if not counts_records(evidence, *_ids(evidence, patients)):
        return ()
    alone = replace(evidence, rows="each")
    return trials(alone, patients=patients, confidence=confidence, at=at)


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
