"""Leaves that are found in the trees of a file are those that the library finds itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from privaudit.contracts import Access, HasTrees, Release
from privaudit.errors import PrivauditError
from privaudit.inputs.models.asked_trees import check_forest, describe_trees, read_described
from privaudit.inputs.models.check_trees import ForgedTree
from privaudit.inputs.models.in_process import open_live
from privaudit.inputs.models.open_model import bind, open_model
from privaudit.inputs.models.opened_model import Binding
from privaudit.inputs.models.trees_of_lightgbm import read_lightgbm
from privaudit.inputs.models.trees_of_scikit_learn import join_inputs, join_trees, read_estimator
from privaudit.inputs.models.trees_of_xgboost import read_xgboost
from privaudit.inputs.schema import TableSchema
from privaudit.records import Column, Records
from privaudit.trees import Trees

ROWS, WIDTH = 10_000, 5


def table(rows: int = ROWS, seed: int = 0, missing: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """(n, 5) numbers, the last two few whole ones, a part of them missing; (n,) outcomes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, WIDTH)).astype(np.float32).astype(np.float64)
    X[:, 3:] = rng.integers(0, 4, (rows, 2))
    y = (X[:, 0] + X[:, 3] + rng.normal(size=rows) > 1.5).astype(int)
    X[rng.random(X.shape) < missing] = np.nan
    return X, y


def places_of(trees: Trees, leaves: np.ndarray) -> np.ndarray:
    """(n, t) the leaves' places within their own trees."""
    found: np.ndarray = leaves - trees.roots[None]
    return found


def same_parts(mine: np.ndarray, theirs: np.ndarray) -> None:
    """Two ways of naming leaves name the same ones."""
    for own, other in zip(mine.T, np.asarray(theirs).T, strict=True):
        pairs = np.unique(np.column_stack([own, other]), axis=0)
        assert len(pairs) == len(np.unique(own)) == len(np.unique(other))


def counts_hold(trees: Trees, leaves: np.ndarray) -> None:
    """As many training records are in every node as the file states."""
    for at in range(leaves.shape[1]):
        own, n = np.unique(leaves[:, at], return_counts=True)
        np.testing.assert_array_equal(trees.counts[own], n)


@pytest.mark.parametrize("form", ["ubj", "json"])
@pytest.mark.parametrize("classes", [2, 3])
def test_leaves_of_xgboost(form: str, classes: int) -> None:
    import xgboost

    X, y = table()
    y = y if classes == 2 else y + (np.nan_to_num(X[:, 1]) > 1)
    settings: dict[str, Any] = {"objective": "binary:logistic"}
    if classes == 3:
        settings = {"objective": "multi:softprob", "num_class": 3}
    data = xgboost.DMatrix(X, label=y, nthread=1)
    booster = xgboost.train({"max_depth": 6, "nthread": 1, **settings}, data, 10)
    trees = read_xgboost(bytes(booster.save_raw(form)))
    leaves = trees.find_leaves(X)
    theirs = booster.predict(data, pred_leaf=True).reshape(len(X), -1)
    np.testing.assert_array_equal(places_of(trees, leaves), theirs)
    margin = trees.values[leaves, 0]
    if classes == 2:
        base = booster.predict(data, output_margin=True) - margin.sum(axis=1)
        np.testing.assert_allclose(base, base[0], atol=1e-4)
    first = leaves[:, 0]
    own, n = np.unique(first, return_counts=True)
    np.testing.assert_array_equal(trees.counts[own], n)
    assert list(np.unique(trees.group)) == ([1] if classes == 2 else [0, 1, 2])


def test_the_first_tree_of_xgboost_states_counts_and_classes() -> None:
    import xgboost

    X, y = table()
    data = xgboost.DMatrix(X, label=y, nthread=1)
    for penalty in (1.0, 0.0, 5.0):
        settings = {"max_depth": 8, "nthread": 1, "objective": "binary:logistic", "lambda": penalty}
        booster = xgboost.train({**settings, "min_child_weight": 0}, data, 5)
        trees = read_xgboost(bytes(booster.save_raw("ubj")))
        leaves = trees.find_leaves(X)[:, 0]
        own, n = np.unique(leaves, return_counts=True)
        np.testing.assert_array_equal(trees.counts[own], n)
        np.testing.assert_array_equal(trees.by_class[own, 1], [y[leaves == i].sum() for i in own])
        # Later trees add second derivatives of answers that differ: nothing is stated.
        later = np.arange(len(trees.left)) >= trees.roots[1]
        assert np.isnan(trees.counts[later]).all()


