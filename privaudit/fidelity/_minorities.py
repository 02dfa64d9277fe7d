"""Under-represented groups: their share of a synthetic table, and the utility of it for them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from privaudit.disclosure_limits import MIN_CELL
from privaudit.facts import Bound, BoundMethod, Metric, Reason, ReasonCode
from privaudit.fidelity._align import Pools
from privaudit.records import Records
from privaudit.results import Estimate, GroupResult
from privaudit.stats import rates, resample
from privaudit.stats.groups import find_small, fold, holm
from privaudit.stats.paired import Gap, auroc_loss, gap
from privaudit.stats.prediction import auroc

MAX_LEVELS = 50
"""Levels of a category, at most, that may stand for groups."""

Found = tuple[str, str, tuple[Estimate, ...] | None, float | None]
"""(by, level, estimates or None where suppressed, p) of one group."""


def groups(
    synthetic: Records,
    pools: Pools,
    answers: tuple[np.ndarray, np.ndarray] | None,
    confidence: float,
) -> tuple[GroupResult, ...]:
    """Each group's share real and synthetic where a column gives the group, and utility for it.

    answers: (non-members, k) of the synthetic-trained and of the real-trained model, None where no
    model could be trained. Groups of fewer than 10 patients are suppressed. p: of a Wald test of
    the group's loss of AUROC against everyone else's, patients as clusters, Holm-adjusted over all
    groups.
    """
    inside, outside = pools.members, pools.nonmembers
    found: list[Found] = []
    for by in sorted(inside.groups):
        drawn = groups_of_rows(by, inside, outside, synthetic)
        labels = fold((inside.groups[by], outside.groups[by]), (inside.patient, outside.patient))
        levels = np.unique(np.concatenate(labels)).tolist()
        sizes = {
            level: tuple(
                resample.count(pool.patient[part == level])
                for pool, part in zip((inside, outside), labels, strict=True)
            )
            for level in levels
        }
        hidden = find_small(sizes)
        for level in levels:
            if level in hidden:
                found.append((by, level, None, None))
                continue
            estimates: list[Estimate] = []
            if drawn is not None:
                named = np.isin(drawn, _parts(level, levels, inside.groups[by]))
                estimates += _shares(labels[0] == level, named, inside.patient, confidence)
            p = None
            if answers is not None:
                mask = labels[1] == level
                useful, p = _utility(outside, answers, mask, sizes[level][1], confidence)
                estimates += useful
            found.append((by, level, tuple(estimates), p))
    return _adjusted(found)


def _parts(level: str, levels: list[str], raw: np.ndarray) -> list[str]:
    """The group's own labels: more than one where "not recorded" was folded into it."""
    known = np.unique(raw).tolist()
    if level in known:
        return [level]
    return [part for part in known if part not in levels]


def groups_of_rows(
    by: str, members: Records, nonmembers: Records, synthetic: Records
) -> np.ndarray | None:
    """(n,) the group of each synthetic row, None where no column gives the group.

    A column gives it if each of its values belongs to one group alone: levels of a category, or
    ranges of a number that do not overlap (age and age bands). Of several the one named like the
    group is taken.
    """
    labels = np.concatenate([members.groups[by], nonmembers.groups[by]])
    if len(np.unique(labels)) < 2:
        return None
    order = sorted(
        range(len(members.columns)), key=lambda j: (_unlike(members.columns[j].name, by), j)
    )
    for place in order:
        values = np.concatenate([members.X[:, place], nonmembers.X[:, place]])
        found = _by_column(members.columns[place].kind, values, labels, synthetic.X[:, place])
        if found is not None:
            return found
    return None


def _unlike(name: str, by: str) -> int:
    one, two = name.lower(), by.lower()
    return 0 if one == two else 1 if one in two or two in one else 2


