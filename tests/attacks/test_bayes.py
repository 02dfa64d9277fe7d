"""The empirical-Bayes attack: its parts against known answers, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
from membership_lab import World, halves
from scipy.special import polygamma
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score, roc_curve

from privaudit.attacks._empirical_bayes import CAP, Curves, Sums, _untrigamma, _variance, fit
from privaudit.attacks._shadow_rules import best, early
from privaudit.attacks.membership.few_shadow_lira import FewShadowLira
from privaudit.attacks.membership.lira import Lira


def power(scores: np.ndarray, member: np.ndarray, rate: float = 0.01) -> float:
    fpr, tpr, _ = roc_curve(member, scores)
    return float(np.interp(rate, fpr, tpr))


@pytest.mark.parametrize("freedom", [0.5, 3.0, 40.0, 900.0])
def test_trigamma_is_inverted(freedom: float) -> None:
    assert _untrigamma(float(polygamma(1, freedom / 2))) == pytest.approx(freedom, rel=1e-6)


@pytest.mark.parametrize("excess", [-1.0, 0.0, 1e-9])
def test_no_excess_variance_means_one_shared_variance(excess: float) -> None:
    assert _untrigamma(excess) == CAP


@pytest.mark.parametrize(("planted", "freedom"), [(4.0, 3.0), (12.0, 3.0), (60.0, 15.0)])
def test_planted_prior_of_variances_is_found(planted: float, freedom: float) -> None:
    rng = np.random.default_rng(1)
    n = 20_000
    true = 2.0 * planted / rng.chisquare(planted, n)
    squares = true * rng.chisquare(freedom, n)
    variance, total = _variance(squares, np.full(n, freedom), np.ones((n, 1)))
    assert total[0] - freedom == pytest.approx(planted, rel=0.2)
    assert np.mean((np.log(variance) - np.log(true)) ** 2) < 0.5 * np.mean(
        (np.log(squares / freedom) - np.log(true)) ** 2
    )


def test_densities_are_students() -> None:
    rng = np.random.default_rng(2)
    location, scale = rng.normal(size=(2, 9)), rng.uniform(0.5, 2, (2, 9))
    freedom = rng.uniform(3, 50, (2, 9))
    asked = rng.normal(size=9)
    slow = student.logpdf(asked, freedom, location, scale)
    np.testing.assert_allclose(
        Curves(location, scale, freedom).ratio(asked), slow[1] - slow[0], rtol=1e-9, atol=1e-12
    )


def test_leaving_shadows_out_is_a_subtraction() -> None:
    rng = np.random.default_rng(3)
    included = halves(300, 16, rng)
    shadows = World.draw(300, rng).answer(included, rng)
    left = fit(Sums.of(shadows, included).without(shadows[4:6], included[4:6]))
    rest = np.delete(np.arange(16), [4, 5])
    fresh = fit(Sums.of(shadows[rest], included[rest]))
    for name in ("location", "scale", "freedom"):
        np.testing.assert_allclose(getattr(left, name), getattr(fresh, name), rtol=1e-6)


def test_gap_and_location_are_recovered() -> None:
    rng = np.random.default_rng(4)
    world = World.draw(4000, rng, gap=2.0)
    included = halves(4000, 16, rng)
    curves = fit(Sums.of(world.answer(included, rng), included))
    gap = curves.location[1] - curves.location[0]
    raw = 2 * world.spread / np.sqrt(16)
    assert np.sqrt(np.mean((gap - world.gap) ** 2)) < 0.85 * np.sqrt(np.mean(raw**2))
    assert abs(np.mean(curves.location[0] - world.level)) < 0.05


def mean_power(attack: FewShadowLira | Lira, world: World, seed: int, targets: int = 12) -> float:
    rng = np.random.default_rng(seed)
    n = len(world.level)
    included = halves(n, attack.shadows, rng)
    shadows = world.answer(included, rng)
    found = []
    for _ in range(targets):
        member = rng.random(n) < 0.5
        found.append(power(attack.score(world.answer(member, rng), shadows, included), member))
    return float(np.mean(found))


def test_eight_shadows_come_near_the_power_of_64() -> None:
    world = World.draw(3000, np.random.default_rng(5), gap=2.0)
    few = mean_power(FewShadowLira(8), world, 6)
    many = max(mean_power(Lira(64, variance=v), world, 6) for v in ("record", "global"))  # type: ignore[arg-type]
    plain = mean_power(Lira(8, variance="record"), world, 6)
    assert few > 0.8 * many
    assert few > 1.9 * plain


def wild(included: np.ndarray, base: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Margins of models whose log odds are wild where they are sure; membership moves the rest."""
    p = np.clip(base + 0.06 * included + 0.05 * rng.normal(size=included.shape), 1e-6, 1 - 1e-6)
    return np.log(p) - np.log1p(-p)


def test_the_chosen_rule_is_the_one_that_would_have_won() -> None:
    rng = np.random.default_rng(7)
    n = 2000
    included = halves(n, 16, rng)
    world, base = World.draw(n, rng, gap=2.0), rng.beta(1.0, 0.5, n)
    chosen = []
    for answer in (world.answer, lambda mask, rng: wild(mask, base, rng)):
        shadows = answer(included, rng)
        gained = dict.fromkeys(("curves", "rmia", "mean"), 0.0)
        for _ in range(12):
            member = rng.random(n) < 0.5
            asked = answer(member, rng)
            for rule in gained:
                scores = FewShadowLira(16, rule=rule).score(asked, shadows, included)  # type: ignore[arg-type]
                gained[rule] += early(scores, member)
        chosen.append(best(shadows, included))
        assert gained[chosen[-1]] > 0.97 * max(gained.values())
        assert gained[chosen[-1]] > 1.1 * min(gained.values())
    assert chosen[0] == "curves"


def test_choosing_is_blind_to_membership_that_the_counts_give_away() -> None:
    """With no gap at all, leaving a shadow out must not make it look found."""
    rng = np.random.default_rng(8)
    found = []
    for _ in range(20):
        included = halves(400, 8, rng)
        shadows = World.draw(400, rng, gap=0.0).answer(included, rng)
        left = fit(Sums.of(shadows, included).without(shadows[:2], included[:2]))
        found.append(roc_auc_score(included[0], left.ratio(shadows[0])))
    assert abs(np.mean(found) - 0.5) < 3 * np.std(found) / np.sqrt(20)


def test_early_roc_by_hand() -> None:
    member = np.array([True, True, False, False])
    assert early(np.array([3.0, 3.0, 1.0, 1.0]), member) == 1.0
    assert early(np.array([1.0, 1.0, 3.0, 3.0]), member) == 0.0
    assert early(np.zeros(4), member, limit=1.0) == pytest.approx(0.51, abs=1e-12)
