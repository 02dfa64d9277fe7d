"""The trees of a model that a process of its own holds: sent as numbers, and checked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from privaudit.inputs.models.check_trees import MAX_DEPTH, ForgedTree, check_range
from privaudit.trees import Trees, list_arrays

NAMES = tuple(
    f.name for f in fields(Trees) if f.name not in ("says", "inputs", "below", "single", "bagged")
)
_WHOLE = ("roots", "group", "left", "right", "feature", "category")
_TRUTHS = ("missing_left", "zero_missing", "unknown_left", "sets")
_SAYS = ("share", "margin", "mean", "vote")
MOST_INPUTS = 1_000_000


def describe_trees(trees: Trees) -> tuple[dict[str, Any], tuple[np.ndarray, ...]]:
    """What a model's process sends of its trees."""
    facts = {
        "says": trees.says,
        "inputs": int(trees.inputs),
        "below": bool(trees.below),
        "single": bool(trees.single),
        "bagged": bool(trees.bagged),
    }
    return facts, tuple(np.asarray(a, dtype=np.float64) for _, a in list_arrays(trees))


def read_described(facts: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> Trees:
    """The trees that a model's process sent.

    Raises:
        ForgedTree: They are none, or something else was sent.
    """
    if len(arrays) != len(NAMES) or facts.get("says") not in _SAYS:
        raise ForgedTree("parts")
    inputs = facts.get("inputs")
    if type(inputs) is not int or not 0 <= inputs <= MOST_INPUTS:
        raise ForgedTree("inputs")
    sent: dict[str, Any] = dict(zip(NAMES, arrays, strict=True))
    for name in _WHOLE:
        if (sent[name] % 1 != 0).any() or (np.abs(sent[name]) > 2**53).any():
            raise ForgedTree(name)
        sent[name] = sent[name].astype(np.int64)
    for name in _TRUTHS:
        sent[name] = sent[name] == 1
    trees = Trees(
        **sent,
        says=facts["says"],
        inputs=inputs,
        below=facts.get("below") is True,
        single=facts.get("single") is True,
        bagged=facts.get("bagged") is True,
    )
    check_forest(trees)
    return trees


def check_forest(trees: Trees) -> None:
    """Refuse arrays that are no trees: following them would never end, or lead out of them."""
    m, t = len(trees.left), len(trees.roots)
    for name, array in list_arrays(trees):
        size = t if name in ("roots", "group") else len(trees.sets) if name == "sets" else m
        wide = 2 if name in ("sets", "values", "by_class") else 1
        if array.ndim != wide or len(array) != size:
            raise ForgedTree(name)
    ends = trees.left == -1
    if (ends != (trees.right == -1)).any() or not t:
        raise ForgedTree("one child")
    check_range(trees.roots, 0, m, "roots")
    children = np.concatenate([trees.left[~ends], trees.right[~ends]])
    check_range(children, 0, m, "a child out of range")
    parents = np.bincount(np.concatenate([children, trees.roots]), minlength=m)
    if (parents != 1).any():
        raise ForgedTree("a node without one parent")
    level, seen = trees.roots, 0
    for _ in range(MAX_DEPTH):
        seen += len(level)
        inner = level[~ends[level]]
        if not len(inner):
            break
        level = np.concatenate([trees.left[inner], trees.right[inner]])
    if seen != m:
        raise ForgedTree("a loop")
    check_range(trees.feature, 0, max(trees.inputs, 1), "feature")
    check_range(trees.category, -1, len(trees.sets), "category")
    # Up to as many classes as a model may have; a leaf of counts says how many those are.
    check_range(trees.group, 0, 10_000, "group")
    if (trees.counts < 0).any() or (trees.by_class < 0).any():
        raise ForgedTree("counts")


__all__ = ["check_forest", "describe_trees", "read_described"]
