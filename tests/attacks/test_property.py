"""Property inference: a share that answers give away is found, and one that they do not is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from pipelines.learners.logreg import LogReg
from pipelines.methods.baseline import Baseline
from privaudit import stats
from privaudit.attacks.property._share_tests import Answers, guess_labels
from privaudit.attacks.property._training_sets import find_properties
from privaudit.attacks.property.property_inference import PropertyInference
from privaudit.contracts import Fitted, Method, Model, Refit, Release, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds
from privaudit.signals import ask, read_signal

SEX = Setting("column", "sex")


def table(seed: int, effect: float, n: int = 2000, share: float = 0.5) -> Records:
    """Among men x1 bears on the outcome by `effect`, among women by as much the other way."""
    rng = np.random.default_rng(seed)
    sex = rng.random(n) < share
    x = rng.normal(size=(n, 4))
    y = rng.random(n) < 1 / (1 + np.exp(-(x[:, 0] + np.where(sex, 1, -1) * effect * x[:, 1])))
    columns = (
        *(Column(f"x{i}", bounds=(-6.0, 6.0)) for i in range(4)),
        Column("sex", "binary", (0, 1), sensitive=True),
    )
    return Records(columns, np.column_stack([x, sex]), y, np.arange(n), np.zeros(n))


@dataclass(frozen=True)
class Blind(Method):
    """A method that never sees the column "sex"."""

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        model = LogReg().fit(hide(members), rng)
        return Release(model=Unseeing(model))


@dataclass(frozen=True, eq=False)
class Unseeing:
    model: Model

    def predict_proba(self, records: Records) -> np.ndarray:
        return self.model.predict_proba(hide(records))


def hide(records: Records) -> Records:
    x = records.X.copy()
    x[:, -1] = 0
    return replace(records, X=x)


def train(refits: Sequence[Refit], seed: int) -> list[Fitted]:
    made = []
    for refit in refits:
        model = refit.method.fit(refit.train, Seeds(seed).rng("refit", refit.name)).model
        signal = read_signal(ask(model, refit.ask), refit.ask)
        made.append(Fitted(refit.included, signal.astype(np.float32)))
    return made


def attacked(records: Records, method: Method, seed: int, **how: object) -> dict[Setting, Trials]:
    split = Split.assign(records, Seeds(seed).rng("split"))
    target = Target(method.fit(split.members, Seeds(seed).rng("fit")), split, method)
    attack = PropertyInference(**how)
    fitted = train(attack.refits(target, Seeds(seed)), seed)
    return dict(attack.run(target, fitted, Seeds(seed).rng("attack")))


def is_found(trials: Trials, over: str = "attack_minus_guess") -> bool:
    found = stats.estimates(
        {SEX: replace(trials, patients=np.arange(len(trials.success)))},
        patients=None,
        rng=np.random.default_rng(0),
    )
    low = next(one.low for one in found if one.metric.name == over)
    return low is not None and low > 0


def test_a_share_that_moves_answers_is_found() -> None:
    trials = attacked(table(0, 1.5), Baseline(), 0)[SEX]
    assert trials.success.mean() > 0.9
    assert len(trials.success) == 16
    assert is_found(trials)
    assert 0.3 < trials.control.mean() < 0.7


def test_training_sets_share_no_patient_and_hold_the_shares_they_say() -> None:
    records = table(1, 1.0, 1600, 0.3)
    (one,) = find_properties(records, (), 4, 16)
    masks = np.array(one.deal(records, np.random.default_rng(0)))
    assert masks.shape == (16, 1600)
    assert masks.sum(axis=0).max() == 1
    assert set(masks.sum(axis=1)) == {one.size}
    low, high = one.counts
    inside = (masks & (records.X[:, -1] == 1)).sum(axis=1)
    assert inside.tolist() == [low, high] * 8
    assert abs(high - 4 * low) <= 3
    assert one.size * 16 <= 1600


def test_every_record_of_a_patient_goes_the_same_way() -> None:
    records = replace(table(1, 1.0), patient=np.arange(2000) // 2)
    (one,) = find_properties(records, (), 4, 8)
    for mask in one.deal(records, np.random.default_rng(0)):
        assert (mask[::2] == mask[1::2]).all()


def test_a_rare_outcome_is_in_every_set_or_fewer_sets_are_dealt() -> None:
    rng = np.random.default_rng(0)
    plain = table(2, 0.0)
    rare = replace(plain, y=(rng.random(2000) < 0.02).astype(int))
    (one,) = find_properties(rare, (), 4, 16)
    assert one.sets == 8
    masks = one.deal(rare, rng)
    assert all(len(np.unique(rare.y[mask])) == 2 for mask in masks)
    assert not list(find_properties(replace(plain, y=np.zeros(2000, dtype=int)), (), 4, 16))


def test_who_is_told_right_was_in_no_model_that_taught() -> None:
    """A model's own label never reaches the test that judges it."""
    rng = np.random.default_rng(0)
    values = rng.random((16, 50))
    labels = np.arange(16) % 2 == 1
    answers = Answers(values, True)
    before = guess_labels(answers, labels)
    swapped = labels.copy()
    swapped[[4, 5]] = labels[[5, 4]]
    after = guess_labels(answers, swapped)
    # The pair is told the same, so what was right is wrong; coins stay coins.
    assert np.allclose(after[[4, 5]], 1 - before[[4, 5]])


