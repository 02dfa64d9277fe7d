"""Why a hospital does not answer: a closed code that may leave, and words that stay."""

from __future__ import annotations

from typing import Literal, get_args

from privaudit.errors import PrivauditError

Code = Literal[
    "not_consented",  # no consent to these terms, or withdrawn
    "bad_terms",  # not signed by the operator, another roster, settings that are not the hospital's
    "bad_question",  # no such question, or a value that cannot be
    "bad_weights",  # not finite, or of another size
    "out_of_order",  # what has to come first has not
    "replay",  # an older round, or another question for a round that was answered
    "spent",  # more than was agreed to
    "bad_proof",  # a certificate or a signature that is not a hospital's of the roster
    "unsafe",  # an answer would show the update of one hospital
    "diverged",  # local training came to no finite numbers
    "bad_state",  # what is on disk is damaged, or of other records or terms
    "no_data",  # the hospital's own records cannot be used
]
CODES: tuple[str, ...] = get_args(Code)


class Refused(PrivauditError):
    """A refusal with the code that the coordinator may be given; the text stays here."""

    def __init__(self, code: Code, what: str, because: str, fix: str = "") -> None:
        super().__init__(what, because, fix or "ask the operator of the run")
        self.code = code


class Remembered(Refused):
    """A refusal that is kept: what it changed of the hospital's state goes on the disk."""


__all__ = ["CODES", "Code", "Refused", "Remembered"]
