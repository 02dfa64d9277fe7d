"""From records to the numbers that a model reads, fitted on training rows and on nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.records import Column, Records

CLIP = 4.0
"""Standardised values are cut here: one mistyped laboratory value must not steer a model."""


@dataclass(frozen=True, eq=False)
class Table:
    """Imputed, scaled, clipped columns and one-hot levels: (n, d) with gaps -> (n, width) without.

    A column that never varies in training gets factor 0, so whatever value it takes later says
    nothing.

    Args:
        read: Indices of the columns that are read.
        centre, factor, fill: (len(numbers),) for the numeric and binary ones.
    """

    columns: tuple[Column, ...]
    read: tuple[int, ...]
    centre: np.ndarray
    factor: np.ndarray
    fill: np.ndarray

    @classmethod
    def fit(cls, records: Records, read: Sequence[int] | None = None) -> Table:
        """Medians, means and standard deviations of these rows; read: all columns unless given."""
        chosen = tuple(range(len(records.columns))) if read is None else tuple(read)
        check_levels(records, chosen)
        numbers = _numbers(records.columns, chosen)
        fill = _medians(records.X[:, numbers])
        values = records.X[:, numbers]
        values = np.where(np.isnan(values), fill, values).astype(np.float64)
        centre, spread = values.mean(axis=0), values.std(axis=0)
        varies = spread > 1e-6 * np.maximum(np.abs(centre), 1e-12)
        factor = np.divide(1.0, spread, out=np.zeros_like(spread), where=varies)
        return cls(records.columns, chosen, centre, factor, fill.astype(np.float32))

    @property
    def numbers(self) -> list[int]:
        """Indices of the numeric and binary columns among those read."""
        return _numbers(self.columns, self.read)

    @property
    def width(self) -> int:
        return len(self.centre) + sum(len(self.columns[j].levels) for j in self.categories)

    @property
    def categories(self) -> list[int]:
        return [j for j in self.read if self.columns[j].kind == "category"]

    def __call__(self, records: Records) -> np.ndarray:
        """(n, width) float32 without gaps, clipped at CLIP standard deviations."""
        check_columns(records, self.columns)
        check_levels(records, self.read)
        out = np.empty((len(records), self.width), dtype=np.float32)
        values = records.X[:, self.numbers]
        scaled = (np.where(np.isnan(values), self.fill, values) - self.centre) * self.factor
        np.clip(scaled, -CLIP, CLIP, out=out[:, : len(self.centre)], casting="same_kind")
        one_hot(records, self.categories, out[:, len(self.centre) :])
        return out

    def pull_back(self, records: Records, gradient: np.ndarray) -> np.ndarray:
        """Gradient for `self(records)`, (n, width), as one for X, (n, d), in the records' own
        units.

        Zero where a value is missing, clipped, or a category's code.
        """
        numbers = self.numbers
        values = records.X[:, numbers]
        scaled = (values - self.centre) * self.factor
        live = np.abs(scaled) <= CLIP  # False for NaN
        out = np.zeros(records.X.shape)
        out[:, numbers] = np.where(live, gradient[:, : len(self.centre)] * self.factor, 0.0)
        return out


@dataclass(frozen=True, eq=False)
class Series:
    """Hourly channels without gaps: last value carried forward, whether measured, hours since.

    (n, hours, channels) with gaps -> (n, hours, 3 x channels) float32. Before the first
    measurement a channel stands at its training mean, which is 0 after scaling.
    """

    channels: tuple[Column, ...]
    hours: int
    centre: np.ndarray
    factor: np.ndarray

    @classmethod
    def fit(cls, records: Records) -> Series:
        """Mean and standard deviation of each channel over the hours it was measured in these
        rows."""
        series = hourly(records)
        flat = series.reshape(-1, series.shape[2])
        seen = ~np.isnan(flat)
        count = np.maximum(seen.sum(axis=0), 1)
        values = np.where(seen, flat, 0).astype(np.float64)
        centre = values.sum(axis=0) / count
        spread = np.sqrt((np.where(seen, values - centre, 0) ** 2).sum(axis=0) / count)
        varies = spread > 1e-6 * np.maximum(np.abs(centre), 1e-12)
        factor = np.divide(1.0, spread, out=np.zeros_like(spread), where=varies)
        return cls(records.channels, series.shape[1], centre, factor)

    @property
    def width(self) -> int:
        return 3 * len(self.centre)

    def __call__(self, records: Records) -> np.ndarray:
        series = self._checked(records)
        scaled = np.clip((series - self.centre) * self.factor, -CLIP, CLIP)
        return carry_forward(scaled, ~np.isnan(series))

    def pull_back(self, records: Records, gradient: np.ndarray) -> np.ndarray:
        """Gradient for `self(records)` as one for series (n, hours, channels), in its own units.

        A measured value collects the gradients of all hours that it was carried to.
        """
        series = self._checked(records)
        out = collect_carried(gradient[..., : len(self.centre)], ~np.isnan(series))
        live = np.abs((series - self.centre) * self.factor) <= CLIP
        return np.where(live, out * self.factor, 0.0)

    def _checked(self, records: Records) -> np.ndarray:
        series = hourly(records)
        if records.channels != self.channels or series.shape[1] != self.hours:
            raise PrivauditError(
                f"a series of {series.shape[1]} hours and {series.shape[2]} channels",
                f"the model was trained on {self.hours} hours and {len(self.channels)} channels of "
                "given names",
                "build the records by the pipeline that built the training records",
            )
        return series


def carry_forward(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Each channel's last value (0 before the first), whether it was measured, and hours since.

    Args:
        values: (n, hours, channels), read where `seen`.
        seen: (n, hours, channels) bool, whether the channel was measured in that hour.

    Returns:
        (n, hours, 3 x channels) float32; hours since are a share of all hours.
    """
    n, hours, c = seen.shape
    hour = np.arange(hours)[None, :, None]
    last = np.maximum.accumulate(np.where(seen, hour, -1), axis=1)
    carried = np.take_along_axis(values, np.maximum(last, 0), axis=1)
    out = np.empty((n, hours, 3 * c), dtype=np.float32)
    out[..., :c] = np.where(last < 0, 0, carried)
    out[..., c : 2 * c] = seen
    out[..., 2 * c :] = np.where(last < 0, hour + 1, hour - last) / max(hours, 1)
    return out


