"""torch modules of this process: asked, and differentiated."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.inputs.models.answers import from_logits, probabilities
from privaudit.inputs.models.layout import Layout, by_order
from privaudit.inputs.models.opened_model import Binding, Opened, in_parts, unknown_answers
from privaudit.inputs.models.predictors import NumberTorch, not_a_regressor
from privaudit.records import Records

_ENDS = {"Softmax": "probabilities", "Sigmoid": "probabilities", "Linear": "logits"}
_OPERATIONS = {
    "aten::sigmoid": "probabilities",
    "aten::softmax": "probabilities",
    "aten::log_softmax": "logits",
    "aten::linear": "logits",
    "aten::addmm": "logits",
}
_PASSING = (
    *("aten::squeeze", "aten::view", "aten::reshape", "aten::flatten", "aten::unsqueeze"),
    *("aten::to", "aten::contiguous", "aten::clamp", "aten::float", "aten::double", "aten::detach"),
)


@dataclass(frozen=True, eq=False)
class TorchModel:
    """A module asked with a float32 matrix; `Differentiable`, so that gradient attacks run.

    held: what `module` is made of, the module itself. answers: "probabilities" or "logits", as its
    last layer says, or, where that says nothing, what its answers look like.
    """

    held: Any = field(repr=False)
    layout: Layout
    classes: int
    answers: str

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        return in_parts(self._ask, records, 16_384)

    def forward(self, records: Records) -> np.ndarray:
        """What the module answers, as it is, in float64."""
        import torch

        with one_thread(), torch.no_grad():
            return np.asarray(self._forward(self._inputs(records)).double().numpy())

    def _ask(self, records: Records) -> np.ndarray:
        found = self.forward(records)
        if self.answers == "logits":
            return from_logits(found, len(records), self.classes)
        return probabilities(found, len(records), self.classes)

    def input_gradient(self, records: Records) -> tuple[np.ndarray, np.ndarray | None]:
        """Gradient of each record's log loss for its inputs: see `privaudit.contracts`."""
        import torch

        parts = []
        with one_thread():
            for part in _parts(records, 4_096):
                x = self._inputs(part).requires_grad_()
                loss = self._loss(self._forward(x), torch.from_numpy(part.y)).sum()
                (found,) = torch.autograd.grad(loss, x)
                parts.append(self.layout.pull_back(found.numpy(), part.X.shape[1]))
        gradient = np.concatenate(parts)
        return np.where(np.isnan(records.X), 0.0, gradient), None

    def weight_gradient(self, records: Records) -> np.ndarray:
        """(n, p) float32, per record, in the order of the module's parameters."""
        import torch

        module = self.module
        weights = [w for w in module.parameters() if w.is_floating_point()]
        asked = [w.requires_grad for w in weights]
        found = np.empty((len(records), sum(w.numel() for w in weights)), dtype=np.float32)
        try:
            for w in weights:
                w.requires_grad_(True)
            with one_thread():
                x, y = self._inputs(records), torch.from_numpy(records.y)
                for i in range(len(records)):
                    loss = self._loss(self._forward(x[i : i + 1]), y[i : i + 1]).sum()
                    grads = torch.autograd.grad(loss, weights, allow_unused=True)
                    flat = [
                        (torch.zeros_like(w) if g is None else g).reshape(-1)
                        for g, w in zip(grads, weights, strict=True)
                    ]
                    found[i] = torch.cat(flat).numpy()
        finally:
            for w, was_asked in zip(weights, asked, strict=True):
                w.requires_grad_(was_asked)
        return found

    def _inputs(self, records: Records) -> Any:
        import torch

        return torch.from_numpy(np.array(self.layout.matrix(records.X), dtype=np.float32))

    def _forward(self, x: Any) -> Any:
        import torch

        try:
            out = self.module(x)
        except Exception as error:
            raise PrivauditError(
                f"the torch model failed on a matrix of {tuple(x.shape)[1]} columns "
                f"({type(error).__name__})",
                "it is handed float32 rows in the order of the schema's columns",
                "give a schema whose columns are those that the model was trained on, in order",
            ) from error
        if isinstance(out, tuple | list):
            out = self._choose(out, len(x))
        if not isinstance(out, torch.Tensor):
            raise PrivauditError(
                f"the torch model answered with a {type(out).__name__}",
                "a tensor of probabilities or logits is needed",
                "wrap it in a module that returns one tensor",
            )
        return out

    def _choose(self, outputs: Any, rows: int) -> Any:
        """The one of several outputs that can be answers for these classes."""
        import torch

        fitting = [
            one
            for one in outputs
            if isinstance(one, torch.Tensor)
            and one.is_floating_point()
            and one.shape in ((rows,), (rows, 1), (rows, self.classes))
            and (self.classes == 2 or one.ndim == 2)
        ]
        if len(fitting) != 1:
            raise PrivauditError(
                f"the torch model answered with {len(outputs)} outputs, of which {len(fitting)} "
                f"may be answers for {self.classes} classes",
                "which of them holds the answers is not known",
                "wrap it in a module that returns one tensor",
            )
        return fitting[0]

    def _loss(self, out: Any, y: Any) -> Any:
        import torch

        if out.ndim == 2 and out.shape[1] == 1:
            out = out[:, 0]
        if self.answers == "logits":
            if out.ndim == 1:
                return torch.nn.functional.binary_cross_entropy_with_logits(
                    out, y.to(out.dtype), reduction="none"
                )
            return torch.nn.functional.cross_entropy(out, y, reduction="none")
        if out.ndim == 1:
            out = torch.stack([1 - out, out], dim=1)
        true = out[torch.arange(len(y)), y]
        return -torch.log(true.clamp_min(1e-30))

    @property
    def module(self) -> Any:
        """The torch module."""
        return self.held


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold torch to one thread, and restore the number after."""
    import torch

    threads = torch.get_num_threads()
    if threads != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if threads != 1:
            torch.set_num_threads(threads)


def _parts(records: Records, size: int) -> list[Records]:
    return [records.take(slice(i, i + size)) for i in range(0, max(len(records), 1), size)]


def open_module(module: Any, form: str = "a torch module") -> Opened:
    """A module in this process; the user's own stays as it is, in training mode or not."""
    try:
        own = copy.deepcopy(module)
    except Exception:
        own = module
    own.eval()
    return open_torch(TorchModel, own, own, form)


