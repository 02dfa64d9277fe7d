"""What is measured: the catalogue of variables, and how raw rows become harmonised values."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import polars as pl

from pipelines.sources.extract import EVENTS
from privaudit.records import Column

CATALOGUE = Path(__file__).with_name("mimic3_variables.csv")

RAW = {
    "stay": pl.Int64,
    "hour": pl.Float32,
    "itemid": pl.Int64,
    "value": pl.Float64,
    "text": pl.String,
}
"""Rows as charted: the number, and the text where a verbal response or a result is text."""

_GCS = ("gcs_eye", "gcs_verbal", "gcs_motor")
_ADDITIVE = ("urine",)
_INTUBATED = r"(?i)ET/Trach|-ETT"
_CENSORED = r"(?i)^(?:[<>]=?|less than|greater than)\s*(\d+(?:\.\d+)?)$"


@cache
def catalogue() -> pl.DataFrame:
    """Every item id with its variable, table, unit, conversion and valid range
    (mimic3_variables.csv)."""
    return pl.read_csv(
        CATALOGUE,
        schema_overrides={"valid_low": pl.Float64, "valid_high": pl.Float64, "itemid": pl.Int64},
    ).with_columns(pl.col("convert", "unit").fill_null(""))


@cache
def digest() -> str:
    """sha256 of the catalogue: cached results depend on it."""
    return hashlib.sha256(CATALOGUE.read_bytes()).hexdigest()


def items(table: str) -> list[int]:
    """The item ids of a table that are read."""
    return catalogue().filter(pl.col("table") == table)["itemid"].to_list()


def verbal_items() -> list[int]:
    """The item ids whose text says whether the patient is intubated."""
    return catalogue().filter(pl.col("variable") == "gcs_verbal")["itemid"].to_list()


@cache
def variables() -> tuple[Column, ...]:
    """One Column a variable, in a fixed order: the catalogue's, then what is derived.

    bounds: the valid range, public knowledge and never read off the data. Derived: gcs_total, the
    sum of three components charted at one time; intubated, from the verbal response's text.
    """
    rows = (
        catalogue()
        .group_by("variable", maintain_order=True)
        .agg(pl.col("unit").first(), pl.col("valid_low").min(), pl.col("valid_high").max())
    )
    measured = tuple(
        Column(name, bounds=(low, high), unit=unit, variable=name)
        for name, unit, low, high in rows.iter_rows()
    )
    return (
        *measured,
        Column("gcs_total", bounds=(3.0, 15.0), variable="gcs_total"),
        Column("intubated", "binary", bounds=(0.0, 1.0), variable="intubated"),
    )


def harmonise(raw: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Values in one unit each, inside their valid range, one a (stay, hour, variable).

    Returns the EVENTS table sorted by stay, hour and variable, and counts of what was dropped or
    set: `out_of_range`, `censored` (a result such as "<0.01", read as its limit), `no_number`,
    `duplicates` (merged by their median). Volumes of different items at one time add up.

    Args:
        raw: Columns RAW.
    """
    names = [column.name for column in variables()]
    code = pl.Enum(names)
    rows = raw.join(
        catalogue().select(
            "itemid", pl.col("variable").cast(code), "convert", "valid_low", "valid_high"
        ),
        on="itemid",
    )
    limit = pl.col("text").str.extract(_CENSORED).cast(pl.Float64)
    flags = _intubated(rows, code)
    rows = rows.with_columns(pl.coalesce("value", limit).alias("value"), limit=limit)
    x = pl.col("value")
    counts = {
        "censored": int(raw["value"].null_count() - rows["value"].null_count()),
        "no_number": int(rows["value"].null_count()),
    }
    rows = rows.drop_nulls("value").with_columns(
        value=pl.when(pl.col("convert") == "F_to_C")
        .then(pl.when(x.is_between(70, 120)).then((x - 32) * 5 / 9))
        .when(pl.col("convert") == "frac")
        .then(pl.when(x > 1).then(x / 100).otherwise(x))
        .when(pl.col("convert") == "lb_to_kg")
        .then(x * 0.45359237)
        .when(pl.col("convert") == "in_to_cm")
        .then(x * 2.54)
        .when(pl.col("convert") == "negate")
        .then(-x.abs())
        .otherwise(x)
    )
    valid = rows.filter(x.is_between(pl.col("valid_low"), pl.col("valid_high")))
    counts["out_of_range"] = len(rows) - len(valid)
    place = ["stay", "hour", "variable"]
    additive = pl.col("variable").is_in(list(_ADDITIVE))
    single = valid.filter(additive).group_by([*place, "itemid"]).agg(pl.col("value").median())
    plain = valid.filter(~additive).group_by(place).agg(pl.col("value").median())
    added = single.group_by(place).agg(pl.col("value").sum())
    merged = pl.concat([plain, added])
    counts["duplicates"] = len(valid) - len(plain) - len(single)
    merged = pl.concat([merged, _total(merged, code), flags])
    events = (
        within_range(merged)
        .sort("stay", "hour", "variable")
        .select(pl.col(name).cast(dtype) for name, dtype in EVENTS.items())
    )
    return events, counts


def within_range(events: pl.DataFrame) -> pl.DataFrame:
    """The events whose value lies inside its variable's bounds."""
    bounds = pl.DataFrame(
        {
            "variable": [c.name for c in variables()],
            "low": [c.bounds[0] for c in variables() if c.bounds],
            "high": [c.bounds[1] for c in variables() if c.bounds],
        }
    ).with_columns(pl.col("variable").cast(events.schema["variable"]))
    return (
        events.join(bounds, on="variable")
        .filter(pl.col("value").is_between("low", "high"))
        .drop("low", "high")
    )


def _total(merged: pl.DataFrame, code: pl.Enum) -> pl.DataFrame:
    """The coma score where eye, verbal and motor response were charted at one time."""
    return (
        merged.filter(pl.col("variable").is_in(list(_GCS)))
        .group_by("stay", "hour")
        .agg(pl.col("value").sum(), n=pl.len())
        .filter(pl.col("n") == len(_GCS))
        .select("stay", "hour", pl.lit("gcs_total").cast(code).alias("variable"), pl.col("value"))
    )


def _intubated(rows: pl.DataFrame, code: pl.Enum) -> pl.DataFrame:
    """1 where the verbal response says tube or tracheostomy, 0 where it says anything else."""
    return (
        rows.filter((pl.col("variable") == "gcs_verbal") & pl.col("text").is_not_null())
        .group_by("stay", "hour")
        .agg(value=pl.col("text").str.contains(_INTUBATED).any().cast(pl.Float64))
        .select("stay", "hour", pl.lit("intubated").cast(code).alias("variable"), "value")
    )


__all__ = [
    "CATALOGUE",
    "RAW",
    "catalogue",
    "digest",
    "harmonise",
    "items",
    "variables",
    "verbal_items",
    "within_range",
]
