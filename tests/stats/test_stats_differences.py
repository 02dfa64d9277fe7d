"""Intervals of differences between two runs: they cover, and pairing is worth its while."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from privaudit.contracts import Scores, Trials
from privaudit.stats import differences, rates
from privaudit.stats.auc import auc


def scores(
    rng: np.random.Generator, shifts: tuple[float, float], n: int, each: int, rho: float
) -> tuple[list[Scores], tuple[np.ndarray, np.ndarray]]:
    """Two attacks' scores of the same records: normal, correlated by rho, `each` records a
    patient."""
    made = []
    base = [np.repeat(rng.normal(size=n // each), each) for _ in range(2)]
    for shift in shifts:
        noise = [np.repeat(rng.normal(size=n // each), each) for _ in range(2)]
        mixed = [rho**0.5 * b + (1 - rho) ** 0.5 * e for b, e in zip(base, noise, strict=True)]
        made.append(Scores(mixed[0] + shift, mixed[1]))
    ids = np.arange(n) // each
    return made, (ids, ids + n)


@pytest.mark.parametrize(("each", "rho"), [(1, 0.8), (3, 0.5), (1, 0.0)])
def test_paired_auc_covers(each: int, rho: float) -> None:
    rng = np.random.default_rng(3)
    truth = float(ndtr(0.7 / 2**0.5) - ndtr(0.4 / 2**0.5))
    runs, hits, widths = 800, 0, []
    for _ in range(runs):
        (one, other), ids = scores(rng, (0.4, 0.7), 300, each, rho)
        found = differences.area(one, other, ids, 0.95)
        assert found is not None
        hits += found[1] <= truth <= found[2]
        widths.append(found[2] - found[1])
    assert 0.93 <= hits / runs <= 0.98


def test_pairing_shortens_the_interval() -> None:
    rng = np.random.default_rng(4)
    (one, other), ids = scores(rng, (0.4, 0.7), 600, 1, 0.8)
    paired = differences.area(one, other, ids, 0.95)
    from privaudit.stats.auc import area

    alone = []
    for part in (one, other):
        found = area(part.members, part.nonmembers, *ids)
        alone.append((found.value, *found.interval(0.95)[:2]))
    apart = differences.apart(*alone)
    assert paired is not None
    assert paired[0] == pytest.approx(apart[0])
    assert paired[2] - paired[1] < 0.6 * (apart[2] - apart[1])
    assert paired[0] == pytest.approx(
        auc(other.members, other.nonmembers) - auc(one.members, one.nonmembers)
    )


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_paired_tpr_covers(rho: float) -> None:
    rng = np.random.default_rng(5)
    truth = float(ndtr(0.9 + ndtri(0.05)) - ndtr(0.4 + ndtri(0.05)))
    runs, hits = 300, 0
    for _ in range(runs):
        (one, other), ids = scores(rng, (0.4, 0.9), 400, 1, rho)
        _, low, high = differences.recognised(one, other, 0.05, ids, 0.95, rng)
        hits += low <= truth <= high
    assert 0.92 <= hits / runs <= 0.99


def test_independent_difference_covers() -> None:
    rng = np.random.default_rng(6)
    hits = 0
    for _ in range(1500):
        parts = []
        for share in (0.1, 0.25):
            seen = (rng.random(120) < share).astype(float)
            parts.append(rates.rate(seen, np.arange(120), 0.95))
        _, low, high = differences.apart(*parts)
        hits += low <= 0.15 <= high
    assert 0.93 <= hits / 1500 <= 0.98


def test_equal_runs_differ_by_nothing() -> None:
    rng = np.random.default_rng(7)
    (one, _), ids = scores(rng, (0.4, 0.7), 200, 1, 0.5)
    assert differences.area(one, one, ids, 0.95) == (0.0, 0.0, 0.0)
    value, low, high = differences.recognised(one, one, 0.1, ids, 0.95, rng)
    assert value == 0
    assert low <= 0 <= high
    perfect = Scores(np.ones(50), np.zeros(50))
    other = Scores(np.full(50, 2.0), np.zeros(50))
    assert differences.area(perfect, other, (np.arange(50), np.arange(50) + 50), 0.95) == (0, 0, 0)


def test_a_tied_threshold_reads_as_the_rate() -> None:
    rng = np.random.default_rng(8)
    tied = Scores(rng.integers(0, 3, 400).astype(float), rng.integers(0, 3, 400).astype(float))
    hits = differences._hits(tied, 0.1, 0.12)
    assert hits.mean() == pytest.approx(0.12)


def test_gains_over_a_control_on_other_records() -> None:
    rng = np.random.default_rng(9)
    own, others = np.arange(500), np.arange(500, 900)
    base, rest = rng.random(500) < 0.4, rng.random(400) < 0.3
    hits = 0
    for _ in range(400):
        made = []
        for gain in (0.0, 0.1):
            success = np.where(rng.random(500) < 0.5, base, rng.random(500) < 0.4) | (
                rng.random(500) < gain
            )
            made.append(Trials(success.astype(float), rest.astype(float), control_patients=others))
        found = differences.gains(*made, "control", own, 0.95)
        assert found is not None
        # Of the records that do not succeed by themselves a tenth more do.
        share = 1 - (0.5 * base.mean() + 0.5 * 0.4)
        hits += found[1] <= 0.1 * share <= found[2]
    assert hits / 400 >= 0.93


def test_answers_and_losses() -> None:
    rng = np.random.default_rng(10)
    y = (rng.random(400) < 0.3).astype(int)
    p = 1 / (1 + np.exp(-(rng.normal(size=400) + 2 * y)))
    good, bad = np.column_stack([1 - p, p]), np.full((400, 2), 0.5)
    ids = np.arange(400) // 2
    found = differences.auroc(bad, good, y, ids, 0.95)
    assert found is not None
    assert found[1] > 0.3
    assert differences.losses(bad, y, "brier").mean() == pytest.approx(0.25)
    assert differences.losses(bad, y, "log_loss").mean() == pytest.approx(np.log(2))
    lost = differences.mean(
        differences.losses(bad, y, "brier"), differences.losses(good, y, "brier"), ids, 0.95
    )
    assert lost is not None
    assert lost[2] < 0
    value, low, high = differences.drawn(
        differences.precision(bad, y), differences.precision(good, y), ids, 0.95, rng
    )
    assert 0 < low <= value <= high
    assert differences.auroc(good, bad, np.zeros(400, int), ids, 0.95) is None
