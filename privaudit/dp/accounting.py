"""What a noisy training run may claim: the only place where a guarantee with an epsilon is made.

Every figure is an upper bound from privacy-loss distributions (dp-accounting's "connect the dots"):
Sommer, Meiser and Mohammadi 2019 (PoPETs 2019.2), Koskela, Jälkö and Honkela 2020 (AISTATS),
Doroshenko et al. 2022 (PoPETs 2022.4). The moments (RDP) accountant would overstate epsilon by 10
to 15 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from privaudit.contracts import Access, Claim, Mechanism
from privaudit.dp._privacy_loss import (
    MAX_SIGMA,
    MIN_SIGMA,
    Neighbours,
    Unit,
    claimed_epsilon,
    find_sigma,
    privacy_profile,
    pure_epsilon,
)
from privaudit.errors import PrivauditError
from privaudit.secure_random import is_secret

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SHOWN = frozenset({Access.ANSWERS, Access.WEIGHTS})
"""What a claim about a trained model covers, unless stated otherwise."""
SIMULATED = "simulation noise"
"""Noise drawn from a recorded stream: whoever holds the seed can subtract it."""
SECRET = "secret noise from a keyed cipher stream"
"""Noise that nobody without the run's key can subtract: see `privaudit.dp.noise`."""


def poisson_gaussian(
    sigma: float,
    q: float,
    steps: int,
    delta: float,
    *,
    unit: Unit = "patient",
    covers: frozenset[Access] = SHOWN,
    neighbours: Neighbours = "add-remove",
    n: int | None = None,
    noise: str = SIMULATED,
) -> Claim:
    """The guarantee of noisy training in which each unit joins each step with chance q.

    sigma: noise standard deviation over the most that one unit may contribute (its clipping norm);
    steps: how many noisy sums were released; n: how many units there are: delta above 1/n is
    refused; noise: where the noise came from, for the basis. Sampling must have been Poisson:
    shuffled batches do not earn this number. Source: Abadi et al. 2016 (arXiv 1607.00133);
    replacing a unit: Zhu, Dong and Wang 2022 (arXiv 2106.08567).
    """
    _check_sigma(sigma)
    _check_sampling(q, steps)
    step = Mechanism("poisson_gaussian", float(sigma), int(steps), float(q))
    words = f"Poisson sampling q={q:.4g}, Gaussian noise multiplier {sigma:.4g}, {steps} steps"
    return _claim((step,), delta, unit, covers, neighbours, n, words, noise)


def gaussian(
    sigma: float,
    delta: float,
    *,
    times: int = 1,
    unit: Unit = "patient",
    covers: frozenset[Access] = SHOWN,
    neighbours: Neighbours = "add-remove",
    n: int | None = None,
    noise: str = SIMULATED,
) -> Claim:
    """The guarantee of `times` answers with Gaussian noise.

    sigma: noise standard deviation over the L2 sensitivity under the relation named. Source: Balle
    and Wang 2018 (arXiv 1805.06530), theorem 8.
    """
    _check_sigma(sigma / math.sqrt(max(times, 1)))
    _check_sampling(1.0, times)
    words = f"Gaussian noise multiplier {sigma:.4g}, {times} times"
    step = Mechanism("gaussian", float(sigma), int(times))
    return _claim((step,), delta, unit, covers, neighbours, n, words, noise)


def laplace(
    scale: float,
    delta: float = 0.0,
    *,
    times: int = 1,
    unit: Unit = "patient",
    covers: frozenset[Access] = SHOWN,
    neighbours: Neighbours = "add-remove",
    n: int | None = None,
    noise: str = SIMULATED,
) -> Claim:
    """The guarantee of `times` answers with Laplace noise.

    scale: the Laplace scale over the L1 sensitivity under the relation named. With delta 0 the
    epsilon is times / scale exactly. Source: Dwork et al. 2006 (TCC), proposition 1.
    """
    if not (scale > 0 and math.isfinite(scale)):
        raise PrivauditError(
            f"a Laplace scale of {scale}",
            "no noise means no guarantee: the scale is above 0",
            "use sensitivity / epsilon as the scale",
        )
    _check_sampling(1.0, times)
    words = f"Laplace noise of scale {scale:.4g} x sensitivity, {times} times"
    step = Mechanism("laplace", float(scale), int(times))
    return _claim((step,), delta, unit, covers, neighbours, n, words, noise)


def stated(
    epsilon: float,
    delta: float = 0.0,
    *,
    by: str,
    unit: Unit = "patient",
    covers: frozenset[Access] = SHOWN,
    neighbours: Neighbours = "add-remove",
    n: int | None = None,
    noise: str = SIMULATED,
) -> Claim:
    """A guarantee that a library states, or that follows in closed form (randomised response).

    by: who says so and why, for the basis. Only (epsilon, delta) is known, so its curve is the
    worst one that this pair allows.
    """
    check(epsilon, delta, n)
    step = Mechanism("stated", float(epsilon), 1, 1.0, float(delta))
    return _claim((step,), delta, unit, covers, neighbours, n, by, noise)


