"""The network that federated, split and private training share: a ReLU MLP as one flat vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from pipelines.federated.encode import PublicEncoding
from privaudit.records import Records

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Network:
    """Fully connected layers of these widths, input to output, rectified in between.

    Its parameters are one vector: layer by layer, W (out, in) row by row, then b (out,), as in
    `privaudit.contracts.Exchange`. Any leading axes of a vector are kept: (models, p) is unpacked
    into (models, out, in) and (models, out). Widths of two are a logistic regression.
    """

    widths: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many parameters."""
        return sum(a * b + b for a, b in pairwise(self.widths))

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """(out, in), (out,), layer by layer."""
        return tuple(s for a, b in pairwise(self.widths) for s in ((b, a), (b,)))

    def start(self, rng: np.random.Generator) -> np.ndarray:
        """(p,) float32: He-normal weights (He et al. 2015, arXiv 1502.01852), a quiet last
        layer."""
        parts = []
        for depth, (fan_in, fan_out) in enumerate(pairwise(self.widths)):
            last = depth == len(self.widths) - 2
            scale = np.sqrt((0.1 if last else 2.0) / max(fan_in, 1))
            parts += [rng.standard_normal(fan_out * fan_in) * scale, np.zeros(fan_out)]
        return np.concatenate(parts).astype(np.float32)

    def unpack(self, flat: torch.Tensor) -> list[torch.Tensor]:
        """(..., p) as views W (..., out, in), b (..., out), layer by layer. Arrays work too."""
        parts, at = [], 0
        for shape in self.shapes:
            n = int(np.prod(shape))
            parts.append(flat[..., at : at + n].reshape(*flat.shape[:-1], *shape))
            at += n
        return parts

    def pack(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """(..., p) from what `unpack` gives."""
        import torch

        lead = parts[1].ndim - 1
        return torch.cat([part.flatten(lead) for part in parts], dim=-1)

    def forward(self, flat: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Logits: (p,), (n, w) -> (n, k), or for several models (m, p), (m, n, w) -> (m, n, k)."""
        parts = self.unpack(flat)
        for i in range(0, len(parts), 2):
            x = x @ parts[i].mT + parts[i + 1].unsqueeze(-2)
            if i < len(parts) - 2:
                x = x.relu()
        return x


@dataclass(frozen=True, eq=False)
class FlatModel:
    """A trained network behind the public encoding; holds no record. `Differentiable`.

    Args:
        weights: (p,) float32 as `Network` packs them.
    """

    encoding: PublicEncoding
    widths: tuple[int, ...]
    weights: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, k) float64, rows sum to 1."""
        import torch

        from pipelines.learners._neural import probabilities

        network, flat = Network(self.widths), torch.from_numpy(self.weights)

        def logits(part: Records) -> torch.Tensor:
            return network.forward(flat, torch.from_numpy(self.encoding.encode(part)))

        return probabilities(logits, records)

    def input_gradient(self, records: Records) -> tuple[np.ndarray, np.ndarray | None]:
        """Gradient of each record's log loss for its inputs, see `privaudit.contracts`."""
        import torch

        from pipelines.learners._neural import chunks
        from pipelines.learners._training import one_thread

        network, flat = Network(self.widths), torch.from_numpy(self.weights)
        found = []
        with one_thread():
            for part in chunks(records):
                x = torch.from_numpy(self.encoding.encode(part)).requires_grad_()
                loss = torch.nn.functional.cross_entropy(
                    network.forward(flat, x), torch.from_numpy(part.y), reduction="sum"
                )
                (gradient,) = torch.autograd.grad(loss, x)
                found.append(self.encoding.pull_back(part, gradient.numpy()))
        series = None if records.series is None else np.zeros(records.series.shape)
        return np.concatenate(found), series

    def weight_gradient(self, records: Records) -> np.ndarray:
        """(n, p) float32, parameters in the order of `weights`."""
        from pipelines.learners._neural import chunks

        parts = [
            record_gradients(self.widths, self.weights, self.encoding.encode(part), part.y)
            for part in chunks(records)
        ]
        return np.concatenate(parts)


def record_gradients(
    widths: tuple[int, ...], weights: np.ndarray, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Per-record gradients of the log loss: (p,), (n, w) encoded, (n,) codes -> (n, p) float32.

    The outer product of each layer's input and its error (Goodfellow 2015, arXiv 1510.01799).
    """
    parts = Network(widths).unpack(weights)  # type: ignore[arg-type]
    inputs, h = [], np.asarray(x, dtype=np.float32)
    layers = len(widths) - 1
    for i in range(layers):
        inputs.append(h)
        h = h @ np.asarray(parts[2 * i]).T + np.asarray(parts[2 * i + 1])
        if i < layers - 1:
            h = np.maximum(h, 0)
    h = h - h.max(axis=1, keepdims=True)
    p = np.exp(h)
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    error = p
    found: list[np.ndarray] = []
    for i in range(layers - 1, -1, -1):
        outer = error[:, :, None] * inputs[i][:, None, :]
        found = [outer.reshape(len(error), -1), error, *found]
        if i:
            error = (error @ np.asarray(parts[2 * i])) * (inputs[i] > 0)
    return np.concatenate(found, axis=1).astype(np.float32, copy=False)


__all__ = ["FlatModel", "Network", "record_gradients"]
