"""privaudit: a privacy audit for models trained on tabular health records."""

from __future__ import annotations

from typing import Any

__version__ = "0.2.0"

_CALLS = ("audit", "Findings")


def __getattr__(name: str) -> Any:
    # The engine is loaded when it is asked for, so that `import privaudit` stays light.
    if name in _CALLS:
        import importlib

        return getattr(importlib.import_module("privaudit.notebook"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return ["__version__", *_CALLS]


__all__ = ["__version__"]
