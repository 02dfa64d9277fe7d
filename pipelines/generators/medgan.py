"""MedGAN: an adversarial network in the code space of an autoencoder (Choi et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipelines.generators._nets_generator import NetGenerator, Scale
from pipelines.generators._nets_sampler import NetSampler, depth
from pipelines.generators._nets_table import Codes, Table
from pipelines.generators._saved import damaged
from pipelines.settings import COUNT, at_least, check_settings
from privaudit.contracts import Sampler

if TYPE_CHECKING:
    import torch

    from pipelines.generators._nets_training import Training

PUBLISHED: Mapping[str, Any] = {"epochs": 1000, "batch": 1000}
"""Settings of the paper, for `MedGAN(**PUBLISHED)`."""


@dataclass(frozen=True)
class MedGAN(NetGenerator):
    """A generator of codes that a pretrained decoder turns into records, against a discriminator.

    The generator's layers have shortcuts and batch norm; the discriminator reads a row beside the
    mean of its batch (minibatch averaging). The defaults suit a few thousand stays; the published
    ones (PUBLISHED) make fewer steps there, of ten times the rows, and end a little worse.

    Written from the paper: no maintained package exists, and the official code trains on about a
    ninth of the rows after its first epoch, by an index that is permuted twice. Extended to mixed
    types: numbers are encoded by the share of values below them and read out by a logistic unit;
    categories by a softmax, drawn by Gumbel-softmax (Camino et al. 2018, arXiv 1807.01202); missing
    values are modelled.

    Args:
        pretrain: Epochs of the autoencoder alone.
        epochs: Epochs of the adversaries, who train the decoder on.
        pretrain_batch, batch: Rows a step.
        code: Width of the code, the random input and every layer of the generator.
        layers: Layers of the generator.
        critic: Widths of the discriminator's.
        critic_steps: Its steps for one of the generator.
        rate: Adam's learning rate.
        decay: Weight of the squared weights.
        threads: Threads of torch.

    Source: Choi et al. 2017 (arXiv 1703.06490), sections 3-4.
    """

    epochs: int = 100
    pretrain: int = 100
    batch: int = 100
    pretrain_batch: int = 100
    code: int = 128
    layers: int = 2
    critic: tuple[int, ...] = (256, 128)
    critic_steps: int = 2
    rate: float = 1e-3
    decay: float = 1e-3
    threads: int = 1

    label: ClassVar[str] = "MedGAN"
    scale: ClassVar[Scale] = "ranks"

    @classmethod
    def load(cls, file: bytes) -> Sampler:
        return MedGANSampler.load(file)

    @property
    def passes(self) -> int:
        return self.pretrain + self.epochs

    def training(
        self, networks: ModuleType | None, table: Table, codes: Codes, stream: torch.Generator
    ) -> Training:
        from pipelines.generators._medgan_training import Adversaries
        from pipelines.generators._nets_training import Spans

        return Adversaries(self, Spans(table, codes), stream)

    def sampler(self, table: Table, weights: dict[str, np.ndarray]) -> Sampler:
        note = (
            f"MedGAN, {self.pretrain} epochs of the autoencoder and {self.epochs} of the "
            "adversaries."
        )
        return MedGANSampler(table, weights, notes=(note,))

    def check(self) -> None:
        super().check()
        check_settings(self, code=COUNT, layers=COUNT, critic=COUNT, critic_steps=COUNT)
        check_settings(self, pretrain=at_least(0), pretrain_batch=at_least(2))


@dataclass(frozen=True, eq=False)
class MedGANSampler(NetSampler):
    """A trained MedGAN generator and decoder, and the scales of the numbers."""

    name: ClassVar[str] = "medgan"

    def answer(self, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        from scipy.special import expit

        layers = len(depth(self.weights, "g"))
        x = rng.standard_normal((rows, self.weights["d.weight"].shape[1]), dtype=np.float32)
        for i in range(layers):
            out = self.layer(f"g{i}", x)
            x = x + (np.tanh(out) if i + 1 == layers else np.maximum(out, 0))
        out = self.layer("d", x)
        s = len(self.table.numbers)
        return expit(out[:, :s]), out[:, s:]

    def check(self) -> None:
        layers = len(depth(self.weights, "g"))
        decoder = self.weights.get("d.weight", np.empty(0))
        if not layers or decoder.ndim != 2 or decoder.shape[1] < 1:
            raise damaged("its weights do not fit its table")
        code = decoder.shape[1]
        wanted: dict[str, tuple[int, ...]] = {
            "d.weight": (self.table.dim, code),
            "d.bias": (self.table.dim,),
        }
        for i in range(layers):
            wanted |= {f"g{i}.weight": (code, code), f"g{i}.bias": (code,)}
        self.shapes(wanted)


__all__ = ["MedGAN"]
