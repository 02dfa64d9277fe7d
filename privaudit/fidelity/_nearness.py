"""How near synthetic rows are to real people: copies counted, distances described."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from privaudit.fidelity._align import Pools
from privaudit.fidelity.copies import DIFFERING, ROUNDING, copies, exact
from privaudit.fidelity.distance import match, nearest
from privaudit.limits import MIN_CELL
from privaudit.records import Records
from privaudit.results import Estimate
from privaudit.seeds import Seeds
from privaudit.stats import rates, resample

ROWS = 3000
"""Rows of each table between which distances are taken, at most."""

CELLS = 15_000_000_000
"""Cells compared in the search for near copies, at most: a few seconds."""

LEAST = 200
"""Records of each pool for which near copies are sought, at least."""

COPIED = "share of members' records, Wilson's interval on the effective number of records"
FEW = "between 1 and 9 patients have one: too few to be counted here without pointing at them"


def counted(
    synthetic: Records, pools: Pools, confidence: float, seeds: Seeds
) -> tuple[tuple[Estimate, ...], tuple[str, ...]]:
    """Members with an exact or a near copy among the synthetic rows; chance: non-members with one.

    Exact copies are sought for every record, near ones for as many as `CELLS` allows, drawn by lot.
    Returns also notes for the report. 1 to 9 such patients are said, not counted.
    """
    most = max(LEAST, CELLS // (len(synthetic) * (len(synthetic.columns) + 1)))
    both = (pools.members, pools.nonmembers)
    some = [
        _some(pool, most, seeds.rng("copies", name))
        for pool, name in zip(both, ("members", "nonmembers"), strict=True)
    ]
    word = [exact(*match(pool, synthetic)[:2]) for pool in both]
    near = [copies(pool, synthetic).near for pool in some]
    found, notes = [], []
    for name, masks, asked in (("exact_copies", word, both), ("near_copies", near, some)):
        told, said = _counted(name, masks, asked, confidence)
        found += told
        notes += said
    return tuple(found), tuple(notes)


def _counted(
    name: str, masks: Sequence[np.ndarray], asked: Sequence[Records], confidence: float
) -> tuple[list[Estimate], list[str]]:
    """The share of members with a copy, and its excess over non-members."""
    inside, outside = asked
    mine, others = (mask.astype(float) for mask in masks)
    n = {"members": len(inside), "patients": resample.count(inside.patient)}
    chance = float(others.mean())
    notes = []
    title = name.replace("_", " ").capitalize()
    few = [_few(mask, pool) for mask, pool in zip(masks, asked, strict=True)]
    if few[1]:
        chance = MIN_CELL / len(outside)
        notes.append(
            f"{title} of non-members are of 1 to 9 patients; the chance level is stated as that of "
            f"{MIN_CELL}"
        )
    if few[0]:
        notes.append(f"{title}: {FEW}")
        return [Estimate(name, None, None, None, chance, n, confidence, COPIED, FEW)], notes
    one = rates.rate(mine, inside.patient, confidence)
    found = [Estimate(name, *one, chance, n, confidence, COPIED)]
    if not few[1]:
        gap = rates.difference(mine, others, inside.patient, outside.patient, confidence)
        m = {**n, "nonmembers": len(outside)}
        how = "Newcombe's interval of two independent shares, patients as clusters"
        found.append(Estimate(f"{name}_excess", *gap, 0.0, m, confidence, how))
    return found, notes


SETTINGS = (
    f"A near copy differs in at most {DIFFERING:.0%} of the cells measured on either side; numbers within "
    f"{ROUNDING:.0%} of what their column spans count as the same"
)


def _few(mask: np.ndarray, pool: Records) -> bool:
    return 0 < resample.count(pool.patient[mask]) < MIN_CELL


def _some(pool: Records, rows: int, rng: np.random.Generator) -> Records:
    """At most so many of its rows."""
    return pool if len(pool) <= rows else pool.take(np.sort(rng.permutation(len(pool))[:rows]))


def described(
    synthetic: Records, pools: Pools, confidence: float, seeds: Seeds
) -> tuple[Estimate, ...]:
    """Median distance of a synthetic row to its closest real record and median ratio of the closest to
    the second closest, for members, with non-members as the chance level; and how often the closest
    is a member.

    As many members as non-members are searched, so that both had an equal chance to be closest.
    """
    rows = min(ROWS, len(pools.members), len(pools.nonmembers))
    if rows < MIN_CELL or len(synthetic) < MIN_CELL:
        return ()
    asked = _some(synthetic, ROWS, seeds.rng("distances", "synthetic"))
    one = _some(pools.members, rows, seeds.rng("distances", "members"))
    zero = _some(pools.nonmembers, rows, seeds.rng("distances", "nonmembers"))
    near = [nearest(asked, pool, 2, ranges=_ranges(pools.members))[0] for pool in (one, zero)]
    n = {"synthetic_rows": len(asked), "members": rows, "nonmembers": rows}
    ratio = [d[:, 0] / np.maximum(d[:, 1], 1e-12) for d in near]
    ratio = [np.where(d[:, 1] <= 0, 1.0, r) for d, r in zip(near, ratio, strict=True)]
    closer = np.where(near[0][:, 0] == near[1][:, 0], 0.5, near[0][:, 0] < near[1][:, 0])
    share = rates.rate(closer.astype(float), np.arange(len(closer)), confidence)
    how = "synthetic rows as they are; Wilson's interval, ties count half"
    return (
        _median("closest_distance", near[0][:, 0], near[1][:, 0], n, confidence),
        _median("neighbour_ratio", ratio[0], ratio[1], n, confidence),
        Estimate("closer_to_members", *share, 0.5, n, confidence, how),
    )


def _ranges(members: Records) -> dict[str, tuple[float, float]]:
    """One scale for both searches, that of the members' middle 98 %."""
    found = {}
    for place, column in enumerate(members.columns):
        seen = members.X[:, place][np.isfinite(members.X[:, place])].astype(float)
        if column.kind == "numeric" and len(seen):
            low, high = np.quantile(seen, [0.01, 0.99])
            if high > low:
                found[column.name] = (float(low), float(high))
    return found


def _median(
    name: str, values: np.ndarray, others: np.ndarray, n: dict[str, int], confidence: float
) -> Estimate:
    """A median with its distribution-free interval from order statistics (David and Nagaraja 2003,
    section 7.1)."""
    from scipy.special import bdtr

    ordered = np.sort(values)
    m = len(ordered)
    inside = np.arange(m + 1)
    tail = bdtr(inside, m, 0.5)
    rank = max(0, int(np.searchsorted(tail, (1 - confidence) / 2, "right")) - 1)
    rank = min(rank, m // 2)
    low, high = float(ordered[rank]), float(ordered[m - 1 - rank])
    middle = float(np.median(ordered))
    how = "median over synthetic rows, order-statistic interval"
    chance = float(np.median(others))
    return Estimate(name, middle, low, high, chance, n, confidence, how)


__all__ = ["SETTINGS", "counted", "described"]
