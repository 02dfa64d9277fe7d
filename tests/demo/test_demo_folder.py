"""The generated folder: MIMIC-III's columns and keys, one seed one folder, failures leave
nothing."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

import mimic_demo
from mimic_demo import folder
from mimic_demo.__main__ import main
from mimic_demo.tables import ADMISSION, HEADERS, STAY, SUBJECT

NUMBERS = ("_ID", "ITEMID", "_FLAG")
TIMES = ("TIME", "DOB", "DOD", "DOD_HOSP", "DOD_SSN")


def read(path: Path, name: str) -> pl.DataFrame:
    frame = pl.read_csv(path / f"{name}.csv.gz", infer_schema=False)
    return frame.with_columns(
        *(pl.col(c).cast(pl.Int64) for c in frame.columns if c.endswith(NUMBERS)),
        *(pl.col(c).str.to_datetime() for c in frame.columns if c.endswith(TIMES)),
        *(pl.col(c).cast(pl.Float64) for c in frame.columns if c == "LOS"),
    )


def text(path: Path, name: str) -> str:
    return gzip.decompress((path / f"{name}.csv.gz").read_bytes()).decode()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "small"
    mimic_demo.write(out, 300, seed=3)
    return out


def test_every_table_has_the_columns_of_the_release(small: Path) -> None:
    for name, columns in HEADERS.items():
        assert tuple(text(small, name).split("\n", 1)[0].split(",")) == columns


def test_row_ids_run_on_over_blocks(small: Path) -> None:
    assert folder.CELL < 300
    for name in HEADERS:
        rows = read(small, name)["ROW_ID"]
        assert rows.to_list() == list(range(1, len(rows) + 1))


def test_identifiers_are_consistent_and_not_of_mimic(small: Path) -> None:
    patients, admissions = read(small, "PATIENTS"), read(small, "ADMISSIONS")
    stays = read(small, "ICUSTAYS")
    assert patients["SUBJECT_ID"].n_unique() == len(patients) == 300
    assert admissions["HADM_ID"].n_unique() == len(admissions)
    assert stays["ICUSTAY_ID"].n_unique() == len(stays)
    lowest = {"SUBJECT_ID": SUBJECT, "HADM_ID": ADMISSION, "ICUSTAY_ID": STAY}
    tables = {"SUBJECT_ID": patients, "HADM_ID": admissions, "ICUSTAY_ID": stays}
    pairs = admissions.select("SUBJECT_ID", "HADM_ID")
    triples = stays.select("SUBJECT_ID", "HADM_ID", "ICUSTAY_ID")
    assert stays.join(pairs, on=["SUBJECT_ID", "HADM_ID"], how="anti").is_empty()
    for name in HEADERS:
        frame = read(small, name)
        for key, floor in lowest.items():
            if key in frame.columns:
                values = frame[key].drop_nulls().unique()
                assert values.min() > floor
                assert values.is_in(tables[key][key].implode()).all(), (name, key)
        if "ICUSTAY_ID" in frame.columns:
            known = frame.filter(pl.col("ICUSTAY_ID").is_not_null())
            lost = known.join(triples, on=["SUBJECT_ID", "HADM_ID", "ICUSTAY_ID"], how="anti")
            assert lost.is_empty(), name
    for events, items in (
        ("CHARTEVENTS", "D_ITEMS"),
        ("OUTPUTEVENTS", "D_ITEMS"),
        ("LABEVENTS", "D_LABITEMS"),
    ):
        known = read(small, items)["ITEMID"]
        assert read(small, events)["ITEMID"].unique().is_in(known.implode()).all()


def test_times_are_in_order(small: Path) -> None:
    admissions = read(small, "ADMISSIONS")
    stays = read(small, "ICUSTAYS").join(
        admissions.drop("ROW_ID"), on=["SUBJECT_ID", "HADM_ID"], how="left"
    )
    assert (stays["INTIME"] < stays["OUTTIME"]).all()
    assert (stays["ADMITTIME"] <= stays["INTIME"]).all()
    minute = pl.duration(minutes=1)
    assert stays.select((pl.col("OUTTIME") <= pl.col("DISCHTIME") + minute).all()).item()
    days = stays.select((pl.col("OUTTIME") - pl.col("INTIME")).dt.total_seconds() / 86400)
    assert ((days.to_series() - stays["LOS"]).abs() < 1e-3).all()
    dead = admissions.filter(pl.col("HOSPITAL_EXPIRE_FLAG") == 1)
    assert len(dead) > 5
    assert (dead["DEATHTIME"] == dead["DISCHTIME"]).all()
    assert (dead["DISCHARGE_LOCATION"] == "DEAD/EXPIRED").all()
    alive = admissions.filter(pl.col("HOSPITAL_EXPIRE_FLAG") == 0)
    assert alive["DEATHTIME"].is_null().all()
    after = admissions.sort("SUBJECT_ID", "ADMITTIME").with_columns(
        before=pl.col("DISCHTIME").shift().over("SUBJECT_ID"),
        died=pl.col("HOSPITAL_EXPIRE_FLAG").shift().over("SUBJECT_ID"),
    )
    again = after.filter(pl.col("before").is_not_null())
    assert len(again) > 20
    assert (again["ADMITTIME"] >= again["before"]).all()
    assert (again["died"] == 0).all()
    patients = read(small, "PATIENTS")
    gone = patients.filter(pl.col("DOD_HOSP").is_not_null())["SUBJECT_ID"]
    assert sorted(gone) == sorted(dead["SUBJECT_ID"])


def test_one_seed_one_folder_and_a_prefix_of_a_larger_one(small: Path, tmp_path: Path) -> None:
    folder.write(tmp_path / "all", 300, 3, version=mimic_demo.VERSION, cells=50)
    mimic_demo.write(tmp_path / "part", 100, seed=3)
    mimic_demo.write(tmp_path / "other", 100, seed=4)
    for name in HEADERS:
        whole = text(small, name)
        assert text(tmp_path / "all", name) == whole
        assert whole.startswith(text(tmp_path / "part", name))
    assert text(tmp_path / "other", "LABEVENTS") != text(tmp_path / "part", "LABEVENTS")


def test_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(FileExistsError, match="not an empty folder"):
        mimic_demo.write(tmp_path, 10)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("bad", [{"patients": 0}, {"patients": 5, "seed": -1}])
def test_refuses_numbers_out_of_range(tmp_path: Path, bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=str(min(bad.values()))):
        mimic_demo.write(tmp_path / "x", **bad)
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(stage: str, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mimic_demo.write(tmp_path / "x", 10, progress=stop)
    assert not list(tmp_path.iterdir())


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--patients", "20", "--out", str(tmp_path / "x"), "--seed", "1"]) == 0
    assert "not MIMIC-III results" in (tmp_path / "x" / "README.txt").read_text()
    assert main(["--patients", "20", "--out", str(tmp_path / "x")]) == 2
    assert "name a new one" in capsys.readouterr().err
    assert main(["--patients", "0", "--out", str(tmp_path / "y")]) == 2
