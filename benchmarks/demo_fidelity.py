"""How close the generated demo is to real intensive care data: every gate with its figure.

    python benchmarks/demo_fidelity.py --data FOLDER [--patients 20000] [--tables GENERATED]

--data holds `challenge-2012/` (real, 4,000 stays) and `mimic-iii-demo/` (real, 100 patients). Reads
the tables by a small script of its own, independent of the toolkit's reader. Exit status 1 when a
gate fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from calibrate_demo import MORTALITY, NAMES, read
from numpy.typing import NDArray
from scipy.stats import ks_2samp

Array = NDArray[np.float64]
SOURCES = Path(__file__).parents[1] / "pipelines" / "sources"
WINDOW = 48
UNITS = ("CCU", "CSRU", "MICU", "SICU", "TSICU")
KIND = {"CCU": 1, "CSRU": 2, "MICU": 3, "SICU": 4, "TSICU": 4}
SHARED = [v for v, _, _ in NAMES.values() if v not in ("ventilated", "weight", "spo2")]
"""Measured alike in both real sources. Not pulse oximetry: the Challenge has arterial
saturation."""

TABLE = {
    "CCU": (14.5, 70.1, 57.9, 2.2, 11.3),
    "CSRU": (18.4, 67.6, 65.5, 2.2, 4.6),
    "MICU": (39.5, 64.9, 51.6, 2.1, 14.5),
    "SICU": (16.6, 63.6, 52.4, 2.3, 12.6),
    "TSICU": (11.0, 59.9, 60.7, 2.1, 11.4),
}
"""Share %, median age, male %, median days in the unit, deaths %: Johnson et al. 2016, Table 2."""
DIED = {
    "bun": (28.0, 17.8),
    "creatinine": (1.20, 0.90),
    "gcs": (9.1, 12.9),
    "lactate": (2.22, 1.84),
    "heart_rate": (89.2, 85.8),
    "sbp_ni": (112, 116),
    "resp_rate": (20.9, 18.9),
    "wbc": (12.5, 11.5),
    "platelets": (182, 188),
    "bicarbonate": (22, 24),
    "glucose": (139, 128),
    "bilirubin": (0.9, 0.7),
    "albumin": (2.72, 3.0),
    "urine": (75, 118),
}
"""Median of the stays' means, died and survived: Challenge 2012, first 48 hours."""


@dataclass(frozen=True, eq=False)
class Source:
    """stays: stay, age, male, kind (unit type 1-4), died; events: stay, variable, hour, value."""

    stays: pl.DataFrame
    events: pl.DataFrame


class Gates:
    """Prints each figure beside what is asked of it."""

    def __init__(self) -> None:
        self.failed = 0

    def check(self, name: str, value: Any, low: float, high: float) -> None:
        value = float(value)
        good = low <= value <= high
        self.failed += not good
        word = "pass" if good else "FAIL"
        print(f"{word}  {name:58s} {value:9.3f}   asked {low:.3f} to {high:.3f}")


def table(folder: Path, name: str) -> pl.LazyFrame:
    frame = pl.scan_csv(folder / f"{name}.csv.gz", infer_schema=False)
    return frame.rename(str.upper)


def when(name: str) -> pl.Expr:
    return pl.col(name).str.to_datetime("%Y-%m-%d %H:%M:%S")


