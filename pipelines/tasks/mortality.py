"""Does the patient die in hospital? Asked at the end of the first day or two in intensive care."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pipelines.sources.extract import Extract
from pipelines.tasks._stays import Label, StayTask


@dataclass(frozen=True)
class Mortality(StayTask):
    """In-hospital death, predicted from the first `window` hours of an ICU stay.

    Args:
        window: Hours of each stay that are read: 24 or 48.
        cohort: "first_stay" (one stay a patient), "all_stays", or "benchmarks" (the rule of
            mimic3-benchmarks).
        as_known: Read only what had been charted by the end of the window, where the source says
            when.
        patients: Size of the embedded demo, where no data are given.
        codes: A hospital's own code map (CSV), read on top of the source's.

    Source: Harutyunyan et al., "Multitask learning and benchmarking with clinical time series
    data", Scientific Data 2019, section "In-hospital mortality".
    """

    title: ClassVar[str] = "In-hospital mortality"
    positive: ClassVar[str] = "died"

    def label(self, extract: Extract) -> Label:
        """Survived or died; stays whose outcome is not recorded are left out."""
        died = extract.stays["died"]
        steps = [("outcome not recorded", died.is_null())] if died.null_count() else []
        return Label(died, ("survived", "died"), steps)


__all__ = ["Mortality"]
