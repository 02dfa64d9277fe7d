"""What learners that train a network share: many tables as one program."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipelines.learners._prepare import check_outcomes, hold_out
from privaudit.contracts import Learner, Model
from privaudit.records import Records

if TYPE_CHECKING:
    from pipelines.learners._neural import Preparation
    from pipelines.learners._training import Network


class NetworkLearner(Learner):
    """A network with early stopping. Subclasses are frozen dataclasses with these fields."""

    rate: float
    rows: int
    epochs: int
    patience: int
    held_out: float

    @abstractmethod
    def prepare(self, records: Records) -> Preparation:
        """How records become the network's inputs, fitted on these rows."""

    @abstractmethod
    def network(self, prepare: Preparation, classes: int) -> Network:
        """The network that reads such inputs."""

    @abstractmethod
    def decays(self, prepare: Preparation, rows: Sequence[int]) -> tuple[float, ...]:
        """AdamW's weight decay of each model, from how many rows it is trained on."""

    def fit(self, records: Records, rng: np.random.Generator) -> Model:
        (model,) = self.fit_many([records], [rng])
        return model

    def fit_many(
        self, records: Sequence[Records], rngs: Sequence[np.random.Generator]
    ) -> Sequence[Model]:
        """One model a table, each trained on its table and stream alone, all in one program."""
        from pipelines.learners._neural import Neural
        from pipelines.learners._training import Plan, train

        for table in records:
            check_outcomes(table)
        held = [
            hold_out(table, self.held_out, rng) for table, rng in zip(records, rngs, strict=True)
        ]
        prepared = [self.prepare(table) for table in records]
        network = self.network(prepared[0], len(records[0].classes))
        decay = self.decays(prepared[0], [int((~h).sum()) for h in held])
        found = train(
            network,
            [prepare(table) for prepare, table in zip(prepared, records, strict=True)],
            [table.y for table in records],
            held,
            rngs,
            Plan(self.rate, decay, self.rows, self.epochs, self.patience),
        )
        return [
            Neural(prepare, network, weights)
            for prepare, weights in zip(prepared, found, strict=True)
        ]
