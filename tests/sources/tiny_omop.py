"""A small hospital in the OMOP CDM, with its keys beyond 2^53 and its stays cut into rows."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

BASE = datetime(2150, 3, 1, 12, 0, 0)
FAR = -9_007_199_254_741_000_000
"""Keys of 64 bits: as floating point numbers, neighbours would be one."""

COLUMNS = {
    "person": "person_id gender_concept_id year_of_birth month_of_birth day_of_birth "
    "birth_datetime race_concept_id ethnicity_concept_id location_id provider_id care_site_id "
    "person_source_value gender_source_value race_source_value",
    "visit_occurrence": "visit_occurrence_id person_id visit_concept_id visit_start_date "
    "visit_start_datetime visit_end_date visit_end_datetime care_site_id "
    "discharged_to_concept_id discharged_to_source_value",
    "visit_detail": "visit_detail_id person_id visit_detail_concept_id visit_detail_start_date "
    "visit_detail_start_datetime visit_detail_end_date visit_detail_end_datetime care_site_id "
    "visit_occurrence_id",
    "death": "person_id death_date death_datetime",
    "care_site": "care_site_id care_site_name place_of_service_concept_id",
    "cdm_source": "cdm_source_name cdm_version",
    "concept_ancestor": "ancestor_concept_id descendant_concept_id",
    "measurement": "measurement_id person_id measurement_concept_id measurement_date "
    "measurement_datetime operator_concept_id value_as_number unit_concept_id "
    "measurement_source_value unit_source_value value_source_value",
    "observation": "observation_id person_id observation_concept_id observation_date "
    "observation_datetime value_as_number value_as_string unit_concept_id "
    "observation_source_value unit_source_value",
}
ALWAYS = ("person", "visit_occurrence", "visit_detail", "measurement")
Row = dict[str, object]


def at(hours: float) -> str:
    return (BASE + timedelta(hours=hours)).strftime("%Y-%m-%d %H:%M:%S")


class Cdm:
    """Tables to be filled stay by stay; hours count from BASE."""

    def __init__(self) -> None:
        self.tables: dict[str, list[Row]] = {name: [] for name in COLUMNS}

    def add(self, table: str, **row: object) -> None:
        self.tables[table].append(row)

    def person(self, key: int, born: int = 2090, **more: object) -> None:
        race = {"race_concept_id": 8527, "ethnicity_concept_id": 0}
        self.add(
            "person",
            **{"person_id": FAR + key, "gender_concept_id": 8532, "year_of_birth": born}
            | race
            | more,
        )

    def visit(
        self,
        key: int,
        start: float,
        end: float,
        *,
        discharge: int | None = 581476,
        **more: object,
    ) -> int:
        visit = FAR - 1000 * key - int(start)
        self.add(
            "visit_occurrence",
            **{
                "visit_occurrence_id": visit,
                "person_id": FAR + key,
                "visit_concept_id": 9201,
                "visit_start_date": at(start)[:10],
                "visit_start_datetime": at(start),
                "visit_end_date": at(end)[:10],
                "visit_end_datetime": at(end),
                "discharged_to_concept_id": discharge,
            }
            | more,
        )
        return visit

    def detail(
        self,
        key: int,
        visit: int,
        start: float,
        end: float,
        concept: int = 32037,
        site: int | None = None,
    ) -> None:
        self.add(
            "visit_detail",
            visit_detail_id=len(self.tables["visit_detail"]) + 1,
            person_id=FAR + key,
            visit_detail_concept_id=concept,
            visit_detail_start_date=at(start)[:10],
            visit_detail_start_datetime=at(start),
            visit_detail_end_date=at(end)[:10],
            visit_detail_end_datetime=at(end),
            care_site_id=site,
            visit_occurrence_id=visit,
        )

    def stay(self, key: int, start: float = 0.0, los: float = 72.0, **more: object) -> None:
        """A visit from 10 hours before to 20 hours after a stay in intensive care."""
        visit = self.visit(key, start - 10, start + los + 20, **more)  # type: ignore[arg-type]
        self.detail(key, visit, start, start + los)

    def measure(
        self,
        key: int,
        hour: float,
        concept: int,
        value: float | None,
        unit: int | None = None,
        **more: object,
    ) -> None:
        self.add(
            "measurement",
            **{
                "measurement_id": len(self.tables["measurement"]) + 1,
                "person_id": FAR + key,
                "measurement_concept_id": concept,
                "measurement_date": at(hour)[:10],
                "measurement_datetime": at(hour),
                "value_as_number": value,
                "unit_concept_id": unit or 0,
            }
            | more,
        )

    def observe(self, key: int, hour: float, concept: int, value: float, unit: int) -> None:
        self.add(
            "observation",
            observation_id=len(self.tables["observation"]) + 1,
            person_id=FAR + key,
            observation_concept_id=concept,
            observation_date=at(hour)[:10],
            observation_datetime=at(hour),
            value_as_number=value,
            unit_concept_id=unit,
        )

    def write(self, folder: Path, form: str = "csv", upper: bool = False) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for table, names in COLUMNS.items():
            if not self.tables[table] and table not in ALWAYS:
                continue
            listed = names.split()
            rows = [
                {n: None if row.get(n) is None else str(row[n]) for n in listed}
                for row in self.tables[table]
            ]
            frame = pl.DataFrame(rows, schema=dict.fromkeys(listed, pl.String))
            path = folder / f"{table.upper() if upper else table}.{form}"
            if form == "csv":
                frame.write_csv(path)
            else:
                frame.select(self._typed(c) for c in listed).write_parquet(path)
        return folder

    @staticmethod
    def _typed(column: str) -> pl.Expr:
        if column.endswith("_datetime"):
            return pl.col(column).str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us")
        if column.endswith("_date"):
            return pl.col(column).str.to_date("%Y-%m-%d")
        if column.endswith("_id") or column.endswith("_of_birth"):
            return pl.col(column).cast(pl.Int64)
        return pl.col(column).cast(pl.Float64) if column == "value_as_number" else pl.col(column)
