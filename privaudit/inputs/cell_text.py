"""The cells of one column as texts, numbers or codes, whatever tool wrote them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.inputs.number_text import (
    PLAIN,
    Form,
    Sight,
    Spelling,
    find_form,
    normalise_number,
    parse_number,
    to_floats,
)

if TYPE_CHECKING:
    import polars as pl

OTHER = "(other)"
"""The level that stands for every value not listed, where a category lists it."""

NOT_RECORDED = (
    *("", "na", "n/a", "#n/a", "#na", "#n/a n/a", "n.a.", "nan", "-nan", "nat", "<na>", "null"),
    *("(null)", "[null]", "#null!", "\\n", ".", "?", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"),
    *("#value!", "#div/0!", "#ref!", "#name?", "#num!"),
)
"""Spellings, in any case, of a cell in which nothing was recorded."""

NO_NUMBER = ("none", "nil", "-", "--", "---", "–", "—", "missing", "not recorded")
"""More of them where a number is expected; in a column of texts they may be a value."""

NO_PATIENT = (*NOT_RECORDED, "none", "-", "--")
"""Spellings, in any case, of a patient's name that is missing."""

TRUE = ("true", "t", "yes", "y", "1", "on", "oui", "si", "sí", "vero")
FALSE = ("false", "f", "no", "n", "0", "off", "non", "falso")
"""Spellings, in any case, of the values of a boolean column. Not of languages in which sorting
puts true first (ja, nein): what a model took for 1 there cannot be known."""

EXACT_FLOATS = 2**53
"""Above, a float64 holds only every second whole number: two patients may be one."""

LOOKED_AT = 2_000
"""Different cells without a number of which it is said how they are written."""

AGE_BANDS = ((0, 17), (18, 44), (45, 64), (65, 79), (80, 200))
NO_LABEL = "not recorded"

_WRITTEN_AS_FLOAT = r"^[0-9](?:\.[0-9]+)?[eE]\+[0-9]+$"


def to_texts(series: pl.Series) -> pl.Series:
    """A column as texts without blanks around them, composed as Unicode's NFC.

    Whole numbers have no point; booleans are true and false.
    """
    import polars as pl

    kind = series.dtype
    if kind == pl.Binary:
        series = series.cast(pl.String)
        kind = series.dtype
    if kind in (pl.String, pl.Categorical, pl.Enum):
        texts = series.cast(pl.String)
        if (texts.str.len_bytes() > texts.str.len_chars()).any():
            texts = texts.str.normalize("NFC").str.replace_all(
                "[\u200b\u200e\u200f\u2060\ufeff]", ""
            )
        return texts.str.strip_chars()
    if kind.is_float():
        numbers = series.fill_nan(None)
        there = numbers.drop_nulls()
        if len(there) and (there % 1 == 0).all() and float(there.abs().max()) < EXACT_FLOATS:  # type: ignore[arg-type]
            return numbers.cast(pl.Int64).cast(pl.String)
        return numbers.cast(pl.String)
    return series.cast(pl.String)


def is_word(texts: pl.Series, words: Sequence[str]) -> pl.Series:
    """(n,) bool: whether a text is one of these words, in any case; null where there is none."""
    return texts.str.to_lowercase().is_in([word.strip().lower() for word in words])


def clean_texts(series: pl.Series, missing: Sequence[str] = NOT_RECORDED) -> pl.Series:
    """A column's texts without blanks around them, null where one of `missing` is spelled."""
    texts = to_texts(series)
    return texts.set(is_word(texts, missing).fill_null(True), None)


def fold(level: str) -> str:
    """What a level shares with its other spellings: case, blanks, Unicode, superfluous zeros."""
    plain = " ".join(unicodedata.normalize("NFKC", level).casefold().split())
    number = parse_number(plain)
    return plain if number is None else repr(number)


def to_boolean(text: str) -> bool | None:
    """What a text says in a boolean column, None for nothing."""
    word = normalise_number(text).lower()
    return True if word in TRUE else False if word in FALSE else None