def whole(folder: Path) -> pl.DataFrame:
    """All stays of a MIMIC-III folder with age, sex, unit and outcome."""
    keys = ("SUBJECT_ID", "HADM_ID")
    stays = table(folder, "ICUSTAYS").drop("ROW_ID")
    stays = stays.join(table(folder, "ADMISSIONS").drop("ROW_ID"), on=keys)
    stays = stays.join(table(folder, "PATIENTS").drop("ROW_ID"), on="SUBJECT_ID")
    frame = stays.with_columns(when(c) for c in ("INTIME", "OUTTIME", "DOB", "DEATHTIME")).collect()
    age = (pl.col("INTIME") - pl.col("DOB")).dt.total_days() / 365.25
    return frame.with_columns(
        age=pl.when(age > 120).then(91.4).otherwise(age),
        los=pl.col("LOS").cast(pl.Float64),
        male=(pl.col("GENDER") == "M").cast(pl.Float64),
        kind=pl.col("FIRST_CAREUNIT").replace_strict(KIND, default=None),
        died=pl.col("HOSPITAL_EXPIRE_FLAG").cast(pl.Int64),
        stay=pl.col("ICUSTAY_ID").cast(pl.Int64),
    )


def cohort(stays: pl.DataFrame) -> pl.DataFrame:
    """Adults' first stays of 48 hours or longer, alive at 48 hours."""
    late = pl.col("INTIME") + pl.duration(hours=WINDOW)
    return (
        stays.sort("INTIME")
        .unique("SUBJECT_ID", keep="first", maintain_order=True)
        .filter(
            (pl.col("age") >= 18)
            & pl.col("kind").is_not_null()
            & (pl.col("HAS_CHARTEVENTS_DATA") == "1")
            & (pl.col("OUTTIME") >= late)
            & (pl.col("DEATHTIME").is_null() | (pl.col("DEATHTIME") > late))
        )
    )


def measured(folder: Path, stays: pl.DataFrame) -> pl.DataFrame:
    """Harmonised values of the cohort's first 48 hours: stay, variable, hour (whole), value."""
    items = (
        pl.read_csv(SOURCES / "codes_mimic3.csv")
        .join(pl.read_csv(SOURCES / "variables.csv").drop("unit"), on="variable")
        .filter(pl.col("convert").fill_null("") != "negate")
        .with_columns(low=pl.when(pl.col("variable") == "urine").then(0.0).otherwise("low"))
        .select("variable", "unit", "low", "high", ITEMID="code")
    )
    window = stays.select("SUBJECT_ID", "ICUSTAY_ID", "stay", "INTIME").lazy()
    parts = []
    for name in ("CHARTEVENTS", "LABEVENTS", "OUTPUTEVENTS"):
        frame = table(folder, name).with_columns(pl.col("ITEMID").cast(pl.Int64))
        frame = frame.join(items.lazy(), on="ITEMID")
        if name == "CHARTEVENTS":
            frame = frame.filter(pl.col("ERROR").is_null() | (pl.col("ERROR") != "1"))
        number = "VALUE" if name == "OUTPUTEVENTS" else "VALUENUM"
        key = "SUBJECT_ID" if name == "LABEVENTS" else "ICUSTAY_ID"
        hour = (when("CHARTTIME") - pl.col("INTIME")).dt.total_seconds() / 3600
        x = pl.col(number).cast(pl.Float64, strict=False)
        unit = pl.col("unit")
        fixed = (
            pl.when(unit == "F")
            .then((x - 32) / 1.8)
            .when(unit == "lb")
            .then(x * 0.45359237)
            .when(unit == "in")
            .then(x * 2.54)
            .when((unit == "fraction") & (x > 1))
            .then(x / 100)
            .otherwise(x)
        )
        tube = pl.lit(False)
        if name == "CHARTEVENTS":
            tube = pl.col("VALUE").is_in(["1.0 ET/Trach", "No Response-ETT"])
        # Single precision prints 0.21 as 0.2099...: the lower bound gives way by a hair.
        parts.append(
            frame.join(window, on=key)
            .select("stay", "variable", "low", "high", hour=hour, value=fixed, tube=tube)
            .filter((pl.col("hour") >= 0) & (pl.col("hour") < WINDOW))
            .filter(pl.col("value").is_between(pl.col("low") - 1e-6, pl.col("high") + 1e-6))
            .select("stay", "variable", "hour", "value", pl.lit(name).alias("table"))
            .collect(engine="streaming")
        )
    rows = pl.concat(parts)
    # The Challenge's glucose is the laboratory's.
    rows = rows.filter((pl.col("variable") != "glucose") | (pl.col("table") == "LABEVENTS"))
    coma = rows.filter(pl.col("variable").str.starts_with("gcs_")).drop("table")
    total = (
        coma.group_by("stay", "hour", "variable")
        .agg(pl.median("value"))
        .group_by("stay", "hour")
        .agg(pl.len(), pl.sum("value"))
    )
    total = total.filter(pl.col("len") == 3).select(
        "stay", pl.lit("gcs").alias("variable"), "hour", "value"
    )
    rows = pl.concat([rows.drop("table"), total])
    rows = rows.with_columns(pl.col("hour").floor())
    return rows.group_by("stay", "variable", "hour").agg(pl.median("value"))


