"""The nouns of the sentences: those of the task that a report is about.

A sentence holds a place for each noun, never the noun itself: `{w.people}` where Python fills it,
and `{people}` in a `Phrase` or a table. Places are filled before a name of the data enters the
sentence, so that no name is ever changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from privaudit.words import USUAL, Words

_CURRENT: ContextVar[Words] = ContextVar("privaudit_words", default=USUAL)


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


def fill(template: str) -> str:
    """The template with its nouns; other places in braces stay for whoever fills them."""
    return get_words().fill(template)


def say(template: str, params: Mapping[str, Any]) -> str:
    """The template with its parameters and its nouns. A parameter goes before a noun of its
    name."""
    text: str = template.format(**{**get_words().forms, **params})
    return text


UNITS = {"patient": "person", "stay": "record"}
"""Units of a guarantee -> the noun that the task has for it. Others keep their names."""


def name_unit(unit: str) -> str:
    """Whom or what a guarantee of differential privacy is for."""
    return get_words().forms[UNITS[unit]] if unit in UNITS else unit


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
            return get_words().forms[name]
        except KeyError:
            raise AttributeError(f"no noun is called {name!r}") from None


w = _Nouns()

__all__ = [
    "Phrase",
    "Phrases",
    "fill",
    "get_words",
    "name_unit",
    "say",
    "use_words",
    "w",
]
