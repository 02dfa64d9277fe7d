"""What the report knows of attacks, methods, criteria and terms, from the tables beside this
file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from privaudit.report.wording.nouns import fill, get_words, use_words
from privaudit.report.wording.tables import read_table
from privaudit.words import Words

TrainingKind = Literal["pooled", "local", "federated", "split", "dp", "synthetic", "other"]


@dataclass(frozen=True)
class AttackNote:
    """An attack in plain words with its sources. guess: what it is compared with where the attacker
    does not have the release."""

    label: str
    title: str
    how: str
    sources: tuple[str, ...]
    guess: str = ""


@dataclass(frozen=True)
class MethodNote:
    """A way of training in plain words. kind: which others it is compared with."""

    label: str
    kind: TrainingKind
    how: str


@dataclass(frozen=True)
class Criterion:
    """What an authority or a standard asks for. classes: the classes of attack that bear on it;
    none: `note` alone answers it."""

    source: str
    where: str
    asks: str
    classes: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Term:
    """A glossary entry. linked: words of the running text that lead to it."""

    anchor: str
    term: str
    meaning: str
    linked: tuple[str, ...] = ()


def attack_notes() -> Mapping[str, AttackNote]:
    """Attack name -> what the report says of it. An attack without a note is still reported."""
    return _attack_notes(get_words())


@cache
def _attack_notes(words: Words) -> Mapping[str, AttackNote]:
    with use_words(words):
        return {name: AttackNote(**_fill(entry)) for name, entry in read_table("attacks").items()}


def method_notes() -> Mapping[str, MethodNote]:
    """Method name -> how it trains."""
    return _method_notes(get_words())


@cache
def _method_notes(words: Words) -> Mapping[str, MethodNote]:
    with use_words(words):
        return {name: MethodNote(**_fill(entry)) for name, entry in read_table("methods").items()}


@cache
def criteria() -> tuple[str, str, tuple[Criterion, ...]]:
    """Version of the catalogue, the day it was last checked, and its entries."""
    tree = read_table("criteria")
    entries = tuple(Criterion(**entry) for entry in tree["criterion"])
    return tree["version"], tree["as_of"], entries


def glossary() -> tuple[Term, ...]:
    """Every term in alphabetical order."""
    return _glossary(get_words())


@cache
def _glossary(words: Words) -> tuple[Term, ...]:
    with use_words(words):
        table = read_table("glossary").items()
        entries = (Term(anchor, **_fill(entry)) for anchor, entry in table)
        return tuple(sorted(entries, key=lambda term: term.term.casefold()))


def _fill(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The texts of an entry with the nouns in use."""
    return {
        name: tuple(map(fill, one)) if isinstance(one, tuple) else fill(one)
        for name, one in entry.items()
    }


def glossary_markdown() -> str:
    """The glossary as a page of the documentation."""
    head = (
        "# Glossary\n\nThe words of the reports and of this documentation. Made from "
        "`privaudit/report/wording/glossary.toml`, which the reports print as well.\n"
    )
    return head + "".join(
        f"\n## {term.term} {{ #{term.anchor} }}\n\n{term.meaning}\n" for term in glossary()
    )


def name_attack(attack: str) -> str:
    """The attack's name for a reader; one without a note keeps its own."""
    note = attack_notes().get(attack)
    return note.label if note is not None else attack


def kind_of_method(method: str) -> TrainingKind:
    """Which others a method is compared with; "other" for one that is not known here."""
    note = method_notes().get(method)
    return note.kind if note is not None else "other"
