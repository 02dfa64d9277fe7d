"""Random forest with differential privacy (diffprivlib): cheap, and weak, as a contrast."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from pipelines._bounded import (
    ONE_STAY,
    PUBLIC,
    bounds,
    describe_noise,
    nothing_read,
    one_stay,
    seed,
)
from pipelines.federated.encode import PublicEncoding
from pipelines.settings import COUNT, Range, check_settings, require_package
from privaudit.contracts import Method, Release
from privaudit.dp import accounting
from privaudit.dp.noise import bind_noise
from privaudit.records import Records
from privaudit.trees import Trees, make_trees


@dataclass(frozen=True)
class DPForest(Method):
    """Trees whose splits are drawn at random, so that only the label of each leaf needs the
    records.

    Every patient is put into one tree at random, by itself: diffprivlib's own forest cuts rows by
    their number, so that one patient more would move others from tree to tree, which the guarantee
    for adding or removing a patient does not cover. Each tree is diffprivlib's, with bounds and
    classes from the schema; a leaf names its class by permute-and-flip. One stay a patient. Random
    splits seldom meet a rare outcome: expect little better than chance. A fixed model, so no
    `learner` to compose with.

    Args:
        epsilon: The guarantee for one patient added or removed.
        trees, depth: Their number and depth.

    Source: Fletcher and Islam 2017 (arXiv 1606.03572); McKenna and Sheldon 2020 (arXiv 2010.12603);
    diffprivlib, Holohan et al. 2019 (arXiv 1907.02444).
    """

    epsilon: float = 3.0
    trees: int = 20
    depth: int = 6

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        start = time.process_time()
        self.check()
        rng = bind_noise(rng, self, members.fingerprint)
        claim = accounting.stated(
            self.epsilon,
            by="closed form, permute-and-flip on leaf counts with bounds and classes from the "
            "schema "
            "(diffprivlib), one {record} and one tree {a_person}",
            noise=accounting.name_noise(rng),
        )
        records = one_stay(members, rng)
        encoding = PublicEncoding(members.columns)
        x = encoding.encode(records)
        tree = rng.integers(self.trees, size=len(records))
        k = len(members.classes)
        grown = tuple(
            self._grow(x[tree == i], records.y[tree == i], k, encoding, rng)
            for i in range(self.trees)
        )
        return Release(
            claim=claim,
            model=Forest(encoding, k, grown),
            costs={"train_seconds": time.process_time() - start},
            notes=(ONE_STAY, PUBLIC, describe_noise(rng)),
        )

    def _grow(
        self,
        x: np.ndarray,
        y: np.ndarray,
        k: int,
        encoding: PublicEncoding,
        rng: np.random.Generator,
    ) -> Tree:
        low, high = bounds(encoding)
        empty = not len(x)
        if empty:
            # The library cannot grow a tree of no rows; the stand-in's leaf is drawn anew below, as
            # the library does for every leaf without rows.
            x, y = low[None].astype(np.float32), np.zeros(1, dtype=np.int64)
        with nothing_read():
            from diffprivlib.accountant import BudgetAccountant
            from diffprivlib.models.forest import DecisionTreeClassifier

            found = DecisionTreeClassifier(
                max_depth=self.depth,
                epsilon=self.epsilon,
                bounds=(low, high),
                classes=np.arange(k),
                random_state=seed(rng),
                accountant=BudgetAccountant(),
            ).fit(x, y)
        inner = found.tree_
        vote = inner.value[:, 0, :].argmax(axis=1)
        if empty:
            vote = rng.integers(k, size=len(vote))
        return Tree(
            inner.children_left.copy(),
            inner.children_right.copy(),
            np.maximum(inner.feature, 0),
            inner.threshold.copy(),
            vote,
        )

    def check(self) -> None:
        require_package("diffprivlib", "its trees vote with noise", "dp")
        accounting.check(self.epsilon)
        # Every level doubles the leaves, full or not.
        check_settings(self, trees=COUNT, depth=Range(1, 15, high_open=False, whole=True))


@dataclass(frozen=True, eq=False)
class Tree:
    """A tree as arrays over its nodes: children (-1 at a leaf), column, threshold, class voted
    for."""

    left: np.ndarray
    right: np.ndarray
    column: np.ndarray
    threshold: np.ndarray
    vote: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(n,) class codes of (n, width) encoded rows."""
        node = np.zeros(len(x), dtype=np.int64)
        rows = np.arange(len(x))
        while (inside := self.left[node] >= 0).any():
            goes = x[rows, self.column[node]] <= self.threshold[node]
            node = np.where(inside, np.where(goes, self.left[node], self.right[node]), node)
        return self.vote[node]


@dataclass(frozen=True, eq=False)
class Forest:
    """The share of trees that vote for each class; holds no record."""

    encoding: PublicEncoding
    classes: int
    trees: tuple[Tree, ...]

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, k) float64, rows sum to 1."""
        x = self.encoding.encode(records)
        votes = np.stack([tree(x) for tree in self.trees])
        return np.stack([(votes == c).mean(axis=0) for c in range(self.classes)], axis=1)

    def read_trees(self) -> Trees:
        """See `privaudit.contracts.HasTrees`: each leaf votes for a class and states no count."""
        parts = [
            {
                "left": tree.left,
                "right": tree.right,
                "feature": tree.column,
                "threshold": tree.threshold,
                "values": tree.vote,
            }
            for tree in self.trees
        ]
        return make_trees(parts, says="vote", inputs=self.encoding.width)

    def tree_inputs(self, records: Records) -> np.ndarray:
        """(n, inputs)."""
        return self.encoding.encode(records)


__all__ = ["DPForest"]
