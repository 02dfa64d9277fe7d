"""The trade-off curves of a claimed mechanism with more or less noise, for tests of the claim."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri

from privaudit.contracts import Claim, Mechanism
from privaudit.dp._privacy_loss import (
    MIN_SIGMA,
    Neighbours,
    gaussian_mu,
    loss_distribution,
    rough_distribution,
)
from privaudit.errors import PrivauditError

POINTS = 800
FAR = 1e-10
"""The curve is made of the privacy profile down to this delta."""
SCALED = ("gaussian", "poisson_gaussian", "laplace")


@dataclass(frozen=True)
class NoiseCurves:
    """One mechanism with its noise divided by a size; size 1 is what is claimed.

    The privacy profile is an accountant's upper bound, so a curve never leaves less of an event
    than the mechanism of that size may: what it refutes, the mechanism's own curve refutes too.
    Dong, Roth and Su 2022 (arXiv 1905.02383), proposition 2.12: a curve is the upper envelope of
    the lines of its (epsilon, delta) pairs.
    """

    mechanisms: tuple[Mechanism, ...]
    neighbours: Neighbours
    delta: float

    @classmethod
    def of(cls, claim: Claim) -> NoiseCurves:
        """The family of a claim whose noise is known.

        Raises:
            PrivauditError: Nothing is claimed, or a part of it is stated and not noise.
        """
        if not claim.mechanisms or any(step.kind not in SCALED for step in claim.mechanisms):
            raise PrivauditError(
                "a claim whose noise is not known",
                "its trade-off curve is the accountant's for noise that is added in known steps",
                'use the family "approximate", which asks for epsilon and delta alone',
            )
        if claim.delta <= 0.0:
            raise PrivauditError(
                "a claim at delta 0", "a curve is compared at a delta", "state a delta above 0"
            )
        return cls(claim.mechanisms, claim.neighbours, claim.delta)

    @property
    def most(self) -> float:
        return min(step.scale / MIN_SIGMA for step in self.mechanisms)

    def epsilon(self, size: float) -> float:
        """Its epsilon at the delta of the claim; 0 at size 0."""
        if size <= 0.0:
            return 0.0
        loss = loss_distribution(self._steps(size), self.neighbours, self.delta)
        return max(0.0, float(loss.get_epsilon_for_delta(self.delta)))

    def least(self, size: float) -> Callable[[np.ndarray], np.ndarray]:
        """The least chance, on a neighbouring table, of an event of these chances."""
        steps = self._steps(size)
        mu = gaussian_mu(steps, self.neighbours)
        if mu is not None:
            return lambda x: np.asarray(ndtr(ndtri(x) - mu))
        loss = rough_distribution(steps, self.neighbours)
        far = max(float(loss.get_epsilon_for_delta(FAR)), 1e-3)
        epsilons = np.linspace(0.0, far, POINTS)
        deltas = np.asarray(loss.get_delta_for_epsilon(epsilons.tolist()))
        slope, offset = _envelope(
            np.concatenate([np.exp(-epsilons), np.exp(epsilons)]),
            np.concatenate([-np.exp(-epsilons) * deltas, 1.0 - deltas - np.exp(epsilons)]),
        )
        turns = (offset[:-1] - offset[1:]) / (slope[1:] - slope[:-1])

        def left(x: np.ndarray) -> np.ndarray:
            at = np.searchsorted(turns, x)
            return np.asarray(np.maximum(slope[at] * x + offset[at], 0.0))

        return left

    def _steps(self, size: float) -> tuple[Mechanism, ...]:
        return tuple(replace(step, scale=step.scale / size) for step in self.mechanisms)


def _envelope(slopes: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lines that are the highest somewhere, by growing slope."""
    kept: list[tuple[float, float]] = []
    for slope, offset in sorted(zip(slopes.tolist(), offsets.tolist(), strict=True)):
        if kept and math.isclose(kept[-1][0], slope, rel_tol=1e-12):
            kept.pop()
        while len(kept) > 1:
            (a, b), (c, d) = kept[-2:]
            # The last line is nowhere the highest where the new one passes the one before first.
            if (b - offset) * (c - a) > (b - d) * (slope - a):
                break
            kept.pop()
        kept.append((slope, offset))
    found = np.array(kept)
    return found[:, 0], found[:, 1]


__all__ = ["NoiseCurves"]
