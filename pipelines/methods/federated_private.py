"""Federated learning with noise at every hospital: a guarantee for each patient, the server
included."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pipelines._bounded import describe_noise
from pipelines.federated.encode import Encoding
from pipelines.federated.kernel import Job, Plan
from pipelines.federated.network import Network
from pipelines.federated.recurrent import SeriesEncoding, check_bounds
from pipelines.federated.sites import Parts
from pipelines.methods.federated import Federated
from pipelines.settings import POSITIVE, check_settings, require_package, settle_delta
from privaudit.contracts import Access, Mechanism, Release
from privaudit.dp import accounting
from privaudit.dp.noise import add_gaussian, bind_noise
from privaudit.records import Records

if TYPE_CHECKING:
    from pipelines.federated.local import PerPatient

COUNTING = 0.02
"""Share of the (squared) noise budget for how many patients each hospital has."""
COVERED = frozenset({Access.ANSWERS, Access.WEIGHTS, Access.UPDATES})


@dataclass(frozen=True)
class FederatedPrivate(Federated):
    """Federated learning in which every hospital trains by DP-SGD, so that even its updates keep a
    guarantee.

    Each step draws every patient independently at random, clips each one's gradient and adds
    Gaussian noise, all at the hospital: the guarantee for a patient holds against the server too,
    over all rounds. One record a patient, chosen by chance, is trained on. How many patients a
    hospital has is counted with noise once, at a share of the budget, and no exact number is used
    or sent. All other fields as in `federated`; `rows` plays no part.

    Args:
        epsilon, delta: The guarantee, for one patient added or removed; delta None is the largest
            power of ten of at most 1 / (10 patients).
        sample: The chance of a patient to be in a step.
        clip: The greatest length of a patient's gradient.

    Source: Abadi et al. 2016 (arXiv 1607.00133), at the clients as in Truex et al. 2019 (arXiv
    1812.03224).
    """

    hidden: int = 0
    rounds: int = 20
    steps: int = 2
    rate: float = 1.0
    epsilon: float = 3.0
    delta: float | None = None
    sample: float = 0.3
    clip: float = 1.0

    def check(self) -> None:
        super().check()
        require_package("dp_accounting", "it accounts for the noise of all steps", "dp")
        accounting.check(self.epsilon, self.delta or 0.0)
        check_settings(self, clip=POSITIVE)

    def fit_many(
        self, members: Sequence[Records], rngs: Sequence[np.random.Generator]
    ) -> Sequence[Release]:
        """One federation a table; those with the same noise are trained as one program."""
        self.check()
        rngs = [
            bind_noise(rng, self, part.fingerprint) for rng, part in zip(rngs, members, strict=True)
        ]
        groups: dict[float, list[int]] = {}
        for i, table in enumerate(members):
            groups.setdefault(self._delta(table), []).append(i)
        found: dict[int, Release] = {}
        for chosen in groups.values():
            made = super().fit_many([members[i] for i in chosen], [rngs[i] for i in chosen])
            for i, release in zip(chosen, made, strict=True):
                found[i] = self._with_claim(members[i], release, rngs[i])
        return [found[i] for i in range(len(members))]

    def make_encoding(self, records: Records) -> Encoding:
        """As in `Federated`; PrivauditError for channels without public bounds."""
        encoding = super().make_encoding(records)
        if isinstance(encoding, SeriesEncoding):
            check_bounds(records, "federated_private")
        return encoding

    def _plan(self, members: Records) -> Plan:
        return replace(super()._plan(members), private=self._noise(members))

    def _divide(self, records: Records, own: dict[str, np.random.Generator]) -> Parts:
        """The sites' patients with one record each, so that a patient counts once and at one
        site."""
        parts = super()._divide(records, own)
        order = own["sites"].permutation(len(records))
        _, first = np.unique(records.patient[order], return_index=True)
        chosen_rows = np.zeros(len(records), dtype=bool)
        chosen_rows[order[first]] = True
        rows = [part[chosen_rows[part]] for part in parts.rows]
        left = [i for i, part in enumerate(rows) if len(part)]
        return replace(
            parts,
            rows=tuple(rows[i] for i in left),
            codes=parts.codes[left],
            names=tuple(parts.names[i] for i in left),
        )

    def _job(
        self,
        records: Records,
        encoding: Encoding,
        network: Network,
        rng: np.random.Generator,
    ) -> tuple[Job, Parts]:
        """With a noisy count of each hospital's patients in the place of the exact one."""
        job, parts = super()._job(records, encoding, network, rng)
        multiplier = self._count_noise(records)
        exact = np.array([len(rows) for rows in job.rows], dtype=np.float64)
        noisy = add_gaussian(exact, multiplier, 1.0, job.streams["counts"])
        # A count near 0 would let noise alone set the weights: the floor is public.
        counts = np.maximum(np.rint(noisy), np.ceil(2 * multiplier))
        return replace(job, counts=counts), parts

    def _count_noise(self, members: Records) -> float:
        """Standard deviation of the noise on how many patients a hospital has."""
        return accounting.solve_gaussian(self.epsilon, self._delta(members)) / math.sqrt(COUNTING)

    def _noise(self, members: Records) -> PerPatient:
        from pipelines.federated.local import PerPatient

        sigma = accounting.solve_sigma(
            self.epsilon,
            self._delta(members),
            self.sample,
            self.rounds * self.steps,
            beside=(Mechanism("gaussian", self._count_noise(members)),),
        )
        return PerPatient(self.sample, self.clip, sigma)

    def _delta(self, members: Records) -> float:
        return settle_delta(self, len(np.unique(members.patient)))

    def _with_claim(self, members: Records, release: Release, rng: np.random.Generator) -> Release:
        delta, noise = self._delta(members), accounting.name_noise(rng)
        patients = len(np.unique(members.patient))
        count = accounting.gaussian(
            self._count_noise(members), delta, covers=COVERED, n=patients, noise=noise
        )
        training = accounting.poisson_gaussian(
            self._noise(members).sigma,
            self.sample,
            self.rounds * self.steps,
            delta,
            covers=COVERED,
            n=patients,
            noise=noise,
        )
        notes = (
            "One record of each {person} is trained on. How many {people} {a_site} has is read "
            "from a noisy count, which the guarantee includes; which {sites} take part is "
            "public.",
            describe_noise(rng),
        )
        server = (
            "server",
            "one {person}'s part in an update",
            f"bounded: epsilon {self.epsilon:g}",
        )
        return replace(
            release,
            claim=accounting.compose([count, training], delta),
            notes=release.notes + notes,
            trust=(*release.trust, server),
        )


__all__ = ["FederatedPrivate"]
