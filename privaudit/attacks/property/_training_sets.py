"""Training sets of which half hold more patients of a group than the other half, and no patient
twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from privaudit.attacks._half_samples import GROUP
from privaudit.facts import Setting
from privaudit.records import Column, Records

SPREAD = 0.6
"""By how much of the smaller side the share of the group is lowered and raised: one half of the
sets has four times the share of the other (20 % and 80 % of a group of one half)."""
FEWEST = 5
"""Patients, at least, in a training set."""
EXPECTED = 3.0
"""Patients of the second most frequent outcome, at least, that are expected in a training set."""
TRIES = 50
"""How often patients are dealt again until every set has two outcomes."""


@dataclass(frozen=True, eq=False)
class Property:
    """A group of patients, whose share in the training set is what the attacker wants to know.

    setting: what it is called; ids: (p,) all patients; inside: (p,) bool, who belongs to it; kind:
    (p,) the outcome of each, 0 where the outcome is a number. sets: how many training sets of
    `size` patients can be dealt, 0 where too few can.
    """

    setting: Setting
    ids: np.ndarray
    inside: np.ndarray
    kind: np.ndarray
    sets: int
    size: int

    @property
    def counts(self) -> tuple[int, int]:
        """Patients of the group in a set of low and of high share."""
        return count_group(self.inside, self.size)

    def deal(self, records: Records, rng: np.random.Generator) -> list[np.ndarray]:
        """Masks of the records of each set; sets 2j have the low share, sets 2j + 1 the high one.

        Patients are dealt at random, until every set has patients of two outcomes. Outcomes are
        not spread evenly: that would make the share of the outcome in a set an exact function of
        the share of the group, and give a group away that has nothing to do with anything.
        """
        row = np.searchsorted(self.ids, records.patient)
        for _ in range(TRIES):
            owner = self._deal_once(rng)
            kinds = [np.unique(self.kind[owner == place]) for place in range(self.sets)]
            if self.kind.max(initial=0) == 0 or all(len(one) > 1 for one in kinds):
                break
        return [owner[row] == place for place in range(self.sets)]

    def _deal_once(self, rng: np.random.Generator) -> np.ndarray:
        """(p,) in which set each patient is, -1 for none."""
        owner = np.full(len(self.ids), -1)
        low, high = self.counts
        for inside, counts in (
            (self.inside, (low, high)),
            (~self.inside, (self.size - low, self.size - high)),
        ):
            own = rng.permutation(np.flatnonzero(inside))
            slots = np.concatenate(
                [np.full(counts[place % 2], place) for place in range(self.sets)]
            )
            owner[own[: len(slots)]] = slots
        return owner


def count_group(inside: np.ndarray, size: int) -> tuple[int, int]:
    """How many of a set of `size` patients are of the group where its share is low, and high."""
    share = float(inside.mean())
    moved = SPREAD * min(share, 1.0 - share)
    return round((share - moved) * size), round((share + moved) * size)


def find_properties(
    records: Records, columns: tuple[str, ...], most: int, sets: int
) -> Iterator[Property]:
    """The groups of these columns, or of the sensitive ones, that training sets can be dealt for.

    A patient belongs to a group where any of their records does: a binary column's value 1, the
    level of a category that is nearest to half of the patients, and a number in the upper half of
    its public bounds.
    """
    ids, row = np.unique(records.patient, return_inverse=True)
    kind = np.zeros(len(ids), dtype=np.int64)
    if records.outcome_kind == "class":
        np.maximum.at(kind, row, records.y)
    found = 0
    for place, column in enumerate(records.columns):
        wanted = column.name in columns if columns else column.sensitive
        if not wanted or found >= most:
            continue
        values = records.X[:, place]
        for details, chosen in _groups(column, values):
            inside = np.zeros(len(ids), dtype=bool)
            np.logical_or.at(inside, row, chosen)
            setting = Setting("column", column.name, details=details)
            made = _fit(setting, ids, inside, kind, sets, records.outcome_kind == "class")
            if made is not None:
                found += 1
                yield made
                break


def _groups(column: Column, values: np.ndarray) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """Names and rows of the column's groups, the one nearest to half of the records first."""
    if column.kind == "binary":
        yield (), values == 1
    elif column.kind == "category":
        rows = [values == level for level in range(len(column.levels))]
        order = sorted(range(len(rows)), key=lambda at: abs(float(rows[at].mean()) - 0.5))
        yield from (((column.levels[at],), rows[at]) for at in order[:1])
    elif column.bounds is not None:
        yield (), values > sum(column.bounds) / 2


def _fit(
    setting: Setting,
    ids: np.ndarray,
    inside: np.ndarray,
    kind: np.ndarray,
    sets: int,
    classes: bool,
) -> Property | None:
    """As many sets as asked for, or half as often as needed, with the largest size there are
    patients for."""
    while sets >= GROUP:
        for size in range(len(ids) // sets, FEWEST - 1, -1):
            low, high = count_group(inside, size)
            half = sets // 2
            enough = half * (low + high) <= inside.sum()
            rest = half * (2 * size - low - high) <= (~inside).sum()
            if enough and rest and high - low >= 1:
                made = Property(setting, ids, inside, kind, sets, size)
                if not classes or _has_two_outcomes(made):
                    return made
                break
        sets = sets // 2 if (sets // 2) % GROUP == 0 else 0
    return None


def _has_two_outcomes(made: Property) -> bool:
    """Whether sets of patients of two outcomes can be dealt: of the second most frequent outcome so
    many are expected in each."""
    codes, counts = np.unique(made.kind, return_counts=True)
    if len(codes) < 2:
        return False
    rare = made.kind == codes[np.argsort(counts)[-2]]
    inside, rest = (float(rare[side].mean()) for side in (made.inside, ~made.inside))
    return all(n * inside + (made.size - n) * rest >= EXPECTED for n in made.counts)
