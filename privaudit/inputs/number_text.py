"""The one syntax of numbers in texts, and the marks that tools and people put around numbers."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import polars as pl

NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
"""A number; Python and polars read more (1_000, infinity, Arabic digits), each its own."""

CODE = r"0[0-9]+(?:\.[0-9]*)?|[0-9]{1,3}E[0-9]{1,3}"
"""What looks like a number and is a code: 007, the ICD code 038.9, the group 5E1."""

GROUPED_BY_POINTS = r"[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+"
"""A number whose points may stand between thousands."""

_BLANKS = " \u00a0\u2009\u202f'\u2019"
_NUMBER, _CODE = re.compile(NUMBER), re.compile(CODE)
_PLAIN = re.compile(r"[+-]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_CENSORED = re.compile(r"(?:[<>]=?|=[<>]|[≤≥⩽⩾])\s*(.+)|(.+?)\s*\+")
_SUFFIX = re.compile(r"(.*?[0-9.])\s*((?:[%‰°µμ]|[^\W\d_])(?:[^\s].*)?)", re.DOTALL)
_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]{1,3})?")
_GROUPED = {
    mark: re.compile(rf"[+-]?[1-9][0-9]{{0,2}}(?:[{marks}][0-9]{{3}})+")
    for mark, marks in ((",", ","), (".", "."), (" ", _BLANKS))
}
_OTHER_SIGN = re.compile(rf"(?:{NUMBER})-|\((?:{NUMBER})\)|[^\w\s<>+.,-]\s*(?:{NUMBER})")


class Form(StrEnum):
    """How a text that is, or holds, a number is written."""

    NUMBER = "number"
    CODE = "code"
    COMMA = "comma"
    COMMA_OR_THOUSANDS = "comma_or_thousands"
    THOUSANDS_COMMA = "thousands_comma"
    THOUSANDS_POINT = "thousands_point"
    THOUSANDS_BLANK = "thousands_blank"
    CENSORED = "censored"
    SUFFIX = "suffix"
    ODD = "odd"
    WORD = "word"


WAYS = {
    Form.COMMA: "decimal commas",
    Form.COMMA_OR_THOUSANDS: "decimal commas or thousands separators",
    Form.THOUSANDS_COMMA: "thousands separators",
    Form.THOUSANDS_POINT: "thousands separators",
    Form.THOUSANDS_BLANK: "thousands separators",
    Form.CENSORED: "bounds such as < 1 or > 89",
    Form.SUFFIX: "a text after the number",
    Form.ODD: "a sign before or after the number",
    Form.CODE: "superfluous zeros",
    Form.WORD: "words",
}
"""How messages call what is no plain number."""


@dataclass(frozen=True)
class Spelling:
    """How numbers and missing values are written in a table or in one of its columns.

    Args:
        missing: Texts that say that nothing was recorded, beside the usual ones.
        decimal: The decimal mark, "." where nothing is said.
        thousands: What stands between groups of three digits; a blank stands for every kind of
            blank and for the apostrophe.
        censored: How `> 89` or `<0.01` is read: as the number behind the sign, or as missing.
        suffix: A text after every number, such as % or a unit, that is left out.
    """

    missing: tuple[str, ...] = ()
    decimal: Literal["", ".", ","] = ""
    thousands: Literal["", ",", ".", " "] = ""
    censored: Literal["", "bound", "missing"] = ""
    suffix: str = ""

    def over(self, table: Spelling) -> Spelling:
        """A column's spelling, where it is silent that of its table."""
        return Spelling(
            (*table.missing, *self.missing),
            self.decimal or table.decimal,
            self.thousands or table.thousands,
            self.censored or table.censored,
            self.suffix or table.suffix,
        )


PLAIN = Spelling()


def parse_number(text: str) -> float | None:
    """The number that a text is, None for every other text."""
    if not _NUMBER.fullmatch(text):
        return None
    found = float(text)
    return found if math.isfinite(found) else None


def is_code(text: str) -> bool:
    """Whether a text looks like a number and is a code."""
    return bool(_CODE.fullmatch(text))


def normalise_number(text: str) -> str:
    """1, 1.0 and +1 are one text; every text that is no plain number stays as it is."""
    if not _PLAIN.fullmatch(text):
        return text
    short = text.removeprefix("+")
    return short.rstrip("0").removesuffix(".") if "." in short else short


def find_form(text: str) -> Form:
    """How a text without blanks around it is written."""
    if _NUMBER.fullmatch(text):
        return Form.CODE if _CODE.fullmatch(text) else Form.NUMBER
    grouped = {mark for mark, pattern in _GROUPED.items() if pattern.fullmatch(text)}
    if _COMMA.fullmatch(text):
        return Form.COMMA_OR_THOUSANDS if grouped else Form.COMMA
    for mark, form, decimal in (
        (",", Form.THOUSANDS_COMMA, r"\."),
        (".", Form.THOUSANDS_POINT, ","),
        (" ", Form.THOUSANDS_BLANK, "[.,]"),
    ):
        if mark in grouped or re.fullmatch(rf"{_GROUPED[mark].pattern}{decimal}[0-9]+", text):
            return form
    censored = _CENSORED.fullmatch(text)
    if censored and _is_numeric(find_form((censored[1] or censored[2]).strip())):
        return Form.CENSORED
    if _OTHER_SIGN.fullmatch(text):
        return Form.ODD
    ended = _SUFFIX.fullmatch(text)
    if ended and _is_numeric(find_form(ended[1].strip())):
        return Form.SUFFIX
    return Form.WORD


