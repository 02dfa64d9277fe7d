"""Two tables in one coding: columns matched by name, missing as a value, numbers on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.records import Column, Records

GAP = 1e6
"""Where a missing number lies on a column's scale: as far as can be from every measured one."""
FAR = 1e4
TAILS = 0.1
"""Share of a column's values on either side that its scale leaves out."""

Ranges = Mapping[str, tuple[float, float]]
Pair = tuple[np.ndarray, np.ndarray]
"""One column in both tables."""


def outcome(records: Records) -> str:
    """What the outcome y is called when it is treated as one more column."""
    taken = {column.name for column in records.columns}
    return "outcome" if "outcome" not in taken else "outcome (y)"


def shared(first: Records, second: Records) -> tuple[str, ...]:
    """Columns that both tables have, by name, in the order of the first; then the outcome.

    The outcome counts where a class of it is known to both and one table has at least two.
    """
    other = {column.name for column in second.columns}
    names = [column.name for column in first.columns if column.name in other]
    classes = len(set(first.classes) | set(second.classes))
    if classes > 1 and set(first.classes) & set(second.classes):
        names.append(outcome(first))
    return tuple(names)


@dataclass(frozen=True, eq=False)
class Cells:
    """One table's shared columns, made comparable with another's.

    numbers: (p, n) float64, in units of each column's range, `GAP` where missing; codes: (c, n)
    int64, equal codes for equal values, a missing value being one more of `levels` values.
    """

    numbers: np.ndarray
    codes: np.ndarray
    levels: tuple[int, ...]

    def __len__(self) -> int:
        result: int = self.numbers.shape[1]
        return result

    @property
    def width(self) -> int:
        """How many columns are compared."""
        return len(self.numbers) + len(self.codes)

    @property
    def missing(self) -> np.ndarray:
        """(p + c, n) bool, numbers first: where nothing was measured."""
        top = np.array(self.levels, dtype=np.int64)[:, None] - 1
        return np.concatenate([self.numbers >= GAP, self.codes == top])


def match(
    first: Records,
    second: Records,
    columns: Sequence[str] | None = None,
    ranges: Ranges | None = None,
) -> tuple[Cells, Cells, tuple[str, ...]]:
    """Both tables in one coding, and the names of numbers, then of codes, in that order.

    Columns are matched by name and categories by the names of their levels, for a synthetic table
    has its own schema. columns: which ones, the outcome by the name that `outcome` gives; all
    shared ones if None. A number's range is that of `ranges`, else the column's public bounds,
    else what the second table spans; a column of no range is equal or not.
    """
    known = shared(first, second)
    wanted = known if columns is None else tuple(columns)
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise PrivauditError(
            f"columns to compare: {', '.join(unknown) or 'none'}",
            f"both tables have: {', '.join(known[:12])}{' ...' if len(known) > 12 else ''}"
            if known
            else "the two tables have no column of one name",
            "give both tables the same column names",
        )
    numbers: list[Pair] = []
    codes: list[Pair] = []
    levels: list[int] = []
    order: tuple[list[str], list[str]] = ([], [])
    at = [{column.name: j for j, column in enumerate(t.columns)} for t in (first, second)]
    for name in wanted:
        if name not in at[0]:
            pair, count = _classes(first, second)
        else:
            one, two = first.columns[at[0][name]], second.columns[at[1][name]]
            values = (first.X[:, at[0][name]], second.X[:, at[1][name]])
            kinds = {one.kind, two.kind}
            if "category" in kinds:
                pair, count = _levels(one, two, values)
            else:
                low, high = _range(one, two, values[1], (ranges or {}).get(name))
                if kinds != {"binary"} and high > low:
                    one_side, other = (_scaled(part, low, high) for part in values)
                    numbers.append((one_side, other))
                    order[0].append(name)
                    continue
                pair, count = _equal(values)
        codes.append(pair)
        levels.append(count)
        order[1].append(name)
    one_table, other_table = (
        Cells(
            _stacked([pair[side] for pair in numbers], np.float64, len(table)),
            _stacked([pair[side] for pair in codes], np.int64, len(table)),
            tuple(levels),
        )
        for side, table in enumerate((first, second))
    )
    return one_table, other_table, (*order[0], *order[1])


def spans(records: Records, tails: float = TAILS) -> dict[str, tuple[float, float]]:
    """What the middle of each numeric column spans, its tails of this share left aside.

    Public bounds hold the rarest values, so that on their scale most patients are alike; this is
    the scale on which they differ (docs/design/007-table-attacks.md). Where the middle is one value
    the tails are taken in; a column of one value is left out.
    """
    found = {}
    for j, column in enumerate(records.columns):
        seen = records.X[:, j][np.isfinite(records.X[:, j])].astype(np.float64)
        if column.kind != "numeric" or not len(seen):
            continue
        for share in (tails, tails / 10, 0.0):
            low, high = np.quantile(seen, [share, 1.0 - share])
            if high > low:
                found[column.name] = (float(low), float(high))
                break
    return found


def _stacked(rows: list[np.ndarray], kind: type, n: int) -> np.ndarray:
    return np.array(rows, dtype=kind).reshape(len(rows), n)


def _classes(first: Records, second: Records) -> tuple[Pair, int]:
    place = {name: i for i, name in enumerate(dict.fromkeys([*first.classes, *second.classes]))}
    pair = tuple(np.array([place[name] for name in t.classes])[t.y] for t in (first, second))
    return (pair[0], pair[1]), len(place) + 1


def _levels(one: Column, two: Column, values: Pair) -> tuple[Pair, int]:
    if one.kind != two.kind:
        raise PrivauditError(
            f"column {one.name!r} is {one.kind} in one table and {two.kind} in the other",
            "values of different kinds cannot be compared",
            "describe the column alike in both schemas",
        )
    place = {name: i for i, name in enumerate(dict.fromkeys([*one.levels, *two.levels]))}
    coded = []
    for column, part in zip((one, two), values, strict=True):
        seen = np.isfinite(part)
        inside = part[seen]
        if len(inside) and not (
            (inside == np.floor(inside)).all()
            and inside.min() >= 0
            and inside.max() < len(column.levels)
        ):
            raise PrivauditError(
                f"category {column.name!r} holds codes that are none of its "
                f"{len(column.levels)} levels",
                f"codes are whole numbers from 0 to {len(column.levels) - 1}",
                "code the column by the levels of its schema",
            )
        row = np.full(len(part), len(place), dtype=np.int64)
        table = np.array([place[name] for name in column.levels] or [0])
        row[seen] = table[inside.astype(np.int64)]
        coded.append(row)
    return (coded[0], coded[1]), len(place) + 1


def _equal(values: Pair) -> tuple[Pair, int]:
    joined = np.concatenate(values).astype(np.float64)
    seen = np.isfinite(joined)
    distinct, place = np.unique(joined[seen], return_inverse=True)
    row = np.full(len(joined), len(distinct), dtype=np.int64)
    row[seen] = place
    return (row[: len(values[0])], row[len(values[0]) :]), len(distinct) + 1


def _range(
    one: Column, two: Column, table: np.ndarray, given: tuple[float, float] | None
) -> tuple[float, float]:
    if given is not None:
        return float(given[0]), float(given[1])
    bounds = one.bounds or two.bounds
    if bounds is not None:
        return float(bounds[0]), float(bounds[1])
    seen = table[np.isfinite(table)].astype(np.float64)
    return (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    scaled = np.clip((values.astype(np.float64) - low) / (high - low), -FAR, FAR)
    return np.where(np.isnan(scaled), GAP, scaled)
