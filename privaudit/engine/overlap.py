"""How far the patients of two audits are the same: a difference of a few is theirs to read.

Whoever holds two documents subtracts one from the other. What is left is about the patients in whom
the audits differ: those whom one of them lacks, who are in another pool, or of whom another outcome
or other records were read. So there must be none of these, or at least 10 whom one of the two
lacks.

Patients are compared by marks of 8 bytes, made under the key of the folder of runs: of their name,
and of what is recorded of them, since a row that names nobody, or a name that was given anew, is
still the same patient.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np

from privaudit.disclosure_limits import MIN_CELL
from privaudit.records import Records, Split

POOLS = ("members", "nonmembers", "reference")
View = Literal["name", "records", "labels"]
_SIZE = 8
_ODD = np.uint64(0x9E3779B97F4A7C15)
_SEEN = 64
"""Least marks of two sets that are looked at before all are."""


@dataclass(frozen=True)
class Near:
    """A cohort, or a pool of it, that differs from an earlier one's by 1 to 9 patients.

    view: what patients were told apart by; run: the earlier audit.
    """

    what: Literal["cohort", "pool"]
    view: View
    run: str = ""


@dataclass(frozen=True, eq=False)
class Cohort:
    """The patients of one audit by keyed marks: arrays of n patients, in no order that says
    anything.

    name: of who they are, empty where the rows name nobody; outcome, records, labels: of what was
    read of them (labels: outcome and subgroups alone); pool: index into POOLS; at, group: a patient
    and a subgroup that they are in, one entry for each; group_marks: of the subgroups; groupings:
    mark -> what it splits on. is_random: whether this audit assigned members at random.
    """

    name: np.ndarray
    outcome: np.ndarray
    records: np.ndarray
    labels: np.ndarray
    pool: np.ndarray
    at: np.ndarray
    group: np.ndarray
    group_marks: np.ndarray
    is_random: bool
    groupings: Mapping[int, str] = field(default_factory=dict)

    @property
    def is_named(self) -> bool:
        return len(self.name) > 0

    def __len__(self) -> int:
        return len(self.records)

    def views(self, other: Cohort) -> Iterator[tuple[View, np.ndarray, np.ndarray]]:
        """Marks of the patients of both, one array for each way in which they are the same.

        Yields:
            What it goes by, and the marks of this one's and of the other's patients. Labels where
            neither names nor records are mostly the same.
        """
        if self.is_named and other.is_named:
            yield "name", self.name, other.name
            for part in ("outcome", "records"):
                ours, theirs = (_join(one.name, getattr(one, part)) for one in (self, other))
                yield "name", ours, theirs
        yield "records", self.records, other.records
        same = self.is_named and other.is_named and _is_mostly(self.name, other.name)
        if not same and not _is_mostly(self.records, other.records):
            # Rows without a name, or of names given anew, that were read in another way: their
            # labels are all there is. Of a few rows that are equal none says more.
            yield "labels", self.labels, other.labels

    def is_same(self, other: Cohort) -> bool:
        """Whether the same was read of the same patients, in the same pools and subgroups."""
        return len(self) == len(other) and self._sum == other._sum

    @cached_property
    def _sum(self) -> int:
        """Of the marks of all that is known of each patient: the same for the same cohort alone."""
        own = self.name if self.is_named else np.zeros(len(self), dtype=np.uint64)
        for part in (self.records, self.labels, self.pool.astype(np.uint64)):
            own = _join(own, part)
        return int(own.sum())

    def without_groupings(self, names: frozenset[str]) -> Cohort:
        """The same without subgroups that no document shows."""
        hidden = [self.groupings[mark] in names for mark in self.group_marks.tolist()]
        shown = ~np.array(hidden, dtype=bool)[self.group]
        return replace(self, at=self.at[shown], group=self.group[shown])

    @cached_property
    def cells(self) -> Mapping[tuple[int, int], np.ndarray]:
        """(subgroup, pool) -> its patients, where 10 or more are."""
        code = self.group.astype(np.uint32) * len(POOLS) + self.pool[self.at]
        order = np.argsort(code, kind="stable")
        counts = np.bincount(code, minlength=len(self.group_marks) * len(POOLS))
        ends = np.cumsum(counts)
        return {
            (mark, pool): self.at[order[ends[c] - counts[c] : ends[c]]]
            for i, mark in enumerate(self.group_marks.tolist())
            for pool in range(len(POOLS))
            if counts[c := i * len(POOLS) + pool] >= MIN_CELL
        }


def find_near(cohort: Cohort, other: Cohort) -> Near | None:
    """Whether these two cohorts, or a pool of theirs, differ by 1 to 9 patients; None where not.

    Where both audits assigned their members at random, the pools are other ones each time, and
    models of their own were trained for each: then the cohorts alone are compared.
    """
    if cohort.is_same(other):
        return None
    named = cohort.is_named and other.is_named

    def is_near(view: View, ours: np.ndarray, theirs: np.ndarray) -> bool:
        known = view != "labels" or not named or _do_tell(theirs)
        return known and _are_near(ours, theirs)

    for view, ours, theirs in cohort.views(other):
        if is_near(view, ours, theirs):
            return Near("cohort", view)
        if cohort.is_random and other.is_random:
            continue
        for code in range(len(POOLS)):
            if is_near(view, ours[cohort.pool == code], theirs[other.pool == code]):
                return Near("pool", view)
    return None


def find_near_groupings(
    cohort: Cohort, other: Cohort, known: Collection[str] = ()
) -> frozenset[str]:
    """What splits the patients into subgroups of which one, in a pool, differs by 1 to 9 patients
    from the subgroup of that name in the other audit; as `find_near`, not of random pools.

    known: what is not looked at again.
    """
    found = set(known)
    random = cohort.is_random and other.is_random
    if random or found >= {*cohort.groupings.values()} or cohort.is_same(other):
        return frozenset(found)
    pairs = [
        (cohort.groupings[key[0]], cohort.cells[key], other.cells[key])
        for key in cohort.cells.keys() & other.cells.keys()
        if abs(len(cohort.cells[key]) - len(other.cells[key])) < MIN_CELL
    ]
    for view, ours, theirs in cohort.views(other):
        for grouping, one, their in pairs:
            if view != "labels" and grouping not in found and _are_near(ours[one], theirs[their]):
                found.add(grouping)
    return frozenset(found)


def _are_near(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two sets differ, by fewer than 10 on either side, and are mostly the same.

    Marks of a set may be equal: then each counts.
    """
    most = MIN_CELL - 1
    if abs(len(one) - len(other)) > most or not len(one) or not len(other):
        return False
    if len(one) == len(other) and one.sum() == other.sum():
        return False
    if min(len(one), len(other)) > 4 * _SEEN:
        # Marks are uniform: of sets that differ by so few, the least ones are the same but for
        # these.
        least = np.partition(one, _SEEN)[:_SEEN]
        there = np.partition(other, _SEEN + most)[: _SEEN + most + 1]
        if np.isin(least, there).sum() < _SEEN - most:
            return False
    common = _count_common(one, other)
    differing = max(len(one), len(other)) - common
    return 0 < differing <= most and common > differing


