"""Bins of a synthetic table's columns, beside levels of which no subgroup table states a thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from privaudit.disclosure.tables import Hidden
from privaudit.results import ColumnFit
from privaudit.stats.groups import UNRECORDED


def show_columns(columns: Sequence[ColumnFit], hidden: Hidden) -> tuple[ColumnFit, ...]:
    """The columns as they may stand beside the subgroups.

    A level that no subgroup table states is no bin of its own. Ranges of a number that a grouping
    with such a level is cut by are left out: where both are cut at one value, they subtract.
    """
    found = []
    for column in columns:
        cut_by = {by for by, _ in hidden.levels if _is_of(column, by, hidden)}
        if column.kind == "numeric" and cut_by:
            continue
        found.append(_join_bins(column, {level for by, level in hidden.levels if by in cut_by}))
    return tuple(found)


def _is_of(column: ColumnFit, by: str, hidden: Hidden) -> bool:
    """Whether a grouping may be cut by a column: called alike, or with levels in common."""
    one, two = column.name.lower(), by.lower()
    if one in two or two in one:
        return True
    levels = {level for known, level in hidden.known if known == by} - {UNRECORDED}
    return column.kind != "numeric" and len(levels & set(column.bins)) > 1


def _join_bins(column: ColumnFit, levels: set[str]) -> ColumnFit:
    at = [place for place, name in enumerate(column.bins) if name in levels]
    if not at:
        return column
    if len(at) == 1 and len(column.bins) > 1:
        # The sum of all others gives a bin that is joined to none.
        others = [place for place in range(len(column.bins)) if place not in at]
        at.append(min(others, key=lambda place: (column.real[place], place)))
    at.sort()
    real, synthetic = _join(column.real, at), _join(column.synthetic, at)
    return replace(
        column,
        bins=tuple(
            " or ".join(column.bins[p] for p in at) if place == at[0] else name
            for place, name in enumerate(column.bins)
            if place == at[0] or place not in at
        ),
        real=real,
        synthetic=synthetic,
        noisy=_join(column.noisy, at) if column.noisy else (),
        distance=sum(abs(a - b) for a, b in zip(real, synthetic, strict=True)) / 2,
    )


def _join(shares: Sequence[float], at: Sequence[int]) -> tuple[float, ...]:
    together = sum(shares[place] for place in at)
    return tuple(
        together if place == at[0] else share
        for place, share in enumerate(shares)
        if place == at[0] or place not in at
    )


__all__ = ["show_columns"]
