"""Property inference and model extraction: asked of nobody, limited where a policy says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from policy_lab import DAY, audit, member, policy, subject, tried

from privaudit.facts import ReasonCode, Setting
from privaudit.policy import judge
from privaudit.policy.rules import Limit
from privaudit.report.wording.verdicts import word_reason
from privaudit.results import Audit, Estimate, Finding
from privaudit.verdicts import Verdict

AUC = Limit("told apart", "membership.auc", max=0.6)
SHARE = Limit("make-up", "property.advantage", max=0.2)
COPY = Limit("copy", "extraction.advantage", max=0.2)
SEX = Setting("column", "sex")


def of_coin(finding: Finding) -> Finding:
    """The same with the guess that a coin makes, and attempts that are no patient's."""
    half = Estimate(
        replace(finding.estimates[0].metric, name="guess_rate"),
        0.5,
        0.3,
        0.7,
        0.5,
        {"attempts": 16},
    )
    own = tuple(replace(e, n={"attempts": 16}) for e in finding.estimates)
    return replace(finding, estimates=(*own, half))


def judged(made: Audit, *rules: Limit, **how: object) -> dict[str, Verdict]:
    found = judge(policy(AUC, *rules, **how), made, today=DAY)  # type: ignore[arg-type]
    return {one.rule: one for one in found.verdicts}


def test_neither_class_is_asked_for_where_no_rule_is_about_it() -> None:
    found = judged(audit(subject(outcomes=[member()])))
    assert not any("property" in name or "extraction" in name for name in found)


@pytest.mark.parametrize("rule", [SHARE, COPY])
def test_a_limit_that_nobody_tested_is_not_tested(rule: Limit) -> None:
    found = judged(audit(subject(outcomes=[member()])), rule)[rule.id]
    assert (found.state, found.reason.code) == ("NOT TESTED", ReasonCode.NO_ATTACK_RUN)


def test_a_share_that_is_told_exceeds_a_limit() -> None:
    told = of_coin(tried("property_inference", "property", {SEX: (0.45, 0.05)}, 16))
    found = judged(audit(subject(outcomes=[member(), told])), SHARE)["make-up"]
    assert found.state == "EXCEEDS"


@pytest.mark.parametrize("controls", ["required", "optional"])
def test_a_share_that_is_not_told_is_never_within(controls: str) -> None:
    untold = of_coin(tried("property_inference", "property", {SEX: (0.0, 0.01)}, 16))
    made = audit(subject(outcomes=[member(), untold]))
    rules = policy(AUC, SHARE)
    rules = replace(rules, statistics=replace(rules.statistics, positive_control=controls))
    found = {one.rule: one for one in judge(rules, made, today=DAY).verdicts}["make-up"]
    assert (found.state, found.reason.code) == (
        "INCONCLUSIVE",
        ReasonCode.SMALLER_TRAINING_SETS,
    )
    assert "far fewer patients" in word_reason(found)


def test_a_copy_is_judged_by_what_the_answers_add() -> None:
    budget = Setting("budget", 400.0, "queries")
    for gap, state in ((0.4, "EXCEEDS"), (0.02, "WITHIN")):
        taken = tried("model_extraction", "extraction", {budget: (gap, 0.03)})
        found = judged(audit(subject(outcomes=[member(), taken])), COPY)["copy"]
        assert found.state == state
