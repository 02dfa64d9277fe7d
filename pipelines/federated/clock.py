"""A virtual clock: how long hospitals of different speed would take, and for whom the server
waits."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from pipelines.settings import NON_NEGATIVE, POSITIVE, SHARE, check_settings


@dataclass(frozen=True, eq=False)
class Speeds:
    """step: (clients,) seconds a local step; rate: (clients,) bytes a second, up and down alike."""

    step: np.ndarray
    rate: np.ndarray


@dataclass(frozen=True)
class Clock:
    """Lognormal speeds of the clients, and of each round around them.

    Nothing waits: seconds are counted, not spent.

    Args:
        step: Median seconds a local training step.
        rate: Median bytes a second.
        spread: Standard deviation of the logarithm between clients.
        jitter: The same between rounds of one client.

    Source: Lai et al. 2021 (FedScale, arXiv 2105.11367) for the heavy-tailed speeds of clients.
    """

    step: float = 0.01
    rate: float = 1e6
    spread: float = 0.5
    jitter: float = 0.25

    def check(self) -> None:
        """PrivauditError for a speed that is none."""
        check_settings(self, step=POSITIVE, rate=POSITIVE, spread=NON_NEGATIVE, jitter=NON_NEGATIVE)

    def draw(self, clients: int, rng: np.random.Generator) -> Speeds:
        """Each client's own speed, for the whole federation."""
        step, rate = np.exp(self.spread * rng.standard_normal((2, clients)))
        return Speeds(self.step * step, self.rate * rate)

    def seconds(
        self,
        speeds: Speeds,
        asked: np.ndarray,
        steps: int,
        traffic: float,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """(asked,) seconds until each client's update has arrived; traffic: its bytes up and
        down."""
        noise = np.exp(self.jitter * rng.standard_normal(len(asked)))
        return (steps * speeds.step[asked] + traffic / speeds.rate[asked]) * noise


class Policy(ABC):
    """Whom the server asks, and whose update still counts. Subclasses are frozen dataclasses."""

    def check(self, clients: int) -> None:  # noqa: B027
        """PrivauditError where it cannot work with so many clients."""

    def ask(self, clients: int, rng: np.random.Generator) -> np.ndarray:
        """Ascending numbers of the clients that train in this round."""
        return np.arange(clients)

    @abstractmethod
    def close(self, seconds: np.ndarray, clients: int) -> tuple[np.ndarray, float]:
        """Which updates came in time (bool), and after how many seconds the round was over."""


@dataclass(frozen=True)
class WaitAll(Policy):
    """Every client trains in every round, and the slowest decides how long it takes."""

    def close(self, seconds: np.ndarray, clients: int) -> tuple[np.ndarray, float]:
        return np.ones(len(seconds), dtype=bool), float(seconds.max())


@dataclass(frozen=True)
class Deadline(Policy):
    """Updates that take longer than this many seconds are left out of the round."""

    seconds: float = 1.0

    def check(self, clients: int) -> None:
        check_settings(self, seconds=POSITIVE)

    def close(self, seconds: np.ndarray, clients: int) -> tuple[np.ndarray, float]:
        in_time = seconds <= self.seconds
        return in_time, float(self.seconds if not in_time.all() else seconds.max())


@dataclass(frozen=True)
class Quorum(Policy):
    """The round is over when this share of the clients has answered."""

    share: float = 0.8

    def check(self, clients: int) -> None:
        check_settings(self, share=SHARE)

    def close(self, seconds: np.ndarray, clients: int) -> tuple[np.ndarray, float]:
        return _first(seconds, math.ceil(self.share * len(seconds)))


@dataclass(frozen=True)
class OverSelect(Policy):
    """Ask more clients than needed, chosen by chance, and take the first that answer.

    Bonawitz et al. 2019 (arXiv 1902.01046), section 2.2, with 130 % asked.

    Args:
        share: The share of the clients whose updates are wanted.
        extra: How many more are asked, as a share of those wanted.
    """

    share: float = 0.5
    extra: float = 0.3

    def check(self, clients: int) -> None:
        check_settings(self, share=SHARE, extra=NON_NEGATIVE)

    def ask(self, clients: int, rng: np.random.Generator) -> np.ndarray:
        asked = min(clients, math.ceil(self._wanted(clients) * (1 + self.extra)))
        return np.sort(rng.choice(clients, asked, replace=False))

    def close(self, seconds: np.ndarray, clients: int) -> tuple[np.ndarray, float]:
        return _first(seconds, min(self._wanted(clients), len(seconds)))

    def _wanted(self, clients: int) -> int:
        return max(1, math.ceil(self.share * clients))


def _first(seconds: np.ndarray, wanted: int) -> tuple[np.ndarray, float]:
    in_time = np.zeros(len(seconds), dtype=bool)
    in_time[np.argsort(seconds, kind="stable")[:wanted]] = True
    return in_time, float(seconds[in_time].max())


__all__ = ["Clock", "Deadline", "OverSelect", "Policy", "Quorum", "Speeds", "WaitAll"]
