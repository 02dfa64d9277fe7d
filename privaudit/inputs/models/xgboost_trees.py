"""What an XGBoost file says of its trees, checked before XGBoost loads it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from privaudit.inputs.models.check_trees import (
    ForgedTree,
    check_range,
    check_tree,
    forged_trees,
    whole,
)
from privaudit.inputs.models.json_text import parse_json, parse_ubjson
from privaudit.inputs.models.opened_model import damaged_file

MAX_FEATURES = 1_000_000
MAX_CLASSES = 10_000
CUT_OFF = (1 << 31) - 1
"""The feature of a node that pruning cut off and the file still lists."""

_PER_NODE = ("split_conditions", "default_left", "sum_hessian", "loss_changes")


def check_xgboost(raw: bytes) -> None:
    """Refuse a file whose trees, sizes or categories do not fit together.

    Raises:
        PrivauditError: The file is neither JSON nor UBJSON, or its trees are none.
    """
    try:
        # UBJSON begins with a table as JSON does, and then with the type of a size.
        binary = re.match(rb"\{[#iUIulmL]", raw) is not None
        tree = parse_ubjson(raw) if binary else parse_json(raw)
    except ValueError:
        raise damaged_file("XGBoost (JSON or UBJSON)") from None
    try:
        _check_learner(tree["learner"])
    except (ForgedTree, KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise forged_trees("XGBoost") from None


def _check_learner(learner: Mapping[str, Any]) -> None:
    param = learner["learner_model_param"]
    features = _number(param["num_feature"], MAX_FEATURES)
    groups = max(_number(param.get("num_class", "0"), MAX_CLASSES), 1)
    groups = max(groups, _number(param.get("num_target", "1"), MAX_CLASSES))
    for name in ("feature_names", "feature_types"):
        if learner.get(name) and len(learner[name]) != features:
            raise ForgedTree(name)
    booster = learner["gradient_booster"]
    kind = booster["name"]
    if kind == "gblinear":
        if len(booster["model"]["weights"]) != (features + 1) * groups:
            raise ForgedTree("weights")
        return
    if kind == "dart":
        if len(booster["weight_drop"]) != len(booster["gbtree"]["model"]["trees"]):
            raise ForgedTree("weight_drop")
        booster = booster["gbtree"]
    elif kind != "gbtree":
        raise ForgedTree("booster")
    model = booster["model"]
    trees = model["trees"]
    if _number(model["gbtree_model_param"]["num_trees"], len(trees)) != len(trees):
        raise ForgedTree("num_trees")
    check_range(whole(model["tree_info"], len(trees)), 0, groups, "tree_info")
    rounds = model.get("iteration_indptr")
    if rounds is not None:
        _check_ends(whole(rounds, len(rounds)), len(trees))
    levels = _check_levels(model.get("cats"), features)
    for one in trees:
        _check_one(one, features, levels)


def _check_one(tree: Mapping[str, Any], features: int, levels: Sequence[int]) -> None:
    param = tree["tree_param"]
    n = _number(param["num_nodes"], len(tree["left_children"]))
    width = max(_number(param.get("size_leaf_vector", "0"), MAX_CLASSES), 1)
    if _number(param.get("num_feature", features), MAX_FEATURES) > features:
        raise ForgedTree("num_feature")
    left, right = whole(tree["left_children"], n), whole(tree["right_children"], n)
    inner = left != -1
    if width > 1:
        # Trees of several outcomes keep there which of the leaves it is.
        leaves = len(tree.get("leaf_weights", tree["base_weights"])) // width
        check_range(right[~inner], -1, leaves, "right_children")
        right = np.where(inner, right, -1)
    split = whole(tree["split_indices"], n)
    unused = ~inner & (split == CUT_OFF)
    if unused.sum() != _number(param.get("num_deleted", "0"), n) or unused[0]:
        raise ForgedTree("num_deleted")
    check_tree(left, right, unused)
    check_range(split[inner], 0, features, "split_indices")
    parents = whole(tree["parents"], n)
    if (parents[left[inner]] != np.flatnonzero(inner)).any():
        raise ForgedTree("parents")
    if (parents[right[inner]] != np.flatnonzero(inner)).any():
        raise ForgedTree("parents")
    for name in _PER_NODE:
        if name in tree and len(tree[name]) != n:
            raise ForgedTree(name)
    if len(tree["base_weights"]) not in (n, n * width):
        raise ForgedTree("base_weights")
    if "leaf_weights" in tree and len(tree["leaf_weights"]) % width:
        raise ForgedTree("leaf_weights")
    if "split_type" in tree:
        kinds = whole(tree["split_type"], n)
        check_range(kinds, 0, 2, "split_type")
        _check_categories(tree, np.flatnonzero((kinds == 1) & inner), n)


def _check_categories(tree: Mapping[str, Any], splits: np.ndarray, n: int) -> None:
    nodes = tree["categories_nodes"]
    k, count = len(nodes), len(tree["categories"])
    nodes = whole(nodes, k)
    starts, sizes = whole(tree["categories_segments"], k), whole(tree["categories_sizes"], k)
    check_range(nodes, 0, n, "categories_nodes")
    if not np.isin(splits, nodes).all() or (np.diff(nodes) <= 0).any():
        raise ForgedTree("categories_nodes")
    check_range(starts, 0, count + 1, "categories_segments")
    check_range(sizes, 0, count + 1, "categories_sizes")
    check_range(starts + sizes, 0, count + 1, "categories")
    check_range(whole(tree["categories"], count), 0, 1 << 24, "categories")


def _check_levels(cats: Any, features: int) -> Sequence[int]:
    """The levels of categories that files of XGBoost 3.1 and later hold."""
    if cats is None:
        return ()
    encodings = cats["enc"]
    ends = cats["feature_segments"]
    ends = whole(ends, len(ends))
    if len(encodings) not in (0, features) or (len(encodings) and len(ends) != features + 1):
        raise ForgedTree("feature_segments")
    sizes = [_count_levels(one) for one in encodings]
    total = sum(sizes)
    if len(ends):
        _check_ends(ends, total)
        if sizes and (np.diff(ends) != sizes).any():
            raise ForgedTree("feature_segments")
    check_range(whole(cats["sorted_idx"], total), 0, max(total, 1), "sorted_idx")
    return sizes


def _count_levels(encoding: Mapping[str, Any]) -> int:
    values = encoding["values"]
    if "offsets" not in encoding:
        return len(values)
    offsets = whole(encoding["offsets"], len(encoding["offsets"]))
    if not len(offsets):
        if len(values):
            raise ForgedTree("offsets")
        return 0
    _check_ends(offsets, len(values))
    return len(offsets) - 1


def _check_ends(ends: np.ndarray, last: int) -> None:
    """Ends of runs: from 0, never falling, to the last."""
    if not len(ends) or ends[0] != 0 or ends[-1] != last or (np.diff(ends) < 0).any():
        raise ForgedTree("ends")


def _number(value: Any, most: int) -> int:
    found = int(value)
    if not 0 <= found <= most:
        raise ForgedTree("a number")
    return found


__all__ = ["check_xgboost"]
