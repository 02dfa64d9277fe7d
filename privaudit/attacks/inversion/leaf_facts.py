"""Leaf facts: what the trees of a model state exactly about single training patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._options import check_whole
from privaudit.attacks._pools import PATIENTS, Tried
from privaudit.contracts import Access, Attack, Fitted, HasTrees, Target, Trials
from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import OutcomeKind, Records
from privaudit.trees import Trees

ALONE = "{people} outside the training data who fall into such a leaf"
OUTCOME = "the same reading of the leaves of {people} outside the training data"
NEAR = 1e-3
"""A stated number counts as the patient's own to this part of the outcome's standard deviation."""


@dataclass(frozen=True)
class LeafFacts(Attack):
    """Reads the leaves that a patient falls into, and what the file states of them.

    A leaf of a stated number of training records is a fact about them: between which numbers their
    values lie, and often what their outcome was. Nothing is estimated and no record is asked about.

    "alone in a leaf": the share of members for whom some tree has a leaf that the file says holds
    one training record. Its split points single that patient out. Guess: the chance that a box of
    the leaf's weight, measured on the attacker's own records, holds exactly one of as many
    patients, n w exp(-n w), at most 0.37 (that singling out is judged beside a baseline: Cohen and
    Nissim 2020, PNAS 117:8344, abstract); 0 for members who are alone nowhere. Control: non-members
    who fall into such a leaf, of whom it states nothing.

    "outcome, by leaves of fewer than 10": of members whose outcome is not the commonest, those
    whose outcome the file gives away: leaves with fewer than `least` training records, all of one
    outcome, vote by one over the square of their counts, and where there is none the attacker
    guesses. A larger leaf of one outcome is knowledge of the disease. Guess: how common that
    outcome is among the attacker's own records; control: the same of non-members, for whom such a
    leaf is no fact. Left out where the file states no such leaf. Numbers count as given away to
    0.1 % of a standard deviation.

    Counts are those that the file states: LightGBM's and scikit-learn's of every leaf, XGBoost's
    where its sums of second derivatives are counts (`privaudit.inputs.models.stated_counts`). A
    file that states none at all is refused and not passed.
    The attack is our own. That trained models are to be checked for disclosure before they leave:
    Jefferson et al. 2022, GRAIMatter (arXiv 2211.01656, doi 10.5281/zenodo.7089491); that a class
    of one value gives it away: Machanavajjhala et al. 2007, l-diversity. Of both the abstract was
    read, and whether the first speaks of the counts of trees was not checked.
    """

    patients: int = PATIENTS
    least: int = MIN_CELL

    needs: ClassVar[frozenset[Access]] = frozenset({Access.TREES})
    family: ClassVar[Literal["inversion"]] = "inversion"
    outcomes: ClassVar[frozenset[OutcomeKind]] = frozenset({"class", "number"})

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        check_whole(self, patients=1, least=2)
        model = target.release.model
        if not isinstance(model, HasTrees):
            raise ValueError("this release has no trees to read")
        trees = model.read_trees()
        refuse_uncounted(trees)
        split = target.split
        tried = Tried.draw(split, self.patients, rng)
        leaves = trees.find_leaves(model.tree_inputs(tried.records))
        reference = split.reference
        weight = weigh_leaves(trees, model, reference)
        alone = trees.counts[leaves] == 1
        found = {
            Setting("variant", "alone in a leaf"): tried.trials(
                alone.any(axis=1),
                _guess_alone(alone, weight[leaves], len(split.members)),
                ALONE,
            )
        }
        small = trees.is_leaf & (trees.counts < self.least) & np.isfinite(trees.stated)
        if small.any():
            trial = self._outcomes(trees, tried, leaves, small, reference)
            if trial is not None:
                name = f"outcome, by leaves of fewer than {self.least}"
                found[Setting("variant", name)] = trial
        return found

    def _outcomes(
        self,
        trees: Trees,
        tried: Tried,
        leaves: np.ndarray,
        small: np.ndarray,
        reference: Records,
    ) -> Trials | None:
        """The evidence of outcomes that small leaves state; None where no member's is uncommon."""
        y = tried.records.y
        if reference.outcome_kind == "class":
            share = np.bincount(reference.y, minlength=len(reference.classes)) / len(reference)
            keep, guess = y != share.argmax(), share[y]
            named, sure = _vote(trees, leaves, small, len(reference.classes))
            right = named == y
        else:
            near = NEAR * float(np.std(reference.y))
            ordered = np.sort(reference.y)
            inside = np.searchsorted(ordered, y + near, "right") - np.searchsorted(
                ordered, y - near
            )
            keep, guess = np.ones(len(y), dtype=bool), inside / len(reference)
            named, sure = _read_number(trees, leaves, small)
            right = np.abs(named - y) <= near
        success = np.where(sure > 0, right, guess)
        cut = len(tried.members)
        kept = Tried(tried.members.take(keep[:cut]), tried.others.take(keep[cut:]))
        if not len(kept.members) or not len(kept.others):
            return None
        return kept.trials(success[keep], guess[keep], OUTCOME, "surest", sure[keep])


def refuse_uncounted(trees: Trees) -> None:
    """Refuse trees of which no leaf's number of training records is known."""
    if trees.says == "vote" or np.isfinite(trees.counts[trees.is_leaf]).any():
        return
    raise PrivauditError(
        "trees whose file states no number of training records",
        "how few a leaf holds is not read off it, which is no evidence that there are many",
        "give the model in the format of the library that trained it, where it states counts; with "
        "XGBoost, sums of second derivatives are counts for squared errors, and for log losses in "
        "the first round without weights",
    )


def weigh_leaves(trees: Trees, model: HasTrees, reference: Records) -> np.ndarray:
    """(m,) the share of the attacker's own records that fall into each leaf, at least half a
    record's."""
    own = trees.find_leaves(model.tree_inputs(reference))
    count = np.bincount(own.ravel(), minlength=len(trees.left))
    found: np.ndarray = np.maximum(count, 0.5) / max(len(reference), 1)
    return found


def _guess_alone(alone: np.ndarray, weight: np.ndarray, patients: int) -> np.ndarray:
    """(n,) the best chance of a box of the weight of a leaf that holds one record to hold one."""
    wanted = patients * weight
    chance = wanted * np.exp(-wanted)
    found: np.ndarray = np.where(alone, chance, 0.0).max(axis=1)
    return found


def _vote(
    trees: Trees, leaves: np.ndarray, small: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) the class that a patient's small leaves state, and how firmly; 0 where there is none."""
    votes = np.zeros((len(leaves), classes))
    for column in leaves.T:
        rows = np.flatnonzero(small[column])
        leaf = column[rows]
        votes[rows, trees.stated[leaf].astype(np.int64)] += trees.counts[leaf] ** -2.0
    return votes.argmax(axis=1), votes.max(axis=1)


def _read_number(
    trees: Trees, leaves: np.ndarray, small: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) the number that most of a patient's small leaves state, and by how many."""
    stated = np.where(small[leaves], trees.stated[leaves], np.nan)
    ordered = np.sort(stated, axis=1)
    named, most = ordered[:, 0].copy(), np.isfinite(ordered[:, 0]).astype(np.float64)
    run = most.copy()
    for at in range(1, ordered.shape[1]):
        same = ordered[:, at] == ordered[:, at - 1]
        run = np.where(same, run + 1, np.isfinite(ordered[:, at]))
        longer = run > most
        named[longer], most[longer] = ordered[longer, at], run[longer]
    return named, most


__all__ = ["LeafFacts"]
