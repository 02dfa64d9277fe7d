"""What every membership attack must do: no false alarm, no crash on ties, find what is there."""

from __future__ import annotations

import random
from dataclasses import fields

import numpy as np
import pytest
from membership_lab import (
    ALONE,
    ATTACKS,
    WITH_SHADOWS,
    Forest,
    Never,
    World,
    auc,
    fitted,
    game,
    halves,
    perform,
    table,
)
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from privaudit.attacks.membership.few_shadow_lira import FewShadowLira
from privaudit.attacks.membership.lira import Lira
from privaudit.attacks.membership.rmia import Rmia
from privaudit.attacks.membership.shadow import Shadow
from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import Access, Attack, Scores, Target
from privaudit.errors import PrivauditError
from privaudit.records import Split
from privaudit.seeds import Seeds
from privaudit.stats import estimates

each = pytest.mark.parametrize("attack", ATTACKS, ids=repr)
each_shadowed = pytest.mark.parametrize("attack", WITH_SHADOWS, ids=repr)


def joined(scores: Scores) -> np.ndarray:
    return np.concatenate([scores.members, scores.nonmembers])


def covers_half(scores: Scores, confidence: float = 0.95) -> bool:
    """Whether DeLong's interval of the AUC holds 0.5."""
    wins = (scores.members[:, None] > scores.nonmembers) + 0.5 * (
        scores.members[:, None] == scores.nonmembers
    )
    v10, v01 = wins.mean(axis=1), wins.mean(axis=0)
    error = np.sqrt(v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01))
    return bool(abs(wins.mean() - 0.5) <= norm.ppf(0.5 + confidence / 2) * error + 1e-15)


@pytest.fixture(scope="module")
def forest() -> tuple[Target, Seeds]:
    rng = np.random.default_rng(11)
    records = table(rng.normal(size=(500, 8)), rng.integers(0, 2, 500))
    split = Split.assign(records, rng)
    return Target(Forest().fit(split.members, rng), split, Forest()), Seeds(5)


@pytest.fixture(scope="module")
def forest_refits(forest: tuple[Target, Seeds]) -> list:
    target, seeds = forest
    return perform(Lira(16).refits(target, seeds), seeds)


@each
def test_an_overfit_forest_leaks_nearly_all(
    attack: Attack, forest: tuple[Target, Seeds], forest_refits: list
) -> None:
    target, seeds = forest
    assert auc(attack.run(target, forest_refits, seeds.rng("run"))) > 0.95


