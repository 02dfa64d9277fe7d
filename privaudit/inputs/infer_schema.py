"""A first schema for a table, and what a person has to check in it."""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from privaudit.disclosure_limits import MIN_CELL, name_count
from privaudit.errors import PrivauditError
from privaudit.inputs import identifiers
from privaudit.inputs.cell_text import to_texts
from privaudit.inputs.column_seen import MAX_LEVELS, Seen
from privaudit.inputs.date_text import may_be_epochs
from privaudit.inputs.find_spellings import Spellings, find_spellings, refuse_unclear
from privaudit.inputs.number_text import PLAIN
from privaudit.inputs.outcome import too_many_classes
from privaudit.inputs.propose_levels import (
    order_classes,
    order_levels,
    propose_booleans,
    propose_levels,
    refuse_rare_names,
    spell_booleans,
)
from privaudit.inputs.schema import MAX_CLASSES, OTHER, Guess, TableSchema
from privaudit.inputs.series import SeriesSchema
from privaudit.inputs.table_file import Table, TableFile, open_table
from privaudit.records import Column, OutcomeKind

if TYPE_CHECKING:
    import polars as pl

LONG_TEXT = 40
"""Characters on average: longer texts of many values are sentences."""

_STATISTIC = re.compile(r"^(.+)_(min|max|mean|first|last|count)$")


def propose_schema(
    table: Table | Sequence[Table],
    *,
    outcome: str = "",
    patient: str = "",
    always: Collection[str] = (),
    list_rare: bool = False,
    whats: Sequence[str] = (),
    outcome_kind: OutcomeKind = "class",
    unclear: Literal["refuse", "propose"] = "refuse",
    needed: Collection[str] = (),
    event: str = "",
    pooled: bool = False,
    series: SeriesSchema | None = None,
) -> tuple[TableSchema, tuple[str, ...]]:
    """Propose a schema for a table, with notes for a person to check. No note quotes a value.

    Identifiers, dates and free text are left aside; levels that fewer than 10 patients have are put
    together as `(other)`.

    Args:
        table: One CSV or Parquet file or data frame, or several that are to share a schema.
        outcome: The outcome's column.
        patient: The column that names patients, guessed by its name if not given.
        always: Columns that a model reads, never left aside.
        list_rare: List rare levels too, as a model may know them.
        whats: What messages call the tables.
        outcome_kind: What the outcome is; never guessed.
        unclear: Whether columns that can be read in several ways (decimal commas, `> 89`, levels
            that differ by case) are refused, or read in the likeliest way with a note, for a person
            who checks the schema.
        needed: The columns that are read, of which alone something is refused; () for all.
        event: Of a time, the column that says whether the event happened.
        pooled: For a schema that is handed on: bounds and whole numbers follow what at least 10
            patients reach, `(other)` stands for so many, and no class is named that fewer have.
        series: What a long table beside this one is; the columns that join it are no features.

    Returns:
        The schema and the notes.

    Raises:
        PrivauditError: A column that is not there, an outcome that is none, no feature, or what can
            be read in several ways.
    """
    tables: list[Any] = list(table) if isinstance(table, list | tuple) else [table]
    with ExitStack() as stack:
        opened = [
            stack.enter_context(open_table(one, whats[i] if whats else "the table"))
            for i, one in enumerate(tables)
        ]
        first = opened[0]
        _require_column(first, outcome, "outcome")
        _require_column(first, patient, "patient")
        _require_column(first, event, "event")
        there = [set(one.columns) for one in opened]
        names = [name for name in first.columns if all(name in own for own in there)]
        patient_named = bool(patient)
        patient = patient or identifiers.find_patient(
            tuple(n for n in names if n != outcome and n not in always)
        )
        seen = {name: Seen(name) for name in names}
        rows = 0
        for place, one in enumerate(opened):
            for batch in one.batches(names):
                who = name_patients(batch, patient, rows)
                rows += len(batch)
                for cells in batch.get_columns():
                    seen[cells.name].add(cells, place, who)
        # The patient's and the outcome's cells are never numbers of another spelling.
        read = [one for name, one in seen.items() if name not in (outcome, patient)]
        spellings = find_spellings(read, any(one.separator == ";" for one in opened))
        for name, spelling in spellings.spelled.items():
            rows = 0
            for one in opened:
                for batch in one.batches([n for n in (name, patient) if n in one.columns]):
                    who = name_patients(batch, patient, rows)
                    rows += len(batch)
                    seen[name].read_as(spelling.over(spellings.table), batch[name], who)
    proposal = _Proposal(
        first.columns,
        seen,
        outcome,
        patient,
        patient_named,
        frozenset(always),
        list_rare,
        outcome_kind,
        event,
        pooled,
        series,
    )
    proposal.spellings = spellings
    return proposal.make(refuse=unclear == "refuse", needed=needed or first.columns)


