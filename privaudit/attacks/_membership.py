"""What membership attacks share: shadow models' answers, and the cut by membership."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._half_samples import half_samples
from privaudit.contracts import Access, Attack, Fitted, Refit, Scores, Target
from privaudit.errors import PrivauditError
from privaudit.seeds import Seeds

SATURATED = 600.0
"""No probability above the clipping of `privaudit.signals.TINY` gives a margin beyond this."""


@dataclass(frozen=True)
class ShadowAttack(Attack):
    """A membership attack that compares the released model's answers with those of shadow models.

    shadows: how many shadow models, a multiple of 8 where they are trained for the audit.
    """

    shadows: int = 16

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS, Access.RERUN})
    family: ClassVar[Literal["membership"]] = "membership"

    def refits(self, target: Target, seeds: Seeds) -> Sequence[Refit]:
        self.check()
        return half_samples(target, self.shadows, seeds)

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        self.check()
        bank = Bank.gather(target, refits)
        return cut(self.score(bank.target, bank.shadows, bank.included), target)

    def score(self, asked: np.ndarray, shadows: np.ndarray, included: np.ndarray) -> np.ndarray:
        """(n,) scores from (n,) margins of the target and (k, n) margins of the shadow models."""
        raise NotImplementedError

    def check(self) -> None:
        """Refuse settings that make no attack; `half_samples` refuses a count it cannot train."""


@dataclass(frozen=True, eq=False)
class Bank:
    """Every model's margins on the audit records, in one order.

    target: (n,) float64, the released model; shadows: (k, n) float64, the refits; included: (k, n)
    bool, which refit was trained on which record. All finite.
    """

    target: np.ndarray
    shadows: np.ndarray
    included: np.ndarray

    @classmethod
    def gather(cls, target: Target, refits: Sequence[Fitted]) -> Bank:
        """Stack the answers, saturated ones moved to the edge of what the models resolve."""
        asked = finite(target.margins, "the released model")
        shadows, included = stacked(refits, asked, "a refit")
        counts = included.sum(axis=0)
        if counts.min() < 2 or counts.max() > len(refits) - 2:
            raise ValueError("every record needs two refits with it and two without it")
        edge = resolution(asked, shadows)
        return cls(np.clip(asked, -edge, edge), np.clip(shadows, -edge, edge), included)


def stacked(
    refits: Sequence[Fitted], asked: np.ndarray, whose: str
) -> tuple[np.ndarray, np.ndarray]:
    """(k, n) finite float64 margins of the refits, and (k, n) bool which record each trained on."""
    shadows = np.array([fitted.margins for fitted in refits], dtype=np.float64)
    included = np.array([fitted.included for fitted in refits], dtype=bool)
    if shadows.shape != included.shape or shadows.shape[1:] != asked.shape:
        raise ValueError(
            f"refits of shape {shadows.shape}, trained on {included.shape}, for "
            f"{len(asked)} audit records"
        )
    return finite(shadows, whose), included


def resolution(*margins: np.ndarray) -> float:
    """The margin at which to put an answer of exactly 0 or 1: log 2 beyond the surest other answer.

    100 of 100 trees of a forest in agreement are thus read as 199 of 200. The order does not
    change; without it one saturated answer of 691 would swamp the mean and variance of a record.
    """
    size = [np.abs(part) for part in margins]
    surest = max(part[part < SATURATED].max(initial=0.0) for part in size)
    return float(surest + np.log(2.0))


def finite(margins: np.ndarray, whose: str) -> np.ndarray:
    """The margins themselves, refused where a model answered with what is no probability."""
    bad = int((~np.isfinite(margins)).sum())
    if bad:
        raise PrivauditError(
            f"{whose} answered {bad} of {margins.size} questions with no finite probability",
            "a membership score needs probabilities between 0 and 1",
            "check the model for overflow, or for missing values that it cannot read",
        )
    return margins


def cut(scores: np.ndarray, target: Target) -> Scores:
    """Scores of all audit records, cut by the answer sheet: the only place that reads it."""
    if not np.isfinite(scores).all():
        raise ValueError("a membership score is not finite")
    is_member = target.split.is_member
    return Scores(members=scores[is_member], nonmembers=scores[~is_member])


def moments(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean and variance (n - 1) of each column of (k, n) over the rows with a weight."""
    count = weights.sum(axis=0).astype(np.float64)
    mean = np.where(weights, values, 0.0).sum(axis=0) / count
    squares = np.where(weights, (values - mean) ** 2, 0.0).sum(axis=0)
    return count, mean, squares / (count - 1.0)


def normal(scores: np.ndarray) -> np.ndarray:
    """Scores replaced by the normal quantiles of their ranks, ties sharing one: (n,)."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    result: np.ndarray = ndtri((rankdata(scores) - 0.5) / len(scores))
    return result


def log_sigmoid(margins: np.ndarray) -> np.ndarray:
    """log p of the true class from its margin, without overflow."""
    result: np.ndarray = -np.logaddexp(0.0, -margins)
    return result


def ratio(
    asked: np.ndarray, shadows: np.ndarray, included: np.ndarray, slope: float | None = None
) -> np.ndarray:
    """log of p(x) over its mean across reference models: (n,).

    The mean weighs models with and without the record equally. slope: use only models without
    it, and infer the others by p_in = slope * p_out + 1 - slope.
    Zarifzadeh et al. 2024 (arXiv 2312.03262), section 3 and appendix B.2.2.
    """
    p = np.exp(log_sigmoid(shadows))
    n_in = included.sum(axis=0)
    out = np.where(included, 0.0, p).sum(axis=0) / (len(p) - n_in)
    if slope is None:
        inside = np.where(included, p, 0.0).sum(axis=0) / n_in
    else:
        inside = slope * out + 1.0 - slope
    result: np.ndarray = log_sigmoid(asked) - np.log(np.maximum((inside + out) / 2.0, 1e-300))
    return result
