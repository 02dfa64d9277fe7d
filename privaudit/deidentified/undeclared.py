"""What a table holds beside what was declared: identifiers, and columns that give others away."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from privaudit.deidentified.document import Note, NoteCode
from privaudit.deidentified.read import ReleaseTable
from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError, spell
from privaudit.facts import Param
from privaudit.inputs.date_text import are_dates, may_be_epochs
from privaudit.inputs.identifiers import cell_shapes, find_identifier, is_fixed

if TYPE_CHECKING:
    import polars as pl

INDIRECT = ("a geographic unit below the state", "a date")
"""Identifiers of the safe harbour that are quasi-identifiers where they are declared."""
DETERMINED = 0.98
"""Of two patients with the same value of a column so many agree in another: it follows from it."""
FEW_PAIRS = 20
BY_LUCK = 1e-4
"""And no more often than this by chance, so that few pairs of a common value raise no alarm."""
SINGLED = 0.05
"""A column by which more patients than this are alone is named."""
SENTENCES = 10
"""Different texts of several words, of which a column of free text has more."""
FEW_DAYS = 10
"""Of fewer different numbers it is not said that they are days or years."""
SHAPED = 0.01
"""Of the values of a column, so many shaped as an identifier make it one."""
NAMED = 20
"""At most so many columns are named in a note."""


def refuse_identifiers(frame: pl.DataFrame, patient: str, pseudonyms: Collection[str]) -> None:
    """Refuse a table with names, numbers, addresses of a person, by the column's name or cells."""
    for name in frame.columns:
        if name == patient or name in pseudonyms:
            continue
        what = find_identifier(name)
        if not what or what in INDIRECT:
            what = _find_shape(frame[name])
        if what:
            raise PrivauditError(
                f"the column {name!r} looks like {what}",
                "a direct identifier names a patient whatever else is done to the table: it is no "
                "de-identified one (45 CFR 164.514(b)(2))",
                spell(
                    f"drop the column, or state that its values are made up: --pseudonyms {name!r}",
                    f"drop the column, or state that its values are made up: pseudonyms=[{name!r}]",
                ),
            )


def _find_shape(texts: pl.Series) -> str:
    """What the cells of a column are shaped as; "" for nothing that names a person."""
    distinct = texts.drop_nulls().unique()
    if not len(distinct):
        return ""
    for what, pattern in cell_shapes():
        if what in INDIRECT:
            continue
        hits = int(distinct.str.contains(pattern).sum())
        if hits >= max(1, SHAPED * len(distinct)) or hits >= MIN_CELL:
            return what
    return ""


def find_notes(
    table: ReleaseTable, sensitive: Collection[str], patient: str, not_known: Collection[str]
) -> list[Note]:
    """What is to be known of declared and undeclared columns."""
    notes = _of_declared(table)
    declared = {one.name for one in table.quasi} | {patient}
    finer: dict[str, list[str]] = {}
    known: list[str] = []
    alone: list[str] = []
    stated: list[str] = []
    # One row a patient: rows of one patient agree in everything for that reason alone.
    first = np.unique(table.patient, return_index=True)[1]
    for name in table.frame.columns:
        if name in declared:
            continue
        codes = _to_codes(table.frame[name])
        if codes.max(initial=-1) < 1:
            continue
        if name not in sensitive and name not in not_known:
            for quasi in table.quasi:
                if follows(codes[first], quasi.codes[first]):
                    finer.setdefault(quasi.name, []).append(name)
            if find_identifier(name) in INDIRECT or is_fixed(name) or _holds_dates(table, name):
                known.append(name)
        if _share_alone(codes, table) > SINGLED or _are_sentences(table.frame[name]):
            (stated if name in sensitive or name in not_known else alone).append(name)
    notes += [
        Note(NoteCode.FINER_COLUMN, {"columns": tuple(names[:NAMED]), "quasi": quasi})
        for quasi, names in finer.items()
    ]
    if known:
        notes.append(Note(NoteCode.KNOWN_COLUMN, {"columns": tuple(known[:NAMED])}))
    for code, found in ((NoteCode.SINGLES_OUT, alone), (NoteCode.STATED_ALONE, stated)):
        if found:
            more = max(0, len(found) - NAMED)
            notes.append(Note(code, {"columns": tuple(found[:NAMED]), "more": more}))
    return notes


