"""What is common to the protocols: what a server says of a model, and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from privaudit.errors import PrivauditError, spell
from privaudit.inputs.endpoints.cells import Cells
from privaudit.inputs.endpoints.transport import Transport

COLUMNS, TENSOR = "columns", "tensor"
INPUTS = ("", COLUMNS, TENSOR)


@dataclass(frozen=True)
class Described:
    """A model as the server describes it, with what the user states.

    inputs: `columns` or `tensor`; names: of its inputs, None where it names none; wide: numbers of
    its matrix, classes: of its answers, None where it does not say; version: "" for unknown;
    answers: what they are, "" where that is read off the first ones.
    """

    inputs: str
    names: tuple[str, ...] | None
    wide: int | None
    classes: int | None
    version: str
    answers: str


class Speaks(Protocol):
    """A protocol, set for one model."""

    def ask(self, transport: Transport, cells: Cells) -> list[Any]:
        """One raw answer a row: a number, a label, or a list of numbers."""
        ...

    def refuse_less(self, transport: Transport, cells: Cells) -> int:
        """PrivauditError where the server answers others with more than what is asked for; returns
        how many rows were asked about to find out."""
        ...


def undecided_inputs() -> PrivauditError:
    """A server that does not say how rows are sent."""
    return PrivauditError(
        "a server that does not say whether it reads one matrix or one input a column",
        "its description of the model lists no inputs from which that follows, and it is not "
        "guessed",
        "say "
        + spell("--inputs columns or --inputs tensor", "inputs='columns' or inputs='tensor'"),
    )


__all__ = ["COLUMNS", "INPUTS", "TENSOR", "Described", "Speaks", "undecided_inputs"]
