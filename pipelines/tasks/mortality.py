"""Does the patient die in hospital? Asked at the end of the first day or two in intensive care."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mimic_demo import EMBEDDED_PATIENTS
from pipelines.sources import stays
from pipelines.sources.cohort import Profile
from privaudit.contracts import Prepared, Progress


@dataclass(frozen=True)
class Mortality(stays.StayTask):
    """In-hospital death, predicted from the first `window` hours of an ICU stay.

    window: 24 or 48; cohort: "first_stay" (one stay a patient), "all_stays", or "benchmarks" (the
    rule of mimic3-benchmarks); as_known: only what had been charted by the end of the window, where
    the source says when; patients: size of the embedded demo, where no data are given.

    Source: Harutyunyan et al., "Multitask learning and benchmarking with clinical time series data",
    Scientific Data 2019, section "In-hospital mortality".
    """

    window: int = 48
    cohort: Profile = "first_stay"
    as_known: bool = False
    patients: int = EMBEDDED_PATIENTS

    title: ClassVar[str] = "In-hospital mortality"
    positive: ClassVar[str] = "died"

    def prepare(self, data: Path | None, cache: Path, progress: Progress) -> Prepared:
        """Records with the classes survived and died: see `privaudit.contracts.Task.prepare`."""
        extract = stays.read(
            data,
            window=self.window,
            cohort=self.cohort,
            as_known=self.as_known,
            patients=self.patients,
            cache=cache,
            progress=progress,
        )
        died = extract.stays["died"]
        return stays.prepare(
            extract,
            died,
            classes=("survived", "died"),
            steps=[("outcome not recorded", died.is_null())] if died.null_count() else [],
        )


__all__ = ["Mortality"]
