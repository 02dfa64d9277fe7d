"""privaudit: a privacy audit for models trained on tabular health records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from privaudit.notebook import Findings, audit

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # The engine is loaded when it is asked for, so that `import privaudit` stays light.
    if name in ("audit", "Findings"):
        from privaudit import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Findings", "__version__", "audit"]
