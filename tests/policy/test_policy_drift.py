"""Verdicts where nobody assigned membership at random: drift feigns no leak, and hides none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from policy_lab import DAY, TPR, audit, controls, group, member, number, policy, subject

from privaudit.facts import Caveat, CaveatCode, ReasonCode
from privaudit.policy import judge
from privaudit.policy.rules import Limit
from privaudit.results import Audit, Control, Estimate, Finding
from privaudit.verdicts import Verdict, Verdicts

AUC = Limit("auc", "membership.auc", 0.6)
SHIFT = Caveat(
    CaveatCode.DISTRIBUTION_SHIFT,
    params={"auc": 0.57, "low": 0.55, "high": 0.59, "confidence": 0.999, "columns": ("age",)},
)


def auc(value: float, half: float = 0.01) -> Estimate:
    return number("auc", value, value - half, value + half)


def found(raw: float, null: float | None, half: float = 0.01, **more: object) -> Finding:
    """An attack's AUC, and what it reads of the null."""
    if null is None:
        return member("lira", auc(raw, half))
    corrected = auc(0.5 + raw - null, half)
    return replace(
        member("lira", auc(raw, half)), null=(auc(null),), corrected=(corrected,), **more
    )


def supplied(one: Finding, null: float = 0.5, shift: Caveat | None = None) -> Audit:
    """An audit of a supplied split, whose null reads so."""
    made = Caveat(CaveatCode.NULL_FOLDS, "note")
    covers = abs(null - 0.5) <= 0.01
    positive, _ = controls("lira")
    negative = Control("negative", "lira", (auc(null),), covers, made)
    whole = audit(subject("model", [one], [positive, negative]))
    return replace(whole, data=replace(whole.data, random_split=False, distribution_shift=shift))


def judged(made: Audit, limit: Limit = AUC) -> tuple[Verdict, Verdicts]:
    verdicts = judge(policy(limit), made, today=DAY)
    (one,) = [v for v in verdicts.verdicts if v.kind == "limit" and v.group is None]
    return one, verdicts


@pytest.mark.parametrize(
    ("raw", "null", "shift", "state", "code"),
    [
        # Without drift, corrected and raw agree.
        (0.52, 0.5, None, "WITHIN", ReasonCode.WITHIN_BOUND),
        (0.70, 0.5, None, "EXCEEDS", ReasonCode.EXCEEDS_BOUND),
        # Drift feigns a leak: above the limit as it is, nothing is left of it.
        (0.70, 0.7, None, "INCONCLUSIVE", ReasonCode.SCORE_DRIFTED),
        (0.70, 0.69, SHIFT, "INCONCLUSIVE", ReasonCode.DISTRIBUTION_SHIFTED),
        # A difference of .57 explains no attack of .93.
        (0.93, 0.57, SHIFT, "EXCEEDS", ReasonCode.EXCEEDS_BOUND),
        (0.93, 0.57, None, "EXCEEDS", ReasonCode.EXCEEDS_BOUND),
        # Drift hides a leak: below the limit as it is, above it once the drift is taken away.
        (0.55, 0.4, None, "EXCEEDS", ReasonCode.EXCEEDS_BOUND),
        (0.50, 0.42, None, "INCONCLUSIVE", ReasonCode.SCORE_DRIFTED),
        # Low as it is and corrected, but the pools differ: nothing is within a limit.
        (0.52, 0.5, SHIFT, "INCONCLUSIVE", ReasonCode.DISTRIBUTION_SHIFTED),
        (0.55, 0.53, None, "INCONCLUSIVE", ReasonCode.SCORE_DRIFTED),
    ],
)
def test_both_readings_decide(
    raw: float, null: float, shift: Caveat | None, state: str, code: ReasonCode
) -> None:
    verdict, whole = judged(supplied(found(raw, null), null, shift))
    assert (verdict.state, verdict.reason.code) == (state, code)
    # Drift is no fault of the audit.
    assert whole.code in (0, 1, 3)


def test_within_needs_both_bounds_below_the_limit() -> None:
    wide = replace(found(0.52, 0.5), corrected=(number("auc", 0.52, 0.42, 0.62),))
    assert judged(supplied(wide))[0].state == "INCONCLUSIVE"
    wide = replace(found(0.52, 0.5), estimates=(number("auc", 0.52, 0.42, 0.62),))
    assert judged(supplied(wide))[0].state == "INCONCLUSIVE"


@pytest.mark.parametrize("raw", [0.5, 0.9])
def test_nothing_is_decided_where_no_null_was_compared(raw: float) -> None:
    verdict, _ = judged(supplied(found(raw, None)))
    assert verdict.state == "INCONCLUSIVE"
    assert verdict.reason.code is ReasonCode.NULL_NOT_COMPARED
    # Where the audit tossed the coins, nothing needs to be compared.
    assert judged(audit(subject("model", [found(raw, None)])))[0].state != "INCONCLUSIVE"


def test_a_broken_harness_voids_all_the_same() -> None:
    made = supplied(found(0.93, 0.57))
    one = made.subjects[0]
    broken = Control("negative", "lira", (auc(0.6),), False, Caveat(CaveatCode.NULL_MODEL, "note"))
    made = replace(made, subjects=(replace(one, controls=(one.controls[0], broken)),))
    verdict, whole = judged(made)
    assert verdict.reason.code is ReasonCode.NEGATIVE_CONTROL_FAILED
    assert whole.code == 5


def test_groups_are_not_within_a_limit_under_drift() -> None:
    by = replace(AUC, by=("sex",))
    for null, state in ((0.5, "WITHIN"), (0.55, "INCONCLUSIVE")):
        one = found(0.52, null, groups=(group("F", auc(0.52)),))
        verdicts = judge(policy(by), supplied(one, null), today=DAY).verdicts
        assert [v.state for v in verdicts if v.group is not None] == [state]


def test_sure_nonmembers_that_hide_members_are_seen_at_the_rate_itself() -> None:
    """The AUC of the null covers one half, and yet its rate is surely below chance."""
    limit = Limit("tpr", "membership.tpr", 0.05, fpr=0.01)
    rate = number(TPR, 0.011, 0.007, 0.016)
    for low, high, state in ((0.006, 0.015, "WITHIN"), (0.0, 0.004, "INCONCLUSIVE")):
        null = number(TPR, (low + high) / 2, low, high)
        one = replace(found(0.5, 0.5), estimates=(rate,), corrected=(rate,), null=(null,))
        verdict, _ = judged(supplied(one), limit)
        assert verdict.state == state
    assert verdict.reason.code is ReasonCode.SCORE_DRIFTED


def test_an_attack_on_a_table_is_judged_as_before() -> None:
    one = replace(found(0.9, None), access=("TABLE",))
    assert judged(supplied(one))[0].state == "EXCEEDS"
