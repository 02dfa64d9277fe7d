"""Marginals of a table: its cells, which pairs of columns depend, and how dense each cell is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.attacks._tables import columns_of, values_of
from privaudit.fidelity.distance import outcome, shared
from privaudit.records import Column, Records

CELLS = 1500
"""Cells of all columns together at most where pairs are chosen: memory grows with their square."""
FEW_BINS, FEW_LEVELS = 8, 24
"""Cells of a number and of a category at most where pairs are chosen; rarer levels share one."""
ROWS = 1500
"""Records on which pairs are chosen, at most."""
MOST_CELLS = 2**40
"""Cells up to which one has a number of its own; beyond, records are told apart by a hash."""
PARTS = 6
"""Parts of the attacker's records, each left out once, to see which pairs are chosen again."""


@dataclass(frozen=True, eq=False)
class Coded:
    """Tables in one coding. names: (m,); sizes: (m,) cells of each column, one of them for missing
    values; codes: one (n, m) int64 array a table."""

    names: tuple[str, ...]
    sizes: np.ndarray
    codes: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, tables: Sequence[Records], cuts: Mapping[str, np.ndarray], bins: int) -> Coded:
        """The columns that the first two share. Numbers without `cuts` are cut into `bins` equal
        shares of the last table, which has the columns of the first."""
        first, last = tables[0], tables[-1]
        names = shared(first, tables[1])
        sizes = np.empty(len(names), dtype=np.int64)
        codes = tuple(np.empty((len(t), len(names)), dtype=np.int64) for t in tables)
        for j, (name, column) in enumerate(zip(names, columns_of(first, names), strict=True)):
            if column.kind == "numeric":
                edges = cuts.get(name)
                edges = _equal_shares(values_of(last, name), bins) if edges is None else edges
                sizes[j] = len(edges) + 2
                parts = [_cut(values_of(t, name), edges) for t in tables]
            else:
                parts, sizes[j] = _name_alike(tables, name, outcome(first))
            for whole, part in zip(codes, parts, strict=True):
                whole[:, j] = part
        return cls(names, sizes, codes)

    def counts(self, columns: Sequence[int]) -> tuple[list[np.ndarray], np.ndarray]:
        """The cell of these columns that each record is in, one array a table, and (tables, cells)
        how many records are in each."""
        shape = self.sizes[list(columns)].tolist()
        size = math.prod(shape)
        picked = np.concatenate([part[:, list(columns)] for part in self.codes])
        if size <= MOST_CELLS:
            joined = np.ravel_multi_index(tuple(picked.T), shape)
        else:
            joined = _hash_rows(picked)
        if size > 4 * len(joined):
            _, joined = np.unique(joined, return_inverse=True)
            size = int(joined.max(initial=-1)) + 1
        ends = np.cumsum([len(part) for part in self.codes])[:-1]
        cells = np.split(joined, ends)
        return cells, np.stack([np.bincount(c, minlength=size) for c in cells])


def _hash_rows(codes: np.ndarray) -> np.ndarray:
    """(n,) uint64, equal for equal rows: a linear hash with fixed random odd factors."""
    drawn = np.random.default_rng(20261130).integers(0, 2**63, codes.shape[1], dtype=np.uint64)
    product = codes.astype(np.uint64) * (drawn * np.uint64(2) + np.uint64(1))
    mixed: np.ndarray = (product ^ (product >> np.uint64(29))).sum(axis=1, dtype=np.uint64)
    return mixed


def choose_pairs(tables: Sequence[Records]) -> dict[tuple[int, ...], float]:
    """The spanning tree of the pairs of most mutual information, with how often each is chosen.

    Columns by their places in `Coded.of` these tables. The choice of MST (McKenna, Miklau and
    Sheldon 2021, arXiv 2108.04978), made on the last table with each part of it left out in turn.
    """
    from scipy.sparse.csgraph import minimum_spanning_tree

    share = CELLS // max(1, len(shared(tables[0], tables[1])))
    coded = Coded.of(tables, {}, max(2, min(FEW_BINS, share - 1)))
    codes, m = coded.codes[-1], len(coded.names)
    if m < 2:
        return {}
    most = max(3, min(FEW_LEVELS, share))
    some = codes[np.unique(np.linspace(0, len(codes) - 1, ROWS).astype(np.int64))]
    some = np.minimum(some, most - 1)
    sizes = np.minimum(coded.sizes, most)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    spread = np.zeros((len(some), int(sizes.sum())), dtype=np.float32)
    spread[np.arange(len(some))[:, None], some + starts] = 1.0
    part = np.arange(len(some)) % PARTS
    blocks = np.stack([spread[part == k].T @ spread[part == k] for k in range(PARTS)])
    whole = blocks.sum(axis=0)
    found: dict[tuple[int, ...], float] = {}
    for block in blocks:
        informed = _inform((whole - block).astype(np.float64), starts)
        tree = minimum_spanning_tree(-np.triu(informed, 1)).tocoo()
        for pair in zip(tree.row.tolist(), tree.col.tolist(), strict=True):
            found[pair] = found.get(pair, 0.0) + 1.0 / PARTS
    return found


def _inform(joint: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """(m, m) mutual information of every pair from the counts of all cells with all cells."""
    single = np.diag(joint)
    total = max(single[: starts[1]].sum(), 1.0) if len(starts) > 1 else 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = joint / total * np.log(joint * total / np.outer(single, single))
    terms = np.where(joint > 0.0, terms, 0.0)
    summed: np.ndarray = np.add.reduceat(np.add.reduceat(terms, starts, axis=0), starts, axis=1)
    return summed


def _equal_shares(values: np.ndarray, bins: int) -> np.ndarray:
    seen = values[np.isfinite(values)]
    if not len(seen):
        return np.empty(0)
    edges: np.ndarray = np.unique(np.quantile(seen, np.arange(1, bins) / bins))
    # A least value that many share would otherwise have an empty cell below it.
    inner: np.ndarray = edges[edges > seen.min()]
    return inner


def _cut(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.searchsorted(edges, np.nan_to_num(values), "right")
    return np.where(np.isnan(values), len(edges) + 1, found)


def _name_alike(tables: Sequence[Records], name: str, last: str) -> tuple[list[np.ndarray], int]:
    """Codes of one column that holds no numbers, equal for equal names of levels."""
    named: list[tuple[np.ndarray, Sequence[object]]] = []
    for table in tables:
        column = {c.name: c for c in table.columns}.get(name)
        values = values_of(table, name)
        if column is None and name != last:
            values = np.full(len(table), np.nan)
        levels: Sequence[object] = table.classes if column is None else _levels(column, values)
        named.append((values, levels))
    place = {level: i for i, level in enumerate(dict.fromkeys(v for _, own in named for v in own))}
    found = []
    for values, levels in named:
        at = np.array([place[level] for level in levels] or [0], dtype=np.int64)
        gone = ~np.isfinite(values)
        if levels and isinstance(levels[0], float):
            row = np.searchsorted(np.array(levels), np.where(gone, levels[0], values))
        else:
            row = np.where(gone, 0, values).astype(np.int64)
        found.append(np.where(gone, len(place), at[np.clip(row, 0, len(at) - 1)]))
    return found, len(place) + 1


def _levels(column: Column, values: np.ndarray) -> Sequence[object]:
    """The names of a category's levels; of a column of yes and no the values that it holds."""
    if column.kind == "category":
        return column.levels
    return [float(v) for v in np.unique(values[np.isfinite(values)])]


__all__ = ["Coded", "choose_pairs"]
