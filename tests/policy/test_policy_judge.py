"""The rule of verdicts, branch by branch."""

from dataclasses import replace
from datetime import date

import pytest
from policy_lab import (
    DAY,
    POOL,
    audit,
    controls,
    group,
    member,
    number,
    policy,
    subject,
    tried,
)
from policy_lab import (
    TPR as RATE,
)

from privaudit.contracts import Access
from privaudit.errors import PrivauditError
from privaudit.facts import (
    Caveat,
    CaveatCode,
    Group,
    Reason,
    ReasonCode,
    Setting,
)
from privaudit.policy import judge
from privaudit.policy.rules import Context, Exemption, Guard, LeftOut, Limit, Policy, Statistics
from privaudit.report.wording.verdicts import word_finding, word_notes, word_reason, word_remedy
from privaudit.results import (
    Audit,
    ClaimText,
    Failed,
    Fidelity,
    Finding,
    Skipped,
    Untrained,
)
from privaudit.verdicts import Verdict, Verdicts, from_json, to_json

AUC = Limit("auc", "membership.auc", 0.6)
TPR = Limit("tpr", "membership.tpr", 0.05, fpr=0.01)
FAILED = Reason(ReasonCode.FAILED, {"error": "a fault"})
STRICT = replace(AUC, attacks=("lira", "rmia"))


def ruled(made: Audit, rules: Policy | None = None) -> Verdicts:
    found = judge(rules or policy(), made, today=DAY)
    assert from_json(to_json(found)) == found
    return found


def only(found: Verdicts) -> Verdict:
    (one,) = found.verdicts
    return one


def auc(value: float, attack: str = "lira", half: float = 0.02) -> Finding:
    return member(attack, number("auc", value, value - half, value + half))


@pytest.mark.parametrize(
    ("value", "state", "code"),
    [(0.5, "WITHIN", 0), (0.7, "EXCEEDS", 1), (0.6, "INCONCLUSIVE", 3), (0.59, "INCONCLUSIVE", 3)],
)
def test_bounds_decide(value: float, state: str, code: int) -> None:
    found = ruled(audit(subject(outcomes=[auc(value)])))
    assert (only(found).state, found.state, found.code) == (state, state, code)
    one = only(found)
    assert one.lower is not None
    assert one.upper is not None
    assert one.lower < value < one.upper
    assert (one.state == "WITHIN") == (one.upper <= 0.6)
    assert (one.state == "EXCEEDS") == (one.lower > 0.6)
    assert one.reason.code in (
        ReasonCode.WITHIN_BOUND,
        ReasonCode.EXCEEDS_BOUND,
        ReasonCode.LIMIT_INSIDE_BOUNDS,
    )
    assert word_finding(one)
    assert word_reason(one)
    assert (word_remedy(one) == "") == (state == "WITHIN")


def test_the_sentence_is_in_natural_frequencies() -> None:
    finding = member("lira", number(RATE, 0.07, 0.058, 0.086))
    one = only(ruled(audit(subject(outcomes=[finding])), policy(replace(TPR, max=0.03))))
    assert word_finding(one) == (
        "The attack lira recognises about 7 in 100 training patients (95 % interval 5.8 to 8.6) "
        "at a false positive rate of 1 in 100; guessing would recognise 1 in 100; your policy "
        "allows 3 in 100."
    )
    assert "The attack LiRA recognises" in word_finding(one, {"lira": "LiRA"}.__getitem__)


def test_nothing_run_is_not_tested_and_counts_as_inconclusive() -> None:
    found = ruled(audit(subject(outcomes=[tried("attribute", "attribute", {"sex": (0, 0.1)})])))
    assert (only(found).state, found.state, found.code) == ("NOT TESTED", "NOT TESTED", 3)
    assert only(found).reason == Reason(ReasonCode.NO_ATTACK_RUN)
    assert "the family membership" in word_remedy(only(found))


def test_no_subject_shows_nothing() -> None:
    found = ruled(audit())
    assert (found.verdicts, found.state, found.code) == ((), "NOT TESTED", 3)


