"""From a stay's summaries to an hourly course of every variable, and the hours it is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_demo.copula import Array, Copula
from mimic_demo.words import WORDS

Hours = NDArray[np.float32]
Mask = NDArray[np.bool_]

HOURS = 48
LATE = 16
"""Slots spread over the stay after hour 48: thinned charting."""
STEPS = HOURS + LATE

_BLOOD = ("bun", "creatinine", "sodium", "potassium", "bicarbonate", "magnesium", "glucose")
_COUNTS = ("hematocrit", "wbc", "platelets")
_LIVER = ("bilirubin", "alt", "ast", "alp", "albumin")
_GAS = ("ph_art", "lactate")
PANEL = {
    **dict.fromkeys(_BLOOD + _COUNTS, 0),
    **dict.fromkeys(_LIVER, 1),
    **dict.fromkeys(_GAS, 2),
    "troponin_t": 3,
}
"""Drawn together: variables of one panel share the pattern of their hours."""

LIMITS: dict[str, tuple[float, float]] = WORDS["limits"]
"""The least and the greatest value of each variable that is generated hour by hour."""
SPREAD = {"troponin_t": 0.15, "albumin": 0.15, "weight": 0.0}
"""Within-stay standard deviation where the source has too few measurements to say."""


_CEILING = {"gcs": 15.0, "spo2": 100.0}
"""Where most patients are at the top: someone always there does not vary."""


@dataclass(frozen=True, eq=False)
class Course:
    """value and seen: (stays, STEPS) by variable; time: hours since entering the unit.

    there: whether the patient still is in the unit (stays, STEPS); ventilated: hours charted so.
    """

    value: dict[str, Hours]
    seen: dict[str, Mask]
    time: Hours
    there: Mask
    ventilated: Array


def course(
    copula: Copula, Z: Array, counts: dict[str, Array], stay_hours: Array, rng: np.random.Generator
) -> Course:
    """Hourly paths that keep each stay's drawn level, change and spread at its observed hours.

    stay_hours: length of stay in hours; nothing is seen after it.
    """
    n = len(Z)
    names = tuple(LIMITS)
    follows = copula.table["follows"]
    time = _time(n, stay_hours, rng)
    seen = _schedule(counts, rng)
    for name in ("resp_rate", "spo2"):
        seen[name] = seen["heart_rate"] & (rng.random((n, HOURS), dtype=np.float32) < 0.97)
    for name, leader in follows.items():
        share = 0.96 if leader == "ph_art" else 0.995
        seen[name] = seen[leader] & (rng.random((n, HOURS), dtype=np.float32) < share)
    lag = np.array([copula.table["lag"].get(v, 0.6) for v in names], np.float32)
    noise = _autoregressive(n, lag, names, rng)
    value: dict[str, Hours] = {}
    logs = copula.table["log"]
    for v, name in enumerate(names):
        level = copula.value(f"level:{name}", Z)
        if level is None:
            raise ValueError(f"aggregates.json has no level for {name}")
        change = copula.value(f"change:{name}", Z)
        spread = copula.value(f"spread:{name}", Z)
        width = np.full(n, SPREAD.get(name, 0.1)) if spread is None else np.exp(spread)
        change = np.zeros(n) if change is None else change
        if name in _CEILING:
            room = np.maximum(_CEILING[name] - level, 0)
            width = np.minimum(width, 1.2 * room)
            change = np.clip(change, -3 * room, 3 * room)
        x = _path(
            seen[name],
            level.astype(np.float32),
            change.astype(np.float32),
            width.astype(np.float32),
            _shape(copula, name, noise[:, v]),
        )
        if name in logs:
            x = np.exp(x) - np.float32(logs[name])
        value[name] = np.clip(x, *LIMITS[name])
    for kind in ("ni", "art"):
        value[f"map_{kind}"] = np.minimum(value[f"map_{kind}"], value[f"sbp_{kind}"] - 2)
        value[f"dbp_{kind}"] = np.minimum(value[f"dbp_{kind}"], value[f"map_{kind}"] - 2)
    late = _late(seen, n, rng)
    there = time < stay_hours[:, None]
    whole = {k: np.concatenate([m, late[k]], 1) & there for k, m in seen.items()}
    return Course(value, whole, time, there, counts["ventilated"])


def _time(n: int, stay_hours: Array, rng: np.random.Generator) -> Hours:
    start = np.arange(HOURS) + np.zeros((n, 1))
    gap = np.maximum((stay_hours - HOURS) / LATE, 6.0)
    late = HOURS + (np.arange(LATE) + rng.random((n, LATE)) * 0.9) * gap[:, None]
    return np.concatenate([start, np.floor(late)], 1).astype(np.float32)


def _schedule(counts: dict[str, Array], rng: np.random.Generator) -> dict[str, Mask]:
    """Systematic sampling: exactly the drawn number of distinct hours, panels together."""
    n = len(counts["heart_rate"])
    phase = rng.random((n, 4))
    warp = np.exp(0.4 * rng.standard_normal((n, 4)))
    grid = np.arange(HOURS + 1) / HOURS
    out = {}
    for name, count in counts.items():
        if name == "ventilated":
            continue
        if name in PANEL:
            p = PANEL[name]
            power = np.where(count <= 16, warp[:, p], 1.0)
            line = grid[None, :] ** power[:, None]
            start = phase[:, p]
        else:
            line, start = np.broadcast_to(grid, (n, HOURS + 1)), rng.random(n)
        steps = np.floor(line * count[:, None] + start[:, None])
        out[name] = np.diff(steps, axis=1) > 0
    return out


def _autoregressive(n: int, lag: Hours, names: tuple[str, ...], rng: np.random.Generator) -> Hours:
    shock = rng.standard_normal((STEPS, n, len(names)), dtype=np.float32)
    at = {name: v for v, name in enumerate(names)}
    for kind in ("ni", "art"):
        s, m, d = (at[f"{p}_{kind}"] for p in ("sbp", "map", "dbp"))
        shock[:, :, m] = 0.85 * shock[:, :, s] + 0.53 * shock[:, :, m]
        shock[:, :, d] = 0.85 * shock[:, :, m] + 0.53 * shock[:, :, d]
    fresh = np.sqrt(1 - lag**2)
    out = np.empty((n, len(names), STEPS), np.float32)
    state = shock[0]
    out[:, :, 0] = state
    for h in range(1, STEPS):
        state = lag * state + fresh * shock[h]
        out[:, :, h] = state
    return out


def _shape(copula: Copula, name: str, noise: Hours) -> Hours:
    """Normal noise given the residuals' usual course over the hours, and their tails."""
    table = copula.table
    if name in table["tail"]:
        flat = np.interp(noise, table["scores"], table["tail"][name])
        noise = flat.astype(np.float32)
    if name in table["curve"]:
        curve = np.asarray(table["curve"][name], np.float32)
        noise = noise + np.concatenate([curve, np.zeros(LATE, np.float32)])
    return noise


