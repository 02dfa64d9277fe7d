"""What is measured: the variables as columns, and how charted rows become harmonised values."""

from __future__ import annotations

from functools import cache

import polars as pl

from pipelines.sources import units
from pipelines.sources.codes import Codes
from pipelines.sources.extract import EVENTS
from privaudit.records import Column

CHARTED = {
    "stay": pl.Int64,
    "hour": pl.Float32,
    "early": pl.Boolean,
    "row": pl.Int32,
    "value": pl.Float64,
    "unit": pl.String,
    "text": pl.String,
}
"""Rows as charted: `early`, whether before the window; `row` of the code map, the number, its
recorded unit, and the text where a verbal response or a result is text."""

_GCS = ("gcs_eye", "gcs_verbal", "gcs_motor")
_ADDITIVE = ("urine",)
_INTUBATED = r"(?i)ET/Trach|-ETT"
_CENSORED = r"(?i)^(?:[<>]=?|less than|greater than)\s*(\d+(?:\.\d+)?)\*?(?:\.(?:\s|$)|$)"
"""A limit of the assay, alone or as the first sentence of a comment."""


@cache
def variables() -> tuple[Column, ...]:
    """One Column a variable, in a fixed order: the catalogue's, then what is derived.

    bounds: the valid range, public knowledge and never read off the data. Derived: gcs_total, the
    sum of three components charted at one time; intubated, from the verbal response's text.
    """
    measured = tuple(
        Column(name, bounds=(low, high), unit=unit, variable=name)
        for name, unit, low, high in units.catalogue().iter_rows()
    )
    return (
        *measured,
        Column("gcs_total", bounds=(3.0, 15.0), variable="gcs_total"),
        Column("intubated", "binary", bounds=(0.0, 1.0), variable="intubated"),
    )