def test_one_subject_untested_is_not_hidden_by_another() -> None:
    blank = subject("blank", outcomes=[Failed("lira", "membership", FAILED)])
    blank = replace(blank, outcomes=())
    found = ruled(audit(subject(), blank))
    assert [v.state for v in found.verdicts] == ["WITHIN", "NOT TESTED"]
    assert (found.state, found.code) == ("INCONCLUSIVE", 3)


def test_a_missed_planted_leak_is_insufficient_power() -> None:
    weak = subject(checks=controls(positive=False))
    one = only(ruled(audit(weak)))
    assert one.state == "INCONCLUSIVE"
    assert one.reason == Reason(ReasonCode.LACKS_POWER, {"weak": ("lira",)})
    optional = policy(AUC, statistics=Statistics(positive_control="optional"))
    assert only(ruled(audit(weak), optional)).state == "WITHIN"


def test_a_weak_attack_may_still_find_a_leak() -> None:
    made = audit(subject(outcomes=[auc(0.7)], checks=controls(positive=False)))
    assert only(ruled(made)).state == "EXCEEDS"


def test_no_planted_leak_at_all_is_told() -> None:
    one = only(ruled(audit(subject(checks=()))))
    assert one.state == "INCONCLUSIVE"
    assert one.reason == Reason(ReasonCode.NO_POSITIVE_CONTROL, {"weak": ("lira",)})


def test_a_weak_attack_is_left_aside_beside_a_strong_one() -> None:
    both = subject(
        outcomes=[auc(0.5), auc(0.5, "rmia")],
        checks=[*controls("lira"), *controls("rmia", positive=False)],
    )
    one = only(ruled(audit(both)))
    assert one.state == "WITHIN"
    assert one.reason.params["weak"] == ("rmia",)
    assert "Left aside for insufficient power: rmia" in word_reason(one)
    assert only(ruled(audit(both), policy(STRICT))).state == "INCONCLUSIVE"


def test_an_attack_asked_for_and_not_run() -> None:
    one = only(ruled(audit(subject()), policy(STRICT)))
    assert one.state == "INCONCLUSIVE"
    assert one.reason == Reason(ReasonCode.ATTACKS_MISSING, {"attacks": ("rmia",)})
    assert "these attacks: rmia" in word_remedy(one)
    leaks = audit(subject(outcomes=[auc(0.8)]))
    assert only(ruled(leaks, policy(STRICT))).state == "EXCEEDS"


def test_a_leaking_null_control_fails_the_audit() -> None:
    made = audit(subject(checks=controls(negative=False)), subject("other"))
    found = ruled(made)
    assert [v.state for v in found.verdicts] == ["INCONCLUSIVE", "WITHIN"]
    assert (found.state, found.code) == ("INCONCLUSIVE", 5)
    leak = {"attack": "lira", "subject": "model"}
    assert found.notes[0] == Caveat(CaveatCode.HARNESS_LEAKS, "defect", leak)
    assert "harness" in word_notes(found)[0]
    # One harness made every number, also those of the subject that is judged.
    narrow = policy(AUC, context=Context(subjects=("other",)))
    assert ruled(made, narrow).code == 5


ABOVE = Caveat(
    CaveatCode.EPSILON_ABOVE_CLAIM, "defect", {"bound": 4.0, "confidence": 0.95, "claimed": 1.0}
)


@pytest.mark.parametrize(
    "broken",
    [
        subject(outcomes=[auc(0.5), Failed("rmia", "membership", FAILED)]),
        subject(outcomes=[replace(auc(0.5), caveats=(ABOVE,))]),
    ],
)
def test_faults_of_what_is_judged_fail_the_audit(broken: object) -> None:
    found = ruled(audit(broken, subject("other")))  # type: ignore[arg-type]
    assert found.code == 5
    assert [note.severity for note in found.notes if note.severity != "note"] == ["defect"]
    assert word_notes(found)[0].startswith("The audit failed: ")
    narrow = policy(AUC, context=Context(subjects=("other",)))
    spared = ruled(audit(broken, subject("other")), narrow)  # type: ignore[arg-type]
    assert (spared.state, spared.code) == ("WITHIN", 0)
    assert CaveatCode.NOT_JUDGED in codes(spared)


