"""Limits on a guarantee, held against all private releases of a run together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from policy_lab import DAY, audit, policy, subject

from privaudit.contracts import Access
from privaudit.facts import ReasonCode
from privaudit.policy.judge import judge
from privaudit.policy.rules import Context, Exemption, Limit
from privaudit.report.formats import FORMATS, render
from privaudit.report.wording.verdicts import explain_verdict
from privaudit.results import Audit, ClaimText, ComposedClaim
from privaudit.verdicts import Verdict, from_json, to_json

COVERED = (Access.ANSWERS.name, Access.WEIGHTS.name)
THREE = policy(Limit("eps", "epsilon.claimed", 3.0))


def claiming(*epsilons: float | None, composed: float | None = None, **kinds: str) -> Audit:
    """Subjects m0, m1, ... that claim these; kinds: another unit or relation for one of them."""
    subjects = []
    for i, epsilon in enumerate(epsilons):
        unit, _, neighbours = kinds.get(f"m{i}", "patient add-remove").partition(" ")
        claim = ClaimText(epsilon, 1e-5, unit, neighbours, COVERED, "PLD")
        subjects.append(subject(name=f"m{i}", claim=claim, access=COVERED))
    made = audit(*subjects)
    if composed is None:
        return made
    names = tuple(one.name for one in subjects)
    told = ComposedClaim(composed, 1e-5, "patient", "add-remove", names, "pld")
    return replace(made, composed=(told,))


def together(made: Audit, rules=THREE) -> list[Verdict]:
    return [v for v in judge(rules, made, today=DAY).verdicts if v.together]


def test_three_models_of_the_limit_are_not_within_it() -> None:
    """The hole: each of three keeps to 3, and a patient's privacy is what all three come to."""
    made = claiming(3.0, 3.0, 3.0, composed=6.2)
    found = judge(THREE, made, today=DAY)
    assert [v.state for v in found.verdicts if v.subject and v.rule == "eps"] == ["WITHIN"] * 3
    (one,) = together(made)
    assert (one.state, one.value, one.severity) == ("EXCEEDS", 6.2, "block")
    assert one.together == ("m0", "m1", "m2")
    assert (found.state, found.code) == ("EXCEEDS", 1)
    said = " ".join(explain_verdict(one))
    for part in ("m0", "m1", "m2", "together", "6.2", "3"):
        assert part in said
    assert to_json(from_json(to_json(found))) == to_json(found)


def test_a_document_without_the_composed_claim_is_judged_by_the_sum() -> None:
    (one,) = together(claiming(1.0, 1.0, 1.5))
    assert (one.state, one.value) == ("EXCEEDS", 3.5)
    assert together(claiming(1.0, 1.0))[0].state == "WITHIN"
    assert together(claiming(1.0, 1.0, 1.5, composed=2.4))[0].state == "WITHIN"


@pytest.mark.parametrize("forged", [0.0, 0.5, 2.8, 99.0])
def test_a_composed_claim_that_cannot_be_is_not_believed(forged: float) -> None:
    """Below the largest of its parts, or above their sum: the sum stands."""
    (one,) = together(claiming(2.9, 2.9, composed=forged))
    assert (one.state, one.value) == ("EXCEEDS", 5.8)


def test_a_composed_claim_about_others_does_not_stand_for_these() -> None:
    made = claiming(2.9, 2.9, composed=3.0)
    other = replace(made.composed[0], subjects=("m0", "x"))
    assert together(replace(made, composed=(other,)))[0].value == pytest.approx(5.8)
    site = replace(made.composed[0], unit="site")
    assert together(replace(made, composed=(site,)))[0].value == pytest.approx(5.8)


def test_only_what_is_to_be_released_is_composed() -> None:
    made = claiming(2.0, 2.0, 2.0, composed=3.4)
    alone = replace(THREE, context=Context(subjects=("m1",)))
    assert together(made, alone) == []
    two = replace(THREE, context=Context(subjects=("m1", "m2")))
    (one,) = together(made, two)
    assert one.together == ("m1", "m2")
    assert one.value == 3.4, "what all three come to bounds what two of them do"


def test_guarantees_of_different_kinds_leave_the_limit_undecided() -> None:
    for other in ("patient replace", "site add-remove"):
        made = claiming(1.0, 1.0, m1=other)
        (one,) = together(made)
        assert (one.state, one.value) == ("INCONCLUSIVE", None)
        assert one.reason.code is ReasonCode.GUARANTEES_APART
        assert judge(THREE, made, today=DAY).state != "WITHIN"
        assert "m0" in " ".join(explain_verdict(one))
    states = {v.state for v in together(claiming(2.0, 2.0, 1.0, m2="site add-remove"))}
    assert states == {"EXCEEDS", "INCONCLUSIVE"}


def test_one_private_release_or_no_limit_on_a_guarantee_is_judged_as_before() -> None:
    assert together(claiming(1.0, None)) == []
    assert together(claiming(1.0)) == []
    rules = policy(Limit("auc", "membership.auc", 0.6))
    assert together(claiming(1.0, 1.0), rules) == []
    delta = policy(Limit("d", "epsilon.delta", 1e-5))
    (one,) = together(claiming(1.0, 1.0), delta)
    assert (one.state, one.value) == ("EXCEEDS", 2e-5), "added up, deltas are spent twice"


def test_a_waiver_of_one_model_does_not_waive_all_together() -> None:
    waiver = Exemption("eps", "agreed", "an officer", DAY, subject="m0")
    rules = replace(THREE, waivers=(waiver,))
    (one,) = together(claiming(2.0, 2.0), rules)
    assert one.waiver is None
    (one,) = together(claiming(2.0, 2.0), replace(THREE, waivers=(replace(waiver, subject=""),)))
    assert one.waiver is not None


def test_every_format_prints_it() -> None:
    found = judge(THREE, claiming(3.0, 3.0, composed=4.6), today=DAY)
    for name in FORMATS:
        assert "4.6" in render(found, name), name


def test_the_report_tells_it_with_the_guarantees() -> None:
    from privaudit.report.sections.training_and_guarantees import build

    told = repr(build(claiming(3.0, 3.0, composed=4.6), None))
    assert "m0" in told
    assert "epsilon 4.6" in told
    assert "do not add up" not in told
    assert "do not add up" in repr(build(claiming(3.0, 3.0, m1="site replace"), None))


def test_a_composed_delta_below_that_of_a_part_is_not_believed() -> None:
    made = claiming(2.9, 2.9, composed=3.0)
    forged = replace(made.composed[0], delta=0.0)
    assert together(replace(made, composed=(forged,)))[0].value == pytest.approx(5.8)
