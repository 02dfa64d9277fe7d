"""A long table beside a table of records: what it is binned to, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from privaudit.errors import PrivauditError
from privaudit.facts import CaveatCode
from privaudit.inputs.propose_series import propose_series
from privaudit.inputs.read_table import attach_series, read_cells, read_table, to_records
from privaudit.inputs.schema import TableSchema, format_schema, read_schema, refuse_numbers
from privaudit.inputs.series import Channel, SeriesSchema
from privaudit.records import Column

CHANNELS = (Channel("hr", bounds=(0.0, 300.0), unit="bpm"), Channel("spo2"))
SERIES = SeriesSchema("long.csv", "rec", "t", "sensor", "v", 30.0, 4, CHANNELS)
ROWS = [
    # Record, time, channel, value: 0 begins a step, 30 the next one, 120 lies after the last.
    ("1", 0.0, "hr", 60.0),
    ("1", 29.9, "hr", 80.0),
    ("1", 30.0, "hr", 100.0),
    ("1", 119.9, "spo2", 97.0),
    ("2", 45.0, "spo2", 90.0),
]
X = np.nan
EXPECTED = np.array(
    [
        [[70.0, X], [100.0, X], [X, X], [X, 97.0]],
        [[X, X], [X, 90.0], [X, X], [X, X]],
    ]
)

Make = Callable[..., TableSchema]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write both tables, and describe them."""

    def made(
        rows: list[tuple[Any, ...]] = ROWS, static: dict[str, Any] | None = None, **changed: Any
    ) -> TableSchema:
        table = static or {"rec": [1, 2], "person": ["a", "b"], "died": [0, 1], "age": [50, 60]}
        pl.DataFrame(table).write_csv(tmp_path / "static.csv")
        names = ["rec", "t", "sensor", "v"]
        pl.DataFrame(rows, schema=names, orient="row").write_csv(tmp_path / "long.csv")
        series = replace(SERIES, file=str(tmp_path / "long.csv"), **changed)
        return TableSchema((Column("age"),), "died", ("0", "1"), "person", series=series)

    return made


def test_each_value_lies_in_the_step_of_its_time(make: Make, tmp_path: Path) -> None:
    schema = make()
    records = read_table(tmp_path / "static.csv", schema)
    np.testing.assert_array_equal(records.series, EXPECTED.astype(np.float32))
    assert [channel.name for channel in records.channels] == ["hr", "spo2"]
    assert records.channels[0].bounds == (0.0, 300.0)
    np.testing.assert_array_equal(records.X, [[50.0], [60.0]])


def test_parquet_of_whole_numbers_and_any_order_of_rows_says_the_same(
    make: Make, tmp_path: Path
) -> None:
    schema = make()
    frame = pl.read_csv(tmp_path / "long.csv").sample(fraction=1.0, shuffle=True, seed=3)
    frame.cast({"rec": pl.Int64}).write_parquet(tmp_path / "long.parquet")
    assert schema.series is not None
    other = replace(schema, series=replace(schema.series, file=str(tmp_path / "long.parquet")))
    one, two = (read_table(tmp_path / "static.csv", s) for s in (schema, other))
    assert one.fingerprint == two.fingerprint


def test_a_step_that_no_float_holds_begins_where_it_should(make: Make, tmp_path: Path) -> None:
    rows = [("1", step * 0.1, "hr", float(step)) for step in range(4)] + [("2", 0.0, "hr", 9.0)]
    records = read_table(tmp_path / "static.csv", make(rows, every=0.1))
    assert records.series is not None
    np.testing.assert_array_equal(records.series[0, :, 0], [0.0, 1.0, 2.0, 3.0])


