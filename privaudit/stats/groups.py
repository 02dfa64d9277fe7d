"""The same numbers for each subgroup, with small groups suppressed and tests adjusted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from privaudit.contracts import Scores
from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError
from privaudit.facts import Bound, BoundMethod, Metric
from privaudit.records import Records
from privaudit.results import Estimate, GroupResult
from privaudit.stats import auc as area_module
from privaudit.stats import prediction, resample, thresholds
from privaudit.stats._refusal import refuse_estimate
from privaudit.stats.calibration import calibration, settings, too_few_with_outcome
from privaudit.stats.membership import Patients, check, too_few
from privaudit.stats.ordinal import utility_of_order
from privaudit.stats.patients import by_patient
from privaudit.stats.rates import wilson

FPRS = (0.1, 0.01)

UNRECORDED = "not recorded"
"""The level of patients of whom the source does not say to which group they belong."""

OTHERS = "(other)"
"""The level that stands for all of fewer than 10 patients each."""


def find_small(sizes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
    """Levels of which nothing is estimated: fewer than 10 patients in a pool.

    sizes: level -> patients in each pool. What must not be shared beside them, because subtraction
    would give them, `privaudit.disclosure` decides.
    """
    return frozenset(level for level, pools in sizes.items() if min(pools) < MIN_CELL)


def rare_joined(pools: Sequence[Records]) -> tuple[Records, ...]:
    """Levels of subgroups of fewer than 10 patients in all pools together, under one name.

    For tables whose levels nobody called public: the name of a level that one patient has, a
    diagnosis say, would tell of that patient although no number is shown.
    """
    ids = np.concatenate([pool.patient for pool in pools])
    groups: list[dict[str, np.ndarray]] = [{} for _ in pools]
    for by in pools[0].groups:
        levels, place = np.unique(
            np.concatenate([pool.groups[by] for pool in pools]), return_inverse=True
        )
        pairs = np.unique(np.column_stack([place, np.unique(ids, return_inverse=True)[1]]), axis=0)
        few = np.bincount(pairs[:, 0], minlength=len(levels)) < MIN_CELL
        names = np.where(few & (levels != UNRECORDED), OTHERS, levels.astype(object)).astype(str)
        ends = np.cumsum([len(pool) for pool in pools])[:-1]
        for own, part in zip(groups, np.split(names[place], ends), strict=True):
            own[by] = part
    return tuple(replace(pool, groups=own) for pool, own in zip(pools, groups, strict=True))


def rare_classes(pools: Sequence[Records]) -> tuple[int, ...]:
    """Outcome classes whose name would tell of the fewer than 10 patients who have them.

    None where there are two, which say no more of each other than the question does, or where all
    are called by numbers.
    """
    names = pools[0].classes
    if len(names) < 3 or all(name.strip().lstrip("-").isdigit() for name in names):
        return ()
    who = [
        len(np.unique(np.concatenate([pool.patient[pool.y == c] for pool in pools])))
        for c in range(len(names))
    ]
    return tuple(c for c, patients in enumerate(who) if 0 < patients < MIN_CELL)


def name_rare_classes(records: Records) -> Records:
    """The same records with a number for the name of each outcome that a handful of people have."""
    rare = rare_classes([records])
    named = tuple(f"class {k}" if k in rare else n for k, n in enumerate(records.classes))
    return replace(records, classes=named) if rare else records


def fold(labels: tuple[np.ndarray, ...], ids: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Labels of each pool in which a tiny level that only says "not recorded" joins the largest
    level.

    Suppressing it would suppress the next smallest level too, which may be half of the patients.
    The joint level is named for both.
    """
    sizes = {
        str(level): [resample.count(i[part == level]) for part, i in zip(labels, ids, strict=True)]
        for level in np.unique(np.concatenate(labels))
    }
    largest = max(sizes, key=lambda level: (sum(sizes[level]), level), default=UNRECORDED)
    few = UNRECORDED in sizes and min(sizes[UNRECORDED]) < MIN_CELL
    if not few or largest == UNRECORDED:
        return labels
    joint = f"{largest} or {UNRECORDED}"
    return tuple(
        np.where(np.isin(part, [largest, UNRECORDED]), joint, part.astype(object)).astype(str)
        for part in labels
    )


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p-values (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    steps = (len(p) - np.arange(len(p))) * p[order]
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def differ(one: area_module.Area, two: area_module.Area) -> float | None:
    """p-value that two AUCs of different patients are equal; None where a variance is unknown."""
    from scipy.special import stdtr

    parts = []
    for area in (one, two):
        if area.variance is None or area.variance <= 0 or not 0 < area.value < 1:
            return None
        scale = area.value * (1 - area.value)
        parts.append((math.log(area.value / (1 - area.value)), area.variance / scale**2, area.df))
    (x, u, du), (y, v, dv) = parts
    df = (u + v) ** 2 / (u**2 / du + v**2 / dv)
    return float(2 * stdtr(df, -abs(x - y) / math.sqrt(u + v)))


Level = tuple[str, str, tuple[Estimate, ...] | None, float | None]
"""What was split on, the level, its estimates (None: suppressed), and the p-value of its test."""

Measured = tuple[tuple[Estimate, ...], float | None]
"""A level's estimates, and the p-value of its test, None for no test."""


def finish(found: list[Level]) -> tuple[GroupResult, ...]:
    """Adjust over all tests; the two levels of a two-level grouping are one and the same test.

    Each is a Wald test of the group's AUC against everyone else's on the logit scale, patients as
    clusters, Holm-adjusted over all groups.
    """
    levels: dict[str, int] = {}
    for by, *_ in found:
        levels[by] = levels.get(by, 0) + 1
    keys = [by if levels[by] == 2 else (by, level) for by, level, *_ in found]
    raw = {key: p for key, (*_, p) in zip(keys, found, strict=True) if p is not None}
    adjusted = dict(zip(raw, holm(np.array(list(raw.values()))), strict=True)) if raw else {}
    results = []
    for key, (by, level, estimates, p) in zip(keys, found, strict=True):
        if estimates is None:
            results.append(GroupResult(by, level, (), suppressed=True))
            continue
        share = None if p is None else float(adjusted[key])
        results.append(GroupResult(by, level, estimates, share))
    return tuple(results)


def read_labels(values: np.ndarray, length: int, by: str) -> np.ndarray:
    values = np.asarray(values).astype(str).ravel()
    if len(values) != length:
        raise PrivauditError(
            f"{len(values)} group labels for {length} records in {by!r}",
            "every record has one label",
            "pass the labels in the order of the records",
        )
    return values


def score_groups(
    evidence: Scores,
    *,
    patients: Patients,
    groups: Mapping[str, tuple[np.ndarray, np.ndarray]],
    confidence: float = 0.95,
    rng: np.random.Generator,
) -> tuple[GroupResult, ...]:
    """Who is recognised more than others.

    groups: name -> (labels of the members, labels of the non-members). The AUC compares a group's
    members with its own non-members. For the TPR the threshold is that of all non-members: it is
    one attacker with one threshold, and few groups could support their own at 1 %. A group's chance
    level is then the share of its own non-members above that threshold, and is stated as `chance`.
    A patient has one score, that of all their records, and belongs to every level that one of them
    has. Intervals resample the patients of both pools, threshold included.
    """
    evidence, rows = check(evidence, patients)
    lengths = len(evidence.members), len(evidence.nonmembers)
    evidence, ids = by_patient(evidence, rows)
    sizes = (resample.count(ids[0]), resample.count(ids[1]))
    stated = [f for f in FPRS if min(sizes) and not thresholds.shortfall(sizes[1], f)]
    rate = _global_rates(evidence, ids, stated, rng) if stated else None
    found: list[Level] = []
    for by in sorted(groups):
        one, zero = fold(
            (
                read_labels(groups[by][0], lengths[0], by),
                read_labels(groups[by][1], lengths[1], by),
            ),
            rows,
        )
        levels = np.unique(np.concatenate([one, zero])).tolist()
        masks = {
            level: (np.isin(ids[0], rows[0][one == level]), np.isin(ids[1], rows[1][zero == level]))
            for level in levels
        }
        counts = {
            level: tuple(resample.count(i[m]) for i, m in zip(ids, masks[level], strict=True))
            for level in levels
        }
        hidden = find_small(counts)
        for level in levels:
            if level in hidden:
                found.append((by, level, None, None))
                continue
            a, b = masks[level]
            n = {"member_patients": counts[level][0], "nonmember_patients": counts[level][1]}
            inside = area_module.area(
                evidence.members[a], evidence.nonmembers[b], ids[0][a], ids[1][b]
            )
            low, high, method = inside.interval(confidence)
            estimates = [
                Estimate(Metric("auc"), inside.value, low, high, 0.5, n, confidence, Bound(method))
            ]
            for f in FPRS:
                metric = Metric("tpr", fpr=f)
                if rate is None or f not in stated:
                    reason = too_few(sizes, f)
                    estimates.append(refuse_estimate(metric, reason, f, n, confidence))
                else:
                    estimates.append(rate(stated.index(f), a, b, metric, n, confidence))
            p = None
            if not a.all() and not b.all():
                outside = area_module.area(
                    evidence.members[~a], evidence.nonmembers[~b], ids[0][~a], ids[1][~b]
                )
                p = differ(inside, outside)
            found.append((by, level, tuple(estimates), p))
    return finish(found)


def _global_rates(
    evidence: Scores, ids: Patients, stated: list[float], rng: np.random.Generator
) -> Callable[..., Estimate]:
    """A function giving a group's share above the threshold that all non-members set.

    A record at the threshold counts by the share of tied records that the false positive rate asks
    for, as in `thresholds.Roc`.
    """
    (one,), ones = resample.codes(ids[0])
    (zero,), zeros = resample.codes(ids[1])
    down = np.argsort(-evidence.nonmembers, kind="stable")
    ordered = evidence.nonmembers[down]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    at = ordered[ends]
    fprs = np.array(stated)
    draw = np.concatenate(
        [np.ones((1, zeros))]
        + [
            resample.weights(np.arange(zeros), zeros, n, rng)
            for n in resample.chunks(len(zero), resample.RESAMPLES)
        ]
    )
    member = np.concatenate(
        [np.ones((1, ones))]
        + [
            resample.weights(np.arange(ones), ones, n, rng)
            for n in resample.chunks(len(one), resample.RESAMPLES)
        ]
    )
    cuts, shares = [], []
    for row in draw:
        false = np.cumsum(row[zero[down]])[ends]
        asked = fprs * false[-1]
        where = np.minimum(np.searchsorted(false, asked + 1e-6, "right"), len(ends) - 1)
        before = np.where(where > 0, false[where - 1], 0.0)
        cuts.append(at[where])
        shares.append(np.clip((asked - before) / (false[where] - before), 0, 1))
    cut, share = np.array(cuts), np.array(shares)

    def rate(
        which: int,
        a: np.ndarray,
        b: np.ndarray,
        metric: Metric,
        n: dict[str, int],
        confidence: float,
    ) -> Estimate:
        values = evidence.members[a]
        order = np.argsort(values, kind="stable")
        weight = member[:, one[a][order]]
        total = np.concatenate([np.zeros((len(weight), 1)), np.cumsum(weight, axis=1)], axis=1)
        rows = np.arange(len(weight))
        upto = total[rows, np.searchsorted(values[order], cut[:, which], "left")]
        below = total[rows, np.searchsorted(values[order], cut[:, which], "right")]
        weights = total[:, -1]
        drawn = weights > 0
        above = (weights - below + share[:, which] * (below - upto))[drawn] / weights[drawn]
        value = float(above[0])
        low, high = resample.percentile(above[1:], value, confidence)
        alone = wilson(value, n["member_patients"], confidence)
        others = evidence.nonmembers[b]
        tied = float((others == cut[0, which]).mean()) * share[0, which]
        chance = float((others > cut[0, which]).mean()) + float(tied)
        bounds = min(value, float(low), alone[0]), max(value, float(high), alone[1])
        bound = Bound(BoundMethod.GROUP_BOOTSTRAP_WILSON)
        return Estimate(metric, value, *bounds, chance, n, confidence, bound)

    return rate


def utility_groups(
    proba: np.ndarray,
    y: np.ndarray,
    *,
    patients: np.ndarray,
    groups: Mapping[str, np.ndarray],
    confidence: float = 0.95,
    classes: tuple[str, ...] = (),
    ordered: bool = False,
) -> tuple[GroupResult, ...]:
    """For whom the model works less well: AUROC, Brier score and calibration intercept by group.

    groups: name -> (n,) labels; classes, ordered: as in `prediction.utility`. AUROC and calibration
    want at least 10 patients with and 10 without the outcome (k > 2: AUROC of at least two classes,
    calibration for each class or cut). Ordered classes have their measures in groups too.
    """
    proba, y, ids = prediction.check(proba, y, patients)
    k = proba.shape[1]

    def measure(mask: np.ndarray, n: dict[str, int]) -> Measured:
        p = None
        shift: tuple[Estimate, ...]
        if _both_sides(y[mask], ids[mask], k):
            ranked = prediction.auroc(proba[mask], y[mask], ids[mask], n, confidence)
            shift = calibration(
                proba[mask],
                y[mask],
                ids[mask],
                n,
                confidence,
                classes=classes,
                ordered=ordered,
                names=("calibration_intercept",),
                group=True,
            )
            if _both_sides(y[~mask], ids[~mask], proba.shape[1]):
                p = differ(_area(proba, y, ids, mask), _area(proba, y, ids, ~mask))
        else:
            reason = too_few_with_outcome(MIN_CELL, group=True)
            ranked = refuse_estimate(Metric("auroc"), reason, 0.5, n, confidence)
            shift = tuple(
                refuse_estimate(Metric("calibration_intercept", at=at), reason, 0.0, n, confidence)
                for at in settings(k, classes, ordered)
            )
        error = prediction.brier(proba[mask], y[mask], ids[mask], n, confidence)
        of_order: tuple[Estimate, ...] = ()
        if ordered and k > 2:
            of_order = utility_of_order(proba[mask], y[mask], ids[mask], n, confidence)
        return (ranked, error, *of_order, *shift), p

    return measure_levels(groups, ids, measure)


def measure_levels(
    groups: Mapping[str, np.ndarray],
    ids: np.ndarray,
    measure: Callable[[np.ndarray, dict[str, int]], Measured],
) -> tuple[GroupResult, ...]:
    """Every level of every grouping of one pool, small ones suppressed, tests adjusted over all.

    groups: name -> (n,) labels; ids: (n,) patients; measure: from (n,) bool, who is in a level, and
    its size to its estimates and the p-value of its test, None for no test.
    """
    found: list[Level] = []
    for by in sorted(groups):
        (labels,) = fold((read_labels(groups[by], len(ids), by),), (ids,))
        levels = np.unique(labels).tolist()
        counts = {level: (resample.count(ids[labels == level]),) for level in levels}
        hidden = find_small(counts)
        for level in levels:
            if level in hidden:
                found.append((by, level, None, None))
            else:
                estimates, p = measure(labels == level, {"patients": counts[level][0]})
                found.append((by, level, estimates, p))
    return finish(found)


def _both_sides(y: np.ndarray, ids: np.ndarray, k: int) -> bool:
    enough = sum(resample.count(ids[y == c]) >= MIN_CELL for c in range(k))
    return enough >= 2


def _area(proba: np.ndarray, y: np.ndarray, ids: np.ndarray, mask: np.ndarray) -> area_module.Area:
    asked = prediction.questions(proba[mask], y[mask])
    if proba.shape[1] > 2:
        return area_module.mean_area(asked, ids[mask])
    scores, hit = asked[0]
    who = ids[mask]
    return area_module.area(scores[hit], scores[~hit], who[hit], who[~hit])
