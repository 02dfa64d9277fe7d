"""MIMIC-III v1.4, the full database or its demo.

Source: Johnson et al., Scientific Data 3:160035, 2016.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import polars as pl

from pipelines.sources.columns import ColumnTable, Fields
from pipelines.sources.features import UNITS
from pipelines.sources.mimic4 import Mimic4, in_this_shape
from pipelines.sources.source import Core, EventTable, Profile, TableSource
from pipelines.sources.tables import Table, columns, find, in_two_forms
from privaudit.errors import PrivauditError

FULL = {
    "PATIENTS": 46_520,
    "ADMISSIONS": 58_976,
    "ICUSTAYS": 61_532,
    "CHARTEVENTS": 330_712_483,
    "LABEVENTS": 27_854_055,
    "OUTPUTEVENTS": 4_349_218,
    "D_ITEMS": 12_487,
    "D_LABITEMS": 753,
}
"""Rows of each table of MIMIC-III v1.4 as published."""

DEMO = {"PATIENTS": 100, "ADMISSIONS": 129, "ICUSTAYS": 136}
OLDEST = 91.4
"""The median age of patients over 89, whose dates of birth MIMIC-III shifts (Johnson et al.
2016)."""

NEEDED = columns("mimic3_columns.csv")
"""The tables and columns that are read. Every other column is skipped unparsed."""
DICTIONARIES = ("D_ITEMS", "D_LABITEMS")

_ORIGIN = "MIMIC-III v1.4"
_FIELDS = {
    "CHARTEVENTS": Fields(
        "subject_id",
        "charttime",
        "itemid",
        "valuenum",
        unit="valueuom",
        known="storetime",
        texts=("value",),
        error="error",
    ),
    # LABEVENTS has no time of storage: its values count from when the specimen was taken.
    "LABEVENTS": Fields(
        "subject_id",
        "charttime",
        "itemid",
        "valuenum",
        unit="valueuom",
        known="charttime",
        texts=("value",),
    ),
    "OUTPUTEVENTS": Fields(
        "subject_id",
        "charttime",
        "itemid",
        "value",
        unit="valueuom",
        known="storetime",
        error="iserror",
    ),
}
_NEONATAL = ("NICU", "NWARD")
_DAYS = 365.2425
_KINDS = {
    "full": "MIMIC-III v1.4, complete",
    "demo": "MIMIC-III Clinical Database Demo v1.4",
    "generated": "generated tables in the shape of MIMIC-III",
    "part": "a part of MIMIC-III",
}


class Mimic3(TableSource):
    """A folder with PATIENTS, ADMISSIONS, ICUSTAYS, CHARTEVENTS, LABEVENTS and OUTPUTEVENTS."""

    name: ClassVar[str] = "mimic-iii"
    title: ClassVar[str] = "MIMIC-III"
    looked_for: ClassVar[str] = f"{', '.join(NEEDED)} as .csv.gz, .csv or .parquet (MIMIC-III)"
    store_times: ClassVar[bool] = True
    cohorts: ClassVar[tuple[Profile, ...]] = ("first_stay", "all_stays", "benchmarks")
    item_units: ClassVar[bool] = True
    known_notes: ClassVar[tuple[str, ...]] = (
        "LABEVENTS has no STORETIME: its values count from CHARTTIME, when the specimen was taken.",
    )
    words: ClassVar[Mapping[str, str]] = {
        "stays": "ICU stays in ICUSTAYS",
        "linked": "listed in ADMISSIONS and PATIENTS",
        "whole": "the whole of MIMIC-III",
        "outcome": "The outcome is HOSPITAL_EXPIRE_FLAG. Stays in which it disagrees with "
        "DEATHTIME lying between ADMITTIME and DISCHTIME are retained, and the flag is believed. "
        "Where DEATHTIME is missing for a patient who died, DISCHTIME stands for it.",
    }

    @classmethod
    def recognise(cls, folder: Path) -> bool:
        if in_this_shape(folder) or Mimic4.recognise(folder):
            return False
        return len(find(folder, NEEDED)) >= 2

    def codes(self) -> Path:
        return Path(__file__).with_name("codes_mimic3.csv")

    def tables(self) -> Sequence[EventTable]:
        return [ColumnTable(self.open(n), f, self.name) for n, f in _FIELDS.items()]

    def open(self, name: str) -> Table:
        """The table of this name; the unit of a value may be absent from an export."""
        return Table.open(self.folder, name, NEEDED, _ORIGIN, optional=("valueuom",))

    @cached_property
    def frames(self) -> dict[str, pl.DataFrame]:
        """The three small tables as they are, by name."""
        return {name: self.open(name).load() for name in DEMO}

    def core(self) -> Core:
        patients, admissions, icustays = self.frames.values()
        for name, key in zip(DEMO, ("subject_id", "hadm_id", "icustay_id"), strict=True):
            _refuse_repeats(name, self.frames[name], key)
        _refuse_flags(admissions)
        return Core(
            patients=patients.select(patient="subject_id", sex="gender", dod="dod"),
            admissions=admissions.select(
                "admittime",
                "dischtime",
                "deathtime",
                "admission_type",
                "insurance",
                "ethnicity",
                patient="subject_id",
                admission="hadm_id",
                died="hospital_expire_flag",
                charted=pl.col("has_chartevents_data") == 1,
            ),
            icustays=_stays(icustays, patients),
            sites=UNITS,
            source="generated demo" if self.kind == "generated" else "",
            real=self.kind != "generated",
            notes=self._notes(),
            facts={"folder": _KINDS[self.kind]},
        )

    @property
    def kind(self) -> str:
        """full, demo, generated or part: by the row counts, and by ids outside MIMIC-III's
        range."""
        rows = {name: len(frame) for name, frame in self.frames.items()}
        if not self.frames["PATIENTS"]["subject_id"].is_between(1, 99_999).any():
            return "generated"
        if rows == DEMO:
            return "demo"
        return "full" if all(FULL[name] == n for name, n in rows.items()) else "part"

    def published(self, cohort: Profile, core: Core) -> tuple[str, ...]:
        if self.kind != "full" or cohort != "benchmarks":
            return ()
        return (
            "mimic3-benchmarks counts 42,276 stays of adults and 21,139 with 48 hours and a "
            "measured variable. It looks at fewer variables and computes ages in another way, so "
            "small differences from the cohort flow here are expected.",
        )

    def check(self) -> Mapping[str, str]:
        """Every table's rows beside those of v1.4; each is read to its end."""
        found = {"source": _KINDS[self.kind]}
        for table, rows in self.row_counts().items():
            full = FULL.get(table)
            beside = "" if full is None else f" (v1.4: {full:,})"
            found[f"rows of {table}"] = f"{rows:,}{beside}"
        return found

    def row_counts(self) -> dict[str, int]:
        """The rows of each known table present; every file is read to its end, so damage is found.

        About a minute for the whole of MIMIC-III on two cores; compare with FULL.
        """
        known = {**NEEDED, **{name: {} for name in DICTIONARIES}}
        return {
            name: Table.open(self.folder, name, known, _ORIGIN, optional=("valueuom",)).rows()
            for name in find(self.folder, known)
        }

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if self.kind == "demo":
            notes.append(
                "The MIMIC-III demo has 100 patients, all of whom have died since: it shows that "
                "the reader works and cannot grade a model or an attack."
            )
        elif self.kind == "part":
            notes.append(
                "The tables do not have the row counts of MIMIC-III v1.4: this is a part or "
                "another version, and results are not comparable with published ones."
            )
        elif self.kind == "generated":
            notes.append(
                "Generated data: no number here is a result about MIMIC-III or any patient."
            )
        notes += in_two_forms(find(self.folder, NEEDED))
        return tuple(notes)