def challenge(folder: Path) -> Source:
    events, stays = read(folder)
    return Source(
        stays.select(
            "stay",
            "died",
            age="Age",
            male=pl.when(pl.col("Gender") >= 0).then(pl.col("Gender")),
            kind=pl.col("ICUType").cast(pl.Int64),
        ),
        events,
    )


def tables(folder: Path) -> Source:
    stays = cohort(whole(folder))
    return Source(stays.select("stay", "died", "age", "male", "kind"), measured(folder, stays))


def summaries(source: Source, variables: list[str]) -> tuple[Array, list[str]]:
    """Age, sex, unit type; per variable first, last, min, max, mean, count, measured."""
    X = [
        source.stays.select(
            "age",
            "male",
            *((pl.col("kind") == k).cast(pl.Float64).alias(f"kind{k}") for k in (1, 2, 4)),
        ).to_numpy()
    ]
    names = ["age", "male", "kind1", "kind2", "kind4"]
    for variable in variables:
        part = (
            source.events.filter(pl.col("variable") == variable)
            .sort("hour")
            .group_by("stay")
            .agg(
                pl.first("value").alias("first"),
                pl.last("value").alias("last"),
                pl.min("value").alias("min"),
                pl.max("value").alias("max"),
                pl.mean("value").alias("mean"),
                pl.len().alias("count"),
            )
        )
        wide = source.stays.select("stay").join(part, on="stay", how="left", maintain_order="left")
        wide = wide.drop("stay").with_columns(pl.col("count").fill_null(0))
        wide = wide.with_columns(measured=(pl.col("count") > 0).cast(pl.Float64))
        X.append(wide.to_numpy())
        names += [f"{variable}.{c}" for c in wide.columns]
    return np.concatenate(X, 1).astype(float), names


def regression() -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer

    return make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        QuantileTransformer(n_quantiles=200, output_distribution="normal", random_state=0),
        LogisticRegression(C=0.003, max_iter=3000),
    )


def auroc(truth: Array, score: Array) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, score))


def interval(truth: Array, score: Array) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(300):
        i = rng.integers(0, len(truth), len(truth))
        draws.append(auroc(truth[i], score[i]))
    return float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


def crossed(X: Array, y: Array) -> Array:
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return cross_val_predict(regression(), X, y, cv=folds, method="predict_proba")[:, 1]


