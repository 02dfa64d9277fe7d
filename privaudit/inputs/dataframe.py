"""Arrays and frames of a Python session as records, and how the model saw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs import identifiers
from privaudit.inputs.cell_text import NO_LABEL, array_to_series, to_labels, to_patients
from privaudit.inputs.check_alike import refuse_respelled_groups, refuse_respelled_patients
from privaudit.inputs.date_text import are_dates
from privaudit.inputs.infer_schema import MAX_LEVELS, order_classes, order_levels, round_bounds
from privaudit.inputs.models.answers import canonical
from privaudit.inputs.models.layout import Frame
from privaudit.inputs.models.trained_dtypes import name_kind
from privaudit.inputs.outcome import array_to_numbers, too_many_classes
from privaudit.inputs.read_table import MAX_GROUPS
from privaudit.inputs.schema import MAX_CLASSES
from privaudit.inputs.task_kind import refuse_numbers_for_classes, refuse_other_kinds
from privaudit.records import Column, OutcomeKind, Records

Table = tuple[Any, Any]

NO_OUTCOME = ("", "nan", "<NA>", "NaT")
"""What becomes of a missing outcome where an array is made of texts."""


@dataclass(frozen=True, eq=False)
class Frames:
    """The tables of a call as records; frame: how the model saw them, None for plain matrices;
    patients: name -> number, empty where the tables name none."""

    members: Records
    nonmembers: Records
    reference: Records | None
    frame: Frame | None
    patients: Mapping[str, int] = field(default_factory=dict)


def read_frames(
    members: Table,
    nonmembers: Table,
    reference: Table | None = None,
    *,
    patient: Any = None,
    groups: Any = None,
    labels: Sequence[Any] | None = None,
    outcome_kind: OutcomeKind = "class",
) -> Frames:
    """Read (X, y) pairs, X a numpy array or a frame of numbers, texts and missing values.

    Args:
        members: Rows that the model was trained on.
        nonmembers: Rows of patients held out.
        reference: Rows that the attacker owns.
        patient: A column of the frames, which the model then does not read, or a tuple of arrays.
        groups: Columns of the frames, or for each name one array a table.
        labels: The model's classes.
        outcome_kind: What the outcomes are; never guessed.

    Raises:
        PrivauditError: Tables that differ, or a missing outcome or patient.
    """
    given = [members, nonmembers, *([reference] if reference is not None else [])]
    names = ["members", "nonmembers", "reference"]
    tables, outcomes = [], []
    for name, pair in zip(names, given, strict=False):
        X, y = _read_pair(pair, name)
        tables.append(X)
        outcomes.append(y)
    is_frame = hasattr(given[0][0], "columns")
    frames = [X if hasattr(X, "columns") else tables[i] for i, (X, _) in enumerate(given)]
    ids, drop, named = _read_patients(patient, frames, names)
    marks = _read_groups(groups, frames, names)
    if drop:
        tables = [X.drop(columns=drop) for X in tables]
    _require_same_columns(tables, names)
    columns, kinds, levels, nones = _describe_columns(tables)
    plain = np.asarray(given[0][0]).dtype if not is_frame else np.dtype(object)
    numbers = outcome_kind != "class"
    classes = [] if numbers else _find_classes(outcomes, labels)
    made = [
        Records(
            tuple(columns),
            _encode(X, columns, levels, names[i]),
            array_to_numbers(outcomes[i], names[i])
            if numbers
            else _encode_outcome(outcomes[i], classes, names[i]),
            ids[i],
            np.zeros(len(X), dtype=np.int64),
            groups=marks[i],
            classes=tuple(classes),
            outcome_kind=outcome_kind,
        )
        for i, X in enumerate(tables)
    ]
    texts = any(column.levels for column in columns)
    frame = None
    is_plain = plain.kind in "iub" or plain == np.float32
    if is_frame or texts or is_plain or plain.kind == "O":
        frame = Frame(
            tuple(c.name for c in columns),
            kinds,
            levels,
            frozenset(nones),
            array="" if is_frame else str(plain if is_plain else np.dtype(object)),
            ordered=frozenset(name for name in kinds if _is_ordered(tables[0], name)),
            labels={str(c): c for c in tables[0].columns if not isinstance(c, str)},
        )
    return Frames(made[0], made[1], made[2] if len(made) > 2 else None, frame, named)


def _read_pair(pair: Any, name: str) -> tuple[Any, np.ndarray]:
    import pandas as pd

    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise PrivauditError(
            f"{name} of type {type(pair).__name__}",
            "each table is given with its outcomes",
            f"write {name}=(X, y)",
        )
    X, y = pair
    refuse_other_kinds(X, y, name)
    if not hasattr(X, "columns"):
        X = _unmask(X)
        if X.ndim != 2:
            raise PrivauditError(
                f"{name}: X of shape {X.shape}", "a table is (rows, columns)", "reshape it"
            )
        X = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    elif not isinstance(X, pd.DataFrame):
        X = X.to_pandas()
    y = _unmask(y).ravel()
    if len(X) != len(y) or not len(X):
        raise PrivauditError(
            f"{name}: {len(X):,} rows with {len(y):,} outcomes",
            "each row has an outcome, and there is at least one",
            "pass X and y of one length",
        )
    twice = sorted(map(str, X.columns[X.columns.duplicated()].unique()))
    if twice:
        raise PrivauditError(
            f"{name}: columns named twice: {', '.join(twice[:5])}",
            "columns are matched by name",
            "rename one of each",
        )
    return X.reset_index(drop=True), y


def _unmask(values: Any) -> np.ndarray:
    """An array, its masked cells missing and not what lies under the mask."""
    if not isinstance(values, np.ma.MaskedArray):
        return np.asarray(values)
    data, mask = np.ma.getdata(values), np.ma.getmaskarray(values)
    if np.issubdtype(data.dtype, np.floating):
        return np.where(mask, np.nan, data)
    found = np.array(data, dtype=object)
    found[mask] = None
    return found


def _is_ordered(table: Any, name: str) -> bool:
    column = next(table[label] for label in table.columns if str(label) == name)
    return bool(getattr(column.dtype, "ordered", False))


def _require_same_columns(tables: list[Any], names: Sequence[str]) -> None:
    first = list(tables[0].columns)
    for X, name in zip(tables[1:], names[1:], strict=False):
        if list(X.columns) != first:
            lacking = [str(c) for c in first if c not in X.columns]
            more = [str(c) for c in X.columns if c not in first]
            raise PrivauditError(
                f"{name} has other columns than members: {len(lacking)} lack, {len(more)} more, or "
                "their order differs",
                "the model is asked the same questions of everybody",
                f"give the same columns in one "
                f"order{' (' + ', '.join(lacking[:5]) + ')' if lacking else ''}",
            )


def _describe_columns(
    tables: list[Any],
) -> tuple[list[Column], dict[str, str], dict[str, tuple[Any, ...]], list[str]]:
    """What the columns are, the dtype of each, and the objects behind a text column's codes."""
    import pandas as pd

    columns: list[Column] = []
    kinds: dict[str, str] = {}
    levels: dict[str, tuple[Any, ...]] = {}
    nones: list[str] = []
    for label in tables[0].columns:
        name = str(label)
        parts = [X[label] for X in tables]
        marks: dict[str, Any] = {
            "sensitive": identifiers.is_sensitive(name),
            "mutable": not identifiers.is_fixed(name),
        }
        kind = parts[0].dtype
        if isinstance(kind, pd.CategoricalDtype):
            own: list[Any] = list(kind.categories)
            kinds[name] = "category"
        elif pd.api.types.is_bool_dtype(kind) or pd.api.types.is_numeric_dtype(kind):
            columns.append(_describe_number(name, parts, marks))
            kinds[name] = name_kind(parts[0])
            continue
        elif pd.api.types.is_datetime64_any_dtype(kind) or pd.api.types.is_timedelta64_dtype(kind):
            raise _dates(name)
        else:
            found: set[Any] = set()
            for part in parts:
                found |= set(part.dropna().unique())
                nones += [name] if any(x is None for x in part[part.isna()].head(1)) else []
            if all(isinstance(x, bool | int | float | np.number | Decimal) for x in found):
                columns.append(_describe_number(name, parts, marks))
                kinds[name] = name_kind(parts[0])
                continue
            by_text = {str(x): x for x in found}
            _refuse_texts(name, found, by_text)
            own = [by_text[text] for text in order_levels(by_text)]
            kinds[name] = "object" if kind == np.dtype(object) else str(kind)
        if len(own) > MAX_LEVELS:
            raise PrivauditError(
                f"the column {name!r} has {len(own):,} different texts",
                f"a category of more than {MAX_LEVELS:,} levels is free text or an identifier",
                "audit a model that does not read it, or group its values",
            )
        levels[name] = tuple(own)
        # The model reads the text; a report does not call it a level like others.
        texts = [NO_LABEL if str(x) in NO_OUTCOME else str(x) for x in own]
        if len(set(texts)) < len(texts):
            texts = list(map(str, own))
        columns.append(Column(name, "category", levels=tuple(texts) or ("none",), **marks))
    return columns, kinds, levels, nones


