"""The catalogue of variables, and how charted rows become values in one unit."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pipelines.sources import units
from pipelines.sources.codes import CONVERSIONS, Codes, load
from pipelines.sources.mimic3 import Mimic3
from pipelines.sources.variables import CHARTED, harmonise, variables
from privaudit.errors import PrivauditError

CODES = load(Mimic3(Path()).codes())


def charted(*rows: tuple[object, ...], codes: Codes = CODES) -> pl.DataFrame:
    """(hour, code, value, text[, unit[, early]]) rows of one stay as harmonise takes them."""
    number = dict(codes.frame.select("code", "row").iter_rows())
    full = []
    for hour, code, value, text, *rest in rows:
        unit, early = (*rest, None, False)[:2] if len(rest) < 2 else rest
        full.append((1, hour, bool(early), number[str(code)], value, unit, text))
    return pl.DataFrame(full, schema=CHARTED, orient="row")


def events(
    *rows: tuple[object, ...], codes: Codes = CODES, item_units: bool = True
) -> dict[tuple[float, str], float]:
    """Rows as in `charted` -> {(hour, variable): value}."""
    found, _ = harmonise(charted(*rows, codes=codes), codes, item_units)
    keys = zip(found["hour"].to_list(), found["variable"].to_list(), strict=True)
    return dict(zip(keys, found["value"].to_list(), strict=True))


MAPS = sorted(Path(units.__file__).parent.glob("codes_*.csv"))


@pytest.mark.parametrize("path", MAPS, ids=lambda path: path.stem)
def test_every_code_map_is_consistent(path: Path) -> None:
    frame = load(path).frame
    assert frame.select("system", "code").n_unique() == len(frame)
    assert set(frame["variable"]) <= set(units.names())
    assert set(frame["convert"]) <= set(CONVERSIONS)
    measured = frame.filter(pl.col("unit") != "").with_columns(
        recorded=units.spelling(pl.col("unit"))
    )
    plain = units.catalogue().select("variable", recorded=units.spelling(pl.col("unit")))
    known = pl.concat([units.table().select("variable", "recorded"), plain])
    assert measured.join(known, on=["variable", "recorded"], how="anti").is_empty()


def test_code_map_shuns_the_items_that_misled_others() -> None:
    misleading = {6072, 226253, 619, 224688, 51478, 51491, 51094, 50831, 198, 128, 40086}
    for path in MAPS:
        codes = load(path).frame.filter(pl.col("system").str.starts_with("mimic"))["code"]
        assert misleading.isdisjoint(int(code) for code in codes)
    assert {"6702", "52", "220052"} <= set(CODES.frame["code"])


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


def test_a_comment_tells_a_limit_only_as_its_first_sentence() -> None:
    said = {
        "<0.01.  CTROPNT > 0.10 NG/ML SUGGESTS ACUTE MI.": 0.01,
        "GREATER THAN 5.  VERIFIED.": 5.0,
        "<3*.": 3.0,
        ">0.10 ng/mL suggests acute MI.": None,
        "NEW RANGE <0.01.": None,
    }
    for text, expected in said.items():
        found = events((1.0, 51003, None, text)).get((1.0, "troponin_t"))
        assert found == (None if expected is None else pytest.approx(expected)), text


def test_a_value_is_converted_by_its_recorded_unit() -> None:
    recorded = [
        (678, 37.0, "Deg. C", "temperature", 37.0),
        (676, 98.6, "[degF]", "temperature", 37.0),
        (226531, 70.0, "kg", "weight", 70.0),
        (226512, 154.0, "[lb_av]", "weight", 69.853),
        (226707, 178.0, "cm", "height", 178.0),
        (50931, 5.5, "mmol/L", "glucose", 99.0858),
        (50912, 88.42, "umol/L", "creatinine", 1.0),
        (50821, 10.0, "kPa", "pao2", 75.00617),
        (50821, 75.0, "MM HG", "pao2", 75.0),
        (223835, 40.0, "%", "fio2", 0.4),
    ]
    for code, value, unit, variable, expected in recorded:
        found = events((1.0, code, value, None, unit), item_units=False)
        assert found[1.0, variable] == pytest.approx(expected, rel=1e-4), unit


def test_a_unit_is_never_guessed() -> None:
    rows = charted((1.0, 226531, 70.0, None, "stone"), (2.0, 226531, 154.0, None, None))
    found, counts = harmonise(rows, CODES)
    assert found["hour"].to_list() == [2.0]  # the code's own unit, pounds, where none is recorded
    assert (counts["unknown_unit"], counts["no_unit"]) == (1, 0)
    blank = Codes(CODES.frame.with_columns(unit=pl.lit("")))
    found, counts = harmonise(rows, blank)
    assert found.is_empty()
    assert (counts["unknown_unit"], counts["no_unit"]) == (1, 1)


def test_an_item_of_mimic_iii_converts_where_its_recorded_unit_is_unusable() -> None:
    row = (1.0, 190, 40.0, None, "torr")
    assert events(row)[1.0, "fio2"] == pytest.approx(0.4)
    assert events(row, item_units=False) == {}


def test_a_value_from_before_the_window_counts_only_where_the_window_has_none() -> None:
    early = (0.0, 920, 70.0, None, None, True)
    assert events(early) == {(0.0, "height"): pytest.approx(177.8)}
    assert events(early, (3.0, 920, 60.0, None)) == {(3.0, "height"): pytest.approx(152.4)}
    outside = (3.0, 920, 7.0, None)  # seven inches are none
    assert events(early, outside) == {(0.0, "height"): pytest.approx(177.8)}


def test_intubation_is_unknown_where_the_response_has_no_words() -> None:
    assert (1.0, "intubated") not in events((1.0, 223900, 1.0, "1"))
    assert events((1.0, 223900, 1.0, "1.0 ET/Trach"))[1.0, "intubated"] == 1.0


def own(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "anna_smith.csv"
    path.write_text(text)
    return path


def test_a_hospitals_own_code_map_is_read_on_top(tmp_path: Path) -> None:
    text = "variable,code,unit\nheart_rate,hr-1,bpm\nweight,920,kg\n,211,\n"
    mapped = load(Mimic3(Path()).codes(), own(tmp_path, text))
    assert len(mapped.frame) == len(CODES.frame)  # one added, one of ours left out
    rows = [(1.0, "hr-1", 80.0, None), (2.0, 920, 70.0, None)]
    found = events(*rows, codes=mapped)
    assert found == {(1.0, "heart_rate"): 80.0, (2.0, "weight"): 70.0}
    assert "211" not in mapped.frame["code"].to_list()
    assert mapped.digest != CODES.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no CSV with a header"),
        ("variable,unit\nheart_rate,bpm\n", "no column code"),
        ("variable,code\n", "is empty"),
        ("variable,code,code\nheart_rate,1,2\n", "two columns of one name"),
        ("variable,Code,code\nheart_rate,1,2\n", "two columns of one name"),
        ("variable,code\nheart_rat,1\n", "1 rows of a variable that is not known"),
        ("variable,code\nheart_rate,\n", "1 rows without a code"),
        ("variable,code\nheart_rate,1\nweight,1\n", "1 codes that come twice"),
        ("variable,code,unit\nweight,1,stone\n", "concerned are weight"),
        ("variable,code,system\nweight,1,loinc\n", "its systems are mimic-iii"),
        ("variable,code,convert\nweight,1,triple\n", "1 rows with an unknown conversion"),
        ("variable,code,before\nweight,1,a day\n", "1 hours before admission"),
        ("variable,code,before\nweight,1,999\n", "1 hours before admission"),
    ],
)
def test_what_is_wrong_with_a_code_map_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PrivauditError) as caught:
        load(Mimic3(Path()).codes(), own(tmp_path, text))
    assert said in str(caught.value)
    assert "smith" not in str(caught.value)
    assert "stone" not in str(caught.value)


def test_an_absent_code_map_is_said(tmp_path: Path) -> None:
    with pytest.raises(PrivauditError, match="cannot be opened"):
        load(Mimic3(Path()).codes(), tmp_path / "absent.csv")
    with pytest.raises(PrivauditError, match="is a folder"):
        load(Mimic3(Path()).codes(), tmp_path)


def test_what_was_dropped_is_counted() -> None:
    rows = charted(
        (1.0, 211, 80.0, None),
        (1.0, 211, 82.0, None),
        (2.0, 211, 999.0, None),
        (3.0, 51003, None, "<0.01"),
        (4.0, 51003, None, "HEMOLYSED"),
    )
    _, counts = harmonise(rows, CODES)
    expected = {"censored": 1, "no_number": 1, "out_of_range": 1, "duplicates": 1}
    assert counts == expected | {"no_unit": 0, "unknown_unit": 0}


@pytest.mark.parametrize(
    ("code", "value", "unit", "expected"),
    [
        (50912, 88.42, "\u03bcmol/L", ("creatinine", 1.0)),  # the Greek letter
        (50912, 88.42, "\u00b5mol/L", ("creatinine", 1.0)),  # the sign of Latin-1
        (50912, 88.42, "mcmol/L", ("creatinine", 1.0)),
        (50912, 0.08842, "mmol/L", ("creatinine", 1.0)),
        (50885, 17.104, "\u03bcmol/L", ("bilirubin", 1.0)),
        (223762, 98.6, "\u00baF", ("temperature", 37.0)),  # an ordinal in the place of a degree
        (51301, 9.0, "K/\u03bcL", ("wbc", 9.0)),
        (51301, 9000.0, "/\u03bcL", ("wbc", 9.0)),
        (51301, 9.0, "10^3/mcL", ("wbc", 9.0)),
        (50821, 90.0, "torr", ("pao2", 90.0)),
    ],
)
def test_other_spellings_of_a_unit(
    code: int, value: float, unit: str, expected: tuple[str, float]
) -> None:
    variable, number = expected
    for item_units in (True, False):
        found = events((1.0, code, value, None, unit), item_units=item_units)
        assert found == {(1.0, variable): pytest.approx(number, abs=1e-4)}
