"""Pairwise association of columns: that in a synthetic table beside that in the real one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privaudit.fidelity._align import Pools
from privaudit.fidelity._marginals import Counted, linear
from privaudit.records import Records
from privaudit.results import Estimate
from privaudit.seeds import Seeds

ROWS = 5000
"""Rows of each table behind the pairwise numbers, at most."""

GAPS = 0.02
"""A column's gaps are one more column where at least this share of real rows has one."""


@dataclass(frozen=True, eq=False)
class Scale:
    """How columns become numbers that can be multiplied, learnt from the real members alone.

    Each block is one column (or its gaps): `starts` of the blocks, `ranks` their degrees of
    freedom.
    """

    ordered: tuple[np.ndarray, ...]
    gaps: tuple[bool, ...]
    starts: np.ndarray
    ranks: np.ndarray
    outcome: int


def _scale(counted: Counted, members: Records) -> Scale:
    ordered, gaps, sizes = [], [], []
    for place, part in enumerate(counted.bins):
        values = members.X[:, place]
        seen = np.isfinite(values)
        ordered.append(np.sort(values[seen].astype(float)))
        often = GAPS <= 1 - float(seen.mean()) <= 1 - GAPS
        gaps.append(part.column.kind != "category" and often)
        sizes.append(len(part.labels) if part.column.kind == "category" else 1)
        sizes += [1] * int(gaps[-1])
    k = len(members.classes)
    outcome = len(sizes)
    sizes.append(k if k > 2 else 1)
    widths = np.array(sizes)
    starts = np.concatenate([[0], np.cumsum(widths)[:-1]])
    return Scale(tuple(ordered), tuple(gaps), starts, np.maximum(1, widths - 1), outcome)


@dataclass(frozen=True, eq=False)
class Crossed:
    """One table's standardised columns z (n, t), and their products C, `together` (t, t).

    u: (n, t), the weights by which an error in a column's spread counts.
    """

    z: np.ndarray
    u: np.ndarray
    together: np.ndarray


def _cross(scale: Scale, counted: Counted, table: Records, codes: np.ndarray) -> Crossed:
    z, u = [], []

    def number(values: np.ndarray) -> None:
        spread = float(values.std())
        column = (values - values.mean()) / spread if spread > 1e-9 else np.zeros(len(values))
        z.append(column)
        u.append(column**2)

    def hot(code: np.ndarray, k: int) -> None:
        one = code[:, None] == np.arange(k)
        share = one.mean(axis=0)
        root = np.sqrt(np.where(share > 0, share, 1.0))
        z.extend(((one - share) / root).T)
        u.extend((one / root**2).T)

    for place, part in enumerate(counted.bins):
        if part.column.kind == "category":
            hot(codes[:, place], len(part.labels))
            continue
        values = table.X[:, place].astype(float)
        seen = np.isfinite(values)
        own = scale.ordered[place]
        ranks = np.zeros(len(values))
        if len(own) and seen.any():
            low = np.searchsorted(own, values[seen], "left")
            high = np.searchsorted(own, values[seen], "right")
            ranks[seen] = (low + high) / (2 * len(own))
            ranks[~seen] = ranks[seen].mean()
        number(ranks)
        if scale.gaps[place]:
            number((~seen).astype(float))
    if len(table.classes) > 2:
        hot(table.y, len(table.classes))
    else:
        number(table.y.astype(float))
    stacked = np.array(z, dtype=np.float32).T
    together = (stacked.T @ stacked) / len(stacked)
    return Crossed(stacked, np.array(u, dtype=np.float32).T, together)


@dataclass(frozen=True, eq=False)
class Gap:
    """Mean error over pairs, and over pairs with the outcome; each row's influence on both."""

    values: tuple[float, float]
    real: tuple[np.ndarray, np.ndarray]
    other: tuple[np.ndarray, np.ndarray]


