"""LiRA and RMIA against slow references, one record at a time."""

from __future__ import annotations

import numpy as np
import pytest
from membership_lab import World, halves
from scipy.stats import norm

from privaudit.attacks._membership import ratio, resolution
from privaudit.attacks.membership.lira import Lira


@pytest.fixture(scope="module")
def bank() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    world = World.draw(50, rng)
    included = halves(50, 16, rng)
    return world.answer(np.arange(50) < 25, rng), world.answer(included, rng), included


@pytest.mark.parametrize("variance", ["record", "global"])
def test_online_is_the_difference_of_two_normal_log_densities(bank: tuple, variance: str) -> None:
    asked, shadows, included = bank
    sides = [[shadows[mask, i] for i, mask in enumerate(part.T)] for part in (included, ~included)]
    sd = [np.array([x.std(ddof=1) for x in side]) for side in sides]
    if variance == "global":
        sd = [np.full(50, np.sqrt((s**2).mean())) for s in sd]
    logs = [
        np.array([norm.logpdf(asked[i], side[i].mean(), s[i]) for i in range(50)])
        for side, s in zip(sides, sd, strict=True)
    ]
    scores = Lira(16, True, variance).score(asked, shadows, included)  # type: ignore[arg-type]
    np.testing.assert_allclose(scores, logs[0] - logs[1], rtol=1e-10)


def test_offline_has_the_order_of_the_one_sided_p_value(bank: tuple) -> None:
    asked, shadows, included = bank
    slow = []
    for i in range(50):
        out = shadows[~included[:, i], i]
        slow.append(norm.logcdf(asked[i], out.mean(), out.std(ddof=1)))
    scores = Lira(16, False, "record").score(asked, shadows, included)
    assert (np.argsort(scores) == np.argsort(slow)).all()


@pytest.mark.parametrize("slope", [None, 0.3])
def test_rmia_is_the_probability_over_its_mean(bank: tuple, slope: float | None) -> None:
    asked, shadows, included = bank
    slow = []
    for i in range(50):
        p = 1 / (1 + np.exp(-shadows[:, i]))
        out = p[~included[:, i]].mean()
        inside = p[included[:, i]].mean() if slope is None else 0.3 * out + 0.7
        slow.append(1 / (1 + np.exp(-asked[i])) / ((inside + out) / 2))
    np.testing.assert_allclose(np.exp(ratio(asked, shadows, included, slope)), slow, rtol=1e-10)


def test_a_saturated_answer_is_read_as_one_more_than_the_surest() -> None:
    trees = np.arange(1, 100) / 100
    margins = np.log(trees / (1 - trees))
    edge = resolution(np.append(margins, 690.775))
    assert edge == pytest.approx(np.log(99) + np.log(2))
    assert resolution(np.full(3, 690.775)) == pytest.approx(np.log(2))