def test_categories_of_xgboost() -> None:
    import xgboost

    X, y = table()
    kinds = ["float"] * 3 + ["c"] * 2
    data = xgboost.DMatrix(X, label=y, nthread=1, feature_types=kinds, enable_categorical=True)
    settings = {"max_depth": 5, "nthread": 1, "objective": "binary:logistic", "tree_method": "hist"}
    for most in (1, 100):
        booster = xgboost.train({**settings, "max_cat_to_onehot": most}, data, 6)
        trees = read_xgboost(bytes(booster.save_raw("ubj")))
        theirs = booster.predict(data, pred_leaf=True).reshape(len(X), -1)
        assert (trees.category >= 0).any()
        np.testing.assert_array_equal(places_of(trees, trees.find_leaves(X)), theirs)


@pytest.mark.parametrize("how", ["nan", "zero", "none", "categories", "three"])
def test_leaves_of_lightgbm(how: str) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    X, y = table(missing=0.0 if how == "none" else 0.1)
    asked = table(seed=1)[0]
    y = y + (np.nan_to_num(X[:, 1]) > 1) if how == "three" else y
    settings: dict[str, Any] = {"num_threads": 1, "verbose": -1, "objective": "binary"}
    settings |= {"zero_as_missing": how == "zero", "min_data_in_leaf": 3, "max_cat_to_onehot": 1}
    if how == "three":
        settings |= {"objective": "multiclass", "num_class": 3}
    sorts = [3, 4] if how == "categories" else "auto"
    data = lightgbm.Dataset(X, y, categorical_feature=sorts, params={"verbose": -1})
    booster = lightgbm.train(settings, data, 8)
    trees = read_lightgbm(booster.model_to_string())
    assert (trees.category >= 0).any() == (how == "categories")
    for x in (X, asked):
        theirs = booster.predict(x, pred_leaf=True, num_threads=1)
        same_parts(trees.find_leaves(x), theirs)
    counts_hold(trees, trees.find_leaves(X))
    if how not in ("three", "categories"):
        # Categories are shrunk by a penalty of their own, so that nothing is whole.
        first = trees.find_leaves(X)[:, 0]
        for leaf in np.unique(first):
            assert trees.by_class[leaf, 1] == y[first == leaf].sum()


def _estimators() -> dict[str, Any]:
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.tree import DecisionTreeClassifier

    return {
        "tree": DecisionTreeClassifier(max_depth=8, random_state=0),
        "forest": RandomForestClassifier(8, max_depth=9, random_state=0, n_jobs=1),
        "regression": RandomForestRegressor(4, max_depth=9, random_state=0, n_jobs=1),
        "extra": ExtraTreesClassifier(8, max_depth=9, random_state=0, n_jobs=1),
        "boosting": GradientBoostingClassifier(n_estimators=8, random_state=0),
        "histograms": HistGradientBoostingClassifier(max_iter=8, random_state=0),
        "categories": HistGradientBoostingClassifier(
            max_iter=8, random_state=0, categorical_features=[3, 4]
        ),
    }


@pytest.mark.parametrize("name", list(_estimators()))
def test_leaves_of_scikit_learn(name: str) -> None:
    X, y = table(missing=0.0 if name in ("boosting", "extra") else 0.1)
    held = _estimators()[name].fit(X, y)
    grown = read_estimator(held)
    trees = join_trees(grown)
    leaves = trees.find_leaves(join_inputs(grown, X))
    if name in ("histograms", "categories"):
        assert (trees.category >= 0).any() == (name == "categories")
        raw = held._raw_predict(X).ravel()
        mine = trees.values[leaves, 0].sum(axis=1)
        np.testing.assert_allclose(raw, mine + np.ravel(held._baseline_prediction), atol=1e-9)
        counts_hold(trees, leaves)
        return
    theirs = held.apply(X).reshape(len(X), -1)
    np.testing.assert_array_equal(places_of(trees, leaves), theirs)
    if not trees.bagged and name != "tree":
        # scikit-learn's own counts of a node are not those of `apply` where values are missing.
        counts_hold(trees, leaves)
    if trees.says == "share":
        stated = trees.stated[leaves]
        right = (stated == y[:, None]) | np.isnan(stated)
        assert right.all() or trees.bagged