def compose(claims: Sequence[Claim], delta: float | None = None) -> Claim:
    """The guarantee of several releases about the same people, all of them known to the attacker.

    delta: of the whole, by default the largest of the parts. It covers what every part covers.
    """
    if not claims or any(c.epsilon is None or not c.mechanisms for c in claims):
        raise PrivauditError(
            "a composition with a release without a guarantee",
            "one release without a guarantee leaves none for all of them",
            "give every release a claim, or claim nothing for all of them",
        )
    first = claims[0]
    if any((c.unit, c.neighbours) != (first.unit, first.neighbours) for c in claims):
        named = sorted({f"{c.unit}, {c.neighbours}" for c in claims})
        raise PrivauditError(
            f"claims about different things: {'; '.join(named)}",
            "guarantees add up only for one unit and one neighbouring relation",
            "make all claims per patient under one relation (see `group` for several stays)",
        )
    steps = tuple(step for c in claims for step in c.mechanisms)
    total = max(c.delta for c in claims) if delta is None else delta
    covers = frozenset.intersection(*(c.covers for c in claims))
    words = "PLD composition of " + " and ".join(f"[{c.basis}]" for c in claims)
    return _claim(steps, total, first.unit, covers, first.neighbours, None, words, "")


def group(claim: Claim, size: int, unit: Unit = "patient") -> Claim:
    """The guarantee for up to `size` of the claim's units together, such as stays of one patient.

    (k epsilon, delta (e^(k epsilon) - 1) / (e^epsilon - 1)). Source: Vadhan 2017, "The complexity
    of differential privacy", lemma 2.2, summed exactly.
    """
    if claim.epsilon is None:
        return claim
    if size < 1:
        raise PrivauditError(
            f"groups of {size}",
            "a group holds at least one unit",
            "give the most records that one patient has",
        )
    epsilon = claim.epsilon * size
    delta = 0.0
    if claim.delta:
        ratio = epsilon - claim.epsilon + math.log(-math.expm1(-epsilon))
        delta = claim.delta * math.exp(min(ratio - math.log(-math.expm1(-claim.epsilon)), 700.0))
    if delta >= 1:
        raise PrivauditError(
            f"group privacy for groups of {size} at epsilon {claim.epsilon:.3g}",
            f"delta would be {delta:.3g}: a delta of 1 guarantees nothing",
            "use a smaller delta or epsilon, or bound what one patient contributes",
        )
    words = f"group privacy for up to {size} {claim.unit}s of one {unit}, over [{claim.basis}]"
    return stated(
        epsilon,
        delta,
        by=words,
        unit=unit,
        covers=claim.covers,
        neighbours=claim.neighbours,
        noise="",
    )


def solve_sigma(
    epsilon: float,
    delta: float,
    q: float,
    steps: int,
    neighbours: Neighbours = "add-remove",
    beside: tuple[Mechanism, ...] = (),
) -> float:
    """The least noise multiplier of `poisson_gaussian` that keeps epsilon, to 0.1 % and never
    below.

    Args:
        beside: What else is released about the same units, which epsilon is to cover too.
    """
    check(epsilon, delta)
    _check_delta(delta)
    _check_sampling(q, steps)
    return find_sigma(float(epsilon), float(delta), float(q), int(steps), neighbours, beside)


def solve_gaussian(epsilon: float, delta: float, times: int = 1) -> float:
    """The least noise multiplier of `gaussian` that keeps epsilon, to 0.1 % and never below."""
    check(epsilon, delta)
    _check_delta(delta)
    _check_sampling(1.0, times)
    # Its multiplier is over the sensitivity under the relation named, so that all cost the same.
    one = find_sigma(float(epsilon), float(delta), 1.0, 1, "add-remove")
    return one * math.sqrt(times) * (1 + 1e-12)


def name_noise(rng: np.random.Generator) -> str:
    """What a claim says of the noise that this generator gives."""
    return SECRET if is_secret(rng) else SIMULATED


def usual_delta(n: int) -> float:
    """The largest power of ten that is at most 1 / (10 n).

    A power of ten because the exact count of patients is itself private, and its size is not.
    """
    if n < 1:
        raise PrivauditError(
            f"{n} units", "delta is set by how many there are", "train on at least one patient"
        )
    return 10.0 ** -math.ceil(math.log10(10 * n) - 1e-12)


def check(epsilon: float, delta: float = 0.0, n: int | None = None) -> None:
    """Refuse an epsilon or a delta that guarantees nothing."""
    if not (isinstance(epsilon, (int, float)) and 0 < epsilon < math.inf):
        raise PrivauditError(
            f"epsilon {epsilon}",
            "it is a positive number: 0 allows no learning, and infinity guarantees nothing",
            "use a value from 0.1 (strong) to 10 (weak)",
        )
    if not 0 <= delta < 1:
        raise PrivauditError(
            f"delta {delta}",
            "it is the chance that the guarantee fails: from 0 to below 1",
            "use 1 / (10 x patients) or less",
        )
    if n is not None and delta > 1 / n:
        raise PrivauditError(
            f"delta {delta:g} for {n} units",
            f"above 1/n = {1 / n:.3g}, publishing one whole record would be within the guarantee",
            f"use {usual_delta(n):g} or less",
        )


