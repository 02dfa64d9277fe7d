"""Signs that patients were counted more than once, so that classes look larger than they are."""

from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np

from privaudit.deidentified.classes import rank
from privaudit.deidentified.document import Note, NoteCode
from privaudit.deidentified.measure import collapse_copies, get_classes
from privaudit.deidentified.read import Quasi, ReleaseTable, read_column

FEW_CLASSES = 10
"""Of fewer classes, sizes with a common divisor are luck: of so many, once in 1,000 tables."""
NAMING = 0.3
"""Of its cells, a column that may name patients has at least so many different values."""
DETERMINED = 0.98
BY_LUCK = 1e-4
ROW_NAMES = 0.99
"""A column with so many different values names rows: copies differ in it for that reason alone."""


def find_repeats(
    table: ReleaseTable, patient: str, pseudonyms: Collection[str], sensitive: Collection[str]
) -> list[Note]:
    """What speaks against each patient of the table being another person."""
    declared = {one.name for one in table.quasi} | {patient, *sensitive}
    others = [
        read_column(table.frame[name]) for name in table.frame.columns if name not in declared
    ]
    notes = []
    names = [one.name for one in others if _names_patients(one, table, one.name in pseudonyms)]
    if names:
        notes.append(Note(NoteCode.REPEATED_NAMES, {"columns": tuple(names)}))
    if patient and _differ_by_signs(table):
        notes.append(Note(NoteCode.NAMES_ALIKE, {"columns": (patient,)}))
    rest = [read_column(table.frame[name]) for name in sensitive]
    rest += [one for one in others if one.name not in pseudonyms and not _names_rows(one)]
    if not table.several and _are_copied(table, rest):
        notes.append(Note(NoteCode.COPIED_PATIENTS))
    return notes


def find_register_repeats(register: ReleaseTable, patient: str) -> list[Note]:
    """The same of a register of the population."""
    declared = {one.name for one in register.quasi} | {patient}
    names = [name for name in register.frame.columns if name not in declared]
    others = [read_column(register.frame[name]) for name in names]
    rest = [one for one in others if not _names_rows(one)]
    copied = _share_divisor(register) or (not register.several and _are_copied(register, rest))
    return [Note(NoteCode.REGISTER_COPIED)] if copied else []


def _are_copied(table: ReleaseTable, rest: list[Quasi]) -> bool:
    if not rest:
        return _share_divisor(table)
    return collapse_copies(table, [one.codes for one in rest])[1] > 0


def _share_divisor(table: ReleaseTable) -> bool:
    """Whether the sizes of all classes are multiples of one number, as of rows copied so often."""
    sizes = np.bincount(get_classes(table)[1])
    return len(sizes) >= FEW_CLASSES and int(np.gcd.reduce(sizes)) > 1


def _names_rows(column: Quasi) -> bool:
    there = int((column.written >= 0).sum())
    return there > 0 and int(column.written.max()) + 1 >= ROW_NAMES * there


def _names_patients(column: Quasi, table: ReleaseTable, stated: bool) -> bool:
    """Whether patients who agree in a column of names agree in all quasi-identifiers.

    stated: it is said to hold pseudonyms, however few.
    """
    from scipy.stats import binom

    first = np.unique(table.patient, return_index=True)[1]
    codes, classes = column.codes[first], get_classes(table)[1]
    there = codes >= 0
    codes, classes = codes[there], classes[there]
    values = len(np.unique(codes))
    repeated = len(codes) - values
    if not repeated or (values < NAMING * len(codes) and not stated):
        return False
    pairs = len(np.unique(codes * (int(classes.max()) + 1) + classes))
    # Rows that agree with another row of their value, of those that could.
    agreeing = repeated - (pairs - values)
    sizes = np.bincount(classes).astype(float)
    by_chance = float((sizes**2).sum()) / len(codes) ** 2
    luck = float(binom.sf(agreeing - 1, repeated, by_chance))
    return agreeing >= DETERMINED * repeated and luck < BY_LUCK


def _differ_by_signs(table: ReleaseTable) -> bool:
    """Whether patients of one class have names that differ by signs between letters alone."""
    bare = [re.sub(r"[\W_]+", "", name).casefold() or name for name in table.names]
    alike = rank(np.unique(np.array(bare), return_inverse=True)[1].reshape(-1))
    if int(alike.max()) + 1 == len(bare):
        return False
    _, classes = get_classes(table)
    both = np.unique(alike * (int(classes.max()) + 1) + classes)
    return len(both) < len(bare)


__all__ = ["find_register_repeats", "find_repeats"]
