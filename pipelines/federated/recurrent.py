"""Series as a network that is shared reads them, and its recurrent layer: public knowledge only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pipelines.federated.encode import PublicEncoding
from pipelines.learners._prepare import carry_forward, collect_carried, hourly
from privaudit.errors import PrivauditError
from privaudit.records import Records

if TYPE_CHECKING:
    import torch

CHUNK = 1024
"""Rows encoded at once: bounds the memory of hourly inputs."""


@dataclass(frozen=True)
class Hours:
    """The hourly series and the columns that do not change, publicly encoded, hour by hour.

    Each channel's last value (0 before the first), whether it was measured in that hour and the
    hours since, over the window; then the encoded columns that summarise no variable, in every
    hour.
    """

    series: PublicEncoding
    fixed: PublicEncoding
    still: tuple[int, ...]

    @classmethod
    def of(cls, records: Records) -> Hours:
        """How records of this schema are read; no value of theirs is looked at."""
        hourly(records)
        for channel in records.channels:
            if channel.kind == "category":
                raise PrivauditError(
                    f"a channel {channel.name!r} of categories",
                    "a recurrent layer reads numbers hour by hour",
                    "use a network that reads the summary columns: trunk=Dense(), or "
                    "front=Pooled() of a federation",
                )
        still = tuple(j for j, c in enumerate(records.columns) if not c.variable)
        fixed = PublicEncoding(tuple(records.columns[j] for j in still))
        return cls(PublicEncoding(records.channels), fixed, still)

    def __call__(self, records: Records) -> tuple[np.ndarray, ...]:
        series = hourly(records)
        if records.channels != self.series.columns:
            raise PrivauditError(
                f"a series of {len(records.channels)} channels that are not the model's",
                f"the model was trained on {len(self.series.columns)} channels of given names",
                "build the records by the pipeline that built the training records",
            )
        _, hours, channels = series.shape
        values = self.series.encode(flatten_hours(records))[:, :channels].reshape(series.shape)
        moving = carry_forward(values, ~np.isnan(series))
        static = self.fixed.encode(keep_columns(records, self.still))[:, None]
        return (np.concatenate([moving, np.repeat(static, hours, axis=1)], axis=2),)

    @property
    def width(self) -> int:
        return 3 * len(self.series.columns) + self.fixed.width


@dataclass(frozen=True)
class Bins:
    """The publicly encoded hours, averaged over bins of `pool` hours, and the columns that stay.

    The last bin may be shorter than the others.
    """

    hours: Hours
    pool: int

    @property
    def width(self) -> int:
        """Inputs of one bin: value, whether measured and hours since, for every channel."""
        return 3 * len(self.hours.series.columns)

    @property
    def fixed(self) -> int:
        """Inputs that do not change."""
        return self.hours.fixed.width

    def __call__(self, records: Records) -> tuple[np.ndarray, ...]:
        """(n, bins, width) and (n, fixed), float32."""
        parts, still = [], []
        for i in range(0, max(len(records), 1), CHUNK):
            (x,) = self.hours(records.take(slice(i, i + CHUNK)))
            starts, counts = self._bins(x.shape[1])
            sums = np.add.reduceat(x[..., : self.width], starts, axis=1)
            parts.append(sums / counts[:, None].astype(np.float32))
            still.append(x[:, 0, self.width :])
        return np.concatenate(parts), np.concatenate(still)

    def pull_back(
        self, records: Records, gradients: tuple[np.ndarray, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gradients for `self(records)` as ones for X and for series, in the records' own units.

        A measured value collects the gradients of all hours that it was carried to.
        """
        series, fixed = records.series, list(self.hours.still)
        assert series is not None
        _, hours, channels = series.shape
        _, counts = self._bins(hours)
        spread = np.repeat(gradients[0][..., :channels] / counts[:, None], counts, axis=1)
        collected = collect_carried(spread, ~np.isnan(series))
        encoding = self.hours.series
        ds = encoding.pull_back(flatten_hours(records), collected.reshape(-1, channels))
        dx = np.zeros(records.X.shape)
        dx[:, fixed] = self.hours.fixed.pull_back(keep_columns(records, fixed), gradients[1])
        return dx, ds.reshape(series.shape)

    def count(self, hours: int) -> int:
        """How many bins so many hours make."""
        return -(-hours // self.pool)

    def _bins(self, hours: int) -> tuple[np.ndarray, np.ndarray]:
        starts = np.arange(0, hours, self.pool)
        return starts, np.diff(np.append(starts, hours))


@dataclass(frozen=True)
class SeriesEncoding:
    """Each record's bins, one after another, then the columns that do not change, as one row.

    Args:
        hours: How many hours the series have.
    """

    bins: Bins
    hours: int

    @classmethod
    def of(cls, records: Records, pool: int) -> SeriesEncoding:
        """How records of this schema are read, in bins of `pool` hours; no value is looked at."""
        if records.series is None or 0 in records.series.shape[1:]:
            raise PrivauditError(
                "records without an hourly series",
                "a recurrent network reads hourly values: (rows, hours, channels)",
                "use a task that delivers series, or front=Pooled(), with which a network reads "
                "the summary columns",
            )
        return cls(Bins(Hours.of(records), pool), records.series.shape[1])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Bins, numbers of one bin, numbers that do not change."""
        return self.bins.count(self.hours), self.bins.width, self.bins.fixed

    @property
    def width(self) -> int:
        """How many numbers are read of a record."""
        steps, features, fixed = self.shape
        return steps * features + fixed

    def encode(self, records: Records) -> np.ndarray:
        """(n, width) float32 without gaps.

        Raises:
            PrivauditError: For records of other columns, channels or hours.
        """
        if hourly(records).shape[1] != self.hours:
            raise PrivauditError(
                f"a series of {hourly(records).shape[1]} hours",
                f"the model was trained on {self.hours}",
                "build the records by the pipeline that built the training records",
            )
        moving, still = self.bins(records)
        flat = moving.reshape(len(records), self.width - still.shape[1])
        return np.concatenate([flat, still], axis=1)

    def pull_back(self, records: Records, gradient: np.ndarray) -> np.ndarray:
        """Gradient for `encode(records)`, (n, width), as one for X, (n, d), in its own units."""
        return self._pull_both(records, gradient)[0]

    def pull_back_series(self, records: Records, gradient: np.ndarray) -> np.ndarray:
        """The same as one for the series (n, hours, channels), in their own units."""
        return self._pull_both(records, gradient)[1]

    def _pull_both(self, records: Records, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        steps, features, _ = self.shape
        moving, still = np.split(gradient, [steps * features], axis=1)
        return self.bins.pull_back(records, (moving.reshape(len(records), steps, features), still))


@dataclass(frozen=True)
class LSTMLayer:
    """A long short-term memory layer over the bins of `SeriesEncoding`.

    Its parameters, in this order: W (4 units, features) from the bins, b (4 units,), and
    W (4 units, units) from the state before; gates in the order input, forget, output, cell. There
    is one bias, as a second one would have the same gradient.

    Args:
        steps, features, fixed: `SeriesEncoding.shape`.
        units: Size of the state.

    Source: Hochreiter and Schmidhuber 1997, with forget gates.
    """

    steps: int
    features: int
    fixed: int
    units: int

    @property
    def out(self) -> int:
        """Numbers that it makes of a record: last and mean state, and what does not change."""
        return 2 * self.units + self.fixed

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of its parameters."""
        u = self.units
        return (4 * u, self.features), (4 * u,), (4 * u, u)

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Steps, features, fixed and units: what `privaudit.contracts.Exchange` states of it."""
        return self.steps, self.features, self.fixed, self.units

    def start(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Scaled normal weights; the forget gate starts open (Jozefowicz et al. 2015)."""
        u, f = self.units, self.features
        bias = np.zeros(4 * u)
        bias[u : 2 * u] = 1
        return [
            rng.standard_normal(4 * u * f) / np.sqrt(f),
            bias,
            rng.standard_normal(4 * u * u) / np.sqrt(u),
        ]

    def read(self, parts: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """(n, out) of encoded records (n, width); parts: parameters of its shapes."""
        import torch

        from pipelines.learners.lstm import _scan

        enter, bias, again = parts
        moving = x[:, : self.steps * self.features].reshape(-1, self.features)
        gates = torch.addmm(bias, moving, enter.mT)
        last, total = _scan(gates.view(1, len(x), self.steps, 4 * self.units), again.mT[None])
        fixed = x[:, self.steps * self.features :]
        return torch.cat([last[0], total[0] / self.steps, fixed], dim=1)


def check_bounds(records: Records, who: str) -> None:
    """PrivauditError for channels without bounds, which a guarantee rests on; who: the method."""
    unbounded = sum(channel.bounds is None for channel in records.channels)
    if unbounded:
        raise PrivauditError(
            f"{unbounded} channel(s) without bounds",
            "a guarantee rests on bounds that are public knowledge, and none is read off the "
            "records",
            "state the bounds of every channel ([[series.channels]] of a schema), and mark "
            f"none as guessed; or leave {who} out",
        )


def flatten_hours(records: Records) -> Records:
    """Every hour as a row of its own, the channels as its columns."""
    rows = hourly(records).reshape(-1, len(records.channels))
    none = np.zeros(len(rows))
    return Records(columns=records.channels, X=rows, y=none, patient=none, site=none)


def keep_columns(records: Records, read: Sequence[int]) -> Records:
    """The same records with these columns of X alone, and without series."""
    return replace(
        records,
        columns=tuple(records.columns[j] for j in read),
        X=records.X[:, list(read)],
        series=None,
        channels=(),
    )


__all__ = ["Bins", "Hours", "LSTMLayer", "SeriesEncoding", "check_bounds"]
