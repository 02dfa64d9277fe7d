"""The limit on the share of patients at risk: decided by its own bounds, not for want of power."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from policy_lab import DAY, audit, member, number, policy, subject

from privaudit.contracts import Pairs, Scores
from privaudit.disclosure.coarsen import coarsen
from privaudit.facts import ReasonCode
from privaudit.policy import judge
from privaudit.policy.rules import Limit
from privaudit.results import Estimate
from privaudit.stats import onesided, patients_at_risk

LIMIT = "membership.patients_at_risk"


def estimates(share: float, refits: int, n: int = 2000, seed: int = 0) -> tuple[Estimate, ...]:
    """What an audit of so many refits states where this share of patients is told apart."""
    rng = np.random.default_rng(seed)
    chance = np.where(np.arange(n) < share * n, 0.97, 0.5)
    first = rng.random((refits // 2, n)) < 0.5
    won = rng.random(first.shape) < chance
    moved = np.where(won == first, 1.0, -1.0)[None]
    pairs = Pairs(np.arange(n), first, moved, np.zeros(moved.shape, dtype=bool))
    given = Scores(rng.normal(size=n // 2), rng.normal(size=n // 2), pairs=pairs)
    people = np.arange(0, n, 2), np.arange(1, n, 2)
    return patients_at_risk(given, patients=people, confidence=0.95, rng=rng)


def decide(
    found: tuple[Estimate, ...], limit: float, attack: str = "patient_risk"
) -> tuple[str, ReasonCode]:
    """The verdict, which rounding for the shared document leaves as it is."""
    exact = audit(subject(outcomes=[member(attack, number("auc", 0.5), *found)]))
    states = set()
    for document in (exact, coarsen(exact)):
        verdicts = judge(policy(Limit("one", LIMIT, limit)), document, today=DAY)
        (one,) = [v for v in verdicts.verdicts if v.rule == "one"]
        states.add((one.state, one.reason.code))
    (state,) = states
    return state


@pytest.mark.parametrize(
    ("share", "refits", "limit", "state"),
    [
        (0.0, 32, 0.1, "WITHIN"),
        (0.1, 32, 0.02, "EXCEEDS"),
        (0.1, 32, 0.1, "INCONCLUSIVE"),
        (0.0, 32, 0.001, "INCONCLUSIVE"),
    ],
)
def test_the_share_is_judged_by_its_own_bounds(
    share: float, refits: int, limit: float, state: str
) -> None:
    assert decide(estimates(share, refits), limit)[0] == state


@pytest.mark.parametrize("limit", [0.01, 0.2, 0.9])
def test_few_refits_are_never_within(limit: float) -> None:
    assert decide(estimates(0.0, 16), limit) == ("INCONCLUSIVE", ReasonCode.TOO_FEW_REFITS)


def test_an_audit_without_the_attack_is_not_within() -> None:
    state, _ = decide((), 0.9, attack="lira")
    assert state == "NOT TESTED"


def test_bounds_are_those_of_their_levels_and_never_drawn_from_the_value() -> None:
    """A share near 0 with its upper bound says nothing of an error: no stretching makes it less."""
    found = estimates(0.0, 32)[0]
    known = onesided.bounds(found)
    assert known is not None
    assert found.bound is not None
    assert found.high is not None
    stated = dict(found.bound.levels)
    assert known.upper(0.05) == stated[0.05]
    assert known.upper(0.04) == stated[0.025] == pytest.approx(found.high)
    assert known.upper(1e-5) is None
    assert [b for _, b in found.bound.levels] == sorted(b for _, b in found.bound.levels)


def test_a_limit_on_patients_at_risk_leaves_open_how_well_all_are_told_apart() -> None:
    found = member("patient_risk", number("auc", 0.7), *estimates(0.0, 32))
    exact = audit(subject(outcomes=[found]))
    alone = replace(policy(Limit("one", LIMIT, 0.1)), left_out=())
    judged = judge(alone, exact, today=DAY)
    assert [v.state for v in judged.verdicts if v.rule == "one"] == ["WITHIN"]
    gaps = [v for v in judged.verdicts if v.kind == "coverage" and v.metric == "membership"]
    assert ReasonCode.CLASS_NOT_LIMITED in [v.reason.code for v in gaps]
    assert judged.state == "INCONCLUSIVE"
    both = replace(alone, limits=(*alone.limits, Limit("two", "membership.auc", 0.9)))
    gaps = [v for v in judge(both, exact, today=DAY).verdicts if v.metric == "membership"]
    assert ReasonCode.CLASS_NOT_LIMITED not in [v.reason.code for v in gaps]


@pytest.mark.parametrize(("share", "state"), [(0.1, "EXCEEDS"), (0.0, "INCONCLUSIVE")])
def test_patients_at_risk_of_supplied_pools_exceed_and_are_never_within(
    share: float, state: str
) -> None:
    """The audit draws the halves itself, so that drift feigns nobody; that nobody is told apart may
    be for one person with two ids."""
    one = member("patient_risk", number("auc", 0.5), *estimates(share, 32))
    own = audit(subject(outcomes=[one]))
    supplied = replace(own, data=replace(own.data, random_split=False))
    verdicts = judge(policy(Limit("one", LIMIT, 0.02)), supplied, today=DAY)
    (found,) = [v for v in verdicts.verdicts if v.rule == "one"]
    assert found.state == state