LIBRARY = Reason(ReasonCode.MISSING_EXTRA, {"library": "opacus", "fix": "install it"})


def codes(found: Verdicts) -> list[CaveatCode]:
    return [note.code for note in found.notes if note.code is not CaveatCode.LEFT_OUT]


def test_a_training_that_failed() -> None:
    broke = audit(subject(), untrained=(Untrained("dp_sgd", "dp_sgd", FAILED, True),))
    assert ruled(broke).code == 5
    refused = audit(subject(), untrained=(Untrained("dp_sgd", "dp_sgd", LIBRARY),))
    assert ruled(refused).code == 0
    assert codes(ruled(refused)) == [CaveatCode.NOT_TRAINED]
    assert ruled(refused).untrained == (("dp_sgd", LIBRARY),)
    assert "nothing is known" in word_notes(ruled(refused))[0]


def test_subjects_to_release() -> None:
    made = audit(subject("good"), subject("bad", outcomes=[auc(0.9)]))
    assert ruled(made).code == 1
    assert ruled(made, policy(AUC, context=Context(subjects=("good",)))).code == 0
    with pytest.raises(PrivauditError, match="did you mean 'good'"):
        ruled(made, policy(AUC, context=Context(subjects=("goood",))))
    lost = replace(made, untrained=(Untrained("dp", "dp_sgd", LIBRARY),))
    with pytest.raises(PrivauditError, match="not trained"):
        ruled(lost, policy(AUC, context=Context(subjects=("dp",))))


SMALL = {**POOL, "nonmember_patients": 700, "nonmembers": 700}


def test_too_few_false_positives_are_not_judged() -> None:
    low = number(RATE, 0.01, 0.004, 0.02, n=SMALL)
    one = only(ruled(audit(subject(outcomes=[member("lira", low)])), policy(TPR)))
    assert one.state == "INCONCLUSIVE"
    assert one.reason == Reason(ReasonCode.TOO_FEW_FALSE_POSITIVES, {"more": 300})
    assert word_remedy(one).startswith("About 300 more held-out patients")
    strict = policy(TPR, statistics=Statistics(min_false_positives=30))
    enough = number(RATE, 0.01, 0.004, 0.02)
    one = only(ruled(audit(subject(outcomes=[member("lira", enough)])), strict))
    assert word_remedy(one).startswith("About 1,400 more held-out patients")


def test_a_refused_number_states_what_it_needs() -> None:
    lacking = Reason(ReasonCode.TOO_FEW_HELD_OUT, {"more": 300, "have": 700, "fpr": 0.01})
    refused = number(RATE, None, n=SMALL, refusal=lacking)
    one = only(ruled(audit(subject(outcomes=[member("lira", refused)])), policy(TPR)))
    assert one.state == "INCONCLUSIVE"
    assert one.reason == lacking
    assert "300" in word_reason(one)
    assert (one.value, one.lower, one.upper) == (None, None, None)


def test_how_many_more_patients() -> None:
    crossing = number(RATE, 0.012, 0.006, 0.024)
    made = audit(subject(outcomes=[member("lira", crossing)]))
    one = only(ruled(made, policy(replace(TPR, max=0.018))))
    assert one.state == "INCONCLUSIVE"
    needed = one.reason.params["more"]
    assert isinstance(needed, float)
    assert 500 < needed < 10_000
    assert word_remedy(one).startswith("About ")
    assert "more held-out patients" in word_remedy(one)
    above = only(ruled(made, policy(replace(TPR, max=0.0115))))
    assert "likelier to confirm" in word_remedy(above)
    near = only(ruled(made, policy(replace(TPR, max=0.0122))))
    assert near.reason.params["more"] == 0
    assert "no realistic number" in word_remedy(near)


def test_a_limit_below_the_floor_is_warned_about() -> None:
    clean = number(RATE, 0.01, 0.005, 0.017)
    made = audit(subject(outcomes=[member("lira", clean)]))
    found = ruled(made, policy(replace(TPR, max=0.015)))
    assert codes(found) == [CaveatCode.LIMIT_BELOW_RESOLUTION]
    assert "a release that leaks nothing passes 4 times in 5" in word_notes(found)[0]
    assert not codes(ruled(made, policy(TPR)))


