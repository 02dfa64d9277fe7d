"""Whether predictions are on the scale of the outcomes: a residual taken on another one is none."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode, Param
from privaudit.records import Split
from privaudit.stats import utility_of_times

SLACK = 1.05
"""How much worse than the best constant a model may be on its own members before it is refused."""

SHIFT = 0.25
"""Standard deviations of the outcome by which a model may miss its own members on average."""

CENTRAL, CENTRAL_CLOSER = 0.9, 0.2
"""Of the share of members whose outcomes are nearest to the median, the error that a monotone
function may leave: a few wrong outcomes, such as 9999 for not recorded, must not hide that a model
remembers all the others on another scale. No more is asked of them, since a model of a mean is
drawn by the outcomes left out."""

CLOSER = 0.45
"""Share of a model's error on its own members that a monotone function of its predictions may leave
before they are taken to be on another scale: of 15 kinds of regressors, overfit ones among them,
none that was fitted to the end leaves less than 0.48."""

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
    y = split.members.y
    _refuse_other_scale(predicted[0], y, SLACK, SHIFT, CLOSER)
    away = np.abs(y - np.median(y))
    central = away <= np.quantile(away, CENTRAL)
    _refuse_other_scale(predicted[0][central], y[central], math.inf, math.inf, CENTRAL_CLOSER)
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


def examine_risks(split: Split, risks: Sequence[np.ndarray]) -> list[Caveat]:
    """What the model's risk scores, for members and non-members, say of how it was asked.

    Raises:
        PrivauditError: Scores that rank the members' times the wrong way round.
    """
    if all(np.ptp(one) == 0 for one in risks):
        return [Caveat(CaveatCode.CONSTANT_ANSWERS)]
    pools = (split.members, split.nonmembers)
    found = [
        utility_of_times(one, pool.y, patients=pool.patient, confidence=0.99)[0]
        for one, pool in zip(risks, pools, strict=True)
    ]
    members, held_out = (one.value if one.value is not None else 0.5 for one in found)
    if found[0].high is not None and found[0].high < 0.5:
        raise PrivauditError(
            f"risk scores that rank the rows trained on in reverse (C-index {members:.2f})",
            "a higher score has to mean that the event comes sooner; a predicted time, or a "
            "probability of survival, is higher where it comes later",
            "give minus that number as the score, or check which value of the event means that it "
            "happened",
        )
    (other,) = utility_of_times(
        risks[0], -split.members.y, patients=split.members.patient, confidence=0.99
    )
    if other.low is not None and found[0].high is not None and other.low > found[0].high:
        raise PrivauditError(
            f"events of which the opposite fits the scores better (C-index {other.value or 0:.2f} "
            f"and not {members:.2f} on the rows trained on)",
            "1 has to mean that the event happened at that time, and 0 that the record was "
            "censored then",
            "check how the event is coded; a column of censoring is its opposite",
        )
    params: dict[str, Param] = {"held_out": held_out, "members": members}
    apart = found[0].high is not None and found[1].low is not None
    if apart and (found[1].low or 0.0) > (found[0].high or 1.0):
        return [Caveat(CaveatCode.RANKED_BETTER_ON_HELD_OUT, params=params)]
    if found[0].low is None or found[0].low <= 0.5:
        return [Caveat(CaveatCode.RANKED_BY_CHANCE, params={"members": members})]
    return []


def _refuse_other_scale(
    predicted: np.ndarray, y: np.ndarray, slack: float, most: float, closer: float
) -> None:
    """Refuse predictions that are worse than the best constant on the very rows trained on, or that
    miss them by far on average."""
    away = predicted - y
    spread = float(y.std())
    if not spread > 0:
        return
    worse = float((away**2).mean()) > slack * spread**2
    worse &= float(np.abs(away).mean()) > slack * float(np.abs(y - np.median(y)).mean())
    middle = float(np.median(away)) if float(np.median(away)) * float(away.mean()) > 0 else 0.0
    shift = min(abs(middle), abs(float(away.mean()))) / spread
    left = _leave_recalibrated(predicted, y)
    if not worse and shift <= most and left >= closer:
        return
    follows = _rank_correlation(predicted, y)
    on = "the rows that the model was trained on"
    if worse:
        what = f"predictions that are worse than a constant on {on}"
    elif shift > most:
        what = f"predictions that miss {on} by {shift:.2f} standard deviations on average"
    else:
        times = f"about {1 / max(left, 0.01):.0f} times"
        what = f"predictions of which a monotone function is {times} closer to the outcomes of {on}"
    because = (
        f"they follow the outcome (rank correlation {follows:.2f}) on another scale, such as hours "
        "for days or the logarithm of the outcome, or predict a quantile or a shrunken mean of it, "
        "or these are not the rows trained on; residuals would not show what the model leaks"
        if follows > 0.2
        else "they do not follow the outcome "
        f"(rank correlation {follows:.2f}): outcomes and rows do not belong together, these are "
        "not the rows trained on, or the columns are not those that the model reads"
    )
    fix = (
        "give the outcome and the rows that the model was trained on, or a model that answers in "
        "the outcome's unit"
        if follows > 0.2
        else "check rows, columns and outcome"
    )
    raise PrivauditError(what, because, fix)


def _leave_recalibrated(predicted: np.ndarray, y: np.ndarray) -> float:
    """Mean absolute error of the best monotone function of the predictions, over their own.

    Fitted on one half of the rows and read on the other. 1 where the predictions are exact.
    """
    from sklearn.isotonic import IsotonicRegression

    error = float(np.abs(predicted - y).mean())
    # Exact but for rounding: nothing is left to be explained by a scale.
    if len(y) < 50 or error <= 1e-5 * float(y.std()):
        return 1.0
    # By the rank of the prediction, so that both halves reach from the least to the largest.
    half = np.empty(len(y), dtype=bool)
    half[np.argsort(predicted, kind="stable")] = np.arange(len(y)) % 2 == 0
    total = 0.0
    for fitted in (half, ~half):
        line = IsotonicRegression(out_of_bounds="clip").fit(predicted[fitted], y[fitted])
        total += float(np.abs(line.predict(predicted[~fitted]) - y[~fitted]).sum())
    return total / len(y) / error


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    from scipy.stats import rankdata

    ranks = [rankdata(part) - (len(part) + 1) / 2 for part in (one, other)]
    size = math.sqrt(float(ranks[0] @ ranks[0]) * float(ranks[1] @ ranks[1]))
    return float(ranks[0] @ ranks[1]) / size if size else 0.0


__all__ = ["examine_predictions", "examine_risks"]
