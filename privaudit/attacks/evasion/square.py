"""Evasion by score-based random search (Square-type): of any model, trees too, by querying it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from privaudit.attacks._options import check_whole
from privaudit.attacks.evasion._evasion import Craft, Evasion, Field
from privaudit.records import Records
from privaudit.signals import margin

BLOCK = 8
"""Hours of one channel that a step moves together."""


@dataclass(frozen=True)
class Square(Evasion):
    """Small changes that change the prediction, found by trial and error on probabilities.

    Score-based: the search reads probabilities, not labels alone, and needs no gradient. Random
    search on the corners of the budget: each query moves a random share of the values to the
    budget's upper or lower end, or back, and is accepted where the model grows less sure of the
    true outcome. All records are asked at once, and those already misjudged rest. records: how
    many non-members are tried; queries: answers asked for a record at each budget.
    After Andriushchenko et al. 2020 (Square Attack, arXiv 1912.00049), section 3, with groups of
    values in place of squares of an image: of that type, not that attack itself.
    """

    queries: int = 200

    def check(self) -> None:
        super().check()
        check_whole(self, queries=1)

    def craft(self, field: Field, rng: np.random.Generator) -> Craft:
        return _Search(field, self.queries, rng).at


def _units(field: Field) -> np.ndarray:
    """(size,): the number of the group that each value moves with."""
    columns, channels = len(field.columns), len(field.channels)
    hour, channel = np.divmod(np.arange(field.hours * channels), max(channels, 1))
    blocks = hour // BLOCK * channels + channel
    return np.concatenate([np.arange(columns), columns + blocks])


def _share(step: int, steps: int) -> float:
    """The share of groups that a query moves: from three in ten to one in fifty."""
    return float(0.3 * (0.02 / 0.3) ** (step / max(1, steps - 1)))


class _Search:
    """Each record's best change so far, which every larger budget starts from."""

    def __init__(self, field: Field, queries: int, rng: np.random.Generator) -> None:
        self.field, self.queries, self.rng = field, queries, rng
        self.units = _units(field)
        self.corners = np.zeros((len(field.records), field.size), dtype=np.int8)
        self.x = field.records.X.copy()
        self.series = None if field.records.series is None else field.records.series.copy()
        proba = np.asarray(field.model.predict_proba(field.records))
        self.sure = margin(proba, field.records.y)
        self.done = field.decide(proba, field.records.y)

    def at(self, budget: float) -> Records:
        """The records after at most `queries` answers each, no value moved beyond the budget."""
        box = self.field.box(budget)
        for step in range(self.queries):
            rows = np.flatnonzero(~self.done)
            if not len(rows):
                break
            # The first query stretches to this budget what was best at a smaller one.
            tried = self.corners[rows] if not step else self._move(self.corners[rows], step)
            candidate = self.field.changed(budget * tried, box.rows(rows), rows)
            proba = np.asarray(self.field.model.predict_proba(candidate))
            sure = margin(proba, candidate.y)
            better = sure < self.sure[rows]
            taken = rows[better]
            self.sure[taken] = sure[better]
            self.corners[taken] = tried[better]
            self.x[taken] = candidate.X[better]
            if self.series is not None and candidate.series is not None:
                self.series[taken] = candidate.series[better]
            self.done[taken] = self.field.decide(proba, candidate.y)[better]
        series = None if self.series is None else self.series.copy()
        return replace(self.field.records, X=self.x.copy(), series=series)

    def _move(self, corners: np.ndarray, step: int) -> np.ndarray:
        shape = (len(corners), int(self.units.max()) + 1)
        moves = self.rng.random(shape) < _share(step, self.queries)
        moves[np.arange(len(corners)), self.rng.integers(shape[1], size=len(corners))] = True
        ends = self.rng.integers(-1, 2, size=shape, dtype=np.int8)
        return np.where(moves[:, self.units], ends[:, self.units], corners)


__all__ = ["Square"]
