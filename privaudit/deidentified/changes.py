"""What generalising or leaving out a quasi-identifier would change, computed on the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from privaudit.deidentified.document import Change
from privaudit.deidentified.measure import count_strictest
from privaudit.deidentified.read import Quasi, ReleaseTable

AGES = (5.0, 10.0)
PARTS = (20, 10)
"""Other numbers are put into about so many bands."""
LONGEST_PATH = 8
PREFIX = 3
RARE = 0.01
"""Levels of fewer patients than this share are merged into one."""


def try_changes(table: ReleaseTable, k: int) -> list[Change]:
    """The table as it is, and with each quasi-identifier left out or coarser by one step.

    Args:
        table: The table.
        k: The size that classes have to reach, for how many patients would be left out.
    """
    found = [_weigh(table, "", "none", 0.0, k)]
    found += [change for change, _ in _try_without(table, k)]
    found += [change for change, _ in _try_steps(table, k)]
    order = {quasi.name: j for j, quasi in enumerate(table.quasi)}
    return sorted(found, key=lambda change: order.get(change.column, -1))


def find_path(table: ReleaseTable, k: int, most: float, changes: list[Change]) -> list[Change]:
    """Single steps, each the one that leaves the fewest patients to be suppressed, until no more
    than the share `most` has to be; none where the table needs no step or no step helps."""
    path: list[Change] = []
    now = changes[0]
    while now.suppressed > most and len(path) < LONGEST_PATH:
        tried = list(_try_steps(table, k)) or list(_try_without(table, k))
        if not tried:
            break
        best, coarser = min(tried, key=lambda pair: (pair[0].suppressed, pair[0].average))
        if (best.suppressed, best.average) >= (now.suppressed, now.average):
            break
        path.append(replace(best, path=True))
        now, table = best, coarser
    return path


def _try_steps(table: ReleaseTable, k: int) -> Iterator[tuple[Change, ReleaseTable]]:
    for j, quasi in enumerate(table.quasi):
        for step, width, coarser in coarsen(quasi, table):
            one = _swap(table, j, coarser)
            yield _weigh(one, quasi.name, step, width, k), one


def _try_without(table: ReleaseTable, k: int) -> Iterator[tuple[Change, ReleaseTable]]:
    """Each column left out, once none can be made coarser."""
    for j, quasi in enumerate(table.quasi):
        if len(table.quasi) > 1:
            rest = table.with_quasi([q for i, q in enumerate(table.quasi) if i != j])
            yield _weigh(rest, quasi.name, "left_out", 0.0, k), rest


def _swap(table: ReleaseTable, at: int, quasi: Quasi) -> ReleaseTable:
    return table.with_quasi([quasi if i == at else q for i, q in enumerate(table.quasi)])


def _weigh(table: ReleaseTable, column: str, step: str, width: float, k: int) -> Change:
    sizes = count_strictest(table)
    return Change(
        column,
        step,
        width,
        float((sizes == 1).mean()),
        float((1 / sizes).mean()),
        float(1 / sizes.min()),
        float((sizes < k).mean()),
    )


def coarsen(quasi: Quasi, table: ReleaseTable) -> Iterator[tuple[str, float, Quasi]]:
    """The steps by which a column may be made coarser, the finest first."""
    before = len(quasi.levels)
    if quasi.kind == "date":
        for step in ("month", "year"):
            yield from _kept(step, 0.0, _regroup(quasi, _truncate(quasi, step)), before)
        return
    if quasi.kind == "number" and _are_digits(quasi):
        yield from _kept(
            "prefix", PREFIX, _regroup(quasi, [x[:PREFIX] for x in quasi.levels]), before
        )
        return
    if quasi.kind == "number":
        for width in _find_widths(quasi):
            bands = [
                level if np.isnan(x) else f"{np.floor(x / width) * width:g}"
                for level, x in zip(quasi.levels, quasi.numbers, strict=True)
            ]
            yield from _kept("band", width, _regroup(quasi, bands), before)
        return
    least = max(2.0, np.ceil(RARE * table.patients))
    there = quasi.codes >= 0
    pairs = np.unique(quasi.codes[there] * table.patients + table.patient[there])
    holders = np.bincount(pairs // table.patients, minlength=before)
    merged = ["" if holders[i] < least else level for i, level in enumerate(quasi.levels)]
    yield from _kept("merged", float(least), _regroup(quasi, merged), before)


def _kept(step: str, width: float, quasi: Quasi, before: int) -> Iterator[tuple[str, float, Quasi]]:
    if len(quasi.levels) < before:
        yield step, width, quasi


def _regroup(quasi: Quasi, names: list[str]) -> Quasi:
    levels = sorted(set(names))
    place = {name: i for i, name in enumerate(levels)}
    new = np.array([*(place[name] for name in names), -1], dtype=np.int64)
    numbers = np.full(len(levels), np.nan)
    for name, value in zip(names, quasi.numbers, strict=True):
        at = place[name]
        numbers[at] = value if np.isnan(numbers[at]) else min(numbers[at], value)
    codes = new[quasi.codes]
    return Quasi(quasi.name, quasi.kind, codes, tuple(levels), numbers, codes)


def _truncate(quasi: Quasi, step: str) -> list[str]:
    size = 7 if step == "month" else 4
    return [
        level if np.isnan(day) else str(np.datetime64(int(day), "D"))[:size]
        for level, day in zip(quasi.levels, quasi.numbers, strict=True)
    ]


def _are_digits(quasi: Quasi) -> bool:
    """Whether they are codes of equally many digits, such as postcodes."""
    known = quasi.numbers[np.isfinite(quasi.numbers)]
    return bool(len(known) > 20 and (known % 1 == 0).all() and known.min() >= 10_000)


def _find_widths(quasi: Quasi) -> tuple[float, ...]:
    known = quasi.numbers[np.isfinite(quasi.numbers)]
    span = float(known.max() - known.min())
    if span <= 0:
        return ()
    if 20 < span <= 130 and (known % 1 == 0).all():
        return AGES
    return tuple(_round_width(span / parts) for parts in PARTS)


def _round_width(width: float) -> float:
    power = 10.0 ** np.floor(np.log10(width))
    return float(next(m for m in (1, 2, 5, 10) if m * power >= width * (1 - 1e-9)) * power)


__all__ = ["coarsen", "find_path", "try_changes"]
