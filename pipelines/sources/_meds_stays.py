"""Stays and admissions from the events of a MEDS dataset, which has neither."""

from __future__ import annotations

import polars as pl

from pipelines.sources._mimic4_terms import admission_type, top_coded, unit

DAY = pl.duration(days=1)
PREFIXES = (
    "ICU_ADMISSION",
    "ICU_DISCHARGE",
    "HOSPITAL_ADMISSION",
    "HOSPITAL_DISCHARGE",
    "MEDS_BIRTH",
    "MEDS_DEATH",
    "GENDER",
    "RACE",
    "INSURANCE",
)
"""The events that say who was where; a code is one of these, alone or followed by //."""

_DIED = ("DIED", "EXPIRED")
_UNTOLD = ("UNK", "")


def spans(events: pl.DataFrame, start: str, end: str) -> pl.DataFrame:
    """Columns subject, time, what, over, where: each start with the first end after it.

    what and where are the rest of the two codes. An end that lies behind the next start is that
    one's: the stay before it has no end.
    """
    timed = events.drop_nulls("time")
    starts = _named(timed, start, "what").with_columns(
        following=pl.col("time").shift(-1).over("subject", order_by="time")
    )
    ends = _named(timed, end, "where").with_columns(over=pl.col("time"))
    found = starts.join_asof(
        ends,
        on="time",
        by="subject",
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    mine = pl.col("following").is_null() | (pl.col("over") <= pl.col("following"))
    return found.select(
        "subject",
        "time",
        "what",
        over=pl.when(mine).then(pl.col("over")),
        where=pl.when(mine).then(pl.col("where")),
    )


def people(events: pl.DataFrame) -> pl.DataFrame:
    """Columns patient, sex, born (year) and died_at: one row a subject."""
    born = _named(events, "MEDS_BIRTH", "x").group_by("subject").agg(born=pl.col("time").min())
    dead = _named(events, "MEDS_DEATH", "x").group_by("subject").agg(died_at=pl.col("time").min())
    sex = _named(events, "GENDER", "sex").group_by("subject").agg(pl.col("sex").first())
    return (
        events.select("subject")
        .unique()
        .join(sex, on="subject", how="left")
        .join(born, on="subject", how="left")
        .join(dead, on="subject", how="left")
        .rename({"subject": "patient"})
        .with_columns(born=pl.col("born").dt.year())
        .sort("patient")
    )


def admissions(events: pl.DataFrame, persons: pl.DataFrame) -> pl.DataFrame:
    """One row a stay in hospital: the columns of `source.ADMISSIONS`.

    died: the place of discharge. Where none is told and the subject died by then, nobody knows.
    """
    stays = spans(events, "HOSPITAL_ADMISSION", "HOSPITAL_DISCHARGE").with_row_index("admission")
    for name in ("RACE", "INSURANCE"):
        said = _named(events, name, name.lower()).group_by("subject", "time").first()
        stays = stays.join(said, on=["subject", "time"], how="left", maintain_order="left")
    place = pl.col("where").str.to_uppercase()
    dead = pl.any_horizontal(place.str.starts_with(word) for word in _DIED)
    gone = (pl.col("died_at") <= pl.col("over")).fill_null(False)
    untold = place.is_null() | place.is_in(_UNTOLD)
    timed = pl.col("died_at").dt.time() != pl.time(0, 0, 0)
    died = pl.when(dead).then(1).when(pl.col("over").is_null() | (untold & gone)).then(None)
    return stays.join(
        persons.select(subject="patient", died_at="died_at"),
        on="subject",
        how="left",
        maintain_order="left",
    ).select(
        patient="subject",
        admission="admission",
        admittime="time",
        dischtime="over",
        deathtime=pl.when(dead & timed).then("died_at"),
        died=died.otherwise(0),
        admission_type=admission_type(pl.col("what").str.split("//").list.first()),
        insurance="insurance",
        ethnicity="race",
        charted=pl.lit(None, pl.Boolean),
    )


def icustays(events: pl.DataFrame, persons: pl.DataFrame, hospital: pl.DataFrame) -> pl.DataFrame:
    """One row a stay in intensive care: the columns of `source.ICUSTAYS`.

    Its admission is the one in which it begins; a day is allowed on either side, since some stays
    begin minutes before the admission and some discharges of the dead are filed at midnight.
    """
    stays = spans(events, "ICU_ADMISSION", "ICU_DISCHARGE").with_row_index("stay")
    near = (
        stays.join(hospital, left_on="subject", right_on="patient")
        .with_columns(
            outside=pl.max_horizontal(
                pl.col("admittime") - pl.col("time"),
                pl.col("time") - pl.col("dischtime"),
                pl.lit(0).cast(pl.Duration("us")),
            )
        )
        .filter(pl.col("outside") <= DAY)
        .sort("stay", "outside", "admittime")
        .group_by("stay", maintain_order=True)
        .first()
        .select("stay", "admission", "admittime")
    )
    year = pl.coalesce("admittime", "time").dt.year()
    age = (year - pl.col("born")).cast(pl.Float64)
    return (
        stays.join(near, on="stay", how="left", maintain_order="left")
        .join(persons, left_on="subject", right_on="patient", how="left", maintain_order="left")
        .select(
            "stay",
            "admission",
            "subject",
            patient="subject",
            site=unit(pl.col("what")),
            unit=unit(pl.col("what")),
            intime=pl.col("time").dt.truncate("1m"),
            outtime=pl.col("over").dt.truncate("1m"),
            age=top_coded(age),
            adult=age >= 18,
            moved=pl.col("what") != pl.col("where"),
            neonatal=pl.lit(None, pl.Boolean),
        )
    )


def _named(events: pl.DataFrame, prefix: str, rest: str) -> pl.DataFrame:
    """subject, time and the rest of the code of the events of one prefix, in order of time."""
    code = pl.col("code")
    return (
        events.filter((code == prefix) | code.str.starts_with(f"{prefix}//"))
        .select("subject", "time", code.str.slice(len(prefix) + 2).alias(rest))
        .sort("time", "subject", rest)
    )
