"""Federated learning: hospitals keep their records and send model updates to a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar

import numpy as np

from pipelines.federated.aggregate import (
    Aggregate,
    GeometricMedian,
    Krum,
    Mean,
    Median,
    MultiKrum,
    NearestNeighbourMixing,
    TrimmedMean,
)
from pipelines.federated.clock import Clock, Policy, WaitAll
from pipelines.federated.compress import Compression, NoCompression
from pipelines.federated.encode import Encoding
from pipelines.federated.front import Front, PictureFront, Pooled
from pipelines.federated.kernel import Job, Plan, Run, federate, streams
from pipelines.federated.network import FlatModel, Network
from pipelines.federated.protect import Plain, Protection
from pipelines.federated.server import FedAvg, Server, SiteNoise
from pipelines.federated.sites import ByUnit, Parts, Sites
from pipelines.learners._prepare import check_outcomes
from pipelines.settings import at_least, check_settings
from privaudit.contracts import Claim, Exchange, Malicious, Method, Release
from privaudit.dp import accounting
from privaudit.dp.noise import bind_noise
from privaudit.errors import PrivauditError
from privaudit.records import Records

LARGEST = 1 << 26
"""Parameters: 256 MB as they are sent."""


@dataclass(frozen=True)
class Federated(Method):
    """Train one neural network over several hospitals without moving a record.

    In each round the server sends its network to the hospitals; each takes a few steps on its own
    records and sends back how its weights changed; the server looks at every update (the gate),
    combines them, and steps. Clients read records through a public encoding, never through
    statistics of anybody's data. The network is its own, so no learner is chosen.

    Args:
        hidden: Width of the hidden layer, 0 for a logistic regression.
        front: What comes before it. LSTM(units, pool): a recurrent network reads the series of the
            records in the place of the summary columns. Pooled(channels, kernel) or
            Strided(channels, kernel): the columns are read as they are, and pictures by
            convolutions.
        rounds: How many rounds.
        steps, rows, rate: Local steps a round, rows a step, learning rate.
        proximal: FedProx's pull to the weights sent out.
        server: FedAvg, FedAdam or FedYogi.
        sites: ByUnit, Dirichlet or ByQuantity.
        aggregate: How updates are combined.
        protect: Plain, SecureSum or EncryptedSum.
        policy, clock: For whom the server waits, and how fast clients are.
        compress: How updates are written on the wire.
        malicious: What malicious clients do.
        central: Noise by the server, with its guarantee for a hospital.
        bound: The gate's norm bound in usual (median) lengths, None for none.
        recorded: How many of the last rounds are stored in the exchange.

    Costs: see `pipelines.federated.kernel.COSTS`, and `train_seconds` of CPU.

    Source: McMahan et al. 2017 (arXiv 1602.05629); FedProx: Li et al. 2020 (arXiv 1812.06127);
    FedAdam and FedYogi: Reddi et al. 2021 (arXiv 2003.00295).
    """

    hidden: int = 64
    front: Front = field(default_factory=Pooled)
    rounds: int = 20
    steps: int = 10
    rows: int = 32
    rate: float = 0.1
    proximal: float = 0.0
    server: Server = field(default_factory=FedAvg)
    sites: Sites = field(default_factory=ByUnit)
    aggregate: Aggregate = field(default_factory=Mean)
    protect: Protection = field(default_factory=Plain)
    policy: Policy = field(default_factory=WaitAll)
    clock: Clock = field(default_factory=Clock)
    compress: Compression = field(default_factory=NoCompression)
    malicious: Malicious | None = None
    central: SiteNoise | None = None
    bound: float | None = 5.0
    recorded: int = 3

    seats: ClassVar[bool] = True
    pictures: ClassVar[bool] = True
    trains_as_federated: ClassVar[bool] = True
    """Whether a class changes defaults alone. Read of the class itself and never inherited."""

    @property
    def alternatives(self) -> Mapping[str, Method]:
        """The same federation under each aggregate; robust ones bear as many as are malicious, or
        one."""
        f = max(1, self.malicious.clients if self.malicious is not None else 1)
        rules: dict[str, Aggregate] = {
            "mean": Mean(),
            "median": Median(),
            "trimmed mean": TrimmedMean(f),
            "geometric median": GeometricMedian(),
            "nearest-neighbour mixing": NearestNeighbourMixing(f),
            "multi-Krum": MultiKrum(f),
            "Krum": Krum(f),
        }
        if self.protect.name or self.central is not None:
            rules = {"mean": Mean()}
        return {name: replace(self, aggregate=rule) for name, rule in rules.items()}

    @property
    def twin(self) -> Method:
        """The same federation in the open: masks and ciphers change a sum by rounding alone.

        The bound goes with them, since nobody can bound the length of what is masked. A subclass
        that trains in another way (with noise at the sites, say) is its own twin.
        """
        if not vars(type(self)).get("trains_as_federated", False):
            return self
        own = {part.name: getattr(self, part.name) for part in fields(Federated)}
        if self.protect.name:
            own |= {"protect": Plain(), "bound": None}
        return Federated(**own)

    @property
    def batch(self) -> int:
        return 16 if isinstance(self.front, PictureFront) else 4  # encoded series are large

    def check(self) -> None:
        self.protect.require()

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        (release,) = self.fit_many([members], [rng])
        return release

    def fit_many(
        self, members: Sequence[Records], rngs: Sequence[np.random.Generator]
    ) -> Sequence[Release]:
        """One federation a table, all trained as one program."""
        if not members:
            return []
        if self.central is not None:
            rngs = [
                bind_noise(rng, self, part.fingerprint)
                for rng, part in zip(rngs, members, strict=True)
            ]
        encoding, network = self.make_encoding(members[0]), self.make_network(members[0])
        made = [
            self._job(table, encoding, network, rng)
            for table, rng in zip(members, rngs, strict=True)
        ]
        runs = federate(self._plan(members[0]), network, [job for job, _ in made])
        return [
            self._release(table, run, parts, encoding, network, accounting.name_noise(rng))
            for table, run, (_, parts), rng in zip(members, runs, made, rngs, strict=True)
        ]

    def make_encoding(self, records: Records) -> Encoding:
        """How clients read such records: by public knowledge, no value of theirs is looked at."""
        return self.front.make_encoding(records)

    def encode(self, records: Records) -> np.ndarray:
        """(n, width) float32, the records as the network reads them."""
        return self.make_encoding(records).encode(records)

    def find_shape(self, records: Records) -> tuple[int, ...]:
        """What a server, which has no record, must know of them to build the network.

        Sizes of what is read (see `Front.find_shape`), then the number of classes. Records without
        a row have a shape too.
        """
        return (*self.front.find_shape(records), len(records.classes))

    def build_network(self, shape: Sequence[int]) -> Network:
        """The network of records of this shape, as `find_shape` gives it.

        Raises:
            PrivauditError: For what is no shape of records that this network reads, also where
                somebody else states it, and for one of more than `LARGEST` parameters.
        """
        check_settings(self, hidden=at_least(0))
        self.front.check()
        read, classes = tuple(shape[:-1]), shape[-1] if shape else 0
        if not read or classes < 2 or min(read) < 0:
            raise PrivauditError(
                f"a shape of {len(shape)} sizes",
                "it is the sizes that a network reads, none below 0, then at least two classes",
                "take what `find_shape` gives for the records of a hospital",
            )
        middle = (self.hidden,) if self.hidden else ()
        network = self.front.build(read, (*middle, classes))
        if network.size > LARGEST:
            raise PrivauditError(
                f"a network of {network.size} parameters",
                f"more than {LARGEST} are not sent from place to place",
                "use fewer units or fewer columns",
            )
        return network

    def make_network(self, records: Records) -> Network:
        """The network that reads such records."""
        return self.build_network(self.find_shape(records))

    def make_model(self, records: Records, weights: np.ndarray) -> FlatModel:
        """The model of (p,) float32 weights; no row of the records is used."""
        return FlatModel.of(self.make_encoding(records), self.make_network(records), weights)

    def _plan(self, members: Records) -> Plan:
        return self.make_plan()

    def make_plan(self) -> Plan:
        """What a server trains by: all but what follows from the records."""
        from pipelines.federated.local import Recipe

        own = {part.name for part in fields(self)}
        same = {p.name: getattr(self, p.name) for p in fields(Plan) if p.name in own}
        return Plan(recipe=Recipe(self.steps, self.rows, self.rate, self.proximal), **same)

    def _divide(self, records: Records, own: dict[str, np.random.Generator]) -> Parts:
        return self.sites.divide(records, own["sites"])

    def _job(
        self,
        records: Records,
        encoding: Encoding,
        network: Network,
        rng: np.random.Generator,
    ) -> tuple[Job, Parts]:
        check_outcomes(records)
        own = streams(rng)
        parts = self._divide(records, own)
        x, y, rows = encoding.encode(records), records.y, list(parts.rows)
        hostile = self.malicious.clients if self.malicious is not None else 0
        for client in range(len(rows) - hostile, len(rows)) if 0 < hostile < len(rows) else ():
            assert self.malicious is not None
            poisoned = self.malicious.poison(records.take(rows[client]), own["malice"])
            rows[client] = np.arange(len(x), len(x) + len(poisoned))
            x = np.concatenate([x, encoding.encode(poisoned)])
            y = np.concatenate([y, poisoned.y])
        start = network.start(own["start"])
        return Job(x, y, tuple(rows), start, own), parts

    def _release(
        self,
        records: Records,
        run: Run,
        parts: Parts,
        encoding: Encoding,
        network: Network,
        noise: str,
    ) -> Release:
        exchange = Exchange(
            weights=tuple(run.sent),
            updates=tuple(run.seen),
            clients=parts.codes,
            counts=run.counts.astype(np.int64),
            widths=network.widths,
            image=network.image,
            convolutions=network.convolutions,
            lstm=None if network.lstm is None else network.lstm.sizes,
            encode=encoding.encode,
            rate=self.rate,
            steps=self.steps,
            batch=self.rows,
            protected=self.protect.name,
            holder=parts.holder(len(records)),
        )
        claim = Claim()
        if self.central is not None:
            claim = self.central.claim(run.clients, self.rounds, noise)
        return Release(
            claim=claim,
            model=FlatModel.of(encoding, network, run.weights.astype(np.float32)),
            updates=exchange,
            costs=run.costs,
            cipher=run.protect.cipher,
            trust=self.protect.trust,
            notes=(*parts.notes, *_gate_notes(run, parts)),
            restricted_notes=parts.restricted_notes,
        )


def _gate_notes(run: Run, parts: Parts) -> list[str]:
    """What the gate refused, and rounds that came to nothing."""
    notes = []
    for client, why in run.refused:
        notes.append(f"The gate refused updates of {parts.names[client]}: {why}.")
    if run.plan.protect.name:
        notes.append(
            "The server reads no single update, so its gate cannot bound or refuse one: {sites} "
            "check their own, and a malicious one need not."
        )
    idle = int(run.costs["idle_rounds"])
    if idle:
        notes.append(
            f"In {idle} of {int(run.costs['rounds'])} rounds too few updates came in time; the "
            "model "
            "stayed as it was."
        )
    if not np.isfinite(run.weights).all():
        raise PrivauditError(
            "weights that are not finite after the last round",
            "the training diverged",
            "use a smaller rate, or another server rule",
        )
    return notes


__all__ = ["Federated"]