def name_patients(batch: pl.DataFrame, patient: str, rows: int) -> pl.Series:
    """(n,) whose each row is; where no column says so each row is its own, `rows` came before."""
    import polars as pl

    if patient not in batch.columns:
        return pl.Series(range(rows, rows + len(batch)), dtype=pl.Int64)
    return to_texts(batch[patient]).str.replace(r"\.0+$", "").fill_null("")


def _require_column(opened: TableFile, name: str, role: str) -> None:
    if name and name not in opened.columns:
        near = difflib.get_close_matches(name, opened.columns, n=1)
        raise PrivauditError(
            f"no column {name!r} in {opened.what}",
            f"it is named as the {role}; there are {len(opened.columns)} columns",
            f"did you mean {near[0]!r}?" if near else "name one of the columns",
        )


class _Proposal:
    """From what was seen to a schema and its notes."""

    def __init__(
        self,
        order: Sequence[str],
        seen: dict[str, Seen],
        outcome: str,
        patient: str,
        patient_named: bool,
        always: frozenset[str],
        list_rare: bool,
        outcome_kind: OutcomeKind,
        event: str,
        pooled: bool,
        series: SeriesSchema | None,
    ) -> None:
        self.order, self.seen, self.outcome, self.patient = order, seen, outcome, patient
        self.patient_named = patient_named
        self.always, self.list_rare = always, list_rare
        self.outcome_kind, self.event, self.pooled = outcome_kind, event, pooled
        self.series = series
        self.notes: dict[str, list[str]] = {}
        self.spellings = Spellings()
        self.respelled: list[str] = []
        self.guessed: dict[str, tuple[Guess, ...]] = {}

    def note(self, what: str, name: str) -> None:
        """Remember what a person has to check in a column."""
        self.notes.setdefault(what, []).append(name)

    def make(self, *, refuse: bool, needed: Collection[str]) -> tuple[TableSchema, tuple[str, ...]]:
        """refuse: what can be read in several ways, of the columns needed, instead of noting it."""
        notes = [
            f"{self.patient!r} was taken for the patient by its name"
            if self.patient and not self.patient_named
            else ""
            if self.patient
            else "no column names the patient, so each row is taken for a patient of its own; "
            "name the column with --patient where a patient has several rows"
        ]
        notes = [note for note in notes if note]
        classes: tuple[str, ...] = ()
        if self.outcome and self.outcome_kind != "class":
            self._require_numbers(self.seen[self.outcome])
        elif self.outcome:
            classes = self._classes(self.seen[self.outcome])
            self.guessed[self.outcome] = ("classes",)
            notes.append(
                f"the last class of {self.outcome!r} in the list of classes is taken for the event"
            )
        else:
            likely = [n for n in self.seen if identifiers.is_outcome(n)]
            hint = f"; perhaps {likely[0]!r}" if likely else ""
            notes.append(f"no outcome is named (--outcome){hint}")
        columns, ignored = [], []
        for name in self.order:
            if name in (self.outcome, self.patient, self.event) or name not in self.seen:
                continue
            if self.series is not None and name in (self.series.record, self.series.start):
                continue
            column = self._column(self.seen[name])
            if column is None:
                ignored.append(name)
            else:
                columns.append(column)
        if not columns and self.series is None:
            raise PrivauditError(
                "a table without a column that a model could read",
                f"{len(ignored)} columns were left aside as identifiers, dates or free text",
                "write the schema by hand, or give a table with features",
            )
        spellings = self._keep_spellings({column.name for column in columns})
        if refuse:
            how = {name: way for name, way in spellings.how.items() if name in needed}
            respelled = [name for name in self.respelled if name in needed]
            refuse_unclear(replace(spellings, how=how), respelled)
        notes += self._note_missing_words({column.name for column in columns})
        notes += [f"{what}: {list_plain(names)}" for what, names in self.notes.items()]
        schema = TableSchema(
            tuple(_find_statistics(columns)),
            self.outcome,
            classes,
            self.patient,
            (),
            tuple(ignored),
            self.outcome_kind if self.outcome else "class",
            spellings.table,
            {name: one for name, one in spellings.spelled.items() if one != PLAIN},
            self.guessed,
            self.event,
            series=self.series,
        )
        return schema, tuple(notes)

    def _require_numbers(self, seen: Seen) -> None:
        dated = seen.shape == "a date"
        if dated or seen.bad or not seen.there:
            what = "dates" if dated else f"{name_count(seen.bad)} cells that are no number"
            raise PrivauditError(
                f"the outcome {self.outcome!r} holds {what if seen.there else 'nothing'}",
                "it is said to be a number",
                "correct these cells, name another outcome, or say that the outcome is a class",
            )
        if not seen.low < seen.high:
            raise PrivauditError(
                f"the outcome {self.outcome!r} has one value",
                "there is nothing to predict unless outcomes differ",
                "name another outcome",
            )

    def _keep_spellings(self, features: Collection[str]) -> Spellings:
        """The spellings of the features alone, with notes of how they were found."""
        found = self.spellings
        kept = Spellings(
            found.table,
            {name: one for name, one in found.spelled.items() if name in features},
            {name: how for name, how in found.how.items() if name in features},
            [name for name in found.unread if name in features],
        )
        if not kept.how:
            kept.table = PLAIN
        for name, how in kept.how.items():
            self.note(f"numbers are not all plain ({how}); check how they are read in", name)
        for name in kept.unread:
            self.note(
                "some cells are still no number, or may be read in several ways, and will be "
                'refused: correct them, list their words as missing = ["..."], or make it a '
                "category",
                name,
            )
        for name in self.respelled:
            self.note(
                "levels that differ by case, blanks or zeros alone; spell them alike in", name
            )
        return kept

    def _note_missing_words(self, features: Collection[str]) -> list[str]:
        counts = [
            f"{name!r} ({name_count(one.null_words // 10 * 10)} cells)"
            for name, one in self.seen.items()
            if name in features and one.null_words
        ]
        if not counts:
            return []
        return [
            "words such as NULL, n/a or \\N were read as missing: "
            + ", ".join(counts[:8])
            + (f" and {len(counts) - 8} more" if len(counts) > 8 else "")
        ]

    def _classes(self, seen: Seen) -> tuple[str, ...]:
        if seen.shape or seen.many or len(seen.levels) > MAX_CLASSES:
            many = "more than 2,000" if seen.many else f"{len(seen.levels):,}"
            raise too_many_classes(self.outcome, many, MAX_CLASSES)
        if seen.is_boolean:
            digits = ("false", "true") if seen.booleans else ("0", "1")
            return self._spell_booleans(seen) or digits
        if len(seen.levels) < 2:
            raise PrivauditError(
                f"the outcome {self.outcome!r} has {len(seen.levels)} different values",
                "there is nothing to predict unless outcomes differ",
                "name another outcome, or give a table in which both outcomes occur",
            )
        if seen.find_respelled():
            self.respelled.append(seen.name)
        if self.pooled:
            refuse_rare_names(seen)
        return order_classes(seen.levels)

    def _spell_booleans(self, seen: Seen) -> tuple[str, ...]:
        if len(seen.levels) > 2 or seen.booleans:
            self.note(
                "true and false are spelled in several ways and were read as one in", seen.name
            )
        return spell_booleans(seen)

    def _column(self, seen: Seen) -> Column | None:
        named = identifiers.find_identifier(seen.name)
        needed = seen.name in self.always
        what = seen.shape or (named if not seen.few or named == "a name" else "")
        if what or named:
            aside = bool(what) and not needed
            end = "left aside" if aside else "left a feature; check whether it must be"
            self.note(
                f"may hold {what or named}, an identifier of HIPAA, 45 CFR 164.514(b)(2); {end}",
                seen.name,
            )
            if aside:
                return None
        marks: dict[str, Any] = {
            "sensitive": identifiers.is_sensitive(seen.name),
            "mutable": not identifiers.is_fixed(seen.name),
        }
        if not seen.there:
            self.note("nothing was recorded in", seen.name)
            return Column(seen.name, **marks)
        if self.pooled:
            said = propose_booleans(seen)
            if said is not None:
                self.guessed[seen.name] = ("kind",)
                return Column(seen.name, "binary", levels=said, **marks)
        elif not seen.many and seen.is_boolean:
            self.guessed[seen.name] = ("kind",)
            return Column(seen.name, "binary", levels=self._spell_booleans(seen), **marks)
        if seen.is_plain or seen.is_marked:
            return self._numeric(seen, marks)
        if seen.is_coded:
            self.note(
                "numbers such as 007 or 5E1 were taken for codes; make the column numeric where a "
                "model reads them as numbers",
                seen.name,
            )
        if seen.shape == "a date" and not seen.dated_numbers:
            raise PrivauditError(
                f"the column {seen.name!r} holds dates",
                "the model reads it, and dates identify patients: none is listed as a level",
                "give the table as the model reads it, or list the levels in a schema",
            )
        return self._text(seen, marks, needed)

    def _numeric(self, seen: Seen, marks: dict[str, Any]) -> Column:
        ends = seen.pooled if self.pooled else (seen.low, seen.high)
        if ends is not None and ends[0] == ends[1]:
            self.note("only one value occurs in", seen.name)
        if seen.pooled_binary if self.pooled else seen.distinct <= {0.0, 1.0}:
            self.guessed[seen.name] = ("kind",)
            return Column(seen.name, "binary", **marks)
        if may_be_epochs(seen.low, seen.high, seen.integer, len(seen.distinct)):
            self.note("may be seconds since 1970, and so dates; check it", seen.name)
        integer = seen.pooled_integer if self.pooled else seen.integer
        self.guessed[seen.name] = ("bounds", "integer") if integer else ("bounds",)
        if seen.integer and seen.unique == 1.0 and seen.rows >= 100 and not seen.few:
            self.note("every value is different; check that it is no identifier", seen.name)
        if integer and ends is not None and max(map(abs, ends)) > 2**24:
            self.note("whole numbers beyond 16,777,216 are stored to 7 digits", seen.name)
        bounds = self._bounds(seen, ends)
        aged = identifiers.normalise(seen.name) in ("age", "age_years", "anchor_age")
        if aged and (self.pooled or seen.high > 89) and (bounds is None or bounds[1] > 89):
            self.note(
                "ages above 89 are identifiers of HIPAA, 45 CFR 164.514(b)(2), unless put together",
                seen.name,
            )
        return Column(seen.name, "numeric", bounds=bounds, integer=integer, **marks)

    def _bounds(self, seen: Seen, ends: tuple[float, float] | None) -> tuple[float, float] | None:
        known = identifiers.find_range(seen.name)
        if known and (ends is None or (known[0] <= ends[0] and ends[1] <= known[1])):
            self.note("bounds are what is possible of a measurement of this name", seen.name)
            return known
        if ends is None:
            self.note(
                f"fewer than {MIN_CELL} patients have a value, so no bounds are proposed; put what "
                "is possible",
                seen.name,
            )
            return None
        self.note("bounds were rounded outwards from the data; put what is possible", seen.name)
        return round_bounds(*ends)

    def _text(self, seen: Seen, marks: dict[str, Any], needed: bool) -> Column | None:
        many = seen.many or (len(seen.levels) > 50 and len(seen.levels) > 0.5 * seen.there)
        sentences = seen.length > LONG_TEXT and not seen.few
        if many or sentences:
            if not needed:
                free = (
                    "free text" if sentences else "a text of too many values, perhaps an identifier"
                )
                self.note(f"{free}, left aside", seen.name)
                return None
            if seen.many:
                raise PrivauditError(
                    f"the column {seen.name!r} has more than {MAX_LEVELS:,} different texts",
                    "the model reads it, and a category of so many levels is free text or an "
                    "identifier",
                    "train without it, or group its values first",
                )
        self.guessed[seen.name] = ("levels",)
        if seen.find_respelled():
            self.respelled.append(seen.name)
        found = propose_levels(seen, list_rare=self.list_rare, pooled=self.pooled)
        if found.dated:
            self.note(f"some levels are dates, and were put together as {OTHER}", seen.name)
        if found.rare:
            self.note(
                f"levels of fewer than {MIN_CELL} patients were put together as {OTHER}; "
                "list them if the model was trained on them",
                seen.name,
            )
        if len(found.levels) == 1:
            self.note("only one value occurs in", seen.name)
        return Column(seen.name, "category", levels=found.levels, **marks)


