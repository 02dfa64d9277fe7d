"""ONNX models: graphs of known operations. No code of the file is run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.inputs.models.answers import from_logits, probabilities
from privaudit.inputs.models.extras import require_library
from privaudit.inputs.models.layout import Layout, by_name, by_order, loosen
from privaudit.inputs.models.onnx_wire import read_graph
from privaudit.inputs.models.opened_model import (
    Binding,
    FileModel,
    Opened,
    damaged_file,
    in_parts,
    reorder_classes,
    unknown_answers,
)
from privaudit.inputs.models.predictors import NumberOnnx, NumberOnnxTrees, not_a_regressor
from privaudit.inputs.models.trained_dtypes import restore_decimals
from privaudit.inputs.models.unread_trees import UnreadTrees
from privaudit.inputs.read_table import list_names
from privaudit.records import Records

TREES = b"TreeEnsemble"
"""Begins the name of every operation that holds trees."""

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": object,
}


@dataclass(frozen=True, eq=False)
class Onnx(FileModel):
    """A graph that is handed one matrix, or one column an input.

    labels: its names of the classes; places: where the schema's classes are among them; single: its
    one input is one column; texts: all that stand in the graph.
    """

    raw: bytes = field(repr=False)
    inputs: tuple[tuple[str, str], ...]
    output: str
    layout: Layout
    labels: tuple[Any, ...] | None
    places: tuple[int, ...] | None
    classes: int
    answers: str
    single: bool
    texts: frozenset[str] = field(repr=False)

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        return in_parts(self._ask, records)

    def run(self, records: Records) -> Any:
        """What the graph answers, as it is."""
        try:
            (found,) = self.loaded.run([self.output], self._feed(records))
        except Exception as error:
            # The runtime's own message may quote cells.
            raise PrivauditError(
                f"the ONNX model failed on the table ({type(error).__name__})",
                "its graph does not accept these inputs",
                "check that columns, their order and their types are those of training",
            ) from None
        return found

    def _ask(self, records: Records) -> np.ndarray:
        found, n = self.run(records), len(records)
        if isinstance(found, list):  # a ZipMap: one dictionary a row
            labels = self.labels or tuple(sorted(found[0]))
            found = np.array([[row[label] for label in labels] for row in found])
        if self.answers == "logits":
            return reorder_classes(from_logits(found, n, self.classes), self.places)
        p = probabilities(found, n, self.classes)
        if not self.answers and np.asarray(found).size == n:
            raise unknown_answers("an ONNX model")
        return reorder_classes(p, self.places)

    def _feed(self, records: Records) -> dict[str, np.ndarray]:
        matrix = self.layout.matrix(records.X)
        if len(self.inputs) == 1:
            name, kind = self.inputs[0]
            if self.single:
                return {name: self._column(records, 0, matrix)}
            return {name: _cast(matrix, kind, "the matrix")}
        return {name: self._column(records, j, matrix) for j, (name, _) in enumerate(self.inputs)}

    def _column(self, records: Records, j: int, matrix: np.ndarray) -> np.ndarray:
        """(n, 1) what one input is handed."""
        name, kind = self.inputs[j]
        if kind != "tensor(string)":
            return _cast(matrix[:, [j]], kind, repr(name))
        place = self.layout.places[j]
        column, x = records.columns[place.column], records.X[:, place.column]
        if column.levels:
            spelled = np.array([*column.levels, ""], dtype=object)
            return spelled[np.where(np.isnan(x), -1, x).astype(np.int64)][:, None]
        if (x % 1 > 0).any():
            raise PrivauditError(
                f"the ONNX model reads {name!r} as a text, and the table holds numbers there",
                "how the numbers were spelled in training is not known",
                "give the column as texts, spelled as in training",
            )
        texts = ["" if value != value else str(int(value)) for value in x.tolist()]
        return np.array(texts, dtype=object)[:, None]

    def count_unknown(self, records: Records) -> dict[str, int]:
        """Cells of text inputs whose text stands nowhere in the graph, which compares with all that
        it knows; and levels that the layout does not know."""
        found = self.layout.count_unknown(records)
        for j, (name, kind) in enumerate(self.inputs):
            if kind == "tensor(string)" and self.texts:
                cells = self._column(records, j, self.layout.matrix(records.X))[:, 0]
                count = sum(1 for cell in cells.tolist() if cell and cell not in self.texts)
                found |= {name: count} if count else {}
        return found

    def load(self) -> Any:
        return open_session(self.raw)


@dataclass(frozen=True, eq=False)
class OnnxTrees(UnreadTrees, Onnx):
    """The same, where the graph holds trees."""


def open_session(raw: bytes) -> Any:
    """From bytes, so that a graph cannot name other files of this machine as its weights."""
    runtime = require_library("onnxruntime", "an ONNX model")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return runtime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    except Exception:
        raise damaged_file("ONNX") from None


def open_onnx(raw: bytes) -> Opened:
    """A graph with one input (n, d), or one input a column."""
    session = open_session(raw)
    inputs = tuple((one.name, one.type) for one in session.get_inputs())
    strange = [name for name, kind in inputs if kind not in _TYPES]
    if strange or not inputs:
        raise PrivauditError(
            f"the ONNX model has inputs of a type that no table has: {list_names(strange)}",
            f"read are: {', '.join(_TYPES)}",
            "export the model for a matrix of numbers, or one input a column",
        )
    outputs = {one.name: one for one in session.get_outputs()}
    output = _answering(outputs)
    graph = read_graph(raw)
    named = tuple(
        name for name, one in outputs.items() if one.type in ("tensor(string)", "tensor(int64)")
    )
    labels = graph.labels_of(output, named)
    ends = graph.answers_of(output)
    width = session.get_inputs()[0].shape
    columns = width[1] if len(width) == 2 and isinstance(width[1], int) else None
    shape = outputs[output].shape
    classes = shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None
    if labels is not None:
        classes = len(labels)
    trees = TREES in raw
    single = len(inputs) == 1 and inputs[0][1] == "tensor(string)"
    names = tuple(name for name, _ in inputs) if len(inputs) > 1 or single else None

    def bind(binding: Binding) -> Model:
        if names is None:
            layout = by_order(columns, binding.columns, encode=binding.encode)
        else:
            strings = {n for n, kind in inputs if kind == "tensor(string)"}
            levels = {c.name: c.levels for c in binding.columns}
            found = {n: levels.get(n) or _levels(n, levels) for n in strings}
            known = {n: own for n, own in found.items() if own}
            layout = by_name(names, binding.columns, encode=binding.encode, known=known)
        places = binding.place(labels) if binding.outcome_kind == "class" else None
        model = (OnnxTrees if trees else Onnx)(
            raw,
            inputs,
            output,
            layout,
            labels,
            None if places is None else tuple(places.tolist()),
            len(binding.classes),
            binding.answers or ends,
            single,
            graph.texts,
        )
        if binding.outcome_kind == "class":
            return model
        if labels is not None or "prob" in output.lower() or "map(" in outputs[output].type:
            raise not_a_regressor("an ONNX", f"whose output {output!r} is of classes")
        return (NumberOnnxTrees if trees else NumberOnnx)(model)

    notes = []
    if len(outputs) > 1:
        notes.append(f"of the {len(outputs)} outputs of the graph, {output!r} is read")
    if ends == "logits":
        notes.append("its answers are read as logits, as its last operation says (--answers)")
    return Opened("ONNX", names, labels, max(classes, 2) if classes else None, bind, tuple(notes))


def _cast(values: np.ndarray, kind: str, name: str) -> np.ndarray:
    """Numbers as an input's type; whole numbers are never cut from others, nor from nothing."""
    if kind in ("tensor(int64)", "tensor(int32)", "tensor(bool)"):
        if np.isnan(values).any():
            raise PrivauditError(
                f"the ONNX model reads whole numbers in {name}, and the table lacks some",
                "a missing value cannot be handed over as a whole number",
                "fill missing values in as before training",
            )
        if (values % 1 != 0).any():
            raise PrivauditError(
                f"the ONNX model reads whole numbers in {name}, and the table holds others",
                "to cut them off would be another question",
                "give the table that the model was trained on",
            )
    return restore_decimals(values) if kind == "tensor(double)" else values.astype(_TYPES[kind])


def _levels(name: str, levels: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    return next((own for column, own in levels.items() if loosen(column) == loosen(name)), ())


def _answering(outputs: dict[str, Any]) -> str:
    """The output that holds the answers: the one of numbers, beside which there may be a label."""
    labels = [
        name for name, one in outputs.items() if one.type in ("tensor(string)", "tensor(int64)")
    ]
    others = [name for name in outputs if name not in labels]
    if len(others) == 1 and len(labels) <= 1:
        return others[0]
    raise PrivauditError(
        f"an ONNX model with {len(outputs)} outputs: {list_names(list(outputs))}",
        "whoever holds the model reads them all; one of numbers is attacked, beside which there "
        "may be one of labels",
        "export the probabilities alone, or with the label, and release that model",
    )


__all__ = ["Onnx", "open_onnx"]
