"""An attacker with their own copy of the quasi-identifiers links patients to rows of the table.

The weights are those of Fellegi and Sunter (1969, J. Am. Stat. Assoc. 64:1183): how much likelier a
comparison is for one patient than for two, with agreement on a rare value weighing more; numbers
and dates may agree, be near, or be far. A patient who is looked for and is not in the table is the
control: the same patient, with their own row taken out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.deidentified.classes import pack
from privaudit.deidentified.document import Linkage
from privaudit.deidentified.read import Quasi, ReleaseTable
from privaudit.facts import Bound, BoundMethod, Metric
from privaudit.results import Estimate
from privaudit.stats import rates

TARGETS = 2_000
CELLS = 8_000_000
NEAR = 0.02
"""A number is near another one within this share of the middle 90 % of the column."""
NEAR_ERRORS = 0.8
"""Of the errors in a number, so many are near."""
IMPOSSIBLE = -1e4
CLAIMED = 0.5
"""A link is claimed where the chance that it is right, by the weights, is at least this; of the
people who may be meant as many are beyond the table as in it."""


@dataclass(frozen=True, eq=False)
class _Column:
    """One quasi-identifier as the attacker compares it: frequency of each level, its values."""

    frequency: np.ndarray
    numbers: np.ndarray | None
    window: float
    near: float

    @classmethod
    def of(cls, quasi: Quasi, tolerance: float) -> _Column:
        there = quasi.codes[quasi.codes >= 0]
        counts = np.bincount(there, minlength=len(quasi.levels)).astype(float)
        frequency = counts / max(1.0, counts.sum())
        numbers = quasi.numbers
        if quasi.kind == "text" or np.isfinite(numbers).sum() < 3:
            return cls(frequency, None, 0.0, 0.0)
        values = numbers[there]
        values = values[np.isfinite(values)]
        low, high = np.quantile(values, (0.05, 0.95))
        window = max(tolerance, NEAR * float(high - low))
        order = np.sort(values)
        around = np.searchsorted(order, order + window, "right") - np.searchsorted(
            order, order - window
        )
        return cls(frequency, numbers, window, float(around.mean() / len(order)))


def link(
    table: ReleaseTable,
    *,
    error: float,
    missing: float,
    tolerances: dict[str, float],
    rng: np.random.Generator,
    confidence: float,
) -> Linkage:
    """Link patients drawn from the table to its rows, by a copy with errors.

    Args:
        table: The table; of a patient with several rows the attacker knows one.
        error: Share of the attacker's values that are wrong.
        missing: Share of them that the attacker does not know.
        tolerances: Widths within which a number is near, by column.
        rng: Draws the patients and the errors.
        confidence: Of intervals.
    """
    codes = np.stack([np.where(q.silent, -1, q.codes) for q in table.quasi], axis=1)
    key = pack(list(codes.T), len(codes))
    _, first, row_of, weights = np.unique(
        key, return_index=True, return_inverse=True, return_counts=True
    )
    row_of, distinct = row_of.reshape(-1), codes[first]
    columns = [_Column.of(q, tolerances.get(q.name, 0.0)) for q in table.quasi]
    drawn = np.sort(rng.permutation(table.rows)[: min(TARGETS, table.rows)])
    drawn = drawn[np.unique(table.patient[drawn], return_index=True)[1]]
    held = disturb(codes[drawn], columns, error, missing, rng)
    found = _search(
        held, distinct, weights.astype(float), columns, error, missing, row_of, drawn, table
    )
    return _summarise(found, table, error, missing, confidence)


def disturb(
    codes: np.ndarray,
    columns: Sequence[_Column],
    error: float,
    missing: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """The attacker's copy of some rows: values wrong or not known at the rates stated."""
    copy = codes.copy()
    for j, column in enumerate(columns):
        if not column.frequency.sum():
            continue
        wrong = np.flatnonzero((rng.random(len(copy)) < error) & (codes[:, j] >= 0))
        other = rng.choice(len(column.frequency), size=len(wrong), p=column.frequency)
        if column.numbers is not None:
            near = rng.random(len(wrong)) < NEAR_ERRORS
            moved = column.numbers[codes[wrong, j]] + rng.uniform(
                -column.window, column.window, len(wrong)
            )
            known = np.flatnonzero(np.isfinite(column.numbers))
            order = known[np.argsort(column.numbers[known])]
            at = np.clip(np.searchsorted(column.numbers[order], moved), 0, len(order) - 1)
            other = np.where(near & np.isfinite(moved), order[at], other)
        copy[wrong, j] = other
        copy[rng.random(len(copy)) < missing, j] = -1
    return copy


