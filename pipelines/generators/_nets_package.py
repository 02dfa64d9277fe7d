"""The `ctgan` package, where it is installed."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

from privaudit.errors import PrivauditError


def package(name: str) -> ModuleType:
    """A module of the `ctgan` package; PrivauditError with what to install where it is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise PrivauditError(
            "the generators ctgan and tvae without the package ctgan",
            f"their networks are those of that package, which is not installed here ({error.name})",
            "pip install 'privaudit[synthetic]' (ctgan is under the Business Source License 1.1), or "
            "use medgan, copula, marginals or a private generator",
        ) from error


__all__ = ["package"]
