"""Intervals and tests keep their promises, by simulation with fixed streams.

The figures of docs/design/004-intervals.md come from these functions with more repeats.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from privaudit import stats
from privaudit.contracts import Scores, Trials
from privaudit.stats import auc, rates, thresholds
from privaudit.stats.groups import differ, holm


def pool(n, shift, clustered, rng):
    """(scores, patients) of n patients; clustered: 1 to 4 stays each, half their variance
    shared."""
    if not clustered:
        return rng.normal(shift, 1, n), np.arange(n)
    ids = np.repeat(np.arange(n), rng.choice([1, 1, 1, 2, 4], n))
    shared = rng.normal(0, np.sqrt(0.5), n)[ids]
    return shift + shared + rng.normal(0, np.sqrt(0.5), len(ids)), ids


def auc_coverage(true, n, clustered, repeats, rng, confidence=0.95):
    shift = np.sqrt(2) * norm.ppf(true)
    hits = 0
    for _ in range(repeats):
        (a, ia), (b, ib) = pool(n, shift, clustered, rng), pool(n, 0, clustered, rng)
        low, high, _ = auc.area(a, b, ia, ib + n).interval(confidence)
        hits += low <= true <= high
    return hits / repeats


def tpr_coverage(fpr, n, shift, clustered, repeats, rng):
    true = norm.cdf(shift + norm.ppf(fpr))
    hits = 0
    for _ in range(repeats):
        (a, ia), (b, ib) = pool(n, shift, clustered, rng), pool(n, 0, clustered, rng)
        _, low, high = thresholds.Roc.of(a, b, ia, ib).band(np.array([fpr]), 0.95, rng)
        hits += low[0] <= true <= high[0]
    return hits / repeats


def gap_coverage(n, p, q, paired, clustered, repeats, rng):
    """Of the difference of two shares; successes share a latent frailty of the patient."""
    hits = 0
    for _ in range(repeats):
        ids = np.repeat(np.arange(n), rng.choice([1, 1, 1, 2, 4], n)) if clustered else np.arange(n)
        frail = rng.normal(0, np.sqrt(0.5), n)[ids] if paired or clustered else 0.0
        rest = np.sqrt(0.5) if paired or clustered else 1.0
        first = frail + rng.normal(0, rest, len(ids)) < norm.ppf(p)
        if not paired and clustered:
            frail = rng.normal(0, np.sqrt(0.5), n)[ids]
        second = frail + rng.normal(0, rest, len(ids)) < norm.ppf(q)
        other = None if paired else ids
        _, low, high = rates.difference(first * 1.0, second * 1.0, ids, other, 0.95)
        hits += low <= p - q <= high
    return hits / repeats


def family_errors(n, repeats, rng, levels=4, kinds=3):
    """How often any of 12 groups of a leak that is the same for all is named at 5 %."""
    errors = 0
    for _ in range(repeats):
        a, b = rng.normal(0.5, 1, n), rng.normal(0, 1, n)
        ids = np.arange(n)
        p = []
        for _ in range(kinds):
            one, zero = rng.integers(0, levels, n), rng.integers(0, levels, n)
            for level in range(levels):
                x, y = one == level, zero == level
                inside = auc.area(a[x], b[y], ids[x], ids[y] + n)
                p.append(differ(inside, auc.area(a[~x], b[~y], ids[~x], ids[~y] + n)))
        errors += holm(np.array(p)).min() < 0.05
    return errors / repeats


def headline_coverage(n, repeats, rng, attacks=6):
    """Six attacks that know nothing: how often the headline's intervals cover chance."""
    hits = {"auc": 0, "tpr_at_fpr_0.1": 0}
    above = dict(hits)
    ids = (np.arange(n), np.arange(n) + n)
    for _ in range(repeats):
        evidence = {
            f"attack{i}": Scores(rng.normal(size=n), rng.normal(size=n)) for i in range(attacks)
        }
        _, found = stats.strongest(evidence, patients=ids, rng=rng)
        for e in found:
            if str(e.metric) in hits:
                hits[str(e.metric)] += e.low <= e.chance <= e.high
                above[str(e.metric)] += e.low > e.chance
    return {k: v / repeats for k, v in hits.items()}, {k: v / repeats for k, v in above.items()}


