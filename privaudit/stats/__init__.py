"""Evidence to estimates: every interval, every refusal and every curve of an audit.

Attacks return `Scores` or `Trials`; these functions turn them into `Estimate`, `Curve` and
`GroupResult`. The names are listed in `privaudit.stats.catalogue`. Patients, not records, are
resampled and counted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from privaudit.contracts import Scores, Trials
from privaudit.facts import Setting
from privaudit.results import Estimate
from privaudit.stats.catalogue import CATALOGUE
from privaudit.stats.epsilon import lower_bounds
from privaudit.stats.epsilon_bounds import Curves, Family
from privaudit.stats.groups import score_groups, utility_groups
from privaudit.stats.headline import (
    control_confidence,
    control_passed,
    control_state,
    strength,
    strongest,
)
from privaudit.stats.membership import by_record, evened, membership
from privaudit.stats.membership import curve as roc
from privaudit.stats.patient_risk import (
    list_patients,
    over_represented,
    patients_at_risk,
    risk_curve,
)
from privaudit.stats.prediction import reliability, utility
from privaudit.stats.ranking import ranking
from privaudit.stats.rebuilt import rebuilt
from privaudit.stats.regression import utility_groups_of_numbers, utility_of_numbers
from privaudit.stats.survival import utility_groups_of_times, utility_of_times
from privaudit.stats.trials import TrialPatients, budget_curve, series_by_record, trials


def estimates(
    evidence: Scores | Trials | Mapping[Setting, Trials] | Mapping[Setting | None, Trials],
    *,
    patients: TrialPatients = None,
    confidence: float = 0.95,
    rng: np.random.Generator,
    names: Collection[str] | None = None,
    delta: float = 1e-5,
    family: Family | Curves = "approximate",
) -> tuple[Estimate, ...]:
    """Every number an attack's evidence supports, with an interval, an n and a chance level.

    patients: for Scores (ids of the members, ids of the non-members); for Trials the ids of the
    attempts (or, where the control was made on other records, a pair), None to take
    `Trials.patients`. A mapping of trials gives metrics at each of its settings. names: only these
    metrics, by name. What cannot be supported is there with value None and its refusal. Scores of a
    membership assigned at random also give the lower bounds on epsilon at `delta`, which is the
    claim's where there is one; family: see `privaudit.stats.epsilon.lower_bounds`.
    """
    if isinstance(evidence, Scores):
        assert isinstance(patients, tuple), "membership scores need the patients of both pools"
        found = membership(evidence, patients=patients, confidence=confidence, rng=rng, names=names)
        if not evidence.randomised:
            return found
        return found + lower_bounds(
            evidence,
            patients=patients,
            delta=delta,
            confidence=confidence,
            rng=rng,
            family=family,
            names=names,
        )
    one_or_more = {None: evidence} if isinstance(evidence, Trials) else evidence
    return tuple(
        estimate
        for at, part in one_or_more.items()
        for estimate in _of_series(part, patients, confidence, at)
        if names is None or estimate.metric.name in names
    )


def _of_series(
    part: Trials, patients: TrialPatients, confidence: float, at: Setting | None
) -> tuple[Estimate, ...]:
    found = trials(part, patients=patients, confidence=confidence, at=at)
    whose = part.patients if patients is None else patients
    if part.ranked is not None:
        assert isinstance(whose, np.ndarray), "a ranking is of the records that were attacked"
        found += ranking(part.ranked, patients=whose, confidence=confidence, at=at)
    if part.rebuilt is not None:
        assert isinstance(whose, np.ndarray), "pictures are rebuilt of known patients"
        found += rebuilt(part.rebuilt, patients=whose, confidence=confidence, at=at)
    return found


def trials_by_record(
    series: Mapping[Setting | None, Trials], *, confidence: float = 0.95
) -> tuple[Estimate, ...]:
    """The numbers of attempts with every record for itself, where `estimates` are of patients and a
    patient has several: a second line, by which nothing is judged."""
    return tuple(
        estimate
        for at, part in series.items()
        for estimate in series_by_record(part, confidence=confidence, at=at)
    )


__all__ = [
    "CATALOGUE",
    "budget_curve",
    "by_record",
    "control_confidence",
    "control_passed",
    "control_state",
    "estimates",
    "evened",
    "list_patients",
    "lower_bounds",
    "over_represented",
    "patients_at_risk",
    "ranking",
    "rebuilt",
    "reliability",
    "risk_curve",
    "roc",
    "score_groups",
    "strength",
    "strongest",
    "trials_by_record",
    "utility",
    "utility_groups",
    "utility_groups_of_numbers",
    "utility_groups_of_times",
    "utility_of_numbers",
    "utility_of_times",
]
