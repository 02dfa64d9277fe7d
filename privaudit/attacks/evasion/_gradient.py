"""Evasion of a model that gives its gradients: steps to the possible patient that they point to."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from privaudit.attacks.evasion._evasion import Craft, Evasion, Field
from privaudit.attacks.evasion._possible import Box, Point
from privaudit.contracts import Access, Differentiable
from privaudit.records import Records
from privaudit.signals import margin


@dataclass(frozen=True)
class GradientEvasion(Evasion):
    """An evasion attack that follows gradients."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS, Access.WEIGHTS})

    @property
    @abstractmethod
    def moves(self) -> int:
        """How many gradients it takes at each budget."""

    def craft(self, field: Field, rng: np.random.Generator) -> Craft:
        return Climb(field, self.moves).at


class Climb:
    """Each record's best change so far, which every larger budget starts from.

    A step goes to the possible patient that the gradient points to, the solution of a linear
    program over the constraints, and each further one a smaller share of the way (Frank and Wolfe
    1956). Of all steps the one counts after which the model is least sure of the true outcome.
    """

    def __init__(self, field: Field, moves: int) -> None:
        self.field, self.moves = field, moves
        self.best = field.start.copy()
        self.sure = self._read(field.possible(field.start))

    def at(self, budget: float) -> Records:
        """The records after so many steps within a budget."""
        box = self.field.box(budget)
        for start in (self.field.start, self.best.copy())[: 1 if self.moves == 1 else 2]:
            self._climb(box, start)
        return self.field.possible(self.best)

    def _climb(self, box: Box, at: Point) -> None:
        n = len(self.field.records)
        for step in range(self.moves):
            end = box.push(self.slopes(at), at)
            at = box.blend(at, end, np.full(n, 2 / (step + 2)))
            sure = self._read(self.field.possible(at))
            better = np.flatnonzero(sure < self.sure)
            self.best.put(better, at.rows(better))
            self.sure[better] = sure[better]

    def slopes(self, at: Point) -> Point:
        """Where the margin of the true class falls fastest, which unlike a loss is never flat for
        being sure: the gradient of the likeliest other class's loss, turned round."""
        records = self.field.possible(at)
        model = self.field.model
        assert isinstance(model, Differentiable)
        proba = np.array(model.predict_proba(records), dtype=np.float64)
        proba[np.arange(len(records)), records.y] = -1.0
        x, series = model.input_gradient(replace(records, y=proba.argmax(axis=1)))
        if proba.shape[1] > 2:
            own, own_series = model.input_gradient(records)
            x = x - own
            series = None if series is None or own_series is None else series - own_series
        x = np.where(self.field.spread > 0, -np.nan_to_num(x, posinf=0.0, neginf=0.0), 0.0)
        if series is None or at.series is None:
            return Point(x, None)
        hours = -np.nan_to_num(series, posinf=0.0, neginf=0.0)
        return Point(x, np.where(self.field.spread_series > 0, hours, 0.0))

    def _read(self, records: Records) -> np.ndarray:
        return margin(np.asarray(self.field.model.predict_proba(records)), records.y)


__all__ = ["Climb", "GradientEvasion"]
