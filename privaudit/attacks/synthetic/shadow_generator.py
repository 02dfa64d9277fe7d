"""Membership by shadow generators: is this table nearer to the patient than tables without them?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from privaudit.attacks._empirical_bayes import Sums, fit
from privaudit.attacks._half_samples import GROUP, check_count, half_samples
from privaudit.attacks._membership import ShadowAttack, cut, stacked
from privaudit.attacks._tables import table_of
from privaudit.contracts import Access, Fitted, Refit, Scores, Target
from privaudit.errors import PrivauditError
from privaudit.fidelity.distance import closeness
from privaudit.seeds import Seeds


@dataclass(frozen=True)
class ShadowGenerator(ShadowAttack):
    """Trains the generator again with and without each patient, and compares the tables' distances.

    The signal is minus the log distance from the record to the nearest of a table
    (`privaudit.fidelity.distance.closeness`). Each record has two predictive curves of it, for
    tables of generators that were trained on the record and of those that were not, each drawn
    towards what is seen on like records (empirical Bayes); the score is the difference of two
    Student-t log densities at the released table. shadows: a multiple of 8. The refits are those
    of the method's `nearness`.
    Stadler et al. 2022, Synthetic Data: Anonymisation Groundhog Day (arXiv 2011.07018), section 4,
    with the ratio of Carlini et al. 2022 (arXiv 2112.03570), section V, and Smyth 2004's prior.
    """

    needs: ClassVar[frozenset[Access]] = frozenset({Access.TABLE, Access.RERUN})

    def refits(self, target: Target, seeds: Seeds) -> Sequence[Refit]:
        check_count(self.shadows, fewest=GROUP)
        nearness = None if target.method is None else target.method.nearness
        if nearness is None:
            return ()
        return half_samples(replace(target, method=nearness), self.shadows, seeds)

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        table = table_of(target)
        if not refits:
            raise PrivauditError(
                "no shadow generators",
                "they are made by a method whose release is a synthetic table, and this one does "
                "not state how near its table comes to a record",
                "leave this attack out, or audit the method `synthetic`",
            )
        asked = closeness(target.split.audit, table)
        shadows, included = stacked(refits, asked, "a shadow generator")
        return cut(fit(Sums.of(shadows, included)).ratio(asked), target)


__all__ = ["ShadowGenerator"]
