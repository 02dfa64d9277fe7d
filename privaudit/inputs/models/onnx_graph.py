"""ONNX models: graphs of known operations. No code of the file is run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.models.answers import from_logits, probabilities
from privaudit.inputs.models.extras import needed
from privaudit.inputs.models.layout import Layout, by_name, by_order, listed
from privaudit.inputs.models.opened_model import How, Opened, in_parts, place_classes, reordered
from privaudit.inputs.models.tree_files import damaged
from privaudit.records import Records

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": object,
}


@dataclass(frozen=True, eq=False)
class Onnx:
    """A graph that is handed one matrix, or one column an input."""

    raw: bytes = field(repr=False)
    inputs: tuple[tuple[str, str], ...]
    output: str
    layout: Layout
    labels: tuple[Any, ...] | None
    classes: tuple[str, ...]
    answers: str

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        return in_parts(self._ask, records)

    def _ask(self, records: Records) -> np.ndarray:
        session, n = self._session(), len(records)
        try:
            (found,) = session.run([self.output], self._feed(records))
        except Exception as error:
            # The runtime's own words may quote cells.
            raise PrivauditError(
                f"the ONNX model broke on the table ({type(error).__name__})",
                "its graph does not accept these inputs",
                "check that columns, their order and their types are those of training",
            ) from None
        labels = self.labels
        if isinstance(found, list):  # a ZipMap: one dictionary a row
            labels = tuple(found[0])
            found = np.array([[row[label] for label in labels] for row in found])
        places = place_classes(labels, self.classes)
        if self.answers == "logits":
            return reordered(from_logits(found, n, len(self.classes)), places)
        return reordered(probabilities(found, n, len(self.classes)), places)

    def _feed(self, records: Records) -> dict[str, np.ndarray]:
        if len(self.inputs) == 1:
            name, kind = self.inputs[0]
            return {name: self.layout.matrix(records.X).astype(_TYPES[kind])}
        feed = {}
        for (name, kind), place in zip(self.inputs, self.layout.places, strict=True):
            column, x = records.columns[place.column], records.X[:, place.column]
            if kind == "tensor(string)":
                spelled = np.array([*column.levels, ""], dtype=object)
                feed[name] = spelled[np.where(np.isnan(x), -1, x).astype(np.int64)][:, None]
            else:
                feed[name] = self.layout.matrix(records.X)[:, [len(feed)]].astype(_TYPES[kind])
        return feed

    def _session(self) -> Any:
        kept = self.__dict__.get("_kept")
        if kept is None:
            kept = session_of(self.raw)
            object.__setattr__(self, "_kept", kept)
        return kept

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}


def session_of(raw: bytes) -> Any:
    """From bytes, so that a graph cannot name other files of this machine as its weights."""
    runtime = needed("onnxruntime", "an ONNX model")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return runtime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    except Exception:
        raise damaged("ONNX") from None


def open_onnx(raw: bytes) -> Opened:
    """A graph with one input (n, d) or one input a column, as scikit-learn and torch export them."""
    session = session_of(raw)
    inputs = tuple((one.name, one.type) for one in session.get_inputs())
    strange = [name for name, kind in inputs if kind not in _TYPES]
    if strange or not inputs:
        raise PrivauditError(
            f"the ONNX model has inputs of a type that no table has: {listed(strange)}",
            f"read are: {', '.join(_TYPES)}",
            "export the model for a matrix of numbers, or one input a column",
        )
    outputs = {one.name: one for one in session.get_outputs()}
    output = _answering(outputs)
    width = session.get_inputs()[0].shape
    columns = width[1] if len(width) == 2 and isinstance(width[1], int) else None
    shape = outputs[output].shape
    classes = shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None
    names = tuple(name for name, _ in inputs) if len(inputs) > 1 else None

    def bind(how: How) -> Onnx:
        if names is None:
            layout = by_order(columns, how.columns, encode=how.encode)
        else:
            strings = {n for n, kind in inputs if kind == "tensor(string)"}
            levels = {c.name: c.levels for c in how.columns}
            known = {n: levels.get(n) or _levels(n, levels) for n in strings}
            layout = by_name(names, how.columns, encode=how.encode, known=known)
        return Onnx(raw, inputs, output, layout, None, how.classes, how.answers)

    notes = []
    if len(outputs) > 1:
        notes.append(f"of the {len(outputs)} outputs of the graph, {output!r} is read")
    return Opened("ONNX", names, None, max(classes, 2) if classes else None, bind, tuple(notes))


def _levels(name: str, levels: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    from privaudit.inputs.models.layout import _loose

    return next((own for column, own in levels.items() if _loose(column) == _loose(name)), ())


def _answering(outputs: dict[str, Any]) -> str:
    """The output that holds probabilities: by its name, or the only one of floating numbers."""
    floats = [
        name
        for name, one in outputs.items()
        if one.type.startswith(("tensor(float", "tensor(double")) or "map(" in one.type
    ]
    named = [name for name in floats if "prob" in name.lower()]
    if len(named) == 1 or len(floats) == 1:
        return (named or floats)[0]
    raise PrivauditError(
        f"the ONNX model has {len(floats)} outputs of numbers and none is named as probabilities",
        f"its outputs are: {listed(list(outputs))}",
        "export one output, or name it `probabilities`",
    )


__all__ = ["Onnx", "open_onnx"]
