"""A first schema for a table, and what a person has to check in it."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.errors import PrivauditError
from privaudit.inputs import identifiers as _hints
from privaudit.inputs.read_table import NOT_RECORDED, cleaned, numbers
from privaudit.inputs.schema import MOST_CLASSES, OTHER, TableSchema
from privaudit.inputs.table_file import Source, source
from privaudit.records import Column

if TYPE_CHECKING:
    import polars as pl

MOST_LEVELS = 2_000
RARE = 10
"""Fewer rows than this have a rare level: to list it would tell of them."""

FEW = 20
LONG = 40
"""Characters on average: longer texts of many values are sentences."""

_PAIRS = (("false", "true"), ("f", "t"), ("no", "yes"), ("n", "y"))
_NEGATIVE = (
    "no",
    "n",
    "false",
    "f",
    "alive",
    "survived",
    "negative",
    "neg",
    "control",
    "healthy",
    "absent",
    "none",
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
    text: bool = False

    def add(self, series: pl.Series, classes: bool) -> None:
        """classes: count the values even where all are numbers."""
        texts = cleaned(series, NOT_RECORDED) if _is_text(series) else None
        if texts is not None and not self.rows:
            self._look(texts)
        found, bad = numbers(series)
        self.rows += len(series)
        there = len(series) - (texts if texts is not None else found).null_count()
        self.there += there
        self.text |= texts is not None and not series.dtype.is_numeric()
        self.bad += bad
        kept = found.drop_nulls()
        if len(kept):
            self.low = min(self.low, float(kept.min()))  # type: ignore[arg-type]
            self.high = max(self.high, float(kept.max()))  # type: ignore[arg-type]
            self.integer &= bool((kept % 1 == 0).all())
            if not self.unique and texts is None:
                self.unique = kept.n_unique() / len(kept)
            if len(self.distinct) <= FEW:
                self.distinct |= set(kept.unique().head(FEW + 2).to_list())
        if (self.bad or classes) and not self.many:
            source = texts if texts is not None else cleaned(series, NOT_RECORDED)
            counts = source.drop_nulls().value_counts()
            for level, count in counts.rows():
                self.levels[level] = self.levels.get(level, 0) + count
            if len(self.levels) > MOST_LEVELS:
                self.many = True
                self.levels = {}

    def _look(self, texts: pl.Series) -> None:
        kept = texts.drop_nulls().head(20_000)
        if not len(kept):
            return
        self.unique = kept.n_unique() / len(kept)
        self.length = float(kept.str.len_chars().mean() or 0)  # type: ignore[arg-type]
        for what, pattern in _hints.SHAPES:
            if float(kept.str.contains(pattern).mean() or 0) > 0.9:  # type: ignore[arg-type]
                self.shape = what
                return

    @property
    def numeric(self) -> bool:
        """Whether its cells are numbers, bar at most one in a hundred beside many different ones."""
        if not self.there:
            return True
        return not self.bad or (self.bad <= 0.01 * self.there and len(self.distinct) > FEW)

    @property
    def few(self) -> bool:
        return len(self.distinct) <= FEW if self.numeric else 0 < len(self.levels) <= FEW


def _is_text(series: pl.Series) -> bool:
    import polars as pl

    kind = series.dtype
    return not (kind.is_numeric() or kind in (pl.Boolean, pl.Null) or kind.is_temporal())


def proposal(
    paths: Sequence[Path],
    *,
    target: str = "",
    patient: str = "",
    keep: Collection[str] = (),
    rare: bool = False,
    whats: Sequence[str] = (),
) -> tuple[TableSchema, tuple[str, ...]]:
    """keep: columns that a model reads, never left aside; rare: list rare levels too, as a model may
    know them; whats: how messages call the tables."""
    with ExitStack() as stack:
        opened = [
            stack.enter_context(source(path, whats[i] if whats else "the table"))
            for i, path in enumerate(paths)
        ]
        first = opened[0]
        _there(first, target, "target")
        _there(first, patient, "patient")
        there = [set(one.columns) for one in opened]
        names = [name for name in first.columns if all(name in own for own in there)]
        seen = {name: Seen(name) for name in names}
        temporal = set()
        for one in opened:
            for batch in one.batches(names):
                for series in batch.get_columns():
                    if series.dtype.is_temporal():
                        temporal.add(series.name)
                        continue
                    seen[series.name].add(series, series.name == target)
    for name in temporal:
        seen[name].shape = "a date"
    return _Proposal(first.columns, seen, target, patient, frozenset(keep), rare).make()


def _there(opened: Source, name: str, role: str) -> None:
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
        self, order: Sequence[str], seen: dict[str, Seen], target: str, patient: str,
        keep: frozenset[str], rare: bool,
    ) -> None:  # fmt: skip
        self.order, self.seen, self.target, self.patient = order, seen, target, patient
        self.keep, self.rare = keep, rare
        self.told: dict[str, list[str]] = {}

    def tell(self, what: str, name: str) -> None:
        self.told.setdefault(what, []).append(name)

    def make(self) -> tuple[TableSchema, tuple[str, ...]]:
        notes = []
        if not self.patient:
            features = tuple(n for n in self.seen if n != self.target and n not in self.keep)
            self.patient = _hints.patient(features)
            notes.append(
                f"{self.patient!r} was taken for the patient by its name"
                if self.patient
                else "no column names the patient, so each row is taken for a patient of its own; "
                "name the column with --patient where a patient has several rows"
            )
        classes: tuple[str, ...] = ()
        if self.target:
            classes = self._classes(self.seen[self.target])
            notes.append(
                f"the last class of {self.target!r} in the list of classes is taken for the event"
            )
        else:
            likely = [n for n in self.seen if _hints.normal(n) in _hints.OUTCOME]
            hint = f"; perhaps {likely[0]!r}" if likely else ""
            notes.append(f"no target is named (--target){hint}")
        columns, ignored = [], []
        for name in self.order:
            if name in (self.target, self.patient) or name not in self.seen:
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
        notes += [f"{what}: {_listed(names)}" for what, names in self.told.items()]
        schema = TableSchema(
            tuple(_statistics(columns)), self.target, classes, self.patient, (), tuple(ignored)
        )
        return schema, tuple(notes)

    def _classes(self, seen: Seen) -> tuple[str, ...]:
        seen.levels = merged(seen.levels)
        if seen.shape or seen.many or len(seen.levels) > MOST_CLASSES:
            many = "more than 2,000" if seen.many else f"{len(seen.levels):,}"
            raise PrivauditError(
                f"the target {self.target!r} has {many} different values",
                f"an outcome has 2 to {MOST_CLASSES} classes; more are usually a number or an identifier",
                "name another target, or put its values into classes first",
            )
        if len(seen.levels) < 2:
            raise PrivauditError(
                f"the target {self.target!r} has {len(seen.levels)} different values",
                "there is nothing to predict unless outcomes differ",
                "name another target, or give a table in which both outcomes occur",
            )
        words = not all(name.strip().lstrip("-").isdigit() for name in seen.levels)
        if len(seen.levels) > 2 and words and min(seen.levels.values()) < RARE:
            self.tell(
                f"a class of fewer than {RARE} rows is named; join it with another unless it is public "
                "knowledge",
                self.target,
            )
        return ordered(seen.levels)

    def _column(self, seen: Seen) -> Column | None:
        named = _hints.identifier(seen.name)
        kept = seen.name in self.keep
        what = seen.shape or (named if not seen.few or named == "a name" else "")
        if what or named:
            aside = bool(what) and not kept
            said = what or named
            end = "left aside" if aside else "kept as a feature; check whether it must be"
            self.tell(
                f"may hold {said}, an identifier of HIPAA, 45 CFR 164.514(b)(2); {end}", seen.name
            )
            if aside:
                return None
        marks: dict[str, Any] = {
            "sensitive": _hints.sensitive(seen.name),
            "mutable": not _hints.fixed(seen.name),
        }
        if not seen.there:
            self.tell("nothing was recorded in", seen.name)
            return Column(seen.name, **marks)
        if seen.numeric:
            return self._numeric(seen, marks)
        return self._text(seen, marks, kept)

    def _numeric(self, seen: Seen, marks: dict[str, Any]) -> Column:
        if seen.bad:
            self.tell("some cells are no number and will be refused; correct them in", seen.name)
        if len(seen.distinct) == 1:
            self.tell("only one value occurs in", seen.name)
        if seen.distinct <= {0.0, 1.0}:
            return Column(seen.name, "binary", **marks)
        if seen.integer and seen.unique == 1.0 and seen.rows >= 100 and not seen.few:
            self.tell("every value is different; check that it is no identifier", seen.name)
        if _hints.normal(seen.name) in ("age", "age_years", "anchor_age") and seen.high > 89:
            self.tell(
                "ages above 89 are identifiers of HIPAA, 45 CFR 164.514(b)(2), unless put together",
                seen.name,
            )
        if seen.integer and max(abs(seen.low), abs(seen.high)) > 2**24:
            self.tell("whole numbers beyond 16,777,216 are kept to 7 digits", seen.name)
        known = _hints.possible(seen.name)
        if known and known[0] <= seen.low and seen.high <= known[1]:
            self.tell("bounds are what is possible of a measurement of this name", seen.name)
            bounds = known
        else:
            self.tell("bounds were rounded outwards from the data; put what is possible", seen.name)
            bounds = rounded(seen.low, seen.high)
        return Column(seen.name, "numeric", bounds=bounds, integer=seen.integer, **marks)

    def _text(self, seen: Seen, marks: dict[str, Any], kept: bool) -> Column | None:
        many = seen.many or (len(seen.levels) > 50 and len(seen.levels) > 0.5 * seen.there)
        sentences = seen.length > LONG and not seen.few
        if many or sentences:
            if not kept:
                free = (
                    "free text" if sentences else "a text of too many values, perhaps an identifier"
                )
                self.tell(f"{free}, left aside", seen.name)
                return None
            if seen.many:
                raise PrivauditError(
                    f"the column {seen.name!r} has more than {MOST_LEVELS:,} different texts",
                    "the model reads it, and a category of so many levels is free text or an identifier",
                    "train without it, or group its values first",
                )
        rare = [level for level, count in seen.levels.items() if count < RARE]
        levels = dict(seen.levels)
        if rare and not self.rare and len(rare) < len(levels):
            levels = {level: n for level, n in levels.items() if n >= RARE}
            levels.pop(OTHER, None)
            self.tell(
                f"levels of fewer than {RARE} rows were put together as {OTHER}; list them if the "
                "model was trained on them",
                seen.name,
            )
            return Column(seen.name, "category", levels=(*ordered(levels), OTHER), **marks)
        if len(levels) == 1:
            self.tell("only one value occurs in", seen.name)
        if tuple(sorted(level.lower() for level in levels)) in _PAIRS and len(levels) == 2:
            return Column(seen.name, "binary", levels=tuple(sorted(levels, key=str.lower)), **marks)
        return Column(seen.name, "category", levels=ordered(levels), **marks)


def ordered(levels: Collection[str]) -> tuple[str, ...]:
    """Numbers by size; of words, those that deny first, then by letter."""
    try:
        return tuple(sorted(levels, key=float))
    except ValueError:
        return tuple(sorted(levels, key=lambda x: (x.lower() not in _NEGATIVE, x)))


def merged(levels: dict[str, int]) -> dict[str, int]:
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


def rounded(low: float, high: float) -> tuple[float, float]:
    """Bounds around what was seen that tell its order of magnitude and no value: 0, or 1, 2 or 5 times
    a power of ten."""
    return (0.0 if low >= 0 else -_above(-low)), (_above(high) if high > 0 else 0.0)


def _above(x: float) -> float:
    power = 10.0 ** math.floor(math.log10(max(x, 1e-30)))
    for step in (1, 2, 5, 10):
        bound = float(f"{step * power:.6g}")
        if bound >= x:
            return bound
    return float(f"{20 * power:.6g}")


def _statistics(columns: Sequence[Column]) -> list[Column]:
    """Columns named lab_min, lab_mean, lab_max are told to summarise one variable."""
    found = {c.name: _STATISTIC.match(c.name) for c in columns if c.kind == "numeric"}
    stems = [m.group(1) for m in found.values() if m]
    told: list[Column] = []
    for column in columns:
        match = found.get(column.name)
        if match and stems.count(match.group(1)) > 1:
            statistic: Any = match.group(2)
            column = replace(column, variable=match.group(1), statistic=statistic)
        told.append(column)
    return told


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more


__all__ = ["proposal"]
