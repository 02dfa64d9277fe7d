"""From harmonised events to the table and the hourly series that models read.

For each measured variable: first, last, least, greatest and mean value in the window, how often it
was measured, and whether it was. Column bounds and category levels are public knowledge (the valid
ranges of the catalogue, fixed lists below) and are never read off the data; every value lies inside
them. Outcomes are not read here at all.

Source: summaries per stay as in the logistic regression of Harutyunyan et al., "Multitask learning
and benchmarking with clinical time series data", Scientific Data 2019 (least, greatest, mean,
number of measurements), with the first and the last value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import polars as pl

from pipelines.sources.extract import Extract
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records

UNITS = ("CCU", "CSRU", "MICU", "SICU", "TSICU", "other")
ADMISSIONS = ("elective", "urgent", "emergency", "other")
SEXES = ("F", "M")
AGES = (15.0, 95.0)
"""Years; both sources top-code old age (90 in the Challenge, 91.4 in MIMIC)."""
BANDS = ((50.0, "under 50"), (65.0, "50-64"), (80.0, "65-79"), (np.inf, "80 and over"))
ETHNICITIES = (
    ("asian", "ASIAN"),
    ("black", "BLACK"),
    ("hispanic", "HISPANIC"),
    ("white", "WHITE"),
    ("white", "PORTUGUESE"),
)
"""Coarse group and how the entries of the source begin that fall into it; the rest is "other"."""
UNASKED = ("UNKNOWN", "UNABLE", "PATIENT DECLINED")
INSURANCES = ("government", "medicaid", "medicare", "private", "self pay")
UNRECORDED = "not recorded"

ONCE = frozenset({"height"})
"""Variables that do not change in a stay: one column, the median of what was charted."""
SUMMED = frozenset({"urine"})
"""Amounts: an hour of the series holds their sum, where other variables have their mean."""
_BLOCK = 10_000
"""Stays whose events are laid out at a time, so that memory does not grow with the hospital."""
HOURLY = 4
"""Counts are capped at this many an hour, so that their bound is public."""

Statistic = Literal["first", "last", "min", "max", "mean", "count", "measured"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)


def build(
    extract: Extract,
    outcome: np.ndarray,
    *,
    classes: Sequence[str],
    keep: np.ndarray | None = None,
    ordered: bool = False,
) -> Records:
    """Records of the stays of an extract, ready for a learner: (n, d) table and (n, window, c)
    series.

    NaN = not measured, in both views. Events outside [0, window), or of
    stays or variables that the extract does not list, are left out. Memory: the events of
    10,000 stays, about three times, above the extract and the result.

    Args:
        outcome: (stays,) class codes.
        keep: (stays,) bool, which stays take part (default: all).
        ordered: Whether the classes are listed in an order that means something.

    Raises:
        PrivauditError: Where no stay or no measurement is left.
    """
    stays = extract.stays
    included = np.ones(len(stays), bool) if keep is None else np.asarray(keep, bool)
    stays = stays.filter(pl.Series(included))
    if not len(stays):
        raise PrivauditError(
            "no stay is left",
            "the cohort's rules excluded every stay of the source",
            "look at the cohort flow; use a source with more stays, or a shorter window",
        )
    columns, X = _statics(stays)
    measured, values, series = _measured(extract, stays)
    varying = tuple(v for v in extract.variables if v.name not in ONCE)
    codes = {name: code for code, name in enumerate(extract.sites)}
    last = len(extract.sites) - 1
    site = stays["site"].replace_strict(codes, default=last, return_dtype=pl.Int64)
    return Records(
        columns=(*columns, *measured),
        X=np.concatenate([X, values], axis=1),
        y=np.asarray(outcome)[included],
        patient=stays["patient"].to_numpy(),
        site=site.fill_null(last).to_numpy().astype(np.float32),
        series=series,
        channels=tuple(_channel(v) for v in varying),
        groups=groups(stays),
        classes=tuple(classes),
        sites=extract.sites,
        ordered=ordered,
    )


def _statics(stays: pl.DataFrame) -> tuple[list[Column], np.ndarray]:
    """Age, sex, unit and, where the source has it, the type of admission.

    Sensitive are those that say something about a person that is not on the bedside monitor and
    that an outsider would want to know: sex, the reason for admission that the unit gives away,
    and whether it was planned.
    """
    columns = [
        Column("age", bounds=AGES, mutable=False, unit="years"),
        Column("sex", "binary", (0, 1), SEXES, sensitive=True, mutable=False),
        Column("unit", "category", levels=UNITS, sensitive=True, mutable=False),
    ]
    values = [
        stays["age"].clip(*AGES).cast(pl.Float32).fill_null(np.nan).to_numpy(),
        _code(stays["sex"], SEXES),
        _code(stays["unit"], UNITS),
    ]
    if _given(stays["admission_type"]):
        columns.append(
            Column("admission_type", "category", levels=ADMISSIONS, sensitive=True, mutable=False)
        )
        values.append(_code(stays["admission_type"], ADMISSIONS))
    return columns, np.column_stack(values).astype(np.float32)


def _given(texts: pl.Series) -> bool:
    return texts.null_count() < len(texts)


def _code(texts: pl.Series, levels: tuple[str, ...]) -> np.ndarray:
    """(n,) float32 codes by level, whatever the case; NaN = not recorded; "other" takes the
    rest."""
    codes = {level.lower(): code for code, level in enumerate(levels)}
    rest = codes.get("other")
    known = texts.str.strip_chars().str.to_lowercase()
    found = known.replace_strict(codes, default=rest, return_dtype=pl.Float32)
    return (
        pl.select(pl.when(known.is_not_null()).then(found).fill_null(np.nan)).to_series().to_numpy()
    )


def _plain(variable: Column) -> Column:
    return replace(variable, variable=variable.variable or variable.name, statistic="")


def _channel(variable: Column) -> Column:
    # The mean of a yes-or-no variable within an hour need not be yes or no.
    return replace(_plain(variable), kind="numeric")


def _measured(extract: Extract, stays: pl.DataFrame) -> tuple[list[Column], np.ndarray, np.ndarray]:
    """Summary columns, their values, and the hourly series, a block of stays after the other."""
    n, window = len(stays), extract.window
    columns: list[Column] = []
    for variable in extract.variables:
        if variable.name in ONCE:
            columns.append(replace(_plain(variable), variable="", mutable=False))
        else:
            columns += [_summary(variable, statistic, window) for statistic in STATISTICS]
    channels = sum(v.name not in ONCE for v in extract.variables)
    series = np.full((n, window, channels), np.nan, np.float32)
    values = np.full((n, len(columns)), np.nan, np.float32)
    found = 0
    for start in range(0, n, _BLOCK):
        here = slice(start, start + _BLOCK)
        found += _measure(extract, stays["stay"][here], values[here], series[here])
    if not found:
        raise PrivauditError(
            f"no measurement in the first {window} hours of any of {n} stays",
            "a model needs measured values; times may be counted from the wrong moment",
            "check that the source's tables of measurements are complete and of the same stays",
        )
    return columns, values, series


def _measure(extract: Extract, stays: pl.Series, values: np.ndarray, series: np.ndarray) -> int:
    """Fill in some stays' values, one variable after the other; returns how many events count."""
    n, window = len(stays), extract.window
    rows = pl.DataFrame(
        {"stay": stays, "row": np.arange(n, dtype=np.int32)}, schema_overrides={"row": pl.Int32}
    )
    # Codes are a sixth of the size of names, and let one variable be picked at a time.
    names = pl.Enum([v.name for v in extract.variables])
    hour = pl.col("hour")
    events = (
        extract.events.lazy()
        .filter(pl.col("stay").is_in(stays.implode()))
        .filter((hour >= 0) & (hour < window) & pl.col("value").is_finite())
        .with_columns(pl.col("variable").cast(names, strict=False))
        .drop_nulls()
        .join(rows.lazy(), on="stay")
        .select("row", "hour", "variable", "value")
        .collect()
    )
    column = channel = 0
    for variable in extract.variables:
        part = events.filter(pl.col("variable") == variable.name).sort("row", "hour")
        row, hours = part["row"].to_numpy(), part["hour"].to_numpy()
        value = part["value"].to_numpy()
        if variable.bounds is not None:
            value = value.clip(*variable.bounds)
        if variable.name in ONCE:
            values[:, column] = _once(part, n)
            column += 1
            continue
        width = len(STATISTICS)
        values[:, column : column + width] = _summarise(row, value, n, HOURLY * window)
        _fill(series[:, :, channel], row, hours, value, variable)
        column, channel = column + width, channel + 1
    return len(events)


