"""Membership by likelihood ratio for few shadow models: records borrow strength from each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from privaudit.attacks._empirical_bayes import Sums
from privaudit.attacks._membership import LogLikelihood, ShadowAttack
from privaudit.attacks._options import check_choice
from privaudit.attacks._shadow_rules import RULES, best, candidates


@dataclass(frozen=True)
class FewShadowLira(ShadowAttack):
    """The strongest attack for its price: a likelihood ratio from 8 or 16 shadow models, not 64.

    Each record has two predictive curves of the model's answer, one if it was trained on and one if
    not. With few shadow models their means and variances are mostly noise, so each is drawn towards
    what is seen on records of which models are as sure, by as much as its own noise warrants: the
    gap of the means, and one factor on the variances of both sides (empirical Bayes). The score is
    the difference of two Student-t log predictive densities.

    shadows: 4 or a multiple of 8. rule: "curves" as above; "rmia", the probability ratio, at times
    stronger for trees; "mean" of their normal scores; "best", the rule that does best at low false
    positive rates on shadow models that are put in the target's place, with their complements left
    out of the fit. The target's own membership plays no part in that choice.
    After Carlini et al. 2022 (arXiv 2112.03570), section V; Smyth 2004 (Stat Appl Genet Mol Biol
    3:3), section 6.2; Zarifzadeh et al. 2024 (arXiv 2312.03262), section 3.
    """

    rule: Literal["best", "curves", "rmia", "mean"] = "best"

    def score(
        self,
        asked: np.ndarray,
        shadows: np.ndarray,
        included: np.ndarray,
        log_likelihood: LogLikelihood | None = None,
    ) -> np.ndarray:
        rule = best(shadows, included, log_likelihood) if self.rule == "best" else self.rule
        sums = Sums.of(shadows, included)
        return candidates(asked, sums, shadows, included, log_likelihood)[rule]

    def check(self) -> None:
        super().check()
        check_choice(self, "rule", "best", *RULES)


__all__ = ["FewShadowLira"]
