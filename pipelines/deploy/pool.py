"""Hospitals' counts to estimates with intervals: hospital by hospital, and pooled.

The numbers are made by `privaudit.stats`, of a person whose score is the step that they stand on.
The blocks of `pipelines.deploy.ladders` leave open where on a ladder few people stand, and a step
holds people whose order is not known: every interval reaches from the lower end of that of the
least telling placing to the upper end of that of the most telling one, so it covers all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.deploy.grade import CUTS, LEVELS, MEMBERSHIP, ROWS
from pipelines.deploy.graded import Attempts, Counts, Game
from pipelines.deploy.ladders import find_blocks, find_ranges
from pipelines.deploy.placings import Side, place
from privaudit import stats
from privaudit.contracts import Scores, Trials
from privaudit.facts import Bound, BoundMethod, Metric, Setting
from privaudit.results import Estimate, GroupResult
from privaudit.stats import auc as area_module
from privaudit.stats.auc import Area
from privaudit.stats.auc import spread as area_spread
from privaudit.stats.membership import membership
from privaudit.stats.prediction import utility

SIDES: tuple[Side, ...] = ("least", "middle", "most")
OTHER: Mapping[Side, Side] = {"least": "most", "middle": "middle", "most": "least"}
BY = "site"
"""The grouping whose levels are the hospitals."""
SHARES = (0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.12, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.0)
"""Leaks that are tried, to find the least that the blocks would show."""
RATES = ("tpr", "detectable_tpr", "ppv")
BOUNDED = ("auprc", "brier", "calibration_intercept")
"""Of the measures of utility, those whose extremes are at the extreme placings: each rises or falls
with every single predicted risk."""


@dataclass(frozen=True)
class Pooled:
    """One attack on all hospitals' patients, and on each hospital's."""

    estimates: tuple[Estimate, ...]
    groups: tuple[GroupResult, ...] = ()


def pool_membership(
    counts: Sequence[Counts], attack: str, confidence: float, rng: np.random.Generator
) -> Pooled | None:
    """A membership attack. None where no hospital states it.

    The AUC compares members with held-out patients of their own hospital, as an attacker does who
    knows where somebody was a patient, and is the mean over members. A rate is read on all
    hospitals together, each with thresholds of its own.
    """
    own = [one for one in counts if attack in one.membership]
    if not own:
        return None
    parts = {side: [_scores(one, attack, side) for one in own] for side in SIDES}
    areas = {side: [_area(*both) for both in made] for side, made in parts.items()}
    sizes = [_sizes(one) for one in own]
    differ = adjust([_differ(areas, sizes, i) for i in range(len(own))])
    groups = tuple(
        GroupResult(
            BY,
            one.hospital,
            (_state_area({s: areas[s][i] for s in SIDES}, _n([sizes[i]], [one]), confidence),),
            differ[i] if len(own) > 1 else None,
        )
        for i, one in enumerate(own)
    )
    n = _n(sizes, own)
    weights = np.array([size[0] for size in sizes], dtype=np.float64)
    whole = {side: _mean(found, weights / weights.sum()) for side, found in areas.items()}
    area = _state_area(whole, n, confidence)
    rates = {
        side: _rates(made, confidence, np.random.default_rng(int(rng.integers(2**63))))
        for side, made in parts.items()
    }
    slack = 0.0
    if area.value is not None:
        slack = max(whole["most"].value - area.value, area.value - whole["least"].value)
    least = _state_least(n, slack, confidence)
    stated = _raise_detectable(_widest(rates), sizes)
    return Pooled((area, least, *(replace(e, n=n) for e in stated)), groups)


def pool_utility(
    counts: Sequence[Counts], confidence: float, rng: np.random.Generator
) -> tuple[Estimate, ...]:
    """The model's utility on held-out patients: one record of each, two outcomes.

    The AUROC compares patients of one hospital, as the membership AUC does, and is the mean over
    those with the outcome. The least and the most of the others are over both extreme placings of
    the patients of either outcome.
    """
    own = [one for one in counts if one.utility]
    if not own:
        return ()
    edges = np.array([0.0, *CUTS, 1.0])
    middle = (edges[1:] + edges[:-1]) / 2
    ends: dict[Side, np.ndarray] = {"least": edges[:-1], "middle": middle, "most": edges[1:]}
    sides: tuple[tuple[Side, Side], ...] = (
        ("middle", "middle"),
        ("least", "least"),
        ("least", "most"),
        ("most", "least"),
        ("most", "most"),
    )
    y = np.concatenate([np.full(one.utility[k].patients, k) for one in own for k in (0, 1)])
    made = []
    for pair in sides:
        risk = np.concatenate(
            [ends[pair[k]][_at_cuts(one, k, pair[k])] for one in own for k in (0, 1)]
        )
        found = utility(
            np.column_stack([1 - risk, risk]),
            y,
            patients=np.arange(len(y)),
            confidence=confidence,
            rng=np.random.default_rng(int(rng.integers(2**63))),
        )
        made.append(tuple(e for e in found if e.metric.name in BOUNDED))
    return (_auroc(own, confidence), *_join(made))


def _at_cuts(one: Counts, code: int, side: Side) -> np.ndarray:
    return place(one.utility[code].above, one.utility[code].patients, CUTS, side).places


def _auroc(own: Sequence[Counts], confidence: float) -> Estimate:
    games = [Game(one.utility[1].ranked, one.utility[0].ranked, _by_outcome(one)) for one in own]
    events = sum(game.sizes[0] for game in games)
    patients = sum(sum(game.sizes) for game in games)
    n = {"records": patients, "patients": patients, "events": events}
    return replace(_state_area(_areas(games), n, confidence), metric=Metric("auroc"))


def pool_control(games: Sequence[Game], confidence: float) -> tuple[Estimate, ...]:
    """The AUC of a control over all hospitals; none where no hospital made it."""
    if not games:
        return ()
    first, second = (sum(game.sizes[side] for game in games) for side in (0, 1))
    n = {
        "members": first,
        "nonmembers": second,
        "member_patients": first,
        "nonmember_patients": second,
    }
    return (_state_area(_areas(games), n, confidence),)


def _areas(games: Sequence[Game]) -> dict[Side, Area]:
    """The mean AUC over hospitals, weighted by those who should be found."""
    weights = np.array([game.sizes[0] for game in games], dtype=np.float64)
    return {
        side: _mean([_area(*_steps(game, side)) for game in games], weights / weights.sum())
        for side in SIDES
    }


def _by_outcome(one: Counts) -> tuple[int, int]:
    """With the outcome, and without."""
    return one.utility[1].patients, one.utility[0].patients


def pool_utility_groups(counts: Sequence[Counts], confidence: float) -> tuple[GroupResult, ...]:
    """The AUROC hospital by hospital."""
    return tuple(
        GroupResult(BY, one.hospital, (_auroc([one], confidence),)) for one in counts if one.utility
    )


def pool_columns(counts: Sequence[Counts], confidence: float) -> tuple[Estimate, ...]:
    """Attribute inference, column by column."""
    names = dict.fromkeys(name for one in counts for name in one.columns)
    found: list[Estimate] = []
    for name in names:
        own = [(one, one.columns[name]) for one in counts if name in one.columns]
        found += pool_attempts(own, Setting("column", name), confidence)
    return tuple(found)


OF_EACH = ("attack_rate", "control_rate")
"""What is stated of each hospital: without an update, columns that hardly vary are guessed too."""


def pool_inversion(counts: Sequence[Counts], confidence: float) -> Pooled | None:
    """Rows rebuilt of rows tried, out of what each hospital sent. None where none states it."""
    own = [(one, one.inversion) for one in counts if one.inversion is not None]
    if not own:
        return None
    at = Setting("variant", ROWS)
    groups = tuple(
        GroupResult(BY, one.hospital, tuple(e for e in made if e.metric.name in OF_EACH))
        for one, part in own
        if (made := pool_attempts([(one, part)], at, confidence))
    )
    return Pooled(pool_attempts(own, at, confidence), groups)


def pool_attempts(
    own: Sequence[tuple[Counts, Attempts]], at: Setting, confidence: float
) -> tuple[Estimate, ...]:
    """Rates of attempts, of a guess and of the control, over all hospitals.

    Who was found by both the attack and the guess is not stated: the differences' intervals are
    those of the pairing that leaves most open.
    """
    made: list[tuple[Estimate, ...]] = []
    for pick in (_middle, _least, _most):
        against = {_least: _most, _most: _least}.get(pick, _middle)
        right = tried = guessed = controlled = others = 0.0
        for one, part in own:
            members = find_ranges(part.members, one.sizes["members"][0])
            tried += _middle(members, 1)
            right += min(pick(members, 0), _middle(members, 1))
            if part.guess is not None:
                guess = find_ranges(part.guess, one.sizes["members"][0])
                guessed += min(against(guess, 0), _middle(members, 1))
            control = find_ranges(part.control, one.sizes[part.control_pool][0])
            others += _middle(control, 1)
            controlled += min(against(control, 0), _middle(control, 1))
        has_guess = all(part.guess is not None for _, part in own)
        evidence = Trials(
            _first(right, tried),
            _first(controlled, others),
            _first(guessed, tried)[::-1] if has_guess else None,
            control_patients=-1 - np.arange(round(others)),
        )
        made.append(
            stats.estimates(
                {at: evidence},
                patients=(np.arange(round(tried)), -1 - np.arange(round(others))),
                confidence=confidence,
                rng=np.random.default_rng(0),
            )
        )
    return _join(made)


# --- membership


def _scores(one: Counts, attack: str, side: Side) -> tuple[np.ndarray, np.ndarray]:
    return _steps(one.membership[attack], side)


def _steps(game: Game, side: Side) -> tuple[np.ndarray, np.ndarray]:
    """(m,), (n,) the steps of two pools, placed and tied against or for the first."""
    first = place(game.first, game.sizes[0], LEVELS, side).places.astype(np.float64)
    second = place(game.second, game.sizes[1], LEVELS, OTHER[side]).places.astype(np.float64)
    return first + 0.5 * (side == "most"), second + 0.5 * (side == "least")


def _area(members: np.ndarray, nonmembers: np.ndarray) -> Area:
    ids = np.arange(len(members)), -1 - np.arange(len(nonmembers))
    return area_module.area(members, nonmembers, *ids)


def _mean(areas: Sequence[Area], weights: np.ndarray) -> Area:
    """The mean of independent areas."""
    value = float(sum(w * one.value for w, one in zip(weights, areas, strict=True)))
    known = [(w, one) for w, one in zip(weights, areas, strict=True) if one.variance]
    patients = tuple(sum(one.patients[side] for one in areas) for side in (0, 1))
    if not known:
        return Area(value, None, 1.0, (patients[0], patients[1]))
    parts = np.array([w**2 * float(one.variance or 0.0) for w, one in known])
    df = parts.sum() ** 2 / sum(
        part**2 / one.df for part, (_, one) in zip(parts, known, strict=True)
    )
    return Area(value, float(parts.sum()), max(1.0, float(df)), (patients[0], patients[1]))


def _differ(
    areas: Mapping[Side, Sequence[Area]], sizes: Sequence[tuple[int, int]], i: int
) -> float:
    """A p-value of "this hospital's AUC is that of the others": of the placing under which they are
    nearest to each other."""
    rest = [j for j in range(len(sizes)) if j != i]
    if not rest:
        return 1.0
    weights = np.array([sizes[j][0] for j in rest], dtype=np.float64)
    both = {
        side: (found[i], _mean([found[j] for j in rest], weights / weights.sum()))
        for side, found in areas.items()
    }
    more = both["middle"][0].value >= both["middle"][1].value
    own = both["least" if more else "most"][0]
    others = both["most" if more else "least"][1]
    gap = own.value - others.value if more else others.value - own.value
    if gap <= 0:
        return 1.0
    spread = math.sqrt(
        sum(one.variance or area_spread(0.5, one.patients) ** 2 for one in (own, others))
    )
    return math.erfc(gap / spread / math.sqrt(2))


def adjust(ps: Sequence[float]) -> list[float]:
    """Holm's adjustment (1979): each the least level at which its hypothesis is rejected."""
    found, least = [1.0] * len(ps), 0.0
    for step, i in enumerate(sorted(range(len(ps)), key=lambda j: ps[j])):
        least = max(least, min(1.0, ps[i] * (len(ps) - step)))
        found[i] = least
    return found


