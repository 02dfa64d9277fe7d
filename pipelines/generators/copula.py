"""A Gaussian copula: each column's distribution, and one correlation for every pair."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipelines.generators._margins import Layout, Margins, check
from pipelines.generators._pooled import POOL, RUN, pool_records
from pipelines.generators._saved import SavedGenerator, damaged
from privaudit.contracts import Claim, FocalPoints, Generator, Progress, Sampler
from privaudit.errors import PrivauditError
from privaudit.fidelity.distance import outcome
from privaudit.records import Records

HELD = (
    "The saved generator holds one distribution a column, one correlation for every pair of "
    f"columns, and no row. Each number of a distribution is a value that {POOL} {{people}} share, "
    f"or the middle of {RUN} {{people}}' values without the {POOL - 1} largest and smallest of "
    "them. No formal privacy guarantee is given."
)
TERMS = 30
"""Hermite terms of a column's scores: enough for a correlation of .95 between yes-or-no columns."""
STRONGEST = 0.99
"""Correlations are sought up to here."""
SMALLEST = 1e-4
"""Eigenvalues of the correlation matrix are raised to this."""
PLACES = 3
"""Correlations are kept to so many places: more would only serve to solve for a patient."""


@dataclass(frozen=True)
class Copula(Generator):
    """Gaussian relations between columns of any distribution: the honest simple baseline.

    Every column, every pattern of absence and the outcome is seen as a cut or stretched normal
    variable; what is kept is how the normal variables correlate. Correlations come from ranks;
    those of columns with few values (yes or no, levels, counts) are corrected for what rounding to
    few values takes away, term by term in Hermite polynomials. Levels of a category are put in the
    order of their mean outcome. Relations that are not monotone, and those of more than two
    columns, are lost.

    Args:
        shrink: How far correlations are drawn to zero; None for the amount that the table's size
            calls for.

    Source: Nelsen 2006, "An introduction to copulas", chapter 2; Olsson 1979 (Psychometrika 44) for
    columns of few values, here by Lancaster's 1957 (Biometrika 44) expansion; shrinkage: Schäfer
    and Strimmer 2005 (SAGMB 4), target D.
    """

    shrink: float | None = None

    def fit(
        self,
        records: Records,
        rng: np.random.Generator,
        *,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
    ) -> Sampler:
        self.check()
        check(records)
        records = pool_records(records)
        layout = Layout.of(records)
        spread = layout.spread(records)
        margins = Margins.fit(layout, spread, records.patient)
        scores, terms = _scores(spread)
        if progress is not None:
            progress("relations between columns", 0.5)
        correlation, pairs = _correlations(scores, ~np.isnan(spread), terms)
        correlation[_count_least(spread, records.patient) < RUN] = 0.0
        amount = _amount(correlation, pairs) if self.shrink is None else self.shrink
        np.multiply(correlation, 1 - amount, out=correlation)
        np.round(correlation, PLACES, out=correlation)
        np.fill_diagonal(correlation, 1.0)
        if progress is not None:
            progress("relations between columns", 1.0)
        return _GaussianCopula(layout, margins, _definite(correlation).astype(np.float32))

    def focal_points(self, records: Records, rng: np.random.Generator) -> FocalPoints:
        """Every column and the outcome, each for itself, and how they correlate."""
        columns = (*((c.name,) for c in records.columns), (outcome(records),))
        return FocalPoints(columns, correlations=True)

    @classmethod
    def load(cls, file: bytes) -> Sampler:
        saved = SavedGenerator.load(file, "copula")
        layout = Layout.read(saved)
        width = len(layout.coded)
        correlation = saved.array("correlation", 2, shape=(width, width))
        found = _GaussianCopula(layout, Margins.read(saved, width), correlation)
        try:
            found.factor()
        except np.linalg.LinAlgError:
            raise damaged("its correlations are not those of anything") from None
        return found

    def check(self) -> None:
        if self.shrink is not None and not 0 <= self.shrink <= 1:
            raise PrivauditError(
                f"shrink {self.shrink}",
                "it is a share of the way to zero: from 0 (none) to 1 (independent columns)",
                "leave it at none, which lets the table's size decide",
            )


@dataclass(frozen=True, eq=False)
class _GaussianCopula:
    """Distributions and a correlation matrix (width, width)."""

    layout: Layout
    margins: Margins
    correlation: np.ndarray
    claim: Claim = field(default_factory=Claim)
    notes: tuple[str, ...] = (HELD,)

    def factor(self) -> np.ndarray:
        return np.linalg.cholesky(self.correlation.astype(np.float64))

    def sample(self, rows: int, rng: np.random.Generator) -> Records:
        from scipy.special import ndtr

        z = rng.standard_normal((rows, len(self.correlation))) @ self.factor().T
        return self.layout.gather(self.margins(ndtr(z)))

    def save(self) -> bytes:
        arrays = {**self.margins.arrays, "correlation": self.correlation}
        saved = SavedGenerator(self.layout.shape, self.claim, self.notes, self.layout.facts, arrays)
        return saved.save("copula")


