"""Trees of scikit-learn's estimators from an untrusted file, checked before they are asked.

scikit-learn's compiled code follows their arrays as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import BuiltinMethodType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from privaudit.inputs.models.check_trees import (
    ForgedTree,
    check_range,
    check_tree,
    forged_trees,
)

NO_CHILD = -1


def check_estimator(held: Any) -> None:
    """Refuse an estimator with a tree, somewhere in it, that is none.

    Raises:
        PrivauditError: A child, a feature or a set of categories out of range, a loop.
    """
    try:
        for part in list_parts(held):
            if type(part).__name__ == "Tree" and hasattr(part, "children_left"):
                _check_cart(part)
            for predictors in getattr(part, "_predictors", ()):
                for one in predictors:
                    _check_histogram(one, int(part._n_features))
    except (ForgedTree, AttributeError, TypeError, ValueError, IndexError, KeyError):
        raise forged_trees("scikit-learn") from None


def _check_cart(tree: Any) -> None:
    left = np.asarray(tree.children_left, dtype=np.int64)
    right = np.asarray(tree.children_right, dtype=np.int64)
    check_tree(left, right)
    inner = left != NO_CHILD
    check_range(np.asarray(tree.feature)[inner], 0, int(tree.n_features), "feature")
    if len(tree.value) != len(left):
        raise ForgedTree("value")


def _check_histogram(predictor: Any, features: int) -> None:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    left = np.where(leaf, NO_CHILD, nodes["left"].astype(np.int64))
    right = np.where(leaf, NO_CHILD, nodes["right"].astype(np.int64))
    check_tree(left, right)
    inner = nodes[~leaf]
    check_range(inner["feature_idx"], 0, features, "feature")
    sets = inner["bitset_idx"][inner["is_categorical"].astype(bool)]
    for name in ("raw_left_cat_bitsets", "binned_left_cat_bitsets"):
        check_range(sets, 0, len(getattr(predictor, name)), name)


def list_parts(root: Any) -> Iterator[Any]:
    """An object and all that it holds, each once."""
    todo, seen = [root], {id(root)}
    while todo:
        part = todo.pop()
        yield part
        inner: list[Any] = []
        if isinstance(part, dict):
            inner = list(part.values())
        elif isinstance(part, list | tuple | set | frozenset):
            inner = list(part)
        elif isinstance(part, np.ndarray):
            inner = part.ravel().tolist() if part.dtype == object else []
        elif isinstance(part, partial):
            inner = [part.func, part.args, part.keywords]
        elif isinstance(part, MethodType | BuiltinMethodType):
            inner = [part.__self__]
        elif isinstance(part, FunctionType):
            inner = _list_of_function(part)
        if not isinstance(part, type | ModuleType | np.ndarray):
            inner += list(getattr(part, "__dict__", {}).values())
            inner += [getattr(part, name, None) for name in _list_slots(type(part))]
        for one in inner:
            if id(one) not in seen and not isinstance(one, str | bytes | int | float):
                seen.add(id(one))
                todo.append(one)


def _list_of_function(part: FunctionType) -> list[Any]:
    """What a function carries along: enclosed variables, and values of its parameters."""
    cells = part.__closure__ or ()
    held = [cell.cell_contents for cell in cells if cell != CellType()]
    return [*held, *(part.__defaults__ or ()), *(part.__kwdefaults__ or {}).values()]


def _list_slots(kind: type) -> list[str]:
    """Names of attributes that classes written in Python keep outside an object's dictionary."""
    found: list[str] = []
    for one in kind.__mro__:
        own = vars(one).get("__slots__", ())
        found += [own] if isinstance(own, str) else list(own)
    return found


__all__ = ["check_estimator", "list_parts"]
