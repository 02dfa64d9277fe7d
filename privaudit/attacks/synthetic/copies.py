"""Copies: real patients whose record is in the synthetic table, exactly or nearly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.attacks._options import check_whole
from privaudit.attacks._pools import PATIENTS, Tried
from privaudit.attacks._tables import TableAttack, table_of
from privaudit.contracts import Fitted, Target, Trials
from privaudit.facts import Setting
from privaudit.fidelity.copies import DIFFERING, ROUNDING, copies

CONTROL = "copies of {people} whom the table was not made from"


@dataclass(frozen=True)
class Copies(TableAttack):
    """Counts the patients whose record is in the table, as it is or with a few cells changed.

    Exact duplicates: every cell the same, missing matching missing. Near-duplicates: at most
    `share` of the cells measured on either side differ, numbers within `rounding` of what the
    column's middle spans being the same, so that blanked and rounded copies are found too.
    A patient is copied where any record is, and all records of up to `patients` patients of either
    pool are looked for. Control: the same count for patients whom the table was not made from, for
    people with little measured are alike.
    Yao et al. 2025, The DCR Delusion (arXiv 2505.01524), shows why distances short of copies say
    little, so that these are counted and no distance is; the control is that of Giomi et al. 2023
    (arXiv 2211.10459), section 3.
    """

    patients: int = PATIENTS
    rounding: float = ROUNDING
    share: float = DIFFERING

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        check_whole(self, patients=1)
        table = table_of(target)
        tried = Tried.draw(target.split, self.patients, rng)
        found = copies(tried.records, table, rounding=self.rounding, share=self.share)
        series = (("exact duplicates", found.exact), ("near-duplicates", found.near))
        return {
            Setting("variant", name): tried.trials(which, None, CONTROL) for name, which in series
        }


__all__ = ["Copies"]
