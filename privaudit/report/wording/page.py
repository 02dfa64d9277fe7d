"""What stands around the sections: titles, badges, and the words that no sentence uses."""

from __future__ import annotations

import re
from collections.abc import Iterable

from privaudit.report.blocks import Badge, State
from privaudit.report.wording.nouns import fill
from privaudit.results import Data
from privaudit.words import CLAIMS

FORBIDDEN = CLAIMS

DISCLAIMER = (
    "This report does not say that a model or a data set is anonymous, compliant, safe, private, "
    "de-identified or certified. Those are legal or organisational decisions. It states what was "
    "tested, how often it succeeded, and how certain that number is."
)


def find_forbidden(text: str, names: Iterable[str] = ()) -> list[str]:
    """Forbidden words outside the fixed disclaimer; `names` are labels of the data, left aside."""
    for part in (DISCLAIMER, *sorted(names, key=len, reverse=True)):
        text = text.replace(part, " ")
    pattern = r"\b(" + "|".join(re.escape(word) for word in FORBIDDEN) + r")\b"
    return [found.lower() for found in re.findall(pattern, text, re.IGNORECASE)]


TITLE = "Privacy audit"
CONTENTS = "Contents"
SKIP = "Skip to the summary"
AUDITED = "Audited"
POLICY = "Policy"
MARKS = {"stop": "✕", "warn": "▲", "note": "○"}
DRAWING = "Chart, described by its title and the table below it"
CUE = "Scroll this box sideways to see all of it."
TABLE_OF = "The numbers in this chart"
PRINTED = "Made from the audit document alone. The same document gives the same report."

_BADGES: dict[State, Badge] = {
    "detected": Badge("▲ Leakage detected", "detected"),
    "learnt": Badge("▲ Leakage detected", "detected"),
    "unconfirmed": Badge("◇ Not confirmed", "small"),
    "undetected": Badge("○ No leakage detected", "undetected"),
    "stated": Badge("◇ On the {sites}’ word", "small"),
    "small": Badge("◇ Too few {people}", "small"),
    "underpowered": Badge("◇ Insufficient power", "underpowered"),
    "untested": Badge("– Not tested", "untested"),
    "shifted": Badge("◇ Distribution shift", "shifted"),
    "reversed": Badge("◇ Wrong way round", "reversed"),
    "invalid": Badge("✕ Invalid", "invalid"),
}


def get_badge(state: State) -> Badge:
    """How one release is to be read, in a word or two."""
    badge = _BADGES[state]
    return Badge(fill(badge.text), badge.state)


def word_subtitle(data: Data) -> str:
    """What was audited and on which data, under the page's title."""
    title = f"A model of “{data.title}”" if data.task == "own" else data.title
    return f"{title}, {data.source}"
