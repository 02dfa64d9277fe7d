"""A table that is to be released: its patients, and its quasi-identifiers as codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from privaudit.errors import PrivauditError, spell
from privaudit.inputs.cell_text import fold, to_patients
from privaudit.inputs.date_text import are_dates
from privaudit.inputs.number_text import parse_number
from privaudit.inputs.read_table import list_names, read_texts

if TYPE_CHECKING:
    import polars as pl

    from privaudit.inputs.schema import TableSchema
    from privaudit.inputs.table_file import Table

Kind = Literal["number", "date", "text"]
UNKNOWN = (
    *("unknown", "unk", "not known", "undetermined", "unspecified", "not stated", "not specified"),
    *("not available", "unavailable", "missing", "none given", "unknown/invalid", "invalid"),
    *("declined", "refused", "prefer not to say", "unbekannt", "inconnu", "desconocido"),
)
"""Levels that say nothing, folded: a level of its own, or as a missing value one that fits all."""
NUMERIC = 0.9
"""Of the levels of a number, at least this share are numbers; others are words such as 90+."""
MANY = 30
"""A number with decimals and more levels than this was measured, not counted."""


@dataclass(frozen=True, eq=False)
class Quasi:
    """One quasi-identifier of a table of n rows.

    codes: (n,) int64 places in `levels`, -1 where not recorded. levels: as texts that no longer
    differ by case, blanks or superfluous zeros. numbers: (levels,) the value, days since 1970 of a
    date, NaN of words. written: (n,) int64 codes of the cells as written.
    """

    name: str
    kind: Kind
    codes: np.ndarray
    levels: tuple[str, ...]
    numbers: np.ndarray
    written: np.ndarray

    @property
    def respelled(self) -> int:
        """How many ways of writing were taken for another one's."""
        return max(0, int(self.written.max(initial=-1)) + 1 - len(self.levels))

    @property
    def silent(self) -> np.ndarray:
        """(n,) bool: nothing is recorded, or a level that says nothing."""
        words = np.array([level in UNKNOWN for level in self.levels] + [True])
        return np.asarray(words[self.codes])

    @property
    def measured(self) -> bool:
        """Whether it is a number with decimals, of many values."""
        known = self.numbers[np.isfinite(self.numbers)]
        return self.kind == "number" and len(known) > MANY and bool((known % 1 != 0).mean() > 0.1)


@dataclass(frozen=True, eq=False)
class ReleaseTable:
    """A table of n rows. patient: (n,) int64 numbers 0..; names: of the patients, for the owner;
    named: a column of the table says them, and they are no numbers of rows."""

    quasi: tuple[Quasi, ...]
    patient: np.ndarray
    names: tuple[str, ...]
    frame: pl.DataFrame
    named: bool = False

    @property
    def rows(self) -> int:
        return len(self.patient)

    @property
    def patients(self) -> int:
        return len(self.names)

    @property
    def several(self) -> bool:
        """Whether some patient has several rows."""
        return self.rows > self.patients

    def with_quasi(self, quasi: Sequence[Quasi]) -> ReleaseTable:
        return replace(self, quasi=tuple(quasi))


def read_release(
    table: Table,
    quasi_identifiers: Sequence[str],
    *,
    patient: str,
    others: Sequence[str] = (),
    schema: TableSchema | None = None,
    what: str = "table",
) -> ReleaseTable:
    """Read a table whose columns are named; `others` have to be there too."""
    if not quasi_identifiers:
        raise PrivauditError(
            "no quasi-identifiers",
            "they are what an attacker may know of a patient: without them nothing is tested",
            spell("name them: --quasi-identifiers age,sex,zip3", "name them"),
        )
    if len(set(quasi_identifiers)) != len(quasi_identifiers):
        raise PrivauditError(
            "a quasi-identifier that is named twice", "each is one column", "name each once"
        )
    named_by = spell("--quasi-identifiers and the like name them", "the arguments name them")
    needed = [*quasi_identifiers, *others, *([patient] if patient else [])]
    frame = read_texts(table, what=what, needed=needed, named_by=named_by, schema=schema)
    number, names = _read_patients(frame, patient, what)
    quasi = tuple(read_column(frame[name]) for name in quasi_identifiers)
    return ReleaseTable(quasi, number, names, frame, bool(patient))


