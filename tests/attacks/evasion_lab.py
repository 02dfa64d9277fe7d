"""Models, records and rules that the tests of evasion share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import expit

from privaudit.attacks import _constraints
from privaudit.contracts import Release, Target
from privaudit.facts import Setting
from privaudit.records import Column, Records, Split

FREE = 6


@dataclass(frozen=True, eq=False)
class Linear:
    """Logistic regression on X, missing read as 0; gradients by hand."""

    weights: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        p = expit(np.nan_to_num(records.X.astype(float)) @ self.weights)
        return np.stack([1 - p, p], axis=1)

    def input_gradient(self, records: Records) -> tuple[np.ndarray, np.ndarray | None]:
        error = self.predict_proba(records)[:, 1] - records.y
        slopes = error[:, None] * self.weights * np.isfinite(records.X)
        return slopes, None if records.series is None else np.zeros(records.series.shape)

    def weight_gradient(self, records: Records) -> np.ndarray:
        raise NotImplementedError


def at(size: float) -> Setting:
    return Setting("budget", size, "sd")


def table(n: int = 1500, missing: float = 0.0, seed: int = 0) -> Records:
    """Six free columns of different units, an immutable one, a flag, a code and a count."""
    rng = np.random.default_rng(seed)
    units = np.array([1.0, 2.0, 5.0, 10.0, 0.1, 1.0])
    x = np.concatenate([rng.normal(size=(n, FREE)) * units, rng.normal(size=(n, 4))], axis=1)
    x[:, 7:] = rng.integers(0, 2, size=(n, 3))
    y = (rng.random(n) < expit(x[:, :FREE] / units @ np.ones(FREE) - 1)).astype(int)
    x[:, :FREE][rng.random((n, FREE)) < missing] = np.nan
    columns = (
        *(Column(f"x{j}") for j in range(FREE)),
        Column("age", mutable=False),
        Column("flag", kind="binary"),
        Column("code", kind="category", levels=("a", "b")),
        Column("x_n", variable="x", statistic="count"),
    )
    return Records(columns, x, y, np.arange(n) // 2, np.zeros(n))


def linear() -> Linear:
    scale = np.array([1.0, 2.0, 5.0, 10.0, 0.1, 1.0])
    return Linear(np.concatenate([1 / scale, np.full(4, 0.7)]))


def target(records: Records, model: object) -> Target:
    return Target(Release(model=model), Split.assign(records, np.random.default_rng(1)))  # type: ignore[arg-type]


SPANS = {"hr": (0.1, 299.0), "temp": (25.0, 45.0), "lactate": (0.1, 50.0), "gcs": (3.0, 15.0)}


def vitals(n: int = 2000, seed: int = 0, counts: bool = True, steps: bool = True) -> Records:
    """Values of up to eight hours summarised, of none to eight of them; a score of whole numbers,
    and heart rates, which the source rounds."""
    rng = np.random.default_rng(seed)
    columns, parts = [], []
    for name, (centre, scale) in zip(
        SPANS, [(80, 15), (37, 0.7), (1.0, 0.8), (12, 4)], strict=True
    ):
        hourly = centre + scale * (rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(n, 8)))
        if steps and name in ("hr", "gcs"):
            hourly = np.rint(hourly)
        hourly = np.clip(hourly, *SPANS[name]).astype(np.float32)
        count = rng.choice([0, 1, 2, 3, 4, 8], size=n)
        known = np.arange(8) < count[:, None]
        there = count > 0
        low = np.where(known, hourly, np.inf).min(axis=1)
        high = np.where(known, hourly, -np.inf).max(axis=1)
        total = np.where(known, hourly, 0).sum(axis=1, dtype=np.float64)
        mean = (total / np.maximum(count, 1)).astype(np.float32).clip(low, high)
        found = {"first": hourly[:, 0], "last": hourly[np.arange(n), np.maximum(count, 1) - 1]}
        found |= {"min": low, "max": high, "mean": mean}
        for statistic, part in found.items():
            columns.append(
                Column(
                    f"{name}_{statistic}",
                    "numeric",
                    SPANS[name],
                    variable=name,
                    statistic=statistic,
                )  # type: ignore[arg-type]
            )
            parts.append(np.where(there, part, np.nan))
        if counts:
            columns.append(Column(f"{name}_n", mutable=False, variable=name, statistic="count"))
            parts.append(count)
    x = np.stack(parts, axis=1)
    columns += [Column("ward_a", "binary"), Column("ward_b", "binary")]
    ward = rng.integers(0, 2, n)
    x = np.column_stack([x, ward, 1 - ward])
    y = (rng.random(n) < 0.2).astype(int)
    return Records(tuple(columns), x, y, np.arange(n), np.zeros(n))


@cache
def usual_spread(counts: bool) -> np.ndarray:
    return np.nanstd(vitals(counts=counts).X, axis=0)


def broken_rules(before: Records, after: Records, budget: float) -> list[str]:
    """Every rule of a possible patient that some record breaks, by arithmetic of its own."""
    found = []
    x, was = after.X.astype(float), before.X.astype(float)
    place = {c.name: j for j, c in enumerate(after.columns)}
    if not np.array_equal(np.isnan(x), np.isnan(was)):
        found.append("missing")
    fixed = [
        j for j, c in enumerate(after.columns) if c.kind != "numeric" or c.statistic == "count"
    ]
    if not np.array_equal(x[:, fixed], was[:, fixed]):
        found.append("codes and counts")
    spread = usual_spread("hr_n" in place)
    if np.nanmax(np.abs(x - was) / np.where(spread > 0, spread, 1)) > budget * 1.15:
        found.append("budget")
    for name, (low, high) in SPANS.items():
        rows = np.isfinite(x[:, place[f"{name}_min"]])
        v = {s: x[rows, place[f"{name}_{s}"]] for s in _constraints.SUMMARIES}
        close = 1e-5 * np.abs(v["max"])
        for inner in ("mean", "first", "last"):
            if ((v[inner] < v["min"]) | (v[inner] > v["max"])).any():
                found.append(f"{name}: {inner} between")
        ends = np.float32([low, high])
        if (v["min"] < ends[0]).any() or (v["max"] > ends[1]).any():
            found.append(f"{name}: range")
        if name in ("hr", "gcs") and any((v[s] != np.rint(v[s])).any() for s in v if s != "mean"):
            found.append(f"{name}: whole")
        once = was[rows, place[f"{name}_min"]] == was[rows, place[f"{name}_max"]]
        if f"{name}_n" not in place:
            if (v["min"] != v["max"])[once].any():
                found.append(f"{name}: once")
            continue
        n = was[rows, place[f"{name}_n"]]
        step = (v["max"] - v["min"]) / n
        outside = (v["mean"] < v["min"] + step - close) | (v["mean"] > v["max"] - step + close)
        if outside[n > 1].any():
            found.append(f"{name}: mean for its count")
        one, two = n == 1, n == 2
        if any((v[s] != v["min"])[one].any() for s in v):
            found.append(f"{name}: one value")
        if (np.abs(v["mean"] - (v["min"] + v["max"]) / 2) > close)[two].any():
            found.append(f"{name}: mean of two")
        pairs = np.sort([v["first"], v["last"]], axis=0), np.sort([v["min"], v["max"]], axis=0)
        if (pairs[0] != pairs[1])[:, two].any():
            found.append(f"{name}: first and last of two")
        few = n == 3
        touch = [(v[s] == v["min"]) | (v[s] == v["max"]) for s in ("first", "last")]
        if not (touch[0] | touch[1])[few].all():
            found.append(f"{name}: first or last of three")
    return found


def tilted(records: Records, seed: int = 3) -> Linear:
    """A linear model whose slopes on the summaries of a variable contradict each other."""
    rng = np.random.default_rng(seed)
    spread = np.nanstd(records.X, axis=0)
    weights = rng.normal(size=len(spread)) / np.where(spread > 0, spread, 1)
    names = [c.name for c in records.columns]
    for name in SPANS:
        for statistic, w in (("min", 0.8), ("mean", -1.0), ("max", -0.7)):
            j = names.index(f"{name}_{statistic}")
            weights[j] = w / spread[j]
    return Linear(weights * 0.4)
