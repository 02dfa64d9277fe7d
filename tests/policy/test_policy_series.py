"""Few people give no verdict, and attacks that never read series clear no model that does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from policy_lab import DAY, audit, leave_out, member, number, policy, subject, tried

from privaudit.facts import Caveat, CaveatCode, ReasonCode
from privaudit.policy import judge
from privaudit.policy.rules import Guard, LeftOut, Limit
from privaudit.report.wording.verdicts import word_reason, word_remedy
from privaudit.results import Audit, Finding, Pool
from privaudit.verdicts import Verdicts

AUC = Limit("auc", "membership.auc", 0.6)
INVERTED = Limit("inverted", "inversion.advantage", 0.1)
STATED = Caveat(CaveatCode.FEW_PEOPLE, "warning", {"least": 20})


def ruled(made: Audit, *rules: Limit | Guard, **more: object) -> Verdicts:
    return judge(policy(*rules, **more), made, today=DAY)


def people(made: Audit, members: int, nonmembers: int) -> Audit:
    pools = (Pool("members", members, 140, {}), Pool("nonmembers", nonmembers, 140, {}))
    return replace(made, data=replace(made.data, pools=pools))


LOW, HIGH = number("auc", 0.45, 0.40, 0.50), number("auc", 0.9, 0.85, 0.95)


@pytest.mark.parametrize("value", [LOW, HIGH])
def test_ten_people_give_no_verdict_on_membership(value: object) -> None:
    """However sure an interval over their windows looks, in either direction."""
    made = audit(subject(outcomes=[member("lira", value)]))  # type: ignore[arg-type]
    for few in (people(made, 5, 5), people(made, 400, 19), replace(made, caveats=(STATED,))):
        found = ruled(few, AUC)
        (one,) = [v for v in found.verdicts if v.rule == "auc"]
        assert (one.state, one.reason.code) == ("INCONCLUSIVE", ReasonCode.FEW_PEOPLE)
        assert (found.state, found.code) == ("INCONCLUSIVE", 3)
        assert "20 patients" in word_reason(one)
        assert "20 patients" in word_remedy(one)
    enough = {"WITHIN": 0, "EXCEEDS": 1}
    state = "WITHIN" if value is LOW else "EXCEEDS"
    assert ruled(people(made, 20, 20), AUC).code == enough[state]


def test_a_document_that_hides_its_small_pools_still_says_that_they_are_small() -> None:
    made = audit(subject(outcomes=[member("lira", LOW)]))
    hidden = replace(made, data=replace(made.data, pools=()), caveats=(STATED,))
    assert ruled(hidden, AUC).code == 3


def test_few_people_pass_no_guard_and_what_was_taken_from_a_release_stays_found() -> None:
    leaks = tried("model_inversion", "inversion", {"half": (0.6, 0.02)})
    made = people(audit(subject(outcomes=[member("lira", LOW), leaks])), 5, 5)
    found = ruled(made, AUC, INVERTED, Guard("useful", "utility.auroc", min=0.7))
    states = {v.rule: v.state for v in found.verdicts}
    assert states == {"auc": "INCONCLUSIVE", "inverted": "EXCEEDS", "useful": "INCONCLUSIVE"}


def blind(gap: float) -> Finding:
    found = tried("model_inversion", "inversion", {"half": (gap, 0.02)})
    return replace(found, caveats=(Caveat(CaveatCode.SERIES_NOT_READ),))


def test_what_looked_at_columns_alone_clears_no_model_that_reads_series() -> None:
    made = audit(subject(outcomes=[member(), blind(0.0)]))
    found = ruled(made, AUC, INVERTED)
    (one,) = [v for v in found.verdicts if v.rule == "inverted"]
    assert (one.state, one.reason.code) == ("NOT TESTED", ReasonCode.SERIES_NOT_READ)
    assert (found.code, "series" in word_reason(one)) == (3, True)
    # The same numbers of a model that reads no series are evidence.
    seen = replace(blind(0.0), caveats=())
    assert ruled(audit(subject(outcomes=[member(), seen])), AUC, INVERTED).code == 0
    # What it finds is found all the same.
    assert ruled(audit(subject(outcomes=[member(), blind(0.6)])), AUC, INVERTED).code == 1


def test_a_class_of_attack_is_untested_where_nothing_read_the_series() -> None:
    made = audit(subject(outcomes=[member(), blind(0.0)]))
    left = tuple(one for one in leave_out([AUC]) if one.family != "inversion")
    found = ruled(made, AUC, left_out=left)
    (gap,) = [v for v in found.verdicts if v.kind == "coverage"]
    assert (gap.metric, gap.state, gap.reason.code) == (
        "inversion",
        "NOT TESTED",
        ReasonCode.SERIES_NOT_READ,
    )
    assert gap.reason.params["attacks"] == ("model_inversion",)
    assert found.code == 3
    named = (*left, LeftOut("inversion", "no attack reads series", ("model_inversion",)))
    assert ruled(made, AUC, left_out=named).code == 0
