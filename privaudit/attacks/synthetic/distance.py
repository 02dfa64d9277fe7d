"""Membership by distance: the nearest synthetic record against the attacker's own nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._membership import cut
from privaudit.attacks._table_scores import TAILS, score_distance
from privaudit.attacks._tables import TableAttack, table_of
from privaudit.contracts import Fitted, Scores, Target
from privaudit.facts import Attacker


@dataclass(frozen=True)
class Distance(TableAttack):
    """Takes patients for members whose nearest synthetic record is nearer than is usual for them.

    Score: minus the log distance to the nearest synthetic record, minus the same for the attacker's
    own records where `calibrated`: a usual patient has near neighbours in any table. Distances are
    Gower's with missing as a value to match, numbers on the scale of the middle of the attacker's
    own records, `tails` left out on either side. A patient is as near as the nearest of their
    records. After Chen et al. 2020, GAN-Leaks (arXiv 1909.03935), sections 4.2 and 4.4, with
    calibration by records in place of a second generator.
    """

    calibrated: bool = True
    tails: float = TAILS

    family: ClassVar[Literal["membership"]] = "membership"
    attacker: ClassVar[Attacker | None] = Attacker.SIMILAR_PATIENTS

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        split = target.split
        scores = score_distance(
            split.audit,
            table_of(target),
            split.reference,
            calibrated=self.calibrated,
            tails=self.tails,
        )
        return cut(scores, target, "largest")


__all__ = ["Distance"]
