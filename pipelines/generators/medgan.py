"""MedGAN: an adversarial network in the code space of an autoencoder (Choi et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipelines.generators._nets_sampler import NetSampler, depth
from pipelines.generators._nets_table import Table
from pipelines.generators._nets_training import Course, Spans, at_least, batches, key, workshop
from pipelines.generators._saved import damaged
from privaudit.contracts import Generator, Progress, Sampler
from privaudit.errors import PrivauditError
from privaudit.records import Records

if TYPE_CHECKING:
    import torch

HEAT = 2 / 3
"""The temperature of Gumbel-softmax in the published extension to categories."""
MOMENTUM = 0.01
PUBLISHED: Mapping[str, Any] = {"epochs": 1000, "batch": 1000}
"""Settings of the paper, for `MedGAN(**PUBLISHED)`."""
TINY = 1e-12


@dataclass(frozen=True)
class MedGAN(Generator):
    """A generator of codes that a pretrained decoder turns into records, against a discriminator.

    The generator's layers have shortcuts and batch norm; the discriminator reads a row beside the
    mean of its batch (minibatch averaging). pretrain: epochs of the autoencoder alone; epochs: of
    the adversaries, who train the decoder on; pretrain_batch, batch: rows a step; code: width of
    the code, the random input and every layer of the generator; layers: of the generator; critic:
    widths of the discriminator's; critic_steps: its steps for one of the generator; rate: Adam's;
    decay: weight of the squared weights; threads: of torch. The defaults suit a few thousand stays;
    the published ones (PUBLISHED) make fewer steps there, of ten times the rows, and end a little
    worse.

    Written from the paper: no kept package exists, and the official code trains on about a ninth of
    the rows after its first epoch, by an index that is permuted twice. Extended to mixed types:
    numbers are told by the share of values below them and read out by a logistic unit; categories
    by a softmax, drawn by Gumbel-softmax (Camino et al. 2018, arXiv 1807.01202); missing values are
    modelled. Source: Choi et al. 2017 (arXiv 1703.06490), sections 3-4.
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
        seed = int(rng.integers(2**63 - 1))
        own = np.random.default_rng(seed)
        table, codes = Table.fit(records, own, "ranks")
        with workshop(own, self.threads) as stream:
            training = _MedGAN(self, Spans(table, codes), stream)
            course = Course(
                "MedGAN",
                self.pretrain + self.epochs,
                key(self, records, seed),
                checkpoint,
                progress,
            )
            course.run(training)
            weights = training.weights()
        note = f"MedGAN, {self.pretrain} epochs of the autoencoder and {self.epochs} of the adversaries."
        return MedGANSampler(table, weights, notes=(note,))

    @classmethod
    def load(cls, file: bytes) -> Sampler:
        return MedGANSampler.load(file)

    def _check(self) -> None:
        at_least(1, epochs=self.epochs, code=self.code, layers=self.layers, threads=self.threads)
        at_least(1, critic_steps=self.critic_steps)
        at_least(0, pretrain=self.pretrain, decay=self.decay)
        at_least(2, batch=self.batch, pretrain_batch=self.pretrain_batch)
        if not self.critic or min(self.critic) < 1:
            raise PrivauditError(
                f"critic={self.critic}",
                "a network has at least one layer of one unit",
                "use 256,128",
            )
        if not 0 < self.rate < 1:
            raise PrivauditError(f"rate={self.rate}", "it is above 0 and below 1", "use 0.001")


