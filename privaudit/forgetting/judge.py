"""From two models' answers to a finding: is a trace of the forgotten left in the second?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from privaudit.contracts import Scores
from privaudit.disclosure_limits import MIN_CELL
from privaudit.forgetting.imprint import FPRS, Reading, Scale
from privaudit.forgetting.results import (
    Answer,
    Caution,
    Number,
    Recognised,
    Unlearning,
    Why,
    count_down,
)
from privaudit.records import Records
from privaudit.results import Estimate
from privaudit.stats import differences, utility
from privaudit.stats.membership import membership

SHARES = (0.6, 0.2, 0.2)
"""The error level, shared out among the imprint (two-sided), oddness and who is recognised."""
FLOORS = {"imprint": 0.02, "surprise": 0.02, "recognised": 0.02}
"""Spreads over models below these are taken for these: a training without any noise of its own
still differs by rounding and the order of rows."""
STRANGER_LEVEL = 0.01
"""Error level of the comparison with strangers alone, which knows nothing of a training's noise."""
POWER = 0.8
KIND_LEVEL = 0.01
"""Error level at which a model's answers on strangers are none of the recipe's, both tests."""
APART, FURTHER = 1.5, 2.0
"""How much odder on strangers than the refits the model after, or before, may be."""
ALIKE = 1e-9
"""Margins that differ by no more are the same answers."""
DIGITS = 2


@dataclass(frozen=True, eq=False)
class Answers:
    """One model's probabilities (n, k) and margins (n,) by role."""

    proba: dict[str, np.ndarray]
    margins: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Case:
    """Two models' answers on the pools. pools: role -> records: forgotten, strangers, and retained
    where given; other_kind: the two are known to be of different kinds, or settings."""

    pools: dict[str, Records]
    before: Answers
    after: Answers
    confidence: float
    limit: float
    other_kind: bool = False


@dataclass(frozen=True)
class Test:
    """One number of a model beside those of models that never saw the forgotten."""

    value: float
    usual: float
    spread: float
    df: int

    @property
    def t(self) -> float:
        return (self.value - self.usual) / self.spread

    def quantile(self, level: float) -> float:
        """Student's t beyond which so much lies above."""
        from scipy.special import stdtrit

        return float(stdtrit(self.df, 1 - level))

    def interval(self, confidence: float) -> Number:
        half = self.quantile((1 - confidence) / 2) * self.spread
        centre = self.value - self.usual
        return Number(centre, centre - half, centre + half)


def judge_with_refits(case: Case, scale: Scale, before: Reading, after: Reading) -> Unlearning:
    """The answer where models that never saw the forgotten were trained for the audit.

    Three numbers of the model after (imprint, oddness, share recognised) are each held against the
    same number of those models. The model before has to show an imprint, or its going could not be
    seen.
    """
    level = 1 - case.confidence
    imprint = _test(scale, after, "imprint")
    why = []
    if abs(imprint.t) > imprint.quantile(SHARES[0] * level / 2):
        why.append(Why.STILL_KNOWN if imprint.t > 0 else Why.OVER_FORGOTTEN)
    odd, recognised = _test(scale, after, "surprise"), _test(scale, after, "recognised")
    if odd.t > odd.quantile(SHARES[1] * level):
        why.append(Why.ODD)
    if recognised.t > recognised.quantile(SHARES[2] * level):
        why.append(Why.RECOGNISED)
    first = _test(scale, before, "imprint")
    held = first.t > first.quantile(level)
    shown = imprint.interval(case.confidence)
    assert shown.low is not None
    assert shown.high is not None
    answer = Answer.FOUND
    if not why:
        answer = Answer.INCONCLUSIVE
        if _is_useless(case):
            why = [Why.USELESS]
        elif not held:
            why = [Why.NEVER_KNOWN]
        elif case.other_kind or _is_other_kind(scale, before, after):
            why = [Why.OTHER_KIND]
        elif shown.high >= case.limit or shown.low <= -case.limit:
            why = [Why.NO_POWER]
        else:
            answer, why = Answer.NOT_FOUND, [Why.WITHIN]
    usual = float(np.mean([one.noise for one in scale.never]))
    cautions = [Caution.OTHER_TRAINING] if after.noise > APART * usual else []
    cautions += [Caution.OTHER_BEFORE] if before.noise > FURTHER * usual else []
    found = _finish(case, answer, why, cautions)
    reach = imprint.quantile(SHARES[0] * level / 2) + imprint.quantile(1 - POWER)
    found = replace(
        found,
        refits=len(scale.bank.margins),
        imprint_before=_round(first.interval(case.confidence)),
        imprint_after=_round(shown),
        detectable=round(reach * imprint.spread, DIGITS),
    )
    # A share of fewer than 10 patients names them.
    few = _count(case, "forgotten") < MIN_CELL
    return found if few else _tell_apart(found, case, scale, before, after)