def paper(gates: Gates, stays: pl.DataFrame) -> None:
    """The table of the MIMIC-III paper; tolerances are four standard errors, or the rounding."""
    adults = stays.filter(pl.col("kind").is_not_null())
    print(f"\nadults {adults['SUBJECT_ID'].n_unique()}, stays {len(adults)}")
    ratio = len(adults) / adults["SUBJECT_ID"].n_unique()
    gates.check("stays an adult", ratio, 53423 / 38597 - 0.06, 53423 / 38597 + 0.06)
    n = len(adults)
    for name, goal, p, sd in (
        ("age, median", 65.8, 0.5, 17.0),
        ("age, lower quartile", 52.8, 0.25, 17.0),
        ("age, upper quartile", 77.8, 0.75, 17.0),
    ):
        wide = 0.3 + 4 * 1.3 * sd / np.sqrt(n)
        gates.check(name, float(np.quantile(adults["age"], p)), goal - wide, goal + wide)
    for name, goal, p in (
        ("lower quartile", 1.2, 0.25),
        ("median", 2.1, 0.5),
        ("upper quartile", 4.6, 0.75),
    ):
        wide = 0.05 + 4 * goal * 1.4 / np.sqrt(n)
        gates.check(
            f"days in the unit, {name}",
            float(np.quantile(adults["los"], p)),
            goal - wide,
            goal + wide,
        )

    def share(name: str, values: pl.Series, goal: float) -> None:
        wide = 4 * np.sqrt(goal * (1 - goal) * 1.6 / max(len(values), 1)) + 0.001
        gates.check(name, values.mean(), goal - wide, goal + wide)

    share("male", adults["male"], 0.559)
    share("died in hospital", adults["died"], 0.115)
    for unit, (part, age, male, los, died) in TABLE.items():
        own = adults.filter(pl.col("FIRST_CAREUNIT") == unit)
        share(f"{unit}: share of stays", adults["FIRST_CAREUNIT"] == unit, part / 100)
        wide = 0.3 + 4 * 1.3 * 18 / np.sqrt(len(own))
        gates.check(f"{unit}: age, median", own["age"].median(), age - wide, age + wide)
        share(f"{unit}: male", own["male"], male / 100)
        wide = 0.05 + 4 * los * 1.4 / np.sqrt(len(own))
        gates.check(f"{unit}: days, median", own["los"].median(), los - wide, los + wide)
        share(f"{unit}: died", own["died"], died / 100)


def values(gates: Gates, made: Source, real: Source, demo: Source) -> None:
    print("\nmeans per stay: distance to the real demo, and presence beside the Challenge")
    n = {k: len(s.stays) for k, s in (("made", made), ("real", real), ("demo", demo))}
    for variable in SHARED:
        means = {}
        for key, source in (("made", made), ("real", real), ("demo", demo)):
            part = source.events.filter(pl.col("variable") == variable)
            means[key] = part.group_by("stay").agg(pl.mean("value"))["value"].to_numpy()
        limit = ks_2samp(means["real"], means["demo"]).statistic + 0.05
        own = ks_2samp(means["made"], means["demo"]).statistic
        gates.check(f"{variable}: KS to the real demo", own, 0.0, limit)
        if variable == "resp_rate":
            continue
        there, here = len(means["real"]) / n["real"], len(means["made"]) / n["made"]
        gates.check(f"{variable}: share of stays with a value", here, there - 0.1, there + 0.1)


def outcomes(gates: Gates, made: Source) -> None:
    print("\nmedians of the stays' means, died | survived (within 12 % or 4 standard errors)")
    for variable, goals in DIED.items():
        part = made.events.filter(pl.col("variable") == variable)
        part = part.group_by("stay").agg(pl.mean("value")).join(made.stays, on="stay")
        for died, goal in zip((1, 0), goals, strict=True):
            x = part.filter(pl.col("died") == died)["value"].to_numpy()
            spread = 1.253 * (np.quantile(x, 0.75) - np.quantile(x, 0.25)) / 1.35
            wide = max(0.12 * goal, 4 * spread / np.sqrt(len(x)))
            label = "died" if died else "survived"
            gates.check(f"{variable}: {label}", float(np.median(x)), goal - wide, goal + wide)


