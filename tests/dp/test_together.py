"""What several private releases of the same patients guarantee together."""

from __future__ import annotations

import math
import sys

import pytest

from privaudit.composition import add_up, group_claims
from privaudit.contracts import Claim, Mechanism
from privaudit.dp import accounting
from privaudit.dp.together import compose_claims
from privaudit.results import ClaimText


def text(claim: Claim) -> ClaimText:
    return ClaimText(claim.epsilon, claim.delta, claim.unit, claim.neighbours, (), claim.basis)


def compose(**claims: Claim):
    return compose_claims(
        {name: text(c) for name, c in claims.items()},
        {name: c.mechanisms for name, c in claims.items()},
    )


def gaussian(epsilon: float, **more) -> Claim:
    return accounting.gaussian(accounting.solve_gaussian(epsilon, 1e-5), 1e-5, **more)


def test_three_models_of_epsilon_3_are_one_gaussian_of_their_squares() -> None:
    (found,) = compose(a=gaussian(3.0), b=gaussian(3.0), c=gaussian(3.0))
    sigma = accounting.solve_gaussian(3.0, 1e-5) / math.sqrt(3)
    assert found.epsilon == pytest.approx(accounting.gaussian(sigma, 1e-5).epsilon, rel=1e-6)
    assert 5 < found.epsilon < 9, "more than each, less than their sum"
    assert (found.delta, found.method, found.subjects) == (1e-5, "pld", ("a", "b", "c"))


def test_pure_guarantees_add_up_and_keep_delta_0() -> None:
    (found,) = compose(a=accounting.laplace(1.0), b=accounting.stated(2.0, by="x"))
    assert found.epsilon == pytest.approx(3.0)
    assert found.delta == 0


def test_pairs_alone_spend_their_deltas_too() -> None:
    pair = accounting.stated(1.0, 1e-5, by="the pair alone")
    (found,) = compose(a=pair, b=pair)
    assert found.delta == pytest.approx(2e-5)
    assert 1 < found.epsilon <= 2


def test_other_units_and_relations_stay_apart_and_nothing_claimed_stays_out() -> None:
    found = compose(
        a=gaussian(3.0),
        b=gaussian(2.0),
        c=gaussian(2.0, neighbours="replace"),
        d=gaussian(2.0, unit="site"),
        e=Claim(),
    )
    assert [c.subjects for c in found] == [("a", "b")]
    assert compose(a=gaussian(3.0), e=Claim()) == ()
    claims = {"a": text(gaussian(3.0)), "b": text(gaussian(2.0, unit="site"))}
    assert set(group_claims(claims)) == {("patient", "add-remove"), ("site", "add-remove")}


@pytest.mark.parametrize("lost", ["mechanisms", "library"])
def test_without_steps_or_library_epsilons_are_added_up(
    lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"a": gaussian(3.0), "b": gaussian(2.0)}
    steps: dict[str, tuple[Mechanism, ...]] = {name: c.mechanisms for name, c in own.items()}
    if lost == "mechanisms":
        steps["b"] = ()
    else:
        from privaudit.dp import _privacy_loss

        _privacy_loss._compose.cache_clear()
        monkeypatch.setitem(sys.modules, "dp_accounting", None)
    (found,) = compose_claims({name: text(c) for name, c in own.items()}, steps)
    assert found.method == "basic"
    assert found.epsilon == sum(c.epsilon for c in own.values())
    assert found.delta == pytest.approx(2e-5)


def test_never_below_the_largest_nor_above_the_sum() -> None:
    cases = [(0.1, 0.1), (3.0, 0.01), (8.0, 8.0)]
    for one, two in cases:
        own = {"a": text(gaussian(one)), "b": text(accounting.laplace(1 / two))}
        (found,) = compose_claims(
            own, {"a": gaussian(one).mechanisms, "b": accounting.laplace(1 / two).mechanisms}
        )
        assert max(c.epsilon for c in own.values()) - 1e-9 <= found.epsilon
        assert found.epsilon <= add_up(own).epsilon
