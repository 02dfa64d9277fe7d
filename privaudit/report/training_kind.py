"""How a release was trained, by the method that made it."""

from __future__ import annotations

from privaudit.report.wording.knowledge import TrainingKind, kind_of_method
from privaudit.results import Subject


def get_training_kind(subject: Subject) -> TrainingKind:
    """How a model was trained, in a word; a guarantee goes before all else."""
    return "dp" if subject.claim.epsilon is not None else kind_of_method(subject.method)
