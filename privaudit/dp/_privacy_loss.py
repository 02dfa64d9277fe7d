"""Privacy-loss distributions of noisy steps, and the noise that keeps to an epsilon."""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Any, Literal

import numpy as np

from privaudit.contracts import Mechanism
from privaudit.errors import PrivauditError

Unit = Literal["record", "stay", "patient", "site"]
Neighbours = Literal["add-remove", "replace"]

FINE, COARSE = 1e-4, 1e-3
"""Steps of the privacy-loss grid. Both round up; sigma is sought on the coarse one."""

MIN_SIGMA, MAX_SIGMA = 0.05, 1e4


def pure_epsilon(steps: tuple[Mechanism, ...]) -> float | None:
    """The epsilon at delta 0, where there is one."""
    total = 0.0
    for step in steps:
        if step.kind == "laplace":
            total += step.times / step.scale
        elif step.kind == "stated" and step.delta == 0:
            total += step.times * step.scale
        else:
            return None
    return total


@lru_cache(maxsize=16)
def _compose(steps: tuple[Mechanism, ...], neighbours: Neighbours, grid: float) -> Any:
    composed = None
    for step in join_gaussians(steps, neighbours):
        one = _one(step, neighbours, grid)
        composed = one if composed is None else composed.compose(one)
    return composed


def join_gaussians(steps: tuple[Mechanism, ...], neighbours: Neighbours) -> tuple[Mechanism, ...]:
    """The same steps with all Gaussian answers as one, which they are: their 1 / scale^2 add up.

    Composed on a grid instead, every one of them would cost a rounding.
    """
    plain = [step for step in steps if _is_gaussian(step, neighbours)]
    if len(plain) < 2:
        return steps
    scale = sum(step.times / step.scale**2 for step in plain) ** -0.5
    rest = tuple(step for step in steps if not _is_gaussian(step, neighbours))
    return (Mechanism("gaussian", scale), *rest)


def gaussian_mu(steps: tuple[Mechanism, ...], neighbours: Neighbours) -> float | None:
    """The mu of steps that are all Gaussian answers, None where one is not."""
    if not all(_is_gaussian(step, neighbours) for step in steps):
        return None
    return math.sqrt(sum(step.times / step.scale**2 for step in steps))


def _is_gaussian(step: Mechanism, neighbours: Neighbours) -> bool:
    unsampled = step.sampling == 1 and neighbours == "add-remove"
    return step.kind == "gaussian" or (step.kind == "poisson_gaussian" and unsampled)


def loss_distribution(steps: tuple[Mechanism, ...], neighbours: Neighbours, delta: float) -> Any:
    """The privacy loss of all steps, on a grid of FINE for epsilons up to 3, in proportion
    above."""
    rough = _compose(steps, neighbours, COARSE).get_epsilon_for_delta(max(delta, 1e-10))
    grid = FINE * 2 ** math.ceil(math.log2(min(max(rough, 3.0), 100.0) / 3.0))
    return _compose(steps, neighbours, min(grid, COARSE))


def rough_distribution(steps: tuple[Mechanism, ...], neighbours: Neighbours) -> Any:
    """The privacy loss of all steps on the coarse grid: an upper bound too, and cheaper."""
    return _compose(steps, neighbours, COARSE)


def _one(step: Mechanism, neighbours: Neighbours, grid: float) -> Any:
    try:
        from dp_accounting import NeighboringRelation as Relation
        from dp_accounting.pld import common
        from dp_accounting.pld import privacy_loss_distribution as pld
    except ModuleNotFoundError as error:
        raise PrivauditError(
            "the package dp-accounting is not installed",
            "an epsilon is claimed from its privacy-loss distributions alone",
            "pip install 'privaudit[dp]'",
        ) from error

    if _is_gaussian(step, neighbours):
        # Gaussians compose to a Gaussian: exact, and cheaper than convolving.
        return pld.from_gaussian_mechanism(
            step.scale / math.sqrt(step.times), value_discretization_interval=grid
        )
    if step.kind == "poisson_gaussian":
        relation = (
            Relation.ADD_OR_REMOVE_ONE if neighbours == "add-remove" else Relation.REPLACE_ONE
        )
        one = pld.from_gaussian_mechanism(
            step.scale,
            sampling_prob=step.sampling,
            value_discretization_interval=grid,
            neighboring_relation=relation,
        )
    elif step.kind == "laplace":
        one = pld.from_laplace_mechanism(step.scale, value_discretization_interval=grid)
    else:
        stated = common.DifferentialPrivacyParameters(step.scale, step.delta)
        one = pld.from_privacy_parameters(stated, value_discretization_interval=grid)
    return one if step.times == 1 else one.self_compose(step.times)


