"""What a run is about: models, synthetic tables, or what a user supplied. No text, no layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from privaudit.facts import Metric
from privaudit.report.reading import get_findings, get_stated
from privaudit.results import Audit, Estimate, Subject

Kind = Literal["model", "table", "supplied table", "supplied model", "answers"]
"""A model trained here; a table generated here, with a model of it; a supplied table or model; the
answers of a model that was not supplied."""

TABLES = ("table", "supplied table")
SHADOW_TRAINING = frozenset(
    {"shadow", "lira", "rmia", "few_shadow_lira", "patient_risk", "reference_lira"}
)
"""Attacks that train the audited model again."""


def get_kind(audit: Audit, subject: Subject) -> Kind:
    """What this subject is."""
    if "TABLE" in subject.access:
        return "table" if audit.data.random_split else "supplied table"
    if subject.method == "own":
        return "answers" if subject.params.get("form") == "probabilities" else "supplied model"
    return "model"


def get_kinds(audit: Audit) -> tuple[Kind, ...]:
    """What every subject is."""
    return tuple(get_kind(audit, s) for s in audit.subjects)


def are_tables(kinds: Sequence[Kind]) -> bool:
    """Whether all of them are tables."""
    return bool(kinds) and all(kind in TABLES for kind in kinds)


def are_mixed(kinds: Sequence[Kind]) -> bool:
    """Whether some of them are tables and some are not."""
    return not are_tables(kinds) and any(kind in TABLES for kind in kinds)


def has_shadow_attack(subject: Subject) -> bool:
    """Whether an attack that trains the model again gave a result."""
    return any(f.attack in SHADOW_TRAINING for f in get_findings(subject))


def get_utility_metric(audit: Audit) -> Metric:
    """The one number by which the utility of a model is quoted."""
    return Metric({"class": "auroc", "number": "r2", "time": "c_index"}[audit.data.outcome_kind])


def get_model_utility(subject: Subject) -> Estimate | None:
    """That number for a model, on held-out patients; None where it is not stated."""
    found = (get_stated(subject.utility, name) for name in ("auroc", "r2", "c_index"))
    return next((e for e in found if e is not None), None)


def get_utility(subject: Subject) -> tuple[Estimate | None, str]:
    """AUROC, or R2 of a number, on held-out patients; for a table without a model, that of a model
    of the family named second that was trained on it."""
    own = get_model_utility(subject)
    if own is not None or subject.fidelity is None:
        return own, ""
    for utility in subject.fidelity.utility:
        found = get_stated(utility.synthetic, "auroc")
        if found is not None:
            return found, utility.learner
    return None, ""
