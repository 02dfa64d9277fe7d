"""Evasion by many small gradient steps within a budget (PGD)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from privaudit.attacks._options import check_whole
from privaudit.attacks.evasion._art_classifier import GradientEvasion


@dataclass(frozen=True)
class Pgd(GradientEvasion):
    """The strongest small change of vital signs and laboratory values that gradients find.

    Steps of 2.5 budgets / steps along the gradient's sign, each taken at the possible record
    nearest to the last one. records: how many non-members are tried; steps: gradient steps. Madry
    et al. 2018 (arXiv 1706.06083), section 2.1, as `ProjectedGradientDescent` of the Adversarial
    Robustness Toolbox; constraints as in Simonetto et al. 2022 (arXiv 2112.01156), section 4.
    """

    steps: int = 20

    def check(self) -> None:
        super().check()
        check_whole(self, steps=1)

    def made(self, estimator: Any, budget: float) -> Any:
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


__all__ = ["Pgd"]
