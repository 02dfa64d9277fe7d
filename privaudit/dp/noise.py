"""Gaussian noise that protects a release: exact, on a grid, from a stream that nobody can predict.

Two kinds. **Secret noise** protects what is handed out (a subject's own fit): it is drawn from a
`SecretGenerator` as whole numbers of grid steps, added to values rounded to the same grid, so
that what can come out does not depend on what went in (Mironov 2012, CCS, shows how the last bits
of ordinary floating-point noise give the value away). **Simulation noise** belongs to models that
are trained for an attack and then thrown away (shadow models, refits): it comes from numpy, has
the same distribution up to the grid, and protects nobody.

Why the claim of the continuous Gaussian holds for the grid:

1. Values are rounded to multiples of g first, which lengthens a difference of p of them by g
   sqrt(p) at most. The noise is widened for it.
2. Rounding the continuous Gaussian mechanism's answer to the grid is post-processing, and equals
   noise rounded to the grid, since the values lie on it. So that noise has exactly the continuous
   claim.
3. The noise here is the discrete Gaussian of s >= 2^31 steps (Canonne, Kamath and Steinke 2020).
   Its chances and those of rounded noise differ by a factor of at most 1 +- (z^2 / s^2 + 1) / (24
   s^2), below 1 +- 2^-57 within 26 standard deviations, beyond which lie e^-338. So epsilon rises
   by at most 2^-56 for each number drawn: 10^-8 for a thousand million numbers.
4. Sums of bounded contributions are taken in float64, whose order of summing moves them a little
   (Casacuberta et al. 2022, CCS). The noise is widened by SLACK, which bounds this for sums of up
   to 200,000 contributions, and covers point 3 as well.
"""

from __future__ import annotations

import math

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.secure_random import SecretGenerator, discrete_gaussian

STEPS = 31
"""The noise has a standard deviation of 2^31 to 2^32 grid steps."""
SLACK = 1e-5
"""By how much secret noise is wider than the claim needs, relatively."""
MOST = 1 << 62
"""Values are cut here, in grid steps: at 2^30 standard deviations of the noise and more."""


def add_gaussian(
    values: np.ndarray, spread: float, sensitivity: float, rng: np.random.Generator
) -> np.ndarray:
    """Values with Gaussian noise of standard deviation `spread`, float64, in the same shape.

    Secret where `rng` is a `SecretGenerator`, else simulation noise.

    Args:
        values: float64; sums of what each unit contributed.
        spread: Standard deviation.
        sensitivity: The most by which one unit moves all these values together (L2): what the
            grid is held against.
    """
    exact = np.asarray(values, dtype=np.float64)
    if not (math.isfinite(spread) and spread >= 0 and sensitivity > 0):
        raise ValueError("a finite spread of 0 or more, and a sensitivity above 0")
    if not np.isfinite(exact).all():
        raise PrivauditError(
            "sums that are not finite",
            "no noise hides what an infinite value says",
            "use a smaller learning rate, or check the columns' bounds",
        )
    if not isinstance(rng, SecretGenerator) or not spread:
        return exact + spread * rng.standard_normal(exact.shape)
    wide = spread * (1 + SLACK)
    # The grid is at most spread / 2^31, and widening changes it by next to nothing.
    wide *= 1 + 2 * wide * 2.0**-STEPS * math.sqrt(exact.size) / sensitivity
    step = 2.0 ** (math.floor(math.log2(wide)) - STEPS)
    scale = min(math.ceil(wide / step), 1 << (STEPS + 1))
    on_grid = np.rint(np.clip(exact, -MOST * step, MOST * step) / step).astype(np.int64)
    noise = discrete_gaussian(rng.stream, scale, exact.size).reshape(exact.shape)
    return np.asarray((on_grid + noise) * step)


def bind_noise(rng: np.random.Generator, training: object, data: str) -> np.random.Generator:
    """The generator for this training of these data and for no other.

    Two releases with one noise give away their difference, which is one patient where the data
    differ in one, and both sums where the noise is scaled by two numbers. So nothing that is drawn
    for one training is drawn for another, whatever the caller does with keys, seeds and names.

    Args:
        training: What is trained, with all its settings in its repr.
        data: A fingerprint of the records.
    """
    if isinstance(rng, SecretGenerator):
        return rng.child("bound", repr(training), data)
    return rng


__all__ = ["SLACK", "add_gaussian", "bind_noise"]