def round_bounds(low: float, high: float) -> tuple[float, float]:
    """Bounds around what was seen that show its order of magnitude and no value.

    They are 0, or 1, 2 or 5 times a power of ten.
    """
    return (0.0 if low >= 0 else -_round_up(-low)), (_round_up(high) if high > 0 else 0.0)


def _round_up(x: float) -> float:
    power = 10.0 ** math.floor(math.log10(max(x, 1e-30)))
    for step in (1, 2, 5, 10):
        bound = float(f"{step * power:.6g}")
        if bound >= x:
            return bound
    return float(f"{20 * power:.6g}")


def _find_statistics(columns: Sequence[Column]) -> list[Column]:
    """Columns named lab_min, lab_mean, lab_max are marked as summaries of one variable."""
    found = [(c.kind == "numeric" and _STATISTIC.match(c.name)) or None for c in columns]
    stems = Counter(match.group(1) for match in found if match)
    return [
        replace(column, variable=match.group(1), statistic=cast(Any, match.group(2)))
        if match and stems[match.group(1)] > 1
        else column
        for column, match in zip(columns, found, strict=True)
    ]


def list_plain(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more


__all__ = [
    "MAX_LEVELS",
    "list_plain",
    "name_patients",
    "order_classes",
    "order_levels",
    "propose_schema",
    "round_bounds",
]
