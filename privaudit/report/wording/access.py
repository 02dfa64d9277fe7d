"""What an attacker can do, by the names of `privaudit.contracts.Access`, as `access.toml` words
it."""

from __future__ import annotations

from dataclasses import dataclass

from privaudit.report.wording.nouns import fill
from privaudit.report.wording.tables import read_table


@dataclass(frozen=True)
class AccessNote:
    """One kind of access. does: what the attacker can do; who: who could; short: the head of a
    column; knowledge: the level of NIST AI 100-2."""

    does: str
    who: str
    short: str
    knowledge: str


ACCESS = {name: AccessNote(**entry) for name, entry in read_table("access").items()}
"""The most telling first."""


def name_access(access: str) -> str:
    """What the attacker can do; an unknown name is printed as it came."""
    return ACCESS[access].does if access in ACCESS else access


def shorten_access(access: str) -> str:
    """The same in a word or two."""
    return ACCESS[access].short if access in ACCESS else access


def name_who(access: str) -> str:
    """Who could do so."""
    return fill(ACCESS[access].who)


__all__ = ["ACCESS", "AccessNote", "name_access", "name_who", "shorten_access"]
