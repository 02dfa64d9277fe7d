"""What of a fitted estimator outlives its clone, and how long each of its parts was trained."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from statistics import median
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from privaudit.inputs.clones import clone_estimator, is_estimator

DEPTH = 8
"""How deep settings are searched: a pipeline in a search in a vote needs five."""

LIGHTGBM_ROUNDS = (
    "n_estimators",
    "num_iterations",
    "num_iteration",
    "num_boost_round",
    "n_iter",
    "num_tree",
    "num_trees",
    "num_round",
    "num_rounds",
    "nrounds",
    "max_iter",
)
LIGHTGBM_STOPS = (
    "early_stopping_round",
    "early_stopping_rounds",
    "early_stopping",
    "n_iter_no_change",
)
CATBOOST_ROUNDS = ("iterations", "num_boost_round", "n_estimators", "num_trees")
CATBOOST_STOPS = (
    "early_stopping_rounds",
    "od_type",
    "od_wait",
    "od_pval",
    "use_best_model",
    "best_model_min_trees",
)


# ---------------------------------------------------------------- what is fitted already


def find_fitted_part(template: Any) -> str:
    """What of an unfitted estimator was fitted before, in a few words; "" for nothing.

    Every model trained from it would hold that part, so that a shadow model would not be one. It is
    searched among the settings, in what they hold, and in what functions among them refer to.
    """
    return next(_search(template, DEPTH, {}), "")


def _search(part: Any, depth: int, seen: dict[int, Any]) -> Iterator[str]:
    if depth < 0 or id(part) in seen or isinstance(part, type | ModuleType | str | bytes):
        return
    # Held on to: an object that is gone gives its id to another.
    seen[id(part)] = part
    if is_estimator(part):
        yield from _search_estimator(part, depth, seen)
        return
    weights = _name_weights(part)
    if weights:
        yield weights
        return
    for one in _refer(part):
        yield from _search(one, depth - 1, seen)


def _search_estimator(part: Any, depth: int, seen: dict[int, Any]) -> Iterator[str]:
    kind = type(part).__name__
    own = part.get_params(deep=False)
    if kind == "FrozenEstimator":
        yield f"a FrozenEstimator of a {type(part.estimator).__name__}"
    elif isinstance(own.get("cv"), str) and own["cv"] == "prefit":
        yield f'a {kind} with cv="prefit"'
    elif own.get("prefit") is True:
        yield f"a {kind} with prefit=True"
    elif own.get("fit_base_estimators") is False:
        yield f"a {kind} with fit_base_estimators=False"
    elif own.get("warm_start") is True:
        yield f"a {kind} with warm_start=True, which goes on from an earlier training"
    elif is_fitted(part):
        yield f"a {kind} that was fitted before"
    else:
        for one in (*own.values(), *_read_vars(part).values()):
            yield from _search(one, depth - 1, seen)


def is_fitted(part: Any) -> bool:
    """Whether an estimator holds what it learnt, by scikit-learn's convention of names."""
    if callable(getattr(part, "is_fitted", None)):
        return bool(part.is_fitted())
    held = _read_vars(part)
    return held.get("_Booster") is not None or any(
        name.endswith("_") and not name.startswith("__") and value is not None
        for name, value in held.items()
    )


def _read_vars(part: Any) -> Mapping[str, Any]:
    found = getattr(part, "__dict__", {})
    return found if isinstance(found, dict) else {}


def _name_weights(part: Any) -> str:
    """An object that is a trained model by itself, in words."""
    kind, library = type(part).__name__, type(part).__module__.partition(".")[0]
    if library in ("xgboost", "lightgbm") and kind == "Booster":
        return f"a {library} Booster"
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(part, torch.nn.Module) and list(part.parameters()):
        return f"a torch module ({kind}), whose weights are there already"
    if library in ("keras", "tensorflow", "tf_keras") and hasattr(part, "get_weights"):
        return f"a Keras model ({kind}), whose weights are there already"
    return ""


