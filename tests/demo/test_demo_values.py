"""What is in the generated rows: both charting systems, their texts and faults, honest
summaries."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import ndtr
from scipy.stats import ks_2samp

import mimic_demo
from mimic_demo.charting import items
from mimic_demo.copula import UNITS, load
from mimic_demo.paths import HOURS, LIMITS, course


def read(path: Path, name: str) -> pl.DataFrame:
    frame = pl.read_csv(path / f"{name}.csv.gz", infer_schema=False)
    times = [c for c in frame.columns if c.endswith("TIME")]
    return frame.with_columns(pl.col(c).str.to_datetime() for c in times)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "tables"
    mimic_demo.write(out, 1000, seed=11)
    return out


@pytest.fixture(scope="module")
def chart(folder: Path) -> pl.DataFrame:
    stays = read(folder, "ICUSTAYS").select("ICUSTAY_ID", "INTIME", "OUTTIME", "DBSOURCE")
    return read(folder, "CHARTEVENTS").join(stays, on="ICUSTAY_ID")


def test_aggregates_hold_no_small_count_and_name_their_source() -> None:
    text = (files("mimic_demo") / "aggregates.json").read_text()
    assert len(text) < 300_000
    table = json.loads(text)
    assert "Open Data Commons Attribution" in table["about"]
    assert "Challenge 2012" in table["about"]
    for name, knots in table["marginals"].items():
        if "share" in knots:
            assert (np.diff([0.0, *knots["share"]]) * 4000 > 19.9).all(), name
        else:
            p = ndtr([-np.inf, *knots["z"], np.inf])
            assert np.diff(p).min() * 4000 > 19.7, name
            assert np.diff(knots["value"]).min() >= 0, name


def test_shares_of_faulty_rows(chart: pl.DataFrame, folder: Path) -> None:
    n = len(chart)
    assert (chart["CHARTTIME"] < chart["INTIME"]).mean() == pytest.approx(0.007, abs=0.002)
    assert (chart["ERROR"] == "1").sum() / n == pytest.approx(0.001, abs=0.0003)
    late = pl.col("CHARTTIME") > pl.col("OUTTIME") + pl.duration(hours=1)
    assert chart.filter(late).is_empty()
    distinct = chart.select(pl.struct("ICUSTAY_ID", "ITEMID", "CHARTTIME").n_unique()).item()
    assert 1 - distinct / n == pytest.approx(0.018, abs=0.003)
    delay = (chart["STORETIME"] - chart["CHARTTIME"]).dt.total_minutes().to_numpy()
    assert np.median(delay) == pytest.approx(14, abs=1)
    assert np.quantile(delay, 0.95) == pytest.approx(147, abs=8)
    loose = read(folder, "LABEVENTS")["HADM_ID"].null_count() / read(folder, "LABEVENTS").height
    assert loose == pytest.approx(0.19, abs=0.02)


def test_two_systems_each_with_its_own_items_and_habits(chart: pl.DataFrame) -> None:
    own = {
        name: {str(i.itemid) for i in items() if i.system == name}
        for name in ("carevue", "metavision")
    }
    for name, part in chart.group_by("DBSOURCE"):
        assert set(part["ITEMID"].unique()) <= own[str(name[0])]
    carevue = chart.filter(pl.col("DBSOURCE") == "carevue")
    metavision = chart.filter(pl.col("DBSOURCE") == "metavision")
    assert carevue["ERROR"].null_count() == len(carevue)
    assert set(metavision["ERROR"].unique()) == {"0", "1"}
    assert len(carevue) / len(chart) == pytest.approx(0.55, abs=0.08)
    tube = {"1.0 ET/Trach": carevue, "No Response-ETT": metavision}
    for text, part in tube.items():
        rows = part.filter(pl.col("VALUE") == text)
        assert len(rows) > 50
        assert set(rows["VALUENUM"].unique()) == {"1"}


def test_numbers_follow_the_item(chart: pl.DataFrame) -> None:
    value = pl.col("VALUENUM").cast(pl.Float64)
    middle = dict(chart.group_by("ITEMID").agg(value.median()).iter_rows())
    assert 97 < middle["678"] < 100
    assert 36 < middle["677"] < 38
    assert 97 < middle["223761"] < 100
    assert 0.3 < middle["190"] < 0.7
    assert 30 < middle["223835"] < 70
    assert 2.1 < middle["226531"] / middle["226512"] < 2.3
    assert 2.4 < middle["226730"] / middle["226707"] < 2.7
    both = chart.filter(pl.col("ITEMID").is_in(["677", "678"])).unique(
        ["ICUSTAY_ID", "CHARTTIME", "ITEMID"], keep="none"
    )
    wide = both.pivot("ITEMID", index=["ICUSTAY_ID", "CHARTTIME"], values="VALUENUM").drop_nulls()
    gap = wide["678"].cast(pl.Float64) - (wide["677"].cast(pl.Float64) * 1.8 + 32)
    assert len(wide) > 100
    assert (gap.abs() < 0.2).mean() > 0.98


def test_coma_components_add_up(chart: pl.DataFrame) -> None:
    part = chart.filter(pl.col("ITEMID").is_in(["184", "723", "454", "198"]))
    part = part.unique(["ICUSTAY_ID", "CHARTTIME", "ITEMID"], keep="none")
    wide = part.pivot("ITEMID", index=["ICUSTAY_ID", "CHARTTIME"], values="VALUENUM").drop_nulls()
    number = {c: wide[c].cast(pl.Int64) for c in ("184", "723", "454", "198")}
    same = number["184"] + number["723"] + number["454"] == number["198"]
    assert len(wide) > 500
    assert same.mean() > 0.99
    assert number["184"].is_between(1, 4).all()
    assert number["723"].is_between(1, 5).all()
    assert number["454"].is_between(1, 6).all()


def test_old_patients_are_moved_300_years(folder: Path) -> None:
    patients = read(folder, "PATIENTS").select("SUBJECT_ID", pl.col("DOB").str.to_datetime())
    first = read(folder, "ICUSTAYS").sort("INTIME").unique("SUBJECT_ID", keep="first")
    age = first.join(patients, on="SUBJECT_ID").select(
        (pl.col("INTIME") - pl.col("DOB")).dt.total_days() / 365.25
    )
    years = age.to_series().to_numpy()
    adult = years[years > 1]
    assert not ((adult > 89.1) & (adult < 299)).any()
    assert (adult > 299).mean() == pytest.approx(0.052, abs=0.03)
    assert 0.1 < (years < 1).mean() < 0.24


def test_a_course_keeps_its_summaries() -> None:
    copula, rng = load(), np.random.default_rng(5)
    n = 400
    unit = rng.integers(0, len(UNITS), n)
    Z = copula.draw(unit, rng.standard_normal((n, len(copula.names))))
    counts = copula.counts(Z)
    path = course(copula, Z, counts, np.full(n, 60.0), rng)
    for name in ("sodium", "hematocrit", "heart_rate"):
        seen = path.seen[name][:, :HOURS]
        assert (seen.sum(1) == counts[name]).mean() > 0.9, name
        mean = np.where(seen, path.value[name][:, :HOURS], 0).sum(1)[seen.any(1)]
        mean = mean / seen.sum(1)[seen.any(1)]
        level = copula.value(f"level:{name}", Z)
        assert level is not None
        assert ks_2samp(mean, level[seen.any(1)]).statistic < 0.03, name
        assert np.abs(mean - level[seen.any(1)]).max() < 3, name
    for name, (low, high) in LIMITS.items():
        if name in path.value and not name.startswith(("map", "dbp")):
            assert path.value[name].min() >= low - 1e-4
            assert path.value[name].max() <= high + 1e-4
    for kind in ("ni", "art"):
        assert (path.value[f"map_{kind}"] < path.value[f"sbp_{kind}"]).all()
        assert (path.value[f"dbp_{kind}"] < path.value[f"map_{kind}"]).all()


def test_risk_rises_with_what_kills() -> None:
    copula, rng = load(), np.random.default_rng(6)
    unit = np.full(4000, UNITS.index("MICU"))
    Z = copula.draw(unit, rng.standard_normal((4000, len(copula.names))))
    risk = copula.risk(Z, copula.counts(Z))
    for name, sign in (("level:bun", 1), ("level:gcs", -1), ("age", 1), ("level:urine", -1)):
        assert sign * np.corrcoef(Z[:, copula.column(name)], risk)[0, 1] > 0.1, name