def open_torch(
    kind: type[TorchModel], held: Any, module: Any, form: str, notes: tuple[str, ...] = ()
) -> Opened:
    """What a torch module says of itself; kind: the model to bind."""
    ends = _read_last_layer(module)

    def bind(binding: Binding) -> Model:
        layout = by_order(_count_inputs(module), binding.columns, encode=binding.encode)
        classes = len(binding.classes)
        if binding.outcome_kind != "class":
            if ends == "probabilities":
                raise not_a_regressor("a torch", "that ends in a softmax or a sigmoid")
            return NumberTorch(kind(held, layout, classes, ""))
        answers = binding.answers or ends or _read_answers(module, len(layout.places))
        return kind(held, layout, classes, answers)

    read = f"read as {ends}, as its last layer says" if ends else "read as its last operation says"
    note = f"its answers, where they are of classes, are {read} (--answers)"
    return Opened(form, None, None, None, bind, (*notes, note))


def _leaves(module: Any) -> list[Any]:
    return [part for part in module.modules() if not list(part.children())]


def _kind(part: Any) -> str:
    return str(getattr(part, "original_name", type(part).__name__))


def _read_last_layer(module: Any) -> str:
    """What its last layer says of the answers, where that is a known one in a plain sequence."""
    leaves = _leaves(module)
    if not leaves:
        return ""
    kind = _kind(leaves[-1])
    # A Linear last says logits only where nothing follows it in code, which a sequence guarantees.
    if kind == "Linear" and _kind(module) not in ("Sequential", "Linear"):
        return ""
    return _ENDS.get(kind, "")


def _count_inputs(module: Any) -> int | None:
    """How many columns its first layer reads, where that is a linear one in a plain sequence."""
    leaves = _leaves(module)
    if leaves and _kind(module) in ("Sequential", "Linear") and hasattr(leaves[0], "in_features"):
        return int(leaves[0].in_features)
    return None


def _read_answers(module: Any, width: int) -> str:
    """What its last operation says of its answers; else what only probabilities of several classes
    can be: rows that sum to 1 whatever is asked.

    Raises:
        PrivauditError: Neither says it.
    """
    import torch

    X = np.random.default_rng(0).standard_normal((256, width)).astype(np.float32) * 3
    with one_thread(), torch.no_grad(), warnings.catch_warnings(action="ignore"):
        try:
            answers = module(torch.from_numpy(X))
        except Exception:
            # Asked with the table it fails again, and says what it was handed.
            return "probabilities"
        try:
            traced = module
            if not isinstance(module, torch.jit.ScriptModule):
                traced = torch.jit.trace(module, torch.from_numpy(X[:2]), check_trace=False)  # type: ignore[no-untyped-call]
            (out,) = traced.inlined_graph.outputs()
            kinds = _read_operation(out, 30)
        except Exception:
            kinds = {""}
    if len(kinds) == 1 and "" not in kinds:
        return kinds.pop()
    if isinstance(answers, torch.Tensor) and answers.ndim == 2 and answers.shape[1] > 1:
        p = answers.double().numpy()
        if (p >= 0).all() and (abs(p.sum(axis=1) - 1) < 1e-3).all():
            return "probabilities"
    raise unknown_answers("a torch model")


def _read_operation(value: Any, depth: int) -> set[str]:
    """What the operation behind a value of a graph says of it, over all of its branches."""
    node = value.node()
    kind = node.kind().removesuffix("_")
    if not depth:
        return {""}
    if kind in _PASSING:
        return _read_operation(next(node.inputs()), depth - 1)
    if kind == "prim::If":
        at = [out.debugName() for out in node.outputs()].index(value.debugName())
        ends = [list(block.outputs())[at] for block in node.blocks()]
        return set().union(*(_read_operation(end, depth - 1) for end in ends))
    return {_OPERATIONS.get(kind, "")}


__all__ = ["TorchModel", "open_module", "open_torch"]