def _search(
    held: np.ndarray,
    distinct: np.ndarray,
    weights: np.ndarray,
    columns: Sequence[_Column],
    error: float,
    missing: float,
    row_of: np.ndarray,
    drawn: np.ndarray,
    table: ReleaseTable,
) -> dict[str, np.ndarray]:
    """(targets,) each: chance that the best candidate is right, that a link is claimed and right,
    claimed and wrong, and claimed once the patient's rows are taken out."""
    out = {name: np.zeros(len(held)) for name in ("best", "right", "false")}
    step = max(1, CELLS // max(1, len(distinct)))
    rows_of = _rows_of_patients(row_of, table, drawn)
    outside = float(table.rows)
    for start in range(0, len(held), step):
        part = slice(start, min(start + step, len(held)))
        score = _compare(held[part], distinct, columns, error)
        for i, line in enumerate(score, start):
            own, own_weight = rows_of[i]
            out["best"][i], out["right"][i] = _claim(line, weights, own, own_weight, outside)
            left = weights.copy()
            left[own] -= own_weight
            out["false"][i] = _claim(line, left, own[:0], own_weight[:0], outside)[1]
    return out


def _rows_of_patients(
    row_of: np.ndarray, table: ReleaseTable, drawn: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each target, their distinct rows and how often each is theirs."""
    if not table.several:
        return [(row_of[[at]], np.ones(1)) for at in drawn]
    order = np.argsort(table.patient, kind="stable")
    starts = np.searchsorted(table.patient[order], np.arange(table.patients + 1))
    found = []
    for at in drawn:
        who = table.patient[at]
        mine = row_of[order[starts[who] : starts[who + 1]]]
        rows, counts = np.unique(mine, return_counts=True)
        found.append((rows, counts.astype(float)))
    return found


def _claim(
    score: np.ndarray,
    weights: np.ndarray,
    own: np.ndarray,
    own_weight: np.ndarray,
    outside: float,
) -> tuple[float, float]:
    """(chance that the best candidate is the patient's, chance that a link is claimed and right);
    without own rows the second is whether a link is claimed at all."""
    there = weights > 0
    if not there.any():
        return 0.0, 0.0
    top = float(score[there].max())
    best = there & (score >= top - 1e-6)
    size = float(weights[best].sum())
    right = float(own_weight[best[own]].sum()) / size
    claim = float(weights @ np.exp(np.clip(score - top, -700, 0)))
    claim += outside * float(np.exp(np.clip(-top, -700, 700)))
    sure = 1 / claim >= CLAIMED
    if not len(own):
        return 0.0, float(sure)
    return right, right if sure else 0.0


def _compare(
    held: np.ndarray, distinct: np.ndarray, columns: Sequence[_Column], error: float
) -> np.ndarray:
    """(targets, rows) float64: the sum of the weights of all comparisons."""
    total = np.zeros((len(held), len(distinct)))
    for j, column in enumerate(columns):
        mine, theirs = held[:, j], distinct[:, j]
        frequency = np.append(np.maximum(column.frequency, 1e-12), 1.0)
        agree = np.log((1 - error) / frequency + error)[mine][:, None]
        far = np.log(error) if error > 0 else IMPOSSIBLE
        if column.numbers is None:
            weight = np.where(mine[:, None] == theirs[None, :], agree, far)
        else:
            values = np.append(column.numbers, np.nan)
            gap = np.abs(values[mine][:, None] - values[theirs][None, :])
            near = (
                np.log(error * NEAR_ERRORS / max(column.near, 1e-12)) if error > 0 else IMPOSSIBLE
            )
            far = np.log(error * (1 - NEAR_ERRORS)) if error > 0 else IMPOSSIBLE
            weight = np.where(gap <= column.window, near, far)
            weight = np.where(mine[:, None] == theirs[None, :], agree, weight)
        weight[(mine < 0)[:, None] | (theirs < 0)[None, :]] = 0.0
        total += weight
    return total


def _summarise(
    found: dict[str, np.ndarray],
    table: ReleaseTable,
    error: float,
    missing: float,
    confidence: float,
) -> Linkage:
    n = {"patients": len(found["best"])}
    ids = np.arange(len(found["best"]))
    chance = 1 / table.patients
    wilson = Bound(BoundMethod.WILSON)

    def share(name: str, values: np.ndarray, at: float) -> Estimate:
        rate = rates.rate(values, ids, confidence)
        return Estimate(Metric(name), *rate, at, n, confidence, wilson)

    gap = rates.difference(found["right"], found["false"], ids, None, confidence)
    estimates = (
        share("best_right", found["best"], chance),
        share("claimed_right", found["right"], chance),
        share("claimed_false", found["false"], 0.0),
        Estimate(
            Metric("claimed_difference"),
            *gap,
            0.0,
            n,
            confidence,
            Bound(BoundMethod.NEWCOMBE_PAIRED),
        ),
    )
    return Linkage(error, missing, False, len(ids), estimates)


__all__ = ["disturb", "link"]
