"""Trees that hospitals grow and a server joins: in one process, or sent between machines.

Whoever receives trees over the wire trusts nobody. What is sent is a small document of our own,
numbers alone, read strictly (`read_trees`); XGBoost is handed a document that is made here from
those numbers, and never one that somebody else wrote. Nothing but splits and leaves is sent: how
many records a node holds is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    import xgboost

LARGEST = float(np.finfo(np.float32).max)
FIELDS = ("left", "right", "feature", "value", "missing_left")
MOST_DEPTH = 16
"""Deeper trees are not sent between machines."""
UNSTATED = -1.0
"""What a rebuilt tree says of its records: no sum of second derivatives is below 0."""


@dataclass(frozen=True)
class Growth:
    """How one hospital grows the trees of one round: see `FederatedTrees` and `boosted`."""

    depth: int
    rate: float
    lightest: float
    columns: float
    bins: int

    def parameters(self, classes: int, seed: int) -> dict[str, Any]:
        """XGBoost's."""
        several = {"objective": "multi:softprob", "num_class": classes}
        return {
            "max_depth": self.depth,
            "eta": self.rate,
            "min_child_weight": self.lightest,
            "colsample_bytree": self.columns,
            "max_bin": self.bins,
            "tree_method": "hist",
            "base_score": 0.5,
            "nthread": 1,
            "seed": seed,
            "verbosity": 0,
            **(several if classes > 2 else {"objective": "binary:logistic"}),
        }


class Grower:
    """One hospital: its records, and what the forest so far answers on them.

    Args:
        x: (n, inputs) float32, NaN where missing.
        y: (n,) class codes.
        margin: (n, 1 or k) float64 answers of an earlier segment; None for those of no tree.
    """

    def __init__(
        self,
        growth: Growth,
        x: np.ndarray,
        y: np.ndarray,
        classes: int,
        margin: np.ndarray | None = None,
    ) -> None:
        import xgboost

        self.growth, self.x, self.classes = growth, x, classes
        self.data = xgboost.QuantileDMatrix(x, label=y, max_bin=growth.bins, nthread=1)
        shape = (len(x), count_trees(classes))
        self.margin = np.zeros(shape) if margin is None else margin

    def grow(self, seed: int) -> xgboost.Booster:
        """This round's tree, or one for each of several classes."""
        import xgboost

        several = self.classes > 2
        self.data.set_base_margin(self.margin if several else self.margin[:, 0])
        parameters = self.growth.parameters(self.classes, seed)
        return xgboost.train(parameters, self.data, num_boost_round=1)

    def take(self, booster: xgboost.Booster, weight: float) -> None:
        """Add a hospital's trees of one round to the answers; a base score of a half adds none."""
        found = np.asarray(booster.inplace_predict(self.x, predict_type="margin"), dtype=np.float64)
        self.margin += weight * found.reshape(len(self.x), -1)


def count_trees(classes: int) -> int:
    """Trees that a hospital grows in one round."""
    return classes if classes > 2 else 1


def draw_seed(rng: np.random.Generator) -> int:
    """XGBoost's seed of one hospital's round."""
    return int(rng.integers(2**31 - 1))


def draw_seeds(rng: np.random.Generator, clients: int, number: int) -> Iterator[int]:
    """Round by round, one hospital's seed of those that the simulation draws from one stream."""
    while True:
        yield [draw_seed(rng) for _ in range(clients)][number]


def pack_trees(booster: xgboost.Booster) -> bytes:
    """The document of one round's trees, as `read_trees` reads it."""
    document = json.loads(bytes(booster.save_raw("json")))
    return _write([_strip(tree) for tree in _model(document)["trees"]])


def read_trees(raw: bytes, inputs: int, classes: int, depth: int) -> list[dict[str, Any]]:
    """One round's trees of a hospital that nobody trusts.

    Raises:
        PrivauditError: More or fewer trees, other fields, values that are no finite numbers,
            features that are not there, nodes that are no tree, or one that is too deep.
    """
    trees = _parse(raw)
    if len(trees) != count_trees(classes):
        _refuse(f"{len(trees)} trees", f"a hospital grows {count_trees(classes)} a round")
    for tree in trees:
        _check_tree(tree, inputs, depth)
    return trees


