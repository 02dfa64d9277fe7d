"""The eICU Collaborative Research Database 2.0, or its demo.

Source: Pollard et al., Scientific Data 5:180178, 2018; tables as in the documentation of
MIT-LCP/eicu-code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import polars as pl

from pipelines.sources import _care_units as wards
from pipelines.sources._eicu_events import SHAPES, STAY, EicuTable
from pipelines.sources.source import Core, EventTable, TableSource
from pipelines.sources.tables import Table, columns, find, in_two_forms
from privaudit.errors import PrivauditError

NEEDED = columns("eicu_columns.csv")
OPTIONAL = ("labmeasurenameinterface",)
EVENTS = tuple(name for name in SHAPES if name != "patient")

_ORIGIN = "eICU-CRD 2.0"
_HOSPITAL_STAY, _PERSON = "patienthealthsystemstayid", "uniquepid"
_BEGIN = datetime(2000, 1, 1, 0, 0, 1)
_YEARS_APART = 10
"""Between two hospital stays of a person on the clock that we make up: they never touch."""
_SEXES = {"female": "F", "male": "M"}
_ETHNICITIES = {
    "african american": "BLACK",
    "asian": "ASIAN",
    "caucasian": "WHITE",
    "hispanic": "HISPANIC",
    "native american": "NATIVE AMERICAN",
    "other/unknown": "OTHER",
}
_OVER_89 = r"^>\s*89$"
_STEP_DOWN = r"(?i)step ?down|\bSDU\b"


class Eicu(TableSource):
    """A folder with patient and the tables of events, as csv.gz, csv or Parquet."""

    name: ClassVar[str] = "eicu"
    title: ClassVar[str] = "eICU-CRD"
    looked_for: ClassVar[str] = "patient with vitalPeriodic, vitalAperiodic or lab (eICU-CRD)"
    store_times: ClassVar[bool] = False
    readmissions: ClassVar[bool] = False
    words: ClassVar[Mapping[str, str]] = {
        "stays": "stays in intensive care in patient, without step-down beds",
        "linked": "with a hospital stay and a person",
        "whole": "the whole of eICU-CRD",
        "outcome": "The outcome is hospitaldischargestatus; where it is empty, it counts as not "
        "recorded.",
    }

    @classmethod
    def recognise(cls, folder: Path) -> bool:
        found = set(find(folder, NEEDED))
        return "patient" in found and bool(found & set(EVENTS))

    def codes(self) -> Path:
        return Path(__file__).with_name("codes_eicu.csv")

    def open(self, name: str) -> Table:
        """The table of this name."""
        return Table.open(self.folder, name, NEEDED, _ORIGIN, optional=OPTIONAL)

    def tables(self) -> Sequence[EventTable]:
        clocks = self._stays.select("intime", subject=STAY)
        return [
            EicuTable(self.open(name), SHAPES[name], clocks)
            for name in (*EVENTS, "patient")
            if name in self._found
        ]

    def core(self) -> Core:
        stays = self._stays.filter(~pl.col("step_down"))
        if stays.is_empty():
            raise PrivauditError(
                "patient: no stay in intensive care",
                "every stay is in a step-down bed",
                "use patient of eICU-CRD as it is distributed",
            )
        age = pl.col("years")
        return Core(
            patients=stays.group_by(patient="person").agg(
                sex=pl.col("gender")
                .str.to_lowercase()
                .replace_strict(_SEXES, default=None, return_dtype=pl.String)
                .drop_nulls()
                .first(),
                dod=pl.lit(None, pl.Datetime("us")),
            ),
            admissions=_admissions(stays),
            icustays=stays.select(
                "intime",
                patient="person",
                admission=_HOSPITAL_STAY,
                stay=STAY,
                subject=STAY,
                site="site",
                unit=wards.unit(pl.col("unittype")),
                outtime=pl.col("intime") + pl.duration(minutes="unitdischargeoffset"),
                age=age,
                adult=age >= 18,
                moved=pl.lit(None, pl.Boolean),
                neonatal=pl.lit(None, pl.Boolean),
            ),
            notes=self._notes(),
            facts={
                "hospitals": stays["site"].n_unique(),
                "step_down_stays_left_out": int(self._stays["step_down"].sum()),
            },
        )

    def check(self) -> Mapping[str, str]:
        """The rows of each table, each read to its end, and the stays."""
        core = self.core()
        missing = [name for name in EVENTS if name not in self._found]
        rows = {f"rows of {n}": f"{self.open(n).rows():,}" for n in NEEDED if n in self._found}
        return {
            "source": self.title,
            **rows,
            "stays in intensive care": f"{len(core.icustays):,}",
            "step-down stays left out": f"{core.facts['step_down_stays_left_out']:,}",
            "hospitals": f"{core.facts['hospitals']:,}",
            "tables that are not there": ", ".join(missing) or "none",
        }

    def _notes(self) -> tuple[str, ...]:
        notes = [
            "eICU-CRD has no clock that runs across the hospital stays of a person: the first stay "
            "is the first of the earliest year, and where one year has several hospital stays, of "
            "the one with the lowest key."
        ]
        missing = [name for name in EVENTS if name not in self._found]
        if missing:
            notes.append(
                f"The tables {', '.join(missing)} are not there: what only they record counts as "
                "not measured."
            )
        notes += in_two_forms(find(self.folder, NEEDED))
        return tuple(notes)

    @cached_property
    def _found(self) -> set[str]:
        return set(find(self.folder, NEEDED))

    @cached_property
    def _stays(self) -> pl.DataFrame:
        """patient as it is, with person, site, years of age, step_down, and a made-up intime."""
        frame = self.open("patient").load()
        repeated = len(frame) - frame[STAY].n_unique() + int(frame[STAY].null_count() > 0)
        unknown = int(frame[_PERSON].null_count())
        if repeated or unknown:
            raise PrivauditError(
                f"patient: {repeated:,} repeated or missing keys, {unknown:,} without a person",
                "each stay has a key of its own and belongs to a person, or stays would be "
                "counted twice",
                "use patient of eICU-CRD as it is distributed",
            )
        hospitals = frame["hospitalid"].drop_nulls().unique().sort()
        numbers = pl.col("hospitalid").rank("dense").cast(pl.Int64)
        width = len(str(len(hospitals)))
        text = pl.col("age")
        years = (
            pl.when(text.str.contains(_OVER_89))
            .then(wards.OVER_89)
            .otherwise(text.cast(pl.Float64, strict=False))
        )
        order = pl.struct("hospitaldischargeyear", _HOSPITAL_STAY).rank("dense").over(_PERSON) - 1
        begin = pl.lit(_BEGIN).dt.offset_by(
            (order.cast(pl.Int64) * _YEARS_APART).cast(pl.String) + "y"
        )
        down = pl.any_horizontal(
            pl.col(c).str.contains(_STEP_DOWN).fill_null(False)
            for c in ("unitstaytype", "unittype")
        )
        return frame.with_columns(
            person=pl.col(_PERSON).rank("dense").cast(pl.Int64),
            site=pl.format("hospital {}", numbers.cast(pl.String).str.zfill(width)),
            years=pl.when(years > 89).then(wards.OVER_89).otherwise(years),
            step_down=down,
            intime=(begin - pl.duration(minutes="hospitaladmitoffset")).cast(pl.Datetime("us")),
        )


def _admissions(stays: pl.DataFrame) -> pl.DataFrame:
    """One row a hospital stay; died in the unit: at the end of the stay there."""
    intime, status = pl.col("intime"), pl.col("hospitaldischargestatus").str.to_lowercase()
    in_unit = pl.col("unitdischargestatus").str.to_lowercase() == "expired"
    died = pl.when(status == "expired").then(1).when(status == "alive").then(0)
    left_unit = intime + pl.duration(minutes="unitdischargeoffset")
    return (
        stays.sort("intime", STAY)
        .group_by(patient="person", admission=_HOSPITAL_STAY, maintain_order=True)
        .agg(
            admittime=(intime + pl.duration(minutes="hospitaladmitoffset")).min(),
            dischtime=(intime + pl.duration(minutes="hospitaldischargeoffset")).max(),
            deathtime=pl.when((died == 1) & in_unit).then(left_unit).drop_nulls().last(),
            died=died.drop_nulls().last(),
            ethnicity=pl.col("ethnicity")
            .str.to_lowercase()
            .replace_strict(_ETHNICITIES, default=None, return_dtype=pl.String)
            .drop_nulls()
            .first(),
        )
        .with_columns(
            admission_type=pl.lit(None, pl.String),
            insurance=pl.lit(None, pl.String),
            charted=pl.lit(None, pl.Boolean),
        )
    )


__all__ = ["Eicu"]
