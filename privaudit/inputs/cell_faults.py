"""The cells of a table read by its schema, and those that have no place in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from privaudit.disclosure_limits import name_count
from privaudit.errors import PrivauditError
from privaudit.inputs.cell_text import to_codes, to_numbers, to_patients
from privaudit.inputs.number_text import WAYS, Form, Sight, contradict
from privaudit.inputs.outcome import fold_event, series_to_numbers
from privaudit.inputs.schema import OTHER, TableSchema
from privaudit.records import Column

if TYPE_CHECKING:
    import polars as pl

MAX_NAMED = 12
"""Faults that one message names."""

_FLOAT32_MAX = float(np.finfo(np.float32).max)


class Fault(StrEnum):
    """Why a cell has no place in the schema; the value is how a message says it."""

    NO_NUMBER = "are no number"
    WRITTEN_TWO_WAYS = "are written unlike the others"
    NOT_BINARY = "are neither 0 nor 1"
    NOT_WHOLE = "are no whole number"
    OUTSIDE = "lie outside the bounds"
    TOO_LARGE = "are too large a number"
    NO_LEVEL = "are none of its levels"
    RESPELLED = "are one of its levels but for case, blanks or zeros"
    NO_OUTCOME = "have no outcome"
    NO_OUTCOME_NUMBER = "are no number of the outcome"
    NO_EVENT = "do not say whether the event happened"
    STRANGE_EVENT = "are neither 0 nor 1 as an event"
    NO_TIME = "are no time above 0"
    NO_CLASS = "are none of the classes"
    NO_PATIENT = "have no patient"
    ROUNDED = "were rounded, so that two patients may be one"


_REMEDIES = {
    Fault.NO_NUMBER: (
        "the schema says numeric",
        'correct them, or say in the schema how they are written: decimal = ",", thousands, '
        'censored = "bound", suffix or missing = [...]; where they are codes, make the column a '
        "category",
    ),
    Fault.WRITTEN_TWO_WAYS: (
        "a column is written one way: 1,5 beside 1.5, or 65% beside 0.65, may be anything",
        "write the column one way, or give `thousands` in the schema",
    ),
    Fault.NOT_BINARY: ("the schema says binary", "make the column a category in the schema"),
    Fault.NOT_WHOLE: ("the schema says integer", "remove `integer` in the schema"),
    Fault.OUTSIDE: (
        "the schema allows {bounds}",
        "widen `bounds` in the schema, or correct the cells",
    ),
    Fault.TOO_LARGE: (
        "numbers are stored up to 3.4e38",
        "rescale the column or leave it aside",
    ),
    Fault.NO_LEVEL: (
        "the schema lists every level",
        f"add the level to the schema, or a level {OTHER!r} that stands for every other",
    ),
    Fault.RESPELLED: (
        "two spellings are two levels, and which of them the model or the other table knows is not "
        "said",
        "spell the levels alike in all tables, or list both in the schema",
    ),
    Fault.NO_OUTCOME: (
        "an audit needs to know every outcome",
        "drop these rows, or name another outcome",
    ),
    Fault.NO_OUTCOME_NUMBER: (
        "the outcome is said to be a number",
        "correct the cells, or say that the outcome is a class",
    ),
    Fault.NO_EVENT: (
        "each time comes with 1, the event happened, or 0, the record was censored",
        "drop these rows",
    ),
    Fault.STRANGE_EVENT: (
        "1 says that the event happened at that time, 0 that the record was censored then",
        "code the event as 1 and 0, or true and false",
    ),
    Fault.NO_TIME: (
        "a time to an event is how long a record was at risk",
        "drop these rows, or give the smallest time that can be told apart",
    ),
    Fault.NO_CLASS: (
        "the classes are: {classes}",
        "correct the cells, or `classes` in the schema",
    ),
    Fault.NO_PATIENT: (
        "each row belongs to a patient",
        "fill the patient's column in, or drop these rows",
    ),
    Fault.ROUNDED: (
        "they passed through floating-point numbers, which hold no more than 15 digits",
        "write the patient's column as whole numbers or as text",
    ),
}


class Faults:
    """Reads cells; those without a place in the schema are counted over all batches and refused
    together. No message quotes a value.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.count: dict[tuple[Fault, str], int] = {}
        self.sights: dict[str, Counter[Sight | Form]] = {}

    def add(self, kind: Fault, column: str, count: int) -> None:
        """Count faults of one kind in one column."""
        if count:
            self.count[kind, column] = self.count.get((kind, column), 0) + count

    def read_column(self, series: pl.Series, column: Column, schema: TableSchema) -> np.ndarray:
        """(n,) codes or numbers."""
        spelling = schema.get_spelling(column.name)
        if column.levels:
            codes, unknown, alike = to_codes(series, column.levels, spelling.missing)
            self.add(Fault.RESPELLED, column.name, alike)
            if OTHER in column.levels:
                codes[unknown] = column.levels.index(OTHER)
            else:
                self.add(Fault.NO_LEVEL, column.name, int(unknown.sum()) - alike)
            return codes
        binary = column.kind == "binary"
        found, bad, sights = to_numbers(series, spelling, binary=binary)
        self.sights.setdefault(column.name, Counter()).update(sights)
        x = found.to_numpy().astype(np.float64)
        kinds = {Fault.NO_NUMBER: bad}
        with np.errstate(invalid="ignore"):
            if binary and not schema.is_guessed(column.name, "kind"):
                kinds[Fault.NOT_BINARY] = int(((x != 0) & (x != 1) & ~np.isnan(x)).sum())
            if column.integer and not schema.is_guessed(column.name, "integer"):
                kinds[Fault.NOT_WHOLE] = int((x % 1 > 0).sum())
            if column.bounds and not schema.is_guessed(column.name, "bounds"):
                low, high = column.bounds
                # float32 may round a bound itself outwards.
                slack = 1e-6 * max(abs(low), abs(high), 1e-30)
                outside = (x < low - slack) | (x > high + slack)
                kinds[Fault.OUTSIDE] = int(outside.sum())
            large = np.abs(x) > _FLOAT32_MAX
        kinds[Fault.TOO_LARGE] = int(large.sum())
        for kind, count in kinds.items():
            self.add(kind, column.name, count)
        x[large] = np.nan
        return x

    def read_outcome(self, series: pl.Series, schema: TableSchema) -> np.ndarray:
        """(n,) int64 class codes, or float64 numbers."""
        name = schema.outcome
        if schema.outcome_kind != "class":
            numbers, empty, bad = series_to_numbers(series)
            self.add(Fault.NO_OUTCOME, name, empty)
            self.add(Fault.NO_OUTCOME_NUMBER, name, bad)
            return np.where(np.isnan(numbers), 0.0, numbers)
        missing = schema.get_spelling(name).missing
        codes, unknown, alike = to_codes(series, schema.classes, missing)
        self.add(Fault.NO_OUTCOME, name, int((np.isnan(codes) & ~unknown).sum()))
        self.add(Fault.RESPELLED, name, alike)
        self.add(Fault.NO_CLASS, name, int(unknown.sum()) - alike)
        result: np.ndarray = np.nan_to_num(codes, nan=0).astype(np.int64)
        return result

    def read_events(self, time: np.ndarray, series: pl.Series, schema: TableSchema) -> np.ndarray:
        """(n,) times to an event, negative where the record was censored."""
        event, missing, bad = series_to_numbers(fold_event(series))
        self.add(Fault.NO_EVENT, schema.event, missing)
        strange = ~np.isin(event, (0.0, 1.0)) & ~np.isnan(event)
        self.add(Fault.STRANGE_EVENT, schema.event, bad + int(strange.sum()))
        self.add(Fault.NO_TIME, schema.outcome, int((time <= 0).sum()))
        # What is refused below must not be refused as records first.
        time = np.maximum(time, 1e-300)
        found: np.ndarray = np.where(event == 1.0, time, -time)
        return found

    def read_patients(self, series: pl.Series, numbers: dict[str, int]) -> np.ndarray:
        """(n,) int64 numbers of the patients."""
        patients, missing, rounded = to_patients(series, numbers)
        self.add(Fault.NO_PATIENT, series.name, missing)
        self.add(Fault.ROUNDED, series.name, rounded)
        return patients

    def refuse(self, schema: TableSchema) -> None:
        """Raise one error that names every fault found."""
        for name, sights in self.sights.items():
            self.add(Fault.WRITTEN_TWO_WAYS, name, contradict(sights))
        if not self.count:
            return
        said = [
            f"{name_count(count)} cells of {name!r} {kind}{self._describe(kind, name)}"
            for (kind, name), count in self.count.items()
        ]
        if len(said) == 1:
            ((kind, name), count) = next(iter(self.count.items()))
            cells = f"{name_count(count)} cells of {name!r} in {self.what}"
            what = f"{cells} {kind}{self._describe(kind, name)}"
        else:
            more = f", and {len(said) - MAX_NAMED} more faults" if len(said) > MAX_NAMED else ""
            what = f"faults in {self.what}: {'; '.join(said[:MAX_NAMED])}{more}"
        kinds = list(dict.fromkeys(kind for kind, _ in self.count))
        remedies = [self._remedy(kind, schema) for kind in kinds]
        raise PrivauditError(
            what,
            "; ".join(because for because, _ in remedies),
            "; ".join(fix for _, fix in remedies),
        )

    def _describe(self, kind: Fault, name: str) -> str:
        if kind is not Fault.NO_NUMBER:
            return ""
        ways = dict.fromkeys(way for form, way in WAYS.items() if self.sights[name][form])
        return f" ({', '.join(ways)})" if ways else ""

    def _remedy(self, kind: Fault, schema: TableSchema) -> tuple[str, str]:
        because, fix = _REMEDIES[kind]
        names = {name for fault, name in self.count if fault is kind}
        bounds = _list_bounds([c for c in schema.columns if c.name in names])
        return because.format(bounds=bounds, classes=", ".join(schema.classes)), fix


def _list_bounds(columns: Sequence[Column]) -> str:
    if len(columns) == 1:
        return str(columns[0].bounds)
    return ", ".join(f"{c.bounds} for {c.name!r}" for c in columns[:MAX_NAMED])


__all__ = ["Fault", "Faults"]
