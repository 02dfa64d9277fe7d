"""Who is studied, by rules that a hand-written query can check."""

from __future__ import annotations

import csv
import gzip
import io
import os
import sqlite3
from pathlib import Path

import polars as pl
import pytest
from tiny_mimic3 import Hospital, at, ward

from pipelines.sources.extract import Extract
from pipelines.sources.mimic3 import OLDEST, Mimic3
from privaudit.errors import PrivauditError

DEMO = (
    Path(os.environ.get("PRIVAUDIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
    / "mimic-iii-demo"
)


def read(folder: Path, cache: Path, **kwargs: object) -> Extract:
    return Mimic3(folder).extract(cache=cache, progress=lambda what, share: None, **kwargs)


def left_out(extract: Extract) -> dict[str, int]:
    return {step.step: step.excluded_stays for step in extract.flow if step.excluded_stays}


def test_each_rule_leaves_out_the_stay_that_meets_it(tmp_path: Path) -> None:
    found = read(ward().write(tmp_path / "a"), tmp_path / "c")
    assert left_out(found) == {
        "age at admission to the ICU 18 or more": 1,
        "no neonatal unit": 1,
        "the admission has charted data": 1,
        "the first ICU stay of the patient": 1,
        "in the ICU for at least 48 h": 2,
        "alive 48 h after admission to the ICU": 1,
    }
    assert found.stays["stay"].to_list() == [200, 201, 206, 209]
    assert found.stays["died"].to_list() == [0, 1, 0, 0]
    assert found.stays["ethnicity"].to_list() == ["WHITE"] * 4
    assert [step.stays for step in found.flow] == [11, 11, 10, 9, 8, 7, 5, 4]
    assert found.flow[-1].patients == 4


def test_all_stays_and_benchmarks(tmp_path: Path) -> None:
    folder = ward().write(tmp_path / "a")
    every = read(folder, tmp_path / "c", cohort="all_stays")
    assert every.stays["stay"].to_list() == [200, 201, 206, 207, 209]
    bench = read(folder, tmp_path / "c", cohort="benchmarks")
    assert left_out(bench) == {
        "no transfer between units or wards": 1,
        "age at admission to the ICU 18 or more": 1,
        "in the ICU for at least 48 h": 2,
        "a measured variable in the window": 4,
    }
    assert bench.stays["stay"].to_list() == [200, 201, 206]


def test_benchmarks_wants_one_stay_in_the_admission(tmp_path: Path) -> None:
    h = Hospital()
    h.stay(10, 200)
    h.stay(11, 201, hadm=5)
    h.stay(11, 202, start=80.0, hadm=5)
    for subject, stay in ((10, 200), (11, 201)):
        h.chart(subject, stay, 1.0, 211, 80)
        h.lab(subject, stay, 1.0, 50813, 1)
        h.output(subject, stay, 1.0, 40055, 1)
    found = read(h.write(tmp_path / "a"), tmp_path / "c", cohort="benchmarks")
    assert left_out(found) == {"exactly one ICU stay in the admission": 2}


def test_minimum_stay_below_the_window_cuts_values_at_its_end(tmp_path: Path) -> None:
    h = ward()
    h.chart(17, 208, 47.0, 211, 70)
    h.chart(17, 208, 47.995, 211, 71)  # after OUTTIME, inside 48 h
    h.chart(12, 202, 39.0, 211, 72)
    h.chart(12, 202, 41.0, 211, 73)  # after death, inside the stay
    found = read(h.write(tmp_path / "a"), tmp_path / "c", minimum_los=24)
    assert found.stays["stay"].to_list() == [200, 201, 202, 206, 208, 209]
    values = found.events.filter(pl.col("stay").is_in([202, 208]))["value"].to_list()
    assert values == [72.0, 70.0]


def test_ages(tmp_path: Path) -> None:
    h = ward()
    h.stay(50, 300, dob="2132-01-01 00:00:00")  # eighteenth birthday on the day of admission
    h.stay(51, 301, dob="2132-01-02 00:00:00")  # the day after
    h.stay(52, 302, age=89.5)
    h.stay(53, 303, age=92.0)
    ages = read(h.write(tmp_path / "a"), tmp_path / "c").stays
    age = dict(zip(ages["stay"].to_list(), ages["age"].to_list(), strict=True))
    assert age[209] == age[303] == pytest.approx(OLDEST)
    assert age[302] == pytest.approx(89.5, abs=0.01)
    assert age[200] == pytest.approx(60, abs=0.01)
    assert 300 in age
    assert 301 not in age


@pytest.mark.parametrize(
    ("days", "again"), [(29.9, 1), (30.1, 0), (0.5, 1)], ids=["in 30 days", "later", "soon"]
)
def test_readmission_is_an_icu_stay_within_30_days_of_leaving_hospital(
    tmp_path: Path, days: float, again: int
) -> None:
    h = ward()
    h.stay(60, 400, leaves=120.0)
    h.stay(60, 401, start=120.0 + 24 * days, leaves=90.0)
    h.stay(61, 402, hadm=7, leaves=300.0)
    h.stay(61, 403, start=90.0, hadm=7, leaves=300.0)  # back in the ICU, in the same admission
    found = read(h.write(tmp_path / "a"), tmp_path / "c", cohort="all_stays").stays
    back = dict(zip(found["stay"].to_list(), found["readmitted"].to_list(), strict=True))
    assert back[400] == again
    assert back[401] == back[402] == back[403] == 0
    assert back[201] is None
    assert back[206] == 1
    assert found.filter(pl.col("stay") == 200)["los_days"].item() == 3.0


def test_outcome_is_the_flag_and_disagreements_are_counted(tmp_path: Path) -> None:
    h = ward()
    h.stay(70, 500, died=1)  # no DEATHTIME
    h.stay(71, 501, died=0, death=90.0)  # DEATHTIME inside the admission
    h.stay(72, 502, died=1, death=90.0)
    h.tables["ADMISSIONS"][-1]["deathtime"] = at(300.0)  # after DISCHTIME
    found = read(h.write(tmp_path / "a"), tmp_path / "c")
    died = dict(zip(found.stays["stay"].to_list(), found.stays["died"].to_list(), strict=True))
    assert (died[500], died[501], died[502]) == (1, 0, 1)
    assert found.facts["died_without_deathtime"] == 1
    assert found.facts["survived_with_deathtime_inside_admission"] == 1
    assert found.facts["died_with_deathtime_outside_admission"] == 1
    assert any("disagrees with DEATHTIME" in note for note in found.notes)


def test_no_stay_left_names_the_step(tmp_path: Path) -> None:
    with pytest.raises(PrivauditError, match="in the ICU for at least 500 h"):
        read(ward().write(tmp_path / "a"), tmp_path / "c", minimum_los=500)


@pytest.mark.parametrize("table", ["PATIENTS", "ADMISSIONS", "ICUSTAYS"])
def test_repeated_keys_and_strange_flags_are_refused(tmp_path: Path, table: str) -> None:
    h = ward()
    h.tables[table].append(dict(h.tables[table][0]))
    with pytest.raises(PrivauditError, match=f"{table}: 1 repeated"):
        read(h.write(tmp_path / "a"), tmp_path / "c")
    h = ward()
    h.tables["ADMISSIONS"][0]["hospital_expire_flag"] = 3
    with pytest.raises(PrivauditError, match="HOSPITAL_EXPIRE_FLAG: 1 value"):
        read(h.write(tmp_path / "b"), tmp_path / "c")


def database(*tables: str) -> sqlite3.Connection:
    """The demo in SQLite, every column as text, read by the standard library alone."""
    base = sqlite3.connect(":memory:")
    for table in tables:
        with gzip.open(DEMO / f"{table}.csv.gz") as file:
            rows = csv.reader(io.TextIOWrapper(file, "utf-8"))
            names = next(rows)
            base.execute(f"create table {table} ({', '.join(names)})")
            places = ",".join("?" * len(names))
            base.executemany(f"insert into {table} values ({places})", rows)
    return base


STAYS = """
create view stays as select i.*, a.hospital_expire_flag, a.deathtime, a.has_chartevents_data,
  (julianday(i.outtime) - julianday(i.intime)) * 24 as hours,
  date(p.dob, '+18 years') <= i.intime as adult
from ICUSTAYS i join ADMISSIONS a on a.hadm_id = i.hadm_id
join PATIENTS p on p.subject_id = i.subject_id
"""
FIRST = [
    "1",
    "1",
    "adult",
    "first_careunit not in ('NICU','NWARD') and last_careunit not in ('NICU','NWARD')",
    "has_chartevents_data = '1'",
    "not exists (select 1 from stays o join PATIENTS p on p.subject_id = o.subject_id where "
    "o.subject_id = s.subject_id and o.adult and o.has_chartevents_data = '1' and "
    "o.intime < s.intime)",
    "hours >= 48",
    "(deathtime = '' or julianday(deathtime) > julianday(intime) + 2)",
]
BENCH = [
    "1",
    "1",
    "first_careunit = last_careunit and first_wardid = last_wardid",
    "(select count(*) from stays o where o.hadm_id = s.hadm_id and o.first_careunit = "
    "o.last_careunit and o.first_wardid = o.last_wardid) = 1",
    "adult",
    "hours >= 48",
    "1",
]


@pytest.mark.real
@pytest.mark.skipif(not DEMO.is_dir(), reason="the MIMIC-III demo is not beside the checkout")
@pytest.mark.parametrize(
    ("cohort", "rules"),
    [
        ("first_stay", FIRST),
        ("all_stays", FIRST[:5] + FIRST[6:]),
        ("benchmarks", BENCH),
    ],
)
def test_demo_agrees_with_handwritten_sql(tmp_path: Path, cohort: str, rules: list[str]) -> None:
    base = database("PATIENTS", "ADMISSIONS", "ICUSTAYS")
    base.execute(STAYS)
    found = read(DEMO, tmp_path, cohort=cohort)
    counts = [
        base.execute(
            "select count(*), count(distinct subject_id) from stays s where "
            + " and ".join(f"({rule})" for rule in rules[: i + 1])
        ).fetchone()
        for i in range(len(rules))
    ]
    assert [(step.stays, step.patients) for step in found.flow] == counts
    died = base.execute(
        "select count(*) from stays s where hospital_expire_flag = '1' and "
        + " and ".join(f"({rule})" for rule in rules)
    ).fetchone()[0]
    assert found.stays["died"].sum() == died


@pytest.mark.real
@pytest.mark.skipif(not DEMO.is_dir(), reason="the MIMIC-III demo is not beside the checkout")
def test_demo_events_agree_with_handwritten_sql(tmp_path: Path) -> None:
    """Distinct times with a valid value, for a vital sign, a laboratory value and a volume."""
    base = database(
        "PATIENTS", "ADMISSIONS", "ICUSTAYS", "CHARTEVENTS", "LABEVENTS", "OUTPUTEVENTS"
    )
    base.execute(STAYS)
    events = read(DEMO, tmp_path, cohort="all_stays").events
    where = " and ".join(f"({rule})" for rule in FIRST[:5] + FIRST[6:])
    no_irrigant = (
        "and e.subject_id not in (select subject_id from OUTPUTEVENTS where itemid = '227488')"
    )
    irrigated = [
        int(row[0])
        for row in base.execute(
            "select distinct i.icustay_id from ICUSTAYS i join OUTPUTEVENTS o on "
            "o.subject_id = i.subject_id where o.itemid = '227488'"
        )
    ]
    queries = {
        "heart_rate": ("CHARTEVENTS", "211,220045", "valuenum", 0.1, 299, "and e.error <> '1'"),
        "lactate": ("LABEVENTS", "50813", "valuenum", 0.1, 50, ""),
        "spo2": ("CHARTEVENTS", "646,220277", "valuenum", 1, 100, "and e.error <> '1'"),
        "urine": (
            "OUTPUTEVENTS",
            "40055,226559,226560,40069,40473,226584",
            "value",
            0,
            5000,
            no_irrigant,
        ),
    }
    for variable, (table, items, value, low, high, more) in queries.items():
        n, total = base.execute(
            f"""select count(*), sum(v) from (select s.icustay_id, e.charttime, sum(1.0 * e.{value})
            / count(*) * count(distinct e.itemid) v from stays s join {table} e on
            e.subject_id = s.subject_id and e.charttime >= s.intime
            and e.charttime < datetime(s.intime, '+48 hours')
            where {where} and e.itemid in ({",".join(f"'{i}'" for i in items.split(","))})
            and e.{value} <> '' and 1.0 * e.{value} between {low} and {high} {more}
            group by s.icustay_id, e.charttime)"""
        ).fetchone()
        mine = events.filter(pl.col("variable") == variable)
        if variable == "urine":
            mine = mine.filter(~pl.col("stay").is_in(irrigated))
        assert n == len(mine), variable
        if variable in ("lactate", "urine"):
            assert mine["value"].cast(pl.Float64).sum() == pytest.approx(total, rel=1e-5)
