"""A tiny hospital in the shape of MIMIC-III, written in any of the forms in which people have
it."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

BASE = datetime(2150, 1, 1, 12, 0, 0)
COLUMNS = {
    "PATIENTS": "row_id subject_id gender dob dod dod_hosp dod_ssn expire_flag",
    "ADMISSIONS": "row_id subject_id hadm_id admittime dischtime deathtime admission_type "
    "admission_location discharge_location insurance language religion marital_status ethnicity "
    "edregtime edouttime diagnosis hospital_expire_flag has_chartevents_data",
    "ICUSTAYS": "row_id subject_id hadm_id icustay_id dbsource first_careunit last_careunit "
    "first_wardid last_wardid intime outtime los",
    "CHARTEVENTS": "row_id subject_id hadm_id icustay_id itemid charttime storetime cgid value "
    "valuenum valueuom warning error resultstatus stopped",
    "LABEVENTS": "row_id subject_id hadm_id itemid charttime value valuenum valueuom flag",
    "OUTPUTEVENTS": "row_id subject_id hadm_id icustay_id charttime itemid value valueuom "
    "storetime cgid stopped newbottle iserror",
}
INTEGERS = {"row_id", "subject_id", "hadm_id", "icustay_id", "itemid", "hospital_expire_flag"} | {
    "has_chartevents_data",
    "first_wardid",
    "last_wardid",
    "expire_flag",
    "cgid",
}
TIMES = {"dob", "dod", "admittime", "dischtime", "deathtime", "intime", "outtime"} | {
    "charttime",
    "storetime",
}

Tables = dict[str, list[dict[str, object]]]


def at(hours: float) -> str:
    return (BASE + timedelta(hours=hours)).strftime("%Y-%m-%d %H:%M:%S")


class Hospital:
    """Tables to be filled stay by stay; hours count from the stay's INTIME."""

    def __init__(self) -> None:
        self.tables: Tables = {name: [] for name in COLUMNS}
        self.intime: dict[int, float] = {}

    def stay(
        self,
        subject: int,
        stay: int,
        *,
        start: float = 0.0,
        los: float | None = 72.0,
        age: float = 60.0,
        hadm: int | None = None,
        died: int = 0,
        death: float | None = None,
        leaves: float = 200.0,
        unit: str = "MICU",
        last_unit: str | None = None,
        charted: int = 1,
        dob: str | None = None,
        wards: tuple[int, int] = (7, 7),
    ) -> None:
        self.intime[stay] = start
        hadm = hadm or 100_000 + stay
        if all(row["subject_id"] != subject for row in self.tables["PATIENTS"]):
            born = dob or (BASE + timedelta(hours=start, days=-age * 365.2425)).strftime(
                "%Y-%m-%d 00:00:00"
            )
            self.tables["PATIENTS"].append({"subject_id": subject, "gender": "F", "dob": born})
        if all(row["hadm_id"] != hadm for row in self.tables["ADMISSIONS"]):
            self.tables["ADMISSIONS"].append(
                {
                    "subject_id": subject,
                    "hadm_id": hadm,
                    "admittime": at(start - 2),
                    "dischtime": at(start + (death if death is not None else leaves)),
                    "deathtime": None if death is None else at(start + death),
                    "admission_type": "EMERGENCY",
                    "insurance": "Medicare",
                    "ethnicity": "WHITE ",
                    "hospital_expire_flag": died,
                    "has_chartevents_data": charted,
                }
            )
        self.tables["ICUSTAYS"].append(
            {
                "subject_id": subject,
                "hadm_id": hadm,
                "icustay_id": stay,
                "dbsource": "carevue",
                "first_careunit": unit,
                "last_careunit": last_unit or unit,
                "first_wardid": wards[0],
                "last_wardid": wards[1],
                "intime": at(start),
                "outtime": None if los is None else at(start + los),
            }
        )

    def chart(
        self,
        subject: int,
        stay: int,
        hour: float,
        item: int,
        value: object,
        number: object = "same",
        error: object = None,
        stored: float | None = None,
    ) -> None:
        time = self.intime[stay] + hour
        self.tables["CHARTEVENTS"].append(
            {
                "subject_id": subject,
                "icustay_id": stay,
                "itemid": item,
                "charttime": at(time),
                "storetime": at(time + 0.2 if stored is None else self.intime[stay] + stored),
                "value": value,
                "valuenum": value if number == "same" else number,
                "error": error,
            }
        )

    def lab(
        self,
        subject: int,
        stay: int,
        hour: float,
        item: int,
        value: object,
        number: object = "same",
        hadm: int | None = None,
    ) -> None:
        self.tables["LABEVENTS"].append(
            {
                "subject_id": subject,
                "hadm_id": hadm,
                "itemid": item,
                "value": value,
                "charttime": at(self.intime[stay] + hour),
                "valuenum": value if number == "same" else number,
            }
        )

    def output(
        self, subject: int, stay: int, hour: float, item: int, value: object, error: object = None
    ) -> None:
        time = self.intime[stay] + hour
        self.tables["OUTPUTEVENTS"].append(
            {
                "subject_id": subject,
                "icustay_id": stay,
                "itemid": item,
                "charttime": at(time),
                "storetime": at(time + 0.2),
                "value": value,
                "iserror": error,
            }
        )

    def frame(self, table: str) -> pl.DataFrame:
        names = COLUMNS[table].split()
        rows = [
            {n: None if row.get(n) is None else str(row[n]) for n in names} | {"row_id": str(i)}
            for i, row in enumerate(self.tables[table])
        ]
        return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String))

    def write(self, folder: Path, form: str = "csv", upper: bool = False) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for table in COLUMNS:
            frame = self.frame(table)
            if upper:
                frame = frame.rename(str.upper)
            name = table if upper or form != "csv" else table.lower()
            path = folder / f"{name}.{form}"
            if form == "csv":
                path.write_bytes(frame.write_csv().encode())
            elif form == "csv.gz":
                path.write_bytes(gzip.compress(frame.write_csv(quote_style="non_numeric").encode()))
            else:
                typed = frame.with_columns(
                    pl.col(c).cast(pl.Int32)
                    if c.lower() in INTEGERS
                    else pl.col(c).str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="ms")
                    if c.lower() in TIMES
                    else pl.col(c).cast(pl.Int8)
                    if c.lower() in ("error", "iserror")
                    else pl.col(c).cast(pl.Float64)
                    if c.lower() == "valuenum" or (table, c.lower()) == ("OUTPUTEVENTS", "value")
                    else pl.col(c)
                    for c in frame.columns
                )
                typed.write_parquet(path)
        return folder


