"""Real records that are in a synthetic table: exact duplicates and near-duplicates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.fidelity.distance import Cells, Ranges, differing, match, spans
from privaudit.records import Records

ROUNDING = 0.01
"""Numbers count as the same within this share of what a column spans."""
DIFFERING = 0.1
"""A near-duplicate differs in at most this share of the cells measured on either side."""


@dataclass(frozen=True, eq=False)
class Copies:
    """Which records have a copy in a table, and how much the record that agrees best differs.

    exact, near: (n,) bool, an exact duplicate being a near one too; share: (n,) of cells that
    differ.
    """

    exact: np.ndarray
    near: np.ndarray
    share: np.ndarray


def copies(
    records: Records,
    table: Records,
    *,
    rounding: float = ROUNDING,
    share: float = DIFFERING,
    ranges: Ranges | None = None,
) -> Copies:
    """Whether each record is in the table: exactly, or with a few cells changed or rounded.

    Exact: every shared cell is the same, missing matching missing. Near: at most `share` of the
    cells measured on either side differ, where numbers within `rounding` of their range are the
    same. A number's range is that of `ranges`, else what `spans` gives for the table. Whether so
    many copies are a leak is answered by the same count on records that the table was not made
    from: people with little measured are alike.

    Raises:
        PrivauditError: a share or a rounding outside [0, 1).
    """
    for name, value in (("rounding", rounding), ("share", share)):
        if not 0 <= value < 1:
            raise PrivauditError(
                f"{name}={value!r}",
                "it is a share of at least 0 and below 1",
                "leave it out for the default, 0.01 of a range and 0.1 of the cells",
            )
    a, b, _ = match(records, table, None, spans(table) if ranges is None else ranges)
    apart, _ = differing(a, b, rounding)
    same = exact(a, b)
    return Copies(same, same | (apart <= share), apart)


def exact(records: Cells, table: Cells) -> np.ndarray:
    """(n,) bool: records equal to one row of the table in every cell."""
    known = set(_rows(table))
    return np.array([row in known for row in _rows(records)], dtype=bool)


def _rows(cells: Cells) -> list[bytes]:
    wide = np.concatenate([cells.numbers + 0.0, cells.codes.astype(np.float64)])
    flat = np.ascontiguousarray(wide.T)
    return [row.tobytes() for row in flat]


__all__ = ["Copies", "copies", "exact"]
