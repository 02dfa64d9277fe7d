"""Unfitted copies of estimators, without anything that a training left in them."""

from __future__ import annotations

import copy
from typing import Any


def is_estimator(part: Any) -> bool:
    """Whether it is an estimator or a transformer, and not the class of one."""
    return not isinstance(part, type) and all(
        callable(getattr(part, name, None)) for name in ("fit", "get_params", "set_params")
    )


def unfit(made: Any) -> Any:
    """An unfitted copy: a clone where one can be made."""
    if is_estimator(made):
        try:
            return clone_estimator(made)
        except (TypeError, RuntimeError):
            pass
    try:
        return copy.deepcopy(made)
    except Exception:
        return made


def clone_estimator(held: Any) -> Any:
    """scikit-learn's clone; by hand where a constructor changes what it is given, as CatBoost's."""
    from sklearn.base import clone

    try:
        return clone(held)
    except RuntimeError:
        own = held.get_params(deep=False)
        return type(held)(**{name: _clone_setting(part) for name, part in own.items()})


def _clone_setting(part: Any) -> Any:
    if is_estimator(part):
        return clone_estimator(part)
    if isinstance(part, list | tuple):
        return type(part)([_clone_setting(one) for one in part])
    return copy.deepcopy(part)


__all__ = ["clone_estimator", "is_estimator", "unfit"]
