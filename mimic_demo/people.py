"""Who is generated: patients, their admissions and intensive care stays, and what became of them.

Shares and medians follow Johnson et al. 2016, "MIMIC-III, a freely accessible critical care
database", Scientific Data 3:160035, Tables 1 and 2, and counts of v1.4; what no table says
(wards, insurance by age, time to readmission) is general knowledge.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri

from mimic_demo.copula import UNITS, Array, Copula
from mimic_demo.paths import HOURS

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

DAY = 86400
NEONATES = 7863 / 46520
SHARE = np.array([0.145, 0.184, 0.395, 0.166, 0.110])
MALE = np.array([0.579, 0.655, 0.516, 0.524, 0.607])
AGE = np.array([70.4, 66.9, 63.7, 63.4, 58.8])
"""Median at the first stay: a little under the table's of all stays, as returning patients age."""
STAY = np.array([2.2, 2.2, 2.1, 2.3, 2.1])
ELECTIVE = np.array([-3.2, -0.4, -3.0, -1.2, -2.6])
CAREVUE = 0.55
OLD = 89
"""MIMIC moves the birth of anyone older to 300 years before the first admission."""

_P = np.array([0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999])
_STAY = np.array([0.1, 0.3, 0.66, 0.85, 1.2, 2.1, 4.6, 9.6, 14.8, 31, 65])
_AGE = np.array([16.2, 18.9, 26, 36, 52.8, 65.8, 77.8, 85.5, 89.2, 94.5, 99.5])
_STAYERS = {"los": 0.5, "n:ventilated": 0.45, "level:gcs": -0.3, "n:ph_art": 0.2}
"""What goes with a long stay in the unit: a long stay in hospital, ventilation, coma."""
_LONGEST, _MOST = 6, 4


@dataclass(frozen=True, eq=False)
class People:
    """One row a patient; times in seconds since 1970."""

    male: Flags
    birth: Ints
    died_at: Ints
    died_in_hospital: Flags
    neonate: Flags


@dataclass(frozen=True, eq=False)
class Stays:
    """One row an intensive care stay, patient by patient in time order.

    Z: latent scores (n, d), NaN for neonates; admission: number within this block; expired: of the
    whole admission; last: the admission's last stay.
    """

    patient: Ints
    admission: Ints
    unit: Ints
    age: Array
    Z: Array
    counts: dict[str, Array]
    admitted: Ints
    entered: Ints
    left: Ints
    discharged: Ints
    expired: Flags
    emergency: Ints
    carevue: Flags
    charted: Flags
    last: Flags


