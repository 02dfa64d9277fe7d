"""Tables that a user supplied, as a task whose split is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from privaudit.contracts import Prepared, Progress, Task
from privaudit.errors import PrivauditError
from privaudit.inputs.user_release import get_part, hold_parts
from privaudit.words import Words


@dataclass(frozen=True)
class UserTask(Task):
    """Tables that a user supplied: who was trained on is known, and nobody is assigned at random.

    title: what the report calls the task; positive: what it calls the event; digest: of the
    records.
    """

    title: str  # type: ignore[misc]
    positive: str  # type: ignore[misc]
    digest: str
    attacks: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, prepared: Prepared, title: str, positive: str, attacks: tuple[str, ...] = ()
    ) -> UserTask:
        """The task that hands these records out; attacks: those that can be run on them."""
        made = cls(title, positive, prepared.records.fingerprint, attacks)
        return hold_parts(made, prepared=prepared)

    def using(self, words: Words | None) -> UserTask:
        """The same task, of which the report speaks in these words; None for no change.

        Raises PrivauditError for what is no `Words`.
        """
        if words is None:
            return self
        if not isinstance(words, Words):
            raise PrivauditError(
                f"words of the kind {type(words).__name__}",
                "the nouns of a report come as privaudit.Words",
                'give for example words=privaudit.Words("customer", "customers")',
            )
        prepared = get_part(self, "prepared", Prepared)
        return hold_parts(replace(self), prepared=replace(prepared, words=words))

    def prepare(self, data: Path | None, cache: Path, progress: Progress) -> Prepared:
        """What was read before the audit began."""
        return get_part(self, "prepared", Prepared)


__all__ = ["UserTask"]
