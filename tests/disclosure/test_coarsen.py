"""What is shared is rounded: no verdict becomes better by it, and no single patient shows."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from privaudit.disclosure import steps
from privaudit.disclosure.coarsen import (
    ATTACKS,
    CLAIMED,
    COUNTS,
    HELD_OUT,
    LEVEL_NAMES,
    LEVELS,
    MEMBERS,
    WANTED,
    _Rounding,
    least_step,
)
from privaudit.disclosure.marginals import PATIENTS_FOUND
from privaudit.facts import CAVEAT_PARAMS, REASON_PARAMS, Bound, BoundMethod, Metric
from privaudit.results import ColumnFit, Estimate, Finding, Pool
from privaudit.stats import onesided

NO_COUNTS = frozenset(
    (
        *("above", "strongest"),
        *("access", "adjusted", "after", "against", "agreement", "answers", "apart", "approved_by"),
        *("attack", "attacks", "auc", "auroc", "because", "before", "bound", "by", "codes"),
        *("column", "columns", "constant", "control", "count", "differing", "error", "expires"),
        *("family", "fix", "gap", "greatest", "group", "held_out_high", "held_out_low"),
        *("held_out_refit", "hidden", "high", "identifier", "included", "kind", "kinds"),
        *("above", "known", "run", "strongest"),
        *("lacking", "learner", "least", "level", "levels", "library", "lift", "limit", "listed"),
        *("low", "mean", "measured", "members_high"),
        *(
            "members_low",
            "members_refit",
            "metric",
            "models",
            "most",
            "names",
            "near",
            "neighbours",
            "noise",
        ),
        *("others", "outcome", "outcomes", "part", "patient_auc", "patient_high", "patient_low"),
        *(
            "record_auc",
            "names",
            "record_high",
            "record_low",
            "refits",
            "rounding",
            "rule",
            "budget",
            "scale",
            "settings",
            "share",
        ),
        *("spread", "subject", "subjects", "table", "text", "unit", "upper", "wanted", "weak"),
        *("what", "why"),
    )
)
"""Parameters of facts that count no patients: names, settings, shares, numbers of models."""


def test_every_parameter_is_known_to_count_patients_or_not() -> None:
    names = {
        n for table in (REASON_PARAMS, CAVEAT_PARAMS) for known in table.values() for n in known
    }
    declared = COUNTS | WANTED | LEVEL_NAMES | CLAIMED
    assert names - declared - NO_COUNTS == set()
    assert not declared & NO_COUNTS


@given(st.floats(1e-6, 1e6), st.floats(-1e4, 1e4))
def test_steps_are_short_decimals_and_round_the_right_way(size: float, value: float) -> None:
    below, above = steps.step_below(size), steps.step_above(size)
    assert size / 2.5000001 <= below <= size * (1 + 1e-8)
    assert size * (1 - 1e-8) <= above <= size * 2.5000001
    least, most = steps.down(value, above), steps.up(value, above)
    slack = 1e-8 * above + 1e-12
    assert least <= value + slack
    assert most >= value - slack
    assert most - least <= above * (1 + 1e-6)
    assert len(f"{steps.nearest(value, 0.005):.10f}".rstrip("0").split(".")[1]) <= 3


def rate(value: float, half: float, n: int, name: str = "auc") -> Estimate:
    """A number whose interval is symmetric on the logit scale, as those of rates nearly are."""
    centre = math.log(value / (1 - value))
    wide = half / (value * (1 - value))
    low, high = (1 / (1 + math.exp(-centre - side * wide)) for side in (-1, 1))
    bound = Bound(BoundMethod.DELONG)
    fpr = 0.01 if name == "tpr" else None
    many = {"member_patients": n, "nonmember_patients": n}
    return Estimate(Metric(name, fpr=fpr), value, low, high, 0.5, many, 0.95, bound)


@settings(max_examples=400, deadline=None)
@example(0.044921875, 0.044921875, 100, "auc", ATTACKS, 0.05)
@given(
    st.floats(0.02, 0.98),
    st.floats(0.002, 0.1),
    st.integers(100, 60_000),
    st.sampled_from(["auc", "tpr"]),
    st.sampled_from([ATTACKS, HELD_OUT]),
    st.sampled_from([0.05, 0.025]),
)
def test_rounding_lets_no_number_pass_that_did_not(
    value: float, half: float, n: int, name: str, share: float, level: float
) -> None:
    exact = rate(value, half, n, name)
    shared = _Rounding(False).estimate(exact, share)
    assert shared.low is not None
    assert shared.high is not None
    assert shared.value is not None
    assert 0 <= shared.low <= exact.low <= exact.high <= shared.high <= 1  # type: ignore[operator]
    assert shared.low <= shared.value <= shared.high
    assert all(count % 10 == 0 and n - count < 10 for count in shared.n.values())
    one, other = onesided.bounds(exact), onesided.bounds(shared)
    assert one is not None
    assert other is not None
    upper, rounded = one.upper(level), other.upper(level)
    assert upper is not None
    assert rounded is not None
    assert rounded >= upper - 1e-9


def test_what_guesses_prove_is_stated_at_smaller_levels_and_never_more() -> None:
    bound = Bound(BoundMethod.STEINKE, delta=1e-5, tried=8, made=60, right=57, assigned=800)
    exact = Estimate(
        Metric("epsilon_lower_bound"), 1.8342199, None, None, 0.0, {"patients": 803}, 0.95, bound
    )
    shared = _Rounding(False).estimate(exact, ATTACKS)
    assert shared.value == 1.8
    assert shared.bound is not None
    assert (shared.bound.made, shared.bound.right, shared.bound.assigned) == (0, 0, 0)
    found = [onesided.restated(shared, level) for level in LEVELS[1:]]
    wanted = [onesided.restated(exact, level) for level in LEVELS[1:]]
    for one, other in zip(found, wanted, strict=True):
        assert one is not None
        assert other is not None
        assert other - 0.1001 <= one <= other + 1e-12
    assert onesided.restated(shared, 0.02) == onesided.restated(shared, 0.01)
    assert onesided.restated(shared, 1e-9) is None


def told(published: float, without: float, within: float, inside: bool) -> float:
    """Whether the closer of two worlds is the true one; half, where they look the same."""
    gaps = abs(published - without), abs(published - within)
    return 0.5 if gaps[0] == gaps[1] else float((gaps[1] < gaps[0]) == inside)


@pytest.mark.parametrize(("share", "most"), [(ATTACKS, 0.56), (MEMBERS, 0.53)])
def test_who_knows_everybody_else_hardly_tells_whether_one_patient_is_a_member(
    share: float, most: float
) -> None:
    """The attacker of differential privacy: knows every loss, and every membership but one."""
    rng = np.random.default_rng(5)
    loss = rng.beta(0.4, 3.0, 1_600)
    members = rng.random(1_600) < 0.5
    half = 1.96 * float(loss[members].std()) / int(members.sum()) ** 0.5

    def mean(inside: np.ndarray) -> tuple[float, float]:
        """Exact and as it would be shared."""
        exact = float(loss[inside].mean())
        one = Estimate(Metric("log_loss"), exact, exact - half, exact + half)
        shared = _Rounding(False).estimate(one, share).value
        assert shared is not None
        return exact, shared

    published = mean(members)
    right = np.zeros(2)
    for target in range(600):
        worlds = []
        for guess in (False, True):
            inside = members.copy()
            inside[target] = guess
            worlds.append(mean(inside))
        for form in (0, 1):
            without, within = (world[form] for world in worlds)
            right[form] += told(published[form], without, within, bool(members[target]))
    assert right[0] == 600
    assert right[1] < 600 * most


def test_open_data_keep_their_counts() -> None:
    one = rate(0.61, 0.03, 1_237)
    shared = _Rounding(True).estimate(one, ATTACKS)
    assert shared.n == one.n
    assert shared.value == 0.61


def test_the_guesses_behind_a_bound_cannot_be_solved_for() -> None:
    """Many pairs of made and right guesses give what is shared."""
    shared = set()
    fits = 0
    for made in range(20, 120):
        for right in range(made // 2, made + 1):
            bound = Bound(
                BoundMethod.STEINKE, delta=1e-5, tried=1, made=made, right=right, assigned=1_000
            )
            one = Estimate(Metric("epsilon_lower_bound"), 0.9, None, None, 0.0, {}, 0.95, bound)
            stated = _Rounding(False).estimate(one, ATTACKS).bound
            assert stated is not None
            shared.add(stated.levels)
            fits += 1
    assert fits > 40 * len(shared)


def test_a_share_without_an_interval_moves_with_few_patients() -> None:
    """Of a note, a fact, a column of a table, and of a pool's outcomes."""
    rounding = _Rounding(False, 800)
    for place in (
        lambda share: rounding.param("auc", share),
        lambda share: rounding.fact("distribution shift, AUC without the model", share),
        lambda share: rounding.pool(Pool("members", 800, 800, {"died": share})).rates["died"],
        lambda share: (
            rounding.column(ColumnFit("c", "number", ("a",), (share,), (0.0,), 0.0, 0.0)).real
        ),
    ):
        seen = [place(count / 800) for count in range(80, 400)]
        moved = sum(one != other for one, other in pairwise(seen))
        assert moved < 320 / 12


