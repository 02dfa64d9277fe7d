"""The nouns of a report: what may be one, and what may not."""

from __future__ import annotations

import pytest

from privaudit.errors import PrivauditError
from privaudit.words import CLAIMS, Words


@pytest.mark.parametrize("noun", ["customer", "écolier", "bank branch", "mother-child pair"])
def test_a_noun_is_lower_case_words(noun: str) -> None:
    assert Words(person=noun).person == noun


@pytest.mark.parametrize(
    "noun", ["", "Smith", "a" * 31, "<b>", "clinic 7", "two\nlines", " x", 3, "{people}"]
)
def test_what_could_carry_a_value_is_refused(noun: str) -> None:
    with pytest.raises(PrivauditError, match="one noun in lower-case"):
        Words(site=noun)


@pytest.mark.parametrize("claim", [*CLAIMS, "anonymised", "compliance", "deidentified"])
def test_no_noun_claims_what_no_report_says(claim: str) -> None:
    with pytest.raises(PrivauditError, match="claims nothing"):
        Words(people=f"{claim} customers")


def test_places_are_filled_and_no_other() -> None:
    words = Words("heir", "heirs", "office", "offices", "item", "items")
    assert words.fill("{A_person}, {a_site}, {Records}") == "A heir, an office, Items"
    assert words.fill("{p_unit} {} {0} {Persons}") == "{p_unit} {} {0} {Persons}"
    assert set(words.forms.values()) & set(Words().forms.values()) == set()
