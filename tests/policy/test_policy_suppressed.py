"""A number that disclosure control withheld is never within a limit, whatever it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
from policy_lab import DAY, audit, group, member, number, policy, subject, tried

from privaudit.disclosure import disclose
from privaudit.facts import ReasonCode, Setting
from privaudit.policy import judge
from privaudit.policy.rules import Guard, Limit
from privaudit.report.wording.verdicts import word_reason
from privaudit.results import Audit, Cell, Finding

BUDGET = Setting("budget", 0.1, "sd")


def real(made: Audit, deaths: int, women: int = 800, deaths_of_women: int = 3) -> Audit:
    """The audit as one of real patients, of whom so many non-members have the outcome."""
    cells = []
    for pool, hit in (("members", 400), ("nonmembers", deaths), ("reference", 100)):
        cells += count(pool, "", "", 1600, hit)
    for pool, hit in (("members", 200), ("nonmembers", deaths_of_women)):
        cells += count(pool, "sex", "F", women, hit)
        rest = (400 if pool == "members" else deaths) - hit
        cells += count(pool, "sex", "M", 1600 - women, rest)
    return replace(made, data=replace(made.data, real=True, cells=tuple(cells)))


def count(pool: str, by: str, level: str, size: int, hit: int) -> list[Cell]:
    sizes = {"": size, "no": size - hit, "yes": hit}
    return [Cell(pool, by, level, outcome, n, n) for outcome, n in sizes.items()]


def states(made: Audit, *rules: Limit | Guard) -> set[str]:
    found = judge(policy(*rules), made, today=DAY)
    own = {v.state for v in found.verdicts if v.kind != "coverage"}
    assert ("WITHIN" in own) == (found.state == "WITHIN") == (found.code == 0)
    return own


@pytest.mark.parametrize(
    "rule",
    [
        Guard("useful", "utility.auroc", min=0.7),
        Guard("errs", "utility.brier", max=0.3),
        Limit("changed", "evasion.rate", 0.9),
    ],
)
def test_where_few_have_the_outcome_nothing_that_follows_from_it_is_within(
    rule: Limit | Guard,
) -> None:
    utility = (number("auroc", 0.8, 0.77, 0.83), number("brier", 0.1, 0.09, 0.11, chance=0.2))
    shaken = tried("square", "evasion", {BUDGET: (0.05, 0.01)})
    made = audit(subject(outcomes=(shaken,), utility=utility))
    assert states(disclose(real(made, deaths=100)), rule) == {"WITHIN"}
    assert states(disclose(real(made, deaths=7)), rule) == {"INCONCLUSIVE"}
    few = judge(policy(rule), disclose(real(made, deaths=7)), today=DAY).verdicts
    (one,) = [v for v in few if v.kind != "coverage"]
    assert one.reason.code == ReasonCode.SMALL_CELL
    assert word_reason(one) == "It would reveal a count of fewer than 10 patients."


def test_a_group_whose_outcomes_are_withheld_is_not_within() -> None:
    n = {"patients": 800}
    groups = tuple(group(sex, number("auroc", 0.8, 0.77, 0.83, n=n)) for sex in "FM")
    made = audit(subject(utility_groups=groups))
    rule = Guard("fair", "utility.auroc", min=0.7, by=("sex",))
    open_ = disclose(real(made, deaths=100, deaths_of_women=50))
    assert states(open_, rule) == {"WITHIN"}
    hidden = judge(policy(rule), disclose(real(made, deaths=100)), today=DAY)
    by_group = {v.group.level: v.state for v in hidden.verdicts if v.group is not None}
    assert by_group == {"F": "INCONCLUSIVE", "M": "INCONCLUSIVE"}
    assert hidden.state == "INCONCLUSIVE"
    assert hidden.code == 3


def test_a_group_that_is_hidden_for_another_is_not_within() -> None:
    n = {"member_patients": 800, "nonmember_patients": 800}
    groups = tuple(group(sex, number("auc", 0.5, 0.49, 0.51, n=n)) for sex in "FM")
    made = audit(subject(outcomes=(member(groups=groups),)))
    rule = Limit("named", "membership.auc", 0.6, by=("sex",))
    assert states(disclose(real(made, deaths=100, deaths_of_women=50)), rule) == {"WITHIN"}
    few = disclose(real(made, deaths=100, women=6))
    by_group = {
        v.group.level: v.state
        for v in judge(policy(rule), few, today=DAY).verdicts
        if v.group is not None
    }
    assert by_group
    assert set(by_group.values()) <= {"INCONCLUSIVE", "NOT TESTED"}
    assert judge(policy(rule), few, today=DAY).code == 3


def test_a_rare_value_that_anybody_would_not_guess_is_not_within() -> None:
    column = Setting("column", "dialysis")
    found = tried("attribute", "attribute", {column: (0.0, 0.01)}, n=400)
    guess = number("guess_rate", 0.99, 0.98, 1.0, n={"attempts": 400, "patients": 400})
    guess = replace(guess, metric=replace(guess.metric, at=column))
    finding = replace(found, estimates=(*found.estimates, guess))
    rule = Limit("inferred", "attribute.over_guess", 0.05)
    plain = disclose(real(audit(subject(outcomes=(found,))), deaths=100))
    assert states(plain, rule) == {"WITHIN"}
    rare = disclose(real(audit(subject(outcomes=(finding,))), deaths=100))
    assert states(rare, rule) == {"INCONCLUSIVE"}


@pytest.mark.parametrize(
    ("exact", "near", "control", "state"),
    [
        (0, 0, 0, "WITHIN"),
        (3, 60, 0, "INCONCLUSIVE"),
        (0, 9, 0, "INCONCLUSIVE"),
        (30, 33, 0, "INCONCLUSIVE"),
        (30, 30, 4, "INCONCLUSIVE"),
        (30, 60, 30, "WITHIN"),
    ],
)
def test_fewer_than_ten_copied_patients_are_withheld_and_not_within(
    exact: int, near: int, control: int, state: str
) -> None:
    n = {"attempts": 600, "patients": 600}
    found = []
    for name, count in (("exact duplicates", exact), ("near-duplicates", near)):
        at = Setting("variant", name)
        for metric, value in (("attack_rate", count / 600), ("control_rate", control / 600)):
            one = number(metric, value, max(0.0, value - 0.02), value + 0.02, n=n)
            chance = control / 600
            found.append(replace(one, metric=replace(one.metric, at=at), chance=chance))
    copies = replace(tried("copies", "synthetic", {}), estimates=tuple(found))
    shown = disclose(real(audit(subject(outcomes=(copies,))), deaths=100))
    (outcome,) = shown.subjects[0].outcomes
    assert isinstance(outcome, Finding)
    stated = [(e.metric.at, e.value, e.chance) for e in outcome.estimates]
    small = [one for one in stated if one[1] is not None and 0 < one[1] * 600 < 9.5]
    assert not small
    assert states(shown, Limit("copied", "synthetic.rate", 0.5)) == {state}
    if control in range(1, 10):
        assert {chance for *_, chance in stated} == {None}