def _state_area(areas: Mapping[Side, Area], n: dict[str, int], confidence: float) -> Estimate:
    ends = [one.interval(confidence) for one in areas.values()]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    bound = Bound(BoundMethod.BLOCKS)
    return Estimate(Metric("auc"), areas["middle"].value, low, high, 0.5, n, confidence, bound)


def _state_least(n: Mapping[str, int], slack: float, confidence: float) -> Estimate:
    """The smallest AUC that could be told from chance, with what the blocks leave open."""
    sizes = n["member_patients"], n["nonmember_patients"]
    found = area_module.detectable(sizes, confidence)
    value = 1.0 if found is None else min(1.0, found + 2 * slack)
    return Estimate(
        Metric("detectable_auc"), value, None, None, 0.5, n, confidence, Bound(BoundMethod.POWER)
    )


def _rates(
    parts: Sequence[tuple[np.ndarray, np.ndarray]], confidence: float, rng: np.random.Generator
) -> tuple[Estimate, ...]:
    members, nonmembers = (np.concatenate([both[side] for both in parts]) for side in (0, 1))
    ids = np.arange(len(members)), -1 - np.arange(len(nonmembers))
    return membership(
        Scores(members, nonmembers), patients=ids, confidence=confidence, rng=rng, names=RATES
    )


