"""How many of a table's patients are alone in the population that they were drawn from.

Without a register nobody can count them. What a simple random sample says of its population is how
many classes have one, two, three ... patients in it: a class of F patients of the population has k
in the table with the hypergeometric chance. Every population is allowed, and the interval runs from
the least to the most that any of them can have. No model of the population is assumed: the
estimators of Pitman, Zayatz and Chen and McNulty each assume one, and an interval around one of
them covers where that model holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_COUNTED = 24
"""Classes of so many patients of the table or more are counted together."""
SPENT_ON_DRAW = 0.1
"""Share of the error allowed that pays for which patients were drawn; counts pay for the rest."""
SPENT_ON_CHOICE = 0.5
"""Of that rest, what an interval is made at: its weights are chosen by what they weigh."""
ROUNDS = 60
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

    Reference: linear programmes over all populations, as for the number of unseen species (Efron
    and Thisted 1976, Biometrika 63:435); a linear estimate whose bias is bounded in every
    population and that is as short as it can be (Armstrong and Kolesar 2018, Econometrica 86:655).
    The point is the non-parametric maximum likelihood of the class sizes.
    """
    from scipy.special import ndtri

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
    z = -float(ndtri(error * (1 - SPENT_ON_DRAW) * SPENT_ON_CHOICE / 2))
    expected_unique = np.where(grid == 1, n / population, 0.0)
    expected_mean = np.full(len(grid), n / population)
    fitted = _fit(parts, counted, grid, population)
    found = []
    for objective in (expected_unique, expected_mean):
        least = -_bound_above(-objective, parts, counted, grid, population, z)
        most = _bound_above(objective, parts, counted, grid, population, z)
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


def _draw(expected: float, share: float, error: float) -> float:
    """How far a count that is expected may lie from it, by who was drawn."""
    from scipy.special import ndtri

    z = -float(ndtri(error / 2))
    if not np.isfinite(expected):
        return 0.0
    return z * float(np.sqrt(max(expected, 0.0) * (1 - share))) + z * z / 3


def _bound_above(
    objective: np.ndarray,
    parts: np.ndarray,
    counted: np.ndarray,
    grid: np.ndarray,
    population: int,
    z: float,
) -> float:
    """The most of the objective in any population that may have given these counts.

    A weighted sum of the counts whose mean is at least the objective in every population (so for
    classes of every size, less a multiple of the population's known number of patients), plus z
    times its deviation, the weights being those that make the bound least. A count is a sum of
    independent trials, and of any two one excludes the other: the variance is at most the squared
    weights times the means.

    Args:
        objective: (sizes,) what a class of each size adds to what is bounded.
        parts: (counts, sizes) the chance that a class of each size is counted there.
        counted: (counts,) how many classes were counted.
        grid: (sizes,) patients of the population in a class.
        population: All of them.
        z: How many deviations are added.
    """
    from scipy.optimize import linprog

    k = len(counted)
    # A count of zero may have a mean above zero.
    deviation = np.sqrt(np.maximum(counted, 1.0) + 1.0)
    scale = float(population)
    covers = np.concatenate(
        [
            -(parts.T / grid[:, None]) / deviation * scale,
            np.full((len(grid), 1), -scale),
            np.zeros((len(grid), 1)),
        ],
        axis=1,
    )
    least = -(objective / grid) * scale
    cost = np.concatenate([counted / deviation, [scale, z]])
    ends = [(None, None)] * (k + 1) + [(0, None)]
    # The length of the weights by planes that touch it from below, one more in each round.
    planes = [sign * row for row in np.eye(k, k + 2) for sign in (1.0, -1.0)]
    found = np.inf
    for _ in range(ROUNDS):
        rows = np.array(planes)
        rows[:, -1] = -1.0
        answer = linprog(
            cost,
            A_ub=np.concatenate([covers, rows]),
            b_ub=np.concatenate([least, np.zeros(len(rows))]),
            bounds=ends,
            method="highs",
        )
        if answer.status != 0:
            break
        weights = answer.x[:k]
        length = float(np.sqrt(weights @ weights))
        # Any weights that cover give a bound: the least one met is kept.
        found = min(found, float(cost[: k + 1] @ answer.x[: k + 1]) + z * length)
        if length <= float(answer.x[-1]) * (1 + 1e-4) + 1e-9:
            break
        planes.append(np.append(weights / length, [0.0, 0.0]))
    return found


def _fit(parts: np.ndarray, counted: np.ndarray, grid: np.ndarray, population: int) -> np.ndarray:
    """(sizes,) classes of each size: expectation maximisation of the Poisson likelihood."""
    visible = parts.sum(axis=0)
    classes = np.full(len(grid), population / len(grid)) / grid
    for _ in range(300):
        expected = np.maximum(parts @ classes, 1e-300)
        classes = classes * ((counted / expected) @ parts) / np.maximum(visible, 1e-300)
        classes = classes * population / float(classes @ grid)
    return np.asarray(classes)