def _refer(part: Any) -> Iterator[Any]:
    """What an object holds or a function refers to."""
    if isinstance(part, Mapping):
        yield from part.values()
    elif isinstance(part, list | tuple | set | frozenset):
        yield from part
    elif isinstance(part, functools.partial):
        yield from (part.func, *part.args, *part.keywords.values())
    elif isinstance(part, MethodType):
        yield from (part.__self__, part.__func__)
    elif isinstance(part, FunctionType):
        cells = inspect.getclosurevars(part) if _is_plain(part) else None
        yield from (part.__defaults__ or ())
        yield from (part.__kwdefaults__ or {}).values()
        if cells is not None:
            yield from (*cells.nonlocals.values(), *cells.globals.values())
        known = part.__globals__
        yield from (known[name] for name in _names(part.__code__) if name in known)
    elif type(part).__module__.partition(".")[0] not in ("numpy", "pandas", "builtins", "scipy"):
        yield from _read_vars(part).values()


def _is_plain(function: FunctionType) -> bool:
    """Whether every name that it closes over has a value by now."""
    try:
        return all(cell.cell_contents is not None or True for cell in function.__closure__ or ())
    except ValueError:
        return False


def _names(code: CodeType) -> Iterator[str]:
    """Names that a function's code reads, those of functions within it too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


# ---------------------------------------------------------------- how long it was trained


def fix_length(fitted: Iterable[Any], template: Any) -> Any:
    """The template set to be trained as long as the fitted ones were, without early stopping.

    A part that was stopped early is trained for as many rounds as it is asked with; a search is
    replaced by the estimator that it found. Of several fitted ones, as cross-validation leaves
    them, the median counts.
    """
    held = list(fitted)
    if not held or not is_estimator(template):
        return template
    found = [one.best_estimator_ for one in held if hasattr(one, "best_estimator_")]
    if found:
        return fix_length(found, clone_estimator(found[0]))
    lengths = [own for one in held if (own := _read_length(one))]
    if lengths:
        template.set_params(**_combine(lengths))
    changed: dict[str, Any] = {}
    for name, part in template.get_params(deep=False).items():
        if is_estimator(part):
            parts = [p for one in held for p in _counterparts(one, name, part)]
            made = fix_length(parts, part)
            if made is not part:
                changed[name] = made
        elif isinstance(part, list) and part and all(isinstance(p, tuple) for p in part):
            changed[name] = [_fix_named(held, name, entry) for entry in part]
    if changed:
        template.set_params(**changed)
    return template


def _fix_named(held: list[Any], name: str, entry: tuple[Any, ...]) -> tuple[Any, ...]:
    """One (name, estimator, ...) of a pipeline, a union, a vote or a stack."""
    parts = [p for one in held if (p := _find_named(one, name, entry[0])) is not None]
    return (entry[0], fix_length(parts, entry[1]), *entry[2:])


def _find_named(holder: Any, name: str, key: Any) -> Any:
    given = getattr(holder, name, [])
    fitted = getattr(holder, f"{name}_", None)
    if name == "estimators" and fitted is not None:
        # Fitted ones stand without their names, in the order of those that were not dropped.
        keys = [entry[0] for entry in given if not isinstance(entry[1], str)]
        return dict(zip(keys, fitted, strict=False)).get(key)
    pairs = fitted if isinstance(fitted, list) else given
    return next((entry[1] for entry in pairs if entry[0] == key), None)


def _counterparts(holder: Any, name: str, part: Any) -> list[Any]:
    """What became of a setting that is an estimator when its holder was fitted."""
    folds = [
        getattr(one, "estimator", None) for one in getattr(holder, "calibrated_classifiers_", ())
    ]
    each = getattr(holder, "estimators_", ())
    several = list(getattr(each, "flat", each))
    own = [getattr(holder, f"{name}_", None), getattr(holder, name, None)]
    for found in (folds, own[:1], several, own[1:]):
        alike = [one for one in found if type(one) is type(part) and is_fitted_somewhere(one)]
        if alike:
            return alike
    return []


def is_fitted_somewhere(part: Any) -> bool:
    """Whether an estimator or, of a pipeline, its last step was fitted."""
    steps = getattr(part, "steps", None)
    return is_fitted(part) or bool(steps and is_fitted(steps[-1][1]))


def _combine(lengths: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of numbers, the first of all else."""
    made = dict(lengths[0])
    for name, value in made.items():
        if isinstance(value, int) and not isinstance(value, bool):
            made[name] = round(median(one.get(name, value) for one in lengths))
        elif isinstance(value, float):
            made[name] = float(median(one.get(name, value) for one in lengths))
    return made


