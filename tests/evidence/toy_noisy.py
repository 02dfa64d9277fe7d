"""A method with a privacy guarantee that it can state before it is trained, and two that cannot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from toy_audit import ToyLearner

from privaudit.contracts import Claim, Method, Release
from privaudit.dp import accounting
from privaudit.records import Records


@dataclass(frozen=True)
class Noisy(Method):
    """Claims what so many noisy steps earn."""

    sigma: float = 2.0
    steps: int = 10

    def claim(self, members: Records) -> Claim:
        return accounting.poisson_gaussian(self.sigma, 0.1, self.steps, 1e-5)

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        # What has places for the nouns of a task is stored as it is, and filled in the document.
        return Release(
            claim=self.claim(members),
            model=ToyLearner().fit(members, rng),
            trust=(("server", "one {site}'s rows", "no, {a_site} keeps them"),),
            notes=("Held at {sites}.",),
        )


@dataclass(frozen=True)
class Silent(Method):
    """Claims an epsilon that its settings do not tell."""

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        claim = accounting.gaussian(3.0, 1e-5, times=2)
        return Release(claim=claim, model=ToyLearner().fit(members, rng))


@dataclass(frozen=True)
class Bought(Method):
    """Adds as much noise as an epsilon takes, and cannot state its claim before it is trained."""

    epsilon: float = 3.0

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        claim = accounting.gaussian(accounting.solve_gaussian(self.epsilon, 1e-5), 1e-5)
        return Release(claim=claim, model=ToyLearner().fit(members, rng))


__all__ = ["Bought", "Noisy", "Silent"]