def test_many_blocking_rules_are_judged_together() -> None:
    """One at a level of 2 % blocks alone, and not as one of twenty."""
    alone = number("auc", 0.621, 0.601, 0.641)
    assert only(ruled(audit(subject(outcomes=[member("lira", alone)])))).state == "EXCEEDS"
    many = [member("lira", alone)] + [member(f"a{i}", number("auc", 0.5)) for i in range(19)]
    one = only(ruled(audit(subject(outcomes=many, checks=controls("lira")))))
    assert one.state == "INCONCLUSIVE"
    assert one.lower is not None
    assert one.lower < 0.6
    free = policy(AUC, statistics=Statistics(correction="none"))
    assert only(ruled(audit(subject(outcomes=many)), free)).state == "EXCEEDS"


def test_passing_needs_every_attack() -> None:
    made = audit(subject(outcomes=[auc(0.5), auc(0.59, "rmia")]))
    one = only(ruled(made))
    assert (one.state, one.attack) == ("INCONCLUSIVE", "rmia")


def test_warnings_do_not_block() -> None:
    found = ruled(
        audit(subject(outcomes=[auc(0.9)])), policy(AUC, replace(AUC, id="w", severity="warn"))
    )
    assert [v.severity for v in found.verdicts] == ["block", "warn"]
    quiet = policy(replace(AUC, max=0.99), replace(AUC, id="w", severity="warn"))
    found = ruled(audit(subject(outcomes=[auc(0.9)])), quiet)
    assert [v.state for v in found.verdicts] == ["WITHIN", "EXCEEDS"]
    assert (found.state, found.code) == ("WITHIN", 0)


def test_what_is_undecided_may_be_let_pass() -> None:
    made = audit(subject(outcomes=[auc(0.59)]))
    found = ruled(made, policy(AUC, statistics=Statistics(on_inconclusive="pass")))
    assert (found.state, found.code) == ("INCONCLUSIVE", 0)


# ---------------------------------------------------------------- groups


def split(*levels: tuple[str, float], hidden: str = "", by: str = "sex") -> Finding:
    groups = [group(name, number("auc", v, v - 0.03, v + 0.03), by=by) for name, v in levels]
    groups += [group(hidden, by=by, suppressed=True)] if hidden else []
    return replace(auc(0.52), groups=tuple(groups))


def test_groups_named_in_the_policy_block() -> None:
    made = audit(subject(outcomes=[split(("F", 0.5), ("M", 0.8))]))
    found = ruled(made, policy(replace(AUC, by=("sex",))))
    assert [(v.group, v.state, v.severity) for v in found.verdicts] == [
        (None, "WITHIN", "block"),
        (Group("sex", "F"), "WITHIN", "block"),
        (Group("sex", "M"), "EXCEEDS", "block"),
    ]
    assert found.code == 1
    text = word_finding(found.verdicts[2])
    assert text.startswith("Among patients with sex: M, given one")


def test_groups_not_named_warn_where_they_exceed() -> None:
    made = audit(subject(outcomes=[split(("F", 0.5), ("M", 0.8))]))
    found = ruled(made)
    assert [(v.group, v.state, v.severity) for v in found.verdicts] == [
        (None, "WITHIN", "block"),
        (Group("sex", "M"), "EXCEEDS", "warn"),
    ]
    assert (found.state, found.code) == ("WITHIN", 0)
    worse = audit(subject(outcomes=[replace(split(("M", 0.8)), estimates=auc(0.8).estimates)]))
    assert [v.group for v in ruled(worse).verdicts] == [None]


def test_a_suppressed_group_is_not_tested() -> None:
    made = audit(subject(outcomes=[split(("F", 0.5), hidden="M")]))
    found = ruled(made, policy(replace(AUC, by=("sex",))))
    hidden = found.verdicts[2]
    assert (hidden.state, hidden.value, dict(hidden.n)) == ("NOT TESTED", None, {})
    assert (found.state, found.code) == ("INCONCLUSIVE", 3)


