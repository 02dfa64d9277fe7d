"""What a report calls the people whom the records are about, and the places that hold them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache

from privaudit.errors import PrivauditError

LONGEST = 30
CLAIMS = ("anonymous", "compliant", "safe", "private", "de-identified", "certified")
"""Words that no report says of a model or of data: nor does a noun."""
_CLAIMED = (*CLAIMS, "anonym", "complian", "deidentif", "de-identif", "certif")
"""What of these words no noun holds in any of their forms: an anonymised person is a claim too."""
_PLACE = re.compile(r"\{(\w+)\}")
_VOWEL = re.compile(r"(?!uni|use|usu|eu|one\b)[aeiouàâäéèêëíîïóôöúûü]")
"""Nouns that take "an": by their letters, as nobody states how they sound."""
_WORD = re.compile(r"[^\W\d_]+(?:[ '’-][^\W\d_]+)*")


@dataclass(frozen=True)
class Words:
    """The nouns of a report, in the singular and in the plural.

    The person is the unit of privacy. A site holds the records of its own people and is a client of
    a federation. A record is one row of the data, of which a person may have several. Each noun is
    lower-case words: letters, with single spaces, hyphens or apostrophes between them, `LONGEST`
    characters at most, so that no noun can carry a value of the data; and it holds none of
    `CLAIMS`.

    Raises:
        PrivauditError: For a noun of another form.
    """

    person: str = "patient"
    people: str = "patients"
    site: str = "hospital"
    sites: str = "hospitals"
    record: str = "record"
    records: str = "records"

    def __post_init__(self) -> None:
        for one in fields(self):
            noun = getattr(self, one.name)
            if (
                not isinstance(noun, str)
                or len(noun) > LONGEST
                or noun != noun.lower()
                or not _WORD.fullmatch(noun)
                or any(claim in noun for claim in _CLAIMED)
            ):
                raise PrivauditError(
                    f"the word for {one.name!r}",
                    "it is one noun in lower-case letters, "
                    f"{LONGEST} characters at most, such as 'customer', and claims nothing",
                    "write for example person = 'customer' and people = 'customers'",
                )

    @property
    def forms(self) -> Mapping[str, str]:
        """Place -> what stands there.

        For each noun: the noun (`person`); with a capital (`Person`); with its article (`a_person`,
        `A_person`); and the possessive (`people_own`: patients’).
        """
        return _list_forms(self)

    def fill(self, template: str) -> str:
        """The template with these nouns in its places, such as {person}. Other places in braces
        stay."""
        return _PLACE.sub(lambda found: self.forms.get(found[1], found[0]), template)


@cache
def _list_forms(words: Words) -> Mapping[str, str]:
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


USUAL = Words()
"""Those of a task that names none, and of a document without words."""

__all__ = ["CLAIMS", "LONGEST", "USUAL", "Words"]
