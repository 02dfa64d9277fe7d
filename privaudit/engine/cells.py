"""How many are in each pool, subgroup and outcome: what disclosure control counts with."""

from __future__ import annotations

import numpy as np

from privaudit.engine.groups import read_groups
from privaudit.records import Records, Split
from privaudit.results import Cell

POOLS = ("members", "nonmembers", "reference")

EVENTS = ("censored", "event")
"""The outcomes of a time to an event."""


def count_cells(split: Split) -> tuple[Cell, ...]:
    """The cells of every pool, and of every level of every grouping of members and non-members.

    A patient with several records counts once in each cell that any of them is in.
    """
    found = [cell for name in POOLS for cell in _whole(name, getattr(split, name))]
    for by, both in read_groups(split).items():
        levels = np.unique(np.concatenate(both))
        for name, labels in zip(POOLS[:2], both, strict=True):
            found += _of_levels(name, by, levels, labels, getattr(split, name))
    return tuple(found)


def _whole(name: str, records: Records) -> list[Cell]:
    everybody = np.zeros(len(records), dtype=np.int64)
    return _count(name, "", [""], everybody, records)


def _of_levels(
    name: str, by: str, levels: np.ndarray, labels: np.ndarray, records: Records
) -> list[Cell]:
    return _count(name, by, levels.tolist(), np.searchsorted(levels, labels), records)


def _count(name: str, by: str, levels: list[str], place: np.ndarray, table: Records) -> list[Cell]:
    outcomes, code = _outcomes(table)
    shape = (len(levels), len(outcomes))
    patient = np.unique(table.patient, return_inverse=True)[1]
    records = np.zeros(shape, dtype=np.int64)
    np.add.at(records, (place, code), 1)
    triples = np.unique(np.column_stack([place, code, patient]), axis=0)
    patients = np.zeros(shape, dtype=np.int64)
    np.add.at(patients, (triples[:, 0], triples[:, 1]), 1)
    pairs = np.unique(np.column_stack([place, patient]), axis=0)
    people = np.bincount(pairs[:, 0], minlength=len(levels))
    found = []
    for at, level in enumerate(levels):
        found.append(Cell(name, by, level, "", int(people[at]), int(records[at].sum())))
        if len(outcomes) > 1:
            found += [
                Cell(name, by, level, outcome, int(patients[at, c]), int(records[at, c]))
                for c, outcome in enumerate(outcomes)
            ]
    return found


def _outcomes(table: Records) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the outcomes, and (n,) each record's; one name for a number."""
    if table.outcome_kind == "class":
        return tuple(table.classes), table.y.astype(np.int64)
    if table.outcome_kind == "time":
        return EVENTS, (table.y > 0).astype(np.int64)
    return ("",), np.zeros(len(table), dtype=np.int64)


__all__ = ["EVENTS", "POOLS", "count_cells"]
