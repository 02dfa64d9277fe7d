"""What every ICU source is turned into before features: one row a stay, and harmonised events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from privaudit.contracts import FlowStep
from privaudit.records import Column

STAYS = {
    "stay": pl.Int64,
    "patient": pl.Int64,
    "site": pl.String,
    "age": pl.Float32,
    "sex": pl.String,
    "unit": pl.String,
    "admission_type": pl.String,
    "ethnicity": pl.String,
    "insurance": pl.String,
    "died": pl.Int8,
    "los_days": pl.Float32,
    "readmitted": pl.Int8,
}
"""One row a cohort stay. site: what a federation takes for one hospital, one of `Extract.sites`;
unit: the care unit, one of `features.UNITS`. Texts are null where the source does not say; died:
in-hospital death; los_days: ICU length of stay; readmitted: back in an ICU within 30 days of
leaving hospital alive, null where the source cannot tell or the patient died. Outcomes are labels
only, never features."""

EVENTS = {"stay": pl.Int64, "hour": pl.Float32, "variable": pl.String, "value": pl.Float32}
"""Harmonised measurements: hour since admission to the unit, in [0, window); value in the
variable's unit, inside its valid range; one row a (stay, hour, variable): duplicates are
medians."""


@dataclass(frozen=True, eq=False)
class Extract:
    """A source, read and harmonised.

    Args:
        variables: One Column a measured variable, with unit and valid range as bounds, in a fixed
            order.
        sites: The names of the sites, in a fixed order; the last takes stays without one.
        flow: The cohort's attrition; events obey the window of `window` hours.
    """

    stays: pl.DataFrame
    events: pl.DataFrame
    variables: tuple[Column, ...]
    sites: tuple[str, ...]
    flow: tuple[FlowStep, ...]
    window: int
    source: str
    real: bool
    notes: tuple[str, ...] = ()
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
