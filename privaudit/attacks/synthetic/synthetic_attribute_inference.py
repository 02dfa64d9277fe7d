"""Attribute inference from a table: a sensitive value read off the nearest synthetic record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.attacks._options import check, check_whole
from privaudit.attacks._pools import PATIENTS, Tried, draw
from privaudit.attacks._tables import CONTROL, TableAttack, columns_of, table_of, values_of
from privaudit.contracts import Fitted, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.fidelity.distance import APART, match, outcome, search, shared, spans
from privaudit.records import Column, Records


@dataclass(frozen=True)
class SyntheticAttributeInference(TableAttack):
    """Guesses a sensitive value of a patient, the rest of whose record is known, from the table.

    The attacker finds the synthetic record nearest on all other columns, and names its value. One
    series a column: `secrets` by name, else the outcome and the columns marked sensitive, and where
    none is marked the first `few` of a category or yes/no. The attacker does not know other
    summaries of the secret's variable. Of a patient with several records the attacker stands by the
    guess of the one that lies nearest to the table: one of many guesses is right by chance.
    Success: the value named is right, a number within `tolerance` of what the column's middle
    spans; control: the same on patients whom the table was not made from, for what any table of
    this disease teaches is no leak; guess: the most frequent value among the attacker's own
    records, for numbers the value right most often. Records without the value are left out, and so
    are synthetic ones; among what is known, missing is a value to match. All records of up to
    `patients` patients.
    Giomi et al. 2023 (arXiv 2211.10459), section 4.3.
    """

    patients: int = PATIENTS
    secrets: tuple[str, ...] = ()
    few: int = 4
    tolerance: float = 0.05
    tails: float = 0.1

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        check_whole(self, patients=1, few=1)
        because = "it is a share of what a column spans, at least 0 and below 1"
        check(self, "tolerance", 0 <= self.tolerance < 1, because)
        table, split = table_of(target), target.split
        names = shared(split.members, table)
        columns = columns_of(split.members, names)
        found = {}
        for secret in self._chosen(split.members, table):
            (column,) = columns_of(split.members, [secret])
            known = [
                name
                for name, other in zip(names, columns, strict=True)
                if name != secret and not (column.variable and other.variable == column.variable)
            ]
            pools = [_measured(pool, secret) for pool in (split.members, split.nonmembers)]
            rows = _measured(table, secret, outcome(split.members))
            if not known or not all(len(pool) for pool in pools) or not len(rows):
                continue
            tried = Tried(*(draw(pool, self.patients, rng) for pool in pools))
            truth, values, spread = _pair(tried.records, rows, column)
            reach = self.tolerance * spread
            a, b, _ = match(tried.records, rows, known, spans(rows, self.tails))
            distances, nearest = search(a, b, gap=APART)
            named = values[nearest[:, 0]]
            own, _, _ = _pair(_measured(split.reference, secret), rows, column)
            best = commonest(own if len(own) else values, reach)
            found[Setting("column", secret)] = tried.trials(
                np.abs(named - truth) <= reach,
                np.abs(best - truth) <= reach,
                CONTROL,
                "surest",
                -distances[:, 0],
            )
        if not found:
            raise PrivauditError(
                "no column to infer",
                "a secret needs values among members, non-members and synthetic records, and "
                "another column to know a patient by",
                "name the secrets, or give the synthetic table more of the records' columns",
            )
        return found

    def _chosen(self, records: Records, table: Records) -> tuple[str, ...]:
        names = shared(records, table)
        if self.secrets:
            unknown = [name for name in self.secrets if name not in names]
            if unknown:
                raise PrivauditError(
                    f"secrets that are not in both tables: {', '.join(unknown)}",
                    f"both tables have: {', '.join(names[:12])}{' ...' if len(names) > 12 else ''}",
                    "choose among these",
                )
            return self.secrets
        columns = columns_of(records, names)
        marked = [column.name for column in columns if column.sensitive]
        if any(name != outcome(records) for name in marked):
            return tuple(marked)
        named = [
            c.name for c in columns if c.kind in ("category", "binary") and c.name not in marked
        ]
        return (*marked, *(named or [c.name for c in columns if c.name not in marked])[: self.few])


def commonest(values: np.ndarray, tolerance: float) -> float:
    """The one of these values that lies within `tolerance` of most of them, the least of equals."""
    ordered = np.sort(values)
    distinct = np.unique(ordered)
    upto = np.searchsorted(ordered, distinct + tolerance, side="right")
    within = upto - np.searchsorted(ordered, distinct - tolerance, side="left")
    return float(distinct[within.argmax()])


def _measured(records: Records, name: str, other: str = "") -> Records:
    own = {column.name for column in records.columns}
    values = values_of(records, name if name in own or not other else outcome(records))
    return records.take(np.isfinite(values))


def _pair(records: Records, table: Records, column: Column) -> tuple[np.ndarray, np.ndarray, float]:
    """Values of one column in both tables on one scale, and its span; 0 for categories."""
    if column.kind == "category":
        a, b, _ = match(records, table, [column.name])
        return a.codes[0].astype(np.float64), b.codes[0].astype(np.float64), 0.0
    low, high = spans(table).get(column.name, (0.0, 0.0))
    return values_of(records, column.name), values_of(table, column.name), high - low


__all__ = ["SyntheticAttributeInference"]
