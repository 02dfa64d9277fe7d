"""Constraint programming: records that fit the counts of every leaf of a forest.

A record is, for each input, which of the split points it lies above. Without drawing, each tree's
leaves hold every record once; with drawing, each record may have been drawn several times or never.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.trees import Trees

Outcome = Literal["solved", "no time", "no records"]
MOST_DRAWN = 6
"""Times that a record may be drawn into one tree: more are one case in 10,000."""

SCALE = 1_000
"""The solver's costs are whole numbers."""

Path = list[tuple[int, int, bool]]
"""(input, which of its split points, whether above it)."""


@dataclass(frozen=True, eq=False)
class Rebuilt:
    """What was found: (n, inputs) between which numbers each record's inputs lie, (n,) outcomes.

    None of both where no records were found: no time was left, or none fit.
    """

    state: Outcome
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    y: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Leaf:
    """One leaf: the way to it, records of each class, and how many different ones."""

    path: Path
    by_class: np.ndarray
    distinct: int


def list_cuts(trees: Trees) -> list[np.ndarray]:
    """Of each input its split points in all trees, ascending."""
    inner = trees.left >= 0
    return [np.unique(trees.threshold[inner & (trees.feature == j)]) for j in range(trees.inputs)]


def list_leaves(trees: Trees, cuts: Sequence[np.ndarray]) -> list[list[Leaf]]:
    """Of each tree its leaves that hold records; of a way the nearest split points alone."""
    found = []
    for root in trees.roots:
        leaves: list[Leaf] = []
        todo: list[tuple[int, dict[int, tuple[int, int]]]] = [(int(root), {})]
        while todo:
            node, bounds = todo.pop()
            if trees.left[node] < 0:
                by_class = np.rint(trees.by_class[node]).astype(int)
                if by_class.sum():
                    path = [
                        (j, at, above)
                        for j, (low, high) in bounds.items()
                        for at, above in ((low, True), (high, False))
                        if 0 <= at < len(cuts[j])
                    ]
                    leaves.append(Leaf(path, by_class, int(trees.counts[node])))
                continue
            j = int(trees.feature[node])
            at = int(np.searchsorted(cuts[j], trees.threshold[node]))
            low, high = bounds.get(j, (-1, len(cuts[j])))
            todo.append((int(trees.left[node]), {**bounds, j: (low, min(high, at))}))
            todo.append((int(trees.right[node]), {**bounds, j: (max(low, at), high)}))
        found.append(leaves)
    return found


def rebuild(trees: Trees, seconds: float, workers: int = 1, seed: int = 0) -> Rebuilt:
    """Records that fit every leaf, by CP-SAT.

    Args:
        trees: Of one forest, with counts of classes in every leaf and splits of numbers alone.
        seconds: Time for the search.
        workers: Threads.
        seed: Of the search.

    Raises:
        PrivauditError: OR-Tools is not installed, from a ModuleNotFoundError.
    """
    cp = import_solver()
    cuts = list_cuts(trees)
    leaves = list_leaves(trees, cuts)
    roots = [np.sum([leaf.by_class for leaf in own], axis=0) for own in leaves]
    n = int(roots[0].sum())
    if not n:
        return Rebuilt("no records")
    share = np.mean(roots, axis=0) / n
    sizes = roots[0] if not trees.bagged else _apportion(share, n)
    y = np.repeat(np.arange(len(sizes)), sizes)
    model = cp.CpModel()
    above = [[[model.new_bool_var("") for _ in own] for own in cuts] for _ in range(n)]
    for row in above:
        for own in row:
            for lower, higher in itertools.pairwise(own):
                model.add_implication(higher, lower)
    widest = max(range(len(leaves)), key=lambda t: len(leaves[t]))
    costs: list[Any] = []
    for t, own in enumerate(leaves):
        if trees.bagged:
            costs += _add_drawn(model, own, above, y)
        else:
            _add_plain(model, own, above, y, fixed=t == widest)
    if costs:
        model.minimize(sum(costs))
    solver = cp.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = workers
    solver.parameters.random_seed = seed
    status = solver.solve(model)
    if status in (cp.OPTIMAL, cp.FEASIBLE):
        counts = np.array(
            [[sum(solver.boolean_value(v) for v in own) for own in row] for row in above]
        ).reshape(n, trees.inputs)
        return Rebuilt("solved", *_read_boxes(cuts, counts), y)
    return Rebuilt("no records" if status == cp.INFEASIBLE else "no time")


