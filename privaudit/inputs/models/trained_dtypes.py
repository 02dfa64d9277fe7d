"""Values of a column in the dtype that it had in training."""

from __future__ import annotations

from typing import Any

import numpy as np

OBJECTS = {"bool": bool, "int": int, "float": float}
"""Numbers that stood in a column of Python objects, by their type: kinds `objects of int`, ..."""


def name_kind(column: Any) -> str:
    """The kind of a pandas column of numbers or truth values, as `restore_dtype` reads it."""
    if column.dtype != np.dtype(object):
        return str(column.dtype)
    there = [value for value in column if value is not None and value == value]
    for name, kinds in (
        ("bool", (bool, np.bool_)),
        ("int", (int, np.integer)),
    ):
        if there and all(isinstance(value, kinds) for value in there):
            return f"objects of {name}"
    return "objects of float"


def restore_dtype(values: np.ndarray, kind: str, *, nones: bool = False) -> Any:
    """The values as training saw them.

    Args:
        values: (n,) float64, NaN where nothing was recorded, or objects.
        kind: "" for as they are, "object", a numpy or pandas dtype, or "objects of int" and such.
        nones: Missing values of objects are None, and not NaN.
    """
    if kind in ("", "object", "category"):
        return values
    there = values == values
    if kind.startswith("objects of "):
        make = OBJECTS[kind.rpartition(" ")[2]]
        rounded = np.rint(values) if make is int else values
        missing = None if nones else np.nan
        found = np.empty(len(values), dtype=object)
        found[:] = [
            make(value) if known else missing for value, known in zip(rounded, there, strict=True)
        ]
        return found
    try:
        plain = np.dtype(kind)
    except TypeError:
        return _restore_extension(values, kind, there)
    if plain.kind in "iub":
        return np.rint(values).astype(plain) if there.all() else values
    return values.astype(plain) if plain.kind == "f" else values


def _restore_extension(values: np.ndarray, kind: str, there: np.ndarray) -> Any:
    """pandas' own types, whose missing values are NA."""
    import pandas as pd

    dtype = pd.api.types.pandas_dtype(kind)
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_integer_dtype(dtype):
        whole = np.rint(np.where(there, values.astype(np.float64), 0.0))
        whole = whole.astype(bool if pd.api.types.is_bool_dtype(dtype) else np.int64)
        return pd.Series(whole, dtype=dtype).where(there).array
    return pd.array(np.where(there, values, None), dtype=dtype)  # type: ignore[call-overload]


__all__ = ["name_kind", "restore_dtype"]
