"""Federated training, round by round: ask, train locally, look, combine, step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pipelines.federated.aggregate import Aggregate, Mean
from pipelines.federated.clock import Clock, Policy, WaitAll
from pipelines.federated.compress import Compression, NoCompression
from pipelines.federated.gate import admit
from pipelines.federated.ledger import COSTS, Ledger
from pipelines.federated.network import Network
from pipelines.federated.protect import Plain, Protection
from pipelines.federated.server import FedAvg, Server, SiteNoise
from pipelines.settings import COUNT, POSITIVE, check_settings
from privaudit.contracts import Malicious
from privaudit.errors import PrivauditError
from privaudit.secure_random import SecretGenerator

if TYPE_CHECKING:
    from pipelines.federated.local import PerPatient, Recipe

STREAMS = (
    "sites",
    "start",
    "speeds",
    "rounds",
    "protect",
    "aggregate",
    "malice",
    "clients",
    "counts",
)
"""Every use of randomness has a stream of its own, so that one setting moves no other's draws."""


def streams(rng: np.random.Generator) -> dict[str, np.random.Generator]:
    """The streams of one federation, from its generator."""
    if isinstance(rng, SecretGenerator):
        return {name: rng.child(name) for name in STREAMS}
    root = np.random.SeedSequence([int(word) for word in rng.integers(2**32, size=4)])
    return dict(zip(STREAMS, map(np.random.default_rng, root.spawn(len(STREAMS))), strict=True))


@dataclass(frozen=True)
class Plan:
    """How a federation trains.

    Args:
        bound: The gate's norm bound, in lengths of the usual (median) update of the round; None for
            none.
        recorded: How many of the last rounds are kept in the exchange.
    """

    rounds: int
    recipe: Recipe
    server: Server = field(default_factory=FedAvg)
    aggregate: Aggregate = field(default_factory=Mean)
    protect: Protection = field(default_factory=Plain)
    policy: Policy = field(default_factory=WaitAll)
    clock: Clock = field(default_factory=Clock)
    compress: Compression = field(default_factory=NoCompression)
    malicious: Malicious | None = None
    private: PerPatient | None = None
    central: SiteNoise | None = None
    bound: float | None = 5.0
    recorded: int = 3

    def check(self, clients: int) -> None:
        """PrivauditError for settings out of range, and for pairs that cannot work."""
        check_settings(self, rounds=COUNT, recorded=COUNT)
        check_settings(self.recipe, steps=COUNT, batch=COUNT, rate=POSITIVE)
        if not 0 <= self.recipe.proximal * self.recipe.rate < 1:
            raise PrivauditError(
                f"proximal={self.recipe.proximal} at a rate of {self.recipe.rate}",
                "their product is at least 0 and below 1, or clients swing away from what they "
                "were sent",
                "use 0 for none, or 0.01 to 1",
            )
        for part in (self.server, self.clock, self.compress):
            part.check()
        self.policy.check(clients)
        self.aggregate.check(clients)
        self.protect.check(clients, self.aggregate)
        if self.protect.name and not isinstance(self.compress, NoCompression):
            raise PrivauditError(
                f"compression {self.compress!r} under {type(self.protect).__name__}",
                "masked and encrypted vectors are dense whole numbers: leaving values out or "
                "rounding them destroys the sum",
                "use compress=NoCompression(), or protect=Plain()",
            )
        if self.central is not None and (self.protect.name or not isinstance(self.aggregate, Mean)):
            raise PrivauditError(
                f"{self.central!r} with {self.aggregate!r} under {type(self.protect).__name__}",
                "the server must clip every update, and know how far one can move the sum",
                "use aggregate=Mean() and protect=Plain()",
            )
        if self.malicious is not None and not 0 <= self.malicious.clients < clients:
            raise PrivauditError(
                f"{self.malicious.clients} malicious of {clients} clients",
                f"it is a number from 0 to {clients - 1}: one client at least is honest",
                "make fewer clients malicious",
            )


@dataclass(frozen=True, eq=False)
class Job:
    """One federation to train: x (n, w) float32, y (n,), each client's rows, starting weights
    (p,).

    counts: (clients,) how many records each is taken to have, where the exact numbers are covered
    by a guarantee; None for the exact ones.
    """

    x: np.ndarray
    y: np.ndarray
    rows: tuple[np.ndarray, ...]
    start: np.ndarray
    streams: dict[str, np.random.Generator]
    counts: np.ndarray | None = None


