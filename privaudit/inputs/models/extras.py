"""Libraries that only some models need."""

from __future__ import annotations

import importlib
from types import ModuleType

from privaudit.errors import PrivauditError


def require_library(module: str, what: str, extra: str = "models") -> ModuleType:
    """The library, or an error that says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise PrivauditError(
            f"{what} needs {module.partition('.')[0]}, which is not installed",
            "it reads files of this type",
            f"pip install 'privaudit[{extra}]'",
        ) from None


__all__ = ["require_library"]
