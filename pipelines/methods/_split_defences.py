"""What a party may do to the numbers that it sends across a split model's cut."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from privaudit.errors import PrivauditError


class Defence(ABC):
    """Changes activations before they go up, or per-record gradients before they are sent.

    Subclasses are frozen dataclasses. None of them makes a claim: they are measured, not proven.
    """

    label: ClassVar[str]

    def smashed(self, h: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """(b, w), what goes up instead of the activations; gradients flow through."""
        return h

    def gradient(self, g: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """(b, w), what is sent instead of the gradients of each record."""
        return g

    def check(self) -> None:
        """PrivauditError for settings out of range."""
        return


@dataclass(frozen=True)
class NoDefence(Defence):
    """Everything crosses as it is."""

    label: ClassVar[str] = "no defence"


@dataclass(frozen=True)
class NoiseOnSmashed(Defence):
    """Gaussian noise on every activation before it goes up.

    Args:
        scale: Standard deviation of the noise in units of the batch's root mean square activation,
            which the site computes on its own batch.

    Source: Titcombe et al. 2021 (arXiv 2104.05743), with Gaussian noise relative to the activations
    in place of noise of a fixed scale.
    """

    scale: float = 1.0

    label: ClassVar[str] = "noise on the activations"

    def smashed(self, h: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        noise = torch.from_numpy(rng.standard_normal(tuple(h.shape), dtype=np.float32))
        return h + noise * (self.scale * h.detach().square().mean().sqrt())

    def check(self) -> None:
        if not 0 < self.scale < np.inf:
            raise PrivauditError(
                f"noise of scale {self.scale}",
                "it is a standard deviation in units of the activations' root mean square, above 0",
                "use 1.0 for noise as large as the signal, or NoDefence()",
            )


@dataclass(frozen=True)
class EqualNorms(Defence):
    """Every record's gradient is sent with one and the same norm, and is right on average.

    A gradient of norm r is sent along its own direction with norm R = times x the largest norm of
    the batch, its sign kept with probability (1 + r / R) / 2 and turned otherwise: its mean is the
    gradient, and its norm says nothing. It is `max_norm` of Li et al. 2022 (arXiv 2102.08504),
    section 4.1, with a two-valued factor of the same mean and variance in place of 1 plus a
    Gaussian one, whose norms are equal in mean square only.

    Args:
        times: 1 as in the paper; larger ones also hide the direction, at the price of noisier
            training.
    """

    times: float = 1.0

    label: ClassVar[str] = "equal gradient norms"

    def gradient(self, g: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        norm = torch.linalg.vector_norm(g, dim=1, keepdim=True)
        largest = self.times * norm.max()
        if not largest > 0:
            return g
        keep = (
            torch.from_numpy(rng.random((len(g), 1), dtype=np.float32)) < (1 + norm / largest) / 2
        )
        # A record whose gradient vanished has no direction of its own; it borrows a random one.
        drawn = torch.from_numpy(rng.standard_normal(tuple(g.shape), dtype=np.float32))
        along = torch.where(norm > 0, g, drawn)
        along = along / torch.linalg.vector_norm(along, dim=1, keepdim=True)
        return torch.where(keep, largest, -largest) * along

    def check(self) -> None:
        if not 1 <= self.times < np.inf:
            raise PrivauditError(
                f"gradients at {self.times} times the largest norm",
                "a gradient can only be lengthened without bias, so it is at least 1",
                "use 1.0, the paper's, or more to hide the direction as well",
            )


@dataclass(frozen=True)
class MaxNorm(Defence):
    """Noise along each record's own gradient, so that all norms agree in mean square.

    A gradient of norm r is multiplied by 1 + s n, with n standard normal and s^2 = R^2 / r^2 - 1,
    R the largest norm of the batch. Li et al. 2022 (arXiv 2102.08504), section 4.1, `max_norm`.
    """

    label: ClassVar[str] = "max-norm noise on the gradients"

    def gradient(self, g: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        norm = torch.linalg.vector_norm(g, dim=1, keepdim=True)
        ratio = torch.where(norm > 0, norm.max() / norm, 1.0)
        spread = (ratio.square() - 1).clamp(min=0).sqrt()
        return g * (
            1 + spread * torch.from_numpy(rng.standard_normal((len(g), 1), dtype=np.float32))
        )


__all__ = ["Defence", "EqualNorms", "MaxNorm", "NoDefence", "NoiseOnSmashed"]
