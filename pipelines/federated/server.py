"""What the server does with the combined update of a round."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from pipelines.settings import POSITIVE, check_settings, settle_delta
from privaudit.contracts import Claim
from privaudit.dp import accounting


@dataclass(eq=False)
class Moments:
    """A server's memory between rounds: running mean and square of the combined updates."""

    mean: np.ndarray
    square: np.ndarray

    @classmethod
    def zero(cls, size: int) -> Moments:
        return cls(np.zeros(size), np.zeros(size))


class Server(ABC):
    """From the weights that were sent out to the next ones. Subclasses are frozen dataclasses."""

    rate: float

    def check(self) -> None:
        """PrivauditError where the rate is no positive number."""
        check_settings(self, rate=POSITIVE)

    @abstractmethod
    def step(self, weights: np.ndarray, update: np.ndarray, moments: Moments) -> np.ndarray:
        """(p,) float64 new weights; moments are renewed in place."""


@dataclass(frozen=True)
class FedAvg(Server):
    """Add the combined update. McMahan et al. 2017 (arXiv 1602.05629), algorithm 1."""

    rate: float = 1.0

    def step(self, weights: np.ndarray, update: np.ndarray, moments: Moments) -> np.ndarray:
        return weights + self.rate * update


@dataclass(frozen=True)
class FedAdam(Server):
    """Adam on the combined updates. Reddi et al. 2021 (arXiv 2003.00295), algorithm 2.

    Args:
        tau: What is added to the root of the running square, as everywhere without bias correction.
    """

    rate: float = 0.03
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3

    def step(self, weights: np.ndarray, update: np.ndarray, moments: Moments) -> np.ndarray:
        moments.mean = self.beta1 * moments.mean + (1 - self.beta1) * update
        moments.square = self.beta2 * moments.square + (1 - self.beta2) * update**2
        return weights + self.rate * moments.mean / (np.sqrt(moments.square) + self.tau)


@dataclass(frozen=True)
class FedYogi(Server):
    """Yogi on the combined updates. Reddi et al. 2021 (arXiv 2003.00295), algorithm 2."""

    rate: float = 0.03
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3

    def step(self, weights: np.ndarray, update: np.ndarray, moments: Moments) -> np.ndarray:
        square = update**2
        moments.mean = self.beta1 * moments.mean + (1 - self.beta1) * update
        moments.square = moments.square - (1 - self.beta2) * square * np.sign(
            moments.square - square
        )
        return weights + self.rate * moments.mean / (np.sqrt(moments.square) + self.tau)


@dataclass(frozen=True)
class SiteNoise:
    """Noise that the server adds to every round's sum: a guarantee for each hospital as a whole.

    Every hospital has one voice, and their number is public and divides the sum: so the guarantee
    is for one hospital replaced by another, which moves the sum by twice `clip`. Worth having with
    hundreds of hospitals; with ten, the noise is larger than what they say.

    Args:
        epsilon, delta: The guarantee over all rounds, for one hospital replaced, to whoever
            sees the models but not the server, which reads every update.
        clip: The greatest length of a hospital's update, in the units of the parameters.

    Source: McMahan et al. 2018 (arXiv 1710.06963), with all clients in every round.
    """

    epsilon: float = 3.0
    delta: float | None = None
    clip: float = 1.0

    def sigma(self, clients: int, rounds: int) -> float:
        """Noise standard deviation over twice `clip`."""
        return accounting.solve_gaussian(self.epsilon, self.chance(clients), rounds)

    def chance(self, clients: int) -> float:
        """delta, by default the largest power of ten of at most 1 / (10 clients)."""
        check_settings(self, clip=POSITIVE)
        return settle_delta(self, clients)

    def claim(self, clients: int, rounds: int, noise: str = accounting.SIMULATED) -> Claim:
        """The guarantee over all rounds."""
        return accounting.gaussian(
            self.sigma(clients, rounds),
            self.chance(clients),
            times=rounds,
            unit="site",
            neighbours="replace",
            n=clients,
            noise=noise,
        )


__all__ = ["FedAdam", "FedAvg", "FedYogi", "Moments", "Server", "SiteNoise"]
