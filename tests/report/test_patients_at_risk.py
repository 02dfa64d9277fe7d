"""The section of patients at risk, and what the first screen makes of an average near guessing."""

from __future__ import annotations

from dataclasses import replace

from sample import membership, sample

from privaudit.disclosure import disclose
from privaudit.facts import Bound, BoundMethod, Metric, Reason, ReasonCode
from privaudit.report.blocks import Chart, Prose, Table
from privaudit.report.reading import read_membership
from privaudit.report.render_html import render
from privaudit.report.sections.patients_at_risk import build
from privaudit.report.withheld import withhold
from privaudit.results import Audit, Curve, Estimate, Finding, GroupResult

N = {"patients": 2000}
BOUND = Bound(
    BoundMethod.COMPLEMENTARY_PAIRS,
    levels=((0.05, 0.2), (0.001, 0.3)),
    below=((0.05, 0.05), (0.001, 0.03)),
)


def risk(named: float, low: float) -> Finding:
    """What the attack states; low: the lower bound of the share at risk at every level."""
    bound = replace(BOUND, below=((0.05, low), (0.001, low)))
    lack = Reason(ReasonCode.TOO_FEW_REFITS, {"wanted": 64, "refits": 32})
    shown = (
        Estimate(Metric("patients_at_risk"), max(low, 0.02), low, 0.25, 0.0, N, 0.95, bound),
        Estimate(Metric("patients_named_beyond"), None, chance=0.0, n=N, refusal=lack),
        Estimate(Metric("patients_named"), named, named / 2, min(1.0, named * 2), 0.0, N),
        Estimate(Metric("members_named"), 0.0, 0.0, 0.01, 0.0, {"member_patients": 1000}),
    )
    line = Curve(
        "survival", Metric("patients_beyond"), (0.7, 0.8), (0.2, 0.1), (0.1, 0.05), (0.3, 0.2)
    )
    groups = tuple(
        GroupResult(
            "age",
            level,
            (Estimate(Metric("patients_named"), share, 0.0, 0.5, 0.0, {"patients": 500}),),
            p,
        )
        for level, share, p in (("old", 0.2, 0.001), ("young", 0.02, 1.0))
    )
    game = membership("patient_risk", 0.0, 1.0)
    return replace(
        game,
        params={"shadows": 32},
        estimates=(*game.estimates, *shown),
        curves=(*game.curves, line),
        over_represented=groups,
    )


def audit(finding: Finding | None) -> Audit:
    """An audit of one model on which the other attacks read as guessing."""
    made = sample()
    s = next(s for s in made.subjects if read_membership(made, s).state == "undetected")
    outcomes = tuple(o for o in s.outcomes if o.family == "membership")
    own = replace(s, outcomes=outcomes if finding is None else (*outcomes, finding))
    return replace(made, subjects=(own,))


def state(finding: Finding | None) -> str:
    found = audit(finding)
    return read_membership(found, found.subjects[0]).state


def test_patients_found_one_by_one_are_no_reading_of_guessing() -> None:
    assert state(None) not in ("detected", "learnt")
    assert state(risk(0.0, 0.0)) == state(None)
    assert state(risk(0.12, 0.0)) == "learnt"
    assert state(risk(0.0, 0.02)) == "learnt"


def test_the_section_draws_the_curve_and_names_the_group() -> None:
    blocks = build(withhold(audit(risk(0.12, 0.05))), None)
    assert sum(isinstance(b, Chart) for b in blocks) == 1
    tables = [b for b in blocks if isinstance(b, Table)]
    assert len(tables) == 2
    assert "64 shadow models" in str(tables[0])
    assert "12" in str(tables[0].rows)
    assert [str(row[0]) for row in tables[1].rows] == ["age: old", "age: young"]
    assert 'id="patients-at-risk"' in render(audit(risk(0.12, 0.05)))


def test_few_named_leave_no_count_in_what_is_shared() -> None:
    """4 of 2,000 patients are named: their number is not shared."""
    made = audit(risk(0.002, 0.0))
    shared = disclose(replace(made, data=replace(made.data, real=True)))
    (found,) = [o for o in shared.subjects[0].outcomes if o.attack == "patient_risk"]
    assert isinstance(found, Finding)
    by = {e.metric.name: e for e in found.estimates}
    assert by["patients_named"].value is None
    assert by["patients_named"].refusal is not None
    assert by["patients_named"].refusal.code is ReasonCode.SMALL_CELL
    assert by["patients_at_risk"].value is not None
    assert by["members_named"].value == 0.0


def test_without_the_attack_the_section_says_what_an_average_may_hide() -> None:
    (only,) = build(audit(None), None)
    assert isinstance(only, Prose)
