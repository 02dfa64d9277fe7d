"""A model file that was opened and is not yet bound to a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.inputs.models.answers import order_classes
from privaudit.inputs.models.layout import Encode
from privaudit.records import Column, OutcomeKind, Records

ROWS = 65_536
"""Rows answered at once: bounds memory."""


@dataclass(frozen=True)
class Binding:
    """How a model is to be bound: columns and classes of the schema, and what the user stated.

    encode: how texts become numbers where the model does not say; answers: "probabilities" or
    "logits", "" to leave it to the format's own rule; in_order: the outputs are in the order of
    `classes`, whatever the model calls them; outcome_kind: what the model is asked for; series:
    (steps, channels) where the last columns are the steps of a series, channels last.
    """

    columns: tuple[Column, ...]
    classes: tuple[str, ...]
    encode: Encode = ""
    answers: str = ""
    in_order: bool = False
    outcome_kind: OutcomeKind = "class"
    series: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.outcome_kind != "class" and self.answers:
            raise PrivauditError(
                f"answers that are {self.answers}, for an outcome that is a number",
                "such a model answers with the predicted number itself",
                "leave out what the answers are, or say that the outcome is a class",
            )

    def place(self, labels: tuple[Any, ...] | None) -> np.ndarray | None:
        """Where each class is among outputs of these names; None where they are in its order."""
        return None if labels is None or self.in_order else order_classes(labels, self.classes)


@dataclass(frozen=True, eq=False)
class Opened:
    """What a model file says of itself.

    form: what it is; names: its features, None where it has no names; labels: its classes in the
    order of its answers, None where it names none; classes: how many, None where it does not say;
    notes: what a reader must know of how it is read; bind: makes the model that answers for
    records; numbered: its format numbers classes from 0, in the order of its answers; reads_series:
    it can be handed series as well as a table.
    """

    form: str
    names: tuple[str, ...] | None
    labels: tuple[Any, ...] | None
    classes: int | None
    bind: Callable[[Binding], Model]
    notes: tuple[str, ...] = ()
    numbered: bool = False
    reads_series: bool = False


class FileModel:
    """A model loaded once a process from its file's bytes, which alone are sent to others."""

    def load(self) -> Any:
        """The library's own object."""
        raise NotImplementedError

    @property
    def loaded(self) -> Any:
        """What `load` returned in this process."""
        found = self.__dict__.get("_loaded")
        if found is None:
            found = self.load()
            object.__setattr__(self, "_loaded", found)
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_loaded"}


def damaged_file(form: str) -> PrivauditError:
    """A model file that its library cannot read."""
    return PrivauditError(
        f"the model cannot be read as {form}",
        "the file is damaged, cut short, or of another type",
        "save it again with the library that trained it",
    )


def not_a_classifier(form: str, objective: str) -> PrivauditError:
    """A model that gives no probability of the recorded outcome."""
    return PrivauditError(
        f"an {form} model with the objective {objective!r}",
        "membership is inferred from the probability of the recorded outcome; this objective has "
        "none",
        "give a classifier (binary or multi-class with probabilities); if the outcome is a number "
        "such as a length of stay, or a time to an event, say so: outcome_kind = number or time",
    )


def failed_on_table(error: Exception) -> PrivauditError:
    """A model that raised an error of its own, whose message may quote cells."""
    return PrivauditError(
        f"the model failed on the table ({type(error).__name__})",
        "it does not accept these columns, types or missing values; its own message is not shown, "
        "it may quote cells",
        "ask it yourself for a few rows of the table, and give the table as in training",
    )


def unknown_answers(form: str) -> PrivauditError:
    """A model that does not say whether it answers with probabilities or logits."""
    return PrivauditError(
        f"{form} that does not say what its answers are",
        "its last operation tells neither probabilities nor logits, and numbers in [0, 1] may be "
        "both",
        "say --answers probabilities or --answers logits",
    )


def in_parts(
    ask: Callable[[Records], np.ndarray], records: Records, rows: int = ROWS
) -> np.ndarray:
    """`ask`'s answers for the records, a run of rows at a time."""
    if len(records) <= rows:
        return ask(records)
    return np.concatenate(
        [ask(records.take(slice(i, i + rows))) for i in range(0, len(records), rows)]
    )


def reorder_classes(p: np.ndarray, places: Sequence[int] | np.ndarray | None) -> np.ndarray:
    """Columns in the order of the schema's classes."""
    return p if places is None else p[:, np.asarray(places)]


__all__ = [
    "Binding",
    "FileModel",
    "Opened",
    "damaged_file",
    "failed_on_table",
    "in_parts",
    "not_a_classifier",
    "reorder_classes",
    "unknown_answers",
]