def _count_common(one: np.ndarray, other: np.ndarray) -> int:
    """How many marks two sets share; of equal ones each counts."""
    ours, counts = np.unique(one, return_counts=True)
    theirs, others = np.unique(other, return_counts=True)
    _, i, j = np.intersect1d(ours, theirs, assume_unique=True, return_indices=True)
    return int(np.minimum(counts[i], others[j]).sum())


def _is_mostly(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether more than half of the marks of two sets are the same."""
    return 2 * _count_common(one, other) > max(len(one), len(other))


def _do_tell(labels: np.ndarray) -> bool:
    """Whether labels tell a cohort from another of as many patients and the same shares.

    Counts of Poisson's law differ by chance, in all, by the sum of sqrt(count / pi), give or take
    0.75 sqrt(patients / pi). Where that is not far more than what is refused, other people's
    labels are nearly the same, and two cohorts that have nobody in common would be refused.
    """
    _, counts = np.unique(labels, return_counts=True)
    by_chance = np.sqrt(counts / np.pi).sum() - 2 * 0.75 * np.sqrt(counts.sum() / np.pi)
    return bool(by_chance >= MIN_CELL)


def make_cohort(
    split: Split, key: bytes, *, patients: Mapping[str, int] | None, is_random: bool
) -> Cohort:
    """The marks of the patients of a split.

    Args:
        split: The pools.
        key: Of the folder of runs.
        patients: Name -> number, empty where nobody is named; None where numbers are names.
        is_random: Whether this audit assigned the members at random.
    """
    marks = _Marks(key)
    pools = [getattr(split, name) for name in POOLS]
    ids, place = np.unique(np.concatenate([one.patient for one in pools]), return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(ids)))

    def by_patient(rows: np.ndarray) -> np.ndarray:
        """Of every patient's rows in whatever order."""
        summed: np.ndarray = np.add.reduceat(rows[order], starts)
        return summed

    outcome = np.concatenate([marks.outcomes(one) for one in pools])
    labels = outcome.copy()
    groupings: dict[int, str] = {}
    at, group = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for name in pools[0].groups:
        kinds, kind = np.unique(
            np.concatenate([one.groups[name] for one in pools]), return_inverse=True
        )
        known = marks.texts(f"group\0{name}\0{level}" for level in kinds.tolist())
        labels = _join(labels, known[kind])
        pairs = np.unique(place * len(kinds) + kind)
        at.append(pairs // len(kinds))
        group.append(len(groupings) + pairs % len(kinds))
        groupings |= dict.fromkeys(known.tolist(), name)
    pool = np.repeat(np.arange(len(POOLS)), [len(one) for one in pools])
    names: list[str] = []
    if patients is None:
        names = list(map(str, ids.tolist()))
    elif patients:
        named = {number: name for name, number in patients.items()}
        names = [named[number] for number in ids.tolist()]
    return Cohort(
        name=marks.texts(f"name\0{name}" for name in names),
        outcome=by_patient(outcome),
        records=by_patient(np.concatenate([marks.rows(one) for one in pools])),
        labels=by_patient(labels),
        pool=pool[order][starts].astype(np.uint8),
        at=np.concatenate(at).astype(np.int32),
        group=np.concatenate(group).astype(np.uint16),
        group_marks=np.array(list(groupings), dtype=np.uint64),
        is_random=is_random,
        groupings=groupings,
    )


class _Marks:
    """Makes marks under a key."""

    def __init__(self, key: bytes) -> None:
        self.key = hashlib.blake2b(b"patients of a cohort", key=key, digest_size=32).digest()

    def _mark(self, *parts: bytes | memoryview) -> bytes:
        made = hashlib.blake2b(key=self.key, digest_size=_SIZE)
        for part in parts:
            made.update(part)
        return made.digest()

    def texts(self, texts: Iterator[str]) -> np.ndarray:
        return _numbers(self._mark(text.encode()) for text in texts)

    def outcomes(self, pool: Records) -> np.ndarray:
        """(rows,) uint64: of the class, or the number, that was recorded."""
        values, place = np.unique(pool.y, return_inverse=True)
        found: np.ndarray = self.texts(f"outcome\0{value!r}" for value in values.tolist())[place]
        return found

    def rows(self, pool: Records) -> np.ndarray:
        """(rows,) uint64: of everything in a row but who it is of."""
        parts = [pool.X, pool.y, *([] if pool.series is None else [pool.series])]
        held = [
            (np.ascontiguousarray(part).reshape(-1).view(np.uint8).data, part[0].nbytes)
            for part in parts
        ]
        return _numbers(
            self._mark(b"row", *(data[i * size : (i + 1) * size] for data, size in held))
            for i in range(len(pool))
        )


def _numbers(marks: Iterator[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(marks), dtype="<u8").astype(np.uint64)


def _join(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The mark of two marks together."""
    joined: np.ndarray = (one * _ODD) ^ (other + (one >> np.uint64(7)))
    return joined


__all__ = ["POOLS", "Cohort", "Near", "find_near", "find_near_groupings", "make_cohort"]
