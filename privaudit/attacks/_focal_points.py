"""What a generator counts, and how full the cells of a record are in its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.attacks._correlations import score_correlations
from privaudit.attacks._marginals import Coded, choose_pairs
from privaudit.contracts import Target
from privaudit.fidelity.distance import outcome
from privaudit.records import Records

BINS, PAIR_BINS = 200, 32
"""Cells of a number where its generator's cuts are not known: of a column by itself, and of a
column in a set."""
RUNS = 8
"""Times that a generator's own choice of marginals is repeated on the attacker's records."""


@dataclass(frozen=True)
class Focus:
    """Sets of columns with their weights; the rest as `privaudit.contracts.FocalPoints`."""

    columns: Mapping[tuple[str, ...], float]
    correlations: bool
    cuts: Mapping[str, np.ndarray]


def score_counts(
    records: Records,
    table: Records,
    own: Records,
    focus: Focus | None = None,
    *,
    bins: int = BINS,
    pair_bins: int = PAIR_BINS,
) -> np.ndarray:
    """(n,) by how much the cells of each record are fuller in the table than elsewhere."""
    tables, cuts = (records, table, own), {} if focus is None else focus.cuts
    fine, coarse = (Coded.of(tables, cuts, size) for size in (bins, pair_bins))
    total = np.zeros(len(records))
    places = _place(coarse, focus, tables)
    # A table may hold more than its recipe counts: of a record that stands in it every count is
    # its own, so that the whole record weighs as much as all of them.
    places[tuple(range(len(coarse.names)))] = sum(places.values())
    for columns, weight in places.items():
        coded = fine if len(columns) == 1 else coarse
        cells, (_, drawn, usual) = coded.counts(columns)
        away = drawn / len(table) - usual / len(own)
        both = (drawn + usual + 1.0) / (len(table) + len(own) + 1.0)
        total += weight * (away / both)[cells[0]]
    if focus is not None and focus.correlations:
        total += score_correlations(coarse, tables)
    return total


def find_focus(target: Target, rng: np.random.Generator) -> Focus | None:
    """What the generator measures of the attacker's records; None where that is not known."""
    if target.method is None:
        return None
    found: dict[tuple[str, ...], float] = {}
    correlations, cuts = False, dict[str, np.ndarray]()
    for _ in range(RUNS):
        chosen = target.method.focal_points(target.split.reference, rng)
        if chosen is None:
            return None
        correlations, cuts = chosen.correlations, dict(chosen.cuts)
        for columns in chosen.columns:
            found[columns] = found.get(columns, 0.0) + 1.0 / RUNS
    return Focus(found, correlations, cuts)


def _place(
    coded: Coded, focus: Focus | None, tables: Sequence[Records]
) -> dict[tuple[int, ...], float]:
    """Focal points by the places of their columns; columns that are not shared are left out."""
    at = {name: j for j, name in enumerate(coded.names)}
    if focus is not None:
        return {
            tuple(at[name] for name in names): weight
            for names, weight in focus.columns.items()
            if all(name in at for name in names)
        }
    m, last = len(coded.names), outcome(tables[0])
    found: dict[tuple[int, ...], float] = {(j,): 1.0 for j in range(m)}
    if last in at:
        found |= {(j, at[last]): 1.0 for j in range(m) if j != at[last]}
    for pair, weight in choose_pairs(tables).items():
        if last not in at or at[last] not in pair:
            found[pair] = weight
    return found


__all__ = ["BINS", "PAIR_BINS", "Focus", "find_focus", "score_counts"]
