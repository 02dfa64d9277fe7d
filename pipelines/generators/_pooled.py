"""What a generator without noise may keep of a table: nothing that fewer than ten patients decide.

Four rules, each over patients and not over rows. A level, an absence or a class of fewer than POOL
patients is not kept. A kept number is the middle of RUN patients' values or more, with the POOL - 1
largest and smallest of them left out, so that any nine patients may hold any extreme. In a count no
patient weighs more than the tenth-largest contributor, and so none more than a tenth of it: the
dominance rule with p = 10 % (Hundepool et al. 2012, "Statistical disclosure control", chapter 4).
A share is rounded to parts of POOL patients or more (`count_units`): an exact one states how many
patients there are, and how many of them have a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records
from privaudit.stats.groups import OTHERS

POOL = MIN_CELL
"""Patients at least behind a level, an absence, a class or a value that is kept as it is."""
RUN = 2 * POOL
"""Patients at least behind the middle of a run of values: nine on either side are left out."""
STEPS = 200
"""Steps at most in one column's distribution."""
DIGITS = 1000
"""A middle is rounded to about this part of what its column spans: it is no patient's value."""


@dataclass(frozen=True, eq=False)
class Steps:
    """A column's distribution in steps, by rising value.

    Args:
        value: (k,) a shared value, or the middle of a run.
        begin, end: (k,) which shares of the weight the step covers, rounded (`count_units`).
        shared: (k,) bool, whether at least POOL patients have this very value.
    """

    value: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    shared: np.ndarray

    def __len__(self) -> int:
        return len(self.value)

    def expand(self, rows: int) -> np.ndarray:
        """About `rows` values, each step's as often as it weighs, and once at least."""
        count = np.rint((self.end - self.begin) * rows).astype(np.int64)
        return np.repeat(self.value, np.maximum(count, 1))

    def fill(self, count: int) -> np.ndarray:
        """(count,) values spread evenly over the distribution; NaN where there is none."""
        if not len(self):
            return np.full(count, np.nan)
        middle = (self.begin + self.end) / 2
        return np.interp((np.arange(count) + 0.5) / count, middle, self.value)


def count_patients(patient: np.ndarray) -> int:
    """How many different patients there are."""
    return len(np.unique(patient))


def weigh(patient: np.ndarray) -> int:
    """How many rows of these patients (n,) count, where none may dominate; 0 for too few."""
    counts = np.sort(np.unique(patient, return_counts=True)[1])
    if len(counts) < POOL:
        return 0
    return int(np.minimum(counts, counts[-POOL]).sum())


