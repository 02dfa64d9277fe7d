"""FHIR R4, as a server exports it in bulk: Patient, Encounter, Location and Observation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import polars as pl

from pipelines.sources import _care_units as wards
from pipelines.sources import _fhir_files as fhir
from pipelines.sources._fhir_files import Resources, reference, wall_clock
from pipelines.sources._fhir_observations import Observations
from pipelines.sources.features import UNITS
from pipelines.sources.source import (
    ADMISSIONS,
    ICUSTAYS,
    PATIENTS,
    Core,
    EventTable,
    TableSource,
)
from privaudit.errors import PrivauditError

_VOID_ENCOUNTERS = ("cancelled", "entered-in-error", "planned")
_ROLES = ("CCU", "ICU", "PEDICU", "PEDNICU")
"""Codes of HL7 v3 RoleCode that make a Location a unit of intensive care."""
_DIED = ("20", "371828006", "419099009", "DIED", "EXP", "EXPIRED")
"""Discharge dispositions that say died: HL7's, the UB-04's, SNOMED's and MIMIC's."""
_PRIORITIES = {"EL": "elective", "EM": "emergency", "UR": "urgent"}
_HISPANIC = "2135-2"
_LEVELS = 4
_RULES = {
    "marked": "encounters that the source marks as intensive care",
    "encounters": "encounters inside a hospital encounter, with places of intensive care alone",
    "places": "the times that an encounter lists for places of intensive care",
}


class Fhir(TableSource):
    """Stays in intensive care from Encounter, and what was measured from Observation."""

    name: ClassVar[str] = "fhir"
    title: ClassVar[str] = "FHIR R4"
    looked_for: ClassVar[str] = (
        "Patient, Encounter and Observation as .ndjson or .ndjson.gz (FHIR R4)"
    )
    store_times: ClassVar[bool] = True
    known_notes: ClassVar[tuple[str, ...]] = (
        "A value counts as stored when its Observation was issued; without that it is left out.",
    )
    own_systems: ClassVar[tuple[str, ...] | None] = None
    words: ClassVar[Mapping[str, str]] = {
        "stays": "stays in intensive care in Encounter",
        "linked": "with a hospital stay in Encounter and a Patient",
        "whole": "the whole export",
        "outcome": "The outcome is the discharge disposition of the hospital stay; where none is "
        "given and no date of death lies in the stay, it counts as not recorded.",
    }

    @classmethod
    def recognise(cls, folder: Path) -> bool:
        return {"Patient", "Encounter"} <= set(fhir.find(folder))

    def codes(self) -> Path:
        return Path(__file__).with_name("codes_fhir.csv")

    def tables(self) -> Sequence[EventTable]:
        return (self._observations,)

    @cached_property
    def _observations(self) -> Observations:
        files = Resources.open(self.folder, "Observation")
        depends = (*self._opened["Patient"].mark, *self._opened["Encounter"].mark)
        clocks = (
            self._encounters.join(self._patients[1].rename({"id": "person"}), on="person")
            .group_by("number")
            .agg(west=pl.col("offset").min(), east=pl.col("offset").max())
        )
        patients = self._patients[1].join(clocks, on="number", how="left", maintain_order="left")
        return Observations(files, patients, self._in_universal_time, depends)

    def core(self) -> Core:
        people, numbers = self._patients
        encounters = self._encounters
        stays, rule = self._stays()
        hospital = encounters.filter(pl.col("id") == pl.col("top"))
        admissions = fhir.left_of(hospital, "id", self._numbers, "admission")
        admissions = fhir.left_of(admissions, "person", numbers, "patient").join(
            people.select("id", "dead", "ethnicity"), left_on="person", right_on="id", how="left"
        )
        icu = fhir.left_of(stays, "person", numbers, "patient")
        icu = fhir.left_of(icu, "top", self._numbers, "admission").join(
            people.select("id", "year", "month", "day"), left_on="person", right_on="id", how="left"
        )
        # MIMIC makes the date of birth up from the age in a year: only its year means something.
        known = pl.lit(rule != "marked")
        month, day = (pl.when(known).then(c) for c in ("month", "day"))
        age = wards.completed_years((pl.col("year"), month, day), pl.col("intime"))
        providers = fhir.numbered(hospital["provider"].drop_nulls())
        many = len(providers) > 1
        if many:
            icu = fhir.left_of(
                icu.join(hospital.select("top", "provider"), on="top", how="left"),
                "provider",
                providers,
                "hospital",
            )
        unit = wards.unit(pl.col("name"))
        site = pl.format("hospital {}", "hospital") if many else unit
        framed = icu.with_columns(
            intime=pl.col("intime").dt.truncate("1m"),
            outtime=pl.col("outtime").dt.truncate("1m"),
            subject="patient",
            site=site,
            unit=unit,
            age=age,
            adult=age >= 18,
        )
        return Core(
            patients=shaped(
                people.join(numbers, on="id")
                .unique("number", keep="first", maintain_order=True)
                .select(patient="number", sex="sex", dod="dead"),
                PATIENTS,
            ),
            admissions=shaped(_outcomes(admissions), ADMISSIONS),
            icustays=shaped(framed, ICUSTAYS),
            sites=() if many else UNITS,
            notes=self._notes(rule),
            facts={"stays_from": _RULES[rule], "hospitals": max(1, len(providers))},
        )

    def check(self) -> Mapping[str, str]:
        """Resources of each type, each read to its end, and the stays."""
        core = self.core()
        found = {"source": self.title}
        for kind in fhir.find(self.folder):
            files = Resources.open(self.folder, kind)
            found[f"resources of {kind}"] = f"{files.rows():,} in {len(files.parts)} file(s)"
        return {
            **found,
            "stays in intensive care": f"{len(core.icustays):,}",
            "found by": str(core.facts["stays_from"]),
        }

    def _notes(self, rule: str) -> tuple[str, ...]:
        notes = [
            f"Stays in intensive care are {_RULES[rule]}. Times are those on the clock of the "
            "place: offsets are dropped."
        ]
        if "Observation" in fhir.find(self.folder) and self._observations.days_among_times:
            notes.append("Observations with a date alone are left out.")
        return tuple(notes)

    @cached_property
    def _opened(self) -> dict[str, Resources]:
        return fhir.all_of(("Patient", "Encounter"), self.folder)

    @cached_property
    def _patients(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        sexes = {"female": "F", "male": "M"}
        born = pl.col("birthDate")
        frame = self._opened["Patient"].load(
            pl.col("id", "extension", "identifier", "link"),
            sex=pl.col("gender").replace_strict(sexes, default=None, return_dtype=pl.String),
            dead=_moment(pl.col("deceasedDateTime")),
            year=born.str.slice(0, 4).cast(pl.Int32, strict=False),
            month=born.str.slice(5, 2).cast(pl.Int32, strict=False),
            day=born.str.slice(8, 2).cast(pl.Int32, strict=False),
        )
        people = frame.drop("extension", "identifier", "link").join(
            _ethnicities(frame), on="id", how="left", maintain_order="left"
        )
        other = reference(pl.col("link").struct.field("other"), "Patient")
        links = frame.select("id", "link").explode("link").select("id", other=other)
        # records of one person, merged by the hospital or not, must not stand on both sides of a
        # split
        same = pl.concat([links, fhir.sharing(frame.select("id", "identifier"))])
        numbers = fhir.joined(fhir.numbered(people["id"]), same)
        whose = people.join(numbers, on="id", maintain_order="left").sort("number", "id")
        shared = [c for c in people.columns if c != "id"]
        firsts = (pl.col(c).drop_nulls().first().over("number").alias(c) for c in shared)
        return whose.select("id", *firsts), numbers

    @cached_property
    def _encounters(self) -> pl.DataFrame:
        """One row an encounter that took place; top: the id of the hospital stay around it."""
        period, stay = pl.col("period"), pl.col("hospitalization")
        disposition = stay.struct.field("dischargeDisposition").struct.field("coding")
        every = self._opened["Encounter"].load(
            pl.col("id", "status", "location"),
            person=reference(pl.col("subject"), "Patient"),
            part=reference(pl.col("partOf"), "Encounter"),
            written=period.struct.field("start"),
            offset=fhir.offset(period.struct.field("start")),
            intime=wall_clock(period.struct.field("start")),
            outtime=wall_clock(period.struct.field("end")),
            marked=pl.col("identifier")
            .list.eval(pl.element().struct.field("system").str.ends_with("encounter-icu"))
            .list.any()
            .fill_null(False),
            disposition=disposition.list.eval(pl.element().struct.field("code").str.to_uppercase()),
            priority=fhir.first_code(pl.col("priority")),
            provider=reference(pl.col("serviceProvider"), "Organization"),
        )
        rows = every.filter(~pl.col("status").is_in(_VOID_ENCOUNTERS).fill_null(False))
        top = rows.select("id", top=pl.coalesce("part", "id"))
        parents = rows.select(top="id", above="part")
        for _ in range(_LEVELS):
            top = top.join(parents, on="top", how="left", maintain_order="left").select(
                "id", top=pl.coalesce("above", "top")
            )
        return rows.join(top, on="id", how="left", maintain_order="left")

    @cached_property
    def _numbers(self) -> pl.DataFrame:
        return fhir.numbered(self._encounters["id"])

    @cached_property
    def _in_universal_time(self) -> bool:
        written = self._encounters.select(fhir.universal(pl.col("written"))).to_series()
        seen = written.drop_nulls()
        if seen.any() and not seen.all():
            raise PrivauditError(
                "Encounter: some times are universal (Z), others have an offset",
                "the clock of the place cannot be told for the universal ones",
                "export all with the offset of the place",
            )
        apart = self._encounters.group_by("top").agg(
            pl.col("offset").max() - pl.col("offset").min()
        )
        _refuse_clocks(apart["offset"])
        return bool(seen.any())

    def _stays(self) -> tuple[pl.DataFrame, str]:
        """person, top, stay, intime, outtime, name, moved, neonatal; and the rule that found
        them."""
        encounters, names = self._encounters, self._places
        listed = (
            encounters.select("id", "person", "top", "part", "location", "offset")
            .explode("location")
            .with_columns(
                place=reference(pl.col("location").struct.field("location"), "Location"),
                start=pl.col("location").struct.field("period").struct.field("start"),
                end=pl.col("location").struct.field("period").struct.field("end"),
            )
            .join(names, on="place", how="left", maintain_order="left")
            .with_columns(pl.col("intensive").fill_null(False))
        )
        if encounters["marked"].any():
            rule, chosen = "marked", encounters.filter("marked")
        else:
            whole = listed.group_by("id").agg(pl.col("intensive").all())
            inside = encounters.filter(pl.col("part").is_not_null()).join(whole, on="id")
            rule, chosen = "encounters", inside.filter("intensive")
        if len(chosen):
            of = listed.group_by("id", maintain_order=True).agg(
                name=pl.col("name").first(),
                moved=pl.col("name").n_unique() > 1,
                neonatal=wards.neonatal(pl.col("name")).any(),
            )
            rows = chosen.join(of, on="id", how="left", maintain_order="left")
            stays = fhir.left_of(rows, "id", self._numbers, "stay")
            if rule == "encounters":
                stays = wards.merged(stays.drop("moved", "neonatal"), ["person", "top"])
        else:
            rule = "places"
            there = listed.filter("intensive")
            _refuse_clocks(
                there.select((fhir.offset(pl.col("start")) - pl.col("offset")).abs()).to_series()
            )
            rows = there.select(
                "person",
                "top",
                "name",
                intime=wall_clock(pl.col("start")),
                outtime=wall_clock(pl.col("end")),
            )
            stays = wards.merged(rows.filter(pl.col("intime").is_not_null()), ["person", "top"])
        self._refuse_dates(rows)
        if rule != "marked":
            stays = stays.sort("person", "intime").with_row_index("stay", offset=1)
        return stays.filter(pl.col("intime").is_not_null()), rule

    def _refuse_dates(self, stays: pl.DataFrame) -> None:
        if stays.is_empty():
            raise PrivauditError(
                "no stay in intensive care is marked",
                "an Encounter inside a hospital stay, or an entry of Encounter.location, must "
                "refer to a Location whose name or type says intensive care",
                "export Location beside Encounter, with its names or types",
            )
        midnight = stays.select(
            (
                pl.col("intime").is_null() | (pl.col("intime").dt.time() == pl.lit(0).cast(pl.Time))
            ).all()
        ).item()
        if midnight:
            raise PrivauditError(
                "Encounter: stays have dates and no times",
                "the hours of a stay cannot be told from days",
                "export periods with hours and minutes",
            )

    @cached_property
    def _places(self) -> pl.DataFrame:
        """place, name, intensive: one row a Location; empty where none was exported."""
        if "Location" not in fhir.find(self.folder):
            return pl.DataFrame(
                schema={"place": pl.String, "name": pl.String, "intensive": pl.Boolean}
            )
        code = (
            pl.element()
            .struct.field("coding")
            .list.eval(pl.element().struct.field("code").is_in(_ROLES))
        )
        typed = pl.col("type").list.eval(code.list.any()).list.any().fill_null(False)
        frame = Resources.open(self.folder, "Location").load(
            pl.col("id", "name"), intensive=typed | wards.intensive(pl.col("name"))
        )
        return frame.rename({"id": "place"})


def _outcomes(admissions: pl.DataFrame) -> pl.DataFrame:
    """died by the disposition, and where it is missing by a date of death inside the stay."""
    start, end, dead = pl.col("intime"), pl.col("outtime"), pl.col("dead")
    said = pl.col("disposition").list.eval(pl.element().is_in(_DIED)).list.any()
    known = pl.col("disposition").list.len() > 0
    inside = dead.dt.date().is_between(start.dt.date(), end.dt.date()).fill_null(False)
    died = pl.when(known).then(said.cast(pl.Int8)).when(inside).then(pl.lit(1, pl.Int8))
    # a date alone was read as the last second of its day
    death = pl.when(inside).then(pl.min_horizontal(dead, end))
    found = admissions.with_columns(
        admittime=start,
        dischtime=end,
        died=died,
        deathtime=death,
        admission_type=pl.when(pl.col("priority").is_not_null()).then(
            pl.col("priority").replace_strict(_PRIORITIES, default="other", return_dtype=pl.String)
        ),
    )
    wards.refuse_unread_deaths(found)
    return found


def _refuse_clocks(apart: pl.Series) -> None:
    """PrivauditError where the times of one stay are further apart in offset than summer time."""
    if (apart > fhir.SUMMER).any():
        raise PrivauditError(
            "Encounter: the times of one hospital stay are on clocks more than an hour apart",
            "the clock of the place cannot be told, and a stay would be hours off",
            "export all with the offset of the place",
        )


def _moment(text: pl.Expr) -> pl.Expr:
    """A date with or without a time; a date alone is the last second of its day."""
    day = text.str.slice(0, 10).str.to_datetime("%Y-%m-%d", time_unit="us", strict=False)
    return pl.coalesce(wall_clock(text), day + pl.duration(hours=23, minutes=59, seconds=59))


def _ethnicities(patients: pl.DataFrame) -> pl.DataFrame:
    """id and ethnicity: US Core's race, or Hispanic where its ethnicity says so."""
    entries = (
        patients.select("id", "extension")
        .explode("extension")
        .unnest("extension")
        .explode("extension")
        .with_columns(
            said=pl.coalesce(
                pl.col("extension").struct.field("valueString"),
                pl.col("extension").struct.field("valueCoding").struct.field("display"),
            ),
            code=pl.col("extension").struct.field("valueCoding").struct.field("code"),
        )
    )
    race = (
        entries.filter(pl.col("url").str.ends_with("us-core-race"))
        .group_by("id")
        .agg(race=pl.col("said").drop_nulls().first().str.to_uppercase())
    )
    hispanic = entries.filter(
        pl.col("url").str.ends_with("us-core-ethnicity"), pl.col("code") == _HISPANIC
    )
    mark = pl.col("id").is_in(hispanic["id"].implode())
    asked = pl.col("race").str.starts_with("ASKED")
    return (
        patients.select("id")
        .join(race, on="id", how="left", maintain_order="left")
        .select(
            "id",
            ethnicity=pl.when(mark)
            .then(pl.lit("HISPANIC"))
            .when(asked)
            .then(pl.lit("UNKNOWN"))
            .otherwise("race"),
        )
    )


def shaped(frame: pl.DataFrame, columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The columns of a core frame in their types; null where the source does not say."""
    return frame.select(
        (pl.col(c) if c in frame.columns else pl.lit(None)).cast(dtype).alias(c)
        for c, dtype in columns.items()
    )


__all__ = ["Fhir"]