def _read_length(fitted: Any) -> dict[str, Any]:
    """The settings by which an estimator that was stopped early is trained as long again."""
    library, kind = type(fitted).__module__.partition(".")[0], type(fitted).__name__
    readers = {"lightgbm": _read_lightgbm, "xgboost": _read_xgboost, "catboost": _read_catboost}
    try:
        own = fitted.get_params(deep=False)
        if library in readers:
            return readers[library](fitted, own)
        return _read_sklearn(fitted, own, kind)
    except (AttributeError, TypeError, ValueError):
        return {}


def _read_lightgbm(fitted: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    best, stops = fitted.best_iteration_, [name for name in LIGHTGBM_STOPS if own.get(name)]
    if not best and not stops:
        return {}
    rounds = int(best) if best and best > 0 else int(fitted.n_iter_)
    return {**{n: rounds for n in LIGHTGBM_ROUNDS if n in own}, **dict.fromkeys(stops, 0)}


def _read_xgboost(fitted: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    best = fitted.get_booster().attributes().get("best_iteration")
    if best is None:
        return {}
    found: dict[str, Any] = {"n_estimators": int(best) + 1, "early_stopping_rounds": None}
    if own.get("callbacks"):
        kept = [one for one in own["callbacks"] if type(one).__name__ != "EarlyStopping"]
        found["callbacks"] = kept or None
    return found


def _read_catboost(fitted: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    trees = int(fitted.tree_count_)
    names = [name for name in CATBOOST_ROUNDS if name in own] or ["iterations"]
    stops = [name for name in CATBOOST_STOPS if name in own]
    if fitted.best_iteration_ is None and not stops and trees == own.get(names[0], 1_000):
        return {}
    # What it chose by itself depends on the number of rounds, and on whether a rate is stated.
    chosen = fitted.get_all_params()
    rate = "eta" if "eta" in own else "learning_rate"
    return {
        **dict.fromkeys(names, trees),
        rate: float(fitted.learning_rate_),
        "leaf_estimation_iterations": int(chosen["leaf_estimation_iterations"]),
        **dict.fromkeys(stops),
    }


def _read_sklearn(fitted: Any, own: Mapping[str, Any], kind: str) -> dict[str, Any]:
    if kind.startswith("HistGradientBoosting") and fitted.do_early_stopping_:
        return {"early_stopping": True, **_never_stop("max_iter", int(fitted.n_iter_))}
    if kind.startswith("GradientBoosting") and own.get("n_iter_no_change") is not None:
        return _never_stop("n_estimators", int(fitted.n_estimators_))
    if own.get("early_stopping") is not True or "max_iter" not in own:
        return {}
    scores = getattr(fitted, "validation_scores_", None)
    if scores is not None and len(scores):
        # A perceptron goes back to the weights of its best epoch.
        return _never_stop("max_iter", max(range(len(scores)), key=scores.__getitem__) + 1)
    return _never_stop("max_iter", int(fitted.n_iter_))


def _never_stop(name: str, rounds: int) -> dict[str, Any]:
    """As many rounds, and as many records held out as in training, but no stop."""
    return {name: rounds, "n_iter_no_change": rounds + 1}


__all__ = ["find_fitted_part", "fix_length", "is_fitted"]
