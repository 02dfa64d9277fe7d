"""What an ONNX graph says of its answers: class labels, last operation, the texts that it knows.

The runtime shows no nodes, so the file's own bytes are read (protocol buffers, fields of onnx.proto
in ONNX 1.x); nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from privaudit.inputs.artefacts.onnx_arrays import list_fields, read_varint

_PASSING = ("Cast", "Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten", "ZipMap")
_LABELS = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")
_PROBABILITIES = ("Softmax", "Sigmoid", "Normalizer")
_LOGITS = ("Gemm", "LogSoftmax")
_STRING, _INT64, _INT32 = 8, 7, 6
MAX_DEPTH = 50


@dataclass(frozen=True)
class Node:
    """One operation. attributes: those that are texts, numbers, or lists of them."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """The nodes by the value that each makes, and the constants that hold texts or whole
    numbers."""

    makers: dict[str, Node]
    constants: dict[str, tuple[Any, ...]]

    def labels_of(self, output: str, named: tuple[str, ...]) -> tuple[Any, ...] | None:
        """The classes in the order of the columns of `output`; None where the graph names none.

        named: the outputs that hold a label a row.
        """
        maker = self.makers.get(output)
        if maker is not None and maker.op == "ZipMap":
            return _first_labels(maker)
        for name in named:
            found = self._trace_label(name, MAX_DEPTH)
            if found is not None:
                return found
        return None

    def answers_of(self, output: str) -> str:
        """ "probabilities" or "logits" as the last operation says; "" where it says nothing."""
        node = self._skip(output)
        if node is None:
            return ""
        if node.op in _PROBABILITIES:
            return "probabilities"
        if node.op in _LOGITS:
            return "logits"
        if node.op == "Add":
            before = [self._skip(name) for name in node.inputs]
            return "logits" if any(one is not None and one.op == "MatMul" for one in before) else ""
        if node.op.endswith("Classifier"):
            after = node.attributes.get("post_transform", "NONE")
            return "probabilities" if after in ("LOGISTIC", "SOFTMAX") else ""
        return ""

    @property
    def texts(self) -> frozenset[str]:
        """Every text among the constants and attributes: levels that the graph compares with."""
        lists = [*self.constants.values()]
        for node in self.makers.values():
            lists += [own for own in node.attributes.values() if isinstance(own, tuple)]
        return frozenset(part for own in lists for part in own if isinstance(part, str))

    def _skip(self, name: str) -> Node | None:
        """What makes a value, behind operations that only change its shape or type."""
        node = self.makers.get(name)
        for _ in range(MAX_DEPTH):
            if node is None or node.op not in _PASSING or not node.inputs:
                break
            node = self.makers.get(node.inputs[0])
        return node

    def _trace_label(self, name: str, depth: int) -> tuple[Any, ...] | None:
        node = self.makers.get(name)
        if node is None or not depth:
            return None
        if node.op in _PASSING and node.inputs:
            return self._trace_label(node.inputs[0], depth - 1)
        if node.op == "ArrayFeatureExtractor" and len(node.inputs) == 2:
            chosen = self._skip(node.inputs[1])
            constant = self._constant(node.inputs[0])
            return constant if chosen is not None and chosen.op == "ArgMax" else None
        if node.op == "LabelEncoder":
            chosen = self._skip(node.inputs[0])
            keys = node.attributes.get("keys_int64s", ())
            values = node.attributes.get("values_strings") or node.attributes.get("values_int64s")
            if chosen is None or chosen.op != "ArgMax" or not values or len(keys) != len(values):
                return None
            at = dict(zip(keys, values, strict=True))
            return tuple(at[i] for i in range(len(at))) if set(at) == set(range(len(at))) else None
        return _first_labels(node) if node.op.endswith("Classifier") else None

    def _constant(self, name: str) -> tuple[Any, ...] | None:
        for _ in range(MAX_DEPTH):
            if name in self.constants:
                return self.constants[name]
            node = self.makers.get(name)
            if node is None or node.op not in _PASSING or not node.inputs:
                return None
            name = node.inputs[0]
        return None


def read_graph(raw: bytes) -> Graph:
    """The graph of a file that the runtime has opened; an empty one where it cannot be read."""
    makers: dict[str, Node] = {}
    constants: dict[str, tuple[Any, ...]] = {}
    try:
        for number, graph in _fields(raw):
            if number != 7 or not isinstance(graph, bytes):
                continue
            for kind, part in _fields(graph):
                if kind == 1:
                    node = _read_node(part)
                    makers |= dict.fromkeys(node.outputs, node)
                    if node.op == "Constant" and isinstance(node.attributes.get("value"), tuple):
                        constants[node.outputs[0]] = node.attributes["value"]
                elif kind == 5:
                    name, values = _read_tensor(part)
                    if values is not None:
                        constants[name] = values
    except (IndexError, ValueError, TypeError):
        return Graph({}, {})
    return Graph(makers, constants)


def _first_labels(node: Node) -> tuple[Any, ...] | None:
    found = next((node.attributes[key] for key in _LABELS if node.attributes.get(key)), None)
    return tuple(found) if found else None


def _read_node(raw: bytes) -> Node:
    inputs: list[str] = []
    outputs: list[str] = []
    op, attributes = "", {}
    for number, value in _fields(raw):
        if number == 1:
            inputs.append(value.decode())
        elif number == 2:
            outputs.append(value.decode())
        elif number == 4:
            op = value.decode()
        elif number == 5:
            name, content = _read_attribute(value)
            attributes[name] = content
    return Node(op, tuple(inputs), tuple(outputs), attributes)


def _read_attribute(raw: bytes) -> tuple[str, Any]:
    name = ""
    found: Any = None
    ints: list[int] = []
    strings: list[str] = []
    for number, value in _fields(raw):
        if number == 1:
            name = value.decode()
        elif number == 3:
            found = _signed(value)
        elif number == 4:
            found = value.decode(errors="replace")
        elif number == 5:
            found = _read_tensor(value)[1]
        elif number == 8:
            ints += _integers(value)
        elif number == 9:
            strings.append(value.decode(errors="replace"))
    return name, tuple(strings) or tuple(ints) or found


def _read_tensor(raw: bytes) -> tuple[str, tuple[Any, ...] | None]:
    """Its name, and its values where they are texts or whole numbers."""
    name, kind = "", 0
    numbers: list[int] = []
    strings: list[str] = []
    packed = b""
    for number, value in _fields(raw):
        if number == 2:
            kind = value
        elif number in (5, 7):
            numbers += _integers(value)
        elif number == 6:
            strings.append(value.decode(errors="replace"))
        elif number == 8:
            name = value.decode()
        elif number == 9:
            packed = value
    if kind == _STRING:
        return name, tuple(strings)
    if kind not in (_INT64, _INT32):
        return name, None
    if packed:
        size = 8 if kind == _INT64 else 4
        numbers = [
            int.from_bytes(packed[i : i + size], "little", signed=True)
            for i in range(0, len(packed), size)
        ]
    return name, tuple(numbers)


def _integers(value: Any) -> list[int]:
    """One number, or several packed."""
    if isinstance(value, int):
        return [_signed(value)]
    found, at = [], 0
    while at < len(value):
        number, at = read_varint(value, at)
        found.append(_signed(number))
    return found


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """The numbered fields of a message: whole numbers, or the bytes of anything else."""
    return ((number, value) for number, _, value in list_fields(raw))


__all__ = ["Graph", "Node", "read_graph"]