def place_booleans(levels: Sequence[str]) -> dict[bool, int]:
    """Where false and true are among the two levels of a boolean column; empty for others."""
    said = {to_boolean(level): place for place, level in enumerate(levels)}
    if len(levels) != 2 or set(said) != {False, True}:
        return {}
    return {bool(value): place for value, place in said.items()}


def to_numbers(
    series: pl.Series, spelling: Spelling = PLAIN, *, binary: bool = False
) -> tuple[pl.Series, int, Counter[Sight | Form]]:
    """A column as float64, null where not recorded.

    Args:
        series: The column, of n cells.
        spelling: How its numbers are written.
        binary: Whether true, yes and the like are 1.

    Returns:
        (n,) numbers; how many cells are no number; what shows of how the column is written, and in
        which ways the cells that are no number are.
    """
    import polars as pl

    kind = series.dtype
    if kind == pl.Null or kind.is_numeric() or kind == pl.Boolean:
        found = series.cast(pl.Float64).fill_nan(None)
        infinite = found.is_infinite().fill_null(False)
        gone = [number for word in spelling.missing if (number := parse_number(word)) is not None]
        left = found.set(found.is_in(gone).fill_null(False), None) if gone else found
        return left.set(infinite, None), int(infinite.sum()), Counter()
    texts = clean_texts(series, (*NOT_RECORDED, *NO_NUMBER))
    if binary:
        words = {w: digit for digit, some in (("0", FALSE), ("1", TRUE)) for w in some}
        texts = texts.str.to_lowercase().replace(words)
    found, faulty, sights = to_floats(texts, spelling)
    shown: Counter[Sight | Form] = Counter(sights)
    if faulty.any():
        shown.update(map(find_form, texts.filter(faulty).unique().head(LOOKED_AT).to_list()))
    return found, int(faulty.sum()), shown


def to_codes(
    series: pl.Series, levels: Sequence[str], missing: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray, int]:
    """The place of each cell among the levels.

    A level spelled as one of the words for not recorded is that level. 1 and 1.0 are one level; 01
    and 1e0 are others. The two levels of a boolean column may be spelled in any of its ways.

    Args:
        series: The column, of n cells.
        levels: The levels.
        missing: More words for not recorded.

    Returns:
        (n,) float32 places in `levels`, NaN where not recorded; (n,) bool, recorded but not listed;
        how many of these differ from a level by case, blanks or the like alone.
    """
    import polars as pl

    words = (*NOT_RECORDED, *missing)
    listed = {level.lower() for level in levels}
    texts = clean_texts(series, [word for word in words if word.strip().lower() not in listed])
    cells = texts.drop_nulls().unique()
    plain = {unicodedata.normalize("NFC", x).strip(): i for i, x in enumerate(levels)}
    by_number = {normalise_number(level): i for level, i in plain.items()}
    booleans = place_booleans(levels)
    folded = {fold(level) for level in levels if level != OTHER}
    places: list[int | None] = []
    respelled = []
    for cell in cells.to_list():
        place = plain.get(cell, by_number.get(normalise_number(cell)))
        said = to_boolean(cell) if booleans else None
        if place is None and said is not None:
            place = booleans[said]
        places.append(place)
        if place is None and fold(cell) in folded:
            respelled.append(cell)
    codes = texts.replace_strict(
        cells, pl.Series(places, dtype=pl.Float64), default=None, return_dtype=pl.Float64
    )
    unknown = (codes.is_null() & texts.is_not_null()).to_numpy()
    alike = int(texts.is_in(respelled).fill_null(False).sum()) if respelled else 0
    return codes.to_numpy().astype(np.float32), unknown, alike


