"""How the sum of the hospitals' updates is taken: in the open, under masks, or encrypted."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from pipelines.federated.aggregate import Aggregate
    from privaudit.contracts import CipherTranscript


@dataclass(frozen=True, eq=False)
class Summed:
    """One round's sum, what the server saw on the way, and what it cost.

    Args:
        total: (p,) float64, the sum over clients that did not drop out.
        seen: (c, p) float32, what the server could read of each client, zeros for one that sent
            nothing.
        bytes_up, bytes_down: Counted on the messages of all clients.
        seconds: CPU seconds, all clients and the server together.
        transcript: Every message that reached the server, in order.
    """

    total: np.ndarray
    seen: np.ndarray
    bytes_up: int
    bytes_down: int
    seconds: float
    transcript: tuple[bytes, ...] = ()


REPEATS = (
    "server that repeats a round from the same weights, with one {site} less",
    "one {site}'s update",
    "yes, the difference of the two sums: exactly where every step takes all rows, else roughly",
)
"""Of every sum between machines: each round alone hides a {site}, two of them need not."""


class Protection(ABC):
    """How clients' vectors become their sum. Subclasses are frozen dataclasses.

    One federation: `protect.check(clients, aggregate)`, then `own = protect.start()` once and
    `own.total(...)` once a round; at the end `own.cipher` goes into the release.
    """

    name: ClassVar[str]

    def require(self) -> None:  # noqa: B027
        """PrivauditError where the library that protects the sum is not installed."""

    def check(self, clients: int, aggregate: Aggregate) -> None:  # noqa: B027
        """PrivauditError where so many clients, or this aggregator, cannot be protected so."""

    def start(self) -> Protection:
        """This protection with the keys of one federation, where it has any that outlive a
        round."""
        return self

    @property
    def cipher(self) -> CipherTranscript | None:
        """What the server keeps of the first two rounds, where updates were encrypted."""
        return None

    @abstractmethod
    def total(
        self, vectors: np.ndarray, rng: np.random.Generator, dropped: Sequence[int] = ()
    ) -> Summed:
        """The sum of vectors (c, p) float64, each already multiplied by its client's weight.

        Args:
            rng: The only source of randomness in a simulation.
            dropped: Rows of clients that join the round and then never send their vector; they are
                left out of the sum.
        """

    @property
    @abstractmethod
    def trust(self) -> tuple[tuple[str, str, str], ...]:
        """Who can read what of one hospital's update: (who, what, whether) rows."""

    @property
    def trust_apart(self) -> tuple[tuple[str, str, str], ...]:
        """The same between machines, where hospitals sign what they agree on."""
        return self.trust


def check_vectors(vectors: np.ndarray, dropped: Sequence[int]) -> list[int]:
    """The rows that take part to the end; PrivauditError for what cannot be summed."""
    if vectors.ndim != 2 or not vectors.size:
        raise PrivauditError(
            f"updates of shape {vectors.shape}",
            "a sum takes one vector a client: (clients, parameters), neither of them 0",
            "stack one flat vector a client",
        )
    if not np.isfinite(vectors).all():
        bad = sorted({int(i) for i in np.argwhere(~np.isfinite(vectors))[:, 0]})
        raise PrivauditError(
            f"the update of client {bad[0]} holds NaN or infinity",
            "a sum that takes it is worth nothing",
            "pass updates through the gate first",
        )
    clients = len(vectors)
    wrong = [i for i in dropped if not 0 <= i < clients]
    if wrong or len(set(dropped)) != len(dropped):
        raise PrivauditError(
            f"dropped={list(dropped)!r}",
            f"it lists different rows between 0 and {clients - 1}",
            "name each client once",
        )
    stay = [i for i in range(clients) if i not in set(dropped)]
    if not stay:
        raise PrivauditError(
            "every client dropped out", "a sum needs at least one", "wait for clients"
        )
    return stay


@dataclass(frozen=True)
class Plain(Protection):
    """Every hospital sends its update in the open, and the server reads it.

    Costs 4 bytes a parameter (float32). McMahan et al. 2017 (arXiv 1602.05629).
    """

    name: ClassVar[str] = ""

    def total(
        self, vectors: np.ndarray, rng: np.random.Generator, dropped: Sequence[int] = ()
    ) -> Summed:
        start = time.process_time()
        stay = check_vectors(vectors, dropped)
        seen = np.zeros(vectors.shape, np.float32)
        seen[stay] = vectors[stay]
        total = vectors[stay].sum(axis=0)
        return Summed(
            total=total,
            seen=seen,
            bytes_up=4 * len(stay) * vectors.shape[1],
            bytes_down=0,
            seconds=time.process_time() - start,
            transcript=tuple(seen[i].tobytes() for i in stay),
        )

    @property
    def trust(self) -> tuple[tuple[str, str, str], ...]:
        return (
            ("server", "one {site}'s update", "yes, every one, in every round"),
            ("another {site}", "one {site}'s update", "no, only the new model"),
            ("whoever holds the released model", "one {site}'s update", "no"),
        )


__all__ = ["Plain", "Protection", "Summed", "check_vectors"]
