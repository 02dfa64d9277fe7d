"""Structural risks: trees of few patients exceed; models that answer everybody otherwise do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_leaf_facts import forest, hand_out, split_of, table

from pipelines.learners.boosted import Boosted
from pipelines.learners.logreg import LogReg
from privaudit import stats
from privaudit.attacks.inversion.structural import AGREED, CERTAIN, SMALL, Structural
from privaudit.contracts import Learner, Release, Target, Trials
from privaudit.facts import Setting
from privaudit.records import Records, Split


def attack(target: Target, seed: int = 2) -> dict[Setting, Trials]:
    return Structural().run(target, (), np.random.default_rng(seed))


def excess(trials: Trials) -> tuple[float, float, float]:
    """The difference to the control, and its interval."""
    found = {e.metric.name: e for e in stats.trials(trials)}["attack_minus_control"]
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    return found.value, found.low, found.high


def tree(**settings: Any) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(**{"random_state": 0, **settings})


class Stated:
    """A model that answers as the first column says, and of everybody else the same."""

    def __init__(self, p: np.ndarray) -> None:
        self.p = p

    def predict_proba(self, records: Records) -> np.ndarray:
        p = self.p[records.X[:, 0].astype(int)]
        return np.column_stack([1 - p, p])


def numbered(y: np.ndarray, patient: np.ndarray | None = None, site: int = 0) -> Records:
    """Records whose first column is their own number."""
    who = np.arange(len(y)) if patient is None else patient
    made = table(len(y))
    X = np.column_stack([site + np.arange(len(y)), np.zeros((len(y), 7))])
    return replace(made, X=X.astype(np.float32), y=y, patient=who + site)


def game(p: np.ndarray, y: np.ndarray, members: int) -> Target:
    """A model that answers the i-th of these patients with p[i]; the first are members."""
    inside, outside = numbered(y[:members]), numbered(y[members:], site=members)
    return Target(Release(model=Stated(p)), Split(inside, outside, numbered(y[:30], site=len(y))))


@pytest.mark.parametrize("leaf", [1, 2, 5])
@pytest.mark.parametrize("share", [0.15, 0.4])
def test_a_tree_of_small_leaves_names_the_outcomes_of_its_patients(leaf: int, share: float) -> None:
    found = attack(hand_out(tree(min_samples_leaf=leaf), split_of(table(3_000, share=share))))
    for at in (AGREED, CERTAIN):
        assert excess(found[at])[1] > 0.05
    if leaf == 1:
        assert found[CERTAIN].success.all()


def test_a_deep_forest_is_sure_of_its_patients_alone() -> None:
    split = split_of(table(3_000, share=0.4))
    found = attack(hand_out(forest(bootstrap=False), split))
    assert excess(found[CERTAIN])[1] > 0.9
    # Few have the answers of strangers: of members the same would tell nothing.
    assert SMALL not in found
    assert excess(attack(hand_out(forest(), split))[AGREED])[1] > 0.3


@pytest.mark.parametrize("learner", [LogReg(), Boosted()])
def test_a_model_that_answers_everybody_otherwise_reads_as_chance(learner: Learner) -> None:
    split = split_of(table(3_000, share=0.3))
    model = learner.fit(split.members, np.random.default_rng(0))
    for trials in attack(Target(Release(model=model), split)).values():
        value, low, high = excess(trials)
        assert abs(value) < 0.01
        assert low <= 0 <= high
        assert high < 0.02


def test_a_constant_model_has_one_large_class() -> None:
    y = np.tile([0, 1, 1], 200)
    for p in (0.3, 0.0, 1.0):  # one third has the rarer outcome
        found = attack(game(np.full(600, p), y, 300))
        assert not found[SMALL].success.any()
        assert not found[AGREED].success.any()
        for trials in found.values():
            assert excess(trials)[0] == 0


def test_classes_are_counted_by_patient_and_never_with_oneself() -> None:
    # Fifty answers, each of 6 members; strangers have answers of their own.
    y = np.zeros(600, dtype=int)
    p = np.concatenate([np.repeat(np.arange(50) / 100, 6), 0.5 + np.arange(300) / 1000])
    found = attack(game(p, y, 300))
    # Of all strangers no training patient has the answer: that few have it says nothing.
    assert SMALL not in found
    assert found[AGREED].success.mean() > 0.9
    assert not found[AGREED].control.any()
    # Of six there are three in the other half, which is fewer than five.
    shared = attack(game(np.where(np.arange(600) < 150, p, 0.9), y, 300))
    assert 0.45 < shared[SMALL].success.mean() <= 0.5
    assert not shared[SMALL].control.any()
    # Twelve rows of one patient are one patient.
    target = game(p, y, 300)
    again = replace(target.split.members, patient=np.arange(300) // 12)
    one = attack(replace(target, split=replace(target.split, members=again)))
    assert not one[AGREED].success.any() or one[AGREED].success.mean() < 0.7


def test_answers_that_float32_rounds_are_the_same() -> None:
    rng = np.random.default_rng(0)
    y = np.zeros(600, dtype=int)
    p = np.full(600, 0.25) + rng.normal(0, 1e-10, 600)
    found = attack(game(p, y, 300))
    assert not found[SMALL].success.any()
    sure = np.where(np.arange(600) < 300, 1e-9, 1e-3)
    assert excess(attack(game(sure, y, 300))[CERTAIN])[0] == 1


@pytest.mark.parametrize("missing", [0.1, 0.3])
def test_gaps_hide_no_tree(missing: float) -> None:
    records = table(3_000, share=0.3)
    gaps = np.random.default_rng(1).random(records.X.shape) < missing
    X = np.where(gaps, np.nan, records.X).astype(np.float32)
    whole = attack(hand_out(tree(), split_of(records)))
    found = attack(hand_out(tree(), split_of(replace(records, X=X))))
    for at in (AGREED, CERTAIN):
        assert excess(found[at])[0] > 0.9 * excess(whole[at])[0]


def test_models_of_other_patients_raise_no_false_alarm() -> None:
    """A tree that was trained on neither pool, 200 times: at most 6 % of 95 % intervals lie above
    0 on either side of what a fair interval allows."""
    alarms = dict.fromkeys((SMALL, AGREED, CERTAIN), 0)
    leaves = (1, 3, 5, 10, 20)
    for seed in range(200):
        records = table(900, seed, share=0.3)
        pools = np.split(np.random.default_rng(seed).permutation(900), 3)
        inside, outside, other = (records.take(own) for own in pools)
        held = tree(min_samples_leaf=leaves[seed % len(leaves)], random_state=seed)
        model = hand_out(held, Split(other, inside, outside)).release.model
        target = Target(Release(model=model), Split(inside, outside, other))
        for at, trials in attack(target, seed).items():
            alarms[at] += excess(trials)[1] > 0
    # One side of 95 %: 5 of 200 expected, 12 with a chance of 0.3 %.
    assert max(alarms.values()) <= 12, alarms