@lru_cache(maxsize=64)
def privacy_profile(
    steps: tuple[Mechanism, ...], neighbours: Neighbours, epsilon: float, delta: float
) -> tuple[np.ndarray, np.ndarray]:
    """(epsilons, deltas): points of the privacy profile. Any of them gives a true bound."""
    if len(steps) == 1 and steps[0].kind == "stated":
        # One pair is all that is known; what it implies at epsilon 0 is the total variation.
        loose = (math.expm1(epsilon) + 2 * delta) / (math.exp(epsilon) + 1)
        return np.array([0.0, epsilon]), np.array([min(loose, 1.0), delta])
    loss = loss_distribution(steps, neighbours, delta)
    far = max(float(loss.get_epsilon_for_delta(1e-10)), epsilon)
    epsilons = np.linspace(0, far, 2000)
    return epsilons, np.asarray(loss.get_delta_for_epsilon(epsilons.tolist()))


@lru_cache(maxsize=256)
def find_sigma(
    epsilon: float,
    delta: float,
    q: float,
    steps: int,
    neighbours: Neighbours,
    beside: tuple[Mechanism, ...] = (),
) -> float:
    """The noise multiplier of so many sampled steps that keeps epsilon with what is `beside` them.

    The last word has the number that the claim will state, made as the claim makes it.
    """
    grid = min(COARSE, epsilon / 1000)

    def all_steps(sigma: float) -> tuple[Mechanism, ...]:
        # As the claim of this mechanism alone writes it, or the two would not be one number.
        kind: Literal["gaussian", "poisson_gaussian"] = "gaussian" if q == 1 else "poisson_gaussian"
        if neighbours == "replace":
            kind = "poisson_gaussian"
        return (*beside, Mechanism(kind, sigma, steps, q))

    @cache
    def spent(sigma: float) -> float:
        return float(_compose(all_steps(sigma), neighbours, grid).get_epsilon_for_delta(delta))

    def claimed(sigma: float) -> float:
        return claimed_epsilon(all_steps(sigma), neighbours, delta)

    low = high = 1.0
    while spent(high) > epsilon:
        low, high = high, high * 2
        if high > MAX_SIGMA:
            raise PrivauditError(
                f"epsilon {epsilon:g} at delta {delta:g}, q {q:g} and {steps} steps",
                f"it would take noise above {MAX_SIGMA:g} times the clipping norm",
                "allow a larger epsilon, or fewer steps",
            )
    while low == high or spent(low) <= epsilon:
        low, high = low / 2, low if low < high else high
        if low < MIN_SIGMA:
            low = high = MIN_SIGMA
            break
    sigma = low
    if low < high:
        from scipy.optimize import brentq

        # log(epsilon) is nearly straight in log(sigma), so few looks suffice.
        root = brentq(
            lambda x: math.log(spent(math.exp(x)) / epsilon),
            math.log(low),
            math.log(high),
            xtol=3e-4,
        )
        sigma = math.exp(root)
    while max(spent(sigma), claimed(sigma)) > epsilon:
        sigma *= 1 + 3e-4
    return sigma


def claimed_epsilon(steps: tuple[Mechanism, ...], neighbours: Neighbours, delta: float) -> float:
    """The epsilon at this delta that a claim about these steps states."""
    return float(loss_distribution(steps, neighbours, delta).get_epsilon_for_delta(delta))