def _stays(icustays: pl.DataFrame, patients: pl.DataFrame) -> pl.DataFrame:
    dob, intime = pl.col("dob"), pl.col("intime")
    years = (intime - dob).dt.total_seconds() / 86400 / _DAYS
    same_unit = pl.col("first_careunit") == pl.col("last_careunit")
    same_ward = pl.col("first_wardid") == pl.col("last_wardid")
    unit = pl.col("first_careunit").str.strip_chars().str.to_uppercase()
    return icustays.join(
        patients.select("subject_id", "dob"), on="subject_id", how="left", maintain_order="left"
    ).select(
        "intime",
        "outtime",
        patient="subject_id",
        admission="hadm_id",
        stay="icustay_id",
        subject="subject_id",
        site=pl.when(unit.is_in(UNITS)).then(unit).otherwise(pl.lit("other")),
        unit="first_careunit",
        age=pl.when(years >= 90).then(OLDEST).otherwise(years),
        adult=dob.dt.offset_by("18y") <= intime,
        moved=~(same_unit & same_ward),
        neonatal=pl.any_horizontal(
            pl.col(c).is_in(_NEONATAL).fill_null(False) for c in ("first_careunit", "last_careunit")
        ),
    )


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


__all__ = ["FULL", "Mimic3"]
