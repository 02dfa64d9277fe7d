"""eICU-CRD, on tables in its documented shape: it was never read from a copy of the database."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tiny_eicu import Hospitals

from pipelines.sources.eicu import Eicu
from pipelines.sources.extract import Extract
from pipelines.sources.recognise import recognise
from pipelines.tasks.readmission import Readmission
from privaudit.errors import PrivauditError

OUTPUT = "flowsheet|Flowsheet Cell Labels|I&O|Output (ml)|"


def read(folder: Path, **more: object) -> Extract:
    source = recognise(folder)
    assert isinstance(source, Eicu)
    settings = {"window": 48, "cohort": "first_stay", "as_known": False, **more}
    return source.extract(
        cache=folder.parent / "cache", progress=lambda what, share: None, **settings
    )


def values(found: Extract) -> list[tuple[float, str, float]]:
    rows = found.events.sort("hour", "variable").select("hour", "variable", "value").rows()
    return [(round(hour, 3), variable, round(value, 3)) for hour, variable, value in rows]


def one() -> Hospitals:
    made = Hospitals()
    made.stay(1)
    made.add("vitalPeriodic", 1, 60, heartrate=80)
    return made


def full() -> Hospitals:
    made = one()
    made.tables["patient"][0] |= {"admissionheight": 170, "admissionweight": 70.5}
    made.add("vitalPeriodic", 1, 120, temperature=37.5, sao2=97, respiration=18, heartrate=81)
    made.add("vitalPeriodic", 1, 180, systemicsystolic=120, systemicdiastolic=60, systemicmean=80)
    made.add(
        "vitalAperiodic",
        1,
        240,
        noninvasivesystolic=121,
        noninvasivediastolic=61,
        noninvasivemean=81,
    )
    made.lab(1, 300, "creatinine", 1.1, labmeasurenamesystem="mg/dL")
    made.lab(1, 300, "platelets x 1000", 210, labmeasurenamesystem="K/mcL")
    for name, value in (("Eyes", "4"), ("Verbal", "5"), ("Motor", "6"), ("GCS Total", "15")):
        made.add(
            "nurseCharting",
            1,
            360,
            nursingchartcelltypevallabel="Glasgow coma score",
            nursingchartcelltypevalname=name,
            nursingchartvalue=value,
        )
    for minutes, value in ((420, "40"), (480, "50%"), (540, "0.6")):
        made.add(
            "respiratoryCharting", 1, minutes, respchartvaluelabel="FiO2", respchartvalue=value
        )
    made.add("intakeOutput", 1, 600, cellpath=OUTPUT + "Urine", cellvaluenumeric=150)
    made.add("intakeOutput", 1, 600, cellpath=OUTPUT + "URINE CATHETER", cellvaluenumeric=50)
    intake = OUTPUT.replace("Output", "Intake")
    made.add("intakeOutput", 1, 660, cellpath=intake + "Urine", cellvaluenumeric=999)
    return made


@pytest.mark.parametrize("form", ["csv.gz", "csv", "parquet"])
def test_every_table(tmp_path: Path, form: str) -> None:
    found = read(full().write(tmp_path / "a", form))
    assert values(found) == [
        (0.0, "height", 170.0),
        (0.0, "weight", 70.5),
        (1.0, "heart_rate", 80.0),
        (2.0, "heart_rate", 81.0),
        (2.0, "resp_rate", 18.0),
        (2.0, "spo2", 97.0),
        (2.0, "temperature", 37.5),
        (3.0, "dbp_art", 60.0),
        (3.0, "map_art", 80.0),
        (3.0, "sbp_art", 120.0),
        (4.0, "dbp_ni", 61.0),
        (4.0, "map_ni", 81.0),
        (4.0, "sbp_ni", 121.0),
        (5.0, "creatinine", 1.1),
        (5.0, "platelets", 210.0),
        (6.0, "gcs_eye", 4.0),
        (6.0, "gcs_motor", 6.0),
        (6.0, "gcs_total", 15.0),
        (6.0, "gcs_verbal", 5.0),
        (7.0, "fio2", 0.4),
        (8.0, "fio2", 0.5),
        (9.0, "fio2", 0.6),
        (10.0, "urine", 200.0),
    ]
    assert not any("are not there" in note for note in found.notes)


def test_missing_tables_are_named(tmp_path: Path) -> None:
    note = " ".join(read(one().write(tmp_path / "a")).notes)
    assert "vitalAperiodic, lab, nurseCharting" in note
    assert "vitalPeriodic," not in note


def test_ages_words_and_outcomes(tmp_path: Path) -> None:
    made = Hospitals()
    for stay, row in enumerate(
        [
            {"age": "> 89", "ethnicity": "African American", "gender": "Male"},
            {"age": "89", "ethnicity": "Other/Unknown", "hospitaldischargestatus": "Expired"},
            {"age": "18", "ethnicity": None, "gender": "Unknown", "hospitaldischargestatus": None},
            {"age": "17"},
            {"age": None},
        ],
        start=1,
    ):
        made.stay(stay, f"002-{stay}", **row)
        made.add("vitalPeriodic", stay, 60, heartrate=80)
    found = read(made.write(tmp_path / "a"))
    assert found.stays.sort("stay").select("age", "sex", "ethnicity", "died").rows() == [
        (91.0, "M", "BLACK", 0),
        (89.0, "F", "OTHER", 1),
        (18.0, None, None, None),
    ]
    assert [step.stays for step in found.flow[1:3]] == [5, 3]


def test_step_down_beds_are_left_out_and_counted(tmp_path: Path) -> None:
    made = one()
    made.stay(2, "002-2", unitstaytype="stepdown/other")
    made.stay(3, "002-3", unittype="SDU/Step down")
    found = read(made.write(tmp_path / "a"))
    assert found.flow[0].stays == 1
    assert found.facts["step_down_stays_left_out"] == 2


def test_a_person_with_many_stays_is_one_patient(tmp_path: Path) -> None:
    made = Hospitals()
    for stay in range(1, 25):
        hospital_stay, visit = divmod(24 - stay, 2)
        made.stay(
            stay,
            hospital_stay=500 + hospital_stay,
            before=100 + 9000 * visit,
            hospitaldischargeyear=2014 + (hospital_stay < 6),
        )
        made.add("vitalPeriodic", stay, 60, heartrate=stay)
    found = read(made.write(tmp_path / "a"))
    assert [found.flow[0].stays, found.flow[0].patients] == [24, 1]
    # of 2014 the lowest key is 506, stays 11 and 12; 12 was the earlier in that hospital stay
    assert found.stays["stay"].to_list() == [12]
    assert values(found) == [(1.0, "heart_rate", 12.0)]
    everything = read(made.write(tmp_path / "b"), cohort="all_stays")
    assert everything.stays["patient"].n_unique() == 1
    assert dict(everything.events.select("stay", "value").rows()) == {
        stay: float(stay) for stay in range(1, 25)
    }


def test_death_in_the_unit_before_the_window_ends(tmp_path: Path) -> None:
    made = one()
    dead = {"hospitaldischargestatus": "Expired", "unitdischargestatus": "Expired"}
    made.stay(2, "002-2", los=2000, after=0, **dead)
    made.stay(3, "002-3", los=3000, after=0, **dead)
    for stay in (2, 3):
        made.add("vitalPeriodic", stay, 60, heartrate=80)
    found = read(made.write(tmp_path / "a"))
    assert found.stays.sort("stay").select("stay", "died").rows() == [(1, 0), (3, 1)]


def test_windows_and_values_from_before_admission(tmp_path: Path) -> None:
    made = one()
    for minutes in (-1, 48 * 60, 3999):
        made.add("vitalPeriodic", 1, minutes, heartrate=190)
    made.lab(1, 0, "sodium", 140, labmeasurenamesystem="mmol/L")
    assert values(read(made.write(tmp_path / "a"))) == [
        (0.0, "sodium", 140.0),
        (1.0, "heart_rate", 80.0),
    ]


def test_units_of_laboratories_and_limits(tmp_path: Path) -> None:
    made = one()
    made.lab(1, 120, "ionized calcium", 4.4, labmeasurenamesystem="mg/dL")
    made.lab(1, 180, "creatinine", 1.0, labmeasurenamesystem="furlong")
    made.lab(1, 240, "troponin - T", None, labresulttext="<0.01", labmeasurenamesystem="ng/mL")
    found = read(made.write(tmp_path / "a"))
    assert values(found)[1:] == [(2.0, "calcium_ion", 1.098), (4.0, "troponin_t", 0.01)]
    assert found.facts["values_unknown_unit_in_all_adult_stays"] == 1


def test_words_of_the_verbal_response_and_numbers_that_are_none(tmp_path: Path) -> None:
    made = one()
    for minutes, value in ((120, "5"), (180, "Intubated-ETT")):
        made.add(
            "nurseCharting",
            1,
            minutes,
            nursingchartcelltypevallabel="Glasgow coma score",
            nursingchartcelltypevalname="Verbal",
            nursingchartvalue=value,
        )
    assert values(read(made.write(tmp_path / "a")))[1:] == [
        (2.0, "gcs_verbal", 5.0),
        (3.0, "intubated", 1.0),
    ]


def test_hospitals_are_sites_and_their_numbers_are_told_nowhere(tmp_path: Path) -> None:
    made = Hospitals()
    for stay in range(1, 71):
        made.stay(stay, f"002-{stay}", hospitalid=(4711, 4713, 4799)[min(stay % 3, stay // 60)])
        made.add("vitalPeriodic", stay, 60, heartrate=80)
    found = read(made.write(tmp_path / "a"))
    assert found.sites == ("hospital 1", "other")
    assert "47" not in repr((found.sites, found.notes, found.facts, found.flow))
    assert "47" not in repr(found.stays["site"].to_list())


def test_readmission_has_no_clock(tmp_path: Path) -> None:
    folder = full().write(tmp_path / "a")
    with pytest.raises(PrivauditError, match="no readmissions"):
        Readmission().prepare(folder, tmp_path / "c", lambda what, share: None)


def test_a_hospitals_own_codes(tmp_path: Path) -> None:
    made = one()
    made.lab(1, 120, "HCO3", 24, labmeasurenamesystem="mmol/L")
    own = tmp_path / "own.csv"
    own.write_text("variable,system,code\nbicarbonate,lab,HCO3\n,vitalPeriodic,heartrate\n")
    found = read(made.write(tmp_path / "a"), codes=own)
    assert values(found) == [(2.0, "bicarbonate", 24.0)]


def test_what_doctor_prints(tmp_path: Path) -> None:
    found = recognise(one().write(tmp_path / "a")).check()
    assert found["rows of vitalPeriodic"] == "1"
    assert found["tables that are not there"].startswith("vitalAperiodic")


def complaint(folder: Path, **more: object) -> str:
    with pytest.raises(PrivauditError) as caught:
        read(folder, **more)
    said = str(caught.value)
    assert not any(word in said for word in ("002-", "73", "4711"))
    return said


def test_refusals(tmp_path: Path) -> None:
    assert "as_known" in complaint(one().write(tmp_path / "a"), as_known=True)
    assert "benchmarks" in complaint(one().write(tmp_path / "b"), cohort="benchmarks")
    twice = one()
    twice.stay(1)
    assert "1 repeated" in complaint(twice.write(tmp_path / "c"))
    nobody = one()
    nobody.stay(2, None)  # type: ignore[arg-type]
    assert "1 without a person" in complaint(nobody.write(tmp_path / "d"))
    beds = Hospitals()
    beds.stay(1, unitstaytype="stepdown/other")
    beds.add("vitalPeriodic", 1, 60, heartrate=80)
    assert "no stay in intensive care" in complaint(beds.write(tmp_path / "e"))
    folder = one().write(tmp_path / "f", "csv")
    text = (folder / "vitalPeriodic.csv").read_text().replace(",60,", ",4711x,")
    (folder / "vitalPeriodic.csv").write_text(text)
    assert "unreadable" in complaint(folder)
    folder = one().write(tmp_path / "g", "csv")
    text = (folder / "patient.csv").read_text().replace("uniquepid", "pid")
    (folder / "patient.csv").write_text(text)
    assert "patient has no column uniquepid" in complaint(folder)


@pytest.mark.parametrize(
    ("unit", "other", "expected"),
    [
        ("mg/dL", "mg/dL", [(1.0, "calcium_ion", 1.148)]),
        ("mg/dL", None, [(1.0, "calcium_ion", 1.148)]),
        ("mg/dL", "of its own", [(1.0, "calcium_ion", 1.148)]),
        ("mg/dL", "mmol/L", []),
        ("mg/dL", "mEq/L", []),
        ("mmol/L", "MG/DL", []),
    ],
)
def test_two_units_of_one_value_that_contradict_leave_it_out(
    tmp_path: Path, unit: str, other: str | None, expected: list[tuple[float, str, float]]
) -> None:
    made = Hospitals()
    made.stay(1)
    more = {"labmeasurenamesystem": unit, "labmeasurenameinterface": other}
    made.lab(1, 60, "ionized calcium", 4.6, **more)
    made.lab(1, 60, "sodium", 140, labmeasurenamesystem="mmol/L", labmeasurenameinterface="mEq/L")
    found = read(made.write(tmp_path / "a"))
    assert values(found) == [*expected, (1.0, "sodium", 140.0)]
    assert ("values_unknown_unit_in_all_adult_stays" in found.facts) == (not expected)


def test_an_export_without_the_second_unit_is_read(tmp_path: Path) -> None:
    made = Hospitals()
    made.stay(1)
    made.lab(1, 60, "sodium", 140, labmeasurenamesystem="mmol/L")
    folder = made.write(tmp_path / "a", "csv")
    text = (folder / "lab.csv").read_text().replace("labmeasurenameinterface", "another")
    (folder / "lab.csv").write_text(text)
    assert values(read(folder)) == [(1.0, "sodium", 140.0)]


def test_a_table_in_two_forms_is_told(tmp_path: Path) -> None:
    folder = one().write(tmp_path / "a", "csv")
    (folder / "PATIENT.csv.gz").write_bytes(gzip.compress((folder / "patient.csv").read_bytes()))
    notes = [str(note) for note in read(folder).notes]
    assert any(note.startswith("patient lie in the folder") for note in notes)
