"""How long will the patient stay from here? Days that remain after the first day or two."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import polars as pl

from pipelines.sources.extract import Extract
from pipelines.tasks._stays import Label, StayTask
from privaudit.errors import PrivauditError


@dataclass(frozen=True)
class LengthOfStay(StayTask):
    """The days that a stay goes on after its first `window` hours, in ordered buckets.

    Days are counted from the END of the window, so that no label is known inside it.

    Stays that ended inside the window are left out: at the moment of prediction they are over.
    Stays that end by death count like others: the bed is free again, and leaving them out would
    choose the cohort by something that nobody knows at that moment. All other fields are those of
    `mortality`.

    Args:
        edges: Where one bucket ends and the next begins, in days: with (1, 3, 7, 14) the buckets
            are less than 1 day, 1 to less than 3, 3 to less than 7, 7 to less than 14, and 14 or
            more.

    Source: Harutyunyan et al., Scientific Data 2019, section "Length of stay" (remaining time, in
    ordered buckets; theirs are one a day).
    """

    edges: tuple[float, ...] = (1, 3, 7, 14)

    title: ClassVar[str] = "Remaining length of stay"
    positive: ClassVar[str] = "the longest bucket"

    def check_settings(self) -> None:
        super().check_settings()
        edges = self.edges
        if not edges or edges[0] <= 0 or any(low >= high for low, high in pairwise(edges)):
            raise PrivauditError(
                f"bucket edges {edges!r}",
                "they are days after the window: above 0, each larger than the one before",
                "use for example (1, 3, 7, 14)",
            )

    def label(self, extract: Extract) -> Label:
        """The bucket of the days that remain after the window."""
        remaining = extract.stays["los_days"].cast(pl.Float64) - self.window / 24
        bucket = remaining.to_frame("left").select(
            pl.sum_horizontal(pl.col("left") >= edge for edge in self.edges)
        )
        counted = extract.facts.get("los_days", "stay in the unit")
        return Label(
            bucket.to_series(),
            self.buckets,
            steps=[
                ("length of stay not recorded", remaining.is_null()),
                (f"over within {self.window} hours", remaining < 0),
            ],
            notes=(
                f"Length of stay is the {counted}; days are counted from the end of the first "
                f"{self.window} hours, and stays that end by death are among them.",
            ),
            ordered=True,
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
