"""Leaf facts: forests that give rows away exceed, and leaves that hold many state nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.learners.boosted import Boosted
from privaudit import stats
from privaudit.attacks.inversion.leaf_facts import LeafFacts
from privaudit.contracts import Model, Release, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.inputs.models.in_process import open_live
from privaudit.inputs.models.opened_model import Binding
from privaudit.records import Column, Records, Split

ALONE = Setting("variant", "alone in a leaf")
OUTCOME = Setting("variant", "outcome, by leaves of fewer than 10")


def table(n: int = 2_000, seed: int = 0, number: bool = False, share: float = 0.15) -> Records:
    """Eight numbers, of which two tell a little of the outcome."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8)).astype(np.float32)
    score = x[:, 0] + x[:, 1] + 2 * rng.normal(size=n)
    columns = tuple(Column(f"x{i}", bounds=(-6.0, 6.0)) for i in range(8))
    who, site = np.arange(n), np.zeros(n, dtype=int)
    if number:
        return Records(columns, x, score, who, site, classes=(), outcome_kind="number")
    y = (score > np.quantile(score, 1 - share)).astype(int)
    return Records(columns, x, y, who, site, classes=("0", "1"))


def split_of(records: Records, seed: int = 1) -> Split:
    return Split.assign(records, np.random.default_rng(seed))


def hand_out(held: Any, split: Split) -> Target:
    """The estimator, fitted on the members, as a user hands it out."""
    members = split.members
    kind = members.outcome_kind
    held.fit(members.X.astype(np.float64), members.y)
    binding = Binding(
        members.columns, members.classes if kind == "class" else (), outcome_kind=kind
    )
    return Target(Release(model=open_live(held).bind(binding)), split)


def attack(target: Target, **settings: Any) -> dict[Setting, Trials]:
    return LeafFacts(**settings).run(target, (), np.random.default_rng(2))


def gain(trials: Trials) -> tuple[float, float, float]:
    """The advantage over the guess, and its interval."""
    found = {e.metric.name: e for e in stats.trials(trials)}["attack_minus_guess"]
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    return found.value, found.low, found.high


def forest(**settings: Any) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        **{"n_estimators": 20, "random_state": 0, "n_jobs": 1, **settings}
    )


@pytest.mark.parametrize("bootstrap", [True, False])
@pytest.mark.parametrize("share", [0.15, 0.02])
def test_a_forest_grown_to_pure_leaves_gives_its_patients_away(
    bootstrap: bool, share: float
) -> None:
    split = split_of(table(share=share))
    found = attack(hand_out(forest(bootstrap=bootstrap), split))
    # Rare outcomes as well: of those who died nearly all are named, and few would be guessed.
    assert gain(found[OUTCOME])[1] > 0.5
    outside = found[OUTCOME]
    assert outside.control.mean() < outside.success.mean() - 0.2
    assert gain(found[ALONE])[1] > (0.2 if share > 0.1 else 0.02)


def test_one_tree_whose_leaves_hold_one_patient_each() -> None:
    from sklearn.tree import ExtraTreeRegressor

    split = split_of(table(number=True))
    found = attack(hand_out(ExtraTreeRegressor(random_state=0), split))
    assert found[ALONE].success.mean() > 0.99
    assert gain(found[ALONE])[1] > 0.5
    assert gain(found[OUTCOME])[1] > 0.9
    # The guess of a box that was drawn without the records: at most 1 / e.
    assert found[ALONE].guess is not None
    assert found[ALONE].guess.max() <= np.exp(-1) + 1e-9


def test_large_leaves_state_nothing_of_anybody() -> None:
    split = split_of(table())
    for held in (
        forest(min_samples_leaf=20, bootstrap=False),
        forest(max_depth=3, min_samples_leaf=10, bootstrap=False),
    ):
        found = attack(hand_out(held, split))
        assert set(found) == {ALONE}
        value, low, high = gain(found[ALONE])
        assert value == 0
        assert low <= 0
        assert high < 0.02


@pytest.mark.parametrize("seed", range(3))
def test_the_house_s_own_boosted_trees_read_as_chance(seed: int) -> None:
    split = split_of(table(seed=seed))
    model: Model = Boosted().fit(split.members, np.random.default_rng(seed))
    found = attack(Target(Release(model=model), split))
    for trials in found.values():
        assert gain(trials)[0] <= 0.005
    assert gain(found[ALONE])[2] < 0.02


@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "gradient"])
def test_deep_boosted_trees_give_patients_away(library: str) -> None:
    held: Any
    if library == "xgboost":
        from xgboost import XGBClassifier

        held = XGBClassifier(
            n_estimators=5, max_depth=20, min_child_weight=0, n_jobs=1, tree_method="exact"
        )
    elif library == "lightgbm":
        lightgbm = pytest.importorskip("lightgbm")
        held = lightgbm.LGBMClassifier(
            n_estimators=5, num_leaves=500, min_child_samples=1, min_child_weight=0, n_jobs=1,
            verbose=-1,
        )  # fmt: skip
    else:
        from sklearn.ensemble import GradientBoostingClassifier

        held = GradientBoostingClassifier(n_estimators=5, max_depth=None, random_state=0)
    found = attack(hand_out(held, split_of(table())))
    assert gain(found[ALONE])[1] > 0.01
    assert gain(found[OUTCOME])[1] > 0.1


def test_what_leaves_state_of_members_is_true() -> None:
    """Without drawing, a small leaf of one outcome is a fact of every member in it."""
    split = split_of(table())
    found = attack(hand_out(forest(bootstrap=False, min_samples_leaf=3), split))
    trials = found[OUTCOME]
    assert trials.sure is not None
    assert (trials.sure > 0).any()
    assert (trials.success[trials.sure > 0] == 1).all()
    assert found[ALONE].success.sum() == 0


def test_several_records_a_patient_count_once() -> None:
    one = table(1_000)
    from dataclasses import replace

    twice = replace(one, patient=one.patient // 2)
    found = attack(hand_out(forest(bootstrap=False), split_of(twice)))
    estimates = {e.metric.name: e for e in stats.trials(found[ALONE])}
    patients = len(np.unique(split_of(twice).members.patient))
    assert estimates["attack_rate"].n["patients"] == patients


def test_trees_without_counts_are_refused_and_not_passed() -> None:
    from xgboost import XGBClassifier

    held = XGBClassifier(n_estimators=3, max_depth=3, n_jobs=1, scale_pos_weight=2.37)
    split = split_of(table())
    with pytest.raises(PrivauditError, match="states no number of training records"):
        attack(hand_out(held, split))


def test_a_forest_of_votes_states_no_counts() -> None:
    pytest.importorskip("diffprivlib")
    from pipelines.methods.dp_forest import DPForest

    split = split_of(table(600))
    release = DPForest().fit(split.members, np.random.default_rng(0))
    found = attack(Target(release, split))
    assert set(found) == {ALONE}
    assert found[ALONE].success.sum() == 0


def test_settings_are_checked() -> None:
    split = split_of(table(300))
    with pytest.raises(PrivauditError):
        attack(hand_out(forest(n_estimators=2), split), least=1)
