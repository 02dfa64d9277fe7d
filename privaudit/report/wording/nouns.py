"""The nouns of the sentences: those of the task that a report is about.

A sentence holds a place for each noun, never the noun itself: `{w.people}` where Python fills it,
and `{people}` in a `Phrase` or a table. Places are filled before a name of the data enters the
sentence, so that no name is ever changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from privaudit.words import USUAL, Words

_CURRENT: ContextVar[Words] = ContextVar("privaudit_words", default=USUAL)
_PLACE = re.compile(r"\{(\w+)\}")
_VOWEL = re.compile(r"(?!uni|use|usu|eu|one\b)[aeiouàâäéèêëíîïóôöúûü]")
"""Nouns that take "an": by their letters, as nobody states how they sound."""


@contextmanager
def use_words(words: Words) -> Iterator[None]:
    """Within it every sentence uses these nouns; outside, those of `Words()`."""
    token = _CURRENT.set(words)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def get_words() -> Words:
    """The nouns in use."""
    return _CURRENT.get()


@cache
def list_forms(words: Words) -> Mapping[str, str]:
    """Place -> what stands there.

    For each noun: the noun (`person`); with a capital (`Person`); with its article (`a_person`,
    `A_person`); and for more than one the possessive (`people_own`: patients’).
    """
    found: dict[str, str] = {}
    for one in fields(words):
        noun: str = getattr(words, one.name)
        article = "an" if _VOWEL.match(noun) else "a"
        found |= {
            one.name: noun,
            one.name.capitalize(): noun[:1].upper() + noun[1:],
            f"a_{one.name}": f"{article} {noun}",
            f"A_{one.name}": f"{article.capitalize()} {noun}",
            f"{one.name}_own": noun + ("’" if noun.endswith("s") else "’s"),
        }
    return found


def fill(template: str) -> str:
    """The template with its nouns; other places in braces stay for whoever fills them."""
    forms = list_forms(get_words())
    return _PLACE.sub(lambda found: forms.get(found[1], found[0]), template)


def say(template: str, params: Mapping[str, Any]) -> str:
    """The template with its parameters and its nouns. A parameter goes before a noun of its
    name."""
    text: str = template.format(**{**list_forms(get_words()), **params})
    return text


UNITS = {"patient": "person", "stay": "record"}
"""Units of a guarantee -> the noun that the task has for it. Others keep their names."""


def name_unit(unit: str) -> str:
    """Whom or what a guarantee of differential privacy is for."""
    return list_forms(get_words())[UNITS[unit]] if unit in UNITS else unit


@dataclass(frozen=True)
class Phrase:
    """A fixed text with places for nouns; call it for the text itself."""

    template: str

    def __call__(self) -> str:
        return fill(self.template)

    __str__ = __call__


@dataclass(frozen=True)
class Phrases:
    """Several of them, such as the heads of a table's columns."""

    templates: tuple[str, ...]

    def __call__(self) -> tuple[str, ...]:
        return tuple(map(fill, self.templates))


class _Nouns:
    """The forms of the nouns in use as attributes, for f-strings."""

    def __getattr__(self, name: str) -> str:
        try:
            return list_forms(get_words())[name]
        except KeyError:
            raise AttributeError(f"no noun is called {name!r}") from None


w = _Nouns()

__all__ = [
    "Phrase",
    "Phrases",
    "fill",
    "get_words",
    "list_forms",
    "name_unit",
    "say",
    "use_words",
    "w",
]
