"""OMOP CDM 5.3 and 5.4: stays from VISIT_DETAIL, values from MEASUREMENT and OBSERVATION."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import polars as pl

from pipelines.sources import _care_units as wards
from pipelines.sources._omop_events import MIMIC_CONCEPTS, OmopTable, timed
from pipelines.sources.features import UNITS
from pipelines.sources.source import Core, EventTable, TableSource
from pipelines.sources.tables import Table, columns, find, in_two_forms, typed, unreadable
from privaudit.errors import PrivauditError

NEEDED = columns("omop_columns.csv")
OPTIONAL = frozenset(
    {
        "month_of_birth",
        "day_of_birth",
        "race_source_value",
        "person_source_value",
        "care_site_id",
        "place_of_service_concept_id",
        "discharge_to_concept_id",
        "discharge_to_source_value",
        "discharged_to_concept_id",
        "discharged_to_source_value",
        "death_datetime",
        "operator_concept_id",
        "unit_source_value",
        "value_source_value",
        "value_as_string",
        "measurement_source_value",
        "observation_source_value",
    }
)
"""Columns that one version of the CDM or many exports lack."""

ICU = Path(__file__).with_name("omop_icu_concepts.csv")
STEP_DOWN = 4305525
"""Intermediate care: MIMIC's own map has it for beds that MIMIC-IV counts as intensive care."""

DIED = 4216643
_DIED_WORDS = ("DEAD", "DEATH", "DECEASED", "DIED", "EXPIRED")
_SEXES = {8507: "M", 8532: "F"}
_RACES = {8515: "ASIAN", 8516: "BLACK", 8527: "WHITE", 8557: "PACIFIC", 8657: "AMERICAN INDIAN"}
_HISPANIC = 38003563
_EMERGENCIES = (262, 8870, 9203)
_GAP = 1
"""Minutes between two rows of one stay: times are often cut to the minute."""
_SHARED = 5
"""Rows that one person may have by mistake; what more share is no identifier."""
_WHOSE = pl.coalesce("whose", "person_id")
_ORIGIN = "the OMOP CDM"


