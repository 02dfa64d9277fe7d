"""Empirical epsilon from one training: how well membership, assigned at random, can be guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._empirical_bayes import Sums
from privaudit.attacks._half_samples import check_count, half_samples
from privaudit.attacks._membership import ANY_OUTCOME, Bank, cut, finite
from privaudit.attacks._shadow_rules import best, candidates
from privaudit.contracts import Access, Attack, Fitted, Refit, Scores, Target
from privaudit.errors import PrivauditError
from privaudit.records import OutcomeKind
from privaudit.seeds import Seeds
from privaudit.signals import confidence


@dataclass(frozen=True)
class OneRun(Attack):
    """Tests a guarantee of differential privacy on the very model that was released.

    Each patient was assigned at random to the members or not; every patient is thus a canary, and
    the more memberships an attack guesses right, the larger the epsilon it proves. The scores
    become bounds in `privaudit.stats.epsilon`, where a patient's stays count as one. The released
    model is trained once, so its own noise is what is tested.

    shadows: 0 scores by the model's answers alone (the true class's log odds, centred and scaled
    among records of the same outcome; for a number, minus the size of its residual). A multiple of
    8 also trains shadow models, those that other attacks share, and scores as the strongest attack
    does: by the rule of `few_shadow_lira` that does best on shadow models. This stays an audit of
    one run: the shadow models know nothing of the assignment, so what is learnt from them may
    sharpen the guesses and cannot make them falsely right. Where the auditor cannot train again,
    the answers alone are read.
    Natural records are weaker canaries than worst-case ones: a bound below the stated epsilon does
    not prove the guarantee.
    Steinke, Nasr and Jagielski 2023 (arXiv 2305.08846), section 3; Mahloujifar, Melis and
    Chaudhuri 2024 (arXiv 2410.22235).
    """

    shadows: int = 0

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["epsilon"]] = "epsilon"
    outcomes: ClassVar[frozenset[OutcomeKind]] = ANY_OUTCOME

    @property
    def helped_by(self) -> frozenset[Access]:
        return frozenset({Access.RERUN} if self.shadows else ())

    def refits(self, target: Target, seeds: Seeds) -> Sequence[Refit]:
        if not self._asks():
            return ()
        if target.method is None:
            raise PrivauditError(
                f"shadows={self.shadows} for a model whose way of training is unknown",
                "shadow models are trained the same way as the released one",
                "use shadows=0, which reads the released model's answers alone",
            )
        if not target.method.reruns:
            return ()
        return half_samples(target, self.shadows, seeds)

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        if self._asks() and refits:
            bank = Bank.gather(target, refits)
            shadows = bank.shadows, bank.included
            rule = best(*shadows, bank.log_likelihood)
            scored = candidates(bank.target, Sums.of(*shadows), *shadows, bank.log_likelihood)
            scores = scored[rule]
        else:
            audit = target.split.audit
            read = confidence(finite(target.margins, "the released model"), audit.outcome_kind)
            same = audit.y if audit.outcome_kind == "class" else np.zeros(len(audit))
            scores = alike(read, same)
        return replace(cut(scores, target), randomised=True)

    def _asks(self) -> bool:
        if self.shadows == 0 and not isinstance(self.shadows, bool):
            return False
        check_count(self.shadows)
        return True


def alike(margins: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """(n,) margins less the mean of records with the same outcome, over their spread.

    So that adding up a patient's stays weighs evidence, not how many stays there are.
    """
    out = np.zeros(len(margins))
    for k in np.unique(outcome):
        rows = outcome == k
        spread = margins[rows].std()
        if spread > 0.0:
            out[rows] = (margins[rows] - margins[rows].mean()) / spread
    return out


__all__ = ["OneRun"]
