"""Guards and regressions on what is stated class by class: every one must hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from policy_lab import DAY, audit, group, member, number, policy, subject

from privaudit.facts import Metric, Reason, ReasonCode, Setting
from privaudit.policy import judge
from privaudit.policy.baseline import numbers
from privaudit.policy.metrics import METRICS, group_readings, readings
from privaudit.policy.rules import Guard
from privaudit.report.wording.verdicts import word_finding, word_numbers
from privaudit.results import Estimate
from privaudit.verdicts import Verdict

INTERCEPT = "calibration_intercept"
GUARD = Guard("shift", f"utility.{INTERCEPT}", max=0.2)


def part(value: float | None, name: str, kind: str = "outcome") -> Estimate:
    metric = Metric(INTERCEPT, at=Setting(kind, name))
    if value is None:
        reason = Reason(ReasonCode.TOO_FEW_WITH_OUTCOME, {"least": 10, "group": False})
        return Estimate(metric, None, chance=0.0, refusal=reason)
    return number(metric, value, value - 0.05, value + 0.05, chance=0.0)


def guarded(*utility: Estimate, guard: Guard = GUARD, **more: object) -> Verdict:
    made = audit(subject(outcomes=[member()], utility=utility, **more))
    found = judge(policy(guard), made, today=DAY)
    return next(v for v in found.verdicts if v.rule == guard.id)


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ((0.0, 0.0, 0.0), "WITHIN"),
        ((0.0, 0.5, 0.0), "EXCEEDS"),
        ((0.5, 0.0, 0.0), "EXCEEDS"),
        ((0.0, 0.0, 0.2), "INCONCLUSIVE"),
        # A class of too few patients is not a class that keeps to the limit.
        ((0.0, 0.0, None), "INCONCLUSIVE"),
        ((None, 0.5, None), "EXCEEDS"),
    ],
)
def test_every_class_must_hold(values: tuple[float | None, ...], state: str) -> None:
    found = guarded(*(part(v, name) for v, name in zip(values, "abc", strict=True)))
    assert found.state == state


def test_the_worst_class_is_named() -> None:
    found = guarded(part(0.0, "under 1"), part(0.5, "3 to 7", "cut"), part(0.0, "7 or more", "cut"))
    assert found.setting == Setting("cut", "3 to 7")
    assert "at or above “3 to 7”" in word_finding(found)
    assert word_numbers(found).startswith("at or above “3 to 7”: 0.5")


def test_a_number_that_nobody_measured_is_not_within() -> None:
    found = guarded(number("auroc", 0.8))
    assert (found.state, found.reason.code) == ("NOT TESTED", ReasonCode.NUMBER_ABSENT)
    kappa = Guard("kappa", "utility.kappa_linear", min=0.1)
    assert guarded(number("auroc", 0.8), guard=kappa).state == "NOT TESTED"


def test_every_class_of_a_group_must_hold() -> None:
    by = replace(GUARD, by=("sex",))
    parts = (
        group("F", part(0.0, "a"), part(0.5, "b")),
        group("M", part(0.0, "a"), part(0.0, "b")),
        group("X", suppressed=True),
        group("Y", number("brier", 0.2)),
    )
    made = audit(
        subject(outcomes=[member()], utility=(part(0.0, "a"), part(0.0, "b")), utility_groups=parts)
    )
    found = judge(policy(by), made, today=DAY).verdicts
    states = {v.group.level: v.state for v in found if v.rule == "shift" and v.group is not None}
    assert states == {"F": "EXCEEDS", "M": "WITHIN", "X": "NOT TESTED", "Y": "NOT TESTED"}
    known = METRICS[f"utility.{INTERCEPT}"]
    assert len(group_readings(known, made.subjects[0], "sex")) == 6


def test_a_baseline_holds_every_class() -> None:
    made = audit(subject(utility=(part(0.0, "a"), part(0.1, "b"), part(None, "c"))))
    held = [n.metric for n in numbers(made) if n.metric.name == INTERCEPT]
    assert [metric.at.value for metric in held if metric.at] == ["a", "b"]
    found = readings(METRICS[f"utility.{INTERCEPT}"], made.subjects[0])
    assert [one.estimate.value for one in found if one.estimate] == [0.0, 0.1, None]


@pytest.mark.parametrize(
    ("name", "value", "state"),
    [
        ("kappa_linear", 0.6, "WITHIN"),
        ("kappa_linear", 0.2, "EXCEEDS"),
        ("kappa_linear", -0.2, "EXCEEDS"),
        ("concordance", 0.8, "WITHIN"),
        ("concordance", 0.3, "EXCEEDS"),
    ],
)
def test_ordinal_measures_are_guarded(name: str, value: float, state: str) -> None:
    found = guarded(
        number(name, value, value - 0.05, value + 0.05, chance=0.0),
        guard=Guard("order", f"utility.{name}", min=0.4),
    )
    assert found.state == state


def test_a_mean_miss_has_a_greatest() -> None:
    for value, state in ((0.5, "WITHIN"), (1.5, "EXCEEDS"), (1.0, "INCONCLUSIVE")):
        found = guarded(
            number("mean_miss", value, value - 0.1, value + 0.1, chance=1.2),
            guard=Guard("miss", "utility.mean_miss", max=1.0),
        )
        assert found.state == state
