"""A first schema for a table, and what a person has to check in it."""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from privaudit.errors import PrivauditError
from privaudit.inputs import identifiers
from privaudit.inputs.cell_text import clean_texts, to_numbers
from privaudit.inputs.outcome import too_many_classes
from privaudit.inputs.schema import MAX_CLASSES, OTHER, TableSchema
from privaudit.inputs.table_file import Table, TableFile, open_table
from privaudit.records import Column, OutcomeKind

if TYPE_CHECKING:
    import polars as pl

MAX_LEVELS = 2_000
MIN_LEVEL_ROWS = 10
"""A level of fewer rows is rare: to list it would give these rows away."""

FEW_VALUES = 20
LONG_TEXT = 40
"""Characters on average: longer texts of many values are sentences."""

_PAIRS = (("false", "true"), ("f", "t"), ("no", "yes"), ("n", "y"))
_NEGATIVE = (
    *("no", "n", "false", "f", "alive", "survived", "negative", "neg", "control", "healthy"),
    *("absent", "none"),
)
_STATISTIC = re.compile(r"^(.+)_(min|max|mean|first|last|count)$")


@dataclass
class Seen:
    """What was seen of one column: counts alone."""

    name: str
    rows: int = 0
    there: int = 0
    bad: int = 0
    low: float = math.inf
    high: float = -math.inf
    integer: bool = True
    distinct: set[float] = field(default_factory=set)
    levels: dict[str, int] = field(default_factory=dict)
    many: bool = False
    unique: float = 0.0
    length: float = 0.0
    shape: str = ""
    temporal: bool = False

    def add(self, series: pl.Series, classes: bool) -> None:
        """classes: count the values even where all are numbers."""
        texts = clean_texts(series) if _is_text(series) else None
        if texts is not None and not self.rows:
            self._look(texts)
        found, bad = to_numbers(series)
        self.rows += len(series)
        self.there += len(series) - (texts if texts is not None else found).null_count()
        self.bad += bad
        recorded = found.drop_nulls()
        if len(recorded):
            self.low = min(self.low, float(recorded.min()))  # type: ignore[arg-type]
            self.high = max(self.high, float(recorded.max()))  # type: ignore[arg-type]
            self.integer &= bool((recorded % 1 == 0).all())
            if not self.unique and texts is None:
                self.unique = recorded.n_unique() / len(recorded)
            if len(self.distinct) <= FEW_VALUES:
                self.distinct |= set(recorded.unique().head(FEW_VALUES + 2).to_list())
        if (self.bad or classes) and not self.many:
            source = texts if texts is not None else clean_texts(series)
            counts = source.drop_nulls().value_counts()
            for level, count in counts.rows():
                self.levels[level] = self.levels.get(level, 0) + count
            if len(self.levels) > MAX_LEVELS:
                self.many = True
                self.levels = {}

    def _look(self, texts: pl.Series) -> None:
        recorded = texts.drop_nulls().head(20_000)
        if not len(recorded):
            return
        self.unique = recorded.n_unique() / len(recorded)
        self.length = float(recorded.str.len_chars().mean() or 0)  # type: ignore[arg-type]
        for what, pattern in identifiers.cell_shapes():
            if float(recorded.str.contains(pattern).mean() or 0) > 0.9:  # type: ignore[arg-type]
                self.shape = what
                return

    @property
    def numeric(self) -> bool:
        """Whether its cells are numbers, bar one in a hundred beside many different ones."""
        if not self.there:
            return True
        return not self.bad or (self.bad <= 0.01 * self.there and len(self.distinct) > FEW_VALUES)

    @property
    def few(self) -> bool:
        """Whether it has few different values."""
        size = len(self.distinct) if self.numeric else (len(self.levels) or FEW_VALUES + 1)
        return size <= FEW_VALUES


def _is_text(series: pl.Series) -> bool:
    import polars as pl

    kind = series.dtype
    return not (kind.is_numeric() or kind in (pl.Boolean, pl.Null) or kind.is_temporal())


