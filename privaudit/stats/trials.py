"""Trials to estimates: how often an attack succeeds, beside its control and a guess."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from privaudit.contracts import Trials
from privaudit.errors import PrivauditError
from privaudit.limits import MIN_CELL
from privaudit.results import Curve, Estimate
from privaudit.stats import rates, resample

RATE_HOW = "Wilson's interval on the patients' effective number of records"
PAIRED_HOW = "Newcombe's interval for paired shares (1998b, method 10), patients as clusters"
APART_HOW = "Newcombe's interval for independent shares (1998a, method 10), patients as clusters"

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
            f"{len(evidence.success)} attempts and {len(evidence.control)} controls for the patients "
            f"of {lengths[0]} and {lengths[1]} records",
            "every attempt needs the patient of its record",
            "pass the patients in the order of the attempts",
        )
    return first, second


def trials(
    evidence: Trials, *, patients: TrialPatients = None, confidence: float = 0.95, key: str = ""
) -> tuple[Estimate, ...]:
    """Rates and differences in the order of `catalogue.TRIALS`; `@key` follows each name if given."""
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
    suffix = f"@{key}" if key else ""
    n = {"attempts": len(success), "patients": resample.count(first)}
    n_control = (
        dict(n)
        if second is None
        else {"attempts": len(control), "patients": resample.count(second)}
    )
    if not len(success) or not len(control):
        names = ["attack_rate", "control_rate", "attack_minus_control"]
        names += ["guess_rate", "attack_minus_guess"] if guess is not None else []
        reason = "needs at least one attempt and one control"
        return tuple(
            Estimate(f"{name}{suffix}", None, None, None, 0.0, n, confidence, RATE_HOW, reason)
            for name in names
        )
    baseline = float(control.mean())
    floor = baseline if guess is None else float(guess.mean())

    def share(
        name: str, values: np.ndarray, ids: np.ndarray, chance: float, count: dict[str, int]
    ) -> Estimate:
        found = rates.rate(values, ids, confidence)
        return Estimate(f"{name}{suffix}", *found, chance, count, confidence, RATE_HOW)

    gap = rates.difference(success, control, first, second, confidence)
    how = PAIRED_HOW if second is None else APART_HOW
    both = {**n, "controls": len(control)}
    found = [
        share("attack_rate", success, first, baseline, n),
        share("control_rate", control, first if second is None else second, floor, n_control),
        Estimate(f"attack_minus_control{suffix}", *gap, 0.0, both, confidence, how),
    ]
    if guess is not None:
        gain = rates.difference(success, guess, first, None, confidence)
        found += [
            share("guess_rate", guess, first, floor, n),
            Estimate(f"attack_minus_guess{suffix}", *gain, 0.0, n, confidence, PAIRED_HOW),
        ]
    return tuple(found)


def budget_curve(
    mapping: Mapping[str, Trials],
    *,
    patients: TrialPatients = None,
    confidence: float = 0.95,
    which: str = "attack_rate",
) -> Curve:
    """A rate against the attack's budget, one point a key that starts with a number ("0.1 sd").

    which: any name of `catalogue.TRIALS`. Budgets that fewer than 10 patients were tried on are
    left out.
    """
    points = []
    unit = ""
    for key, evidence in mapping.items():
        number = re.match(r"\s*([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(.*)", key)
        if number is None:
            raise PrivauditError(
                f"a budget named {key!r}",
                "a budget's name starts with its size, as in '0.1 sd'",
                "draw a curve only for trials that are keyed by budget",
            )
        unit = number[2] or unit
        for estimate in trials(evidence, patients=patients, confidence=confidence):
            stated = estimate.value is not None and estimate.n["patients"] >= MIN_CELL
            if estimate.name == which and stated:
                points.append((float(number[1]), estimate.value, estimate.low, estimate.high))
    points.sort()
    x, y, low, high = (tuple(part) for part in zip(*points, strict=True)) if points else ((),) * 4
    label = f"budget ({unit})" if unit else "budget"
    return Curve(which, x, y, low, high, label, which.replace("_", " "))
