"""Steps that numbers are rounded to: what an interval supports, and no single patient shows in.

Leaving one of n patients out moves a mean by about its deviation / n, and half a 95 % interval is
1.96 deviations / sqrt(n): rounded to a share of that half, a number hardly ever moves with one
patient, however exactly everything else is known.
"""

from __future__ import annotations

import math

LADDER = (1.0, 2.0, 5.0, 10.0)
"""Steps are these times a power of ten."""
BASE = 10
"""Counts of patients are rounded down to a multiple of this."""
GUARD = 1e-9
"""Share of a step by which floating-point division may miss a multiple."""


def step_below(size: float) -> float:
    """The largest step that is at most `size` (> 0)."""
    power = 10.0 ** math.floor(math.log10(size))
    return max(rung * power for rung in LADDER if rung * power <= size * (1 + GUARD))


def step_above(size: float) -> float:
    """The smallest step that is at least `size` (> 0)."""
    power = 10.0 ** math.floor(math.log10(size))
    return min(rung * power for rung in LADDER if rung * power >= size * (1 - GUARD))


def decimals_of(step: float) -> int:
    """Decimals that write every multiple of a step."""
    return max(0, -math.floor(math.log10(step) + GUARD))


def nearest(value: float, step: float) -> float:
    """The multiple of `step` closest to a value."""
    return _multiple(round(value / step), step)


def down(value: float, step: float) -> float:
    """The largest multiple of `step` that is at most the value."""
    return _multiple(math.floor(value / step + GUARD), step)


def up(value: float, step: float) -> float:
    """The smallest multiple of `step` that is at least the value."""
    return _multiple(math.ceil(value / step - GUARD), step)


def _multiple(times: int, step: float) -> float:
    # Written as a short decimal: a product of floats would give digits of its own.
    return round(times * step, decimals_of(step)) + 0.0


def significant(value: float, digits: int) -> float:
    """The value to so many significant digits."""
    return float(f"{value:.{digits - 1}e}")


def significant_up(value: float, digits: int) -> float:
    """As `significant`, never below the value."""
    found = significant(value, digits)
    if found >= value:
        return found
    return significant(value + 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1), digits)


def count_down(count: int) -> int:
    """A count of patients, rounded down."""
    return count - count % BASE


def count_up(count: int) -> int:
    """A count of patients that are wanted, rounded up."""
    return -(-count // BASE) * BASE


__all__ = [
    *("BASE", "count_down", "count_up", "decimals_of", "down", "nearest", "significant"),
    *("significant_up", "step_above", "step_below", "up"),
]
