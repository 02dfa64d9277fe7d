"""MIMIC-IV (2.0 and later), the full database or its demo.

Source: Johnson et al., Scientific Data 10:1, 2023.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import polars as pl

from pipelines.sources._mimic4_terms import admission_type, top_coded, unit
from pipelines.sources.columns import ColumnTable, Fields
from pipelines.sources.features import UNITS
from pipelines.sources.source import Core, EventTable, TableSource
from pipelines.sources.tables import Table, columns, find, in_two_forms
from privaudit.errors import PrivauditError

NEEDED = columns("mimic4_columns.csv")
CORE = ("patients", "admissions", "icustays")
VERSIONS: Mapping[tuple[int, ...], str] = {
    (100, 275, 140): "MIMIC-IV Clinical Database Demo 2.2",
    (299_712, 431_231, 73_181): "MIMIC-IV v2.2, complete",
    (364_627, 546_028, 94_458): "MIMIC-IV v3.1, complete",
}
"""Rows of patients, admissions and icustays as published."""

_ORIGIN = "MIMIC-IV"
SUBFOLDERS = ("hosp", "icu")
_ONLY_HERE = ("omr", "emar", "provider", "hcpcsevents", "ingredientevents", "poe", "pharmacy")
_FIELDS = {
    "chartevents": Fields(
        "subject_id",
        "charttime",
        "itemid",
        "valuenum",
        unit="valueuom",
        known="storetime",
        texts=("value",),
    ),
    # A result beyond the assay has neither a value nor a number: it is told in the comments.
    "labevents": Fields(
        "subject_id",
        "charttime",
        "itemid",
        "valuenum",
        unit="valueuom",
        known="storetime",
        texts=("value", "comments"),
    ),
    "outputevents": Fields(
        "subject_id", "charttime", "itemid", "value", unit="valueuom", known="storetime"
    ),
}


def folders(folder: Path) -> list[Path]:
    """Where the tables lie: hosp and icu of the folder, and the folder itself."""
    inside = [p for p in folder.iterdir() if p.is_dir() and p.name.lower() in SUBFOLDERS]
    return [*sorted(inside), folder]


def in_this_shape(folder: Path) -> bool:
    """Whether the names in a folder, or its own, are those of (a part of) MIMIC-IV."""
    if folder.resolve().name.lower() in SUBFOLDERS:
        return True
    stems = {p.name.lower().split(".")[0] for p in folder.iterdir()}
    return len(stems & set(_ONLY_HERE)) >= 2 or {"procedureevents", "inputevents"} <= stems


class Mimic4(TableSource):
    """A folder with hosp and icu, or with the tables of both side by side."""

    name: ClassVar[str] = "mimic-iv"
    title: ClassVar[str] = "MIMIC-IV"
    looked_for: ClassVar[str] = "hosp and icu with patients and icustays (MIMIC-IV)"
    store_times: ClassVar[bool] = True
    words: ClassVar[Mapping[str, str]] = {
        "stays": "ICU stays in icustays",
        "linked": "listed in admissions and patients",
        "whole": "the whole of MIMIC-IV",
        "outcome": "The outcome is hospital_expire_flag; where deathtime is missing for a patient "
        "who died, dischtime stands for it.",
    }

    @classmethod
    def recognise(cls, folder: Path) -> bool:
        found = find(folders(folder), NEEDED)
        if not {"patients", "icustays"} <= set(found):
            return False
        if found["icustays"][0].parent != folder or in_this_shape(folder):
            return True
        # MIMIC-III has tables of the same names: only a column tells the two apart.
        return "stay_id" in Table("icustays", found["icustays"][0]).header

    @classmethod
    def refuse(cls, folder: Path) -> None:
        found = find(folders(folder), NEEDED)
        missing = [name for name in NEEDED if name not in found]
        if missing and (in_this_shape(folder) or len(folders(folder)) > len(SUBFOLDERS)):
            raise PrivauditError(
                "a part of MIMIC-IV",
                f"its tables {', '.join(missing)} are missing",
                "give the folder that holds both hosp and icu",
            )

    def codes(self) -> Path:
        return Path(__file__).with_name("codes_mimic4.csv")

    def tables(self) -> Sequence[EventTable]:
        return [ColumnTable(self.open(n), f, self.name) for n, f in _FIELDS.items()]

    def open(self, name: str) -> Table:
        """The table of this name."""
        return Table.open(folders(self.folder), name, NEEDED, _ORIGIN)

    @cached_property
    def frames(self) -> dict[str, pl.DataFrame]:
        """The three small tables as they are, by name."""
        return {name: self.open(name).load() for name in CORE}

    @property
    def version(self) -> str:
        """What the row counts say."""
        rows = tuple(len(frame) for frame in self.frames.values())
        return VERSIONS.get(rows, "another version or a part of MIMIC-IV")

    def core(self) -> Core:
        patients, admissions, icustays = self.frames.values()
        return Core(
            patients=patients.select("dod", patient="subject_id", sex="gender"),
            admissions=admissions.select(
                "admittime",
                "dischtime",
                "deathtime",
                "insurance",
                patient="subject_id",
                admission="hadm_id",
                died=pl.when(pl.col("hospital_expire_flag").is_in([0, 1])).then(
                    pl.col("hospital_expire_flag")
                ),
                admission_type=admission_type(pl.col("admission_type")),
                ethnicity="race",
                charted=pl.lit(None, pl.Boolean),
            ),
            icustays=_stays(patients, admissions, icustays),
            sites=UNITS,
            notes=self._notes(),
            facts={"folder": self.version},
        )

    def check(self) -> Mapping[str, str]:
        """Every table's rows; each is read to its end."""
        rows = {f"rows of {name}": f"{self.open(name).rows():,}" for name in NEEDED}
        return {"source": self.version, **rows}

    def _notes(self) -> tuple[str, ...]:
        notes = [
            "Measurements are timed to the minute and stays to the second: stays are counted from "
            "the minute in which they begin."
        ]
        if "Demo" in self.version:
            notes.append(
                "The MIMIC-IV demo has 100 patients: it shows that the reader works and cannot "
                "grade a model or an attack."
            )
        notes += in_two_forms(find(folders(self.folder), NEEDED))
        return tuple(notes)


def _stays(
    patients: pl.DataFrame, admissions: pl.DataFrame, icustays: pl.DataFrame
) -> pl.DataFrame:
    born = patients.select("subject_id", "anchor_age", "anchor_year")
    when = admissions.select("hadm_id", "admittime").unique("hadm_id")
    minute = (pl.col(c).dt.truncate("1m") for c in ("intime", "outtime"))
    year = pl.coalesce("admittime", "intime").dt.year()
    age = pl.col("anchor_age") + year - pl.col("anchor_year")
    care = pl.col("first_careunit")
    return (
        icustays.join(born, on="subject_id", how="left", maintain_order="left")
        .join(when, on="hadm_id", how="left", maintain_order="left")
        .select(
            *minute,
            patient="subject_id",
            admission="hadm_id",
            stay="stay_id",
            subject="subject_id",
            site=unit(care),
            unit=unit(care),
            age=top_coded(age),
            adult=age >= 18,
            moved=care != pl.col("last_careunit"),
            neonatal=pl.lit(None, pl.Boolean),
        )
    )


__all__ = ["Mimic4"]
