"""Membership by likelihood ratio: is this answer typical of models with, or without, the record?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._half_samples import check_count, half_samples
from privaudit.attacks._membership import Bank, cut, moments
from privaudit.contracts import Access, Attack, Fitted, Refit, Scores, Target
from privaudit.errors import PrivauditError
from privaudit.seeds import Seeds

FLOOR = 1e-12
"""Least variance of a margin: float32 answers resolve no less."""


@dataclass(frozen=True)
class Lira(Attack):
    """Compares the answer with a bell curve of models that saw the record and one of those that did not.

    shadows: a multiple of 8. online: use both curves; offline uses only models without the record
    and scores by how far above them the answer lies. variance: "record", each record its own, which
    needs 64 shadows and more; "global", one for all records, pooled around each record's own mean,
    the documented choice for few shadows and so the default here.
    Carlini et al. 2022 (arXiv 2112.03570), sections V (algorithm 1) and VI.C.
    """

    shadows: int = 16
    online: bool = True
    variance: Literal["record", "global"] = "global"

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS, Access.RERUN})
    family: ClassVar[Literal["membership"]] = "membership"

    def refits(self, target: Target, seeds: Seeds) -> Sequence[Refit]:
        self._check()
        return half_samples(target, self.shadows, seeds)

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        self._check()
        bank = Bank.gather(target, refits)
        return cut(self.score(bank.target, bank.shadows, bank.included), target)

    def score(self, asked: np.ndarray, shadows: np.ndarray, included: np.ndarray) -> np.ndarray:
        """(n,) scores from (n,) margins of the target and (k, n) margins of the shadows."""
        _, mean_out, var_out = moments(shadows, ~included)
        var_out = self._variance(var_out)
        away = (asked - mean_out) / np.sqrt(var_out)
        if not self.online:
            return away
        _, mean_in, var_in = moments(shadows, included)
        var_in = self._variance(var_in)
        near = (asked - mean_in) / np.sqrt(var_in)
        return 0.5 * (away**2 - near**2 + np.log(var_out) - np.log(var_in))

    def _variance(self, variance: np.ndarray) -> np.ndarray:
        if self.variance == "global":
            variance = np.full_like(variance, variance.mean())
        return np.maximum(variance, FLOOR)

    def _check(self) -> None:
        check_count(self.shadows)
        if self.variance not in ("record", "global"):
            raise PrivauditError(
                f"variance={self.variance!r}",
                'it is "record" or "global"',
                'use "global" below 64 shadows',
            )


__all__ = ["Lira"]
