"""The feature builder, against values worked out by hand and against a plain loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources import features
from pipelines.sources.extract import EVENTS, STAYS, Extract
from privaudit.contracts import FlowStep
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records

VARIABLES = (
    Column("height", bounds=(100.0, 230.0), unit="cm"),
    Column("heart_rate", bounds=(0.1, 299.0), unit="bpm"),
    Column("urine", bounds=(0.0, 5000.0), unit="mL"),
    Column("lactate", bounds=(0.1, 50.0), unit="mmol/L"),
)
Event = tuple[int, float, str, float]


def extract(events: list[Event], stays: int = 3, window: int = 4, **columns: list[Any]) -> Extract:
    """Stays 101, 102, ... of patients 1, 2, ..., with these events."""
    given = {
        "stay": [101 + i for i in range(stays)],
        "patient": [1 + i for i in range(stays)],
        "age": [60.0] * stays,
        "sex": ["F"] * stays,
        "unit": ["MICU"] * stays,
        "died": [i % 2 for i in range(stays)],
        "los_days": [3.0] * stays,
    } | columns
    given = {"site": given["unit"]} | given
    given |= {name: [None] * stays for name in STAYS if name not in given}
    return Extract(
        stays=pl.DataFrame({name: given[name] for name in STAYS}, schema=STAYS),
        events=pl.DataFrame(events, schema=EVENTS, orient="row"),
        variables=VARIABLES,
        sites=features.UNITS,
        flow=(FlowStep("all", 0, stays, stays),),
        window=window,
        source="made by hand",
        real=False,
    )


def build(source: Extract, **more: Any) -> Records:
    return features.build(
        source, source.stays["died"].to_numpy(), classes=("survived", "died"), **more
    )


def column(records: Records, name: str) -> np.ndarray:
    return records.X[:, [c.name for c in records.columns].index(name)]


def channel(records: Records, name: str) -> np.ndarray:
    assert records.series is not None
    return records.series[:, :, [c.name for c in records.channels].index(name)]


EVENTS_BY_HAND: list[Event] = [
    (102, 3.5, "heart_rate", 70.0),
    (102, 0.0, "heart_rate", 90.0),
    (102, 0.9, "heart_rate", 110.0),
    (101, 2.0, "heart_rate", 55.0),
    (101, 1.0, "urine", 100.0),
    (101, 1.5, "urine", 200.0),
    (103, 0.0, "height", 180.0),
    (103, 2.0, "height", 170.0),
    (103, 3.0, "height", 171.0),
]


def test_summaries_worked_out_by_hand() -> None:
    records = build(extract(EVENTS_BY_HAND))
    nan = np.nan
    expected = {
        "heart_rate.first": [55, 90, nan],
        "heart_rate.last": [55, 70, nan],
        "heart_rate.min": [55, 70, nan],
        "heart_rate.max": [55, 110, nan],
        "heart_rate.mean": [55, 90, nan],
        "heart_rate.count": [1, 3, 0],
        "heart_rate.measured": [1, 1, 0],
        "urine.mean": [150, nan, nan],
        "height": [nan, nan, 171],
        "lactate.mean": [nan, nan, nan],
        "lactate.count": [0, 0, 0],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(column(records, name), np.float32(values), err_msg=name)


def test_the_series_holds_hourly_means_and_sums_of_amounts() -> None:
    records = build(extract(EVENTS_BY_HAND))
    nan = np.nan
    assert [c.name for c in records.channels] == ["heart_rate", "urine", "lactate"]
    np.testing.assert_array_equal(
        channel(records, "heart_rate"),
        np.float32([[nan, nan, 55, nan], [100, nan, nan, 70], [nan] * 4]),
    )
    np.testing.assert_array_equal(channel(records, "urine")[0], np.float32([nan, 300, nan, nan]))
    assert np.isnan(channel(records, "lactate")).all()


def test_columns_say_what_they_are() -> None:
    records = build(extract(EVENTS_BY_HAND, admission_type=["ELECTIVE", "Urgent ", None]))
    named = {c.name: c for c in records.columns}
    assert len(named) == len(records.columns) == 4 + 1 + 3 * 7
    top = named["heart_rate.max"]
    assert (top.variable, top.statistic, top.unit) == ("heart_rate", "max", "bpm")
    assert (top.bounds, top.mutable, top.sensitive) == ((0.1, 299.0), True, False)
    assert named["heart_rate.count"].bounds == (0, 16)
    assert named["heart_rate.measured"].kind == "binary"
    fixed = {c.name for c in records.columns if not c.mutable}
    counted = {
        f"{v}.{s}" for v in ("heart_rate", "urine", "lactate") for s in ("count", "measured")
    }
    assert fixed == {"age", "sex", "unit", "admission_type", "height"} | counted
    assert {c.name for c in records.columns if c.sensitive} == {"sex", "unit", "admission_type"}
    np.testing.assert_array_equal(column(records, "admission_type"), np.float32([0, 1, np.nan]))
    assert all(c.statistic == "" and c.variable == c.name for c in records.channels)


def test_the_mean_of_yes_or_no_is_a_number() -> None:
    source = extract([(101, 0.1, "on", 1.0), (101, 0.2, "on", 0.0)])
    records = build(replace(source, variables=(Column("on", "binary", (0, 1)),)))
    kinds = {c.statistic: c.kind for c in records.columns if c.variable == "on"}
    assert kinds["mean"] == records.channels[0].kind == "numeric"
    assert kinds["last"] == kinds["measured"] == "binary"
    assert channel(records, "on")[0, 0] == column(records, "on.mean")[0] == 0.5


def test_nothing_outside_the_window_moves_a_feature() -> None:
    plain = build(extract(EVENTS_BY_HAND))
    planted: list[Event] = [
        *((101, hour, "heart_rate", 200.0) for hour in (4.0, 4.001, 47.0, 1e6, -0.001, -5.0)),
        (101, float("nan"), "heart_rate", 200.0),
        (101, 1.0, "heart_rate", float("nan")),
        (101, 1.0, "heart_rate", float("inf")),
        (101, 1.0, "days_to_death", 2.0),
        (999, 1.0, "heart_rate", 200.0),
        # Nearer to the end of the window than float32 can tell from it.
        (101, 4.0 - 1e-9, "heart_rate", 200.0),
    ]
    assert build(extract(EVENTS_BY_HAND + planted)).fingerprint == plain.fingerprint
    inside = build(extract([*EVENTS_BY_HAND, (101, 3.999, "heart_rate", 200.0)]))
    assert column(inside, "heart_rate.max")[0] == 200


def test_no_outcome_reaches_a_feature() -> None:
    plain = extract(EVENTS_BY_HAND)
    other = plain.stays.with_columns(
        died=1 - pl.col("died"),
        los_days=pl.col("los_days") * 100,
        readmitted=pl.lit(1, pl.Int8),
    )
    first, second = build(plain), build(replace(plain, stays=other))
    np.testing.assert_array_equal(first.X, second.X)
    np.testing.assert_array_equal(np.asarray(first.series), np.asarray(second.series))
    assert first.groups.keys() == second.groups.keys()
    np.testing.assert_array_equal(first.y, 1 - second.y)


def test_the_schema_is_not_read_off_the_data() -> None:
    much = build(extract(EVENTS_BY_HAND))
    little = build(extract([(101, 0.0, "urine", 5.0)], unit=["CCU", "TSICU", None]))
    assert little.columns == much.columns
    assert little.channels == much.channels
    assert little.sites == much.sites == features.UNITS


def test_values_stay_inside_public_bounds() -> None:
    events: list[Event] = [(101, i / 100, "heart_rate", 60.0) for i in range(400)]
    events += [(102, 0.1, "urine", 4000.0), (102, 0.2, "urine", 4000.0), (102, 1, "lactate", 9e9)]
    records = build(
        extract(
            events,
            age=[101.0, 10.0, None],
            unit=["NWARD", "csru", None],
            site=["NWARD", "CSRU", None],
        )
    )
    assert column(records, "heart_rate.count")[0] == 16
    assert channel(records, "urine")[1, 0] == 5000
    assert column(records, "lactate.max")[1] == 50
    np.testing.assert_array_equal(column(records, "age"), np.float32([95, 15, np.nan]))
    other = features.UNITS.index("other")
    np.testing.assert_array_equal(column(records, "unit"), np.float32([other, 1, np.nan]))
    assert records.site.tolist() == [other, 1, other]


def test_groups_are_coarse_and_only_those_that_are_recorded() -> None:
    records = build(
        extract(
            [(101, 1.0, "urine", 1.0)],
            stays=9,
            age=[18, 49.9, 50, 64, 65, 79, 80, 91.4, None],
            sex=["F", "m", None] * 3,
            ethnicity=[
                "WHITE - RUSSIAN",
                "BLACK/AFRICAN AMERICAN",
                "ASIAN - CHINESE",
                "HISPANIC OR LATINO",
                "UNKNOWN/NOT SPECIFIED",
                "PATIENT DECLINED TO ANSWER",
                "MULTI RACE ETHNICITY",
                "PORTUGUESE",
                None,
            ],
        )
    )
    assert set(records.groups) == {"age", "sex", "ethnicity", "unit"}
    young, middle, old, oldest = (name for _, name in features.BANDS)
    assert records.groups["age"].tolist() == (
        [young] * 2 + [middle] * 2 + [old] * 2 + [oldest] * 2 + ["not recorded"]
    )
    assert records.groups["sex"].tolist() == ["female", "male", "not recorded"] * 3
    assert records.groups["ethnicity"].tolist() == [
        "white",
        "black",
        "asian",
        "hispanic",
        "not recorded",
        "not recorded",
        "other",
        "white",
        "not recorded",
    ]
    insured = build(
        extract([(101, 1.0, "urine", 1.0)], insurance=["Medicare", "Self Pay", "Veterans"])
    )
    assert insured.groups["insurance"].tolist() == ["medicare", "self pay", "other"]


def test_keep_chooses_stays_and_leaves_the_others_out() -> None:
    whole = build(extract(EVENTS_BY_HAND))
    part = build(extract(EVENTS_BY_HAND), keep=np.array([False, True, True]))
    assert part.fingerprint == whole.take([1, 2]).fingerprint
    assert part.patient.tolist() == [2, 3]
    assert part.y.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("events", "keep", "message"),
    [
        ([], None, "no measurement in the first 4 hours of any of 3 stays"),
        ([(101, 9.0, "urine", 1.0)], None, "no measurement"),
        (EVENTS_BY_HAND, np.zeros(3, bool), "no stay is left"),
    ],
)
def test_nothing_to_build_from_is_an_error(
    events: list[Event], keep: np.ndarray | None, message: str
) -> None:
    with pytest.raises(PrivauditError, match=message):
        build(extract(events), keep=keep)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_events_agree_with_a_plain_loop(data: st.DataObject) -> None:
    value = st.floats(0.125, 250, width=32)
    keys = st.tuples(
        st.sampled_from([101, 102, 103]),
        st.integers(-30, 270).map(lambda minutes: float(np.float32(minutes / 60))),
        st.sampled_from(["heart_rate", "urine", "lactate"]),
    )
    table = data.draw(st.dictionaries(keys, value, min_size=1, max_size=60))
    order = data.draw(st.permutations(list(table)))
    source = extract([(*key, table[key]) for key in order])
    if not any(0 <= hour < 4 for _, hour, _ in table):
        with pytest.raises(PrivauditError, match="no measurement"):
            build(source)
        return
    records = build(source)
    assert records.series is not None
    bounds = {v.name: v.bounds for v in VARIABLES}
    for row, stay in enumerate((101, 102, 103)):
        for name in ("heart_rate", "urine", "lactate"):
            low, high = bounds[name] or (0, 0)
            inside = sorted(
                (hour, min(max(v, low), high))
                for (s, hour, variable), v in table.items()
                if s == stay and variable == name and 0 <= hour < 4
            )
            found = {s: column(records, f"{name}.{s}")[row] for s in features.STATISTICS}
            assert found["count"] == min(len(inside), 16)
            assert found["measured"] == bool(inside)
            if not inside:
                assert np.isnan([found[s] for s in ("first", "last", "min", "max", "mean")]).all()
                assert np.isnan(channel(records, name)[row]).all()
                continue
            values = np.float32([v for _, v in inside])
            assert (found["first"], found["last"]) == (values[0], values[-1])
            assert (found["min"], found["max"]) == (values.min(), values.max())
            assert found["min"] <= found["mean"] <= found["max"]
            assert found["mean"] == pytest.approx(np.float64(values).mean(), rel=1e-6)
            for slot in range(4):
                cell = np.float64([v for hour, v in inside if int(hour) == slot])
                got = channel(records, name)[row, slot]
                if not len(cell):
                    assert np.isnan(got)
                elif name == "urine":
                    assert got == pytest.approx(min(cell.sum(), 5000), rel=1e-6)
                else:
                    assert got == pytest.approx(cell.mean(), rel=1e-6)


@pytest.mark.parametrize("block", [1, 2, 3])
def test_blocks_of_stays_change_nothing(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    whole = build(extract(EVENTS_BY_HAND, stays=5))
    monkeypatch.setattr(features, "_BLOCK", block)
    parts = build(extract(EVENTS_BY_HAND, stays=5))
    np.testing.assert_array_equal(whole.X, parts.X)
    assert whole.series is not None
    assert parts.series is not None
    np.testing.assert_array_equal(whole.series, parts.series)
    assert whole.columns == parts.columns


def test_a_block_without_a_measurement_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_BLOCK", 1)
    with pytest.raises(PrivauditError, match="no measurement"):
        build(extract([(101, 9.0, "heart_rate", 70.0)], window=4))
    found = build(extract([(103, 1.0, "heart_rate", 70.0)]))
    assert column(found, "heart_rate.count").tolist() == [0, 0, 1]
