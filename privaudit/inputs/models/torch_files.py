"""torch models: TorchScript files, safetensors weights of a named module, modules in this process."""

from __future__ import annotations

import copy
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.models.answers import from_logits, probabilities
from privaudit.inputs.models.extras import needed
from privaudit.inputs.models.layout import Frame, Layout, by_order
from privaudit.inputs.models.opened_model import How, Opened, in_parts
from privaudit.records import Records

SCRIPT_NOTE = (
    "a TorchScript file is a program of torch's own operations: it cannot run Python, and one that "
    "names operations which touch files is refused, but it may compute for as long as it likes"
)
_TOUCHES_FILES = re.compile(
    rb"\b(torch\.save|torch\.load|aten\.save|from_file|torch\.classes|__torch__\.torch\.classes)\b|\bopen\("
)
_ENDS = {"Softmax": "probabilities", "Sigmoid": "probabilities", "Linear": "logits"}


@dataclass(frozen=True, eq=False)
class Torch:
    """A module asked with a float32 matrix; `Differentiable`, so that gradient attacks run.

    kept: the file's bytes for TorchScript, else the module itself. answers: "probabilities" or
    "logits", as its last layer tells, or, where that tells nothing, what its answers look like.
    """

    kept: Any = field(repr=False)
    layout: Layout
    classes: int
    answers: str
    scripted: bool = False

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        return in_parts(self._ask, records, 16_384)

    def _ask(self, records: Records) -> np.ndarray:
        import torch

        with one_thread(), torch.no_grad():
            found = self._forward(self._inputs(records)).double().numpy()
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

        module = self._module()
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
            for w, kept in zip(weights, asked, strict=True):
                w.requires_grad_(kept)
        return found

    def _inputs(self, records: Records) -> Any:
        import torch

        return torch.from_numpy(np.array(self.layout.matrix(records.X), dtype=np.float32))

    def _forward(self, x: Any) -> Any:
        import torch

        try:
            out = self._module()(x)
        except Exception as error:
            raise PrivauditError(
                f"the torch model broke on a matrix of {tuple(x.shape)[1]} columns ({type(error).__name__})",
                "it is handed float32 rows in the order of the schema's columns",
                "give a schema whose columns are those that the model was trained on, in order",
            ) from error
        if isinstance(out, tuple | list) and len(out):
            out = out[0]
        if not isinstance(out, torch.Tensor):
            raise PrivauditError(
                f"the torch model answered with a {type(out).__name__}",
                "a tensor of probabilities or logits is needed",
                "wrap it in a module that returns one tensor",
            )
        return out

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

    def _module(self) -> Any:
        if not self.scripted:
            return self.kept
        found = self.__dict__.get("_kept")
        if found is None:
            found = load_script(self.kept)
            object.__setattr__(self, "_kept", found)
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold torch to one thread, and put things back after."""
    import torch

    kept = torch.get_num_threads()
    if kept != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if kept != 1:
            torch.set_num_threads(kept)


def _parts(records: Records, size: int) -> list[Records]:
    return [records.take(slice(i, i + size)) for i in range(0, max(len(records), 1), size)]


def open_module(module: Any, form: str = "a torch module", frame: Frame | None = None) -> Opened:
    """A module in this process; the user's own stays as it is, in training mode or not."""
    try:
        own = copy.deepcopy(module)
    except Exception:
        own = module
    own.eval()
    return _opened(own, own, form, scripted=False, notes=())


def open_script(raw: bytes) -> Opened:
    """A file of `torch.jit.save`. Its code is searched for operations that touch files first."""
    refuse_script(raw)
    return _opened(raw, load_script(raw), "TorchScript", scripted=True, notes=(SCRIPT_NOTE,))


