"""How a model reads a table: which column goes where, and as what."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.read_table import list_names
from privaudit.records import Column, Records

if TYPE_CHECKING:
    import pandas as pd

Encode = Literal["", "codes", "onehot"]
ENCODINGS = ("codes", "onehot")

_SPELLINGS = ("{}_{}", "{}={}", "{}.{}", "{}[{}]", "{}[T.{}]", "{}__{}", "{}-{}", "{}: {}", "{} {}")
_MISSING = ("nan", "NaN", "None", "missing", "<NA>", "?", "NA", "N/A", "na", "null", ".")


@dataclass(frozen=True)
class Place:
    """One input of a model.

    level: None for the column as it is, -1 for whether it was not recorded, else whether it is this
    level. codes: what the model calls each level, NaN for one it does not know.
    """

    column: int
    level: int | None = None
    codes: tuple[float, ...] = ()


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
            x = X[:, place.column]
            if place.level is not None:
                out[:, j] = np.isnan(x) if place.level < 0 else x == place.level
            elif place.codes:
                there = ~np.isnan(x)
                codes = np.array(place.codes, dtype=np.float32)
                out[:, j] = np.nan
                out[there, j] = codes[x[there].astype(np.int64)]
            else:
                out[:, j] = x
        return out

    def pull_back(self, gradient: np.ndarray, width: int) -> np.ndarray:
        """(n, width): the gradient for a table's columns from the one for the inputs."""
        out = np.zeros((len(gradient), width))
        for j, place in enumerate(self.places):
            if place.level is None and not place.codes:
                out[:, place.column] += gradient[:, j]
        return out

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
    known: Mapping[str, Sequence[str]] | None = None,
) -> Layout:
    """Where the model's own feature names lie in a table.

    A name is a column's, or a column's with one of its levels (`sex_F`, `sex=F`). known: for
    features that the model itself takes as categories, their levels in the order of its codes.
    PrivauditError where a name has no place, or a column of texts would have to be read as a number
    without `encode`.
    """
    known = known or {}
    exact = {column.name: j for j, column in enumerate(columns)}
    loose = {loosen(column.name): j for j, column in enumerate(columns)}
    dummies: dict[str, Place] | None = None
    places: list[Place] = []
    absent: list[str] = []
    for name in names:
        j = exact.get(name, loose.get(loosen(name)))
        if j is None:
            dummies = _dummies(columns) if dummies is None else dummies
            place = dummies.get(name, dummies.get(loosen(name)))
            if place is None:
                absent.append(name)
            else:
                places.append(place)
        elif not columns[j].levels:
            places.append(Place(j))
        elif name in known:
            places.append(Place(j, codes=_codes(columns[j], known[name])))
        elif columns[j].kind == "binary" or encode == "codes":
            places.append(Place(j))
        else:
            raise texts_as_numbers(columns[j])
    if absent:
        raise mismatch(names, columns, absent)
    return Layout(tuple(places))


def by_order(inputs: int | None, columns: Sequence[Column], *, encode: Encode = "") -> Layout:
    """A model without names reads the columns in the order of the schema."""
    places: list[Place] = []
    for j, column in enumerate(columns):
        if column.kind != "category" or encode == "codes":
            places.append(Place(j))
        elif encode == "onehot":
            places += [Place(j, level) for level in range(len(column.levels))]
        else:
            raise texts_as_numbers(column)
    if inputs is not None and len(places) != inputs:
        raise PrivauditError(
            f"the model reads {inputs} numbers and the table gives {len(places)}",
            f"the model names no features, so the {len(columns)} columns of the table are read in "
            "the order of the schema",
            "give a schema (--schema) whose columns are those that the model was trained on, in "
            "order",
        )
    return Layout(tuple(places))


def texts_as_numbers(column: Column) -> PrivauditError:
    return PrivauditError(
        f"the model reads {column.name!r} as a number, and the table holds texts there",
        "how the texts were turned into numbers before training is not known",
        "give the table as the model was trained on it, or say --encode codes (places in the order "
        "of the "
        "schema's levels) or --encode onehot",
    )


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


def _dummies(columns: Sequence[Column]) -> dict[str, Place]:
    found: dict[str, Place] = {}
    for j, column in enumerate(columns):
        levels = [(level, i) for i, level in enumerate(column.levels)]
        for level, i in [*levels, *((word, -1) for word in _MISSING)]:
            for spelling in _SPELLINGS:
                text = spelling.format(column.name, level)
                found.setdefault(text, Place(j, i))
                found.setdefault(loosen(text), Place(j, i))
    return found


def _codes(column: Column, known: Sequence[str]) -> tuple[float, ...]:
    at = {str(level).strip(): float(i) for i, level in enumerate(known)}
    codes = tuple(at.get(level, float("nan")) for level in column.levels)
    if all(np.isnan(codes)):
        raise PrivauditError(
            f"the model knows none of the {len(codes)} levels of {column.name!r}",
            f"it was trained on {len(known)} others",
            "spell them as in training",
        )
    return codes


@dataclass(frozen=True)
class Frame:
    """The table as a pandas frame, for models that know their columns by name.

    kinds: per column "" (numbers as float, texts as objects), or the numpy dtype or "category" that
    it had in training; categories: the levels of those in order, or what a column of objects holds
    for each level. nones: columns whose missing values are None and not NaN. array: hand out a
    plain array.
    """

    names: tuple[str, ...]
    kinds: Mapping[str, str] = field(default_factory=dict)
    categories: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    nones: frozenset[str] = frozenset()
    array: bool = False

    def make(self, records: Records) -> pd.DataFrame | np.ndarray:
        import pandas as pd

        at = {column.name: j for j, column in enumerate(records.columns)}
        parts = {
            name: self._column(records.columns[at[name]], records.X[:, at[name]])
            for name in self.names
        }
        frame = pd.DataFrame(parts, copy=False)
        return frame.to_numpy(dtype=object) if self.array else frame

    def _column(self, column: Column, x: np.ndarray) -> Any:
        import pandas as pd

        kind = self.kinds.get(column.name, "")
        there = ~np.isnan(x)
        if column.levels:
            codes = np.where(there, x, -1).astype(np.int64)
            if kind == "category":
                own = self.categories.get(column.name, column.levels)
                at = {str(level): i for i, level in enumerate(own)}
                places = np.array([*(at.get(level, -1) for level in column.levels), -1])
                return pd.Categorical.from_codes(
                    places[codes].tolist(), categories=pd.Index(list(own))
                )
            objects = np.empty(len(column.levels) + 1, dtype=object)
            objects[:-1] = self.categories.get(column.name, column.levels)
            objects[-1] = None if column.name in self.nones else np.nan
            return objects[codes]
        values = x.astype(np.float64)
        if kind and there.all() and np.dtype(kind).kind in "iub":
            return np.rint(values).astype(kind)
        return values


def inputs(reads: Frame | Layout, records: Records, wide: bool = True) -> Any:
    """What an estimator is handed: a frame, or a matrix of float64 (wide) or float32."""
    if isinstance(reads, Frame):
        return reads.make(records)
    X = reads.matrix(records.X)
    return X.astype(np.float64) if wide else X


__all__ = [
    "ENCODINGS",
    "Encode",
    "Frame",
    "Layout",
    "Place",
    "by_name",
    "by_order",
    "inputs",
    "loosen",
]
