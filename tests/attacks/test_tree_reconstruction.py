"""Records rebuilt from trees: a small forest gives its rows back, and large leaves are refused."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from test_leaf_facts import forest, hand_out, split_of, table

from privaudit import stats
from privaudit.attacks.inversion import _rebuild
from privaudit.attacks.inversion._rebuild import list_cuts, list_leaves, measure_error, rebuild
from privaudit.attacks.inversion.tree_reconstruction import (
    TreeReconstruction,
    draw_within,
    pair_rows,
)
from privaudit.contracts import Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.inputs.models.trees_of_scikit_learn import join_trees, read_estimator
from privaudit.records import Split
from privaudit.trees import Trees

solver = pytest.importorskip("ortools.sat.python.cp_model")

WHOLE = Setting("variant", "all records")
PINNED = Setting("variant", "records alone in a leaf")


def zeros_and_ones(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = (rng.random((rows, 8)) < rng.uniform(0.2, 0.8, 8)).astype(float)
    y = ((x[:, 0] + x[:, 1] + rng.normal(0, 0.7, rows)) > 1).astype(int)
    return x, y


def grow(x: np.ndarray, y: np.ndarray, **settings: Any) -> Trees:
    return join_trees(read_estimator(forest(**settings).fit(x, y)))


def few(seed: int = 0, members: int = 40) -> Split:
    """Few members, and others enough for an interval."""
    from dataclasses import replace

    whole = table(400, seed)
    x = (whole.X > 0).astype(np.float32)
    whole = replace(whole, X=x)
    inside = whole.take(slice(0, members))
    return Split(inside, whole.take(slice(members, 200)), whole.take(slice(200, 400)))


def attack(target: Target, **settings: Any) -> dict[Setting, Trials]:
    return TreeReconstruction(**settings).run(target, (), np.random.default_rng(5))


def over(trials: Trials, name: str) -> float:
    found = {e.metric.name: e for e in stats.trials(trials)}[name]
    assert found.low is not None
    return found.low


@pytest.mark.parametrize("seed", range(2))
def test_rows_of_a_forest_without_drawing_are_given_back(seed: int) -> None:
    x, y = zeros_and_ones(24, seed)
    trees = grow(x, y, n_estimators=40, bootstrap=False, random_state=seed)
    found = rebuild(trees, 30, seed=1)
    assert found.state == "solved"
    assert found.low is not None
    rebuilt = (found.low > 0).astype(float)
    other = zeros_and_ones(24, seed + 50)[0]
    assert measure_error(rebuilt, x) < 0.06
    assert measure_error(rebuilt, x) < measure_error(other, x) - 0.05


@pytest.mark.parametrize("bootstrap", [False, True])
def test_what_is_rebuilt_fits_every_leaf(bootstrap: bool) -> None:
    x, y = zeros_and_ones(16, 3)
    trees = grow(x, y, n_estimators=8, bootstrap=bootstrap)
    found = rebuild(trees, 30)
    assert found.low is not None
    assert found.y is not None
    leaves = trees.find_leaves((found.low > 0).astype(float))
    for at in range(len(trees)):
        if bootstrap:
            # Leaves that hold records are those into which rebuilt ones fall.
            own = trees.is_leaf & (np.arange(len(trees.left)) >= trees.roots[at])
            own &= np.arange(len(trees.left)) < [*trees.roots[1:], len(trees.left)][at]
            held = np.flatnonzero(own & (trees.counts > 0))
            assert set(held) <= set(leaves[:, at])
            continue
        for c in (0, 1):
            counts = np.bincount(leaves[found.y == c, at], minlength=len(trees.left))
            leaf = trees.is_leaf & (counts > 0)
            np.testing.assert_array_equal(trees.by_class[leaf, c], counts[leaf])


def test_the_way_to_a_leaf_is_its_nearest_split_points() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    trees = grow(x, (x[:, 0] > 0.3).astype(int) ^ (x[:, 1] > 0).astype(int), n_estimators=2)
    cuts = list_cuts(trees)
    for own in list_leaves(trees, cuts):
        for leaf in own:
            assert len(leaf.path) == len({(j, over) for j, _, over in leaf.path})


def test_a_small_forest_exceeds_and_its_rows_fit_no_others() -> None:
    split = few()
    found = attack(hand_out(forest(n_estimators=60, bootstrap=False), split), seconds=40)
    assert set(found) == {WHOLE}
    trials = found[WHOLE]
    assert trials.success.mean() > 0.95
    assert over(trials, "attack_minus_control") > 0.03
    assert over(trials, "attack_minus_guess") > 0.05


def test_records_alone_in_a_leaf_of_a_large_forest() -> None:
    split = split_of(table(1_500))
    found = attack(hand_out(forest(bootstrap=False), split))
    assert set(found) == {PINNED}
    assert over(found[PINNED], "attack_minus_guess") > 0.0


def test_leaves_that_pin_nobody_are_refused_and_not_passed() -> None:
    split = split_of(table(1_500))
    with pytest.raises(PrivauditError, match="none of whose leaves is stated to hold one"):
        attack(hand_out(forest(min_samples_leaf=20), split))


def test_a_search_without_time_is_refused_and_not_passed() -> None:
    split = few()
    with pytest.raises(PrivauditError, match="came to no end"):
        attack(hand_out(forest(n_estimators=20, bootstrap=False), split), seconds=1e-3)


def test_without_or_tools_the_reason_is_the_missing_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name, name="ortools")

    monkeypatch.setattr(_rebuild.importlib, "import_module", missing)
    with pytest.raises(PrivauditError, match="without OR-Tools") as found:
        _rebuild.import_solver()
    assert isinstance(found.value.__cause__, ModuleNotFoundError)
    monkeypatch.undo()
    assert importlib.import_module("ortools")


def test_values_are_drawn_between_the_bounds() -> None:
    rng = np.random.default_rng(0)
    own = rng.normal(size=(500, 2))
    low = np.array([[-np.inf, 0.5], [1.0, 9.0]])
    high = np.array([[0.0, np.inf], [1.2, 10.0]])
    rows = draw_within(own, low, high, rng)
    assert ((rows > low) & (rows <= high)).all()
    # No record of the attacker's lies there: the middle of the bounds.
    assert rows[1, 1] == 9.5


def test_rows_are_paired_with_records_of_their_outcome() -> None:
    truth = np.array([[0.0, 0.0], [1.0, np.nan], [3.0, 3.0]])
    rows = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 5.0]])
    near = np.array([0.1, 0.1])
    y = np.array([0, 1, 0])
    np.testing.assert_allclose(pair_rows(truth, y, rows, np.array([1, 0, 0]), near), [1, 1, 0])
    np.testing.assert_allclose(pair_rows(truth, y, rows, np.array([0, 1, 0]), near), [0.5, 0, 0])


@pytest.mark.parametrize("wrong", [{"patients": 0}, {"seconds": 0.0}, {"near": 2.0}])
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(PrivauditError):
        attack(hand_out(forest(n_estimators=2), split_of(table(200))), **wrong)
