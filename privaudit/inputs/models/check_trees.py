"""Whether decision trees of an untrusted file are trees, before a library follows their indices.

The libraries follow what a file says: a child beyond the last node is read out of memory that is
not theirs, and a child that is its own ancestor never ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from privaudit.errors import PrivauditError

MAX_DEPTH = 10_000


class ForgedTree(ValueError):
    """Arrays of nodes that are no tree."""


def whole(values: Any, size: int, what: str = "an array") -> np.ndarray:
    """(size,) int64 of a list of whole numbers.

    Raises:
        ForgedTree: Anything else, or another number of them.
    """
    try:
        found = np.asarray(values)
    except (ValueError, OverflowError):
        raise ForgedTree(what) from None
    if found.shape != (size,) or (size and found.dtype.kind not in "iub"):
        raise ForgedTree(what)
    return found.astype(np.int64)


def check_tree(left: np.ndarray, right: np.ndarray, unused: np.ndarray | None = None) -> None:
    """One binary tree: node 0 is the root, -1 is no child, and every node but it has one parent.

    Args:
        left: (n,) whole numbers.
        right: (n,) the same; -1 exactly where `left` is.
        unused: (n,) bool nodes that the file says were cut off: no parent, no children.

    Raises:
        ForgedTree: A child out of range, a loop, a node of two parents or of none, a tree too deep.
    """
    n = len(left)
    if not n or len(right) != n:
        raise ForgedTree("sizes")
    ends = left == -1
    if (ends != (right == -1)).any():
        raise ForgedTree("one child")
    children = np.concatenate([left[~ends], right[~ends]])
    if len(children) and (children.min() < 1 or children.max() >= n):
        raise ForgedTree("a child out of range")
    wanted = np.ones(n, dtype=np.int64) if unused is None else (~unused).astype(np.int64)
    if (np.bincount(children, minlength=n)[1:] != wanted[1:]).any():
        raise ForgedTree("a node without one parent")
    # One parent each and n - 1 edges: what the root does not reach is a loop.
    level, seen = np.zeros(1, dtype=np.int64), 0
    for _ in range(MAX_DEPTH):
        seen += len(level)
        inner = level[~ends[level]]
        if not len(inner):
            break
        level = np.concatenate([left[inner], right[inner]])
    else:
        raise ForgedTree("depth")
    if seen != wanted.sum():
        raise ForgedTree("a loop")


def check_range(values: np.ndarray, low: int, high: int, what: str) -> None:
    """Every value from `low` to below `high`."""
    if len(values) and (values.min() < low or values.max() >= high):
        raise ForgedTree(what)


def forged_trees(form: str) -> PrivauditError:
    """The refusal of a file whose trees are none."""
    return PrivauditError(
        f"a model file of {form} whose trees are no trees",
        "a child, a feature or a size lies out of range, a node has not one parent, or a tree is "
        "too deep: the library would read memory that is not the model's, or never end",
        "the file is damaged or forged: save it again with the library that trained it",
    )


__all__ = ["ForgedTree", "check_range", "check_tree", "forged_trees", "whole"]
