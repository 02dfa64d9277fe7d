"""From hourly courses to rows as two charting systems and a laboratory write them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_demo.copula import Array, Copula
from mimic_demo.paths import HOURS, Course, Hours, Mask, course
from mimic_demo.people import Ints, Stays

CAREVUE, METAVISION, HOSPITAL = "carevue", "metavision", "hosp"

ERRORS, ODD, TWICE, EARLY, LOOSE = 0.001, 0.0012, 0.018, 0.007, 0.19
"""Shares of rows marked wrong, out of range, entered twice, before the unit, without admission.

Measured in the open MIMIC-III demo, v1.4.
"""
DELAY, DELAY_SD = np.log(14.0), np.log(147 / 14) / 1.645
"""Minutes from charting to storing: median 14, 95th percentile 147."""

_BY_STAY = {"temperature": 0, "urine": 1, "weight": 2, "height": 3}
_BY_STAY |= {f"{p}_{k}": 4 + i for p in ("sbp", "dbp", "map") for i, k in enumerate(("art", "ni"))}
"""One choice of item for the whole stay; the other variables choose anew at every row."""

_CONVERT: dict[str, Callable[[Array], Array]] = {
    "fahrenheit": lambda celsius: celsius * 1.8 + 32,
    "pounds": lambda kilograms: kilograms / 0.45359237,
    "inches": lambda centimetres: centimetres / 2.54,
    "percent": lambda share: share * 100,
}

_EYE = np.array([0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4])
_VERBAL = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5])
_TUBE_EYE = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 3, 4])


@dataclass(frozen=True)
class Item:
    """An entry of items.csv: how one system writes one variable."""

    variable: str
    table: str
    system: str
    option: str
    weight: float
    itemid: int
    label: str
    unit: str
    decimals: int
    convert: str
    category: str
    low: float
    high: float


@cache
def items() -> tuple[Item, ...]:
    """Every way a value is written, in file order."""
    text = (files(__package__) / "items.csv").read_text()
    read: dict[str, Callable[[str], Any]] = {
        "int": int,
        "float": lambda value: float(value or "nan"),
        "str": str,
    }
    return tuple(
        Item(**{field.name: read[str(field.type)](row[field.name]) for field in fields(Item)})
        for row in csv.DictReader(text.splitlines())
    )


@dataclass(frozen=True, eq=False)
class Rows:
    """Measurements of one table: stay (row in Stays), item (row in items()), seconds, number.

    number is as written, rounded to the item's decimals.
    """

    stay: Ints
    item: Ints
    time: Ints
    number: Array
    loose: NDArray[np.bool_]


def chart(copula: Copula, stays: Stays, rng: np.random.Generator) -> dict[str, Rows]:
    """All rows of a block of stays, by table name."""
    adult = np.flatnonzero((stays.unit < 5) & stays.charted)
    hours = (stays.left - stays.entered) / 3600
    Z = stays.Z[adult]
    counts = {k: v[adult] for k, v in stays.counts.items()}
    path = course(copula, Z, counts, hours[adult], rng)
    value, seen = dict(path.value), dict(path.seen)
    _derive(value, seen, path, rng)
    _bedside(copula, Z, value, seen, path, stays.carevue[adult], rng)
    stamps = _stamps(stays.entered[adult], path.time, rng)
    parts = _emit(value, seen, stamps, adult, stays.carevue[adult], rng)
    parts += _nursery(stays, hours, rng)
    table = np.array([item.table for item in items()])
    out = {}
    stay, item, time, number = (np.concatenate([p[i] for p in parts]) for i in range(4))
    for name in ("chartevents", "labevents", "outputevents"):
        own = table[item] == name
        out[name] = _disturb(name, stay[own], item[own], time[own], number[own], stays.entered, rng)
    return out


def _derive(
    value: dict[str, Hours], seen: dict[str, Mask], path: Course, rng: np.random.Generator
) -> None:
    """Laboratory values that the source lacks: from chemistry, or from common knowledge."""
    shape = value["sodium"].shape
    n = shape[0]

    def own(mean: float, between: float, within: float) -> Hours:
        base = mean + between * rng.standard_normal((n, 1), dtype=np.float32)
        return np.asarray(base + within * rng.standard_normal(shape, dtype=np.float32))

    def some(mask: Mask, share: float) -> Mask:
        return mask & (rng.random(shape, dtype=np.float32) < share)

    def stays(share: float) -> Mask:
        return rng.random((n, 1), dtype=np.float32) < share

    lactate = np.minimum(value["lactate"] - 1.8, 8)
    renal = np.log(np.maximum(value["creatinine"], 0.2))
    value["anion_gap"] = np.clip(own(13.3, 2.4, 1.5) + 0.9 * lactate + 0.9 * renal, 3, 45)
    value["chloride"] = np.clip(
        value["sodium"] - value["bicarbonate"] - value["anion_gap"] + own(3.5, 1.0, 0.7), 70, 150
    )
    value["calcium"] = np.clip(own(8.3, 0.65, 0.3), 4, 14)
    value["phosphate"] = np.clip(own(3.4, 0.9, 0.5) + 0.8 * renal, 0.6, 14)
    value["calcium_ion"] = np.clip(own(1.13, 0.07, 0.04), 0.5, 1.9)
    value["hemoglobin"] = np.clip(value["hematocrit"] / 2.98 + own(0, 0.25, 0.15), 3, 22)
    value["bands"] = np.clip(np.exp(own(1.2, 1.2, 0.5)) - 1.5, 0, 60)
    value["base_excess"] = np.clip(
        0.93 * (0.0307 * value["paco2"] * 10 ** (value["ph_art"] - 6.1) - 24.4)
        + 13.8 * (value["ph_art"] - 7.4),
        -28,
        28,
    )
    liver = 0.12 * np.log(np.maximum(value["bilirubin"], 0.3))
    inr = np.exp(own(0.27, 0.28, 0.06) + np.maximum(liver, -0.1))
    value["inr"] = np.clip(inr, 0.8, 18)
    value["pt"] = np.clip(12.3 * value["inr"] ** 0.62, 9, 100)
    value["ptt"] = np.clip(np.exp(own(3.5, 0.3, 0.18)), 17, 150)
    chemistry = seen["bicarbonate"]
    seen["anion_gap"], seen["chloride"] = some(chemistry, 0.97), some(chemistry, 0.98)
    mineral = stays(0.9)
    seen["calcium"] = some(seen["magnesium"], 0.85) & mineral
    seen["phosphate"] = some(seen["magnesium"], 0.85) & mineral
    seen["calcium_ion"] = some(seen["ph_art"], 0.5)
    seen["base_excess"] = some(seen["ph_art"], 0.96)
    seen["hemoglobin"] = some(seen["hematocrit"], 0.85)
    seen["bands"] = some(seen["wbc"], 0.18) & stays(0.6)
    clotting = some(seen["platelets"], 0.65) & stays(0.93)
    seen["inr"] = seen["pt"] = clotting
    seen["ptt"] = some(clotting, 0.97)
    value["urine_glucose"] = np.full(shape, 100.0, np.float32)
    value["urine_ph"] = np.clip(own(5.8, 0.7, 0.1), 5, 8.5)
    once = np.zeros(shape, bool)
    once[np.arange(n), rng.integers(0, 12, n)] = True
    once &= stays(0.4) & seen["heart_rate"]
    seen["urine_ph"], seen["urine_glucose"] = once, once & stays(0.15)


def _bedside(
    copula: Copula,
    Z: Array,
    value: dict[str, Hours],
    seen: dict[str, Mask],
    path: Course,
    carevue: NDArray[np.bool_],
    rng: np.random.Generator,
) -> None:
    """What nurses chart and the source has not: coma components, fingersticks, weight, decoys."""
    shape = value["gcs"].shape
    n = shape[0]
    total = np.rint(value.pop("gcs")).astype(np.int64)
    when = seen.pop("gcs")
    breathing = path.time < 2.3 * path.ventilated[:, None]
    tube = breathing & (total <= 11)
    eye = np.where(tube, _TUBE_EYE[np.minimum(total, 11)], _EYE[total])
    verbal = np.where(tube, 1, _VERBAL[total])
    value["gcs_eye"] = eye.astype(np.float32)
    value["gcs_verbal"] = np.where(tube, 0, verbal).astype(np.float32)
    value["gcs_motor"] = (total - eye - verbal).astype(np.float32)
    value["gcs_total"] = total.astype(np.float32)
    for name in ("gcs_eye", "gcs_verbal", "gcs_motor"):
        seen[name] = when & (rng.random(shape, dtype=np.float32) < 0.995)
    seen["gcs_total"] = when & carevue[:, None]
    dial = np.array([0.21, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], np.float32)
    value["fio2"] = dial[np.searchsorted((dial[1:] + dial[:-1]) / 2, value["fio2"])]
    value["fingerstick"] = value["glucose"]
    rate = np.minimum(rng.gamma(1.1, 0.2, (n, 1)), 0.9)
    seen["fingerstick"] = seen["heart_rate"] & (rng.random(shape) < rate)
    value["resp_set"] = np.float32(14) + np.zeros(shape, np.float32)
    seen["resp_set"] = breathing & seen["fio2"]
    value["spo2_alarm"] = np.full(shape, 88, np.float32)
    every = np.arange(shape[1]) % 12 == 3
    seen["spo2_alarm"] = seen["spo2"] & every & ~carevue[:, None]
    value["daily_weight"] = value["weight"] * np.linspace(1, 1.01, shape[1], dtype=np.float32)
    first = np.zeros(shape, bool)
    first[np.arange(n), rng.integers(0, 4, n)] = True
    day = np.zeros(shape, bool)
    day[:, 26], day[:, HOURS + 2] = True, True
    weighed = rng.random((n, 1)) < 0.9
    seen["weight"] = first & weighed & path.there
    seen["daily_weight"] = day & (rng.random(shape) < 0.5) & weighed & path.there
    height = copula.value("level:height", Z)
    tall = copula.value("height", Z) if height is None else height
    if tall is None:
        raise ValueError("aggregates.json has no height")
    value["height"] = np.repeat(tall.astype(np.float32).clip(140, 208)[:, None], shape[1], 1)
    seen["height"] = first & (rng.random((n, 1)) < 0.5) & path.there


def _stamps(entered: Ints, time: Hours, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Seconds of nurses' charting (mostly on the clock hour) and of the laboratory."""
    n, steps = time.shape
    hour = time.astype(np.int64) * 3600
    to_clock = (-entered) % 3600
    minute = rng.choice(np.array([-1, 15, 30, 45]), (n, steps), p=[0.82, 0.05, 0.09, 0.04])
    offset = np.where(minute < 0, to_clock[:, None], (to_clock[:, None] + minute * 60) % 3600)
    offset = np.where(offset == 0, 3540, offset)
    bedside = entered[:, None] + hour + offset
    drawn = entered[:, None] + hour + rng.integers(1, 59, (n, steps)) * 60
    return bedside, drawn // 60 * 60


