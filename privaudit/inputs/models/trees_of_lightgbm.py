"""The trees of a LightGBM text, read from its lines."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import expit, logit

from privaudit.errors import PrivauditError
from privaudit.inputs.models.lightgbm_trees import check_lightgbm
from privaudit.inputs.models.stated_counts import count_by_class
from privaudit.trees import Says, Trees, make_trees

_CLASSES = ("binary", "multiclass", "multiclassova", "cross_entropy")
USUAL_RATE = 0.1
"""The learning rate where only the first tree is there, which does not say it."""

_NONE, _ZERO = 0, 1
"""Kinds of missing values: none are, 0 is, and 2: NaN is."""


def read_lightgbm(text: str) -> Trees:
    """What the text states of its trees, with the exact number of training records of every node.

    Where a leaf holds one record, the sign of its value tells that record's outcome; of the first
    tree every leaf's value tells how many had the event.

    Raises:
        PrivauditError: Trees that are none, or leaves that hold a linear model.
    """
    text = check_lightgbm(text)
    head = dict(re.findall(r"^([a-z_]+)=(.*)$", text[: text.find("\nTree=")], re.MULTILINE))
    objective = head.get("objective", "").split(" ")[0]
    each = int(head["num_tree_per_iteration"])
    says: Says = "margin" if objective in _CLASSES else "mean"
    parts = []
    blocks = re.split(r"^Tree=", text[: text.index("\nend of trees")], flags=re.MULTILINE)[1:]
    # The first tree, to which the answer before it was added, says 1.
    rates = re.findall(r"^shrinkage=(.*)$", text, re.MULTILINE)
    rate = float(rates[1]) if len(rates) > 1 else USUAL_RATE
    for at, block in enumerate(blocks):
        lines = dict(re.findall(r"^([a-z_]+)=(.*)$", block, re.MULTILINE))
        if lines.get("is_linear", "0") != "0":
            raise PrivauditError(
                "a LightGBM model whose leaves hold linear models",
                "what such a leaf states of its training records is not read",
                "train with linear_tree=false",
            )
        part = _read_tree(lines)
        part["group"] = at % each if each > 1 else int(says == "margin")
        _state(part, lines, rate, binary=objective == "binary", first=at == 0)
        parts.append(part)
    width = int(head["max_feature_idx"]) + 1
    return make_trees(parts, says=says, inputs=width)


def _state(
    part: dict[str, Any], lines: Mapping[str, str], rate: float, *, binary: bool, first: bool
) -> None:
    leaves = part["left"] < 0
    value, counts = part["values"][:, 0], part["counts"]
    if not binary or len(leaves) == 1:
        return
    if first:
        _state_first(part, lines, rate)
        return
    alone = leaves & (counts == 1) & (value != 0)
    part["stated"] = np.where(alone, (value > 0).astype(np.float64), np.nan)


def _state_first(part: dict[str, Any], lines: Mapping[str, str], rate: float) -> None:
    """How many of each leaf's records had the event: all had the same answer before this tree,
    which the file adds to its leaves."""
    leaves = part["left"] < 0
    counts, weight = part["counts"][leaves], _numbers(lines, "leaf_weight")
    root = _numbers(lines, "internal_value")
    if len(weight) != len(counts) or not len(root) or not np.isfinite(counts).all():
        return
    stated = float(expit(root[0]))
    # Written in six digits; of all records that were trained on it is a share.
    share = round(stated * counts.sum()) / counts.sum()
    for p in (share, stated):
        if not 0 < p < 1:
            continue
        steps = (part["values"][leaves, 0] - logit(p)) / rate
        found = count_by_class(counts, weight, steps, p)
        if found is not None:
            by_class = np.full((len(leaves), 2), np.nan)
            by_class[leaves] = found
            part["by_class"] = by_class
            alone = np.where(by_class[:, 0] == 0, 1.0, np.nan)
            part["stated"] = np.where(by_class[:, 1] == 0, 0.0, alone)
            return


def _read_tree(lines: Mapping[str, str]) -> dict[str, Any]:
    """Inner nodes first, then leaves."""
    value = _numbers(lines, "leaf_value")
    leaves = len(value)
    inner = leaves - 1
    n = inner + leaves
    counts = np.full(n, np.nan)
    own = _numbers(lines, "leaf_count")
    if len(own) == leaves:
        counts[inner:] = own
    part: dict[str, Any] = {"counts": counts}
    part["values"] = np.concatenate([np.zeros(inner), value])[:, None]
    if not inner:
        return {**part, "left": np.array([-1]), "right": np.array([-1])}
    if len(own := _numbers(lines, "internal_count")) == inner:
        counts[:inner] = own
    ends = np.full(leaves, -1)
    for name in ("left", "right"):
        children = _numbers(lines, f"{name}_child").astype(np.int64)
        part[name] = np.concatenate([np.where(children < 0, inner + ~children, children), ends])
    kinds = _numbers(lines, "decision_type").astype(np.int64)
    cut = _numbers(lines, "threshold")
    sorts, missing = (kinds & 1) == 1, (kinds >> 2) & 3
    default_left = (kinds & 2) == 2
    # Where nothing counts as missing, NaN is read as 0.
    part["missing_left"] = _fill(np.where(missing == _NONE, cut >= 0, default_left), leaves, False)
    part["zero_missing"] = _fill((missing == _ZERO) & ~sorts, leaves, False)
    part["feature"] = _fill(_numbers(lines, "split_feature").astype(np.int64), leaves, 0)
    part["threshold"] = _fill(cut, leaves, 0.0)
    if sorts.any():
        sets = _read_sets(lines)
        row = np.where(sorts, cut, -1).astype(np.int64)
        part["category"], part["sets"] = _fill(row, leaves, -1), sets
        # A missing category is of no set, and one read as 0 of code 0's.
        zero = np.where(missing == 2, False, sets[np.maximum(row, 0), 0])
        own_missing = part["missing_left"][:inner]
        part["missing_left"][:inner] = np.where(sorts, zero, own_missing)
    return part


def _read_sets(lines: Mapping[str, str]) -> np.ndarray:
    """(sets, codes) bool, which codes go left."""
    ends = _numbers(lines, "cat_boundaries").astype(np.int64)
    words = np.array([int(w) for w in lines["cat_threshold"].split()], dtype=np.uint32)
    wide = 32 * int(np.diff(ends).max(initial=1))
    sets = np.zeros((len(ends) - 1, max(wide, 32)), dtype=bool)
    for row, (start, stop) in enumerate(itertools.pairwise(ends)):
        bits = np.unpackbits(words[start:stop].view(np.uint8), bitorder="little")
        sets[row, : len(bits)] = bits
    return sets


def _fill(own: np.ndarray, leaves: int, value: Any) -> np.ndarray:
    return np.concatenate([own, np.full(leaves, value, dtype=own.dtype)])


def _numbers(lines: Mapping[str, str], name: str) -> np.ndarray:
    return np.array([float(part) for part in lines.get(name, "").split()])


__all__ = ["read_lightgbm"]