def _scores(spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, width) mean normal score of the block of equal values that each cell is in, 0 where
    missing; and (width, TERMS) the Hermite coefficients of these scores as functions of the normal
    variable."""
    from scipy.special import ndtri

    scores = np.zeros(spread.shape)
    terms = np.zeros((spread.shape[1], TERMS))
    for j in range(spread.shape[1]):
        seen = ~np.isnan(spread[:, j])
        _, block, counts = np.unique(spread[seen, j], return_inverse=True, return_counts=True)
        if len(counts) < 2:
            continue
        share = np.cumsum(counts) / counts.sum()
        cut = ndtri(share[:-1])
        height = np.exp(-(cut**2) / 2) / np.sqrt(2 * np.pi)
        fall = -np.diff(np.concatenate([[0.0], height, [0.0]]))
        mean = fall * counts.sum() / counts
        scores[seen, j] = mean[block]
        # The integral of the k-th normalised polynomial over a block is that of the one before at
        # its ends.
        before, now = np.zeros_like(cut), np.ones_like(cut)
        for k in range(1, TERMS + 1):
            ends = np.concatenate([[0.0], now * height, [0.0]])
            terms[j, k - 1] = -(mean * np.diff(ends)).sum() / np.sqrt(k)
            before, now = now, (cut * now - np.sqrt(k - 1) * before) / np.sqrt(k)
    return scores, terms


def _correlations(
    scores: np.ndarray, seen: np.ndarray, terms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(width, width) correlations of the normal variables, and how many rows each rests on.

    Over the rows where both columns have a value. What scores of correlation r covary by is a power
    series in r with the products of their coefficients; it rises with r, so halving finds the root.
    """
    here = seen.astype(np.float64)
    pairs = here.T @ here
    whole = np.maximum(pairs, 1)
    first = scores.T @ here  # sum of i over rows where j is seen
    covary = scores.T @ scores / whole - (first / whole) * (first.T / whole)
    spread = np.maximum(scores.T**2 @ here / whole - (first / whole) ** 2, 0)
    # Who has both values is no chance sample: each score's spread there is put back to its own.
    own = np.maximum(np.diag(spread), 1e-12)
    covary *= np.sqrt(np.outer(own, own) / np.maximum(spread * spread.T, 1e-24))
    low, high = np.full_like(pairs, -STRONGEST), np.full_like(pairs, STRONGEST)
    for _ in range(22):
        middle = (low + high) / 2
        total = np.zeros_like(middle)
        for k in range(TERMS - 1, -1, -1):
            total = (total + np.outer(terms[:, k], terms[:, k])) * middle
        below = total < covary
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    found = (low + high) / 2
    flat = (terms**2).sum(axis=1) == 0
    found[flat, :] = found[:, flat] = 0.0
    # Where one column says nothing on the rows that have both, nothing is known of the pair.
    unknown = (spread < 1e-9) | (spread.T < 1e-9) | (pairs < RUN)
    found[unknown] = 0.0
    return found, pairs


def _count_least(spread: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """(width, width) of how many patients at least each pair of columns is known: each row is that
    share of its patient."""
    _, code, counts = np.unique(patient, return_inverse=True, return_counts=True)
    here = ~np.isnan(spread)
    result: np.ndarray = (here / counts[code][:, None]).T @ here
    return result + 1e-9


def _amount(correlation: np.ndarray, pairs: np.ndarray) -> float:
    """How far to draw to zero: the sampling variance of all correlations over their squares."""
    off = ~np.eye(len(correlation), dtype=bool)
    r = correlation[off]
    error = (1 - r**2) ** 2 / np.maximum(pairs[off] - 1, 1)
    return float(np.clip(error[r != 0].sum() / max((r**2).sum(), 1e-12), 0, 1))


def _definite(correlation: np.ndarray) -> np.ndarray:
    """The matrix with negative eigenvalues raised, scaled to ones on the diagonal again."""
    values, vectors = np.linalg.eigh((correlation + correlation.T) / 2)
    if values[0] < SMALLEST:
        correlation = (vectors * np.maximum(values, SMALLEST)) @ vectors.T
        scale = 1 / np.sqrt(np.diag(correlation))
        correlation = correlation * scale[:, None] * scale
        np.fill_diagonal(correlation, 1.0)
    return correlation


__all__ = ["Copula"]
