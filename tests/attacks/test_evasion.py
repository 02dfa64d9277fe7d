"""Evasion attacks on models whose weakness is known by arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.special import expit

from privaudit.attacks import _constraints
from privaudit.attacks.evasion import _art_classifier as _gradient
from privaudit.attacks.evasion import _evasion
from privaudit.attacks.evasion.fgsm import Fgsm
from privaudit.attacks.evasion.pgd import Pgd
from privaudit.attacks.evasion.square import Square
from privaudit.contracts import Release, Target
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import Column, Records, Split

ATTACKS = [Fgsm(), Pgd(), Square()]
FREE = 6


@dataclass(frozen=True, eq=False)
class Linear:
    """Logistic regression on X, missing read as 0; gradients by hand."""

    weights: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        p = expit(np.nan_to_num(records.X.astype(float)) @ self.weights)
        return np.stack([1 - p, p], axis=1)

    def input_gradient(self, records: Records) -> tuple[np.ndarray, np.ndarray | None]:
        error = self.predict_proba(records)[:, 1] - records.y
        slopes = error[:, None] * self.weights * np.isfinite(records.X)
        return slopes, None if records.series is None else np.zeros(records.series.shape)

    def weight_gradient(self, records: Records) -> np.ndarray:
        raise NotImplementedError


def at(size: float) -> Setting:
    return Setting("budget", size, "sd")


def table(n: int = 1500, missing: float = 0.0, seed: int = 0) -> Records:
    """Six free columns of different units, an immutable one, a flag, a code and a count."""
    rng = np.random.default_rng(seed)
    units = np.array([1.0, 2.0, 5.0, 10.0, 0.1, 1.0])
    x = np.concatenate([rng.normal(size=(n, FREE)) * units, rng.normal(size=(n, 4))], axis=1)
    x[:, 7:] = rng.integers(0, 2, size=(n, 3))
    y = (rng.random(n) < expit(x[:, :FREE] / units @ np.ones(FREE) - 1)).astype(int)
    x[:, :FREE][rng.random((n, FREE)) < missing] = np.nan
    columns = (
        *(Column(f"x{j}") for j in range(FREE)),
        Column("age", mutable=False),
        Column("flag", kind="binary"),
        Column("code", kind="category", levels=("a", "b")),
        Column("x_n", variable="x", statistic="count"),
    )
    return Records(columns, x, y, np.arange(n) // 2, np.zeros(n))


def linear() -> Linear:
    scale = np.array([1.0, 2.0, 5.0, 10.0, 0.1, 1.0])
    return Linear(np.concatenate([1 / scale, np.full(4, 0.7)]))


def target(records: Records, model: object) -> Target:
    return Target(Release(model=model), Split.assign(records, np.random.default_rng(1)))  # type: ignore[arg-type]


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
    real = _evasion.Field.changed

    def watch(self, change, box, rows=None):
        result = real(self, change, box, rows)
        whole = self.records if rows is None else self.records.take(rows)
        seen.append((whole, result, (box.high - box.low) / 2))
        return result

    monkeypatch.setattr(_evasion.Field, "changed", watch)
    records = table(missing=0.3)
    found = attack.run(target(records, linear()), (), np.random.default_rng(2))
    assert found[at(1)].success.mean() > found[at(1)].control.mean() + 0.2
    assert len(seen) > 5
    for before, after, reach in seen:
        assert np.array_equal(before.X[:, FREE:], after.X[:, FREE:])
        assert np.array_equal(np.isnan(before.X), np.isnan(after.X))
        moved = np.abs(after.X.astype(float) - before.X)
        assert not (moved[:, :FREE] > reach[:, :FREE] * (1 + 1e-5) + 1e-6).any()


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


def vitals(n: int = 2000, seed: int = 0) -> Records:
    """Hourly values summarised, a third of the patients measured once, some never, one bounded."""
    rng = np.random.default_rng(seed)
    columns, parts = [], []
    for v, (centre, scale) in enumerate([(80, 15), (37, 0.7), (1.0, 0.8)]):
        hourly = centre + scale * (rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(n, 8)))
        hourly = np.clip(hourly, 0.1, 299).astype(np.float32)
        hourly[rng.random(n) < 1 / 3, 1:] = np.nan
        hourly[rng.random(n) < 0.1] = np.nan
        known = np.isfinite(hourly)
        count = known.sum(axis=1)
        some = np.where(known, hourly, 0)
        first = hourly[:, 0]
        last = np.where(count > 1, hourly[:, -1], first)
        low = np.where(known, hourly, np.inf).min(axis=1)
        high = np.where(known, hourly, -np.inf).max(axis=1)
        mean = np.where(count > 1, some.sum(axis=1) / np.maximum(count, 1), first)
        low, high = (np.where(count > 0, part, np.nan) for part in (low, high))
        mean = np.clip(mean, low, high)
        for name, part in zip(
            ("first", "last", "min", "max", "mean"), (first, last, low, high, mean), strict=True
        ):
            bounds = (0.1, 299.0)
            columns.append(Column(f"v{v}_{name}", bounds=bounds, variable=f"v{v}", statistic=name))  # type: ignore[arg-type]
            parts.append(part)
    x = np.stack(parts, axis=1)
    y = (rng.random(n) < 0.2).astype(int)
    return Records(tuple(columns), x, y, np.arange(n), np.zeros(n))


def rules_kept(before: Records, after: Records) -> bool:
    places = {c.name: j for j, c in enumerate(after.columns)}
    for v in range(3):
        x = {s: after.X[:, places[f"v{v}_{s}"]] for s in _constraints.SUMMARIES}
        was = {s: before.X[:, places[f"v{v}_{s}"]] for s in _constraints.SUMMARIES}
        for inner in ("mean", "first", "last"):
            if (x[inner] < x["min"]).any() or (x[inner] > x["max"]).any():
                return False
        once = was["min"] == was["max"]
        if not (x["min"][once] == x["max"][once]).all():
            return False
    seen = np.isfinite(after.X)
    return bool((after.X[seen] >= 0.1).all() and (after.X[seen] <= 299).all())


@pytest.mark.parametrize("budget", [0.05, 0.5, 1.0, 3.0])
def test_random_changes_become_possible_records_within_the_budget(budget: float) -> None:
    records = vitals()
    assert rules_kept(records, records)
    field = _evasion.Field.of(target(records, Linear(np.ones(15))), 800)
    box = field.box(budget)
    rng = np.random.default_rng(5)
    wild = budget * rng.choice([-1.0, 1.0], size=field.present.shape)
    raw = field.records.X.astype(float) + wild * field.spread
    assert _constraints.broken(raw, box.places).mean() > 0.3
    after = field.changed(wild, box)
    assert rules_kept(field.records, after)
    moved = np.abs(after.X.astype(float) - field.records.X) / field.spread
    assert np.nanmax(moved) <= budget * (1 + 1e-4)
    # The constraints leave room: most variables measured more than once still move.
    assert (np.nan_to_num(moved) > budget / 10).mean() > 0.4
    # A possible record is left as it is.
    same = field.changed(np.zeros_like(wild), box)
    assert np.array_equal(same.X, field.records.X, equal_nan=True)


@pytest.mark.parametrize(
    "attack", [Fgsm(), Pgd(), Square(queries=60)], ids=lambda a: type(a).__name__
)
def test_attacked_summaries_are_possible(attack, monkeypatch) -> None:
    """A model that looks at max - min is fooled only within what a record may be."""
    asked = []

    class Spy(Linear):
        def predict_proba(self, records):
            asked.append(records)
            return super().predict_proba(records)

    weights = np.tile([0.01, -0.01, -1.0, 1.0, 0.3], 3)
    scale = np.nanstd(vitals().X, axis=0)
    aim = target(vitals(), Spy(weights / scale))
    field = _evasion.Field.of(aim, 300)
    asked.clear()
    found = attack.run(aim, (), np.random.default_rng(0))
    tried = [r for r in asked if r.X.shape == field.records.X.shape]
    # The first questions ask what the model reads; the first of them shifts nothing.
    shifted = [r for r in tried if not np.array_equal(r.X, field.records.X, equal_nan=True)][2:]
    assert shifted
    assert all(rules_kept(field.records, r) for r in shifted)
    assert found[at(1)].success.mean() > found[at(1)].control.mean() + 0.15


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

    def fgsm(estimator: object, eps: float) -> object:
        from art.attacks.evasion import FastGradientMethod

        return FastGradientMethod(estimator, norm=np.inf, eps=eps, eps_step=eps, batch_size=300)

    after = _gradient.craft(field, budget, fgsm, np.random.default_rng(0))
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
