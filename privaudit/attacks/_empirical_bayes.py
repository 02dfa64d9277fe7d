"""Empirical Bayes for few shadow models: curves are drawn towards those of like records."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DEGREE = 4
"""Degree of the curves over how sure models are of a record."""

FLOOR = 1e-12
"""Least variance of a margin: float32 answers resolve no less."""

LOG_CHI = 1.2703628454614782
"""Minus the mean of the logarithm of a squared standard normal number."""

CAP = 1e4
"""Most degrees of freedom: beyond, a Student t is Gaussian."""


@dataclass(frozen=True, eq=False)
class Sums:
    """What is left of the shadow margins of every record, without it (row 0) and with it (row 1).

    counts, first, second: (2, n), numbers of shadows, sums and sums of squares about `centre`,
    (n,), the record's mean over all shadows, so that squares do not cancel. Taking models away is a
    subtraction, which is what makes leaving shadows out cheap.
    """

    centre: np.ndarray
    counts: np.ndarray
    first: np.ndarray
    second: np.ndarray

    @classmethod
    def of(
        cls, shadows: np.ndarray, included: np.ndarray, centre: np.ndarray | None = None
    ) -> Sums:
        centre = shadows.mean(axis=0) if centre is None else centre
        away = shadows - centre
        sides = np.stack([~included, included])
        part = np.where(sides, away, 0.0)
        counts = sides.sum(axis=1).astype(np.float64)
        return cls(centre, counts, part.sum(axis=1), (part**2).sum(axis=1))

    def without(self, shadows: np.ndarray, included: np.ndarray) -> Sums:
        """The sums had these models never been trained."""
        gone = Sums.of(shadows, included, self.centre)
        return Sums(
            self.centre,
            self.counts - gone.counts,
            self.first - gone.first,
            self.second - gone.second,
        )


@dataclass(frozen=True, eq=False)
class Curves:
    """Predictive Student-t curves of every record's margin, without it (row 0) and with it (row 1).

    location, scale, freedom: (2, n).
    """

    location: np.ndarray
    scale: np.ndarray
    freedom: np.ndarray

    def ratio(self, asked: np.ndarray) -> np.ndarray:
        """Log likelihood of models with the record over that of models without it: (n,)."""
        from scipy.special import gammaln

        nu = self.freedom
        z = (asked - self.location) / self.scale
        logs = (
            gammaln((nu + 1.0) / 2.0)
            - gammaln(nu / 2.0)
            - 0.5 * np.log(nu)
            - np.log(self.scale)
            - (nu + 1.0) / 2.0 * np.log1p(z**2 / nu)
        )
        result: np.ndarray = logs[1] - logs[0]
        return result


def fit(sums: Sums) -> Curves:
    """The curves of every record, each drawn towards what records like it show.

    The gap between means with and without the record, and the log variances on either side, follow
    polynomials of how sure models are of the record on average; a record departs from them as far
    as its own shadows outweigh their noise, in its gap and in one factor on both variances.
    """
    n = sums.counts
    mean = sums.first / n
    middle = sums.centre + mean.mean(axis=0)
    basis = _basis(middle)
    squares = np.maximum(sums.second - n * mean**2, 0.0)
    usual = np.stack([_trend(s, c - 1.0, basis) for s, c in zip(squares, n, strict=True)])
    # A record that is erratic without itself is erratic with itself: one factor for both sides.
    factor, freedom = _variance((squares / usual).sum(axis=0), (n - 1.0).sum(axis=0), basis)
    variance = np.maximum(usual * factor, FLOOR)
    gap = mean[1] - mean[0]
    noise = (variance / n).sum(axis=0)
    curve = _smooth(basis, gap, 1.0 / noise)
    spread = np.average((gap - curve) ** 2 - noise, weights=1.0 / noise**2)
    trust = max(0.0, spread) / (max(0.0, spread) + noise)
    gap = curve + trust * (gap - curve)
    location = middle + np.stack([-gap / 2.0, gap / 2.0])
    doubt = noise / 4.0 + trust * noise / 4.0
    return Curves(location, np.sqrt(variance + doubt), np.stack([freedom, freedom]))


def fit_outside(
    known: np.ndarray, shadows: np.ndarray, included: np.ndarray, shrink: float = 1.0
) -> Curves:
    """Curves of records that no shadow model saw, learnt on records of which some did.

    The rise of an answer with the record is a polynomial of how sure models are without it. The
    audited model is of more records than a shadow model: a line says where its answers lie, and one
    factor how far they scatter.

    Args:
        known: (r,) signals of the audited model on the first r records, which it did not see.
        shadows: (k, r + n) signals of the shadow models.
        included: (k, r) which of them was trained on which of the first records.
        shrink: What the rise in the audited model is, as a share of that in a shadow model.

    Returns:
        The curves of the n other records.
    """
    own = included.shape[1]
    unseen = np.zeros((len(shadows), shadows.shape[1] - own), dtype=bool)
    sums = Sums.of(shadows, np.concatenate([included, unseen], axis=1))
    n = np.maximum(sums.counts, 1.0)
    mean = sums.first / n
    squares = np.maximum(sums.second - n * mean**2, 0.0)
    outside = sums.centre + mean[0]
    basis = _basis(outside)
    variance, freedom = _variance(squares[0], n[0] - 1.0, basis)
    variance = np.maximum(variance, FLOOR)
    first, rest = slice(0, own), slice(own, None)
    gap, noise = (mean[1] - mean[0])[first], variance[first] * (1.0 / n[:, first]).sum(axis=0)
    risen = _solve(basis[first], gap, 1.0 / noise)
    spread = max(0.0, float(np.mean((gap - basis[first] @ risen) ** 2 - noise)))
    slope, level = _line(outside[first], known, 1.0 / variance[first])
    away = (known - level - slope * outside[first]) ** 2 / variance[first]
    # The mean of logarithms: a few records far off do not decide how far all scatter.
    scale = np.exp(np.mean(np.log(np.maximum(away, 1e-6))) + LOG_CHI)
    place = level + slope * outside[rest]
    usual = np.maximum(variance[rest] * scale, FLOOR)
    location = np.stack([place, place + shrink * (basis[rest] @ risen)])
    scales = np.sqrt(np.stack([usual, usual + shrink**2 * spread]))
    return Curves(location, scales, np.stack([freedom[rest]] * 2))


def _solve(basis: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Coefficients of values on the basis, by weighted least squares."""
    root = np.sqrt(weights / weights.mean())
    found: np.ndarray = np.linalg.lstsq(basis * root[:, None], values * root, rcond=None)[0]
    return found


