"""Copies: real patients who stand in the synthetic table, word for word or nearly so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._tables import check_counts, draw, table_of
from privaudit.contracts import Access, Attack, Fitted, Target, Trials
from privaudit.fidelity.copies import DIFFERING, ROUNDING, copies
from privaudit.records import Records


@dataclass(frozen=True)
class Copies(Attack):
    """Counts the patients whose record is in the table, as it is or with a few cells changed.

    "exact": every cell the same, missing matching missing; "near": at most `share` of the cells measured on
    either side differ, numbers within `rounding` of what the column's middle spans being the same, so
    that blanked and rounded copies are found too. Control: the same count for patients whom the
    table was not made from, for people with little measured are alike. One record a patient.
    Yao et al. 2025, The DCR Delusion (arXiv 2505.01524), shows why distances short of copies say little,
    so that these are counted and no distance is; the control is that of Giomi et al. 2023 (arXiv
    2211.10459), section 3.
    """

    records: int = 5000
    rounding: float = ROUNDING
    share: float = DIFFERING

    needs: ClassVar[frozenset[Access]] = frozenset({Access.TABLE})
    family: ClassVar[Literal["synthetic"]] = "synthetic"

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[str, Trials]:
        check_counts(records=self.records)
        table, split = table_of(target), target.split
        members, others = (draw(p, self.records, rng) for p in (split.members, split.nonmembers))
        tried = Records.concatenate([members, others])
        found = copies(tried, table, rounding=self.rounding, share=self.share)
        cut = len(members)
        return {
            name: Trials(
                which[:cut].astype(float),
                which[cut:].astype(float),
                None,
                "copies of patients whom the table was not made from",
                members.patient,
                others.patient,
            )
            for name, which in (("exact", found.exact), ("near", found.near))
        }


__all__ = ["Copies"]