def test_what_lies_outside_the_steps_is_left_out_and_counted(make: Make, tmp_path: Path) -> None:
    outside = [("1", -1.0 - i, "hr", 10.0) for i in range(23)]
    outside += [("2", 120.0 + i, "hr", 10.0) for i in range(7)]
    schema = make(ROWS + outside)
    cells = read_cells(tmp_path / "static.csv", schema)
    (joined,), (note,) = attach_series([cells])
    np.testing.assert_array_equal(joined.series, EXPECTED.astype(np.float32))
    assert note.code is CaveatCode.SERIES_LEFT_OUT
    # Rounded up to tens: no small count can be read off.
    assert (note.params["early"], note.params["late"]) == (30, 10)
    assert note.params["channels"] == note.params["strangers"] == note.params["without"] == 0


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (("1", 3.0, "hr", "high"), "value that is no number"),
        (("1", 3.0, "pulse", 60.0), "channels that the schema does not list"),
        (("1", 3.0, "", 60.0), "no channel"),
        (("", 3.0, "hr", 60.0), "no record"),
        (("1", "noon", "hr", 60.0), "time that is no number"),
        (("1", None, "hr", 60.0), "no time"),
        (("1", 3.0, "hr", 400.0), "outside the bounds"),
        (("1", 3.0, "hr", 1e39), "too large for a 32-bit number"),
        (("SECRET", 3.0, "hr", 60.0), "records that the table of records lacks"),
        (("1", 0.0, "hr", 61.0), "at a time that it has a value for"),
    ],
)
def test_a_row_that_cannot_be_placed_is_refused(
    row: tuple[Any, ...], fault: str, make: Make, tmp_path: Path
) -> None:
    texts = [tuple(None if x is None else str(x) for x in one) for one in [*ROWS, row]]
    with pytest.raises(PrivauditError) as refused:
        read_table(tmp_path / "static.csv", make(texts))
    assert fault in refused.value.what
    told = " ".join(str(part) for part in refused.value.args)
    assert not any(x in told for x in ("SECRET", "high", "noon", "pulse", str(tmp_path)))


def test_what_is_declared_is_left_out_or_taken_together(make: Make, tmp_path: Path) -> None:
    more = [("9", 3.0, "hr", 60.0), ("1", 3.0, "steps", 5.0), ("1", 0.0, "hr", 100.0)]
    declared = {"records_unknown": "count", "left_out": ("steps",), "duplicates": "mean"}
    records = read_table(tmp_path / "static.csv", make(ROWS + more, **declared))
    assert records.series is not None
    assert records.series[0, 0, 0] == 80.0
    np.testing.assert_array_equal(records.series[1], EXPECTED[1].astype(np.float32))


def test_a_record_without_a_measurement_is_refused_or_allowed_as_declared(
    make: Make, tmp_path: Path
) -> None:
    rows = [row for row in ROWS if row[0] == "1"]
    with pytest.raises(PrivauditError, match="records without a measurement"):
        read_table(tmp_path / "static.csv", make(rows))
    records = read_table(tmp_path / "static.csv", make(rows, records_without="allow"))
    assert records.series is not None
    assert np.isnan(records.series[1]).all()


def test_a_table_of_other_times_is_no_series_without_measurements(
    make: Make, tmp_path: Path
) -> None:
    rows = [(rec, t + 1e6, name, v) for rec, t, name, v in ROWS]
    with pytest.raises(PrivauditError, match="without a measurement inside the steps"):
        read_table(tmp_path / "static.csv", make(rows, records_without="allow"))


@pytest.mark.parametrize("zone", ["", "+02:00"])
def test_dates_and_times_count_from_their_records_start(
    zone: str, make: Make, tmp_path: Path
) -> None:
    static = {"rec": [1, 2], "person": ["a", "b"], "died": [0, 1], "age": [50, 60]}
    starts = [f"2026-03-01 23:59:00{zone}", f"2026-03-02T08:00{zone}"]
    static["begun"] = starts
    days = {"1": "2026-03-02", "2": "2026-03-02"}
    clocks = {
        ("1", 0.0): f"2026-03-01T23:59:00{zone}",
        ("1", 29.9): f"2026-03-02 00:28:54{zone}",
        ("1", 30.0): f"2026-03-02 00:29{zone}",
        ("1", 119.9): f"2026-03-02 01:58:54.5{zone}",
        ("2", 45.0): f"{days['2']} 08:45:00{zone}",
    }
    rows = [(rec, clocks[rec, t], name, v) for rec, t, name, v in ROWS]
    schema = make(rows, static, start="begun", time_unit="minutes")
    records = read_table(tmp_path / "static.csv", schema)
    np.testing.assert_array_equal(records.series, EXPECTED.astype(np.float32))
    # A unit is never guessed: the same dates and times are no numbers.
    with pytest.raises(PrivauditError, match="no number"):
        read_table(tmp_path / "static.csv", make(rows, static))
    mixed = [(rec, "2026-03-02" if i else t, n, v) for i, (rec, t, n, v) in enumerate(rows)]
    with pytest.raises(PrivauditError, match="no date with a time of day"):
        read_table(tmp_path / "static.csv", make(mixed, static, start="begun", time_unit="minutes"))