def _is_other_kind(scale: Scale, before: Reading, after: Reading) -> bool:
    """Whether, by its answers on strangers, one of the two is no training by the recipe.

    The imprint is a share of what the recipe leaves: a model that is far smoother leaves little of
    anybody, and so looks as if it had never seen them.
    """
    usual = float(np.mean([one.noise for one in scale.never]))
    if before.noise > FURTHER * usual:
        return True
    for name in ("noise", "slope"):
        never = np.array([getattr(one, name) for one in scale.never])
        spread = max(float(never.std(ddof=1)), FLOORS["surprise"])
        off = Test(getattr(after, name), float(never.mean()), spread, len(never) - 1)
        # What is noisier is judged by a wider spread; what is smoother hides.
        beyond = off.quantile(KIND_LEVEL / 4)
        if off.t < -beyond or (name == "slope" and off.t > beyond):
            return True
    return False


def judge_by_strangers(case: Case, expected: dict[str, np.ndarray] | None) -> Unlearning:
    """The answer without a recipe: the forgotten beside strangers, and never that nothing is left.

    expected: role -> (n,) margins of a model fitted on strangers alone, so that patients who are
    easier to predict are not taken for known ones; None where there are predictions alone.
    """
    scores = {}
    for name, held in (("before", case.before), ("after", case.after)):
        scores[name] = _less_expected(held.margins, expected)
    area = {name: _area(case, one, 1 - STRANGER_LEVEL) for name, one in scores.items()}
    why = []
    after = area["after"]
    if after is not None and after.low is not None and after.high is not None:
        # Without calibration easy patients look known, and nothing may rest on that.
        apart = after.low > 0.5 or after.high < 0.5
        why = [Why.UNLIKE_STRANGERS] if apart and expected is not None else []
    answer = Answer.FOUND if why else Answer.INCONCLUSIVE
    if not why:
        why = [Why.USELESS if _is_useless(case) else Why.NO_RECIPE]
    cautions = [] if expected is not None else [Caution.NOT_CALIBRATED]
    found = _finish(case, answer, why, cautions)
    if _count(case, "forgotten") < MIN_CELL:
        return found
    return replace(
        found,
        area_before=_round(_area(case, scores["before"], case.confidence)),
        area_after=_round(_area(case, scores["after"], case.confidence)),
        area_change=_change_of_area(case, scores["before"], scores["after"]),
    )


def _finish(
    case: Case, answer: Answer, why: Sequence[Why], cautions: Sequence[Caution]
) -> Unlearning:
    """The answer with what needs no refits; found at once where nothing changed."""
    before, after = (held.margins["forgotten"] for held in (case.before, case.after))
    if np.abs(before - after).max(initial=0.0) <= ALIKE:
        answer, why = Answer.FOUND, [Why.UNCHANGED, *(w for w in why if answer is Answer.FOUND)]
    found = Unlearning(
        answer,
        tuple(why),
        tuple(cautions),
        case.confidence,
        0,
        case.limit,
        {role: count_down(_count(case, role)) for role in case.pools},
    )
    strangers = case.pools["strangers"]
    useful = [
        _auroc(strangers, held.proba["strangers"], case.confidence)
        for held in (case.before, case.after)
    ]
    lost = differences.auroc(
        case.before.proba["strangers"],
        case.after.proba["strangers"],
        strangers.y,
        strangers.patient,
        case.confidence,
    )
    if lost is not None and lost[2] < 0:
        found = replace(found, cautions=(*found.cautions, Caution.LESS_USEFUL))
    if _count(case, "forgotten") < MIN_CELL:
        found = replace(found, cautions=(*found.cautions, Caution.FEW_FORGOTTEN))
    else:
        found = replace(
            found,
            margin_change=_change(case, "strangers"),
            margin_change_to_retained=_change(case, "retained"),
        )
    return replace(found, usefulness_before=useful[0], usefulness_after=useful[1])