def detection_power(fpr, n, repeats, rng):
    """How often a leak of the size called detectable is detected."""
    true = thresholds.detectable(fpr, (n, n), 0.95)
    shift = norm.ppf(true) - norm.ppf(fpr)
    found = 0
    for _ in range(repeats):
        a, b = rng.normal(shift, 1, n), rng.normal(0, 1, n)
        ids = np.arange(n)
        found += thresholds.Roc.of(a, b, ids, ids).band(np.array([fpr]), 0.95, rng)[1][0] > fpr
    return found / repeats


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("true", [0.5, 0.7, 0.9])
def test_auc_intervals_cover(true, clustered):
    assert 0.93 < auc_coverage(true, 200, clustered, 800, np.random.default_rng(1)) < 0.972


@pytest.mark.parametrize("true", [0.98, 0.995])
def test_auc_intervals_cover_near_one_and_in_small_pools(true):
    assert auc_coverage(true, 60, False, 800, np.random.default_rng(2)) > 0.93


def test_auc_intervals_cover_in_tiny_pools():
    assert auc_coverage(0.7, 12, True, 800, np.random.default_rng(3)) > 0.92


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("clustered", [False, True])
def test_differences_cover(paired, clustered):
    rng = np.random.default_rng(4)
    assert 0.93 < gap_coverage(150, 0.3, 0.2, paired, clustered, 800, rng) < 0.975
    assert gap_coverage(60, 0.05, 0.05, paired, clustered, 400, rng) > 0.92


def test_trials_at_chance_rarely_read_as_a_gain():
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(400):
        ids = np.repeat(np.arange(80), 2)
        three = ((rng.random(160) < 0.3) * 1.0 for _ in range(3))
        found = stats.estimates(Trials(*three), patients=ids, rng=rng)
        alarms += next(e.low for e in found if str(e.metric) == "attack_minus_control") > 0
    assert alarms / 400 < 0.045


def test_tpr_intervals_cover_at_ten_percent():
    assert 0.92 < tpr_coverage(0.1, 300, 0.5, False, 250, np.random.default_rng(6)) < 0.985


def test_groups_raise_few_false_alarms():
    assert family_errors(300, 250, np.random.default_rng(7)) < 0.085


def test_the_headline_is_not_flattered_by_choice():
    hits, above = headline_coverage(300, 150, np.random.default_rng(8))
    assert min(hits.values()) > 0.90
    assert max(above.values()) < 0.06


@pytest.mark.slow
@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_tpr_intervals_cover_at_one_percent(shift, clustered):
    """200 draws: intervals that cover 87 times in 100 pass 1 time in 30."""
    assert 0.91 < tpr_coverage(0.01, 1000, shift, clustered, 200, np.random.default_rng(9)) <= 0.995


@pytest.mark.slow
def test_healthy_controls_raise_false_alarms_in_fewer_than_one_audit_of_a_hundred():
    """Measured where it can be: 20 checks an audit, 0.05 % each."""
    confidence = stats.control_confidence(20)
    for clustered, n in [(False, 100), (True, 100), (False, 1000)]:
        covered = auc_coverage(0.5, n, clustered, 8000, np.random.default_rng(10), confidence)
        assert 1 - covered < 0.0014


@pytest.mark.slow
def test_what_is_called_detectable_is_detected_four_times_in_five():
    assert 0.72 < detection_power(0.1, 500, 300, np.random.default_rng(11)) < 0.88
    assert 0.70 < detection_power(0.01, 1000, 200, np.random.default_rng(12)) < 0.90


@pytest.mark.slow
def test_the_headline_at_one_percent_is_not_flattered_by_choice():
    rng = np.random.default_rng(13)
    n, alarms = 2200, 0
    ids = (np.arange(n), np.arange(n) + n)
    for _ in range(200):
        evidence = {str(i): Scores(rng.normal(size=n), rng.normal(size=n)) for i in range(6)}
        _, found = stats.strongest(evidence, patients=ids, rng=rng)
        alarms += next(e.low for e in found if str(e.metric) == "tpr_at_fpr_0.01") > 0.01
    assert alarms / 200 < 0.06
