"""How a model reads a table: which column goes where, and as what."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.models.levels import (
    code_sorted,
    code_truth,
    find_places,
    match_levels,
    sort_levels,
    values_of,
)
from privaudit.inputs.models.trained_dtypes import restore_decimals, restore_dtype
from privaudit.inputs.read_table import list_names
from privaudit.records import Column, Records

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
Encode = Literal["", "codes", "onehot"]
ENCODINGS = ("codes", "onehot")

_SPELLINGS = ("{}_{}", "{}={}", "{}.{}", "{}[{}]", "{}[T.{}]", "{}__{}", "{}-{}", "{}: {}", "{} {}")
_KNOWN = ("category", "encoded")
_MISSING = ("nan", "NaN", "None", "missing", "<NA>", "?", "NA", "N/A", "na", "null", ".")


@dataclass(frozen=True)
class Place:
    """One input of a model.

    level: None for the column as it is, -1 for whether it was not recorded, else whether it is this
    level. codes: what the model calls each level, NaN for one it does not know; values: the numbers
    that these levels are in a column of numbers, none for a column of levels. missing: the code of
    what was not recorded; stated: the codes are the user's word (`--encode`), and not the file's.
    """

    column: int
    level: int | None = None
    codes: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    missing: float = math.nan
    stated: bool = False

    def read(self, x: np.ndarray) -> np.ndarray:
        """(n,) float32 what the model is handed for a column's (n,) values."""
        if self.level is not None:
            hot: np.ndarray = np.isnan(x) if self.level < 0 else x == self.level
            return hot.astype(np.float32)
        if not self.codes:
            return x
        if self.values:
            places = find_places(x, self.values)
        else:
            places = np.where(np.isnan(x), -1, x).astype(np.int64)
        codes = np.array([*self.codes, math.nan], dtype=np.float32)[places]
        result: np.ndarray = np.where(np.isnan(x), np.float32(self.missing), codes)
        return result

    def count_unknown(self, x: np.ndarray) -> int:
        """How many recorded values the model does not know."""
        if not self.codes:
            return 0
        return int((np.isnan(self.read(x)) & ~np.isnan(x)).sum())


@dataclass(frozen=True)
class Layout:
    """The inputs of a model in its own order."""

    places: tuple[Place, ...]

    def matrix(self, X: np.ndarray) -> np.ndarray:
        """(n, inputs) float32 of a table's (n, d)."""
        if self._plain:
            chosen = [place.column for place in self.places]
            return X if chosen == list(range(X.shape[1])) else np.ascontiguousarray(X[:, chosen])
        out = np.empty((len(X), len(self.places)), dtype=np.float32)
        for j, place in enumerate(self.places):
            out[:, j] = place.read(X[:, place.column])
        return out

    def pull_back(self, gradient: np.ndarray, width: int) -> np.ndarray:
        """(n, width): the gradient for a table's columns from the one for the inputs."""
        out = np.zeros((len(gradient), width))
        for j, place in enumerate(self.places):
            if place.level is None and not place.codes:
                out[:, place.column] += gradient[:, j]
        return out

    def count_unknown(self, records: Records) -> dict[str, int]:
        """Columns, and how many cells of each hold a level that the model does not know."""
        found = {
            records.columns[place.column].name: place.count_unknown(records.X[:, place.column])
            for place in self.places
        }
        return {name: count for name, count in found.items() if count}

    @property
    def _plain(self) -> bool:
        return all(place.level is None and not place.codes for place in self.places)

    @property
    def columns(self) -> frozenset[int]:
        """Which columns of the table are read."""
        return frozenset(place.column for place in self.places)


