"""The OMOP CDM: which rows are a stay, which values, and what is refused."""

from __future__ import annotations

import csv
import io
import os
import sqlite3
import zipfile
from pathlib import Path

import polars as pl
import pytest
from tiny_omop import FAR, Cdm, at

from pipelines.sources import codes
from pipelines.sources.extract import Extract
from pipelines.sources.omop import Omop
from pipelines.sources.recognise import recognise
from pipelines.sources.source import Wanted
from privaudit.errors import PrivauditError

REAL = Path(os.environ.get("PRIVAUDIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
DEMO = REAL / "mimic-iv-demo-omop" / "1_omop_data_csv"
TABLES = REAL / "mimic-iv-demo" / "icu" / "icustays.csv.gz"
SYNTHEA = REAL / "synthea-omop" / "Synthea27Nj_5.4.zip"
PER_MINUTE, MMHG, FAHRENHEIT, CELSIUS, POUND = 8541, 8876, 9289, 586323, 8739
HEART_RATE, SYSTOLIC, TEMPERATURE, WEIGHT = 3027018, 3004249, 3020891, 3025315


def read(folder: Path, **more: object) -> Extract:
    source = recognise(folder)
    assert isinstance(source, Omop)
    settings = {"window": 48, "cohort": "first_stay", "as_known": False, **more}
    return source.extract(
        cache=folder.parent / "cache", progress=lambda what, share: None, **settings
    )


def values(found: Extract) -> list[tuple[float, str, float]]:
    rows = found.events.sort("hour", "variable").select("hour", "variable", "value").rows()
    return [(round(hour, 3), variable, round(value, 3)) for hour, variable, value in rows]


def one() -> Cdm:
    cdm = Cdm()
    cdm.person(1)
    cdm.stay(1)
    cdm.measure(1, 1.0, HEART_RATE, 80, PER_MINUTE)
    return cdm


@pytest.mark.parametrize(("form", "upper"), [("csv", False), ("csv", True), ("parquet", False)])
def test_forms_and_keys_of_64_bits(tmp_path: Path, form: str, upper: bool) -> None:
    cdm = one()
    cdm.person(2, born=2080)  # neighbours as keys: one as floating point numbers
    cdm.stay(2)
    cdm.measure(2, 2.0, HEART_RATE, 90, PER_MINUTE)
    found = read(cdm.write(tmp_path / "a", form, upper))
    assert values(found) == [(1.0, "heart_rate", 80.0), (2.0, "heart_rate", 90.0)]
    assert found.stays["patient"].to_list() == [FAR + 1, FAR + 2]
    assert found.stays["age"].to_list() == [60.0, 70.0]
    assert any("years of birth" in note for note in found.notes)


def test_rows_of_one_stay_are_joined_whatever_marks_them(tmp_path: Path) -> None:
    cdm = Cdm()
    cdm.add("care_site", care_site_id=5, care_site_name="Surgical Intensive Care Unit (SICU)")
    cdm.add("care_site", care_site_id=6, care_site_name="Ward", place_of_service_concept_id=32037)
    cdm.add("care_site", care_site_id=7, care_site_name="Ward 7")
    cdm.add("concept_ancestor", ancestor_concept_id=32037, descendant_concept_id=777)
    cdm.person(1)
    visit = cdm.visit(1, -5.0, 200.0)
    cdm.detail(1, visit, -5.0, 0.0, concept=8870)
    for start, end, concept, site in (
        (0.0, 10.0, 32037, None),
        (10.0, 20.0, 0, 5),
        (20.0, 30.0, 0, 6),
        (30.0, 50.0, 777, None),
        (50.0 + 1 / 60, 60.0, 40481392, 7),
    ):
        cdm.detail(1, visit, start, end, concept, site)
    cdm.detail(1, visit, 60.0, 61.0, concept=0, site=7)  # a ward ends the stay
    cdm.detail(1, visit, 61.0, 63.0)
    cdm.measure(1, 1.0, HEART_RATE, 80, PER_MINUTE)
    found = read(cdm.write(tmp_path / "a"), cohort="all_stays")
    assert found.facts["rows_of_intensive_care"] == 6
    assert [step.stays for step in found.flow[:2]] == [2, 2]
    assert found.stays["los_days"].to_list() == [2.5]


def test_a_visit_may_be_the_stay_itself(tmp_path: Path) -> None:
    cdm = Cdm()
    cdm.person(1)
    cdm.visit(1, 0.0, 60.0, visit_concept_id=32037)
    cdm.measure(1, 1.0, HEART_RATE, 80, PER_MINUTE)
    assert read(cdm.write(tmp_path / "a")).stays["los_days"].to_list() == [2.5]


def test_units_by_concept_then_by_text_and_unknown_ones_are_counted(tmp_path: Path) -> None:
    cdm = one()
    cdm.measure(1, 2.0, TEMPERATURE, 98.6, FAHRENHEIT)
    cdm.measure(1, 3.0, TEMPERATURE, 38.2, CELSIUS)
    cdm.measure(1, 4.0, TEMPERATURE, 100.4, unit_source_value="deg F")
    cdm.measure(1, 5.0, WEIGHT, 154.3, POUND, unit_source_value="kg")  # the concept decides
    cdm.measure(1, 6.0, TEMPERATURE, 37.0)  # no unit
    cdm.measure(1, 7.0, TEMPERATURE, 37.0, 123456, unit_source_value="Cel")  # an unknown concept
    found = read(cdm.write(tmp_path / "a"))
    assert values(found)[1:] == [
        (2.0, "temperature", 37.0),
        (3.0, "temperature", 38.2),
        (4.0, "temperature", 38.0),
        (5.0, "weight", 69.989),
    ]
    assert found.facts["values_no_unit_in_all_adult_stays"] == 1
    assert found.facts["values_unknown_unit_in_all_adult_stays"] == 1


def test_blood_pressure_is_the_cuffs_but_in_a_cdm_of_mimic(tmp_path: Path) -> None:
    cdm = one()
    cdm.measure(1, 2.0, SYSTOLIC, 120, MMHG)
    assert values(read(cdm.write(tmp_path / "a")))[1:] == [(2.0, "sbp_ni", 120.0)]
    cdm.add("cdm_source", cdm_source_name="MIMIC IV")
    assert values(read(cdm.write(tmp_path / "b")))[1:] == [(2.0, "sbp_art", 120.0)]


def test_limits_texts_and_the_other_table(tmp_path: Path) -> None:
    cdm = one()
    cdm.measure(1, 2.0, 3019800, 0.01, 8842, operator_concept_id=4171756)
    cdm.measure(1, 3.0, 3019800, None, 8842, value_source_value="<0.02")
    cdm.measure(1, 4.0, HEART_RATE, None, PER_MINUTE)
    cdm.observe(1, 5.0, WEIGHT, 70, 9529)
    found = read(cdm.write(tmp_path / "a"))
    assert values(found)[1:] == [
        (2.0, "troponin_t", 0.01),
        (3.0, "troponin_t", 0.02),
        (5.0, "weight", 70.0),
    ]
    assert found.facts["values_censored_in_all_adult_stays"] == 2
    assert found.facts["values_no_number_in_all_adult_stays"] == 1


def test_words_of_the_verbal_response_alone_tell_of_a_tube(tmp_path: Path) -> None:
    cdm = one()
    for hour, text in ((2.0, "1.0"), (3.0, "1.0 ET/Trach"), (4.0, "4 Confused")):
        cdm.measure(1, hour, 3009094, float(text[:1]), value_source_value=text)
    assert values(read(cdm.write(tmp_path / "a")))[1:] == [
        (2.0, "gcs_verbal", 1.0),
        (3.0, "gcs_verbal", 1.0),
        (3.0, "intubated", 1.0),
        (4.0, "gcs_verbal", 4.0),
        (4.0, "intubated", 0.0),
    ]


def test_tables_with_tabs_as_vocabularies_have_them(tmp_path: Path) -> None:
    cdm = one()
    cdm.add("concept_ancestor", ancestor_concept_id=32037, descendant_concept_id=777)
    cdm.tables["visit_detail"][0]["visit_detail_concept_id"] = 777
    folder = cdm.write(tmp_path / "a")
    for table in ("concept_ancestor", "measurement"):
        path = folder / f"{table}.csv"
        path.write_text(path.read_text().replace(",", "\t"))
    assert values(read(folder)) == [(1.0, "heart_rate", 80.0)]


def test_tables_of_days_alone_are_refused_and_such_concepts_left_out(tmp_path: Path) -> None:
    days = one()
    days.tables["measurement"].clear()
    days.measure(1, 12.0, HEART_RATE, 80, PER_MINUTE)
    days.measure(1, 36.0, HEART_RATE, 80, PER_MINUTE, measurement_datetime=None)
    with pytest.raises(PrivauditError, match="dates without times"):
        read(days.write(tmp_path / "a"))
    mixed = one()
    for _ in range(20):
        mixed.measure(1, 12.0, WEIGHT, 70, 9529)  # 12 hours after noon is midnight
    mixed.measure(1, 12.0, HEART_RATE, 81, PER_MINUTE)
    mixed.measure(1, 36.0, HEART_RATE, 82, PER_MINUTE, measurement_datetime=None)
    for _ in range(3):
        mixed.observe(1, 12.0, WEIGHT, 71, 9529)
    found = read(mixed.write(tmp_path / "b"))
    assert values(found) == [(1.0, "heart_rate", 80.0), (12.0, "heart_rate", 81.0)]
    assert "1 concepts of the table measurement are dated" in " ".join(found.notes)
    assert "observation has days and no times" in " ".join(found.notes)


def test_stays_of_days_alone_are_refused(tmp_path: Path) -> None:
    cdm = one()
    cdm.tables["visit_detail"].clear()
    cdm.detail(1, FAR, 12.0, 84.0)
    with pytest.raises(PrivauditError, match="dates and no times"):
        read(cdm.write(tmp_path / "a"))


def test_death_is_the_discharge_or_lies_within_the_visit(tmp_path: Path) -> None:
    cdm = Cdm()
    for key, (discharge, dead) in enumerate(
        [(4216643, None), (581476, 80.0), (None, 80.0), (0, 5000.0), (None, None)], start=1
    ):
        cdm.person(key)
        cdm.stay(key, discharge=discharge)
        cdm.measure(key, 1.0, HEART_RATE, 80, PER_MINUTE)
        if dead is not None:
            cdm.add("death", person_id=FAR + key, death_date=at(dead)[:10])
    found = read(cdm.write(tmp_path / "a"))
    assert found.stays.sort("patient")["died"].to_list() == [1, 0, 1, 0, 0]
    cdm.tables["death"].clear()
    found = read(cdm.write(tmp_path / "b"))
    assert found.stays.sort("patient")["died"].to_list() == [1, 0, None, None, None]


def test_discharges_in_unknown_words_are_refused(tmp_path: Path) -> None:
    cdm = one()
    cdm.person(2)
    cdm.stay(2, discharge=None, discharged_to_source_value="X9")
    cdm.add("death", person_id=FAR + 2, death_date=at(60)[:10], death_datetime=at(60))
    with pytest.raises(PrivauditError, match="no discharge from hospital says"):
        read(cdm.write(tmp_path / "a"))


def test_a_patient_dead_before_the_window_ends_is_left_out(tmp_path: Path) -> None:
    cdm = one()
    cdm.person(2)
    cdm.stay(2, discharge=4216643)
    cdm.add("death", person_id=FAR + 2, death_date=at(30)[:10], death_datetime=at(30))
    assert read(cdm.write(tmp_path / "a")).flow[-1].excluded_stays == 1


def test_birthdays_count_where_they_are_known(tmp_path: Path) -> None:
    cdm = one()
    cdm.person(2, born=2100, month_of_birth=3, day_of_birth=2)
    cdm.person(3, born=2050)
    cdm.person(4, born=2140)
    for key in (2, 3, 4):
        cdm.stay(key)
    found = read(cdm.write(tmp_path / "a"))
    assert sorted(found.stays["age"].to_list()) == [49.0, 60.0, 91.0]
    assert [step.stays for step in found.flow[1:3]] == [4, 3]


def test_care_sites_of_visits_are_sites_without_their_names(tmp_path: Path) -> None:
    cdm = Cdm()
    for site in (70_001, 70_002):
        cdm.add("care_site", care_site_id=site, care_site_name=f"Secret Hospital {site}")
    for key in range(1, 61):
        cdm.person(key)
        cdm.stay(key, care_site_id=70_001 + key % 2)
        cdm.measure(key, 1.0, HEART_RATE, 80, PER_MINUTE)
    found = read(cdm.write(tmp_path / "a"))
    assert found.sites == ("hospital 1", "hospital 2", "other")
    shown = repr((found.sites, found.notes, found.facts, found.flow))
    assert not any(word in shown for word in ("Secret", "7000"))


def test_a_hospitals_own_codes_of_concepts_and_of_the_source(tmp_path: Path) -> None:
    cdm = one()
    cdm.measure(1, 2.0, 2_000_000_123, 77, PER_MINUTE)
    cdm.measure(1, 3.0, 0, 78, measurement_source_value="HF 4")
    own = tmp_path / "own.csv"
    own.write_text(
        "variable,system,code,unit\nheart_rate,concept,2000000123,bpm\n"
        "heart_rate,source value,HF 4,bpm\n"
    )
    found = read(cdm.write(tmp_path / "a"), codes=own)
    assert values(found)[1:] == [(2.0, "heart_rate", 77.0), (3.0, "heart_rate", 78.0)]


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(PrivauditError, match="as_known"):
        read(one().write(tmp_path / "a"), as_known=True)
    ward = one()
    ward.tables["visit_detail"].clear()
    with pytest.raises(PrivauditError, match="no stay in intensive care"):
        read(ward.write(tmp_path / "b"))
    folder = one().write(tmp_path / "c")
    (folder / "measurement.csv").unlink()
    with pytest.raises(PrivauditError, match="no table measurement"):
        read(folder)
    folder = one().write(tmp_path / "d")
    text = (folder / "visit_detail.csv").read_text().replace(",32037,", ",3x2037,")
    (folder / "visit_detail.csv").write_text(text)
    with pytest.raises(PrivauditError, match="visit_detail_concept_id: 1 unreadable") as caught:
        read(folder)
    assert "3x2037" not in str(caught.value)


def test_what_doctor_prints(tmp_path: Path) -> None:
    found = recognise(one().write(tmp_path / "a")).check()
    assert found["rows of measurement"] == "1"
    assert found["stays in intensive care"] == "1"


@pytest.mark.skipif(not DEMO.is_dir(), reason="the MIMIC-IV demo in the OMOP CDM is not there")
def test_the_demo_against_an_independent_query() -> None:
    """Rows, stays and deaths of the demo, joined by SQL and compared with MIMIC-IV's icustays."""
    core = recognise(DEMO).core()  # type: ignore[attr-defined]
    base = sqlite3.connect(":memory:")
    for name in ("visit_detail", "care_site", "visit_occurrence"):
        with (DEMO / f"{name}.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        base.execute(f"create table {name} ({', '.join(header)})")
        base.executemany(f"insert into {name} values ({', '.join('?' * len(header))})", rows)
    base.execute(
        "create table icu as select visit_occurrence_id v, person_id p, "
        "visit_detail_start_datetime s, visit_detail_end_datetime e, visit_detail_source_value k "
        "from visit_detail d left join care_site c on d.care_site_id = c.care_site_id where "
        "visit_detail_concept_id = '32037' or care_site_name like '%Intensive Care%' "
        "or care_site_name like '%SICU%' or care_site_name like '%Stepdown%' "
        "or care_site_name like '%Coronary Care%'"
    )
    rows = base.execute("select count(*) from icu").fetchone()[0]
    starts = base.execute(
        "select v, s, k from icu a where not exists (select 1 from icu b where b.v = a.v and "
        "b.s < a.s and b.e >= a.s)"
    ).fetchall()
    ends = base.execute(
        "select v, e from icu a where not exists (select 1 from icu b where b.v = a.v and "
        "b.s <= a.e and b.e > a.e)"
    ).fetchall()
    assert rows == 175 == core.facts["rows_of_intensive_care"]
    assert len(starts) == len(ends) == 140 == len(core.icustays)
    minute = lambda text: text[:16]  # noqa: E731
    ours = core.icustays.select(
        pl.col("admission").cast(pl.String),
        pl.col("intime").dt.strftime("%Y-%m-%d %H:%M"),
        pl.col("outtime").dt.strftime("%Y-%m-%d %H:%M"),
    )
    assert set(ours.select("admission", "intime").rows()) == {(v, minute(s)) for v, s, _ in starts}
    assert set(ours.select("admission", "outtime").rows()) == {(v, minute(e)) for v, e in ends}
    died = base.execute(
        "select count(*) from visit_occurrence where discharge_to_concept_id = '4216643'"
    ).fetchone()[0]
    assert died == 15 == core.admissions["died"].sum()
    if TABLES.is_file():
        theirs = pl.read_csv(TABLES, try_parse_dates=True)
        person = {v: int(k.split("|")[0]) for v, _, k in starts}
        mine = ours.with_columns(
            pl.col("admission").replace_strict(person, return_dtype=pl.Int64)
        ).rows()
        form = "%Y-%m-%d %H:%M"
        icustays = theirs.select(
            "subject_id", *(pl.col(c).dt.strftime(form) for c in ("intime", "outtime"))
        ).rows()
        assert len(set(mine) & set(icustays)) == 139


@pytest.mark.skipif(not SYNTHEA.is_file(), reason="Synthea in the OMOP CDM is not there")
def test_synthea_has_days_alone_and_its_measurements_can_be_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(SYNTHEA) as packed:
        for name in ("PERSON", "VISIT_OCCURRENCE", "VISIT_DETAIL", "MEASUREMENT", "DEATH"):
            (tmp_path / f"{name}.csv").write_bytes(packed.read(f"{name}.csv"))
    source = recognise(tmp_path)
    assert isinstance(source, Omop)
    with pytest.raises(PrivauditError, match="dates without times"):
        source.extract(cache=tmp_path / "c", progress=lambda what, share: None)
    (table,) = source.tables()
    assert len(table.days_alone) == 49  # type: ignore[attr-defined]
    table.__dict__["days_alone"] = pl.Series([], dtype=pl.Int64)
    people = pl.read_csv(tmp_path / "PERSON.csv").select(subject="person_id")
    mapped = codes.load(source.codes())
    rows = table.raw(table.scan(), Wanted(mapped.wanted, people)).collect(engine="streaming")
    plain = pl.read_csv(io.BytesIO((tmp_path / "MEASUREMENT.csv").read_bytes()))
    known = mapped.frame.filter(pl.col("system") == "concept")["code"].cast(pl.Int64)
    assert len(rows) == len(plain.filter(pl.col("measurement_concept_id").is_in(known.implode())))
    medians = rows.group_by("code", "unit").agg(pl.col("value").median())
    found = {(code, unit): value for code, unit, value in medians.rows()}
    assert 60 < found["3027018", "/min"] < 100
    assert 36 < found["3020891", "Cel"] < 39


def _twice(**second: object) -> Cdm:
    """One source value under two keys, each with a stay and a value."""
    cdm = Cdm()
    cdm.person(1, person_source_value="4711")
    cdm.person(2, **{"person_source_value": "4711"} | second)
    for key, hour in ((1, 0.0), (2, 2000.0)):
        cdm.stay(key, start=hour)
        cdm.measure(key, hour + 1, HEART_RATE, 80 + key, PER_MINUTE)
    return cdm


def test_one_person_under_two_keys_is_one_person(tmp_path: Path) -> None:
    folder = _twice().write(tmp_path / "a")
    found = read(folder, cohort="all_stays")
    assert found.stays["patient"].to_list() == [FAR + 1] * 2
    assert values(found) == [(1.0, "heart_rate", 81.0), (1.0, "heart_rate", 82.0)]
    assert len(read(folder).stays) == 1


@pytest.mark.parametrize(
    "second",
    [
        {"person_source_value": "4712"},
        {"person_source_value": None},
        {"year_of_birth": 2050},
        {"gender_concept_id": 8507},
    ],
)
def test_what_is_only_alike_is_two_persons(tmp_path: Path, second: dict[str, object]) -> None:
    found = read(_twice(**second).write(tmp_path / "a"), cohort="all_stays")
    assert found.stays["patient"].n_unique() == 2


def test_a_stand_in_for_a_source_value_joins_nobody(tmp_path: Path) -> None:
    cdm = _twice()
    for key in range(3, 8):
        cdm.person(key, person_source_value="4711")
    assert read(cdm.write(tmp_path / "a"), cohort="all_stays").stays["patient"].n_unique() == 2


def test_a_table_in_two_forms_is_told(tmp_path: Path) -> None:
    folder = one().write(tmp_path / "a")
    pl.read_csv(folder / "person.csv").write_parquet(folder / "person.parquet")
    assert any(note.startswith("person lie in the folder") for note in map(str, read(folder).notes))
