"""A tiny hospital in the shape of MIMIC-IV, as csv, csv.gz or Parquet and as MEDS."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

BASE = datetime(2150, 1, 1, 12, 0, 0)
COLUMNS = {
    "patients": "subject_id gender anchor_age anchor_year anchor_year_group dod",
    "admissions": "subject_id hadm_id admittime dischtime deathtime admission_type "
    "admission_location discharge_location insurance race hospital_expire_flag",
    "icustays": "subject_id hadm_id stay_id first_careunit last_careunit intime outtime los",
    "chartevents": "subject_id hadm_id stay_id caregiver_id charttime storetime itemid value "
    "valuenum valueuom warning",
    "labevents": "labevent_id subject_id hadm_id specimen_id itemid charttime storetime value "
    "valuenum valueuom flag comments",
    "outputevents": "subject_id hadm_id stay_id charttime storetime itemid value valueuom",
}
HOSP = ("patients", "admissions", "labevents")
MICU = "Medical Intensive Care Unit (MICU)"
CVICU = "Cardiac Vascular Intensive Care Unit (CVICU)"


UNREAD: dict[str, Any] = {
    "subject_id": 1,
    "itemid": 1,
    "charttime": "2150-01-01 00:00:00",
    "storetime": "2150-01-01 00:00:00",
}
"""A row that no code map reads, for a table that would be empty."""


def at(hours: float, seconds: int = 0) -> str:
    return (BASE + timedelta(hours=hours, seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")


class Hospital:
    """Tables to be filled stay by stay; hours count from the minute in which the stay begins."""

    def __init__(self) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
        self.start: dict[int, float] = {}

    def stay(
        self,
        subject: int,
        stay: int,
        *,
        start: float = 0.0,
        los: float = 72.0,
        age: int = 60,
        anchor_year: int = 2150,
        died: int = 0,
        death: float | None = None,
        leaves: float = 200.0,
        unit: str = MICU,
        second: int = 40,
        admitted: float = -2.0,
        hadm: int | None = None,
        place: str | None = "HOME",
        kind: str = "EW EMER.",
    ) -> None:
        self.start[stay] = start
        hadm = hadm or 20_000_000 + stay
        if all(row["subject_id"] != subject for row in self.tables["patients"]):
            self.tables["patients"].append(
                {
                    "subject_id": subject,
                    "gender": "F",
                    "anchor_age": age,
                    "anchor_year": anchor_year,
                }
            )
        if all(row["hadm_id"] != hadm for row in self.tables["admissions"]):
            self.tables["admissions"].append(
                {
                    "subject_id": subject,
                    "hadm_id": hadm,
                    "admittime": at(start + admitted),
                    "dischtime": at(start + (death if death is not None else leaves)),
                    "deathtime": None if death is None else at(start + death),
                    "admission_type": kind,
                    "admission_location": "EMERGENCY ROOM",
                    "discharge_location": "DIED" if died else place,
                    "insurance": "Medicare",
                    "race": "WHITE",
                    "hospital_expire_flag": died,
                }
            )
        self.tables["icustays"].append(
            {
                "subject_id": subject,
                "hadm_id": hadm,
                "stay_id": stay,
                "first_careunit": unit,
                "last_careunit": unit,
                "intime": at(start, second),
                "outtime": at(start + los, second),
            }
        )

    def chart(
        self,
        subject: int,
        stay: int,
        hour: float,
        item: int,
        value: object,
        unit: str | None = None,
        text: str | None = None,
        stored: float = 0.2,
    ) -> None:
        when = self.start[stay] + hour
        self.tables["chartevents"].append(
            {
                "subject_id": subject,
                "stay_id": stay,
                "charttime": at(when),
                "storetime": at(when + stored),
                "itemid": item,
                "value": value if text is None else text,
                "valuenum": value,
                "valueuom": unit,
            }
        )

    def lab(
        self,
        subject: int,
        stay: int,
        hour: float,
        item: int,
        value: object,
        unit: str | None = None,
        comment: str | None = None,
    ) -> None:
        when = self.start[stay] + hour
        self.tables["labevents"].append(
            {
                "subject_id": subject,
                "charttime": at(when),
                "storetime": at(when + 1),
                "itemid": item,
                "value": value,
                "valuenum": value,
                "valueuom": unit,
                "comments": comment,
            }
        )

    def output(self, subject: int, stay: int, hour: float, item: int, value: object) -> None:
        when = self.start[stay] + hour
        self.tables["outputevents"].append(
            {
                "subject_id": subject,
                "stay_id": stay,
                "charttime": at(when),
                "storetime": at(when),
                "itemid": item,
                "value": value,
                "valueuom": "ml",
            }
        )

    def frame(self, table: str) -> pl.DataFrame:
        names = COLUMNS[table].split()
        rows = [
            {n: None if row.get(n) is None else str(row[n]) for n in names}
            for row in self.tables[table] or [UNREAD]
        ]
        return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String))

    def write(self, folder: Path, form: str = "csv.gz", flat: bool = False) -> Path:
        for table in COLUMNS:
            place = folder if flat else folder / ("hosp" if table in HOSP else "icu")
            place.mkdir(parents=True, exist_ok=True)
            path, frame = place / f"{table}.{form}", self.frame(table)
            if form == "parquet":
                frame.with_columns(
                    pl.col(c).str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us")
                    if c.endswith("time") or c == "dod"
                    else pl.col(c).cast(pl.Int64)
                    if c.endswith("_id") or c == "itemid"
                    else pl.col(c)
                    for c in frame.columns
                ).write_parquet(path)
            else:
                text = frame.write_csv().encode()
                path.write_bytes(gzip.compress(text) if form == "csv.gz" else text)
        return folder

    def meds(self, version: str = "0.3", results: bool = False) -> pl.DataFrame:
        """The events as the published converter writes them, with its names of columns.

        Args:
            results: Laboratory codes as its later versions write them, timed when stored.
        """
        rows: list[tuple[int, str | None, str, float | None, str | None]] = []
        for row in self.tables["patients"]:
            born = f"{row['anchor_year'] - row['anchor_age']}-01-01 00:00:00"
            rows.append((row["subject_id"], born, "MEDS_BIRTH", None, None))
            rows.append((row["subject_id"], None, f"GENDER//{row['gender']}", None, None))
        for row in self.tables["admissions"]:
            who, place = row["subject_id"], row["discharge_location"] or "UNK"
            code = f"HOSPITAL_ADMISSION//{row['admission_type']}//{row['admission_location']}"
            rows.append((who, row["admittime"], code, None, None))
            rows.append((who, row["admittime"], f"RACE//{row['race']}", None, None))
            rows.append((who, row["dischtime"], f"HOSPITAL_DISCHARGE//{place}", None, None))
            if row["deathtime"]:
                rows.append((who, row["deathtime"], "MEDS_DEATH", None, None))
        for row in self.tables["icustays"]:
            who = row["subject_id"]
            rows.append((who, row["intime"], f"ICU_ADMISSION//{row['first_careunit']}", None, None))
            rows.append((who, row["outtime"], f"ICU_DISCHARGE//{row['last_careunit']}", None, None))
        for table, head, time in (
            ("chartevents", "LAB", "charttime"),
            ("labevents", "LAB//RESULT" if results else "LAB", "charttime"),
            ("outputevents", "SUBJECT_FLUID_OUTPUT", "charttime"),
        ):
            for row in self.tables[table]:
                code = f"{head}//{row['itemid']}//{row['valueuom'] or 'UNK'}"
                number = row.get("valuenum", row["value"])
                text = None if row["value"] is None else str(row["value"])
                rows.append((row["subject_id"], row[time], code, number, text))
        names = ("subject_id", "time", "code", "numeric_value", "text_value")
        frame = pl.DataFrame(rows, schema=names, orient="row", strict=False).with_columns(
            pl.col("subject_id").cast(pl.Int64),
            pl.col("time").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us"),
            pl.col("numeric_value").cast(pl.Float32),
            pl.col("text_value").cast(pl.String),
        )
        if version == "0.0.1":
            return frame.drop("text_value").rename({"numeric_value": "value"})
        return frame


def ward() -> Hospital:
    """Eight patients: some of whom meet one rule of the cohort."""
    h = Hospital()
    h.stay(10_000_010, 1)
    h.stay(10_000_011, 2, start=500.0, died=1, death=60.0, los=60.0)
    h.stay(10_000_012, 3, died=1, death=40.0, los=50.0)
    h.stay(10_000_013, 4, age=17)
    h.stay(10_000_014, 5, unit=CVICU, leaves=100.0, kind="ELECTIVE")
    h.stay(10_000_014, 6, start=100.0 + 29 * 24, leaves=90.0)
    h.stay(10_000_015, 7, los=47.0)
    h.stay(10_000_016, 8, age=91)
    for subject, stay in ((10, 1), (11, 2), (14, 5), (16, 8)):
        who = 10_000_000 + subject
        h.chart(who, stay, 0.0, 220045, 80, "bpm")
        h.chart(who, stay, 0.0, 226707, 70, "Inch")
        h.chart(who, stay, 1.0, 223761, 98.6, "°F")
        h.chart(who, stay, 1.5, 223900, 1, text="No Response-ETT")
        h.lab(who, stay, 3.0, 50813, 2.5, "mmol/L")
        h.lab(who, stay, 4.0, 51003, None, "ng/mL", "<0.01.  CTROPNT > 0.10 SUGGESTS ACUTE MI.")
        h.output(who, stay, 5.0, 226559, 100)
    return h
