"""Is the patient back in intensive care within 30 days of leaving hospital alive?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pipelines.sources.extract import Extract
from pipelines.tasks._stays import Label, StayTask
from privaudit.errors import PrivauditError


@dataclass(frozen=True)
class Readmission(StayTask):
    """Return to an ICU within 30 days of leaving hospital alive, from the first `window` hours.

    Only patients who left hospital alive can come back, so only they are asked about. The question
    is one for the day of discharge; the records hold the first `window` hours of the stay and
    nothing later. All fields are those of `mortality`.

    Source: Lin et al., "Analysis and prediction of unplanned intensive care unit readmission using
    recurrent neural networks with long short-term memory", PLOS ONE 14(7), 2019 (which also counts
    deaths soon after discharge).
    """

    title: ClassVar[str] = "ICU readmission within 30 days"
    positive: ClassVar[str] = "readmitted"

    def label(self, extract: Extract) -> Label:
        """Readmitted or not, of the patients who left hospital alive."""
        readmitted, died = extract.stays["readmitted"], extract.stays["died"]
        if readmitted.null_count() == len(readmitted):
            raise PrivauditError(
                f"{extract.source} has no readmissions",
                "it does not say whether a patient came back to intensive care",
                "use MIMIC-III or the embedded demo for this task, or ask for mortality",
            )
        steps = [
            ("died in hospital", died == 1),
            ("return to intensive care not recorded", readmitted.is_null()),
        ]
        return Label(readmitted, ("not readmitted", "readmitted"), steps)


__all__ = ["Readmission"]