def _refuse_texts(name: str, found: set[Any], by_text: Mapping[str, Any]) -> None:
    """Refuse a column of texts that are dates, or of values that differ by their type alone."""
    import polars as pl

    if len(by_text) < len(found):
        raise PrivauditError(
            f"the column {name!r} holds values that differ by their type alone, such as a number "
            "and its text",
            "the model reads them as two values, and a report would call both the same",
            "make all values of the column numbers, or all texts",
        )
    if by_text and are_dates(pl.Series(list(by_text))):
        raise _dates(name)


def _dates(name: str) -> PrivauditError:
    return PrivauditError(
        f"a column of dates, {name!r}",
        "no model of a table reads dates as they are",
        "give the table as the model reads it",
    )


def _describe_number(name: str, parts: list[Any], marks: Mapping[str, Any]) -> Column:
    values = np.concatenate([part.to_numpy(dtype=np.float64, na_value=np.nan) for part in parts])
    if np.isinf(values).any():
        raise PrivauditError(
            f"infinite values in the column {name!r}",
            "no distance and no gradient can be taken there",
            "replace them by NaN or by a bound",
        )
    there = values[~np.isnan(values)]
    if not len(there):
        return Column(name, **marks)
    if np.isin(there, (0, 1)).all():
        return Column(name, "binary", **marks)
    low, high = float(there.min()), float(there.max())
    return Column(
        name,
        "numeric",
        bounds=round_bounds(low, high),
        integer=bool((there % 1 == 0).all()),
        **marks,
    )


