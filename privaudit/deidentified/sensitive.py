"""What classes give away of a sensitive column, however many patients each has."""

from __future__ import annotations

import numpy as np

from privaudit.deidentified.classes import profile, rank
from privaudit.deidentified.document import SensitiveRisk
from privaudit.deidentified.read import Quasi, ReleaseTable
from privaudit.disclosure_limits import MIN_CELL
from privaudit.facts import Bound, BoundMethod, Metric
from privaudit.results import Estimate
from privaudit.stats import rates

MANY_VALUES = 20
"""A number of more different values is read in ten bands."""
BANDS = 10
NEARLY = 0.95
"""Of a class so many with one value nearly give it away; described, and under no limit."""


def measure_sensitive(
    table: ReleaseTable, classes: np.ndarray, column: Quasi, confidence: float
) -> SensitiveRisk:
    """What the class of a patient gives away of their value.

    A value that is not recorded says nothing and hides nothing: a class whose recorded values are
    all equal gives them away. Where a patient has several rows, all their values together are one.

    Args:
        table: The table.
        classes: (patients,) the class of each patient.
        column: The sensitive column, one code a row.
        confidence: Of intervals.
    """
    codes, banded = _band(column)
    value = _values_of_patients(codes, table)
    known = value >= 0
    n = {"patients": int(known.sum())}
    if not known.any():
        return SensitiveRisk(column.name, (), None, banded)
    owner, said = classes[known], rank(value[known])
    width = int(said.max()) + 1
    pairs, at, counts = np.unique(owner * width + said, return_inverse=True, return_counts=True)
    at = at.reshape(-1)
    where = pairs // width
    size = int(classes.max()) + 1
    different = np.bincount(where, minlength=size)
    recorded = np.bincount(owner, minlength=size)
    large = np.bincount(classes, minlength=size) >= MIN_CELL
    top = np.zeros(size)
    np.maximum.at(top, where, counts.astype(float))
    tied = np.bincount(where[counts == top[where]], minlength=size)
    mine = counts[at].astype(float)
    right = np.where(mine == top[owner], 1.0 / tied[owner], 0.0)
    without = _without_own(owner, mine, top, tied, recorded, counts, where)
    overall = np.bincount(said)
    guess = (said == overall.argmax()).astype(float)
    alone = different[owner] == 1
    if table.several:
        alone = _share_a_value(codes, table, classes)[owner]
    nearly = alone | (mine >= NEARLY * recorded[owner])
    shares = overall / overall.sum()
    ids = np.arange(len(said))
    wilson = Bound(BoundMethod.WILSON)

    def exact(name: str, value: float) -> Estimate:
        return Estimate(Metric(name), value, value, value, None, n, confidence)

    def share(name: str, values: np.ndarray) -> Estimate:
        found = rates.rate(values, ids, confidence)
        return Estimate(Metric(name), *found, float(guess.mean()), n, confidence, wilson)

    gap = rates.difference(right, without, ids, None, confidence)
    paired = Bound(BoundMethod.NEWCOMBE_PAIRED)
    estimates = (
        exact("disclosed_share", float(alone.mean())),
        exact("disclosed_large", float((alone & large[owner]).mean())),
        exact("disclosed_nearly", float(nearly.mean())),
        share("right_share", right),
        share("right_without", without),
        share("guess_share", guess),
        Estimate(Metric("right_minus_without"), *gap, 0.0, n, confidence, paired),
        exact("farthest", _farthest(where, pairs % width, counts, recorded, shares, large)),
    )
    least = int(different[recorded > 0].min())
    return SensitiveRisk(column.name, estimates, least, banded)


def share_singled(
    table: ReleaseTable, classes: np.ndarray, column: Quasi, nearly: float = NEARLY
) -> float:
    """Share of patients who have the value that so many of their class have, and that is not the
    one most frequent in the table, which anybody would guess."""
    value = _values_of_patients(_band(column)[0], table)
    known = value >= 0
    if not known.any():
        return 0.0
    owner, said = classes[known], rank(value[known])
    width = int(said.max()) + 1
    _, at, counts = np.unique(owner * width + said, return_inverse=True, return_counts=True)
    recorded = np.bincount(owner)[owner]
    usual = said == np.bincount(said).argmax()
    mine = counts[at.reshape(-1)]
    # A class of one or two gives away whatever it holds, which other limits are about.
    singled = (mine >= nearly * recorded) & (mine > 2) & ~usual
    return float(singled.sum()) / len(said)


