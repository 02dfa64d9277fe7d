"""Decision trees as flat arrays: what anybody reads who opens the file of a tree model.

Nodes of all trees stand one after another; an inner node sends a record to its left or to its right
child, and a leaf states what the model holds of the training records that ended there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

Says = Literal["share", "margin", "mean", "vote"]
"""What a leaf's value is: the share of each class, a part of a class's log odds, a part of the
predicted number, or a class that is voted for."""

ROWS = 32_768
"""Records that are led through a tree at once, so that they stay in the processor's memory."""


@dataclass(frozen=True, eq=False)
class Trees:
    """Trees of one model over the m nodes of all of them.

    roots, group: (t,) the root of each tree, and the class that it speaks of. left, right: (m,)
    children, -1 at a leaf. feature, threshold: (m,) which input is compared with what. A record
    whose input is smaller goes left, and one that is equal too, unless `below`. missing_left: (m,)
    where one goes whose input is missing; zero_missing: (m,) whether 0 counts as missing. category:
    (m,) which row of `sets` says of each code whether it goes left, -1 where numbers are compared;
    unknown_left: (m,) where a code beyond them goes. values: (m, v). counts: (m,) training records
    in a node, NaN where the file does not state them exactly. by_class: (m, c) how many of each
    class (with multiplicities where records were drawn), NaN where not stated, no column of none.
    stated: (m,) the outcome, a class's code or a number, that the file states of every training
    record in the node; NaN where it does not. single: inputs are compared as float32. bagged:
    whether each tree saw records drawn at random.
    """

    roots: np.ndarray
    group: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    zero_missing: np.ndarray
    category: np.ndarray
    unknown_left: np.ndarray
    sets: np.ndarray
    values: np.ndarray
    counts: np.ndarray
    by_class: np.ndarray
    stated: np.ndarray
    says: Says
    inputs: int
    below: bool = False
    single: bool = False
    bagged: bool = False

    def __len__(self) -> int:
        return len(self.roots)

    @property
    def is_leaf(self) -> np.ndarray:
        """(m,) bool."""
        found: np.ndarray = self.left < 0
        return found

    def find_leaves(self, x: np.ndarray) -> np.ndarray:
        """(n, t) int32: the leaf of each record, (n, inputs), in each tree."""
        x = np.asarray(x, dtype=np.float32 if self.single else np.float64)
        found = np.empty((len(x), len(self)), dtype=np.int32)
        for start in range(0, len(x), ROWS):
            part = x[start : start + ROWS]
            whole = np.ascontiguousarray(part, dtype=np.float64)
            for at, root in enumerate(self.roots):
                found[start : start + ROWS, at] = self._lead(whole, int(root))
        return found

    def _lead(self, x: np.ndarray, root: int) -> np.ndarray:
        n, width = x.shape
        node = np.full(n, root, dtype=np.int64)
        if self.left[root] < 0:
            return node
        flat = x.ravel()
        rows, here = np.arange(n), node
        while len(rows):
            value = flat[rows * width + self.feature[here]]
            cut = self.threshold[here]
            goes = value < cut if self.below else value <= cut
            missing = np.isnan(value)
            if self._zeros:
                missing |= self.zero_missing[here] & (np.abs(value) <= ZERO)
            if len(self.sets):
                sorts = self.category[here]
                inside = np.flatnonzero((sorts >= 0) & ~missing)
                goes[inside] = self._sort(value[inside], sorts[inside], here[inside])
            if missing.any():
                goes = np.where(missing, self.missing_left[here], goes)
            here = np.where(goes, self.left[here], self.right[here])
            ends = self.left[here] < 0
            node[rows[ends]] = here[ends]
            rows, here = rows[~ends], here[~ends]
        return node

    def _sort(self, value: np.ndarray, row: np.ndarray, node: np.ndarray) -> np.ndarray:
        known = (value >= 0) & (value < self.sets.shape[1])
        code = np.where(known, value, 0).astype(np.int64)
        found: np.ndarray = np.where(known, self.sets[row, code], self.unknown_left[node])
        return found

    @property
    def _zeros(self) -> bool:
        return bool(self.zero_missing.any())

    def in_order(self, places: Sequence[int] | None) -> Trees:
        """The same of classes in another order: class i of it is class `places[i]` here."""
        if places is None or list(places) == sorted(places):
            return self
        where = np.argsort(np.asarray(places))
        stated = self.stated.copy()
        known = np.isfinite(stated)
        if self.says != "mean":
            stated[known] = where[stated[known].astype(np.int64)]
        return replace(
            self,
            stated=stated,
            group=where[self.group],
            by_class=self.by_class[:, places] if self.by_class.shape[1] else self.by_class,
            values=self.values[:, places] if self.says == "share" else self.values,
        )

    def find_boxes(self, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(k, inputs) twice: between which numbers the inputs of each of these nodes lie;
        categories and what is missing are left open."""
        low = np.full((len(nodes), self.inputs), -np.inf)
        high = np.full((len(nodes), self.inputs), np.inf)
        parent = np.full(len(self.left), -1)
        inner = np.flatnonzero(self.left >= 0)
        parent[self.left[inner]] = parent[self.right[inner]] = inner
        at, rows = np.asarray(nodes), np.arange(len(nodes))
        while len(rows):
            above = parent[at]
            rows, at, above = rows[above >= 0], at[above >= 0], above[above >= 0]
            is_left = self.left[above] == at
            feature, cut = self.feature[above], self.threshold[above]
            number = self.category[above] < 0
            for bound, side, nearer in ((high, is_left, np.minimum), (low, ~is_left, np.maximum)):
                k, f = rows[side & number], feature[side & number]
                bound[k, f] = nearer(bound[k, f], cut[side & number])
            at = above
        return low, high


ZERO = 1e-35
"""What LightGBM takes for 0 where 0 is missing."""


def join(parts: Sequence[Trees]) -> Trees:
    """Trees of several estimators, each with inputs of its own that stand one after another."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    nodes = np.cumsum([0, *(len(p.left) for p in parts)])
    rows = np.cumsum([0, *(len(p.sets) for p in parts)])
    inputs = np.cumsum([0, *(p.inputs for p in parts)])

    def shift(name: str, by: np.ndarray) -> np.ndarray:
        moved = [
            np.where((own := getattr(p, name)) < 0, own, own + int(k))
            for p, k in zip(parts, by, strict=False)
        ]
        return np.concatenate(moved)

    wide = max(p.sets.shape[1] for p in parts)
    sets = [_widen(p.sets, wide, p.unknown_left) for p in parts]
    together: dict[str, Any] = {
        name: np.concatenate([getattr(p, name) for p in parts])
        for name in ("group", "threshold", "missing_left", "zero_missing", "unknown_left")
    }
    return replace(
        first,
        **together,
        roots=shift("roots", nodes),
        left=shift("left", nodes),
        right=shift("right", nodes),
        feature=shift("feature", inputs),
        category=shift("category", rows),
        sets=np.concatenate(sets),
        values=_stack([p.values for p in parts]),
        counts=np.concatenate([p.counts for p in parts]),
        by_class=_stack([p.by_class for p in parts]),
        stated=np.concatenate([p.stated for p in parts]),
        inputs=int(inputs[-1]),
        bagged=any(p.bagged for p in parts),
    )


def _widen(sets: np.ndarray, codes: int, unknown_left: np.ndarray) -> np.ndarray:
    """The same sets of so many codes: those beyond go where what is not known goes."""
    more = codes - sets.shape[1]
    return np.pad(sets, ((0, 0), (0, more)), constant_values=bool(np.all(unknown_left)))


def _stack(parts: Sequence[np.ndarray]) -> np.ndarray:
    wide = max(part.shape[1] for part in parts)
    fill = [np.pad(p, ((0, 0), (0, wide - p.shape[1])), constant_values=np.nan) for p in parts]
    return np.concatenate(fill)


def make_trees(parts: Sequence[dict[str, Any]], **common: Any) -> Trees:
    """Trees from one table of arrays a tree, whose children are places in it.

    Raises:
        ValueError: No tree at all.
    """
    starts = np.cumsum([0, *(len(p["left"]) for p in parts)])[:-1]
    sets = [(p["sets"], p.get("unknown_left", False)) for p in parts if len(p.get("sets", ()))]
    wide = max((one.shape[1] for one, _ in sets), default=0)
    made: dict[str, list[np.ndarray]] = {f.name: [] for f in fields(Trees)}
    rows = 0
    for part, start in zip(parts, starts, strict=True):
        n = len(part["left"])
        for name in ("left", "right"):
            own = np.asarray(part[name], dtype=np.int64)
            made[name].append(np.where(own < 0, -1, own + start))
        category = np.asarray(part.get("category", np.full(n, -1)), dtype=np.int64)
        made["category"].append(np.where(category < 0, -1, category + rows))
        rows += len(part.get("sets", ()))
        for name, usual, kind in _USUAL:
            own = part.get(name, np.full(n, usual))
            made[name].append(np.asarray(own).astype(kind))
        for name in ("values", "by_class"):
            own = np.asarray(part.get(name, np.empty((n, 0))), dtype=np.float64)
            made[name].append(own.reshape(n, -1))
    per_node: dict[str, Any] = {name: np.concatenate(made[name]) for name in _PER_NODE}
    return Trees(
        roots=starts.astype(np.int64),
        group=np.array([p.get("group", 0) for p in parts], dtype=np.int64),
        sets=np.concatenate([_widen(one, wide, unknown) for one, unknown in sets])
        if sets
        else np.zeros((0, 0), dtype=bool),
        **per_node,
        values=_stack(made["values"]),
        by_class=_stack(made["by_class"]),
        **common,
    )


_USUAL = (
    ("feature", 0, np.int64),
    ("threshold", 0.0, np.float64),
    ("missing_left", False, bool),
    ("zero_missing", False, bool),
    ("unknown_left", False, bool),
    ("counts", np.nan, np.float64),
    ("stated", np.nan, np.float64),
)
_PER_NODE = ("left", "right", "category", *(name for name, _, _ in _USUAL))


def list_arrays(trees: Trees) -> Iterator[tuple[str, np.ndarray]]:
    """Its arrays by name, in one order."""
    for one in fields(Trees):
        value = getattr(trees, one.name)
        if isinstance(value, np.ndarray):
            yield one.name, value


__all__ = ["Says", "Trees", "join", "list_arrays", "make_trees"]
