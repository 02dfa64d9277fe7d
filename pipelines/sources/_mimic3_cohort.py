"""Who is studied: the ICU stays of MIMIC-III that a task may use, and how many were left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from pipelines.sources.extract import STAYS
from privaudit.contracts import FlowStep
from privaudit.errors import PrivauditError

Profile = Literal["first_stay", "all_stays", "benchmarks"]

OLDEST = 91.4
"""The median age of patients over 89, whose dates of birth MIMIC-III shifts (Johnson et al.
2016)."""

ADULTS = "age at admission to the ICU 18 or more"
"""A step of every cohort's flow."""

_NEONATAL = ("NICU", "NWARD")
_DAYS = 365.2425


@dataclass(frozen=True, eq=False)
class Cohort:
    """The stays (columns STAYS), the attrition, and what was noticed about the labels."""

    stays: pl.DataFrame
    flow: tuple[FlowStep, ...]
    notes: tuple[str, ...]
    facts: dict[str, str | int | float]


def join(patients: pl.DataFrame, admissions: pl.DataFrame, icustays: pl.DataFrame) -> pl.DataFrame:
    """One row an ICU stay with its admission and patient, the age, the time of death and outcomes.

    Ages over 89 become 91.4. died: HOSPITAL_EXPIRE_FLAG. death: DEATHTIME, or DISCHTIME where the
    flag says died and DEATHTIME is missing. readmitted: an ICU admission within 30 days of leaving
    hospital alive; null for those who died in hospital.
    """
    _refuse_repeats("PATIENTS", patients, "subject_id")
    _refuse_repeats("ADMISSIONS", admissions, "hadm_id")
    _refuse_repeats("ICUSTAYS", icustays, "icustay_id")
    _refuse_flags(admissions)
    stays = icustays.join(
        admissions.with_columns(in_admissions=True), on=["subject_id", "hadm_id"], how="left"
    ).join(patients.with_columns(in_patients=True), on="subject_id", how="left")
    years = (pl.col("intime") - pl.col("dob")).dt.total_seconds() / 86400 / _DAYS
    death = pl.col("deathtime").fill_null(
        pl.when(pl.col("hospital_expire_flag") == 1).then(pl.col("dischtime"))
    )
    stays = stays.with_columns(
        age=pl.when(years >= 90).then(OLDEST).otherwise(years),
        adult=pl.col("dob").dt.offset_by("18y") <= pl.col("intime"),
        los=(pl.col("outtime") - pl.col("intime")).dt.total_seconds() / 3600,
        death=death,
    )
    return stays.join(_returns(stays), on="icustay_id", how="left")


def select(joined: pl.DataFrame, profile: Profile, minimum_los: float) -> Cohort:
    """The stays of a profile that were in the ICU, alive, `minimum_los` hours after admission.

    first_stay: adults with charted data, no neonatal unit, the first ICU stay of each patient;
    all_stays: every such stay; benchmarks: adults, no transfer between units, exactly one ICU stay
    in the admission, and no rule about being alive (Harutyunyan et al. 2019, mimic3-benchmarks).
    """
    hours = f"{minimum_los:g} h"
    stays, flow = joined, [FlowStep("ICU stays in ICUSTAYS", 0, *_size(joined))]

    def keep(step: str, rule: pl.Expr) -> None:
        nonlocal stays
        left = stays.filter(rule.fill_null(False))
        flow.append(FlowStep(step, len(stays) - len(left), *_size(left)))
        stays = left

    linked = pl.col("in_admissions") & pl.col("in_patients")
    keep("listed in ADMISSIONS and PATIENTS", linked)
    if profile == "benchmarks":
        same_unit = pl.col("first_careunit") == pl.col("last_careunit")
        same_ward = pl.col("first_wardid") == pl.col("last_wardid")
        keep("no transfer between units or wards", same_unit & same_ward)
        keep("exactly one ICU stay in the admission", pl.len().over("hadm_id") == 1)
        keep(ADULTS, pl.col("adult"))
    else:
        keep(ADULTS, pl.col("adult"))
        neonatal = pl.any_horizontal(
            pl.col(c).is_in(_NEONATAL).fill_null(False) for c in ("first_careunit", "last_careunit")
        )
        keep("no neonatal unit", ~neonatal)
        keep("the admission has charted data", pl.col("has_chartevents_data") == 1)
        if profile == "first_stay":
            order = pl.struct("intime", "icustay_id").rank("ordinal").over("subject_id")
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
            f"no stay is left of {flow[0].stays:,}",
            f"the step {last.step!r} left none",
            "use the whole of MIMIC-III, or a shorter window or another cohort",
        )
    notes, facts = _outcome_checks(stays)
    return Cohort(_as_stays(stays), tuple(flow), notes, facts)


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
            f"no stay is left of {len(cohort.stays):,}",
            f"the step {step.step!r} left none",
            "check that the event tables belong to the same copy of MIMIC-III as ICUSTAYS",
        )
    return Cohort(left, (*cohort.flow, step), cohort.notes, cohort.facts)