def propose_schema(
    table: Table | Sequence[Table],
    *,
    outcome: str = "",
    patient: str = "",
    always: Collection[str] = (),
    list_rare: bool = False,
    whats: Sequence[str] = (),
    outcome_kind: OutcomeKind = "class",
    event: str = "",
) -> tuple[TableSchema, tuple[str, ...]]:
    """Propose a schema for a table, with notes for a person to check. No note quotes a value.

    Identifiers, dates and free text are left aside; levels that fewer than 10 rows have are put
    together as `(other)`.

    Args:
        table: One CSV or Parquet file or data frame, or several that are to share a schema.
        outcome: The outcome's column.
        patient: The column that names patients, guessed by its name if not given.
        always: Columns that a model reads, never left aside.
        list_rare: List rare levels too, as a model may know them.
        whats: What messages call the tables.
        outcome_kind: What the outcome is; never guessed.
        event: Of a time, the column that says whether the event happened.

    Returns:
        The schema and the notes.

    Raises:
        PrivauditError: A column that is not there, an outcome that is none, or no feature.
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
        seen = {name: Seen(name) for name in names}
        for one in opened:
            for batch in one.batches(names):
                for series in batch.get_columns():
                    if series.dtype.is_temporal():
                        seen[series.name].temporal = True
                    else:
                        seen[series.name].add(series, series.name == outcome)
    for column in seen.values():
        column.shape = "a date" if column.temporal else column.shape
    proposal = _Proposal(
        first.columns, seen, outcome, patient, frozenset(always), list_rare, outcome_kind, event
    )
    return proposal.make()


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
        always: frozenset[str],
        list_rare: bool,
        outcome_kind: OutcomeKind,
        event: str,
    ) -> None:
        self.order, self.seen, self.outcome, self.patient = order, seen, outcome, patient
        self.always, self.list_rare = always, list_rare
        self.outcome_kind, self.event = outcome_kind, event
        self.notes: dict[str, list[str]] = {}

    def note(self, what: str, name: str) -> None:
        """Remember what a person has to check in a column."""
        self.notes.setdefault(what, []).append(name)

    def make(self) -> tuple[TableSchema, tuple[str, ...]]:
        notes = []
        if not self.patient:
            features = tuple(n for n in self.seen if n != self.outcome and n not in self.always)
            self.patient = identifiers.find_patient(features)
            notes.append(
                f"{self.patient!r} was taken for the patient by its name"
                if self.patient
                else "no column names the patient, so each row is taken for a patient of its own; "
                "name the column with --patient where a patient has several rows"
            )
        classes: tuple[str, ...] = ()
        if self.outcome and self.outcome_kind != "class":
            self._require_numbers(self.seen[self.outcome])
        elif self.outcome:
            classes = self._classes(self.seen[self.outcome])
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
            column = self._column(self.seen[name])
            if column is None:
                ignored.append(name)
            else:
                columns.append(column)
        if not columns:
            raise PrivauditError(
                "a table without a column that a model could read",
                f"{len(ignored)} columns were left aside as identifiers, dates or free text",
                "write the schema by hand, or give a table with features",
            )
        notes += [f"{what}: {list_plain(names)}" for what, names in self.notes.items()]
        schema = TableSchema(
            tuple(_find_statistics(columns)),
            self.outcome,
            classes,
            self.patient,
            (),
            tuple(ignored),
            self.outcome_kind if self.outcome else "class",
            self.event,
        )
        return schema, tuple(notes)

    def _require_numbers(self, seen: Seen) -> None:
        if seen.temporal or seen.bad or not seen.there:
            what = "dates" if seen.temporal else f"{seen.bad:,} cells that are no number"
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

    def _classes(self, seen: Seen) -> tuple[str, ...]:
        seen.levels = merge_numbers(seen.levels)
        if seen.shape or seen.many or len(seen.levels) > MAX_CLASSES:
            many = "more than 2,000" if seen.many else f"{len(seen.levels):,}"
            raise too_many_classes(self.outcome, many, MAX_CLASSES)
        if len(seen.levels) < 2:
            raise PrivauditError(
                f"the outcome {self.outcome!r} has {len(seen.levels)} different values",
                "there is nothing to predict unless outcomes differ",
                "name another outcome, or give a table in which both outcomes occur",
            )
        words = not all(name.strip().lstrip("-").isdigit() for name in seen.levels)
        if len(seen.levels) > 2 and words and min(seen.levels.values()) < MIN_LEVEL_ROWS:
            self.note(
                f"a class of fewer than {MIN_LEVEL_ROWS} rows is named; join it with another "
                "unless it is public "
                "knowledge",
                self.outcome,
            )
        return order_levels(seen.levels)

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
        if seen.numeric:
            return self._numeric(seen, marks)
        return self._text(seen, marks, needed)

    def _numeric(self, seen: Seen, marks: dict[str, Any]) -> Column:
        if seen.bad:
            self.note("some cells are no number and will be refused; correct them in", seen.name)
        if len(seen.distinct) == 1:
            self.note("only one value occurs in", seen.name)
        if seen.distinct <= {0.0, 1.0}:
            return Column(seen.name, "binary", **marks)
        if seen.integer and seen.unique == 1.0 and seen.rows >= 100 and not seen.few:
            self.note("every value is different; check that it is no identifier", seen.name)
        if (
            identifiers.normalise(seen.name) in ("age", "age_years", "anchor_age")
            and seen.high > 89
        ):
            self.note(
                "ages above 89 are identifiers of HIPAA, 45 CFR 164.514(b)(2), unless put together",
                seen.name,
            )
        if seen.integer and max(abs(seen.low), abs(seen.high)) > 2**24:
            self.note("whole numbers beyond 16,777,216 are stored to 7 digits", seen.name)
        known = identifiers.find_range(seen.name)
        if known and known[0] <= seen.low and seen.high <= known[1]:
            self.note("bounds are what is possible of a measurement of this name", seen.name)
            bounds = known
        else:
            self.note("bounds were rounded outwards from the data; put what is possible", seen.name)
            bounds = round_bounds(seen.low, seen.high)
        return Column(seen.name, "numeric", bounds=bounds, integer=seen.integer, **marks)

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
        rare = [level for level, count in seen.levels.items() if count < MIN_LEVEL_ROWS]
        levels = dict(seen.levels)
        if rare and not self.list_rare and len(rare) < len(levels):
            levels = {level: n for level, n in levels.items() if n >= MIN_LEVEL_ROWS}
            levels.pop(OTHER, None)
            self.note(
                f"levels of fewer than {MIN_LEVEL_ROWS} rows were put together as {OTHER}; list "
                "them if the "
                "model was trained on them",
                seen.name,
            )
            return Column(seen.name, "category", levels=(*order_levels(levels), OTHER), **marks)
        if len(levels) == 1:
            self.note("only one value occurs in", seen.name)
        if tuple(sorted(level.lower() for level in levels)) in _PAIRS and len(levels) == 2:
            return Column(seen.name, "binary", levels=tuple(sorted(levels, key=str.lower)), **marks)
        return Column(seen.name, "category", levels=order_levels(levels), **marks)


def order_levels(levels: Collection[str]) -> tuple[str, ...]:
    """Numbers by size; of words, those that deny first, then by letter."""
    try:
        return tuple(sorted(levels, key=float))
    except ValueError:
        return tuple(sorted(levels, key=lambda x: (x.lower() not in _NEGATIVE, x)))


def merge_numbers(levels: dict[str, int]) -> dict[str, int]:
    """Counts of numbers however spelled: one tool writes 1, another 1.0."""
    try:
        numbers = {level: float(level) for level in levels}
    except ValueError:
        return levels
    found: dict[str, int] = {}
    for level, number in numbers.items():
        name = str(int(number)) if number.is_integer() else level
        found[name] = found.get(name, 0) + levels[level]
    return found


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


__all__ = ["MAX_LEVELS", "list_plain", "order_levels", "propose_schema", "round_bounds"]
