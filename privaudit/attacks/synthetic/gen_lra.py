"""Membership by local likelihood (Gen-LRA): how far a patient explains the records nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._membership import cut
from privaudit.attacks._options import check, check_whole
from privaudit.attacks._table_scores import TAILS, score_likelihood
from privaudit.attacks._tables import TableAttack, table_of
from privaudit.contracts import Fitted, Scores, Target
from privaudit.facts import Attacker


@dataclass(frozen=True)
class GenLRA(TableAttack):
    """Takes patients for members who make the synthetic records around them likelier.

    A surrogate density is fitted on the attacker's own records, once without the patient and once
    with them as one more record; the score is the log likelihood ratio of the `nearest` synthetic
    records. For a mean of n kernels the ratio at a synthetic record s is (n p(s) + K(s, x)) /
    ((n + 1) p(s)), so that no density is fitted again: the records' own densities and their
    distances from the patient are enough. The score is stated on a log scale, on which scores too
    small for a float keep their order; a patient counts by the record that leaks most. Kernels,
    scale, gaps and width are those of `domias`, which asks the reverse: how dense the table is at
    the patient. nearest: all records of smaller tables.
    Ward, Wang and Cheng 2025, Privacy Auditing Synthetic Data Release through Local Likelihood
    Attacks (arXiv 2508.21146), and its library Synth-MIA (arXiv 2509.18014), which fit a Gaussian
    kernel density anew for each patient.
    """

    nearest: int = 1
    width: float = 0.0
    tails: float = TAILS

    family: ClassVar[Literal["membership"]] = "membership"
    attacker: ClassVar[Attacker | None] = Attacker.SIMILAR_PATIENTS

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        check_whole(self, nearest=1)
        because = "a kernel's width is above 0; 0 leaves the choice to the data"
        check(self, "width", bool(np.isfinite(self.width) and self.width >= 0), because)
        split = target.split
        scores = score_likelihood(
            split.audit,
            table_of(target),
            split.reference,
            nearest=self.nearest,
            width=self.width,
            tails=self.tails,
        )
        return cut(scores, target, "largest")


__all__ = ["GenLRA"]
