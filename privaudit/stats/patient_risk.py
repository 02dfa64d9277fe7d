"""Each patient's own risk: how many are told apart beyond a limit, false discovery controlled.

Aggregate numbers near guessing can hide patients who are found almost surely. Here the unit of the
question is one patient: given two models, of which one was trained with the patient, how often does
the one with the patient give itself away? `privaudit.stats.pair_wins` says what is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from privaudit.contracts import Pairs, Scores
from privaudit.disclosure_limits import MIN_CELL
from privaudit.facts import Bound, BoundMethod, Metric, Reason, ReasonCode
from privaudit.results import Curve, Estimate, GroupResult
from privaudit.stats._refusal import refuse_estimate
from privaudit.stats.catalogue import AT_RISK_BEYOND
from privaudit.stats.pair_wins import (
    Wins,
    bound_share,
    false_discovery,
    pairs_needed,
    share_beyond,
)
from privaudit.stats.patients import by_patient
from privaudit.stats.rates import wilson

FALSE_DISCOVERY = 0.05
"""Most that may be wrong of the patients who are named, on average."""

CHANCE = 0.5
"""How often a patient is told apart by guessing."""

AT_RISK = Metric("patients_at_risk")
BEYOND = Metric("patients_named_beyond")
NAMED = Metric("patients_named")
MEMBERS = Metric("members_named")

PLANTED, PLANTED_CHANCE, PLANTED_FOUND = 0.1, 0.95, 0.5
"""The planted leak: a share of patients, told apart about so often, of whom so many at least must
be named."""

NULL_LEVEL = 0.0025
"""False discovery rate at which nobody may be named under labels that say nothing."""

LEVELS = (0.05, 0.025, 0.01, 0.005, 0.001)
"""One-sided levels at which the share at risk is bounded, for rules that are judged together."""

CHANCES = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)
"""How often a patient is told apart: the points of the curve."""


@dataclass(frozen=True, eq=False)
class _Read:
    """The pairs of one audit, with what their number can show."""

    pairs: Pairs

    @cached_property
    def wins(self) -> Wins:
        return Wins.of(self.pairs.moved, self.pairs.first, self.pairs.coins)

    @property
    def patients(self) -> int:
        return len(self.pairs.patients)

    @property
    def count(self) -> int:
        return len(self.pairs.first)

    @property
    def n(self) -> dict[str, int]:
        return {"patients": self.patients}

    def lacking(self, limit: float) -> Reason | None:
        """Why nobody can be named as told apart in more than this share of pairs."""
        if self.count == 0:
            return Reason(ReasonCode.REFITS_NOT_PAIRED)
        if self.patients < MIN_CELL:
            return Reason(ReasonCode.TOO_FEW_PATIENTS, {"least": MIN_CELL})
        ways = self.wins.ways
        wanted = pairs_needed(self.patients, limit, FALSE_DISCOVERY, MIN_CELL, ways)
        if self.count >= wanted:
            return None
        # Refits are trained eight at a time.
        least = -(-2 * wanted // 8) * 8
        return Reason(ReasonCode.TOO_FEW_REFITS, {"wanted": least, "refits": 2 * self.count})

    def named(self, limit: float, rate: float = FALSE_DISCOVERY) -> np.ndarray:
        """(n,) bool: who is named as told apart in more than this share of pairs."""
        return false_discovery(self.wins.p_values(limit)) <= rate


def unrelated(pairs: Pairs) -> Pairs:
    """The same answers under the halves of the next pair, which have nothing to do with them."""
    return replace(pairs, first=np.roll(pairs.first, -1, axis=0))


def planted(pairs: Pairs, rng: np.random.Generator) -> tuple[Pairs, np.ndarray]:
    """Answers without a leak in which some patients are told apart, and (n,) bool, who they are."""
    null = unrelated(pairs)
    n = len(null.patients)
    chosen = np.zeros(n, dtype=bool)
    chosen[rng.permutation(n)[: max(1, round(PLANTED * n))]] = True
    side = np.where(null.first, 1.0, -1.0)
    own = np.where(rng.random(null.first.shape) < PLANTED_CHANCE, side, -side)
    size = np.maximum(np.abs(null.moved), 1e-6)
    return replace(null, moved=np.where(chosen, own * size, null.moved)), chosen


def patients_at_risk(
    evidence: Scores,
    *,
    patients: tuple[np.ndarray, np.ndarray],
    confidence: float,
    rng: np.random.Generator,
) -> tuple[Estimate, ...]:
    """How many patients are at risk, each by themselves.

    `patients_at_risk`: the share of audit patients told apart in more than the limit of pairs, with
    bounds that assume nothing of the models. `patients_named_beyond`: the share who are named as
    such, with a false discovery rate of 5 %. `patients_named`: the same, beyond guessing.
    These three are of the way of training, over all audit patients. `members_named`: of the
    released model's members, the share whom its own answers name, with the same rate of people
    among them who are no members.

    Args:
        evidence: Scores of an attack that reads pairs.
        patients: Ids of the members' and of the non-members' records.
        confidence: Of the intervals.
        rng: Which patients the planted leak is put in.

    Returns:
        The four numbers; each with a typed reason where it cannot be stated. Too few refits, a
        planted leak that is missed, or patients named where labels say nothing leave none of the
        three, so that nothing is read as a low risk.
    """
    assert evidence.pairs is not None, "the attack reads no pairs"
    read = _Read(evidence.pairs)
    lack = read.lacking(CHANCE) or _broken(read, rng)
    found = []
    if lack is None:
        found.append(_at_risk(read.wins, read.n, confidence, LEVELS))
    else:
        found.append(refuse_estimate(AT_RISK, lack, 0.0, read.n, confidence))
    for metric, limit in ((BEYOND, AT_RISK_BEYOND), (NAMED, CHANCE)):
        why = lack or read.lacking(limit)
        if why is not None:
            found.append(refuse_estimate(metric, why, 0.0, read.n, confidence))
            continue
        share = float(read.named(limit).mean())
        low, high = wilson(share, read.patients / read.wins.spread, confidence)
        bound = Bound(BoundMethod.FALSE_DISCOVERY)
        found.append(Estimate(metric, share, low, high, 0.0, read.n, confidence, bound))
    return (*found, _released(evidence, patients, confidence))


def _at_risk(
    wins: Wins, n: Mapping[str, int], confidence: float, levels: Sequence[float]
) -> Estimate:
    value, low, high = share_beyond(wins, AT_RISK_BEYOND, confidence)
    known = [(level, *bound_share(wins, AT_RISK_BEYOND, level)) for level in levels]
    bound = Bound(
        BoundMethod.COMPLEMENTARY_PAIRS,
        levels=tuple((level, most) for level, _, most in known),
        below=tuple((level, least) for level, least, _ in known),
    )
    return Estimate(AT_RISK, value, low, high, 0.0, n, confidence, bound)


def draw_at_risk(one: Estimate, chance: float, refits: int, rng: np.random.Generator) -> Estimate:
    """The share at risk of another audit of this size, in which every patient is told apart with
    this chance; bounded at the first levels alone."""
    pairs, patients = refits // 2, one.n["patients"]
    wins = Wins(rng.binomial(pairs, chance, size=(1, patients)), pairs)
    return _at_risk(wins, one.n, one.confidence, LEVELS[:2])


def _broken(read: _Read, rng: np.random.Generator) -> Reason | None:
    """Why these pairs show nothing: patients are named where there is nothing, or a leak that was
    planted in them is missed."""
    if _Read(unrelated(read.pairs)).named(CHANCE, NULL_LEVEL).any():
        return Reason(ReasonCode.NAMED_WITHOUT_LEAK)
    leaking, who = planted(read.pairs, rng)
    if _Read(leaking).named(CHANCE)[who].mean() < PLANTED_FOUND:
        return Reason(ReasonCode.PLANTED_PATIENTS_MISSED)
    return None


def _released(
    evidence: Scores, patients: tuple[np.ndarray, np.ndarray], confidence: float
) -> Estimate:
    named, ids = name_members(evidence, patients)
    n = {"member_patients": len(ids), "nonmember_patients": len(np.unique(patients[1]))}
    if min(n.values()) < MIN_CELL:
        why = Reason(ReasonCode.TOO_FEW_PATIENTS, {"least": MIN_CELL})
        return refuse_estimate(MEMBERS, why, 0.0, n, confidence)
    share = float(named.mean())
    low, high = wilson(share, len(ids), confidence)
    bound = Bound(BoundMethod.FALSE_DISCOVERY)
    return Estimate(MEMBERS, share, low, high, 0.0, n, confidence, bound)


def name_members(
    evidence: Scores, patients: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """(k,) bool: members whom the released model gives away by itself, and (k,) their ids.

    A p-value is the share of non-members who score as high: exact where membership was assigned at
    random. Bates et al. 2023 (Annals of Statistics 51): their false discovery is controlled.
    """
    by, (ids, _) = by_patient(evidence, patients)
    out = np.sort(by.nonmembers)
    above = len(out) - np.searchsorted(out, by.members, side="left")
    return false_discovery((1.0 + above) / (1.0 + len(out))) <= FALSE_DISCOVERY, ids


def risk_curve(evidence: Scores, *, confidence: float) -> Curve | None:
    """The share of patients told apart in more than x of pairs; None where nothing can be said.

    Points of fewer than 10 patients are left out. The band is that of single points.
    """
    assert evidence.pairs is not None, "the attack reads no pairs"
    read = _Read(evidence.pairs)
    if read.lacking(CHANCE) is not None:
        return None
    points: list[tuple[float, float, float, float]] = []
    for chance in CHANCES:
        value, low, high = share_beyond(read.wins, chance, confidence)
        if points:
            # No more patients lie beyond a larger share than beyond a smaller one.
            value, low, high = (
                min(new, old) for new, old in zip((value, low, high), points[-1][1:], strict=True)
            )
        if MIN_CELL <= value * read.patients <= read.patients - MIN_CELL:
            points.append((chance, value, low, high))
    x, y, low_band, high_band = zip(*points, strict=True) if points else ((), (), (), ())
    return Curve("survival", Metric("patients_beyond"), x, y, low_band, high_band)


def over_represented(
    evidence: Scores,
    *,
    groups: Mapping[str, tuple[np.ndarray, np.ndarray]],
    patients: tuple[np.ndarray, np.ndarray],
    confidence: float,
) -> tuple[GroupResult, ...]:
    """Of every level of every grouping, the share of patients who are named, against the others.

    p-values are Fisher's exact test of "no larger share than among the rest", adjusted over all
    levels (Holm). A level of fewer than 10 patients is suppressed. Where refits are too few to name
    patients beyond the limit, those named beyond guessing are counted.

    Args:
        evidence: Scores of an attack that reads pairs.
        groups: Grouping -> labels of the members' and of the non-members' records.
        patients: Ids of the same records. A patient is of the level of their first record.
        confidence: Of the intervals.
    """
    from scipy.stats import fisher_exact

    assert evidence.pairs is not None, "the attack reads no pairs"
    read = _Read(evidence.pairs)
    if read.lacking(CHANCE) is not None:
        return ()
    metric, limit = (
        (BEYOND, AT_RISK_BEYOND) if read.lacking(AT_RISK_BEYOND) is None else (NAMED, CHANCE)
    )
    named = read.named(limit)
    ids, at = np.unique(np.concatenate(patients), return_index=True)
    named = named[np.searchsorted(read.pairs.patients, ids)]
    made: list[tuple[GroupResult, float | None]] = []
    for by, labels in groups.items():
        level_of = np.concatenate(labels).astype(str)[at]
        for level in np.unique(level_of):
            own = level_of == level
            size, hits = int(own.sum()), int(named[own].sum())
            rest, others = len(own) - size, int(named.sum()) - hits
            if size < MIN_CELL:
                made.append((GroupResult(by, str(level), (), suppressed=True), None))
                continue
            share = hits / size
            low, high = wilson(share, size, confidence)
            bound = Bound(BoundMethod.FALSE_DISCOVERY)
            known = Estimate(metric, share, low, high, 0.0, {"patients": size}, confidence, bound)
            table = [[hits, size - hits], [others, rest - others]]
            p = float(fisher_exact(table, "greater")[1]) if rest else 1.0
            made.append((GroupResult(by, str(level), (known,)), p))
    return _holm(made)


def _holm(made: list[tuple[GroupResult, float | None]]) -> tuple[GroupResult, ...]:
    tested = sorted((p, place) for place, (_, p) in enumerate(made) if p is not None)
    adjusted: dict[int, float] = {}
    last = 0.0
    for step, (p, place) in enumerate(tested):
        last = max(last, min(1.0, p * (len(tested) - step)))
        adjusted[place] = last
    return tuple(
        replace(group, p_adjusted=adjusted.get(place)) for place, (group, _) in enumerate(made)
    )


def list_patients(
    evidence: Scores, patients: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    """Every audit patient with what was found, for `restricted/`: columns of equal length.

    told_apart, pairs: in how many pairs, of how many; adjusted: p-value of "by guessing", adjusted
    for false discovery; beyond: the same of "in no more than the limit". in_training: whether the
    released model was trained on the patient; named: whether its own answers name them.
    """
    assert evidence.pairs is not None, "the attack reads no pairs"
    read = _Read(evidence.pairs)
    ids, wins = read.pairs.patients, read.wins
    named, members = name_members(evidence, patients)
    by_guessing, beyond = (
        false_discovery(wins.p_values(limit)) for limit in (CHANCE, AT_RISK_BEYOND)
    )
    return {
        "patient": ids,
        "told_apart": wins.apart,
        "pairs": np.full(len(ids), wins.pairs),
        "adjusted": by_guessing,
        "beyond": beyond,
        "in_training": np.isin(ids, patients[0]),
        "named": np.isin(ids, members[named]),
    }


__all__ = [
    "AT_RISK",
    "draw_at_risk",
    "list_patients",
    "over_represented",
    "patients_at_risk",
    "risk_curve",
]
