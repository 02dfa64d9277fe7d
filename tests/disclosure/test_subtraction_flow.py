"""The cohort flow that leaves: no small count, and none by subtraction."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privaudit.disclosure.cohort import merge_small
from privaudit.results import FlowRow


def chain(start: int, excluded: list[int], per_patient: int) -> list[FlowRow]:
    steps, stays = [FlowRow("all", 0, start, start // per_patient)], start
    for index, left_out in enumerate(excluded):
        stays -= left_out
        steps.append(FlowRow(f"s{index}", left_out, stays, stays // per_patient))
    return steps


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.one_of(st.integers(0, 25), st.integers(0, 2000)), min_size=0, max_size=8),
    st.integers(1, 3),
)
def test_no_small_count_can_be_read_off_the_flow(excluded: list[int], per_patient: int) -> None:
    flow = chain(20_000, excluded, per_patient)
    shown = merge_small(flow)
    assert shown[-1].stays == flow[-1].stays
    assert shown[-1].patients == flow[-1].patients
    for step in shown:
        assert not 0 < step.excluded < 10
    for one, two in pairwise(shown):
        assert not 0 < one.stays - two.stays < 10
        assert not 0 < one.patients - two.patients < 10
        assert two.excluded == one.stays - two.stays
    names = "; ".join(step.step for step in shown)
    assert all(step.step in names for step in flow)


def test_large_steps_are_shown_as_they_are() -> None:
    flow = chain(5000, [100, 0, 30], 1)
    assert merge_small(flow) == tuple(flow)


def test_a_small_last_step_joins_the_one_before() -> None:
    shown = merge_small(chain(5000, [100, 3], 1))
    assert [(s.excluded, s.stays) for s in shown] == [(0, 5000), (103, 4897)]


def test_a_flow_that_leaves_out_fewer_than_ten_in_all_shows_only_the_end() -> None:
    shown = merge_small(chain(5000, [3, 2], 1))
    assert [(s.excluded, s.stays) for s in shown] == [(0, 4995)]


def test_a_single_small_step_is_said_to_be_small() -> None:
    (shown,) = merge_small([FlowRow("all", 3, 4997, 4997)])
    assert shown == FlowRow("all: fewer than 10 excluded", 0, 4997, 4997)
