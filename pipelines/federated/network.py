"""The network that federated, split and private training share, as one flat vector: fully connected
layers, and before them convolutions for pictures or an LSTM for series."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from pipelines.federated.encode import Encoding
from pipelines.federated.recurrent import LSTMLayer
from pipelines.learners._prepare import check_pictures
from privaudit.convolutions import (
    Convolution,
    Image,
    convolve,
    count_features,
    list_shapes,
)
from privaudit.errors import PrivauditError
from privaudit.records import Records

if TYPE_CHECKING:
    import torch


class Layout(TypedDict):
    """What an exchange states of a network."""

    widths: tuple[int, ...]
    image: Image | None
    convolutions: tuple[Convolution, ...]
    lstm: tuple[int, int, int, int] | None


@dataclass(frozen=True)
class Network:
    """Fully connected layers of these widths, input to output, rectified in between.

    Its parameters are one vector: layer by layer, W (out, in) row by row, then b (out,), as in
    `privaudit.contracts.Exchange`. Any leading axes of a vector are kept: (models, p) is unpacked
    into (models, out, in) and (models, out). Widths of two are a logistic regression.

    image, convolutions: of a network that reads pictures, whose convolutions come first, also among
    the parameters, with W (out, in, kernel, kernel); widths then begin with what they make. lstm:
    of a network that reads series, the layer that comes first in the same way.
    """

    widths: tuple[int, ...]
    image: Image | None = None
    convolutions: tuple[Convolution, ...] = ()
    lstm: LSTMLayer | None = None

    @classmethod
    def reading(
        cls, records: Records, width: int, above: Sequence[int], front: Sequence[Convolution]
    ) -> Network:
        """A network of these records: `front` and the layers `above` it for pictures, else the
        layers `above` on `width` encoded columns."""
        if records.image is None:
            return cls((width, *above))
        return cls.of_image(check_pixels(records, width), above, front)

    @classmethod
    def of_image(cls, image: Image, above: Sequence[int], front: Sequence[Convolution]) -> Network:
        """A network of pictures of this shape: `front`, and the layers `above` it."""
        return cls((count_features(image, front), *above), image, tuple(front))

    @property
    def size(self) -> int:
        """How many parameters."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """(out, in), (out,), layer by layer."""
        dense = tuple(s for a, b in pairwise(self.widths) for s in ((b, a), (b,)))
        return (*self.below, *dense)

    @property
    def below(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the parameters of the convolutions, or of the LSTM."""
        if self.lstm is not None:
            return self.lstm.shapes
        return () if self.image is None else list_shapes(self.image, self.convolutions)

    @property
    def layout(self) -> Layout:
        """How the parameters lie, as `privaudit.contracts.Exchange` takes it."""
        lstm = None if self.lstm is None else self.lstm.sizes
        return {
            "widths": self.widths,
            "image": self.image,
            "convolutions": self.convolutions,
            "lstm": lstm,
        }

    @property
    def is_dense(self) -> bool:
        """Whether all layers are fully connected, so that several models are one product."""
        return self.image is None and self.lstm is None

    def start(self, rng: np.random.Generator) -> np.ndarray:
        """(p,) float32: He-normal weights (He et al. 2015, arXiv 1502.01852), a quiet last
        layer."""
        parts = [] if self.lstm is None else self.lstm.start(rng)
        for out, *rest in self.below[::2] if self.lstm is None else ():
            fan_in = math.prod(rest)
            parts += [rng.standard_normal(out * fan_in) * np.sqrt(2 / fan_in), np.zeros(out)]
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
        if self.image is not None:
            # Of one model at a time: a convolution has no batch of weights.
            cut = len(self.below)
            x = convolve(parts[:cut], x, self.image, self.convolutions)
            parts = parts[cut:]
        elif self.lstm is not None:
            x, parts = self.lstm.read(parts[:3], x), parts[3:]
        for i in range(0, len(parts), 2):
            x = x @ parts[i].mT + parts[i + 1].unsqueeze(-2)
            if i < len(parts) - 2:
                x = x.relu()
        return x


