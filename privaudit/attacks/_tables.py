"""What attacks on a synthetic table share: the table, who is tried, and what a column's values are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from privaudit.contracts import Target
from privaudit.errors import PrivauditError
from privaudit.fidelity.distance import outcome, shared
from privaudit.records import Column, Records

CONTROL = "the same attack on patients whom the table was not made from"
FEWEST = 10
"""With fewer rows than this a table has no neighbours worth the name."""


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


def draw(pool: Records, most: int, rng: np.random.Generator) -> Records:
    """One record of each of at most `most` patients, in the pool's order: attempts are independent."""
    return pool.take(draw_rows(pool, most, rng))


def draw_rows(pool: Records, most: int, rng: np.random.Generator) -> np.ndarray:
    """The rows that `draw` takes."""
    order = rng.permutation(len(pool))
    _, first = np.unique(pool.patient[order], return_index=True)
    return np.sort(rng.permutation(order[first])[:most])


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


def check_counts(**fields: int) -> None:
    """Refuse settings that are not whole numbers of at least 1."""
    for name, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise PrivauditError(
                f"{name}={value!r}",
                "it is a whole number of at least 1",
                "leave it out for the default",
            )


__all__ = [
    "CONTROL",
    "FEWEST",
    "check_counts",
    "columns_of",
    "draw",
    "draw_rows",
    "table_of",
    "values_of",
]
