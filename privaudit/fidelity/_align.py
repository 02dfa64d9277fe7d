"""A synthetic table and the real pools beside it, cut to the columns that they share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.records import Column, Records, Split


@dataclass(frozen=True, eq=False)
class Pools:
    """Real members and non-members, equal when they hold the same records.

    So that what rests on real records alone is computed once for all synthetic tables of a run.
    """

    members: Records
    nonmembers: Records

    @cached_property
    def key(self) -> str:
        digest = hashlib.sha256(self.members.fingerprint.encode())
        digest.update(self.nonmembers.fingerprint.encode())
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pools) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def align(table: Records, split: Split) -> tuple[Records, Pools, tuple[str, ...]]:
    """The synthetic table in the real one's coding, the real pools cut to its columns, and which
    real columns it lacks.

    Columns are matched by name and levels and classes by theirs. Refused: a column or a class that
    no real record has, one of another kind, and tables with no column in common.
    """
    real = split.members
    known = {column.name for column in real.columns}
    own = {column.name: place for place, column in enumerate(table.columns)}
    unknown = [name for name in own if name not in known]
    shared = [place for place, column in enumerate(real.columns) if column.name in own]
    if unknown or not shared:
        named = ", ".join(map(repr, unknown[:5])) or "all"
        raise PrivauditError(
            f"synthetic columns that the real table lacks: {named}"
            + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""),
            f"columns are matched by name, and the real table's {len(known)} columns are others",
            "name the synthetic columns as the real ones, and drop those that are not among them",
        )
    if not len(table):
        raise PrivauditError(
            "a synthetic table of 0 rows",
            "an empty table cannot be compared with a real one",
            "draw at least as many synthetic rows as there are real ones",
        )
    columns = tuple(real.columns[place] for place in shared)
    places = [own[column.name] for column in columns]
    values = [
        _recode(table.X[:, place], table.columns[place], column)
        for place, column in zip(places, columns, strict=True)
    ]
    synthetic = replace(
        table,
        columns=columns,
        X=np.column_stack(values),
        y=_classes(table, real),
        classes=real.classes,
        ordered=real.ordered,
        site=np.zeros(len(table), dtype=np.int64),
        sites=real.sites,
        series=None,
        channels=(),
        groups={},
    )
    pools = Pools(*(_cut(pool, shared) for pool in (split.members, split.nonmembers)))
    lacking = tuple(c.name for place, c in enumerate(real.columns) if place not in set(shared))
    return synthetic, pools, lacking


def _cut(pool: Records, shared: Sequence[int]) -> Records:
    columns = tuple(pool.columns[place] for place in shared)
    return replace(pool, columns=columns, X=pool.X[:, list(shared)], series=None, channels=())


def _recode(values: np.ndarray, own: Column, real: Column) -> np.ndarray:
    """Codes of the real column's levels, by name."""
    if own.kind != real.kind:
        raise PrivauditError(
            f"column {own.name!r} is {own.kind} in the synthetic table and {real.kind} in the "
            "real one",
            "values of different kinds cannot be compared",
            "describe the column alike in both schemas",
        )
    if own.kind != "category" or own.levels == real.levels:
        return values
    places = _places(own.levels, real.levels, f"column {own.name!r}")
    recoded = np.full(len(values), np.nan, dtype=np.float32)
    seen = np.isfinite(values)
    recoded[seen] = places[values[seen].astype(int)]
    return recoded


def _classes(table: Records, real: Records) -> np.ndarray:
    if table.classes == real.classes:
        return table.y
    result: np.ndarray = _places(table.classes, real.classes, "the outcome")[table.y]
    return result


def _places(own: Sequence[str], real: Sequence[str], what: str) -> np.ndarray:
    unknown = [level for level in own if level not in real]
    if unknown:
        raise PrivauditError(
            f"{what} has {len(unknown)} synthetic level(s) that the real table does not name",
            f"it has {len(real)} levels, and levels are matched by name",
            "name the synthetic levels as the real ones",
        )
    return np.array([real.index(level) for level in own])
