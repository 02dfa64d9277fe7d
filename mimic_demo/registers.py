"""The small tables: who was admitted where, moved when, and coded how."""

from __future__ import annotations

import numpy as np
import polars as pl

from mimic_demo.copula import UNITS
from mimic_demo.people import DAY, Ints, People, Stays
from mimic_demo.tables import ADMISSION, HEADERS, STAY, SUBJECT, Offset, choose, moment
from mimic_demo.words import WORDS

CAREUNITS = (*UNITS, "NICU")
_WARD = np.array([7, 14, 52, 33, 23, 56])
SHARES_OF_ETHNICITY = [0.715, 0.095, 0.078, 0.036, 0.026, 0.027, 0.013, 0.01]


def registers(
    people: People, stays: Stays, offset: Offset, rng: np.random.Generator
) -> dict[str, pl.DataFrame]:
    """PATIENTS, ADMISSIONS, ICUSTAYS, TRANSFERS, SERVICES, CALLOUT and DIAGNOSES_ICD of a block."""
    subject = stays.patient + offset.patients + SUBJECT + 1
    admission = stays.admission + offset.admissions + ADMISSION + 1
    stay = np.arange(len(stays.patient)) + offset.stays + STAY + 1
    out = {
        "PATIENTS": _patients(people, offset),
        "ADMISSIONS": _admissions(people, stays, subject, admission, rng),
        "ICUSTAYS": _icustays(stays, subject, admission, stay),
        "TRANSFERS": _transfers(stays, subject, admission, stay),
        "SERVICES": _services(stays, subject, admission),
        "CALLOUT": _callout(stays, subject, admission, rng),
        "DIAGNOSES_ICD": _diagnoses(stays, subject, admission, rng),
    }
    return {name: frame.select(HEADERS[name][1:]) for name, frame in out.items()}


def codes() -> pl.DataFrame:
    """D_ICD_DIAGNOSES for the codes in use."""
    book = dict(pair for pairs in WORDS["diagnoses"].values() for pair in pairs) | dict(
        WORDS["other_diagnoses"]
    )
    titles = list(book.values())
    return pl.DataFrame({"ICD9_CODE": list(book), "SHORT_TITLE": titles, "LONG_TITLE": titles})


def _patients(people: People, offset: Offset) -> pl.DataFrame:
    dead = people.died_at != 0
    midnight = people.died_at // DAY * DAY
    n = np.arange(len(dead))
    return pl.DataFrame(
        {
            "SUBJECT_ID": n + offset.patients + SUBJECT + 1,
            "GENDER": choose(["F", "M"], people.male.astype(int)),
            "DOB": moment(people.birth),
            "DOD": moment(midnight, dead),
            "DOD_HOSP": moment(midnight, dead & people.died_in_hospital),
            "DOD_SSN": moment(midnight, dead & (~people.died_in_hospital | (n % 3 > 0))),
            "EXPIRE_FLAG": dead.astype(int),
        }
    )


