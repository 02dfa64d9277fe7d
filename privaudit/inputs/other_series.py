"""Other ways in which series might have been handed to a model in training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from privaudit.records import Records

MOST_EXCHANGES = 30
"""Pairs of channels that are tried in each other's place."""

LAGS = (1, 2, 3, 4, 6, 8, 12, 24)
"""Steps by which another beginning, or another zone, may move a series."""


def change_series(some: Records) -> Iterator[tuple[str, Records]]:
    """The series scaled, filled in, turned round, or with their channels in another order; nothing
    for records without series."""
    if some.series is None:
        return
    series = some.series.astype(np.float64)
    there = np.isfinite(series)
    mean, spread = _describe(series, there, (0, 1))
    own, own_spread = _describe(series, there, (1,))
    scaled, by_record = (series - mean) / spread, (series - own) / own_spread
    ways = {
        "channels scaled to mean 0 and standard deviation 1": scaled,
        "channels scaled to mean 0 and standard deviation 1 within each record": by_record,
        "the last step first": series[:, ::-1],
    }
    if not there.all():
        ways |= {
            "missing steps as 0": np.where(there, series, 0.0),
            "missing steps as -1": np.where(there, series, -1.0),
            "missing steps as the mean": np.where(there, series, mean),
            "missing steps as the last value before them": _carry(series, there),
            "scaled channels and missing steps as 0": np.where(there, scaled, 0.0),
            "scaled channels and missing steps as the last value": _carry(scaled, there),
        }
    for lag in (one for one in LAGS if one < series.shape[1]):
        steps = f"{lag} step" + "s" * (lag > 1)
        ways[f"the series {steps} earlier"] = _move(series, lag, filled=bool(there.all()))
        ways[f"the series {steps} later"] = _move(series, -lag, filled=bool(there.all()))
    width = series.shape[2]
    if width > 1:
        ways["the channels in reverse order"] = series[..., ::-1]
    for i, j in list(combinations(range(width), 2))[:MOST_EXCHANGES]:
        order = np.arange(width)
        order[[i, j]] = j, i
        names = some.channels[i].name, some.channels[j].name
        ways[f"its channels {names[0]!r} and {names[1]!r} exchanged"] = series[..., order]
    for name, changed in ways.items():
        yield name, replace(some, series=changed.astype(np.float32))


def _describe(
    series: np.ndarray, there: np.ndarray, axes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, 1 where there is none, of what was measured."""
    count = np.maximum(there.sum(axis=axes, keepdims=True), 1)
    mean = np.where(there, series, 0.0).sum(axis=axes, keepdims=True) / count
    away = np.where(there, series - mean, 0.0)
    spread = np.sqrt((away**2).sum(axis=axes, keepdims=True) / count)
    return mean, np.where(spread > 0, spread, 1.0)


def _move(series: np.ndarray, lag: int, *, filled: bool) -> np.ndarray:
    """The series so many steps earlier; at its end nothing, or, of series without a gap, the step
    next to it."""
    at = np.arange(series.shape[1]) + lag
    inside = np.clip(at, 0, series.shape[1] - 1)
    moved = series[:, inside]
    return moved if filled else np.where((at == inside)[:, None], moved, np.nan)


def _carry(series: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Each step's last value, 0 before the first."""
    step = np.arange(series.shape[1])[None, :, None]
    last = np.maximum.accumulate(np.where(there, step, -1), axis=1)
    found = np.take_along_axis(np.where(there, series, 0.0), np.maximum(last, 0), axis=1)
    return np.where(last < 0, 0.0, found)


__all__ = ["change_series"]
