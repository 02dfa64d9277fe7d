"""What one check of a run came to, and which checks a run must pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

State = Literal["holds", "fails", "not checked"]

NAMES = (
    *("files", "statement", "signature", "documents", "pdf", "numbers", "claims", "verdicts"),
    *("attempts", "retraining"),
)
"""Every check, in the order in which they are made."""
FAULTY, UNMADE = 4, 6
"""Exit codes: the evidence does not verify; a check that was required was not made."""


@dataclass(frozen=True)
class Check:
    """One thing that was checked: what came of it, each fault, and what a reader must know."""

    name: str
    state: State
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """Everything that was checked in one run. required: the checks that must have been made."""

    run: str
    checks: tuple[Check, ...]
    required: tuple[str, ...] = field(default=())

    @property
    def faults(self) -> tuple[str, ...]:
        return tuple(fault for check in self.checks for fault in check.faults)

    @property
    def unmade(self) -> tuple[str, ...]:
        """The required checks that were not made."""
        made = {check.name for check in self.checks if check.state != "not checked"}
        return tuple(name for name in self.required if name not in made)

    @property
    def code(self) -> int:
        """0; 4 where the evidence does not verify; 6 where a required check was not made."""
        return FAULTY if self.faults else UNMADE if self.unmade else 0


def conclude(name: str, faults: Sequence[str], notes: Sequence[str] = ()) -> Check:
    """A check that was made."""
    return Check(name, "fails" if faults else "holds", tuple(faults), tuple(notes))


def leave(name: str, note: str, faults: Sequence[str] = ()) -> Check:
    """A check that could not be made; it fails where there is a fault all the same."""
    return Check(name, "fails" if faults else "not checked", tuple(faults), (note,))


__all__ = ["FAULTY", "NAMES", "UNMADE", "Check", "State", "Verification", "conclude", "leave"]
