"""Convolutional network: a small neural network on the pixels of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from pipelines.learners._network_learner import NetworkLearner
from pipelines.learners._prepare import check_columns, check_pictures
from pipelines.learners.mlp import Layers
from pipelines.settings import COUNT, POSITIVE, Range, check_settings
from privaudit.contracts import Model
from privaudit.convolutions import Convolution, Image, convolve, count_features, list_shapes
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records

if TYPE_CHECKING:
    import torch

    from pipelines.learners._neural import Preparation
    from pipelines.learners._training import Weights


@dataclass(frozen=True)
class CNN(NetworkLearner):
    """A network of the size of LeNet: convolutions, each pooled, then fully connected layers.

    It reads pictures alone (`Records.image`). A pixel is never missing, so there is no mask and
    nothing is imputed. Several tables are trained one after another: as one program of stacked
    convolutions they take longer.

    Args:
        channels: What each convolution makes; every one halves the picture's sides.
        kernel: Pixels of a convolution's square along a side, an odd number.
        hidden: Widths of the layers between the convolutions and the answer.
        dropout: Share of hidden units dropped in training.
        rate, rows, decay: AdamW's learning rate, minibatch and weight decay.
        epochs, patience, held_out: As in `MLP`.

    Source: LeCun et al. 1998, Gradient-based learning applied to document recognition, Proceedings
    of the IEEE 86(11).
    """

    channels: tuple[int, ...] = (16, 32)
    kernel: int = 5
    hidden: tuple[int, ...] = (64,)
    dropout: float = 0.3
    rate: float = 0.002
    rows: int = 32
    decay: float = 0.1
    epochs: int = 50
    patience: int = 12
    held_out: float = 0.15

    reads: ClassVar[Literal["table", "series", "picture"]] = "picture"

    def fit_many(
        self, records: Sequence[Records], rngs: Sequence[np.random.Generator]
    ) -> Sequence[Model]:
        """One model a table, one after another."""
        self.check()
        return [
            model
            for part, rng in zip(records, rngs, strict=True)
            for model in super(CNN, self).fit_many([part], [rng])
        ]

    def check(self) -> None:
        """PrivauditError for settings out of range."""
        check_settings(
            self,
            channels=COUNT,
            kernel=COUNT,
            dropout=Range(0, 1),
            rate=POSITIVE,
            rows=COUNT,
            epochs=COUNT,
            patience=COUNT,
        )
        if self.kernel % 2 == 0:
            raise PrivauditError(
                f"CNN with kernel={self.kernel}",
                "a square with a pixel in its middle has an odd side",
                "use kernel=3 or kernel=5",
            )

    def prepare(self, records: Records) -> Pixels:
        return Pixels.fit(records)

    def network(self, prepare: Preparation, classes: int) -> Convolutional:
        assert isinstance(prepare, Pixels)
        layers = tuple(Convolution(out, self.kernel) for out in self.channels)
        widths = (count_features(prepare.image, layers), *self.hidden, classes)
        return Convolutional(prepare.image, layers, Layers(widths, self.dropout))

    def decays(self, prepare: Preparation, rows: Sequence[int]) -> tuple[float, ...]:
        return (self.decay,) * len(rows)


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels less their mean over their standard deviation, both of all training pictures."""

    columns: tuple[Column, ...]
    image: Image
    centre: float
    factor: float

    @classmethod
    def fit(cls, records: Records) -> Pixels:
        """Mean and deviation of these pictures; all equal pixels say nothing."""
        image = check_pictures(records)
        spread = float(records.X.std(dtype=np.float64))
        factor = 1 / spread if spread > 0 else 0.0
        return cls(records.columns, image, float(records.X.mean(dtype=np.float64)), factor)

    def __call__(self, records: Records) -> tuple[np.ndarray, ...]:
        check_columns(records, self.columns)
        check_pictures(records)
        return (((records.X - self.centre) * self.factor).astype(np.float32),)

    def pull_back(
        self, records: Records, gradients: tuple[np.ndarray, ...]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        return gradients[0].astype(np.float64) * self.factor, None


@dataclass(frozen=True)
class Convolutional:
    """Convolutions, then fully connected layers. One model at a time; a convolution's weights are
    a matrix (in x kernel x kernel, out), so that every weight of the network is one."""

    image: Image
    convolutions: tuple[Convolution, ...]
    dense: Layers

    @property
    def drops(self) -> tuple[tuple[int, float], ...]:
        return self.dense.drops

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return list_shapes(self.image, self.convolutions)

    def start(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """He-normal weights (He et al. 2015, arXiv 1502.01852), zero biases, a quiet last layer."""
        parts = []
        for out, *rest in self.shapes[::2]:
            fan_in = int(np.prod(rest))
            drawn = rng.standard_normal((fan_in, out)) * np.sqrt(2 / fan_in)
            parts += [drawn.astype(np.float32), np.zeros((1, out), dtype=np.float32)]
        return (*parts, *self.dense.start(rng))

    def logits(self, weights: Weights, inputs: Weights, masks: Weights) -> torch.Tensor:
        cut = 2 * len(self.convolutions)
        parts = [
            w[0].mT.reshape(shape) for w, shape in zip(weights[:cut], self.shapes, strict=True)
        ]
        features = convolve(parts, inputs[0][0], self.image, self.convolutions)
        return self.dense.logits(weights[cut:], (features[None],), masks)

    def slopes(
        self, weights: Weights, inputs: Weights, masks: Weights, target: torch.Tensor
    ) -> Weights:
        from pipelines.learners._training import by_autograd

        return by_autograd(self, weights, inputs, masks, target)


__all__ = ["CNN"]
