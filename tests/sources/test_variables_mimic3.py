"""The catalogue of variables, and how charted rows become values in one unit."""

from __future__ import annotations

import polars as pl
import pytest

from pipelines.sources._mimic3_variables import RAW, catalogue, harmonise, variables


def events(*rows: tuple[object, ...]) -> dict[tuple[float, str], float]:
    """(hour, item, value, text) rows of one stay -> {(hour, variable): value}."""
    raw = pl.DataFrame([(1, *row) for row in rows], schema=RAW, orient="row")
    found, _ = harmonise(raw)
    keys = zip(found["hour"].to_list(), found["variable"].to_list(), strict=True)
    return dict(zip(keys, found["value"].to_list(), strict=True))


def test_catalogue_is_consistent() -> None:
    frame = catalogue()
    assert frame["itemid"].n_unique() == len(frame)
    assert set(frame["table"]) == {"CHARTEVENTS", "LABEVENTS", "OUTPUTEVENTS"}
    assert set(frame["convert"]) == {"", "F_to_C", "frac", "lb_to_kg", "in_to_cm", "negate"}
    assert (frame["valid_low"] < frame["valid_high"]).all()
    units = frame.group_by("variable").agg(pl.col("unit").n_unique())["unit"]
    assert units.max() == 1


def test_catalogue_shuns_the_items_that_misled_others() -> None:
    misleading = {6072, 226253, 619, 224688, 51478, 51491, 51094, 50831, 198, 128, 40086}
    assert misleading.isdisjoint(catalogue()["itemid"].to_list())
    assert {6702, 52, 220052}.issubset(catalogue()["itemid"].to_list())


def test_every_variable_has_bounds_and_comes_once() -> None:
    names = [column.name for column in variables()]
    assert len(set(names)) == len(names) == 50
    assert names[-2:] == ["gcs_total", "intubated"]
    assert all(column.bounds and column.bounds[0] < column.bounds[1] for column in variables())


@pytest.mark.parametrize(
    ("item", "value", "variable", "expected"),
    [
        (223761, 98.6, "temperature", 37.0),
        (676, 37.5, "temperature", 37.5),
        (678, 37.0, "temperature", None),  # Celsius in the Fahrenheit field
        (223835, 40.0, "fio2", 0.4),
        (223835, 0.4, "fio2", 0.4),
        (190, 1.0, "fio2", 1.0),
        (223835, 12.0, "fio2", None),
        (226531, 154.0, "weight", 69.853),
        (920, 70.0, "height", 177.8),
        (226730, 178.0, "height", 178.0),
        (211, 0.0, "heart_rate", None),
        (211, 299.0, "heart_rate", 299.0),
        (211, 2222221.7, "heart_rate", None),
        (50802, -12.0, "base_excess", -12.0),
        (227488, 400.0, "urine", -400.0),
        (227488, -400.0, "urine", -400.0),
    ],
)
def test_units_and_valid_ranges(
    item: int, value: float, variable: str, expected: float | None
) -> None:
    found = events((1.0, item, value, None)).get((1.0, variable))
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-5))


def test_duplicates_at_one_time_are_their_median() -> None:
    rows = [(2.0, 211, 80.0, None), (2.0, 211, 90.0, None), (2.0, 220045, 250.0, None)]
    assert events(*rows) == {(2.0, "heart_rate"): 90.0}
    assert events(*rows[:2]) == {(2.0, "heart_rate"): 85.0}


def test_urine_adds_over_items_and_subtracts_irrigant() -> None:
    rows = [
        (1.0, 226564, 30.0, None),
        (1.0, 226565, 50.0, None),
        (1.0, 226565, 50.0, None),  # charted twice
        (2.0, 227489, 3400.0, None),
        (2.0, 227488, 3000.0, None),
    ]
    assert events(*rows) == {(1.0, "urine"): 80.0, (2.0, "urine"): 400.0}


def test_coma_score_is_the_sum_of_three_components_at_one_time() -> None:
    rows = [
        (1.0, 184, 4.0, "4 Spontaneously"),
        (1.0, 723, 5.0, "5 Oriented"),
        (1.0, 454, 6.0, "6 Obeys"),
        (2.0, 184, 3.0, None),
        (2.0, 454, 6.0, None),
    ]
    found = events(*rows)
    assert found[1.0, "gcs_total"] == 15.0
    assert (2.0, "gcs_total") not in found


@pytest.mark.parametrize(
    ("item", "text", "flag"),
    [
        (723, "1.0 ET/Trach", 1.0),
        (223900, "No Response-ETT", 1.0),
        (223900, "No Response", 0.0),
        (723, "5 Oriented", 0.0),
        (723, None, None),
    ],
)
def test_intubation_is_read_from_the_verbal_response(
    item: int, text: str | None, flag: float | None
) -> None:
    assert events((1.0, item, 1.0, text)).get((1.0, "intubated")) == flag


@pytest.mark.parametrize(
    ("text", "expected"),
    [("<0.01", 0.01), ("LESS THAN 0.4", 0.4), (">25", 25.0), ("UNABLE TO REPORT", None)],
)
def test_a_result_beyond_the_assay_is_its_limit(text: str, expected: float | None) -> None:
    found = events((1.0, 51003, None, text)).get((1.0, "troponin_t"))
    assert found == (None if expected is None else pytest.approx(expected))


def test_what_was_dropped_is_counted() -> None:
    raw = pl.DataFrame(
        [
            (1, 1.0, 211, 80.0, None),
            (1, 1.0, 211, 82.0, None),
            (1, 2.0, 211, 999.0, None),
            (1, 3.0, 51003, None, "<0.01"),
            (1, 4.0, 51003, None, "HEMOLYSED"),
        ],
        schema=RAW,
        orient="row",
    )
    _, counts = harmonise(raw)
    assert counts == {"censored": 1, "no_number": 1, "out_of_range": 1, "duplicates": 1}
