"""How long will the patient stay from here? Days that remain after the first day or two."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import polars as pl

from mimic_demo import EMBEDDED_PATIENTS
from pipelines.sources import stays
from pipelines.sources.cohort import Profile
from privaudit.contracts import Prepared, Progress
from privaudit.errors import PrivauditError


@dataclass(frozen=True)
class LengthOfStay(stays.StayTask):
    """The days that a stay goes on after its first `window` hours, in ordered buckets.

    Days are counted from the END of the window, so that no label is known inside it. edges: where
    one bucket ends and the next begins, in days: with (1, 3, 7, 14) the buckets are less than 1 day,
    1 to less than 3, 3 to less than 7, 7 to less than 14, and 14 or more.

    Stays that ended inside the window are left out: at the moment of prediction they are over. Stays
    that end by death count like others: the bed is free again, and leaving them out would choose the
    cohort by something that nobody knows at that moment. window, cohort, as_known, patients: as in
    `pipelines.tasks.mortality.Mortality`.

    Source: Harutyunyan et al., Scientific Data 2019, section "Length of stay" (remaining time, in
    ordered buckets; theirs are one a day).
    """

    window: int = 48
    edges: tuple[float, ...] = (1, 3, 7, 14)
    cohort: Profile = "first_stay"
    as_known: bool = False
    patients: int = EMBEDDED_PATIENTS

    title: ClassVar[str] = "Remaining length of stay"
    positive: ClassVar[str] = "the longest bucket"

    def prepare(self, data: Path | None, cache: Path, progress: Progress) -> Prepared:
        """Records with one class a bucket: see `privaudit.contracts.Task.prepare`."""
        edges = self.edges
        if not edges or edges[0] <= 0 or any(low >= high for low, high in pairwise(edges)):
            raise PrivauditError(
                f"bucket edges {edges!r}",
                "they are days after the window: above 0, each larger than the one before",
                "use for example (1, 3, 7, 14)",
            )
        extract = stays.read(
            data,
            window=self.window,
            cohort=self.cohort,
            as_known=self.as_known,
            patients=self.patients,
            cache=cache,
            progress=progress,
        )
        remaining = extract.stays["los_days"].cast(pl.Float64) - self.window / 24
        bucket = remaining.to_frame("left").select(
            pl.sum_horizontal(pl.col("left") >= edge for edge in edges)
        )
        counted = extract.facts.get("los_days", "stay in the unit")
        return stays.prepare(
            extract,
            bucket.to_series(),
            classes=self.buckets,
            steps=[
                ("length of stay not recorded", remaining.is_null()),
                (f"over within {self.window} hours", remaining < 0),
            ],
            notes=(
                f"Length of stay is the {counted}; days are counted from the end of the first "
                f"{self.window} hours, and stays that end by death are among them.",
            ),
        )

    @property
    def buckets(self) -> tuple[str, ...]:
        """The names of the classes, shortest first; a bucket ends just before its second number."""
        edges = [f"{edge:g}" for edge in self.edges]
        middle = [f"{low} to {high} days" for low, high in pairwise(edges)]
        return (
            f"under {edges[0]} day{'s' * (edges[0] != '1')}",
            *middle,
            f"{edges[-1]} days or more",
        )


__all__ = ["LengthOfStay"]
