"""Evasion attacks on models whose weakness is known by arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from evasion_lab import FREE, Linear, at, linear, table, target
from scipy.special import expit

from privaudit.attacks.evasion import _evasion, _gradient
from privaudit.attacks.evasion.fgsm import Fgsm
from privaudit.attacks.evasion.pgd import Pgd
from privaudit.attacks.evasion.square import Square
from privaudit.errors import PrivauditError
from privaudit.facts import Metric
from privaudit.records import Column, Records

ATTACKS = [Fgsm(), Pgd(), Square()]


def test_fgsm_flips_exactly_what_theory_says() -> None:
    aim = target(table(), linear())
    field = _evasion.Field.of(aim, 300)
    weights = field.model.weights  # type: ignore[attr-defined]
    reach = np.abs(weights * field.spread).sum()
    odds = field.records.X.astype(float) @ weights
    limit = np.log(field.cut / (1 - field.cut))
    found = Fgsm().run(aim, (), np.random.default_rng(2))
    for budget in _evasion.BUDGETS:
        push = np.where(field.records.y == 1, -1, 1) * budget * reach
        expected = (odds + push > limit) != (field.records.y == 1)
        # Records within rounding of the limit may fall on either side.
        clear = np.abs(odds + push - limit) > 1e-4
        trials = found[at(budget)]
        assert clear.mean() > 0.99
        assert np.array_equal(trials.success[clear], expected[clear])
        assert np.array_equal(trials.guess, field.wrong)
        assert trials.control_label == "random noise of the same budget"
        assert np.array_equal(trials.patients, field.records.patient)
    half = found[at(0.5)]
    assert half.success.mean() > half.guess.mean() + 0.4
    assert abs(half.control.mean() - half.guess.mean()) < 0.1


def test_pgd_and_search_reach_the_optimum_on_a_linear_model() -> None:
    aim = target(table(), linear())
    best = Fgsm().run(aim, (), np.random.default_rng(2))
    steps = Pgd().run(aim, (), np.random.default_rng(2))
    asked = Square().run(aim, (), np.random.default_rng(2))
    for key, trials in best.items():
        assert (trials.success != steps[key].success).sum() <= 1
        assert asked[key].success.mean() <= trials.success.mean() + 0.004
        assert asked[key].success.mean() >= trials.success.mean() - 0.02


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: type(a).__name__)
def test_only_what_may_change_changes_and_missing_stays_missing(attack, monkeypatch) -> None:
    seen = []
    real = _evasion.Field.possible

    def watch(self, at, rows=None):
        result = real(self, at, rows)
        seen.append((self.records if rows is None else self.records.take(rows), result, self))
        return result

    monkeypatch.setattr(_evasion.Field, "possible", watch)
    records = table(missing=0.3)
    found = attack.run(target(records, linear()), (), np.random.default_rng(2))
    assert found[at(1)].success.mean() > found[at(1)].control.mean() + 0.2
    assert len(seen) > 5
    for before, after, field in seen:
        reach = field.spread  # the largest budget is one standard deviation
        assert np.array_equal(before.X[:, FREE:], after.X[:, FREE:])
        assert np.array_equal(np.isnan(before.X), np.isnan(after.X))
        moved = np.abs(after.X.astype(float) - before.X)
        assert not (moved[:, :FREE] > reach[:FREE] * (1 + 1e-5) + 1e-6).any()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: type(a).__name__)
def test_same_stream_same_trials_and_global_state_unmoved(attack) -> None:
    import torch

    aim = target(table(800), linear())
    states = np.random.get_state()[1].copy(), torch.get_rng_state(), torch.get_num_threads()  # noqa: NPY002
    before = aim.split.nonmembers.X.copy()
    one = attack.run(aim, (), np.random.default_rng(3))
    two = attack.run(aim, (), np.random.default_rng(3))
    assert list(one) == [at(size) for size in (0.05, 0.1, 0.25, 0.5, 1.0)]
    for key in one:
        assert np.array_equal(one[key].success, two[key].success)
        assert np.array_equal(one[key].control, two[key].control)
    assert np.array_equal(before, aim.split.nonmembers.X, equal_nan=True)
    assert (np.random.get_state()[1] == states[0]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[1])
    assert torch.get_num_threads() == states[2]


def test_every_attack_and_release_is_tried_on_the_same_patients() -> None:
    records = table()
    one, two = target(records, linear()), target(records, Linear(-linear().weights))
    a = Fgsm().run(one, (), np.random.default_rng(1))[at(1)].patients
    b = Square(queries=2).run(two, (), np.random.default_rng(9))[at(1)].patients
    assert np.array_equal(a, b)
    assert len(a) == 300
    assert len(Fgsm(records=40).run(one, (), np.random.default_rng(1))[at(1)].success) == 40


def test_a_model_that_is_sure_beyond_its_precision_is_attacked_all_the_same() -> None:
    """Its loss is flat in float32; its margin is not."""

    @dataclass(frozen=True, eq=False)
    class Sure(Linear):
        def input_gradient(self, records: Records) -> tuple[np.ndarray, None]:
            margin = np.nan_to_num(records.X.astype(np.float32)) @ self.weights.astype(np.float32)
            p = (1 / (1 + np.exp(-margin.astype(np.float32)))).astype(np.float32)
            return (p - records.y.astype(np.float32))[:, None] * self.weights, None

    records = table()
    model = Sure(linear().weights * 8)
    assert np.mean(np.abs(model.input_gradient(records)[0]).max(axis=1) == 0) > 0.2
    found, plain = (
        Pgd().run(target(records, m), (), np.random.default_rng(0)) for m in (model, linear())
    )
    assert found[at(1)].success.mean() > 0.9
    assert abs(found[at(1)].success.mean() - plain[at(1)].success.mean()) < 0.01


def test_three_classes_are_attacked_by_gradients() -> None:
    records = table()
    w = np.zeros((3, 10))
    w[1, 0], w[2, 1], w[0, 2] = 1.0, 0.5, 0.2

    @dataclass(frozen=True, eq=False)
    class Softmax:
        def predict_proba(self, records: Records) -> np.ndarray:
            z = records.X.astype(float) @ w.T
            p = np.exp(z - z.max(axis=1, keepdims=True))
            return p / p.sum(axis=1, keepdims=True)

        def input_gradient(self, records: Records) -> tuple[np.ndarray, None]:
            return (self.predict_proba(records) - np.eye(3)[records.y]) @ w, None

        def weight_gradient(self, records: Records) -> np.ndarray:
            raise NotImplementedError

    y = Softmax().predict_proba(records).argmax(axis=1)
    aim = target(replace(records, y=y, classes=("a", "b", "c")), Softmax())
    steps = Pgd().run(aim, (), np.random.default_rng(0))
    asked = Square().run(aim, (), np.random.default_rng(0))
    assert steps[at(0.5)].success.mean() > steps[at(0.5)].control.mean() + 0.1
    assert asked[at(0.5)].success.mean() > steps[at(0.5)].success.mean() - 0.03


@pytest.mark.slow
def test_one_step_is_that_of_the_robustness_toolbox_where_nothing_is_tied() -> None:
    import torch
    from art.attacks.evasion import FastGradientMethod
    from art.estimators.classification import PyTorchClassifier
    from torch import nn

    records = table()
    model = linear()
    field = _evasion.Field.of(target(records, model), 300)
    network = nn.Linear(10, 2)
    weights = np.stack([0 * model.weights, model.weights])
    network.weight.data.copy_(torch.tensor(weights, dtype=torch.float32))
    network.bias.data.zero_()
    classifier = PyTorchClassifier(network, nn.CrossEntropyLoss(), (10,), 2)
    step = np.maximum(0.5 * field.spread, 1e-30).astype(np.float32)
    theirs = FastGradientMethod(classifier, eps=step, eps_step=step).generate(
        field.records.X, y=field.records.y
    )
    ours = _gradient.Climb(field, 1).at(0.5).X
    assert np.allclose(theirs, ours, atol=1e-4)


def test_series_move_for_a_model_that_reads_them() -> None:
    n, hours = 1200, 6
    rng = np.random.default_rng(0)
    series = rng.normal(size=(n, hours, 2)).astype(np.float32)
    series[rng.random(series.shape) < 0.4] = np.nan
    y = (np.nan_to_num(series[..., 0]).sum(axis=1) + rng.normal(size=n) > 0.5).astype(int)
    channels = (Column("c0", bounds=(-3.0, 3.0)), Column("c1", mutable=False))
    records = replace(table(n), y=y, series=series, channels=channels)

    @dataclass(frozen=True, eq=False)
    class Sum:
        def predict_proba(self, records: Records) -> np.ndarray:
            p = expit(np.nan_to_num(records.series[..., 0].astype(float)).sum(axis=1))
            return np.stack([1 - p, p], axis=1)

        def input_gradient(self, records: Records) -> tuple[np.ndarray, np.ndarray]:
            slopes = np.zeros(records.series.shape)
            error = self.predict_proba(records)[:, 1] - records.y
            slopes[..., 0] = error[:, None] * np.isfinite(records.series[..., 0])
            return np.zeros(records.X.shape), slopes

        def weight_gradient(self, records: Records) -> np.ndarray:
            raise NotImplementedError

    aim = target(records, Sum())
    field = _evasion.Field.of(aim, 300)
    assert len(field.columns) == 0
    assert field.channels.tolist() == [0]
    budget = 0.5

    after = _gradient.Climb(field, 1).at(budget)
    moved = (after.series - field.records.series)[..., 0] / field.spread_series[0]
    known = np.isfinite(field.records.series[..., 0])
    up = np.where(field.records.y == 1, -1.0, 1.0)[:, None] * budget
    inside = known & (np.abs(field.records.series[..., 0]) < 2)
    assert np.allclose(moved[inside], np.broadcast_to(up, moved.shape)[inside], atol=1e-3)
    assert np.isnan(moved[~known]).all()
    assert np.nanmax(np.abs(after.series[..., 0])) <= max(3.0, np.nanmax(np.abs(series[..., 0])))
    assert np.array_equal(after.series[..., 1], field.records.series[..., 1], equal_nan=True)
    for attack in ATTACKS:
        found = attack.run(aim, (), np.random.default_rng(1))[at(1)]
        assert found.success.mean() > found.control.mean() + 0.3


def test_the_decision_flags_as_many_as_have_the_outcome() -> None:
    records = table()
    rare = replace(records, y=(np.random.default_rng(0).random(len(records)) < 0.12).astype(int))
    shy = Linear(linear().weights * 0.05)
    field = _evasion.Field.of(target(rare, shy), 300)
    reference = target(rare, shy).split.reference
    flagged = (shy.predict_proba(reference)[:, 1] > field.cut).mean()
    assert abs(flagged - (reference.y == 1).mean()) < 2 / len(reference)


def test_a_model_that_reads_nothing_is_not_fooled() -> None:
    found = Square(queries=5).run(
        target(table(), Linear(np.zeros(10))), (), np.random.default_rng(0)
    )
    for trials in found.values():
        assert np.array_equal(trials.success, trials.guess)
        assert np.array_equal(trials.control, trials.guess)


def test_nothing_to_change_is_an_error_with_a_remedy() -> None:
    records = table()
    fixed = replace(records, columns=tuple(replace(c, mutable=False) for c in records.columns))
    with pytest.raises(PrivauditError, match="no column that an attacker may change"):
        Fgsm().run(target(fixed, linear()), (), np.random.default_rng(0))


@pytest.mark.parametrize("attack", [Fgsm(records=0), Pgd(steps=0), Square(queries=0)])
def test_settings_out_of_range_are_refused(attack) -> None:
    with pytest.raises(PrivauditError, match="=0"):
        attack.run(target(table(), linear()), (), np.random.default_rng(0))


def test_the_auroc_falls_under_attack_and_hardly_under_noise() -> None:
    """As arithmetic says: on a linear model every score moves by the same, towards the other
    side."""
    from sklearn.metrics import roc_auc_score

    from privaudit import stats

    aim = target(table(), linear())
    field = _evasion.Field.of(aim, 300)
    odds = field.records.X.astype(float) @ field.model.weights  # type: ignore[attr-defined]
    reach = np.abs(field.model.weights * field.spread).sum()  # type: ignore[attr-defined]
    found = Fgsm().run(aim, (), np.random.default_rng(2))
    estimates = {e.metric: e for e in stats.estimates(found, rng=np.random.default_rng(0))}
    for budget in _evasion.BUDGETS:
        y = field.records.y
        moved = odds + np.where(y == 1, -1, 1) * budget * reach
        one = {
            name: estimates[Metric(name, at=at(budget))]
            for name in ("auroc_attacked", "auroc_shaken", "auroc_unchanged", "auroc_fall")
        }
        assert one["auroc_attacked"].value == pytest.approx(roc_auc_score(y, moved), abs=1e-3)
        assert one["auroc_unchanged"].value == pytest.approx(roc_auc_score(y, odds), abs=1e-9)
        if budget <= 0.25:
            assert abs(one["auroc_shaken"].value - one["auroc_unchanged"].value) < 0.05
        gap = one["auroc_shaken"].value - one["auroc_attacked"].value
        assert one["auroc_fall"].value == pytest.approx(gap)
        assert one["auroc_fall"].low < gap < one["auroc_fall"].high or gap == 1
    assert estimates[Metric("auroc_fall", at=at(0.5))].low > 0.3
    none = Square(queries=2).run(
        target(table(), Linear(np.zeros(10))), (), np.random.default_rng(0)
    )
    for e in stats.estimates(none, rng=np.random.default_rng(0)):
        if e.metric.name == "auroc_fall":
            assert (e.value, e.low <= 0 <= e.high) == (0.0, True)