def _raise_detectable(
    found: Sequence[Estimate], sizes: Sequence[tuple[int, int]]
) -> list[Estimate]:
    """The estimates, of which the detectable rates are those that can be told with the blocks.

    Of a leak by which so many members score above everybody else, and of others as chance has them,
    the least telling placing must still read more than chance; to that comes what the patients
    themselves leave open. 1 where no leak could be told.
    """
    made = []
    for e in found:
        fpr = e.metric.fpr
        if e.metric.name == "detectable_tpr" and e.value is not None and fpr is not None:
            shown = (share for share in SHARES if share > fpr and _show(share, sizes, fpr))
            e = replace(e, value=min(1.0, e.value + next(shown, 1.0) - fpr))
        made.append(e)
    return made


def _show(share: float, sizes: Sequence[tuple[int, int]], fpr: float) -> bool:
    """Whether the least telling placing of such a leak reads more than chance."""
    parts = [_steps(Game(*_leak(share, *both), both), "least") for both in sizes]
    rates = []
    for side in (0, 1):
        steps = np.rint(2 * np.concatenate([both[side] for both in parts])).astype(np.int64)
        counts = np.bincount(steps, minlength=2 * len(LEVELS) + 3)
        rates.append(np.cumsum(counts[::-1]) / len(steps))
    allowed = rates[0][rates[1] <= fpr]
    return bool(allowed.max(initial=0.0) > fpr)


