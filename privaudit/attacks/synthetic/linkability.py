"""Linkability: two halves of a patient's record joined again through the synthetic table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.attacks._options import check_whole
from privaudit.attacks._pools import PATIENTS, Tried
from privaudit.attacks._tables import CONTROL, TableAttack, columns_of, table_of
from privaudit.contracts import Fitted, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.fidelity.distance import APART, match, search, shared, spans
from privaudit.records import Column, Records


@dataclass(frozen=True)
class Linkability(TableAttack):
    """Joins two halves of a patient's record, held by two people, through the synthetic table.

    Each looks for the `neighbours` synthetic records nearest to the half they hold. Success: they
    find one in common, for any of the patient's records; control: the same for patients whom the
    table was not made from; guess: the chance that as many records drawn blindly by each have one
    in common. first, second: who holds
    which columns; by default the columns are dealt out in turn in the table's order, all summaries
    of one variable to the same holder, and the outcome to the second. Missing is a value to match:
    two missing values are equal, and one adds little (`APART`), for a generator need not miss what
    its patients did. Distances are Gower's, numbers on the scale of the table's middle, `tails`
    left out on either side; ties go to the record that comes first in an order drawn once for both
    holders. One series each for the nearest record and for all `neighbours`; all records of up to
    `patients` patients. Giomi et al. 2023 (arXiv 2211.10459), section 4.2.
    """

    patients: int = PATIENTS
    neighbours: int = 5
    first: tuple[str, ...] = ()
    second: tuple[str, ...] = ()
    tails: float = 0.1

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        check_whole(self, patients=1, neighbours=1)
        table, split = table_of(target), target.split
        halves = self._halves(split.members, table)
        tried = Tried.draw(split, self.patients, rng)
        mixed = table.take(rng.permutation(len(table)))
        most = min(self.neighbours, len(table) - 1)
        rows = []
        for names in halves:
            a, b, _ = match(tried.records, mixed, names, spans(mixed, self.tails))
            rows.append(search(a, b, most, gap=APART)[1])
        found = {}
        for k in sorted({1, most}):
            joined = (rows[0][:, :k, None] == rows[1][:, None, :k]).any(axis=(1, 2))
            guess = np.full(len(joined), blind(len(table), k))
            found[Setting("neighbours", k, "nearest")] = tried.trials(joined, guess, CONTROL)
        return found

    def _halves(self, records: Records, table: Records) -> tuple[tuple[str, ...], tuple[str, ...]]:
        names = shared(records, table)
        if self.first or self.second:
            chosen = (self.first, self.second)
            unknown = sorted({*self.first, *self.second} - set(names))
            twice = sorted(set(self.first) & set(self.second))
            if unknown or twice or not all(chosen):
                raise PrivauditError(
                    f"{len(self.first)} columns for one holder, {len(self.second)} for the other"
                    + (f"; unknown: {', '.join(unknown)}" if unknown else "")
                    + (f"; in both: {', '.join(twice)}" if twice else ""),
                    "each holds at least one column that both tables have, and none of the other's",
                    "name different columns in first and second, or leave both out",
                )
            return chosen
        if len(names) < 2:
            raise PrivauditError(
                f"{len(names)} column in common",
                "linking needs at least one column for each of two holders",
                "give both tables the same columns",
            )
        return deal(columns_of(records, names))


def deal(columns: Sequence[Column]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns dealt out in turn, those of one variable to one holder, the last to the second."""
    variables = list(dict.fromkeys(column.variable or column.name for column in columns))
    if len(variables) < 2:
        variables = [column.name for column in columns]
    last = len(variables) - 1
    second = {name for i, name in enumerate(variables) if i % 2 or (i == last and last > 1)}
    keys = [c.variable if c.variable in variables else c.name for c in columns]
    sides = ([], [])  # type: tuple[list[str], list[str]]
    for column, key in zip(columns, keys, strict=True):
        sides[key in second].append(column.name)
    return tuple(sides[0]), tuple(sides[1])


def blind(rows: int, k: int) -> float:
    """The chance that two draws of k of these rows have one in common."""
    apart = np.arange(k)
    return float(1.0 - np.prod(np.maximum(0.0, (rows - k - apart) / (rows - apart))))


__all__ = ["Linkability"]