def by_name(
    names: Sequence[str],
    columns: Sequence[Column],
    *,
    encode: Encode = "",
    known: Mapping[str, Sequence[Any]] | None = None,
) -> Layout:
    """Where the model's own feature names lie in a table.

    A name is a column's, or a column's with one of its levels (`sex_F`, `sex=F`). known: for
    features that the model itself takes as categories, their levels in the order of its codes,
    whatever kind the column is here. PrivauditError where a name has no place or several, or a
    column of texts would have to be read as a number without `encode`.
    """
    known = known or {}
    exact = {column.name: j for j, column in enumerate(columns)}
    loose = _unambiguous((loosen(column.name), j) for j, column in enumerate(columns))
    dummies: _Dummies | None = None
    places: list[Place] = []
    absent: list[str] = []
    for name in names:
        j = exact.get(name)
        if j is None and loose.get(loosen(name), 0) is None:
            raise _ambiguous(name)
        j = loose.get(loosen(name)) if j is None else j
        if j is None:
            dummies = dummies or _Dummies.of(columns)
            place = dummies.find(name)
            if place is None:
                absent.append(name)
            else:
                places.append(place)
        elif name in known:
            places.append(_by_levels(j, columns[j], known[name]))
        else:
            places.append(_as_number(j, columns[j], encode))
    if absent:
        raise mismatch(names, columns, absent)
    return Layout(tuple(places))


def by_order(inputs: int | None, columns: Sequence[Column], *, encode: Encode = "") -> Layout:
    """A model without names reads the columns in the order of the schema."""
    places: list[Place] = []
    for j, column in enumerate(columns):
        if encode == "onehot" and column.levels and code_truth(column) is None:
            # Encoders make their columns in sorted order.
            at = {level: i for i, level in enumerate(column.levels)}
            places += [Place(j, at[level], stated=True) for level in sort_levels(column.levels)]
        else:
            places.append(_as_number(j, column, encode))
    if inputs is not None and len(places) != inputs:
        raise PrivauditError(
            f"the model reads {inputs} numbers and the table gives {len(places)}",
            f"the model names no features, so the {len(columns)} columns of the table are read in "
            "the order of the schema",
            "give a schema (--schema) whose columns are those that the model was trained on, in "
            "order",
        )
    return Layout(tuple(places))


def _as_number(j: int, column: Column, encode: Encode) -> Place:
    """A column that the model reads as a number: as it is, true as 1, or coded as stated."""
    if not column.levels:
        return Place(j)
    truth = code_truth(column)
    if truth is not None:
        return Place(j, codes=truth)
    if encode == "codes":
        return Place(j, codes=code_sorted(column), stated=True)
    raise TextsAsNumbers(column.name)


def _by_levels(j: int, column: Column, known: Sequence[Any]) -> Place:
    """A column that the model's file calls a category of these levels."""
    if column.levels:
        at = match_levels(known, column)
        codes = tuple(math.nan if place is None else float(place) for place in at)
        values: tuple[float, ...] = ()
    else:
        values = values_of(known)
        codes = tuple(math.nan if x != x else float(i) for i, x in enumerate(values))
    if all(code != code for code in codes):
        raise PrivauditError(
            f"the model knows none of the levels of {column.name!r}",
            f"it was trained on {len(known)} others",
            "spell them as in training",
        )
    return Place(j, codes=codes, values=values)


class TextsAsNumbers(PrivauditError):
    """The model reads a column as a number, and the table holds texts there.

    column: its name. Whether texts were coded in sorted order is for the caller to find out.
    """

    def __init__(self, column: str) -> None:
        super().__init__(
            f"the model reads {column!r} as a number, and the table holds texts there",
            "how the texts were turned into numbers before training is not known",
            "give the table with the numbers that the model was trained on, or the model as a "
            "pipeline that turns texts into numbers itself (skops, ONNX), or its probabilities "
            "(--predictions)",
        )
        self.column = column


def mismatch(
    names: Sequence[str], columns: Sequence[Column], absent: Sequence[str]
) -> PrivauditError:
    """The columns do not match, and how."""
    own = [column.name for column in columns]
    extra = [name for name in own if name not in set(names)]
    near = difflib.get_close_matches(absent[0], own, n=1)
    return PrivauditError(
        f"the model reads {len(absent)} columns that the table does not have: {list_names(absent)}",
        f"it was trained on {len(names)} columns; the table has {len(extra)} others: "
        f"{list_names(extra)}",
        f"rename them (did you mean {near[0]!r}?)"
        if near
        else "give the table that the model was trained on",
    )


