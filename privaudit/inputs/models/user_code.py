"""The user's own code, imported by the name that the user gave."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from privaudit.errors import PrivauditError


def load_factory(name: str, option: str, home: str = "") -> Callable[[], Any]:
    """The function that `package.module:function` names.

    Its folder is searched first: `home`, by default the working folder.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise PrivauditError(
            f"{option} {name!r}",
            "it reads package.module:function",
            "write for example training:make_model for make_model in training.py",
        )
    here = home or str(Path.cwd())
    if here not in sys.path:
        # Worker processes import what they are sent by name, from the same places.
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        lacking = error.name or module
        raise PrivauditError(
            f"{option} {name!r}: no module {lacking!r}",
            "it is searched for in the working folder and among the installed packages",
            "start the command in the folder that holds it, or install it",
        ) from None
    except Exception as error:
        raise PrivauditError(
            f"{option} {name!r}: importing the module failed ({type(error).__name__})",
            "it is your own code, run by its name",
            "import it yourself to see why",
        ) from error
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise PrivauditError(
            f"{option} {name!r}: nothing callable of that name in {module!r}",
            "it is called without arguments, and returns an unfitted estimator or a module",
            "name a function or a class",
        )
    made: Callable[[], Any] = found
    return made


__all__ = ["load_factory"]
