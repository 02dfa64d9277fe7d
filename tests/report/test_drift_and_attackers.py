"""Whose number it is, and the sizes of drift and attack side by side, in the report."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sample import sample
from supplied import AUDITS, SHIFT

from privaudit import report
from privaudit.facts import Attacker, Caveat, CaveatCode, Metric
from privaudit.report.reading import read_membership
from privaudit.results import Audit, Control, Estimate, Finding, Subject

AUC = Metric("auc")


def auc(value: float, half: float = 0.02) -> Estimate:
    n = {"members": 900, "nonmembers": 900, "member_patients": 900, "nonmember_patients": 900}
    return Estimate(AUC, value, value - half, value + half, 0.5, n)


def compared(raw: float, null: float, shift: Caveat | None = None) -> Audit:
    """A supplied model, whose membership attacks read so, as does the null."""
    made = AUDITS["own"]
    one = made.subjects[0]

    def read(finding: Finding) -> Finding:
        attacker = {"threshold": Attacker.RELEASE_ALONE}.get(finding.attack, Attacker.CANDIDATES)
        rest = tuple(e for e in finding.estimates if e.metric.name not in ("auc", "tpr", "ppv"))
        return replace(
            finding,
            estimates=(auc(raw), *rest),
            null=(auc(null),),
            corrected=(auc(0.5 + raw - null, 0.01),),
            attacker=attacker,
        )

    def null_of(control: Control) -> Control:
        if control.kind != "negative":
            return control
        covers = abs(null - 0.5) <= 0.02
        code = Caveat(CaveatCode.NULL_FOLDS, "note")
        return replace(control, estimates=(auc(null),), passed=covers, made=code)

    outcomes = tuple(
        read(o) if isinstance(o, Finding) and o.family == "membership" else o for o in one.outcomes
    )
    headline = None if one.headline is None else read(one.headline)
    subject: Subject = replace(
        one, outcomes=outcomes, headline=headline, controls=tuple(map(null_of, one.controls))
    )
    data = replace(made.data, distribution_shift=shift)
    return replace(made, subjects=(subject,), data=data)


@pytest.mark.parametrize(
    ("raw", "null", "shift", "state"),
    [
        (0.93, 0.57, SHIFT, "detected"),
        (0.70, 0.70, None, "shifted"),
        (0.50, 0.50, SHIFT, "shifted"),
        (0.54, 0.54, None, "shifted"),
        (0.50, 0.44, None, "detected"),
    ],
)
def test_what_is_left_is_read(raw: float, null: float, shift: Caveat | None, state: str) -> None:
    made = compared(raw, null, shift)
    assert read_membership(made, made.subjects[0]).state == state
    text = report.markdown(made)
    assert "Drift and attack, side by side" in text
    assert f"{null:.2f}" in text
    cannot = "a difference between the patients cannot explain it" in text
    assert cannot == (state == "detected")
    assert "This audit is invalid" not in text


def test_a_find_that_nothing_is_set_beside_is_not_confirmed() -> None:
    made = AUDITS["own"]
    states = {read_membership(made, s).state for s in made.subjects}
    assert "detected" not in states
    assert "Drift and attack" not in report.markdown(sample())


def test_every_membership_number_says_whose_it_is() -> None:
    text = report.markdown(compared(0.93, 0.57))
    assert "by somebody who holds the records of all candidates" in text
    table = text[text.index("Attackers of membership inference") :][:2500]
    assert table.index("Holds the candidates") < table.index("Holds the release alone")
    assert "Holds similar patients" not in table
