"""Harrell's C: by hand, coverage of its interval with patients as clusters, groups, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from privaudit.facts import ReasonCode
from privaudit.residuals import ANCHORS, pair_residuals
from privaudit.stats import utility_groups_of_times, utility_of_times


def follow_up(
    patients: int, rng: np.random.Generator, each: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Risk scores, signed times and patients; a patient's records share risk and frailty."""
    ids = np.repeat(np.arange(patients), each)
    risk = rng.normal(size=patients)[ids]
    frailty = 0.7 * rng.normal(size=patients)[ids]
    time = rng.exponential(np.exp(-risk - frailty))
    censored = rng.exponential(2.0, len(ids))
    return risk, np.where(time <= censored, time, -censored), ids


def slow_c(risk: np.ndarray, y: np.ndarray) -> float:
    total = right = 0.0
    for i in range(len(y)):
        for j in range(len(y)):
            ti, tj = abs(y[i]), abs(y[j])
            if i != j and y[i] > 0 and (ti < tj or (ti == tj and y[j] < 0)):
                total += 1
                right += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    return right / total


def test_value_is_that_of_all_pairs_with_ties() -> None:
    rng = np.random.default_rng(0)
    risk, y, ids = follow_up(60, rng)
    risk, y = risk.round(1), np.sign(y) * np.maximum(np.abs(y).round(1), 0.1)
    (found,) = utility_of_times(risk, y, patients=ids)
    assert found.metric.name == "c_index"
    assert found.value == pytest.approx(slow_c(risk, y))
    assert found.chance == 0.5
    assert utility_of_times(np.exp(3 * risk), y, patients=ids)[0].value == found.value


def test_interval_covers_as_often_as_it_says_with_patients_as_clusters() -> None:
    rng = np.random.default_rng(1)
    truth = np.mean([_alone(*follow_up(4000, rng)) for _ in range(3)])
    covered = alone = 0
    for _ in range(300):
        risk, y, ids = follow_up(60, rng, each=3)
        (found,) = utility_of_times(risk, y, patients=ids, confidence=0.9)
        covered += found.low < truth < found.high
        (other,) = utility_of_times(risk, y, patients=np.arange(len(y)), confidence=0.9)
        alone += other.low < truth < other.high
    assert 0.84 <= covered / 300 <= 0.95
    assert alone < covered


def _alone(risk: np.ndarray, y: np.ndarray, ids: np.ndarray) -> float:
    (found,) = utility_of_times(risk, y, patients=ids)
    return float(found.value)


def test_what_cannot_be_stated_is_refused_with_its_reason() -> None:
    censored = utility_of_times(np.arange(5.0), -np.arange(1.0, 6.0), patients=np.arange(5))
    assert censored[0].refusal.code is ReasonCode.ONE_OUTCOME
    one = utility_of_times(np.arange(5.0), np.arange(1.0, 6.0), patients=np.zeros(5, dtype=int))
    assert one[0].refusal.code is ReasonCode.TOO_FEW_PATIENTS
    none = utility_of_times(np.zeros(0), np.zeros(0), patients=np.zeros(0, dtype=int))
    assert none[0].refusal.code is ReasonCode.NO_RECORD


def test_a_group_that_is_ranked_by_chance_shows() -> None:
    rng = np.random.default_rng(2)
    risk, y, ids = follow_up(300, rng)
    ward = np.repeat(["a", "b", "c"], 100)
    risk = np.where(ward == "b", rng.normal(size=300), risk)
    found = utility_groups_of_times(risk, y, patients=ids, groups={"ward": ward})
    value = {group.level: group.estimates[0] for group in found}
    assert value["b"].low < 0.5 < value["b"].high
    assert value["a"].low > 0.55


def test_pair_residuals_say_which_way_a_risk_is_wrong_and_read_its_order_alone() -> None:
    y = np.array([1.0, 2.0, 3.0, 4.0, -5.0])
    np.testing.assert_array_equal(pair_residuals(-np.abs(y), y), np.zeros(5))
    reversed_ = pair_residuals(np.abs(y), y)
    # The first had the event too soon for its risk, the last lived too long for it.
    assert reversed_[0] == -1.0
    assert reversed_[4] == 1.0
    rng = np.random.default_rng(3)
    risk, times, _ = follow_up(200, rng)
    np.testing.assert_array_equal(
        pair_residuals(risk, times), pair_residuals(np.exp(risk), times * 365)
    )
    np.testing.assert_array_equal(pair_residuals(np.zeros(3), -np.arange(1.0, 4.0)), np.zeros(3))


def test_pair_residuals_of_many_records_are_those_with_some_of_them() -> None:
    rng = np.random.default_rng(4)
    risk, y, _ = follow_up(2 * ANCHORS, rng)
    half = np.sort(rng.permutation(len(y))[:ANCHORS])
    whole, part = pair_residuals(risk, y)[half], pair_residuals(risk[half], y[half])
    assert np.corrcoef(whole, part)[0, 1] > 0.99
