"""How a user's model can be trained again: a clone trained as long, or a function."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError, spell
from privaudit.inputs.clones import clone_estimator, is_estimator, unfit
from privaudit.inputs.fitted_parts import find_fitted_part, fix_length
from privaudit.inputs.models import in_process
from privaudit.inputs.models.user_code import load_factory
from privaudit.records import OutcomeKind


@dataclass(frozen=True)
class Recipe:
    """How an estimator is made.

    name: for documents; digest: of what makes it; make: makes one; fitted: what of it was fitted
    before, so that no shadow model can be made of it, "" for nothing.
    """

    name: str
    digest: str
    make: Callable[[], Any]
    fitted: str = ""


@dataclass(frozen=True, eq=False)
class _Clone:
    template: Any

    def __call__(self) -> Any:
        return unfit(self.template)


@dataclass(frozen=True, eq=False)
class _Unfitted:
    """What a function makes, without anything that it or an earlier training left in it."""

    make: Callable[[], Any]

    def __call__(self) -> Any:
        return unfit(self.make())


def clone_recipe(held: Any) -> Recipe | None:
    """The recipe of an estimator that scikit-learn can clone; else None.

    What was stopped early is trained for as many rounds as the model is asked with, and a search is
    not made again: what it found is trained.
    """
    if not is_estimator(held):
        return None
    try:
        template = fix_length([held], clone_estimator(held))
    except (TypeError, RuntimeError, ValueError):
        return None
    digest, _ = in_process.digest(template)
    name = f"a clone of the {type(held).__name__}"
    return Recipe(name, digest, _Clone(template), find_fitted_part(template))


def load_recipe(factory: str, outcome_kind: OutcomeKind = "class") -> Recipe:
    """The recipe that `module:function` names; outcome_kind: what it has to answer for."""
    import inspect

    make = load_factory(factory, spell("--estimator", "estimator"))
    try:
        source = Path(inspect.getsourcefile(make) or "").read_bytes()
    except (OSError, TypeError):
        source = b""
    made = make()
    what = f"{spell('--estimator', 'estimator')} {factory!r} returned a {type(made).__name__}"
    _require_answers(made, what, outcome_kind)
    digest = hashlib.sha256(factory.encode() + b"\0" + source).hexdigest()
    return Recipe(factory, digest, _Unfitted(make), find_fitted_part(made))


def _require_answers(made: Any, what: str, outcome_kind: OutcomeKind) -> None:
    answers = "predict_proba" if outcome_kind == "class" else "predict"
    if not all(callable(getattr(made, name, None)) for name in ("fit", answers)):
        said = "probabilities" if outcome_kind == "class" else "predicted numbers"
        raise PrivauditError(
            what,
            f"it has to be trained (`fit(X, y)`) and answer with {said} (`{answers}(X)`)",
            "return an unfitted scikit-learn estimator, or wrap yours so",
        )


def find_recipe(estimator: Any, outcome_kind: OutcomeKind = "class") -> Recipe:
    """The recipe of what a Python session passes: an estimator, a name, or a function.

    Raises:
        PrivauditError: What it was given is none of these.
    """
    found = clone_recipe(estimator)
    if found is None and isinstance(estimator, str):
        found = load_recipe(estimator, outcome_kind)
    if found is None and callable(estimator):
        made = estimator()
        what = f"an estimator function that returned a {type(made).__name__}"
        _require_answers(made, what, outcome_kind)
        digest, _ = in_process.digest(estimator)
        name = getattr(estimator, "__name__", type(estimator).__name__)
        found = Recipe(name, digest, _Unfitted(estimator), find_fitted_part(made))
    if found is None:
        raise PrivauditError(
            f"an estimator of type {type(estimator).__name__}",
            "it is trained again, `fit(X, y)`, and asked, `predict_proba(X)` or `predict(X)`",
            "pass an unfitted scikit-learn estimator, or a function that returns one",
        )
    return found


SEEDS = ("random_state", "random_seed", "seed")
THREADS = ("n_jobs", "thread_count", "nthread", "num_threads")


def seed_estimator(estimator: Any, rng: np.random.Generator) -> Any:
    """Draw every random state of the estimator and its parts; hold every part to one thread."""
    if not (hasattr(estimator, "get_params") and hasattr(estimator, "set_params")):
        return estimator
    own = estimator.get_params(deep=True)
    chosen: dict[str, Any] = {
        name: int(rng.integers(2**31 - 1))
        for name in sorted(own)
        if name.rpartition("__")[2] in SEEDS
    }
    chosen |= {name: 1 for name in own if name.rpartition("__")[2] in THREADS and own[name] != 1}
    # CatBoost names only what was set, seeds by 0, takes every core and writes a folder of logs.
    bare = {name: part for name, part in own.items() if _is_catboost(part)}
    for name, part in {"": estimator, **bare}.items():
        if not _is_catboost(part):
            continue
        prefix, there = f"{name}__" if name else "", part.get_params()
        if not any(seed in there for seed in SEEDS):
            chosen[f"{prefix}random_seed"] = int(rng.integers(2**31 - 1))
        if "thread_count" not in there:
            chosen[f"{prefix}thread_count"] = 1
        chosen[f"{prefix}allow_writing_files"] = False
        if not {"verbose", "silent", "logging_level", "verbose_eval"} & set(there):
            chosen[f"{prefix}verbose"] = False
    estimator.set_params(**chosen)
    return estimator


def _is_catboost(part: Any) -> bool:
    return type(part).__module__.partition(".")[0] == "catboost" and is_estimator(part)


__all__ = ["Recipe", "clone_recipe", "find_recipe", "load_recipe", "seed_estimator"]
