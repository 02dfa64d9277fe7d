"""Hospitals in the documented shape of eICU-CRD 2.0; no row of the database was seen."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl

COLUMNS = {
    "patient": "patientunitstayid patienthealthsystemstayid gender age ethnicity hospitalid wardid "
    "apacheadmissiondx admissionheight hospitaladmittime24 hospitaladmitoffset hospitaladmitsource "
    "hospitaldischargeyear hospitaldischargetime24 hospitaldischargeoffset "
    "hospitaldischargelocation hospitaldischargestatus unittype unitadmittime24 unitadmitsource "
    "unitvisitnumber unitstaytype admissionweight dischargeweight unitdischargetime24 "
    "unitdischargeoffset unitdischargelocation unitdischargestatus uniquepid",
    "vitalPeriodic": "vitalperiodicid patientunitstayid observationoffset temperature sao2 "
    "heartrate respiration cvp etco2 systemicsystolic systemicdiastolic systemicmean pasystolic "
    "padiastolic pamean st1 st2 st3 icp",
    "vitalAperiodic": "vitalaperiodicid patientunitstayid observationoffset noninvasivesystolic "
    "noninvasivediastolic noninvasivemean paop cardiacoutput cardiacinput svr svri pvr pvri",
    "lab": "labid patientunitstayid labresultoffset labtypeid labname labresult labresulttext "
    "labmeasurenamesystem labmeasurenameinterface labresultrevisedoffset",
    "nurseCharting": "nursingchartid patientunitstayid nursingchartoffset nursingchartentryoffset "
    "nursingchartcelltypecat nursingchartcelltypevallabel nursingchartcelltypevalname "
    "nursingchartvalue",
    "respiratoryCharting": "respchartid patientunitstayid respchartoffset respchartentryoffset "
    "respcharttypecat respchartvaluelabel respchartvalue",
    "intakeOutput": "intakeoutputid patientunitstayid intakeoutputoffset intaketotal outputtotal "
    "dialysistotal nettotal intakeoutputentryoffset cellpath celllabel cellvaluenumeric "
    "cellvaluetext",
}


class Hospitals:
    """Tables to be filled stay by stay; times are minutes from admission to the unit."""

    def __init__(self) -> None:
        self.tables: dict[str, list[dict[str, object]]] = {name: [] for name in COLUMNS}

    def stay(
        self,
        stay: int,
        person: str = "002-1",
        *,
        los: int = 4000,
        hospital_stay: int | None = None,
        before: int = 100,
        after: int = 1000,
        **more: object,
    ) -> None:
        row = {
            "patientunitstayid": stay,
            "patienthealthsystemstayid": hospital_stay or 100_000 + stay,
            "gender": "Female",
            "age": "60",
            "ethnicity": "Caucasian",
            "hospitalid": 73,
            "hospitaladmitoffset": -before,
            "hospitaldischargeyear": 2014,
            "hospitaldischargeoffset": los + after,
            "hospitaldischargestatus": "Alive",
            "unittype": "MICU",
            "unitvisitnumber": 1,
            "unitstaytype": "admit",
            "unitdischargeoffset": los,
            "unitdischargestatus": "Alive",
            "uniquepid": person,
        }
        self.tables["patient"].append(row | more)

    def add(self, table: str, stay: int, minutes: int, **row: object) -> None:
        offset = next(c for c in COLUMNS[table].split() if c.endswith("offset"))
        self.tables[table].append({"patientunitstayid": stay, offset: minutes} | row)

    def lab(self, stay: int, minutes: int, name: str, value: object, **more: object) -> None:
        self.add("lab", stay, minutes, labname=name, labresult=value, **more)

    def write(self, folder: Path, form: str = "csv.gz") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for table, names in COLUMNS.items():
            if not self.tables[table]:
                continue
            listed = names.split()
            rows = [
                {n: None if row.get(n) is None else str(row[n]) for n in listed}
                for row in self.tables[table]
            ]
            frame = pl.DataFrame(rows, schema=dict.fromkeys(listed, pl.String))
            text = frame.write_csv().encode()
            path = folder / f"{table}.{form}"
            if form == "parquet":
                pl.read_csv(text, infer_schema_length=None).write_parquet(path)
            else:
                path.write_bytes(gzip.compress(text) if form == "csv.gz" else text)
        return folder
