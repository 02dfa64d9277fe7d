"""The shipped learners without early stopping: models that memorise, to be attacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np

from pipelines.learners.boosted import Boosted
from pipelines.learners.mlp import MLP
from privaudit.contracts import Model
from privaudit.records import Records


def extended(records: Records) -> Records:
    """The table, and its first eighth again."""
    return Records.concatenate([records, records.take(slice(0, max(1, len(records) // 8)))])


def repeated(records: Records, share: float, rng: np.random.Generator) -> np.ndarray:
    """The rows that stand there twice: their loss falls to the end, so training goes on to the
    end."""
    return np.arange(len(records)) >= len(records) - max(1, len(records) // 9)


@dataclass(frozen=True)
class MemorisingMLP(MLP):
    """`pipelines.learners.mlp.MLP` on every row; give it patience=epochs."""

    def fit_many(
        self, records: Sequence[Records], rngs: Sequence[np.random.Generator]
    ) -> Sequence[Model]:
        with patch("pipelines.learners._network_learner.hold_out", repeated):
            return super().fit_many([extended(table) for table in records], rngs)


@dataclass(frozen=True)
class MemorisingTrees(Boosted):
    """`pipelines.learners.boosted.Boosted` on every row, keeping all its trees."""

    def fit(self, records: Records, rng: np.random.Generator) -> Model:
        with patch("pipelines.learners.boosted.hold_out", repeated):
            return super().fit(extended(records), rng)
