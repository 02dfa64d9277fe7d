"""Is the patient back in intensive care within 30 days of leaving hospital alive?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mimic_demo import EMBEDDED_PATIENTS
from pipelines.sources import stays
from pipelines.sources.cohort import Profile
from privaudit.contracts import Prepared, Progress
from privaudit.errors import PrivauditError


@dataclass(frozen=True)
class Readmission(stays.StayTask):
    """Return to an ICU within 30 days of leaving hospital alive, from the first `window` hours.

    Only patients who left hospital alive can come back, so only they are asked about. The question
    is one for the day of discharge; the records hold the first `window` hours of the stay and nothing
    later. window, cohort, as_known, patients: as in `pipelines.tasks.mortality.Mortality`.

    Source: Lin et al., "Analysis and prediction of unplanned intensive care unit readmission using
    recurrent neural networks with long short-term memory", PLOS ONE 14(7), 2019 (which also counts
    deaths soon after discharge).
    """

    window: int = 48
    cohort: Profile = "first_stay"
    as_known: bool = False
    patients: int = EMBEDDED_PATIENTS

    title: ClassVar[str] = "ICU readmission within 30 days"
    positive: ClassVar[str] = "readmitted"

    def prepare(self, data: Path | None, cache: Path, progress: Progress) -> Prepared:
        """Records with the classes no and readmitted: see `privaudit.contracts.Task.prepare`."""
        extract = stays.read(
            data,
            window=self.window,
            cohort=self.cohort,
            as_known=self.as_known,
            patients=self.patients,
            cache=cache,
            progress=progress,
        )
        readmitted, died = extract.stays["readmitted"], extract.stays["died"]
        if readmitted.null_count() == len(readmitted):
            raise PrivauditError(
                f"{extract.source} has no readmissions",
                "it does not say whether a patient came back to intensive care",
                "use MIMIC-III or the embedded demo for this task, or ask for mortality",
            )
        return stays.prepare(
            extract,
            readmitted,
            classes=("not readmitted", "readmitted"),
            steps=[
                ("died in hospital", died == 1),
                ("return to intensive care not recorded", readmitted.is_null()),
            ],
        )


__all__ = ["Readmission"]
