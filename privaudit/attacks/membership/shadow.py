"""Membership learnt by a classifier from shadow models whose members are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from privaudit.attacks._membership import Bank, ShadowAttack, cut
from privaudit.attacks._options import check
from privaudit.contracts import Fitted, Scores, Target
from privaudit.records import Records


@dataclass(frozen=True)
class Shadow(ShadowAttack):
    """Trains a classifier to tell answers on members from answers on non-members, then applies it.

    shadows: 4 or a multiple of 8. rows: how many shadow answers to learn from; each record drawn
    gives one answer with it and one without it, so that neither its class nor its difficulty tells
    membership by itself. The classifier is scikit-learn's gradient boosting on the answer and the
    true class, as in the Adversarial Robustness Toolbox's `MembershipInferenceBlackBox`, against
    which it is tested. The answer comes in as log odds of the true class, which for two classes is
    the whole answer; with more classes, how the rest is spread over the wrong ones is not used.
    Where the outcome is a number, the answer comes in as its residual and the size of that.
    Shokri et al. 2017 (arXiv 1610.05820), section V.
    """

    rows: int = 4000

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        self.check()
        bank = Bank.gather(target, refits)
        audit = target.split.audit
        one_hot = _outcomes(audit)
        record, inside, outside = _draw(bank, self.rows // 2, rng)
        view = _view if audit.outcome_kind == "class" else _view_residuals
        shown = np.concatenate([view(inside, one_hot[record]), view(outside, one_hot[record])])
        trained_on = np.repeat([1, 0], len(record))
        model = _classifier(int(rng.integers(2**31 - 1))).fit(shown, trained_on)
        return cut(model.decision_function(view(bank.target, one_hot)), target)

    def check(self) -> None:
        super().check()
        because = "the attack model learns from this many shadow answers, at least 100"
        check(self, "rows", type(self.rows) is int and self.rows >= 100, because)


def _draw(
    bank: Bank, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`count` records, each as often as the others, with a random refit's answer on either side."""
    n = len(bank.target)
    record = rng.permutation(n)[np.arange(count) % n]
    included = bank.included[:, record]
    order = rng.random(included.shape)
    with_it = np.where(included, order, -1.0).argmax(axis=0)
    without = np.where(included, -1.0, order).argmax(axis=0)
    return record, bank.shadows[with_it, record], bank.shadows[without, record]


def _outcomes(audit: Records) -> np.ndarray:
    """(n, k) the true classes, one-hot; (n, 1) the recorded numbers, ranked to 0..1."""
    if audit.outcome_kind == "class":
        one_hot: np.ndarray = np.eye(len(audit.classes))[audit.y]
        return one_hot
    ranks = np.searchsorted(np.sort(audit.y), audit.y) / max(1, len(audit) - 1)
    return np.asarray(ranks[:, None])


def _view_residuals(residuals: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """What the classifier sees where the outcome is a number."""
    return np.column_stack([residuals, -np.abs(residuals), outcomes])


def _view(margins: np.ndarray, one_hot: np.ndarray) -> np.ndarray:
    """What the classifier sees: log odds of the true class and of the rest, and the class."""
    return np.column_stack([margins, -margins, one_hot])


def _classifier(state: int) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(random_state=state)


__all__ = ["Shadow"]
