"""Membership by density (DOMIAS): where the synthetic table is denser than patients are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._membership import cut
from privaudit.attacks._options import check
from privaudit.attacks._table_scores import TAILS, score_density
from privaudit.attacks._tables import TableAttack, table_of
from privaudit.contracts import Fitted, Scores, Target
from privaudit.facts import Attacker


@dataclass(frozen=True)
class Domias(TableAttack):
    """Takes patients for members around whom the table has more records than such patients exist.

    Score: log density of the synthetic table at the record, minus that of the attacker's own
    records. Both are means of product kernels, exp(-difference / width) for each column: Laplace's
    for numbers, Aitchison and Aitken's for other values, missing being one more value. width: 0
    takes the one of seven under which the attacker's records are likeliest, each left out in
    turn. A kernel rather than the source's flow, for it copes with mixed columns, gaps and few
    records; docs/design/007-table-attacks.md says what was compared. van Breugel et al. 2023,
    Membership Inference Attacks against Synthetic Data through Overfitting Detection (DOMIAS, arXiv
    2302.12580), section 3, equation 2.
    """

    width: float = 0.0
    tails: float = TAILS

    family: ClassVar[Literal["membership"]] = "membership"
    attacker: ClassVar[Attacker | None] = Attacker.SIMILAR_PATIENTS

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        because = "a kernel's width is above 0; 0 leaves the choice to the data"
        check(self, "width", bool(np.isfinite(self.width) and self.width >= 0), because)
        split = target.split
        scores = score_density(
            split.audit, table_of(target), split.reference, width=self.width, tails=self.tails
        )
        return cut(scores, target)


__all__ = ["Domias"]