def _test(scale: Scale, reading: Reading, name: str) -> Test:
    """The number beside those of models that never saw the forgotten, whose spread is stretched as
    far as this model is odder on strangers than they are."""
    never = np.array([getattr(one, name) for one in scale.never])
    usual = float(np.mean([one.noise for one in scale.never]))
    odder = max(1.0, reading.noise / max(usual, 1e-9))
    spread = max(float(never.std(ddof=1)), FLOORS[name]) * odder
    return Test(getattr(reading, name), float(never.mean()), spread, len(never) - 1)


def _tell_apart(
    found: Unlearning, case: Case, scale: Scale, before: Reading, after: Reading
) -> Unlearning:
    """With how well a likelihood ratio tells the forgotten from strangers, before and after, and in
    models that never saw them."""
    inside = scale.bank.forgotten
    ids = (scale.bank.asked.patient[inside], scale.bank.asked.patient[~inside])
    sets = [Scores(r.scores[inside], r.scores[~inside]) for r in (before, after)]
    made = [_estimate(one, ids, case.confidence) for one in sets]
    recognised = []
    for fpr in FPRS:
        rates = [
            _show_share(e, _count(case, "forgotten"))
            for e in (_find(part, "tpr", fpr) for part in made)
        ]
        cut = [_share_recognised(r.scores, scale, pair, fpr) for pair, r in enumerate(scale.never)]
        usual = None if rates[1] is None else round(float(np.mean(cut)), DIGITS)
        recognised.append(Recognised(fpr, rates[0], rates[1], usual))
    never = [_area_of_pair(scale, pair) for pair in range(scale.bank.pairs)]
    change = differences.area(sets[0], sets[1], ids, case.confidence)
    return replace(
        found,
        area_before=_number(_find(made[0], "auc")),
        area_after=_number(_find(made[1], "auc")),
        area_never=round(float(np.mean(never)), DIGITS),
        area_change=None if change is None else _round(Number(*change)),
        recognised=tuple(recognised),
    )


def _share_recognised(scores: np.ndarray, scale: Scale, pair: int, fpr: float) -> float:
    own, others = _sides(scores, scale, pair)
    return float((own > np.quantile(others, 1 - fpr, method="higher")).mean())


def _area_of_pair(scale: Scale, pair: int) -> float:
    from privaudit.stats.auc import auc

    return auc(*_sides(scale.never[pair].scores, scale, pair))


def _sides(scores: np.ndarray, scale: Scale, pair: int) -> tuple[np.ndarray, np.ndarray]:
    unseen = ~scale.bank.forgotten & ~scale.bank.included[2 * pair]
    return scores[scale.bank.forgotten], scores[unseen]


def _less_expected(
    margins: dict[str, np.ndarray], expected: dict[str, np.ndarray] | None
) -> dict[str, np.ndarray]:
    """Margins less what is expected of such patients, by a line that strangers fit."""
    if expected is None:
        return margins
    x, y = expected["strangers"], margins["strangers"]
    slope = float(np.polyfit(x, y, 1)[0]) if np.ptp(x) > 0 else 0.0
    return {role: margins[role] - slope * expected[role] for role in ("forgotten", "strangers")}