def test_a_larger_least_cell_suppresses_more() -> None:
    few = {"member_patients": 15, "nonmember_patients": 14}
    small = group("F", number("auc", 0.5, 0.49, 0.51, n=few))
    made = audit(subject(outcomes=[replace(auc(0.5), groups=(small,))]))
    rules = policy(replace(AUC, by=("sex",)))
    assert ruled(made, rules).verdicts[1].state == "WITHIN"
    larger = replace(rules, statistics=Statistics(min_cell=20))
    assert ruled(made, larger).verdicts[1].state == "NOT TESTED"


def test_a_grouping_that_is_not_there() -> None:
    made = audit(subject(outcomes=[split(("F", 0.5))]))
    found = ruled(made, policy(replace(AUC, by=("sexx",))))
    assert found.verdicts[1].state == "NOT TESTED"
    reason = found.verdicts[1].reason
    assert (reason.code, reason.params["near"]) == (ReasonCode.NO_GROUPING, "sex")
    assert word_remedy(found.verdicts[1]) == "did you mean 'sex'?"
    assert found.code == 3


def test_an_unusual_group_is_not_a_recognised_one() -> None:
    """The group's own non-members are named as often: its rate says nothing about membership."""
    finding = replace(
        member("lira", number(RATE, 0.012, 0.008, 0.017)),
        groups=(group("M", number(RATE, 0.2, 0.15, 0.25, chance=0.2)),),
    )
    found = ruled(audit(subject(outcomes=[finding])), policy(replace(TPR, by=("sex",))))
    assert found.verdicts[1].state == "INCONCLUSIVE"
    assert found.verdicts[1].reason == Reason(ReasonCode.GROUP_ATYPICAL)


# ---------------------------------------------------------------- trials, promises, guards


def test_settings_of_an_attack() -> None:
    finding = tried("attribute", "attribute", {"sex": (0.0, 0.02), "unit": (0.2, 0.02)})
    made = audit(subject(outcomes=[finding]))
    limit = Limit("attr", "attribute.advantage", 0.05)
    one = only(ruled(made, policy(limit)))
    assert (one.state, one.setting) == ("EXCEEDS", Setting("column", "unit"))
    assert "attribute (unit)" in word_finding(one)
    assert only(ruled(made, policy(replace(limit, at=("se*",))))).state == "WITHIN"
    none = only(ruled(made, policy(replace(limit, at=("age",)))))
    assert (none.state, none.reason.code) == ("NOT TESTED", ReasonCode.SETTINGS_MISSING)
    # What a rule asks for and nobody measured is never within.
    half = only(ruled(made, policy(replace(limit, at=("sex", "age")))))
    missing = Reason(ReasonCode.SETTINGS_MISSING, {"settings": ("age",)})
    assert (half.state, half.reason) == ("INCONCLUSIVE", missing)
    assert "age" in word_reason(half)


def test_a_setting_is_named_exactly_before_it_is_a_pattern() -> None:
    rates: dict[str | Setting, tuple[float, float]] = {"lab[1]": (0.0, 0.02), "lab1": (0.3, 0.02)}
    made = audit(subject(outcomes=[tried("attribute", "attribute", rates)]))
    limit = Limit("attr", "attribute.advantage", 0.05)
    assert only(ruled(made, policy(replace(limit, at=("lab[1]",))))).state == "WITHIN"
    assert only(ruled(made, policy(replace(limit, at=("lab?",))))).state == "EXCEEDS"


@pytest.mark.parametrize("name", ["race_ethnicity", "race / ethnicity", "24h insulin, had none"])
def test_a_column_is_judged_whatever_it_is_called(name: str) -> None:
    finding = tried("attribute", "attribute", {"sex": (0.0, 0.02), name: (0.4, 0.02)})
    limit = Limit("a", "attribute.advantage", 0.1)
    found = ruled(audit(subject(outcomes=[finding])), policy(limit))
    assert (only(found).state, found.code) == ("EXCEEDS", 1)
    assert only(found).setting == Setting("column", name)


