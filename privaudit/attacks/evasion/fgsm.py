"""Evasion by one step along the gradient (FGSM)."""

from __future__ import annotations

from dataclasses import dataclass

from privaudit.attacks.evasion._gradient import GradientEvasion


@dataclass(frozen=True)
class Fgsm(GradientEvasion):
    """Changes all vital signs and laboratory values a little at once to change the prediction.

    One step: of all possible patients within the budget the one that the gradient points to. Where
    values do not depend on each other, each moves by the whole budget in the direction of its
    gradient's sign, as of Goodfellow et al. 2015 (arXiv 1412.6572), section 4; the summaries of one
    variable move to the best corner of what they allow each other. It is the optimum for a linear
    model. records: how many non-members are tried.
    """

    @property
    def moves(self) -> int:
        return 1


__all__ = ["Fgsm"]
