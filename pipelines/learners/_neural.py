"""A trained network as a model: probabilities, and gradients for inputs and weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch

from pipelines.learners._training import Network, Weights, one_thread
from privaudit.records import Records

CHUNK = 1024
"""Rows answered at once: bounds the memory of an LSTM's hourly states."""


class Preparation(Protocol):
    """Records to a network's inputs, and gradients back."""

    def __call__(self, records: Records) -> tuple[np.ndarray, ...]: ...

    def pull_back(
        self, records: Records, gradients: tuple[np.ndarray, ...]
    ) -> tuple[np.ndarray, np.ndarray | None]: ...


@dataclass(frozen=True, eq=False)
class Neural:
    """A network and how its inputs are prepared; holds no training row. `Differentiable`.

    Args:
        weights: Float32 arrays of one model, as `network.start` orders them.
    """

    prepare: Preparation
    network: Network
    weights: tuple[np.ndarray, ...]

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, k) float64, rows sum to 1."""
        stacked = [torch.from_numpy(w)[None] for w in self.weights]

        def logits(part: Records) -> torch.Tensor:
            inputs = [torch.from_numpy(x)[None] for x in self.prepare(part)]
            return self.network.logits(stacked, inputs, ())[0]

        return probabilities(logits, records)

    def input_gradient(self, records: Records) -> tuple[np.ndarray, np.ndarray | None]:
        """Gradient of each record's log loss for its inputs, see `privaudit.contracts`."""
        found = []
        with one_thread():
            stacked = [torch.from_numpy(w)[None] for w in self.weights]
            for part in chunks(records):
                inputs = [torch.from_numpy(x)[None].requires_grad_() for x in self.prepare(part)]
                logits = self.network.logits(stacked, inputs, ())[0]
                y = torch.from_numpy(part.y)
                loss = torch.nn.functional.cross_entropy(logits, y, reduction="sum")
                gradients = torch.autograd.grad(loss, inputs)
                found.append(self.prepare.pull_back(part, tuple(g[0].numpy() for g in gradients)))
        x = np.concatenate([dx for dx, _ in found])
        if records.series is None:
            return x, None
        series = [
            np.zeros(part.series.shape) if ds is None else ds
            for part, (_, ds) in zip(chunks(records), found, strict=True)
            if part.series is not None
        ]
        return x, np.concatenate(series)

    def weight_gradient(self, records: Records) -> np.ndarray:
        """(n, p) float32, in the order of `weights`, each array flattened."""
        stacked = tuple(torch.from_numpy(w)[None] for w in self.weights)
        one = torch.func.vmap(
            torch.func.grad(partial(_record_loss, self.network)), in_dims=(None, 0, 0)
        )
        found = []
        with one_thread():
            for part in chunks(records, 128):
                inputs = tuple(torch.from_numpy(x) for x in self.prepare(part))
                gradients = one(stacked, inputs, torch.from_numpy(part.y))
                found.append(torch.cat([g.flatten(1) for g in gradients], dim=1).numpy())
        return np.concatenate(found)


def _record_loss(
    network: Network, weights: Weights, inputs: tuple[torch.Tensor, ...], y: torch.Tensor
) -> torch.Tensor:
    logits = network.logits(weights, [x[None, None] for x in inputs], ())[0]
    return torch.nn.functional.cross_entropy(logits, y[None])


def probabilities(logits: Callable[[Records], torch.Tensor], records: Records) -> np.ndarray:
    """(n, k) float64; the softmax is taken in float64 so that sure answers keep their order."""
    with one_thread(), torch.no_grad():
        parts = [torch.softmax(logits(part).double(), dim=1) for part in chunks(records)]
    return torch.cat(parts).numpy()


def chunks(records: Records, size: int = CHUNK) -> Sequence[Records]:
    """The records in runs of `size` rows; one empty run where there are none."""
    return [records.take(slice(i, i + size)) for i in range(0, max(len(records), 1), size)]