def test_what_other_releases_would_give_away_is_not_held_against_this_one() -> None:
    mean = Setting("aggregator", "mean", details=("flip",))
    krum = Setting("aggregator", "krum", details=("flip",), counterfactual=True)
    poison = tried("flip", "poisoning", {mean: (0.0, 0.02), krum: (0.4, 0.02)})
    limit = Limit("p", "poisoning.advantage", 0.1)
    made = audit(subject(outcomes=[poison]))
    assert only(ruled(made, policy(limit))).state == "WITHIN"
    assert only(ruled(made, policy(replace(limit, at=("krum*",))))).state == "EXCEEDS"
    keys: dict[str | Setting, tuple[float, float]] = {
        Setting("attacker", "server"): (0.0, 0.02),
        Setting("attacker", "server", "", ("sums in float64",), counterfactual=True): (0.9, 0.02),
    }
    made = audit(subject(outcomes=[tried("key_recovery", "reconstruction", keys)]))
    assert only(ruled(made, policy(Limit("k", "reconstruction.advantage", 0.1)))).state == "WITHIN"


def test_what_a_release_does_not_give_away_does_not_apply() -> None:
    limit = Limit("s", "poisoning.advantage", 0.1)
    reason = Reason(ReasonCode.LACKS_ACCESS, {"access": ("RERUN", "SEAT")})
    made = audit(subject(outcomes=[auc(0.5), Skipped("backdoor", "poisoning", reason)]))
    found = ruled(made, policy(AUC, limit))
    assert [(v.state, v.severity) for v in found.verdicts] == [
        ("WITHIN", "block"),
        ("NOT TESTED", "warn"),
    ]
    assert found.verdicts[1].reason == Reason(ReasonCode.NOT_APPLICABLE)
    assert (found.state, found.code) == ("WITHIN", 0)
    # Asked for by name it blocks, and so does one that only the auditor could not make.
    named = ruled(made, policy(AUC, replace(limit, attacks=("backdoor",))))
    assert named.code == 3
    for reason in (
        Reason(ReasonCode.NEEDS_RETRAINING),
        Reason(ReasonCode.LACKS_ACCESS, {"access": ("RERUN",)}),
        Reason(ReasonCode.NOT_REQUESTED, {"attacks": ("backdoor",)}),
    ):
        again = audit(subject(outcomes=[auc(0.5), Skipped("backdoor", "poisoning", reason)]))
        assert ruled(again, policy(AUC, limit)).code == 3
    # Nothing that applies was tested: nothing is shown.
    assert ruled(made, policy(limit)).state == "NOT TESTED"


@pytest.mark.parametrize("metric", ["synthetic.linkability", "reconstruction.advantage"])
def test_what_needs_no_attack_to_know(metric: str) -> None:
    """A release without a table cannot be singled out in one, whether or not anybody tried."""
    limit = Limit("s", metric, 0.1)
    plain = ruled(audit(subject()), policy(AUC, limit))
    assert [(v.state, v.severity) for v in plain.verdicts][1] == ("NOT TESTED", "warn")
    assert plain.code == 0
    shown = (Access.TABLE.name, Access.UPDATES.name)
    given = ruled(audit(subject(access=shown)), policy(AUC, limit))
    assert given.code == 3
    with pytest.raises(PrivauditError, match="the access 'read it'"):
        ruled(audit(subject(access=("read it",))), policy(AUC, limit))


COVERED = (Access.ANSWERS.name, Access.WEIGHTS.name)


def claiming(
    epsilon: float | None, unit: str = "patient", covers: tuple[str, ...] = COVERED
) -> Audit:
    claim = ClaimText(epsilon, 1e-5, unit, "add-remove", covers, "PLD")
    return audit(subject(claim=claim, access=COVERED))


def test_guarantees() -> None:
    rules = policy(Limit("eps", "epsilon.claimed", 3.0))
    assert only(ruled(claiming(1.0), rules)).state == "WITHIN"
    assert only(ruled(claiming(8.0), rules)).state == "EXCEEDS"
    none = only(ruled(claiming(None), rules))
    assert (none.state, none.value) == ("EXCEEDS", None)
    assert none.reason == Reason(ReasonCode.NO_GUARANTEE)
    stay = only(ruled(claiming(1.0, "stay"), rules))
    assert stay.state == "EXCEEDS"
    assert stay.reason.code is ReasonCode.GUARANTEE_OF_ANOTHER_UNIT
    assert "one record" in word_reason(stay)
    assert only(ruled(claiming(1.0, "site"), rules)).state == "WITHIN"
    answers = claiming(1.0, covers=COVERED[:1])
    assert only(ruled(answers, rules)).state == "WITHIN"
    opened = replace(rules, context=Context(release="open-weights"))
    bare = only(ruled(answers, opened)).reason
    assert bare.code is ReasonCode.GUARANTEE_NOT_COVERING
    assert bare.params["access"] == ("WEIGHTS",)
    assert only(ruled(claiming(1.0), opened)).state == "WITHIN"
    delta = policy(Limit("delta", "epsilon.delta", 1e-6))
    assert only(ruled(claiming(1.0), delta)).state == "EXCEEDS"


