"""The MIMIC-IV demo on FHIR: stays, deaths and urine, against SQL and against the CSV copy."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
from pathlib import Path

import polars as pl
import pytest

from pipelines.sources.recognise import recognise

REAL = Path(os.environ.get("PRIVAUDIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
DEMO = REAL / "mimic-iv-demo-fhir" / "fhir"
TABLES = REAL / "mimic-iv-demo"
real = pytest.mark.skipif(not DEMO.is_dir(), reason="the MIMIC-IV demo on FHIR is not there")


def _load(name: str) -> list[dict]:  # type: ignore[type-arg]
    with gzip.open(DEMO / f"Mimic{name}.ndjson.gz") as file:
        return [json.loads(line) for line in file]


@real
def test_the_demo_against_an_independent_query(tmp_path: Path) -> None:
    """Stays, deaths and urine of the demo, counted by SQL and compared with the CSV copy."""
    found = recognise(DEMO).extract(
        window=48,
        cohort="first_stay",
        as_known=False,
        cache=tmp_path,
        progress=lambda what, share: None,
    )
    base = sqlite3.connect(":memory:")
    base.execute("create table icu (person, hospital, start, end)")
    base.execute("create table hospital (id, said)")
    base.execute("create table urine (person, time, code, value)")
    for e in _load("EncounterICU"):
        base.execute(
            "insert into icu values (?, ?, ?, ?)",
            (
                e["subject"]["reference"][8:],
                e["partOf"]["reference"][10:],
                e["period"]["start"][:16].replace("T", " "),
                e["period"]["end"][:16].replace("T", " "),
            ),
        )
    for e in _load("Encounter"):
        said = (e["hospitalization"].get("dischargeDisposition") or {"coding": [{}]})["coding"][0]
        base.execute("insert into hospital values (?, ?)", (e["id"], said.get("code")))
    foley = ("226559", "226560", "226561", "226567", "227489")
    for o in _load("ObservationOutputevents"):
        code = o["code"]["coding"][0]["code"]
        if code in (*foley, "227488"):
            base.execute(
                "insert into urine values (?, ?, ?, ?)",
                (
                    o["subject"]["reference"][8:],
                    o["effectiveDateTime"][:16].replace("T", " "),
                    code,
                    o["valueQuantity"]["value"],
                ),
            )
    first = (
        "select i.* from icu i where i.start = (select min(j.start) from icu j where "
        "j.person = i.person)"
    )
    kept = f"({first} and (julianday(i.end) - julianday(i.start)) * 24 >= 47.9999999)"
    assert base.execute("select count(*), count(distinct person) from icu").fetchone() == (140, 100)
    stays, died = base.execute(
        f"select count(*), sum(h.said = 'DIED') from {kept} k join hospital h on k.hospital = h.id"
    ).fetchone()
    assert (stays, died) == (53, 7) == (len(found.stays), found.stays["died"].sum())
    times = base.execute(
        "select count(*) from (select distinct u.person, u.time from urine u "
        f"join {kept} k on u.person = k.person where u.time >= k.start and u.time < k.end "
        "and (julianday(u.time) - julianday(k.start)) * 24 < 47.9999999)"
    ).fetchone()[0]
    urine = found.events.filter(pl.col("variable") == "urine")
    assert len(urine) == times == 1765
    if TABLES.is_dir():
        csv = recognise(TABLES).extract(
            window=48,
            cohort="first_stay",
            as_known=False,
            cache=tmp_path,
            progress=lambda what, share: None,
        )
        theirs = csv.events.filter(pl.col("variable") == "urine")
        columns = ["hour", "value"]
        assert urine.select(columns).sort(columns).equals(theirs.select(columns).sort(columns))
        ages = [e.stays.sort("los_days", "age")["age"].to_list() for e in (found, csv)]
        assert ages[0] == ages[1]


@real
@pytest.mark.skipif(not TABLES.is_dir(), reason="the MIMIC-IV demo is not there")
def test_charts_and_laboratories_written_as_observations_give_the_events_of_the_tables(
    tmp_path: Path,
) -> None:
    """The copy lacks these Observations: a third of the patients' are made from the tables."""
    folder = tmp_path / "fhir"
    folder.mkdir()
    names = ("Patient", "Encounter", "EncounterICU", "Location", "ObservationOutputevents")
    for name in names:
        (folder / f"Mimic{name}.ndjson.gz").symlink_to(DEMO / f"Mimic{name}.ndjson.gz")
    ids = {p["identifier"][0]["value"]: p["id"] for p in _load("Patient")}
    some = dict(sorted(ids.items())[::3])
    source = recognise(TABLES)
    codes = pl.read_csv(source.codes(), infer_schema=False)["code"]  # type: ignore[attr-defined]
    for table, system in (
        ("icu/chartevents", "chartevents-d-items"),
        ("hosp/labevents", "d-labitems"),
    ):
        rows = (
            pl.read_csv(TABLES / f"{table}.csv.gz", infer_schema=False)
            .filter(pl.col("itemid").is_in(codes.implode()), pl.col("subject_id").is_in(list(some)))
            .iter_rows(named=True)
        )
        text = "\n".join(json.dumps(_observation(row, some, system)) for row in rows)
        (folder / f"Observation-{system}.ndjson").write_text(text + "\n")
    settings = {"window": 48, "cohort": "first_stay", "as_known": False, "cache": tmp_path / "c"}
    both = [
        s.extract(progress=lambda what, share: None, **settings)  # type: ignore[arg-type]
        for s in (recognise(folder), source)
    ]
    chosen = [
        both[0].stays.filter(pl.col("patient").is_in(_numbers(ids, some))),
        both[1].stays.filter(pl.col("patient").is_in([int(key) for key in some])),
    ]
    paired = [
        s.sort("los_days", "age").with_row_index("pair").select("stay", "pair") for s in chosen
    ]
    columns = ["pair", "variable", "hour", "value"]
    events = [
        found.events.join(pairs, on="stay").select(columns).sort(columns)
        for found, pairs in zip(both, paired, strict=True)
    ]
    assert len(events[0]) > 5_000
    assert events[0].equals(events[1])


def _observation(row: dict[str, str | None], ids: dict[str, str], system: str) -> dict[str, object]:
    """A row of a table as the project MIMIC-IV on FHIR writes it."""
    made: dict[str, object] = {
        "resourceType": "Observation",
        "status": "final",
        "subject": {"reference": f"Patient/{ids[row['subject_id'] or '']}"},
        "code": {
            "coding": [{"system": f"http://mimic.mit.edu/mimic-{system}", "code": row["itemid"]}]
        },
        "effectiveDateTime": f"{(row['charttime'] or '').replace(' ', 'T')}-05:00",
    }
    if row["valuenum"]:
        unit = {"unit": row["valueuom"]} if row["valueuom"] else {}
        return made | {"valueQuantity": {"value": float(row["valuenum"]), **unit}}
    return made | {"valueString": row["value"] or row.get("comments")}


def _numbers(ids: dict[str, str], some: dict[str, str]) -> list[int]:
    """How the reader numbers patients: by the order of their ids."""
    order = sorted(ids.values())
    return [order.index(key) + 1 for key in some.values()]