def _area(case: Case, scores: dict[str, np.ndarray], confidence: float) -> Number | None:
    ids = tuple(case.pools[role].patient for role in ("forgotten", "strangers"))
    sides = Scores(scores["forgotten"], scores["strangers"])
    found = _estimate(sides, (ids[0], ids[1]), confidence)
    return _number(_find(found, "auc"), digits=6)


def _change_of_area(
    case: Case, before: dict[str, np.ndarray], after: dict[str, np.ndarray]
) -> Number | None:
    ids = (case.pools["forgotten"].patient, case.pools["strangers"].patient)
    sides = [Scores(one["forgotten"], one["strangers"]) for one in (before, after)]
    found = differences.area(sides[0], sides[1], ids, case.confidence)
    return None if found is None else _round(Number(*found))


def _change(case: Case, other: str) -> Number | None:
    """How much the forgotten's mean margin changed beyond the other pool's, by patient."""
    if other not in case.pools:
        return None
    from scipy.special import stdtrit

    means = []
    for role in ("forgotten", other):
        _, whose = np.unique(case.pools[role].patient, return_inverse=True)
        moved = case.after.margins[role] - case.before.margins[role]
        means.append(np.bincount(whose, moved) / np.bincount(whose))
    if min(map(len, means)) < 2:
        return None
    own, others = means
    parts = [one.var(ddof=1) / len(one) for one in means]
    df = sum(parts) ** 2 / max(
        sum(p**2 / (len(one) - 1) for p, one in zip(parts, means, strict=True)), 1e-300
    )
    half = float(stdtrit(max(df, 1.0), 0.5 + case.confidence / 2)) * float(np.sqrt(sum(parts)))
    value = float(own.mean() - others.mean())
    return _round(Number(value, value - half, value + half))


def _count(case: Case, role: str) -> int:
    return len(np.unique(case.pools[role].patient))


def _is_useless(case: Case) -> bool:
    """Whether the model after answers everybody alike, or no better than chance where the model
    before did better."""
    proba = case.after.proba
    every = np.concatenate([proba["forgotten"], proba["strangers"]])
    if np.ptp(every, axis=0).max() < 1e-6:
        return True
    before, after = (
        _auroc(case.pools["strangers"], held.proba["strangers"], case.confidence)
        for held in (case.before, case.after)
    )
    lows = [None if one is None else one.low for one in (before, after)]
    return lows[0] is not None and lows[0] > 0.5 and (lows[1] is None or lows[1] <= 0.5)


def _auroc(records: Records, proba: np.ndarray, confidence: float) -> Number | None:
    found = utility(
        proba,
        records.y,
        patients=records.patient,
        confidence=confidence,
        rng=np.random.default_rng(0),
    )
    return _number(_find(found, "auroc"))


def _estimate(
    scores: Scores, ids: tuple[np.ndarray, np.ndarray], confidence: float
) -> tuple[Estimate, ...]:
    return membership(
        scores,
        patients=ids,
        confidence=confidence,
        rng=np.random.default_rng(0),
        names={"auc", "tpr"},
    )


def _find(found: Sequence[Estimate], name: str, fpr: float | None = None) -> Estimate | None:
    return next((e for e in found if e.metric.name == name and e.metric.fpr == fpr), None)


def _number(e: Estimate | None, digits: int = DIGITS) -> Number | None:
    if e is None or e.value is None:
        return None
    return _round(Number(e.value, e.low, e.high), digits)


def _show_share(e: Estimate | None, patients: int) -> Number | None:
    """A share of patients, unless it, or what is left over, is of fewer than 10 of them."""
    shown = _number(e)
    if shown is None:
        return None
    counted = shown.value * patients
    return shown if MIN_CELL <= counted <= patients - MIN_CELL else None


def _round(number: Number | None, digits: int = DIGITS) -> Number | None:
    if number is None:
        return None
    ends = [None if end is None else round(end, digits) for end in (number.low, number.high)]
    return Number(round(number.value, digits), ends[0], ends[1])


__all__ = ["Answers", "Case", "judge_by_strangers", "judge_with_refits"]
