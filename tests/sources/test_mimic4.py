"""The reader of MIMIC-IV: its traps, on generated tables, and its counts on the real demo."""

from __future__ import annotations

import csv
import gzip
import os
import sqlite3
from datetime import datetime
from pathlib import Path
from statistics import median

import polars as pl
import pytest
from tiny_mimic4 import BASE, Hospital, ward

from pipelines.sources.extract import Extract
from pipelines.sources.mimic4 import Mimic4
from pipelines.sources.recognise import recognise
from pipelines.tasks.mortality import Mortality
from privaudit.errors import PrivauditError

REAL = Path(os.environ.get("PRIVAUDIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
DEMO = REAL / "mimic-iv-demo"


def quiet(what: str, share: float) -> None:
    """Progress that nobody watches."""


def read(folder: Path, cache: Path, **kwargs: object) -> Extract:
    return recognise(folder).extract(cache=cache, progress=quiet, **kwargs)  # type: ignore[arg-type]


def values(extract: Extract, variable: str) -> dict[tuple[int, float], float]:
    rows = extract.events.filter(pl.col("variable") == variable)
    return {(s, h): v for s, h, v in rows.select("stay", "hour", "value").iter_rows()}


def test_cohort_outcomes_and_statics(tmp_path: Path) -> None:
    extract = read(ward().write(tmp_path / "a"), tmp_path / "c")
    assert [(s.step, s.excluded_stays, s.stays) for s in extract.flow] == [
        ("ICU stays in icustays", 0, 8),
        ("listed in admissions and patients", 0, 8),
        ("age at admission to the ICU 18 or more", 1, 7),
        ("the first ICU stay of the patient", 1, 6),
        ("in the ICU for at least 48 h", 1, 5),
        ("alive 48 h after admission to the ICU", 1, 4),
    ]
    stays = extract.stays
    assert stays["stay"].to_list() == [1, 2, 5, 8]
    assert stays["died"].to_list() == [0, 1, 0, 0]
    assert stays["unit"].to_list() == ["MICU", "MICU", "CSRU", "MICU"]
    assert stays["site"].to_list() == stays["unit"].to_list()
    assert stays["admission_type"].to_list() == ["emergency", "emergency", "elective", "emergency"]
    assert stays["ethnicity"].to_list() == ["WHITE"] * 4
    assert stays["readmitted"].to_list() == [0, None, 1, 0]
    assert extract.source == "MIMIC-IV"
    assert extract.real


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
@pytest.mark.parametrize("flat", [False, True])
def test_every_form_reads_alike(tmp_path: Path, form: str, flat: bool) -> None:
    usual = read(ward().write(tmp_path / "a"), tmp_path / "c")
    other = read(ward().write(tmp_path / "b", form, flat), tmp_path / "d")
    assert other.stays.equals(usual.stays)
    assert other.events.equals(usual.events)


def test_a_value_of_the_minute_of_admission_is_inside(tmp_path: Path) -> None:
    """intime has seconds and charttime is cut to the minute, 40 seconds before."""
    extract = read(ward().write(tmp_path / "a"), tmp_path / "c")
    assert values(extract, "heart_rate")[1, 0.0] == 80.0
    assert values(extract, "height")[1, 0.0] == pytest.approx(177.8)


def test_height_and_weight_of_the_day_before_count_where_there_is_none(tmp_path: Path) -> None:
    h = Hospital()
    for stay in (1, 2, 3):
        h.stay(10_000_000 + stay, stay, died=stay % 2, death=100.0 if stay % 2 else None)
        h.chart(10_000_000 + stay, stay, 1.0, 220045, 80, "bpm")
    h.chart(10_000_001, 1, -20.0, 226707, 70, "Inch")
    h.chart(10_000_001, 1, -20.0, 226512, 80, "kg")
    h.chart(10_000_001, 1, -20.0, 224639, 90, "kg")  # a daily weight is no admission weight
    h.chart(10_000_001, 1, -2.0, 220045, 50, "bpm")
    h.chart(10_000_002, 2, -25.0, 226707, 70, "Inch")
    h.chart(10_000_003, 3, -5.0, 226707, 60, "Inch")
    h.chart(10_000_003, 3, 5.0, 226730, 160, "cm")
    extract = read(h.write(tmp_path / "a"), tmp_path / "c")
    assert values(extract, "height") == {
        (1, 0.0): pytest.approx(177.8),
        (3, 5.0): pytest.approx(160.0),
    }
    assert values(extract, "weight") == {(1, 0.0): pytest.approx(80.0)}
    assert values(extract, "heart_rate") == dict.fromkeys([(1, 1.0), (2, 1.0), (3, 1.0)], 80.0)


def test_a_limit_of_the_assay_is_read_from_the_comments(tmp_path: Path) -> None:
    extract = read(ward().write(tmp_path / "a"), tmp_path / "c")
    assert values(extract, "troponin_t")[1, 4.0] == pytest.approx(0.01)


def test_intubation_needs_words(tmp_path: Path) -> None:
    h = ward()
    assert values(read(h.write(tmp_path / "a"), tmp_path / "c"), "intubated")[1, 1.5] == 1.0
    for row in h.tables["chartevents"]:
        if row["itemid"] == 223900:
            row["value"] = 1
    silent = read(h.write(tmp_path / "b"), tmp_path / "d")
    assert values(silent, "intubated") == {}
    assert values(silent, "gcs_verbal")[1, 1.5] == 1.0


def test_age_is_counted_from_the_anchor_year_and_91_is_over_89(tmp_path: Path) -> None:
    h = Hospital()
    h.stay(10_000_001, 1, age=60, anchor_year=BASE.year - 5)
    h.stay(10_000_002, 2, age=91, anchor_year=BASE.year - 3, died=1, death=60.0)
    h.stay(10_000_003, 3, age=88, anchor_year=BASE.year - 4)
    h.stay(10_000_004, 4, age=15, anchor_year=BASE.year - 3)
    for stay in (1, 2, 3, 4):
        h.chart(10_000_000 + stay, stay, 1.0, 220045, 80, "bpm")
    extract = read(h.write(tmp_path / "a"), tmp_path / "c")
    assert extract.stays["age"].to_list() == [65.0, 91.0, 91.0, 18.0]
    assert extract.facts["ages_over_89"] == 2


def test_a_unit_that_is_not_known_is_left_out_and_counted(tmp_path: Path) -> None:
    h = ward()
    h.chart(10_000_010, 1, 7.0, 226707, 70, "hands")
    extract = read(h.write(tmp_path / "a"), tmp_path / "c")
    assert extract.facts["values_unknown_unit_in_all_adult_stays"] == 1
    assert any("Values were left out" in str(note) for note in extract.notes)
    assert (1, 7.0) not in values(extract, "height")


def test_as_known_leaves_out_what_was_stored_late_or_without_a_time(tmp_path: Path) -> None:
    h = ward()
    h.chart(10_000_010, 1, 47.5, 220045, 99, "bpm", stored=1.0)
    h.chart(10_000_010, 1, 46.5, 220045, 98, "bpm", stored=1.0)
    h.chart(10_000_010, 1, 45.5, 220045, 97, "bpm")
    h.tables["chartevents"][-1]["storetime"] = None
    folder = h.write(tmp_path / "a")
    all_of_it = values(read(folder, tmp_path / "c"), "heart_rate")
    known = values(read(folder, tmp_path / "c", as_known=True), "heart_rate")
    assert {(1, 45.5), (1, 46.5), (1, 47.5)} <= set(all_of_it)
    assert set(all_of_it) - set(known) == {(1, 45.5), (1, 47.5)}


def test_what_mimic_iv_cannot_do_is_refused(tmp_path: Path) -> None:
    folder = ward().write(tmp_path / "a")
    with pytest.raises(PrivauditError, match="the benchmarks cohort on MIMIC-IV"):
        read(folder, tmp_path / "c", cohort="benchmarks")


def test_stays_of_days_alone_are_refused(tmp_path: Path) -> None:
    h = ward()
    for row in h.tables["icustays"]:
        for name in ("intime", "outtime"):
            row[name] = row[name][:10] + " 00:00:00"
    with pytest.raises(PrivauditError, match="all of its 8 ICU stays begin and end at midnight"):
        read(h.write(tmp_path / "a"), tmp_path / "c")


def test_a_table_of_days_alone_is_refused(tmp_path: Path) -> None:
    h = ward()
    for day in range(30):
        h.lab(10_000_010, 1, 5.0 + day / 30, 50912, 1.0, "mg/dL")
    for row in h.tables["labevents"]:
        row["charttime"] = "2150-01-02 00:00:00"
    with pytest.raises(PrivauditError, match="labevents gives days and no times of day"):
        read(h.write(tmp_path / "a"), tmp_path / "c")


def test_no_message_quotes_a_cell(tmp_path: Path) -> None:
    h = ward()
    h.chart(10_000_010, 1, 2.0, 220045, 80, "bpm")
    h.tables["chartevents"][-1]["charttime"] = "the day Anna came"
    with pytest.raises(PrivauditError, match=r"chartevents\.charttime: 1 unreadable") as caught:
        read(h.write(tmp_path / "a"), tmp_path / "c")
    assert "Anna" not in str(caught.value)


def test_a_task_takes_a_code_map(tmp_path: Path) -> None:
    h = ward()
    h.chart(10_000_010, 1, 2.0, 999_001, 66, None)
    own = tmp_path / "map.csv"
    own.write_text("variable,code,unit\nheart_rate,999001,bpm\n")
    task = Mortality(codes=str(own))
    assert eval(repr(task)) == task
    extract = task.read(h.write(tmp_path / "a"), tmp_path / "c", quiet)
    assert values(extract, "heart_rate")[1, 2.0] == 66.0


# Rows read by a hand-written query, from files parsed by the standard library.
QUERY = """
WITH stays AS (
  SELECT i.stay_id, i.subject_id, i.hadm_id, a.hospital_expire_flag AS died, a.deathtime,
         substr(i.intime, 1, 16) || ':00' AS intime, substr(i.outtime, 1, 16) || ':00' AS outtime,
         p.anchor_age + substr(a.admittime, 1, 4) - p.anchor_year AS age
  FROM icustays i JOIN admissions a USING (hadm_id) JOIN patients p ON p.subject_id = i.subject_id
), first AS (
  SELECT *, row_number() OVER (PARTITION BY subject_id ORDER BY intime, stay_id) AS n FROM stays
  WHERE age >= 18
)
SELECT stay_id, subject_id, died, intime, outtime FROM first
WHERE n = 1 AND julianday(outtime) - julianday(intime) >= 2
  AND (deathtime IS NULL OR deathtime = '' OR julianday(deathtime) - julianday(intime) > 2)
"""


@pytest.fixture(scope="module")
def database() -> sqlite3.Connection:
    if not DEMO.is_dir():
        pytest.skip("the MIMIC-IV demo is not there")
    base = sqlite3.connect(":memory:")
    where = {"icustays": "icu", "admissions": "hosp", "patients": "hosp", "labevents": "hosp"}
    for table, folder in where.items() | {("chartevents", "icu"), ("outputevents", "icu")}:
        with gzip.open(DEMO / folder / f"{table}.csv.gz", "rt") as file:
            rows = csv.reader(file)
            header = next(rows)
            columns = ", ".join(f'"{name}"' for name in header)
            base.execute(f"CREATE TABLE {table} ({columns})")
            marks = ", ".join("?" * len(header))
            keep = (
                row
                for row in rows
                if table in ("icustays", "admissions", "patients")
                or row[header.index("itemid")] in ITEMS
            )
            base.executemany(f"INSERT INTO {table} VALUES ({marks})", keep)
    return base


ITEMS = {"220045", "50912", "226559", "226707", "226730", "226512", "226531", "224639"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Extract:
    if not DEMO.is_dir():
        pytest.skip("the MIMIC-IV demo is not there")
    return read(DEMO, tmp_path_factory.mktemp("demo"))


@pytest.mark.real
def test_the_cohort_of_the_demo_is_that_of_a_hand_written_query(
    demo: Extract, database: sqlite3.Connection
) -> None:
    found = database.execute(QUERY).fetchall()
    assert {(int(s), int(p), int(d)) for s, p, d, *_ in found} == set(
        demo.stays.select("stay", "patient", "died").iter_rows()
    )
    assert [step.stays for step in demo.flow] == [140, 140, 140, 100, 53, 53]
    assert demo.stays["died"].sum() == 7


@pytest.mark.real
@pytest.mark.parametrize(
    ("variable", "table", "items", "low", "high"),
    [
        ("heart_rate", "chartevents", ("220045",), 0.1, 299),
        ("creatinine", "labevents", ("50912",), 0.1, 60),
        ("urine", "outputevents", ("226559",), 0, 5000),
    ],
)
def test_events_of_the_demo_are_those_of_a_hand_written_query(
    demo: Extract,
    database: sqlite3.Connection,
    variable: str,
    table: str,
    items: tuple[str, ...],
    low: float,
    high: float,
) -> None:
    column = "e.value" if table == "outputevents" else "e.valuenum"
    cast = f"CAST({column} AS REAL)"
    rows = database.execute(
        f"WITH cohort AS ({QUERY}) "
        f"SELECT c.stay_id, e.charttime, {cast}, c.intime FROM cohort c "
        f"JOIN {table} e ON e.subject_id = c.subject_id "
        f"WHERE e.itemid IN ({', '.join('?' * len(items))}) AND {column} <> '' "
        f"AND {cast} BETWEEN ? AND ? AND e.charttime >= c.intime AND e.charttime < c.outtime "
        "AND julianday(e.charttime) - julianday(c.intime) < 1.9999999",
        (*items, low, high),
    ).fetchall()
    expected: dict[tuple[int, float], list[float]] = {}
    for stay, when, number, intime in rows:
        seconds = (datetime.fromisoformat(when) - datetime.fromisoformat(intime)).total_seconds()
        expected.setdefault((int(stay), round(seconds / 3600, 4)), []).append(number)
    mine = {(stay, round(hour, 4)): v for (stay, hour), v in values(demo, variable).items()}
    if variable == "urine":  # other items of urine add to this one
        assert set(expected) <= set(mine)
        return
    assert set(mine) == set(expected)
    for moment, value in mine.items():
        assert value == pytest.approx(median(expected[moment]), rel=1e-5)


@pytest.mark.real
def test_heights_and_weights_of_the_demo(database: sqlite3.Connection) -> None:
    """Cutting intime to the minute gives 48 stays a height, and 129 a weight, of 3 and 122."""

    def stays(items: str, cut: str) -> int:
        query = (
            "SELECT count(DISTINCT i.stay_id) "
            "FROM icustays i JOIN chartevents e USING (subject_id) "
            f"WHERE e.itemid IN ({items}) AND e.valuenum <> '' AND e.charttime >= {cut} "
            f"AND julianday(e.charttime) - julianday({cut}) < 2"
        )
        return int(database.execute(query).fetchone()[0])

    exact, minute = "i.intime", "substr(i.intime, 1, 16) || ':00'"
    height, weight = "'226707', '226730'", "'226512', '226531', '224639'"
    assert (stays(height, exact), stays(height, minute)) == (3, 48)
    assert (stays(weight, exact), stays(weight, minute)) == (122, 129)
    windows = Mimic4(DEMO).core().icustays
    assert (windows["intime"].dt.second() == 0).all()


def test_a_table_in_two_forms_is_told(tmp_path: Path) -> None:
    folder = ward().write(tmp_path / "a")
    path = next(folder.rglob("patients.csv*"))
    text = path.read_bytes()
    text = gzip.decompress(text) if path.suffix == ".gz" else text
    (folder / "patients.csv").write_bytes(text)
    (folder / "patients.csv.gz").write_bytes(gzip.compress(text))
    notes = [str(note) for note in read(folder, tmp_path / "c").notes]
    assert any(note.startswith("patients lie in the folder") for note in notes)
