"""The membership signal: how sure a model is of a record's true class."""

from __future__ import annotations

import numpy as np

TINY = 1e-300
"""Probabilities are clipped here in float64, so that saturated answers stay finite."""


def margin(proba: np.ndarray, y: np.ndarray) -> np.ndarray:
    """True-class margin log(p_y / (1 - p_y)) in float64.

    proba: (n, k), rows sum to 1; y: (n,) class codes; returns (n,) finite. 1 - p_y is summed from
    the other classes, which keeps the order of answers that are nearly sure. Carlini et al. 2022
    (arXiv 2112.03570), section IV.C.
    """
    proba = np.asarray(proba, dtype=np.float64)
    rows = np.arange(len(y))
    others = proba.copy()
    others[rows, y] = 0.0
    true = np.clip(proba[rows, y], TINY, 1.0)
    rest = np.clip(others.sum(axis=1), TINY, 1.0)
    return np.asarray(np.log(true) - np.log(rest))
