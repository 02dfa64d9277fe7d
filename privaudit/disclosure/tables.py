"""Which cells may not be stated, and which others must not be so that nobody subtracts them.

The cells are patients of a pool by outcome and by the level of each grouping. Every count, share,
error and AUROC that a document states is a sum of them (`marginals`), so three decisions settle
them all, each for the whole document: the pools whose outcomes are hidden, the levels that are
hidden, and the levels whose outcomes are.

Between groupings no cross table is ever stated, so given the pool's totals each stands for itself,
and the range of a cell in a two-way table with known margins is that of Fréchet:
max(0, r + c - N) to min(r, c).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from privaudit.disclosure_limits import MIN_CELL
from privaudit.results import Cell, Data

CANDIDATES = 5
"""So many values at least a hidden count under ten may have, for a reader of all that is shown."""

POOLS = ("members", "nonmembers")
"""The pools of which subgroups are shown; outcomes in subgroups are of the second alone."""

Row = Mapping[str, int]
"""Outcome -> how many, of one level."""


@dataclass(frozen=True)
class Hidden:
    """What no part of a document may state.

    pools: those of fewer than ten patients; outcomes: the pools whose numbers by outcome; levels:
    (grouping, level) pairs at all; level_outcomes: such pairs by outcome; joint: whether the
    outcomes of the whole cohort. known: every (grouping, level) that was counted.
    """

    pools: frozenset[str] = frozenset()
    outcomes: frozenset[str] = frozenset()
    levels: frozenset[tuple[str, str]] = frozenset()
    level_outcomes: frozenset[tuple[str, str]] = frozenset()
    joint: bool = False
    known: frozenset[tuple[str, str]] = field(default=frozenset())

    def hides_level(self, by: str, level: str) -> bool:
        """Whether nothing may be stated of a level: also where it was never counted."""
        return (by, level) in self.levels or (by, level) not in self.known

    def hides_outcomes(self, by: str, level: str) -> bool:
        """Whether nothing that follows from the outcomes of a level may be stated."""
        return self.hides_level(by, level) or (by, level) in self.level_outcomes


def find_hidden(data: Data) -> Hidden:
    """What must be hidden of this cohort; all of it where its cells are not there."""
    names = {pool.name for pool in data.pools}
    if not names <= {cell.pool for cell in data.cells if not cell.by}:
        return Hidden(outcomes=frozenset(names), joint=True)
    whole = [cell for cell in data.cells if not cell.by]
    small = {cell.pool for cell in whole if not cell.outcome and _is_small(cell)}
    # A pool in which nobody has an outcome that others have states the outcome of everybody there.
    occurring = {cell.outcome for cell in whole if cell.outcome and cell.patients}
    rare = {cell.pool for cell in whole if cell.outcome in occurring and cell.patients < MIN_CELL}
    outcomes = small | rare
    # The total over the pools would give the one that is hidden.
    joint = bool(outcomes)
    groupings = list(dict.fromkeys(cell.by for cell in data.cells if cell.by))
    levels: set[tuple[str, str]] = set()
    blurred: set[tuple[str, str]] = set()
    for by in groupings:
        own = [cell for cell in data.cells if cell.by == by]
        gone = hide_levels(own)
        levels |= {(by, level) for level in gone}
        if "nonmembers" in outcomes:
            blurred |= {(by, cell.level) for cell in own}
        else:
            blurred |= {(by, level) for level in hide_outcomes(own, gone)}
    known = {(cell.by, cell.level) for cell in data.cells if cell.by}
    return Hidden(
        frozenset(small),
        frozenset(outcomes),
        frozenset(levels),
        frozenset(blurred),
        joint,
        frozenset(known),
    )


def _is_small(cell: Cell) -> bool:
    return 0 < cell.patients < MIN_CELL or 0 < cell.records < MIN_CELL


def hide_levels(cells: Iterable[Cell]) -> frozenset[str]:
    """Levels of one grouping that are not stated: small in a pool, and those joined to them."""
    sizes: dict[str, dict[str, int]] = defaultdict(dict)
    for cell in cells:
        if not cell.outcome and cell.pool in POOLS:
            sizes[cell.level][cell.pool] = cell.patients
    return cover_small(
        {level: tuple(of.get(pool, 0) for pool in POOLS) for level, of in sizes.items()}
    )


def cover_small(sizes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
    """Levels not to be shown: fewer than 10 patients in a pool, also not by subtracting the others.

    sizes: level -> patients in each pool. When any level is hidden, the next smallest joins until
    two are, and until the hidden hold at least 10 patients together in each pool.
    """
    order = sorted(sizes, key=lambda level: (min(sizes[level]), sum(sizes[level]), level))
    hidden = [level for level in order if min(sizes[level]) < MIN_CELL]
    for level in order:
        together = [sum(pool) for pool in zip(*(sizes[h] for h in hidden), strict=True)]
        if not hidden or (len(hidden) > 1 and min(together) >= MIN_CELL):
            break
        if level not in hidden:
            hidden.append(level)
    return frozenset(hidden)


def hide_outcomes(cells: Iterable[Cell], gone: frozenset[str]) -> frozenset[str]:
    """Levels of one grouping whose outcomes among the non-members are not stated.

    gone: levels of which nothing is. A level with fewer than ten of one outcome is among them, also
    with none: that would state the outcome of everybody else there. Then the level with the fewest
    of an outcome joins, until every hidden count under ten can be one of five.
    """
    units: list[dict[str, dict[str, int]]] = [defaultdict(dict), defaultdict(dict)]
    for cell in cells:
        if cell.outcome and cell.pool == "nonmembers":
            for unit, count in zip(units, (cell.patients, cell.records), strict=True):
                unit[cell.level][cell.outcome] = count
    patients = units[0]
    if not patients:
        return frozenset()
    seen = [c for c in next(iter(patients.values())) if any(row[c] for row in patients.values())]
    tables = [{level: {c: row[c] for c in seen} for level, row in unit.items()} for unit in units]
    fewest = {level: min(row.values()) for level, row in tables[0].items()}
    hidden = {level for level, least in fewest.items() if least < MIN_CELL} | gone
    records = {level: sum(row.values()) for level, row in tables[1].items()}
    order = sorted(fewest, key=lambda level: (fewest[level], records[level], level))
    waiting = [level for level in order if level not in hidden]
    while hidden and waiting and not all(is_vague(table, hidden, gone) for table in tables):
        hidden.add(waiting.pop(0))
    return frozenset(hidden)


def is_vague(table: Mapping[str, Row], hidden: Iterable[str], gone: frozenset[str]) -> bool:
    """Whether each count under ten in the hidden levels can be one of five, all others being known.

    table: level -> outcome -> count; gone: hidden levels whose size is not stated either, of which
    only the sum is known.
    """
    rows = {level: table[level] for level in hidden}
    everybody = sum(sum(row.values()) for row in rows.values())
    together = sum(sum(row.values()) for level, row in rows.items() if level in gone)
    loose = sum(level in gone for level in rows) > 1
    for outcome in next(iter(rows.values()), {}):
        column = sum(row[outcome] for row in rows.values())
        for level, row in rows.items():
            if row[outcome] >= MIN_CELL:
                continue
            size = together if level in gone else sum(row.values())
            most, least = min(size, column), max(0, size + column - everybody)
            if level in gone and loose:
                least = 0
            if most - least + 1 < CANDIDATES:
                return False
    return True


def is_close(one: int, other: int) -> bool:
    """Whether subtracting two counts gives one of 1 to 9."""
    return 0 < abs(one - other) < MIN_CELL


def any_close(count: int, others: Sequence[int]) -> bool:
    """Whether this count is one of 1 to 9 itself, or beside one of the others."""
    return 0 < count < MIN_CELL or any(is_close(count, other) for other in others)


__all__ = [
    "CANDIDATES",
    "Hidden",
    "any_close",
    "cover_small",
    "find_hidden",
    "hide_levels",
    "hide_outcomes",
    "is_close",
]