def noise(gates: Gates, folder: Path) -> None:
    """What real charting does to rows."""
    print("\nrows")
    chart = table(folder, "CHARTEVENTS")
    stays = table(folder, "ICUSTAYS").select("ICUSTAY_ID", "INTIME", "DBSOURCE")
    rows = (
        chart.join(stays, on="ICUSTAY_ID")
        .select(
            before=(when("CHARTTIME") < when("INTIME")).mean(),
            wrong=(pl.col("ERROR") == "1").fill_null(False).mean(),
            delay=((when("STORETIME") - when("CHARTTIME")).dt.total_minutes()).median(),
            slow=((when("STORETIME") - when("CHARTTIME")).dt.total_minutes()).quantile(0.95),
            twice=1 - pl.struct("ICUSTAY_ID", "ITEMID", "CHARTTIME").n_unique() / pl.len(),
            n=pl.len(),
        )
        .collect(engine="streaming")
        .row(0, named=True)
    )
    gates.check("rows before the unit", rows["before"], 0.005, 0.009)
    gates.check("rows marked wrong", rows["wrong"], 0.0007, 0.0013)
    gates.check("rows entered twice", rows["twice"], 0.015, 0.021)
    gates.check("minutes to storing, median", rows["delay"], 12, 16)
    gates.check("minutes to storing, 95th percentile", rows["slow"], 130, 165)
    labs = table(folder, "LABEVENTS").select(pl.col("HADM_ID").is_null().mean()).collect().item()
    gates.check("laboratory rows without admission", labs, 0.17, 0.21)
    share = stays.collect()["DBSOURCE"].eq("carevue").mean()
    gates.check("stays charted in CareVue", share, 0.52, 0.58)
    print(f"chart rows {rows['n']:,}")


def learning(gates: Gates, made: Source, real: Source) -> None:
    print("\nlogistic regression on summaries of the first 48 hours")
    X, names = summaries(real, SHARED)
    y = real.stays["died"].to_numpy()
    G, _ = summaries(made, SHARED)
    z = made.stays["died"].to_numpy()
    base = crossed(X, y)
    best = auroc(y, base)
    print(f"real to real, 5 folds: {best:.3f} {interval(y, base)}  n {len(y)}")
    own = crossed(G, z)
    print(f"generated to generated, 5 folds: {auroc(z, own):.3f} {interval(z, own)}  n {len(z)}")
    gates.check("AUROC, generated to generated", auroc(z, own), 0.84, 0.88)
    score = regression().fit(G, z).predict_proba(X)[:, 1]
    print(f"generated to real: {auroc(y, score):.3f} {interval(y, score)}")
    gates.check("AUROC, generated to real, less real to real", auroc(y, score) - best, -0.02, 0.02)
    back = regression().fit(X, y).predict_proba(G)[:, 1]
    print(f"real to generated: {auroc(z, back):.3f} {interval(z, back)}")
    near = [i for i, name in enumerate(names) if not name.startswith("resp_rate")]
    score = regression().fit(G[:, near], z).predict_proba(X[:, near])[:, 1]
    print(f"generated to real without the breathing rate: {auroc(y, score):.3f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tables", type=Path, help="a generated folder, made afresh if left out")
    args = parser.parse_args()
    gates = Gates()
    with tempfile.TemporaryDirectory() as temp:
        folder = args.tables
        if folder is None:
            import mimic_demo

            folder = Path(temp) / "demo"
            start = time.perf_counter()
            mimic_demo.write(folder, args.patients, args.seed)
            print(f"{args.patients} patients in {time.perf_counter() - start:.1f} s")
        made, demo = tables(folder), tables(args.data / "mimic-iii-demo")
        real = challenge(args.data / "challenge-2012")
        print(
            f"cohort: generated {len(made.stays)}, real demo {len(demo.stays)}, Challenge "
            f"{len(real.stays)}"
        )
        died = made.stays["died"].mean()
        wide = 4 * np.sqrt(0.132 * 0.868 / len(made.stays))
        gates.check("cohort: died in hospital", died, 0.132 - wide, 0.132 + wide)
        paper(gates, whole(folder))
        noise(gates, folder)
        values(gates, made, real, demo)
        outcomes(gates, made)
        learning(gates, made, real)
    print(f"\n{gates.failed} gate(s) failed; expected deaths by unit: {MORTALITY}")
    return int(gates.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