class Run(Ledger):
    """One simulated federation as it is trained."""

    def __init__(self, job: Job, plan: Plan, weights: np.ndarray, protect: Protection) -> None:
        exact = [len(rows) for rows in job.rows]
        known = exact if job.counts is None else job.counts
        counts = np.array(known, dtype=np.float64)
        super().__init__(plan, weights, counts, job.streams["aggregate"])
        self.job, self.protect = job, protect
        self.speeds = plan.clock.draw(self.clients, job.streams["speeds"])
        self.memory = np.zeros((self.clients, len(weights))) if plan.compress.remembers else None

    @property
    def hostile(self) -> int:
        """How many clients are malicious: the last ones."""
        return self.plan.malicious.clients if self.plan.malicious is not None else 0

    def receive(self, asked: np.ndarray, updates: np.ndarray) -> None:
        """Finish a round from the (m, p) honest updates of the clients that were asked."""
        plan, size = self.plan, len(self.weights)
        traffic = plan.compress.size(size) + 4 * size
        seconds = plan.clock.seconds(
            self.speeds, asked, plan.recipe.steps, traffic, self.job.streams["rounds"]
        )
        came, took = plan.policy.close(seconds, self.clients)
        sent, counts = self._sent(asked, updates)
        gone = 0
        if plan.malicious is not None and plan.malicious.absent:
            here = asked < self.clients - self.hostile
            gone = int((~here).sum())
            sent = [vector for vector, stays in zip(sent, here, strict=True) if stays]
            asked, counts, came = asked[here], counts[here], came[here]
        self.costs["simulated_seconds"] += took
        self.costs["late_updates"] += int((~came).sum())
        seen = self.blank()
        if plan.protect.name:
            combined = self._protected(asked, sent, counts, came, seen)
        else:
            # Everybody who trained has sent, in time or not.
            self.costs["bytes_up"] += len(asked) * plan.compress.size(size)
            self.costs["bytes_down"] += 4 * len(asked) * size
            on_time = np.flatnonzero(came)
            arrived = [sent[i] for i in on_time]
            combined = self.combine(asked[on_time], arrived, counts[on_time], seen, gone)
        self.close(seen, combined)

    def _sent(self, asked: np.ndarray, updates: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """What each asked client puts on the wire, and how many records it claims."""
        if self.memory is not None:
            updates = updates + self.memory[asked]
        squeezed = self.plan.compress.squeeze(updates)
        if self.memory is not None:
            self.memory[asked] = updates - squeezed
        sent, counts = list(squeezed), self.counts[asked].copy()
        bad = np.flatnonzero(asked >= self.clients - self.hostile)
        if self.plan.malicious is not None and len(bad):
            good = np.setdiff1d(np.arange(len(asked)), bad)
            rng = self.job.streams["malice"]
            found = self.plan.malicious.corrupt(squeezed[good], squeezed[bad], rng)
            for place, vector in zip(bad, found, strict=True):
                sent[place] = vector
            counts[bad] = self.plan.malicious.claim_counts(counts[bad])
        return sent, counts

    def _protected(
        self,
        asked: np.ndarray,
        sent: list[np.ndarray],
        counts: np.ndarray,
        came: np.ndarray,
        seen: np.ndarray,
    ) -> np.ndarray | None:
        """The mean from a sum that the server takes without reading a single update.

        Only a client can look at what it sends: shape and finite values, which masks and ciphers
        need. Nobody can bound its length. Counts are public, and capped.
        """
        size = len(self.weights)
        admitted = admit(sent, counts, size=size, bound=None, cap=self.cap)
        self._look(asked, admitted.refused)
        on_time = came[admitted.clients]
        if not on_time.any():
            return None
        share = admitted.counts / admitted.counts.sum()
        summed = self.protect.total(
            admitted.updates * share[:, None],
            self.job.streams["protect"],
            tuple(int(i) for i in np.flatnonzero(~on_time)),
        )
        seen[asked[admitted.clients]] = summed.seen
        self.costs["bytes_up"] += summed.bytes_up
        self.costs["bytes_down"] += summed.bytes_down + 4 * len(asked) * size
        self.costs["protect_seconds"] += summed.seconds
        return summed.total / share[on_time].sum()


def federate(plan: Plan, network: Network, jobs: Sequence[Job]) -> list[Run]:
    """Train several federations side by side: all clients of a round are one program of torch.

    No federation's result depends on which others are trained beside it, up to float32 rounding.
    McMahan et al. 2017 (arXiv 1602.05629), algorithm 1, with the parts that `plan` names.
    """
    from pipelines.federated.local import Trainer
    from pipelines.learners._training import one_thread

    for job in jobs:
        plan.check(len(job.rows))
    begin = time.process_time()
    runs = [Run(job, plan, job.start.astype(np.float64), plan.protect.start()) for job in jobs]
    first = np.cumsum([0, *[len(job.rows) for job in jobs]])
    rows, rngs, at = [], [], 0
    for job in jobs:
        rows += [own + at for own in job.rows]
        rngs += job.streams["clients"].spawn(len(job.rows))
        at += len(job.x)
    with one_thread():
        trainer = Trainer(
            network,
            np.concatenate([job.x for job in jobs]),
            np.concatenate([job.y for job in jobs]),
            rows,
            rngs,
            plan.private,
            np.concatenate([run.counts for run in runs]),
        )
        for _ in range(plan.rounds):
            asked = [plan.policy.ask(run.clients, run.job.streams["rounds"]) for run in runs]
            sent = [
                np.broadcast_to(run.weights, (len(who), len(run.weights)))
                for run, who in zip(runs, asked, strict=True)
            ]
            who = np.concatenate([own + base for own, base in zip(asked, first, strict=False)])
            updates = trainer.train(np.concatenate(sent), who, plan.recipe)
            ends = np.cumsum([len(own) for own in asked])[:-1]
            for run, own, part in zip(runs, asked, np.split(updates, ends), strict=True):
                run.receive(own, part)
    spent = (time.process_time() - begin) / max(len(runs), 1)
    for run in runs:
        run.costs["train_seconds"] = spent
    return runs


__all__ = ["COSTS", "Job", "Plan", "Run", "federate", "streams"]
