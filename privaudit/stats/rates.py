"""Shares and their differences: Wilson and Newcombe intervals that know about patients."""

from __future__ import annotations

import math

import numpy as np

from privaudit.stats import resample


def quantile(confidence: float) -> float:
    """The two-sided standard normal quantile."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + confidence / 2))


def wilson(share: float, n: float, confidence: float) -> tuple[float, float]:
    """Wilson score interval for a share of n (n may be an effective, fractional size).

    Wilson 1927; recommended by Brown, Cai and DasGupta 2001, section 4.
    """
    z2 = quantile(confidence) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    low = 0.0 if share <= 0 else max(0.0, min(share, centre - half))
    high = 1.0 if share >= 1 else min(1.0, max(share, centre + half))
    return low, high


def effective(values: np.ndarray, ids: np.ndarray) -> float:
    """How many independent records the records of these patients are worth, for their mean.

    Share times (1 - share) over the clustered variance, at most the number of records; the number
    of patients where the variance cannot be estimated. Dean and Pagano 2015, section 2.
    """
    (code,), clusters = resample.codes(ids)
    share = float(values.mean())
    variance = resample.mean_variance(values, code, clusters)
    if variance is None or variance <= 0 or not 0 < share < 1:
        return float(clusters)
    # Without clusters / (clusters - 1), so that n independent records are worth n.
    return min(float(len(values)), share * (1 - share) / (variance * (clusters - 1) / clusters))


def effective_weighted(values: np.ndarray, ids: np.ndarray, weights: np.ndarray) -> float:
    """How many independent records the weighted records of these patients are worth.

    weights: (n,), summing to 1. At most the number that equal weights would need for the same
    spread of weights (Kish 1965, section 11.7).
    """
    (code,), clusters = resample.codes(ids)
    share = float((weights * values).sum())
    total = np.bincount(code, weights, minlength=clusters)
    most = float(1 / (total**2).sum())
    spread = float((np.bincount(code, weights * (values - share), minlength=clusters) ** 2).sum())
    if clusters < 2 or spread <= 0 or not 0 < share < 1:
        return most
    return min(most, share * (1 - share) / spread)


def rate(
    values: np.ndarray, ids: np.ndarray, confidence: float, weights: np.ndarray | None = None
) -> tuple[float, float, float]:
    """A share with its Wilson interval on the effective number of records.

    weights: (n,), summing to 1, where some records stand for more than others.
    """
    if weights is None:
        share = float(np.clip(values.mean(), 0, 1))
        return share, *wilson(share, effective(values, ids), confidence)
    share = float(np.clip((weights * values).sum(), 0, 1))
    return share, *wilson(share, effective_weighted(values, ids, weights), confidence)


def difference(
    first: np.ndarray,
    second: np.ndarray,
    ids: np.ndarray,
    ids_second: np.ndarray | None,
    confidence: float,
    weights: np.ndarray | None = None,
) -> tuple[float, float, float]:
    """Difference of two shares with Newcombe's interval, paired where the records are the same.

    first, second: (n,) successes in [0, 1]; ids_second: None where both are on the same records,
    else the patients of the second; weights: of the second's records. Two Wilson intervals on
    effective sizes are squared and added, less twice their product times the correlation of the two
    means over patients (0 when independent). Newcombe 1998a (Stat Med 17:873) method 10; 1998b
    (17:2635) method 10, with its continuity correction of a positive correlation.
    """
    p1, low1, high1 = rate(first, ids, confidence)
    p2, low2, high2 = rate(second, ids if ids_second is None else ids_second, confidence, weights)
    r = _correlation(first, second, ids) if ids_second is None else 0.0
    down, up = (p1 - low1, high2 - p2), (high1 - p1, p2 - low2)
    gap = p1 - p2
    low = gap - math.sqrt(max(0.0, down[0] ** 2 - 2 * r * down[0] * down[1] + down[1] ** 2))
    high = gap + math.sqrt(max(0.0, up[0] ** 2 - 2 * r * up[0] * up[1] + up[1] ** 2))
    return gap, max(-1.0, low), min(1.0, high)


def _correlation(first: np.ndarray, second: np.ndarray, ids: np.ndarray) -> float:
    (code,), clusters = resample.codes(ids)
    a = np.bincount(code, first - first.mean(), minlength=clusters)
    b = np.bincount(code, second - second.mean(), minlength=clusters)
    spread = math.sqrt(float((a**2).sum() * (b**2).sum()))
    if clusters < 2 or spread <= 0:
        return 0.0
    shared = float((a * b).sum())
    # Newcombe 1998b subtracts n/2 from ad - bc = n * sum((x - mean)(y - mean)) where it is
    # positive.
    shared = max(0.0, shared - 0.5) if shared > 0 else shared
    return max(-1.0, min(1.0, shared / spread))
