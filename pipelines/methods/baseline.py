"""Ordinary training in one place, with no privacy guarantee."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from pipelines.learners.logreg import LogReg
from privaudit.contracts import Claim, Learner, Method, Release
from privaudit.records import Records


@dataclass(frozen=True)
class Baseline(Method):
    """Pool all members' records, and train one model, with no privacy guarantee.

    The yardstick for every other method: what centralised training gives and gives away. costs:
    `train_seconds` are CPU seconds, shared equally by models trained as one program. Source: the
    centralised baseline of McMahan et al. 2017 (arXiv 1602.05629), section 3.
    """

    learner: Learner = field(default_factory=LogReg)

    learners: ClassVar[tuple[str, ...]] = ("logreg", "boosted", "mlp", "lstm", "cnn")

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        (release,) = self.fit_many([members], [rng])
        return release

    def fit_many(
        self, members: Sequence[Records], rngs: Sequence[np.random.Generator]
    ) -> Sequence[Release]:
        """One release a table, trained together where the learner can."""
        start = time.process_time()
        models = self.learner.fit_many(members, rngs)
        seconds = (time.process_time() - start) / max(len(models), 1)
        return [
            Release(claim=Claim(), model=model, costs={"train_seconds": seconds})
            for model in models
        ]

    @property
    def batch(self) -> int:
        return self.learner.batch


__all__ = ["Baseline"]
