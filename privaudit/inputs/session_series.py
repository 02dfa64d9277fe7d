"""Series of a Python session, beside its tables or in place of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.dataframe import Frames
from privaudit.inputs.series import require_person
from privaudit.records import Column

NAMES = ("members", "nonmembers", "reference")


def read_series_argument(
    series: Any, tables: Sequence[Any], patient: Any
) -> tuple[list[np.ndarray], list[Any]]:
    """The series of each table, (n, steps, channels) float32, and the tables, of which one without
    columns (X=None) is an empty frame.

    Args:
        series: One array a table, NaN where nothing was measured.
        tables: Members, non-members and, where there is one, the reference, as (X, y).
        patient: What names the person.

    Raises:
        PrivauditError: No person, arrays of other shapes, or infinite values.
    """
    import pandas as pd

    require_person("" if patient is None else "given")
    if not isinstance(series, tuple | list) or len(series) != len(tables):
        raise PrivauditError(
            "series that are not one array a table",
            "each table has its own",
            f"pass series=({', '.join(NAMES[: len(tables)])}), arrays of (n, steps, channels)",
        )
    read, made = [], []
    for one, pair, name in zip(series, tables, NAMES, strict=False):
        array = one.detach().cpu().numpy() if hasattr(one, "detach") else np.asarray(one)
        if array.ndim != 3 or array.dtype.kind not in "fiub" or 0 in array.shape:
            raise PrivauditError(
                f"{name}: series of shape {array.shape} and type {array.dtype}",
                "a series is an array of numbers, (n, steps, channels)",
                "stack the series of all records, NaN where nothing was measured",
            )
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
        if np.isinf(array).any():
            raise PrivauditError(
                f"{name}: values in the series that are infinite, or too large for 32 bits",
                "no distance and no gradient can be taken there",
                "replace them by NaN or by a bound",
            )
        if isinstance(pair, tuple | list) and len(pair) == 2:
            X, y = pair
            X = pd.DataFrame(index=range(len(array))) if X is None else X
            if len(X) != len(array):
                raise PrivauditError(
                    f"{name}: {len(array):,} series for {len(X):,} rows",
                    "the series are those of the rows, in their order",
                    "pass one series for every row",
                )
            pair = (X, y)
        read.append(array)
        made.append(pair)
    if len({one.shape[1:] for one in read}) > 1:
        raise PrivauditError(
            f"series of the shapes {', '.join(str(one.shape[1:]) for one in read)}",
            "(steps, channels) is one for all tables",
            "bring them to one length, NaN where nothing was measured",
        )
    return read, made


def with_series(read: Frames, series: Sequence[np.ndarray]) -> Frames:
    """The tables with their series."""
    channels = tuple(Column(f"channel {j}") for j in range(series[0].shape[2]))
    pools = [read.members, read.nonmembers, *([read.reference] if read.reference else [])]
    made = [
        replace(pool, series=own, channels=channels)
        for pool, own in zip(pools, series, strict=True)
    ]
    return replace(
        read,
        members=made[0],
        nonmembers=made[1],
        reference=made[2] if len(made) > 2 else None,
    )


__all__ = ["read_series_argument", "with_series"]