def test_guards() -> None:
    made = audit(subject())
    for least, state in ((0.7, "WITHIN"), (0.8, "INCONCLUSIVE"), (0.9, "EXCEEDS")):
        found = ruled(made, policy(AUC, Guard("g", "utility.auroc", min=least)))
        assert found.verdicts[1].state == state
        assert found.verdicts[1].at_least
        assert f"at least {least}" in word_finding(found.verdicts[1])
    error = replace(subject(), utility=(number("brier", 0.1, 0.09, 0.11),))
    for most, state in ((0.2, "WITHIN"), (0.1, "INCONCLUSIVE"), (0.05, "EXCEEDS")):
        found = ruled(audit(error), policy(AUC, Guard("g", "utility.brier", max=most)))
        assert (found.verdicts[1].state, found.verdicts[1].at_least) == (state, False)
    assert ruled(audit(error), policy(AUC, Guard("g", "utility.auroc", min=0.5))).code == 3


# ---------------------------------------------------------------- waivers


def test_a_waiver_never_makes_it_within() -> None:
    made = audit(subject(outcomes=[auc(0.9)]))
    waiver = Exemption("auc", "accepted for the pilot", "Dr. Who", date(2026, 12, 31))
    found = ruled(made, policy(AUC, waivers=(waiver,)))
    assert (only(found).state, found.state, found.code) == ("EXCEEDS", "EXCEEDS", 0)
    assert only(found).waiver is not None
    expired = replace(waiver, expires=date(2026, 11, 20))
    found = ruled(made, policy(AUC, waivers=(expired,)))
    assert (only(found).waiver, found.code) == (None, 1)
    assert codes(found) == [CaveatCode.WAIVER_EXPIRED]
    assert "expired on 2026-11-20 and waives nothing" in word_notes(found)[0]
    last = replace(waiver, expires=DAY)
    assert ruled(made, policy(AUC, waivers=(last,))).code == 0


FEMALE = Group("sex", "F")


def test_a_waiver_of_one_group_or_subject_covers_no_other() -> None:
    made = audit(subject("a", outcomes=[split(("F", 0.8), ("M", 0.8))]), subject("b"))
    rules = policy(replace(AUC, by=("sex",)))
    waiver = Exemption("auc", "few", "Dr. Who", date(2030, 1, 1), FEMALE)
    found = ruled(made, replace(rules, waivers=(waiver,)))
    assert {v.group for v in found.verdicts if v.waiver} == {FEMALE}
    assert found.code == 1
    both = (waiver, replace(waiver, group=Group("sex", "M"), subject="a"))
    found = ruled(made, replace(rules, waivers=both))
    # Subject b was not split by sex, which no waiver of these groups covers.
    assert found.code == 3
    idle = replace(waiver, group=Group("sex", "X"))
    found = ruled(made, replace(rules, waivers=(idle,)))
    assert codes(found) == [CaveatCode.WAIVER_IDLE]


def test_regressions_want_a_baseline() -> None:
    from privaudit.policy.rules import Regression

    found = ruled(audit(subject()), policy(AUC, Regression("r", "membership.auc", 0.02)))
    assert [(v.kind, v.state) for v in found.verdicts] == [
        ("limit", "WITHIN"),
        ("regression", "NOT TESTED"),
    ]
    assert found.code == 3


def test_dates_are_those_of_the_day_given() -> None:
    with pytest.raises(PrivauditError, match="was to be reviewed"):
        judge(policy(), audit(subject()), today=date(2030, 1, 1))
    assert ruled(audit(subject())).policy["judged_on"] == "2026-11-21"


