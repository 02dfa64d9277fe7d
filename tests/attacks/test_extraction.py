"""Model extraction: what answers give away is copied, and what they do not is no copy."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import pytest

from pipelines.learners.boosted import Boosted
from pipelines.learners.logreg import LogReg
from privaudit import stats
from privaudit.attacks.extraction._copies import mix_records, probe_columns, solve_additive
from privaudit.attacks.extraction.model_extraction import RISK, SOLVED, ModelExtraction
from privaudit.contracts import Release, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import Column, Records, Split

EQUATIONS = Setting("variant", SOLVED)


def budget(n: float, *details: str) -> Setting:
    return Setting("budget", float(n), "queries", details)


def table(n: int = 2000, gaps: float = 0.1, seed: int = 0, classes: int = 2) -> Records:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    sex, ward = rng.integers(0, 2, n), rng.integers(0, 3, n)
    risk = x[:, 0] - x[:, 1] * (ward - 1) + 0.5 * sex + rng.logistic(size=n)
    full = np.column_stack([x, sex, ward]).astype(np.float32)
    full[:, :5][rng.random((n, 5)) < gaps] = np.nan
    columns = (
        *(Column(f"x{i}", bounds=(-6.0, 6.0)) for i in range(5)),
        Column("sex", "binary"),
        Column("ward", "category", levels=("a", "b", "c")),
    )
    cuts = np.quantile(risk, np.arange(1, classes) / classes)
    return Records(
        columns,
        full,
        np.searchsorted(cuts, risk),
        np.arange(n) // 2,
        np.zeros(n),
        classes=tuple("abcdef"[:classes]),
    )


def split_of(records: Records) -> Split:
    return Split.assign(records, np.random.default_rng(1))


def steal(model: object, split: Split, **how: object) -> dict[Setting, Trials]:
    target = Target(Release(model=model), split)  # type: ignore[arg-type]
    return dict(ModelExtraction(**how).run(target, (), np.random.default_rng(2)))  # type: ignore[arg-type]


def low(trials: Trials) -> float:
    found = stats.estimates(trials, patients=None, rng=np.random.default_rng(0))
    return next(one.low for one in found if one.metric.name == "attack_minus_control")


@dataclass(frozen=True, eq=False)
class Flat:
    def predict_proba(self, records: Records) -> np.ndarray:
        return np.tile([0.3, 0.7], (len(records), 1))

    def predict(self, records: Records) -> np.ndarray:
        return np.full(len(records), 5.0)


@dataclass(frozen=True, eq=False)
class Lottery:
    """An answer for each record that has nothing to do with any other record's."""

    def predict_proba(self, records: Records) -> np.ndarray:
        seeds = [np.frombuffer(row.tobytes(), dtype=np.uint32).tolist() for row in records.X]
        p = np.array([np.random.default_rng(seed).random() for seed in seeds])
        return np.column_stack([1 - p, p])


@dataclass(frozen=True, eq=False)
class Named:
    """Another model's classes, and no probabilities."""

    model: object

    def predict_proba(self, records: Records) -> np.ndarray:
        p = self.model.predict_proba(records)  # type: ignore[attr-defined]
        return np.eye(p.shape[1])[p.argmax(axis=1)]


def test_a_logistic_regression_is_solved_and_copied() -> None:
    split = split_of(table())
    model = LogReg().fit(split.members, np.random.default_rng(0))
    found = steal(model, split)
    assert found[EQUATIONS].success.mean() > 0.99
    assert found[EQUATIONS].control.mean() < 0.05
    assert found[budget(1600)].success.mean() > 0.97
    assert low(found[budget(1600)]) > 0.05
    assert low(found[budget(1600, RISK)]) > 0.05


def test_weights_come_back_from_one_question_a_column() -> None:
    split = split_of(table(gaps=0.0))
    model = LogReg().fit(split.members, np.random.default_rng(0))
    asked, changed = probe_columns(split.reference)
    assert len(asked) == 1 + len(changed) == 1 + 5 + 1 + 2
    logs = np.log(model.predict_proba(asked))
    found = solve_additive(asked, changed, logs)(split.nonmembers)
    inside = np.abs(split.nonmembers.X[:, :5]).max(axis=1) < 3
    truth = np.log(model.predict_proba(split.nonmembers))
    gap = (found - truth)[:, 1] - (found - truth)[:, 0]
    assert np.abs(gap[inside]).max() < 1e-6


def test_trees_are_copied_the_better_the_more_is_asked_and_no_equation_solves_them() -> None:
    split = split_of(table(4000))
    model = Boosted().fit(split.members, np.random.default_rng(0))
    found = steal(model, split, budgets=(50, 3000))
    few, many = (found[budget(n)].success.mean() for n in (50, 3000))
    assert many > few + 0.03
    assert low(found[budget(3000)]) > 0
    assert found[EQUATIONS].success.mean() < 0.2