def tpr_bound(claim: Claim, fpr: ArrayLike) -> np.ndarray:
    """The most that any membership attack can find at these false-positive rates, if the claim
    holds.

    From the whole privacy-loss distribution; it holds for attacks that mistake members for
    non-members and the other way round. 1 everywhere where nothing is guaranteed. Source: Dong,
    Roth and Su 2022 (arXiv 1905.02383), proposition 2.5 and theorem 2; Kairouz, Oh and Viswanath
    2015.
    """
    x = np.asarray(fpr, dtype=np.float64)
    if np.isnan(x).any() or x.min(initial=0) < 0 or x.max(initial=0) > 1:
        raise PrivauditError(
            "false-positive rates outside [0, 1]",
            "they are shares of the non-members",
            "give rates, not percent",
        )
    if claim.epsilon is None:
        return np.ones_like(x)
    epsilons, deltas = privacy_profile(
        claim.mechanisms, claim.neighbours, claim.epsilon, claim.delta
    )
    flat = x.reshape(-1, 1)
    few = (deltas + np.exp(epsilons) * flat).min(axis=1)
    many = (1 - np.exp(-epsilons) * np.maximum(1 - flat - deltas, 0)).min(axis=1)
    return np.asarray(np.clip(np.minimum(few, many), 0, 1)).reshape(x.shape)


def tradeoff(claim: Claim, points: int = 201) -> tuple[np.ndarray, np.ndarray]:
    """(fpr, tpr) of the claim's bound, to be drawn through an attack's ROC.

    Rates are spaced evenly on a log scale from 1e-4 to 1, after 0.
    """
    fpr = np.concatenate([[0.0], np.geomspace(1e-4, 1, max(points, 2) - 1)])
    return fpr, tpr_bound(claim, fpr)


def _claim(
    steps: tuple[Mechanism, ...],
    delta: float,
    unit: Unit,
    covers: frozenset[Access],
    neighbours: Neighbours,
    n: int | None,
    words: str,
    noise: str,
) -> Claim:
    if neighbours not in ("add-remove", "replace"):
        raise PrivauditError(
            f"neighbours {neighbours!r}",
            "a guarantee compares data sets that differ in one unit, added or removed, or replaced",
            "use 'add-remove' or 'replace'",
        )
    check(1.0, delta, n)
    epsilon = pure_epsilon(steps) if delta == 0 else None
    if epsilon is None and len(steps) == 1 and steps[0].kind == "stated":
        epsilon = steps[0].scale
    if epsilon is None:
        _check_delta(delta)
        epsilon = claimed_epsilon(steps, neighbours, delta)
    if not 0 < epsilon < math.inf:
        raise PrivauditError(
            f"epsilon {epsilon} at delta {delta:g}",
            "this much noise against this delta yields no finite positive epsilon",
            "use less delta, or more noise",
        )
    if steps[0].kind != "stated" and len(steps) == 1:
        words = f"{'closed form' if delta == 0 else 'PLD'}, {words}"
    basis = f"{words}; unit {unit}, neighbours {neighbours}" + (f"; {noise}" if noise else "")
    return Claim(epsilon, delta, unit, neighbours, covers, basis, steps)


def _check_sigma(sigma: float) -> None:
    if not MIN_SIGMA <= sigma <= MAX_SIGMA:
        raise PrivauditError(
            f"a noise multiplier of {sigma}",
            f"from {MIN_SIGMA} (below, epsilon is in the hundreds) to {MAX_SIGMA:g}",
            "let `solve_sigma` choose it from the epsilon that you want",
        )


def _check_sampling(q: float, steps: int) -> None:
    if not 0 < q <= 1:
        raise PrivauditError(
            f"a sampling rate of {q}",
            "it is each unit's chance of taking part in a step: above 0, at most 1",
            "use 0.05 to 0.2",
        )
    if steps < 1 or steps != int(steps):
        raise PrivauditError(
            f"{steps} steps", "a guarantee counts whole steps, at least one", "use 50 to 200 steps"
        )


def _check_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise PrivauditError(
            f"delta {delta}",
            "Gaussian noise guarantees nothing at delta 0: it is above 0 and below 1",
            "use 1 / (10 x patients) or less",
        )


__all__ = [
    "SECRET",
    "SHOWN",
    "SIMULATED",
    "check",
    "compose",
    "gaussian",
    "group",
    "laplace",
    "name_noise",
    "poisson_gaussian",
    "solve_gaussian",
    "solve_sigma",
    "stated",
    "tpr_bound",
    "tradeoff",
    "usual_delta",
]
