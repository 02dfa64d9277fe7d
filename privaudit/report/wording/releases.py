"""What was audited, in words: models, synthetic tables, and what a user supplied."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.report import numbers as n
from privaudit.report.kinds import TABLES, Kind, are_mixed, are_tables

NAMES_LISTED = 8


def name_release(kinds: Sequence[Kind], count: int) -> str:
    """What to call so many of these."""
    name = "release" if are_mixed(kinds) else "synthetic table" if are_tables(kinds) else "model"
    return name if count == 1 else f"{name}s"


def name_column(kinds: Sequence[Kind]) -> str:
    """The heading of a column of their names."""
    return "Release" if are_mixed(kinds) else "Table" if are_tables(kinds) else "Model"


def count_noun(count: int, noun: str) -> str:
    """`1 model`, `3 models`; nothing for none."""
    return "" if not count else f"1 {noun}" if count == 1 else f"{n.count(count)} {noun}s"


def count_releases(kinds: Sequence[Kind]) -> str:
    """`3 models`, `1 synthetic table`, `2 models and 3 synthetic tables`."""
    if not kinds:
        return "nothing"
    tables = sum(kind in TABLES for kind in kinds)
    parts = (count_noun(len(kinds) - tables, "model"), count_noun(tables, "synthetic table"))
    return " and ".join(part for part in parts if part)


def list_names(names: Sequence[str], most: int = NAMES_LISTED) -> str:
    """The first names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def name_subset(names: Sequence[str], of: int) -> str:
    """Which models, without listing all of them."""
    return "all" if len(names) == of and of > 1 else ", ".join(names)


def name_place(attack: str, model: str) -> str:
    """An attack on a model."""
    return f"{attack} on {model}"
