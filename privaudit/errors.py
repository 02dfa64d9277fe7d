"""Errors that a person can act on."""

from __future__ import annotations


class PrivauditError(Exception):
    """What came, why it cannot work, and what to do.

    what: the fact, naming the value that came. because: why it cannot work, with the range
    allowed. fix: the remedy. None of the three may hold a row of data or a patient key.
    """

    def __init__(self, what: str, because: str, fix: str) -> None:
        super().__init__(what, because, fix)
        self.what, self.because, self.fix = what, because, fix

    def __str__(self) -> str:
        return f"{self.what}\n  because: {self.because}\n  do this: {self.fix}"
