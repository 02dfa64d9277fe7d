"""Secret noise under attack: last bits, noise used twice, and what the claim rests on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from privaudit.dp import accounting
from privaudit.dp.noise import SLACK, STEPS, add_gaussian, bind_noise
from privaudit.errors import PrivauditError
from privaudit.secure_random import KeyStream, SecretGenerator, discrete_gaussian
from privaudit.seeds import Seeds

TRIES = 20_000
NEAR = 1 / 8
"""Outputs this near 0 have finer last bits than a noisy 1 can have."""


def secret(name: str = "n") -> SecretGenerator:
    return Seeds(3**170).secret_rng(name)


def surely_zero(outputs: np.ndarray) -> np.ndarray:
    """The attack of Mironov 2012 for Gaussian noise of spread 1: outputs that 1 plus a noise cannot
    have.

    A double between 1/2 and 2 in size is a multiple of 2^-53, and so is what 1 and it add up to
    near 0; noise that is itself near 0 has finer bits.
    """
    return (np.abs(outputs) < NEAR) & (np.remainder(outputs * 2.0**53, 1) != 0)


def test_last_bits_of_numpys_noise_give_the_value_away() -> None:
    """A planted fault: the attack must see what it is to see in naive noise."""
    rng = np.random.default_rng(0)
    zero, one = (add_gaussian(np.full(TRIES, v), 1.0, 1.0, rng) for v in (0.0, 1.0))
    assert surely_zero(zero).mean() > 0.05, "these outputs betray a 0 beyond any epsilon"
    assert not surely_zero(one).any()


@pytest.mark.parametrize("shift", [1.0, 0.1, 1 / 3])
def test_last_bits_of_secret_noise_give_nothing_away(shift: float) -> None:
    """The outputs of both values lie on one grid, and every bit of it is even under both."""
    zero = add_gaussian(np.zeros(TRIES), 1.0, 1.0, secret("0"))
    one = add_gaussian(np.full(TRIES, shift), 1.0, 1.0, secret("1"))
    assert not surely_zero(zero).any()
    assert not surely_zero(one).any()
    step = 2.0**-STEPS
    for outputs in (zero, one):
        steps = outputs / step
        assert np.array_equal(steps, np.rint(steps))
        last = steps.astype(np.int64) & 255
        assert stats.chisquare(np.bincount(last, minlength=256)).pvalue > 1e-4
    # No test of any last bits tells them apart.
    seen = [np.bincount(o.astype(np.int64) & 63, minlength=64) for o in (zero / step, one / step)]
    assert stats.chi2_contingency(seen).pvalue > 1e-4


def test_every_step_near_a_value_can_come() -> None:
    """On a grid coarse enough to count, no whole number is out of reach of either value."""
    stream = KeyStream(b"s" * 32)
    reached = [set((v + discrete_gaussian(stream, 40, 60_000)).tolist()) for v in (0, 1)]
    common = set(range(-100, 101))
    assert common <= reached[0]
    assert common <= reached[1]


def test_secret_noise_is_no_smaller_than_the_claim_asks() -> None:
    noise = add_gaussian(np.zeros(400_000), 3.0, 1.0, secret())
    assert noise.std() == pytest.approx(3.0, abs=5 * 3 / math.sqrt(2 * len(noise)))
    # By construction, on a few numbers and on many: wide enough for rounding, and hardly wider.
    for size, sensitivity in ((1, 1.0), (10_000, 0.01), (250_000, 2.0)):
        step, scale = _grid(size, 1.5, sensitivity)
        width = step * scale
        needed = 1.5 * (1 + step * math.sqrt(size) / sensitivity)
        assert needed * (1 + SLACK / 2) <= width <= needed * (1 + 2 * SLACK)
        assert 2**STEPS <= scale <= 2 ** (STEPS + 1)


def _grid(size: int, spread: float, sensitivity: float) -> tuple[float, int]:
    """(step, scale) that a call uses, seen from within."""
    from privaudit.dp import noise

    seen: list[int] = []
    real = noise.discrete_gaussian

    def spy(stream: KeyStream, scale: int, count: int) -> np.ndarray:
        seen.append(scale)
        return np.ones(count, dtype=np.int64)

    noise.discrete_gaussian = spy
    try:
        found = add_gaussian(np.zeros(size), spread, sensitivity, secret())
    finally:
        noise.discrete_gaussian = real
    return float(found[0]), seen[0]


def test_whole_numbers_stay_on_the_grid_exactly() -> None:
    counts = np.arange(1000, dtype=float) * 977
    found = add_gaussian(counts, 5.0, 1.0, secret())
    again = add_gaussian(np.zeros(1000), 5.0, 1.0, secret())
    assert np.array_equal(found - counts, again)


def test_the_grids_noise_spends_no_more_than_the_claims() -> None:
    """delta(epsilon) of the discrete Gaussian, summed exactly, against the continuous closed form,
    for a shift of whole steps. The finer the grid, the nearer: 2^31 steps are beyond doubles."""
    mu = 0.5
    for steps in (64, 512, 4096):
        k = np.arange(-12 * steps, 12 * steps + 1, dtype=float)
        chance = np.exp(-((k / steps) ** 2) / 2)
        chance /= chance.sum()
        moved = int(mu * steps)
        other = np.exp(-(((k - moved) / steps) ** 2) / 2)
        other /= other.sum()
        for epsilon in (0.25, 1.0, 2.0):
            exact = np.maximum(other - math.exp(epsilon) * chance, 0).sum()
            closed = stats.norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * stats.norm.cdf(
                -mu / 2 - epsilon / mu
            )
            assert exact == pytest.approx(closed, rel=3 / steps)


def test_chances_of_the_discrete_and_of_rounded_noise_differ_as_little_as_stated() -> None:
    s = 50
    k = np.arange(-6 * s, 6 * s + 1)
    discrete = np.exp(-(k**2) / (2 * s**2))
    discrete /= np.exp(-(np.arange(-40 * s, 40 * s + 1) ** 2) / (2 * s**2)).sum()
    tail = np.minimum(stats.norm.cdf((k + 0.5) / s), stats.norm.sf((k - 0.5) / s))
    other = np.where(k > 0, stats.norm.sf((k + 0.5) / s), stats.norm.cdf((k - 0.5) / s))
    rounded = np.where(k == 0, 1 - 2 * stats.norm.sf(0.5 / s), tail - other)
    bound = ((k / s) ** 2 + 1) / (24 * s**2)
    assert (np.abs(np.log(discrete / rounded)) <= bound * 1.01 + 1e-12).all()


def test_noise_of_two_trainings_has_nothing_in_common() -> None:
    """The attack: two releases of data that differ in one patient. With one noise, their difference
    is that patient's part, to the last digit."""
    settings, other = ("method", 3.0), ("method", 1.0)
    mine = np.array([0.25, -1.5, 3.0])

    def release(data: str, training: object, part: np.ndarray) -> np.ndarray:
        rng = bind_noise(secret("same key, seed and name"), training, data)
        return add_gaussian(10 + part, 2.0, 1.0, rng)

    bare = [add_gaussian(10 + part, 2.0, 1.0, secret("same")) for part in (mine, 0 * mine)]
    assert np.allclose(bare[0] - bare[1], mine, atol=1e-6), "this is what binding prevents"
    bound = release("with", settings, mine) - release("without", settings, 0 * mine)
    assert np.abs(bound - mine).min() > 1e-3
    scaled = release("with", settings, mine) - release("with", other, mine)
    assert np.abs(scaled).min() > 1e-3
    again = release("with", settings, mine)
    assert np.array_equal(again, release("with", settings, mine)), "same key and data, same numbers"


def test_simulation_noise_is_numpys_and_claims_say_which() -> None:
    values = np.arange(4.0)
    found = add_gaussian(values, 2.0, 1.0, np.random.default_rng(3))
    assert np.array_equal(found, values + 2.0 * np.random.default_rng(3).standard_normal(4))
    assert accounting.name_noise(np.random.default_rng(0)) == accounting.SIMULATED
    assert accounting.name_noise(Seeds(5).secret_rng("a")) == accounting.SIMULATED
    assert accounting.name_noise(secret()) == accounting.SECRET


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_no_noise_hides_is_refused(value: float) -> None:
    for rng in (secret(), np.random.default_rng(0)):
        with pytest.raises(PrivauditError, match="not finite"):
            add_gaussian(np.array([1.0, value]), 1.0, 1.0, rng)


def test_a_value_of_any_size_is_cut_and_not_wrapped_around() -> None:
    found = add_gaussian(np.array([1e300, -1e300]), 1.0, 1.0, secret())
    assert found[0] > 2.0**30
    assert found[1] < -(2.0**30)
