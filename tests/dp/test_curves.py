"""Trade-off curves of a claimed mechanism: those of the accountant, and honest as tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from privaudit import stats
from privaudit.contracts import Claim, Scores
from privaudit.dp import accounting
from privaudit.dp.curves import NoiseCurves
from privaudit.errors import PrivauditError

DELTA = 1e-5
EVENTS = np.array([0.0, 1e-6, 1e-4, 0.003, 0.05, 0.3, 0.5, 0.9, 0.999, 1.0])


def test_a_gaussian_has_the_curve_of_its_closed_form() -> None:
    curves = NoiseCurves.of(accounting.gaussian(0.5, DELTA))
    assert curves.least(1.0)(EVENTS) == pytest.approx(norm.cdf(norm.ppf(EVENTS) - 2.0))
    # Twice the noise in four steps, and half the noise at twice the size, are the same.
    four = NoiseCurves.of(accounting.gaussian(1.0, DELTA, times=4))
    assert four.least(0.5)(EVENTS) == pytest.approx(norm.cdf(norm.ppf(EVENTS) - 1.0))
    assert four.epsilon(1.0) == pytest.approx(curves.epsilon(1.0), abs=1e-3)
    assert (curves.epsilon(0.0), curves.most) == (0.0, 10.0)


def test_a_curve_from_privacy_losses_is_the_bound_on_attacks_the_other_way_round() -> None:
    """`tpr_bound` says the most true positives at a rate of false ones; this the least rate."""
    claim = accounting.poisson_gaussian(1.0, 0.1, 50, DELTA)
    left = NoiseCurves.of(claim).least(1.0)(EVENTS)
    assert (np.diff(left) >= 0).all()
    assert (accounting.tpr_bound(claim, np.clip(left, 0, 1)) >= EVENTS - 2e-3).all()
    assert (accounting.tpr_bound(claim, left * 0.9) <= EVENTS + 1e-9).all()
    # More noise leaves more of every event.
    less = NoiseCurves.of(claim).least(0.7)(EVENTS)
    assert (less >= left - 1e-12).all()
    # Never above the curve of the mechanism itself, so that no true claim is refuted by rounding.
    sums = accounting.poisson_gaussian(2.0, 1.0, 16, DELTA, neighbours="replace")
    assert (
        NoiseCurves.of(sums).least(1.0)(EVENTS) <= norm.cdf(norm.ppf(EVENTS) - 2.0) + 1e-9
    ).all()


def test_what_has_no_noise_has_no_curve() -> None:
    for claim in (
        Claim(None, 0.0, "patient", "add-remove", frozenset(), ""),
        accounting.stated(1.0, DELTA, by="a library"),
    ):
        with pytest.raises(PrivauditError, match="noise is not known"):
            NoiseCurves.of(claim)
    with pytest.raises(PrivauditError, match="delta 0"):
        NoiseCurves.of(accounting.laplace(1.0))


def sampled(sigma: float, q: float, steps: int, m: int, rng: np.random.Generator):
    """What an attacker sees who is told each step's noisy sum of every patient's own coordinate:
    his best score is the log likelihood ratio."""
    member = rng.random(m) < 0.5
    joins = rng.random((steps, m)) < q
    seen = member * joins + rng.normal(0, sigma, (steps, m))
    ratio = np.log1p(q * np.expm1((2 * seen - 1) / (2 * sigma**2))).sum(axis=0)
    ids = np.arange(m)
    return Scores(ratio[member], ratio[~member], randomised=True), (ids[member], ids[~member])


@pytest.mark.slow
def test_a_sampled_mechanism_is_refuted_by_its_own_curve_alone_where_its_noise_is_less() -> None:
    """Noise of a third of the claimed is found, and the claimed one never exceeds its epsilon."""
    claim = accounting.poisson_gaussian(1.0, 0.1, 20, DELTA)
    curves = NoiseCurves.of(claim)
    proved: dict[float, list[float]] = {0.3: [], 1.0: []}
    for sigma, found in proved.items():
        for k in range(3):
            rng = np.random.default_rng([k, int(10 * sigma)])
            evidence, patients = sampled(sigma, 0.1, 20, 1000, rng)
            (bound,) = stats.lower_bounds(
                evidence,
                patients=patients,
                rng=rng,
                family=curves,
                names={"epsilon_lower_bound_fdp"},
            )
            assert bound.bound is not None
            assert bound.bound.family == "curve"
            found.append(bound.value)
    assert claim.epsilon is not None
    assert min(proved[0.3]) > claim.epsilon > max(proved[1.0]) > 0.2 * claim.epsilon
