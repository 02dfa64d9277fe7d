"""The trees of an XGBoost file, read from its bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from privaudit.errors import PrivauditError
from privaudit.inputs.models.json_text import parse_json, parse_ubjson
from privaudit.inputs.models.stated_counts import count_by_class, count_records
from privaudit.inputs.models.xgboost_trees import check_xgboost
from privaudit.trees import Says, Trees, make_trees

_BINARY = ("binary:logistic", "reg:logistic", "binary:logitraw")
_NUMBERS = ("reg:squarederror",)


def read_xgboost(raw: bytes) -> Trees:
    """What the file states of its trees.

    XGBoost states no counts but sums of second derivatives: of squared errors they are the counts,
    and of log losses they are so many times the same number wherever all training records had the
    same answer, as in the first round. Counts that are no whole numbers are not taken for stated.

    Raises:
        PrivauditError: Trees that are none, or leaves of several numbers.
    """
    check_xgboost(raw)
    binary = re.match(rb"\{[#iUIulmL]", raw) is not None
    learner = (parse_ubjson(raw) if binary else parse_json(raw))["learner"]
    booster = learner["gradient_booster"]
    booster = booster["gbtree"] if booster["name"] == "dart" else booster
    objective = str(learner["objective"]["name"])
    model = booster["model"]
    if any(int(t["tree_param"].get("size_leaf_vector", "0")) > 1 for t in model["trees"]):
        raise PrivauditError(
            "an XGBoost model whose leaves hold several numbers",
            "which training records a leaf speaks of is read for one number a leaf",
            "train with multi_strategy=one_output_per_tree",
        )
    says: Says = "mean" if objective.startswith(("reg:", "count:", "survival:")) else "margin"
    says = "margin" if objective == "reg:logistic" else says
    several = int(learner["learner_model_param"].get("num_class", "0"))
    base = _read_base(learner["learner_model_param"], several)
    parts = []
    for tree, group in zip(model["trees"], model["tree_info"], strict=True):
        part = _read_tree(tree)
        part["group"] = group if several else 1 - (says == "mean")
        hessian = np.array(tree.get("sum_hessian", ()), dtype=np.float64)
        weights = np.array(tree["base_weights"], dtype=np.float64)
        if len(hessian) == len(part["left"]):
            own = base[group] if several and len(base) > 1 else base[0]
            _state(part, hessian, weights, objective, own, several)
        parts.append(part)
    return make_trees(
        parts,
        says=says,
        inputs=int(learner["learner_model_param"]["num_feature"]),
        below=True,
        single=True,
    )


def _state(
    part: dict[str, Any],
    hessian: np.ndarray,
    weights: np.ndarray,
    objective: str,
    base: float,
    several: int,
) -> None:
    """Counts, and classes, where sums of derivatives prove to be those of equal answers."""
    if objective in _NUMBERS:
        part["counts"] = count_records(hessian, 1.0)
        return
    if not 0 < base < 1 or (not several and objective not in _BINARY):
        return
    # Of several classes XGBoost takes twice the second derivative.
    part["counts"] = count_records(hessian, (1 + (several > 0)) * base * (1 - base))
    found = count_by_class(part["counts"], hessian, weights, base, (part["left"], part["right"]))
    if found is not None and several:
        part["stated"] = np.where(found[:, 0] == 0, part["group"], np.nan)
    elif found is not None:
        part["by_class"] = found
        part["stated"] = np.where(found[:, 0] == 0, 1.0, np.where(found[:, 1] == 0, 0.0, np.nan))


def _read_base(param: Mapping[str, Any], several: int) -> list[float]:
    """The answer before the first tree, NaN where it is not known: of each of several classes."""
    try:
        found = json.loads(str(param["base_score"]))
        values = np.array(found if isinstance(found, list) else [found], dtype=np.float64)
    except (ValueError, KeyError, TypeError):
        values = np.array([np.nan])
    if several:
        values = softmax(np.broadcast_to(values, several)) if len(values) in (1, several) else []
    return [float(value) for value in values] or [np.nan]


def _read_tree(tree: Mapping[str, Any]) -> dict[str, Any]:
    left = np.array(tree["left_children"], dtype=np.int64)
    n = len(left)
    inner = left != -1
    cut = np.array(tree["split_conditions"], dtype=np.float32).astype(np.float64)
    split = np.where(inner, np.array(tree["split_indices"], dtype=np.int64), 0)
    part: dict[str, Any] = {
        "left": left,
        "right": np.where(inner, np.array(tree["right_children"], dtype=np.int64), -1),
        "feature": split,
        "threshold": np.where(inner, cut, 0.0),
        "missing_left": np.array(tree["default_left"], dtype=bool),
        "values": np.where(inner, 0.0, cut)[:, None],
        # A code that the file does not know goes left.
        "unknown_left": np.ones(n, dtype=bool),
    }
    kinds = np.array(tree.get("split_type", np.zeros(n)), dtype=np.int64)
    if (kinds == 1).any():
        part["category"], part["sets"] = _read_sets(tree, n, kinds, inner)
    return part


def _read_sets(
    tree: Mapping[str, Any], n: int, kinds: np.ndarray, inner: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which codes go left: those that the file does not list."""
    nodes: Sequence[int] = tree["categories_nodes"]
    listed = np.array(tree["categories"], dtype=np.int64)
    sets = np.ones((len(nodes), int(listed.max(initial=0)) + 1), dtype=bool)
    category = np.full(n, -1)
    ends = zip(tree["categories_segments"], tree["categories_sizes"], strict=True)
    for row, (node, (start, size)) in enumerate(zip(nodes, ends, strict=True)):
        sets[row, listed[start : start + size]] = False
        if kinds[node] == 1 and inner[node]:
            category[node] = row
    return category, sets


__all__ = ["read_xgboost"]
