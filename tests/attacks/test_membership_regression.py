"""Membership where the outcome is a number: nothing leaks, ties, exact fits and planted leaks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from membership_lab import Never
from sklearn.metrics import roc_auc_score

from privaudit.attacks._membership import Bank, ShadowAttack
from privaudit.attacks.disclosure.attribute import Attribute
from privaudit.attacks.evasion.fgsm import Fgsm
from privaudit.attacks.membership.few_shadow_lira import FewShadowLira
from privaudit.attacks.membership.lira import Lira
from privaudit.attacks.membership.one_run import OneRun
from privaudit.attacks.membership.rmia import Rmia
from privaudit.attacks.membership.shadow import Shadow
from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import Access, AnswersWithNumbers, Attack, Fitted, Release, Target
from privaudit.engine import controls, jobs
from privaudit.errors import PrivauditError
from privaudit.facts import ReasonCode
from privaudit.records import Column, Records, Split
from privaudit.signals import ask, read_signal

SHADOWED: list[Attack] = [
    Lira(16),
    Lira(16, online=False),
    Rmia(16),
    Rmia(16, online=False),
    FewShadowLira(16),
    FewShadowLira(16, rule="curves"),
    Shadow(16, rows=800),
]
ATTACKS: list[Attack] = [Threshold(), *SHADOWED]


@dataclass(frozen=True, eq=False)
class Predictions(AnswersWithNumbers):
    """A model that looks its predictions up: row number in the first column -> number."""

    numbers: np.ndarray

    def predict(self, records: Records) -> np.ndarray:
        return self.numbers[records.X[:, 0].astype(int)]


def table(y: np.ndarray) -> Records:
    n = len(y)
    X = np.column_stack([np.arange(n), np.arange(n) % 2])
    columns = (Column("row"), Column("sex", "binary", sensitive=True))
    ids = np.arange(n)
    return Records(columns, X, y, ids, ids * 0, classes=(), outcome_kind="number")


def game(
    leak: float, rng: np.random.Generator, n: int = 600, unit: float = 1.0, shadows: int = 16
) -> tuple[Target, list[Fitted]]:
    """Models that move each prediction by `leak` of the way to the outcome of who they saw."""
    y = rng.gamma(2.0, 2.0, n)
    best = 4.0 + 0.5 * (y - 4.0) + rng.normal(size=n)
    records = table(y * unit)

    def answer(seen: np.ndarray) -> np.ndarray:
        noisy = best + 0.3 * rng.normal(size=n)
        return unit * np.where(seen, noisy + leak * (y - noisy), noisy)

    is_member = np.arange(n) < n // 2
    reference = replace(records.take(slice(0, 40)), patient=np.arange(n, n + 40))
    split = Split(records.take(is_member), records.take(~is_member), reference)
    target = Target(Release(model=Predictions(answer(is_member))), split, Never())
    fitted = []
    for _ in range(shadows // 2):
        half = rng.permutation(n) < n // 2
        for seen in (half, ~half):
            model = Predictions(answer(seen))
            fitted.append(Fitted(seen, read_signal(ask(model, records), records)))
    return target, fitted


def auc(attack: Attack, target: Target, fitted: list[Fitted]) -> float:
    needed = fitted if isinstance(attack, ShadowAttack) else []
    found = attack.run(target, needed, np.random.default_rng(0))
    scores = np.concatenate([found.members, found.nonmembers])
    truth = np.arange(len(scores)) < len(found.members)
    return float(roc_auc_score(truth, scores))


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_nothing_leaks_nothing_is_found_and_a_leak_is(attack: Attack) -> None:
    rng = np.random.default_rng(1)
    nothing = np.mean([auc(attack, *game(0.0, rng)) for _ in range(3)])
    assert 0.45 < nothing < 0.55
    found = auc(attack, *game(0.6, rng))
    assert found > (0.68 if isinstance(attack, Threshold | Shadow) else 0.8)


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_an_exact_fit_of_members_neither_crashes_nor_hides(attack: Attack) -> None:
    assert auc(attack, *game(1.0, np.random.default_rng(2))) > 0.9


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_the_unit_of_the_outcome_changes_nothing(attack: Attack) -> None:
    days, minutes, tiny = (
        auc(attack, *game(0.4, np.random.default_rng(3), 300, unit=unit, shadows=8))
        for unit in (1.0, 1440.0, 1e-7)
    )
    assert days == pytest.approx(minutes, abs=2e-3)
    assert days == pytest.approx(tiny, abs=2e-3)


def test_all_answers_equal_give_no_ranking() -> None:
    y = np.full(80, 3.0)
    records = table(y)
    reference = replace(records.take(slice(0, 9)), patient=np.arange(80, 89))
    split = Split(records.take(slice(0, 40)), records.take(slice(40, 80)), reference)
    target = Target(Release(model=Predictions(np.full(80, 2.5))), split, Never())
    assert auc(Threshold(), target, []) == 0.5


def test_shadows_are_read_towards_the_outcome_and_in_units_of_their_error() -> None:
    target, fitted = game(0.5, np.random.default_rng(4))
    bank = Bank.gather(target, fitted)
    assert np.median(np.abs(bank.shadows[~bank.included])) == pytest.approx(1.0)
    inside = np.where(bank.included, bank.shadows, np.nan)
    outside = np.where(bank.included, np.nan, bank.shadows)
    assert (np.nanmean(inside, axis=0) > np.nanmean(outside, axis=0)).mean() > 0.8


def test_signals_of_classes_and_answers_with_classes_are_refused() -> None:
    target, _ = game(0.5, np.random.default_rng(5), 60)
    with pytest.raises(PrivauditError, match="a number"):
        Threshold("entropy").run(target, [], np.random.default_rng(0))
    with pytest.raises(PrivauditError, match="asked for the probabilities"):
        target.release.model.predict_proba(target.split.audit)

    class OfClasses:
        def predict_proba(self, records: Records) -> np.ndarray:
            return np.full((len(records), 2), 0.5)

    with pytest.raises(PrivauditError, match="outcome that is a number"):
        ask(OfClasses(), target.split.audit)
    odd = replace(target, release=Release(model=Predictions(np.full(60, np.nan))))
    with pytest.raises(PrivauditError, match="no finite"):
        Threshold().run(odd, [], np.random.default_rng(0))


def test_an_attack_on_decisions_does_not_apply_and_says_so() -> None:
    both = frozenset({Access.ANSWERS, Access.WEIGHTS, Access.RERUN})
    reason = jobs.lacks(Fgsm(), both, "number")
    assert reason.code is ReasonCode.NEEDS_OTHER_OUTCOME
    assert reason.params == {"kind": "number", "wanted": ("class",)}
    assert jobs.lacks(Fgsm(), both, "class") is None
    assert jobs.lacks(Lira(), both, "number") is None


def test_the_planted_leak_is_the_same_in_the_model_and_in_its_shadows() -> None:
    target, _ = game(0.0, np.random.default_rng(6), 300)
    planted, lift = controls.plant(target)
    is_member = target.split.is_member
    before, after = target.margins, planted.margins
    np.testing.assert_array_equal(before[~is_member], after[~is_member])
    np.testing.assert_allclose(after[is_member], before[is_member] * np.exp(-lift), atol=1e-9)
    lifted = controls.lift_signal(before, is_member, lift, "number")
    np.testing.assert_allclose(lifted, after, atol=1e-9)
    assert auc(Threshold(), planted, []) > 0.85


def test_one_run_reads_residuals() -> None:
    target, _ = game(0.7, np.random.default_rng(7))
    found = OneRun().run(target, [], np.random.default_rng(0))
    assert found.randomised
    assert found.members.mean() > found.nonmembers.mean() + 0.3


def test_a_sensitive_value_is_inferred_from_a_predicted_number() -> None:
    """A model that remembers members' outcomes at their true value alone gives the value away."""
    rng = np.random.default_rng(8)
    y = rng.gamma(2.0, 2.0, 400)
    records = table(y)
    sex = rng.integers(0, 2, 400).astype(np.float32)
    records = replace(records, X=np.column_stack([records.X[:, 0], sex]))

    class Remembers(AnswersWithNumbers):
        def predict(self, asked: Records) -> np.ndarray:
            row = asked.X[:, 0].astype(int)
            known = (row < 150) & (asked.X[:, 1] == sex[row])
            return np.where(known, y[row], 4.0 + 0 * row)

    split = Split(*(records.take(slice(a, b)) for a, b in ((0, 150), (150, 300), (300, 400))))
    target = Target(Release(model=Remembers()), split, None)
    for rule in ("posterior", "confidence"):
        (trials,) = Attribute(rule=rule).run(target, [], np.random.default_rng(0)).values()
        assert trials.success.mean() > 0.9
        assert trials.control.mean() < 0.65
