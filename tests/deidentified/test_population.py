"""The population's uniqueness: its interval covers what is known of populations made here."""

from __future__ import annotations

import numpy as np
import pytest

from privaudit.deidentified.population import estimate_population

WORLDS = {
    "alone": np.ones(2_000, dtype=int),
    "pairs": np.full(1_000, 2),
    "half alone": np.r_[np.ones(1_000, dtype=int), np.full(500, 2)],
    "alone or twenty": np.r_[np.ones(200, dtype=int), np.full(90, 20)],
    "alone or a hundred": np.r_[np.ones(100, dtype=int), np.full(19, 100)],
    "heavy tail": np.maximum(1, (200 / np.arange(1, 500)).astype(int)),
}


def miss(sizes: np.ndarray, share: float, draws: int, seed: int) -> tuple[int, int, int]:
    """How often the share alone, and the mean of 1 / class, lie outside; how wide it is at most."""
    rng = np.random.default_rng(seed)
    population = np.repeat(np.arange(len(sizes)), sizes)
    n = round(share * len(population))
    outside = [0, 0]
    for _ in range(draws):
        drawn = rng.permutation(len(population))[:n]
        counts = np.bincount(population[drawn], minlength=len(sizes))
        there = counts > 0
        truth = (
            float(((counts == 1) & (sizes == 1)).sum() / n),
            float((counts[there] / sizes[there]).sum() / n),
        )
        found = estimate_population(counts[there], len(population), 0.95)
        for i, (value, one) in enumerate(zip(truth, (found.unique, found.average), strict=True)):
            assert one.low <= one.value <= one.high
            outside[i] += not one.low - 1e-9 <= value <= one.high + 1e-9
    return outside[0], outside[1], draws


@pytest.mark.parametrize("world", WORLDS)
def test_the_interval_covers_the_truth_of_half_a_population(world: str) -> None:
    first, second, _ = miss(WORLDS[world], 0.5, 8, 1)
    # 3 of 8 misses of an interval that misses once in 20: 6 times in 1,000.
    assert max(first, second) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_the_interval_covers_95_of_100(world: str, share: float) -> None:
    first, second, draws = miss(WORLDS[world], share, 15, 2)
    assert max(first, second) <= 0.05 * draws + 2.5 * np.sqrt(0.05 * 0.95 * draws)


def test_half_of_a_population_says_much_and_a_hundredth_little() -> None:
    sizes = WORLDS["half alone"]
    rng = np.random.default_rng(3)
    population = np.repeat(np.arange(len(sizes)), sizes)
    widths = []
    for share in (0.5, 0.02):
        drawn = rng.permutation(len(population))[: round(share * len(population))]
        counts = np.bincount(population[drawn])
        found = estimate_population(counts[counts > 0], len(population), 0.95).unique
        widths.append(found.high - found.low)
    assert widths[0] < 0.3 < 0.8 < widths[1]


def test_nobody_is_alone_in_the_population_who_is_not_in_the_table() -> None:
    found = estimate_population(np.array([1, 1, 5, 8, 20, 30]), 1_000, 0.95)
    assert found.unique.high <= 2 / 65
    assert found.average.high <= 6 / 65
    none = estimate_population(np.array([12, 15, 40]), 1_000, 0.95)
    assert (none.unique.low, none.unique.value, none.unique.high) == (0, 0, 0)


def test_a_table_that_is_the_population_is_counted() -> None:
    found = estimate_population(np.array([1, 1, 2, 6]), 10, 0.95)
    assert (found.unique.low, found.unique.high) == (0.2, 0.2)
    assert (found.average.low, found.average.high) == (0.4, 0.4)


def test_a_population_smaller_than_its_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="no smaller"):
        estimate_population(np.array([1, 2]), 2, 0.95)
