"""The trees of an estimator: scikit-learn's own, XGBoost's and LightGBM's, behind pipelines.

The inputs of a tree are what the steps before it make of a table, column by column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.models.check_trees import ForgedTree, forged_trees
from privaudit.inputs.models.scikit_learn_trees import check_estimator, list_parts
from privaudit.inputs.models.trees_of_lightgbm import read_lightgbm
from privaudit.inputs.models.trees_of_xgboost import read_xgboost
from privaudit.trees import Says, Trees, join, make_trees

Step = Callable[[Any], Any]
PURE = 1e-12
"""A share so near 1, and a variance so near 0, is it."""

_FOREST = ("RandomForest", "ExtraTrees", "RandomTreesEmbedding")
_WITH_COPIES = ("Bagging", "Voting", "AdaBoost")


@dataclass(frozen=True, eq=False)
class Grown:
    """One part of an estimator that holds trees: the steps before it, and what of it is read."""

    steps: tuple[Step, ...]
    held: Any
    trees: Trees

    def make_inputs(self, x: Any) -> np.ndarray:
        """(n, inputs) of its trees."""
        for step in self.steps:
            x = step(x)
        return _as_numbers(self.held, x)


def count_trees(held: Any) -> int:
    """How many trees, or models of trees, an object holds anywhere in it."""
    return len({id(part) for part in list_parts(held) if _is_tree(part)})


def _is_tree(part: Any) -> bool:
    kind = type(part)
    name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    if name in ("xgboost.Booster", "lightgbm.Booster", "catboost.CatBoost"):
        return True
    known = ("catboost.CatBoostClassifier", "catboost.CatBoostRegressor")
    return name in known or (
        name in ("sklearn.Tree", "sklearn.TreePredictor") and not isinstance(part, type)
    )


def read_estimator(held: Any) -> tuple[Grown, ...]:
    """Every part of an estimator that holds trees.

    Raises:
        PrivauditError: It holds trees in parts that are not read, so that what it states of its
            training records is not known.
    """
    check_estimator(held)
    try:
        found = tuple(_list_grown(held, ()))
    except (ForgedTree, AttributeError, TypeError, ValueError, IndexError, KeyError):
        raise forged_trees("scikit-learn") from None
    read = sum(count_trees(one.held) for one in found)
    if not found or read != count_trees(held):
        raise PrivauditError(
            f"a {type(held).__name__} that holds trees in parts that are not read",
            "read are scikit-learn's trees, forests and boosting, XGBoost's and LightGBM's models, "
            "alone, in pipelines, searches, calibrated, bagged or voting",
            "save the model in its own library's format, or as one of these",
        )
    return found


def join_trees(grown: Sequence[Grown]) -> Trees:
    """The trees of all parts, whose inputs stand one after another."""
    return join([one.trees for one in grown])


def join_inputs(grown: Sequence[Grown], x: Any) -> np.ndarray:
    """(n, inputs) of all parts."""
    return np.concatenate([one.make_inputs(x) for one in grown], axis=1)


def _list_grown(held: Any, steps: tuple[Step, ...]) -> Iterator[Grown]:
    name = type(held).__name__
    if hasattr(held, "steps") and hasattr(held, "named_steps"):
        own = [s for _, s in held.steps[:-1] if s is not None and not isinstance(s, str)]
        before = tuple(partial(_transform, step) for step in own)
        yield from _list_grown(held.steps[-1][1], steps + before)
    elif hasattr(held, "calibrated_classifiers_"):
        for one in _once(c.estimator for c in held.calibrated_classifiers_):
            yield from _list_grown(one, steps)
    elif hasattr(held, "best_estimator_"):
        yield from _list_grown(held.best_estimator_, steps)
    elif name.startswith("Frozen"):
        yield from _list_grown(held.estimator, steps)
    elif name.startswith(_WITH_COPIES):
        chosen = getattr(held, "estimators_features_", None)
        bagged = name.startswith("Bagging") and bool(held.bootstrap or held.max_samples < 1)
        for at, one in enumerate(held.estimators_):
            part: tuple[Step, ...] = ()
            if chosen is not None:
                part = (partial(_choose, np.asarray(chosen[at])),)
            for grown in _list_grown(one, steps + part):
                yield replace(grown, trees=replace(grown.trees, bagged=True)) if bagged else grown
    elif (trees := _read_trees(held, name)) is not None:
        yield Grown(steps, held, trees)


def _once(parts: Iterator[Any]) -> list[Any]:
    return list({id(part): part for part in parts}.values())


def _transform(step: Any, x: Any) -> Any:
    return step.transform(x)


def _choose(columns: np.ndarray, x: Any) -> Any:
    return x.iloc[:, columns] if hasattr(x, "iloc") else np.asarray(x)[:, columns]


def _read_trees(held: Any, name: str) -> Trees | None:
    if hasattr(held, "get_booster"):
        missing = getattr(held, "missing", np.nan)
        if missing is not None and missing == missing:
            raise PrivauditError(
                f"an XGBoost model that reads {missing!r} as missing",
                "its file does not say so, and its trees are read from there",
                "write what is missing as NaN",
            )
        return read_xgboost(bytes(held.get_booster().save_raw("ubj")))
    if hasattr(held, "booster_"):
        return read_lightgbm(held.booster_.model_to_string())
    if hasattr(held, "_predictors"):
        return _read_histograms(held)
    if hasattr(held, "tree_"):
        return _read_carts([held.tree_], name, _codes(held))
    own = getattr(held, "estimators_", None)
    if own is None:
        return None
    if name.startswith("GradientBoosting"):
        of_classes = name.endswith("Classifier")
        return _read_stages(np.asarray(own), of_classes=of_classes, drawn=held.subsample < 1)
    if name.startswith(_FOREST):
        drawn = bool(held.bootstrap)
        return _read_carts([one.tree_ for one in own], name, _codes(held), drawn)
    return None


def _codes(held: Any) -> int:
    classes = getattr(held, "classes_", None)
    return 0 if classes is None else len(np.asarray(classes))


def _read_carts(trees: Sequence[Any], name: str, classes: int, drawn: bool = False) -> Trees:
    if any(tree.n_outputs != 1 for tree in trees):
        raise ForgedTree("outputs")
    parts = []
    for tree in trees:
        part = _read_nodes(tree)
        value = np.asarray(tree.value, dtype=np.float64)[:, 0, :]
        part["counts"] = np.asarray(tree.n_node_samples, dtype=np.float64)
        if classes:
            # Older versions hold counts and newer ones shares.
            shares = value / np.maximum(value.sum(axis=1, keepdims=True), PURE)
            part["values"] = shares
            weight = np.asarray(tree.weighted_n_node_samples, dtype=np.float64)
            part["by_class"] = shares * weight[:, None]
            pure = shares.max(axis=1) > 1 - PURE
            part["stated"] = np.where(pure, shares.argmax(axis=1), np.nan)
        else:
            part["values"] = value[:, :1]
            alone = part["counts"] == 1
            pure = alone | (np.asarray(tree.impurity) <= PURE)
            part["stated"] = np.where(pure, value[:, 0], np.nan)
        parts.append(part)
    says: Says = "share" if classes else "mean"
    return make_trees(parts, says=says, inputs=int(trees[0].n_features), single=True, bagged=drawn)


def _read_stages(stages: np.ndarray, *, of_classes: bool, drawn: bool) -> Trees:
    """Boosted trees: the sign of a leaf's value tells the outcome of records whose residuals are
    all equal, as of one alone."""
    parts = []
    several = stages.shape[1] > 1
    for row in stages:
        for group, one in enumerate(row):
            part = _read_nodes(one.tree_)
            value = np.asarray(one.tree_.value, dtype=np.float64)[:, 0, 0]
            part["counts"] = np.asarray(one.tree_.n_node_samples, dtype=np.float64)
            part["values"] = value[:, None]
            part["group"] = group if several else 1
            if of_classes:
                equal = np.asarray(one.tree_.impurity) <= PURE
                part["stated"] = _state_equal(part, group if several else 1, several, equal)
            parts.append(part)
    says: Says = "margin" if of_classes else "mean"
    width = int(stages[0, 0].tree_.n_features)
    return make_trees(parts, says=says, inputs=width, single=True, bagged=drawn)


def _state_equal(
    part: dict[str, Any], group: int, several: bool, equal: np.ndarray | None = None
) -> np.ndarray:
    """The class of records whose residuals are all equal, as of one that is alone in its leaf: this
    one where the leaf raises its odds; of two classes the other where it lowers them."""
    value = part["values"][:, 0]
    alone = part["counts"] == 1 if equal is None else (part["counts"] == 1) | equal
    alone &= np.asarray(part["left"]) < 0
    found = np.full(len(value), np.nan)
    found[alone & (value > 0)] = group
    if not several:
        found[alone & (value < 0)] = 1 - group
    return found


def _read_nodes(tree: Any) -> dict[str, Any]:
    left = np.asarray(tree.children_left, dtype=np.int64)
    missing = getattr(tree, "missing_go_to_left", np.zeros(len(left)))
    return {
        "left": left,
        "right": np.asarray(tree.children_right, dtype=np.int64),
        "feature": np.maximum(np.asarray(tree.feature, dtype=np.int64), 0),
        "threshold": np.asarray(tree.threshold, dtype=np.float64),
        "missing_left": np.asarray(missing).astype(bool),
    }


def _read_histograms(held: Any) -> Trees:
    mapper = held._bin_mapper
    known, places = mapper.make_known_categories_bitsets()
    parts = []
    for stage in held._predictors:
        several = len(stage) > 1
        for group, one in enumerate(stage):
            part = _read_histogram(one, _unpack(known), np.asarray(places))
            part["group"] = group if several else 1
            if hasattr(held, "classes_"):
                part["stated"] = _state_equal(part, part["group"], several)
            parts.append(part)
    says: Says = "margin" if hasattr(held, "classes_") else "mean"
    return make_trees(parts, says=says, inputs=int(held._n_features))


def _read_histogram(predictor: Any, known: np.ndarray, places: np.ndarray) -> dict[str, Any]:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    sorts = nodes["is_categorical"].astype(bool) & ~leaf
    feature = nodes["feature_idx"].astype(np.int64)
    missing = nodes["missing_go_to_left"].astype(bool)
    part = {
        "left": np.where(leaf, -1, nodes["left"].astype(np.int64)),
        "right": np.where(leaf, -1, nodes["right"].astype(np.int64)),
        "feature": np.where(leaf, 0, feature),
        "threshold": np.where(leaf, 0.0, nodes["num_threshold"]),
        "missing_left": missing,
        "unknown_left": missing,
        "values": nodes["value"].astype(np.float64)[:, None],
        "counts": nodes["count"].astype(np.float64),
    }
    at = np.flatnonzero(sorts)
    if len(at):
        left = _unpack(predictor.raw_left_cat_bitsets)[nodes["bitset_idx"][at]]
        listed = known[places[feature[at]]]
        # A category that was not seen in training goes where what is missing goes.
        part["sets"] = left | (~listed & missing[at][:, None])
        row = np.full(len(nodes), -1)
        row[at] = np.arange(len(at))
        part["category"] = row
    return part


def _unpack(bits: Any) -> np.ndarray:
    """(k, codes) bool of (k, words) whole numbers."""
    words = np.ascontiguousarray(bits, dtype=np.uint32)
    if not len(words):
        return np.zeros((0, 0), dtype=bool)
    return np.unpackbits(words.view(np.uint8), axis=1, bitorder="little").astype(bool)


def _as_numbers(held: Any, x: Any) -> np.ndarray:
    """The table as the trees of this estimator compare it."""
    if hasattr(held, "_predictors"):
        return np.asarray(held._preprocess_X(x, reset=False), dtype=np.float64)
    if hasattr(x, "toarray"):
        x = x.toarray()
    if not hasattr(x, "dtypes"):
        return np.asarray(x, dtype=np.float64)
    columns = []
    for name in x.columns:
        own = x[name]
        if str(own.dtype) == "category":
            codes = own.cat.codes.to_numpy().astype(np.float64)
            codes[codes < 0] = np.nan
            columns.append(codes)
        else:
            columns.append(own.to_numpy(dtype=np.float64, na_value=np.nan))
    return np.column_stack(columns) if columns else np.empty((len(x), 0))


__all__ = ["Grown", "count_trees", "join_inputs", "join_trees", "read_estimator"]