def refuse_script(raw: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        names = archive.namelist()
        if not any("/code/" in name for name in names):
            raise PrivauditError(
                "a torch file that is no TorchScript",
                "it is a pickle (torch.save): loading it may run any code",
                "export with torch.jit.script or torch.jit.trace and torch.jit.save, or save the "
                "weights as safetensors and name the module (--module module:factory)",
            )
        for name in names:
            if (
                "/code/" in name
                and name.endswith(".py")
                and _TOUCHES_FILES.search(archive.read(name))
            ):
                raise PrivauditError(
                    "a TorchScript file that names operations which read or write files",
                    "a model that answers with probabilities needs none of them",
                    "do not use this file; export the model again from where it was trained",
                )


def load_script(raw: bytes) -> Any:
    import torch

    try:
        return torch.jit.load(io.BytesIO(raw), map_location="cpu").eval()
    except Exception:
        raise PrivauditError(
            "the model cannot be read as TorchScript",
            "the file is damaged, cut short, or of another version of torch",
            "save it again with torch.jit.save",
        ) from None


def open_safetensors(raw: bytes, module: str) -> Opened:
    """Weights that hold numbers alone, for a module that the user's own code makes."""
    from privaudit.inputs.models.user_code import factory

    library = needed("safetensors.torch", "a safetensors file")
    if not module:
        raise PrivauditError(
            "a safetensors file without a module",
            "it holds weights and not what is computed with them",
            "name the function that makes the module: --module package.module:function",
        )
    made = factory(module, "--module")()
    try:
        made.load_state_dict(library.load(raw))
    except Exception:
        raise PrivauditError(
            f"the weights do not fit the module that {module!r} makes",
            "names and shapes have to be the same",
            "name the function that made the module in training",
        ) from None
    return open_module(made, "safetensors")


def _opened(kept: Any, module: Any, form: str, *, scripted: bool, notes: tuple[str, ...]) -> Opened:
    ends = _last(module)

    def bind(how: How) -> Torch:
        layout = by_order(_inputs(module), how.columns, encode=how.encode)
        classes = len(how.classes)
        answers = how.answers or ends or _looks(module, layout)
        return Torch(kept, layout, classes, answers, scripted)

    told = {"": "taken for probabilities if they look so, else for logits"}.get(
        ends, f"read as {ends}, as its last layer tells"
    )
    return Opened(form, None, None, None, bind, (*notes, f"its answers are {told} (--answers)"))


def _leaves(module: Any) -> list[Any]:
    return [part for part in module.modules() if not list(part.children())]


def _kind(part: Any) -> str:
    return str(getattr(part, "original_name", type(part).__name__))


def _last(module: Any) -> str:
    """What its last layer says of the answers, where that is a known one in a plain sequence."""
    leaves = _leaves(module)
    if not leaves:
        return ""
    kind = _kind(leaves[-1])
    # A Linear last says logits only where nothing follows it in code, which a sequence guarantees.
    if kind == "Linear" and _kind(module) not in ("Sequential", "Linear"):
        return ""
    return _ENDS.get(kind, "")


def _inputs(module: Any) -> int | None:
    """How many columns its first layer reads, where that is a linear one in a plain sequence."""
    leaves = _leaves(module)
    if leaves and _kind(module) in ("Sequential", "Linear") and hasattr(leaves[0], "in_features"):
        return int(leaves[0].in_features)
    return None


def _looks(module: Any, layout: Layout) -> str:
    """Ask it something: answers that are probabilities whatever is asked are meant as such."""
    import torch

    X = np.random.default_rng(0).standard_normal((256, len(layout.places))).astype(np.float32)
    try:
        with one_thread(), torch.no_grad():
            out = module(torch.from_numpy(X * 3))
            out = (out[0] if isinstance(out, tuple | list) else out).double().numpy()
    except Exception:
        return "probabilities"
    inside = bool(((out >= 0) & (out <= 1)).all())
    sums = out.ndim == 1 or out.shape[1] == 1 or bool((abs(out.sum(axis=1) - 1) < 1e-3).all())
    return "probabilities" if inside and sums else "logits"


__all__ = ["Torch", "open_module", "open_safetensors", "open_script"]
