"""What a torch module answers with, read off what it computes; nothing is guessed from numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError

_ENDS = {
    "Softmax": "probabilities",
    "Linear": "logits",
    "LinearPackedParams": "logits",
    "LogSoftmax": "logits",
}

_SHAPES = (
    "View",
    "Squeeze",
    "Unsqueeze",
    "Reshape",
    "Select",
    "Slice",
    "T",
    "Transpose",
    "Permute",
    "Clone",
    "Alias",
    "ToCopy",
    "Clamp",
    "ClampMin",
    "ClampMax",
    "Flatten",
    "UnsafeView",
)
"""Operations that leave it what it is, by their names in the graph of gradients."""

_LOGITS = ("Addmm", "Mm", "Matmul", "Mv", "Bmm", "Addbmm", "Linear", "Convolution")
_SCALED = ("Mul", "Div", "Add", "Sub", "Rsub", "Neg")
_JOINED = ("Add", "Sub")


def read_answers(module: Any, forward: Callable[[Any], Any], width: int) -> str:
    """ "probabilities" or "logits": its last layer or operation says; "" where neither does.

    forward: asks the module; width: how many columns it reads.

    Raises:
        PrivauditError: It cannot be asked.
    """
    ends = read_last_layer(module)
    if ends:
        return ends
    import torch

    X = np.random.default_rng(0).standard_normal((64, width)).astype(np.float32) * 3
    out = forward(torch.from_numpy(X).requires_grad_())
    values = out.detach().double().numpy()
    columns = 1 if values.ndim == 1 else values.shape[-1]
    inside = bool(((values >= 0) & (values <= 1)).all())
    sums = columns > 1 and bool((abs(values.sum(axis=-1) - 1) < 1e-3).all())
    if inside and sums:
        return "probabilities"
    end = _walk(out.grad_fn)
    if end == "sigmoid":
        return "probabilities" if columns == 1 and inside else ""
    # One number that is always between 0 and 1 is no plain logit, and a softmax lies nowhere else.
    if (end == "logits" and inside and columns == 1) or (end == "probabilities" and not inside):
        return ""
    return end


def unclear_answers(kind: str) -> PrivauditError:
    """A module of which neither its layers nor its operations say what it answers with."""
    return PrivauditError(
        f"a torch module ({kind}) whose answers may be probabilities or logits",
        "its last operation does not say which, and read the wrong way a leak may not be seen",
        'state which: answers "probabilities" or "logits"',
    )


def read_last_layer(module: Any) -> str:
    """What its last layer says of the answers, where that is a known one in a plain sequence."""
    leaves = find_leaves(module)
    if not leaves or name_kind(module) not in ("Sequential", *_ENDS, "Sigmoid"):
        return ""
    kind = name_kind(leaves[-1])
    if kind == "Sigmoid":
        before = getattr(leaves[-2], "out_features", 0) if len(leaves) > 1 else 0
        return "probabilities" if before == 1 else ""
    return _ENDS.get(kind, "")


def find_leaves(module: Any) -> list[Any]:
    """Its layers that hold no other."""
    return [part for part in module.modules() if not list(part.children())]


def name_kind(part: Any) -> str:
    """The name of a layer's class, also of one that was scripted."""
    return str(getattr(part, "original_name", type(part).__name__))


def _walk(node: Any) -> str:
    """What made a tensor: "probabilities" (a softmax), "sigmoid", "logits", or "" for neither."""
    exp = False
    for _ in range(32):
        if node is None:
            return ""
        name = node.name().partition("Backward")[0]
        nexts = [one for one, _ in node.next_functions if one is not None]
        if name in ("Softmax", "SafeSoftmax"):
            return "probabilities"
        if name == "Sigmoid":
            return "sigmoid"
        if name == "LogSoftmax":
            return "probabilities" if exp else "logits"
        if name in _LOGITS and not exp:
            return "logits"
        if name == "Exp":
            exp = True
        elif name not in _SHAPES and name not in _SCALED:
            return ""
        # A bias or a temperature that is learnt is a leaf; what it is applied to is not.
        inner = [one for one in nexts if not one.name().endswith("AccumulateGrad")]
        if len(inner) > 1 and name in _JOINED:
            ends = {_walk(one) for one in inner}
            return "logits" if ends == {"logits"} and not exp else ""
        if len(inner) != 1:
            return ""
        node = inner[0]
    return ""


__all__ = ["find_leaves", "name_kind", "read_answers", "read_last_layer", "unclear_answers"]
