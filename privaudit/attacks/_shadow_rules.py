"""Rules that score membership from a few shadow models, and the choice between them."""

from __future__ import annotations

import numpy as np

from privaudit.attacks._empirical_bayes import Sums, fit
from privaudit.attacks._membership import LogLikelihood, normal, ratio

RULES = ("curves", "rmia", "mean")

UNCHOSEN = "mean"
"""The rule of so few shadow models that none can be put in the target's place: two with each record
and two without it must be left."""


def candidates(
    asked: np.ndarray,
    sums: Sums,
    shadows: np.ndarray,
    included: np.ndarray,
    log_likelihood: LogLikelihood | None = None,
) -> dict[str, np.ndarray]:
    """The scores of every rule; sums are those of shadows and included."""
    curves = fit(sums).ratio(asked)
    rmia = ratio(asked, shadows, included, log_likelihood=log_likelihood)
    return {"curves": curves, "rmia": rmia, "mean": normal(curves) + normal(rmia)}


def best(
    shadows: np.ndarray, included: np.ndarray, log_likelihood: LogLikelihood | None = None
) -> str:
    """The rule with the highest early ROC, over shadows put in the target's place in turn.

    A shadow model's complement is left out with it: else every record would have been seen by one
    model fewer exactly when the left-out one saw it, which would give membership away.
    """
    sums = Sums.of(shadows, included)
    if len(shadows) < 8 and sums.counts.min() < 3:
        return UNCHOSEN
    gained = dict.fromkeys(RULES, 0.0)
    for first in range(0, min(len(shadows), 16), 2):
        pair = slice(first, first + 2)
        rest = np.delete(np.arange(len(shadows)), [first, first + 1])
        left = sums.without(shadows[pair], included[pair])
        for asked, member in zip(shadows[pair], included[pair], strict=True):
            scored = candidates(asked, left, shadows[rest], included[rest], log_likelihood)
            for rule, scores in scored.items():
                gained[rule] += early(scores, member)
    return max(RULES, key=lambda rule: gained[rule])


def early(scores: np.ndarray, member: np.ndarray, limit: float = 0.05) -> float:
    """Mean true positive rate at false positive rates up to `limit`, ties split evenly."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0.0, True)
    hits = np.append(0, np.cumsum(member[order])[last]) / max(1, member.sum())
    alarms = np.append(0, np.cumsum(~member[order])[last]) / max(1, (~member).sum())
    return float(np.interp(np.linspace(0.0, limit, 51)[1:], alarms, hits).mean())


__all__ = ["RULES", "best", "candidates", "early"]