class Omop(TableSource):
    """A folder with the tables of the CDM as CSV or Parquet."""

    name: ClassVar[str] = "omop"
    title: ClassVar[str] = "OMOP CDM"
    looked_for: ClassVar[str] = "person with visit_occurrence (OMOP CDM)"
    store_times: ClassVar[bool] = False
    own_systems: ClassVar[tuple[str, ...] | None] = ("source value",)
    words: ClassVar[Mapping[str, str]] = {
        "stays": "stays in intensive care",
        "linked": "with a visit and a person",
        "whole": "the whole CDM",
        "outcome": "The outcome is the discharge of the visit, or a death recorded within it where "
        "no discharge is.",
    }

    @classmethod
    def recognise(cls, folder: Path) -> bool:
        return {"person", "visit_occurrence"} <= set(find(folder, NEEDED))

    def codes(self) -> Path:
        return Path(__file__).with_name("codes_omop.csv")

    def tables(self) -> Sequence[EventTable]:
        self.open("measurement")
        return [table for table in self._events if table.name == "measurement" or table.has_times]

    @cached_property
    def _events(self) -> list[OmopTable]:
        """MEASUREMENT, and OBSERVATION where it has rows."""
        found = [name for name in ("measurement", "observation") if name in self._found]
        opened = {name: self.open(name) for name in found}
        return [
            OmopTable(table, self._is_mimic)
            for name, table in opened.items()
            if name == "measurement" or table.filled
        ]

    def core(self) -> Core:
        people = _with_whose(self.open("person").load())
        rows = self._rows()
        stays = wards.merged(rows.select(*_KEYS, "intime", "outtime", "name"), _KEYS, _GAP)
        stays = stays.sort("person_id", "intime", "visit_occurrence_id").with_row_index(
            "stay", offset=1
        )
        visits = self._visits(stays)
        born = people.select(
            "person_id",
            "whose",
            *(pl.col(f"{c}_of_birth").cast(pl.Int32) for c in ("year", "month", "day")),
        )
        framed = stays.join(born, on="person_id", how="left", maintain_order="left").join(
            visits.select("visit_occurrence_id", "hospital"),
            on="visit_occurrence_id",
            how="left",
            maintain_order="left",
        )
        age = wards.completed_years(
            (pl.col("year_of_birth"), pl.col("month_of_birth"), pl.col("day_of_birth")),
            pl.col("intime"),
        )
        many = visits["hospital"].n_unique() - int(visits["hospital"].null_count() > 0) > 1
        unit = wards.unit(pl.col("name"))
        by_year = people["month_of_birth"].null_count() == len(people)
        step_down = bool((rows["concept"] == STEP_DOWN).any())
        return Core(
            patients=people.join(self._deaths, on="person_id", how="left", maintain_order="left")
            .group_by(patient="whose", maintain_order=True)
            .agg(
                sex=pl.col("gender_concept_id")
                .replace_strict(_SEXES, default=None, return_dtype=pl.String)
                .first(),
                dod=pl.col("dead").min(),
            ),
            admissions=_outcomes(visits, people, self._deaths, "death" in self._found),
            icustays=framed.select(
                "intime",
                "outtime",
                "moved",
                "neonatal",
                patient=_WHOSE,
                admission="visit_occurrence_id",
                stay="stay",
                subject="person_id",
                site=pl.format("hospital {}", "hospital") if many else unit,
                unit=unit,
                age=age,
                adult=age >= 18,
            ),
            sites=() if many else UNITS,
            notes=(
                *_notes(by_year, step_down, self._events),
                *in_two_forms(find(self.folder, NEEDED)),
            ),
            facts={
                "rows_of_intensive_care": len(rows),
                "cdm": "MIMIC-IV in the OMOP CDM" if self._is_mimic else "a hospital's own",
            },
        )

    def check(self) -> Mapping[str, str]:
        """The rows of each table, each read to its end, and the stays."""
        core = self.core()
        rows = {f"rows of {n}": f"{self.open(n).rows():,}" for n in NEEDED if n in self._found}
        return {
            "source": self.title,
            **rows,
            "rows of intensive care": f"{core.facts['rows_of_intensive_care']:,}",
            "stays in intensive care": f"{len(core.icustays):,}",
        }

    def open(self, name: str) -> Table:
        """The table of this name."""
        return Table.open(self.folder, name, NEEDED, _ORIGIN, OPTIONAL)

    @cached_property
    def _found(self) -> set[str]:
        return set(find(self.folder, NEEDED))

    @cached_property
    def _is_mimic(self) -> bool:
        if "cdm_source" not in self._found:
            return False
        table = self.open("cdm_source")
        return table.filled and bool(
            table.load()["cdm_source_name"].str.contains("(?i)mimic").any()
        )

    @cached_property
    def _intensive(self) -> pl.DataFrame:
        """concept_id and name: our list, and what concept_ancestor puts below it."""
        listed = pl.read_csv(ICU, glob=False)
        if "concept_ancestor" not in self._found:
            return listed
        below = _chosen(
            self.open("concept_ancestor"),
            pl.col("ancestor_concept_id").is_in(listed["concept_id"].implode()),
        )
        named = below.join(listed, left_on="ancestor_concept_id", right_on="concept_id").select(
            "name", concept_id="descendant_concept_id"
        )
        return pl.concat([listed, named], how="diagonal").unique("concept_id", keep="first")

    @cached_property
    def _places(self) -> pl.DataFrame:
        """care_site_id, site (its name), intensive."""
        schema = {"care_site_id": pl.Int64, "site": pl.String, "intensive": pl.Boolean}
        if "care_site" not in self._found or not self.open("care_site").filled:
            return pl.DataFrame(schema=schema)
        name, concepts = pl.col("care_site_name"), self._intensive["concept_id"].implode()
        typed_so = pl.col("place_of_service_concept_id").is_in(concepts).fill_null(False)
        return (
            self.open("care_site")
            .load()
            .select("care_site_id", site=name, intensive=wards.intensive(name) | typed_so)
            .unique("care_site_id", keep="first")
        )

    def _rows(self) -> pl.DataFrame:
        """The rows of intensive care: keys, concept, intime, outtime, name of the ward."""
        for table, prefix in (("visit_detail", "visit_detail"), ("visit_occurrence", "visit")):
            if table not in self._found or not self.open(table).filled:
                continue
            concept, places = pl.col(f"{prefix}_concept_id"), self._places
            there = places.filter("intensive")["care_site_id"].implode()
            rows = _chosen(
                self.open(table),
                concept.is_in(self._intensive["concept_id"].implode())
                | pl.col("care_site_id").is_in(there).fill_null(False),
            )
            if rows.is_empty():
                continue
            start, end = (pl.col(f"{prefix}_{side}_datetime") for side in ("start", "end"))
            if not rows.select(timed(start).any()).item():
                raise PrivauditError(
                    f"{table}: stays have dates and no times",
                    "the hours of a stay cannot be told from days",
                    f"fill {prefix}_start_datetime and {prefix}_end_datetime with times",
                )
            return (
                rows.join(places, on="care_site_id", how="left")
                .join(
                    self._intensive,
                    left_on=f"{prefix}_concept_id",
                    right_on="concept_id",
                    how="left",
                )
                .select(
                    "person_id",
                    "visit_occurrence_id",
                    concept=concept,
                    intime=start.dt.truncate("1m"),
                    outtime=end.dt.truncate("1m"),
                    name=pl.coalesce("site", "name"),
                )
                .filter(pl.col("intime").is_not_null())
            )
        raise PrivauditError(
            "no stay in intensive care is marked",
            "neither visit_detail nor visit_occurrence has a row with a concept of intensive care "
            "or a care site whose name or place of service says so",
            "map the wards of intensive care to 32037 (Intensive Care) or name them in care_site",
        )

    def _visits(self, stays: pl.DataFrame) -> pl.DataFrame:
        """The visits with a stay: times, discharge, and the number of the hospital."""
        mine = stays["visit_occurrence_id"].drop_nulls().unique().implode()
        visits = _chosen(self.open("visit_occurrence"), pl.col("visit_occurrence_id").is_in(mine))
        sites = visits["care_site_id"].drop_nulls().unique().sort()
        numbers = {site: number for number, site in enumerate(sites, start=1)}
        said = pl.coalesce("discharged_to_source_value", "discharge_to_source_value")
        concept = pl.coalesce("discharged_to_concept_id", "discharge_to_concept_id")
        return visits.select(
            "visit_occurrence_id",
            "person_id",
            "visit_concept_id",
            admittime=pl.coalesce("visit_start_datetime", "visit_start_date"),
            dischtime=pl.coalesce("visit_end_datetime", "visit_end_date"),
            known=((concept != 0) | said.is_not_null()).fill_null(False),
            said=(concept == DIED).fill_null(False)
            | said.str.to_uppercase().is_in(_DIED_WORDS).fill_null(False),
            hospital=pl.col("care_site_id").replace_strict(
                numbers, default=None, return_dtype=pl.Int64
            ),
        )

    @cached_property
    def _deaths(self) -> pl.DataFrame:
        """person_id, dead: the earliest time; a date alone is the last second of its day."""
        if "death" not in self._found or not self.open("death").filled:
            return pl.DataFrame(schema={"person_id": pl.Int64, "dead": pl.Datetime("us")})
        time, day = pl.col("death_datetime"), pl.col("death_date")
        end = pl.coalesce(day, time).dt.truncate("1d") + pl.duration(hours=24, seconds=-1)
        return (
            self.open("death")
            .load()
            .select("person_id", dead=pl.when(timed(time)).then(time).otherwise(end))
            .group_by("person_id")
            .agg(pl.col("dead").min())
        )