def test_nobody_approved_it() -> None:
    found = ruled(audit(subject()), policy(approved_by=""))
    assert codes(found) == [CaveatCode.UNAPPROVED]


# ---------------------------------------------------------------- synthetic tables


TABLE = (Access.TABLE.name,)


def synthetic(copies: float, singled: float, positive: bool | None = True) -> Audit:
    fidelity = Fidelity(
        1000,
        (number("near_copies_excess", copies, copies - 0.003, copies + 0.003, chance=0.0),),
        (),
    )
    finding = tried("singling_out", "synthetic", {"univariate": (singled, 0.02)})
    checks = () if positive is None else controls("singling_out", positive)
    return audit(subject("table", [finding], checks, access=TABLE, fidelity=fidelity))


def test_limits_on_a_synthetic_table() -> None:
    rules = policy(
        Limit("copies", "synthetic.near_copies", 0.01),
        Limit("single", "synthetic.singling_out", 0.05),
    )
    other = ("linkability", "synthetic_attribute_inference")
    left_out = (*rules.left_out, LeftOut("synthetic", "another test's matter", other))
    found = ruled(synthetic(0.002, 0.01), rules)
    assert [v.state for v in found.verdicts[2:]] == ["NOT TESTED", "NOT TESTED"]
    rules = replace(rules, left_out=left_out)
    found = ruled(synthetic(0.002, 0.01), rules)
    assert [v.state for v in found.verdicts] == ["WITHIN", "WITHIN"]
    assert "a near-duplicate in the table" in word_finding(found.verdicts[0])
    found = ruled(synthetic(0.1, 0.3), rules)
    assert [v.state for v in found.verdicts] == ["EXCEEDS", "EXCEEDS"]
    # A planted leak that a table attack missed: it lacks power, as any other attack would.
    found = ruled(synthetic(0.002, 0.01, positive=False), rules)
    assert [v.state for v in found.verdicts] == ["WITHIN", "INCONCLUSIVE"]
    # Where no leak is ever planted for such attacks, their own control is what there is.
    found = ruled(synthetic(0.002, 0.01, positive=None), rules)
    assert [v.state for v in found.verdicts] == ["WITHIN", "WITHIN"]
    model = ruled(audit(subject()), policy(AUC, Limit("copies", "synthetic.near_copies", 0.01)))
    assert [(v.state, v.severity) for v in model.verdicts] == [
        ("WITHIN", "block"),
        ("NOT TESTED", "warn"),
    ]


@pytest.mark.parametrize("copies", [0.002, 0.1])
def test_copies_are_counted_against_people_like_those_of_the_table(copies: float) -> None:
    rules = policy(Limit("copies", "synthetic.near_copies", 0.01))
    params = {"auc": 0.9, "low": 0.8, "high": 0.95, "confidence": 0.999, "columns": ("age",)}
    shift = Caveat(CaveatCode.DISTRIBUTION_SHIFT, "warning", params)
    fair = synthetic(copies, 0.01)
    apart = replace(fair, data=replace(fair.data, distribution_shift=shift))
    assert ruled(fair, rules).verdicts[0].state in ("WITHIN", "EXCEEDS")
    found = ruled(apart, rules).verdicts[0]
    assert found.state == "INCONCLUSIVE"
    assert found.reason == Reason(ReasonCode.DISTRIBUTION_SHIFTED)


def test_why_an_attack_gave_no_number_is_stated() -> None:
    params = {"what": "no sensitive column", "because": "none is marked", "fix": "mark one"}
    why = Reason(ReasonCode.REFUSED, params)
    left = Skipped("attribute", "attribute", why)
    made = audit(subject(outcomes=[auc(0.5), left]))
    found = ruled(made, policy(AUC, Limit("attr", "attribute.advantage", 0.05)))
    assert found.verdicts[1].state == "NOT TESTED"
    assert found.verdicts[1].untested == (("attribute", why),)
    assert "attribute: " in word_reason(found.verdicts[1])
    assert "no sensitive column" in word_reason(found.verdicts[1])
    assert found.code == 3