def test_pipelines_lead_to_the_trees() -> None:
    from sklearn.base import clone
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, VotingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    X, y = table(2_000)
    filled = SimpleImputer()
    parts = ColumnTransformer(
        [
            ("n", make_pipeline(filled, StandardScaler()), [0, 1, 2]),
            ("c", OneHotEncoder(handle_unknown="ignore"), [3, 4]),
        ]
    )
    forest = RandomForestClassifier(3, max_depth=5, random_state=0)
    piped = make_pipeline(parts, forest).fit(X, y)
    grown = read_estimator(piped)
    leaves = join_trees(grown).find_leaves(join_inputs(grown, X))
    wanted = piped[-1].apply(piped[:-1].transform(X))
    np.testing.assert_array_equal(places_of(join_trees(grown), leaves), wanted)

    tree = DecisionTreeClassifier(max_depth=4, random_state=0)
    bag = BaggingClassifier(tree, 3, max_features=0.6, random_state=0).fit(X, y)
    grown = read_estimator(bag)
    trees = join_trees(grown)
    assert trees.bagged
    assert len(trees) == 3
    leaves = places_of(trees, trees.find_leaves(join_inputs(grown, X)))
    for at, (one, columns) in enumerate(
        zip(bag.estimators_, bag.estimators_features_, strict=True)
    ):
        np.testing.assert_array_equal(leaves[:, at], one.apply(X[:, columns]))
    for held, count in (
        (CalibratedClassifierCV(tree, cv=3).fit(X, y), 3),
        (VotingClassifier([("a", tree), ("b", clone(forest))], voting="soft").fit(X, y), 4),
        (GridSearchCV(tree, {"max_depth": [2, 3]}, cv=3).fit(X, y), 1),
    ):
        assert len(join_trees(read_estimator(held))) == count


def test_trees_in_parts_that_nobody_reads_are_refused_and_not_overlooked() -> None:
    from sklearn.ensemble import StackingClassifier
    from sklearn.tree import DecisionTreeClassifier

    X, y = table(600)
    tree = DecisionTreeClassifier(max_depth=3)
    held = StackingClassifier([("a", tree)], final_estimator=DecisionTreeClassifier(max_depth=2))
    held.fit(X, y)
    columns = tuple(Column(f"x{i}") for i in range(WIDTH))
    model = open_live(held).bind(Binding(columns, ("0", "1")))
    assert Access.TREES in Release(model=model).access
    assert isinstance(model, HasTrees)
    with pytest.raises(PrivauditError, match="parts that are not read"):
        model.read_trees()


@pytest.mark.parametrize("form", ["cbm", "onnx"])
def test_trees_of_formats_that_are_not_read_are_not_overlooked(form: str, tmp_path: Path) -> None:
    X, y = table(400, missing=0.0)
    path = tmp_path / f"model.{form}"
    if form == "cbm":
        catboost = pytest.importorskip("catboost")
        held = catboost.CatBoostClassifier(
            iterations=4, verbose=False, thread_count=1, allow_writing_files=False
        )
        held.fit(X, y).save_model(str(path))
    else:
        skl2onnx = pytest.importorskip("skl2onnx")
        from skl2onnx.common.data_types import FloatTensorType
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(3, max_depth=3).fit(X, y)
        kinds = [("x", FloatTensorType([None, WIDTH]))]
        options = {id(forest): {"zipmap": False}}
        graph = skl2onnx.convert_sklearn(forest, initial_types=kinds, options=options)
        path.write_bytes(graph.SerializeToString())
    schema = TableSchema(tuple(Column(f"x{i}") for i in range(WIDTH)), "died", ("0", "1"))
    model = bind(open_model(path)[0], schema)
    assert Access.TREES in Release(model=model).access
    assert isinstance(model, HasTrees)
    with pytest.raises(PrivauditError, match="a format that is not read"):
        model.read_trees()


def test_a_linear_model_has_no_trees() -> None:
    from sklearn.linear_model import LogisticRegression

    X, y = table(300, missing=0.0)
    columns = tuple(Column(f"x{i}") for i in range(WIDTH))
    model = open_live(LogisticRegression().fit(X, y)).bind(Binding(columns, ("0", "1")))
    assert Access.TREES not in Release(model=model).access


def test_classes_in_another_order() -> None:
    from sklearn.tree import DecisionTreeClassifier

    X, y = table(2_000, missing=0.0)
    names = np.array(["died", "alive"])[y]
    columns = tuple(Column(f"x{i}") for i in range(WIDTH))
    held = DecisionTreeClassifier(max_depth=7, random_state=0).fit(X, names)
    model = open_live(held).bind(Binding(columns, ("died", "alive")))
    assert isinstance(model, HasTrees)
    trees = model.read_trees()
    who = Records(columns, X, y, np.arange(len(X)), np.zeros(len(X)), classes=("died", "alive"))
    leaves = trees.find_leaves(model.tree_inputs(who))[:, 0]
    known = np.isfinite(trees.stated[leaves])
    assert known.any()
    np.testing.assert_array_equal(trees.stated[leaves][known], y[known])
    np.testing.assert_allclose(trees.values[leaves], model.predict_proba(who))


