"""What membership attacks share: shadow models' answers, and the cut by membership."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._half_samples import half_samples
from privaudit.contracts import Access, Attack, Combine, Fitted, Refit, Scores, Target
from privaudit.errors import PrivauditError
from privaudit.facts import Attacker
from privaudit.records import OutcomeKind
from privaudit.seeds import Seeds

SATURATED = 600.0
"""No probability above the clipping of `privaudit.signals.TINY` gives a margin beyond this."""


ANY_OUTCOME: frozenset[OutcomeKind] = frozenset({"class", "number", "time"})

LogLikelihood = Callable[[np.ndarray], np.ndarray]
"""Of a signal, the log probability of what was recorded, up to a constant."""


@dataclass(frozen=True)
class ShadowAttack(Attack):
    """A membership attack that compares the released model's answers with those of shadow models.

    shadows: how many shadow models, 4 or a multiple of 8 where they are trained for the audit.
    """

    shadows: int = 16

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS, Access.RERUN})
    family: ClassVar[Literal["membership"]] = "membership"
    outcomes: ClassVar[frozenset[OutcomeKind]] = ANY_OUTCOME
    attacker: ClassVar[Attacker | None] = Attacker.CANDIDATES

    def refits(self, target: Target, seeds: Seeds) -> Sequence[Refit]:
        self.check()
        return half_samples(target, self.shadows, seeds)

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        self.check()
        bank = Bank.gather(target, refits)
        scores = self.score(bank.target, bank.shadows, bank.included, bank.log_likelihood)
        return cut(scores, target)

    def score(
        self,
        asked: np.ndarray,
        shadows: np.ndarray,
        included: np.ndarray,
        log_likelihood: LogLikelihood | None = None,
    ) -> np.ndarray:
        """(n,) scores from (n,) signals of the target and (k, n) signals of the shadow models.

        log_likelihood: of a signal; that of a margin, `log_sigmoid`, by default.
        """
        raise NotImplementedError

    def check(self) -> None:
        """Refuse settings that make no attack; `half_samples` refuses a count it cannot train."""


@dataclass(frozen=True, eq=False)
class Bank:
    """Every model's signals on the audit records, in one order.

    target: (n,) float64, the released model; shadows: (k, n) float64, the refits; included: (k, n)
    bool, which refit was trained on which record. All finite. Where the outcome is a number they
    are residuals in units of what models err on records that they were not trained on, with the
    sign that makes a larger one closer to the recorded outcome. log_likelihood: of a signal.
    """

    target: np.ndarray
    shadows: np.ndarray
    included: np.ndarray
    log_likelihood: LogLikelihood

    @classmethod
    def gather(cls, target: Target, refits: Sequence[Fitted]) -> Bank:
        """Stack the answers, saturated ones moved to the edge of what the models resolve."""
        asked = finite(target.margins, "the released model")
        shadows, included = stacked(refits, asked, "a refit")
        counts = included.sum(axis=0)
        if counts.min() < 2 or counts.max() > len(refits) - 2:
            raise ValueError("every record needs two refits with it and two without it")
        if target.split.audit.outcome_kind != "class":
            # Both come from the refits alone, which know nothing of whom the target was trained on.
            unit = spread(shadows[~included]) * np.where(shadows.mean(axis=0) > 0.0, -1.0, 1.0)
            return cls(asked / unit, shadows / unit, included, log_laplace)
        edge = resolution(asked, shadows)
        asked, shadows = np.clip(asked, -edge, edge), np.clip(shadows, -edge, edge)
        return cls(asked, shadows, included, log_sigmoid)


def spread(residuals: np.ndarray) -> float:
    """The median size of residuals; where most are 0, the mean; 1 where all are."""
    size = np.abs(residuals)
    return float(np.median(size)) or float(size.mean()) or 1.0


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
            f"{whose} answered {bad} of {margins.size} questions with no finite probability "
            "or number",
            "a membership score needs probabilities between 0 and 1, or predicted numbers",
            "check the model for overflow, or for missing values that it cannot read",
        )
    return margins


def cut(scores: np.ndarray, target: Target, combine: Combine = "add") -> Scores:
    """Scores of all audit records, cut by the answer sheet: the only place that reads it."""
    if not np.isfinite(scores).all():
        raise ValueError("a membership score is not finite")
    is_member = target.split.is_member
    return Scores(scores[is_member], scores[~is_member], combine=combine)


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


def log_laplace(residuals: np.ndarray) -> np.ndarray:
    """log density of a residual in units of the usual error, 0 for an exact prediction.

    Tails of e^-|r| let one far record be weighed as one, where those of a Gaussian would decide.
    """
    result: np.ndarray = -np.abs(residuals)
    return result


def ratio(
    asked: np.ndarray,
    shadows: np.ndarray,
    included: np.ndarray,
    slope: float | None = None,
    log_likelihood: LogLikelihood | None = None,
) -> np.ndarray:
    """log of p(x) over its mean across reference models: (n,).

    The mean weighs models with and without the record equally. slope: use only models without
    it, and infer the others by p_in = slope * p_out + 1 - slope. log_likelihood: log p of a
    signal, `log_sigmoid` by default.
    Zarifzadeh et al. 2024 (arXiv 2312.03262), section 3 and appendix B.2.2.
    """
    log_p = log_likelihood or log_sigmoid
    p = np.exp(log_p(shadows))
    n_in = included.sum(axis=0)
    out = np.where(included, 0.0, p).sum(axis=0) / (len(p) - n_in)
    if slope is None:
        inside = np.where(included, p, 0.0).sum(axis=0) / n_in
    else:
        inside = slope * out + 1.0 - slope
    result: np.ndarray = log_p(asked) - np.log(np.maximum((inside + out) / 2.0, 1e-300))
    return result
