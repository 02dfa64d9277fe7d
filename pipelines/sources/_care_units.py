"""What kind of unit a ward is, from its name: sources other than MIMIC-III name them freely."""

from __future__ import annotations

import polars as pl

from pipelines.sources.features import UNITS
from privaudit.errors import PrivauditError

OVER_89 = 91.0
"""The age given to everybody over 89, as in MIMIC-IV."""

_INTENSIVE = (
    r"(?i)\b[a-z]{0,5}(?:ICU|ITU)\b|\bCCU\b|\bCSRU\b|intensive (?:care|therapy)|critical care"
    r"|coronary care"
)
_LESS = r"(?i)step[ -]?down|intermediate|high dependency|\bIMCU?\b|telemetry"
_NEONATAL = r"(?i)neonat|newborn|nursery|\bNICU\b|\bNWARD\b"
_KINDS = (
    ("other", r"(?i)neuro|medical ?/ ?surgical|med[ -]surg|MICU/SICU|step[ -]?down|intermediate"),
    ("TSICU", r"(?i)trauma|\bTSICU\b"),
    ("CSRU", r"(?i)cardi(?:ac|o) ?-?vascular|cardio-?thoracic|cardiac surg"),
    ("CSRU", r"(?i)\b(?:CSRU|CV-?ICU|CT-?ICU|CS-?ICU)\b"),
    ("CCU", r"(?i)coronary|cardiac|cardiology|\bCCU\b"),
    ("MICU", r"(?i)\bmedical|\bMICU\b"),
    ("SICU", r"(?i)\bsurgical|\bSICU\b"),
)


def intensive(name: pl.Expr) -> pl.Expr:
    """Whether a ward's name says intensive care; null names do not."""
    return (name.str.contains(_INTENSIVE) & ~name.str.contains(_LESS)).fill_null(False)


def neonatal(name: pl.Expr) -> pl.Expr:
    """Whether a ward's name says that newborns are cared for; null where the name is null."""
    return name.str.contains(_NEONATAL)


def unit(name: pl.Expr) -> pl.Expr:
    """One of `features.UNITS` by the ward's name; null where the name is null.

    Units for both medical and surgical patients, neurological ones and step-down beds are "other".
    """
    found: pl.Expr = pl.lit(UNITS[-1])
    for kind, pattern in reversed(_KINDS):
        found = pl.when(name.str.contains(pattern)).then(pl.lit(kind)).otherwise(found)
    return pl.when(name.is_not_null()).then(found)


def merged(rows: pl.DataFrame, by: list[str], gap_minutes: int = 0) -> pl.DataFrame:
    """One row a stay: rows of one visit that touch or overlap are joined.

    Args:
        rows: Columns `by`, intime, outtime and name (of the ward); a null outtime is open.
        gap_minutes: The longest gap between two rows of one stay.

    Returns:
        `by`, intime, outtime, name (of the first ward), moved, neonatal.
    """
    far = pl.datetime(9999, 1, 1)
    ordered = rows.sort([*by, "intime", pl.col("outtime").fill_null(far)])
    before = pl.col("outtime").fill_null(far).cum_max().shift().over(by)
    apart = (pl.col("intime") > before + pl.duration(minutes=gap_minutes)).fill_null(True)
    run = ordered.with_columns(run=apart).with_columns(run=pl.col("run").cum_sum().over(by))
    open_ended = pl.col("outtime").null_count() > 0
    return (
        run.group_by([*by, "run"], maintain_order=True)
        .agg(
            pl.col("intime").min(),
            outtime=pl.when(~open_ended).then(pl.col("outtime").max()),
            name=pl.col("name").first(),
            moved=pl.col("name").n_unique() > 1,
            neonatal=neonatal(pl.col("name")).any(),
        )
        .drop("run")
    )


def completed_years(born: tuple[pl.Expr, pl.Expr, pl.Expr], at: pl.Expr) -> pl.Expr:
    """Years of age at a time, as whole years; over 89 as OVER_89.

    Args:
        born: Year, month and day of birth; month and day may be null, and are then not looked at.
    """
    year, month, day = born
    months, days = at.dt.month().cast(pl.Int32), at.dt.day().cast(pl.Int32)
    early = (months < month) | ((months == month) & (days < day).fill_null(False))
    years = at.dt.year() - year - early.fill_null(False).cast(pl.Int32)
    return pl.when(years > 89).then(OVER_89).otherwise(years.cast(pl.Float64))


def refuse_unread_deaths(admissions: pl.DataFrame) -> None:
    """PrivauditError where no discharge says died, but patients died in hospital stays.

    The words of the discharges are then not those that are read, and everybody would count as a
    survivor.

    Args:
        admissions: Columns died, dischtime, deathtime (null where it is not inside the stay).
    """
    counts = admissions.select(
        said=(pl.col("died") == 1).sum(),
        unsaid=((pl.col("died") == 0) & (pl.col("deathtime") < pl.col("dischtime"))).sum(),
    )
    said, unsaid = counts.row(0)
    if unsaid and not said:
        raise PrivauditError(
            "no discharge from hospital says that the patient died",
            "there are deaths within hospital stays: the codes of discharges are not among those "
            "that are read, and those patients would count as survivors",
            "map the discharge of the dead to the standard code of the format (docs/howto/"
            "sources.md lists them)",
        )
