"""Errors that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_IN_PYTHON: ContextVar[bool] = ContextVar("privaudit_in_python", default=False)


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


def spell(command: str, python: str) -> str:
    """The spelling that fits where the audit was asked for.

    Args:
        command: Of the command line, such as "--outcome COLUMN".
        python: Of a Python session, such as "outcome=...".

    Returns:
        One of the two.
    """
    return python if _IN_PYTHON.get() else command


@contextmanager
def python_session() -> Iterator[None]:
    """Within this block `spell` gives the spelling of a Python session."""
    token = _IN_PYTHON.set(True)
    try:
        yield
    finally:
        _IN_PYTHON.reset(token)


__all__ = ["PrivauditError", "python_session", "spell"]