def harmonise(
    charted: pl.DataFrame, codes: Codes, item_units: bool = False
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Values in one unit each, inside their valid range, one a (stay, hour, variable).

    A value is converted by its recorded unit, by the code's where none is recorded. Returns the
    EVENTS table sorted by stay, hour and variable, and counts of what was dropped or set:
    `out_of_range`, `censored` (a result such as "<0.01", read as its limit), `no_number`,
    `no_unit` (neither the row nor the code map has one), `unknown_unit` (recorded, and not known
    for the variable), `duplicates` (merged by their median). Volumes of different codes at one
    time add up. A value from before the window counts only for a stay that has none inside it.

    Args:
        charted: Columns CHARTED.
        item_units: Convert by the code's unit where the recorded one is not known.
    """
    rows, counts = _converted(charted, codes, item_units)
    rows = _early_only_where_needed(rows)
    flags = _intubated(charted, codes)
    place = ["stay", "hour", "variable"]
    additive = pl.col("variable").is_in(list(_ADDITIVE))
    single = rows.filter(additive).group_by([*place, "row"]).agg(pl.col("value").median())
    plain = rows.filter(~additive).group_by(place).agg(pl.col("value").median())
    added = single.group_by(place).agg(pl.col("value").sum())
    counts["duplicates"] = len(rows) - len(plain) - len(single)
    merged = pl.concat([plain, added])
    merged = pl.concat([merged, _total(merged), flags])
    events = (
        within_range(merged)
        .sort("stay", "hour", "variable")
        .select(pl.col(name).cast(dtype) for name, dtype in EVENTS.items())
    )
    return events, counts


def _early_only_where_needed(rows: pl.DataFrame) -> pl.DataFrame:
    early = rows.filter("early")
    if early.is_empty():
        return rows
    inside = rows.filter(~pl.col("early"))
    missing = early.join(inside, on=["stay", "variable"], how="anti")
    return pl.concat([inside, missing])


def _code() -> pl.Enum:
    return pl.Enum([column.name for column in variables()])


def _converted(
    charted: pl.DataFrame, codes: Codes, item_units: bool
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Columns CHARTED and variable, in our units and inside the valid range; and the counts."""
    given = codes.frame.select("row", "variable", "convert", own=units.spelling(pl.col("unit")))
    limit = pl.col("text").str.extract(_CENSORED).cast(pl.Float64)
    rows = charted.join(given, on="row").with_columns(
        value=pl.coalesce("value", limit), recorded=units.spelling(pl.col("unit"))
    )
    counts = {
        "censored": int(charted["value"].null_count() - rows["value"].null_count()),
        "no_number": int(rows["value"].null_count()),
    }
    rows = _with_factors(rows.drop_nulls("value"), item_units)
    silent = pl.col("recorded").is_null()
    lost = rows.filter(pl.col("times").is_null())
    counts["no_unit"] = len(lost.filter(silent))
    counts["unknown_unit"] = len(lost) - counts["no_unit"]
    x = pl.col("value")
    ours = (x + pl.col("shift")) * pl.col("times") / pl.col("over")
    ranges = units.catalogue().select("variable", "low", "high")
    rows = (
        rows.drop_nulls("times")
        .with_columns(value=ours)
        .with_columns(
            value=pl.when((pl.col("convert") == "percent_above_1") & (x > 1))
            .then(x / 100)
            .when(pl.col("convert") == "negate")
            .then(-x.abs())
            .otherwise(x)
        )
        .join(ranges, on="variable")
    )
    # An amount has a sign only where it is subtracted.
    least = (
        pl.when(~pl.col("variable").is_in(list(_ADDITIVE)) | (pl.col("convert") == "negate"))
        .then(pl.col("low"))
        .otherwise(pl.max_horizontal("low", 0.0))
    )
    valid = rows.filter(x.is_between(least, pl.col("high")))
    counts["out_of_range"] = len(rows) - len(valid)
    return valid.with_columns(pl.col("variable").cast(_code())), counts


def _with_factors(rows: pl.DataFrame, item_units: bool) -> pl.DataFrame:
    """The rows with shift, times and over; null where their unit is not known."""
    plain = units.catalogue().select(
        "variable", recorded=units.spelling(pl.col("unit")), shift=0.0, times=1.0, over=1.0
    )
    factors = pl.concat([units.table(), plain]).unique(["variable", "recorded"])
    by = ["variable", "unit_used"]
    known = factors.rename({"recorded": "unit_used"})
    found = rows.with_columns(unit_used=pl.col("recorded").fill_null(pl.col("own"))).join(
        known, on=by, how="left"
    )
    if not item_units:
        return found
    again = found.filter(pl.col("times").is_null()).drop("shift", "times", "over")
    again = again.with_columns(unit_used=pl.col("own")).join(known, on=by, how="left")
    return pl.concat([found.drop_nulls("times"), again])


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


def _total(merged: pl.DataFrame) -> pl.DataFrame:
    """The coma score where eye, verbal and motor response were charted at one time."""
    return (
        merged.filter(pl.col("variable").is_in(list(_GCS)))
        .group_by("stay", "hour")
        .agg(pl.col("value").sum(), n=pl.len())
        .filter(pl.col("n") == len(_GCS))
        .select("stay", "hour", pl.lit("gcs_total").cast(_code()).alias("variable"), "value")
    )


def _intubated(charted: pl.DataFrame, codes: Codes) -> pl.DataFrame:
    """1 where the verbal response says tube or tracheostomy, 0 where it says anything else.

    Nothing where there are no words: a number alone does not say why a patient is silent.
    """
    verbal = codes.frame.filter(pl.col("variable") == units.VERBAL)["row"]
    words = pl.col("text").str.strip_chars()
    spoken = words.str.contains(r"[A-Za-z]")
    return (
        charted.filter(pl.col("row").is_in(verbal.implode()) & spoken.fill_null(False))
        .group_by("stay", "hour")
        .agg(value=words.str.contains(_INTUBATED).any().cast(pl.Float64))
        .select("stay", "hour", pl.lit("intubated").cast(_code()).alias("variable"), "value")
    )
