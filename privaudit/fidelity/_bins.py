"""What is counted of a column: levels or ranges, none of which rests on 1 to 9 real patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError
from privaudit.records import Column

BINS = 10
"""Ranges into which the numbers of a column are cut, at most."""

LEVELS = 12
"""Levels of a category that are counted one by one, at most."""

UNRECORDED = "not recorded"


@dataclass(frozen=True, eq=False)
class Bins:
    """How a column is counted.

    edges: cuts between ranges; place: what each raw cell (ranges or levels in order, then not
    recorded) is counted under; labels: what is counted, by name.
    """

    column: Column
    edges: np.ndarray
    place: np.ndarray
    labels: tuple[str, ...]

    def code(self, values: np.ndarray) -> np.ndarray:
        """(n,) which of `labels` each value is counted under."""
        result: np.ndarray = self.place[_cells(self.column, self.edges, values)]
        return result

    def gather(self, shares: np.ndarray) -> np.ndarray:
        """Shares of raw cells, summed into the bins."""
        return np.bincount(self.place, shares, minlength=len(self.labels))


def bins(
    column: Column,
    values: np.ndarray,
    patients: np.ndarray,
    other: np.ndarray,
    given: np.ndarray | None = None,
) -> Bins:
    """How to count this column, from the real members' values (n,) and their patients' codes (n,).

    other: the synthetic values, of which nothing is learnt but which cells are empty on both sides.
    given: cuts between ranges to be used in place of the members' quantiles. Ranges are open at
    both ends and their cuts are rounded: no person's value is a cut.
    """
    edges = (
        np.asarray(given, dtype=float) if given is not None else _edges(column, values, patients)
    )
    count = _raw(column, edges)
    cells = _cells(column, edges, values)
    there = np.bincount(_cells(column, edges, other), minlength=count + 1) > 0
    people = _People(cells, patients)
    raw = range(count)
    groups = _ordered(raw, people) if column.kind == "numeric" else _nominal(raw, people, there)
    names = [_name(column, edges, _present(column, group, people, there)) for group in groups]
    groups, names = _with_unrecorded(groups, names, people, there)
    place = np.zeros(count + 1, dtype=np.int64)
    for index, group in enumerate(groups):
        place[list(group)] = index
    return Bins(column, edges, place, tuple(names))


def _raw(column: Column, edges: np.ndarray) -> int:
    if column.kind == "numeric":
        return len(edges) + 1
    return max(1, len(column.levels)) if column.kind == "category" else 2


def _cells(column: Column, edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n,) the raw cell of each value; the last one is for what was not recorded."""
    count = _raw(column, edges)
    seen = np.isfinite(values)
    cells = np.full(len(values), count)
    if column.kind == "numeric":
        cells[seen] = np.searchsorted(edges, values[seen], "right")
        return cells
    codes = values[seen]
    if len(codes) and ((codes != np.floor(codes)).any() or codes.min() < 0 or codes.max() >= count):
        raise PrivauditError(
            f"column {column.name!r} holds codes that are none of its levels",
            f"it has {count} levels, so codes are whole numbers from 0 to {count - 1}",
            "code the column by the order of its levels",
        )
    cells[seen] = codes.astype(np.int64)
    return cells


