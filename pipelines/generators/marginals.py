"""Every column drawn on its own: right one by one, and useless together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipelines.generators._margins import Layout, Margins, check
from pipelines.generators._pooled import POOL, RUN, pool_records
from pipelines.generators._saved import SavedGenerator
from privaudit.contracts import Claim, FocalPoints, Generator, Progress, Sampler
from privaudit.fidelity.distance import outcome
from privaudit.records import Records

APART = (
    "Columns are drawn independently of each other and of the outcome: their distributions are "
    "right, every "
    "relation between them is gone, and a model trained on this table has learnt nothing."
)
HELD = (
    "The saved generator holds one distribution a column, and no row. Each number of it is a value "
    f"that {POOL} {{people}} share, or the middle of {RUN} {{people}}' values without the "
    f"{POOL - 1} largest and smallest of them. No formal privacy guarantee is given."
)


@dataclass(frozen=True)
class Marginals(Generator):
    """Independent draws from each column's distribution: the end of the scale that keeps no
    relation.

    Missing values: each pattern of absence (columns that are missing together) at its own share.
    The outcome at its prevalence. Distributions are broken lines through shared values and middles
    of runs of sorted values, so that no corner follows one patient's value. Source: the
    independent-attribute mode of Ping, Stoyanovich and Howe 2017 (DataSynthesizer, SSDBM), without
    its noise.
    """

    def fit(
        self,
        records: Records,
        rng: np.random.Generator,
        *,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
    ) -> Sampler:
        check(records)
        records = pool_records(records)
        layout = Layout.of(records)
        return _Apart(layout, Margins.fit(layout, layout.spread(records), records.patient))

    def focal_points(self, records: Records, rng: np.random.Generator) -> FocalPoints:
        """Every column and the outcome, each for itself."""
        return FocalPoints((*((c.name,) for c in records.columns), (outcome(records),)))

    @classmethod
    def load(cls, file: bytes) -> Sampler:
        saved = SavedGenerator.load(file, "marginals")
        layout = Layout.read(saved)
        return _Apart(layout, Margins.read(saved, len(layout.coded)))


@dataclass(frozen=True, eq=False)
class _Apart:
    """One distribution a column."""

    layout: Layout
    margins: Margins
    claim: Claim = field(default_factory=Claim)
    notes: tuple[str, ...] = (APART, HELD)

    def sample(self, rows: int, rng: np.random.Generator) -> Records:
        return self.layout.gather(self.margins(rng.random((rows, len(self.layout.coded)))))

    def save(self) -> bytes:
        saved = SavedGenerator(
            self.layout.shape, self.claim, self.notes, self.layout.facts, self.margins.arrays
        )
        return saved.save("marginals")


__all__ = ["Marginals"]