_KEYS = ["person_id", "visit_occurrence_id"]


def _chosen(table: Table, rule: pl.Expr) -> pl.DataFrame:
    """The rows that a rule keeps, typed; the table itself is streamed."""
    table.check()
    raw = table.scan(careful=True)
    schema = raw.collect_schema()
    ids = {c: kind for c, kind in table.kinds.items() if kind == "id"}
    others = {c: kind for c, kind in table.kinds.items() if kind != "id"}
    bad = pl.any_horizontal(unreadable(schema, c, "id", careful=True) for c in ids)
    marked = raw.with_columns(typed(schema, ids, careful=True), bad=bad)
    with table.trouble():
        frame = marked.filter(rule.fill_null(False) | pl.col("bad")).collect(engine="streaming")
    if frame["bad"].any():
        table.refuse_unreadable(raw, ids)
    table.refuse_unreadable(frame.lazy(), others)
    return frame.drop("bad").with_columns(typed(frame.schema, others, careful=True))


def _with_whose(people: pl.DataFrame) -> pl.DataFrame:
    """The persons with `whose`: the least person_id of those that are one person.

    Rows with one person_source_value, sex and year of birth are: they must not stand on both sides
    of a split. What more than _SHARED rows have in common is no identifier.
    """
    same = ["person_source_value", "gender_concept_id", "year_of_birth"]
    known = pl.col("person_source_value").is_not_null() & (pl.len().over(same) <= _SHARED)
    least = pl.col("person_id").min().over(same)
    return people.with_columns(whose=pl.when(known).then(least).otherwise("person_id"))


