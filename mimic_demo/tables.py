"""MIMIC-III v1.4 tables: every column of every table written, in the order of the full release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mimic_demo.charting import CAREVUE, DELAY, DELAY_SD, ERRORS, METAVISION, Rows, items
from mimic_demo.people import Ints, Stays
from mimic_demo.words import WORDS

SUBJECT, ADMISSION, STAY, CAREGIVER = 500_000_000, 600_000_000, 700_000_000, 800_000_000
"""Identifiers start above these: outside the ranges of MIMIC-III and MIMIC-IV."""
CAREGIVERS = 3000

HEADERS = {name: ("ROW_ID", *text.split()) for name, text in WORDS["headers"].items()}
TIME = "%Y-%m-%d %H:%M:%S"

_TEXTS = {int(itemid): texts for itemid, texts in WORDS["coma_scale"].items()}
_SINGLE = {676, 677, 678, 679, 190, 762, 763}
"""CareVue items that the release prints as single precision numbers, noise digits and all."""


@dataclass(frozen=True, eq=False)
class Wording:
    """Every text a value can be written as, so that rows are looked up, not formatted."""

    value: pl.Series
    number: pl.Series
    base: Ints
    factor: NDArray[np.float64]
    low: Ints
    high: Ints

    def index(self, rows: Rows) -> Ints:
        code = np.rint(rows.number * self.factor[rows.item]).astype(np.int64)
        code = np.clip(code, self.low[rows.item], self.high[rows.item])
        return self.base[rows.item] + code - self.low[rows.item]


@cache
def wording() -> Wording:
    """Built once: about 70,000 short texts."""
    value: list[str | None] = []
    number: list[str | None] = []
    starts: dict[tuple[str, int], int] = {}

    def plain(kind: str, decimals: int, low: int, high: int) -> None:
        starts[kind, decimals] = len(value)
        for code in range(low, high + 1):
            x = code / 10**decimals
            if kind == "single" and not float(np.float32(x)).is_integer():
                value.append(f"{float(np.float32(x)):.17g}".removeprefix("0"))
                number.append(f"{float(np.float32(x)):.15g}")
            else:
                text = f"{x:.{decimals}f}" if kind == "lab" else f"{x:g}"
                value.append(text if decimals or abs(code) < 100_000 else str(code))
                number.append(f"{x:.10g}")

    span = {0: (-100, 40_000), 1: (0, 20_000), 2: (0, 5_000)}
    for decimals, (low, high) in span.items():
        plain("chart", decimals, low, high)
        plain("lab", decimals, low, high)
    plain("single", 1, 0, 20_000)
    plain("single", 2, 0, 5_000)
    starts["low", 2] = len(value)
    plain_start = starts["lab", 2]
    value.extend(["<0.01", *value[plain_start + 1 : plain_start + 5_001]])
    number.extend([None, *number[plain_start + 1 : plain_start + 5_001]])
    base, factor, lows, highs = [], [], [], []
    for item in items():
        low, high = span[item.decimals]
        kind = "lab" if item.table == "labevents" else "chart"
        if item.itemid in _TEXTS:
            texts = _TEXTS[item.itemid]
            low, high = 0 if texts[0] else 1, len(texts) - 1
            base.append(len(value))
            value.extend(texts[low:])
            number.extend(str(max(k, 1)) for k in range(low, high + 1))
        elif item.variable == "troponin_t":
            base.append(starts["low", 2])
        else:
            base.append(starts["single" if item.itemid in _SINGLE else kind, item.decimals])
        factor.append(10.0**item.decimals)
        lows.append(low)
        highs.append(high)
    return Wording(
        pl.Series(value, dtype=pl.String),
        pl.Series(number, dtype=pl.String),
        np.array(base),
        np.array(factor),
        np.array(lows),
        np.array(highs),
    )


def moment(seconds: Ints, where: NDArray[np.bool_] | None = None) -> pl.Series:
    """Seconds since 1970 as date-times, empty where `where` is False."""
    series = pl.Series(seconds * 1000, dtype=pl.Int64).cast(pl.Datetime("ms"))
    if where is None:
        return series
    return pl.select(pl.when(pl.Series(where)).then(series)).to_series()


def choose(texts: Sequence[str | None], index: NDArray) -> pl.Series:
    return pl.Series(texts, dtype=pl.String).gather(pl.Series(index).cast(pl.UInt32))


@dataclass(frozen=True)
class Offset:
    """How many patients, admissions and stays earlier blocks held."""

    patients: int
    admissions: int
    stays: int


def events(
    name: str, rows: Rows, stays: Stays, offset: Offset, rng: np.random.Generator
) -> pl.DataFrame:
    """A block of CHARTEVENTS, LABEVENTS or OUTPUTEVENTS, without ROW_ID."""
    words, n = wording(), len(rows.stay)
    book = items()
    itemid = np.array([i.itemid for i in book])[rows.item]
    system = np.array([i.system for i in book])[rows.item]
    units: list[str | None] = [*sorted({i.unit for i in book if i.unit}), None]
    uom = np.array([units.index(i.unit or None) for i in book])[rows.item]
    index = pl.Series(words.index(rows)).cast(pl.UInt32)
    admission = pl.Series(stays.admission[rows.stay] + offset.admissions + ADMISSION + 1)
    columns: dict[str, pl.Series] = {
        "SUBJECT_ID": pl.Series(stays.patient[rows.stay] + offset.patients + SUBJECT + 1),
        "HADM_ID": admission,
        "ITEMID": pl.Series(itemid),
        "CHARTTIME": moment(rows.time),
        "VALUE": words.value.gather(index),
    }
    if name == "labevents":
        low = np.array([i.low for i in book])[rows.item]
        high = np.array([i.high for i in book])[rows.item]
        odd = (rows.number < low) | (rows.number > high)
        delta = rng.random(n) < 0.004
        columns["HADM_ID"] = pl.select(pl.when(pl.Series(~rows.loose)).then(admission)).to_series()
        columns["VALUENUM"] = words.number.gather(index)
        columns["VALUEUOM"] = choose(units, uom)
        columns["FLAG"] = choose([None, "abnormal", "delta"], np.where(delta, 2, odd))
        return pl.DataFrame(columns).select(HEADERS["LABEVENTS"][1:])
    delay = np.exp(DELAY + DELAY_SD * rng.standard_normal(n)).clip(1, 4000)
    shift = (rows.time // 43200) * 7919 + rows.stay * 104729
    columns["ICUSTAY_ID"] = pl.Series(rows.stay + offset.stays + STAY + 1)
    columns["STORETIME"] = moment(rows.time + delay.astype(np.int64) * 60)
    columns["CGID"] = pl.Series(shift % CAREGIVERS + CAREGIVER + 1)
    empty = pl.Series([None] * n, dtype=pl.String)
    if name == "outputevents":
        columns["VALUEUOM"] = choose(units, uom)
        columns |= {"STOPPED": empty, "NEWBOTTLE": empty, "ISERROR": empty}
        return pl.DataFrame(columns).select(HEADERS["OUTPUTEVENTS"][1:])
    vision = system == METAVISION
    stopped = (system == CAREVUE) & (rng.random(n) < 0.0015)
    lost = pl.Series(stopped)
    columns["VALUENUM"] = words.number.gather(index)
    columns["VALUEUOM"] = choose(units, np.where(stopped, len(units) - 1, uom))
    for key in ("VALUE", "VALUENUM"):
        columns[key] = pl.select(pl.when(~lost).then(columns[key])).to_series()
    share = ERRORS / max(float(vision.mean()), 0.05)
    columns["WARNING"] = choose(["0", "1", None], np.where(vision, rng.random(n) < 0.006, 2))
    columns["ERROR"] = choose(["0", "1", None], np.where(vision, rng.random(n) < share, 2))
    hand = np.isin(itemid, [807, 811, 1529])
    columns["RESULTSTATUS"] = choose(
        [None, "Final", "Manual"], np.where(hand, np.where(itemid == 807, 2, 1), 0)
    )
    charted = (system == CAREVUE) & ~np.isin(itemid, [762, 920])
    columns["STOPPED"] = choose(
        [None, "NotStopd", "D/C'd"], np.where(charted, np.where(stopped, 2, 1), 0)
    )
    return pl.DataFrame(columns).select(HEADERS["CHARTEVENTS"][1:])


def dictionaries() -> dict[str, pl.DataFrame]:
    """D_ITEMS and D_LABITEMS for the items that occur, and the invented caregivers."""
    seen: dict[int, int] = {}
    for i, item in enumerate(items()):
        seen.setdefault(item.itemid, i)
    book = [items()[i] for i in seen.values()]
    bedside = [i for i in book if i.table != "labevents"]
    laboratory = [i for i in book if i.table == "labevents"]
    urine = ("urine_glucose", "urine_ph")
    none = [None] * len(bedside)
    number = np.arange(CAREGIVERS)
    return {
        "D_ITEMS": pl.DataFrame(
            {
                "ITEMID": [i.itemid for i in bedside],
                "LABEL": [i.label for i in bedside],
                "ABBREVIATION": [i.label if i.system == METAVISION else None for i in bedside],
                "DBSOURCE": [i.system for i in bedside],
                "LINKSTO": [i.table for i in bedside],
                "CATEGORY": [i.category or None for i in bedside],
                "UNITNAME": [(i.unit or None) if i.system == METAVISION else None for i in bedside],
                "PARAM_TYPE": ["Numeric" if i.system == METAVISION else None for i in bedside],
                "CONCEPTID": pl.Series(none, dtype=pl.String),
            }
        ),
        "D_LABITEMS": pl.DataFrame(
            {
                "ITEMID": [i.itemid for i in laboratory],
                "LABEL": [i.label for i in laboratory],
                "FLUID": ["Urine" if i.variable in urine else "Blood" for i in laboratory],
                "CATEGORY": [i.category for i in laboratory],
                "LOINC_CODE": pl.Series([None] * len(laboratory), dtype=pl.String),
            }
        ),
        "CAREGIVERS": pl.DataFrame(
            {
                "CGID": number + CAREGIVER + 1,
                "LABEL": choose(["RN", "RRT", "MD", "PCT"], number * 31 % 97 % 4),
                "DESCRIPTION": choose(
                    ["RN", "Respiratory", "Resident/Fellow/PA/NP", "PCT/NA"], number * 31 % 97 % 4
                ),
            }
        ),
    }
