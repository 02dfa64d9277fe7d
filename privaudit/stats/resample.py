"""Patients as clusters: codes, sums, effective sizes and bootstrap weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

RESAMPLES = 1000
"""Bootstrap resamples behind every percentile interval."""

_CELLS = 4_000_000


def codes(*ids: np.ndarray) -> tuple[tuple[np.ndarray, ...], int]:
    """Patients numbered 0..count-1 over all arrays given, one code array each, and the count."""
    joined = np.concatenate([np.asarray(part).ravel() for part in ids])
    distinct, inverse = np.unique(joined, return_inverse=True)
    inverse = inverse.reshape(-1)
    cuts = np.cumsum([len(part) for part in ids])[:-1]
    return tuple(np.split(inverse, cuts)), len(distinct)


def count(ids: np.ndarray) -> int:
    """How many different patients."""
    return len(np.unique(ids))


def weights(
    code: np.ndarray, clusters: int, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """(resamples, len(code)): how often each record's patient was drawn in each resample."""
    drawn = rng.integers(clusters, size=(resamples, clusters))
    drawn += np.arange(resamples)[:, None] * clusters
    times = np.bincount(drawn.ravel(), minlength=resamples * clusters)
    if np.array_equal(code, np.arange(clusters)):
        return times.reshape(resamples, clusters).astype(float)
    return times.reshape(resamples, clusters).astype(float)[:, code]


def chunks(width: int, resamples: int) -> Iterator[int]:
    """Sizes that sum to `resamples`, so that no array of weights exceeds about 32 MB."""
    step = max(1, min(resamples, _CELLS // max(1, width)))
    done = 0
    while done < resamples:
        yield min(step, resamples - done)
        done += step


def percentile(
    draws: np.ndarray, value: float | np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of bootstrap draws of shares in [0, 1] (first axis), about `value`.

    Where fewer than 10 draws lie beyond the quantile asked for (confidence near 1), the outermost
    quantile that 10 draws support is moved outward on the logit scale by the ratio of normal
    quantiles.
    """
    from scipy.special import expit, logit, ndtri

    tail = (1 - confidence) / 2
    supported = max(tail, min(0.25, 10 / len(draws)))
    low, high = np.quantile(draws, [supported, 1 - supported], axis=0)
    if supported > tail:
        factor = ndtri(tail) / ndtri(supported)
        low, high, value = (np.clip(part, 1e-9, 1 - 1e-9) for part in (low, high, value))
        centre = logit(value)
        low = expit(centre + factor * (logit(low) - centre))
        high = expit(centre + factor * (logit(high) - centre))
    return low, high


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    code: np.ndarray,
    clusters: int,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> np.ndarray:
    """`statistic(weights)` over resamples of patients, stacked on the first axis."""
    return np.concatenate(
        [statistic(weights(code, clusters, n, rng)) for n in chunks(len(code), resamples)]
    )


def mean_variance(values: np.ndarray, code: np.ndarray, clusters: int) -> float | None:
    """Variance of the mean of records grouped by patient (linearised ratio); None for one
    patient."""
    if clusters < 2:
        return None
    totals = np.bincount(code, values - values.mean(), minlength=clusters)
    return float(clusters / (clusters - 1) * (totals**2).sum() / len(values) ** 2)
