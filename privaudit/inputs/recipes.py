"""How a user's model can be trained again: a clone, or a function."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError, spell
from privaudit.inputs.models import in_process
from privaudit.inputs.models.user_code import load_factory


@dataclass(frozen=True)
class Recipe:
    """name: how the estimator is made, for documents; digest: of what makes it; make: makes one."""

    name: str
    digest: str
    make: Callable[[], Any]


@dataclass(frozen=True, eq=False)
class _Clone:
    template: Any

    def __call__(self) -> Any:
        from sklearn.base import clone

        return clone(self.template)


def clone_recipe(held: Any) -> Recipe | None:
    """The recipe of an estimator that scikit-learn can clone; else None."""
    if not (hasattr(held, "get_params") and hasattr(held, "fit")):
        return None
    from sklearn.base import clone

    try:
        template = clone(held)
    except (TypeError, RuntimeError):
        return None
    digest, _ = in_process.digest(template)
    return Recipe(f"a clone of the {type(held).__name__}", digest, _Clone(template))


def load_recipe(factory: str) -> Recipe:
    """The recipe that `module:function` names."""
    import inspect

    make = load_factory(factory, spell("--estimator", "estimator"))
    try:
        source = Path(inspect.getsourcefile(make) or "").read_bytes()
    except (OSError, TypeError):
        source = b""
    made = make()
    if not all(callable(getattr(made, name, None)) for name in ("fit", "predict_proba")):
        raise PrivauditError(
            f"{spell('--estimator', 'estimator')} {factory!r} returned a {type(made).__name__}",
            "it has to be trained (`fit(X, y)`) and answer with probabilities (`predict_proba(X)`)",
            "return an unfitted scikit-learn classifier, or wrap yours so",
        )
    digest = hashlib.sha256(factory.encode() + b"\0" + source).hexdigest()
    return Recipe(factory, digest, make)


def find_recipe(estimator: Any) -> Recipe:
    """The recipe of what a Python session passes: an estimator, a name, or a function.

    Raises:
        PrivauditError: What it was given is none of these.
    """
    found = clone_recipe(estimator)
    if found is None and isinstance(estimator, str):
        found = load_recipe(estimator)
    if found is None and callable(estimator):
        digest, _ = in_process.digest(estimator)
        name = getattr(estimator, "__name__", type(estimator).__name__)
        found = Recipe(name, digest, estimator)
    if found is None:
        raise PrivauditError(
            f"an estimator of type {type(estimator).__name__}",
            "it is trained again, `fit(X, y)`, and asked, `predict_proba(X)`",
            "pass an unfitted scikit-learn classifier, or a function that returns one",
        )
    return found


def seed_estimator(estimator: Any, rng: np.random.Generator) -> Any:
    """Draw every random state of the estimator and its parts; hold every part to one thread."""
    if hasattr(estimator, "get_params") and hasattr(estimator, "set_params"):
        own = estimator.get_params(deep=True)
        chosen: dict[str, Any] = {
            name: int(rng.integers(2**31 - 1))
            for name in sorted(own)
            if name == "random_state" or name.endswith("__random_state")
        }
        chosen |= {
            name: 1
            for name in own
            if (name == "n_jobs" or name.endswith("__n_jobs")) and own[name] != 1
        }
        estimator.set_params(**chosen)
    return estimator


__all__ = ["Recipe", "clone_recipe", "find_recipe", "load_recipe", "seed_estimator"]
