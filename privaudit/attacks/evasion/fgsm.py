"""Evasion by one step along the gradient's sign (FGSM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from privaudit.attacks.evasion._art_classifier import GradientEvasion


@dataclass(frozen=True)
class Fgsm(GradientEvasion):
    """Changes all vital signs and laboratory values a little at once to change the prediction.

    Every value that may change moves by the whole budget in the direction that raises the loss,
    then back as far as the record must to describe a possible patient. records: how many
    non-members are tried. Goodfellow et al. 2015 (arXiv 1412.6572), section 4, as
    `FastGradientMethod` of the Adversarial Robustness Toolbox.
    """

    def made(self, estimator: Any, budget: float) -> Any:
        from art.attacks.evasion import FastGradientMethod

        return FastGradientMethod(
            estimator, norm=np.inf, eps=budget, eps_step=budget, batch_size=self.records
        )


__all__ = ["Fgsm"]
