"""Evasion by one step along the gradient's sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from privaudit.attacks.evasion import _art_classifier as _gradient
from privaudit.attacks.evasion._evasion import Field, trials
from privaudit.contracts import Access, Attack, Fitted, Target, Trials


@dataclass(frozen=True)
class Fgsm(Attack):
    """Small changes of vital signs and laboratory values, all made at once, that turn a prediction.

    Every value that may change moves by the whole budget in the direction that raises the loss, then
    back as far as the record must to describe a possible patient. records: how many non-members are
    tried. Goodfellow et al. 2015 (arXiv 1412.6572), section 4, as `FastGradientMethod` of the
    Adversarial Robustness Toolbox.
    """

    records: int = 300

    needs: ClassVar[frozenset[Access]] = frozenset({Access.WEIGHTS})
    family: ClassVar[Literal["evasion"]] = "evasion"

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[str, Trials]:
        def make(estimator: Any, budget: float) -> Any:
            from art.attacks.evasion import FastGradientMethod

            return FastGradientMethod(
                estimator, norm=np.inf, eps=budget, eps_step=budget, batch_size=self.records
            )

        field = Field.of(target, self.records)
        return dict(trials(field, lambda b: _gradient.craft(field, b, make, rng), rng))


__all__ = ["Fgsm"]
