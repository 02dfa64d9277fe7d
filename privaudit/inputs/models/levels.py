"""A category's values in a table, found among the levels that a model knows: equal, never alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from privaudit.disclosure_limits import name_count
from privaudit.errors import PrivauditError
from privaudit.inputs.schema import OTHER
from privaudit.records import Column

_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_TRUTH = {"false": 0, "true": 1, "no": 0, "yes": 1, "f": 0, "t": 1, "n": 0, "y": 1}
_PAIRS = ({"false", "true"}, {"no", "yes"}, {"f", "t"}, {"n", "y"})


def match_levels(known: Sequence[Any], column: Column) -> tuple[int | None, ...]:
    """The place of each of a column's levels among those that a model knows, None for no place.

    Texts are equal as spelled; numbers by value (1, 1.0 and "1" are one, "01" is another); true and
    false in any spelling, also as 1 and 0. The levels of a column of numbers are `values_of`.
    """
    exact = {str(level).strip(): i for i, level in enumerate(known)}
    numbers = _index(known, _as_number)
    both = _may_be_truths(known) and _may_be_truths(column.levels)
    truths = _index(known, _as_truth) if both else {}
    found: list[int | None] = []
    for level in column.levels:
        place = exact.get(level.strip())
        if place is None:
            place = numbers.get(_as_number(level))
        if place is None:
            place = truths.get(_as_truth(level))
        found.append(place)
    return tuple(found)


def values_of(known: Sequence[Any]) -> tuple[float, ...]:
    """The number that each level is in a column of numbers, NaN for one that is none.

    False and true are 0 and 1; texts of digits are their number unless two are the same.
    """
    if _are_truths(known):
        return tuple(float(_TRUTH[str(level).strip().lower()]) for level in known)
    found = []
    for level in known:
        try:
            found.append(float(str(level)))
        except ValueError:
            found.append(float("nan"))
    there = [x for x in found if x == x]
    return tuple(found) if len(set(there)) == len(there) else (float("nan"),) * len(found)


def find_places(x: np.ndarray, values: Sequence[float]) -> np.ndarray:
    """(n,) int64 the place of each number among `values`, -1 where it is none of them or NaN."""
    wanted = np.array(values, dtype=np.float32)
    order = np.argsort(wanted, kind="stable")
    at = np.clip(np.searchsorted(wanted[order], x), 0, max(len(wanted) - 1, 0))
    if not len(wanted):
        return np.full(len(x), -1, dtype=np.int64)
    found = order[at]
    return np.where(wanted[found] == x, found, -1).astype(np.int64)


def sort_levels(levels: Sequence[str]) -> tuple[str, ...]:
    """Levels as the encoders of scikit-learn and pandas sort them: numbers by size, texts by
    code point."""
    numbers = [_as_number(level) for level in levels]
    if all(number is not None for number in numbers):
        return tuple(sorted(levels, key=float))
    return tuple(sorted(levels))


def code_sorted(column: Column) -> tuple[float, ...]:
    """The code of each level of a column where levels are numbered from 0 in sorted order.

    Raises:
        PrivauditError: Levels that were put together: their codes are not known.
    """
    if OTHER in column.levels:
        raise PrivauditError(
            f"rare levels of {column.name!r} are put together as {OTHER}",
            "each level has a code of its own where texts are coded in sorted order",
            "list every level of training in the schema",
        )
    at = {level: float(i) for i, level in enumerate(sort_levels(column.levels))}
    return tuple(at[level] for level in column.levels)


def code_truth(column: Column) -> tuple[float, ...] | None:
    """0 for the level that denies and 1 for the other, of two words for false and true; else
    None."""
    if not _are_truths(column.levels):
        return None
    return tuple(float(_TRUTH[level.strip().lower()]) for level in column.levels)


def refuse_unknown_levels(
    unknown: Mapping[str, int], rows: int, most: float = 0.05
) -> tuple[str, ...]:
    """Notes on cells whose level the model does not know; many are refused.

    Args:
        unknown: Columns, and how many cells of each hold such a level.
        rows: How many rows there are.
        most: The share of the rows above which the table is not the one that the model knows.

    Raises:
        PrivauditError: More than that share in one column.
    """
    for name, count in unknown.items():
        if count > most * rows:
            raise PrivauditError(
                f"{count:,} of {rows:,} cells of {name!r} hold levels that the model does not know",
                "it would read them as missing, and answer for other patients than these",
                "spell the levels as in training",
            )
    return tuple(
        f"Of {name!r}, {name_count(count)} cells hold levels that the model does not know; it "
        "reads them as missing."
        for name, count in unknown.items()
        if count
    )


def _as_number(level: Any) -> float | None:
    if isinstance(level, bool | np.bool_):
        return None
    text = str(level).strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _as_truth(level: Any) -> int | None:
    number = _as_number(level)
    if number in (0.0, 1.0):
        return int(number or 0)
    return _TRUTH.get(str(level).strip().lower())


def _are_truths(levels: Sequence[Any]) -> bool:
    words = {str(level).strip().lower() for level in levels}
    return words in _PAIRS and len(words) == len(levels)


def _may_be_truths(levels: Sequence[Any]) -> bool:
    return _are_truths(levels) or {_as_number(level) for level in levels} <= {0.0, 1.0}


def _index(known: Sequence[Any], key: Any) -> dict[Any, int]:
    """Places by a key that tells all levels apart; none where two share one."""
    found: dict[Any, int] = {}
    for i, level in enumerate(known):
        value = key(level)
        if value is None:
            continue
        if value in found:
            return {}
        found[value] = i
    return found


__all__ = [
    "code_sorted",
    "code_truth",
    "find_places",
    "match_levels",
    "refuse_unknown_levels",
    "sort_levels",
    "values_of",
]
