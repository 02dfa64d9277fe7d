"""What a site computes on its own records before anything leaves it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pipelines.federated.encode import PublicEncoding
from pipelines.federated.front import PictureFront, Pooled
from pipelines.federated.network import FlatModel, Network
from pipelines.federated.recurrent import Hours
from pipelines.learners._prepare import check_pictures
from privaudit.contracts import Model
from privaudit.convolutions import Image, convolve, count_features
from privaudit.errors import PrivauditError
from privaudit.records import Records

if TYPE_CHECKING:
    import torch

Weights = Sequence[np.ndarray]

CHUNK = 1024
"""Rows answered at once: bounds the memory of hourly states."""


class Reader(Protocol):
    """Records as a trunk's inputs, by public knowledge alone."""

    def __call__(self, records: Records) -> tuple[np.ndarray, ...]: ...


class Trunk(ABC):
    """The layers below the cut, which every site runs on its own records.

    Subclasses are frozen dataclasses.
    """

    def fit_for(self, records: Records) -> Trunk:
        """The trunk that reads these records: itself, but where they are pictures."""
        return self

    @property
    @abstractmethod
    def out(self) -> int:
        """Numbers that cross the cut for one record."""

    @abstractmethod
    def reader(self, records: Records) -> Reader:
        """How records of this schema are read; no value of theirs is looked at."""

    @abstractmethod
    def start(self, reader: Reader, rng: np.random.Generator) -> list[np.ndarray]:
        """Initial weights, float32."""

    @abstractmethod
    def forward(
        self, weights: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """(b, out), the activations at the cut."""

    @abstractmethod
    def model(self, reader: Reader, trunk: Weights, rest: Weights, widths: Sequence[int]) -> Model:
        """The joint model; widths: of the dense layers above the cut, from the cut to the
        classes."""

    def smash(self, reader: Reader, weights: Weights, records: Records) -> np.ndarray:
        """(n, out) float32: what would cross the cut for these records."""
        import torch

        from pipelines.learners._training import one_thread

        parts = []
        with one_thread(), torch.no_grad():
            held = [torch.from_numpy(w) for w in weights]
            for i in range(0, max(len(records), 1), CHUNK):
                inputs = reader(records.take(slice(i, i + CHUNK)))
                parts.append(self.forward(held, [torch.from_numpy(x) for x in inputs]).numpy())
        return np.concatenate(parts)

    def check(self) -> None:
        """PrivauditError for settings out of range."""
        if self.out < 1:
            raise PrivauditError(
                f"a cut of {self.out} numbers a record",
                "something must cross the cut, so it is at least 1",
                "use 64",
            )


@dataclass(frozen=True)
class Rows:
    """The summary columns, publicly encoded."""

    encoding: PublicEncoding

    def __call__(self, records: Records) -> tuple[np.ndarray, ...]:
        return (self.encoding.encode(records),)


@dataclass(frozen=True)
class Dense(Trunk):
    """One rectified layer of `width` units on the summary columns; of pictures, convolutions.

    Gupta and Raskar 2018 (arXiv 1810.06060), for a multilayer perceptron and for LeNet.
    """

    width: int = 64

    def fit_for(self, records: Records) -> Trunk:
        return self if records.image is None else Convolved(check_pictures(records))

    @property
    def out(self) -> int:
        return self.width

    def reader(self, records: Records) -> Rows:
        return Rows(PublicEncoding(records.columns))

    def start(self, reader: Reader, rng: np.random.Generator) -> list[np.ndarray]:
        """He-normal weights (He et al. 2015, arXiv 1502.01852) and zero biases."""
        assert isinstance(reader, Rows)
        fan_in = reader.encoding.width
        w = rng.standard_normal((self.width, fan_in)) * np.sqrt(2 / max(fan_in, 1))
        return [w.astype(np.float32), np.zeros(self.width, dtype=np.float32)]

    def forward(
        self, weights: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        import torch

        return torch.relu(torch.nn.functional.linear(inputs[0], weights[0], weights[1]))

    def model(self, reader: Reader, trunk: Weights, rest: Weights, widths: Sequence[int]) -> Model:
        assert isinstance(reader, Rows)
        flat = np.concatenate([w.ravel() for w in (*trunk, *rest)])
        return FlatModel(reader.encoding, (reader.encoding.width, *widths), flat)


@dataclass(frozen=True)
class Convolved(Trunk):
    """Convolutions on pictures; what they make of one crosses the cut."""

    image: Image
    front: PictureFront = field(default_factory=Pooled)

    @property
    def out(self) -> int:
        return count_features(self.image, self.front.layers)

    def reader(self, records: Records) -> Rows:
        check_pictures(records)
        return Rows(PublicEncoding(records.columns))

    def start(self, reader: Reader, rng: np.random.Generator) -> list[np.ndarray]:
        """He-normal weights (He et al. 2015, arXiv 1502.01852) and zero biases."""
        network = Network((self.out, 1), self.image, self.front.layers)
        parts: list[np.ndarray] = network.unpack(network.start(rng))  # type: ignore[arg-type, assignment]
        return [np.array(part) for part in parts[: len(network.below)]]

    def forward(
        self, weights: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        return convolve(weights, inputs[0], self.image, self.front.layers)

    def model(self, reader: Reader, trunk: Weights, rest: Weights, widths: Sequence[int]) -> Model:
        assert isinstance(reader, Rows)
        flat = np.concatenate([w.ravel() for w in (*trunk, *rest)])
        network = Network(tuple(widths), self.image, self.front.layers)
        return FlatModel.of(reader.encoding, network, flat)


@dataclass(frozen=True)
class Recurrent(Trunk):
    """A long short-term memory layer over the hours; its last state crosses the cut.

    Abuadbba et al. 2020 (arXiv 2003.12365) for split learning on physiological series.
    """

    units: int = 24

    @property
    def out(self) -> int:
        return self.units

    def reader(self, records: Records) -> Hours:
        return Hours.of(records)

    def start(self, reader: Reader, rng: np.random.Generator) -> list[np.ndarray]:
        """Scaled normal weights; the forget gate starts open (Jozefowicz et al. 2015)."""
        assert isinstance(reader, Hours)
        u, f = self.units, reader.width
        bias = np.zeros((1, 4 * u), dtype=np.float32)
        bias[:, u : 2 * u] = 1
        return [
            (rng.standard_normal((f, 4 * u)) / np.sqrt(f)).astype(np.float32),
            (rng.standard_normal((u, 4 * u)) / np.sqrt(u)).astype(np.float32),
            bias,
        ]

    def forward(
        self, weights: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        import torch

        from pipelines.learners.lstm import _scan

        enter, again, bias = weights
        (x,) = inputs
        n, hours, features = x.shape
        gates = torch.addmm(bias, x.reshape(n * hours, features), enter)
        last, _ = _scan(gates.view(1, n, hours, 4 * self.units), again[None])
        return last[0]

    def model(self, reader: Reader, trunk: Weights, rest: Weights, widths: Sequence[int]) -> Model:
        flat = np.concatenate([w.ravel() for w in rest])
        return Joint(self, reader, tuple(trunk), tuple(widths), flat)


@dataclass(frozen=True, eq=False)
class Joint:
    """Any trunk with dense layers above it, as a model that answers; holds no record."""

    trunk: Trunk
    reader: Reader
    below: tuple[np.ndarray, ...]
    widths: tuple[int, ...]
    above: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, k) float64."""
        import torch

        from pipelines.learners._neural import probabilities

        network, above = Network(self.widths), torch.from_numpy(self.above)

        def logits(part: Records) -> torch.Tensor:
            smashed = self.trunk.smash(self.reader, self.below, part)
            return network.forward(above, torch.from_numpy(smashed))

        return probabilities(logits, records)


@dataclass(frozen=True, eq=False)
class Query:
    """The trained layers below the cut, for whoever holds them: records in, activations out."""

    trunk: Trunk
    reader: Reader
    weights: tuple[np.ndarray, ...]

    def __call__(self, records: Records) -> np.ndarray:
        """(n, out) float32, without any noise that a site would add."""
        return self.trunk.smash(self.reader, self.weights, records)
