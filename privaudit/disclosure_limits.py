"""How few patients are too few: the limits that keep small cells and unsupported rates out of
every document."""

from __future__ import annotations

MIN_CELL = 10
"""No count, group, bin or point of fewer patients or stays than this leaves, nor one that
subtraction gives away."""

MIN_FALSE_POSITIVES = 10
"""A rate at a false positive rate is stated only where so many patients are expected above the
threshold."""

MIN_PATIENTS_EPSILON = 20
"""With fewer patients not even an attack that is always right proves an epsilon of 1."""

MIN_PEOPLE = 20
"""With fewer people on a side nothing is a verdict, however many records they have: an interval
over so few independent people covers almost everything, and one over their records lies."""

WITHHELD = "withheld"
"""Stands for a number of a reason or a caveat that would give a small count away."""


def name_count(count: int) -> str:
    """A count of rows or patients as a note or a message may state it."""
    return f"{count:,}" if count >= MIN_CELL else f"fewer than {MIN_CELL}"


__all__ = [
    *("MIN_CELL", "MIN_FALSE_POSITIVES", "MIN_PATIENTS_EPSILON", "MIN_PEOPLE", "WITHHELD"),
    "name_count",
]