def test_a_measured_chance_is_rounded_however_short_it_is() -> None:
    """101 of 500 patients died: a chance of 0.202, which has three decimals."""
    one = Estimate(Metric("auprc"), 0.43, 0.36, 0.5, 0.202, {"patients": 500})
    shared = _Rounding(False).estimate(one, MEMBERS)
    assert shared.chance == 0.2


def test_a_share_of_patients_at_risk_tells_no_small_count() -> None:
    """9 of 300 who are at risk read as 10 of 300 do, or as none: the step is 10 patients at
    least."""
    for patients, at_risk in ((300, 9), (200, 5), (1000, 4), (40, 3)):
        one = Estimate(
            Metric("patients_at_risk"),
            at_risk / patients,
            0.0,
            (at_risk + 1) / patients,
            0.0,
            {"patients": patients},
        )
        step = least_step(one)
        assert step * patients >= 10
        shown = _Rounding(False).estimate(one, ATTACKS)
        assert shown.value is not None
        assert round(shown.value / step) * step == pytest.approx(shown.value)
        assert shown.low is not None
        assert shown.high is not None
        assert shown.high - shown.low >= step - 1e-9


def test_a_file_that_tells_of_few_patients_tells_not_of_how_many() -> None:
    """Such as the one patient with the greatest value, or the four who are alone in a leaf."""

    def shown(attack: str, count: int, exact: bool = False) -> Estimate:
        share, n = count / 2_400, {"attempts": 2_400, "patients": 2_400}
        low, high = max(0.0, share - 0.001), share + 0.002
        one = Estimate(Metric("attack_rate"), share, low, high, 0.0, n)
        found = Finding(attack, "reconstruction", {}, ("FILE",), (one,))
        return _Rounding(exact).finding(found).estimates[0]

    for attack in PATIENTS_FOUND:
        seen = [shown(attack, count) for count in range(5)]
        assert len({(one.value, one.high) for one in seen}) == 1
        assert all(
            one.high is not None and one.high >= count / 2_400 for count, one in enumerate(seen)
        )
    assert len({shown("other", count).value for count in range(6)}) > 1
    assert shown("leaf_facts", 4, exact=True).value == pytest.approx(4 / 2_400, abs=4e-4)