def to_patients(series: pl.Series, numbers: dict[str, int]) -> tuple[np.ndarray, int, int]:
    """Each patient's number.

    A patient's name is a text; 17 and 17.0 are one patient, as tools write whole numbers, 017 is
    another.

    Args:
        series: The column, of n cells.
        numbers: Name -> number, filled in with the next free number for a new name.

    Returns:
        (n,) int64 numbers; how many cells name no patient; how many were rounded before they came
        here, so that two patients may be one.
    """
    import polars as pl

    kind, rounded = series.dtype, 0
    if kind.is_float():
        limit = 2**24 if kind == pl.Float32 else EXACT_FLOATS
        rounded = int((series.abs() >= limit).fill_null(False).sum())
    texts = clean_texts(series, NO_PATIENT)
    missing = int(texts.null_count())
    texts = texts.fill_null("")
    pointed = texts.str.extract(r"^([0-9]{16,})\.0+$")
    large = pointed.cast(pl.UInt64, strict=False).fill_null(0) >= EXACT_FLOATS
    rounded += int((texts.str.contains(_WRITTEN_AS_FLOAT) | (large & pointed.is_not_null())).sum())
    texts = texts.str.replace(r"^(-?[0-9]+)\.0+$", "$1")
    distinct = texts.unique(maintain_order=True)
    places = [numbers.setdefault(name, len(numbers)) for name in distinct.to_list()]
    codes = pl.Series(places, dtype=pl.Int64)
    found = texts.replace_strict(distinct, codes, return_dtype=pl.Int64).to_numpy()
    return found, missing, rounded


def to_labels(series: pl.Series, spelling: Spelling = PLAIN) -> np.ndarray:
    """(n,) labels of subgroups: ages in years become bands, other numbers stay as they are."""
    found, bad, _ = to_numbers(series, spelling)
    texts = clean_texts(series, (*NOT_RECORDED, *spelling.missing))
    texts = texts.str.replace(r"^(-?[0-9]+)\.0+$", "$1").str.replace(r"^(?i:true)$", "true")
    texts = texts.str.replace(r"^(?i:false)$", "false").fill_null(NO_LABEL)
    if bad or "age" not in series.name.lower().replace("-", "_").split("_"):
        return texts.to_numpy().astype(str)
    x = found.to_numpy()
    labels = np.full(len(x), NO_LABEL, dtype="<U12")
    for low, high in AGE_BANDS:
        labels[(x >= low) & (x < high + 1)] = f"{low}-{high}" if high < 200 else f"{low}+"
    return labels


def array_to_series(name: str, values: Any) -> pl.Series:
    """An array, a pandas series or a list as a column; None, NaN, NaT, pd.NA and masks are missing.

    No whole number passes through a float.
    """
    import pandas as pd
    import polars as pl

    if isinstance(values, pl.Series):
        return values.rename(name)
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values).ravel()
        values = np.array(np.ma.getdata(values), dtype=object).ravel()
        values[mask] = None
    if not isinstance(values, pd.Series):
        values = pd.Series(np.asarray(values).ravel())
    kind, missing = values.dtype, values.isna().to_numpy()
    if pd.api.types.is_float_dtype(kind):
        exact = np.float32 if str(kind).lower() in ("float32", "float[pyarrow]") else np.float64
        array = values.to_numpy(dtype=exact, na_value=np.nan)
        return pl.Series(name, array).fill_nan(None)
    if pd.api.types.is_datetime64_any_dtype(kind):
        return pl.Series(name, values.dt.tz_localize(None).to_numpy(dtype="datetime64[ms]"))
    texts = [None if gone else _to_text(x) for x, gone in zip(values, missing, strict=True)]
    return pl.Series(name, texts, dtype=pl.String)


def _to_text(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


__all__ = [
    "NOT_RECORDED",
    "NO_LABEL",
    "NO_NUMBER",
    "OTHER",
    "array_to_series",
    "clean_texts",
    "fold",
    "is_word",
    "place_booleans",
    "to_boolean",
    "to_codes",
    "to_labels",
    "to_numbers",
    "to_patients",
    "to_texts",
]