def _encode(
    X: Any, columns: Sequence[Column], levels: Mapping[str, tuple[Any, ...]], what: str
) -> np.ndarray:
    out = np.empty((len(X), len(columns)), dtype=np.float32)
    for j, (label, column) in enumerate(zip(X.columns, columns, strict=True)):
        part = X[label]
        if column.kind == "category":
            at = {value: float(i) for i, value in enumerate(levels[column.name])}
            codes = part.map(at).to_numpy(dtype=np.float64, na_value=np.nan)
            unknown = int((np.isnan(codes) & ~part.isna().to_numpy()).sum())
            if unknown:
                raise PrivauditError(
                    f"{unknown:,} cells of {column.name!r} in {what} are none of its categories",
                    "members say which categories there are",
                    "use one pandas category type for all tables",
                )
            out[:, j] = codes
        else:
            out[:, j] = part.to_numpy(dtype=np.float64, na_value=np.nan)
    return out


def _find_classes(outcomes: list[np.ndarray], labels: Sequence[Any] | None) -> list[str]:
    import pandas as pd

    found: set[str] = set()
    for y in outcomes:
        gone = pd.isna(y) | np.isin(np.char.strip(y.astype(str)), NO_OUTCOME)
        missing = int(gone.sum())
        if missing:
            raise PrivauditError(
                f"{missing:,} outcomes are missing",
                "an audit needs to know every outcome",
                "drop these rows",
            )
        found |= {canonical(x) for x in set(y.tolist())}
    if labels is not None and found <= {canonical(x) for x in labels}:
        return [canonical(x) for x in labels]
    if not 2 <= len(found) <= MAX_CLASSES and labels is None:
        if len(found) > 1:
            raise too_many_classes("y", f"{len(found):,}", MAX_CLASSES)
        raise PrivauditError(
            "one outcome for all rows",
            "there is nothing to predict unless outcomes differ",
            "give rows of at least two outcomes",
        )
    if labels is not None:
        refuse_numbers_for_classes(outcomes, labels)
        raise PrivauditError(
            f"{len(found - {canonical(x) for x in labels})} outcomes that the model does not know",
            f"it was trained on {len(labels)} classes",
            "pass y as in training",
        )
    return list(order_classes(found))


