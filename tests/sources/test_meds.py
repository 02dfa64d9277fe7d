"""The reader of MEDS, against the reader of the tables that it was converted from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl
import pytest
from tiny_mimic4 import CVICU, Hospital, at, ward

from pipelines.sources._meds_stays import spans
from pipelines.sources.extract import Extract
from pipelines.sources.recognise import recognise
from privaudit.errors import PrivauditError

REAL = Path(os.environ.get("PRIVAUDIT_DATA", Path(__file__).parents[3] / "shared" / "data"))


def quiet(what: str, share: float) -> None:
    """Progress that nobody watches."""


def read(folder: Path, cache: Path, **kwargs: object) -> Extract:
    return recognise(folder).extract(cache=cache, progress=quiet, **kwargs)  # type: ignore[arg-type]


def write(frame: pl.DataFrame, folder: Path, name: str | None = "MIMIC-IV") -> Path:
    """A dataset in the layout of 0.3: two shards, and metadata where it has a name."""
    halves = frame["subject_id"] % 2 == 0
    for shard, rows in (("train/0", frame.filter(halves)), ("held_out/0", frame.filter(~halves))):
        path = folder / "data" / f"{shard}.parquet"
        path.parent.mkdir(parents=True)
        rows.write_parquet(path)
    if name is not None:
        (folder / "metadata").mkdir()
        (folder / "metadata" / "dataset.json").write_text(json.dumps({"dataset_name": name}))
    return folder


def keyed(extract: Extract) -> pl.DataFrame:
    """The events with patient and hour in the place of the source's own numbers of stays."""
    stays = extract.stays.select("stay", "patient")
    return (
        extract.events.join(stays, on="stay")
        .drop("stay")
        .sort("patient", "hour", "variable")
        .select("patient", "hour", "variable", "value")
    )


def statics(extract: Extract) -> pl.DataFrame:
    return extract.stays.drop("stay", "insurance").sort("patient")


def test_events_and_stays_are_those_of_the_tables(tmp_path: Path) -> None:
    h = ward()
    tables = read(h.write(tmp_path / "a"), tmp_path / "c")
    meds = read(write(h.meds(), tmp_path / "b"), tmp_path / "d")
    # A comment of the laboratory is not converted, and with it the limit of an assay is lost.
    assert keyed(meds).equals(keyed(tables).filter(pl.col("variable") != "troponin_t"))
    assert statics(meds).equals(statics(tables))
    assert [s.stays for s in meds.flow] == [s.stays for s in tables.flow]
    assert meds.source == "MIMIC-IV in MEDS"


def test_both_spellings_and_later_codes_read_alike(tmp_path: Path) -> None:
    h = ward()
    usual = read(write(h.meds(), tmp_path / "a"), tmp_path / "c")
    later = read(write(h.meds(results=True), tmp_path / "b"), tmp_path / "d")
    assert later.events.equals(usual.events)
    beside = tmp_path / "old"
    beside.mkdir()
    h.meds("0.0.1").write_parquet(beside / "events.parquet")
    h.meds("0.0.1").select("subject_id", risk="value").write_parquet(beside / "labels.parquet")
    old = read(beside, tmp_path / "e")  # it has no words of the verbal response
    assert keyed(old).equals(keyed(usual).filter(pl.col("variable") != "intubated"))


def test_an_event_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    h = ward()
    usual = read(write(h.meds(), tmp_path / "a"), tmp_path / "c")
    twice = read(write(pl.concat([h.meds(), h.meds()]), tmp_path / "b"), tmp_path / "d")
    assert keyed(twice).equals(keyed(usual))
    assert statics(twice).equals(statics(usual))


