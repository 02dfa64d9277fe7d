"""Membership by marginals (MAMA-MIA): cells of what a generator counts, fuller than elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._focal_points import BINS, PAIR_BINS, find_focus, score_counts
from privaudit.attacks._membership import cut
from privaudit.attacks._options import check_whole
from privaudit.attacks._tables import TableAttack, table_of
from privaudit.contracts import Fitted, Scores, Target
from privaudit.facts import Attacker


@dataclass(frozen=True)
class MamaMia(TableAttack):
    """Takes patients for members in whose cells the table has more records than the population.

    Focal points are the marginals that the generator counts. Where the recipe is known it makes its
    own choice again on the attacker's records (`Method.focal_points`), several times, and a
    marginal weighs by how often it is chosen. Else they are every column, every column with the
    outcome, and the spanning tree of the pairs that depend most, as MST chooses them. A member adds
    one to one cell of each; the score is the weighted sum over focal points of (p - q) / r, with p
    the cell's share in the table, q among the attacker's own records, and r in both together: to
    first order the log likelihood ratio of that one more count. The source's p / q is the same but
    for a constant where q is well known, and has no bound where the attacker's records have none in
    the cell. Missing is a cell. The whole record is one focal point more, for tables that hold what
    no recipe says. A generator that measures correlations gives away the same of those
    (`privaudit.attacks._correlations`), which the source does not have.
    bins, pair_bins: cells of a number where the release does not state how its generator cuts it,
    for a column by itself and for sets of columns.
    Golob, Pentyala, Maratkhan and De Cock 2024, Privacy Vulnerabilities in Marginals-based
    Synthetic Data (arXiv 2410.05506), of which the abstract and the published code were read.
    """

    bins: int = BINS
    pair_bins: int = PAIR_BINS

    family: ClassVar[Literal["membership"]] = "membership"
    attacker: ClassVar[Attacker | None] = Attacker.SIMILAR_PATIENTS

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        check_whole(self, bins=2, pair_bins=2)
        split, table = target.split, table_of(target)
        focus = find_focus(target, rng)
        scores = score_counts(
            split.audit,
            table,
            split.reference,
            focus,
            bins=self.bins,
            pair_bins=self.pair_bins,
        )
        return cut(scores, target)


__all__ = ["MamaMia"]