def count_units(patients: int) -> int:
    """Into how many equal parts shares of so many patients are rounded: 1, 2 or 5 times a power of
    ten, of at least POOL patients each. A share of patients is a fraction of whole numbers, and
    exact ones give both away."""
    most = max(patients // POOL, 1)
    power = 10 ** (len(str(most)) - 1)
    return power * max(part for part in (1, 2, 5) if part * power <= most)


def round_shares(counts: np.ndarray, patients: int) -> np.ndarray:
    """Shares (k,) that sum to one, in whole parts of `count_units`.

    Whatever occurs has one part or more; where there are fewer parts, all are of one size.
    """
    shares = np.zeros(len(counts))
    held = np.flatnonzero(counts > 0)
    units = count_units(patients)
    if len(held) >= units:
        shares[held] = 1 / max(len(held), 1)
        return shares
    # The largest remainders are rounded up, of what is left once each has its first part.
    wanted = counts[held] / counts[held].sum() * units
    parts = np.maximum(np.floor(wanted), 1)
    while parts.sum() != units:
        step = np.sign(units - parts.sum())
        behind = np.where(step > 0, wanted - parts, np.where(parts > 1, parts - wanted, -np.inf))
        parts[np.argmax(behind)] += step
    shares[held] = parts / units
    return shares


def steps(values: np.ndarray, who: np.ndarray) -> Steps:
    """The distribution of (n,) values without gaps; who: (n,) their patients, numbered from 0."""
    order = np.argsort(values, kind="stable")
    values, who = values[order].astype(np.float64), who[order]
    distinct, first, code, counts = np.unique(
        values, return_index=True, return_inverse=True, return_counts=True
    )
    people = _count_each(code, who, len(distinct))
    size = max(RUN, -(-len(values) // STEPS))
    found: list[tuple[float, int, int, bool]] = []
    at = 0
    for place in [*np.flatnonzero(people >= POOL).tolist(), -1]:
        upto = int(first[place]) if place >= 0 else len(values)
        for low, high in _cut(who[at:upto], size):
            part = slice(at + low, at + high)
            found.append((_middle(values[part], who[part]), part.start, part.stop, False))
        if place >= 0:
            at = upto + int(counts[place])
            found.append((float(distinct[place]), upto, at, True))
    # What too few patients have lies in no step, and leaves no gap that would state how many.
    weight = np.zeros(len(values))
    for _, start, stop, _ in found:
        weight[start:stop] = weigh(who[start:stop]) / (stop - start)
    share = np.concatenate([[0.0], np.cumsum(weight)])
    units = count_units(count_patients(who))
    share = np.rint(share / max(share[-1], 1.0) * units) / units
    made = np.array([value for value, *_ in found])
    begin, end = (np.array([one[k] for one in found], dtype=np.int64) for k in (1, 2))
    shared = np.array([one[3] for one in found], dtype=bool)
    return Steps(_rounded(made, shared), share[begin], share[end], shared)


def _count_each(code: np.ndarray, who: np.ndarray, codes: int) -> np.ndarray:
    """(codes,) how many patients have each code."""
    patients = int(who.max(initial=0)) + 1
    pairs = np.unique(code.astype(np.int64) * patients + who)
    return np.bincount(pairs // patients, minlength=codes)


def _cut(who: np.ndarray, size: int) -> list[tuple[int, int]]:
    """Neighbouring pieces of at least `size` rows and RUN patients; what is left joins the last."""
    found: list[tuple[int, int]] = []
    at = 0
    while length := _reach(who[at:], size):
        found.append((at, at + length))
        at += length
    if found:
        found[-1] = (found[-1][0], len(who))
    return found


def _reach(who: np.ndarray, size: int) -> int:
    """Rows from the first on that are enough rows of enough patients; 0 where there are none."""
    window = size
    while window <= len(who):
        first = np.sort(np.unique(who[:window], return_index=True)[1])
        if len(first) >= RUN:
            return max(size, int(first[RUN - 1]) + 1)
        if window == len(who):
            return 0
        window = min(2 * window, len(who))
    return 0


def _middle(values: np.ndarray, who: np.ndarray) -> float:
    """One vote a patient, the POOL - 1 largest and smallest left out."""
    _, code, counts = np.unique(who, return_inverse=True, return_counts=True)
    votes = np.sort(np.bincount(code, values) / counts)
    return float(votes[POOL - 1 : len(votes) - POOL + 1].mean())


def _rounded(values: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """The values in order, those that no POOL patients share rounded."""
    span = float(np.ptp(values)) if len(values) else 0.0
    span = span or float(np.abs(values).max(initial=0.0))
    if not span:
        return values
    digit = 10.0 ** np.floor(np.log10(span / DIGITS))
    low = np.maximum.accumulate(np.where(shared, values, -np.inf))
    high = np.minimum.accumulate(np.where(shared, values, np.inf)[::-1])[::-1]
    return np.where(shared, values, np.clip(np.round(values / digit) * digit, low, high))


def find_middle(column: Column) -> float:
    """What stands for a number of which too few patients are known: the middle of its bounds."""
    return sum(column.bounds) / 2 if column.bounds is not None else 0.0


def pool_records(records: Records, *, clip: bool = False) -> Records:
    """The records with everything taken back that fewer than POOL patients decide.

    A patient has at most as many rows as the tenth-largest contributor. Classes of fewer than POOL
    patients are left out. A column that fewer lack is filled, one that fewer have is emptied, and
    columns whose gaps differ in fewer share one pattern. Levels that fewer have become `(other)`
    where that is a level of POOL patients, else levels that are kept.

    Args:
        records: Of at least POOL patients.
        clip: Move numbers inside what `steps` gives: no training then sees an extreme.

    Raises:
        PrivauditError: For fewer patients, or where no class has so many.
    """
    before = None
    while before is None or len(records) < before:
        # Without a class a patient has fewer rows, and without rows a class fewer patients.
        before = len(records)
        records = _leave_out_classes(_thin(records))
    who = np.unique(records.patient, return_inverse=True)[1]
    X = records.X.astype(np.float64)
    _pool_gaps(records.columns, X, who)
    for j, column in enumerate(records.columns):
        if column.kind != "numeric" or column.statistic == "measured":
            _pool_levels(column, X[:, j], who)
        elif clip:
            _clip(column, X[:, j], who)
    return replace(records, X=X)


def _leave_out_classes(records: Records) -> Records:
    """The rows whose outcome at least POOL patients have."""
    people = [count_patients(records.patient[records.y == c]) for c in range(len(records.classes))]
    kept = np.isin(records.y, np.flatnonzero(np.array(people) >= POOL))
    if not kept.any():
        raise PrivauditError(
            f"a table without an outcome of {POOL} patients or more",
            "whatever is kept of fewer is kept of somebody",
            "give more patients, or join the classes of the outcome",
        )
    return records if kept.all() else records.take(kept)


def _thin(records: Records) -> Records:
    """At most so many rows of a patient as the tenth-largest contributor has, spread evenly."""
    _, code, counts = np.unique(records.patient, return_inverse=True, return_counts=True)
    if len(counts) < POOL:
        raise PrivauditError(
            f"a table of fewer than {POOL} patients",
            "a generator would repeat people: whatever is kept of so few is kept of somebody",
            "give the rows of more patients, or name the right column as the patient",
        )
    most = int(np.sort(counts)[-POOL])
    if counts.max() <= most:
        return records
    order = np.argsort(code, kind="stable")
    place = np.empty(len(code), dtype=np.int64)
    place[order] = np.arange(len(code)) - np.repeat(np.cumsum(counts) - counts, counts)
    own = counts[code]
    # Row i of m is kept where the evenly spaced choice of `most` steps on.
    kept = (own <= most) | ((place * most) // own != ((place - 1) * most) // own)
    return records.take(kept)


def _pool_gaps(columns: Sequence[Column], X: np.ndarray, who: np.ndarray) -> None:
    """Let no absence, no presence and no difference between absences be that of a few."""
    patterns: list[np.ndarray] = []
    changed = set()
    for j, column in enumerate(columns):
        if column.statistic in ("measured", "count"):
            continue
        gap = np.isnan(X[:, j])
        for wanted in (np.zeros_like(gap), np.ones_like(gap), *patterns):
            if count_patients(who[gap != wanted]) < POOL:
                break
        else:
            wanted = gap
            patterns.append(gap)
        if (wanted != gap).any():
            lacking = gap & ~wanted
            X[lacking, j] = _fill(column, X[:, j], who, int(lacking.sum()))
            X[wanted, j] = np.nan
            changed.add(column.variable)
    for variable in changed - {""}:
        _mark_measured(columns, X, variable)


def _fill(column: Column, values: np.ndarray, who: np.ndarray, count: int) -> np.ndarray:
    seen = ~np.isnan(values)
    if column.kind != "numeric":
        return _spread(np.sort(values[seen]), count)
    found = steps(values[seen], who[seen]).fill(count)
    found[np.isnan(found)] = find_middle(column)
    return np.rint(found) if column.integer else found


def _spread(ordered: np.ndarray, count: int) -> np.ndarray:
    """(count,) of these values, each as often as it occurs."""
    return ordered[((np.arange(count) + 0.5) * len(ordered) / max(count, 1)).astype(np.int64)]


def _mark_measured(columns: Sequence[Column], X: np.ndarray, variable: str) -> None:
    """Let the variable's count and its measured-or-not agree with what is missing now."""
    own = {c.statistic: j for j, c in enumerate(columns) if c.variable == variable}
    values = [j for statistic, j in own.items() if statistic not in ("measured", "count")]
    seen = ~np.isnan(X[:, values]).all(axis=1)
    if "measured" in own:
        X[:, own["measured"]] = seen
    if "count" in own:
        count = X[:, own["count"]]
        X[:, own["count"]] = np.where(seen, np.maximum(np.nan_to_num(count), 1), 0)


def _pool_levels(column: Column, values: np.ndarray, who: np.ndarray) -> None:
    """Put the levels of a few patients together, in place."""
    seen = np.flatnonzero(~np.isnan(values))
    if not len(seen):
        return
    codes, code = np.unique(values[seen], return_inverse=True)
    few = _count_each(code, who[seen], len(codes)) < POOL
    if not few.any():
        return
    mine = few[code]
    other = column.levels.index(OTHERS) if OTHERS in column.levels else -1
    joined = mine | (values[seen] == other)
    if other >= 0 and count_patients(who[seen[joined]]) >= POOL:
        values[seen[mine]] = other
    elif few.all():
        values[seen] = np.nan
    else:
        values[seen[mine]] = _spread(np.sort(values[seen[~mine]]), int(mine.sum()))


def _clip(column: Column, values: np.ndarray, who: np.ndarray) -> None:
    """Move numbers inside the outermost steps, in place; all to one where there are none."""
    seen = ~np.isnan(values)
    if not seen.any():
        return
    found = steps(values[seen], who[seen]).value
    if not len(found):
        found = np.array([find_middle(column)])
    values[seen] = np.clip(values[seen], found[0], found[-1])


__all__ = [
    "POOL",
    "RUN",
    "STEPS",
    "Steps",
    "count_patients",
    "count_units",
    "find_middle",
    "pool_records",
    "round_shares",
    "steps",
    "weigh",
]
