"""Properties of the rule over random audits, and of one-sided bounds over random estimates."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_lab import DAY, POOL, TPR, audit, controls, member, number, policy, subject

from privaudit.facts import Caveat, CaveatCode, Metric, Reason, ReasonCode, Setting
from privaudit.policy import judge
from privaudit.policy.rules import Limit
from privaudit.results import Estimate, Finding
from privaudit.stats import onesided
from privaudit.verdicts import Verdict

AUC = Limit("auc", "membership.auc", 0.6)
AREA = Metric("auc")


@st.composite
def numbers(draw: Any, name: str = "auc") -> Estimate:
    value = draw(st.floats(0, 1))
    low = draw(st.floats(0, 1)) * value
    high = value + draw(st.floats(0, 1)) * (1 - value)
    n = draw(st.integers(10, 5000))
    return number(name, value, low, high, n={"member_patients": n, "nonmember_patients": n})


@st.composite
def findings(draw: Any) -> list[Finding]:
    found = draw(st.lists(numbers(), min_size=1, max_size=6))
    return [member(f"a{i}", one) for i, one in enumerate(found)]


def one(outcomes: list[Finding], limit: Limit = AUC) -> Verdict:
    return judge(policy(limit), audit(subject(outcomes=outcomes)), today=DAY).verdicts[0]


RANK = {"WITHIN": 0, "INCONCLUSIVE": 1, "EXCEEDS": 2}


@settings(max_examples=60, deadline=None)
@given(findings(), st.floats(0, 1), st.floats(0, 1))
def test_a_wider_limit_is_never_judged_worse(found: list[Finding], a: float, b: float) -> None:
    few, many = sorted((a, b))
    strict, wide = one(found, replace(AUC, max=few)), one(found, replace(AUC, max=many))
    assert RANK[wide.state] <= RANK[strict.state]


@settings(max_examples=60, deadline=None)
@given(findings())
def test_the_word_agrees_with_the_bounds(found: list[Finding]) -> None:
    made = one(found)
    if made.state == "WITHIN":
        assert made.upper is not None
        assert made.upper <= 0.6
    if made.state == "EXCEEDS":
        assert made.lower is not None
        assert made.lower > 0.6 - 1e-9


@settings(max_examples=60, deadline=None)
@given(findings(), numbers())
def test_one_more_attack_never_helps_to_pass(found: list[Finding], more: Estimate) -> None:
    before, after = one(found), one([*found, member("more", more)])
    assert RANK[after.state] >= (1 if before.state != "WITHIN" else 0)


@settings(max_examples=40, deadline=None)
@given(findings(), st.randoms())
def test_the_order_of_attacks_and_subjects_changes_nothing(found: list[Finding], rng: Any) -> None:
    mixed = list(found)
    rng.shuffle(mixed)
    assert one(found).state == one(mixed).state
    a, b = subject("a", outcomes=found), subject("b")
    there = judge(policy(), audit(a, b), today=DAY)
    back = judge(policy(), audit(b, a), today=DAY)
    assert {(v.subject, v.state, v.lower) for v in there.verdicts} == {
        (v.subject, v.state, v.lower) for v in back.verdicts
    }
    assert (there.state, there.code) == (back.state, back.code)


@settings(max_examples=60, deadline=None)
@given(findings())
def test_never_within_without_power(found: list[Finding]) -> None:
    checks = [c for f in found for c in controls(f.attack, positive=False)]
    made = judge(policy(), audit(subject(outcomes=found, checks=checks)), today=DAY)
    assert made.verdicts[0].state != "WITHIN"


PPV = Metric("ppv", fpr=0.01, prior=0.01)
METRICS = (
    Metric("auc"),
    TPR,
    PPV,
    Metric("attack_rate", at=Setting("column", "x")),
    Metric("attack_minus_guess"),
    Metric("brier"),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(METRICS), numbers(), st.floats(0.001, 0.45), st.floats(0.001, 0.45))
def test_bounds_are_ordered_and_nested(metric: Metric, drawn: Estimate, a: float, b: float) -> None:
    if metric == PPV:
        drawn = replace(drawn, value=0.2, low=0.1, high=0.4)
    known = onesided.bounds(replace(drawn, metric=metric))
    assert known is not None
    assert drawn.value is not None
    strict, loose = sorted((a, b))
    value = 0.2 if metric == PPV else drawn.value
    for level in (strict, loose):
        low, high = known.lower(level), known.upper(level)
        assert low is None or low <= value + 1e-9
        assert high is None or high >= value - 1e-9
    pairs = (known.lower(strict), known.lower(loose)), (known.upper(loose), known.upper(strict))
    for less, more in pairs:
        assert less is None or more is None or less <= more + 1e-9


@settings(max_examples=100, deadline=None)
@given(numbers(), st.floats(0.01, 0.99), st.floats(0.002, 0.4))
def test_p_values_agree_with_bounds(drawn: Estimate, limit: float, level: float) -> None:
    known = onesided.bounds(drawn)
    assert known is not None
    p = known.above(limit)
    low = known.lower(level)
    if abs(p - level) > 1e-6:
        assert (low is not None and low > limit) == (p < level)


def test_a_stored_interval_comes_back_at_its_own_level() -> None:
    for metric, value, low, high in (
        (AREA, 0.7, 0.66, 0.73),
        (TPR, 0.02, 0.008, 0.035),
        (PPV, 0.05, 0.03, 0.09),
        (Metric("attack_minus_control"), -0.01, -0.05, 0.02),
        (Metric("log_loss"), 1.4, 1.1, 1.9),
        (Metric("attack_rate"), 0.0, 0.0, 0.05),
        (AREA, 1.0, 0.97, 1.0),
    ):
        known = onesided.bounds(Estimate(metric, value, low, high, n=POOL))
        assert known is not None
        assert known.upper(0.025) == pytest.approx(high, abs=1e-9)
        if metric in (TPR, PPV):
            # Its threshold is estimated from few: the lower bound is taken lower.
            assert known.lower(0.025) < low  # type: ignore[operator]
        else:
            assert known.lower(0.025) == pytest.approx(low, abs=1e-9)


def test_wilson_at_another_level_is_wilsons() -> None:
    """Halves of Wilson's interval stretched to another level are those of Wilson's interval at
    it."""
    from privaudit.stats.rates import wilson

    for right, n in ((0, 50), (7, 200), (150, 300), (50, 50)):
        share = right / n
        known = onesided.bounds(
            Estimate(Metric("attack_rate"), share, *wilson(share, n, 0.95), n={"patients": 10**6})
        )
        assert known is not None
        for level in (0.05, 0.01, 0.001):
            low, high = wilson(share, n, 1 - 2 * level)
            # Wider by a little at levels below the stored one, where proportion is taken.
            assert low - 0.012 <= known.lower(level) <= low + 1e-9  # type: ignore[operator]
            assert high - 1e-9 <= known.upper(level) <= high + 0.012  # type: ignore[operator]


def test_no_interval_no_bounds() -> None:
    assert onesided.bounds(Estimate(AREA, None)) is None
    assert onesided.bounds(Estimate(AREA, 0.5)) is None
    flat = onesided.bounds(Estimate(AREA, 0.5, 0.5, 0.5))
    assert flat is not None
    assert (flat.lower(0.05), flat.upper(0.05)) == (None, None)


def test_proofs_are_restated_from_their_guesses() -> None:
    from privaudit.contracts import Scores
    from privaudit.stats.epsilon import lower_bounds

    rng = np.random.default_rng(4)
    ids = np.arange(400), np.arange(400, 800)
    scores = Scores(rng.normal(2, 1, 400), rng.normal(0, 1, 400), True)
    for delta in (0.0, 1e-5):
        for found in lower_bounds(scores, patients=ids, delta=delta, rng=rng):
            assert onesided.restated(found, 0.05) == found.value
            strict = onesided.restated(found, 0.01)
            assert strict is not None
            assert found.value is not None
            assert 0 < strict < found.value
            redone = lower_bounds(scores, patients=ids, delta=delta, confidence=0.99, rng=rng)
            best = next(e for e in redone if e.metric == found.metric).value
            assert best is not None
            # The best number of guesses at the new level proves at least as much.
            assert strict <= best + 1e-6
    bare = Estimate(Metric("epsilon_lower_bound"), 2.0, 2.0)
    assert onesided.restated(bare, 0.01) is None


def test_the_floor_is_where_the_design_measured_it() -> None:
    """1.7 to 2.1 times chance at 1 %, 4.6 to 6.9 times at 0.1 %, with 3,236 a side."""
    for fpr, low, high in ((0.01, 1.5, 2.1), (0.001, 2.3, 6.9)):
        least = onesided.floor(Metric("tpr", fpr=fpr), fpr, (3236, 3236), 0.05)
        assert least is not None
        assert low <= least / fpr <= high
    area = onesided.floor(AREA, 0.5, (3236, 3236), 0.05)
    assert area is not None
    assert 0.51 < area < 0.53
    assert onesided.floor(AREA, 0.5, (1, 3236), 0.05) is None
    assert onesided.floor(Metric("attack_rate"), 0.5, (100, 100), 0.05) is None


def test_pools_that_differ_in_other_ways_decide_nothing_about_membership() -> None:
    leaking = member("lira", number("auc", 0.9))
    fair, unfair = audit(subject(outcomes=(leaking,))), audit(subject(outcomes=(leaking,)))
    params = {"auc": 0.9, "low": 0.8, "high": 0.95, "confidence": 0.95, "columns": ("age",)}
    shift = Caveat(CaveatCode.DISTRIBUTION_SHIFT, "warning", params)
    unfair = replace(unfair, data=replace(unfair.data, distribution_shift=shift))
    rules = policy(Limit("ranking", "membership.auc", max=0.6))
    assert judge(rules, fair, today=DAY).state == "EXCEEDS"
    judged = judge(rules, unfair, today=DAY)
    assert judged.state == "INCONCLUSIVE"
    assert judged.code == 3
    assert judged.verdicts[0].reason == Reason(ReasonCode.DISTRIBUTION_SHIFTED)