def _leak(share: float, members: int, nonmembers: int) -> tuple[list[int], list[int]]:
    """Blocks of a hospital where so many members, and none of the others, score highest."""
    chance = 1 - np.array(LEVELS)
    first = np.rint(members * np.maximum(share, chance)).astype(np.int64)
    second = np.rint(nonmembers * chance).astype(np.int64)
    return find_blocks(first, members), find_blocks(second, nonmembers)


def _widest(rates: Mapping[Side, tuple[Estimate, ...]]) -> tuple[Estimate, ...]:
    return _join([rates["middle"], rates["least"], rates["most"]])


def _sizes(one: Counts) -> tuple[int, int]:
    return one.sizes["members"][0], one.sizes["nonmembers"][0]


def _n(sizes: Sequence[tuple[int, int]], own: Sequence[Counts]) -> dict[str, int]:
    return {
        "members": sum(one.sizes["members"][1] for one in own),
        "nonmembers": sum(one.sizes["nonmembers"][1] for one in own),
        "member_patients": sum(size[0] for size in sizes),
        "nonmember_patients": sum(size[1] for size in sizes),
    }


# --- attempts

_Ranges = tuple[np.ndarray, np.ndarray]
_Pick = Callable[[_Ranges, int], float]


def _least(ranges: _Ranges, step: int) -> float:
    return float(ranges[0][step])


def _most(ranges: _Ranges, step: int) -> float:
    return float(ranges[1][step])


def _middle(ranges: _Ranges, step: int) -> float:
    return float((ranges[0][step] + ranges[1][step]) // 2)


def _first(right: float, tried: float) -> np.ndarray:
    """(tried,) 1 for the first `right`, else 0."""
    found = np.zeros(round(tried))
    found[: round(right)] = 1.0
    return found


# --- several placings


def _join(made: Sequence[tuple[Estimate, ...]]) -> tuple[Estimate, ...]:
    """The first's values, with intervals that hold those of all."""
    found = []
    for one, *others in zip(*made, strict=True):
        if one.value is None:
            found.append(one)
            continue
        lows = [e.low for e in (one, *others) if e.low is not None]
        highs = [e.high for e in (one, *others) if e.high is not None]
        bounded = one.low is not None and one.high is not None
        found.append(
            replace(
                one,
                low=min(lows) if bounded else one.low,
                high=max(highs) if bounded else one.high,
                bound=Bound(BoundMethod.BLOCKS) if bounded else one.bound,
            )
        )
    return tuple(found)


__all__ = [
    "BY",
    "MEMBERSHIP",
    "Pooled",
    "pool_attempts",
    "pool_columns",
    "pool_control",
    "pool_inversion",
    "pool_membership",
    "pool_utility",
    "pool_utility_groups",
]
