"""Neural network trained with differential privacy: clipped gradients and noise (DP-SGD)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from pipelines._bounded import NoisySteps, describe_noise
from pipelines.federated.encode import PublicEncoding
from pipelines.federated.front import PictureFront, Pooled
from pipelines.federated.network import FlatModel, Network
from pipelines.settings import at_least, check_settings
from privaudit.contracts import Release
from privaudit.dp import accounting
from privaudit.dp.noise import bind_noise
from privaudit.errors import PrivauditError
from privaudit.records import Records


@dataclass(frozen=True)
class DPSGD(NoisySteps):
    """Learn from every patient through a clipped gradient and Gaussian noise, and guarantee an
    epsilon.

    Nothing else is read off the data: the encoding is the public one, there is no early stopping,
    no weighting by outcome, and the defaults were chosen on generated stays. A fixed network, so no
    `learner` to compose with. costs: `train_seconds` are CPU seconds, shared equally by models
    trained as one program.

    Args:
        hidden: Width of the hidden layer (0: none, a logistic regression, which lost less in
            `benchmarks/dp_utility.py`).
        front: The convolutions before it where records are pictures, as in `federated`.
        epsilon: The guarantee for one patient added or removed, with all stays.
        delta: None for the largest power of ten at most 1/(10 x patients), and never above
            1/patients.
        clip: The most that one patient's summed gradient may count (L2).
        sampling: Each patient's chance of taking part in a step, drawn independently (Poisson
            sampling, as the accountant assumes).
        steps: How many noisy steps.
        rate: Adam's learning rate.

    Source: Abadi et al. 2016 (arXiv 1607.00133), algorithm 1; per-patient clipping as in McMahan et
    al. 2018 (arXiv 1710.06963).
    """

    hidden: int = 64
    front: PictureFront = field(default_factory=Pooled)
    epsilon: float = 3.0
    delta: float | None = None
    clip: float = 2.0
    rate: float = 0.01
    sampling: float = 0.1
    steps: int = 200

    pictures: ClassVar[bool] = True

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        (release,) = self.fit_many([members], [rng])
        return release

    def fit_many(
        self, members: Sequence[Records], rngs: Sequence[np.random.Generator]
    ) -> Sequence[Release]:
        """One release a table, trained as one program of batched matrix products."""
        from pipelines.methods._dp_training import Patients, Plan, train

        start = time.process_time()
        self.check()
        rngs = [
            bind_noise(rng, self, part.fingerprint) for rng, part in zip(rngs, members, strict=True)
        ]
        claims = [
            self.claim(part, accounting.name_noise(rng))
            for part, rng in zip(members, rngs, strict=True)
        ]
        encoding = PublicEncoding(members[0].columns)
        hidden = (self.hidden,) if self.hidden else ()
        above = (*hidden, len(members[0].classes))
        network = Network.reading(members[0], encoding.width, above, self.front.layers)
        tables = [Patients.of(encoding.encode(part), part.y, part.patient) for part in members]
        noise = tuple(self._noise(claim.mechanisms[0].scale) for claim in claims)
        plan = Plan(self.clip, self.rate, self.sampling, self.steps, noise)
        found = train(network, tables, rngs, plan)
        seconds = (time.process_time() - start) / max(len(found), 1)
        return [
            Release(
                claim=claim,
                model=FlatModel.of(encoding, network, weights),
                costs={"train_seconds": seconds, "noisy_steps": float(self.steps)},
                notes=(*self.notes, describe_noise(rng)),
            )
            for claim, weights, rng in zip(claims, found, rngs, strict=True)
        ]

    @property
    def batch(self) -> int:
        return 16

    def check(self) -> None:
        super().check()
        check_settings(self, hidden=at_least(0))
        if not isinstance(self.front, PictureFront):
            raise PrivauditError(
                f"dp_sgd with front={self.front!r}",
                "its network reads columns or pictures",
                "use dp_sgd_lstm, which reads series",
            )
        self.front.check()


__all__ = ["DPSGD"]