def test_times_with_a_zone_are_not_compared_with_times_without(make: Make, tmp_path: Path) -> None:
    static = {"rec": [1], "person": ["a"], "died": [0], "age": [50]}
    static["begun"] = ["2026-03-01 08:00:00"]  # type: ignore[list-item]
    rows = [("1", "2026-03-01 08:10:00Z", "hr", 60.0)]
    with pytest.raises(PrivauditError, match="some have a zone"):
        read_table(tmp_path / "static.csv", make(rows, static, start="begun", time_unit="minutes"))


def test_numbers_count_from_a_start_that_is_a_number(make: Make, tmp_path: Path) -> None:
    static = {"rec": [1, 2], "person": ["a", "b"], "died": [0, 1], "age": [50, 60]}
    static["begun"] = [1000, 500]
    shift = {"1": 1000.0, "2": 500.0}
    rows = [(rec, t + shift[rec], name, v) for rec, t, name, v in ROWS]
    records = read_table(tmp_path / "static.csv", make(rows, static, start="begun"))
    np.testing.assert_array_equal(records.series, EXPECTED.astype(np.float32))


def test_no_series_without_a_person(make: Make, tmp_path: Path) -> None:
    with pytest.raises(PrivauditError, match="names the person"):
        read_table(tmp_path / "static.csv", replace(make(), patient=""))


def test_a_record_of_two_rows_is_refused(make: Make, tmp_path: Path) -> None:
    static = {"rec": [1, 1], "person": ["a", "b"], "died": [0, 1], "age": [50, 60]}
    with pytest.raises(PrivauditError, match="a record of another row"):
        read_table(tmp_path / "static.csv", make(static=static))


def test_a_table_may_hold_nothing_but_outcome_person_and_record(make: Make, tmp_path: Path) -> None:
    records = read_table(tmp_path / "static.csv", replace(make(), columns=()))
    assert records.X.shape == (2, 0)
    np.testing.assert_array_equal(records.series, EXPECTED.astype(np.float32))


