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
