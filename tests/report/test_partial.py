"""Attacks that measure something of a class do not stand for it on the page."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sample import sample

from privaudit.facts import Metric, Setting
from privaudit.report.coverage import get_coverage
from privaudit.results import Estimate, Finding


@pytest.mark.parametrize(
    ("attacks", "state"),
    [
        (("structural",), "NOT TESTED"),
        (("model_inversion",), "TESTED"),
        (("structural", "model_inversion"), "TESTED"),
    ],
)
def test_groups_of_answers_alone_do_not_test_inversion(
    attacks: tuple[str, ...], state: str
) -> None:
    whole = sample()
    numbers = {"attempts": 1000, "patients": 1000}
    metric = Metric("attack_minus_control", at=Setting("variant", "v"))
    found = tuple(
        Finding(name, "inversion", {}, ("ANSWERS",), (Estimate(metric, 0.0, 0, 0.01, 0, numbers),))
        for name in attacks
    )
    first, *_ = whole.subjects
    others = tuple(one for one in first.outcomes if one.family != "inversion")
    audit = replace(whole, subjects=(replace(first, outcomes=(*others, *found)),))
    (tried,) = (one for one in get_coverage(audit) if "inversion" in one.of.families)
    assert tried.state == state
    assert tried.state == "TESTED" or tried.reason
