"""Membership by probability ratio: is the model surer of the record than models usually are?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._half_samples import check_count, half_samples
from privaudit.attacks._membership import Bank, cut, ratio
from privaudit.contracts import Access, Attack, Fitted, Refit, Scores, Target
from privaudit.errors import PrivauditError
from privaudit.seeds import Seeds


@dataclass(frozen=True)
class Rmia(Attack):
    """Divides the probability given to the true outcome by its mean over models trained the same way.

    shadows: a multiple of 8. online: use models with and without the record, equally weighted;
    offline uses only those without it and infers the others' probability as slope * p + 1 - slope,
    the paper's correction with its usual slope. The paper then ranks the ratio among those
    of a population, which is a monotone step: it cannot change the ROC and only adds ties, so the
    plain ratio is the score. Weak where answers saturate.
    Zarifzadeh et al. 2024 (arXiv 2312.03262), section 3 and appendix B.2.2.
    """

    shadows: int = 16
    online: bool = True
    slope: float = 0.3

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS, Access.RERUN})
    family: ClassVar[Literal["membership"]] = "membership"

    def refits(self, target: Target, seeds: Seeds) -> Sequence[Refit]:
        self._check()
        return half_samples(target, self.shadows, seeds)

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        self._check()
        bank = Bank.gather(target, refits)
        slope = None if self.online else self.slope
        return cut(ratio(bank.target, bank.shadows, bank.included, slope), target)

    def _check(self) -> None:
        check_count(self.shadows)
        if not 0.0 <= self.slope <= 1.0:
            raise PrivauditError(
                f"slope={self.slope!r}",
                "it is the slope of the offline correction, between 0 and 1",
                "use 0.3, the paper's",
            )


__all__ = ["Rmia"]
