"""Which records stand in a file's tables, in whatever order, scale and part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.attacks.reconstruction._column_maps import (
    IDENTIFYING,
    Budget,
    Pair,
    Values,
    map_columns,
    read_values,
)
from privaudit.attacks.reconstruction._row_tables import Table, list_tables, name_one_hot

AGREE = 0.9
"""Share of a record's identifying cells that must stand in one stored row."""
TIES = 16
"""Rows of one anchor value on average, above which a further column is looked up with it."""
MOST_ALIKE = 64
"""Rows of one anchor value that are compared with a record."""
ANCHORS = 5
"""Columns that a record is looked up by, for it may have gaps in some."""
CHUNK = 20_000
PATTERNS = 64
"""Sets of measured cells of which records without an identifying column are looked up."""
LEVELS = 1000
"""Most different values of a stored column that may be levels."""
NARROW = 20_000
"""Pairs of columns of few values that are compared."""
LEARN = 2000
"""Records that meanings of levels are learnt from."""
LEAST_LEARNT = 30
"""Fewer teach no meaning."""
SURELY = 4.5
"""Standard errors by which a reading must find more of the records than of others: many are
tried."""
LEAST_CHANCE = 0.01
"""Share of others who are found, above which columns of few values are looked at as well."""


@dataclass(frozen=True, eq=False)
class Reading:
    """Some stored columns read as the records': (r, k) values, NaN for none; which columns; how
    far each may be off."""

    decoded: np.ndarray
    columns: np.ndarray
    off: np.ndarray

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> Reading:
        """Of pairs, each column once."""
        return cls(
            np.stack([pair.decoded for pair in pairs], axis=1),
            np.array([pair.j for pair in pairs]),
            np.array([pair.off for pair in pairs]),
        )

    def find(self, cells: np.ndarray) -> np.ndarray:
        """(n,) the stored row that each record stands in, -1 for none."""
        asked = cells[:, self.columns]
        if (
            len(self.columns) < 2
            or max(len(np.unique(one)) for one in self.decoded.T) < IDENTIFYING
        ):
            return _find_levels(self.decoded, asked)
        return _find_near(self.decoded, asked, self.off)


def find_rows(
    arrays: Sequence[np.ndarray], fitted: np.ndarray, half: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) and (m,) float64, 1 where a record's identifying cells are in one stored row.

    How stored columns are read is made of the values of `fitted` (n, d); of several readings of one
    table, the one that finds most on one half of them is tried on the other, and on `others`
    (m, d), of whom the odd ones are tried with one and the even ones with the other.
    """
    with np.errstate(all="ignore"):
        return _find_rows(arrays, fitted, half, others)


def _find_rows(
    arrays: Sequence[np.ndarray], fitted: np.ndarray, half: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    known = read_values(fitted)
    budget = Budget()
    turns = np.arange(len(others)) % 2 == 0
    sides = ((half, turns), (~half, ~turns))
    kept: tuple[list[Found], list[Found]] = ([], [])
    for table in list_tables(arrays, fitted.shape[1]):
        plain = [
            Found(reading, reading.find(fitted), reading.find(others))
            for reading in _readings(table, arrays, known, budget)
        ]
        for (learn, _), own in zip(sides, kept, strict=True):
            every = [*plain]
            for one in plain:
                every += _widen(table, one, fitted, others, learn, known)
            own += [one for one in every if _gain(one.inside >= 0, one.outside >= 0, learn) > 0]
    present, absent = np.zeros(len(fitted)), np.zeros(len(others))
    for (learn, turn), own in zip(sides, kept, strict=True):
        inside, outside = _unite(own, learn, len(others))
        present[~learn & inside] = 1.0
        absent[turn & outside] = 1.0
    return present, absent


@dataclass(frozen=True, eq=False)
class Found:
    """A reading, and the stored rows of the records that it was made of (n,) and of others (m,)."""

    reading: Reading
    inside: np.ndarray
    outside: np.ndarray


def _gain(inside: np.ndarray, outside: np.ndarray, learn: np.ndarray) -> float:
    """By how much more often records of one half are found than others, less what chance makes of
    it."""
    n, m = int(learn.sum()), len(outside)
    if not n:
        return 0.0
    rate = float(inside[learn].mean())
    chance = float(outside.mean()) if m else 0.0
    spread = chance * (1 - chance) * (1 / n + 1 / max(1, m))
    return rate - chance - SURELY * float(np.sqrt(spread))


def _unite(every: list[Found], learn: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Who is found by the reading that tells most, and by each further one that tells more."""
    inside, outside = np.zeros(len(learn), dtype=bool), np.zeros(m, dtype=bool)
    gain = 0.0
    ordered = sorted(every, key=lambda one: -_gain(one.inside >= 0, one.outside >= 0, learn))
    for one in ordered:
        both = inside | (one.inside >= 0), outside | (one.outside >= 0)
        further = _gain(*both, learn)
        if further > gain:
            (inside, outside), gain = both, further
    return inside, outside