def test_a_sample_of_people_keeps_each_series_with_its_row(tmp_path: Path) -> None:
    n = 60
    pl.DataFrame(
        {"rec": range(n), "person": [i // 2 for i in range(n)], "y": [i % 2 for i in range(n)]}
    ).write_csv(tmp_path / "static.csv")
    rows = {"rec": range(n), "t": [0] * n, "sensor": ["hr"] * n, "v": range(n)}
    pl.DataFrame(rows).write_csv(tmp_path / "long.csv")
    series = SeriesSchema(
        str(tmp_path / "long.csv"), "rec", "t", "sensor", "v", 1.0, 1, (Channel("hr"),)
    )
    schema = TableSchema((), "y", ("0", "1"), "person", series=series)
    cells = read_cells(tmp_path / "static.csv", schema, max_rows=20, rng=np.random.default_rng(0))
    (joined,), _ = attach_series([cells])
    records = to_records(joined, schema)
    assert len(records) == 20
    # The value is the record's number, by which person and outcome are known.
    value = records.series[:, 0, 0].astype(int)  # type: ignore[index]
    np.testing.assert_array_equal(records.y, value % 2)
    assert len({(p, v // 2) for p, v in zip(records.patient, value, strict=True)}) == 10


def test_series_that_a_command_does_not_read_are_never_dropped_in_silence(
    make: Make, tmp_path: Path
) -> None:
    schema = make()
    with pytest.raises(PrivauditError, match="no series is read"):
        to_records(read_cells(tmp_path / "static.csv", schema), schema)


def test_bounds_that_were_read_off_the_data_are_not_handed_on_as_public() -> None:
    assert Channel("hr", bounds=(0.0, 200.0)).column.bounds == (0.0, 200.0)
    assert Channel("hr", bounds=(0.0, 200.0), guessed=("bounds",)).column.bounds is None


def test_the_section_comes_back_as_it_was_written(make: Make, tmp_path: Path) -> None:
    schema = make(left_out=("steps",), records_without="allow", start="begun", time_unit="hours")
    (tmp_path / "s.toml").write_text(format_schema(schema), encoding="utf-8")
    assert read_schema(tmp_path / "s.toml") == schema
    # The file is named from the schema's own folder.
    assert schema.series is not None
    near = replace(schema, series=replace(schema.series, file="long.csv"))
    (tmp_path / "s.toml").write_text(format_schema(near), encoding="utf-8")
    assert read_schema(tmp_path / "s.toml") == schema


@pytest.mark.parametrize(
    ("changed", "needed"),
    [
        ({"every": 0.0}, "above 0"),
        ({"every": float("inf")}, "above 0"),
        ({"steps": 0}, "from 1 to"),
        ({"channels": ()}, r"\[\[series.channels\]\]"),
        ({"left_out": ("hr",)}, "listed once"),
        ({"time": "v"}, "four columns"),
        ({"time_unit": "hours"}, "`start`"),
        ({"channels": (Channel("hr", bounds=(2.0, 1.0)),)}, "least comes first"),
    ],
)
def test_a_section_that_says_nothing_sound_is_refused(changed: dict[str, Any], needed: str) -> None:
    with pytest.raises(PrivauditError, match=needed):
        TableSchema((), "y", ("0", "1"), "person", series=replace(SERIES, **changed))


def test_the_record_is_no_feature() -> None:
    with pytest.raises(PrivauditError, match="also a feature"):
        TableSchema((Column("rec"),), "y", ("0", "1"), "person", series=SERIES)


def test_a_proposal_names_no_channel_of_few_people_and_calls_its_bounds_guessed(
    tmp_path: Path,
) -> None:
    n = 40
    rng = np.random.default_rng(1)
    pl.DataFrame(
        {
            "rec": range(n),
            "person": [f"p{i // 2}" for i in range(n)],
            "y": [i % 2 for i in range(n)],
        }
    ).write_csv(tmp_path / "static.csv")
    rows = [(rec, 5.0 * t, "hr", float(rng.normal(80, 5))) for rec in range(n) for t in range(12)]
    # Of 9 people, and an extreme value of one of them.
    rows += [(rec, 1.0, "rare", 1.0) for rec in range(18)]
    rows.append((0, 2.0, "hr", 9_000.0))
    pl.DataFrame(rows, schema=["rec", "time", "channel", "value"], orient="row").write_csv(
        tmp_path / "long.csv"
    )
    tables = [tmp_path / "static.csv"]
    with pytest.raises(PrivauditError, match="names the person"):
        propose_series(tmp_path / "long.csv", tables)
    found, notes = propose_series(
        tmp_path / "long.csv", tables, patient="person", out=tmp_path / "s.toml"
    )
    assert [one.name for one in found.channels] == ["hr"]
    assert found.channels[0].guessed == ("bounds",)
    assert found.channels[0].bounds == (0.0, 100.0)
    assert (found.record, found.time, found.every, found.steps) == ("rec", "time", 5.0, 12)
    assert found.file == "long.csv"
    assert any("fewer than 10 people" in note for note in notes)
    assert not any("rare" in note or "9000" in note for note in notes)


def test_the_schema_that_the_guide_shows_describes_its_tables(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "howto" / "series.md"
    text = page.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "schema.toml").write_text(text, encoding="utf-8")
    night = {"night": ["n17"], "person": ["p4"], "age": [61], "apnoea": ["yes"]}
    pl.DataFrame(night).write_csv(tmp_path / "nights.csv")
    rows = [("n17", 0.5, "heart_rate", 58.0), ("n17", 0.5, "movement", 0.1)]
    pl.DataFrame(rows, schema=["night", "minute", "sensor", "reading"], orient="row").write_parquet(
        tmp_path / "measurements.parquet"
    )
    records = read_table(tmp_path / "nights.csv", read_schema(tmp_path / "schema.toml"))
    assert records.series is not None
    assert records.series.shape == (1, 16, 2)
    np.testing.assert_allclose(records.series[0, 0], [58.0, 0.1])
    assert all(channel.bounds for channel in records.channels)


def test_series_are_refused_where_a_synthetic_table_is_made(make: Make) -> None:
    with pytest.raises(PrivauditError, match="synthetic table"):
        refuse_numbers(make())
