"""Membership by density (DOMIAS): where the synthetic table is denser than patients are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._membership import cut
from privaudit.attacks._options import check
from privaudit.attacks._tables import TableAttack, table_of
from privaudit.contracts import Fitted, Scores, Target
from privaudit.errors import PrivauditError
from privaudit.facts import Attacker
from privaudit.fidelity.distance import APART, Cells, Ranges, densities, match, shared, spans
from privaudit.records import Records

WIDTHS = (0.03, 0.06, 0.1, 0.2, 0.3, 0.5, 0.8)
"""Widths of the kernel that are tried, in units of what the middle of a column spans."""
TRIED = 1000
"""Records of the attacker's own on which the width is chosen, at most."""


@dataclass(frozen=True)
class Domias(TableAttack):
    """Takes patients for members around whom the table has more records than such patients exist.

    Score: log density of the synthetic table at the record, minus that of the attacker's own
    records. Both are means of product kernels, exp(-difference / width) for each column: Laplace's
    for numbers, Aitchison and Aitken's for other values, missing being one more value. width: 0
    takes the one of `WIDTHS` under which the attacker's records are likeliest, each left out in
    turn. A kernel rather than the source's flow, for it copes with mixed columns, gaps and few
    records; docs/design/007-table-attacks.md says what was compared. van Breugel et al. 2023,
    Membership Inference Attacks against Synthetic Data through Overfitting Detection (DOMIAS, arXiv
    2302.12580), section 3, equation 2.
    """

    width: float = 0.0
    tails: float = 0.1

    family: ClassVar[Literal["membership"]] = "membership"
    attacker: ClassVar[Attacker | None] = Attacker.SIMILAR_PATIENTS

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        because = "a kernel's width is above 0; 0 leaves the choice to the data"
        check(self, "width", bool(np.isfinite(self.width) and self.width >= 0), because)
        split = target.split
        return cut(self.score(split.audit, table_of(target), split.reference), target)

    def score(self, records: Records, table: Records, own: Records) -> np.ndarray:
        """(n,) log density of the table at each record, less that of the attacker's own records."""
        refuse_few(own)
        ranges = spans(own, self.tails)
        names = shared(records, table)
        width = self.width or choose_width(own, names, ranges)
        dense, usual = (
            densities(*match(records, other, names, ranges)[:2], [width], gap=APART)[0]
            for other in (table, own)
        )
        result: np.ndarray = dense - usual
        return result


def refuse_few(own: Records) -> None:
    """Refuse a reference pool of which no density can be estimated."""
    if len(own) < 2:
        raise PrivauditError(
            f"{len(own)} reference record",
            "a density is estimated from at least two",
            "give the attacker more records of their own",
        )


def choose_width(own: Records, names: Sequence[str], ranges: Ranges) -> float:
    """The width under which the attacker's own records are likeliest, at most `TRIED` of them,
    evenly spaced."""
    few = own.take(np.unique(np.linspace(0, len(own) - 1, TRIED).astype(np.int64)))
    return choose(match(few, few, names, ranges)[0])


def choose(cells: Cells) -> float:
    """The width under which records are likeliest, each by the kernels around all others."""
    likely = densities(cells, cells, WIDTHS, exclude_self=True, gap=APART).mean(axis=1)
    gaps = cells.missing[: len(cells.numbers)].any(axis=1)
    size = []
    for width in WIDTHS:
        unlike = np.exp(-1.0 / width)
        numbers = np.log(2.0 * width * (1.0 - unlike) + gaps * unlike).sum()
        size.append(numbers + sum(np.log1p((k - 1) * unlike) for k in cells.levels))
    return WIDTHS[int(np.argmax(likely - np.array(size)))]


__all__ = ["Domias"]