@pytest.mark.parametrize("form", ["ubj", "txt", "skops"])
def test_a_file_gives_its_trees_through_its_own_process(form: str, tmp_path: Path) -> None:
    X, y = table(500)
    path = tmp_path / f"model.{form}"
    held: Any
    if form == "ubj":
        from xgboost import XGBClassifier

        held = XGBClassifier(n_estimators=4, max_depth=3, n_jobs=1).fit(X, y)
        held.get_booster().save_model(path)
    elif form == "txt":
        lightgbm = pytest.importorskip("lightgbm")
        held = lightgbm.LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1).fit(X, y)
        held.booster_.save_model(str(path))
    else:
        skops = pytest.importorskip("skops.io")
        from sklearn.ensemble import RandomForestClassifier

        held = RandomForestClassifier(4, random_state=0).fit(X, y)
        skops.dump(held, path)
    columns = tuple(Column(f"x{i}") for i in range(WIDTH))
    schema = TableSchema(columns, "died", ("0", "1"))
    model = bind(open_model(path)[0], schema)
    assert isinstance(model, HasTrees)
    assert Access.TREES in Release(model=model).access
    here = join_trees(read_estimator(held))
    there = model.read_trees()
    who = Records(columns, X, y, np.arange(len(X)), np.zeros(len(X)), classes=("0", "1"))
    leaves = here.find_leaves(join_inputs(read_estimator(held), X))
    np.testing.assert_array_equal(there.find_leaves(model.tree_inputs(who)), leaves)
    np.testing.assert_array_equal(there.counts, here.counts)


def _put(name: str, at: Any, value: float) -> Any:
    return lambda arrays: arrays[name].__setitem__(at, value)


@pytest.mark.parametrize(
    "forge",
    [
        _put("left", 0, 10**6),
        _put("left", 0, 0),
        _put("right", 0, -1),
        _put("feature", 0, 99),
        _put("category", 0, 3),
        _put("roots", 0, 1),
        _put("counts", 0, -1),
        _put("left", 0, 1.5),
    ],
)
def test_forged_trees_of_a_process_are_refused(forge: Any) -> None:
    from sklearn.tree import DecisionTreeClassifier

    X, y = table(300)
    held = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, y)
    facts, arrays = describe_trees(join_trees(read_estimator(held)))
    read_described(facts, [a.copy() for a in arrays])
    from privaudit.inputs.models.asked_trees import NAMES

    named = {name: a.copy() for name, a in zip(NAMES, arrays, strict=True)}
    forge(named)
    with pytest.raises(ForgedTree):
        read_described(facts, list(named.values()))


def test_boxes_hold_the_records_of_their_leaves() -> None:
    from sklearn.tree import DecisionTreeClassifier

    X, y = table(1_000, missing=0.0)
    trees = join_trees(read_estimator(DecisionTreeClassifier(random_state=0).fit(X, y)))
    low, high = trees.find_boxes(trees.find_leaves(X)[:, 0])
    assert (low - 1e-9 < X).all()
    assert (high + 1e-9 >= X).all()
    assert np.isfinite(low).any()
    assert np.isfinite(high).any()
    check_forest(trees)


def test_frames_with_categories() -> None:
    from xgboost import XGBClassifier

    X, y = table(1_000)
    frame = pd.DataFrame(X, columns=list("abcde"))
    frame["e"] = pd.Categorical.from_codes(
        np.where(np.isnan(X[:, 4]), -1, X[:, 4]).astype(int), list("wxyz")
    )
    held = XGBClassifier(n_estimators=3, max_depth=4, n_jobs=1, enable_categorical=True)
    held.fit(frame, y)
    grown = read_estimator(held)
    trees = join_trees(grown)
    assert (trees.category >= 0).any()
    leaves = places_of(trees, trees.find_leaves(join_inputs(grown, frame)))
    np.testing.assert_array_equal(leaves, held.apply(frame))


def test_trees_behind_a_method_or_a_function_are_not_overlooked() -> None:
    """A regression on what a forest answers, whose method alone is pickled with it."""
    from functools import partial

    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    from privaudit.inputs.models.trees_of_scikit_learn import count_trees

    rng = np.random.default_rng(3)
    x = rng.normal(size=(80, 3))
    y = (x[:, 0] > 0).astype(int)
    forest = RandomForestClassifier(4, n_jobs=1, random_state=0).fit(x, y)

    class Slotted:
        __slots__ = ("held",)

    kept = Slotted()
    kept.held = forest
    for way in (forest.predict_proba, partial(forest.predict_proba), lambda z: forest.predict(z)):
        model = make_pipeline(FunctionTransformer(way), LogisticRegression())
        assert count_trees(model) == 4
    assert count_trees(kept) == 4
    assert count_trees(make_pipeline(FunctionTransformer(np.log1p), LogisticRegression())) == 0
