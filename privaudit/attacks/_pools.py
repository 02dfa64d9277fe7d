"""Who is tried: members, and non-members on whom the same attack is the control."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from privaudit.contracts import Rows, Trials
from privaudit.errors import PrivauditError
from privaudit.records import Records, Split

PATIENTS = 50_000
"""Patients of either pool that an attack tries at most, each with all records: as many are
searched in a table of as many rows within minutes (docs/design/025-patients-of-tables.md)."""

ALIKE = 0.75
"""Share of the members' records that must be left where both pools are given as many a patient."""


@dataclass(frozen=True, eq=False)
class Tried:
    """Members and non-members that one attack is tried on together."""

    members: Records
    others: Records

    @classmethod
    def draw(cls, split: Split, most: int, rng: np.random.Generator) -> Tried:
        """Every record of at most `most` patients of either pool."""
        return cls(*(draw(pool, most, rng) for pool in (split.members, split.nonmembers)))

    @cached_property
    def records(self) -> Records:
        """The members, then the non-members."""
        return Records.concatenate([self.members, self.others])

    def trials(
        self,
        success: np.ndarray,
        guess: np.ndarray | None,
        control_label: str,
        rows: Rows = "any",
        sure: np.ndarray | None = None,
    ) -> Trials:
        """The evidence of success (n,) on `records`, of a guess (n,) on them, and of how much the
        attacker relies on each (n,)."""
        cut = len(self.members)
        return Trials(
            success[:cut].astype(float),
            success[cut:].astype(float),
            None if guess is None else guess[:cut].astype(float),
            control_label,
            self.members.patient,
            self.others.patient,
            rows,
            None if sure is None else sure[:cut].astype(float),
            None if sure is None else sure[cut:].astype(float),
        )


def draw(pool: Records, most: int, rng: np.random.Generator) -> Records:
    """Every record of at most `most` patients, drawn at random where there are more."""
    return pool.take(draw_rows(pool, most, rng))


def draw_rows(pool: Records, most: int, rng: np.random.Generator) -> np.ndarray:
    """The rows that `draw` takes, in their order."""
    ids = np.unique(pool.patient)
    if len(ids) <= most:
        return np.arange(len(pool))
    return np.flatnonzero(np.isin(pool.patient, rng.permutation(ids)[:most]))


def draw_alike(
    members: Records, others: Records, most: int, rng: np.random.Generator
) -> tuple[Records, Records]:
    """As many patients of either pool with as many records: what fits one of n depends on n.

    Patients are paired in the order of their numbers of records, and of the one with more as many
    are drawn as the other has.

    Raises:
        PrivauditError: Much of the members' records would be left out, and with them a leak.
    """
    pools = (members, others)
    ids = [np.unique(pool.patient) for pool in pools]
    n = min(most, *map(len, ids))
    kept = [
        pool.take(np.isin(pool.patient, rng.permutation(own)[:n]))
        for pool, own in zip(pools, ids, strict=True)
    ]
    counts = [np.unique(pool.patient, return_counts=True)[1] for pool in kept]
    least = np.minimum(*map(np.sort, counts))
    if least.sum() < ALIKE * counts[0].sum():
        raise PrivauditError(
            f"{counts[0].sum():,} records of {n:,} patients whom the table was made from, and "
            f"{counts[1].sum():,} of as many others",
            "whether a description fits exactly one patient can be compared only among patients "
            "with as many records",
            "give the control as many records a patient as the real table has",
        )
    first, second = (
        pool.take(_first(pool, own, least, rng)) for pool, own in zip(kept, counts, strict=True)
    )
    return first, second


def _first(
    pool: Records, counts: np.ndarray, least: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Rows of the pool: of the patient with the i-th smallest count `least[i]`, drawn at random."""
    allowed = np.empty(len(counts), dtype=np.int64)
    allowed[np.lexsort((rng.random(len(counts)), counts))] = least
    _, code = np.unique(pool.patient, return_inverse=True)
    order = np.lexsort((rng.random(len(pool)), code))
    rank = np.arange(len(pool)) - (np.cumsum(counts) - counts)[code[order]]
    return np.sort(order[rank < allowed[code[order]]])
