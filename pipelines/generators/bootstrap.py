"""Copies of real rows, drawn with replacement: the leaking end of the scale, to measure others
by."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from pipelines.generators._margins import check
from pipelines.generators._saved import SavedGenerator, damaged
from pipelines.generators._valid import Shape, valid
from privaudit.contracts import Claim, Generator, Progress, Sampler
from privaudit.records import Records

COPIES = (
    "Every row of this table is a copy of a real person's record. It is here as a yardstick, to "
    "show "
    "what a leak reads like, and must not leave the {site}."
)
ROWS_KEPT = "The saved generator holds every record that it was fitted on."


@dataclass(frozen=True)
class Bootstrap(Generator):
    """Real records, drawn with replacement and handed out as if they were synthetic.

    Useful as the real table and private as it: an audit that does not find this one leaking is
    broken. Its saved file holds all rows, necessarily. Values outside the schema are moved to the
    nearest valid one. Source: Efron 1979 (Annals of Statistics 7), resampling of the empirical
    distribution.
    """

    copies: ClassVar[bool] = True
    """What it hands out are real rows: `privaudit synthesize` writes them into a restricted folder
    alone."""

    def fit(
        self,
        records: Records,
        rng: np.random.Generator,
        *,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
    ) -> Sampler:
        check(records)
        X = valid(records.columns, records.X)
        return _Copies(Shape.of(records), X, records.y)

    @classmethod
    def load(cls, file: bytes) -> Sampler:
        saved = SavedGenerator.load(file, "bootstrap")
        X = saved.array("X", 2, shape=(None, len(saved.shape.columns)))
        y = saved.array("y", 1, shape=(len(X),))
        if not len(X) or y.dtype.kind not in "iu" or X.dtype != np.float32:
            raise damaged("its rows are not rows of its columns")
        return _Copies(saved.shape, X, y.astype(np.int64))


@dataclass(frozen=True, eq=False)
class _Copies:
    """The rows themselves."""

    shape: Shape
    X: np.ndarray
    y: np.ndarray
    claim: Claim = field(default_factory=Claim)
    notes: tuple[str, ...] = (COPIES, ROWS_KEPT)

    def sample(self, rows: int, rng: np.random.Generator) -> Records:
        drawn = rng.integers(0, len(self.X), rows)
        return self.shape.records(self.X[drawn], self.y[drawn])

    def save(self) -> bytes:
        saved = SavedGenerator(
            self.shape, self.claim, self.notes, arrays={"X": self.X, "y": self.y}
        )
        return saved.save("bootstrap")


__all__ = ["Bootstrap"]
