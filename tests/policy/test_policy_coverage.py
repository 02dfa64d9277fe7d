"""By simulation: one-sided bounds hold at the levels verdicts use, and clean models are not
blocked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from policy_lab import DAY, TPR, audit, member, policy, subject
from scipy.optimize import brentq
from scipy.stats import norm

from privaudit.contracts import Scores, Trials
from privaudit.facts import Metric
from privaudit.policy import judge
from privaudit.policy.rules import Limit
from privaudit.results import Estimate
from privaudit.stats import onesided
from privaudit.stats.membership import membership
from privaudit.stats.trials import trials

pytestmark = pytest.mark.slow

LEVELS = (0.05, 0.005)


def misses(
    draw: Callable[[np.random.Generator], Estimate], truth: float, runs: int, seed: int
) -> np.ndarray:
    """(levels, 2) shares of runs whose lower bound lies above the truth, whose upper one lies
    below."""
    rng = np.random.default_rng(seed)
    found = np.zeros((len(LEVELS), 2))
    for _ in range(runs):
        known = onesided.bounds(draw(rng))
        assert known is not None
        for row, level in enumerate(LEVELS):
            low, high = known.lower(level), known.upper(level)
            assert low is not None
            assert high is not None
            found[row] += low > truth, high < truth
    return found / runs


def scores(
    n: int, shift: float, clustered: bool, rng: np.random.Generator
) -> tuple[Scores, tuple[np.ndarray, np.ndarray]]:
    """Normal scores of n patients a side, of 1 to 4 correlated stays each where clustered."""
    parts, ids = [], []
    for side, move in enumerate((shift, 0.0)):
        stays = rng.integers(1, 5, n) if clustered else np.ones(n, dtype=int)
        whose = np.repeat(np.arange(n), stays)
        own = rng.normal(0, np.sqrt(0.5), n)[whose]
        parts.append(move + own + rng.normal(0, np.sqrt(0.5), len(whose)))
        ids.append(whose + side * n)
    return Scores(parts[0], parts[1]), (ids[0], ids[1])


def chances(shift: float, clustered: bool) -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations of a member's added scores, by the number of stays; those of others have
    the opposite means. What is taken away is the mean of both pools, shift / 2."""
    stays = np.arange(1, 5) if clustered else np.array([1])
    return stays * shift / 2, np.sqrt(0.5 * stays**2 + 0.5 * stays)


def true_auc(shift: float, clustered: bool) -> float:
    mean, spread = chances(shift, clustered)
    apart = mean[:, None] + mean[None, :]
    return float(norm.cdf(apart / np.hypot(spread[:, None], spread[None, :])).mean())


def true_rate(fpr: float, shift: float, clustered: bool) -> float:
    mean, spread = chances(shift, clustered)
    cut = brentq(lambda t: norm.sf(t, -mean, spread).mean() - fpr, -50, 50)
    return float(norm.sf(cut, mean, spread).mean())


def held(found: np.ndarray, runs: int) -> None:
    """No more misses than the level and four standard errors."""
    for row, level in enumerate(LEVELS):
        most = 1.25 * level + 4 * np.sqrt(level * (1 - level) / runs)
        assert found[row].max() <= most, (level, found[row])


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize(("n", "shift"), [(200, 0.0), (200, 2.0), (1600, 0.5)])
def test_auc(n: int, shift: float, clustered: bool) -> None:
    def draw(rng: np.random.Generator) -> Estimate:
        evidence, ids = scores(n, shift, clustered, rng)
        return membership(evidence, patients=ids, confidence=0.95, rng=rng, names=["auc"])[0]

    held(misses(draw, true_auc(shift, clustered), 600, 1), 600)


@pytest.mark.parametrize(
    ("n", "fpr", "shift", "clustered"),
    [
        (1000, 0.01, 0.5, False),
        (1000, 0.01, 1.0, True),
        (1600, 0.01, 1.0, False),
        (400, 0.1, 0.5, False),
    ],
)
def test_rates_at_few_false_alarms(n: int, fpr: float, shift: float, clustered: bool) -> None:
    """Ten to forty false alarms set the threshold: its error is the larger part."""
    name = str(Metric("tpr", fpr=fpr))

    def draw(rng: np.random.Generator) -> Estimate:
        evidence, ids = scores(n, shift, clustered, rng)
        return membership(evidence, patients=ids, confidence=0.95, rng=rng, names=[name])[0]

    held(misses(draw, true_rate(fpr, shift, clustered), 200, 2), 200)


@pytest.mark.parametrize(("n", "p", "q"), [(60, 0.5, 0.5), (300, 0.05, 0.05), (300, 0.3, 0.2)])
def test_trials(n: int, p: float, q: float) -> None:
    def both(rng: np.random.Generator) -> Sequence[Estimate]:
        tried = Trials((rng.random(n) < p) * 1.0, (rng.random(n) < q) * 1.0)
        return trials(tried, patients=np.arange(n))

    held(misses(lambda rng: both(rng)[0], p, 1500, 3), 1500)
    held(misses(lambda rng: both(rng)[2], p - q, 1500, 4), 1500)


def test_300_clean_models_are_not_blocked_and_leaking_ones_are() -> None:
    """Six attacks that know nothing, 1,250 patients a side, three rules: at most one false
    block."""
    rules = policy(
        Limit("tpr", "membership.tpr", 0.03, fpr=0.01),
        Limit("wide", "membership.tpr", 0.15, fpr=0.1),
        Limit("auc", "membership.auc", 0.55),
    )
    names = ("auc", str(TPR), str(Metric("tpr", fpr=0.1)))
    rng = np.random.default_rng(11)
    n = 1250
    ids = np.arange(n), np.arange(n, 2 * n)

    def code(shift: float) -> int:
        shared = rng.normal(size=2 * n)
        shared[:n] += shift
        found = []
        for attack in range(3):
            seen = shared + rng.normal(0, 0.5, 2 * n)
            numbers = membership(
                Scores(seen[:n], seen[n:]), patients=ids, confidence=0.95, rng=rng, names=names
            )
            found.append(member(f"a{attack}", *numbers))
        return judge(rules, audit(subject(outcomes=found)), today=DAY).code

    clean = [code(0.0) for _ in range(300)]
    assert clean.count(1) <= 1
    assert clean.count(0) >= 240
    leaking = [code(1.0) for _ in range(20)]
    assert leaking.count(1) >= 19
    assert leaking.count(0) == 0
