"""Claims: published figures, closed forms, other accountants, and what is refused."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import norm

from privaudit.contracts import Access, Claim
from privaudit.dp import accounting
from privaudit.errors import PrivauditError

ROWS = [
    # sigma, q, steps, add-remove, replace at delta 1e-5
    (1.0, 0.01, 1000, 1.828, 2.843),
    (1.0, 0.01707, 1170, 3.546, 5.691),
    (1.5, 0.05, 400, 3.360, 6.173),
]


@pytest.mark.parametrize(("sigma", "q", "steps", "added", "replaced"), ROWS)
def test_training_claims_by_both_relations(
    sigma: float, q: float, steps: int, added: float, replaced: float
) -> None:
    for relation, expected in (("add-remove", added), ("replace", replaced)):
        claim = accounting.poisson_gaussian(sigma, q, steps, 1e-5, neighbours=relation)
        assert claim.epsilon == pytest.approx(expected, abs=6e-4)
        assert claim.neighbours == relation
        for said in ("PLD", "Poisson", f"q={q:g}", "unit patient", relation, "simulation noise"):
            assert said in claim.basis, (said, claim.basis)
        assert claim.covers == {Access.ANSWERS, Access.WEIGHTS}


@pytest.mark.parametrize(("sigma", "q", "steps"), [row[:3] for row in ROWS])
def test_agrees_with_the_accountant_of_opacus(sigma: float, q: float, steps: int) -> None:
    pytest.importorskip("opacus")
    low, estimate, high = _prv_bracket(sigma, q, steps, 1e-5)
    ours = accounting.poisson_gaussian(sigma, q, steps, 1e-5).epsilon
    assert ours is not None
    assert low <= ours <= high
    assert ours == pytest.approx(estimate, abs=0.005)


def _prv_bracket(sigma: float, q: float, steps: int, delta: float) -> tuple[float, float, float]:
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [(sigma, q, steps)]
    dprv = accountant._get_dprv(eps_error=0.01, delta_error=delta / 1000)
    low, estimate, high = dprv.compute_epsilon(delta, delta / 1000, 0.01)
    return float(low), float(estimate), float(high)


def test_closed_forms() -> None:
    assert accounting.laplace(0.5).epsilon == 2
    assert accounting.laplace(4.0, times=6).epsilon == 1.5
    # At a positive delta Laplace noise promises more: hockey-stick of two Laplace densities.
    claim = accounting.laplace(1.0, 0.01)
    assert claim.epsilon is not None
    assert claim.epsilon == pytest.approx(1 + 2 * math.log(1 - 0.01), abs=2e-4)
    # Gaussian, Balle and Wang 2018, theorem 8.
    claim = accounting.gaussian(2.0, 1e-5, times=9)
    assert claim.epsilon is not None
    mu, e = 3 / 2, claim.epsilon
    delta = norm.cdf(mu / 2 - e / mu) - math.exp(e) * norm.cdf(-mu / 2 - e / mu)
    assert delta == pytest.approx(1e-5, rel=0.01)


def test_randomised_response_attains_its_bound() -> None:
    truth = 0.75  # says the truth with 3/4: epsilon is log 3
    claim = accounting.stated(math.log(truth / (1 - truth)), by="randomised response, 3/4 true")
    assert accounting.tpr_bound(claim, 1 - truth) == pytest.approx(truth)
    assert accounting.tpr_bound(claim, [0, 1]) == pytest.approx([0, 1])
    assert "randomised response" in claim.basis


def test_bound_of_gaussian_and_laplace_noise_is_their_roc() -> None:
    fpr = np.array([1e-3, 0.01, 0.1, 0.5, 0.9])
    bound = accounting.tpr_bound(accounting.gaussian(1.0, 1e-5), fpr)
    assert bound == pytest.approx(norm.sf(norm.isf(fpr) - 1), rel=1e-4)
    assert float(accounting.tpr_bound(accounting.laplace(0.5), 0.01)) == pytest.approx(
        0.01 * math.exp(2), rel=2e-3
    )
    bound = accounting.tpr_bound(accounting.laplace(1.0), fpr)
    # Laplace(0, 1) against Laplace(1, 1), threshold t: three pieces.
    t = np.where(fpr < 0.5, -np.log(2 * fpr), np.log(2 * (1 - fpr)))
    exact = np.where(t > 1, np.exp(-(t - 1)) / 2, 1 - np.exp(t - 1) / 2)
    assert bound == pytest.approx(exact, rel=2e-3)
    assert (bound >= exact - 1e-9).all()


def test_bound_of_training_at_epsilon_ten() -> None:
    """The pair (epsilon, delta) alone would allow every member to be found."""
    sigma = accounting.solve_sigma(10.0, 1e-5, 0.1, 100)
    claim = accounting.poisson_gaussian(sigma, 0.1, 100, 1e-5)
    assert float(accounting.tpr_bound(claim, 0.01)) == pytest.approx(0.24, abs=0.01)
    pair = accounting.stated(10.0, 1e-5, by="the pair alone")
    assert float(accounting.tpr_bound(pair, 0.01)) > 0.99


def test_bound_is_a_concave_roc_and_holds_for_a_real_attack() -> None:
    claim = accounting.poisson_gaussian(0.8, 0.3, 10, 1e-4)
    fpr, tpr = accounting.tradeoff(claim)
    assert (np.diff(tpr) >= -1e-12).all()
    assert (tpr >= fpr - 1e-12).all()
    assert (np.diff(np.diff(tpr) / np.diff(fpr)) <= 1e-6).all()
    # The likelihood-ratio attack on the ten sums themselves, the strongest that there is.
    rng = np.random.default_rng(3)
    runs = 20000
    without = rng.normal(0, 0.8, (runs, 10))
    with_ = rng.normal(0, 0.8, (runs, 10)) + (rng.random((runs, 10)) < 0.3)

    def ratio(x: np.ndarray) -> np.ndarray:
        return np.log(0.7 + 0.3 * np.exp((2 * x - 1) / (2 * 0.8**2))).sum(axis=1)

    cut = np.quantile(ratio(without), 1 - np.array([0.01, 0.1, 0.5]))
    found = (ratio(with_)[:, None] > cut).mean(axis=0)
    bound = accounting.tpr_bound(claim, [0.01, 0.1, 0.5])
    assert (found <= bound + 0.01).all()
    assert found[:2] == pytest.approx(bound[:2], abs=0.02)  # and it is nearly attained


def test_no_claim_bounds_nothing() -> None:
    assert (accounting.tpr_bound(Claim(), [0.0, 0.5]) == 1).all()


@pytest.mark.parametrize(
    ("epsilon", "neighbours"), [(0.1, "replace"), (1.0, "add-remove"), (10.0, "add-remove")]
)
def test_solved_sigma_keeps_epsilon_and_wastes_little(epsilon: float, neighbours: str) -> None:
    sigma = accounting.solve_sigma(epsilon, 1e-5, 0.1, 50, neighbours)
    spent = accounting.poisson_gaussian(sigma, 0.1, 50, 1e-5, neighbours=neighbours).epsilon
    assert spent is not None
    assert 0.99 * epsilon < spent <= epsilon


def test_composition_and_groups() -> None:
    both = accounting.compose([accounting.laplace(1.0), accounting.laplace(2.0)])
    assert both.epsilon == 1.5
    one, two = accounting.gaussian(2.0, 1e-5), accounting.gaussian(1.0, 1e-5)
    joint = accounting.compose([one, two])
    alone = accounting.gaussian(1 / math.sqrt(1 + 1 / 4), 1e-5)
    assert joint.epsilon == pytest.approx(alone.epsilon, abs=1e-3)
    mixed = accounting.compose([accounting.laplace(1.0), one])
    assert mixed.epsilon is not None
    assert one.epsilon is not None
    assert max(1, one.epsilon) < mixed.epsilon <= 1 + one.epsilon + 1e-3
    stays = accounting.gaussian(4.0, 1e-9, unit="stay")
    patient = accounting.group(stays, 3)
    assert stays.epsilon is not None
    assert patient.epsilon == pytest.approx(3 * stays.epsilon)
    terms = sum(math.exp(i * stays.epsilon) for i in range(3))
    assert patient.delta == pytest.approx(1e-9 * terms)
    assert patient.unit == "patient"
    assert "3 stays" in patient.basis
    assert accounting.group(Claim(), 3) == Claim()
    with pytest.raises(PrivauditError, match="different things"):
        accounting.compose([stays, one])
    with pytest.raises(PrivauditError, match="without a guarantee"):
        accounting.compose([one, Claim()])
    with pytest.raises(PrivauditError, match="delta would be"):
        accounting.group(accounting.gaussian(0.3, 1e-5, unit="stay"), 20)


def test_usual_delta_is_a_power_of_ten_well_below_one_in_n() -> None:
    assert [accounting.usual_delta(n) for n in (1, 10, 11, 100, 1250, 15000)] == pytest.approx(
        [0.1, 0.01, 0.001, 0.001, 1e-5, 1e-6]
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: accounting.solve_sigma(0.0, 1e-5, 0.1, 10), "epsilon 0.0"),
        (lambda: accounting.solve_sigma(-1.0, 1e-5, 0.1, 10), "epsilon -1.0"),
        (lambda: accounting.solve_sigma(math.nan, 1e-5, 0.1, 10), "epsilon nan"),
        (lambda: accounting.solve_sigma(1.0, 0.0, 0.1, 10), "delta 0.0"),
        (lambda: accounting.solve_sigma(1.0, 1e-5, 0.0, 10), "sampling rate of 0.0"),
        (lambda: accounting.solve_sigma(1.0, 1e-5, 1.5, 10), "sampling rate of 1.5"),
        (lambda: accounting.poisson_gaussian(1.0, 0.1, 10, 0.01, n=200), "for 200 units"),
        (lambda: accounting.poisson_gaussian(1.0, 0.1, 0, 1e-5), "0 steps"),
        (lambda: accounting.poisson_gaussian(0.0, 0.1, 10, 1e-5), "noise multiplier of 0"),
        (lambda: accounting.poisson_gaussian(math.nan, 0.1, 10, 1e-5), "multiplier of nan"),
        (lambda: accounting.gaussian(1.0, 1.0), "delta 1.0"),
        (lambda: accounting.laplace(0.0), "scale of 0"),
        (lambda: accounting.stated(math.inf, by="x"), "epsilon inf"),
        (lambda: accounting.tpr_bound(Claim(), [1.2]), "outside"),
        (
            lambda: accounting.poisson_gaussian(1.0, 0.1, 9, 1e-5, neighbours="swap"),  # type: ignore[arg-type]
            "neighbours 'swap'",
        ),
    ],
)
def test_refuses_what_is_no_promise(call, said: str) -> None:
    with pytest.raises(PrivauditError, match=said):
        call()


def test_a_missing_accountant_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(PrivauditError, match=r"dp-accounting is not installed(.|\n)*privaudit\[dp"):
        accounting.poisson_gaussian(1.234, 0.1, 10, 1e-5)


def test_the_accountant_is_imported_when_needed() -> None:
    code = "import privaudit.dp.accounting, sys; print('dp_accounting' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
