"""Structural risks: what identical and sure answers give away, without any shadow model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._options import check_whole
from privaudit.attacks._pools import PATIENTS, Tried
from privaudit.contracts import Access, Attack, Fitted, Target, Trials
from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import OutcomeKind, Records
from privaudit.signals import ask

DIGITS = 7
"""Answers are the same where they agree so far: another order of summing changes less."""
MOST_ALIKE = 0.5
"""Share of non-members above which that few training patients have their answer says nothing: of a
linear model it holds of everybody, and no attacker could gain by it."""
SURE = 1e-6
"""A probability counts as 0 or 1 where it is nearer than this, about what float32 holds."""

CONTROL = "the same reading of {people} outside the training data"
SMALL = Setting("variant", "few training patients with the same answer")
AGREED = Setting("variant", "nearly one outcome among those with the same answer")
CERTAIN = Setting("variant", "a probability of 0 or 1")


@dataclass(frozen=True)
class Structural(Attack):
    """Groups patients by what the model answers, as a table is grouped by its columns.

    Patients with the same answer are an equivalence class, and what a table's classes give away,
    a model's do as well: k-anonymity and class disclosure.

    "few training patients with the same answer": the share of patients whose answer fewer than
    `least` training patients have; left out where that holds of most non-members. "nearly one
    outcome among those with the same answer": those whose outcome is that of at least `agree` of
    the training patients with their answer, of whom there is one or more. "a probability of 0 or
    1": those whose recorded outcome the model states with certainty.

    Control: the same of non-members. Of a model that answers everybody otherwise, such as a linear
    one, every class holds one patient, whoever they are, which tells nothing; a tree grown to
    leaves of single patients is right of whom it was trained on alone. Each patient is judged by
    the training patients of the other half, so that nobody stands in their own class: members and
    non-members are then alike where the model learnt nothing of single patients, and patients are
    independent of each other. Counts are of half of the patients, and doubled.

    No gap of a class of attack is closed by it: it looks for no record. Two further structural
    risks are stated elsewhere or not at all: the generalisation gap is the utility on both pools,
    and residual degrees of freedom have no chance level.
    Source: Preen and Smith 2025, A hierarchical approach for assessing the vulnerability of
    tree-based classification models to membership inference attack (arXiv 2502.09396, abstract and
    the published code read); homogeneous classes: Machanavajjhala et al. 2007, l-diversity, section
    2. There a class is counted among the training records alone, with no control.
    """

    patients: int = PATIENTS
    least: int = MIN_CELL
    agree: float = 0.95

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["inversion"]] = "inversion"
    outcomes: ClassVar[frozenset[OutcomeKind]] = frozenset({"class"})

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        check_whole(self, patients=1, least=2)
        if not 0.5 < self.agree <= 1:
            raise PrivauditError(
                f"structural.agree = {self.agree}",
                "it is the share of patients with one answer who have one outcome",
                "give a number above 0.5 and at most 1",
            )
        model = target.release.model
        if model is None:
            raise ValueError("this release has no model to ask")
        tried = Tried.draw(target.split, self.patients, rng)
        answers = ask(model, tried.records)
        y = tried.records.y
        small, agreed = self._group(tried, answers, rng)
        certain = answers[np.arange(len(y)), y] >= 1 - SURE
        found = [(AGREED, agreed), (CERTAIN, certain)]
        if small[len(tried.members) :].mean() <= MOST_ALIKE:
            found.insert(0, (SMALL, small))
        return {at: tried.trials(success, None, CONTROL) for at, success in found}

    def _group(
        self, tried: Tried, answers: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """(n,) whether few training patients of the other half have a record's answer, and whether
        nearly all of them have its outcome."""
        records, cut = tried.records, len(tried.members)
        _, own = np.unique(np.round(answers, DIGITS) + 0.0, axis=0, return_inverse=True)
        own = own.ravel()
        half = _halve(records, rng)
        people, of_outcome = np.zeros(len(own)), np.zeros(len(own))
        for side in (False, True):
            judged, judges = half == side, np.flatnonzero(half[:cut] != side)
            counts = _count(own, records, judges)
            people[judged] = counts.sum(axis=1)[own[judged]]
            of_outcome[judged] = counts[own[judged], records.y[judged]]
        return 2 * people < self.least, (people > 0) & (of_outcome >= self.agree * people)


def _halve(records: Records, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool: the half of each record's patient."""
    ids, whose = np.unique(records.patient, return_inverse=True)
    found: np.ndarray = (rng.permutation(len(ids)) % 2 == 0)[whose]
    return found


def _count(own: np.ndarray, records: Records, rows: np.ndarray) -> np.ndarray:
    """(answers, classes) how many patients of these rows have an answer and an outcome."""
    k = len(records.classes)
    cell = own[rows] * k + records.y[rows]
    pairs = np.unique(np.column_stack([cell, records.patient[rows]]), axis=0)
    counts = np.bincount(pairs[:, 0].astype(np.int64), minlength=(int(own.max()) + 1) * k)
    return counts.reshape(-1, k)


__all__ = ["Structural"]