def _admissions(
    people: People, stays: Stays, subject: Ints, admission: Ints, rng: np.random.Generator
) -> pl.DataFrame:
    first = np.r_[True, np.diff(admission) != 0]
    i = np.flatnonzero(first)
    patient, dead, kind = stays.patient[i], stays.expired[i], stays.emergency[i]
    age, m = stays.age[i], len(i)
    n = len(people.male)
    race = rng.choice(len(WORDS["ethnicity"]), n, p=SHARES_OF_ETHNICITY)
    faith = rng.choice(len(WORDS["religion"]), n, p=[0.36, 0.2, 0.14, 0.13, 0.09, 0.07, 0.01])
    tongue = rng.choice(len(WORDS["language"]), n, p=[0.5, 0.42, 0.02, 0.02, 0.02, 0.02])
    spouse = rng.choice(len(WORDS["marital"]), n, p=[0.47, 0.25, 0.14, 0.06, 0.08])
    u = rng.random(n)
    old, young = [0.86, 0.98, 0.99, 1.0, 1.0], [0.22, 0.78, 0.95, 0.985, 1.0]
    payer = np.where(
        age >= 65, np.searchsorted(old, u[patient]), np.searchsorted(young, u[patient])
    )
    payer = np.where(people.neonate[patient], np.where(u[patient] < 0.7, 1, 2), payer)
    usual = np.where(
        age > 72,
        rng.choice(5, m, p=[0, 0.2, 0.28, 0.34, 0.18]),
        rng.choice(5, m, p=[0, 0.48, 0.3, 0.08, 0.14]),
    )
    usual = np.where(people.neonate[patient], 1, usual)
    emergency = (kind == 0) & (rng.random(m) < 0.72)
    register = stays.admitted[i] - (rng.exponential(4, m) * 3600 + 900).astype(np.int64)
    place = np.where(
        emergency, 0, np.where(kind == 1, 3, np.where(kind == 3, 3, 1 + (patient % 2)))
    )
    unit = stays.unit[i]
    titles: list[str | None] = [WORDS["diagnoses"][u][0][1].upper() for u in CAREUNITS]
    return pl.DataFrame(
        {
            "SUBJECT_ID": subject[i],
            "HADM_ID": admission[i],
            "ADMITTIME": moment(stays.admitted[i] // 60 * 60),
            "DISCHTIME": moment(stays.discharged[i] // 60 * 60),
            "DEATHTIME": moment(stays.discharged[i] // 60 * 60, dead),
            "ADMISSION_TYPE": choose(["EMERGENCY", "ELECTIVE", "URGENT", "NEWBORN"], kind),
            "ADMISSION_LOCATION": choose(WORDS["admission_location"], place),
            "DISCHARGE_LOCATION": choose(WORDS["discharge"], np.where(dead, 0, usual)),
            "INSURANCE": choose(WORDS["insurance"], payer),
            "LANGUAGE": choose(WORDS["language"], tongue[patient]),
            "RELIGION": choose(WORDS["religion"], faith[patient]),
            "MARITAL_STATUS": choose(
                WORDS["marital"],
                np.where(people.neonate, len(WORDS["marital"]) - 1, spouse)[patient],
            ),
            "ETHNICITY": choose(WORDS["ethnicity"], race[patient]),
            "EDREGTIME": moment(register // 60 * 60, emergency),
            "EDOUTTIME": moment(stays.admitted[i] // 60 * 60 + 1800, emergency),
            "DIAGNOSIS": choose(titles, unit),
            "HOSPITAL_EXPIRE_FLAG": dead.astype(int),
            "HAS_CHARTEVENTS_DATA": np.maximum.reduceat(stays.charted.astype(int), i),
        }
    )


def _icustays(stays: Stays, subject: Ints, admission: Ints, stay: Ints) -> pl.DataFrame:
    unit = choose(list(CAREUNITS), stays.unit)
    ward = _WARD[stays.unit]
    return pl.DataFrame(
        {
            "SUBJECT_ID": subject,
            "HADM_ID": admission,
            "ICUSTAY_ID": stay,
            "DBSOURCE": _source(stays),
            "FIRST_CAREUNIT": unit,
            "LAST_CAREUNIT": unit,
            "FIRST_WARDID": ward,
            "LAST_WARDID": ward,
            "INTIME": moment(stays.entered),
            "OUTTIME": moment(stays.left),
            "LOS": np.round((stays.left - stays.entered) / DAY, 4),
        }
    )


def _source(stays: Stays) -> pl.Series:
    return choose(["metavision", "carevue"], stays.carevue.astype(int))


def _transfers(stays: Stays, subject: Ints, admission: Ints, stay: Ints) -> pl.DataFrame:
    """Into the unit, out to a ward, and home; one unit bed a stay."""
    n = len(stay)
    first = np.r_[True, np.diff(admission) != 0]
    follow = np.where(stays.last, stays.discharged, np.r_[stays.entered[1:], 0])
    unit = choose(list(CAREUNITS), stays.unit)
    ward = _WARD[stays.unit]
    text = pl.String
    onward = ~(stays.last & (stays.left >= stays.discharged))
    inside = pl.DataFrame(
        {
            "SUBJECT_ID": subject,
            "HADM_ID": admission,
            "ICUSTAY_ID": stay,
            "DBSOURCE": _source(stays),
            "EVENTTYPE": choose(["transfer", "admit"], first.astype(int)),
            "PREV_CAREUNIT": pl.Series([None] * n, dtype=text),
            "CURR_CAREUNIT": unit,
            "PREV_WARDID": pl.Series(np.where(first, -1, 45)),
            "CURR_WARDID": pl.Series(ward),
            "INTIME": moment(stays.entered),
            "OUTTIME": moment(stays.left),
            "LOS": np.round((stays.left - stays.entered) / 3600, 2),
            "order": np.arange(n) * 3,
        }
    )
    outside = inside.with_columns(
        ICUSTAY_ID=pl.lit(None, pl.Int64),
        EVENTTYPE=pl.lit("transfer"),
        PREV_CAREUNIT=unit,
        CURR_CAREUNIT=pl.lit(None, text),
        PREV_WARDID=pl.Series(ward),
        CURR_WARDID=pl.lit(45, pl.Int64),
        INTIME=moment(stays.left),
        OUTTIME=moment(follow),
        LOS=pl.Series(np.round((follow - stays.left) / 3600, 2)),
        order=pl.col("order") + 1,
    ).filter(pl.Series(onward))
    home = inside.with_columns(
        ICUSTAY_ID=pl.lit(None, pl.Int64),
        EVENTTYPE=pl.lit("discharge"),
        CURR_CAREUNIT=pl.lit(None, text),
        PREV_WARDID=pl.Series(np.where(onward, 45, ward)),
        CURR_WARDID=pl.lit(-1, pl.Int64),
        INTIME=moment(stays.discharged),
        OUTTIME=pl.lit(None, pl.Datetime("ms")),
        LOS=pl.lit(None, pl.Float64),
        order=pl.col("order") + 2,
    ).filter(pl.Series(stays.last))
    wards = ("PREV_WARDID", "CURR_WARDID")
    return (
        pl.concat([inside, outside, home])
        .sort("order")
        .with_columns(pl.when(pl.col(w) >= 0).then(pl.col(w)).alias(w) for w in wards)
    )


def _services(stays: Stays, subject: Ints, admission: Ints) -> pl.DataFrame:
    i = np.flatnonzero(np.r_[True, np.diff(admission) != 0])
    return pl.DataFrame(
        {
            "SUBJECT_ID": subject[i],
            "HADM_ID": admission[i],
            "TRANSFERTIME": moment(stays.admitted[i] + 60),
            "PREV_SERVICE": pl.Series([None] * len(i), dtype=pl.String),
            "CURR_SERVICE": choose(WORDS["service"], stays.unit[i]),
        }
    )


def _callout(
    stays: Stays, subject: Ints, admission: Ints, rng: np.random.Generator
) -> pl.DataFrame:
    some = (rng.random(len(subject)) < 0.55) & (stays.unit < 5) & (stays.left < stays.discharged)
    i = np.flatnonzero(some)
    m = len(i)
    before = (rng.uniform(0.02, 0.4, m) * (stays.left - stays.entered)[i]).astype(np.int64)
    made = stays.left[i] - before
    unit, ward = choose(list(CAREUNITS), stays.unit[i]), _WARD[stays.unit[i]]
    flags = {
        f"REQUEST_{name}": (rng.random(m) < p).astype(int)
        for name, p in (
            ("TELE", 0.5),
            ("RESP", 0.03),
            ("CDIFF", 0.05),
            ("MRSA", 0.1),
            ("VRE", 0.06),
        )
    }
    return pl.DataFrame(
        {
            "SUBJECT_ID": subject[i],
            "HADM_ID": admission[i],
            "SUBMIT_WARDID": ward,
            "SUBMIT_CAREUNIT": unit,
            "CURR_WARDID": np.full(m, 45),
            "CURR_CAREUNIT": unit,
            "CALLOUT_WARDID": np.full(m, 1),
            "CALLOUT_SERVICE": choose(WORDS["service"], stays.unit[i]),
            **flags,
            "CALLOUT_STATUS": pl.Series(["Inactive"] * m, dtype=pl.String),
            "CALLOUT_OUTCOME": pl.Series(["Discharged"] * m, dtype=pl.String),
            "DISCHARGE_WARDID": np.full(m, 45),
            "ACKNOWLEDGE_STATUS": pl.Series(["Acknowledged"] * m, dtype=pl.String),
            "CREATETIME": moment(made),
            "UPDATETIME": moment(made),
            "ACKNOWLEDGETIME": moment(made + before // 4),
            "OUTCOMETIME": moment(stays.left[i]),
            "FIRSTRESERVATIONTIME": moment(made + before // 2),
            "CURRENTRESERVATIONTIME": moment(made + before // 2),
        }
    )


def _diagnoses(
    stays: Stays, subject: Ints, admission: Ints, rng: np.random.Generator
) -> pl.DataFrame:
    i = np.flatnonzero(np.r_[True, np.diff(admission) != 0])
    m = len(i)
    book = sorted(
        {code for pairs in WORDS["diagnoses"].values() for code, _ in pairs}
        | {c for c, _ in WORDS["other_diagnoses"]}
    )
    main = np.array([[book.index(c) for c, _ in WORDS["diagnoses"][u]] for u in CAREUNITS])
    lead = main[stays.unit[i], rng.integers(0, 2, m)]
    rest = np.array([book.index(c) for c, _ in WORDS["other_diagnoses"]])
    extra = rest[np.argsort(rng.random((m, len(rest))), axis=1)]
    keep = np.arange(len(rest) + 1) <= rng.integers(1, len(rest) + 1, m)[:, None]
    keep[stays.unit[i] == len(UNITS), 2:] = False
    row, seq = np.nonzero(keep)
    table = np.column_stack([lead, extra])
    return pl.DataFrame(
        {
            "SUBJECT_ID": subject[i][row],
            "HADM_ID": admission[i][row],
            "SEQ_NUM": seq + 1,
            "ICD9_CODE": choose(list(book), table[row, seq]),
        }
    )