def _emit(
    value: dict[str, Hours],
    seen: dict[str, Mask],
    stamps: tuple[Ints, Ints],
    owner: Ints,
    carevue: NDArray[np.bool_],
    rng: np.random.Generator,
) -> list[tuple[Ints, Ints, Ints, Array]]:
    book: dict[tuple[str, str], dict[str, list[int]]] = {}
    for i, item in enumerate(items()):
        book.setdefault((item.variable, item.system), {}).setdefault(item.option, []).append(i)
    taste = rng.random((len(owner), 8))
    parts = []
    for (variable, system), options in book.items():
        mask = seen[variable]
        if system != HOSPITAL:
            mask = mask & (carevue == (system == CAREVUE))[:, None]
        row, step = np.nonzero(mask)
        if not len(row):
            continue
        number = value[variable][row, step].astype(float)
        time = stamps[1 if system == HOSPITAL else 0][row, step]
        weight = np.array([items()[o[0]].weight for o in options.values()])
        if len(options) == 1:
            pick = np.zeros(len(row), np.int64)
        else:
            u = taste[row, _BY_STAY[variable]] if variable in _BY_STAY else rng.random(len(row))
            pick = np.searchsorted(np.cumsum(weight / weight.sum())[:-1], u, side="right")
        for k, members in enumerate(options.values()):
            own = slice(None) if len(options) == 1 else pick == k
            for i in members:
                written = _write(number[own], items()[i])
                parts.append((owner[row[own]], np.full(len(written), i), time[own], written))
    return parts