def _of_declared(table: ReleaseTable) -> list[Note]:
    def names(found: Sequence[bool]) -> tuple[str, ...]:
        return tuple(q.name for q, one in zip(table.quasi, found, strict=True) if one)

    notes = []
    for code, found in (
        (NoteCode.NOTHING_RECORDED, [bool(q.silent.all()) for q in table.quasi]),
        (NoteCode.CONSTANT, [len(q.levels) == 1 and not q.silent.any() for q in table.quasi]),
        (NoteCode.MEASURED, [q.measured for q in table.quasi]),
        (NoteCode.DATES, [q.kind == "date" for q in table.quasi]),
    ):
        if any(found):
            notes.append(Note(code, {"columns": names(found)}))
    merged = {q.name: q.respelled for q in table.quasi if q.respelled}
    if merged:
        params: dict[str, Param] = {"columns": tuple(merged), "levels": sum(merged.values())}
        notes.append(Note(NoteCode.SPELLINGS_MERGED, params))
    return notes


def _to_codes(texts: pl.Series) -> np.ndarray:
    """(n,) places among the different texts, -1 where not recorded."""
    import polars as pl

    ranks = texts.rank("dense").cast(pl.Int64) - 1
    return ranks.fill_null(-1).to_numpy().astype(np.int64)


def _are_sentences(texts: pl.Series) -> bool:
    """Whether cells are free text: whatever else they say, they say who it is."""
    distinct = texts.drop_nulls().unique()
    spaces = distinct.str.count_matches(r"\pL+[\s,.;:]+\pL+")
    return len(distinct) >= SENTENCES and int((spaces >= 2).sum()) >= len(distinct) / 2


def _holds_dates(table: ReleaseTable, name: str) -> bool:
    recorded = table.frame[name].drop_nulls()
    some = recorded.head(2_000)
    if _are_days_in_digits(some.unique()):
        return True
    return not re.fullmatch(r"[0-9.]*", str(some[0]) if len(some) else "") and are_dates(some)


def _are_days_in_digits(distinct: pl.Series) -> bool:
    """Days as 20200131, seconds or milliseconds since 1970, or years."""
    if len(distinct) < FEW_DAYS or not distinct.str.contains(r"^[0-9]{4,13}$").all():
        return False
    numbers = distinct.cast(int).to_numpy().astype(float)
    if may_be_epochs(numbers.min(), numbers.max(), True, len(distinct)):
        return True
    days = distinct.str.contains(r"^(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$")
    return bool(days.all()) or bool((numbers >= 1880).all() and (numbers <= 2050).all())


def follows(column: np.ndarray, quasi: np.ndarray) -> bool:
    """Whether a quasi-identifier follows from a column that is finer: patients who agree in the
    column nearly always agree in it, and patients at random do not."""
    both = (column >= 0) & (quasi >= 0)
    column, quasi = column[both], quasi[both]
    if not len(column):
        return False
    values = int(quasi.max()) + 1
    together = _pairs(np.unique(column * values + quasi, return_counts=True)[1])
    alike = _pairs(np.bincount(column))
    by_chance = _pairs(np.bincount(quasi)) / max(1.0, len(quasi) * (len(quasi) - 1) / 2)
    if len(np.unique(column)) < len(np.unique(quasi)) or alike < FEW_PAIRS or by_chance >= 0.9:
        return False
    from scipy.stats import binom

    luck = float(binom.sf(together - 1, alike, by_chance))
    return together / alike >= DETERMINED and luck < BY_LUCK


def _pairs(counts: np.ndarray) -> float:
    return float((counts.astype(float) * (counts - 1) / 2).sum())


def _share_alone(codes: np.ndarray, table: ReleaseTable) -> float:
    """Share of patients who have a value that no other patient has."""
    there = codes >= 0
    pairs = np.unique(codes[there] * table.patients + table.patient[there])
    values, owners = pairs // table.patients, pairs % table.patients
    alone = np.bincount(values)[values] == 1
    return len(np.unique(owners[alone])) / table.patients


__all__ = ["find_notes", "follows", "refuse_identifiers"]
