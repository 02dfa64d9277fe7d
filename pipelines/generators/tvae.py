"""TVAE: a variational autoencoder for mixed tables (Xu et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pipelines.generators._nets_generator import NetGenerator, Scale, need_ctgan, package
from pipelines.generators._nets_sampler import NetSampler, depth
from pipelines.generators._nets_table import Codes, Table
from pipelines.generators._saved import damaged
from pipelines.settings import COUNT, NON_NEGATIVE, check_settings
from privaudit.contracts import Sampler

if TYPE_CHECKING:
    import torch

    from pipelines.generators._nets_training import Training


@dataclass(frozen=True)
class TVAE(NetGenerator):
    """An encoder to a short code and a decoder from it, trained to give back what went in.

    Defaults are the published ones.

    The networks are those of the `ctgan` package (Business Source License; `privaudit[synthetic]`);
    the training is ours and keeps checkpoints. Missing values are modelled: a row's decoder is not
    graded on what was not measured. Categories are drawn from the decoder's probabilities, as in
    the paper; the package takes the likeliest, which starves rare outcomes.

    Args:
        epochs, batch: How long, and rows a step.
        code: Width of the code.
        hidden: Widths of the encoder's layers, and in reverse of the decoder's.
        rate: Adam's learning rate.
        decay: Weight of the squared weights.
        weight: Weight of giving back the row, against a code that looks like noise.
        threads: Threads of torch.

    Source: Xu et al. 2019 (arXiv 1907.00503), section 4.5.
    """

    epochs: int = 300
    batch: int = 500
    code: int = 128
    hidden: tuple[int, ...] = (128, 128)
    rate: float = 1e-3
    decay: float = 1e-5
    weight: float = 2.0
    threads: int = 1

    label: ClassVar[str] = "TVAE"
    scale: ClassVar[Scale] = "modes"

    @classmethod
    def load(cls, file: bytes) -> Sampler:
        return TVAESampler.load(file)

    def networks(self) -> ModuleType:
        return package("ctgan.synthesizers.tvae")

    def training(
        self, networks: ModuleType | None, table: Table, codes: Codes, stream: torch.Generator
    ) -> Training:
        from pipelines.generators._nets_training import Spans
        from pipelines.generators._tvae_training import Autoencoder

        return Autoencoder(self, networks, Spans(table, codes), stream)

    def sampler(self, table: Table, weights: dict[str, np.ndarray]) -> Sampler:
        return TVAESampler(table, weights, notes=(f"TVAE, {self.epochs} epochs.",))

    def check(self) -> None:
        need_ctgan()
        super().check()
        check_settings(self, code=COUNT, hidden=COUNT, weight=NON_NEGATIVE)


@dataclass(frozen=True, eq=False)
class TVAESampler(NetSampler):
    """A trained TVAE decoder: its weights, and the table's modes."""

    name: ClassVar[str] = "tvae"

    def answer(self, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        widths = depth(self.weights, "d")
        x = rng.standard_normal((rows, self.weights["d0.weight"].shape[1]), dtype=np.float32)
        for i in range(len(widths) - 1):
            x = np.maximum(self.layer(f"d{i}", x), 0)
        out = self.layer(f"d{len(widths) - 1}", x)
        s = len(self.table.numbers)
        noise = rng.standard_normal((rows, s), dtype=np.float32) * self.weights["sigma"]
        return np.tanh(out[:, :s]) + noise, out[:, s:]

    def check(self) -> None:
        widths = depth(self.weights, "d")
        if not widths or self.weights.get("d0.weight", np.empty(0)).ndim != 2:
            raise damaged("its weights do not fit its table")
        came = self.weights["d0.weight"].shape[1]
        if widths[-1] != self.table.dim or came < 1:
            raise damaged("its weights do not fit its table")
        wanted: dict[str, tuple[int, ...]] = {"sigma": (len(self.table.numbers),)}
        for i, width in enumerate(widths):
            wanted |= {f"d{i}.weight": (width, came), f"d{i}.bias": (width,)}
            came = width
        self.shapes(wanted)


__all__ = ["TVAE"]