def populate(copula: Copula, n: int, rng: np.random.Generator) -> tuple[People, Stays]:
    """A block of n patients with all their stays."""
    neonate = rng.random(n) < NEONATES
    unit = rng.choice(5, n, p=SHARE)
    male = rng.random(n) < 0.53
    own = rng.standard_normal((n, len(copula.names)))
    carevue = rng.random(n) < CAREVUE
    start = (47482 + rng.integers(0, 36000, n)) * DAY + rng.integers(0, DAY, n)
    spare = rng.random(n)
    rounds: list[dict[str, NDArray]] = []
    active = np.arange(n)
    admission = np.zeros(n, np.int64)
    admitted = start.copy()
    entered = np.zeros(n, np.int64)
    age = np.zeros(n)
    same = np.zeros(n, bool)
    held: dict[str, NDArray] = {
        "expired": np.zeros(n, bool),
        "discharged": np.zeros(n, np.int64),
        "emergency": np.zeros(n, np.int64),
    }
    for step in range(_LONGEST):
        if not len(active):
            break
        a, m = active, len(active)
        fresh = rng.standard_normal((m, len(copula.names)))
        noise = fresh if step == 0 else 0.7**0.5 * own[a] + 0.3**0.5 * fresh
        if step > 0:
            unit[a] = np.where(rng.random(m) < 0.85, unit[a], rng.choice(5, m, p=SHARE))
        Z = copula.draw(unit[a], noise)
        if step == 0:
            male = np.where(neonate, male, _own(copula, "male", Z, unit) > ndtri(1 - MALE[unit]))
        Z[:, copula.column("male")] = np.where(male[a], 1.0, -1.0)
        counts = copula.counts(Z)
        if step == 0:
            age[a] = _age(copula, Z, unit[a], spare[a])
        days = _length(copula, Z, unit[a], rng)
        young = neonate[a]
        days = np.where(young, np.exp(-0.2 + 1.6 * rng.standard_normal(m)).clip(0.1, 110), days)
        long = days * 24 >= HOURS
        score = copula.risk(Z, counts)
        dies = rng.random(m) < np.where(
            young, 0.008, expit(score + copula.intercept(unit[a], long))
        )
        dies = np.where(same[a], held["expired"][a], dies)
        again = (rng.random(m) < 0.068) & ~young & ~same[a] & (step < _LONGEST - 1)
        lead = _lead(unit[a], score, same[a], held["emergency"][a], young, rng)
        kind, before = lead
        entered[a] = np.where(same[a], entered[a], admitted[a] + (before * DAY).astype(np.int64))
        left = entered[a] + (days * DAY).astype(np.int64)
        ward = np.exp(1.2 + 0.9 * rng.standard_normal(m)).clip(0.1, 60)
        in_unit = dies & (rng.random(m) < 0.78)
        ward = np.where(in_unit & ~again, 0.0, np.where(young, 0.1 + 0.3 * ward, ward))
        discharged = left + (ward * DAY).astype(np.int64)
        rounds.append(
            {
                "patient": a,
                "admission": admission[a].copy(),
                "unit": unit[a].copy(),
                "age": age[a].copy(),
                "Z": Z,
                "n": np.column_stack(list(counts.values())),
                "admitted": admitted[a].copy(),
                "entered": entered[a].copy(),
                "left": left,
                "discharged": discharged,
                "expired": dies,
                "emergency": kind,
                "carevue": carevue[a],
                "charted": rng.random(m) > 0.012,
                "again": again,
            }
        )
        held["expired"][a], held["discharged"][a], held["emergency"][a] = dies, discharged, kind
        gap = _gap(copula, Z, days, dies | young | (admission[a] >= _MOST), rng)
        back = ~again & np.isfinite(gap)
        entered[a] = np.where(again, left + ((0.7 + 2 * rng.random(m)) * DAY).astype(np.int64), 0)
        wait = np.where(back, gap, 0.0)
        admitted[a] = np.where(back, discharged + (wait * DAY).astype(np.int64), admitted[a])
        admission[a] += back
        same[a] = again
        spent = (admitted[a] - start[a]) / (365.25 * DAY) < 9
        active = a[(again | back) & spent]
    return _join(rounds, list(counts), neonate, male, age, start, rng)


def _own(copula: Copula, name: str, Z: Array, unit: Ints) -> Array:
    """A latent column as a standard normal score within its unit."""
    j = copula.column(name)
    return np.asarray((Z[:, j] - copula.centre(unit)[:, j]) / np.sqrt((copula.root[j] ** 2).sum()))


def _age(copula: Copula, Z: Array, unit: Ints, spare: Array) -> Array:
    z = _own(copula, "age", Z, unit)
    years = _quantile(_P, _AGE, ndtr(z)) + (AGE[unit] - 65.8) * (1 - np.minimum(np.abs(z) / 3, 1))
    return np.asarray(np.where(spare < 0.002, 17.2, years).clip(16.05, 103))


def _length(copula: Copula, Z: Array, unit: Ints, rng: np.random.Generator) -> Array:
    """Days in the unit: whether 48 h are reached is random, how long follows from the latents."""
    scale = STAY[unit] / 2.1
    cut = np.interp(np.log(HOURS / 24 / scale), np.log(_STAY), ndtri(_P))
    below = ndtr(cut)
    weight = np.zeros(len(copula.names))
    for name, w in _STAYERS.items():
        weight[copula.column(name)] = w
    centre = copula.centre(unit) @ weight * 0.5
    score = (Z @ weight - centre) / np.sqrt(((weight @ copula.root) ** 2).sum())
    z = 0.75 * score + 0.66 * rng.standard_normal(len(Z))
    u = ndtr(z)
    long = rng.random(len(Z)) >= below
    p = np.where(long, below + (1 - below) * u, below * u).clip(5e-4, 0.9995)
    days = scale * np.exp(np.interp(ndtri(p), ndtri(_P), np.log(_STAY)))
    return np.asarray(np.where(long, np.maximum(days, 2.0005), np.minimum(days, 1.9995)))


def _quantile(p: Array, x: Array, u: Array) -> Array:
    return np.asarray(np.interp(ndtri(u.clip(1e-4, 1 - 1e-4)), ndtri(p), x))