class _MedGAN:
    """Autoencoder, generator and discriminator, their optimisers, and one epoch of either phase."""

    def __init__(self, told: MedGAN, spans: Spans, stream: torch.Generator) -> None:
        import torch
        from torch import nn

        self.told, self.spans, self.stream = told, spans, stream
        self.encoder = nn.Linear(spans.dim, told.code)
        self.decoder = nn.Linear(told.code, spans.dim)
        each = range(told.layers)
        self.linears = [nn.Linear(told.code, told.code, bias=False) for _ in each]
        self.norms = [nn.BatchNorm1d(told.code, eps=1e-3, momentum=MOMENTUM) for _ in each]
        self.blocks = nn.ModuleList([*self.linears, *self.norms])
        widths = [2 * spans.dim, *told.critic, 1]
        self.judge = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        learnt = {
            "autoencoder": [*self.encoder.parameters(), *self.decoder.parameters()],
            "generator": [*self.blocks.parameters(), *self.decoder.parameters()],
            "judge": [*self.judge.parameters()],
        }
        self.steps = {
            name: torch.optim.Adam(parameters, lr=told.rate, fused=True)
            for name, parameters in learnt.items()
        }
        # The published code pulls on the weights of every network with each of the two losses.
        self.parts = {
            "encoder": self.encoder, "decoder": self.decoder, "blocks": self.blocks,
            "critic": self.judge, **{f"{name}_steps": step for name, step in self.steps.items()},
        }  # fmt: skip

    def epoch(self, number: int) -> None:
        if number < self.told.pretrain:
            self._pretrain()
        else:
            self._compete()

    def _pretrain(self) -> None:
        import torch

        for index in batches(len(self.spans), self.told.pretrain_batch, self.stream):
            rows = self.spans.rows(index)
            out = self.decoder(torch.tanh(self.encoder(rows)))
            loss = self._misfit(index, rows, out) / len(index)
            self._step("autoencoder", loss + self._pull(self.encoder, self.decoder))

    def _misfit(self, index: torch.Tensor, rows: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """Cross entropy of the rows, of what was measured in them."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        s = self.spans.s
        gap = binary_cross_entropy_with_logits(
            out[:, :s], rows[:, :s], weight=self.spans.seen[index], reduction="sum"
        )
        picked = self.spans.log_shares(out).gather(1, self.spans.picked[index])
        return gap - picked.sum()

    def _compete(self) -> None:
        import torch

        size = min(self.told.batch, len(self.spans))
        turns = max(len(self.spans) // size, 1)
        for _ in range(turns):
            for _ in range(self.told.critic_steps):
                index = torch.randint(len(self.spans), (size,), generator=self.stream)
                real = self.spans.rows(index)
                with torch.no_grad():
                    fake = self._forge(size)
                loss = -(self._log_says(real) + self._log_says(fake, forged=True)).mean()
                self._step("judge", loss + self._pull(self.judge))
            loss = -self._log_says(self._forge(size)).mean()
            self._step("generator", loss + self._pull(self.blocks, self.decoder))

    def _forge(self, size: int) -> torch.Tensor:
        """(size, dim) synthetic rows."""
        import torch

        x = torch.empty(size, self.told.code).normal_(generator=self.stream)
        for i, (linear, norm) in enumerate(zip(self.linears, self.norms, strict=True)):
            out = norm(linear(x))
            last = i + 1 == len(self.norms)
            x = x + (torch.tanh(out) if last else torch.relu(out))
        logits = self.decoder(x)
        scalars = torch.sigmoid(logits[:, : self.spans.s])
        return self.spans.soften(logits, scalars, HEAT, self.stream)

    def _log_says(self, rows: torch.Tensor, forged: bool = False) -> torch.Tensor:
        """(b,) log probability that the discriminator gives to the rows being real, or forged."""
        import torch
        from torch.nn.functional import logsigmoid

        x = torch.cat([rows, rows.mean(0, keepdim=True).expand_as(rows)], 1)
        for i, layer in enumerate(self.judge):
            x = layer(x)
            if i + 1 < len(self.judge):
                x = torch.relu(x)
        return logsigmoid(-x if forged else x)[:, 0]

    def _pull(self, *parts: torch.nn.Module) -> torch.Tensor:
        """Half the sum of squared weights, no biases, times `decay`."""
        import torch

        squares = [(p**2).sum() for part in parts for p in part.parameters() if p.dim() > 1]
        return self.told.decay * 0.5 * torch.stack(squares).sum()

    def _step(self, name: str, loss: torch.Tensor) -> None:
        self.steps[name].zero_grad(set_to_none=True)
        loss.backward()
        self.steps[name].step()

    def weights(self) -> dict[str, np.ndarray]:
        """The generator's layers, with their batch norms in them, and the decoder."""
        import torch

        found: dict[str, np.ndarray] = {}
        with torch.no_grad():
            for i, (linear, norm) in enumerate(zip(self.linears, self.norms, strict=True)):
                assert norm.running_mean is not None
                assert norm.running_var is not None
                grow = norm.weight / torch.sqrt(norm.running_var + norm.eps)
                found[f"g{i}.weight"] = (linear.weight * grow[:, None]).numpy().copy()
                found[f"g{i}.bias"] = (norm.bias - norm.running_mean * grow).numpy().copy()
            found["d.weight"] = self.decoder.weight.numpy().copy()
            found["d.bias"] = self.decoder.bias.numpy().copy()
        return found


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
