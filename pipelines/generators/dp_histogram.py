"""Noisy counts of every column within each outcome: the cheap private generator, with an
epsilon."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines._bounded import ONE_STAY, describe_noise, one_stay
from pipelines.generators._cells import COVERS, ROWS, Cells, CellSampler, counts, onto, totals
from pipelines.generators._margins import check
from pipelines.generators._valid import Shape
from pipelines.settings import settle_delta
from privaudit.contracts import FocalPoints, Generator, Progress, Sampler
from privaudit.dp import accounting
from privaudit.dp.noise import add_gaussian, bind_noise
from privaudit.fidelity.distance import outcome
from privaudit.records import Records

CUTS = (
    "Where columns are cut follows bounds, levels and textbook values; no statistic of the "
    "records was read."
)
APART = (
    "Columns are drawn independently of each other within each outcome: what a column says about "
    "the "
    "outcome is kept, what columns say about each other beyond it is not."
)


@dataclass(frozen=True)
class DPHistogram(Generator):
    """A histogram of every column within each outcome, with noise; columns are drawn from these,
    given the outcome.

    One stay of each patient is counted, once a column: the L2 sensitivity of m columns together is
    sqrt(m), and Gaussian noise is accounted for as m answers. Negative cells are repaired by
    projection.

    Args:
        epsilon, delta: The guarantee for one patient added or removed (delta None: the largest
            power of ten that is at most 1 / (10 patients)).
        statistics: Which summaries of a measured variable are counted ("" for columns that
            summarise nothing, such as age); every further column costs noise in all. Other
            summaries of a variable repeat the one counted, and columns that are no such summary are
            missing.
        bins: Cells of a number; they follow bounds, levels and textbook values alone.

    Source: naive Bayes over noisy counts as in Vaidya et al. 2013 (IEEE/WIC/ACM WI), drawn from
    rather than classified with; Gaussian noise: Balle and Wang 2018 (arXiv 1805.06530).
    """

    epsilon: float = 3.0
    delta: float | None = None
    statistics: tuple[str, ...] = ("", "last")
    bins: int = 16

    def check(self) -> None:
        accounting.check(self.epsilon, self.delta or 0.0)

    def fit(
        self,
        records: Records,
        rng: np.random.Generator,
        *,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
    ) -> Sampler:
        check(records)
        rng = bind_noise(rng, self, records.fingerprint)
        cells = Cells.of(records.columns, self.statistics, self.bins)
        patients = len(np.unique(records.patient))
        delta = settle_delta(self, patients)
        m = len(cells.released)
        sigma = accounting.solve_gaussian(self.epsilon, delta, m)
        noise = accounting.name_noise(rng)
        claim = accounting.gaussian(sigma, delta, times=m, covers=COVERS, n=patients, noise=noise)
        stays = one_stay(records, rng)
        exact = counts(cells.code(stays), stays.y, cells.sizes, len(records.classes))
        # One patient is in one cell of each column.
        noisy = [add_gaussian(table, sigma, 1.0, rng) for table in exact]
        sums = totals(noisy)
        tables = tuple(chances(onto(table, sums))[:, None, :] for table in noisy)
        return CellSampler(
            "dp_histogram",
            Shape.of(records),
            cells,
            sums / sums.sum(),
            np.full(m, -1),
            tables,
            cells.noisy(noisy),
            claim,
            (ONE_STAY, CUTS, APART, ROWS, chosen(cells), describe_noise(rng)),
            total=float(sums.sum()),
        )

    def focal_points(self, records: Records, rng: np.random.Generator) -> FocalPoints:
        """Every column that is counted, with the outcome."""
        cells = Cells.of(records.columns, self.statistics, self.bins)
        return FocalPoints(pair_with_outcome(cells, records), cuts=cells.cuts)

    @classmethod
    def load(cls, file: bytes) -> Sampler:
        return CellSampler.load(file, "dp_histogram")


def pair_with_outcome(cells: Cells, records: Records) -> tuple[tuple[str, ...], ...]:
    """The names of each released column and the outcome."""
    last = outcome(records)
    return tuple((records.columns[j].name, last) for j in cells.released)


def chances(table: np.ndarray) -> np.ndarray:
    """(..., cells) shares of each row."""
    return table / table.sum(axis=-1, keepdims=True)


def chosen(cells: Cells) -> str:
    """Which columns the noise was spent on."""
    spent, whole = len(cells.released), len(cells.columns)
    if spent == whole:
        return f"All {whole} columns were counted."
    return (
        f"{spent} of {whole} columns were counted, chosen by the schema; other summaries of a "
        "variable "
        "repeat the one counted, and what summarises nothing counted is missing."
    )


__all__ = ["DPHistogram"]
