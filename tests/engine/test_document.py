"""Aggregates that leave: no small count, and none by subtraction."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_audit import ToyMethod, records

from privaudit.contracts import FlowStep
from privaudit.engine import document
from privaudit.facts import Reason, ReasonCode
from privaudit.results import ClaimText, Skipped, Subject


def chain(start: int, excluded: list[int], per_patient: int) -> list[FlowStep]:
    steps, stays = [FlowStep("all", 0, start, start // per_patient)], start
    for index, left_out in enumerate(excluded):
        stays -= left_out
        steps.append(FlowStep(f"s{index}", left_out, stays, stays // per_patient))
    return steps


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.one_of(st.integers(0, 25), st.integers(0, 2000)), min_size=0, max_size=8),
    st.integers(1, 3),
)
def test_no_small_count_can_be_read_off_the_flow(excluded: list[int], per_patient: int) -> None:
    flow = chain(20_000, excluded, per_patient)
    shown = document.merge_small(flow)
    assert shown[-1].stays == flow[-1].stays
    assert shown[-1].patients == flow[-1].patients
    for step in shown:
        assert not 0 < step.excluded_stays < 10
    for one, two in pairwise(shown):
        assert not 0 < one.stays - two.stays < 10
        assert not 0 < one.patients - two.patients < 10
        assert two.excluded_stays == one.stays - two.stays
    names = "; ".join(step.step for step in shown)
    assert all(step.step in names for step in flow)


def test_large_steps_are_shown_as_they_are() -> None:
    flow = chain(5000, [100, 0, 30], 1)
    assert document.merge_small(flow) == tuple(flow)


def test_a_small_last_step_joins_the_one_before() -> None:
    shown = document.merge_small(chain(5000, [100, 3], 1))
    assert [(s.excluded_stays, s.stays) for s in shown] == [(0, 5000), (103, 4897)]


def test_a_flow_that_leaves_out_fewer_than_ten_in_all_shows_only_the_end() -> None:
    shown = document.merge_small(chain(5000, [3, 2], 1))
    assert [(s.excluded_stays, s.stays) for s in shown] == [(0, 4995)]


def test_class_shares_of_rare_outcomes_are_left_out() -> None:
    table = records(200)
    y = np.zeros(200, dtype=int)
    y[:7] = 1
    rare = replace(table, y=y)
    assert document.pool("members", rare, exact=False).rates == {}
    assert document.pool("members", rare, exact=True).rates == {"no": 0.965, "yes": 0.035}
    y[:10] = 1
    assert document.pool("members", replace(table, y=y), exact=False).rates["yes"] == 0.05


def test_parameters_are_shown_through_all_levels() -> None:
    shown = document.params(ToyMethod())
    assert shown == {"learner": "ToyLearner", "learner.memory": "0.0", "learner.wait": "0.0"}
    assert document.describe(ToyMethod()).startswith("Train on the members. Least squares")


@pytest.mark.parametrize(
    ("given", "needs", "state"),
    [
        (("ANSWERS",), ("WEIGHTS",), "NOT TESTED"),
        (("TABLE",), ("ANSWERS", "WEIGHTS"), "NOT APPLICABLE"),
        (("TABLE",), (), "NOT TESTED"),
    ],
)
def test_a_family_applies_by_what_is_given_away(
    given: tuple[str, ...], needs: tuple[str, ...], state: str
) -> None:
    """An attack that needs more than the release gives away says nothing of the others."""
    refused = {"what": "no table", "because": "none came", "fix": ""}
    why = Reason(ReasonCode.REFUSED, refused)
    if needs:
        why = Reason(ReasonCode.LACKS_ACCESS, {"access": needs})
    claim = ClaimText(None, 0.0, "patient", "add-remove", (), "no claim")
    outcomes = (Skipped("pgd", "evasion", why),)
    groups = ((), (), ())
    one = Subject(
        "own", "supplied", "", "", {}, claim, given, *groups, None, None, outcomes, (), {}
    )
    covered = {c.family: c for c in document.coverage([one], {"pgd": "evasion"}, {"pgd"})}
    assert covered["evasion"].state == state
