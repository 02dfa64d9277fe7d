"""Residuals of a time to an event: how far a risk score is from what happened, and when."""

from __future__ import annotations

import numpy as np

ANCHORS = 2_000
"""Most records that each one is compared with: a share of so many pairs is known to 0.01."""

ROWS = 1_000
"""Records compared at once: bounds memory."""


def pair_residuals(risk: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) in [-1, 1]: of a record's comparable pairs, the share in which its risk is too high for
    what happened, less the share in which it is too low.

    risk: (n,), the higher the sooner; only its order is read, so that a hazard ratio, its logarithm
    and a forest's cumulative hazard are one. y: (n,) times, negative where censored. A pair is
    comparable if the shorter time ended in the event (Harrell et al. 1982, JAMA 247:2543); a
    record's part of Harrell's C is what both shares leave. 0 where nothing is comparable. Pairs
    are with all of these records, or with `ANCHORS` of them at equal steps of time, whoever was
    trained on.
    """
    n = len(y)
    time, event = np.abs(y), y > 0
    some = np.argsort(time, kind="stable")
    some = some[np.linspace(0, n - 1, ANCHORS).astype(np.int64)] if n > ANCHORS else some
    found = np.zeros(n)
    for start in range(0, n, ROWS):
        at = np.arange(start, min(start + ROWS, n))
        tied = time[at, None] == time[None, some]
        # The event came sooner than the other's, or later: with ties, if one alone had it.
        sooner = (time[at, None] < time[None, some]) | (tied & ~event[None, some])
        sooner &= event[at, None]
        later = (time[at, None] > time[None, some]) | (tied & ~event[at, None])
        later &= event[None, some]
        above = np.sign(risk[at, None] - risk[None, some])
        too_high = (later * (1.0 + above)).sum(axis=1)
        too_low = (sooner * (1.0 - above)).sum(axis=1)
        pairs = (sooner | later).sum(axis=1)
        found[at] = (too_high - too_low) / (2.0 * np.maximum(pairs, 1))
    return found


__all__ = ["pair_residuals"]
