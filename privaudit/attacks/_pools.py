"""Who is tried: members, and non-members on whom the same attack is the control."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from privaudit.contracts import Trials
from privaudit.records import Records, Split


@dataclass(frozen=True, eq=False)
class Tried:
    """Members and non-members that one attack is tried on together."""

    members: Records
    others: Records

    @classmethod
    def draw(cls, split: Split, most: int, rng: np.random.Generator) -> Tried:
        """One record of each of at most `most` patients of either pool."""
        return cls(*(draw(pool, most, rng) for pool in (split.members, split.nonmembers)))

    @cached_property
    def records(self) -> Records:
        """The members, then the non-members."""
        return Records.concatenate([self.members, self.others])

    def trials(self, success: np.ndarray, guess: np.ndarray | None, control_label: str) -> Trials:
        """The evidence of success (n,) on `records`, and of a guess (n,) on them."""
        cut = len(self.members)
        return Trials(
            success[:cut].astype(float),
            success[cut:].astype(float),
            None if guess is None else guess[:cut].astype(float),
            control_label,
            self.members.patient,
            self.others.patient,
        )


def draw(pool: Records, most: int, rng: np.random.Generator) -> Records:
    """One record of each of at most `most` patients, so that attempts are independent."""
    return pool.take(draw_rows(pool, most, rng))


def draw_rows(pool: Records, most: int, rng: np.random.Generator) -> np.ndarray:
    """The rows that `draw` takes."""
    order = rng.permutation(len(pool))
    _, first = np.unique(pool.patient[order], return_index=True)
    return np.sort(rng.permutation(order[first])[:most])
