"""Recurrent network on the hourly series, told what was measured and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from pipelines.learners._network_learner import NetworkLearner
from pipelines.learners._prepare import Series, Table
from privaudit.records import Records

if TYPE_CHECKING:
    import torch

    from pipelines.learners._neural import Preparation
    from pipelines.learners._training import Weights


@dataclass(frozen=True)
class LSTM(NetworkLearner):
    """A long short-term memory network over the hours, with the columns that do not change.

    Each hour it reads every channel's last value, whether it was measured in that hour, and the
    time since it last was; its last and its mean state and the columns that summarise no variable
    (age, sex, unit) give the answer.

    Args:
        units: Size of the state.
        dropout: Share of the summarised state dropped in training.
        rate, decay, rows: AdamW's learning rate, weight decay and minibatch.
        epochs, patience, held_out: As in `MLP`.

    Source: Hochreiter and Schmidhuber 1997; masks and time since measured: Che et al. 2018 (arXiv
    1606.01865), section 2.
    """

    units: int = 24
    dropout: float = 0.5
    rate: float = 0.002
    decay: float = 2.0
    rows: int = 32
    epochs: int = 25
    patience: int = 5
    held_out: float = 0.15

    reads: ClassVar[Literal["table", "series"]] = "series"
    batch: ClassVar[int] = 4

    def prepare(self, records: Records) -> Hours:
        return Hours(Table.fit(records, _fixed(records)), Series.fit(records))

    def network(self, prepare: Preparation, classes: int) -> Recurrent:
        assert isinstance(prepare, Hours)
        table, series = prepare.table, prepare.series
        return Recurrent(series.width, self.units, table.width, classes, self.dropout)

    def decays(self, prepare: Preparation, rows: Sequence[int]) -> tuple[float, ...]:
        return (self.decay,) * len(rows)


def _fixed(records: Records) -> list[int]:
    """Columns that summarise no variable: the hourly series says the rest."""
    return [j for j, column in enumerate(records.columns) if not column.variable]


@dataclass(frozen=True, eq=False)
class Hours:
    """Two inputs: the hourly series, and the columns that do not change."""

    table: Table
    series: Series

    def __call__(self, records: Records) -> tuple[np.ndarray, ...]:
        return self.series(records), self.table(records)

    def pull_back(
        self, records: Records, gradients: tuple[np.ndarray, ...]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        return (
            self.table.pull_back(records, gradients[1]),
            self.series.pull_back(records, gradients[0]),
        )


@dataclass(frozen=True)
class Recurrent:
    """Stacked LSTMs of `units` over `features` an hour, and a linear answer with `fixed`
    columns."""

    features: int
    units: int
    fixed: int
    classes: int
    dropout: float

    @property
    def drops(self) -> tuple[tuple[int, float], ...]:
        return ((2 * self.units, self.dropout),) if self.dropout else ()

    def start(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Scaled normal weights; the forget gate starts open (Jozefowicz et al. 2015)."""
        u, read = self.units, 2 * self.units + self.fixed
        bias = np.zeros((1, 4 * u), dtype=np.float32)
        bias[:, u : 2 * u] = 1.0
        return (
            (rng.standard_normal((self.features, 4 * u)) / np.sqrt(self.features)).astype("f4"),
            (rng.standard_normal((u, 4 * u)) / np.sqrt(u)).astype("f4"),
            bias,
            (rng.standard_normal((read, self.classes)) * np.sqrt(0.1 / read)).astype("f4"),
            np.zeros((1, self.classes), dtype=np.float32),
        )

    def logits(self, weights: Weights, inputs: Weights, masks: Weights) -> torch.Tensor:
        import torch

        series, fixed = inputs
        enter, again, bias, read, cut = weights
        models, rows, hours, features = series.shape
        gates = torch.baddbmm(bias, series.reshape(models, rows * hours, features), enter)
        h, total = _scan(gates.view(models, rows, hours, 4 * self.units), again)
        summary = torch.cat([h, total / hours], dim=2)
        if masks:
            summary = summary * masks[0]
        return torch.baddbmm(cut, torch.cat([summary, fixed], dim=2), read)

    def slopes(
        self, weights: Weights, inputs: Weights, masks: Weights, target: torch.Tensor
    ) -> Weights:
        from pipelines.learners._training import by_autograd

        return by_autograd(self, weights, inputs, masks, target)


def _scan(gates: torch.Tensor, again: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Last state and sum of states over the hours; gates: (models, rows, hours, 4 units)."""
    import torch

    units = again.shape[1]
    h = gates.new_zeros(*gates.shape[:2], units)
    c, total = h, h
    for now in gates.unbind(2):
        now = torch.baddbmm(now, h, again)
        sure = torch.sigmoid(now[..., : 3 * units])
        i, f, o = sure.split(units, dim=2)
        c = f * c + i * torch.tanh(now[..., 3 * units :])
        h = o * torch.tanh(c)
        total = total + h
    return h, total


__all__ = ["LSTM"]