def loosen(name: str) -> str:
    """Libraries replace spaces and brackets in names by underscores."""
    return re.sub(r"[^0-9A-Za-z]+", "_", name)


def _spell(column: Column) -> tuple[Any, ...]:
    """What a frame holds for each level: booleans for true and false, as readers of CSV make them;
    else texts."""
    words = tuple(level.strip().lower() for level in column.levels)
    return (
        tuple(word == "true" for word in words)
        if set(words) == {"true", "false"}
        else (column.levels)
    )


@dataclass(frozen=True)
class _Dummies:
    """What a column's name with one of its levels may stand for; None for two things at once."""

    exact: dict[str, Place | None]
    loose: dict[str, Place | None]

    @classmethod
    def of(cls, columns: Sequence[Column]) -> _Dummies:
        spelled = []
        for j, column in enumerate(columns):
            words = [word for word in _MISSING if word not in column.levels]
            levels = [(level, i) for i, level in enumerate(column.levels)]
            for level, i in [*levels, *((word, -1) for word in words)]:
                spelled += [
                    (spelling.format(column.name, level), Place(j, i)) for spelling in _SPELLINGS
                ]
        return cls(_unambiguous(spelled), _unambiguous((loosen(t), place) for t, place in spelled))

    def find(self, name: str) -> Place | None:
        for known, key in ((self.exact, name), (self.loose, loosen(name))):
            if key in known:
                place = known[key]
                if place is None:
                    raise _ambiguous(name)
                return place
        return None


def _unambiguous(pairs: Iterable[tuple[str, T]]) -> dict[str, T | None]:
    """What each text stands for, None where it may be two things."""
    found: dict[str, T | None] = {}
    for text, value in pairs:
        found[text] = value if found.get(text, value) == value else None
    return found


def _ambiguous(name: str) -> PrivauditError:
    return PrivauditError(
        f"the model's input {name!r} may be two columns of the table",
        "their names, or a name with a level, are equal but for marks between letters",
        "rename the columns of the table so that only one fits",
    )


