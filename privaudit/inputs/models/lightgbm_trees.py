"""What a LightGBM text says of its trees, checked before LightGBM loads it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from privaudit.inputs.models.check_trees import ForgedTree, check_range, check_tree, forged_trees

MAX_FEATURES = 1_000_000
MAX_TREES = 1_000_000
MAX_CLASSES = 10_000
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_INNER = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
_INNER_EXTRA = ("split_gain", "internal_value", "internal_weight", "internal_count")
_LEAVES_EXTRA = ("leaf_weight", "leaf_count")


def check_lightgbm(text: str) -> str:
    """Refuse a text whose trees, sizes or categories do not fit together.

    Returns:
        The text without the parameters of its training, which no answer needs: LightGBM's reader of
        them ends the process on malformed ones.

    Raises:
        PrivauditError: The text's trees are none.
    """
    try:
        _check_text(text)
        if _CONTROL.search(text):
            raise ForgedTree("control characters")
        found = re.findall(r"^pandas_categorical:.*$", text, re.MULTILINE)
        trees = text[: text.index("\nend of trees")]
        return "\n".join([trees, "end of trees", "", *found[-1:], ""])
    except (ForgedTree, KeyError, ValueError, OverflowError, IndexError):
        raise forged_trees("LightGBM") from None


def _check_text(text: str) -> None:
    start = text.find("\nTree=0\n") + 1
    end = text.find("\nend of trees")
    if not start:
        # A model that stopped before its first tree.
        if re.search(r"^Tree=", text, re.MULTILINE):
            raise ForgedTree("trees")
        start = end
    head = _read_lines(text[:start])
    features = _number(head["max_feature_idx"], MAX_FEATURES) + 1
    if len(head["feature_names"].split()) != features:
        raise ForgedTree("feature_names")
    if "feature_infos" in head and len(head["feature_infos"].split()) != features:
        raise ForgedTree("feature_infos")
    classes = _number(head["num_class"], MAX_CLASSES)
    each = _number(head["num_tree_per_iteration"], MAX_CLASSES)
    blocks = re.split(r"^(?=Tree=)", text[start : end + 1], flags=re.MULTILINE)
    trees = [block for block in blocks if block.strip()]
    if classes < 1 or each < 1 or len(trees) > MAX_TREES or len(trees) % each:
        raise ForgedTree("num_tree_per_iteration")
    if "tree_sizes" in head:
        # LightGBM jumps by these sizes, in bytes, from the first tree.
        sizes = [int(size) for size in head["tree_sizes"].split()]
        if sizes != [len(block.encode()) for block in trees]:
            raise ForgedTree("tree_sizes")
    for number, block in enumerate(trees):
        if not block.startswith(f"Tree={number}\n"):
            raise ForgedTree("a tree's number")
        _check_tree(_read_lines(block.partition("\n")[2]), features)


def _check_tree(tree: Mapping[str, str], features: int) -> None:
    leaves = _number(tree["num_leaves"], 1 << 24)
    categories = _number(tree["num_cat"], 1 << 24)
    if leaves < 1 or _count(tree, "leaf_value") != leaves:
        raise ForgedTree("num_leaves")
    if tree.get("is_linear", "0") != "0":
        _check_linear(tree, leaves, features)
    if leaves == 1:
        return
    inner = leaves - 1
    for name in (*_INNER, *_INNER_EXTRA):
        if name in _INNER or tree.get(name):
            _require(tree, name, inner)
    for name in _LEAVES_EXTRA:
        if tree.get(name):
            _require(tree, name, leaves)
    feature = _whole(tree["split_feature"])
    check_range(feature, 0, features, "split_feature")
    left, right = _as_nodes(tree["left_child"], inner), _as_nodes(tree["right_child"], inner)
    none = np.full(leaves, -1)
    check_tree(np.concatenate([left, none]), np.concatenate([right, none]))
    kinds = _whole(tree["decision_type"])
    check_range(kinds, 0, 16, "decision_type")
    is_category = (kinds & 1) == 1
    if categories == 0 and is_category.any():
        raise ForgedTree("num_cat")
    if categories:
        ends, bits = _whole(tree["cat_boundaries"]), _whole(tree["cat_threshold"])
        if len(ends) != categories + 1 or ends[0] != 0 or ends[-1] != len(bits):
            raise ForgedTree("cat_boundaries")
        if (np.diff(ends) < 0).any():
            raise ForgedTree("cat_boundaries")
        places = np.array([float(part) for part in tree["threshold"].split()])[is_category]
        if not ((places >= 0) & (places < categories) & (places % 1 == 0)).all():
            raise ForgedTree("threshold")


def _as_nodes(text: str, inner: int) -> np.ndarray:
    """Children as places: inner nodes first, leaves (-1, -2, ... in the file) after them."""
    children = _whole(text)
    return np.where(children < 0, inner + ~children, children)


def _check_linear(tree: Mapping[str, str], leaves: int, features: int) -> None:
    _require(tree, "leaf_const", leaves)
    counts = _whole(tree["num_features"])
    if len(counts) != leaves or (counts < 0).any():
        raise ForgedTree("num_features")
    read = _whole(tree.get("leaf_features", ""))
    if len(read) != counts.sum() or len(tree.get("leaf_coeff", "").split()) != counts.sum():
        raise ForgedTree("leaf_features")
    check_range(read, 0, features, "leaf_features")


def _read_lines(block: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in block.split("\n"):
        name, mark, value = line.partition("=")
        if mark:
            if name in found:
                raise ForgedTree("a line twice")
            found[name] = value
    return found


def _require(tree: Mapping[str, str], name: str, size: int) -> None:
    if _count(tree, name) != size:
        raise ForgedTree(name)


def _count(tree: Mapping[str, str], name: str) -> int:
    parts = tree[name].split()
    for part in parts:
        float(part)
    return len(parts)


def _whole(text: str) -> np.ndarray:
    return np.array([int(part) for part in text.split()], dtype=np.int64)


def _number(text: str, most: int) -> int:
    found = int(text)
    if not 0 <= found <= most:
        raise ForgedTree("a number")
    return found


__all__ = ["check_lightgbm"]
