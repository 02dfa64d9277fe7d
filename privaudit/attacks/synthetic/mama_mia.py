"""Membership by marginals (MAMA-MIA): cells of what a generator counts, fuller than elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._correlations import score_correlations
from privaudit.attacks._marginals import Coded, choose_pairs
from privaudit.attacks._membership import cut
from privaudit.attacks._options import check_whole
from privaudit.attacks._tables import TableAttack, table_of
from privaudit.contracts import Fitted, Scores, Target
from privaudit.facts import Attacker
from privaudit.fidelity.distance import outcome
from privaudit.records import Records

RUNS = 8
"""Times that a generator's own choice of marginals is made again on the attacker's records."""


@dataclass(frozen=True)
class Focus:
    """Sets of columns with their weights; the rest as `privaudit.contracts.FocalPoints`."""

    columns: Mapping[tuple[str, ...], float]
    correlations: bool
    cuts: Mapping[str, np.ndarray]


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

    bins: int = 200
    pair_bins: int = 32

    family: ClassVar[Literal["membership"]] = "membership"
    attacker: ClassVar[Attacker | None] = Attacker.SIMILAR_PATIENTS

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        split, table = target.split, table_of(target)
        focus = find_focus(target, rng)
        return cut(self.score(split.audit, table, split.reference, focus), target)

    def score(
        self,
        records: Records,
        table: Records,
        own: Records,
        focus: Focus | None = None,
    ) -> np.ndarray:
        """(n,) by how much the cells of each record are fuller in the table than elsewhere."""
        check_whole(self, bins=2, pair_bins=2)
        tables, cuts = (records, table, own), {} if focus is None else focus.cuts
        fine, coarse = (Coded.of(tables, cuts, bins) for bins in (self.bins, self.pair_bins))
        total = np.zeros(len(records))
        places = _place(coarse, focus, outcome(records))
        # A table may hold more than its recipe counts: of a record that stands in it every count is
        # its own, so that the whole record weighs as much as all of them.
        places[tuple(range(len(coarse.names)))] = sum(places.values())
        for columns, weight in places.items():
            coded = fine if len(columns) == 1 else coarse
            cells, (_, drawn, usual) = coded.counts(columns)
            away = drawn / len(table) - usual / len(own)
            both = (drawn + usual + 1.0) / (len(table) + len(own) + 1.0)
            total += weight * (away / both)[cells[0]]
        if focus is not None and focus.correlations:
            total += score_correlations(coarse, tables)
        return total


def find_focus(target: Target, rng: np.random.Generator) -> Focus | None:
    """What the generator measures of the attacker's records; None where that is not known."""
    if target.method is None:
        return None
    found: dict[tuple[str, ...], float] = {}
    correlations, cuts = False, dict[str, np.ndarray]()
    for _ in range(RUNS):
        chosen = target.method.focal_points(target.split.reference, rng)
        if chosen is None:
            return None
        correlations, cuts = chosen.correlations, dict(chosen.cuts)
        for columns in chosen.columns:
            found[columns] = found.get(columns, 0.0) + 1.0 / RUNS
    return Focus(found, correlations, cuts)


def _place(coded: Coded, focus: Focus | None, last: str) -> dict[tuple[int, ...], float]:
    """Focal points by the places of their columns; columns that are not shared are left out."""
    at = {name: j for j, name in enumerate(coded.names)}
    if focus is not None:
        return {
            tuple(at[name] for name in names): weight
            for names, weight in focus.columns.items()
            if all(name in at for name in names)
        }
    m = len(coded.names)
    found: dict[tuple[int, ...], float] = {(j,): 1.0 for j in range(m)}
    if last in at:
        found |= {(j, at[last]): 1.0 for j in range(m) if j != at[last]}
    for pair, weight in choose_pairs(coded).items():
        if last not in at or at[last] not in pair:
            found[pair] = weight
    return found


__all__ = ["MamaMia"]
