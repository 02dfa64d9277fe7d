"""Reconstruction from trees: training records rebuilt from what the leaves of a forest state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._options import check, check_whole
from privaudit.attacks._pools import Tried
from privaudit.attacks.inversion._rebuild import is_weighted, rebuild, refuse_unfit
from privaudit.contracts import Access, Attack, Fitted, HasTrees, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import OutcomeKind
from privaudit.trees import Trees

CONTROL = "the same rebuilt records, paired with {people} outside the training data"
IN_LEAF = "{people} outside the training data who fall into such a leaf"
TINY = 1e-12


@dataclass(frozen=True)
class TreeReconstruction(Attack):
    """Rebuilds training records that fit the counts in the leaves, and compares them with patients.

    "all records": a forest of at most `rows` training records is solved as a whole: every tree's
    leaf states how many records of each class it holds, and CP-SAT searches for records that fit
    all of them within `seconds`; with bootstrap samples each record may have been drawn several
    times or never, and the likeliest numbers of draws are searched for. Rebuilt records are paired
    with patients of the same outcome so that most cells agree. "records alone in a leaf": of a
    larger forest, or where classes are weighted, a leaf that holds one record states between which
    split points its values lie; members who are alone in some leaf are each compared with a record
    of that box. Within its box a value is drawn from the attacker's own records. Success: of a
    patient's recorded inputs, as the trees compare them, the share that is given back, a number to
    `near` standard deviations; the best of a patient's records. Guess: the same with records drawn
    column by column from the attacker's own; control: non-members, paired with the rebuilt records
    in groups of as many, or those who fall into such leaves. Up to `patients` patients of either
    pool are compared.

    Boosted trees state no counts of classes, and are read for the leaves of one record alone.
    Trees that pin no record, and searches that come to no end, are refused and not passed.
    Source: Ferry, Fukasawa, Pascal and Vidal 2024, Trained Random Forests Completely Reveal your
    Dataset, ICML (arXiv 2402.19232), whose code measures the error after the best pairing of rows:
    `benchmarks/draft.py`. Read were the abstract and part of the authors' code, not the paper.
    """

    rows: int = 60
    seconds: float = 20.0
    patients: int = 500
    near: float = 0.25

    needs: ClassVar[frozenset[Access]] = frozenset({Access.TREES})
    family: ClassVar[Literal["inversion"]] = "inversion"
    outcomes: ClassVar[frozenset[OutcomeKind]] = frozenset({"class"})

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        check_whole(self, rows=0, patients=1)
        check(self, "near", 0 < self.near <= 1, "it is a part of a standard deviation")
        check(self, "seconds", self.seconds > 0, "it is a time in seconds")
        model = target.release.model
        if not isinstance(model, HasTrees):
            raise ValueError("this release has no trees to read")
        trees = model.read_trees()
        own = model.tree_inputs(target.split.reference).astype(np.float64)
        tried = Tried.draw(target.split, self.patients, rng)
        truth = model.tree_inputs(tried.records).astype(np.float64)
        apart = self.near * np.nanstd(own, axis=0)
        if 0 < _count_rows(trees) <= self.rows and not is_weighted(trees):
            refuse_unfit(trees)
            name = "all records"
            trials = self._solve(trees, own, tried, truth, apart, rng)
        else:
            name = "records alone in a leaf"
            trials = _pin(trees, own, tried, truth, apart, rng)
        return {Setting("variant", name): trials}

    def _solve(
        self,
        trees: Trees,
        own: np.ndarray,
        tried: Tried,
        truth: np.ndarray,
        apart: np.ndarray,
        rng: np.random.Generator,
    ) -> Trials:
        # A seed from the stream, so that the time the solver takes moves no other draw.
        found = rebuild(trees, self.seconds, seed=int(rng.integers(2**31 - 1)))
        if found.low is None or found.high is None or found.y is None:
            raise PrivauditError(
                "a search for the training records of a forest that came to no end",
                f"{found.state} in {self.seconds:g} seconds, which does not say that there is no "
                "way to find them",
                "give it more time: --set tree_reconstruction.seconds=600",
            )
        rows = draw_within(own, found.low, found.high, rng)
        anywhere = np.full(rows.shape, np.inf)
        guessed = draw_within(own, -anywhere, anywhere, rng)
        y, cut = tried.records.y, len(tried.members)
        success, guess = np.empty(len(y)), np.zeros(len(y))
        mine = np.arange(cut)
        success[mine] = pair_rows(truth[mine], y[mine], rows, found.y, apart)
        guess[mine] = pair_rows(truth[mine], y[mine], guessed, found.y, apart)
        others = cut + rng.permutation(len(y) - cut)
        for start in range(0, len(others), max(cut, 1)):
            part = others[start : start + cut]
            success[part] = pair_rows(truth[part], y[part], rows, found.y, apart)
        return tried.trials(success, guess, CONTROL, "best")


def _pin(
    trees: Trees,
    own: np.ndarray,
    tried: Tried,
    truth: np.ndarray,
    apart: np.ndarray,
    rng: np.random.Generator,
) -> Trials:
    """Records of leaves that hold one, each beside a patient who falls into that leaf."""
    leaves = trees.find_leaves(truth)
    alone = trees.counts[leaves] == 1
    there = alone.any(axis=1)
    cut = len(tried.members)
    if not there[:cut].any() or not there[cut:].any():
        raise PrivauditError(
            "trees none of whose leaves is stated to hold one of these training records alone",
            "there are more records than can be rebuilt as a whole, and none that is pinned alone: "
            "nothing was rebuilt, which is no evidence that nothing can be",
            "leaf_facts reads what the leaves state; a forest of few records is solved as a "
            "whole: --set tree_reconstruction.rows=200",
        )
    # One such leaf of each patient, drawn at random.
    chosen = np.where(alone, rng.random(alone.shape), -1.0).argmax(axis=1)
    low, high = trees.find_boxes(leaves[np.arange(len(leaves)), chosen][there])
    rows = draw_within(own, low, high, rng)
    anywhere = np.full(rows.shape, np.inf)
    guessed = draw_within(own, -anywhere, anywhere, rng)
    kept = Tried(tried.members.take(there[:cut]), tried.others.take(there[cut:]))
    success, guess = (share_cells(truth[there], one, apart) for one in (rows, guessed))
    return kept.trials(success, guess, IN_LEAF, "best")


def _count_rows(trees: Trees) -> int:
    """Training records of a forest, 0 where its leaves do not state them by class."""
    if trees.says != "share" or not trees.by_class.shape[1]:
        return 0
    total = trees.by_class[trees.roots].sum(axis=1)
    return int(np.rint(total[0])) if np.isfinite(total).all() else 0


def draw_within(
    own: np.ndarray, low: np.ndarray, high: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(r, inputs) values drawn from the attacker's own records, (n, inputs), that lie between the
    bounds; where none does, a value between them."""
    found = np.empty(low.shape)
    for j in range(low.shape[1]):
        there = np.sort(own[np.isfinite(own[:, j]), j])
        first = np.searchsorted(there, low[:, j], side="right")
        last = np.searchsorted(there, high[:, j], side="right")
        at = first + np.floor(rng.random(len(low)) * np.maximum(last - first, 1)).astype(int)
        drawn = there[np.minimum(at, len(there) - 1)] if len(there) else np.zeros(len(low))
        ends = np.stack([low[:, j], high[:, j]])
        finite = np.isfinite(ends)
        middle = np.where(finite, ends, 0.0).sum(axis=0) / np.maximum(finite.sum(axis=0), 1)
        found[:, j] = np.where(last > first, drawn, middle)
    return found


def share_cells(truth: np.ndarray, rows: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """The share of the recorded cells that are given back: (n,) of rows beside them, or (n, r) of
    every pair where the truth is (n, 1, inputs)."""
    there = np.isfinite(truth).sum(axis=-1)
    close = np.abs(truth - rows) <= apart + TINY
    found: np.ndarray = close.sum(axis=-1) / np.maximum(there, 1)
    return found


def pair_rows(
    truth: np.ndarray, y: np.ndarray, rows: np.ndarray, stated: np.ndarray, apart: np.ndarray
) -> np.ndarray:
    """(n,) the share of each record's cells that the row paired with it gives back; 0 where none
    is. Rows and records of one outcome are paired so that most cells agree."""
    from scipy.optimize import linear_sum_assignment

    share = share_cells(truth[:, None], rows[None], apart)
    share = np.where(y[:, None] == stated, share, 0.0)
    found = np.zeros(len(truth))
    first, second = linear_sum_assignment(share, maximize=True)
    found[first] = share[first, second]
    return found


__all__ = ["TreeReconstruction"]
