"""Utility where the outcome is a number: values, coverage of the intervals, groups, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from privaudit.errors import PrivauditError
from privaudit.facts import ReasonCode
from privaudit.stats import utility_groups_of_numbers, utility_of_numbers

NAMES = ("r2", "mae", "rmse", "prediction_slope")


def stays(
    patients: int, rng: np.random.Generator, each: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted and recorded lengths of stay; a patient's stays share most of their error."""
    ids = np.repeat(np.arange(patients), each)
    signal = rng.normal(size=patients)[ids] + 0.3 * rng.normal(size=len(ids))
    error = rng.normal(size=patients)[ids] + 0.3 * rng.normal(size=len(ids))
    return 5 + signal, 5 + signal + error, ids


def test_values_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    predicted, y, ids = stays(80, rng)
    found = {e.metric.name: e for e in utility_of_numbers(predicted, y, patients=ids)}
    assert tuple(found) == NAMES
    assert found["r2"].value == pytest.approx(r2_score(y, predicted))
    assert found["mae"].value == pytest.approx(mean_absolute_error(y, predicted))
    assert found["rmse"].value == pytest.approx(root_mean_squared_error(y, predicted))
    assert found["prediction_slope"].value == pytest.approx(np.polyfit(predicted, y, 1)[0])
    assert found["rmse"].chance == pytest.approx(y.std())
    assert found["mae"].chance == pytest.approx(np.abs(y - np.median(y)).mean())
    assert found["r2"].n == {"records": 240, "patients": 80}


def test_intervals_cover_as_often_as_they_say_with_patients_as_clusters() -> None:
    # Signal and error have the variance 1.09, the outcome twice that.
    truth = {"r2": 0.5, "mae": np.sqrt(2 * 1.09 / np.pi), "rmse": np.sqrt(1.09)}
    truth["prediction_slope"] = 1.0
    rng = np.random.default_rng(1)
    covered = dict.fromkeys(NAMES, 0)
    as_if_independent = 0
    rounds = 400
    for _ in range(rounds):
        predicted, y, ids = stays(100, rng)
        for e in utility_of_numbers(predicted, y, patients=ids, confidence=0.9):
            covered[e.metric.name] += e.low < truth[e.metric.name] < e.high
        alone = utility_of_numbers(predicted, y, patients=np.arange(len(y)), confidence=0.9)[1]
        as_if_independent += alone.low < truth["mae"] < alone.high
    for name, times in covered.items():
        assert 0.85 <= times / rounds <= 0.95, (name, times)
    assert as_if_independent / rounds < 0.8


def test_a_model_worse_than_the_mean_has_a_negative_r2_and_an_exact_one_the_best() -> None:
    rng = np.random.default_rng(2)
    y = rng.gamma(2, 2, 200)
    ids = np.arange(200)
    worse = utility_of_numbers(y[::-1].copy(), y, patients=ids)[0]
    assert worse.high < 0
    exact = {e.metric.name: e for e in utility_of_numbers(y, y, patients=ids)}
    assert (exact["r2"].value, exact["mae"].value, exact["rmse"].value) == (1, 0, 0)


def test_what_cannot_be_stated_is_refused_with_its_reason() -> None:
    y = np.array([1.0, 2.0, 3.0, 4.0])
    found = utility_of_numbers(np.full(4, 2.0), y, patients=np.arange(4))
    assert found[3].refusal.code is ReasonCode.EQUAL_PREDICTIONS
    one = utility_of_numbers(y, y + 1, patients=np.zeros(4, dtype=int))
    assert {e.refusal.code for e in one} == {ReasonCode.TOO_FEW_PATIENTS}
    equal = utility_of_numbers(y, np.full(4, 2.0), patients=np.arange(4))
    assert equal[0].refusal.code is ReasonCode.ONE_OUTCOME
    none = utility_of_numbers(y[:0], y[:0], patients=np.arange(0))
    assert {e.refusal.code for e in none} == {ReasonCode.NO_RECORD}
    with pytest.raises(PrivauditError, match="no finite number"):
        utility_of_numbers(np.array([np.nan]), y[:1], patients=np.arange(1))
    with pytest.raises(PrivauditError, match="shape"):
        utility_of_numbers(np.zeros((4, 2)), y, patients=np.arange(4))


def test_the_group_that_the_model_errs_on_is_found_and_small_ones_are_hidden() -> None:
    rng = np.random.default_rng(3)
    ward = np.array(["icu"] * 120 + ["medical"] * 100 + ["surgical"] * 80 + ["rare"] * 5)
    y = rng.normal(size=305)
    predicted = y + rng.normal(size=305) * np.where(ward == "icu", 3.0, 1.0)
    found = utility_groups_of_numbers(predicted, y, patients=np.arange(305), groups={"ward": ward})
    by = {group.level: group for group in found}
    assert by["rare"].suppressed
    assert not by["rare"].estimates
    assert by["icu"].p_adjusted < 0.001
    assert by["icu"].estimates[0].metric.name == "mae"
    assert by["icu"].estimates[0].low > 1.5
