"""The null of a membership attack: what takes the release's place where nothing can leak.

Where the audit assigned membership at random, a model trained on the reference pool is one, and it
must read as chance. Where the two pools were supplied, members and non-members may differ, and what
the attack reads of the null is that difference: so the null must be as like the release as can be,
and answer for the very same records (docs/design/028-two-attackers-and-drift.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from privaudit.contracts import Access, AnswersWithNumbers, Attack, Learner, Method, Model, Release
from privaudit.engine.controls import NullKind
from privaudit.engine.stand_ins import STAND_INS
from privaudit.records import Records, Split, row_codes
from privaudit.signals import ask, confidence, read_signal

TRAINED: tuple[NullKind, ...] = ("reference", "folds", "stand_in")
"""Nulls that are trained for the audit."""

COMPARED: tuple[NullKind, ...] = ("folds", "stand_in", "shadow")
"""Nulls that answer for the records of the game, so that the release's reading can be set against
theirs patient by patient."""

MOST = 20_000
"""Records that a stand-in is trained on at most."""

FOLDS = 5
"""Parts that the patients are cut into: a null model is trained on four fifths of the members."""


def null_kind(method: Method, attack: Attack, split: Split, *, supplied: bool) -> NullKind:
    """What the null of this attack on this method's release is.

    supplied: the pools were supplied, and nobody assigned membership at random.
    """
    if Access.EXPLANATIONS in attack.needs:
        # Nobody knows how another model would have been explained.
        return "halves"
    if method.shadows:
        return "shadow"
    table = Access.TABLE in attack.needs or method.nearness is not None
    if not supplied or table:
        return "reference" if method.reruns else "halves"
    if method.reruns:
        return "folds"
    readable = bool(split.members.columns) or split.members.series is not None
    return "stand_in" if readable and split.members.outcome_kind != "time" else "halves"


def is_trained(method: Method, attack: Attack, split: Split, *, supplied: bool) -> bool:
    """Whether the null is trained for the audit."""
    return null_kind(method, attack, split, supplied=supplied) in TRAINED


def is_compared(method: Method, attack: Attack, split: Split, *, supplied: bool) -> bool:
    """Whether the release's reading is set against the null's, patient by patient."""
    return supplied and null_kind(method, attack, split, supplied=supplied) in COMPARED


@dataclass(frozen=True, eq=False)
class Folds:
    """Models of which each record is answered by one that was not trained on its patient.

    models: one a part; codes: (n,) sorted codes of the audit's rows; part: (n,) the part of each.
    Other records are answered by the first model.
    """

    models: tuple[Any, ...]
    codes: np.ndarray
    part: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, k): see `privaudit.contracts.Model`."""
        return self._ask(records)

    def beside(self, records: Records) -> Model:
        """See `privaudit.contracts.Parted`: a record moved a little is still its patient's."""
        return PlacedFolds(self.models, self.codes, self.part, self._place(records))

    def _place(self, records: Records) -> np.ndarray:
        own = row_codes(records)
        at = np.minimum(np.searchsorted(self.codes, own), len(self.codes) - 1)
        return np.where(self.codes[at] == own, self.part[at], 0)

    def _ask(self, records: Records) -> np.ndarray:
        part = self._place(records)
        answers: np.ndarray | None = None
        for place in np.unique(part):
            rows = np.flatnonzero(part == place)
            found = ask(self.models[place], records.take(rows))
            if answers is None:
                answers = np.empty((len(records), *found.shape[1:]))
            answers[rows] = found
        assert answers is not None, "a table without records is refused before"
        return answers


@dataclass(frozen=True, eq=False)
class PlacedFolds(Folds):
    """The same, where the part of each row is known. placed: (n,) the part of row i."""

    placed: np.ndarray

    def _place(self, records: Records) -> np.ndarray:
        return self.placed


@dataclass(frozen=True, eq=False)
class FoldsOfNumbers(AnswersWithNumbers, Folds):
    """The same of models that predict a number."""

    def beside(self, records: Records) -> Model:
        """See `Folds`."""
        return PlacedFoldsOfNumbers(self.models, self.codes, self.part, self._place(records))

    def predict(self, records: Records) -> np.ndarray:
        """(n,): see `privaudit.contracts.Predictor`."""
        return self._ask(records)


@dataclass(frozen=True, eq=False)
class PlacedFoldsOfNumbers(FoldsOfNumbers, PlacedFolds):
    """The same of models that predict a number, where the part of each row is known."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The audit's patients, cut at random into parts of like size on either side.

    members, nonmembers: (n,) the part of each record's patient.
    """

    members: np.ndarray
    nonmembers: np.ndarray

    @classmethod
    def cut(cls, split: Split, rng: np.random.Generator) -> Parts:
        return cls(_cut(split.members.patient, rng), _cut(split.nonmembers.patient, rng))

    def join(self, split: Split, models: Sequence[Model]) -> Model:
        """The models, each asked about the records of its part."""
        codes = row_codes(split.audit)
        part = np.concatenate([self.members, self.nonmembers])
        codes, first = np.unique(codes, return_index=True)
        kind = Folds if split.members.outcome_kind == "class" else FoldsOfNumbers
        return kind(tuple(models), codes, part[first])


def _cut(patient: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    ids, row = np.unique(patient, return_inverse=True)
    return (rng.permutation(len(ids)) % FOLDS)[row]


def trainings(split: Split, parts: Parts) -> list[Records]:
    """What each null model is trained on: the members of the other parts."""
    return [split.members.take(parts.members != part) for part in range(FOLDS)]


def fit_stand_in(
    split: Split, release: Release, parts: Parts, rng: np.random.Generator
) -> tuple[Model, ...]:
    """Models of the learner whose answers are the most like the release's.

    Compared on the non-members, whom neither was trained on, by the rank correlation of how close
    the answers are to what was recorded: it knows nothing of what the release remembers.
    """
    kind = split.members.outcome_kind
    tables = [_some(table, rng) for table in trainings(split, parts)]
    made = {
        name: tuple(learner.fit(table, rng) for table in tables)
        for name, learner in _learners(kind).items()
    }
    if release.model is None:
        return next(iter(made.values()))
    own = _closeness(release.model, split.nonmembers)
    alike = {
        name: _correlation(own, _closeness(parts.join(split, models), split.nonmembers))
        for name, models in made.items()
    }
    return made[max(made, key=lambda name: alike[name])]


def _some(table: Records, rng: np.random.Generator) -> Records:
    return table if len(table) <= MOST else table.take(np.sort(rng.permutation(len(table))[:MOST]))


def _learners(kind: str) -> dict[str, Learner]:
    return {name: make(kind) for name, make in STAND_INS.items()}


def _closeness(model: Model, records: Records) -> np.ndarray:
    return confidence(read_signal(ask(model, records), records), records.outcome_kind)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    from scipy.stats import rankdata

    a, b = rankdata(one), rankdata(other)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return -1.0
    return float(np.corrcoef(a, b)[0, 1])


__all__ = [
    "COMPARED",
    "FOLDS",
    "TRAINED",
    "Folds",
    "FoldsOfNumbers",
    "Parts",
    "fit_stand_in",
    "is_compared",
    "is_trained",
    "null_kind",
    "trainings",
]
