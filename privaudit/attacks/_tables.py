"""What attacks on a synthetic table share: the table itself, and what a column's values are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.contracts import Access, Attack, Target
from privaudit.errors import PrivauditError
from privaudit.fidelity.distance import outcome, shared
from privaudit.records import Column, Records

CONTROL = "the same attack on {people} whom the table was not made from"
FEWEST = 10
"""With fewer rows than this a table has no neighbours to search."""


@dataclass(frozen=True)
class TableAttack(Attack):
    """An attack by somebody who holds the synthetic table and nothing else."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.TABLE})
    family: ClassVar[Literal["membership", "synthetic"]] = "synthetic"


def table_of(target: Target) -> Records:
    """The synthetic table, refused where it is too small or shares no column with the records."""
    table = target.release.table
    if table is None:
        raise ValueError("this release has no table to read")
    if len(table) < FEWEST:
        raise PrivauditError(
            f"a synthetic table of {len(table)} records",
            f"an attack that looks for neighbours needs at least {FEWEST}",
            "draw more records from the generator",
        )
    if not shared(target.split.members, table):
        raise PrivauditError(
            "the synthetic table has no column of the records' names",
            "columns are matched by name",
            "name the columns of both tables alike",
        )
    return table


def columns_of(records: Records, names: Sequence[str]) -> list[Column]:
    """The columns of these names; the outcome as a category of its classes."""
    known = {column.name: column for column in records.columns}
    last = Column(outcome(records), kind="category", levels=records.classes, sensitive=True)
    return [known.get(name, last) for name in names]


def values_of(records: Records, name: str) -> np.ndarray:
    """(n,) float64 values of a column, or codes of the outcome."""
    for j, column in enumerate(records.columns):
        if column.name == name:
            return records.X[:, j].astype(np.float64)
    return records.y.astype(np.float64)
