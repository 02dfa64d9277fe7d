"""How many of a table's patients are alone in the population that they were drawn from.

Without a register nobody can count them. What a simple random sample says of its population is how
many classes have one, two, three ... patients in it: a class of F patients of the population has k
in the table with the hypergeometric chance. Every population that could have given these counts is
allowed, and the interval runs from the least to the most that any of them has. No model of the
population is assumed: the estimators of Pitman, Zayatz and Chen and McNulty each assume one, and
an interval around one of them covers where that model holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_COUNTED = 24
"""Classes of so many patients of the table or more are counted together."""
SPENT_ON_DRAW = 0.1
"""Share of the error allowed that pays for which patients were drawn; counts pay for the rest."""
GRID = 400
"""About how many sizes of a class are tried."""


@dataclass(frozen=True)
class Range:
    """A share with its interval; value: of the smoothest population that fits the counts."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PopulationRisk:
    """Of the patients of a table: the share alone in the population, and the mean of 1 / class."""

    unique: Range
    average: Range


def estimate_population(sizes: np.ndarray, population: int, confidence: float) -> PopulationRisk:
    """What a simple random sample shows of the classes of its population.

    Args:
        sizes: (classes,) int64, how many patients of the table are in each class.
        population: How many patients it was drawn from, at least as many as it has.
        confidence: That each interval holds the number of this table.

    Returns:
        Shares of the table's patients.

    Reference: bounds by linear programming over all populations, as of the number of unseen species
    (Efron and Thisted 1976, Biometrika 63:435, section 8); the point is the non-parametric maximum
    likelihood of the class sizes.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    n = int(sizes.sum())
    if population < n:
        raise ValueError("a population is no smaller than its sample")
    alone = int((sizes == 1).sum())
    if population == n:
        exact = Range(alone / n, alone / n, alone / n)
        mean = len(sizes) / n
        return PopulationRisk(exact, Range(mean, mean, mean))
    seen = np.bincount(np.minimum(sizes, MOST_COUNTED), minlength=MOST_COUNTED + 1)[1:]
    groups = _group_counts(seen)
    grid = _make_grid(n, population, int(sizes.max()))
    chances = _chances(grid, n, population)
    parts = np.stack([chances[:, a:b].sum(axis=1) for a, b in groups])
    counted = np.array([seen[a:b].sum() for a, b in groups], dtype=float)
    error = 1 - confidence
    low, high = _poisson(counted, error * (1 - SPENT_ON_DRAW) / len(counted))
    expected_unique = np.where(grid == 1, n / population, 0.0)
    expected_mean = np.full(len(grid), n / population)
    fitted = _fit(parts, counted, grid, population)
    found = []
    for objective in (expected_unique, expected_mean):
        least, most = _bound(objective, parts, low, high, grid, population)
        spread_low, spread_high = (
            _draw(x, n / population, error * SPENT_ON_DRAW) for x in (least, most)
        )
        found.append((float(objective @ fitted), least - spread_low, most + spread_high))
    unique = _range(*found[0], n, 0, alone)
    # Each patient of a class of the table has at most 1 / its size, and nobody more than 1.
    average = _range(*found[1], n, 0, len(sizes))
    return PopulationRisk(unique, average)


def _range(value: float, low: float, high: float, n: int, least: float, most: float) -> Range:
    low, high = (float(np.clip(x, least, most)) for x in (low, high))
    return Range(float(np.clip(value, low, high)) / n, low / n, high / n)


def _group_counts(seen: np.ndarray) -> list[tuple[int, int]]:
    """Counts 1, 2, ... alone while many classes have them, then together: few intervals, each of
    which would pay for all."""
    groups = [(0, 1)]
    start = 1
    while start < len(seen):
        end = start + 1
        while end < len(seen) and (
            seen[start:end].sum() < 10 or (len(groups) >= 7 and end < start * 1.6)
        ):
            end += 1
        groups.append((start, end))
        start = end
    return groups


def _make_grid(n: int, population: int, largest: int) -> np.ndarray:
    """Sizes that a class of the population may have: all small ones, then a geometric series."""
    top = min(population, int(np.ceil(population / n * (largest + 10 * np.sqrt(largest) + 30))))
    small = np.arange(1, min(top, 150) + 1)
    if top <= 150:
        return small.astype(float)
    return np.unique(np.concatenate([small, np.geomspace(150, top, GRID - 150).round()])).astype(
        float
    )


def _chances(grid: np.ndarray, n: int, population: int) -> np.ndarray:
    """(sizes, MOST_COUNTED): the chance of 1, 2, ... patients in the table, the last of more."""
    from scipy.special import gammaln

    k = np.arange(MOST_COUNTED, dtype=float)[None, :]
    size = grid[:, None]

    def choose(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        fine = (b >= 0) & (b <= a)
        a, b = np.where(fine, a, 1.0), np.where(fine, b, 0.0)
        logs = gammaln(a + 1) - gammaln(b + 1) - gammaln(a - b + 1)
        return np.where(fine, logs, -np.inf)

    whole = choose(np.array([[float(population)]]), np.array([[float(n)]]))
    with np.errstate(invalid="ignore"):
        logs = choose(size, k) + choose(population - size, n - k) - whole
    chances = np.exp(logs)
    rest = np.clip(1 - chances.sum(axis=1), 0, 1)
    return np.concatenate([chances[:, 1:], rest[:, None]], axis=1)


def _poisson(counted: np.ndarray, error: float) -> tuple[np.ndarray, np.ndarray]:
    """Limits of the mean of each count: a sum of independent trials varies less than Poisson's."""
    from scipy.stats import chi2

    low = np.where(counted > 0, chi2.ppf(error / 2, 2 * np.maximum(counted, 1)) / 2, 0.0)
    return low, chi2.ppf(1 - error / 2, 2 * (counted + 1)) / 2


def _draw(expected: float, share: float, error: float) -> float:
    """How far a count that is expected may lie from it, by who was drawn."""
    from scipy.special import ndtri

    z = -float(ndtri(error / 2))
    return z * float(np.sqrt(max(expected, 0.0) * (1 - share))) + z * z / 3


def _bound(
    objective: np.ndarray,
    parts: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    grid: np.ndarray,
    population: int,
) -> tuple[float, float]:
    """The least and the most of the objective in any population that gives such counts."""
    from scipy.optimize import linprog

    # In patients and not in classes, so that all unknowns are of one magnitude.
    per = parts / grid
    goal = objective / grid
    scale = float(population)
    found = []
    for sign in (1.0, -1.0):
        answer = linprog(
            sign * goal * scale,
            A_ub=np.concatenate([per, -per]) * scale,
            b_ub=np.concatenate([high, -low]),
            A_eq=np.ones((1, len(grid))),
            b_eq=[1.0],
            method="highs",
        )
        if answer.status != 0:
            return 0.0, float("inf")
        found.append(sign * float(answer.fun))
    return found[0], found[1]


def _fit(parts: np.ndarray, counted: np.ndarray, grid: np.ndarray, population: int) -> np.ndarray:
    """(sizes,) classes of each size: expectation maximisation of the Poisson likelihood."""
    visible = parts.sum(axis=0)
    classes = np.full(len(grid), population / len(grid)) / grid
    for _ in range(300):
        expected = np.maximum(parts @ classes, 1e-300)
        classes = classes * ((counted / expected) @ parts) / np.maximum(visible, 1e-300)
        classes = classes * population / float(classes @ grid)
    return np.asarray(classes)
