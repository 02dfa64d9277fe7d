"""What a model's answers, for members and non-members, say of how it was asked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError, spell
from privaudit.facts import Caveat, CaveatCode, Param
from privaudit.records import Records, Split
from privaudit.stats.auc import area
from privaudit.stats.wrong_way import LEVEL

MAX_STATED = 5
"""Pairs of classes in the wrong order that are stated."""

SKILL_CONFIDENCE = 0.95
RANKS_WELL = 0.75
"""An AUROC on the training records at which the probabilities are of the outcome."""

MIN_SQUASHED = 50
BEYOND = 0.05
"""How far from both outcomes' rates a mean probability lies where it is of something else."""


def examine_answers(split: Split, p: Sequence[np.ndarray]) -> list[Caveat]:
    """What the model's answers, for members and non-members, say of how it was asked."""
    caveats = []
    if all(((one == 0) | (one == 1)).all() for one in p):
        caveats.append(Caveat(CaveatCode.ANSWERS_ARE_CLASSES))
    if all(np.ptp(one, axis=0).max(initial=0.0) == 0 for one in p):
        return [*caveats, Caveat(CaveatCode.CONSTANT_ANSWERS)]
    pools = (split.members, split.nonmembers)
    members, held_out = (_auroc(one, pool.y) for one, pool in zip(p, pools, strict=True))
    wrong = find_reversed_outcomes(split.members, p[0])
    if wrong:
        return [*caveats, *wrong]
    if held_out - members > 0.1:
        params: dict[str, Param] = {"held_out": held_out, "members": members}
        caveats.append(Caveat(CaveatCode.BETTER_ON_HELD_OUT, params=params))
    elif not has_skill(split.members, p[0]):
        caveats.append(Caveat(CaveatCode.NO_BETTER_THAN_CHANCE, params={"members": members}))
    _refuse_squashed(np.concatenate(p), members)
    return [*caveats, *find_other_answers(split.members, p[0], members)]


def has_skill(members: Records, p: np.ndarray) -> bool:
    """Whether the model ranks any two outcomes of its own training records surely better than
    chance: what is misread, or belongs to other records, is not ranked at all."""
    for first, second in combinations(range(p.shape[1]), 2):
        both = p[:, first] + p[:, second]
        share = np.divide(p[:, second], both, out=np.full(len(p), 0.5), where=both > 0)
        rest, own = members.y == first, members.y == second
        if not rest.any() or not own.any():
            continue
        ranked = area(share[own], share[rest], members.patient[own], members.patient[rest])
        if ranked.interval(SKILL_CONFIDENCE)[0] > 0.5:
            return True
    return False


def _refuse_squashed(p: np.ndarray, auroc: float) -> None:
    """Refuse one number a row that was a probability, or its logarithm, and was read as a logit.

    The loss of one outcome's records then lies above that of the other's, whoever was trained on.
    """
    if p.shape[1] != 2 or auroc < RANKS_WELL or len(p) < MIN_SQUASHED:
        return
    event = p[:, 1]
    low, high = float(event.min()), float(event.max())
    as_it_is = 0.5 <= low <= 0.55 and 0.68 <= high <= 1 / (1 + np.exp(-1)) + 1e-6
    as_logarithm = high <= 0.5 + 1e-3 and float((event > 0.475).mean()) >= 0.05
    if as_it_is or as_logarithm:
        kind = "probabilities" if as_it_is else "logarithms of probabilities"
        raise PrivauditError(
            f"answers that become probabilities between {low:.2f} and {high:.2f}",
            f"they were likely {kind} before they were read as logits, which hides what the model "
            "remembers",
            "leave "
            + spell("--answers logits", "answers='logits'")
            + " out where the model answers with probabilities; else give the probabilities",
        )


def find_other_answers(members: Records, p: np.ndarray, auroc: float) -> list[Caveat]:
    """Probabilities that are, on average, farther out than both outcomes' rates.

    Class weights draw the mean towards one half; the probability of the recorded or of the
    likeliest outcome draws it beyond.
    """
    if p.shape[1] != 2 or auroc >= RANKS_WELL:
        return []
    rate, mean = float(members.y.mean()), float(p[:, 1].mean())
    if min(rate, 1 - rate) - BEYOND <= mean <= max(rate, 1 - rate) + BEYOND:
        return []
    params: dict[str, Param] = {
        "outcome": members.classes[1],
        "mean": mean,
        "share": rate,
        "auroc": auroc,
    }
    return [Caveat(CaveatCode.ANSWERS_BEYOND_RATES, params=params)]


def find_reversed_outcomes(members: Records, p: np.ndarray) -> list[Caveat]:
    """Outcomes that the model ranks surely the wrong way round on its own training records.

    Each two classes are looked at by themselves (Hand and Till 2001), so that an exchange of any
    two shows. One in a thousand audits of a model that knows nothing states one, over all pairs
    together.
    """
    pairs = list(combinations(range(p.shape[1]), 2))
    confidence = 1 - 2 * LEVEL / len(pairs)
    found = []
    for first, second in pairs:
        both = p[:, first] + p[:, second]
        share = np.divide(p[:, second], both, out=np.full(len(p), 0.5), where=both > 0)
        rest, own = members.y == first, members.y == second
        ids = members.patient[own], members.patient[rest]
        if min(len(np.unique(one)) for one in ids) < MIN_CELL:
            continue
        ranked = area(share[own], share[rest], *ids)
        low, high, _ = ranked.interval(confidence)
        if high < 0.5:
            params: dict[str, Param] = {
                "outcome": members.classes[second],
                "against": members.classes[first] if len(pairs) > 1 else "",
                "auroc": round(ranked.value, 4),
                "low": round(low, 4),
                "high": round(high, 4),
                "confidence": confidence,
            }
            found.append(Caveat(CaveatCode.OUTCOMES_WRONG_WAY, params=params))
    return found[:MAX_STATED]


def _auroc(p: np.ndarray, y: np.ndarray) -> float:
    """Mean one-against-rest AUROC over the classes that occur."""
    found = [
        rank_auc(p[:, k], y == k) for k in range(p.shape[1]) if 0 < int((y == k).sum()) < len(y)
    ]
    return float(np.mean(found)) if found else 0.5


def rank_auc(x: np.ndarray, positive: np.ndarray) -> float:
    """AUC of a column, a missing value below all others."""
    from scipy.stats import rankdata

    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return 0.5
    ranks = rankdata(np.where(np.isnan(x), -np.inf, x))
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


__all__ = ["examine_answers", "find_reversed_outcomes", "has_skill", "rank_auc"]