def test_models_that_answer_alike_are_told_by_a_coin() -> None:
    alike = Answers(np.tile(np.linspace(0.1, 0.9, 30), (16, 1)), True)
    assert guess_labels(alike, np.arange(16) % 2 == 1).tolist() == [0.5] * 16
    numbers = Answers(np.zeros((8, 20)), False)
    assert guess_labels(numbers, np.arange(8) % 2 == 1).tolist() == [0.5] * 8


def test_labels_without_meaning_are_told_right_half_of_the_time() -> None:
    rng = np.random.default_rng(4)
    labels = np.arange(16) % 2 == 1
    alarms, rates = 0, []
    for _ in range(60):
        # Answers that scatter along a few directions, as those of small models do.
        values = 1 / (1 + np.exp(-(rng.normal(size=(16, 3)) @ rng.normal(size=(3, 40)))))
        right = guess_labels(Answers(values, True), labels)
        rates.append(right.mean())
        alarms += is_found(Trials(right, right, np.full(16, 0.5)))
    assert abs(np.mean(rates) - 0.5) < 0.075
    assert alarms <= 6


@pytest.mark.slow
def test_a_column_that_no_model_sees_raises_few_false_alarms() -> None:
    """5 % of 60 runs, and what chance adds in 1 of 100."""
    trials = [attacked(table(seed, 0.0, 1200), Blind(), seed)[SEX] for seed in range(60)]
    assert sum(map(is_found, trials)) <= 8
    assert sum(is_found(one, "attack_minus_control") for one in trials) <= 8
    assert abs(np.mean([one.success.mean() for one in trials]) - 0.5) < 0.09


def test_an_outcome_that_is_a_number_is_read_too() -> None:
    plain = table(0, 0.0)
    side = np.where(plain.X[:, -1] == 1, 2.0, -2.0)
    y = plain.X[:, 0] + side * plain.X[:, 1]
    records = replace(plain, y=y.astype(float), classes=(), outcome_kind="number")
    trials = attacked(records, Linear(), 0, sets=8)[SEX]
    assert trials.success.mean() > 0.9


@dataclass(frozen=True)
class Linear(Method):
    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        x = np.column_stack([members.X[:, :4], np.ones(len(members))])
        return Release(model=Weights(np.linalg.lstsq(x, members.y, rcond=None)[0]))


@dataclass(frozen=True, eq=False)
class Weights:
    values: np.ndarray

    def predict(self, records: Records) -> np.ndarray:
        return np.column_stack([records.X[:, :4], np.ones(len(records))]) @ self.values


def test_columns_can_be_named_and_are_limited() -> None:
    records = table(0, 0.0)
    both = replace(
        records,
        columns=(replace(records.columns[0], sensitive=True), *records.columns[1:]),
    )
    found = [one.setting for one in find_properties(both, (), 4, 8)]
    assert found == [Setting("column", "x0"), SEX]
    assert [one.setting for one in find_properties(both, (), 1, 8)] == found[:1]
    assert [one.setting for one in find_properties(both, ("x1",), 4, 8)] == [
        Setting("column", "x1")
    ]


def test_what_cannot_be_tried_is_refused() -> None:
    records = table(0, 0.0, 400)
    plain = replace(records, columns=tuple(replace(c, sensitive=False) for c in records.columns))
    split = Split.assign(plain, Seeds(0).rng("split"))
    target = Target(Baseline().fit(split.members, Seeds(0).rng("fit")), split, Baseline())
    assert not PropertyInference().refits(target, Seeds(0))
    with pytest.raises(PrivauditError, match="no sensitive column"):
        PropertyInference().run(target, (), np.random.default_rng(0))
    with pytest.raises(PrivauditError, match="sets=12"):
        PropertyInference(sets=12).refits(target, Seeds(0))
    with pytest.raises(PrivauditError, match="columns="):
        PropertyInference(columns=("nothing",)).refits(target, Seeds(0))
