"""The tables of a Python session, put in one form before they are read, or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.models.answers import canonical
from privaudit.inputs.outcome import pair_to_times
from privaudit.inputs.read_table import list_names
from privaudit.inputs.task_kind import refuse_other_kinds
from privaudit.records import Records

NAMES = ("members", "nonmembers", "reference")


def align_tables(tables: Sequence[Any]) -> list[Any]:
    """(X, y) pairs: X a pandas frame or an array, y (n,), columns in the order of the first.

    Args:
        tables: Members, non-members and, where there is one, the reference.

    Raises:
        PrivauditError: A sparse matrix, outcomes that are no column, rows of another index than
            their outcomes, or columns that only some tables have.
    """
    read = [_align(pair, name) for pair, name in zip(tables, NAMES, strict=False)]
    first: Any = read[0][0] if isinstance(read[0], tuple) else None
    if not hasattr(first, "columns"):
        return read
    order = list(first.columns)
    for i, (pair, name) in enumerate(zip(read, NAMES, strict=False)):
        if not isinstance(pair, tuple) or not hasattr(pair[0], "columns"):
            continue
        own = list(pair[0].columns)
        lacking = [str(c) for c in order if c not in own]
        more = [str(c) for c in own if c not in order]
        if lacking or more:
            raise PrivauditError(
                f"{name} has other columns than members: {list_names(lacking)} lack, and "
                f"{list_names(more)} are more",
                "the model is asked the same questions of everybody",
                "give the same columns in every table",
            )
        if own != order and pair[0].columns.is_unique:
            read[i] = (pair[0][order], pair[1])
    return read


def read_times(tables: Sequence[Any]) -> list[Any]:
    """The pairs with times to an event, negative where it did not happen, in place of (time,
    event)."""
    return [
        (pair[0], pair_to_times(pair[1], name))
        if isinstance(pair, tuple | list) and len(pair) == 2
        else pair
        for pair, name in zip(tables, NAMES, strict=False)
    ]


def _align(pair: Any, name: str) -> Any:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        return pair
    X, y = pair
    if isinstance(y, str):
        raise PrivauditError(
            f"{name}: the name {y!r} in place of outcomes",
            "outcomes are given beside the columns that the model reads",
            f"pass (X.drop(columns={y!r}), X[{y!r}])",
        )
    refuse_other_kinds(X, y, name)
    X = _to_frame(X)
    check_index(X, y, name, "outcomes")
    return X, _to_outcomes(y, name)


def _to_frame(X: Any) -> Any:
    """A pandas frame of whatever names its columns; else as it came."""
    import pandas as pd

    if not hasattr(X, "columns") or isinstance(X, pd.DataFrame):
        return X.detach().cpu().numpy() if hasattr(X, "detach") else X
    if hasattr(X, "get_columns"):
        # polars' own conversion needs pyarrow.
        return pd.DataFrame({column.name: column.to_list() for column in X.get_columns()})
    return X.to_pandas()


def _to_outcomes(y: Any, name: str) -> Any:
    import pandas as pd

    if hasattr(y, "detach"):
        y = y.detach().cpu().numpy()
    if hasattr(y, "to_pandas") and not hasattr(y, "get_columns"):
        y = y.to_list() if hasattr(y, "to_list") else y.to_pandas()
    found = np.asarray(y).ravel()
    missing = int(pd.isna(found).sum()) if found.dtype == object else 0
    if missing:
        raise PrivauditError(
            f"{name}: {missing:,} outcomes are missing"
            if missing >= 10
            else f"{name}: outcomes are missing",
            "an audit needs to know every outcome",
            "drop these rows",
        )
    return found


def match_booleans(tables: Sequence[Any], labels: Sequence[Any] | None) -> list[Any]:
    """The pairs with outcomes of true and false as 1 and 0, or back, where the model knows them
    so."""
    if labels is None:
        return list(tables)
    known = {canonical(label) for label in labels}
    numbers, words = {"0", "1"}, {"false", "true"}
    spelled = {canonical(x) for _, y in tables for x in np.unique(y.astype(str)).tolist()}
    lowered = {text.lower() for text in spelled}
    if known == numbers and lowered <= words:
        return [(X, (_spell(y) == "true").astype(int)) for X, y in tables]
    if known == words and spelled <= numbers:
        return [(X, _spell(y) == "1") for X, y in tables]
    return list(tables)


def _spell(y: np.ndarray) -> np.ndarray:
    return np.array([canonical(x).lower() for x in y.tolist()])


def check_index(X: Any, other: Any, name: str, what: str) -> None:
    """Refuse a pandas object whose rows are indexed otherwise than those of its table.

    Rows of which one side was numbered anew (`reset_index`) belong together by their place.
    """
    import pandas as pd

    if not isinstance(X, pd.DataFrame) or not isinstance(other, pd.Series | pd.DataFrame):
        return
    anew = pd.RangeIndex(len(X))
    if any(
        one.index.equals(anew) and set(two.index) != set(anew)
        for one, two in ((X, other), (other, X))
    ):
        return
    if len(X) == len(other) and not X.index.equals(other.index):
        raise PrivauditError(
            f"{name}: {what} whose index is not that of X",
            "whether rows belong together by their place or by their index is not known",
            "select both alike, such as y.loc[X.index], or pass arrays where places are meant",
        )


def read_group_argument(groups: Any, tables: Sequence[Any]) -> Any:
    """Names of columns, or name -> one array a table, of what a call passes as `groups`."""
    if groups is None or isinstance(groups, str):
        return groups
    if isinstance(groups, Mapping):
        chosen: dict[str, Any] = {str(name): parts for name, parts in groups.items()}
    elif all(isinstance(part, str) for part in groups):
        return list(groups)
    else:
        parts = list(groups)
        name = getattr(parts[0], "name", None)
        chosen = {str(name) if isinstance(name, str) else "group": parts}
    for name, parts in chosen.items():
        check_parts(parts, tables, f"groups of {name!r}")
    return chosen


def check_parts(parts: Any, tables: Sequence[Any], what: str) -> None:
    """Refuse arrays that are not one a table, or are indexed otherwise than the tables."""
    if len(parts) != len(tables) or any(isinstance(part, str) for part in parts):
        raise PrivauditError(
            f"{what}: {len(parts)} parts for {len(tables)} tables",
            "each table has its own",
            f"pass one array a table, in the order {', '.join(NAMES[: len(tables)])}",
        )
    for pair, part, name in zip(tables, parts, NAMES, strict=False):
        if isinstance(pair, tuple | list) and len(pair) == 2:
            check_index(pair[0], part, name, what)


def mark_sensitive(pools: Sequence[Records], names: Sequence[str]) -> list[Records]:
    """The pools with these columns marked as worth inferring about a patient."""
    known = [column.name for column in pools[0].columns]
    absent = [name for name in names if name not in known]
    if absent:
        raise PrivauditError(
            f"sensitive={list(names)}: no column {absent[0]!r} that the model reads",
            f"there are: {list_names(known, 12)}",
            "name columns of the frames, or x0, x1, ... of an array",
        )
    columns = tuple(
        replace(column, sensitive=True) if column.name in names else column
        for column in pools[0].columns
    )
    return [replace(pool, columns=columns) for pool in pools]


__all__ = ["align_tables", "check_parts", "mark_sensitive", "read_group_argument", "read_times"]
