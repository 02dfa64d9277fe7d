"""What was not measured, not checked or not stated is never within, however the audit words it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from policy_lab import DAY, TPR, audit, controls, member, number, policy, subject, tried

from privaudit.contracts import Access
from privaudit.facts import Caveat, CaveatCode, Metric, Reason, ReasonCode, Setting, note
from privaudit.policy import baseline, judge
from privaudit.policy.rules import Limit, Regression, Statistics
from privaudit.results import (
    Audit,
    ClaimText,
    Control,
    Estimate,
    Failed,
    Finding,
    Outcome,
    Skipped,
    Subject,
)
from privaudit.verdicts import Verdicts

AUC = Limit("auc", "membership.auc", 0.6)
ATTRIBUTE = Limit("attr", "attribute.advantage", 0.1)
FAILED = Reason(ReasonCode.FAILED, {"error": "a fault"})
CLEAN = tried("attribute", "attribute", {"sex": (0.0, 0.02)})


def lacking(family: str, *access: Access) -> Skipped:
    names = tuple(one.name for one in access)
    return Skipped("other", family, Reason(ReasonCode.LACKS_ACCESS, {"access": names}))


@pytest.mark.parametrize(
    ("metric", "outcome"),
    [
        ("membership.auc", lacking("membership", Access.WEIGHTS)),
        ("evasion.advantage", lacking("evasion", Access.WEIGHTS)),
        ("attribute.advantage", lacking("attribute", Access.WEIGHTS)),
        ("epsilon.lower_bound", lacking("epsilon", Access.WEIGHTS)),
        # The auditor had a seat, and the attack lacked something else.
        ("poisoning.advantage", lacking("poisoning", Access.UPDATES)),
        ("membership.auc", Finding("other", "membership", {}, ("RERUN",), ())),
        ("reconstruction.advantage", Finding("other", "reconstruction", {}, (), ())),
    ],
)
def test_a_family_applies_by_what_the_release_gives_away(metric: str, outcome: Outcome) -> None:
    other = AUC if not metric.startswith("membership") else ATTRIBUTE
    proof = member() if other is AUC else CLEAN
    made = audit(subject(outcomes=[proof, outcome]))
    found = judge(policy(other, Limit("own", metric, 0.1)), made, today=DAY)
    assert [(v.state, v.severity) for v in found.verdicts] == [
        ("WITHIN", "block"),
        ("NOT TESTED", "block"),
    ]
    assert (found.state, found.code) == ("INCONCLUSIVE", 3)


def test_a_bracket_in_a_setting_is_itself() -> None:
    finding = tried("attribute", "attribute", {"lab [a]x": (0.5, 0.02), "lab ax": (0.0, 0.02)})
    rule = replace(ATTRIBUTE, at=("lab [a]*",))
    found = judge(policy(rule), audit(subject(outcomes=[finding])), today=DAY)
    assert (found.verdicts[0].setting, found.code) == (Setting("column", "lab [a]x"), 1)


def columns(seed: int, *names: str) -> Audit:
    gaps: dict[str | Setting, tuple[float, float]] = dict.fromkeys(names, (0.001 * seed, 0.02))
    return seeded(audit(subject(outcomes=[tried("attribute", "attribute", gaps)])), seed)


def seeded(made: Audit, seed: int) -> Audit:
    return replace(
        made,
        manifest=replace(made.manifest, seed_commitment=f"sha256:{seed:064x}", run=f"run-{seed}"),
    )


WORSE = Regression("worse", "attribute.advantage", 0.05, candidate_seeds=3)


def compared(rule: Regression, runs: Sequence[Audit]) -> Verdicts:
    made = [columns(seed, "sex") for seed in range(5)]
    held = baseline.create(made, who="Dr. Who", when="2026-11-01", reason="first release")
    others = tuple(runs[1:])
    return judge(policy(rule), runs[0], baseline=held, candidates=others, today=DAY)


def test_a_regression_states_the_settings_that_nobody_measured() -> None:
    runs = [columns(seed, "sex") for seed in (5, 6, 7)]
    assert compared(replace(WORSE, at=("sex",)), runs).code == 0
    found = compared(replace(WORSE, at=("sex", "hiv")), runs)
    assert [(v.state, v.reason.code) for v in found.verdicts] == [
        ("WITHIN", ReasonCode.NO_WORSE_THAN_MARGIN),
        ("NOT TESTED", ReasonCode.ABSENT_FROM_CANDIDATE),
    ]
    assert (found.state, found.code) == ("INCONCLUSIVE", 3)


def test_a_candidate_run_that_lacks_the_number_is_stated() -> None:
    runs = [columns(seed, "sex") for seed in (5, 6, 7, 8)]
    assert compared(WORSE, runs).code == 0
    runs[3] = columns(8, "other")
    found = compared(replace(WORSE, at=("sex",)), runs)
    (one,) = found.verdicts
    assert (one.state, one.reason.code) == ("INCONCLUSIVE", ReasonCode.CANDIDATE_RUNS_LACK_NUMBER)
    assert one.reason.params["lacking"] == 1
    assert found.code == 3


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ({"controls": controls(negative=False)}, CaveatCode.HARNESS_LEAKS),
        ({"outcomes": (CLEAN, Failed("lira", "membership", FAILED))}, CaveatCode.ATTACK_FAILED),
    ],
)
def test_faults_of_every_candidate_count(part: dict[str, object], code: CaveatCode) -> None:
    runs = [columns(seed, "sex") for seed in (5, 6, 7)]
    faulty = replace(runs[1].subjects[0], **part)  # type: ignore[arg-type]
    runs[1] = replace(runs[1], subjects=(faulty,))
    found = compared(WORSE, runs)
    assert found.code == 5
    assert [n.code for n in found.notes if n.severity == "defect"] == [code]


NUMBERS = {"bound": 4.0, "confidence": 0.95, "claimed": 1.0}
ABOVE = Caveat(CaveatCode.EPSILON_ABOVE_CLAIM, "note", NUMBERS)
BROKEN = Caveat(
    CaveatCode.GUARANTEE_BROKEN, "warning", {**NUMBERS, "attack": "lira", "subject": "model"}
)
CLAIM = ClaimText(1.0, 1e-5, "patient", "add-remove", ("ANSWERS",), "stated")
PROOF = Estimate(Metric("epsilon_lower_bound"), 4.0, 4.0, None, 0.0, {"member_patients": 1600})
PROVING = Finding("one_run", "epsilon", {}, ("ANSWERS",), (PROOF,))


@pytest.mark.parametrize(
    "made",
    [
        audit(subject(outcomes=[replace(member(), caveats=(ABOVE,))])),
        audit(subject(headline=replace(member(), caveats=(BROKEN,)))),
        audit(subject(notes=(ABOVE,))),
        audit(subject(), caveats=(BROKEN,)),
        audit(subject(), caveats=(ABOVE,)),
        audit(subject(outcomes=[member(), PROVING], claim=CLAIM)),
    ],
)
def test_a_broken_guarantee_counts_whatever_is_written_of_it(made: Audit) -> None:
    found = judge(policy(), made, today=DAY)
    assert found.code == 5
    assert len([n for n in found.notes if n.severity == "defect"]) == 1


def test_a_bound_that_keeps_to_the_claim_or_is_of_another_unit_breaks_nothing() -> None:
    for claim in (replace(CLAIM, epsilon=5.0), replace(CLAIM, unit="record")):
        made = audit(subject(outcomes=[member(), PROVING], claim=claim))
        assert judge(policy(), made, today=DAY).code == 0


PLANTED, NULL = controls()
BLANK = Control("positive", "lira", (), True, note("planted"))


@pytest.mark.parametrize(
    ("checks", "reason", "code"),
    [
        ((BLANK, NULL), ReasonCode.POSITIVE_CONTROL_NOT_MADE, 3),
        ((replace(PLANTED, error=FAILED), NULL), ReasonCode.POSITIVE_CONTROL_NOT_MADE, 3),
        ((PLANTED, replace(NULL, estimates=())), ReasonCode.NEGATIVE_CONTROL_NOT_MADE, 3),
        ((PLANTED, replace(NULL, error=FAILED)), ReasonCode.NEGATIVE_CONTROL_NOT_MADE, 3),
        ((PLANTED,), ReasonCode.NO_NEGATIVE_CONTROL, 3),
    ],
)
def test_a_control_that_shows_nothing_is_none(
    checks: Sequence[Control], reason: ReasonCode, code: int
) -> None:
    found = judge(policy(), audit(subject(checks=checks)), today=DAY)
    (one,) = found.verdicts
    assert (one.state, one.reason.code, found.code) == ("INCONCLUSIVE", reason, code)


def test_a_negative_control_is_wanted_even_where_a_positive_one_is_not() -> None:
    rules = policy(AUC, statistics=Statistics(positive_control="optional"))
    made = audit(subject(checks=(PLANTED,)))
    assert judge(rules, made, today=DAY).code == 3
    leaking = audit(subject(outcomes=[member("lira", number("auc", 0.9))], checks=(PLANTED,)))
    assert judge(rules, leaking, today=DAY).code == 1


def without(finding: Finding, column: str, *names: str) -> Finding:
    at = Setting("column", column)
    kept = tuple(e for e in finding.estimates if e.metric.at != at or e.metric.name not in names)
    return replace(finding, estimates=kept)


BOTH = tried("attribute", "attribute", {"sex": (0.0, 0.02), "race": (0.0, 0.02)})
OVER = ("attack_minus_guess", "attack_minus_control")


@pytest.mark.parametrize(
    ("made", "rule", "state"),
    [
        (subject(outcomes=[without(BOTH, "race", *OVER)]), ATTRIBUTE, "INCONCLUSIVE"),
        (subject(outcomes=[without(BOTH, "race", OVER[0])]), ATTRIBUTE, "WITHIN"),
        (
            subject(outcomes=[without(BOTH, "race", *OVER)]),
            replace(ATTRIBUTE, at=("sex",)),
            "WITHIN",
        ),
        (subject(outcomes=[member(), Finding("rmia", "membership", {}, (), ())]), AUC, ""),
        (
            subject(outcomes=[member("lira", number(TPR, 0.01)), member("rmia", number("auc"))]),
            Limit("tpr", "membership.tpr", 0.05, fpr=0.01),
            "INCONCLUSIVE",
        ),
    ],
)
def test_a_finding_without_the_number_is_seen(made: Subject, rule: Limit, state: str) -> None:
    found = judge(policy(rule), audit(made), today=DAY)
    assert found.verdicts[0].state == (state or "INCONCLUSIVE")
    assert found.code == (0 if state == "WITHIN" else 3)


@pytest.mark.parametrize(
    ("rule", "metric"),
    [
        (Limit("tpr", "membership.tpr", 0.05, fpr=0.01), TPR),
        (Limit("ppv", "membership.ppv", 0.2, prior=0.1), Metric("ppv", fpr=0.01, prior=0.1)),
    ],
)
def test_a_rate_without_its_count_of_held_out_patients(rule: Limit, metric: Metric) -> None:
    counted = {"member_patients": 1600, "nonmember_patients": 1600}
    for n, code in ((counted, 0), ({"member_patients": 1600}, 3), ({}, 3)):
        finding = member("lira", number(metric, 0.01, n=n))
        found = judge(policy(rule), audit(subject(outcomes=[finding])), today=DAY)
        assert found.code == code


def test_model_inversion_does_not_apply_to_a_table_alone() -> None:
    """Some of its attacks lack trees and others answers: a table gives neither away."""
    outcomes = [
        tried("linkability", "synthetic", {"all": (0.0, 0.02)}),
        lacking("inversion", Access.ANSWERS),
        lacking("inversion", Access.TREES),
    ]
    table = replace(subject(outcomes=outcomes), access=(Access.TABLE.name,))
    rules = (
        Limit("own", "inversion.advantage", 0.1),
        Limit("link", "synthetic.linkability", 0.1),
    )
    found = judge(policy(*rules), audit(table), today=DAY)
    verdict = next(v for v in found.verdicts if v.rule == "own")
    assert verdict.reason.code is ReasonCode.NOT_APPLICABLE
