"""CTGAN: a conditional generative adversarial network for mixed tables (Xu et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipelines.generators._nets_generator import NetGenerator, Scale, need_ctgan, package
from pipelines.generators._nets_sampler import NetSampler, depth
from pipelines.generators._nets_table import MODE, Codes, Table
from pipelines.generators._saved import damaged
from pipelines.settings import COUNT, NON_NEGATIVE, check_settings
from privaudit.contracts import Sampler
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    import torch

    from pipelines.generators._nets_training import Training

PUBLISHED: Mapping[str, Any] = {
    "epochs": 300,
    "batch": 500,
    "hidden": (256, 256),
    "critic": (256, 256),
    "rate": 2e-4,
    "pack": 10,
}
"""Settings of the paper and of the package, for `CTGAN(**PUBLISHED)`."""


@dataclass(frozen=True)
class CTGAN(NetGenerator):
    """A generator network against a discriminator, asked for one level of one column at a time.

    Numbers are encoded by their mode and their place in it; rare levels are asked for as often as
    the logarithm of their count. The defaults suit a few thousand stays; the published ones are in
    PUBLISHED: at 1,600 stays they make nine hundred steps on fifty packs of ten rows, and end
    little above chance (benchmarks/ctgan_speed.py).

    The networks are those of the `ctgan` package (Business Source License; `privaudit[synthetic]`);
    the training is ours: it keeps checkpoints and takes the gradient penalty without a second
    backward pass, which is exact for leaky ReLU. Missing values are modelled. Drawing asks for
    levels as often as they were in the records, where the package asks by the logarithm, and keeps
    the outcome as frequent as it was.

    Args:
        epochs, batch: How long, and rows a step.
        noise: Width of the random input.
        hidden, critic: Widths of the generator's and the discriminator's layers.
        rate, decay: Adam's learning rate and weight decay, for both.
        pack: Rows that the discriminator judges together.
        critic_steps: Its steps for one of the generator.
        penalty: Weight of its gradient penalty.
        threads: Threads of torch.

    Source: Xu et al. 2019 (arXiv 1907.00503), sections 4.2-4.4.
    """

    epochs: int = 150
    batch: int = 100
    noise: int = 128
    hidden: tuple[int, ...] = (128, 128)
    critic: tuple[int, ...] = (128, 128)
    rate: float = 1e-3
    decay: float = 1e-6
    pack: int = 1
    critic_steps: int = 1
    penalty: float = 10.0
    threads: int = 1

    label: ClassVar[str] = "CTGAN"
    scale: ClassVar[Scale] = "modes"

    @classmethod
    def load(cls, file: bytes) -> Sampler:
        return CTGANSampler.load(file)

    def networks(self) -> ModuleType:
        return package("ctgan.synthesizers.ctgan")

    def training(
        self, networks: ModuleType | None, table: Table, codes: Codes, stream: torch.Generator
    ) -> Training:
        from pipelines.generators._ctgan_training import Adversaries, Asked
        from pipelines.generators._nets_training import Spans

        asked = Asked.of(table, codes)
        return Adversaries(self, networks, Spans(table, codes), asked, stream)

    def sampler(self, table: Table, weights: dict[str, np.ndarray]) -> Sampler:
        return CTGANSampler(table, weights, notes=(f"CTGAN, {self.epochs} epochs.",))

    def check(self) -> None:
        need_ctgan()
        super().check()
        check_settings(self, noise=COUNT, pack=COUNT, critic_steps=COUNT, penalty=NON_NEGATIVE)
        check_settings(self, hidden=COUNT, critic=COUNT)
        if self.batch < 2 * self.pack or self.batch % self.pack:
            raise PrivauditError(
                f"a batch of {self.batch} with pack={self.pack}",
                "the discriminator judges `pack` rows together, so a batch is a multiple of it, "
                "and "
                "at least two of them",
                "use batch=100 and pack=1",
            )


@dataclass(frozen=True, eq=False)
class CTGANSampler(NetSampler):
    """A trained CTGAN generator: weights, modes, and how often each level was in the records."""

    name: ClassVar[str] = "ctgan"

    def answer(self, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        shares = self.weights["asked.shares"]
        x = rng.standard_normal((rows, self._noise), dtype=np.float32)
        question = np.zeros((rows, len(shares)), dtype=np.float32)
        if len(shares):
            question[np.arange(rows), self._ask(rows, rng)] = 1
        x = np.concatenate([x, question], axis=1)
        widths = depth(self.weights, "g")
        for i in range(len(widths) - 1):
            x = np.concatenate([np.maximum(self.layer(f"g{i}", x), 0), x], axis=1)
        out = self.layer(f"g{len(widths) - 1}", x)
        s = len(self.table.numbers)
        return np.tanh(out[:, :s]), out[:, s:]

    @property
    def _picks(self) -> np.ndarray:
        _, hidden = self.table.hidden_by
        return np.flatnonzero((self.table.kind != MODE) & (hidden < 0))

    @property
    def _noise(self) -> int:
        return self.weights["g0.weight"].shape[1] - len(self.weights["asked.shares"])

    def _ask(self, rows: int, rng: np.random.Generator) -> np.ndarray:
        """(rows,) which option each row is asked for."""
        width = self.table.width[self._picks]
        begin = np.cumsum(width) - width
        chosen = rng.integers(len(width), size=rows)
        shares = self.weights["asked.shares"].astype(np.float64)
        out = np.empty(rows, dtype=np.int64)
        for c in np.unique(chosen):
            own = shares[begin[c] : begin[c] + width[c]]
            mine = chosen == c
            out[mine] = begin[c] + rng.choice(width[c], size=mine.sum(), p=own / own.sum())
        return out

    def check(self) -> None:
        widths = depth(self.weights, "g")
        asked = int(self.table.width[self._picks].sum())
        shares = self.weights.get("asked.shares")
        if len(widths) < 2 or shares is None or shares.shape != (asked,) or (shares < 0).any():
            raise damaged("its weights do not fit its table")
        begins = np.cumsum(self.table.width[self._picks]) - self.table.width[self._picks]
        if asked and (np.add.reduceat(shares, begins) <= 0).any():
            raise damaged("its levels never occur")
        came = self.weights["g0.weight"].shape[-1]
        if came <= asked or widths[-1] != self.table.dim:
            raise damaged("its weights do not fit its table")
        wanted: dict[str, tuple[int, ...]] = {"asked.shares": (asked,)}
        for i, width in enumerate(widths):
            wanted |= {f"g{i}.weight": (width, came), f"g{i}.bias": (width,)}
            came += width
        self.shapes(wanted)


__all__ = ["CTGAN"]