def _encode_outcome(y: np.ndarray, classes: list[str], what: str) -> np.ndarray:
    at = {name: i for i, name in enumerate(classes)}
    values = y.tolist()
    codes = {value: at[canonical(value)] for value in set(values)}
    return np.array([codes[value] for value in values], dtype=np.int64)


def _read_patients(
    patient: Any, tables: list[Any], names: Sequence[str]
) -> tuple[list[np.ndarray], list[str], dict[str, int]]:
    """(rows,) int64 a table, which columns are no features, and the number of each name."""
    if patient is None:
        ends = np.cumsum([0, *map(len, tables)])
        return [np.arange(a, b) for a, b in pairwise(ends)], [], {}
    if isinstance(patient, str):
        absent = [n for n, X in zip(names, tables, strict=False) if patient not in X.columns]
        if absent:
            raise PrivauditError(
                f"no column {patient!r} in {absent[0]}",
                "it names the patient",
                "name a column of the frames, or pass one array a table",
            )
        parts, drop = [array_to_series(patient, X[patient]) for X in tables], [patient]
    else:
        parts, drop = [array_to_series("patient", part) for part in patient], []
        sizes = [len(part) for part in parts]
        if sizes != [len(X) for X in tables]:
            raise PrivauditError(
                f"patients of lengths {sizes}",
                f"the tables have {[len(X) for X in tables]} rows",
                "write patient=(of_members, of_nonmembers), one entry a row",
            )
    keys: dict[str, int] = {}
    found = []
    for part in parts:
        numbers, missing, rounded = to_patients(part, keys)
        if missing:
            raise PrivauditError(
                f"{missing:,} rows without a patient",
                "each row belongs to one",
                "fill the patient in, or drop these rows",
            )
        if rounded:
            raise PrivauditError(
                f"{rounded:,} rows whose patient was rounded",
                "numbers of patients beyond 9,007,199,254,740,992 that are stored as floats, or "
                "16,777,216 as single floats, may stand for two patients",
                "give the patients as integers or as texts",
            )
        found.append(numbers)
    refuse_respelled_patients(keys, found)
    return found, drop, keys


def _read_groups(
    groups: Any, tables: list[Any], names: Sequence[str]
) -> list[dict[str, np.ndarray]]:
    made: list[dict[str, np.ndarray]] = [{} for _ in tables]
    if groups is None:
        return made
    if isinstance(groups, str):
        groups = (groups,)
    chosen = dict(groups) if isinstance(groups, Mapping) else dict.fromkeys(groups)
    for name, arrays in chosen.items():
        for i, X in enumerate(tables):
            if arrays is None and name not in X.columns:
                raise PrivauditError(
                    f"no column {name!r} in {names[i]}",
                    "it names subgroups",
                    "name a column of the frames, or pass groups={name: (of_members, "
                    "of_nonmembers)}",
                )
            part = array_to_series(name, X[name] if arrays is None else arrays[i])
            if len(part) != len(X):
                raise PrivauditError(
                    f"{len(part):,} labels of {name!r} for {len(X):,} rows",
                    "each row has one",
                    "pass one array a table",
                )
            made[i][name] = to_labels(part)
        if len(np.unique(np.concatenate([part[name] for part in made]))) > MAX_GROUPS:
            raise PrivauditError(
                f"the group {name!r} has more than {MAX_GROUPS} values",
                "a subgroup table is read by people",
                "put its values into bands first",
            )
    refuse_respelled_groups(made)
    return made


__all__ = ["Frames", "read_frames"]