def _read_patients(
    frame: pl.DataFrame, patient: str, what: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    if not patient:
        return np.arange(len(frame)), tuple(str(row + 1) for row in range(len(frame)))
    numbers: dict[str, int] = {}
    found, missing, rounded = to_patients(frame[patient], numbers)
    if missing or rounded:
        raise PrivauditError(
            f"rows of the {what} whose {patient!r} is "
            + ("not recorded" if missing else "rounded, so that two patients may be one"),
            "every row has to say whose it is, so that patients are counted and not rows",
            "complete the column, or leave it out where every row is another patient",
        )
    return found, tuple(numbers)


def read_column(texts: pl.Series) -> Quasi:
    """One column as codes, numbers and dates found by their texts."""
    recorded = texts.drop_nulls()
    spelled = recorded.unique(maintain_order=True).to_list()
    folded = [fold(text) for text in spelled]
    levels = sorted(set(folded))
    place = {level: i for i, level in enumerate(levels)}
    written = {text: i for i, text in enumerate(spelled)}
    codes = _replace(texts, spelled, [place[level] for level in folded])
    as_written = _replace(texts, spelled, [written[text] for text in spelled])
    kind, numbers = _read_levels(recorded, levels)
    return Quasi(texts.name, kind, codes, tuple(levels), numbers, as_written)


def _replace(texts: pl.Series, old: Sequence[str], new: Sequence[int]) -> np.ndarray:
    import polars as pl

    if not old:
        return np.full(len(texts), -1, dtype=np.int64)
    codes = texts.replace_strict(
        pl.Series(old, dtype=pl.String), pl.Series(new, dtype=pl.Int64), default=None
    )
    return codes.fill_null(-1).to_numpy().astype(np.int64)


def _read_levels(recorded: pl.Series, levels: list[str]) -> tuple[Kind, np.ndarray]:
    values = [parse_number(level) for level in levels]
    plain = np.array([np.nan if value is None else value for value in values])
    known = np.isfinite(plain)
    if len(levels) and known.mean() >= NUMERIC and known.sum() > 1:
        return "number", plain
    if len(recorded) and are_dates(recorded):
        days = _read_days(levels)
        if np.isfinite(days).mean() >= NUMERIC:
            return "date", days
    return "text", np.full(len(levels), np.nan)


def _read_days(levels: list[str]) -> np.ndarray:
    """Days since 1970 of dates that begin with the year; NaN for every other text."""
    import pandas as pd

    texts = pd.Series(levels, dtype="string").str.extract(r"^(\d{4}-\d{2}-\d{2})")[0]
    found = pd.to_datetime(texts, errors="coerce", format="%Y-%m-%d").to_numpy("datetime64[D]")
    days = found.astype(np.int64).astype(float)
    days[np.isnat(found)] = np.nan
    return days


def align(table: ReleaseTable, other: ReleaseTable) -> ReleaseTable:
    """The other table with the first one's codes; levels that the first lacks follow."""
    aligned = []
    for mine, theirs in zip(table.quasi, other.quasi, strict=True):
        place = {level: i for i, level in enumerate(mine.levels)}
        new = [place.setdefault(level, len(place)) for level in theirs.levels]
        codes = np.array([*new, -1], dtype=np.int64)[theirs.codes]
        numbers = np.full(len(place), np.nan)
        numbers[: len(mine.numbers)] = mine.numbers
        numbers[new] = theirs.numbers
        aligned.append(replace(theirs, codes=codes, levels=tuple(place), numbers=numbers))
    return other.with_quasi(aligned)


def as_written(quasi: Quasi) -> Quasi:
    """The column with every way of writing as a level of its own."""
    size = int(quasi.written.max(initial=-1)) + 1
    there = quasi.written >= 0
    of = np.zeros(size, dtype=np.int64)
    of[quasi.written[there]] = quasi.codes[there]
    levels = tuple(quasi.levels[i] for i in of)
    return replace(quasi, codes=quasi.written, levels=levels, numbers=quasi.numbers[of])


def read_tolerances(given: Mapping[str, float], table: ReleaseTable) -> dict[str, float]:
    """The widths by column; refuses columns without an order."""
    kinds = {one.name: one.kind for one in table.quasi}
    wrong = [name for name in given if name not in kinds]
    if wrong:
        raise PrivauditError(
            f"a tolerance for {list_names(wrong)}",
            f"the quasi-identifiers are {list_names(list(kinds))}",
            "give a tolerance for one of them",
        )
    for name, width in given.items():
        if kinds[name] == "text" or not (np.isfinite(width) and width >= 0):
            raise PrivauditError(
                f"a tolerance of {width:g} for {name!r}, a column of {kinds[name]}s",
                "a tolerance is how far a number, or a date in days, may be off: 0 or more",
                "leave it out, or name a column of numbers or of dates written 2020-01-31",
            )
        known = next(q for q in table.quasi if q.name == name).numbers
        known = known[np.isfinite(known)]
        if width > 0 and len(known) and width >= known.max() - known.min():
            raise PrivauditError(
                f"a tolerance of {width:g} for {name!r}, which spans no more",
                "so loosely known, a column is not known at all",
                "give how far off others' knowledge may be, or leave the column out of the "
                "quasi-identifiers",
            )
    return {name: width for name, width in given.items() if width > 0}


__all__ = [
    *("Kind", "Quasi", "ReleaseTable", "align", "as_written", "read_column", "read_release"),
    "read_tolerances",
]
