"""Total variation distance of marginals: each column of a synthetic table beside the real one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.facts import Bound, BoundMethod, Metric, Reason, ReasonCode
from privaudit.fidelity._align import Pools
from privaudit.fidelity._bins import Bins, bins
from privaudit.records import Records
from privaudit.results import ColumnFit, Estimate
from privaudit.stats import resample

Noisy = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Column -> (cuts between ranges, shares of ranges or levels in order, then of not recorded)."""


@dataclass(frozen=True, eq=False)
class Counted:
    """Three tables counted alike: codes (n, d) of each, and what the codes mean."""

    bins: tuple[Bins, ...]
    members: np.ndarray
    nonmembers: np.ndarray
    synthetic: np.ndarray


def count(synthetic: Records, pools: Pools, noisy: Noisy | None = None) -> Counted:
    """All shared columns of the three tables, cut by the members' values."""
    real = pools.members
    (patients,), _ = resample.codes(real.patient)
    found = []
    for place, column in enumerate(real.columns):
        given = noisy[column.name][0] if noisy and column.name in noisy else None
        cuts = given if column.kind == "numeric" else None
        found.append(bins(column, real.X[:, place], patients, synthetic.X[:, place], cuts))
    coded = [
        np.column_stack([part.code(table.X[:, place]) for place, part in enumerate(found)])
        for table in (real, pools.nonmembers, synthetic)
    ]
    return Counted(tuple(found), *(codes.astype(np.int16) for codes in coded))


def shares(codes: np.ndarray, levels: int) -> np.ndarray:
    """(levels,) of one column's codes."""
    return np.bincount(codes, minlength=levels) / len(codes)


def columns(
    counted: Counted, rng: np.random.Generator, noisy: Noisy | None = None
) -> tuple[ColumnFit, ...]:
    """Every column's shares and distance.

    The reference is of non-members from members, of at most as many rows as the synthetic table
    has.
    """
    others = counted.nonmembers
    rows = len(counted.synthetic)
    if len(others) > rows:
        others = others[np.sort(rng.permutation(len(others))[:rows])]
    found = []
    for place, part in enumerate(counted.bins):
        k = len(part.labels)
        real, synthetic, other = (
            shares(codes[:, place], k) for codes in (counted.members, counted.synthetic, others)
        )
        known: np.ndarray = np.empty(0)
        if noisy and part.column.name in noisy:
            known = part.gather(np.asarray(noisy[part.column.name][1], dtype=float))
        found.append(
            ColumnFit(
                part.column.name,
                part.column.kind,
                part.labels,
                _rounded(real),
                _rounded(synthetic),
                round(float(np.abs(real - synthetic).sum() / 2), 6),
                round(float(np.abs(real - other).sum() / 2), 6),
                _rounded(known),
            )
        )
    return tuple(found)


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values)


def distance(
    counted: Counted, fits: Sequence[ColumnFit], patients: np.ndarray, confidence: float
) -> Estimate:
    """The mean distance over columns, with the mean of the references as what none would read.

    The interval is for what tables of this many rows read: a distance of shares is never negative,
    so that sampling alone raises it, and the reference, by as much.
    """
    influence = [np.zeros(len(codes)) for codes in (counted.members, counted.synthetic)]
    for place, part in enumerate(counted.bins):
        k = len(part.labels)
        gap = shares(counted.synthetic[:, place], k) - shares(counted.members[:, place], k)
        slope = np.sign(gap) / (2 * len(counted.bins))
        influence[0] -= slope[counted.members[:, place]]
        influence[1] += slope[counted.synthetic[:, place]]
    value, chance = (
        float(np.mean(part))
        for part in ([fit.distance for fit in fits], [fit.reference for fit in fits])
    )
    return linear(
        "column_distance", value, chance, influence[0], patients, influence[1], confidence
    )


def linear(
    name: str,
    value: float,
    chance: float,
    real: np.ndarray,
    patients: np.ndarray,
    synthetic: np.ndarray,
    confidence: float,
) -> Estimate:
    """An estimate whose variance is that of two means of influences, linearised.

    real: (n,) influences of real rows, taken together by patient; synthetic: (m,), each for itself.
    """
    from scipy.special import stdtrit

    (code,), clusters = resample.codes(patients)
    n = {"synthetic_rows": len(synthetic), "members": len(real), "patients": clusters}
    metric, bound = Metric(name), Bound(BoundMethod.LINEARISED)
    of_real = resample.mean_variance(real, code, clusters)
    of_drawn = resample.mean_variance(synthetic, np.arange(len(synthetic)), len(synthetic))
    if of_real is None or of_drawn is None:
        few = ReasonCode.TOO_FEW_PATIENTS if of_real is None else ReasonCode.TOO_FEW_SYNTHETIC_ROWS
        reason = Reason(few, {"least": 2})
        return Estimate(metric, None, None, None, chance, n, confidence, bound, reason)
    half = float(stdtrit(min(clusters, len(synthetic)) - 1, 0.5 + confidence / 2))
    half *= math.sqrt(of_real + of_drawn)
    low = max(0.0, value - half)
    return Estimate(metric, value, low, value + half, chance, n, confidence, bound)