def _write(number: Array, item: Item) -> Array:
    converted = _CONVERT[item.convert](number) if item.convert else number
    return np.round(converted, item.decimals)


def _nursery(
    stays: Stays, hours: Array, rng: np.random.Generator
) -> list[tuple[Ints, Ints, Ints, Array]]:
    """A few vital signs of the newborn, whom every adult cohort leaves out."""
    baby = np.flatnonzero((stays.unit == 5) & stays.charted)
    steps = np.arange(0, 48, 8)
    parts = []
    usual = {"heart_rate": (145, 14), "resp_rate": (46, 9), "spo2": (97, 2)}
    for i, item in enumerate(items()):
        if item.variable not in usual or item.option != "a":
            continue
        own = baby[stays.carevue[baby] == (item.system == CAREVUE)]
        row, step = np.nonzero(steps[None, :] < hours[own][:, None])
        mean, sd = usual[item.variable]
        number = np.round(mean + sd * rng.standard_normal(len(row))).clip(0, 230)
        number = np.minimum(number, 100) if item.variable == "spo2" else number
        time = stays.entered[own][row] + steps[step] * 3600 + 1800
        parts.append((own[row], np.full(len(row), i), time, number))
    return parts


def _disturb(
    name: str,
    stay: Ints,
    item: Ints,
    time: Ints,
    number: Array,
    entered: Ints,
    rng: np.random.Generator,
) -> Rows:
    """Double entries, values out of range, rows before the unit; then in order of stay and time."""
    n = len(stay)
    after = time - entered[stay]
    if name == "labevents":
        early = (after < 4 * 3600) & (rng.random(n) < 0.25)
        back = rng.integers(3600, 7 * 3600, n)
    else:
        fresh = after < 2 * 3600
        early = fresh & (rng.random(n) < EARLY * n / max(int(fresh.sum()), 1))
        back = rng.integers(600, 4 * 3600, n)
    twice = rng.random(n) < TWICE
    if name == "outputevents":
        twice &= rng.random(n) < 0.1
    again = np.flatnonzero(twice)
    prior = np.flatnonzero(early)
    take = np.concatenate([np.arange(n), again, prior])
    stay, item, number = stay[take], item[take], number[take]
    moved = time[prior] - after[prior] - back[prior]
    time = np.concatenate([time, time[again], moved // 60 * 60])
    step = np.array([10.0**-i.decimals for i in items()])
    nudge = np.zeros(len(take))
    nudge[n : n + len(again)] = (rng.random(len(again)) < 0.3) * rng.choice([-1, 1], len(again))
    steps = np.array([not i.variable.startswith(("gcs", "fio2")) for i in items()])
    number = np.maximum(number + nudge * (step * steps)[item], np.where(number < 0, -99, 0))
    if name == "chartevents":
        odd = (rng.random(len(take)) < ODD) & steps[item]
        number = np.where(odd, np.where(rng.random(len(take)) < 0.6, 0, number * 10), number)
    loose = np.zeros(len(take), bool)
    if name == "labevents":
        moment = (stay * 2654435761 + time // 60 * 40503) & 0xFFFFFFFF
        salt = int(rng.integers(1 << 31))
        loose = ((moment * 2246822519 + salt) >> 13) % 1000 < LOOSE * 1000
    order = np.argsort(stay * (1 << 40) + (time - entered[stay] + (1 << 30)), kind="stable")
    return Rows(stay[order], item[order], time[order], number[order], np.asarray(loose)[order])
