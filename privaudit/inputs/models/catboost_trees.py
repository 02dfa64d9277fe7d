"""What a CatBoost file says of its trees, checked before CatBoost loads it.

Of .json every tree. Of .cbm its length alone: the rest is a table that CatBoost verifies itself,
and whatever passes it ends the model's own process at most.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Literal

from privaudit.inputs.models.check_trees import ForgedTree, forged_trees
from privaudit.inputs.models.json_text import parse_json
from privaudit.inputs.models.opened_model import damaged_file

MAX_TREE_DEPTH = 16


def check_catboost(raw: bytes, format_: Literal["cbm", "json"]) -> None:
    """Refuse a file whose trees and sizes do not fit together.

    Raises:
        PrivauditError: The file is of another kind, or its trees are none.
    """
    if format_ == "cbm":
        if raw[:4] != b"CBM1" or len(raw) < 8 or struct.unpack("<I", raw[4:8])[0] > len(raw) - 8:
            raise damaged_file("CatBoost")
        return
    try:
        tree = parse_json(raw)
    except ValueError:
        raise damaged_file("CatBoost") from None
    try:
        _check_model(tree)
    except (ForgedTree, KeyError, TypeError, ValueError, AttributeError):
        raise forged_trees("CatBoost") from None


def _check_model(model: Mapping[str, Any]) -> None:
    features = model["features_info"]
    sizes = {
        "float_feature_index": len(features.get("float_features") or ()),
        "cat_feature_index": len(features.get("categorical_features") or ()),
    }
    shapes = set()
    for one in model.get("oblivious_trees") or ():
        splits = one.get("splits") or ()
        if len(splits) > MAX_TREE_DEPTH:
            raise ForgedTree("depth")
        for split in splits:
            _check_split(split, sizes)
        leaves = 1 << len(splits)
        weights = one.get("leaf_weights") or ()
        if len(one["leaf_values"]) % leaves or (weights and len(weights) != leaves):
            raise ForgedTree("leaf_values")
        shapes.add(len(one["leaf_values"]) // leaves)
    todo = list(model.get("trees") or ())
    while todo:
        node = todo.pop()
        if "split" not in node:
            value = node["value"]
            shapes.add(len(value) if isinstance(value, list) else 1)
            continue
        _check_split(node["split"], sizes)
        todo += [node["left"], node["right"]]
    if len(shapes) > 1 or 0 in shapes:
        raise ForgedTree("leaf_values")


def _check_split(split: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    for name, size in sizes.items():
        place = split.get(name, 0 if size else None)
        if place is not None and not (type(place) is int and 0 <= place < size):
            raise ForgedTree(name)


__all__ = ["check_catboost"]
