"""One-sided bounds from a stored interval: by the metric's scale and the typed bound, never by a
text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privaudit.contracts import Scores
from privaudit.facts import Bound, BoundMethod, Metric, Setting
from privaudit.results import Estimate
from privaudit.stats import onesided
from privaudit.stats.epsilon import lower_bounds


def estimate(metric: Metric, value: float, low: float, high: float) -> Estimate:
    return Estimate(metric, value, low, high, n={"patients": 500}, bound=Bound(BoundMethod.WILSON))


@pytest.mark.parametrize("value", [-0.1, 0.0, 0.1])
@pytest.mark.parametrize(
    "name",
    ["attack_minus_control", "prevalence_gap", "exact_copies_excess", "auroc_loss"],
)
def test_a_difference_has_both_bounds_on_either_side_of_zero(name: str, value: float) -> None:
    found = onesided.bounds(estimate(Metric(name), value, value - 0.05, value + 0.05))
    assert found is not None
    lower, upper = found.lower(0.025), found.upper(0.025)
    assert lower is not None
    assert upper is not None
    assert value - 0.06 < lower < value - 0.04
    assert value + 0.04 < upper < value + 0.06


def test_a_number_beyond_its_scale_keeps_its_uncertainty() -> None:
    found = onesided.bounds(estimate(Metric("brier"), 1.1, 0.9, 1.3))
    assert found is not None
    upper = found.upper(0.025)
    assert upper is not None
    assert upper > 1.25


def test_a_series_name_says_nothing_about_the_number() -> None:
    plain = estimate(Metric("attack_rate"), 0.2, 0.15, 0.25)
    for name in ("0.5 / x", "epsilon_lower_bound", "24h insulin", ", had sums", "@tpr_at_fpr_0.1"):
        named = replace(plain, metric=Metric("attack_rate", at=Setting("column", name)))
        one, other = onesided.bounds(plain), onesided.bounds(named)
        assert one is not None
        assert other is not None
        assert one.upper(0.01) == other.upper(0.01)


@pytest.mark.parametrize("name", ["epsilon_lower_bound", "epsilon_lower_bound_fdp"])
def test_a_proof_is_restated_from_the_guesses_of_its_bound(name: str) -> None:
    rng = np.random.default_rng(1)
    scores = Scores(rng.normal(2, 1, 250), rng.normal(0, 1, 250), randomised=True)
    ids = np.arange(250), np.arange(250) + 1000
    (found,) = lower_bounds(scores, patients=ids, rng=rng, names={name})
    assert found.value is not None
    assert onesided.restated(found, 0.05) == found.value
    strict = onesided.restated(found, 0.001)
    assert strict is not None
    assert 0 < strict < found.value
    assert onesided.restated(replace(found, bound=None), 0.001) is None
    assert onesided.restated(replace(found, bound=None, value=0.0), 0.001) == 0.0