def check_pixels(records: Records, width: int) -> Image:
    """The shape of pictures that are encoded as `width` numbers, one for each pixel."""
    image = check_pictures(records)
    if width != math.prod(image):
        raise PrivauditError(
            "pictures whose columns are no pixels",
            "a column that may be missing is encoded with a mask, which is no pixel",
            "describe every pixel by a numeric Column with statistic='pixel'",
        )
    return image


@dataclass(frozen=True, eq=False)
class FlatModel:
    """A trained network behind the public encoding; holds no record. `Differentiable`.

    Args:
        weights: (p,) float32 as `Network` packs them.
    """

    encoding: Encoding
    widths: tuple[int, ...]
    weights: np.ndarray
    image: Image | None = None
    convolutions: tuple[Convolution, ...] = ()
    lstm: LSTMLayer | None = None

    @classmethod
    def of(cls, encoding: Encoding, network: Network, weights: np.ndarray) -> FlatModel:
        """The model of these weights."""
        return cls(
            encoding, network.widths, weights, network.image, network.convolutions, network.lstm
        )

    @property
    def network(self) -> Network:
        """What the weights are of."""
        return Network(self.widths, self.image, self.convolutions, self.lstm)

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, k) float64, rows sum to 1."""
        import torch

        from pipelines.learners._neural import probabilities

        network, flat = self.network, torch.from_numpy(self.weights)

        def logits(part: Records) -> torch.Tensor:
            return network.forward(flat, torch.from_numpy(self.encoding.encode(part)))

        return probabilities(logits, records)

    def input_gradient(self, records: Records) -> tuple[np.ndarray, np.ndarray | None]:
        """Gradient of each record's log loss for its inputs, see `privaudit.contracts`."""
        import torch

        from pipelines.learners._neural import chunks
        from pipelines.learners._training import one_thread

        network, flat = self.network, torch.from_numpy(self.weights)
        found, series = [], []
        with one_thread():
            for part in chunks(records):
                x = torch.from_numpy(self.encoding.encode(part)).requires_grad_()
                loss = torch.nn.functional.cross_entropy(
                    network.forward(flat, x), torch.from_numpy(part.y), reduction="sum"
                )
                (gradient,) = torch.autograd.grad(loss, x)
                found.append(self.encoding.pull_back(part, gradient.numpy()))
                series.append(self.encoding.pull_back_series(part, gradient.numpy()))
        known = [part for part in series if part is not None]
        return np.concatenate(found), np.concatenate(known) if known else None

    def weight_gradient(self, records: Records) -> np.ndarray:
        """(n, p) float32, parameters in the order of `weights`."""
        from pipelines.learners._neural import chunks

        if not self.network.is_dense:
            return self._gradients_one_by_one(records)
        parts = [
            record_gradients(self.widths, self.weights, self.encoding.encode(part), part.y)
            for part in chunks(records)
        ]
        return np.concatenate(parts)

    def _gradients_one_by_one(self, records: Records) -> np.ndarray:
        import torch

        from pipelines.learners._neural import chunks
        from pipelines.learners._training import one_thread

        flat, found = torch.from_numpy(self.weights), []
        with one_thread():
            for part in chunks(records, 128):
                x = torch.from_numpy(self.encoding.encode(part))
                found.append(by_record(self.network, flat, x, torch.from_numpy(part.y)).numpy())
        return np.concatenate(found)


def by_record(
    network: Network, flat: torch.Tensor, x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """(n, p) gradients of each record's log loss, of any network: (p,), (n, w) encoded, (n,)."""
    import torch

    def loss(flat: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(network.forward(flat, x[None]), y[None])

    found: torch.Tensor = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(flat, x, y)
    return found


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


__all__ = ["FlatModel", "Network", "by_record", "check_pixels", "record_gradients"]