def _path(seen: Mask, level: Hours, change: Hours, spread: Hours, noise: Hours) -> Hours:
    """level + change * position + spread * noise, the noise without mean or trend where seen."""
    hour = np.arange(STEPS, dtype=np.float32)
    n = seen.sum(1).astype(np.float32)
    some = np.maximum(n, 1)
    head = np.where(seen, noise[:, :HOURS], 0)
    centre = (seen * hour[:HOURS]).sum(1) / some
    t = hour - centre[:, None]
    inside = np.where(seen, t[:, :HOURS], 0)
    mean = head.sum(1) / some
    slope = (inside * head).sum(1) / np.maximum((inside**2).sum(1), 1)
    rest = noise - mean[:, None] - slope[:, None] * t
    seen_rest = np.where(seen, rest[:, :HOURS], 0)
    size = np.sqrt((seen_rest**2).sum(1) / some)
    rest = np.clip(rest / np.maximum(size, 0.2)[:, None], -9, 9)
    first, last = seen.argmax(1), HOURS - 1 - seen[:, ::-1].argmax(1)
    span = np.where(n > 1, np.maximum(last - first, 1), HOURS).astype(np.float32)
    position = np.clip(t / span[:, None], -0.8, 0.8)
    rest = np.where((n > 2)[:, None], rest, 0)
    out: Hours = level[:, None] + change[:, None] * position + spread[:, None] * rest
    return out


def _late(seen: dict[str, Mask], n: int, rng: np.random.Generator) -> dict[str, Mask]:
    """After hour 48: vital signs at most slots, laboratory panels at every third."""
    slot = (np.arange(LATE) + rng.integers(3, size=(n, 1))) % 3 == 0
    out = {}
    for name, mask in seen.items():
        rate = mask.mean(1, keepdims=True)
        if name in PANEL or name in ("pao2", "paco2"):
            chance = np.minimum(rate * 6, 1)
            out[name] = slot & (rng.random((n, LATE), dtype=np.float32) < chance)
        else:
            out[name] = rng.random((n, LATE), dtype=np.float32) < rate
    return out
