"""The one encoding that clients may use: public knowledge only, nothing read off the data."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from typing import Protocol

import numpy as np

from pipelines.learners._prepare import check_columns, check_levels, one_hot
from privaudit.records import Column, Records

CLIP = 4.0
"""Scaled values are cut here: one mistyped laboratory value must not steer a model."""


@dataclass(frozen=True)
class Scale:
    """How one numeric column is scaled: (t(x) - centre) / scale, t the identity or a logarithm."""

    centre: float
    scale: float
    shape: str = "linear"  # "linear", "log", "log1p" or "asinh"


class Encoding(Protocol):
    """Records as the numbers that a shared network reads, by public knowledge alone."""

    @property
    def width(self) -> int:
        """How many numbers are read of a record."""
        ...

    def encode(self, records: Records) -> np.ndarray:
        """(n, width) float32 without gaps."""
        ...

    def pull_back(self, records: Records, gradient: np.ndarray) -> np.ndarray:
        """Gradient for `encode(records)`, (n, width), as one for X, (n, d)."""
        ...

    def pull_back_series(self, records: Records, gradient: np.ndarray) -> np.ndarray | None:
        """The same as one for the records' series, None where they have none."""
        ...


@dataclass(frozen=True)
class PublicEncoding:
    """Records as the numbers that a federation's, a split or a private model reads.

    No statistic of anybody's records is used: a measured variable is centred at the textbook's
    usual value and scaled by its usual spread (`priors.csv`; skewed laboratory values on a log
    scale), any other bounded column goes from its bounds to [-1, 1], a count by log(1 + x), and an
    unbounded one through asinh. All are cut at 4. A missing value is 0. Columns come in the order:
    numbers (numeric and binary columns, as in `columns`), one mask (1 = missing, else 0) for each
    number without a `measured` column of its variable (a pixel has none), one-hot levels (all 0
    where missing).

    Why: federated preprocessing by pooled statistics would itself be a disclosure (Kairouz et al.
    2021, arXiv 1912.04977, section 4).
    """

    columns: tuple[Column, ...]

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Columns of X behind encoded columns 0..len(numbers)-1."""
        return tuple(j for j, c in enumerate(self.columns) if c.kind != "category")

    @cached_property
    def masks(self) -> tuple[int, ...]:
        """Columns of X that have a mask, in the order of the masks, which follow the numbers."""
        marked = {c.variable for c in self.columns if c.statistic == "measured"}
        return tuple(
            j
            for j in self.numbers
            if self.columns[j].statistic not in ("count", "measured", "pixel")
            and (not self.columns[j].variable or self.columns[j].variable not in marked)
        )

    @cached_property
    def levels(self) -> tuple[tuple[int, slice], ...]:
        """For each category column of X, the encoded columns of its levels."""
        found, start = [], len(self.numbers) + len(self.masks)
        for j, column in enumerate(self.columns):
            if column.kind == "category":
                found.append((j, slice(start, start + len(column.levels))))
                start += len(column.levels)
        return tuple(found)

    @cached_property
    def width(self) -> int:
        """How many encoded columns there are."""
        return self.levels[-1][1].stop if self.levels else len(self.numbers) + len(self.masks)

    @cached_property
    def scales(self) -> tuple[Scale, ...]:
        """One for each number."""
        return tuple(_scale(self.columns[j]) for j in self.numbers)

    def encode(self, records: Records) -> np.ndarray:
        """(n, width) float32 without gaps.

        Raises:
            PrivauditError: For records of other columns and for category codes that name no level.
        """
        check_columns(records, self.columns)
        categories = [j for j, _ in self.levels]
        check_levels(records, categories)
        k, m = len(self.numbers), len(self.masks)
        out = np.zeros((len(records), self.width), dtype=np.float32)
        z = self._scaled(records.X)
        np.clip(np.nan_to_num(z, nan=0.0), -CLIP, CLIP, out=out[:, :k], casting="same_kind")
        out[:, k : k + m] = np.isnan(records.X[:, list(self.masks)])
        one_hot(records, categories, out[:, k + m :])
        return out

    def decode(self, z: np.ndarray) -> np.ndarray:
        """(n, d) float32 X nearest to encoded rows (n, width): NaN where the row says missing."""
        z = np.asarray(z, dtype=np.float64)
        out = np.full((len(z), len(self.columns)), np.nan)
        k = len(self.numbers)
        centre, scale, log, log1p, arc = self._arrays
        t = np.clip(z[:, :k], -CLIP, CLIP) * scale + centre
        x = t.copy()
        x[:, log], x[:, log1p], x[:, arc] = (
            np.exp(t[:, log]),
            np.expm1(t[:, log1p]),
            np.sinh(t[:, arc]),
        )
        for i, j in enumerate(self.numbers):
            column = self.columns[j]
            if column.bounds is not None:
                x[:, i] = np.clip(x[:, i], *column.bounds)
            if column.kind == "binary" or column.statistic in ("count", "measured"):
                x[:, i] = np.round(x[:, i])
        out[:, list(self.numbers)] = x
        for i, j in enumerate(self.masks):
            out[z[:, k + i] > 0.5, j] = np.nan
        for gauge, columns in self._gauges:
            unmeasured = np.flatnonzero(out[:, gauge] < 0.5)
            out[unmeasured[:, None], columns] = np.nan
        for j, where in self.levels:
            block = z[:, where]
            out[:, j] = np.where(block.max(axis=1) > 0.5, block.argmax(axis=1), np.nan)
        return out.astype(np.float32)

    def pull_back(self, records: Records, gradient: np.ndarray) -> np.ndarray:
        """Gradient for `encode(records)`, (n, width), as one for X, (n, d), in the records' units.

        Zero where a value is missing, cut, or a category's code.
        """
        x = records.X[:, list(self.numbers)].astype(np.float64)
        z = self._scaled(records.X)
        _, scale, log, log1p, arc = self._arrays
        slope = np.broadcast_to(1 / scale, x.shape).copy()
        with np.errstate(divide="ignore", invalid="ignore"):
            slope[:, log] /= x[:, log]
            slope[:, log1p] /= 1 + x[:, log1p]
        slope[:, arc] /= np.sqrt(1 + x[:, arc] ** 2)
        out = np.zeros(records.X.shape)
        live = np.abs(z) <= CLIP  # False for NaN
        out[:, list(self.numbers)] = np.where(
            live, gradient[:, : len(self.numbers)] * np.where(live, slope, 0), 0.0
        )
        return out

    def pull_back_series(self, records: Records, gradient: np.ndarray) -> np.ndarray | None:
        """All 0: the series are not read."""
        return None if records.series is None else np.zeros(records.series.shape)

    def _scaled(self, given: np.ndarray) -> np.ndarray:
        x = given[:, list(self.numbers)].astype(np.float64)
        centre, scale, log, log1p, arc = self._arrays
        with np.errstate(divide="ignore", invalid="ignore"):
            x[:, log] = np.log(np.maximum(x[:, log], 0))
            x[:, log1p] = np.log1p(np.maximum(x[:, log1p], 0))
        x[:, arc] = np.arcsinh(x[:, arc])
        return (x - centre) / scale

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        shapes = np.array([s.shape for s in self.scales], dtype="U8")
        return (
            np.array([s.centre for s in self.scales], dtype=np.float64),
            np.array([s.scale for s in self.scales], dtype=np.float64),
            np.flatnonzero(shapes == "log"),
            np.flatnonzero(shapes == "log1p"),
            np.flatnonzero(shapes == "asinh"),
        )

    @cached_property
    def _gauges(self) -> tuple[tuple[int, list[int]], ...]:
        """Each `measured` column with the columns that are missing where it says no."""
        return tuple(
            (
                g,
                [
                    j
                    for j in self.numbers
                    if self.columns[j].variable == gauge.variable
                    and self.columns[j].statistic not in ("count", "measured")
                ],
            )
            for g, gauge in enumerate(self.columns)
            if gauge.statistic == "measured" and gauge.variable
        )


def _scale(column: Column) -> Scale:
    if column.statistic == "count" and column.bounds is not None:
        half = np.log1p(max(column.bounds[1], 1.0)) / 2
        return Scale(half, half, "log1p")
    prior = _priors().get(column.variable or column.name)
    if prior is not None and column.kind == "numeric" and column.statistic != "count":
        return prior
    if column.bounds is not None and column.bounds[1] > column.bounds[0]:
        low, high = column.bounds
        return Scale((low + high) / 2, (high - low) / 2)
    if column.kind == "binary":
        return Scale(0.5, 0.5)
    return Scale(0.0, 1.0, "asinh")


@lru_cache(maxsize=1)
def _priors() -> dict[str, Scale]:
    text = resources.files("pipelines.federated").joinpath("priors.csv").read_text("utf-8")
    found = {}
    for row in csv.DictReader(text.splitlines()):
        centre, scale = float(row["centre"]), float(row["scale"])
        if int(row["logarithmic"]):
            found[row["variable"]] = Scale(float(np.log(centre)), scale, "log")
        else:
            found[row["variable"]] = Scale(centre, scale)
    return found


__all__ = ["Encoding", "PublicEncoding", "Scale"]
