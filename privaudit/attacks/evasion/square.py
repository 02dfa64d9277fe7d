"""Evasion by score-based random search (Square-type): of any model, trees too, by querying it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privaudit.attacks._options import check_whole
from privaudit.attacks.evasion._evasion import Craft, Evasion, Field
from privaudit.attacks.evasion._possible import Point
from privaudit.records import Records
from privaudit.signals import margin

BLOCK = 8
"""Hours of one channel that a step moves together."""
RIDGE = 0.01
"""Penalty of the regression, in units of a value's mean square move."""


@dataclass(frozen=True)
class Square(Evasion):
    """Small changes that change the prediction, found by trial and error on probabilities.

    Score-based: the search reads probabilities, not labels alone, and needs no gradient. Random
    search on the corners of what a possible patient may be within the budget: each query moves
    a random share of the variables to another corner, or back, and is accepted where the model
    grows less sure of the true outcome. Four times a budget it tries the direction that a ridge
    regression of all answers so far points to. All records are asked at once, and those already
    misjudged rest. records: how
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
    """(size,): the number of the group that each value moves with: the summaries of one variable,
    or hours of one channel."""
    names = [column.variable or column.name for column in field.records.columns]
    _, columns = np.unique([names[j] for j in field.columns], return_inverse=True)
    return np.concatenate([columns, columns.max(initial=-1) + 1 + _blocks(field)]).astype(int)


def _blocks(field: Field) -> np.ndarray:
    """The number of the block of hours that each value of the series belongs to."""
    channels = len(field.channels)
    hour, channel = np.divmod(np.arange(field.hours * channels), max(channels, 1))
    return np.asarray(hour // BLOCK * channels + channel)


def _share(step: int, steps: int) -> float:
    """The share of groups that a query moves: from three in ten to one in fifty."""
    return float(0.3 * (0.02 / 0.3) ** (step / max(1, steps - 1)))


class _Search:
    """Each record's best change so far, which every larger budget starts from."""

    def __init__(self, field: Field, queries: int, rng: np.random.Generator) -> None:
        self.field, self.queries, self.rng = field, queries, rng
        self.units = _units(field)
        self.slopes = _Slopes(field)
        self.directions = np.zeros((len(field.records), field.size))
        self.best = field.start.copy()
        proba = np.asarray(field.model.predict_proba(field.records))
        self.sure = margin(proba, field.records.y)
        self.done = field.decide(proba, field.records.y)

    def at(self, budget: float) -> Records:
        """The records after at most `queries` answers each, no value moved beyond the budget."""
        box = self.field.box(budget)
        quarter = max(2, self.queries // 4)
        for step in range(self.queries):
            rows = np.flatnonzero(~self.done)
            if not len(rows):
                break
            at, own = self.best.rows(rows), self.directions[rows]
            moved = np.ones(own.shape, dtype=bool)
            if not step:
                # What was best at a smaller budget, stretched to this one.
                tried = own
            elif step % quarter == 1 and self.slopes.known:
                tried = self.slopes.of(rows)
            else:
                tried, moved = self._move(own, step)
                at = self._back(at, rows, moved & (tried == 0))
            there = box.rows(rows).push(self.field.slopes(np.where(moved, tried, 0.0)), at)
            candidate = self.field.possible(there, rows)
            proba = np.asarray(self.field.model.predict_proba(candidate))
            sure = margin(proba, candidate.y)
            self.slopes.learn(rows, self.best.rows(rows), there, sure - self.sure[rows])
            better = sure < self.sure[rows]
            taken = rows[better]
            self.sure[taken] = sure[better]
            self.directions[taken] = tried[better]
            self.best.put(taken, there.rows(better))
            self.done[taken] = self.field.decide(proba, candidate.y)[better]
        return self.field.possible(self.best)

    def _move(self, directions: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Some groups to a random corner of what they may be, or back, and which: numbers of random
        size, as the sizes decide which of the summaries of a variable goes first."""
        shape = (len(directions), int(self.units.max()) + 1)
        moves = self.rng.random(shape) < _share(step, self.queries)
        moves[np.arange(len(directions)), self.rng.integers(shape[1], size=len(directions))] = True
        back = self.rng.random(shape) < 1 / 3
        ends = np.where(back[:, self.units], 0.0, self.rng.normal(size=directions.shape))
        moved = moves[:, self.units]
        return np.where(moved, ends, directions), moved

    def _back(self, at: Point, rows: np.ndarray, back: np.ndarray) -> Point:
        """The values with some of them as they were in the records."""
        was, field = self.field.start.rows(rows), self.field
        cut = len(field.columns)
        found = at.copy()
        row, place = np.nonzero(back[:, :cut])
        found.x[row, field.columns[place]] = was.x[row, field.columns[place]]
        if found.series is not None and was.series is not None and len(field.channels):
            hours = back[:, cut:].reshape(len(rows), field.hours, len(field.channels))
            row, hour, place = np.nonzero(hours)
            there = row, hour, field.channels[place]
            found.series[there] = was.series[there]
        return found


class _Slopes:
    """What the answers so far say of the model at large: how much a value's move by a standard
    deviation changes the margin, by ridge regression over all records and queries.

    For two classes one's margin is minus the other's; for more there is a regression for each.
    """

    def __init__(self, field: Field) -> None:
        self.field = field
        cut = len(field.columns)
        self.features = np.concatenate([np.arange(cut), cut + _blocks(field)]).astype(int)
        width = int(self.features.max()) + 1
        classes = len(field.records.classes)
        y = field.records.y
        self.kind = np.zeros(len(y), dtype=int) if classes == 2 else y
        self.sign = np.where(y == 1, -1.0, 1.0) if classes == 2 else np.ones(len(y))
        self.squares = np.zeros((int(self.kind.max(initial=0)) + 1, width, width))
        self.products = np.zeros((len(self.squares), width))

    @property
    def known(self) -> bool:
        """Whether anything was learned."""
        return bool(self.products.any())

    def learn(self, rows: np.ndarray, before: Point, after: Point, change: np.ndarray) -> None:
        """From moves of some records and how their margins changed."""
        field = self.field
        moved = field.flat(
            after.x - before.x, None if after.series is None else _less(after, before)
        )
        moved = np.nan_to_num(moved / field.scales)
        cut = len(field.columns)
        wide = np.zeros((len(rows), self.products.shape[1]))
        wide[:, :cut] = moved[:, :cut]
        for feature in range(cut, wide.shape[1]):
            wide[:, feature] = moved[:, self.features == feature].sum(axis=1)
        for kind in np.unique(self.kind[rows]):
            own = self.kind[rows] == kind
            self.squares[kind] += wide[own].T @ wide[own]
            self.products[kind] += wide[own].T @ (change * self.sign[rows])[own]

    def of(self, rows: np.ndarray) -> np.ndarray:
        """(r, size) the direction in which each record's margin should fall."""
        width = self.products.shape[1]
        found = np.zeros((len(self.squares), width))
        for kind, (square, product) in enumerate(zip(self.squares, self.products, strict=True)):
            ridge = RIDGE * max(float(np.trace(square)) / width, 1e-12)
            found[kind] = np.linalg.solve(square + ridge * np.eye(width), product)
        direction = -found[self.kind[rows]] * self.sign[rows, None]
        return np.asarray(direction[:, self.features])


def _less(after: Point, before: Point) -> np.ndarray:
    assert after.series is not None
    assert before.series is not None
    return np.asarray(after.series - before.series)


__all__ = ["Square"]