def _once(part: pl.DataFrame, n: int) -> np.ndarray:
    filled = np.full(n, np.nan, np.float32)
    medians = part.group_by("row").agg(pl.col("value").median())
    filled[medians["row"].to_numpy()] = medians["value"].to_numpy()
    return filled


def _summary(variable: Column, statistic: Statistic, window: int) -> Column:
    column = replace(_plain(variable), name=f"{variable.name}.{statistic}", statistic=statistic)
    if statistic == "count":
        return replace(
            column, kind="numeric", bounds=(0, HOURLY * window), unit="measurements", mutable=False
        )
    if statistic == "measured":
        return replace(column, kind="binary", bounds=(0, 1), unit="", mutable=False)
    return replace(column, kind="numeric") if statistic == "mean" else column


def _summarise(row: np.ndarray, value: np.ndarray, n: int, most: int) -> np.ndarray:
    """(n, 7) float32 in the order of STATISTICS, from values sorted by row and time."""
    table = np.full((n, len(STATISTICS)), np.nan, np.float32)
    table[:, STATISTICS.index("count") :] = 0
    if not len(row):
        return table
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    ends = np.append(starts[1:], len(row))
    low, high = np.minimum.reduceat(value, starts), np.maximum.reduceat(value, starts)
    mean = np.add.reduceat(value.astype(np.float64), starts) / (ends - starts)
    table[row[starts]] = np.column_stack(
        [
            value[starts],
            value[ends - 1],
            low,
            high,
            # Rounding to float32 must not carry a mean past the values it lies between.
            mean.astype(np.float32).clip(low, high),
            np.minimum(ends - starts, most),
            np.ones(len(starts)),
        ]
    )
    return table


