"""Boosting one curve a column from noisy sums alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from privaudit.dp.noise import add_gaussian


@dataclass(frozen=True)
class Boosting:
    """Settings of the boosting, as in `dp_ebm`."""

    bins: int
    rounds: int
    leaves: int
    rate: float
    share: float


@dataclass(frozen=True, eq=False)
class Fitted:
    """For each column where its curve steps, and its heights: one more than cuts.

    count: How many patients there are, from the noisy counts.
    """

    cuts: tuple[np.ndarray, ...]
    scores: tuple[np.ndarray, ...]
    count: float


def boost(
    x: np.ndarray,
    y: np.ndarray,
    limits: np.ndarray,
    sigma: float,
    plan: Boosting,
    rng: np.random.Generator,
) -> Fitted:
    """Curves on the log odds, made of Gaussian answers that are together one of multiplier `sigma`.

    Two kinds of answers. A histogram of every column: one patient is in one range of each, so d
    histograms move by sqrt(d) (L2). Then, for every round and column, the sums of residuals of the
    leaves of a random tree: one patient is in one leaf, and a residual is between -1 and 1. `share`
    of the squared budget goes to the first, the rest in equal parts to the others. How many records
    there are is read nowhere but in the noisy histograms.

    Args:
        x: (n, d) float64, within limits: (d, 2), which are public; y: (n,) of 0 and 1; one row a
            patient.

    Source: Nori, Caruana, Bu, Shen and Kulkarni 2021 (arXiv 2106.09680), algorithm 2.
    """
    d = x.shape[1]
    cuts, weights, count = _bins(x, limits, sigma / math.sqrt(plan.share), plan.bins, rng)
    place = [np.searchsorted(at, x[:, j], side="right") for j, at in enumerate(cuts)]
    scores = [np.zeros(len(own)) for own in weights]
    spread = sigma * math.sqrt(d * plan.rounds / (1 - plan.share))
    logit = np.zeros(len(x))
    for _ in range(plan.rounds):
        for j in range(d):
            inner = len(weights[j]) - 1
            many = min(plan.leaves - 1, inner)
            ends = np.sort(rng.permutation(inner)[:many]) + 1
            starts = np.concatenate([[0], ends])
            leaf = np.searchsorted(ends, place[j], side="right")
            residual = y - 1 / (1 + np.exp(-logit))
            sums = np.bincount(leaf, residual, minlength=len(starts))
            noisy = add_gaussian(sums, spread, 1.0, rng)
            height = plan.rate * noisy / np.maximum(np.add.reduceat(weights[j], starts), 1.0)
            step = np.repeat(height, np.diff([*starts, inner + 1]))
            scores[j] += step
            logit += step[place[j]]
    return Fitted(tuple(cuts), tuple(scores), count)


def _bins(
    x: np.ndarray, limits: np.ndarray, sigma: float, bins: int, rng: np.random.Generator
) -> tuple[list[np.ndarray], list[np.ndarray], float]:
    """(cuts, noisy counts between them, patients): even ranges, joined until they hold a share."""
    d = x.shape[1]
    edges = [np.linspace(low, high, 2 * bins + 1) for low, high in limits]
    exact = np.stack(
        [
            np.bincount(np.searchsorted(e[1:-1], x[:, j], side="right"), minlength=2 * bins)
            for j, e in enumerate(edges)
        ]
    ).astype(np.float64)
    noisy = add_gaussian(exact, sigma * math.sqrt(d), math.sqrt(d), rng)
    count = max(float(noisy.sum(axis=1).mean()), 1.0)
    cuts, weights = [], []
    for counted, edge in zip(np.maximum(noisy, 0.0), edges, strict=True):
        own_cuts, own, have = [], [], 0.0
        for weight, right in zip(counted, edge[1:], strict=True):
            have += weight
            if have >= count / bins:
                own_cuts.append(right)
                own.append(have)
                have = 0.0
        if own:
            own[-1] += have
        cuts.append(np.array(own_cuts[:-1]))
        weights.append(np.array(own or [count]))
    return cuts, weights, count