def collect_carried(gradient: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Gradients of carried values, (n, hours, channels), summed where each was measured."""
    out = np.zeros(gradient.shape)
    flowing = np.zeros((len(gradient), gradient.shape[2]))
    # From the end: sum what flows to this hour, and start afresh before each measurement.
    for hour in range(gradient.shape[1] - 1, -1, -1):
        flowing += gradient[:, hour]
        out[:, hour] = np.where(seen[:, hour], flowing, 0.0)
        flowing[seen[:, hour]] = 0.0
    return out


def hourly(records: Records) -> np.ndarray:
    """The records' series, or PrivauditError where they have none that can be learnt from.

    Returns:
        (n, hours, channels) float32, NaN where not measured.
    """
    if records.series is None:
        raise PrivauditError(
            "records without an hourly series",
            "an LSTM reads hourly values: (rows, hours, channels)",
            "use a task that delivers series, or another learner: logreg, mlp, boosted",
        )
    if np.isinf(records.series).any():
        raise PrivauditError(
            "infinite values in the hourly series",
            "a model cannot learn from infinity",
            "replace infinite values by NaN, which means not measured",
        )
    return records.series


def one_hot(records: Records, categories: Sequence[int], out: np.ndarray) -> None:
    """Write the levels of these columns into out (n, levels): all zero where the code is
    missing."""
    out[:] = 0
    start = 0
    for j in categories:
        codes = records.X[:, j]
        known = np.flatnonzero(~np.isnan(codes))
        out[known, start + codes[known].astype(np.int64)] = 1
        start += len(records.columns[j].levels)


def check_pictures(records: Records) -> tuple[int, int, int]:
    """The shape of the pictures; PrivauditError for records of another kind and missing pixels."""
    if records.image is None:
        raise PrivauditError(
            "records that are no pictures",
            "a convolution reads neighbouring pixels (`Records.image`)",
            "use a task of pictures, or another learner: logreg, mlp, boosted",
        )
    if np.isnan(records.X).any():
        raise PrivauditError(
            "pictures with missing pixels",
            "every pixel of a picture has a value",
            "leave these pictures out, or fill the pixels in",
        )
    return records.image


def check_columns(records: Records, columns: tuple[Column, ...]) -> None:
    """Refuse records that are not the kind of table the model was trained on."""
    if records.columns is not columns and records.columns != columns:
        raise PrivauditError(
            f"records with {len(records.columns)} columns that are not the model's",
            f"the model was trained on {len(columns)} columns of given names, kinds and levels",
            "build the records by the pipeline that built the training records",
        )


def check_levels(records: Records, read: Sequence[int]) -> None:
    """Refuse category codes that name no level."""
    for j in read:
        column = records.columns[j]
        if column.kind != "category":
            continue
        codes = records.X[:, j]
        codes = codes[~np.isnan(codes)]
        wrong = codes[(codes < 0) | (codes >= len(column.levels)) | (codes != np.floor(codes))]
        if len(wrong):
            raise PrivauditError(
                f"column {column.name!r} holds {len(wrong)} codes that name no level",
                f"it has {len(column.levels)} levels, so codes are whole numbers from 0 to "
                f"{len(column.levels) - 1}",
                "name every level in the column's `levels` and code by their order",
            )


def check_outcomes(records: Records) -> None:
    """Refuse rows that hold fewer than two classes: there is nothing to tell apart."""
    present = np.unique(records.y)
    if len(present) < 2:
        named = f"only {records.classes[present[0]]!r}" if len(present) else "none"
        raise PrivauditError(
            f"{len(records)} training rows whose outcomes are {named}",
            "a classifier needs rows of at least two classes",
            "train on more patients, or check how the outcome was coded",
        )


def hold_out(records: Records, share: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool: rows kept apart for early stopping, all rows of a patient on one side.

    Balanced by each patient's highest outcome code, so that a rare outcome is on both sides
    where at least two patients have it. A share of 0 keeps none apart.
    """
    if not 0 <= share < 1:
        raise PrivauditError(
            f"a held-out share of {share}",
            "it is a share of the patients, from 0 (no early stopping) to below 1",
            "use 0.15 unless you have a reason",
        )
    if share == 0:
        return np.zeros(len(records), dtype=bool)
    patients, row = np.unique(records.patient, return_inverse=True)
    if len(patients) < 2:
        raise PrivauditError(
            f"training rows of {len(patients)} patient(s)",
            "early stopping holds some patients out of the training rows",
            "train on at least two patients, set held_out=0, or use the learner logreg",
        )
    outcome = np.zeros(len(patients), dtype=np.int64)
    np.maximum.at(outcome, row, records.y)
    order = rng.permutation(len(patients))
    order = order[np.argsort(outcome[order], kind="stable")]
    wanted = max(1, round(share * len(patients)))
    # Evenly spaced in the order of outcomes; the random start keeps every patient equally likely.
    start = rng.random() * len(patients) / wanted
    place = (start + np.arange(wanted) * len(patients) / wanted).astype(np.int64)
    picked = order[np.minimum(place, len(patients) - 1)]
    held = np.zeros(len(patients), dtype=bool)
    held[picked] = True
    return held[row]


def _numbers(columns: Sequence[Column], read: Sequence[int]) -> list[int]:
    return [j for j in read if columns[j].kind != "category"]


def _medians(values: np.ndarray) -> np.ndarray:
    """Median of what was measured in each column; 0 for a column that never was."""
    ordered = np.sort(np.ascontiguousarray(values.T), axis=1)  # NaN sorts last
    count = (~np.isnan(ordered)).sum(axis=1)
    rows = np.arange(len(ordered))
    low, high = (ordered[rows, np.maximum(count - 1, 0) // 2], ordered[rows, count // 2])
    return np.where(count > 0, (low + high) / 2, 0).astype(np.float32)
