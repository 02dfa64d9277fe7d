"""Whether a model answers for each record by itself."""

from __future__ import annotations

import numpy as np

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.records import Records
from privaudit.signals import ask

FEW, MANY = 16, 512
APART = 1e-3
"""Answers of float32 and of other orders of summing differ by less."""


def refuse_answers_by_batch(model: Model, records: Records) -> None:
    """Refuse a model whose answer for a record depends on which others are asked with it.

    A batch normalised by its own mean is such a one. One that answers otherwise each time it is
    asked the same is not refused: what it gives away on average is what is measured.
    """
    many = records.take(slice(0, MANY))
    few = many.take(slice(0, FEW))
    if len(many) <= len(few):
        return
    first, again = (ask(model, few) for _ in range(2))
    together = ask(model, many)[: len(few)]
    unit = 1.0 if records.outcome_kind == "class" else float(np.std(together)) or 1.0
    moved = float(np.abs(first - again).max(initial=0.0)) / unit
    if moved < APART < float(np.abs(first - together).max(initial=0.0)) / unit:
        raise PrivauditError(
            "a model whose answer for a record depends on which others it is asked with",
            "an attack asks about one patient at a time, and other numbers would come out than "
            "here",
            "give the model as it answers for one record: normalised by what it learnt in training",
        )


__all__ = ["refuse_answers_by_batch"]