def test_starts_are_paired_with_the_ends_that_follow() -> None:
    rows = [
        (1, 0.0, "IN//A"),
        (1, 5.0, "OUT//B"),
        (1, 5.0, "IN//B"),  # moved at once: the end at its own start is not its end
        (1, 9.0, "OUT//B"),
        (2, 0.0, "IN//A"),  # its end is missing
        (2, 20.0, "IN//C"),
        (2, 30.0, "OUT//C"),
        (3, 1.0, "OUT//A"),
        (3, 2.0, "IN//A"),
    ]
    events = pl.DataFrame(
        [(s, at(h), c) for s, h, c in rows], schema=("subject", "time", "code"), orient="row"
    ).with_columns(pl.col("time").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us"))
    found = spans(events, "IN", "OUT").sort("subject", "time")
    hours = (found["over"] - found["time"]).dt.total_seconds() / 3600
    assert hours.to_list() == [5.0, 4.0, None, 10.0, None]
    assert found["where"].to_list() == ["B", "B", None, "C", None]


def test_a_stay_may_begin_before_its_admission_and_end_after_its_discharge(tmp_path: Path) -> None:
    h = Hospital()
    h.stay(10_000_001, 1, admitted=1.0)
    h.stay(10_000_002, 2, died=1, death=60.0, los=60.0)
    h.stay(10_000_003, 3, admitted=30.0, leaves=300.0)  # more than a day before: not its stay
    for row in h.tables["admissions"]:
        if row["hospital_expire_flag"]:
            row["dischtime"] = row["dischtime"][:10] + " 00:00:00"
    for stay in (1, 2, 3):
        h.chart(10_000_000 + stay, stay, 1.0, 220045, 80, "bpm")
    extract = read(write(h.meds(), tmp_path / "a"), tmp_path / "c")
    assert extract.stays["patient"].to_list() == [10_000_001, 10_000_002]
    assert extract.stays.sort("patient")["died"].to_list() == [0, 1]
    assert extract.flow[1].excluded_stays == 1


def test_death_in_hospital_is_the_place_of_discharge(tmp_path: Path) -> None:
    h = Hospital()
    h.stay(10_000_001, 1)
    h.stay(10_000_002, 2, died=1, death=150.0)
    h.stay(10_000_003, 3, place=None)
    h.stay(10_000_004, 4, place=None)
    for stay in (1, 2, 3, 4):
        h.chart(10_000_000 + stay, stay, 1.0, 220045, 80, "bpm")
    frame = h.meds()
    late = {10_000_001: at(500.0), 10_000_004: at(199.0)}
    deaths = pl.DataFrame(
        [(who, when, "MEDS_DEATH") for who, when in late.items()],
        schema=("subject_id", "time", "code"),
        orient="row",
    ).with_columns(pl.col("time").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us"))
    frame = pl.concat([frame, deaths], how="diagonal")
    extract = read(write(frame, tmp_path / "a"), tmp_path / "c")
    # 1 died weeks after, 4 died by the time of a discharge to nowhere: nobody says where.
    assert dict(extract.stays.select("patient", "died").iter_rows()) == {
        10_000_001: 0,
        10_000_002: 1,
        10_000_003: 0,
        10_000_004: None,
    }


def test_a_dataset_of_other_codes_needs_a_code_map(tmp_path: Path) -> None:
    h = ward()
    frame = h.meds().with_columns(pl.col("code").str.replace("LAB//220045//bpm", "HR//MONITOR"))
    folder = write(frame, tmp_path / "a", "Our own hospital")
    with pytest.raises(PrivauditError, match="no code of this MEDS is known"):
        read(folder, tmp_path / "c")
    own = tmp_path / "map.csv"
    own.write_text("variable,code,unit\nheart_rate,HR//MONITOR,bpm\nurine,LAB//1,mL\n")
    extract = read(folder, tmp_path / "c", codes=own)
    assert set(extract.events["variable"]) == {"heart_rate"}
    assert any("taken for one person" in str(note) for note in extract.notes)
    assert extract.source == "MEDS"


def test_codes_are_those_of_mimic_iv_only_where_it_is_named_or_plainly_it(tmp_path: Path) -> None:
    h = ward()
    named = recognise(write(h.meds(), tmp_path / "a", "MIMIC-IV-Demo"))
    silent = recognise(write(h.meds(), tmp_path / "b", None))
    other = recognise(write(h.meds(), tmp_path / "c", "NWICU"))
    elsewhere = Hospital()
    elsewhere.stay(10_000_001, 1, unit=CVICU)
    elsewhere.chart(10_000_001, 1, 1.0, 220045, 80, "bpm")
    unlike = recognise(write(elsewhere.meds(), tmp_path / "d", None))
    found = [source.is_mimic for source in (named, silent, other, unlike)]  # type: ignore[attr-defined]
    assert found == [True, True, False, False]


def test_what_meds_cannot_say_is_refused(tmp_path: Path) -> None:
    h = ward()
    folder = write(h.meds(), tmp_path / "a")
    with pytest.raises(PrivauditError, match="as_known=True on MEDS"):
        read(folder, tmp_path / "c", as_known=True)
    own = tmp_path / "map.csv"
    own.write_text("variable,code,unit\nheart_rate,HR,bpm\n")
    with pytest.raises(PrivauditError, match="whose subjects are stays in hospital"):
        read(write(h.meds(), tmp_path / "b", "eICU"), tmp_path / "c", codes=own)
    without = h.meds().filter(~pl.col("code").str.starts_with("ICU_DISCHARGE"))
    with pytest.raises(PrivauditError, match="it has no event ICU_DISCHARGE"):
        read(write(without, tmp_path / "d"), tmp_path / "c")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Extract:
    if not (REAL / "mimic-iv-demo").is_dir():
        pytest.skip("the MIMIC-IV demo is not there")
    return read(REAL / "mimic-iv-demo", tmp_path_factory.mktemp("tables"))


@pytest.mark.real
@pytest.mark.parametrize("layout", ["", "meds-layout"])
def test_the_demo_in_meds_equals_the_demo_event_by_event(
    tmp_path: Path, tables: Extract, layout: str
) -> None:
    folder = REAL / "mimic-iv-demo-meds" / layout
    if not folder.is_dir():
        pytest.skip("the MIMIC-IV demo in MEDS is not there")
    meds = read(folder, tmp_path)
    ours, theirs = keyed(meds), keyed(tables)
    # Our copy of the converted demo has no comments: 16 results below the limit of the assay.
    below = theirs.join(ours, on=["patient", "hour", "variable"], how="anti")
    assert below["variable"].value_counts().rows() == [("troponin_t", 16)]
    left = theirs.join(below, on=["patient", "hour", "variable"], how="anti")
    assert ours.select("patient", "hour", "variable").equals(
        left.select("patient", "hour", "variable")
    )
    # The copy of the tables was written from numbers of single precision.
    assert ((ours["value"] - left["value"]).abs() <= 1e-5 * left["value"].abs() + 1e-6).all()
    same = ("patient", "age", "sex", "unit", "admission_type", "died", "los_days", "readmitted")
    assert meds.stays.select(same).sort("patient").equals(tables.stays.select(same).sort("patient"))
    assert meds.stays["died"].sum() == 7


def test_a_shard_that_is_cut_off_is_refused_and_not_left_out(tmp_path: Path) -> None:
    folder = write(ward().meds(), tmp_path / "a")
    shard = folder / "data" / "train" / "0.parquet"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PrivauditError, match="1 of 2 Parquet files cannot be read"):
        read(folder, tmp_path / "c")
    with pytest.raises(PrivauditError, match="cannot be read"):
        recognise(folder).check()


def test_a_shard_without_the_columns_is_refused_and_not_left_out(tmp_path: Path) -> None:
    folder = write(ward().meds(), tmp_path / "a")
    shard = folder / "data" / "train" / "0.parquet"
    pl.read_parquet(shard).rename({"code": "concept"}).write_parquet(shard)
    with pytest.raises(PrivauditError, match="no events"):
        read(folder, tmp_path / "c")


def test_what_systems_leave_beside_shards_is_no_shard(tmp_path: Path) -> None:
    folder = write(ward().meds(), tmp_path / "data" / "a")
    expected = keyed(read(folder, tmp_path / "c"))
    (folder / "data" / "train" / "._0.parquet").write_bytes(b"Mac OS X")
    assert keyed(read(folder, tmp_path / "d")).equals(expected)


@pytest.mark.parametrize(
    "column",
    [
        pl.format("p{}", "subject_id").alias("subject_id"),
        pl.col("subject_id").cast(pl.Float64),
        pl.col("time").dt.epoch("ns"),
        pl.col("time").dt.date(),
    ],
)
def test_keys_and_times_of_another_kind_are_refused(tmp_path: Path, column: pl.Expr) -> None:
    folder = write(ward().meds(), tmp_path / "a")
    shard = folder / "data" / "train" / "0.parquet"
    pl.read_parquet(shard).with_columns(column).write_parquet(shard)
    with pytest.raises(PrivauditError, match="another kind than MEDS"):
        read(folder, tmp_path / "c")
