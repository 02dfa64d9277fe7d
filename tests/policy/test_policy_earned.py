"""A WITHIN is earned: no class of attack that applies is left untested or unlimited in silence."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from policy_lab import (
    ANSWERS,
    DAY,
    TOML,
    audit,
    controls,
    group,
    leave_out,
    member,
    number,
    policy,
    subject,
    tried,
)

from privaudit.contracts import Access
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode, Group, Reason, ReasonCode
from privaudit.policy import judge
from privaudit.policy.file import parse
from privaudit.policy.rules import RELEASES, Context, Exemption, LeftOut, Limit, ReleaseKind
from privaudit.policy.starters import starter
from privaudit.report.formats import FORMATS, render
from privaudit.report.wording.verdicts import word_notes, word_reason, word_remedy
from privaudit.results import Audit, Control, Coverage, Finding, Skipped
from privaudit.verdicts import Verdict, Verdicts, from_json, to_json

AUC = Limit("auc", "membership.auc", 0.6)
ATTRIBUTE = Limit("attr", "attribute.advantage", 0.1)
REBUILT = Limit("rebuilt", "reconstruction.advantage", 0.1)
HELD_OUT = "the reason of this test"
HANDED_OUT: tuple[ReleaseKind, ...] = ("partner", "open-weights", "tre-egress")
FILE = (Access.FILE.name,)
INFERRED = tried("attribute", "attribute", {"sex": (0.0, 0.02)})
OPENED = replace(tried("stored_records", "reconstruction", {"all": (0.0, 0.02)}), access=FILE)
FULL = replace(tried("stored_records", "reconstruction", {"all": (0.6, 0.02)}), access=FILE)
CLOSED = Skipped(
    "stored_records", "reconstruction", Reason(ReasonCode.LACKS_ACCESS, {"access": FILE})
)


def ruled(made: Audit, rules: object = None, **more: object) -> Verdicts:
    return judge(rules or policy(), made, today=DAY, **more)  # type: ignore[arg-type]


def gaps(found: Verdicts) -> list[tuple[str, str, ReasonCode]]:
    return [(v.metric, v.state, v.reason.code) for v in found.verdicts if v.kind == "coverage"]


# ---------------------------------------------------------------- classes of attack


def test_a_policy_without_a_limit_on_a_class_does_not_pass() -> None:
    bare = policy(AUC, left_out=())
    found = ruled(audit(subject(outcomes=[member(), INFERRED])), bare)
    assert gaps(found) == [
        ("attribute", "INCONCLUSIVE", ReasonCode.CLASS_NOT_LIMITED),
        ("inversion", "NOT TESTED", ReasonCode.CLASS_NOT_TESTED),
        ("evasion", "NOT TESTED", ReasonCode.CLASS_NOT_TESTED),
    ]
    assert (found.state, found.code) == ("INCONCLUSIVE", 3)
    assert found.verdicts[-3].reason.params["attacks"] == ("attribute",)
    left = tuple(LeftOut(family, HELD_OUT) for family in ("attribute", "inversion", "evasion"))
    found = ruled(audit(subject(outcomes=[member(), INFERRED])), replace(bare, left_out=left))
    assert (found.state, found.code, gaps(found)) == ("WITHIN", 0, [])
    stated = [n for n in found.notes if n.code is CaveatCode.LEFT_OUT]
    assert [n.params["family"] for n in stated] == ["attribute", "inversion", "evasion"]
    assert stated[0].params["measured"] == ("attribute",)
    for name in FORMATS:
        assert HELD_OUT in render(found, name)
    assert from_json(to_json(found)) == found


def test_what_is_left_out_for_one_subject_is_not_for_another() -> None:
    made = audit(subject("one"), subject("two"))
    left = (*leave_out([AUC, ATTRIBUTE]), LeftOut("attribute", HELD_OUT, subject="one"))
    found = ruled(made, policy(AUC, left_out=left))
    assert [(v.subject, v.metric) for v in found.verdicts if v.kind == "coverage"] == [
        ("two", "attribute")
    ]


def test_a_limit_that_nobody_tested_warns_where_its_class_is_left_out() -> None:
    left = (*leave_out([AUC, ATTRIBUTE]), LeftOut("attribute", HELD_OUT))
    found = ruled(audit(subject()), policy(AUC, ATTRIBUTE, left_out=left))
    assert [(v.state, v.severity) for v in found.verdicts] == [
        ("WITHIN", "block"),
        ("NOT TESTED", "warn"),
    ]
    assert (found.state, found.code) == ("WITHIN", 0)
    # What was tested all the same is held to its limit.
    leaks = tried("attribute", "attribute", {"sex": (0.5, 0.02)})
    found = ruled(audit(subject(outcomes=[member(), leaks])), policy(AUC, ATTRIBUTE, left_out=left))
    assert (found.state, found.code) == ("EXCEEDS", 1)


def test_leaving_everything_out_shows_nothing() -> None:
    left = leave_out([])
    found = ruled(audit(subject(outcomes=[INFERRED])), policy(AUC, left_out=left))
    assert (found.state, found.code) == ("NOT TESTED", 3)


def test_attacks_without_shadow_models_alone_are_not_enough() -> None:
    weak = replace(member("threshold"), access=ANSWERS)
    found = ruled(audit(subject(outcomes=[weak])))
    assert gaps(found) == [("membership", "NOT TESTED", ReasonCode.SHADOWS_NOT_RUN)]
    assert (found.state, found.code) == ("INCONCLUSIVE", 3)
    again = Skipped("rmia", "membership", Reason(ReasonCode.NEEDS_RETRAINING))
    found = ruled(audit(subject(outcomes=[weak, again])))
    assert "rmia: it needs shadow models" in word_reason(found.verdicts[-1])
    for attacks, code in ((("rmia",), 0), (("threshold",), 3)):
        left = (*leave_out([AUC]), LeftOut("membership", HELD_OUT, attacks))
        assert ruled(audit(subject(outcomes=[weak])), policy(AUC, left_out=left)).code == code


def test_four_shadow_models_alone_are_not_enough() -> None:
    few = replace(member("few_shadow_lira"), params={"shadows": 4})
    found = ruled(audit(subject(outcomes=[few])))
    assert gaps(found) == [("membership", "NOT TESTED", ReasonCode.FEW_SHADOWS)]
    assert (found.state, found.code) == ("INCONCLUSIVE", 3)
    assert "8 shadow models" in word_reason(found.verdicts[-1])
    enough = replace(member("lira"), params={"shadows": 8})
    assert ruled(audit(subject(outcomes=[few, enough]))).code == 0
    # What four find is there all the same.
    leaks = replace(member("few_shadow_lira", number("auc", 0.9)), params={"shadows": 4})
    assert ruled(audit(subject(outcomes=[leaks]))).code == 1


def test_a_rule_that_names_weak_attacks_does_not_hide_a_strong_one() -> None:
    found = [member("threshold", number("auc", 0.5)), member("rmia", number("auc", 0.8))]
    rule = replace(AUC, attacks=("threshold",))
    made = ruled(audit(subject(outcomes=found)), policy(rule))
    assert [v.state for v in made.verdicts] == ["WITHIN", "INCONCLUSIVE"]
    assert made.verdicts[1].reason.params["attacks"] == ("rmia",)
    assert made.code == 3


def test_each_risk_of_a_synthetic_table_is_a_class_of_its_own() -> None:
    table = subject(
        outcomes=[
            replace(member("domias"), access=("TABLE",)),
            tried("singling_out", "synthetic", {"univariate": (0.0, 0.02)}),
            tried("copies", "synthetic", {"exact": (0.0, 0.02)}),
        ],
        access=("TABLE",),
    )
    one = Limit("single", "synthetic.singling_out", 0.05)
    made = ruled(audit(table), policy(AUC, one))
    assert [v.reason.params["attacks"] for v in made.verdicts if v.kind == "coverage"] == [
        ("linkability",),
        ("synthetic_attribute_inference",),
        ("copies",),
    ]
    every = Limit("all", "synthetic.over_control", 0.05)
    named = ("linkability", "synthetic_attribute_inference")
    left = (*leave_out([AUC, one]), LeftOut("synthetic", HELD_OUT, named))
    assert ruled(audit(table), policy(AUC, every, left_out=left)).code == 0


# ---------------------------------------------------------------- the file that is handed out


@pytest.mark.parametrize("release", RELEASES)
def test_a_release_that_hands_out_a_file_is_not_within_unopened(release: ReleaseKind) -> None:
    rules = policy(AUC, REBUILT, context=Context(release=release))
    outs = {
        "nothing": ([member()], ANSWERS),
        "closed": ([member(), CLOSED], ANSWERS),
        "opened": ([member(), OPENED], (*ANSWERS, *FILE)),
        "full": ([member(), FULL], (*ANSWERS, *FILE)),
    }
    codes = {
        name: ruled(audit(subject(outcomes=found, access=access)), rules).code
        for name, (found, access) in outs.items()
    }
    handed = release in HANDED_OUT
    assert codes == {
        "nothing": 3 if handed else 0,
        "closed": 3 if handed else 0,
        "opened": 0,
        "full": 1 if handed else 0,
    }


def test_a_file_that_was_not_opened_is_told_apart_from_one_that_does_not_apply() -> None:
    rules = policy(AUC, REBUILT, context=Context(release="partner"))
    found = ruled(audit(subject(outcomes=[member(), CLOSED])), rules)
    (one,) = [v for v in found.verdicts if v.rule == "rebuilt"]
    assert one.reason.code is ReasonCode.NO_ATTACK_RUN
    assert one.untested == (("stored_records", Reason(ReasonCode.FILE_NOT_GIVEN)),)
    assert "nobody looked into it" in word_reason(one)
    # Other attacks of the family do not stand for the file.
    traffic = replace(
        tried("gradient_inversion", "reconstruction", {"all": (0.0, 0.02)}), access=("UPDATES",)
    )
    made = audit(subject(outcomes=[member(), traffic], access=(*ANSWERS, "UPDATES")))
    assert gaps(ruled(made, rules)) == [
        ("reconstruction", "NOT TESTED", ReasonCode.FILE_NOT_OPENED)
    ]


INVERTED = Limit("inverted", "inversion.advantage", 0.1)
TREES = (Access.TREES.name,)
SEARCHED = tried("model_inversion", "inversion", {"half": (0.0, 0.02)})
STATED = replace(tried("leaf_facts", "inversion", {"alone": (0.0, 0.02)}), access=TREES)
PURE = replace(tried("leaf_facts", "inversion", {"alone": (0.6, 0.02)}), access=TREES)


@pytest.mark.parametrize("release", ["partner", "open-weights", "tre-egress", "public-api"])
def test_trees_count_where_the_file_is_handed_out(release: ReleaseKind) -> None:
    """Trees that nobody read leave the gate undecided; a forest that gives rows away is blocked."""
    handed = release in HANDED_OUT
    rules = policy(AUC, INVERTED, context=Context(release=release))
    unread = Skipped("leaf_facts", "inversion", Reason(ReasonCode.REFUSED, dict.fromkeys(
        ("what", "because", "fix"), "x")))  # fmt: skip

    def code(*outcomes: object) -> int:
        made = subject(outcomes=[member(), *outcomes], access=(*ANSWERS, *TREES))  # type: ignore[list-item]
        return ruled(audit(made), rules).code

    assert code(SEARCHED) == (3 if handed else 0)
    assert code(SEARCHED, unread) == (3 if handed else 0)
    assert code(SEARCHED, STATED) == 0
    assert code(SEARCHED, PURE) == (1 if handed else 0)
    # Nothing but the trees was read: of a model that is only asked nothing was tested.
    assert code(STATED) == (0 if handed else 3)
    made = audit(subject(outcomes=[member(), SEARCHED], access=(*ANSWERS, *TREES)))
    wanted = [("inversion", "NOT TESTED", ReasonCode.TREES_NOT_READ)] if handed else []
    assert gaps(ruled(made, rules)) == wanted
    left = (*leave_out([AUC, INVERTED]), LeftOut("inversion", HELD_OUT, ("leaf_facts",)))
    assert ruled(made, replace(rules, left_out=left)).code == 0


def test_groups_of_answers_alone_are_no_search_for_records() -> None:
    """Where the search failed, what answers are alike says nothing of it."""
    grouped = tried("structural", "inversion", {"sure": (0.0, 0.02)})
    failed = Skipped("model_inversion", "inversion", Reason(ReasonCode.REFUSED, dict.fromkeys(
        ("what", "because", "fix"), "x")))  # fmt: skip
    for outcomes in ((grouped,), (grouped, failed)):
        found = ruled(audit(subject(outcomes=[member(), *outcomes])), policy(AUC, INVERTED))
        assert gaps(found) == [("inversion", "NOT TESTED", ReasonCode.CLASS_NOT_TESTED)]
        assert found.code == 3
    both = ruled(audit(subject(outcomes=[member(), SEARCHED, grouped])), policy(AUC, INVERTED))
    assert (gaps(both), both.code) == ([], 0)
    leaks = tried("structural", "inversion", {"sure": (0.3, 0.02)})
    found = ruled(audit(subject(outcomes=[member(), SEARCHED, leaks])), policy(AUC, INVERTED))
    assert found.code == 1


def test_a_policy_without_a_rule_on_inversion_does_not_pass() -> None:
    left = tuple(one for one in leave_out([AUC]) if one.family != "inversion")
    found = ruled(audit(subject(outcomes=[member(), SEARCHED])), policy(AUC, left_out=left))
    assert gaps(found) == [("inversion", "INCONCLUSIVE", ReasonCode.CLASS_NOT_LIMITED)]
    assert (found.state, found.code) == ("INCONCLUSIVE", 3)


def test_the_data_s_own_reason_stands_in_the_verdict() -> None:
    row = Coverage(
        "attribute",
        "NOT TESTED",
        (),
        not_requested=("attribute",),
        reason=Reason(ReasonCode.NO_SENSITIVE_COLUMN),
    )
    found = ruled(audit(subject(), coverage=(row,)), policy(AUC, ATTRIBUTE))
    one = found.verdicts[1]
    assert one.untested == (("attribute", Reason(ReasonCode.NO_SENSITIVE_COLUMN)),)
    assert "no column is marked as sensitive" in word_reason(one)
    assert "Mark the columns" in word_remedy(one)
    assert "--" not in word_remedy(one)


# ---------------------------------------------------------------- controls

NOT_MADE = Reason(ReasonCode.NULL_OF_ONE_OUTCOME)
PLANTED, NULL = controls()


def with_controls(*checks: Control, auc: float = 0.5) -> Verdict:
    found = ruled(audit(subject(outcomes=[member("lira", number("auc", auc))], checks=checks)))
    assert found.code != 0
    return found.verdicts[0]


@pytest.mark.parametrize("auc", [0.5, 0.9])
def test_a_negative_control_that_was_not_made_voids_finds(auc: float) -> None:
    lost = replace(NULL, estimates=(), passed=False, error=NOT_MADE)
    one = with_controls(PLANTED, lost, auc=auc)
    assert (one.state, one.reason.code) == ("INCONCLUSIVE", ReasonCode.NEGATIVE_CONTROL_NOT_MADE)
    assert "among the reference patients" in word_reason(one)
    found = ruled(audit(subject(outcomes=[member()], checks=(PLANTED, lost))))
    assert (found.state, found.code) == ("INCONCLUSIVE", 3)
    assert not [n for n in found.notes if n.severity == "defect"]


def test_a_positive_control_that_was_not_made_voids_silence_and_no_find() -> None:
    lost = replace(PLANTED, estimates=(), passed=False, error=NOT_MADE)
    one = with_controls(lost, NULL)
    assert (one.state, one.reason.code) == ("INCONCLUSIVE", ReasonCode.POSITIVE_CONTROL_NOT_MADE)
    assert with_controls(lost, NULL, auc=0.9).state == "EXCEEDS"


def test_a_control_is_judged_by_its_numbers() -> None:
    """Whatever it states of itself: a null that reads as a leak, a planted leak that was missed."""
    leaking = replace(NULL, estimates=(number("auc", 0.9),))
    one = with_controls(PLANTED, leaking, auc=0.9)
    assert (one.state, one.reason.code) == ("INCONCLUSIVE", ReasonCode.NEGATIVE_CONTROL_FAILED)
    missed = replace(PLANTED, estimates=(number("auc", 0.5),))
    assert with_controls(missed, NULL).reason.code is ReasonCode.LACKS_POWER


@pytest.mark.parametrize(
    ("code", "params", "reason", "exit_code"),
    [
        ("control_failed", {"control": "negative"}, "negative_control_failed", 5),
        ("control_failed", {"control": "positive"}, "positive_control_not_made", 3),
        ("control_not_made", {"control": "negative"}, "negative_control_not_made", 3),
        ("planted_leak_missed", {}, "lacks_power", 3),
    ],
)
def test_what_the_audit_states_of_a_control_counts_where_the_subject_holds_none(
    code: str, params: dict[str, str], reason: str, exit_code: int
) -> None:
    about = {"attack": "lira", "subject": "model", **params}
    stated = Caveat(CaveatCode(code), "warning", about)
    made = audit(subject(checks=controls()), caveats=(stated,))
    found = ruled(made)
    assert (found.verdicts[0].reason.code, found.code) == (reason, exit_code)


# ---------------------------------------------------------------- the policy file


def test_what_is_left_out_is_read_strictly() -> None:
    made = parse(TOML.encode())
    assert [one.family for one in made.left_out] == ["attribute", "evasion", "inversion"]
    block = '\n[[not_tested]]\nfamily = "membership"\nreason = "r"\nattacks = ["rmia"]\n'
    assert parse((TOML + block).encode()).left_out[-1].attacks == ("rmia",)
    for old, new in (
        ('family = "membership"', 'family = "member"'),
        ('reason = "r"\n', ""),
        ('reason = "r"', 'reason = " "'),
        ('"rmia"', '"attribute"'),
        ('"rmia"', '"rmiaa"'),
        ('reason = "r"', 'reason = "r"\nexpires = 2030-01-01'),
    ):
        with pytest.raises(PrivauditError):
            parse((TOML + block.replace(old, new)).encode())


@pytest.mark.parametrize("release", RELEASES)
def test_starters_say_what_they_leave_out(release: str) -> None:
    made = parse(starter(release, date(2027, 1, 1)).encode())
    assert [one.family for one in made.left_out] == ["evasion"]
    full = [
        member("lira", number("auc", 0.5), number("tpr", 0.01)),
        INFERRED,
        OPENED,
    ]
    found = ruled(audit(subject(outcomes=full, access=(*ANSWERS, *FILE))), made)
    assert not gaps(found)
    assert any("about what it gives away" in text for text in word_notes(found))


def test_a_waived_level_is_the_number_and_not_its_spelling() -> None:
    def waived(level: str, *levels: str) -> list[bool]:
        parts = tuple(group(name, number("auc", 0.9), by="ward") for name in levels)
        rule = replace(AUC, by=("ward",))
        waiver = Exemption("auc", "r", "Dr. Who", date(2030, 1, 1), Group("ward", level))
        one = replace(member(), groups=parts)
        found = ruled(audit(subject(outcomes=[one])), policy(rule, waivers=(waiver,)))
        return [v.waiver is not None for v in found.verdicts if v.group is not None]

    assert waived("1", "1.0", "2.0") == [True, False]
    assert waived("1.0", "1", "2") == [True, False]
    # Two levels of one number stay two, and what is no plain number is no number.
    assert waived("1", "1", "1.0") == [True, False]
    assert waived("1.00", "1", "1.0") == [False, False]
    assert waived("01", "1", "2") == [False, False]


def test_an_attack_of_the_baseline_that_the_candidate_dropped_is_stated() -> None:
    from privaudit.policy import baseline
    from privaudit.policy.rules import Regression

    def run(seed: int, **found: float) -> Audit:
        outcomes: list[Finding] = [
            member(name, number("auc", value + seed / 1000)) for name, value in found.items()
        ]
        made = audit(subject(outcomes=outcomes))
        return replace(
            made,
            manifest=replace(
                made.manifest, seed_commitment=f"sha256:{seed:064x}", run=f"run-{seed}"
            ),
        )

    held = baseline.create(
        [run(seed, lira=0.55, rmia=0.58) for seed in range(5)],
        who="Dr. Who",
        when="2026-11-01",
        reason="r",
    )
    first, *others = (run(seed, lira=0.55) for seed in (5, 6, 7))
    for attacks in ((), ("lira",)):
        rule = Regression("worse", "membership.auc", 0.05, attacks=attacks, candidate_seeds=3)
        found = ruled(first, policy(AUC, rule), baseline=held, candidates=others)
        assert [(v.attack, v.state) for v in found.verdicts if v.kind == "regression"] == [
            ("lira", "WITHIN"),
            ("rmia", "NOT TESTED"),
        ]
        assert (found.state, found.code) == ("INCONCLUSIVE", 3)
