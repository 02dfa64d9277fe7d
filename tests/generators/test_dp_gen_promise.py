"""Whether a private generator's promise holds: an attacker who knows all but one patient plays
against it."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.stats import beta

from pipelines.generators._cells import CellSampler
from pipelines.generators.dp_histogram import DPHistogram
from pipelines.generators.dp_marginals import DPMarginals
from privaudit.contracts import Generator
from privaudit.dp import accounting
from privaudit.records import Column, Records

GAMES = 4000
CONFIDENCE = 0.999
"""One-sided, for the lower bound of epsilon: one false alarm in a thousand runs of this file."""


def neighbours(columns: int, n: int = 240) -> tuple[Records, Records]:
    """Two tables that differ in one patient, whose every value is one that some others have too."""
    rng = np.random.default_rng(0)
    told = tuple(Column(f"x{i}", "category", levels=("a", "b", "c")) for i in range(columns))
    X, y = rng.integers(0, 3, (n + 1, columns)).astype(float), rng.integers(0, 2, n + 1)
    X[-1], y[-1] = 1.0, 1
    whole = Records(told, X, y, np.arange(n + 1), np.zeros(n + 1))
    return whole, whole.take(slice(n))


def score(sampler: CellSampler, total: float) -> float:
    """How many patients the release says are in the target's cells, summed over columns. Made of
    what is handed out alone; of all weights, even ones see most of Gaussian noise."""
    found = 0.0
    for i, table in enumerate(sampler.tables):
        above = sampler.parent[i]
        row = table[1, 0 if above < 0 else 1]
        found += float(sampler.prior[1] * row[1])
    return found * total


def epsilon_shown(generator: Generator, columns: int, games: int, delta: float) -> float:
    """A lower bound of epsilon at CONFIDENCE from that many fits with and without the target.

    For a threshold set on the first half of the games and rates counted on the second:
    (TPR - delta) / FPR at most e^epsilon, with Clopper and Pearson's bounds.
    """
    told = [
        np.array([score(generator.fit(side, np.random.default_rng(s)), len(side)) for s in seeds])
        for side, seeds in zip(
            neighbours(columns), (range(games), range(games, 2 * games)), strict=True
        )
    ]
    half = games // 2
    best, best_at = -np.inf, 0.0
    for at in np.quantile(told[1][:half], np.linspace(0.3, 0.995, 60)):
        tpr, fpr = ((side[:half] > at).mean() for side in told)
        value = math.log(max(tpr - delta, 1e-9) / max(fpr, 1 / half))
        if value > best:
            best, best_at = value, at
    hits, alarms = ((side[half:] > best_at).sum() for side in told)
    alpha = (1 - CONFIDENCE) / 2
    low = beta.ppf(alpha, hits, half - hits + 1) if hits else 0.0
    high = beta.ppf(1 - alpha, alarms + 1, half - alarms)
    return max(0.0, math.log(max(low - delta, 1e-9) / high))


def tenth(epsilon: float, delta: float, times: int = 1) -> float:
    """The planted fault: ten times too little noise."""
    return REAL(epsilon, delta, times) / 10


REAL = accounting.solve_gaussian
CLAIM = cache(accounting.gaussian)
"""Each game's claim is the same: made once."""


def promised(sigma: float, delta: float, **more: object) -> object:
    """What the faulty generator says all the same."""
    return CLAIM(sigma * 10, delta, **more)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_histogram_keeps_its_promise_and_a_broken_one_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accounting, "gaussian", CLAIM)
    generator = DPHistogram(epsilon=3.0, delta=1e-4)
    kept = epsilon_shown(generator, 4, GAMES, 1e-4)
    # It sees something, or it could not see a fault either.
    assert 0.3 < kept <= 3.0
    monkeypatch.setattr(accounting, "solve_gaussian", tenth)
    monkeypatch.setattr(accounting, "gaussian", promised)
    broken = generator.fit(neighbours(4)[0], np.random.default_rng(0))
    assert broken.claim.epsilon <= 3.0
    assert epsilon_shown(generator, 4, GAMES, 1e-4) > 3.0


@pytest.mark.slow
def test_marginals_keep_their_promise_and_a_broken_one_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fewer games, since each fit takes a tenth of a second and more."""
    monkeypatch.setattr(accounting, "gaussian", CLAIM)
    generator = DPMarginals(epsilon=1.0, delta=1e-4, iterations=50)
    assert epsilon_shown(generator, 2, 160, 1e-4) <= 1.0
    monkeypatch.setattr(accounting, "solve_gaussian", tenth)
    monkeypatch.setattr(accounting, "gaussian", promised)
    assert epsilon_shown(generator, 2, 160, 1e-4) > 1.5


def test_a_second_stay_of_a_patient_moves_no_more_than_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sensitivity by counting: with the noise of both fits the same, one patient moves one cell a
    column."""
    monkeypatch.setattr(accounting, "gaussian", CLAIM)
    whole, without = neighbours(3)
    twice = replace(whole, patient=np.minimum(whole.patient, len(whole) - 2))
    generator = DPHistogram(epsilon=50.0, delta=1e-4)
    one, two, none = (
        sum(
            score(generator.fit(side, np.random.default_rng(s)), len(np.unique(side.patient)))
            for s in range(60)
        )
        / 60
        for side in (whole, twice, without)
    )
    assert one - none == pytest.approx(3, abs=0.5)
    assert abs(two - none) < 1.6
