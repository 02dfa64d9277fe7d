"""The nouns of a report: what may be one, and what may not."""

from __future__ import annotations

import pytest

from privaudit.errors import PrivauditError
from privaudit.words import Words


@pytest.mark.parametrize("noun", ["customer", "écolier", "bank branch", "mother-child pair"])
def test_a_noun_is_lower_case_words(noun: str) -> None:
    assert Words(person=noun).person == noun


@pytest.mark.parametrize("noun", ["", "Smith", "a" * 31, "<b>", "clinic 7", "two\nlines", " x", 3])
def test_what_could_carry_a_value_is_refused(noun: str) -> None:
    with pytest.raises(PrivauditError, match="one noun in lower-case"):
        Words(site=noun)
