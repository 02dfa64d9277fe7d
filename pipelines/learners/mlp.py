"""Multilayer perceptron: a small neural network on the summary columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pipelines.learners._prepare import Table, check_outcomes, hold_out
from privaudit.contracts import Learner, Model
from privaudit.records import Records

if TYPE_CHECKING:
    import torch

MOST_DECAY = 10.0
"""With a rate of 0.002, weights shrink by 2 % a step; more would leave nothing to learn with."""


@dataclass(frozen=True)
class MLP(Learner):
    """A neural network with rectified hidden layers, dropout and early stopping.

    hidden: width of each hidden layer; dropout: share of hidden units dropped in training; rate,
    rows: AdamW's learning rate and minibatch; decay: AdamW's weight decay for each input column
    per training row (at most `MOST_DECAY`), so that a wide table of few rows is held tighter than
    a narrow one of many; epochs, patience: the most epochs, and how many without a better
    validation loss; held_out: share of the training patients kept for early stopping, 0 for none.
    Several tables are trained as one program of batched matrix products. Source: Rumelhart, Hinton and Williams 1986; dropout: Srivastava et
    al. 2014; AdamW: Loshchilov and Hutter 2019 (arXiv 1711.05101).
    """

    hidden: tuple[int, ...] = (64,)
    dropout: float = 0.3
    rate: float = 0.002
    decay: float = 30.0
    rows: int = 128
    epochs: int = 40
    patience: int = 6
    held_out: float = 0.15

    batch: ClassVar[int] = 16

    def fit(self, records: Records, rng: np.random.Generator) -> Model:
        (model,) = self.fit_many([records], [rng])
        return model

    def fit_many(
        self, records: Sequence[Records], rngs: Sequence[np.random.Generator]
    ) -> Sequence[Model]:
        """One model a table, each trained on its table and stream alone, all in one program."""
        from pipelines.learners._neural import Neural
        from pipelines.learners._training import Plan, train

        for table in records:
            check_outcomes(table)
        held = [
            hold_out(table, self.held_out, rng) for table, rng in zip(records, rngs, strict=True)
        ]
        prepared = [Columns(Table.fit(table)) for table in records]
        widths = (prepared[0].table.width, *self.hidden, len(records[0].classes))
        decay = tuple(min(self.decay * widths[0] / int((~h).sum()), MOST_DECAY) for h in held)
        network = Layers(widths, self.dropout)
        found = train(
            network,
            [prepare(table) for prepare, table in zip(prepared, records, strict=True)],
            [table.y for table in records],
            held,
            rngs,
            Plan(self.rate, decay, self.rows, self.epochs, self.patience),
        )
        return [
            Neural(prepare, network, weights)
            for prepare, weights in zip(prepared, found, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Columns:
    """The summary columns as a network's only input."""

    table: Table

    def __call__(self, records: Records) -> tuple[np.ndarray, ...]:
        return (self.table(records),)

    def pull_back(
        self, records: Records, gradients: tuple[np.ndarray, ...]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        return self.table.pull_back(records, gradients[0]), None


@dataclass(frozen=True)
class Layers:
    """Stacked fully connected layers of these widths, rectified in between."""

    widths: tuple[int, ...]
    dropout: float

    @property
    def drops(self) -> tuple[tuple[int, float], ...]:
        return tuple((width, self.dropout) for width in self.widths[1:-1]) if self.dropout else ()

    def start(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """He-normal weights (He et al. 2015, arXiv 1502.01852), zero biases and a quiet last layer."""
        parts = []
        for fan_in, fan_out in pairwise(self.widths):
            scale = np.sqrt((2 if fan_out != self.widths[-1] else 0.1) / max(fan_in, 1))
            parts.append((rng.standard_normal((fan_in, fan_out)) * scale).astype(np.float32))
            parts.append(np.zeros((1, fan_out), dtype=np.float32))
        return tuple(parts)

    def logits(
        self,
        weights: Sequence[torch.Tensor],
        inputs: Sequence[torch.Tensor],
        masks: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        import torch

        (h,) = inputs
        last = len(weights) // 2 - 1
        for i in range(last + 1):
            h = torch.baddbmm(weights[2 * i + 1], h, weights[2 * i])
            if i < last:
                h = torch.relu(h)
                if masks:
                    h = h * masks[i]
        return h

    def slopes(
        self,
        weights: Sequence[torch.Tensor],
        inputs: Sequence[torch.Tensor],
        masks: Sequence[torch.Tensor],
        target: torch.Tensor,
    ) -> Sequence[torch.Tensor]:
        """By hand: automatic differentiation's overhead is half of a step of networks this small."""
        import torch

        (h,) = inputs
        seen = []
        last = len(weights) // 2 - 1
        for i in range(last + 1):
            seen.append(h)
            h = torch.baddbmm(weights[2 * i + 1], h, weights[2 * i])
            if i < last:
                h = h.relu_()
                if masks:
                    h = h * masks[i]
        slope = torch.softmax(h, dim=2)
        slope.scatter_add_(2, target[..., None], slope.new_full((*target.shape, 1), -1.0))
        slope /= target.shape[1]
        found: list[torch.Tensor] = []
        for i in range(last, -1, -1):
            found = [torch.bmm(seen[i].transpose(1, 2), slope), slope.sum(1, keepdim=True), *found]
            if i:
                slope = torch.bmm(slope, weights[2 * i].transpose(1, 2))
                slope *= seen[i] > 0
                if masks:
                    slope *= masks[i - 1]
        return found


__all__ = ["MLP"]