def weigh_trees(trees: Sequence[dict[str, Any]], weight: float) -> list[dict[str, Any]]:
    """The same with every leaf times a hospital's weight."""
    return [
        {
            **tree,
            "value": [
                value * weight if left < 0 else value
                for value, left in zip(tree["value"], tree["left"], strict=True)
            ],
        }
        for tree in trees
    ]


def pack_forest(trees: Sequence[dict[str, Any]]) -> bytes:
    """The joined forest, leaves already weighted, as `read_forest` reads it."""
    return _write(trees)


def read_forest(
    raw: bytes, inputs: int, classes: int, depth: int, most: int
) -> list[dict[str, Any]]:
    """A joined forest that a hospital is asked to grade.

    Args:
        most: Trees that it may have.

    Raises:
        PrivauditError: As `read_trees`.
    """
    trees = _parse(raw)
    if not trees or len(trees) > most or len(trees) % count_trees(classes):
        _refuse(f"a forest of {len(trees)} trees", f"at most {most} can have been grown")
    for tree in trees:
        _check_tree(tree, inputs, depth)
    return trees


def build_booster(trees: Sequence[dict[str, Any]], inputs: int, classes: int) -> xgboost.Booster:
    """XGBoost's model of checked trees."""
    import xgboost

    document = json.loads(_template(inputs, classes))
    per_round = count_trees(classes)
    model = _model(document)
    model["trees"] = [_fill(tree, i, inputs) for i, tree in enumerate(trees)]
    number_trees(model, [i % per_round for i in range(len(trees))], per_round)
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(json.dumps(document).encode()))
    booster.set_param({"nthread": 1})
    return booster


def number_trees(model: dict[str, Any], info: list[int], per_round: int) -> None:
    """Write down in XGBoost's document how many trees there are, and of which class."""
    count = len(info)
    model["tree_info"] = info
    model["iteration_indptr"] = list(range(0, count + 1, per_round))
    model["gbtree_model_param"]["num_trees"] = str(count)


def join_documents(
    grown: Sequence[tuple[dict[str, Any], float]], classes: int
) -> tuple[bytes, int]:
    """All trees in one booster, each tree's leaves times its weight; its own format, and its
    size. Of documents that XGBoost wrote in this process."""
    import xgboost

    document = grown[0][0]
    trees: list[dict[str, Any]] = []
    info: list[int] = []
    for one, weight in grown:
        part = _model(one)
        for tree, kind in zip(part["trees"], part["tree_info"], strict=True):
            leaves = np.array(tree["left_children"]) == -1
            values = np.array(tree["split_conditions"], dtype=np.float64)
            values[leaves] *= weight
            tree["split_conditions"] = values.tolist()
            tree["id"] = len(trees)
            trees.append(tree)
            info.append(kind)
    model = _model(document)
    model["trees"] = trees
    number_trees(model, info, count_trees(classes))
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(json.dumps(document).encode()))
    saved = bytes(booster.save_raw("ubj"))
    return saved, len(saved)


