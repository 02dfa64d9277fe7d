"""TorchScript files: programs of torch's own operations, allowed by name.

No Python of the file is run.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.models.graph_allowlist import is_allowed, refuse_operation
from privaudit.inputs.models.opened_model import FileModel, Opened
from privaudit.inputs.models.script_archive import inspect_script
from privaudit.inputs.models.torch_module import TorchModel, open_torch
from privaudit.records import Records

SCRIPT_NOTE = (
    "a TorchScript file is a program of torch's own operations: it was read before it was loaded, "
    "and uses none but those that compute from what they are handed"
)


@dataclass(frozen=True, eq=False)
class TorchScript(FileModel, TorchModel):
    """A module from its file's inspected bytes, which are `held`.

    It is loaded anew for each question, so that it remembers none.
    """

    def load(self) -> Any:
        return load_script(self.held).eval()

    @property
    def module(self) -> Any:
        return self.loaded

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        self._forget()
        return super().predict_proba(records)

    def forward(self, records: Records) -> np.ndarray:
        """What the module answers, as it is, in float64."""
        self._forget()
        return super().forward(records)

    def input_gradient(self, records: Records) -> tuple[np.ndarray, np.ndarray | None]:
        """Gradient of each record's log loss for its inputs: see `privaudit.contracts`."""
        self._forget()
        return super().input_gradient(records)

    def weight_gradient(self, records: Records) -> np.ndarray:
        """(n, p) float32, per record, in the order of the module's parameters."""
        self._forget()
        return super().weight_gradient(records)

    def _forget(self) -> None:
        self.__dict__.pop("_loaded", None)


def open_script(raw: bytes) -> Opened:
    """A file of `torch.jit.save`, inspected before torch loads it."""
    inspected = inspect_script(raw)
    model = load_script(inspected)
    refuse_operations(model)
    _refuse_training(model)
    return open_torch(TorchScript, inspected, model.eval(), "TorchScript", (SCRIPT_NOTE,))


def refuse_operations(model: Any) -> None:
    """Refuse a loaded module whose graph, calls and all, has a node that is not on the list."""
    try:
        graph = model.inlined_graph
    except (AttributeError, RuntimeError):
        raise _no_forward() from None
    for node in _list_nodes(graph):
        space, _, name = node.kind().partition("::")
        inlined = name in ("CallMethod", "CallFunction", "Function", "Closure")
        if inlined or not is_allowed(space, name) or _tells_device(node):
            raise refuse_operation(node.kind())


def _refuse_training(model: Any) -> None:
    """Refuse a module that would answer an attacker, who loads and asks it, in training mode, and
    answers otherwise there."""
    reads = any(
        node.kind() == "prim::GetAttr" and node.s("name") == "training"
        for node in _list_nodes(model.inlined_graph)
    )
    if reads and any(getattr(part, "training", False) for part in model.modules()):
        raise PrivauditError(
            "a TorchScript file that was saved in training mode",
            "its answers depend on the mode, and whoever loads the file asks it as it was saved, "
            "while an audit asks for those of evaluation",
            "call .eval() on the module before it is scripted or saved",
        )


def _tells_device(node: Any) -> bool:
    """Whether a node makes anything but a tensor of a device: a comparison, or its name."""
    devices = any("Device" in one.type().str() for one in node.inputs())
    made = {one.type().kind() for one in node.outputs()}
    return devices and not made <= {"TensorType", "DeviceObjType"}


def _list_nodes(root: Any) -> Iterator[Any]:
    """Every node of a graph and of the blocks in it, without recursion."""
    todo = [root]
    while todo:
        for node in todo.pop().nodes():
            yield node
            todo += node.blocks()
            todo += [node.g(name) for name in node.attributeNames() if node.kindOf(name) == "g"]


def _no_forward() -> PrivauditError:
    return PrivauditError(
        "a TorchScript file without a forward method",
        "a model is asked by it",
        "export the module that answers with probabilities",
    )


def load_script(inspected: bytes) -> Any:
    """The module of bytes that `inspect_script` wrote, in the mode in which it was saved."""
    import torch

    try:
        return torch.jit.load(  # type: ignore[no-untyped-call]
            io.BytesIO(inspected), map_location="cpu"
        )
    except Exception:
        raise PrivauditError(
            "the model cannot be read as TorchScript",
            "the file is damaged, cut short, or of another version of torch",
            "save it again with torch.jit.save",
        ) from None


__all__ = ["TorchScript", "open_script"]
