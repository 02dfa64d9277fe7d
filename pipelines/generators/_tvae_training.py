"""How TVAE is trained: an encoder and a decoder, and one epoch of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pipelines.generators._nets_training import Spans, batches

if TYPE_CHECKING:
    from pipelines.generators.tvae import TVAE

SIGMA = (0.01, 1.0)


class Autoencoder:
    """Encoder and decoder, their optimiser, and one epoch of training."""

    def __init__(
        self, settings: TVAE, networks: Any, spans: Spans, stream: torch.Generator
    ) -> None:
        self.settings, self.spans, self.stream = settings, spans, stream
        self.encoder = networks.Encoder(spans.dim, settings.hidden, settings.code)
        self.decoder = networks.Decoder(settings.code, settings.hidden[::-1], spans.dim)
        self.steps = torch.optim.Adam(
            [*self.encoder.parameters(), *self.decoder.parameters()],
            lr=settings.rate,
            weight_decay=settings.decay,
            fused=True,
        )
        self.parts = {"encoder": self.encoder, "decoder": self.decoder, "steps": self.steps}

    def epoch(self, number: int) -> None:
        for index in batches(len(self.spans), self.settings.batch, self.stream):
            rows = self.spans.rows(index)
            centre, spread, log_variance = self.encoder(rows)
            noise = torch.empty_like(spread).normal_(generator=self.stream)
            out, sigma = self.decoder(centre + noise * spread)
            apart = -0.5 * (1 + log_variance - centre**2 - log_variance.exp()).sum()
            loss = (self.settings.weight * self._misfit(index, rows, out, sigma) + apart) / len(
                index
            )
            self.steps.zero_grad(set_to_none=True)
            loss.backward()
            self.steps.step()
            self.decoder.sigma.data.clamp_(*SIGMA)

    def _misfit(
        self, index: torch.Tensor, rows: torch.Tensor, out: torch.Tensor, sigma: torch.Tensor
    ) -> torch.Tensor:
        """Minus the log probability of the rows, of what was measured in them."""
        s, seen = self.spans.s, self.spans.seen[index]
        spread = sigma[:s]
        gap = (rows[:, :s] - torch.tanh(out[:, :s])) ** 2 / (2 * spread**2) + torch.log(spread)
        picked = self.spans.log_shares(out).gather(1, self.spans.picked[index])
        return (gap * seen).sum() - picked.sum()

    def weights(self) -> dict[str, np.ndarray]:
        """The decoder's layers and the scalars' spreads."""
        layers = [m for m in self.decoder.seq if isinstance(m, torch.nn.Linear)]
        found = {"sigma": self.decoder.sigma.detach().numpy()[: self.spans.s].copy()}
        for i, layer in enumerate(layers):
            found[f"d{i}.weight"] = layer.weight.detach().numpy().copy()
            found[f"d{i}.bias"] = layer.bias.detach().numpy().copy()
        return found
