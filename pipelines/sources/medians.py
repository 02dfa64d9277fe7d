"""Whether each variable's median is one that is usual in intensive care: a wrong unit shows."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pipelines.sources.extract import Extract

USUAL = Path(__file__).with_name("usual_medians.csv")
"""Wide ranges in which the median of a variable lies in any adult intensive care."""

ENOUGH_STAYS = 20
"""Below this many measured stays a median says nothing about a unit."""


def compared(extract: Extract) -> pl.DataFrame:
    """variable, stays, median, low, high, usual: one row a measured variable.

    stays: how many have a value. usual: null where fewer than ENOUGH_STAYS have one.
    """
    ranges = pl.read_csv(
        USUAL, glob=False, schema_overrides={"low": pl.Float64, "high": pl.Float64}
    )
    inside = pl.col("median").is_between("low", "high")
    return (
        extract.events.group_by(pl.col("variable").cast(pl.String))
        .agg(stays=pl.col("stay").n_unique(), median=pl.col("value").median())
        .join(ranges, on="variable", how="inner")
        .with_columns(usual=pl.when(pl.col("stays") >= ENOUGH_STAYS).then(inside))
        .sort("variable")
    )


def notes(extract: Extract) -> tuple[str, ...]:
    """A note that names the variables whose median is unusual; no value is told."""
    odd = compared(extract).filter(~pl.col("usual"))
    if odd.is_empty():
        return ()
    listed = ", ".join(
        f"{name} (usually {low:g} to {high:g})"
        for name, low, high in odd.select("variable", "low", "high").rows()
    )
    return (
        f"The median is unusual for intensive care in: {listed}. Check the unit of these variables "
        "in the source and in the code map before trusting any result.",
    )
