"""The server's side of a federation, whether its hospitals are simulated or real: what came is
looked at, combined and stepped with, and what the server saw and what it cost are written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pipelines.federated.gate import admit, usual_norm
from pipelines.federated.server import Moments
from privaudit.dp.noise import add_gaussian

if TYPE_CHECKING:
    from pipelines.federated.kernel import Plan

COSTS = (
    "bytes_up",
    "bytes_down",
    "rounds",
    "simulated_seconds",
    "refused_updates",
    "late_updates",
    "idle_rounds",
    "clients",
    "protect_seconds",
)


@dataclass(eq=False)
class Ledger:
    """One federation at its server: `weights` (p,) float64, what it saw, what it cost.

    Args:
        counts: (clients,) how many records each client is taken to have, 0 where nobody knows yet.
        noise: Where the server's own noise comes from.
        sent, seen: Of the last `plan.recorded` rounds: (p,) float32 that were sent out, and
            (clients, p) float32 as far as the server could read what came.
        refused: (client, why) by the gate, each once.
        clipped, capped: Clients of the last round whose update was scaled down, or whose record
            count was not believed.
    """

    plan: Plan
    weights: np.ndarray
    counts: np.ndarray
    noise: np.random.Generator
    moments: Moments = field(default_factory=lambda: Moments.zero(0))
    sent: list[np.ndarray] = field(default_factory=list)
    seen: list[np.ndarray] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    clipped: tuple[int, ...] = ()
    capped: tuple[int, ...] = ()
    costs: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.moments.mean) != len(self.weights):
            self.moments = Moments.zero(len(self.weights))
        self.costs = dict.fromkeys(COSTS, 0.0) | {"clients": self.clients} | self.costs

    @property
    def clients(self) -> int:
        """How many clients the federation has."""
        return len(self.counts)

    def blank(self) -> np.ndarray:
        """(clients, p) float32 zeros: what is seen of clients that sent nothing."""
        return np.zeros((self.clients, len(self.weights)), dtype=np.float32)

    def combine(
        self,
        clients: np.ndarray,
        arrived: Sequence[np.ndarray],
        counts: np.ndarray,
        seen: np.ndarray,
        gone: int = 0,
        fewest: int = 0,
    ) -> np.ndarray | None:
        """The combined update where the server reads every one; None where none can be made.

        Args:
            clients: (a,) whose updates arrived.
            arrived: Each as it came: anything.
            counts: (a,) record counts as claimed.
            seen: (clients, p) is filled in.
            gone: How many clients that the aggregate allows for are not there.
            fewest: Combine no fewer than these, whatever the aggregate can work with.
        """
        size, central = len(self.weights), self.plan.central
        bound = self._bound(arrived) if central is None else central.clip
        admitted = admit(arrived, counts, size=size, bound=bound, cap=self.cap)
        self._look(clients, admitted.refused, admitted.clipped, admitted.capped)
        named = clients[admitted.clients]
        for client, i in zip(named, admitted.clients, strict=True):
            seen[client] = arrived[i]
        if central is not None:
            # Noise even where nobody was admitted: silence would tell of a hospital too.
            most = 2 * central.clip  # one update goes and another comes
            spread = central.sigma(self.clients, self.plan.rounds) * most
            total = admitted.updates.sum(axis=0)
            return add_gaussian(total, spread, most, self.noise) / self.clients
        aggregate = self.plan.aggregate.after(len(admitted.refused) + gone)
        if len(named) < max(aggregate.fewest, fewest):
            return None
        return aggregate.combine(admitted.updates, admitted.counts)

    def close(self, seen: np.ndarray, combined: np.ndarray | None) -> None:
        """End a round: record what was sent out and seen, and step with the combined update."""
        self.costs["rounds"] += 1
        self.sent.append(self.weights.astype(np.float32))
        self.seen.append(seen)
        del self.sent[: -self.plan.recorded], self.seen[: -self.plan.recorded]
        if combined is None:
            self.costs["idle_rounds"] += 1
        else:
            self.weights = self.plan.server.step(self.weights, combined, self.moments)

    @property
    def cap(self) -> int:
        """The most records a client may count for: ten times the usual hospital."""
        known = self.counts[self.counts > 0]
        return max(1, int(10 * np.median(known))) if len(known) else 1

    def _bound(self, arrived: Sequence[np.ndarray]) -> float | None:
        """The gate's norm bound of this round."""
        usual = usual_norm(arrived, len(self.weights)) if self.plan.bound is not None else None
        return None if usual is None or self.plan.bound is None else usual * self.plan.bound

    def _look(
        self,
        clients: np.ndarray,
        refused: Sequence[tuple[int, str]],
        clipped: Sequence[int] = (),
        capped: Sequence[int] = (),
    ) -> None:
        self.costs["refused_updates"] += len(refused)
        for place, why in refused:
            entry = (int(clients[place]), why)
            if entry not in self.refused:
                self.refused.append(entry)
        self.clipped = tuple(int(clients[place]) for place in clipped)
        self.capped = tuple(int(clients[place]) for place in capped)


__all__ = ["COSTS", "Ledger"]
