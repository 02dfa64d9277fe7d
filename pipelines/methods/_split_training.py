"""What split learning and SplitFed share: the parts of the network, the parties, the release."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from pipelines.federated.network import Network
from pipelines.federated.sites import ByUnit, Sites
from pipelines.learners._prepare import check_outcomes
from pipelines.learners._training import one_thread
from pipelines.methods._split_defences import Defence, NoDefence
from pipelines.methods._split_parties import Client, Part, Server, Wire
from pipelines.methods._split_shapes import RECORDED, Shape, Tap, Vanilla
from pipelines.methods._split_trunks import Dense, Query, Reader, Trunk
from pipelines.settings import COUNT, check_settings
from privaudit.contracts import Claim, Method, Release
from privaudit.errors import PrivauditError
from privaudit.records import Records


@dataclass(frozen=True)
class SplitTraining(Method):
    """A network split between sites and a server. Subclasses say in `run` who trains when.

    Args:
        sites: How records fall to sites, see `pipelines.federated.sites`.
        shape: `Vanilla()`, where outcomes are sent to the server, or `UShaped()`, where they stay.
        defence: What is done to the numbers at the cut: `NoDefence()`, `NoiseOnSmashed(scale)`,
            `EqualNorms(times)` or `MaxNorm()`.
        trunk: What a site computes: `Dense(width)` on the summary columns, or `Recurrent(units)`
            on the hourly series.
        hidden: Widths of the layers between the cut and the last layer.
        rate: AdamW's learning rate.
        decay: AdamW's weight decay.
        rows: Rows of a batch.
        epochs: Passes over each site's records.
    """

    sites: Sites = field(default_factory=ByUnit)
    shape: Shape = field(default_factory=Vanilla)
    defence: Defence = field(default_factory=NoDefence)
    trunk: Trunk = field(default_factory=Dense)
    hidden: tuple[int, ...] = (32,)
    rate: float = 0.001
    decay: float = 1.0
    rows: int = 64
    epochs: int = 8

    pictures: ClassVar[bool] = True

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        with one_thread():
            return self.run(Session(self, members, rng), rng)

    @abstractmethod
    def run(self, session: Session, rng: np.random.Generator) -> Release:
        """Train with the parties of `session`."""

    def check(self) -> None:
        """PrivauditError for settings out of range."""
        self.trunk.check()
        self.defence.check()
        if any(width < 1 for width in self.hidden):
            raise PrivauditError(
                f"layers of {', '.join(map(str, self.hidden))} units above the cut",
                "every layer has at least 1 unit",
                "use hidden=32",
            )
        if len(self.hidden) < self.shape.at_site:
            raise PrivauditError(
                "a U-shaped network without a layer for the server",
                "the site holds the first and the last layer, so there is at least 1 between them",
                "use hidden=32, or the vanilla shape",
            )
        check_settings(self, epochs=COUNT, rows=COUNT)
        if not 0 < self.rate < 1 or not 0 <= self.decay * self.rate < 1:
            raise PrivauditError(
                f"a learning rate of {self.rate} with a decay of {self.decay}",
                "the rate is between 0 and 1, and the two multiplied are at least 0 and below 1",
                "use a rate of 0.002 and a decay of 1",
            )


class Session:
    """One training: every party set up, the wire between them and the tap at the server.

    first: initial weights below the cut, at the server, and at the sites' end (empty in vanilla).
    """

    def __init__(self, design: SplitTraining, members: Records, rng: np.random.Generator) -> None:
        design.check()
        check_outcomes(members)
        parts = design.sites.divide(members, rng)
        where = parts.rows
        self.design, self.members = design, members
        self.begin, self.parts = time.process_time(), parts
        self.trunk = design.trunk.fit_for(members)
        self.reader: Reader = self.trunk.reader(members)
        self.widths = (self.trunk.out, *design.hidden, len(members.classes))
        below = self.trunk.start(self.reader, rng)
        flat = Network(self.widths).start(rng)
        above = [np.array(w) for w in Network(self.widths).unpack(flat)]  # type: ignore[arg-type]
        cut = len(above) - 2 * design.shape.at_site
        self.first = (below, above[:cut], above[cut:])
        self.wire = Wire()
        self.clients = [self._client(rows, rng.spawn(1)[0]) for rows in where]
        batches = [-(-len(rows) // design.rows) for rows in where]
        self.tap = Tap(design.epochs, max(1, -(-sum(batches) * design.rows // RECORDED)))
        self.exchanges = sum(batches) * design.epochs

    def part(self, weights: Sequence[np.ndarray]) -> Part:
        return Part(weights, self.design.rate, self.design.decay)

    def server(self, rng: np.random.Generator) -> Server:
        return Server(self.part(self.first[1]), self.design.defence, rng)

    def _client(self, rows: np.ndarray, rng: np.random.Generator) -> Client:
        own = self.members.take(rows)
        below, _, head = self.first
        return Client(
            rows=rows,
            inputs=self.reader(own),
            y=own.y,
            trunk=self.trunk,
            part=self.part(below),
            head=self.part(head) if head else None,
            defence=self.design.defence,
            rng=rng,
        )

    def release(
        self,
        client: Client,
        server: Server,
        rounds: int,
        trust: tuple[tuple[str, str, str], ...],
        notes: tuple[str, ...],
    ) -> Release:
        """The joint model of these two, the traffic at the cut, and what it cost."""
        design = self.design
        below = tuple(w.detach().numpy().copy() for w in client.part.weights)
        above = [
            w.detach().numpy().copy()
            for part in (server.part, client.head)
            if part
            for w in part.weights
        ]
        wire = self.wire
        return Release(
            claim=Claim(),
            model=self.trunk.model(self.reader, below, above, self.widths),
            cut=self.tap.traffic(Query(self.trunk, self.reader, below)),
            costs={
                "bytes_up": float(wire.sent_up),
                "bytes_down": float(wire.sent_down),
                "bytes_between_sites": float(wire.between),
                "rounds": float(rounds),
                "exchanges": float(self.exchanges),
                "train_seconds": time.process_time() - self.begin,
            },
            trust=(*design.shape.trust, *trust),
            notes=(*self._notes(), *notes),
            restricted_notes=self.parts.restricted_notes,
        )

    def _notes(self) -> tuple[str, ...]:
        shape, defence = self.design.shape, self.design.defence
        epochs = "the first and the last epoch" if self.design.epochs > 1 else "the only epoch"
        some = f", of every {self.tap.every} batches one" if self.tap.every > 1 else ""
        return (
            f"{len(self.clients)} sites; {shape.label} split; at the cut: {defence.label}.",
            f"The traffic at the cut was recorded for {epochs}{some}.",
            "No privacy guarantee covers what crosses the cut.",
            *self.parts.notes,
        )
