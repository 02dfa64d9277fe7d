"""What was read of a source, for the person who looks after it: nothing here enters a report."""

from __future__ import annotations

import polars as pl

from pipelines.sources import medians
from pipelines.sources.extract import Extract
from privaudit.disclosure_limits import MIN_CELL

_LEFT_OUT = {
    "no_unit": "no unit recorded, and none in the code map",
    "unknown_unit": "a unit that is not known for the variable",
    "no_number": "no number",
    "out_of_range": "outside the valid range",
}
_STORED = "values_stored_after_the_window_in_all_adult_stays"


def lines(extract: Extract) -> dict[str, str]:
    """The cohort, what was left out and why, and each variable's median beside the usual ones."""
    found = {
        f"cohort: {step.step}": f"{step.stays:,} stays, {step.patients:,} patients"
        for step in extract.flow
    }
    found["values used"] = f"{len(extract.events):,}"
    for name, why in _LEFT_OUT.items():
        count = extract.facts.get(f"values_{name}_in_all_adult_stays", 0)
        if count:
            found[f"values: {why}"] = f"{count:,}"
    if extract.facts.get(_STORED):
        found["values: not known in time (as_known)"] = f"{extract.facts[_STORED]:,}"
    usual = {row["variable"]: row for row in medians.compared(extract).iter_rows(named=True)}
    measured = (
        extract.events.group_by(pl.col("variable").cast(pl.String))
        .agg(stays=pl.col("stay").n_unique(), median=pl.col("value").median())
        .rows_by_key("variable", named=True, unique=True)
    )
    for variable in extract.variables:
        row = measured.get(variable.name)
        told = "never measured" if row is None else _told(row, variable.unit)
        found[variable.name] = told + _beside(usual.get(variable.name))
    return found


def _told(row: dict[str, float], unit: str) -> str:
    if row["stays"] < MIN_CELL:
        return f"fewer than {MIN_CELL} stays"
    return f"median {row['median']:.4g} {unit}".strip() + f" in {row['stays']:,} stays"


def _beside(row: dict[str, object] | None) -> str:
    if row is None:
        return ""
    said = f" (usually {row['low']:g} to {row['high']:g})"
    return said + ": CHECK ITS UNIT" if row["usual"] is False else said