def _line(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Slope and level of y on x; a slope of 1 where x does not vary."""
    share = weights / weights.sum()
    x0, y0 = float(share @ x), float(share @ y)
    varied = float(share @ (x - x0) ** 2)
    slope = float(share @ ((x - x0) * (y - y0))) / varied if varied > FLOOR else 1.0
    return slope, y0 - slope * x0


def _trend(squares: np.ndarray, freedom: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """The geometric mean of variances of records alike."""
    result: np.ndarray = np.exp(_smooth(basis, _logs(squares, freedom), freedom))
    return result


def _variance(
    squares: np.ndarray, freedom: np.ndarray, basis: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Variances drawn towards their trend, with the degrees of freedom that this leaves.

    Smyth 2004 (Stat Appl Genet Mol Biol 3:3), section 6.2, with a trend in the prior's location.
    """
    from scipy.special import digamma, polygamma

    logs = _logs(squares, freedom)
    trend = _smooth(basis, logs, freedom)
    excess = np.mean((logs - trend) ** 2 - polygamma(1, freedom / 2.0))
    prior = _untrigamma(excess)
    usual = np.exp(trend + digamma(prior / 2.0) - np.log(prior / 2.0))
    total = prior + freedom
    return (prior * usual + squares) / total, np.minimum(total, CAP)


def _logs(squares: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """Unbiased log variances from sums of squares."""
    from scipy.special import digamma

    raw = np.maximum(squares / freedom, FLOOR)
    logs = np.log(np.maximum(raw, 1e-5 * np.median(raw)))
    result: np.ndarray = logs + np.log(freedom / 2.0) - digamma(freedom / 2.0)
    return result


def _untrigamma(excess: float) -> float:
    """Degrees of freedom d with trigamma(d / 2) = excess, at most CAP."""
    from scipy.special import polygamma

    if excess <= polygamma(1, CAP / 2.0):
        return CAP
    half = 0.5 + 1.0 / excess
    for _ in range(50):
        value = polygamma(1, half)
        step = value * (1.0 - value / excess) / polygamma(2, half)
        half += step
        if -step < 1e-8 * half:
            break
    return float(2.0 * half)


def _basis(middle: np.ndarray) -> np.ndarray:
    """Legendre polynomials of `middle`, (n, degree + 1), flat beyond its outermost 1 percent."""
    low, high = np.quantile(middle, [0.01, 0.99])
    width = high - low
    if width <= 0.0:
        return np.ones((len(middle), 1))
    degree = min(DEGREE, max(0, len(middle) // 20))
    unit = np.clip(2.0 * (middle - low) / width - 1.0, -1.0, 1.0)
    return np.polynomial.legendre.legvander(unit, degree)


def _smooth(basis: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted least squares of values on the basis, evaluated at every record."""
    result: np.ndarray = basis @ _solve(basis, values, weights)
    return result
