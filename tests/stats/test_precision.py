"""Average precision: its influence by definition, and how often each end of its interval is wrong.

The figures of docs/design/024-more-than-two-classes.md come from these functions with more repeats.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score

from privaudit.stats import resample
from privaudit.stats.precision import average_precision, influence, mean_precision
from privaudit.stats.rates import wilson


def drawn(
    patients: int, share: float, apart: float, clustered: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(scores, outcomes, patients): normal scores, `apart` between the classes; clustered: one to
    four records each, half of the variance of outcome and score the patient's."""
    each = rng.choice([1, 1, 1, 2, 4], patients) if clustered else np.ones(patients, dtype=int)
    ids = np.repeat(np.arange(patients), each)
    rho = 0.5 if clustered else 0.0
    liability, score = (
        np.sqrt(rho) * rng.normal(size=patients)[ids] + np.sqrt(1 - rho) * rng.normal(size=len(ids))
        for _ in range(2)
    )
    y = liability > norm.ppf(1 - share)
    return score + apart * y, y, ids


def true_precision(share: float, apart: float) -> float:
    """The average precision of infinitely many records."""
    at = np.linspace(apart - 8, apart + 8, 20_001)
    found, wrong = share * norm.sf(at - apart), (1 - share) * norm.sf(at)
    return float(np.trapezoid(found / (found + wrong) * norm.pdf(at - apart), at))


def errors(
    patients: int, share: float, apart: float, clustered: bool, rounds: int, old: bool = False
) -> tuple[float, float]:
    """How often the interval lies above the truth, and below it; old: the percentile bootstrap."""
    rng, truth = np.random.default_rng(1), true_precision(share, apart)
    above = below = made = 0
    while made < rounds:
        scores, y, ids = drawn(patients, share, apart, clustered, rng)
        if not y.any():
            continue
        made += 1
        if old:
            low, high = percentile(scores, y, ids, rng)
        else:
            _, low, high = mean_precision([(scores, y)], ids, 0.95, rng)
        above += low > truth
        below += high < truth
    return above / rounds, below / rounds


def percentile(
    scores: np.ndarray, y: np.ndarray, ids: np.ndarray, rng: np.random.Generator
) -> tuple[float, float]:
    (code,), clusters = resample.codes(ids)
    found = resample.bootstrap(
        lambda weight: average_precision(scores, y, weight), code, clusters, rng, 400
    )
    return tuple(np.quantile(found, [0.025, 0.975]))


def test_influence_is_what_a_little_more_weight_moves() -> None:
    rng = np.random.default_rng(0)
    for scores in (rng.normal(size=60), rng.integers(0, 8, 60).astype(float)):
        y = rng.random(60) < 0.3
        value, moved = influence(scores, y)
        assert value == pytest.approx(average_precision_score(y, scores))
        more = np.ones((60, 60)) + 1e-6 * np.eye(60)
        wanted = (average_precision(scores, y, more) - value) / 1e-6
        assert moved == pytest.approx(wanted, abs=1e-4)
        assert moved.sum() == pytest.approx(0, abs=1e-9)


def test_a_perfect_ranking_and_one_patient_have_wilsons_interval() -> None:
    y = np.arange(50) < 12
    value, low, high = mean_precision(
        [(y.astype(float), y)], np.arange(50), 0.95, np.random.default_rng(0)
    )
    assert (value, high) == (1, 1)
    assert low == pytest.approx(wilson(1.0, 12, 0.95)[0])
    rng = np.random.default_rng(1)
    one = mean_precision([(rng.normal(size=50), y)], np.zeros(50, dtype=int), 0.95, rng)
    assert one[1] < 0.25 < 0.75 < one[2]


def test_the_mean_over_classes_is_bounded_with_the_rarest_class() -> None:
    rng = np.random.default_rng(2)
    y = rng.choice(3, 300, p=[0.6, 0.36, 0.04])
    asked = [(rng.normal(size=300) + (y == c), y == c) for c in range(3)]
    value, low, high = mean_precision(asked, np.arange(300), 0.95, np.random.default_rng(3))
    assert value == pytest.approx(np.mean([average_precision_score(m, s) for s, m in asked]))
    assert low < value < high
    again = mean_precision(asked, np.arange(300), 0.95, np.random.default_rng(3))
    assert again == (value, low, high)


@pytest.mark.slow
@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.3])
@pytest.mark.parametrize("apart", [0.7, 2.5])
def test_neither_end_is_wrong_much_more_often_than_it_says(
    apart: float, share: float, clustered: bool
) -> None:
    above, below = errors(100, share, apart, clustered, 700)
    assert above < 0.055
    assert below < 0.05
    assert above + below > 0


@pytest.mark.slow
def test_a_percentile_interval_would_fail_this() -> None:
    assert errors(100, 0.1, 2.5, False, 400, old=True)[0] > 0.08
