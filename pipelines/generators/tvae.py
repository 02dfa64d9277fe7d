"""TVAE: a variational autoencoder for mixed tables (Xu et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipelines.generators._nets_package import package
from pipelines.generators._nets_sampler import NetSampler, depth
from pipelines.generators._nets_table import Table
from pipelines.generators._nets_training import Course, Spans, at_least, batches, key, workshop
from pipelines.generators._saved import damaged
from privaudit.contracts import Generator, Progress, Sampler
from privaudit.errors import PrivauditError
from privaudit.records import Records

if TYPE_CHECKING:
    import torch

SIGMA = (0.01, 1.0)


@dataclass(frozen=True)
class TVAE(Generator):
    """An encoder to a short code and a decoder from it, trained to give back what went in.

    epochs, batch: how long, and rows a step; code: width of the code; hidden: widths of the
    encoder's layers, and in reverse of the decoder's; rate: Adam's; decay: weight of the squared
    weights; weight: of giving back the row, against a code that looks like noise; threads: of
    torch. Defaults are the published ones.

    The networks are those of the `ctgan` package (Business Source License; `privaudit[synthetic]`);
    the training is ours and keeps checkpoints. Missing values are modelled: a row's decoder is not
    graded on what was not measured. Categories are drawn from the decoder's probabilities, as in
    the paper; the package takes the likeliest, which starves rare outcomes. Source: Xu et al. 2019
    (arXiv 1907.00503), section 4.5.
    """

    epochs: int = 300
    batch: int = 500
    code: int = 128
    hidden: tuple[int, ...] = (128, 128)
    rate: float = 1e-3
    decay: float = 1e-5
    weight: float = 2.0
    threads: int = 1

    costly: ClassVar[bool] = True

    def fit(
        self,
        records: Records,
        rng: np.random.Generator,
        *,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
    ) -> Sampler:
        self._check()
        networks = package("ctgan.synthesizers.tvae")
        seed = int(rng.integers(2**63 - 1))
        own = np.random.default_rng(seed)
        table, codes = Table.fit(records, own, "modes")
        with workshop(own, self.threads) as stream:
            training = _Autoencoder(self, networks, Spans(table, codes), stream)
            Course("TVAE", self.epochs, key(self, records, seed), checkpoint, progress).run(
                training
            )
            weights = training.decoder_weights()
        return TVAESampler(table, weights, notes=(f"TVAE, {self.epochs} epochs.",))

    @classmethod
    def load(cls, file: bytes) -> Sampler:
        return TVAESampler.load(file)

    def _check(self) -> None:
        at_least(1, epochs=self.epochs, code=self.code, threads=self.threads)
        at_least(2, batch=self.batch)
        at_least(0, decay=self.decay, weight=self.weight)
        if not self.hidden or min(self.hidden) < 1:
            raise PrivauditError(
                f"hidden={self.hidden}",
                "a network has at least one layer of one unit",
                "use 128,128",
            )
        if not 0 < self.rate < 1:
            raise PrivauditError(f"rate={self.rate}", "it is above 0 and below 1", "use 0.001")


class _Autoencoder:
    """Encoder and decoder, their optimiser, and one epoch of training."""

    def __init__(self, told: TVAE, networks: Any, spans: Spans, stream: torch.Generator) -> None:
        import torch

        self.told, self.spans, self.stream = told, spans, stream
        self.encoder = networks.Encoder(spans.dim, told.hidden, told.code)
        self.decoder = networks.Decoder(told.code, told.hidden[::-1], spans.dim)
        self.steps = torch.optim.Adam(
            [*self.encoder.parameters(), *self.decoder.parameters()],
            lr=told.rate, weight_decay=told.decay, fused=True,
        )  # fmt: skip
        self.parts = {"encoder": self.encoder, "decoder": self.decoder, "steps": self.steps}

    def epoch(self, number: int) -> None:
        import torch

        for index in batches(len(self.spans), self.told.batch, self.stream):
            rows = self.spans.rows(index)
            centre, spread, log_variance = self.encoder(rows)
            noise = torch.empty_like(spread).normal_(generator=self.stream)
            out, sigma = self.decoder(centre + noise * spread)
            apart = -0.5 * (1 + log_variance - centre**2 - log_variance.exp()).sum()
            loss = (self.told.weight * self._misfit(index, rows, out, sigma) + apart) / len(index)
            self.steps.zero_grad(set_to_none=True)
            loss.backward()
            self.steps.step()
            self.decoder.sigma.data.clamp_(*SIGMA)

    def _misfit(
        self, index: torch.Tensor, rows: torch.Tensor, out: torch.Tensor, sigma: torch.Tensor
    ) -> torch.Tensor:
        """Minus the log probability of the rows, of what was measured in them."""
        import torch

        s, seen = self.spans.s, self.spans.seen[index]
        spread = sigma[:s]
        gap = (rows[:, :s] - torch.tanh(out[:, :s])) ** 2 / (2 * spread**2) + torch.log(spread)
        picked = self.spans.log_shares(out).gather(1, self.spans.picked[index])
        return (gap * seen).sum() - picked.sum()

    def decoder_weights(self) -> dict[str, np.ndarray]:
        """The decoder's layers and the scalars' spreads."""
        import torch

        layers = [m for m in self.decoder.seq if isinstance(m, torch.nn.Linear)]
        found = {"sigma": self.decoder.sigma.detach().numpy()[: self.spans.s].copy()}
        for i, layer in enumerate(layers):
            found[f"d{i}.weight"] = layer.weight.detach().numpy().copy()
            found[f"d{i}.bias"] = layer.bias.detach().numpy().copy()
        return found


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