def _fill(
    series: np.ndarray, row: np.ndarray, hour: np.ndarray, value: np.ndarray, variable: Column
) -> None:
    """Write one channel's hourly means (or sums, for amounts) into its (n, window) view."""
    if not len(row):
        return
    slot = hour.astype(np.int64)
    cell = row.astype(np.int64) * series.shape[1] + slot
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    total = np.add.reduceat(value.astype(np.float64), starts)
    if variable.name not in SUMMED:
        total /= np.diff(np.append(starts, len(cell)))
    if variable.bounds is not None:
        total = total.clip(*variable.bounds)
    series[row[starts], slot[starts]] = total


def groups(stays: pl.DataFrame) -> dict[str, np.ndarray]:
    """Subgroups for disaggregated results, as far as the source records them at all."""
    age = pl.col("age")
    band: pl.Expr = pl.lit(UNRECORDED)
    for limit, name in reversed(BANDS):
        band = pl.when(age < limit).then(pl.lit(name)).otherwise(band)
    entry = pl.col("ethnicity").str.strip_chars().str.to_uppercase()
    unasked = pl.any_horizontal(entry.str.starts_with(text) for text in UNASKED)
    ethnicity: pl.Expr = pl.lit("other")
    for name, start in ETHNICITIES:
        ethnicity = pl.when(entry.str.starts_with(start)).then(pl.lit(name)).otherwise(ethnicity)
    ethnicity = pl.when(entry.is_null() | unasked).then(pl.lit(UNRECORDED)).otherwise(ethnicity)
    found = {
        "age": ("age", band),
        "sex": ("sex", _listed("sex", {"f": "female", "m": "male"})),
        "ethnicity": ("ethnicity", ethnicity),
        "unit": ("unit", _listed("unit", {unit.lower(): unit for unit in UNITS})),
        "insurance": ("insurance", _listed("insurance", {name: name for name in INSURANCES})),
    }
    return {
        name: stays.select(label).to_series().to_numpy().astype(str)
        for name, (column, label) in found.items()
        if _given(stays[column])
    }


def _listed(column: str, labels: dict[str, str]) -> pl.Expr:
    text = pl.col(column).str.strip_chars().str.to_lowercase()
    known = text.replace_strict(labels, default="other", return_dtype=pl.String)
    return pl.when(text.is_null()).then(pl.lit(UNRECORDED)).otherwise(known)
