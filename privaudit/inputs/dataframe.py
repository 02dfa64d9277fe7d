"""Arrays and frames of a Python session as records, and how the model saw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs import identifiers
from privaudit.inputs.cell_text import array_to_labels
from privaudit.inputs.infer_schema import MAX_LEVELS, order_levels, round_bounds
from privaudit.inputs.models.answers import canonical
from privaudit.inputs.models.layout import Frame
from privaudit.inputs.outcome import array_to_numbers, pair_to_times, too_many_classes
from privaudit.inputs.read_table import MAX_GROUPS
from privaudit.inputs.schema import MAX_CLASSES
from privaudit.records import Column, OutcomeKind, Records

Table = tuple[Any, Any]


@dataclass(frozen=True, eq=False)
class Frames:
    """The tables of a call as records; frame: how the model saw them, None for plain matrices."""

    members: Records
    nonmembers: Records
    reference: Records | None
    frame: Frame | None


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
        if outcome_kind == "time" and isinstance(pair, tuple | list) and len(pair) == 2:
            pair = (pair[0], pair_to_times(pair[1], name))
        X, y = _read_pair(pair, name)
        tables.append(X)
        outcomes.append(y)
    is_frame = hasattr(given[0][0], "columns")
    ids, drop = _read_patients(patient, tables, names)
    marks = _read_groups(groups, tables, names)
    if drop:
        tables = [X.drop(columns=drop) for X in tables]
    _require_same_columns(tables, names)
    columns, kinds, levels, nones = _describe_columns(tables)
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
    if is_frame or texts:
        frame = Frame(
            tuple(c.name for c in columns), kinds, levels, frozenset(nones), array=not is_frame
        )
    return Frames(made[0], made[1], made[2] if len(made) > 2 else None, frame)


def _read_pair(pair: Any, name: str) -> tuple[Any, np.ndarray]:
    import pandas as pd

    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise PrivauditError(
            f"{name} of type {type(pair).__name__}",
            "each table is given with its outcomes",
            f"write {name}=(X, y)",
        )
    X, y = pair
    if not hasattr(X, "columns"):
        X = np.asarray(X)
        if X.ndim != 2:
            raise PrivauditError(
                f"{name}: X of shape {X.shape}", "a table is (rows, columns)", "reshape it"
            )
        X = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    elif not isinstance(X, pd.DataFrame):
        X = X.to_pandas()
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] > 1 and len(y) == len(X):
        raise PrivauditError(
            f"{name}: {y.shape[1]} outcomes a row, a model of several labels or outputs",
            "membership is inferred from one outcome at a time",
            "use privaudit.audit_labels for labels of 0 and 1; audit other outputs one after the "
            "other, y[:, j] with a model that answers for it; a time and its event are "
            "y=(time, event) with outcome_kind = time",
        )
    y = y.ravel()
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
            kinds[name] = str(kind) if isinstance(kind, np.dtype) else "float64"
            continue
        elif pd.api.types.is_datetime64_any_dtype(kind) or pd.api.types.is_timedelta64_dtype(kind):
            raise PrivauditError(
                f"a column of dates, {name!r}",
                "no model of a table reads dates as they are",
                "give the table as the model reads it",
            )
        else:
            found: set[Any] = set()
            for part in parts:
                found |= set(part.dropna().unique())
                nones += [name] if any(x is None for x in part[part.isna()].head(1)) else []
            if all(isinstance(x, bool | int | float | np.number) for x in found):
                columns.append(_describe_number(name, parts, marks))
                continue
            by_text = {str(x): x for x in found}
            own = [by_text[text] for text in order_levels(by_text)]
            kinds[name] = "object"
        if len(own) > MAX_LEVELS:
            raise PrivauditError(
                f"the column {name!r} has {len(own):,} different texts",
                f"a category of more than {MAX_LEVELS:,} levels is free text or an identifier",
                "audit a model that does not read it, or group its values",
            )
        levels[name] = tuple(own)
        columns.append(Column(name, "category", levels=tuple(map(str, own)) or ("none",), **marks))
    return columns, kinds, levels, nones


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
    found: set[str] = set()
    for y in outcomes:
        missing = int(sum(x is None or x != x for x in y.tolist()))
        if missing:
            raise PrivauditError(
                f"{missing:,} outcomes are missing",
                "an audit needs to know every outcome",
                "drop these rows",
            )
        found |= {canonical(x) for x in np.unique(y).tolist()}
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
        raise PrivauditError(
            f"{len(found - {canonical(x) for x in labels})} outcomes that the model does not know",
            f"it was trained on {len(labels)} classes",
            "pass y as in training",
        )
    return list(order_levels(found))


def _encode_outcome(y: np.ndarray, classes: list[str], what: str) -> np.ndarray:
    at = {name: i for i, name in enumerate(classes)}
    values, place = np.unique(y, return_inverse=True)
    return np.array([at[canonical(x)] for x in values.tolist()])[place]


def _read_patients(
    patient: Any, tables: list[Any], names: Sequence[str]
) -> tuple[list[np.ndarray], list[str]]:
    """(rows,) int64 a table, and which columns are no features."""
    if patient is None:
        ends = np.cumsum([0, *map(len, tables)])
        return [np.arange(a, b) for a, b in pairwise(ends)], []
    if isinstance(patient, str):
        absent = [n for n, X in zip(names, tables, strict=False) if patient not in X.columns]
        if absent:
            raise PrivauditError(
                f"no column {patient!r} in {absent[0]}",
                "it names the patient",
                "name a column of the frames, or pass one array a table",
            )
        parts, drop = [X[patient].to_numpy() for X in tables], [patient]
    else:
        parts, drop = [np.asarray(part).ravel() for part in patient], []
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
        texts = [canonical(x) for x in part.tolist()]
        if any(x in ("nan", "None", "") for x in texts):
            raise PrivauditError(
                "rows without a patient", "each row belongs to one", "fill the patient in"
            )
        found.append(np.array([keys.setdefault(x, len(keys)) for x in texts], dtype=np.int64))
    return found, drop


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
            part = X[name].to_numpy() if arrays is None else np.asarray(arrays[i]).ravel()
            if len(part) != len(X):
                raise PrivauditError(
                    f"{len(part):,} labels of {name!r} for {len(X):,} rows",
                    "each row has one",
                    "pass one array a table",
                )
            made[i][name] = array_to_labels(name, part)
        if len(np.unique(np.concatenate([part[name] for part in made]))) > MAX_GROUPS:
            raise PrivauditError(
                f"the group {name!r} has more than {MAX_GROUPS} values",
                "a subgroup table is read by people",
                "put its values into bands first",
            )
    return made


__all__ = ["Frames", "read_frames"]
