"""Evasion by several gradient steps within a budget (PGD)."""

from __future__ import annotations

from dataclasses import dataclass

from privaudit.attacks._options import check_whole
from privaudit.attacks.evasion._gradient import GradientEvasion


@dataclass(frozen=True)
class Pgd(GradientEvasion):
    """The strongest small change of vital signs and laboratory values that gradients find.

    Each step solves the linear program over the possible patients within the budget exactly and
    moves towards its solution (Frank and Wolfe 1956, Naval Research Logistics Quarterly 3:95), from
    the record and from the best change of the last smaller budget. It takes the place of projecting
    steps along signs (Madry et al. 2018, arXiv 1706.06083, section 2.1), which cancel where a
    projection ties values to each other. Constraints as in Simonetto et al. 2022 (arXiv
    2112.01156), section 4. records: how many non-members are tried; steps: gradient steps from
    either start.
    """

    steps: int = 5

    def check(self) -> None:
        super().check()
        check_whole(self, steps=1)

    @property
    def moves(self) -> int:
        return self.steps


__all__ = ["Pgd"]