def _size(stays: pl.DataFrame) -> tuple[int, int]:
    return len(stays), stays["subject_id"].n_unique()


def _as_stays(stays: pl.DataFrame) -> pl.DataFrame:
    named = stays.select(
        stay="icustay_id",
        patient="subject_id",
        age="age",
        sex=pl.col("gender").str.to_uppercase(),
        unit="first_careunit",
        admission_type="admission_type",
        ethnicity="ethnicity",
        insurance="insurance",
        died="hospital_expire_flag",
        los_days=pl.col("los") / 24,
        readmitted="readmitted",
    )
    return named.select(pl.col(c).cast(dtype) for c, dtype in STAYS.items()).sort("stay")


def _returns(stays: pl.DataFrame) -> pl.DataFrame:
    """For each stay whose patient left hospital alive: 1 if an ICU stay began within 30 days."""
    left = stays.filter(
        (pl.col("hospital_expire_flag") == 0) & pl.col("dischtime").is_not_null()
    ).select("icustay_id", "subject_id", "hadm_id", "dischtime")
    later = stays.select("subject_id", other="hadm_id", again="intime")
    back = (
        left.join(later, on="subject_id")
        .filter(
            pl.col("other") != pl.col("hadm_id"),
            pl.col("again") > pl.col("dischtime"),
            pl.col("again") <= pl.col("dischtime") + pl.duration(days=30),
        )
        .select(pl.col("icustay_id").unique())
    )
    return left.select(
        "icustay_id",
        readmitted=pl.col("icustay_id").is_in(back["icustay_id"].implode()).cast(pl.Int8),
    )


def _outcome_checks(
    stays: pl.DataFrame,
) -> tuple[tuple[str, ...], dict[str, str | int | float]]:
    died = pl.col("hospital_expire_flag") == 1
    time = pl.col("deathtime")
    inside = time.is_between(pl.col("admittime"), pl.col("dischtime")).fill_null(False)
    counts = stays.select(
        died_without_deathtime=(died & time.is_null()).sum(),
        died_with_deathtime_outside_admission=(died & time.is_not_null() & ~inside).sum(),
        survived_with_deathtime_inside_admission=(~died & inside).sum(),
        dead_30_days_after_discharge_not_readmitted=(
            (pl.col("readmitted") == 0) & (pl.col("dod") <= pl.col("dischtime").dt.offset_by("30d"))
        ).sum(),
        ages_over_89=(pl.col("age") == OLDEST).sum(),
    ).row(0, named=True)
    notes = (
        "The outcome is HOSPITAL_EXPIRE_FLAG. Stays in which it disagrees with DEATHTIME lying "
        "between ADMITTIME and DISCHTIME are retained, and the flag is believed. Where DEATHTIME "
        "is missing for a patient who died, DISCHTIME stands for it.",
    )
    return notes, dict(counts)


def _refuse_repeats(table: str, frame: pl.DataFrame, key: str) -> None:
    repeated = len(frame) - frame[key].n_unique() + int(frame[key].null_count() > 0)
    if repeated:
        raise PrivauditError(
            f"{table}: {repeated:,} repeated or missing {key.upper()}",
            "each row must have one of its own, or stays would be counted twice",
            "use the table as PhysioNet distributes it, once and not appended to itself",
        )


def _refuse_flags(admissions: pl.DataFrame) -> None:
    for column in ("hospital_expire_flag", "has_chartevents_data"):
        strange = int((~admissions[column].is_in([0, 1]).fill_null(False)).sum())
        if strange:
            raise PrivauditError(
                f"ADMISSIONS.{column.upper()}: {strange:,} value(s) other than 0 and 1",
                "the cohort and the outcome are read from it",
                "use ADMISSIONS as PhysioNet distributes it",
            )
