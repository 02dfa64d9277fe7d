"""An attacker with their own copy of the quasi-identifiers links patients to rows of the table.

The weights are those of Fellegi and Sunter (1969, J. Am. Stat. Assoc. 64:1183): how much likelier a
comparison is for one patient than for two, with agreement on a rare value weighing more; numbers
and dates may agree, be near, or be far. A patient who is looked for and is not in the table is the
control: the same patient, with their own row taken out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from privaudit.deidentified.classes import pack
from privaudit.deidentified.document import Linkage
from privaudit.deidentified.read import Quasi, ReleaseTable
from privaudit.disclosure_limits import MIN_CELL
from privaudit.facts import Bound, BoundMethod, Metric
from privaudit.results import Estimate
from privaudit.stats import rates

TARGETS = 2_000
CELLS = 8_000_000
NEAR = 0.02
"""A number is near another one within this share of the middle 90 % of the column."""
NEAR_ERRORS = 0.8
"""Of the errors in a number, so many are near."""
LEAST_ERROR = 0.01
"""A register that agrees throughout is weighed as if so many of its values were wrong."""
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

    def widen(self, other: Quasi) -> _Column:
        """The same with the levels that a register has beyond the table's."""
        more = np.zeros(len(other.levels) - len(self.frequency))
        frequency = np.concatenate([self.frequency, more])
        return replace(
            self, frequency=frequency, numbers=None if self.numbers is None else other.numbers
        )


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


def link_register(
    table: ReleaseTable, register: ReleaseTable, *, rng: np.random.Generator, confidence: float
) -> Linkage | None:
    """Link people of a register, who are named as in the table, to its rows.

    Those of them who are in the table are looked for, and as many who are not are the control.

    Args:
        table: The table.
        register: The register, with the table's codes and its names of patients.
        rng: Draws the people.
        confidence: Of intervals.

    Returns:
        The links; None where no 10 people of each kind are there.
    """
    place = {name: i for i, name in enumerate(table.names)}
    known = np.array([place.get(name, -1) for name in register.names])[register.patient]
    order = rng.permutation(register.rows)
    inside, outside = (order[kind[order]][:TARGETS] for kind in (known >= 0, known < 0))
    if min(len(inside), len(outside)) < MIN_CELL:
        return None
    codes = np.stack([np.where(q.silent, -1, q.codes) for q in table.quasi], axis=1)
    held = np.stack([np.where(q.silent, -1, q.codes) for q in register.quasi], axis=1)
    key = pack(list(codes.T), len(codes))
    _, first, row_of, weights = np.unique(
        key, return_index=True, return_inverse=True, return_counts=True
    )
    own = _rows_by_patient(row_of.reshape(-1), table, known[inside])
    columns = [
        _Column.of(mine, 0.0).widen(theirs)
        for mine, theirs in zip(table.quasi, register.quasi, strict=True)
    ]
    first_row = np.unique(table.patient, return_index=True)[1]
    truth = codes[first_row[known[inside]]]
    both = (truth >= 0) & (held[inside] >= 0)
    wrong = float((truth != held[inside])[both].mean()) if both.any() else 0.0
    gone = float((held[inside] < 0).mean())
    error = min(0.5, max(wrong, LEAST_ERROR))
    found = {"best": np.zeros(len(inside)), "right": np.zeros(len(inside))}
    claimed, counts = np.zeros(len(outside)), weights.astype(float)
    for people, targets in ((inside, True), (outside, False)):
        step = max(1, CELLS // len(first))
        for start in range(0, len(people), step):
            lines = _compare(held[people[start : start + step]], codes[first], columns, error)
            for i, line in enumerate(lines, start):
                rows = own[i] if targets else (np.empty(0, dtype=np.int64), np.empty(0))
                best, sure = _claim(line, counts, rows[0], rows[1], float(table.rows))
                if targets:
                    found["best"][i], found["right"][i] = best, sure
                else:
                    claimed[i] = sure
    return _summarise({**found, "false": claimed}, table, wrong, gone, confidence, real=True)


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
    rows_of = _rows_by_patient(row_of, table, table.patient[drawn])
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


def _rows_by_patient(
    row_of: np.ndarray, table: ReleaseTable, patients: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each of these patients, their distinct rows and how often each is theirs."""
    order = np.argsort(table.patient, kind="stable")
    starts = np.searchsorted(table.patient[order], np.arange(table.patients + 1))
    found = []
    for who in patients:
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
    *,
    real: bool = False,
) -> Linkage:
    n = {"patients": len(found["best"])}
    ids = np.arange(len(found["best"]))
    chance = 1 / table.patients
    wilson = Bound(BoundMethod.WILSON)

    def share(name: str, values: np.ndarray, at: float) -> Estimate:
        rate = rates.rate(values, np.arange(len(values)), confidence)
        return Estimate(Metric(name), *rate, at, n, confidence, wilson)

    others = np.arange(len(found["false"])) if real else None
    gap = rates.difference(found["right"], found["false"], ids, others, confidence)
    how = BoundMethod.NEWCOMBE_INDEPENDENT if real else BoundMethod.NEWCOMBE_PAIRED
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
            Bound(how),
        ),
    )
    return Linkage(error, missing, real, len(ids), estimates)


__all__ = ["disturb", "link", "link_register"]
