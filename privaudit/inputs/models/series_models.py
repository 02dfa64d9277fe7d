"""Models that read series beside a table, or alone: torch modules, and what a session can call."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from privaudit.contracts import AnswersWithNumbers, Differentiable, Model, Predictor
from privaudit.errors import PrivauditError
from privaudit.inputs.models.layout import Frame, FrameWithSeries
from privaudit.inputs.models.opened_model import Binding, Opened
from privaudit.inputs.models.scikit_learn import open_callable
from privaudit.records import Column, OutcomeKind, Records


@dataclass(frozen=True, eq=False)
class Flattened:
    """A model that is handed the table and, as further columns, the steps of the series.

    held: the model of the wide table; columns: of that; reads: how an estimator of the same
    training is handed the records.
    """

    held: Any = field(repr=False)
    columns: tuple[Column, ...] = field(repr=False)
    reads: Frame

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        found: np.ndarray = self.held.predict_proba(self._flatten(records))
        return found

    def asking_once(self) -> Flattened:
        """See `privaudit.inputs.models.asked_model`."""
        once = getattr(self.held, "asking_once", None)
        return self if once is None else replace(self, held=once())

    def _flatten(self, records: Records) -> Records:
        if records.series is None:
            raise ValueError("records without the series that this model reads")
        X = np.concatenate([records.X, records.series.reshape(len(records), -1)], axis=1)
        return replace(records, columns=self.columns, X=X, series=None, channels=())


@dataclass(frozen=True, eq=False)
class FlattenedWithGradients(Flattened):
    """The same, where the model's gradients can be taken."""

    def input_gradient(self, records: Records) -> tuple[np.ndarray, np.ndarray | None]:
        """Gradient of each record's log loss for X and for the series."""
        assert records.series is not None
        found, _ = self.held.input_gradient(self._flatten(records))
        width = records.X.shape[1]
        return found[:, :width], found[:, width:].reshape(records.series.shape)

    def weight_gradient(self, records: Records) -> np.ndarray:
        """(n, p) float32, per record, in the order of the model's parameters."""
        found: np.ndarray = self.held.weight_gradient(self._flatten(records))
        return found


@dataclass(frozen=True, eq=False)
class FlattenedPredictor(AnswersWithNumbers, Flattened):
    """The same, of an outcome that is a number or a time."""

    def predict(self, records: Records) -> np.ndarray:
        """(n,): see `privaudit.contracts.Predictor`."""
        found: np.ndarray = self.held.predict(self._flatten(records))
        return found


def bind_with_series(
    opened: Opened, binding: Binding, channels: Sequence[Column], steps: int
) -> Model:
    """The model as it reads a table and series of these channels.

    Raises:
        PrivauditError: A model that reads a table alone, or texts that would be coded.
    """
    if not opened.reads_series:
        raise PrivauditError(
            f"{opened.form}, and a schema with [series]",
            "of files, TorchScript (.pt) and safetensors with --module hold a model that is handed "
            "series; others read a table alone",
            "give such a file, or from Python any function: privaudit.audit(model, ..., series=); "
            "a model that reads the steps as columns is a model of an ordinary table of these "
            "columns: audit it without [series]",
        )
    if binding.encode:
        raise PrivauditError(
            f"--encode {binding.encode} for a model that reads series",
            "whether the codes are those of training is not checked for such a model",
            "give the table's columns as the numbers that the model was trained on",
        )
    flat = [
        replace(one, name=f"{one.name} at step {step}") for step in range(steps) for one in channels
    ]
    columns = (*binding.columns, *flat)
    held = opened.bind(replace(binding, columns=columns, series=(steps, len(channels))))
    kind = (
        FlattenedPredictor
        if isinstance(held, Predictor)
        else FlattenedWithGradients
        if isinstance(held, Differentiable)
        else Flattened
    )
    names = tuple(column.name for column in binding.columns)
    made: Model = kind(held, columns, FrameWithSeries(names, array="float32"))
    return made


def open_live_with_series(
    held: Any, frame: Frame | None, names: tuple[str, ...], outcome_kind: OutcomeKind
) -> Opened:
    """What of this session answers for a table and series, as two arguments, or for the series
    alone where the table has no column: a torch module, anything with `predict_proba` (`predict`,
    where the outcome is no class), or a function. frame: how the table looked; names: of its
    columns."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(held, torch.nn.Module):
        from privaudit.inputs.models.torch_module import open_module

        return open_module(held)
    frame = frame or Frame(names, array="float64")
    parts = {name: getattr(frame, name) for name in frame.__dataclass_fields__}
    reads = FrameWithSeries(**parts)
    ask = "predict_proba" if outcome_kind == "class" else "predict"
    if callable(getattr(held, ask, None)):
        made = open_callable(getattr(held, ask), type(held).__name__, reads)
        return replace(made, reads_series=True)
    if not callable(held):
        raise PrivauditError(
            f"a model of type {type(held).__name__}",
            f"it has no {ask} and cannot be called",
            "give a torch module, or a function of the table and the series",
        )
    made = open_callable(held, getattr(held, "__name__", type(held).__name__), reads)
    return replace(made, reads_series=True)


__all__ = [
    "Flattened",
    "FlattenedPredictor",
    "FlattenedWithGradients",
    "bind_with_series",
    "open_live_with_series",
]
