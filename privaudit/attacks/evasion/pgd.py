"""Evasion by many small gradient steps within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from privaudit.attacks.evasion import _art_classifier as _gradient
from privaudit.attacks.evasion._evasion import Field, trials
from privaudit.contracts import Access, Attack, Fitted, Target, Trials
from privaudit.errors import PrivauditError


@dataclass(frozen=True)
class Pgd(Attack):
    """The strongest small change of vital signs and laboratory values that gradients find.

    Steps of 2.5 budgets / steps along the gradient's sign, each taken at the possible record nearest
    to the last one. records: how many non-members are tried; steps: gradient steps. Madry et al. 2018
    (arXiv 1706.06083), section 2.1, as `ProjectedGradientDescent` of the Adversarial Robustness Toolbox;
    constraints as in Simonetto et al. 2022 (arXiv 2112.01156), section 4.
    """

    records: int = 300
    steps: int = 20

    needs: ClassVar[frozenset[Access]] = frozenset({Access.WEIGHTS})
    family: ClassVar[Literal["evasion"]] = "evasion"

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[str, Trials]:
        if self.steps < 1:
            raise PrivauditError(
                f"steps={self.steps}", "at least one step must be taken", "use 20, the default"
            )

        def make(estimator: Any, budget: float) -> Any:
            from art.attacks.evasion import ProjectedGradientDescent

            return ProjectedGradientDescent(
                estimator,
                norm=np.inf,
                eps=budget,
                eps_step=2.5 * budget / self.steps if self.steps > 2 else budget,
                max_iter=self.steps,
                batch_size=self.records,
                verbose=False,
            )

        field = Field.of(target, self.records)
        return dict(trials(field, lambda b: _gradient.craft(field, b, make, rng), rng))


__all__ = ["Pgd"]
