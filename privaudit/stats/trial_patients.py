"""From attempts on records to attempts on patients, and controls with as many records.

A patient whose any record succeeds is found, so whoever has more records is found more often. The
control is therefore read at the members' numbers of records.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from privaudit.contracts import Trials
from privaudit.stats.patients import has_several

FEWEST = 20
"""Control patients, at least, at each number of records, where there are so many."""


@dataclass(frozen=True, eq=False)
class Found:
    """Attempts on patients.

    success, guess: (p,) of patients, and `ids` whose; equal: (p,) success with no more records a
    patient than the control has, the same where nobody has more. control: (u,) of control patients,
    `control_ids` whose and `weights` summing to 1; a patient may stand there at several numbers of
    records. No weights where the control is of the same patients.
    """

    success: np.ndarray
    equal: np.ndarray
    guess: np.ndarray | None
    ids: np.ndarray
    control: np.ndarray
    control_ids: np.ndarray
    weights: np.ndarray | None


def by_patient(evidence: Trials, first: np.ndarray, second: np.ndarray | None) -> Found:
    """One attempt a patient.

    Args:
        evidence: Attempts on records, all of them numbers in [0, 1].
        first: (n,) whose records were tried.
        second: (m,) whose the control's were, None where they were the same.
    """
    surest = evidence.rows == "surest"
    mine = _Ordered.of(evidence.success, first, evidence.sure if surest else None)
    guess = None
    if evidence.guess is not None:
        guess = _Ordered.of(evidence.guess, first, evidence.sure if surest else None).last
        if evidence.rows == "any":
            missed = np.log1p(-np.minimum(evidence.guess, 1 - 1e-16))
            _, code = np.unique(first, return_inverse=True)
            guess = -np.expm1(np.bincount(code, missed, minlength=len(mine.ids)))
    whose = first if second is None else second
    theirs = _Ordered.of(evidence.control, whose, evidence.control_sure if surest else None)
    if second is None:
        return Found(mine.last, mine.last, guess, mine.ids, theirs.last, theirs.ids, None)
    wanted = np.minimum(mine.counts, _most(theirs.counts))
    values, places, weights = _standardise(wanted, theirs)
    equal = mine.at(np.arange(len(mine.ids)), wanted)
    return Found(mine.last, equal, guess, mine.ids, values, theirs.ids[places], weights)


def as_patients(evidence: Trials) -> Trials:
    """The evidence with one attempt a patient, to be set against another run on the same records.

    Where the control is of other patients its values are multiplied so that their plain mean is the
    standardised rate.
    """
    whose = evidence.patients
    first = np.arange(len(evidence.success)) if whose is None else np.asarray(whose)
    if not counts_records(evidence, first, evidence.control_patients):
        return evidence
    found = by_patient(evidence, first, evidence.control_patients)
    weights = 1.0 if found.weights is None else found.weights * len(found.weights)
    return replace(
        evidence,
        success=found.success,
        control=found.control * weights,
        guess=found.guess,
        patients=found.ids,
        control_patients=None if found.weights is None else found.control_ids,
        rows="each",
        sure=None,
        control_sure=None,
        ranked=None,
        rebuilt=None,
    )


def counts_records(evidence: Trials, first: np.ndarray, second: np.ndarray | None) -> bool:
    """Whether patients and records come to different numbers."""
    pools = (first,) if second is None else (first, second)
    return evidence.rows != "each" and has_several(pools)


def _most(counts: np.ndarray) -> int:
    """The largest number of records that enough control patients have."""
    enough = max(1, min(FEWEST, len(counts) // 20))
    return int(np.sort(counts)[-enough])


def _standardise(wanted: np.ndarray, theirs: _Ordered) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Control patients at the members' numbers of records: values, places and weights.

    At each number those that have exactly so many, weighed to the members' share (direct
    standardisation; Rothman, Greenland and Lash 2008, Modern Epidemiology, chapter 3). Where they
    are fewer than half of what the pools' sizes promise, those with the next larger numbers join,
    each read at so many of its records drawn without replacement.
    """
    values, places, weights = [], [], []
    order = np.argsort(theirs.counts, kind="stable")
    ordered = theirs.counts[order]
    ratio = len(ordered) / len(wanted)
    for count, members in zip(*np.unique(wanted, return_counts=True), strict=True):
        start = int(np.searchsorted(ordered, count))
        exact = int(np.searchsorted(ordered, count, side="right"))
        enough = max(FEWEST, int(0.5 * ratio * members))
        stop = exact
        if exact - start < enough:
            # All who have as many records as the last one needed, so that no order decides.
            last = ordered[min(start + enough, len(ordered)) - 1]
            stop = int(np.searchsorted(ordered, last, side="right"))
        chosen = order[start:stop]
        values.append(theirs.at(chosen, np.full(len(chosen), count)))
        places.append(chosen)
        weights.append(np.full(len(chosen), members / len(wanted) / len(chosen)))
    return np.concatenate(values), np.concatenate(places), np.concatenate(weights)


@dataclass(frozen=True, eq=False)
class _Ordered:
    """Attempts patient by patient, the one that the patient is known by last.

    values: (n,), equal ones of one patient's order averaged; ids, starts, counts: (p,) of the
    patients.
    """

    values: np.ndarray
    ids: np.ndarray
    starts: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, whose: np.ndarray, by: np.ndarray | None) -> _Ordered:
        """by: (n,) in ascending order of what the attempts are; None for their own values."""
        ids, code = np.unique(whose, return_inverse=True)
        counts = np.bincount(code, minlength=len(ids))
        values = np.asarray(values, dtype=np.float64)
        order = np.lexsort((values if by is None else by, code))
        ordered = values[order]
        if by is not None:
            pairs = np.column_stack([code[order].astype(np.float64), np.asarray(by)[order]])
            new = np.r_[True, (pairs[1:] != pairs[:-1]).any(axis=1)]
            tied = np.cumsum(new) - 1
            ordered = (np.bincount(tied, ordered) / np.bincount(tied))[tied]
        return cls(ordered, ids, np.cumsum(counts) - counts, counts)

    @property
    def last(self) -> np.ndarray:
        """(p,) of every patient, over all attempts."""
        found: np.ndarray = self.values[self.starts + self.counts - 1]
        return found

    def at(self, patients: np.ndarray, records: np.ndarray) -> np.ndarray:
        """(k,) the mean of the last of so many attempts of each patient, drawn without
        replacement."""
        found: np.ndarray = self.last[patients]
        counts = self.counts[patients]
        fewer = np.flatnonzero(records < counts)
        kinds, kind = np.unique(
            np.column_stack([counts, records])[fewer], axis=0, return_inverse=True
        )
        for i, (n, drawn) in enumerate(kinds):
            own = fewer[kind.ravel() == i]
            rows = self.starts[patients[own]][:, None] + np.arange(n)
            found[own] = self.values[rows] @ _chance_of_last(int(n), int(drawn))
        return found


def _chance_of_last(n: int, drawn: int) -> np.ndarray:
    """(n,) how probably each of n in a row stands last among so many drawn without replacement."""
    # P(the last drawn is among the first j) = C(j, drawn) / C(n, drawn).
    j = np.arange(n + 1, dtype=np.float64)
    within = np.ones(n + 1)
    for i in range(drawn):
        within *= np.maximum(0.0, j - i) / (n - i)
    return np.diff(within)


__all__ = ["FEWEST", "Found", "as_patients", "by_patient", "counts_records"]
