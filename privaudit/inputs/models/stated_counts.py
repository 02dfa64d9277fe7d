"""Numbers of training records that a file of boosted trees states without naming them.

It holds sums of derivatives. Where all training records had the same answer, as before the first
tree, the sum of the second derivatives is a count times a known number, and the leaf's weight tells
how many had the event: Friedman 2001, Greedy function approximation, and Chen and Guestrin 2016
(arXiv 1603.02754), equations 4 and 5.
"""

from __future__ import annotations

import numpy as np

PENALTIES = (1.0, 0.0, 0.001, 0.01, 0.1, 0.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Ridge penalties that a leaf's weight may have been shrunk by, the libraries' defaults first."""

SURE, LEAST = 1e-3, 2e-6
"""A number so near a whole one is one: beside what a sum of float32 loses."""


def count_records(hessian: np.ndarray, each: float) -> np.ndarray:
    """(m,) sums of second derivatives as counts; NaN throughout where they are none.

    each: what one record adds.
    """
    found = hessian / each
    whole = np.round(found)
    unsure = np.abs(found - whole) > SURE + LEAST * whole * 4
    if unsure.any() or (whole < 0).any():
        return np.full(len(hessian), np.nan)
    return whole


def count_by_class(
    counts: np.ndarray,
    hessian: np.ndarray,
    weights: np.ndarray,
    before: float,
    children: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray | None:
    """(m, 2) records without and with the event; None where no usual penalty makes them whole.

    weights: (m,) -G / (H + penalty), before any learning rate; before: every record's probability.
    children: (m,) twice, where the leaves' weights alone are times a rate that is not stated: a
    parent's sum of gradients is that of its children.
    """
    if not np.isfinite(counts).all() or len(counts) < 2:
        return None
    for penalty in PENALTIES:
        own = weights
        if children is not None:
            rate = _find_rate(weights * (hessian + penalty), *children)
            own = np.where(children[0] < 0, weights / rate, weights)
        with_event = counts * before + own * (hessian + penalty)
        whole = np.round(with_event)
        slack = SURE + LEAST * 10 * counts
        if (np.abs(with_event - whole) <= slack).all() and ((whole >= 0) & (whole <= counts)).all():
            return np.column_stack([counts - whole, whole])
    return None


def _find_rate(gradients: np.ndarray, left: np.ndarray, right: np.ndarray) -> float:
    """The learning rate, from the parent of two leaves whose sum of gradients is largest."""
    parents = np.flatnonzero((left >= 0) & (left[left] < 0) & (left[right] < 0))
    best = parents[np.abs(gradients[parents]).argmax()]
    rate = (gradients[left[best]] + gradients[right[best]]) / (gradients[best] or np.nan)
    return float(rate) if np.isfinite(rate) and rate > 0 else 1.0


__all__ = ["count_by_class", "count_records"]
