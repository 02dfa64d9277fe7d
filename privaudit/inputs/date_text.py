"""Dates however a tool or a person writes them: they identify patients, 45 CFR 164.514(b)(2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_MONTH = (
    "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec"
    "|january|february|march|april|june|july|august|september|october|november|december"
    "|j[äa]n(?:ner|uar)|feber|februar|m[äa]e?rz?|mrz|mai|juni|juli|okt|oktober|dez|dezember"
    "|janv|janvier|f[ée]vr?|f[ée]vrier|mars|avr|avril|juin|juil|juillet|ao[ûu]t|septembre|octobre"
    "|novembre|d[ée]c|d[ée]cembre"
    "|ene|enero|febrero|marzo|abr|abril|mayo|junio|julio|ago|agosto|set|septiembre|setiembre"
    "|octubre|noviembre|dic|diciembre"
    "|gen|gennaio|febbraio|mag|maggio|aprile|giu|giugno|lug|luglio|settembre|ott|ottobre|dicembre"
    "|fevereiro|janeiro|mar[çc]o|maio|junho|julho|setembro|out|outubro|novembro|dezembro"
    "|januari|februari|mrt|maart|mei|augustus)"
)
_PLAIN_MONTH = (
    "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
    "|january|february|march|april|june|july|august|september|october|november|december)"
)
_DAY = "(?:0?[1-9]|[12][0-9]|3[01])"
_YEAR = "(?:[0-9]{4}|'?[0-9]{2})"
_FOUR = "[12][0-9]{3}"
_TIME = (
    r"(?:(?:[ T:,]|\s+at\s+|\s+um\s+)\s*[0-9]{1,2}[:.h][0-9]{2}(?:[:.][0-9]{2}(?:[.,][0-9]+)?)?"
    r"\s*(?:[ap]\.?m\.?|uhr|z|utc|gmt|[+-][0-9]{2}(?::?[0-9]{2})?)?(?:\[[\w/]+\])?)?"
)
_WEEKDAY = r"(?:[^\W\d_]{2,10}\.?,?\s+)?"
_TEXTS = (
    rf"{_FOUR}[-/.][0-9]{{1,2}}[-/.][0-9]{{1,2}}{_TIME}",
    rf"[0-9]{{1,2}}[-/.]\s?[0-9]{{1,2}}[-/.]\s?{_YEAR}{_TIME}",
    rf"{_WEEKDAY}{_DAY}(?:st|nd|rd|th|er|º|\.)?[-/ .]?\s*(?:of |de |di )?{_MONTH}\.?,?"
    rf"(?:[-/ .,]|\s+(?:de|del|di)\s+)?\s*{_YEAR}{_TIME}",
    rf"{_WEEKDAY}{_MONTH}\.?[-/ ]\s*{_DAY}(?:st|nd|rd|th)?(?:,|[-/ ])\s*{_YEAR}{_TIME}",
    rf"{_FOUR}[-/ ]{_MONTH}\.?[-/ ]{_DAY}{_TIME}",
    rf"{_WEEKDAY}{_MONTH}\s+{_DAY}\s+[0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}})?(?:\s+[A-Z]+)?\s+{_FOUR}",
    # Month and year: of dates, the year alone may stay.
    rf"{_MONTH}\.?(?:[-/ ,]|\s+de\s+)?\s*{_YEAR}",
    rf"{_FOUR}[-/ ]?{_MONTH}",
    rf"{_FOUR}[-/](?:0[1-9]|1[0-2])",
    rf"(?:0?[1-9]|1[0-2])[/-]{_FOUR}",
    rf"{_FOUR}[-/ ]?q[1-4]|q[1-4][-/ ]?{_FOUR}",
    rf"{_FOUR}-?w[0-5][0-9](?:-?[1-7])?",
    # Without a year.
    rf"{_DAY}\.?[-/ ]?{_PLAIN_MONTH}|{_PLAIN_MONTH}[-/ .]+{_DAY}|{_DAY}\.(?:0?[1-9]|1[0-2])\.",
    rf"{_FOUR}年.*",
    r"[12][0-9]{7}T[0-9]{4}(?:[0-9]{2})?(?:Z|[+-][0-9]{4})?",
)
_TEXT = "|".join(_TEXTS)
_SPAN = rf"(?i)^(?:{_TEXT})(?:\s*(?:-|–|—|/|to|until|bis|a|à)\s*(?:{_TEXT}))?$"
_NUMBER_YEAR = "(?:1[89][0-9]{2}|2[01][0-9]{2}|220[0-9])"
_M, _D = "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = "(?:(?:[01][0-9]|2[0-3])[0-5][0-9](?:[0-5][0-9])?)?"
_NUMBERS = (
    rf"{_NUMBER_YEAR}{_M}{_D}{_CLOCK}(?:\.0+)?",
    rf"(?:{_D}|[1-9]){_M}{_NUMBER_YEAR}",
    rf"(?:{_M}|[1-9]){_D}{_NUMBER_YEAR}",
    rf"{_NUMBER_YEAR}{_M}",
    rf"{_NUMBER_YEAR}(?:00[1-9]|0[1-9][0-9]|[12][0-9]{{2}}|3[0-5][0-9]|36[0-6])",
    rf"[0-9]{{2}}{_M}{_D}",
    rf"(?:{_D}|[1-9]){_M}[0-9]{{2}}",
    rf"(?:{_M}|[1-9]){_D}[0-9]{{2}}",
)
SHARE = 0.2
"""Of texts: the rest may be 'unknown', 'ongoing' or another way to write a date."""

NUMBER_SHARE = 0.95
"""Of plain numbers: some counts look like a date by chance."""

MIN_DISTINCT = 20
"""Different values of which a share is taken."""

EPOCHS = ((3.0e8, 8.0e9), (3.0e11, 8.0e12))
"""Seconds and milliseconds since 1970 of the years 1980 to 2220."""


def are_dates(texts: pl.Series) -> bool:
    """Whether a column of texts (recorded ones, without blanks around them) holds dates."""
    if not len(texts):
        return False
    distinct = texts.unique()
    written = distinct.str.contains(_SPAN)
    if float(written.mean() or 0) >= SHARE:  # type: ignore[arg-type]
        return True
    # Of cells or of different values: one that stands for a missing date may be common.
    some = [texts, distinct] if len(distinct) >= MIN_DISTINCT else [texts]
    return any(
        float(part.str.contains(rf"^(?:{pattern})$").mean() or 0) >= NUMBER_SHARE  # type: ignore[arg-type]
        for pattern in _NUMBERS
        for part in some
    )


def is_date(text: str) -> bool:
    """Whether one text, which is no number, is a date."""
    return re.search(_SPAN, text) is not None


def may_be_epochs(low: float, high: float, integer: bool, distinct: int) -> bool:
    """Whether numbers may be seconds or milliseconds since 1970."""
    return (
        integer and distinct > 20 and any(least <= low and high <= most for least, most in EPOCHS)
    )


__all__ = ["are_dates", "is_date", "may_be_epochs"]
