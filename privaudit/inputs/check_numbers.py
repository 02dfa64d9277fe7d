"""Whether predictions are on the scale of the outcomes: a residual taken on another one is none."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode, Param
from privaudit.records import Split

SLACK = 1.05
"""How much worse than the best constant a model may be on its own members before it is refused."""

SHIFT = 0.25
"""Standard deviations of the outcome by which a model may miss its own members on average."""

SURE = 3.0
"""Standard errors beyond which a difference is taken for real."""


def examine_predictions(split: Split, predicted: Sequence[np.ndarray]) -> list[Caveat]:
    """What the model's predictions, for members and non-members, say of how it was asked.

    A model that was trained on the logarithm of the outcome, or on hours instead of days, leaves
    residuals that are made of the outcome alone: attacks would see nothing of a model that leaks.

    Raises:
        PrivauditError: Predictions that are not on the scale of the members' outcomes.
    """
    if all(np.ptp(one) == 0 for one in predicted):
        return [Caveat(CaveatCode.CONSTANT_ANSWERS)]
    _refuse_other_scale(predicted[0], split.members.y)
    pools = (split.members, split.nonmembers)
    errors = [np.abs(one - pool.y) for one, pool in zip(predicted, pools, strict=True)]
    members, held_out = (float(error.mean()) for error in errors)
    deviation = math.sqrt(sum(float(error.var()) / len(error) for error in errors))
    params: dict[str, Param] = {"held_out": held_out, "members": members}
    if members - held_out > SURE * deviation and members > 1.1 * held_out:
        return [Caveat(CaveatCode.SMALLER_ERRORS_ON_HELD_OUT, params=params)]
    constant = float(np.abs(split.members.y - np.median(split.members.y)).mean())
    if members > 0.98 * constant and max(map(len, pools)) > 200:
        params = {"members": members, "constant": constant}
        return [Caveat(CaveatCode.NO_BETTER_THAN_A_CONSTANT, params=params)]
    return []


def _refuse_other_scale(predicted: np.ndarray, y: np.ndarray) -> None:
    """Refuse predictions that are worse than the best constant on the very rows trained on, or that
    miss them by far on average."""
    away = predicted - y
    spread = float(y.std())
    if not spread > 0:
        return
    worse = float((away**2).mean()) > SLACK * spread**2
    worse &= float(np.abs(away).mean()) > SLACK * float(np.abs(y - np.median(y)).mean())
    middle = float(np.median(away)) if float(np.median(away)) * float(away.mean()) > 0 else 0.0
    shift = min(abs(middle), abs(float(away.mean()))) / spread
    if not worse and shift <= SHIFT:
        return
    follows = _rank_correlation(predicted, y)
    what = (
        "predictions that are worse than a constant on the rows that the model was trained on"
        if worse
        else "predictions that miss the rows that the model was trained on by "
        f"{shift:.2f} standard deviations of the outcome on average"
    )
    because = (
        f"they follow the outcome (rank correlation {follows:.2f}) on another scale: the model was "
        "trained on another unit, such as hours for days, or on a transformed outcome, such as "
        "its logarithm, and residuals would show nothing of what it leaks"
        if follows > 0.2
        else "they do not follow the outcome "
        f"(rank correlation {follows:.2f}): outcomes and rows do not belong together, these are "
        "not the rows trained on, or the columns are not those that the model reads"
    )
    fix = (
        "give the outcome as the model was trained on it, or a model that answers in its unit"
        if follows > 0.2
        else "check rows, columns and outcome"
    )
    raise PrivauditError(what, because, fix)


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    from scipy.stats import rankdata

    ranks = [rankdata(part) - (len(part) + 1) / 2 for part in (one, other)]
    size = math.sqrt(float(ranks[0] @ ranks[0]) * float(ranks[1] @ ranks[1]))
    return float(ranks[0] @ ranks[1]) / size if size else 0.0


__all__ = ["examine_predictions"]