def _lead(
    unit: Ints, score: Array, same: Flags, held: Ints, young: Flags, rng: np.random.Generator
) -> tuple[Ints, Array]:
    """Type of admission (0 emergency, 1 elective, 2 urgent, 3 newborn) and days before the unit."""
    m = len(unit)
    u = rng.random(m)
    elective = expit(ELECTIVE[unit] - 0.6 * (score - score.mean()) / max(score.std(), 1e-9))
    kind = np.where(u < elective, 1, np.where(u > 0.976, 2, 0))
    kind = np.where(same, held, np.where(young, 3, kind))
    quick = np.exp(-6.0 + 0.8 * rng.standard_normal(m))
    slow = np.exp(-0.1 + 1.1 * rng.standard_normal(m)).clip(0.05, 20)
    late = rng.random(m) < np.where(kind == 1, 0.85, 0.3)
    return kind.astype(np.int64), np.where(young, 0.002, np.where(late, slow, quick))


def _gap(copula: Copula, Z: Array, days: Array, closed: Flags, rng: np.random.Generator) -> Array:
    """Days from discharge to the next admission with intensive care; infinite for none.

    Frailty (kidneys, anaemia, breathing, age, a long stay) makes it likelier and sooner; the
    direction is known from studies of readmission, the size is not calibrated.
    """
    pull = {"bun": 0.5, "creatinine": 0.3, "hematocrit": -0.35, "resp_rate": 0.35}
    frail = sum(w * Z[:, copula.column(f"level:{v}")] for v, w in pull.items())
    frail = frail + 0.3 * Z[:, copula.column("age")] + 0.3 * np.log(days).clip(-2, 3)
    u, v, w = rng.random((3, len(Z)))
    soon = v < expit(-1.3 + 0.5 * frail)
    gap = np.where(soon, 0.5 + 29 * w**1.4, np.exp(ndtri(w.clip(1e-4, 0.9999)) + 5.2) + 30)
    return np.asarray(np.where(~closed & (u < expit(-1.38 + 0.62 * frail)), gap, np.inf))


def _join(
    rounds: list[dict[str, NDArray]],
    count_names: list[str],
    neonate: Flags,
    male: Flags,
    age: Array,
    start: Ints,
    rng: np.random.Generator,
) -> tuple[People, Stays]:
    flat = {k: np.concatenate([r[k] for r in rounds]) for k in rounds[0]}
    order = np.lexsort((flat["entered"], flat["patient"]))
    flat = {k: v[order] for k, v in flat.items()}
    key = flat["patient"] * 16 + flat["admission"]
    new = np.r_[True, key[1:] != key[:-1]]
    number = np.cumsum(new) - 1
    last = np.r_[new[1:], True]
    tail = np.flatnonzero(last)[number]
    discharged, expired = flat["discharged"][tail], flat["expired"][tail]
    n = len(neonate)
    final = np.flatnonzero(np.r_[flat["patient"][1:] != flat["patient"][:-1], True])
    home, dead = discharged[final], expired[final]
    later = np.where(neonate, 0.01, 0.31 * (age / 66) ** 1.5)
    lived = (rng.exponential(500, n) + 2) * DAY
    died_at = np.where(dead, home, np.where(rng.random(n) < later, home + lived, 0))
    first = np.flatnonzero(np.r_[True, flat["patient"][1:] != flat["patient"][:-1]])
    admitted = flat["admitted"][first]
    years = np.where(age > OLD, 300.0, age) * 365.25 * DAY
    birth = np.where(neonate, admitted, flat["entered"][first] - years)
    birth = (birth // DAY * DAY).astype(np.int64)
    people = People(male, birth, died_at.astype(np.int64), dead, neonate)
    passed = (flat["entered"] - flat["entered"][first][flat["patient"]]) / (365.25 * DAY)
    drawn = {part.name: flat[part.name] for part in fields(Stays) if part.name in flat}
    settled = {
        "admission": number,
        "unit": np.where(neonate[flat["patient"]], len(UNITS), flat["unit"]),
        "age": flat["age"] + passed,
        "counts": {k: flat["n"][:, j] for j, k in enumerate(count_names)},
        "discharged": discharged,
        "expired": expired,
        "last": last,
    }
    return people, Stays(**(drawn | settled))
