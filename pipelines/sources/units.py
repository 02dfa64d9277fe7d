"""The variables with their units and valid ranges, and the units in which sources record them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import polars as pl

CATALOGUE = Path(__file__).with_name("variables.csv")
UNITS = Path(__file__).with_name("units.csv")
VERBAL = "gcs_verbal"
"""The variable whose words say whether the patient is intubated."""


@cache
def catalogue() -> pl.DataFrame:
    """variable, unit, low, high: one row a measured variable, in a fixed order.

    The range is public knowledge (what can be measured in a living patient), never read off data.
    """
    return pl.read_csv(
        CATALOGUE, schema_overrides={"low": pl.Float64, "high": pl.Float64}
    ).with_columns(pl.col("unit").fill_null(""))


def names() -> list[str]:
    """The measured variables, in their fixed order."""
    return catalogue()["variable"].to_list()


@cache
def table() -> pl.DataFrame:
    """variable, recorded, shift, times, over: (value + shift) * times / over is in our unit.

    recorded is spelled as `spelling` leaves it. Units without a variable in units.csv hold for
    every variable of that unit; molar units are those of one substance.
    """
    listed = pl.read_csv(
        UNITS,
        schema_overrides={
            "unit": pl.String,
            "variable": pl.String,
            "shift": pl.Float64,
            "times": pl.Float64,
            "over": pl.Float64,
        },
    ).with_columns(pl.col("unit", "variable").fill_null(""))
    own = listed.filter(pl.col("variable") != "")
    common = listed.filter(pl.col("variable") == "").drop("variable")
    measured = catalogue().select("variable", "unit")
    return (
        pl.concat(
            [
                own.join(measured, on=["variable", "unit"]),
                common.join(measured, on="unit"),
            ],
            how="diagonal",
        )
        .select("variable", spelling(pl.col("recorded")), "shift", "times", "over")
        .unique()
    )


@cache
def digest() -> str:
    """sha256 of both files: cached results depend on them."""
    return hashlib.sha256(CATALOGUE.read_bytes() + UNITS.read_bytes()).hexdigest()


def spelling(unit: pl.Expr) -> pl.Expr:
    """A unit without case, spaces and brackets: "mm[Hg]", "mm Hg" and "MMHG" are one.

    So are the two signs for a millionth (the Greek letter and that of Latin-1), and the two that
    stand for a degree.
    """
    plain = unit.str.to_lowercase().str.replace_all(r"[\s\[\]]", "")
    return plain.str.replace_all("\u03bc", "\u00b5").str.replace_all("\u00ba", "\u00b0")
