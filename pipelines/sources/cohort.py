"""Who is studied: the ICU stays that a task may use, and how many were left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from pipelines.sources.extract import STAYS
from pipelines.sources.shapes import Core, Profile
from privaudit.contracts import FlowStep
from privaudit.disclosure_limits import name_count
from privaudit.errors import PrivauditError

ADULTS = "age at admission to the ICU 18 or more"
"""A step of every cohort's flow."""

OLD = 90.0
"""Years from which sources do not tell ages apart; each has its own stand-in."""


WORDS = {
    "stays": "ICU stays on file",
    "linked": "with an admission and a patient on file",
    "charted": "the admission has charted data",
    "outcome": "",
    "whole": "the whole of the source",
}
"""What flow steps and messages call things; a source may use the names of its tables."""


@dataclass(frozen=True, eq=False)
class Cohort:
    """The stays (columns STAYS), the attrition, and what was noticed about the labels."""

    stays: pl.DataFrame
    flow: tuple[FlowStep, ...]
    notes: tuple[str, ...]
    facts: dict[str, str | int | float]


def join(core: Core) -> pl.DataFrame:
    """One row an ICU stay with its admission and patient, the time of death and outcomes.

    death: the time of death, or that of discharge where the patient died and it is missing.
    readmitted: an ICU admission within 30 days of leaving hospital alive; null for those who died
    in hospital and where that is not recorded.
    """
    _refuse_repeats("patients", core.patients, "patient")
    _refuse_repeats("admissions", core.admissions, "admission")
    _refuse_repeats("ICU stays", core.icustays, "stay")
    stays = core.icustays.join(
        core.admissions.with_columns(in_admissions=True), on=["patient", "admission"], how="left"
    ).join(core.patients.with_columns(in_patients=True), on="patient", how="left")
    death = pl.col("deathtime").fill_null(pl.when(pl.col("died") == 1).then(pl.col("dischtime")))
    stays = stays.with_columns(
        los=(pl.col("outtime") - pl.col("intime")).dt.total_seconds() / 3600,
        death=death,
    )
    return stays.join(_returns(stays), on="stay", how="left")


def select(
    joined: pl.DataFrame,
    profile: Profile,
    minimum_los: float,
    words: Mapping[str, str] = WORDS,
) -> Cohort:
    """The stays of a profile that were in the ICU, alive, `minimum_los` hours after admission.

    first_stay: adults with charted data, no neonatal unit, the first ICU stay of each patient;
    all_stays: every such stay; benchmarks: adults, no transfer between units, exactly one ICU stay
    in the admission, and no rule about being alive (Harutyunyan et al. 2019, mimic3-benchmarks). A
    step about what the source does not record is left out.
    """
    words = {**WORDS, **words}
    hours = f"{minimum_los:g} h"
    stays, flow = joined, [FlowStep(words["stays"], 0, *_size(joined))]

    def keep(step: str, rule: pl.Expr) -> None:
        nonlocal stays
        left = stays.filter(rule.fill_null(False))
        flow.append(FlowStep(step, len(stays) - len(left), *_size(left)))
        stays = left

    linked = pl.col("in_admissions") & pl.col("in_patients")
    keep(words["linked"], linked)
    if profile == "benchmarks":
        keep("no transfer between units or wards", ~pl.col("moved"))
        keep("exactly one ICU stay in the admission", pl.len().over("admission") == 1)
        keep(ADULTS, pl.col("adult"))
    else:
        keep(ADULTS, pl.col("adult"))
        if _recorded(joined["neonatal"]):
            keep("no neonatal unit", ~pl.col("neonatal").fill_null(False))
        if _recorded(joined["charted"]):
            keep(words["charted"], pl.col("charted"))
        if profile == "first_stay":
            order = pl.struct("intime", "stay").rank("ordinal").over("patient")
            keep("the first ICU stay of the patient", order == 1)
    keep(f"in the ICU for at least {hours}", pl.col("los") >= minimum_los)
    if profile != "benchmarks":
        alive = pl.col("death") > pl.col("intime") + pl.duration(
            seconds=pl.lit(round(minimum_los * 3600))
        )
        keep(f"alive {hours} after admission to the ICU", alive | pl.col("death").is_null())
    if stays.is_empty():
        last = next(step for step in flow if not step.stays)
        raise PrivauditError(
            f"no stay is left of {name_count(flow[0].stays)}",
            f"the step {last.step!r} left none",
            f"use {words['whole']}, or a shorter window or another cohort",
        )
    notes = (words["outcome"],) if words["outcome"] else ()
    return Cohort(_as_stays(stays), tuple(flow), notes, _outcome_checks(stays))