def test_of_a_constant_model_there_is_nothing_to_extract() -> None:
    for trials in steal(Flat(), split_of(table())).values():
        for part in (trials.success, trials.control, trials.guess):
            assert part.min() == 1.0
        assert low(trials) <= 0


def test_answers_by_lot_are_no_copy() -> None:
    alarms = 0
    for seed in range(5):
        found = steal(Lottery(), split_of(table(seed=seed)), budgets=(400,))
        assert abs(found[budget(400)].success.mean() - 0.5) < 0.08
        alarms += low(found[budget(400)]) > 0.03
    assert alarms <= 1


def test_the_control_is_what_is_had_without_asking() -> None:
    """A model that answers with the outcome's own risk is as well learnt from outcomes."""
    records = table(6000, gaps=0.0)
    plain = replace(records, y=(records.X[:, 0] > 0).astype(int))
    split = split_of(plain)
    model = LogReg(C=100.0).fit(split.members, np.random.default_rng(0))
    found = steal(model, split, budgets=(1200,))
    assert found[budget(1200)].success.mean() > 0.97
    assert found[budget(1200)].control.mean() > 0.96


def test_a_rare_class_does_not_hide_the_copy() -> None:
    records = table(4000)
    y = np.random.default_rng(0).random(4000) < 0.06 * np.exp(np.nan_to_num(records.X[:, 0]) / 2)
    split = split_of(replace(records, y=y.astype(int)))
    model = LogReg().fit(split.members, np.random.default_rng(0))
    found = steal(model, split, budgets=(400,))
    assert abs(found[budget(400)].success.mean() - found[budget(400)].guess.mean()) < 0.05
    assert found[budget(400, RISK)].success.mean() > 0.9
    assert found[budget(400, RISK)].guess.mean() < 0.6


def test_classes_alone_and_more_than_two_classes_are_copied() -> None:
    for classes in (2, 4):
        split = split_of(table(3000, classes=classes))
        model = Named(LogReg().fit(split.members, np.random.default_rng(0)))
        found = steal(model, split, budgets=(1600,))
        assert set(found) == {budget(1600)}
        assert found[budget(1600)].success.mean() > 0.85
    found = steal(model.model, split, budgets=(400,))
    assert set(found) == {budget(400), EQUATIONS}
    assert found[EQUATIONS].success.mean() > 0.95


def test_a_class_that_training_never_showed_does_no_harm() -> None:
    records = table(1000, classes=3)
    split = split_of(records)
    seen = split.members.take(split.members.y < 2)
    reference = split.reference.take(split.reference.y < 2)
    model = LogReg().fit(seen, np.random.default_rng(0))
    found = steal(model, replace(split, reference=reference), budgets=(100,))
    assert found[budget(100)].success.mean() > 0.7


def test_numbers_are_copied_within_a_tenth_of_their_spread() -> None:
    plain = table()
    y = np.nan_to_num(plain.X[:, 0]) + np.random.default_rng(0).normal(size=len(plain))
    split = split_of(replace(plain, y=y.astype(float), classes=(), outcome_kind="number"))

    class Line:
        def predict(self, records: Records) -> np.ndarray:
            x = np.nan_to_num(records.X.astype(float))
            return 3 * x[:, 0] - 2 * x[:, 5] + 7

    found = steal(Line(), split)
    assert found[budget(1600)].success.mean() > 0.95
    assert found[budget(1600)].control.mean() < 0.4
    # A gap, which this model reads as 0 and not as the median, has a question of its own.
    assert found[EQUATIONS].success.min() == 1.0
    for trials in steal(Flat(), split).values():
        assert trials.success.min() == trials.control.min() == trials.guess.min() == 1.0


def test_questions_are_own_records_first_and_hold_known_values_alone() -> None:
    own = table(200)
    asked = mix_records(own, 700, np.random.default_rng(0))
    assert len(asked) == 700
    first = {row.tobytes() for row in asked.X[:200]}
    assert first == {row.tobytes() for row in own.X}
    for j in range(7):
        known = own.X[:, j][np.isfinite(own.X[:, j])]
        new = asked.X[200:, j]
        assert np.isin(new[np.isfinite(new)], known).all()
    assert len(mix_records(own, 50, np.random.default_rng(0))) == 50


def test_bad_settings_and_answers_are_refused() -> None:
    split = split_of(table(400))
    with pytest.raises(PrivauditError, match="budgets="):
        steal(Flat(), split, budgets=(5,))
    with pytest.raises(PrivauditError, match="budgets="):
        steal(Flat(), split, budgets=())

    class Broken:
        def predict_proba(self, records: Records) -> np.ndarray:
            return np.full((len(records), 2), np.nan)

    with pytest.raises(PrivauditError, match="no number"):
        steal(Broken(), split)


def test_it_costs_about_a_second() -> None:
    split = split_of(table(4000))
    model = LogReg().fit(split.members, np.random.default_rng(0))
    start = time.process_time()
    steal(model, split)
    assert time.process_time() - start < 4
