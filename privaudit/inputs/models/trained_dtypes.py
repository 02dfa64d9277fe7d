"""Values of a column in the dtype that it had in training."""

from __future__ import annotations

from typing import Any

import numpy as np

OBJECTS = {"bool": bool, "int": int, "float": float}
"""Numbers that stood in a column of Python objects, by their type: kinds `objects of int`, ..."""


MOST_DECIMALS = 6
"""Decimals that single precision still tells apart; what was written with more stays as it is."""

SAMPLE = 256


def restore_decimals(x: np.ndarray) -> np.ndarray:
    """(n, d) or (n,) float64 of float32: columns of decimal numbers as they were written.

    2.73 in single precision is 2.7300000191: a model whose threshold lies at 2.73 in double
    precision answers otherwise there. A column is restored where all of its values are the nearest
    to some number of as many decimals, and else stays as it is.
    """
    wide = x.astype(np.float64)
    if wide.ndim == 1:
        return _restore_column(wide, x)
    for j in range(wide.shape[1]):
        wide[:, j] = _restore_column(wide[:, j], x[:, j])
    return wide


def _restore_column(wide: np.ndarray, x: np.ndarray) -> np.ndarray:
    there = wide[np.isfinite(wide)]
    some = there[:SAMPLE]
    for decimals in range(MOST_DECIMALS + 1):
        if not _are_nearest(_round(some, decimals), some):
            continue
        made = _round(wide, decimals)
        if _are_nearest(made[np.isfinite(wide)], there):
            return made
    return wide


def _round(x: np.ndarray, decimals: int) -> np.ndarray:
    # A whole number over a power of ten is the double nearest to the decimal number.
    result: np.ndarray = np.rint(x * 10.0**decimals) / 10.0**decimals
    return result


def _are_nearest(made: np.ndarray, x: np.ndarray) -> bool:
    return bool((made.astype(np.float32) == x.astype(np.float32)).all())


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


__all__ = ["name_kind", "restore_decimals", "restore_dtype"]
