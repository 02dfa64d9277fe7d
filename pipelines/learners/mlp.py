"""Multilayer perceptron: a small neural network on the summary columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pipelines.learners._network_learner import NetworkLearner
from pipelines.learners._prepare import Table
from privaudit.records import Records

if TYPE_CHECKING:
    import torch

    from pipelines.learners._neural import Preparation
    from pipelines.learners._training import Weights

MOST_DECAY = 10.0
"""With a rate of 0.002, weights shrink by 2 % a step; more would leave nothing to learn with."""


@dataclass(frozen=True)
class MLP(NetworkLearner):
    """A neural network with rectified hidden layers, dropout and early stopping.

    Several tables are trained as one program of batched matrix products.

    Args:
        hidden: Width of each hidden layer.
        dropout: Share of hidden units dropped in training.
        rate, rows: AdamW's learning rate and minibatch.
        decay: AdamW's weight decay for each input column per training row (at most `MOST_DECAY`),
            so that a wide table of few rows is held tighter than a narrow one of many.
        epochs, patience: The most epochs, and how many without a better validation loss.
        held_out: Share of the training patients kept for early stopping, 0 for none.

    Source: Rumelhart, Hinton and Williams 1986; Srivastava et al. 2014 (dropout); Loshchilov and
    Hutter 2019 (arXiv 1711.05101), AdamW.
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

    def prepare(self, records: Records) -> Columns:
        return Columns(Table.fit(records))

    def network(self, prepare: Preparation, classes: int) -> Layers:
        assert isinstance(prepare, Columns)
        return Layers((prepare.table.width, *self.hidden, classes), self.dropout)

    def decays(self, prepare: Preparation, rows: Sequence[int]) -> tuple[float, ...]:
        assert isinstance(prepare, Columns)
        return tuple(min(self.decay * prepare.table.width / n, MOST_DECAY) for n in rows)


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
        """He-normal weights (He et al. 2015, arXiv 1502.01852), zero biases and a quiet last
        layer."""
        parts = []
        for fan_in, fan_out in pairwise(self.widths):
            scale = np.sqrt((2 if fan_out != self.widths[-1] else 0.1) / max(fan_in, 1))
            parts.append((rng.standard_normal((fan_in, fan_out)) * scale).astype(np.float32))
            parts.append(np.zeros((1, fan_out), dtype=np.float32))
        return tuple(parts)

    def logits(self, weights: Weights, inputs: Weights, masks: Weights) -> torch.Tensor:
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
        self, weights: Weights, inputs: Weights, masks: Weights, target: torch.Tensor
    ) -> Weights:
        """By hand: automatic differentiation's overhead is half of a step of networks this
        small."""
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
