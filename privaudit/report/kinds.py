"""What a run is about: models, synthetic tables, or what somebody brought. No text here, no layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from privaudit.report.notes import ACCESS
from privaudit.report.reading import findings, stated
from privaudit.results import Audit, Estimate, Subject

Kind = Literal["model", "table", "given", "own", "answers"]
"""A model trained here; a table drawn here, with a model of it; a table brought; a model brought; the
answers of a model that was not brought."""

REFITS = frozenset({"shadow", "lira", "rmia", "few_shadow_lira"})
"""Attacks that train the model under audit again."""


def kind(audit: Audit, subject: Subject) -> Kind:
    """What this subject is."""
    if can(subject, "TABLE"):
        return "table" if audit.data.random_split else "given"
    if subject.method == "own":
        return "answers" if subject.params.get("form") == "probabilities" else "own"
    return "model"


def kinds(audit: Audit) -> tuple[Kind, ...]:
    """What every subject is."""
    return tuple(kind(audit, s) for s in audit.subjects)


def tables(told: Sequence[Kind]) -> bool:
    """Whether all of them are tables."""
    return bool(told) and all(one in ("table", "given") for one in told)


def mixed(told: Sequence[Kind]) -> bool:
    """Whether some of them are tables and some are not."""
    return not tables(told) and any(one in ("table", "given") for one in told)


def can(subject: Subject, access: str) -> bool:
    """Whether holding this release allows that, named by its key or in words."""
    return access in subject.access or ACCESS[access][0] in subject.access


def trained_again(subject: Subject) -> bool:
    """Whether an attack that trains the model again gave a result."""
    return any(f.attack in REFITS for f in findings(subject))


def useful(subject: Subject) -> tuple[Estimate | None, str]:
    """AUROC on real patients whom it never saw; for a table without a model, that of a model of the
    family named second that learnt from it."""
    own = stated(subject.utility, "auroc")
    if own is not None or subject.fidelity is None:
        return own, ""
    for learnt in subject.fidelity.utility:
        found = stated(learnt.synthetic, "auroc")
        if found is not None:
            return found, learnt.learner
    return None, ""


__all__ = ["Kind", "can", "kind", "kinds", "mixed", "tables", "trained_again", "useful"]