def _model(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["learner"]["gradient_booster"]["model"]
    return found


def _strip(tree: dict[str, Any]) -> dict[str, Any]:
    leaves = [left == -1 for left in tree["left_children"]]
    return {
        "left": tree["left_children"],
        "right": tree["right_children"],
        "feature": [
            0 if leaf else split for split, leaf in zip(tree["split_indices"], leaves, strict=True)
        ],
        "value": tree["split_conditions"],
        "missing_left": [int(bool(left)) for left in tree["default_left"]],
    }


def _write(trees: Sequence[dict[str, Any]]) -> bytes:
    return json.dumps({"trees": list(trees)}, separators=(",", ":")).encode()


def _parse(raw: bytes) -> list[Any]:
    def refuse(text: str) -> float:
        raise ValueError(text)

    try:
        document = json.loads(raw.decode("ascii"), parse_constant=refuse)
        trees = document["trees"]
        if set(document) != {"trees"} or not isinstance(trees, list):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        # A parser's own words may quote what it read.
        _refuse("bytes that are no trees", "they are JSON with the one field `trees`")
    return trees


def _check_tree(tree: Any, inputs: int, depth: int) -> None:
    if not isinstance(tree, dict) or set(tree) != set(FIELDS):
        _refuse("a tree with other fields", f"it has {', '.join(FIELDS)}")
    lists = [tree[name] for name in FIELDS]
    if not all(isinstance(part, list) for part in lists):
        _refuse("a tree whose fields are no lists", "each is one number a node")
    count = len(lists[0])
    if not 1 <= count < 2 ** (min(depth, MOST_DEPTH) + 1) or {len(p) for p in lists} != {count}:
        _refuse(f"a tree of {count} nodes", f"one of depth {depth} has fewer, a number for each")
    whole = (tree["left"], tree["right"], tree["feature"], tree["missing_left"])
    if not all(type(value) is int for part in whole for value in part):
        _refuse("a tree with a child or a feature that is no whole number", "they are numbered")
    if not all(
        type(value) in (int, float) and abs(value) <= LARGEST  # not for NaN
        for value in tree["value"]
    ):
        _refuse("a tree with a value that is no finite number", "scores would be none either")
    if not all(0 <= value < inputs for value in tree["feature"]):
        _refuse("a tree that asks for a feature that is not there", f"there are {inputs}")
    if not all(value in (0, 1) for value in tree["missing_left"]):
        _refuse("a tree with a side that is none", "0 or 1")
    _check_nodes(tree["left"], tree["right"], depth)


def _check_nodes(left: list[int], right: list[int], depth: int) -> None:
    """Every node but the first has one parent, which comes before it."""
    level = [0] + [-1] * (len(left) - 1)
    for node, children in enumerate(zip(left, right, strict=True)):
        if level[node] < 0 or level[node] > depth:
            _refuse("nodes that are no tree", "one has no parent before it, or is too deep")
        if children == (-1, -1):
            continue
        for child in children:
            if not node < child < len(left) or level[child] >= 0:
                _refuse("nodes that are no tree", "one has two parents, or a child that is none")
            level[child] = level[node] + 1


@lru_cache(maxsize=8)
def _template(inputs: int, classes: int) -> str:
    """A document of this XGBoost for models of this shape, from numbers that are nobody's."""
    import xgboost

    x = np.zeros((classes, inputs), np.float32)
    growth = Growth(1, 1.0, 0.0, 1.0, 2)
    data = xgboost.QuantileDMatrix(x, label=np.arange(classes), max_bin=2, nthread=1)
    booster = xgboost.train(growth.parameters(classes, 0), data, num_boost_round=1)
    return bytes(booster.save_raw("json")).decode()


def _fill(tree: dict[str, Any], number: int, inputs: int) -> dict[str, Any]:
    """One tree as XGBoost writes it."""
    count = len(tree["left"])
    parents = [2**31 - 1] * count
    for node, children in enumerate(zip(tree["left"], tree["right"], strict=True)):
        for child in children:
            if child >= 0:
                parents[child] = node
    return {
        "base_weights": [
            float(value) if left < 0 else 0.0
            for value, left in zip(tree["value"], tree["left"], strict=True)
        ],
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": list(tree["missing_left"]),
        "id": number,
        "left_children": list(tree["left"]),
        "loss_changes": [0.0] * count,
        "parents": parents,
        "right_children": list(tree["right"]),
        "split_conditions": [float(value) for value in tree["value"]],
        "split_indices": list(tree["feature"]),
        "split_type": [0] * count,
        "sum_hessian": [UNSTATED] * count,
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(inputs),
            "num_nodes": str(count),
            "size_leaf_vector": "1",
        },
    }


def _refuse(what: str, because: str) -> NoReturn:
    raise PrivauditError(what, because, "a hospital that sends such trees is left out of the round")


__all__ = [
    *("Growth", "Grower", "build_booster", "count_trees", "draw_seed", "draw_seeds"),
    *("join_documents", "number_trees", "pack_forest", "pack_trees", "read_forest", "read_trees"),
    "weigh_trees",
]
