"""How near synthetic rows are to real people: duplicates counted, distances described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from privaudit.contracts import Trials
from privaudit.disclosure_limits import MIN_CELL
from privaudit.facts import (
    Bound,
    BoundMethod,
    Caveat,
    CaveatCode,
    Metric,
    Param,
    Reason,
    ReasonCode,
)
from privaudit.fidelity._align import Pools
from privaudit.fidelity.copies import DIFFERING, ROUNDING, copies, exact
from privaudit.fidelity.distance import match, nearest
from privaudit.records import Records
from privaudit.results import Estimate
from privaudit.seeds import Seeds
from privaudit.stats import rates, resample
from privaudit.stats.trials import series_by_record, trials

ROWS = 3000
"""Rows of each table between which distances are taken, at most."""

CELLS = 150_000_000_000
"""Cells compared in the search for near-duplicates, at most: about half a minute."""

LEAST = 200
"""Records of each pool for which near-duplicates are sought, at least."""

DEFINED = Caveat(
    CaveatCode.NEAR_DUPLICATES_DEFINED, "note", {"differing": DIFFERING, "rounding": ROUNDING}
)
"""What counts as a near-duplicate."""

WILSON = Bound(BoundMethod.WILSON)


def counted(
    synthetic: Records, pools: Pools, confidence: float, seeds: Seeds
) -> tuple[tuple[Estimate, ...], tuple[Estimate, ...], tuple[Caveat, ...]]:
    """Members of whom any record has an exact or a near-duplicate in the table, the same of
    records, and notes; chance: non-members with one, at the members' numbers of records.

    Exact duplicates are sought for every record, near ones for the records of as many patients as
    `CELLS` allows, drawn at random. 1 to 9 such patients are reported as few, not counted.
    """
    most = max(LEAST, CELLS // (len(synthetic) * (len(synthetic.columns) + 1)))
    both = (pools.members, pools.nonmembers)
    some = [
        _of_patients(pool, most, seeds.rng("copies", name))
        for pool, name in zip(both, ("members", "nonmembers"), strict=True)
    ]
    same = [exact(*match(pool, synthetic)[:2]) for pool in both]
    near = [copies(pool, synthetic).near for pool in some]
    found: list[Estimate] = []
    by_record: list[Estimate] = []
    notes: list[Caveat] = []
    for name, masks, asked in (("exact_copies", same, both), ("near_copies", near, some)):
        of_patients, of_records, caveats = _counted(name, masks, asked, confidence)
        found += of_patients
        by_record += of_records
        notes += caveats
    cut = [part for part, whole in zip(some, both, strict=True) if len(part) < len(whole)]
    if cut:
        drawn = {"patients": max(resample.count(part.patient) for part in cut)}
        notes.append(Caveat(CaveatCode.PATIENTS_DRAWN, "note", drawn))
    return tuple(found), tuple(by_record), (*notes, DEFINED)


def _counted(
    name: str, masks: Sequence[np.ndarray], asked: Sequence[Records], confidence: float
) -> tuple[list[Estimate], list[Estimate], list[Caveat]]:
    """The share of members with a copy, and its excess over non-members; the same of records."""
    inside, outside = asked
    few = [_few(mask, pool) for mask, pool in zip(masks, asked, strict=True)]
    facts: Mapping[str, Param] = {"metric": name, "least": MIN_CELL}
    notes = [Caveat(CaveatCode.FEW_COPIES_HELD_OUT, "note", facts)] if few[1] else []
    evidence = Trials(
        masks[0].astype(float),
        masks[1].astype(float),
        patients=inside.patient,
        control_patients=outside.patient,
        rows="any",
    )
    of_patients = trials(evidence, confidence=confidence)
    if few[0]:
        notes.append(Caveat(CaveatCode.FEW_COPIES, "note", facts))
        reason = Reason(ReasonCode.FEW_COPIES, {"least": MIN_CELL})
        share = of_patients[0]
        chance = MIN_CELL / resample.count(outside.patient) if few[1] else share.chance
        n = {"members": len(inside), "patients": share.n["patients"]}
        empty = (None, None, None, chance)
        return [Estimate(Metric(name), *empty, n, confidence, WILSON, reason)], [], notes
    of_records = series_by_record(evidence, confidence=confidence)
    made = [_named(name, found, asked, few[1]) for found in (of_patients, of_records)]
    return made[0], made[1], notes


def _named(
    name: str, found: Sequence[Estimate], asked: Sequence[Records], few: bool
) -> list[Estimate]:
    """Rate and excess under a measure's name; few: so few non-members have a copy that neither
    their number nor the excess is told."""
    if not found:
        return []
    inside, outside = asked
    share, _, gap = found
    n = {"members": len(inside), "patients": share.n["patients"]}
    chance = MIN_CELL / resample.count(outside.patient) if few else share.chance
    made = [replace(share, metric=Metric(name), chance=chance, n=n)]
    if not few:
        both = {**n, "nonmembers": len(outside)}
        made.append(replace(gap, metric=Metric(f"{name}_excess"), n=both))
    return made


def _few(mask: np.ndarray, pool: Records) -> bool:
    return 0 < resample.count(pool.patient[mask]) < MIN_CELL


def _some(pool: Records, rows: int, rng: np.random.Generator) -> Records:
    """At most so many of its rows."""
    return pool if len(pool) <= rows else pool.take(np.sort(rng.permutation(len(pool))[:rows]))


def _of_patients(pool: Records, rows: int, rng: np.random.Generator) -> Records:
    """All records of patients drawn at random, until there are so many."""
    if len(pool) <= rows:
        return pool
    ids, code, counts = np.unique(pool.patient, return_inverse=True, return_counts=True)
    order = rng.permutation(len(ids))
    drawn = order[: max(1, int(np.searchsorted(np.cumsum(counts[order]), rows, side="right")))]
    return pool.take(np.flatnonzero(np.isin(code, drawn)))


def described(
    synthetic: Records, pools: Pools, confidence: float, seeds: Seeds
) -> tuple[Estimate, ...]:
    """How near synthetic rows come to members, with non-members as the chance level.

    Median distance of a synthetic row to its closest real record, median ratio of the closest to
    the second closest, and how often the closest is a member (ties count half). As many members as
    non-members are searched, so that both had an equal chance to be closest.
    """
    rows = min(ROWS, len(pools.members), len(pools.nonmembers))
    if rows < MIN_CELL or len(synthetic) < MIN_CELL:
        return ()
    asked = _some(synthetic, ROWS, seeds.rng("distances", "synthetic"))
    one = _some(pools.members, rows, seeds.rng("distances", "members"))
    zero = _some(pools.nonmembers, rows, seeds.rng("distances", "nonmembers"))
    scale = _ranges(pools.members)
    near = [nearest(asked, pool, 2, ranges=scale)[0] for pool in (one, zero)]
    n = {"synthetic_rows": len(asked), "members": rows, "nonmembers": rows}
    ratio = [d[:, 0] / np.maximum(d[:, 1], 1e-12) for d in near]
    ratio = [np.where(d[:, 1] <= 0, 1.0, r) for d, r in zip(near, ratio, strict=True)]
    closer = np.where(near[0][:, 0] == near[1][:, 0], 0.5, near[0][:, 0] < near[1][:, 0])
    share = rates.rate(closer.astype(float), np.arange(len(closer)), confidence)
    return (
        _median("closest_distance", near[0][:, 0], near[1][:, 0], n, confidence),
        _median("neighbour_ratio", ratio[0], ratio[1], n, confidence),
        Estimate(Metric("closer_to_members"), *share, 0.5, n, confidence, WILSON),
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
    """A median over synthetic rows with its distribution-free interval from order statistics.

    David and Nagaraja 2003, section 7.1.
    """
    from scipy.special import bdtr

    ordered = np.sort(values)
    m = len(ordered)
    tail = bdtr(np.arange(m + 1), m, 0.5)
    rank = max(0, int(np.searchsorted(tail, (1 - confidence) / 2, "right")) - 1)
    rank = min(rank, m // 2)
    interval = float(ordered[rank]), float(ordered[m - 1 - rank])
    middle, chance = float(np.median(ordered)), float(np.median(others))
    bound = Bound(BoundMethod.ORDER_STATISTIC)
    return Estimate(Metric(name), middle, *interval, chance, n, confidence, bound)