def _band(column: Quasi) -> tuple[np.ndarray, bool]:
    numbers = column.numbers
    # A level such as "unknown" says nothing, and must not make a class look varied.
    codes = np.where(column.silent, -1, column.codes)
    if column.kind == "text" or np.isfinite(numbers).sum() <= MANY_VALUES:
        return codes, False
    values = np.append(numbers, np.nan)[codes]
    there = np.isfinite(values)
    cuts = np.unique(np.quantile(values[there], np.linspace(0, 1, BANDS + 1)[1:-1]))
    # To the left: a value that most have, such as 0, is a band of its own.
    bands = np.searchsorted(cuts, values, "left")
    # Words keep a level of their own, gaps stay gaps.
    bands = np.where(there, bands, len(cuts) + 1 + codes)
    return np.where(codes < 0, -1, bands), True


def _values_of_patients(codes: np.ndarray, table: ReleaseTable) -> np.ndarray:
    """(patients,) one number for all values of a patient, -1 where none is recorded."""
    there = codes >= 0
    found = np.full(table.patients, -1, dtype=np.int64)
    if not table.several:
        found[table.patient] = codes
        return found
    width = int(codes.max(initial=0)) + 1
    kept = np.unique(table.patient[there] * width + codes[there])
    owners, place = np.unique(kept // width, return_inverse=True)
    if len(owners):
        found[owners] = profile(rank(kept % width), place.reshape(-1), len(owners))
    return found


def _share_a_value(codes: np.ndarray, table: ReleaseTable, classes: np.ndarray) -> np.ndarray:
    """(classes,) bool: some value is among those of every patient for whom any is recorded."""
    there = codes >= 0
    size, width = int(classes.max()) + 1, int(codes.max(initial=0)) + 1
    kept = np.unique(table.patient[there] * width + codes[there])
    owner, value = kept // width, kept % width
    patients = np.bincount(classes[np.unique(owner)], minlength=size)
    pairs, holders = np.unique(classes[owner] * width + value, return_counts=True)
    most = np.zeros(size)
    np.maximum.at(most, pairs // width, holders.astype(float))
    return np.asarray((most == patients) & (patients > 0))


def _without_own(
    owner: np.ndarray,
    mine: np.ndarray,
    top: np.ndarray,
    tied: np.ndarray,
    recorded: np.ndarray,
    counts: np.ndarray,
    where: np.ndarray,
) -> np.ndarray:
    """(n,) chance that the most frequent value of the others in the class is the patient's."""
    second = np.zeros(len(top))
    below = counts < top[where]
    np.maximum.at(second, where[below], counts[below].astype(float))
    seconds = np.bincount(where[counts == second[where]], minlength=len(top))
    # Only who holds the one most frequent value, by one or more, can still be right.
    alone = (mine == top[owner]) & (tied[owner] == 1)
    left, rival = mine - 1, second[owner]
    right = np.where(left > rival, 1.0, np.where(left == rival, 1 / (1 + seconds[owner]), 0.0))
    return np.where(alone & (left > 0) & (recorded[owner] > 1), right, 0.0)


def _farthest(
    where: np.ndarray,
    said: np.ndarray,
    counts: np.ndarray,
    recorded: np.ndarray,
    shares: np.ndarray,
    large: np.ndarray,
) -> float:
    """Largest total variation distance of a large class's values from everybody's."""
    # Half the sum of |p - q|: over the values of the class, and all of q beyond them.
    inside = np.abs(counts / recorded[where] - shares[said])
    total = np.bincount(where, inside, minlength=len(recorded))
    held = np.bincount(where, shares[said], minlength=len(recorded))
    distance = (total + 1 - held) / 2
    kept = large & (recorded > 0)
    return float(distance[kept].max()) if kept.any() else 0.0


__all__ = ["measure_sensitive", "share_singled"]