def _gap(scale: Scale, real: Crossed, other: Crossed) -> Gap:
    apart = real.together - other.together
    starts, blocks = scale.starts, len(scale.starts)
    squared = np.add.reduceat(np.add.reduceat(apart**2, starts, axis=0), starts, axis=1)
    top = np.sqrt(np.minimum(scale.ranks[:, None], scale.ranks[None]))
    norm = np.sqrt(np.maximum(squared, 0))
    error = norm / top
    pairs = ~np.eye(blocks, dtype=bool)
    with_outcome = pairs.copy()
    with_outcome[:, np.arange(blocks) != scale.outcome] = False
    with_outcome |= with_outcome.T
    widths = np.diff(np.append(starts, apart.shape[0]))
    values, ours, theirs = [], [], []
    for chosen in (pairs, with_outcome):
        count = max(1, int(chosen.sum()))
        values.append(float(error[chosen].sum() / count))
        slope = np.where(chosen & (norm > 1e-12), 1 / (top * np.maximum(norm, 1e-12)), 0.0) / count
        full = np.repeat(np.repeat(slope, widths, axis=0), widths, axis=1) * apart
        ours.append(_influence(real, full))
        theirs.append(-_influence(other, full))
    return Gap((values[0], values[1]), (ours[0], ours[1]), (theirs[0], theirs[1]))


def _influence(table: Crossed, slope: np.ndarray) -> np.ndarray:
    """(n,) of each row on sum(slope * C): products, less what they add to the spreads."""
    slope = slope.astype(np.float32)
    products = ((table.z @ slope) * table.z).sum(axis=1, dtype=np.float64)
    result: np.ndarray = products - table.u @ (slope * table.together).sum(axis=1)
    return result


def _some(table: Records, rows: int, rng: np.random.Generator) -> np.ndarray:
    if len(table) <= rows:
        return np.arange(len(table))
    return np.sort(rng.permutation(len(table))[:rows])


def _reference(
    pools: Pools, counted: Counted, scale: Scale, real: Crossed, rows: int, seeds: Seeds
) -> tuple[float, float]:
    some = _some(pools.nonmembers, rows, seeds.rng("association", "nonmembers"))
    other = _cross(scale, counted, pools.nonmembers.take(some), counted.nonmembers[some])
    return _gap(scale, real, other).values


def _real(pools: Pools, counted: Counted, seeds: Seeds) -> tuple[Scale, Crossed, np.ndarray]:
    some = _some(pools.members, ROWS, seeds.rng("association", "members"))
    scale = _scale(counted, pools.members)
    return (
        scale,
        _cross(scale, counted, pools.members.take(some), counted.members[some]),
        pools.members.patient[some],
    )


def association(
    synthetic: Records, pools: Pools, counted: Counted, confidence: float, seeds: Seeds
) -> tuple[Estimate, ...]:
    """Error of the table's pairwise associations, over all pairs and over the outcome's.

    Mean over pairs of columns of the difference between real and synthetic association: rank
    correlation of numbers, Pearson residuals of categories as in Cramer's V; gaps are columns too.
    What non-members of as many rows read is the chance level.
    """
    if counted.members.shape[1] + (len(synthetic.classes) > 1) < 2:
        return ()
    rows = min(ROWS, len(synthetic), len(pools.nonmembers))
    scale, real, patients = _real(pools, counted, seeds)
    some = _some(synthetic, rows, seeds.rng("association", "synthetic"))
    other = _cross(scale, counted, synthetic.take(some), counted.synthetic[some])
    found = _gap(scale, real, other)
    chance = _reference(pools, counted, scale, real, rows, seeds)
    names = ("association_error", "association_error_outcome")
    return tuple(
        linear(name, value, null, ours, patients, theirs, confidence)
        for name, value, null, ours, theirs in zip(
            names[: 1 + (len(synthetic.classes) > 1)],
            found.values,
            chance,
            found.real,
            found.other,
            strict=False,
        )
    )
