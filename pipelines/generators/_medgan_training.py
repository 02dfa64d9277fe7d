"""How MedGAN is trained: an autoencoder first, then a generator of its codes against a
discriminator."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from pipelines.generators._nets_training import Spans, batches

if TYPE_CHECKING:
    from pipelines.generators.medgan import MedGAN

HEAT = 2 / 3
"""The temperature of Gumbel-softmax in the published extension to categories."""
MOMENTUM = 0.01


class Adversaries:
    """Autoencoder, generator and discriminator, their optimisers, and one epoch of either phase."""

    def __init__(self, settings: MedGAN, spans: Spans, stream: torch.Generator) -> None:
        self.settings, self.spans, self.stream = settings, spans, stream
        self.encoder = nn.Linear(spans.dim, settings.code)
        self.decoder = nn.Linear(settings.code, spans.dim)
        each = range(settings.layers)
        self.linears = [nn.Linear(settings.code, settings.code, bias=False) for _ in each]
        self.norms = [nn.BatchNorm1d(settings.code, eps=1e-3, momentum=MOMENTUM) for _ in each]
        self.blocks = nn.ModuleList([*self.linears, *self.norms])
        widths = [2 * spans.dim, *settings.critic, 1]
        self.judge = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        learnt = {
            "autoencoder": [*self.encoder.parameters(), *self.decoder.parameters()],
            "generator": [*self.blocks.parameters(), *self.decoder.parameters()],
            "judge": [*self.judge.parameters()],
        }
        self.steps = {
            name: torch.optim.Adam(parameters, lr=settings.rate, fused=True)
            for name, parameters in learnt.items()
        }
        # The published code pulls on the weights of every network with each of the two losses.
        self.parts = {
            "encoder": self.encoder,
            "decoder": self.decoder,
            "blocks": self.blocks,
            "critic": self.judge,
            **{f"{name}_steps": step for name, step in self.steps.items()},
        }

    def epoch(self, number: int) -> None:
        if number < self.settings.pretrain:
            self._pretrain()
        else:
            self._compete()

    def _pretrain(self) -> None:
        for index in batches(len(self.spans), self.settings.pretrain_batch, self.stream):
            rows = self.spans.rows(index)
            out = self.decoder(torch.tanh(self.encoder(rows)))
            loss = self._misfit(index, rows, out) / len(index)
            self._step("autoencoder", loss + self._pull(self.encoder, self.decoder))

    def _misfit(self, index: torch.Tensor, rows: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """Cross entropy of the rows, of what was measured in them."""
        s = self.spans.s
        gap = binary_cross_entropy_with_logits(
            out[:, :s], rows[:, :s], weight=self.spans.seen[index], reduction="sum"
        )
        picked = self.spans.log_shares(out).gather(1, self.spans.picked[index])
        return gap - picked.sum()

    def _compete(self) -> None:
        size = min(self.settings.batch, len(self.spans))
        turns = max(len(self.spans) // size, 1)
        for _ in range(turns):
            for _ in range(self.settings.critic_steps):
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
        x = torch.empty(size, self.settings.code).normal_(generator=self.stream)
        for i, (linear, norm) in enumerate(zip(self.linears, self.norms, strict=True)):
            out = norm(linear(x))
            last = i + 1 == len(self.norms)
            x = x + (torch.tanh(out) if last else torch.relu(out))
        logits = self.decoder(x)
        scalars = torch.sigmoid(logits[:, : self.spans.s])
        return self.spans.soften(logits, scalars, HEAT, self.stream)

    def _log_says(self, rows: torch.Tensor, forged: bool = False) -> torch.Tensor:
        """(b,) log probability that the discriminator gives to the rows being real, or forged."""
        x = torch.cat([rows, rows.mean(0, keepdim=True).expand_as(rows)], 1)
        for i, layer in enumerate(self.judge):
            x = layer(x)
            if i + 1 < len(self.judge):
                x = torch.relu(x)
        return logsigmoid(-x if forged else x)[:, 0]

    def _pull(self, *parts: torch.nn.Module) -> torch.Tensor:
        """Half the sum of squared weights, no biases, times `decay`."""
        squares = [(p**2).sum() for part in parts for p in part.parameters() if p.dim() > 1]
        return self.settings.decay * 0.5 * torch.stack(squares).sum()

    def _step(self, name: str, loss: torch.Tensor) -> None:
        self.steps[name].zero_grad(set_to_none=True)
        loss.backward()
        self.steps[name].step()

    def weights(self) -> dict[str, np.ndarray]:
        """The generator's layers, with their batch norms in them, and the decoder."""
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