def _by_column(
    kind: str, values: np.ndarray, labels: np.ndarray, asked: np.ndarray
) -> np.ndarray | None:
    found = np.full(len(asked), "", dtype=object)
    gone = ~np.isfinite(values)
    if gone.any():
        of_gone = np.unique(labels[gone])
        if len(of_gone) > 1:
            return None
        found[~np.isfinite(asked)] = of_gone[0]
    values, labels = values[~gone], labels[~gone]
    if not len(values):
        return None
    distinct, code = np.unique(values, return_inverse=True)
    if kind != "numeric" and len(distinct) > MAX_LEVELS:
        return None
    names, group = np.unique(labels, return_inverse=True)
    first = np.full(len(distinct), -1)
    first[code] = group
    if (first[code] != group).any() or len(names) < 2:
        return None
    seen = np.isfinite(asked)
    if kind != "numeric":
        at = np.searchsorted(distinct, asked[seen])
        at = np.minimum(at, len(distinct) - 1)
        known = distinct[at] == asked[seen]
        found[seen] = np.where(known, names[first[at]], "")
        return found
    cuts = np.flatnonzero(np.diff(first))
    if len(cuts) != len(names) - 1:
        return None
    edges = (distinct[cuts] + distinct[cuts + 1]) / 2
    order = first[np.append(cuts, len(first) - 1)]
    found[seen] = names[order[np.searchsorted(edges, asked[seen])]]
    return found


def _shares(
    real: np.ndarray, synthetic: np.ndarray, patients: np.ndarray, confidence: float
) -> list[Estimate]:
    """The group's share of the real members' rows and of the synthetic rows."""
    one = rates.rate(real.astype(float), patients, confidence)
    rows = np.arange(len(synthetic))
    two = rates.rate(synthetic.astype(float), rows, confidence)
    n_real = {"members": len(real), "patients": resample.count(patients)}
    n, bound = {"synthetic_rows": len(synthetic)}, Bound(BoundMethod.WILSON)
    return [
        Estimate(Metric("group_share_synthetic"), *two, one[0], n, confidence, bound),
        Estimate(Metric("group_share_real"), *one, None, n_real, confidence, bound),
    ]


def _utility(
    outside: Records,
    answers: tuple[np.ndarray, np.ndarray],
    mask: np.ndarray,
    patients: int,
    confidence: float,
) -> tuple[list[Estimate], float | None]:
    """A group's AUROC under both models, its loss, and p of its difference from the others'."""
    n = {"patients": patients}
    y, ids, k = outside.y, outside.patient, len(outside.classes)
    names = ("auroc_synthetic", "auroc_real")
    if not _both_sides(y[mask], ids[mask], k):
        few = Reason(ReasonCode.TOO_FEW_WITH_OUTCOME, {"least": MIN_CELL, "group": True})
        chances = zip((*names, "auroc_loss"), (0.5, 0.5, 0.0), strict=True)
        return [
            Estimate(Metric(name), None, None, None, chance, n, confidence, None, few)
            for name, chance in chances
        ], None
    found = []
    for name, part in zip(names, answers, strict=True):
        one = auroc(part[mask], y[mask], ids[mask], n, confidence)
        found.append(replace(one, metric=Metric(name), n=n))
    loss = auroc_loss(
        answers[1][mask], answers[0][mask], y[mask], patients=ids[mask], confidence=confidence
    )
    found.append(replace(loss, n=n))
    p = None
    if _both_sides(y[~mask], ids[~mask], k):
        sides = [gap(answers[1][m], answers[0][m], y[m], ids[m]) for m in (mask, ~mask)]
        p = _differ(*sides)
    return found, p


def _both_sides(y: np.ndarray, ids: np.ndarray, k: int) -> bool:
    return sum(resample.count(ids[y == c]) >= MIN_CELL for c in range(k)) >= 2


def _differ(one: Gap | None, two: Gap | None) -> float | None:
    from scipy.special import stdtr

    if one is None or two is None or not one.variance or not two.variance:
        return None
    total = one.variance + two.variance
    df = total**2 / (one.variance**2 / one.df + two.variance**2 / two.df)
    return float(2 * stdtr(df, -abs(one.value - two.value) / math.sqrt(total)))


def _adjusted(found: Sequence[Found]) -> tuple[GroupResult, ...]:
    """Adjusted over all tests; the two levels of a two-level grouping are one and the same test."""
    levels = Counter(by for by, *_ in found)
    keys = [(by, "" if levels[by] == 2 else level) for by, level, *_ in found]
    raw = {key: p for key, (*_, p) in zip(keys, found, strict=True) if p is not None}
    adjusted = dict(zip(raw, holm(np.array(list(raw.values()))), strict=True)) if raw else {}
    results = []
    for key, (by, level, estimates, p) in zip(keys, found, strict=True):
        if estimates is None:
            results.append(GroupResult(by, level, (), suppressed=True))
        elif estimates:
            p_adjusted = None if p is None else float(adjusted[key])
            results.append(GroupResult(by, level, estimates, p_adjusted))
    return tuple(results)
