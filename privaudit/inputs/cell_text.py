"""The cells of one column as texts, numbers or codes, whatever tool wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from privaudit.inputs.schema import OTHER

if TYPE_CHECKING:
    import polars as pl

NOT_RECORDED = ("", "na", "n/a", "#n/a", "nan", "<na>", "null", ".", "?")
"""Spellings, in any case, of a cell in which nothing was recorded."""

NO_NUMBER = ("none", "-", "--")
"""More of them where a number is expected; in a column of texts they may be a value."""

NO_PATIENT = ("", "nan", "na", "null", "none")
"""Spellings, in any case, of a patient's name that is missing."""

AGE_BANDS = ((0, 17), (18, 44), (45, 64), (65, 79), (80, 200))
NO_LABEL = "not recorded"


def to_texts(series: pl.Series) -> pl.Series:
    """A column as texts: whole numbers without a point, true and false for booleans."""
    import polars as pl

    kind = series.dtype
    if kind in (pl.String, pl.Categorical, pl.Enum):
        return series.cast(pl.String).str.strip_chars()
    if kind == pl.Binary:
        return pl.Series(series.name, [None] * len(series), dtype=pl.String)
    if kind.is_float():
        numbers = series.fill_nan(None)
        there = numbers.drop_nulls()
        if len(there) and (there % 1 == 0).all() and float(there.abs().max()) < 2**53:  # type: ignore[arg-type]
            return numbers.cast(pl.Int64).cast(pl.String)
        return numbers.cast(pl.String)
    return series.cast(pl.String)


def clean_texts(series: pl.Series, missing: Sequence[str] = NOT_RECORDED) -> pl.Series:
    """A column's texts without spaces around them, null where one of `missing` is spelled."""
    texts = to_texts(series)
    return texts.set(texts.str.to_lowercase().is_in(list(missing)).fill_null(True), None)


def to_numbers(series: pl.Series) -> tuple[pl.Series, int]:
    """A column as float64, null where not recorded, and how many cells are no number."""
    import polars as pl

    kind, bad = series.dtype, 0
    if kind == pl.Null or kind.is_numeric() or kind == pl.Boolean:
        found = series.cast(pl.Float64)
    else:
        texts = clean_texts(series, (*NOT_RECORDED, *NO_NUMBER))
        found = texts.cast(pl.Float64, strict=False)
        bad = int(found.null_count() - texts.null_count())
    found = found.fill_nan(None)
    infinite = found.is_infinite().fill_null(False)
    return found.set(infinite, None), bad + int(infinite.sum())


def to_codes(series: pl.Series, levels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The place of each cell among the levels.

    A level spelled as one of the words for not recorded is that level. Levels that are all numbers
    are compared as numbers: 1, 1.0 and 01 are one.

    Args:
        series: The column, of n cells.
        levels: The levels.

    Returns:
        (n,) float32 places in `levels`, NaN where not recorded; (n,) bool, recorded but not listed.
    """
    import polars as pl

    words = [word for word in NOT_RECORDED if word not in {level.lower() for level in levels}]
    texts = clean_texts(series, words)
    plain = [level for level in levels if level != OTHER]
    if _are_numbers(plain):
        # polars and Python may spell a float differently; polars' spelling is used on both sides.
        cells = texts.cast(pl.Float64, strict=False).cast(pl.String)
        keys = pl.Series([float(level) for level in plain], dtype=pl.Float64).cast(pl.String)
        table = {key: levels.index(level) for key, level in zip(keys.to_list(), plain, strict=True)}
        codes = cells.replace_strict(table, default=None, return_dtype=pl.Float64)
    else:
        table = {level.strip(): i for i, level in enumerate(levels) if level != OTHER}
        codes = texts.replace_strict(table, default=None, return_dtype=pl.Float64)
        if OTHER in levels:
            codes = codes.set((texts == OTHER).fill_null(False), float(levels.index(OTHER)))
    unknown = (codes.is_null() & texts.is_not_null()).to_numpy()
    return codes.to_numpy().astype(np.float32), unknown


def _are_numbers(levels: Sequence[str]) -> bool:
    try:
        return len({float(level) for level in levels}) == len(levels) > 0
    except ValueError:
        return False


def to_patients(series: pl.Series, numbers: dict[str, int]) -> tuple[np.ndarray, int]:
    """(n,) int64, each patient's number; and how many cells name no patient.

    numbers: name -> number, filled in with the next free number for a new name. 17 and 17.0 are one
    patient, however a tool spelled them.
    """
    import polars as pl

    texts = clean_texts(series, NO_PATIENT)
    missing = int(texts.null_count())
    texts = texts.fill_null("").str.replace(r"^(\d+)\.0+$", "$1")
    distinct = texts.unique(maintain_order=True)
    places = [numbers.setdefault(name, len(numbers)) for name in distinct.to_list()]
    codes = pl.Series(places, dtype=pl.Int64)
    return texts.replace_strict(distinct, codes, return_dtype=pl.Int64).to_numpy(), missing


def to_labels(series: pl.Series) -> np.ndarray:
    """(n,) labels of subgroups: ages in years become bands, other numbers stay as they are."""
    found, bad = to_numbers(series)
    texts = clean_texts(series).str.replace(r"^(-?\d+)\.0+$", "$1").fill_null(NO_LABEL)
    if bad or "age" not in series.name.lower().replace("-", "_").split("_"):
        return texts.to_numpy().astype(str)
    x = found.to_numpy()
    labels = np.full(len(x), NO_LABEL, dtype="<U12")
    for low, high in AGE_BANDS:
        labels[(x >= low) & (x < high + 1)] = f"{low}-{high}" if high < 200 else f"{low}+"
    return labels


def array_to_labels(name: str, values: np.ndarray) -> np.ndarray:
    """The labels of a column of subgroups that is in memory already."""
    import polars as pl

    if values.dtype == object:
        texts = [None if x is None or x != x else str(x) for x in values]
        return to_labels(pl.Series(name, texts, dtype=pl.String))
    return to_labels(pl.Series(name, values))


__all__ = [
    "NOT_RECORDED",
    "array_to_labels",
    "clean_texts",
    "to_codes",
    "to_labels",
    "to_numbers",
    "to_patients",
    "to_texts",
]
