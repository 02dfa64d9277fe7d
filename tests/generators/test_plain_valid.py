"""Whatever a generator draws, what comes out is valid; and what is valid stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.generators._gaps import Gaps
from pipelines.generators._valid import Shape, valid, valid_records
from privaudit.errors import PrivauditError
from privaudit.records import Column

COLUMNS = (
    Column("age", bounds=(15, 95), integer=True),
    Column("sex", "binary", levels=("F", "M")),
    Column("unit", "category", levels=("a", "b", "c")),
    Column("icu_days", bounds=(0, 30), at_most="hospital_days"),
    Column("hospital_days", bounds=(0, 90), integer=True),
    *(
        Column(f"hr.{s}", bounds=(20, 250), variable="hr", statistic=s)
        for s in ("first", "last", "min", "max", "mean")
    ),
    Column("hr.count", bounds=(0, 96), variable="hr", statistic="count"),
    Column("hr.measured", "binary", bounds=(0, 1), variable="hr", statistic="measured"),
    Column("na.min", bounds=(100, 180), variable="na", statistic="min"),
    Column("na.max", bounds=(100, 180), variable="na", statistic="max", integer=True),
    Column("na.count", variable="na", statistic="count"),
    Column("free"),
)
PLACE = {column.name: j for j, column in enumerate(COLUMNS)}


@st.composite
def drawn(draw: st.DrawFn) -> np.ndarray:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from([0.5, 3.0, 100.0, 1e6]))
    x = rng.normal(draw(st.sampled_from([0, 20, 100])), scale, (40, len(COLUMNS)))
    x[rng.random(x.shape) < draw(st.sampled_from([0, 0.2, 0.9]))] = np.nan
    x[rng.random(x.shape) < 0.02] = np.inf
    x[rng.random(x.shape) < 0.02] = -np.inf
    return x


def at(x: np.ndarray, name: str) -> np.ndarray:
    return x[:, PLACE[name]]


def ordered(lower: np.ndarray, upper: np.ndarray) -> bool:
    return not (lower > upper).any()


@settings(max_examples=60, deadline=None)
@given(drawn())
def test_every_rule_holds_and_a_second_time_changes_nothing(x: np.ndarray) -> None:
    before = x.copy()
    out = valid(COLUMNS, x)
    assert np.array_equal(before, x, equal_nan=True)
    assert out.dtype == np.float32
    assert not np.isinf(out).any()
    for column in COLUMNS:
        seen = at(out, column.name)
        seen = seen[~np.isnan(seen)]
        if column.bounds:
            assert seen.min(initial=column.bounds[0]) >= np.float32(column.bounds[0])
            assert seen.max(initial=column.bounds[1]) <= np.float32(column.bounds[1])
        if column.integer or column.statistic == "count" or column.kind != "numeric":
            assert (seen == np.round(seen)).all()
        if column.levels:
            assert set(seen) <= set(range(len(column.levels)))
    assert ordered(at(out, "icu_days"), at(out, "hospital_days"))
    for name in ("first", "last", "mean"):
        assert ordered(at(out, "hr.min"), at(out, f"hr.{name}"))
        assert ordered(at(out, f"hr.{name}"), at(out, "hr.max"))
    assert ordered(at(out, "hr.min"), at(out, "hr.max"))
    assert ordered(at(out, "na.min"), at(out, "na.max"))
    measured = at(out, "hr.measured")
    assert set(measured) <= {0, 1}
    assert np.array_equal(at(out, "hr.count") > 0, measured > 0)
    for name in ("first", "last", "min", "max", "mean"):
        assert np.array_equal(np.isnan(at(out, f"hr.{name}")), measured == 0)
    none = at(out, "na.count") == 0
    assert np.isnan(at(out, "na.min")[none]).all()
    assert not np.isnan(at(out, "na.min")[at(out, "na.count") > 0]).any()
    assert np.array_equal(out, valid(COLUMNS, out), equal_nan=True)


def test_valid_values_stay_exactly() -> None:
    row = [50, 1, 2, 3.25, 7, 80, 81.5, 60, 120, 90.123, 24, 1, 130, 141, 3, -1e9]
    gap = [np.nan] * 10 + [0, 0] + [np.nan, np.nan, 0, np.nan]
    x = np.array([row, gap], dtype=np.float32)
    assert np.array_equal(valid(COLUMNS, x), x, equal_nan=True)


def test_the_nearest_allowed_value_is_taken() -> None:
    x = np.array([[50.4, 0.7, 7, 9, 5.2, 50, 300, 90, 60, 200, 2.6, 0.9, 150, 140, 1, 0]])
    (out,) = valid(COLUMNS, x)
    told = dict(zip(PLACE, out.tolist(), strict=True))
    assert told["age"] == 50
    assert told["sex"] == 1
    assert told["unit"] == 2
    assert (told["icu_days"], told["hospital_days"]) == (5, 5)
    assert (told["hr.min"], told["hr.max"]) == (60, 90)
    assert (told["hr.first"], told["hr.last"], told["hr.mean"]) == (60, 90, 90)
    assert told["hr.count"] == 3
    assert (told["na.min"], told["na.max"]) == (140, 150)


def test_a_measured_variable_lacks_no_summary_and_an_unmeasured_one_has_none() -> None:
    x = np.full((3, len(COLUMNS)), np.nan)
    x[0, PLACE["hr.measured"]], x[0, PLACE["hr.min"]], x[0, PLACE["hr.max"]] = 1, 60, 80
    x[1, PLACE["hr.measured"]] = 1
    x[2, PLACE["hr.measured"]], x[2, PLACE["hr.count"]], x[2, PLACE["hr.mean"]] = 0, 9, 70
    out = valid(COLUMNS, x)
    assert at(out, "hr.measured").tolist() == [1, 0, 0]
    assert at(out, "hr.count").tolist() == [1, 0, 0]
    assert at(out, "hr.mean")[0] == 70
    assert np.isnan(at(out, "hr.mean")[1:]).all()


def test_columns_of_one_variable_with_bounds_of_their_own_stay_inside_both() -> None:
    columns = (
        Column("v.min", bounds=(0, 50), variable="v", statistic="min"),
        Column("v.mean", bounds=(10, 20), variable="v", statistic="mean"),
        Column("v.max", bounds=(0, 100), variable="v", statistic="max", integer=True),
    )
    x = np.random.default_rng(0).uniform(-50, 150, (500, 3))
    out = valid(columns, x)
    assert ordered(out[:, 0], out[:, 1])
    assert ordered(out[:, 1], out[:, 2])
    assert out[:, 1].min() >= 10
    assert out[:, 1].max() <= 20
    assert out[:, 2].min() >= 10


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ((Column("a", at_most="b"), Column("b", at_most="a")), "circle"),
        ((Column("a", bounds=(0.2, 0.8), integer=True),), "'a'"),
        ((Column("a", bounds=(5, 9), at_most="b"), Column("b", bounds=(0, 4))), "no value"),
    ],
)
def test_impossible_columns_are_refused(columns: tuple[Column, ...], named: str) -> None:
    with pytest.raises(PrivauditError, match=named):
        valid(columns, np.zeros((2, len(columns))))


def test_a_column_that_a_narrower_table_lacks_limits_nothing() -> None:
    assert valid((Column("a", at_most="gone"),), np.array([[7.0]])).tolist() == [[7.0]]


def test_shape_makes_records_of_new_patients() -> None:
    made = Shape(COLUMNS, ("no", "yes")).records(np.zeros((3, len(COLUMNS))), np.array([0, 5, -1]))
    assert made.y.tolist() == [0, 1, 0]
    assert made.patient.tolist() == [0, 1, 2]
    assert made.classes == ("no", "yes")
    assert valid_records(made).fingerprint == made.fingerprint


def test_gaps_split_and_join_again() -> None:
    rng = np.random.default_rng(3)
    x = np.zeros((200, len(COLUMNS)))
    for j in range(len(COLUMNS)):
        x[:, j] = rng.integers(0, 2, 200) if COLUMNS[j].levels else rng.uniform(20, 80, 200)
    unmeasured = rng.random(200) < 0.3
    x[:, PLACE["hr.measured"]] = ~unmeasured
    x[rng.random(200) < 0.4, PLACE["age"]] = np.nan
    both = rng.random(200) < 0.2
    x[both, PLACE["na.min"]] = x[both, PLACE["na.max"]] = np.nan
    x = valid(COLUMNS, x)
    gaps = Gaps.of(COLUMNS, x)
    hr = next(p for p, j in zip(gaps.patterns, gaps.indicators, strict=True) if j >= 0)
    assert hr == tuple(PLACE[f"hr.{s}"] for s in ("first", "last", "min", "max", "mean"))
    filled, flags = gaps.split(x)
    assert not np.isnan(filled).any()
    assert flags.shape[1] == 2  # age; both sodium columns share one
    assert np.array_equal(gaps.join(filled, flags), x, equal_nan=True)


def test_gaps_without_data_read_the_schema_alone() -> None:
    gaps = Gaps.of(COLUMNS)
    assert len(gaps.flags) == sum(c.variable != "hr" for c in COLUMNS)
