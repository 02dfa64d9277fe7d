"""Membership by probability ratio: is the model surer of the record than models usually are?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._halves import check_count, half_samples
from privaudit.attacks._membership import Bank, cut, ratio
from privaudit.contracts import Access, Attack, Fitted, Refit, Scores, Target
from privaudit.errors import PrivauditError
from privaudit.seeds import Seeds


@dataclass(frozen=True)
class Rmia(Attack):
    """Divides the probability given to the true outcome by its mean over models trained the same way.

    shadows: a multiple of 8. offline: None uses models with and without the record, equally
    weighted; a number a in [0, 1] uses only those without it and infers the others' probability as
    a p + 1 - a (the paper's correction; 0.3 is usual). The paper then ranks the ratio among those
    of a population, which is a monotone step: it cannot change the ROC and only adds ties, so the
    plain ratio is the score. Weak where answers saturate.
    Zarifzadeh et al. 2024 (arXiv 2312.03262), section 3 and appendix B.2.2.
    """

    shadows: int = 16
    offline: float | None = None

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS, Access.RERUN})
    family: ClassVar[Literal["membership"]] = "membership"

    def refits(self, target: Target, seeds: Seeds) -> Sequence[Refit]:
        self._check()
        return half_samples(target, self.shadows, seeds)

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        self._check()
        bank = Bank.gather(target, refits)
        return cut(ratio(bank.target, bank.shadows, bank.included, self.offline), target)

    def _check(self) -> None:
        check_count(self.shadows)
        if self.offline is not None and not 0.0 <= self.offline <= 1.0:
            raise PrivauditError(
                f"offline={self.offline!r}",
                "it is the slope of the paper's correction, between 0 and 1, or None for online",
                "use None, or 0.3 to do without models that saw the record",
            )


__all__ = ["Rmia"]
