"""Weights in a safetensors file, for a module that the user's own code makes."""

from __future__ import annotations

from privaudit.errors import PrivauditError
from privaudit.inputs.models.extras import require_library
from privaudit.inputs.models.opened_model import Opened
from privaudit.inputs.models.torch_module import open_module
from privaudit.inputs.models.user_code import load_factory


def open_safetensors(raw: bytes, module: str, home: str = "") -> Opened:
    """Weights that hold numbers alone, for a module that the user's own code makes."""
    library = require_library("safetensors.torch", "a safetensors file")
    if not module:
        raise PrivauditError(
            "a safetensors file without a module",
            "it holds weights and not what is computed with them",
            "name the function that makes the module: --module package.module:function",
        )
    made = load_factory(module, "--module", home)()
    try:
        made.load_state_dict(library.load(raw))
    except Exception:
        raise PrivauditError(
            f"the weights do not fit the module that {module!r} makes",
            "names and shapes have to be the same",
            "name the function that made the module in training",
        ) from None
    return open_module(made, "safetensors")


__all__ = ["open_safetensors"]