def alarms(attack: Attack, runs: int, n: int, overfit: float) -> float:
    """How often the AUC interval excludes 0.5 when the target saw nobody of the audit."""
    rng = np.random.default_rng(2)
    found = 0
    for run in range(runs):
        if run % 25 == 0:
            y = rng.integers(0, 2, n)
            world = World.draw(n, rng, overfit)
            included = halves(n, 8, rng)
            shadows = fitted(world.answer(included, rng), included)
        target = game(world.answer(np.zeros(n, dtype=bool), rng), y)
        mixed = rng.permutation(n)  # membership by lot: exchangeable pools
        scores = joined(attack.run(target, shadows, rng))[mixed]
        found += not covers_half(Scores(scores[: n // 2], scores[n // 2 :]))
    return found / runs


@each
@pytest.mark.parametrize("overfit", [0.0, 2.0])
def test_null_covers_half(attack: Attack, overfit: float) -> None:
    assert alarms(attack, runs=10, n=200, overfit=overfit) <= 0.2


@pytest.mark.slow
@each
def test_false_alarms_stay_below_six_percent(attack: Attack) -> None:
    """600 runs: an attack that raises 8 % of false alarms passes 1 time in 25. `shadow` learns a
    classifier in every run, and 200 runs see one of 12 % as surely."""
    runs, most = (200, 0.08) if isinstance(attack, Shadow) else (600, 0.06)
    assert alarms(attack, runs=runs, n=200, overfit=2.0) <= most


@each
def test_a_constant_model_leaks_nothing(attack: Attack) -> None:
    rng = np.random.default_rng(3)
    included = halves(60, 8, rng)
    target = game(np.zeros(60), rng.integers(0, 2, 60))
    scores = attack.run(target, fitted(np.zeros((8, 60)), included), rng)
    assert auc(scores) == 0.5
    assert len(np.unique(joined(scores))) == 1


@each
@pytest.mark.parametrize("n", [4, 9, 30])
def test_ties_saturation_and_few_records_stay_finite(attack: Attack, n: int) -> None:
    rng = np.random.default_rng(n)
    levels = np.array([-690.775, -4.0, 0.0, 4.0, 690.775])
    for _ in range(5):
        included = halves(n, 8, rng)
        shadows = fitted(rng.choice(levels, (8, n)), included)
        target = game(np.clip(rng.choice(levels, n), -600, 600), rng.integers(0, 2, n))
        scores = attack.run(target, shadows, rng)
        assert np.isfinite(joined(scores)).all()
        assert len(scores.members) == n // 2


@pytest.mark.parametrize("attack", ALONE, ids=repr)
def test_saturated_float32_answers_keep_their_order(attack: Attack) -> None:
    rng = np.random.default_rng(4)
    margins, y = rng.normal(0.0, 30.0, 200), rng.integers(0, 2, 200)
    fine = joined(attack.run(game(margins, y), (), rng))
    coarse = joined(attack.run(game(margins, y, np.float32), (), rng))
    order = np.argsort(fine, kind="stable")
    assert np.isfinite(coarse).all()
    assert (np.diff(coarse[order]) >= -1e-4).all()


@each_shadowed
def test_one_saturated_shadow_does_not_swamp_the_rest(attack: Attack) -> None:
    rng = np.random.default_rng(5)
    n = 400
    world = World.draw(n, rng, gap=3.0)
    included = halves(n, 8, rng)
    member = np.arange(n) < n // 2
    shadows = world.answer(included, rng)
    target = game(world.answer(member, rng), rng.integers(0, 2, n))
    clean = auc(attack.run(target, fitted(shadows, included), np.random.default_rng(1)))
    surest = shadows > np.quantile(shadows, 0.99)
    shadows[surest] = 690.775
    dirty = auc(attack.run(target, fitted(shadows, included), np.random.default_rng(1)))
    assert clean > 0.75
    assert dirty > clean - 0.05


@each
def test_auc_is_scikit_learns(attack: Attack) -> None:
    rng = np.random.default_rng(6)
    included = halves(80, 8, rng)
    shadows = fitted(np.round(World.draw(80, rng).answer(included, rng)), included)
    target = game(np.round(rng.normal(0, 2, 80)), rng.integers(0, 2, 80))
    scores = attack.run(target, shadows, rng)
    expected = roc_auc_score(target.split.is_member, joined(scores))
    patients = (target.split.members.patient, target.split.nonmembers.patient)
    (found,) = estimates(scores, patients=patients, rng=rng, names={"auc"})
    assert auc(scores) == pytest.approx(expected, abs=1e-12)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= expected <= found.high


@each
def test_same_stream_same_scores_and_nothing_else_moves(
    attack: Attack, forest: tuple[Target, Seeds], forest_refits: list
) -> None:
    target, seeds = forest
    before = target.split.audit.fingerprint, [f.margins.copy() for f in forest_refits]
    state = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    first = joined(attack.run(target, forest_refits, seeds.rng("run", repr(attack))))
    for other in ATTACKS[:2]:
        other.run(target, forest_refits, seeds.rng("run", repr(other)))
    again = joined(attack.run(target, forest_refits, seeds.rng("run", repr(attack))))
    np.testing.assert_array_equal(first, again)
    assert (np.random.get_state()[1] == state[0]).all()  # noqa: NPY002
    assert random.getstate() == state[1]
    assert target.split.audit.fingerprint == before[0]
    for refit, kept in zip(forest_refits, before[1], strict=True):
        np.testing.assert_array_equal(refit.margins, kept)


@each
def test_needs_are_honest(attack: Attack) -> None:
    rng = np.random.default_rng(7)
    full = game(rng.normal(size=40), rng.integers(0, 2, 40))
    assert attack.needs <= full.access
    reruns = attack.refits(full, Seeds(0))
    assert bool(reruns) == (Access.RERUN in attack.needs)
    included = halves(40, 8, rng)
    shadows = fitted(rng.normal(size=(8, 40)), included) if reruns else []
    attack.run(full, shadows, rng)  # Never refuses to train: only the declared refits are used
    unknown = Target(full.release, full.split, None)
    assert (attack.needs <= unknown.access) == (not reruns)


@each
def test_constructor_only_stores(attack: Attack) -> None:
    assert eval(repr(attack)) == attack
    assert {f.name for f in fields(attack)} == set(vars(attack))


def test_scores_do_not_read_the_answer_sheet() -> None:
    """The same audit cut elsewhere gives every record the same score."""
    rng = np.random.default_rng(8)
    n = 60
    included = halves(n, 8, rng)
    shadows = fitted(World.draw(n, rng).answer(included, rng), included)
    one = game(rng.normal(size=n), rng.integers(0, 2, n))
    audit = one.split.audit
    other = Target(
        one.release,
        Split(audit.take(slice(0, 7)), audit.take(slice(7, n)), one.split.reference),
        Never(),
    )
    for attack in ATTACKS:
        a = attack.run(one, shadows, np.random.default_rng(1))
        b = attack.run(other, shadows, np.random.default_rng(1))
        np.testing.assert_array_equal(joined(a), joined(b))
        assert len(b.members) == 7


def test_half_samples_are_complementary_and_split_by_patient() -> None:
    rng = np.random.default_rng(9)
    patient = rng.integers(0, 60, 200)
    records = table(rng.normal(size=(200, 2)), rng.integers(0, 2, 200), patient)
    target = Target(Forest().fit(records, rng), Split.assign(records, rng), Forest())
    refits = Lira(24).refits(target, Seeds(1))
    audit = target.split.audit
    included = np.array([refit.included for refit in refits])
    assert len(refits) == 24
    for even in range(2, 25, 2):
        assert (included[:even].sum(axis=0) == even // 2).all()
    for mask in included:
        assert set(audit.patient[mask]).isdisjoint(audit.patient[~mask])
    assert len(np.unique(included[::2], axis=0)) == 12
    assert all(refit.pool is audit and refit.ask is audit for refit in refits)


def test_shadow_attacks_ask_for_the_same_models() -> None:
    rng = np.random.default_rng(10)
    target = game(rng.normal(size=40), rng.integers(0, 2, 40))
    few, many = (
        [refit.key for refit in attack.refits(target, Seeds(3))]
        for attack in (FewShadowLira(8), Lira(64))
    )
    assert many[:8] == few
    assert len(set(many)) == 64
    for attack in (Shadow(8), Rmia(8)):
        assert [refit.key for refit in attack.refits(target, Seeds(3))] == few


@pytest.mark.parametrize("count", [0, -8, 2, 6, 12, 8.0, 4.0, True, "16"])
def test_a_number_of_shadows_that_cannot_be_is_refused(count: object) -> None:
    rng = np.random.default_rng(0)
    target = game(rng.normal(size=40), rng.integers(0, 2, 40))
    for family in (Lira, Rmia, FewShadowLira, Shadow):
        with pytest.raises(PrivauditError, match="shadows="):
            family(count).refits(target, Seeds(0))


@pytest.mark.parametrize(
    "attack",
    [
        Threshold("loud"),  # type: ignore[arg-type]
        Lira(8, variance="both"),  # type: ignore[arg-type]
        Rmia(8, slope=1.5),
        FewShadowLira(8, rule="worst"),  # type: ignore[arg-type]
        Shadow(8, rows=3),
    ],
    ids=repr,
)
def test_a_parameter_that_cannot_be_is_refused(attack: Attack) -> None:
    rng = np.random.default_rng(0)
    target = game(rng.normal(size=40), rng.integers(0, 2, 40))
    with pytest.raises(PrivauditError, match="="):
        attack.run(target, (), rng)


@each
def test_a_model_that_answers_nonsense_is_refused(attack: Attack) -> None:
    rng = np.random.default_rng(0)
    target = game(np.full(40, np.nan), rng.integers(0, 2, 40))
    shadows = fitted(rng.normal(size=(8, 40)), halves(40, 8, rng))
    with pytest.raises(PrivauditError, match="no finite probability"):
        attack.run(target, shadows, rng)
