"""Subgroups that nearly are those of an earlier document are withheld wherever they stand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from cohorts import draw_cohort, exact_document

from privaudit.disclosure.near_groups import withhold_near_groups
from privaudit.facts import Caveat, CaveatCode, Metric
from privaudit.results import Estimate, Finding, GroupResult, Subject


def test_those_named_patient_by_patient_are_withheld_too() -> None:
    toy = exact_document(draw_cohort(np.random.default_rng(0)))
    number = Estimate(Metric("patients_named"), 0.2, 0.1, 0.3, 0.0, {"patients": 200})
    groups = tuple(GroupResult(by, "one", (number,), 0.5) for by in ("sex", "unit"))
    found = Finding(
        "patient_risk", "membership", {}, (), (number,), groups=groups, over_represented=groups
    )
    near = Caveat(CaveatCode.NEAR_GROUPS, "warning", {"columns": ("unit",), "least": 10})
    made = replace(toy, subjects=(_with(toy.subjects[0], found),), caveats=(near,))
    (shown,) = withhold_near_groups(made).subjects
    assert shown.headline is not None
    for one in (*shown.outcomes, shown.headline):
        assert isinstance(one, Finding)
        for part in (one.groups, one.over_represented):
            assert [(g.by, g.suppressed) for g in part] == [("sex", False), ("unit", True)]
            assert part[1].estimates == ()


def _with(one: Subject, found: Finding) -> Subject:
    return replace(one, outcomes=(found,), headline=found)