def ward() -> Hospital:
    """Ten patients, of whom each but the first two meets one rule of the cohort."""
    h = Hospital()
    h.stay(10, 200)
    h.stay(11, 201, start=500.0, los=60.0, died=1, death=60.0)
    h.stay(12, 202, start=10.0, los=50.0, died=1, death=40.0)
    h.stay(13, 203, age=17.0)
    h.stay(14, 204, age=30.0, unit="NICU")
    h.stay(15, 205, charted=0)
    h.stay(16, 206, leaves=100.0)
    h.stay(16, 207, start=100.0 + 29 * 24, leaves=90.0)
    h.stay(17, 208, los=47.99)
    h.stay(18, 209, age=300.0, last_unit="SICU", wards=(7, 9))
    h.stay(19, 210, los=None)
    for subject, stay in ((10, 200), (11, 201), (16, 206), (18, 209)):
        h.chart(subject, stay, 0.0, 211, 80)
        h.chart(subject, stay, 1.0, 678, 98.6)
        h.chart(subject, stay, 1.5, 723, "1.0 ET/Trach ", number=1)
        h.chart(subject, stay, 1.5, 184, "4 Spontaneously", number=4)
        h.chart(subject, stay, 1.5, 454, "6 Obeys Commands", number=6)
        h.lab(subject, stay, 3.0, 50813, 2.5)
        h.lab(subject, stay, 4.0, 51003, "<0.01 ", number=None)
        h.output(subject, stay, 5.0, 40055, 100)
    return h