def _read_boxes(cuts: Sequence[np.ndarray], counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.empty(counts.shape), np.empty(counts.shape)
    for j, own in enumerate(cuts):
        ends = np.concatenate([[-np.inf], own, [np.inf]])
        low[:, j], high[:, j] = ends[counts[:, j]], ends[counts[:, j] + 1]
    return low, high


def _apportion(share: np.ndarray, n: int) -> np.ndarray:
    """Whole numbers that sum to n, nearest to n times each share."""
    found: np.ndarray = np.floor(share * n).astype(int)
    rest = np.argsort(found - share * n)[: n - found.sum()]
    found[rest] += 1
    return found


def _literals(row: Sequence[Sequence[Any]], path: Path) -> list[Any]:
    return [row[j][at] if over else row[j][at].negated() for j, at, over in path]


def _add_plain(
    model: Any,
    leaves: Sequence[Leaf],
    above: Sequence[Sequence[Sequence[Any]]],
    y: np.ndarray,
    *,
    fixed: bool,
) -> None:
    """Every record stands in exactly one leaf. fixed: records of one class are alike until they are
    told apart, so that one tree's leaves may be filled in their order."""
    for c in np.unique(y):
        rows = np.flatnonzero(y == c).tolist()
        own = [leaf for leaf in leaves if leaf.by_class[c]]
        if fixed:
            start = 0
            for leaf in own:
                for k in rows[start : start + leaf.by_class[c]]:
                    for literal in _literals(above[k], leaf.path):
                        model.add_bool_or([literal])
                start += leaf.by_class[c]
            continue
        places = [[model.new_bool_var("") for _ in own] for _ in rows]
        for k, place in zip(rows, places, strict=True):
            model.add_exactly_one(place)
            for leaf, here in zip(own, place, strict=True):
                for literal in _literals(above[k], leaf.path):
                    model.add_implication(here, literal)
        for at, leaf in enumerate(own):
            model.add(sum(place[at] for place in places) == int(leaf.by_class[c]))


def _add_drawn(
    model: Any,
    leaves: Sequence[Leaf],
    above: Sequence[Sequence[Sequence[Any]]],
    y: np.ndarray,
) -> list[Any]:
    """Every record was drawn so many times into one leaf, or not at all; the file states both how
    many records a leaf holds with those repeated and how many different ones.

    Returns minus the log likelihood of the numbers of draws, which are Poisson's for many records.
    """
    held: dict[int, list[Any]] = {at: [] for at in range(len(leaves))}
    costs: list[Any] = []
    for c in np.unique(y):
        rows = np.flatnonzero(y == c).tolist()
        own = [at for at, leaf in enumerate(leaves) if leaf.by_class[c]]
        times: dict[int, list[Any]] = {at: [] for at in own}
        for k in rows:
            place = []
            for at in own:
                leaf = leaves[at]
                most = min(MOST_DRAWN, int(leaf.by_class[c]))
                # Whether it was drawn once, twice, ... at least.
                drawn = [model.new_bool_var("") for _ in range(most)]
                for fewer, more in itertools.pairwise(drawn):
                    model.add_implication(more, fewer)
                here = drawn[0]
                place.append(here)
                held[at].append(here)
                times[at] += drawn
                costs += [int(SCALE * np.log(i + 2)) * d for i, d in enumerate(drawn[1:])]
                for literal in _literals(above[k], leaf.path):
                    model.add_implication(here, literal)
            model.add_at_most_one(place)
        for at in own:
            model.add(sum(times[at]) == int(leaves[at].by_class[c]))
    for at, leaf in enumerate(leaves):
        model.add(sum(held[at]) == leaf.distinct)
    return costs


def import_solver() -> Any:
    """OR-Tools' CP-SAT.

    Raises:
        PrivauditError: It is not installed, from a ModuleNotFoundError.
    """
    try:
        return importlib.import_module("ortools.sat.python.cp_model")
    except ModuleNotFoundError as error:
        raise PrivauditError(
            "records to be rebuilt from trees, without OR-Tools",
            "what fits the counts of every leaf is found by constraint programming",
            "install it: pip install 'privaudit[inversion]'",
        ) from error


def measure_error(rebuilt: np.ndarray, truth: np.ndarray) -> float:
    """The mean share of cells that differ, after the pairing of rows in which fewest do (Ferry et
    al. 2024, section 5.1)."""
    from scipy.optimize import linear_sum_assignment

    cost = (rebuilt[:, None] != truth[None]).mean(axis=2)
    rows, columns = linear_sum_assignment(cost)
    return float(cost[rows, columns].mean())


def refuse_unfit(trees: Trees) -> None:
    """Refuse trees whose leaves do not state the records of each class.

    Raises:
        PrivauditError: Boosted trees, votes, categories, or leaves without counts.
    """
    leaf = trees.is_leaf
    counted = trees.by_class.shape[1] and np.isfinite(trees.by_class[leaf]).all()
    if trees.says == "share" and counted and not (trees.category >= 0).any():
        return
    raise PrivauditError(
        "trees whose leaves do not state how many records of each class they hold",
        "records are rebuilt from the counts of forests and single trees; boosted trees state sums "
        "of derivatives of answers that are not known, and votes state nothing",
        "leaf_facts reads what such trees state; that no record was rebuilt is no evidence",
    )


def is_weighted(trees: Trees) -> bool:
    """Whether the counts of classes are no whole numbers, as with weights of classes."""
    own = trees.by_class[trees.is_leaf]
    return bool((np.abs(own - np.rint(own)) > 1e-6 * (1 + np.abs(own))).any())


__all__ = [
    "Leaf",
    "Rebuilt",
    "import_solver",
    "is_weighted",
    "list_cuts",
    "list_leaves",
    "measure_error",
    "rebuild",
    "refuse_unfit",
]