def _is_numeric(form: Form) -> bool:
    return form not in (Form.WORD, Form.ODD, Form.CENSORED, Form.SUFFIX, Form.CODE)


def find_suffix(texts: Iterable[str]) -> str:
    """The text after the number that all of these share; "" for none."""
    found = {match[2] for text in texts if (match := _SUFFIX.fullmatch(text))}
    return found.pop() if len(found) == 1 else ""


class Sight(StrEnum):
    """What shows of a column of numbers how it is written; some of these exclude each other."""

    COMMA = "comma"
    POINT = "point"
    POINT_OR_THOUSANDS = "point_or_thousands"
    SUFFIX = "suffix"
    NO_SUFFIX = "no_suffix"


def read_number(text: str, spelling: Spelling) -> tuple[float | None, bool, tuple[Sight, ...]]:
    """Read one text as a spelling says.

    Returns:
        The number, None where there is none; whether the cell is missing (not at fault); what it
        shows of how the column is written.
    """
    if text.lower() in {word.strip().lower() for word in spelling.missing}:
        return None, True, ()
    sights: list[Sight] = []
    body = text
    if spelling.censored and (match := _CENSORED.fullmatch(body)):
        body = (match[1] or match[2]).strip()
        if spelling.censored == "missing" and find_form(body) is not Form.WORD:
            return None, True, ()
    if spelling.suffix:
        sights.append(Sight.SUFFIX if body.endswith(spelling.suffix) else Sight.NO_SUFFIX)
        body = body.removesuffix(spelling.suffix).strip()
    if spelling.thousands:
        mark = "[.,]" if spelling.thousands == " " else r"\." if spelling.thousands == "," else ","
        pattern = _GROUPED[spelling.thousands].pattern
        if re.fullmatch(rf"{pattern}(?:{mark}[0-9]+)?", body):
            head, *tail = re.split(mark, body)
            gone = _BLANKS if spelling.thousands == " " else spelling.thousands
            head = "".join(sign for sign in head if sign not in gone)
            body = head if not tail else f"{head}{re.findall(mark, body)[0]}{tail[0]}"
    if spelling.decimal == ",":
        if _COMMA.fullmatch(body):
            sights.append(Sight.COMMA)
            body = body.replace(",", ".")
        elif "." in body:
            grouped = _GROUPED["."].fullmatch(body)
            sights.append(Sight.POINT_OR_THOUSANDS if grouped else Sight.POINT)
    found = parse_number(body)
    if found is None:
        for word in spelling.missing:
            if (number := parse_number(word.strip())) is not None and number == parse_number(text):
                return None, True, ()
        return None, False, ()
    if any(parse_number(word.strip()) == found for word in spelling.missing):
        return None, True, ()
    return found, False, tuple(sights)


def contradict(sights: Mapping[Any, int]) -> int:
    """Of one column of one table: how many cells are written unlike the others; 0 for none.

    A column is written one way: 1,5 beside 1.5, or 65% beside 0.65, may be anything.
    """
    points = sights.get(Sight.POINT, 0) + sights.get(Sight.POINT_OR_THOUSANDS, 0)
    commas = sights.get(Sight.COMMA, 0)
    count = min(points, commas)
    if not count and sights.get(Sight.POINT_OR_THOUSANDS) and not sights.get(Sight.POINT):
        count = points
    return count + min(sights.get(Sight.SUFFIX, 0), sights.get(Sight.NO_SUFFIX, 0))


def to_floats(
    texts: pl.Series, spelling: Spelling = PLAIN
) -> tuple[pl.Series, pl.Series, Counter[Sight]]:
    """Texts without blanks around them as float64.

    Returns:
        (n,) numbers, null where there is none; (n,) bool, recorded but no number; what shows of how
        the column is written.
    """
    import polars as pl

    sights: Counter[Sight] = Counter()
    if spelling == PLAIN:
        is_number = texts.str.contains(rf"^(?:{NUMBER})$").fill_null(False)
        found = texts.set(~is_number, None).cast(pl.Float64, strict=False)
        found = found.set(found.is_infinite().fill_null(False), None)
        return found, found.is_null() & texts.is_not_null(), sights
    counts = texts.drop_nulls().value_counts()
    read: list[float | None] = []
    faulty: list[bool] = []
    for text, count in counts.rows():
        number, missing, seen = read_number(text, spelling)
        read.append(number)
        faulty.append(number is None and not missing)
        for sight in seen:
            sights[sight] += count
    keys = counts.to_series(0)
    numbers = pl.Series(read, dtype=pl.Float64)
    return (
        texts.replace_strict(keys, numbers, default=None, return_dtype=pl.Float64),
        texts.replace_strict(
            keys, pl.Series(faulty, dtype=pl.Boolean), default=False, return_dtype=pl.Boolean
        ).fill_null(False),
        sights,
    )


__all__ = [
    "GROUPED_BY_POINTS",
    "NUMBER",
    "PLAIN",
    "WAYS",
    "Form",
    "Sight",
    "Spelling",
    "contradict",
    "find_form",
    "find_suffix",
    "is_code",
    "normalise_number",
    "parse_number",
    "read_number",
    "to_floats",
]