@dataclass(frozen=True)
class Frame:
    """The table as a pandas frame, for models that know their columns by name.

    kinds: per column "" (numbers as float, texts as objects), the dtype that it had in training
    (see `trained_dtypes`), or "encoded" (an encoder of the model reads it); categories: the levels
    of those in order, or what a column of objects holds for each level; ordered: of which
    categories the order counts. nones: columns whose missing values are None and not NaN. labels:
    what columns are called that are not called by a text. array: hand out a plain array, of this
    dtype.
    """

    names: tuple[str, ...]
    kinds: Mapping[str, str] = field(default_factory=dict)
    categories: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    nones: frozenset[str] = frozenset()
    array: str = ""
    ordered: frozenset[str] = frozenset()
    labels: Mapping[str, Any] = field(default_factory=dict)

    def make(self, records: Records) -> pd.DataFrame | np.ndarray:
        import pandas as pd

        at = {column.name: j for j, column in enumerate(records.columns)}
        parts = {
            name: self._column(records.columns[at[name]], records.X[:, at[name]])
            for name in self.names
        }
        frame = pd.DataFrame(parts, copy=False)
        if self.labels:
            frame.columns = pd.Index([self.labels.get(name, name) for name in self.names])
        return frame.to_numpy(dtype=self.array) if self.array else frame

    def _column(self, column: Column, x: np.ndarray) -> Any:
        kind = self.kinds.get(column.name, "")
        there = ~np.isnan(x)
        if kind == "category":
            return self._category(column, x)
        if kind == "encoded":
            return self._encoded(column, x)
        if column.levels:
            codes = np.where(there, x, -1).astype(np.int64)
            objects = np.empty(len(column.levels) + 1, dtype=object)
            objects[:-1] = self.categories.get(column.name) or _spell(column)
            objects[-1] = None if column.name in self.nones else np.nan
            found = objects[codes]
            if not kind and all(isinstance(value, bool) for value in found):
                return found.astype(bool)
            return restore_dtype(found, kind)
        values = x.astype(np.float64) if kind == "float32" else restore_decimals(x)
        return restore_dtype(values, kind, nones=column.name in self.nones)

    def _category(self, column: Column, x: np.ndarray) -> Any:
        """A pandas category of the levels of training."""
        import pandas as pd

        own = self.categories.get(column.name, column.levels)
        return pd.Categorical.from_codes(
            self._place_levels(column, x).tolist(),
            categories=pd.Index(list(own)),
            ordered=column.name in self.ordered,
        )

    def _encoded(self, column: Column, x: np.ndarray) -> Any:
        """The values as the encoder knows them; others as the table spells them."""
        own = list(self.categories[column.name])
        texts = any(isinstance(level, str) for level in own)
        if not column.levels and not texts:
            return restore_decimals(x)
        spelled = [*column.levels] if column.levels else [f"{v:.9g}" for v in np.unique(x[x == x])]
        codes = x if column.levels else np.searchsorted(np.unique(x[x == x]), x)
        places = match_levels(own, Column(column.name, "category", levels=tuple(spelled)))
        objects = np.empty(len(spelled) + 1, dtype=object)
        for i, place in enumerate(places):
            objects[i] = spelled[i] if place is None else own[place]
        objects[-1] = None if column.name in self.nones else np.nan
        found = objects[np.where(np.isnan(x), -1, codes).astype(np.int64)]
        # Of texts, a record alone may lack its own: that is no column of numbers.
        kinds = set() if texts else {type(value) for value in found}
        return found.astype(kinds.pop()) if kinds in ({bool}, {int}, {float}) else found

    def _place_levels(self, column: Column, x: np.ndarray) -> np.ndarray:
        """(n,) the place of each value among the levels of training, -1 where it has none."""
        own = self.categories.get(column.name, column.levels)
        if not column.levels:
            return find_places(x, values_of(own))
        at = match_levels(own, column)
        places = np.array([*(-1 if place is None else place for place in at), -1])
        result: np.ndarray = places[np.where(np.isnan(x), -1, x).astype(np.int64)]
        return result

    def count_unknown(self, records: Records) -> dict[str, int]:
        """Columns, and how many cells of each hold a level that the model does not know."""
        found = {}
        for j, column in enumerate(records.columns):
            if column.name in self.names and self.kinds.get(column.name) in _KNOWN:
                x = records.X[:, j]
                unknown = (self._place_levels(column, x) < 0) & ~np.isnan(x)
                found[column.name] = int(unknown.sum())
        return {name: count for name, count in found.items() if count}


@dataclass(frozen=True)
class FrameWithSeries(Frame):
    """The table as a `Frame` makes it, and the series beside it, (n, steps, channels) float32, NaN
    where nothing was measured; the series alone where the table has no column."""

    def make(self, records: Records) -> Any:
        if records.series is None:
            raise ValueError("records without the series that this model reads")
        series = records.series.copy()
        return (super().make(records), series) if self.names else (series,)


def call(function: Any, given: Any, *more: Any) -> Any:
    """What a function answers that is handed a table, or a table and series as two arguments."""
    return function(*given, *more) if isinstance(given, tuple) else function(given, *more)


def inputs(reads: Frame | Layout, records: Records, wide: bool = True) -> Any:
    """What an estimator is handed: a frame, or a matrix of float64 (wide) or float32."""
    if isinstance(reads, Frame):
        return reads.make(records)
    X = reads.matrix(records.X)
    return restore_decimals(X) if wide and isinstance(X, np.ndarray) else X


__all__ = [
    "ENCODINGS",
    "Encode",
    "Frame",
    "FrameWithSeries",
    "Layout",
    "Place",
    "TextsAsNumbers",
    "by_name",
    "by_order",
    "call",
    "inputs",
    "loosen",
    "mismatch",
]