def drop_unmeasured(cohort: Cohort, measured: pl.Series) -> Cohort:
    """The cohort without stays that have no measured variable, as mimic3-benchmarks does."""
    left = cohort.stays.filter(pl.col("stay").is_in(measured.implode()))
    step = FlowStep(
        "a measured variable in the window",
        len(cohort.stays) - len(left),
        len(left),
        left["patient"].n_unique(),
    )
    if left.is_empty():
        raise PrivauditError(
            f"no stay is left of {name_count(len(cohort.stays))}",
            f"the step {step.step!r} left none",
            "check that the event tables belong to the same copy as the ICU stays",
        )
    return Cohort(left, (*cohort.flow, step), cohort.notes, cohort.facts)


def _size(stays: pl.DataFrame) -> tuple[int, int]:
    return len(stays), stays["patient"].n_unique()


def _as_stays(stays: pl.DataFrame) -> pl.DataFrame:
    named = stays.with_columns(sex=pl.col("sex").str.to_uppercase(), los_days=pl.col("los") / 24)
    return named.select(pl.col(c).cast(dtype) for c, dtype in STAYS.items()).sort("stay")


def _recorded(column: pl.Series) -> bool:
    return column.null_count() < len(column)


def _returns(stays: pl.DataFrame) -> pl.DataFrame:
    """For each stay whose patient left hospital alive: 1 if an ICU stay began within 30 days."""
    left = stays.filter((pl.col("died") == 0) & pl.col("dischtime").is_not_null()).select(
        "stay", "patient", "admission", "dischtime"
    )
    later = stays.select("patient", other="admission", again="intime")
    back = (
        left.join(later, on="patient")
        .filter(
            pl.col("other") != pl.col("admission"),
            pl.col("again") > pl.col("dischtime"),
            pl.col("again") <= pl.col("dischtime") + pl.duration(days=30),
        )
        .select(pl.col("stay").unique())
    )
    return left.select(
        "stay", readmitted=pl.col("stay").is_in(back["stay"].implode()).cast(pl.Int8)
    )


def _outcome_checks(stays: pl.DataFrame) -> dict[str, str | int | float]:
    died = pl.col("died") == 1
    time = pl.col("deathtime")
    inside = time.is_between(pl.col("admittime"), pl.col("dischtime")).fill_null(False)
    counts = stays.select(
        died_without_deathtime=(died & time.is_null()).sum(),
        died_with_deathtime_outside_admission=(died & time.is_not_null() & ~inside).sum(),
        survived_with_deathtime_inside_admission=(~died & inside).sum(),
        dead_30_days_after_discharge_not_readmitted=(
            (pl.col("readmitted") == 0) & (pl.col("dod") <= pl.col("dischtime").dt.offset_by("30d"))
        ).sum(),
        ages_over_89=(pl.col("age") >= OLD).sum(),
    ).row(0, named=True)
    return dict(counts)


def _refuse_repeats(what: str, frame: pl.DataFrame, key: str) -> None:
    repeated = len(frame) - frame[key].n_unique() + int(frame[key].null_count() > 0)
    if repeated:
        raise PrivauditError(
            f"{what}: {repeated:,} repeated or missing key(s)",
            "each row must have one of its own, or stays would be counted twice",
            "use the table as it is distributed, once and not appended to itself",
        )