def _outcomes(
    visits: pl.DataFrame, people: pl.DataFrame, deaths: pl.DataFrame, has_deaths: bool
) -> pl.DataFrame:
    """died by the discharge; where it is not known, by a death within the visit."""
    dead, start, end = pl.col("dead"), pl.col("admittime"), pl.col("dischtime")
    inside = dead.dt.date().is_between(start.dt.date(), end.dt.date()).fill_null(False)
    unsaid = pl.lit(0, pl.Int8) if has_deaths else pl.lit(None, pl.Int8)
    died = (
        pl.when("known")
        .then(pl.col("said").cast(pl.Int8))
        .when(inside)
        .then(pl.lit(1, pl.Int8))
        .otherwise(unsaid)
    )
    race = pl.coalesce(
        pl.when(pl.col("ethnicity_concept_id") == _HISPANIC).then(pl.lit("HISPANIC")),
        pl.col("race_concept_id").replace_strict(_RACES, default=None, return_dtype=pl.String),
        pl.col("race_source_value").str.to_uppercase(),
    )
    found = (
        visits.join(deaths, on="person_id", how="left", maintain_order="left")
        .join(
            people.select("person_id", "whose", ethnicity=race),
            on="person_id",
            how="left",
            maintain_order="left",
        )
        .select(
            "admittime",
            "dischtime",
            "ethnicity",
            patient=_WHOSE,
            admission="visit_occurrence_id",
            died=died,
            deathtime=pl.when(inside).then(pl.min_horizontal(dead, end)),
            admission_type=pl.when(pl.col("visit_concept_id").is_in(_EMERGENCIES)).then(
                pl.lit("emergency")
            ),
            insurance=pl.lit(None, pl.String),
            charted=pl.lit(None, pl.Boolean),
        )
    )
    wards.refuse_unread_deaths(found)
    return found


def _notes(by_year: bool, step_down: bool, tables: Sequence[OmopTable]) -> tuple[str, ...]:
    notes = [
        "Rows of intensive care of one visit that touch count as one stay. Stays are counted from "
        "the minute in which they begin."
    ]
    if by_year:
        notes.append("Only years of birth are known: ages are differences of years.")
    if step_down:
        notes.append(
            f"Rows of intermediate care (concept {STEP_DOWN}) count as intensive care, as they do "
            "in MIMIC-IV."
        )
    for table in tables:
        if table.filled and not table.has_times:
            notes.append(f"The table {table.name} has days and no times: it is left out.")
        elif table.filled and len(table.days_alone):
            notes.append(
                f"{len(table.days_alone):,} concepts of the table {table.name} are dated by the "
                "day alone: they are left out."
            )
    return tuple(notes)


__all__ = ["MIMIC_CONCEPTS", "Omop"]