def _readings(
    table: Table, arrays: Sequence[np.ndarray], known: Sequence[Values], budget: Budget
) -> Iterator[Reading]:
    pairs = map_columns(table, arrays, known, budget)
    made: list[frozenset[tuple[int, int]]] = []
    for chosen in (_by_score(pairs), _in_order(pairs), _by_score(_unique(pairs))):
        key = frozenset((pair.c, pair.j) for pair in chosen)
        if len(chosen) >= 2 and key not in made:
            made.append(key)
            yield Reading.of(chosen)
    if (
        not made
        and len(table.cells) >= max(LEAST_LEARNT, sum(known[0].counts) // 20)
        and table.cells.shape[1] * len(known) <= NARROW
    ):
        narrow = [*_level_pairs(table, known), *pairs]
        for chosen in (_by_score(narrow), _in_order(narrow)):
            key = frozenset((pair.c, pair.j) for pair in chosen)
            if len(chosen) >= 2 and key not in made:
                made.append(key)
                yield Reading.of(chosen)


def _by_score(pairs: Sequence[Pair]) -> list[Pair]:
    """Each column once, the surest first."""
    chosen: list[Pair] = []
    for pair in sorted(pairs, key=lambda one: (-round(one.score, 2), abs(one.c - one.j))):
        if all(pair.c != one.c and pair.j != one.j for one in chosen):
            chosen.append(pair)
    return chosen


def _unique(pairs: Sequence[Pair]) -> list[Pair]:
    """Pairs whose columns have no other that is nearly as good."""
    kept = []
    for pair in pairs:
        rivals = [o for o in pairs if o is not pair and (o.c == pair.c) != (o.j == pair.j)]
        if all(rival.score < pair.score - 0.1 for rival in rivals):
            kept.append(pair)
    return kept


def _in_order(pairs: Sequence[Pair]) -> list[Pair]:
    """The longest chain of pairs in which both columns rise, of these the surest."""
    order = sorted(pairs, key=lambda one: (one.c, one.j))
    best = [(1.0 + 0.1 * pair.score, -1) for pair in order]
    for i, pair in enumerate(order):
        for k in range(i):
            if order[k].c < pair.c and order[k].j < pair.j:
                total = best[k][0] + 1.0 + 0.1 * pair.score
                if total > best[i][0]:
                    best[i] = (total, k)
    chosen = []
    at = max(range(len(order)), key=lambda i: best[i][0]) if order else -1
    while at >= 0:
        chosen.append(order[at])
        at = best[at][1]
    return chosen[::-1]


def _find_near(decoded: np.ndarray, asked: np.ndarray, off: np.ndarray) -> np.ndarray:
    """(n,) the row of which at least `AGREE` of the cells are a record's, of two cells and more;
    half of the columns must be measured."""
    seen = np.isfinite(asked)
    # A gap is a value to match where gaps are stored, and says nothing where they were filled.
    gap = np.isnan(asked) & np.isnan(decoded).any(axis=0)
    count = (seen | gap).sum(axis=1)
    able = (count >= 2) & (seen.sum(axis=1) >= (decoded.shape[1] + 1) // 2)
    found = np.full(len(asked), -1)
    codes, own = zip(
        *(_code(decoded[:, k], asked[:, k], off[k]) for k in range(len(off))), strict=True
    )
    sizes = np.array([int(code.max()) + 1 for code in codes])
    order = np.argsort(-sizes, kind="stable")
    for start in range(min(ANCHORS, len(order))):
        pending = np.flatnonzero(able & (found < 0))
        group, total = [], 1.0
        for k in np.roll(order, -start):
            group.append(k)
            total *= sizes[k]
            if len(decoded) <= TIES * total:
                break
        sizes_here = [int(sizes[k]) for k in group]
        stored_key = _join([codes[k] for k in group], sizes_here)
        key = _join([own[k] for k in group], sizes_here)
        pending = pending[key[pending] >= 0]
        if not len(pending):
            continue
        rows = np.argsort(stored_key, kind="stable")
        ordered = stored_key[rows]
        low = np.searchsorted(ordered, key[pending], side="left")
        high = np.searchsorted(ordered, key[pending], side="right")
        for t in range(int(min(MOST_ALIKE, (high - low).max(initial=0)))):
            left = np.flatnonzero((low + t < high) & (found[pending] < 0))
            for part in np.split(left, range(CHUNK, len(left), CHUNK)):
                row, record = rows[low[part] + t], pending[part]
                with np.errstate(invalid="ignore"):
                    same = np.abs(decoded[row] - asked[record]) <= off
                same |= np.isnan(decoded[row]) & gap[record]
                right = same.sum(axis=1)
                hit = (right >= AGREE * count[record]) & (right >= 2)
                found[record[hit]] = row[hit]
    return found


def _code(decoded: np.ndarray, asked: np.ndarray, off: float) -> tuple[np.ndarray, np.ndarray]:
    """Codes of stored values and of asked ones, -1 for a gap or a value that is not stored."""
    distinct = np.unique(decoded[np.isfinite(decoded)])
    if not len(distinct):
        return np.full(len(decoded), -1), np.full(len(asked), -1)

    def place(values: np.ndarray) -> np.ndarray:
        there = np.isfinite(values)
        asked_for = np.where(there, values, 0.0)
        right = np.searchsorted(distinct, asked_for).clip(0, len(distinct) - 1)
        left = (right - 1).clip(0)
        nearer = np.abs(distinct[left] - asked_for) < np.abs(distinct[right] - asked_for)
        at = np.where(nearer, left, right)
        return np.where(there & (np.abs(distinct[at] - asked_for) <= off), at, -1)

    return place(decoded), place(asked)


def _join(codes: Sequence[np.ndarray], sizes: Sequence[int]) -> np.ndarray:
    """One code of several, -1 where any is. sizes: how many codes there are of each."""
    joined = np.zeros(len(codes[0]), dtype=np.int64)
    gone = np.zeros(len(codes[0]), dtype=bool)
    for code, size in zip(codes, sizes, strict=True):
        # Codes of two records may wrap to one: the comparison of cells decides.
        joined = joined * max(1, size) + code
        gone |= code < 0
    return np.where(gone, -1, joined & np.int64(2**62 - 1))


def _level_pairs(table: Table, known: Sequence[Values]) -> list[Pair]:
    """Readings of stored columns of few values, as they are, by rank or by how often they occur;
    one-hot columns as the level that they name."""
    columns = [(c, column) for c, column in enumerate(table.cells.T)]
    columns += [(c, code.astype(np.float64)) for c, code in name_one_hot(table.cells)]
    found = []
    for c, column in columns:
        values = Values.of(column)
        if not 2 <= len(values.distinct) <= min(LEVELS, len(column) // 4):
            continue
        able = []
        for j, own in enumerate(known):
            if not 1 < len(own.distinct) <= LEVELS:
                continue
            for names in _name_levels(values, own):
                place = {v: i for i, v in enumerate(values.distinct.tolist())}
                counts = np.zeros(len(own.distinct))
                inside = np.isin(own.distinct, names)
                where = np.searchsorted(own.distinct, names[np.isfinite(names)])
                counts[where] = values.counts[np.isfinite(names)]
                if not inside.any() or len(place) != len(names):
                    continue
                a, b = counts / counts.sum(), own.counts / own.counts.sum()
                able.append((float(np.minimum(a, b).sum()), j, names))
        for score, j, names in sorted(able, key=lambda one: (-round(one[0], 2), abs(one[1] - c)))[
            :6
        ]:
            decoded = np.full(len(column), np.nan)
            there = np.isfinite(column)
            decoded[there] = names[np.searchsorted(values.distinct, column[there])]
            found.append(Pair(c, j, decoded, 1e-9, score))
    return found


def _name_levels(values: Values, own: Values) -> Iterator[np.ndarray]:
    """What each stored value may mean, NaN for nothing."""
    if np.isin(values.distinct, own.distinct).mean() > 0.5:
        yield np.where(np.isin(values.distinct, own.distinct), values.distinct, np.nan)
    if len(values.distinct) == len(own.distinct):
        yield own.distinct
        named = np.empty(len(own.distinct))
        named[np.argsort(values.counts)] = own.distinct[np.argsort(own.counts)]
        yield named


def _find_levels(decoded: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """(n,) a row that holds all measured cells of a record, for each of the `PATTERNS` most
    frequent sets of measured cells; two cells and half of the columns must be measured."""
    seen = np.isfinite(asked)
    found = np.full(len(asked), -1)
    patterns, which, counts = np.unique(seen, axis=0, return_inverse=True, return_counts=True)
    drawn = np.random.default_rng(20240607).integers(1, 2**63, decoded.shape[1])
    factors = np.asarray(drawn, dtype=np.uint64)
    for i in np.argsort(-counts)[:PATTERNS]:
        use = np.flatnonzero(patterns[i])
        if len(use) < max(2, (len(patterns[i]) + 1) // 2):
            continue
        rows = np.flatnonzero(np.isfinite(decoded[:, use]).all(axis=1))
        own = np.flatnonzero(which.ravel() == i)
        keys = _hash(decoded[np.ix_(rows, use)], factors[use])
        asked_keys = _hash(asked[np.ix_(own, use)], factors[use])
        order = np.argsort(keys, kind="stable")
        if len(order):
            at = np.searchsorted(keys[order], asked_keys).clip(0, len(order) - 1)
            hit = keys[order][at] == asked_keys
            found[own[hit]] = rows[order[at[hit]]]
    return found


def _hash(cells: np.ndarray, factors: np.ndarray) -> np.ndarray:
    bits = np.ascontiguousarray(cells + 0.0).view(np.uint64)
    mixed = (bits ^ (bits >> np.uint64(31))) * factors
    result: np.ndarray = (mixed ^ (mixed >> np.uint64(29))).sum(axis=1, dtype=np.uint64)
    return result


def _widen(
    table: Table,
    one: Found,
    fitted: np.ndarray,
    others: np.ndarray,
    learn: np.ndarray,
    known: Sequence[Values],
) -> list[Found]:
    """The reading with columns of few values as well, where records of others are found by chance.

    What a stored value means is learnt from the records of one half that were found.
    """
    if not len(others) or (one.outside >= 0).mean() < LEAST_CHANCE:
        return []
    rows = np.flatnonzero(learn & (one.inside >= 0))[:LEARN]
    codes = {}
    for c, column in enumerate(table.cells.T):
        distinct = np.unique(column[np.isfinite(column)])
        if 2 <= len(distinct) <= LEVELS:
            codes[c] = np.where(np.isfinite(column), np.searchsorted(distinct, column), -1)
    added = []
    for j, values in enumerate(known):
        seen = rows[np.isfinite(fitted[rows, j])]
        if j in one.reading.columns or len(values.distinct) < 2 or len(seen) < LEAST_LEARNT:
            continue
        best = _find_meaning(codes, one.inside[seen], fitted[seen, j])
        if best is not None:
            c, meant, rate = best
            decoded = np.where(codes[c] < 0, np.nan, meant[codes[c].clip(0)])
            added.append(Pair(c, j, decoded, 1e-9, rate))
    if not added:
        return []
    more, reading = Reading.of(added), one.reading
    wider = Reading(
        np.concatenate([reading.decoded, more.decoded], axis=1),
        np.concatenate([reading.columns, more.columns]),
        np.concatenate([reading.off, more.off]),
    )
    return [Found(wider, wider.find(fitted), wider.find(others))]


def _find_meaning(
    codes: dict[int, np.ndarray], rows: np.ndarray, cells: np.ndarray
) -> tuple[int, np.ndarray, float] | None:
    """(stored column, what each of its values means, how often it is right) of the one that tells
    these cells best, if any does better than the most frequent value by a quarter of the rest."""
    levels, level = np.unique(cells, return_inverse=True)
    floor = float(np.bincount(level).max() / len(cells))
    rate, best = floor + 0.25 * (1 - floor), None
    for c, code in codes.items():
        own = code[rows]
        size = int(code.max()) + 1
        joined = (own * len(levels) + level)[own >= 0]
        tally = np.bincount(joined, minlength=size * len(levels)).reshape(size, len(levels))
        right = float(np.maximum(tally.max(axis=1) - 1.0, 0.0).sum() / len(cells))
        if right > rate:
            meant = np.where(tally.max(axis=1) > 0, levels[tally.argmax(axis=1)], np.nan)
            rate, best = right, (c, meant, right)
    return best


__all__ = ["find_rows"]
