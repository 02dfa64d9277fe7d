"""torch modules of this process: asked, and differentiated."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.inputs.models.answers import from_logits, probabilities
from privaudit.inputs.models.layout import Layout, by_order
from privaudit.inputs.models.opened_model import Binding, Opened, in_parts
from privaudit.inputs.models.predictors import NumberTorch, not_a_regressor
from privaudit.inputs.models.torch_answers import (
    find_leaves,
    name_kind,
    read_answers,
    read_last_layer,
    unclear_answers,
)
from privaudit.records import Records

WRAPPERS = {
    "GradSampleModule": "_module",
    "GradSampleModuleFastGradientClipping": "_module",
    "DPDDP": "module",
    "DifferentiallyPrivateDistributedDataParallel": "module",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "module",
    "AveragedModel": "module",
    "OptimizedModule": "_orig_mod",
}
"""Modules that train or speed up another, and the name under which they hold it."""


@dataclass(frozen=True, eq=False)
class TorchModel:
    """A module asked with a float32 matrix; `Differentiable`, so that gradient attacks run.

    held: what `module` is made of, the module itself. answers: "probabilities" or "logits", as its
    last layer or operation says, or the user. series: (steps, channels) of the series that the last
    columns are, which the module is handed after the others, or alone where there are no others.
    """

    held: Any = field(repr=False)
    layout: Layout
    classes: int
    answers: str
    series: tuple[int, int] | None = None

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

        module = self.module
        weight = next((w for w in module.parameters() if w.is_floating_point()), None)
        x = x if weight is None else x.to(weight.dtype)
        try:
            with in_eval_mode(module):
                out = module(*split_series(x, self.series))
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
        others = [
            one
            for one in outputs
            if not isinstance(one, torch.Tensor) or one.is_floating_point() or one.is_complex()
        ]
        if len(fitting) == 1 and len(others) > 1:
            raise PrivauditError(
                f"a torch model with {len(others)} outputs of numbers",
                "whoever holds the model reads them all, and one of them alone would be attacked",
                "wrap it in a module that returns one tensor, and release that one",
            )
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


@contextmanager
def in_eval_mode(module: Any) -> Iterator[None]:
    """Hold a module and its parts in evaluation mode, and restore what was in training after."""
    trained = [part for part in module.modules() if part.training]
    try:
        for part in trained:
            part.training = False
        yield
    finally:
        for part in trained:
            part.training = True


@dataclass(frozen=True, eq=False)
class AnswersAlone:
    """A module whose gradients cannot be taken: a quantised one, or one that rounds."""

    model: TorchModel

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        return self.model.predict_proba(records)


def open_module(module: Any, form: str = "a torch module") -> Opened:
    """A module in this process; the user's own stays as it is, in training mode or not.

    What wraps it for training is taken off a copy, and hooks with it, but for those that may change
    what it answers.
    """
    own = _unwrap(_copy(module))
    if own is not _unwrap(module):
        _remove_hooks(own)
        own.eval()
    return open_torch(TorchModel, own, own, form)


def _copy(module: Any) -> Any:
    import torch

    # What a forward pass left behind (an attention map, say) has a graph, and cannot be copied.
    left = [value for part in module.modules() for value in vars(part).values()]
    tensors = [one for one in left if isinstance(one, torch.Tensor) and not one.is_leaf]
    try:
        return copy.deepcopy(module, {id(one): one.detach() for one in tensors}).cpu()
    except Exception:
        return module


def _unwrap(module: Any) -> Any:
    while (name := WRAPPERS.get(type(module).__name__)) is not None and hasattr(module, name):
        module = getattr(module, name)
    return module


def _remove_hooks(module: Any) -> None:
    """Hooks of gradients, which change no answer, and those by which opacus watches a training."""
    for part in module.modules():
        for name in ("_backward_hooks", "_backward_pre_hooks"):
            getattr(part, name, {}).clear()
        for name in ("_forward_hooks", "_forward_pre_hooks"):
            hooks = getattr(part, name, {})
            for key in [key for key, hook in hooks.items() if _is_opacus(hook)]:
                del hooks[key]
    for weight in module.parameters():
        for name in ("grad_sample", "ddp_hooks", "summed_grad", "_forward_counter"):
            if hasattr(weight, name):
                delattr(weight, name)


def _is_opacus(hook: Any) -> bool:
    made = getattr(hook, "func", hook)
    return str(getattr(made, "__module__", "")).partition(".")[0] == "opacus"


def open_torch(
    kind: type[TorchModel], held: Any, module: Any, form: str, notes: tuple[str, ...] = ()
) -> Opened:
    """What a torch module says of itself; kind: the model to bind."""
    ends = read_last_layer(module)

    def bind(binding: Binding) -> Model:
        count = None if binding.series else _count_inputs(module)
        layout = by_order(count, binding.columns, encode=binding.encode)
        classes = len(binding.classes)
        unread = kind(held, layout, classes, "", binding.series)
        if binding.outcome_kind != "class":
            if ends == "probabilities":
                raise not_a_regressor("a torch", "that ends in a softmax or a sigmoid")
            return NumberTorch(unread)
        with one_thread():
            answers = binding.answers or read_answers(module, unread._forward, len(layout.places))
        if not answers:
            raise unclear_answers(name_kind(module))
        made = replace(unread, answers=answers)
        return made if _has_gradient(made) else AnswersAlone(made)

    read = f"read as {ends}, as its last layer says" if ends else "read as what it computes says"
    note = f"its answers, where they are of classes, are {read} (--answers)"
    return Opened(form, None, None, None, bind, (*notes, note), reads_series=True)


def split_series(x: Any, series: tuple[int, int] | None) -> tuple[Any, ...]:
    """What a module is handed of (n, inputs): all as it is, or the columns that are none of a
    series, if there are any, and (n, steps, channels)."""
    if series is None:
        return (x,)
    steps, channels = series
    width = x.shape[1] - steps * channels
    last = x[:, width:].reshape(len(x), steps, channels)
    return (x[:, :width], last) if width else (last,)


def _has_gradient(model: TorchModel) -> bool:
    """Whether the loss has a gradient for what it reads."""
    import torch

    x = torch.zeros((2, len(model.layout.places)), requires_grad=True)
    try:
        with one_thread():
            loss = model._loss(model._forward(x), torch.zeros(2, dtype=torch.long)).sum()
            torch.autograd.grad(loss, x)
    except (RuntimeError, NotImplementedError, PrivauditError):
        return False
    return True


def _count_inputs(module: Any) -> int | None:
    """How many columns its first layer reads, where that is a linear one in a plain sequence."""
    leaves = find_leaves(module)
    if leaves and name_kind(module) in ("Sequential", "Linear"):
        count = getattr(leaves[0], "in_features", None)
        return None if count is None else int(count)
    return None


__all__ = ["AnswersAlone", "TorchModel", "in_eval_mode", "open_module", "open_torch"]