def _edges(column: Column, values: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Cuts at quantiles of the recorded values, rounded, or between the few values there are.

    A value that fewer than 10 patients have is no cut.
    """
    if column.kind != "numeric":
        return np.empty(0)
    seen = values[np.isfinite(values)].astype(float)
    if not len(seen):
        return np.empty(0)
    distinct, code = np.unique(seen, return_inverse=True)
    if len(distinct) <= BINS and (distinct == np.round(distinct)).all():
        who = patients[np.isfinite(values)]
        held = [len(np.unique(who[code == place])) for place in range(len(distinct))]
        return distinct[1:][np.array(held)[1:] >= MIN_CELL]
    cuts = np.quantile(seen, np.arange(1, BINS) / BINS)
    spread = float(np.subtract(*np.quantile(seen, [0.9, 0.1]))) or float(np.ptp(seen)) or 1.0
    digit = 10.0 ** np.floor(np.log10(spread / 20))
    if column.integer:
        digit = max(1.0, digit)
    rounded = np.unique(np.round(np.round(cuts / digit) * digit, 10))
    result: np.ndarray = rounded[(rounded > seen.min()) & (rounded <= seen.max())]
    return result


class _People:
    """How many different patients a group of raw cells rests on."""

    def __init__(self, cells: np.ndarray, patients: np.ndarray) -> None:
        self.cells, self.patients = cells, patients
        self.known: dict[tuple[int, ...], int] = {}

    def count(self, group: Sequence[int]) -> int:
        key = tuple(sorted(group))
        if key not in self.known:
            inside = self.cells == key[0] if len(key) == 1 else np.isin(self.cells, key)
            self.known[key] = int(np.count_nonzero(np.bincount(self.patients[inside])))
        return self.known[key]

    def few(self, group: Sequence[int]) -> bool:
        """Whether it rests on some, but fewer than may be stated."""
        return bool(group) and 0 < self.count(group) < MIN_CELL


def _ordered(raw: Sequence[int], people: _People) -> list[tuple[int, ...]]:
    """Neighbouring cells joined until none rests on 1 to 9 patients."""
    groups: list[tuple[int, ...]] = []
    for cell in raw:
        if groups and people.few(groups[-1]):
            groups[-1] = (*groups[-1], cell)
        else:
            groups.append((cell,))
    while len(groups) > 1 and people.few(groups[-1]):
        last = groups.pop()
        groups[-1] = (*groups[-1], *last)
    return groups


def _nominal(raw: Sequence[int], people: _People, there: np.ndarray) -> list[tuple[int, ...]]:
    """Small levels joined with one another, and with the next smallest until they are 10 patients.

    Levels that nobody has, real or synthetic, are joined to them, as are those beyond the most
    common.
    """
    size = {cell: people.count((cell,)) for cell in raw}
    order = sorted(raw, key=lambda cell: (-size[cell], cell))
    alone = [c for c in order if size[c] >= MIN_CELL or (size[c] == 0 and there[c])][:LEVELS]
    rest = [cell for cell in order if cell not in alone]
    while alone and people.few(rest):
        smallest = min(alone, key=lambda cell: (size[cell] == 0, size[cell]))
        alone.remove(smallest)
        rest.append(smallest)
    groups: list[tuple[int, ...]] = [(cell,) for cell in sorted(alone)]
    if rest and (not groups or people.count(rest) or there[rest].any()):
        groups.append(tuple(sorted(rest)))
    elif rest:
        groups[-1] = (*groups[-1], *rest)
    return groups


def _with_unrecorded(
    groups: list[tuple[int, ...]], names: list[str], people: _People, there: np.ndarray
) -> tuple[list[tuple[int, ...]], list[str]]:
    """What was not recorded as the last bin, or joined to the largest where too small."""
    last = len(there) - 1
    recorded = tuple(range(last))
    if people.few(recorded):
        return [(*recorded, last)], ["recorded or not"]
    if people.few((last,)):
        largest = max(range(len(groups)), key=lambda at: people.count(groups[at]))
        if people.few((*groups[largest], last)):
            return [(*recorded, last)], ["recorded or not"]
        groups[largest] = (*groups[largest], last)
        names[largest] = f"{names[largest]} or {UNRECORDED}"
    elif people.count((last,)) or there[last]:
        if not people.count(recorded) and not there[:last].any():
            return [(*recorded, last)], [UNRECORDED]
        groups.append((last,))
        names.append(UNRECORDED)
    else:
        groups[-1] = (*groups[-1], last)
    return groups, names


def _present(
    column: Column, group: tuple[int, ...], people: _People, there: np.ndarray
) -> tuple[int, ...]:
    """A category's levels that anybody has: joined to empty ones, a level stays by its name."""
    if column.kind == "numeric":
        return group
    return tuple(c for c in group if people.count((c,)) or there[c]) or group


def _name(column: Column, edges: np.ndarray, group: Sequence[int]) -> str:
    if column.kind == "binary":
        levels = column.levels if len(column.levels) == 2 else ("0", "1")
        return " or ".join(levels[cell] for cell in sorted(group))
    if column.kind == "category":
        if len(group) == 1 and column.levels:
            return column.levels[group[0]]
        named = [cell for cell in group if cell < len(column.levels)]
        return f"other ({len(named)} levels)"
    low, high = min(group), max(group)
    if not len(edges) or (low == 0 and high == len(edges)):
        return "recorded"
    below = None if low == 0 else edges[low - 1]
    above = None if high == len(edges) else edges[high]
    if column.integer and (edges == np.round(edges)).all():
        if below is None and above is not None:
            return f"up to {above - 1:g}"
        if below is not None and above is not None:
            return f"{below:g}" if above - below == 1 else f"{below:g} to {above - 1:g}"
    if below is None:
        return f"below {above:g}"
    return f"{below:g} and above" if above is None else f"{below:g} to below {above:g}"
