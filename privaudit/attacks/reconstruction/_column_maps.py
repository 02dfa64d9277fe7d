"""Which stored column may stand for which column of the records, and how it is read back.

A map is made of a column's values alone, never of which values stand in one row: what it says of
rows is then judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from privaudit.attacks.reconstruction._row_tables import (
    Table,
    list_scalings,
    read_ladders,
)

IDENTIFYING = 20
"""Different values that a column needs to tell records apart."""
SAMPLE = 48
"""Values of a column that are looked up to see whether another holds them."""
LEAST_HELD = 0.1
"""Share of them that must be there: a file may hold a part of the records, and the audit read a
part of those."""
ENDS = 24
"""How many values may lie beyond the outermost value that both columns hold."""
LEAST_ON_LINE = 30
"""Values of a column of which a line is searched."""
FILLING = 0.04
"""Share of a stored column that one value may hold because it fills gaps."""
MOST_LINES = 60
"""Pairs of columns of one file whose straight lines are searched."""
PROBES = 32
"""Rows tried first where a scaling is undone, of which four more than by chance must fit."""
SURER = 0.4
"""By how much more of the values must lie on a line than by chance."""

SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "plain": lambda v: v,
    "log1p": lambda v: np.log1p(v) if v.min() > -1 else np.empty(0),
    "log": lambda v: np.log(v) if v.min() > 0 else np.empty(0),
    "sqrt": lambda v: np.sqrt(v) if v.min() >= 0 else np.empty(0),
    "cbrt": np.cbrt,
}
"""What a step before the scaler may have made of a column; any other change that keeps the order is
read by ranks where the file holds every record."""


@dataclass(frozen=True, eq=False)
class Values:
    """The different values of a column in order, how often each occurs, and its quantiles."""

    distinct: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, column: np.ndarray) -> Values:
        """Of a column, without its gaps."""
        return cls(*np.unique(column[np.isfinite(column)], return_counts=True))

    @property
    def is_wide(self) -> bool:
        """Whether it tells records apart."""
        return len(self.distinct) >= IDENTIFYING

    def look(self, distinct: np.ndarray) -> np.ndarray:
        """(9,) quantiles of the column, had it these values instead."""
        total = np.cumsum(self.counts)
        wanted = np.linspace(0.1, 0.9, 9) * total[-1]
        found: np.ndarray = distinct[np.searchsorted(total, wanted).clip(0, len(distinct) - 1)]
        return found

    def sample(self) -> np.ndarray:
        """Some of its values, evenly by rank."""
        at = np.linspace(0, len(self.distinct) - 1, SAMPLE).round().astype(int)
        found: np.ndarray = self.distinct[np.unique(at)]
        return found


@dataclass(frozen=True, eq=False)
class Pair:
    """A stored column read as a column of the records.

    c, j: which; decoded: (r,) the record's value that a stored one stands for, inf for
    none, NaN for a gap; off:
    how far a value may be off; score: how well both columns' values agree, from 0 to 1; covered:
    share of the stored values that have a place, or of the records' values, whichever is more.
    """

    c: int
    j: int
    decoded: np.ndarray
    off: float
    score: float
    covered: float = 1.0


@dataclass(eq=False)
class Budget:
    """Searches for straight lines that are left for one file."""

    left: int = field(default=MOST_LINES)


def read_values(cells: np.ndarray) -> list[Values]:
    """Of every column of records (n, d)."""
    return [Values.of(column) for column in cells.T]


def map_columns(
    table: Table, arrays: Sequence[np.ndarray], known: Sequence[Values], budget: Budget
) -> list[Pair]:
    """Every plausible reading of a stored column as an identifying column of the records."""
    wide = [j for j, own in enumerate(known) if own.is_wide]
    stored = {}
    for c, column in enumerate(table.cells.T):
        values = Values.of(column)
        if values.is_wide:
            stored[c] = values
    if len(wide) < 1 or not stored:
        return []
    pairs = _find_equal(table, stored, known, wide)
    looks = _list_looks(stored, known, wide, _settled(pairs))
    pairs += _find_unscaled(table, arrays, stored, known, len(wide), looks)
    pairs += _find_lines(table, stored, known, pairs, looks, budget)
    pairs += _find_ranks(table, stored, known, wide)
    return pairs


def _find_equal(
    table: Table, stored: dict[int, Values], known: Sequence[Values], wide: Sequence[int]
) -> list[Pair]:
    places = list(stored)
    samples = [stored[c].sample() for c in places]
    offs = np.concatenate(
        [_slack(part, table.rounded[c]) for c, part in zip(places, samples, strict=True)]
    )
    joined, ends = np.concatenate(samples), np.cumsum([len(part) for part in samples])[:-1]
    ours = [known[j].sample() for j in wide]
    ours_joined, ours_ends = np.concatenate(ours), np.cumsum([len(p) for p in ours])[:-1]
    held = np.empty((len(places), len(wide)))
    for k, j in enumerate(wide):
        inside = _is_near(joined, known[j].distinct, offs)
        held[:, k] = [part.mean() for part in np.split(inside, ends)]
    for i, c in enumerate(places):
        off = _slack(ours_joined, table.rounded[c])
        there = _is_near(ours_joined, stored[c].distinct, off)
        held[i] = np.maximum(held[i], [part.mean() for part in np.split(there, ours_ends)])
    found = []
    for i, c in enumerate(places):
        able = [k for k in range(len(wide)) if held[i, k] >= LEAST_HELD]
        far = {k: _distance(stored[c], known[wide[k]]) for k in able}
        near = sorted(able, key=lambda k: (-round(held[i, k], 1), far[k]))[:5]
        near += [k for k in able if wide[k] == c and k not in near]
        for k in near:
            own = known[wide[k]]
            off = table.rounded[c] * float(np.abs(own.distinct).max())
            column = table.cells[:, c]
            found.append(_read(table, c, wide[k], own.distinct, own, column, off))
    return [one for one in found if one is not None]


def _distance(stored: Values, own: Values) -> float:
    """How far both columns' quantiles lie apart, in units of the records'."""
    look, other = own.look(own.distinct), stored.look(stored.distinct)
    unit = float(np.ptp(look)) or 1.0
    return float(np.abs(look - other).max() / unit)


def _slack(values: np.ndarray, rounded: float) -> np.ndarray:
    """(n,) how far these stored values may be off."""
    result: np.ndarray = rounded * np.abs(values) + 1e-12
    return result


def _is_near(values: np.ndarray, distinct: np.ndarray, off: np.ndarray | float) -> np.ndarray:
    near: np.ndarray = np.abs(distinct[_nearest(values, distinct)] - values) <= off
    return near


def _nearest(values: np.ndarray, distinct: np.ndarray) -> np.ndarray:
    """(n,) the place of the nearest of sorted values."""
    right = np.searchsorted(distinct, values).clip(1, max(1, len(distinct) - 1))
    if len(distinct) == 1:
        return np.zeros(len(values), dtype=np.int64)
    left = right - 1
    nearer_left = np.abs(distinct[left] - values) <= np.abs(distinct[right] - values)
    return np.where(nearer_left, left, right)


def _read(
    table: Table, c: int, j: int, image: np.ndarray, own: Values, back: np.ndarray, off: float
) -> Pair | None:
    """A stored column, `back` (r,) in the units of `image`, what each of `own` values became."""
    there = np.flatnonzero(np.isfinite(back))
    at = _nearest(back[there], image)
    near = np.abs(image[at] - back[there]) <= off + 1e-12
    taken = len(np.unique(at[near]))
    if taken < max(IDENTIFYING, len(np.unique(back[there[near]])) // 2):
        # What turns many values into one tells nothing.
        return None
    decoded = np.where(np.isfinite(back), np.inf, np.nan)
    decoded[there[near]] = own.distinct[at[near]]
    counts = np.bincount(at[near], minlength=len(image)).astype(float)
    span = float(own.distinct[-1] - own.distinct[0])
    allowed = 2 * off * span / (float(np.ptp(image)) or 1.0) + 1e-9 * span
    covered = max(float(near.mean()), float((counts > 0).mean()))
    return Pair(c, j, decoded, allowed, _agree(counts, own.counts) * covered, covered)


def _agree(counts: np.ndarray, own: np.ndarray) -> float:
    """How far two columns agree on how often their common values occur."""
    both = counts > 0
    if not both.any():
        return 0.0
    a, b = counts[both], own[both]
    return float(np.minimum(a / a.sum(), b / b.sum()).sum())


@dataclass(frozen=True, eq=False)
class Look:
    """What a stored column may be: column j of the records, its values turned into `image`; how far
    the shapes of both lie apart."""

    j: int
    image: np.ndarray
    far: float


def _list_looks(
    stored: dict[int, Values], known: Sequence[Values], wide: Sequence[int], done: set[int]
) -> dict[int, list[Look]]:
    """Of every stored column without its place, the columns whose quantiles are most alike up to a
    straight line, and the one in the same place."""
    todo = [c for c in stored if c not in done]
    if not todo:
        return {}
    every = [(j, image) for j in wide for image in _images(known[j])]
    forms = np.stack([_form(known[j].look(image)) for j, image in every])
    found: dict[int, list[Look]] = {}
    for c in todo:
        form = _form(_drop_filling(stored[c]))
        far = np.minimum(
            np.abs(form - forms).max(axis=1), np.abs(form + forms[:, ::-1]).max(axis=1)
        )
        place = list(stored).index(c)
        own = [i for i, (j, _) in enumerate(every) if place < len(wide) and j == wide[place]][:1]
        chosen = dict.fromkeys([*np.argsort(far, kind="stable")[:6].tolist(), *own])
        found[c] = [Look(every[i][0], every[i][1], float(far[i])) for i in chosen]
    return found


def _find_unscaled(
    table: Table,
    arrays: Sequence[np.ndarray],
    stored: dict[int, Values],
    known: Sequence[Values],
    likely: int,
    looks: dict[int, list[Look]],
) -> list[Pair]:
    """Columns that a scaler's own numbers turn back."""
    if not looks:
        return []
    rows = np.linspace(0, len(table.cells) - 1, PROBES).round().astype(int)
    able: dict[int, list[tuple[float, Look, float, float]]] = {}
    for start, factors, offsets in list_scalings(arrays, table.cells.shape[1], likely):
        for c in range(start, start + factors.shape[1]):
            if c not in looks:
                continue
            f, o = factors[:, c - start], offsets[:, c - start]
            few = table.cells[rows, c]
            few = few[np.isfinite(few)]
            if not len(few):
                continue
            probes = few[None] * f[:, None] + o[:, None]
            span = np.abs(probes).max(axis=1) + np.abs(o)
            off = max(3 * table.rounded[c], 1e-9) * span + 1e-12
            for look in looks[c]:
                near = _is_near(probes.ravel(), look.image, np.repeat(off, len(few)))
                hit = near.reshape(probes.shape).mean(axis=1)
                dense = 2 * off * len(look.image) / (float(np.ptp(look.image)) or 1.0)
                able.setdefault(c, []).extend(
                    (float(hit[b]), look, float(f[b]), float(o[b]))
                    for b in np.flatnonzero(hit >= dense + 4 / PROBES)
                )
    found = []
    for c, every in able.items():
        best: Pair | None = None
        for _, look, factor, offset in sorted(every, key=lambda one: -one[0])[:8]:
            own = known[look.j]
            pair = _read_line(table, c, look.j, look.image, own, factor, offset)
            if pair is not None and (best is None or pair.score > best.score):
                best = pair
        found += [] if best is None else [best]
    for start, back in read_ladders(table, arrays):
        for c in range(start, start + back.shape[1]):
            if c in looks:
                found += _find_on_ladder(table, c, back[:, c - start], known)
    return found


def _find_on_ladder(table: Table, c: int, back: np.ndarray, known: Sequence[Values]) -> list[Pair]:
    asked = Values.of(back).sample()
    best: Pair | None = None
    for j, own in enumerate(known):
        if not own.is_wide:
            continue
        span = float(np.ptp(own.distinct))
        off = max(1e-7, 3 * table.rounded[c]) * span
        if _is_near(asked, own.distinct, off).mean() >= LEAST_HELD:
            pair = _read(table, c, j, own.distinct, own, back, off)
            if pair is not None and (best is None or pair.score > best.score):
                best = pair
    return [] if best is None else [best]


def _settled(pairs: Sequence[Pair]) -> set[int]:
    """Stored columns of which every value, or every value of the records', has its place."""
    return {pair.c for pair in pairs if pair.covered > 0.95}


def _read_line(
    table: Table, c: int, j: int, image: np.ndarray, own: Values, factor: float, offset: float
) -> Pair | None:
    column = table.cells[:, c]
    size = float(np.nanmax(np.abs(column))) * abs(factor) + abs(offset)
    off = max(3 * table.rounded[c], 1e-9) * max(size, float(np.abs(image).max()))
    return _read(table, c, j, image, own, column * factor + offset, off)


def _images(own: Values) -> Iterator[np.ndarray]:
    """What a step before the scaler may have made of a column's values, in order."""
    for shape in SHAPES.values():
        image = shape(own.distinct)
        if len(image) and np.isfinite(image).all() and (np.diff(image) > 0).all():
            yield image


def _find_lines(
    table: Table,
    stored: dict[int, Values],
    known: Sequence[Values],
    pairs: Sequence[Pair],
    looks: dict[int, list[Look]],
    budget: Budget,
) -> list[Pair]:
    """Columns that a straight line turns into a known column, or into its logarithm or root."""
    done = _settled(pairs)
    able = [
        (look.far, c, k)
        for c, own in looks.items()
        for k, look in enumerate(own)
        if c not in done and len(stored[c].distinct) >= LEAST_ON_LINE
    ]
    found: list[Pair] = []
    for _, c, k in sorted(able):
        if budget.left <= 0:
            break
        if any(pair.c == c and pair.score > 0.9 for pair in found):
            continue
        budget.left -= 1
        look, values = looks[c][k], stored[c]
        own = known[look.j]
        line = _find_line(values.distinct, values.counts, look.image, own.counts, table.rounded[c])
        if line is not None:
            pair = _read_line(table, c, look.j, look.image, own, *line)
            found += [] if pair is None else [pair]
    return found


def _drop_filling(values: Values) -> np.ndarray:
    """(9,) quantiles without the value that stands most often, if it may be what fills gaps."""
    top = int(values.counts.argmax())
    kept = values.counts.copy()
    if kept[top] > FILLING * kept.sum():
        kept[top] = 0
    return Values(values.distinct, kept).look(values.distinct)


def _form(look: np.ndarray) -> np.ndarray:
    """Quantiles up to a straight line."""
    unit = float(look[-2] - look[1]) or float(np.ptp(look)) or 1.0
    result: np.ndarray = (look - look[4]) / unit
    return result


def _find_line(
    s: np.ndarray, s_counts: np.ndarray, v: np.ndarray, v_counts: np.ndarray, rounded: float
) -> tuple[float, float] | None:
    """(slope, offset) from stored values to known ones, either of which may be a part of the
    others; None where no line does."""
    best: tuple[float, float, float] | None = None
    for swap in (False, True):
        inner, outer = (v, s) if swap else (s, v)
        low, high = outer[:ENDS], outer[-ENDS:]
        first = np.concatenate([np.repeat(low, len(high)), np.repeat(high, len(low))])
        last = np.concatenate([np.tile(high, len(low)), np.tile(low, len(high))])
        slope = (last - first) / (inner[-1] - inner[0])
        use = slope != 0
        first, slope = first[use], slope[use]
        at = np.linspace(1, len(inner) - 2, 32).round().astype(int)
        asked = first[:, None] + slope[:, None] * (inner[at] - inner[0])[None]
        size = max(float(np.abs(outer).max()), float(np.abs(inner).max() * np.abs(slope).min()))
        off = max(3 * rounded, 1e-9) * size
        hits = _is_near(asked.ravel(), outer, off).reshape(asked.shape).mean(axis=1)
        dense = min(1.0, 2 * off * len(outer) / (float(outer[-1] - outer[0]) or 1.0))
        top = np.flatnonzero(hits >= max(hits.max() - 1e-9, dense + SURER))[:30]
        for i in top:
            line = (slope[i], first[i] - slope[i] * inner[0])
            if swap:
                line = (1 / line[0], -line[1] / line[0])
            fit = _fit_line(s, s_counts, v, v_counts, line, off)
            if best is None or fit > best[0]:
                best = (fit, float(line[0]), float(line[1]))
    return None if best is None else best[1:]


def _fit_line(
    s: np.ndarray,
    s_counts: np.ndarray,
    v: np.ndarray,
    v_counts: np.ndarray,
    line: tuple[float, float],
    off: float,
) -> float:
    """How well counts agree along a line; the share of both columns that lies on it, first."""
    asked = s * line[0] + line[1]
    at = _nearest(asked, v)
    near = np.abs(v[at] - asked) <= off
    if not near.any():
        return 0.0
    a, b = s_counts[near] / s_counts[near].sum(), v_counts[at[near]].astype(float)
    return float(near.mean() + np.minimum(a, b / b.sum()).sum())


def _find_ranks(
    table: Table, stored: dict[int, Values], known: Sequence[Values], wide: Sequence[int]
) -> list[Pair]:
    """Columns whose values occur as often in order as a known column's, rising or falling."""
    found = []
    for c, values in stored.items():
        for distinct, counts in _without_filling(values):
            for j in wide:
                own = known[j]
                if len(own.distinct) != len(distinct):
                    continue
                for turned in (False, True):
                    target = own.counts[::-1] if turned else own.counts
                    share = float((counts == target).mean())
                    if share < 0.9:
                        continue
                    there = np.isin(table.cells[:, c], distinct)
                    decoded = np.where(np.isfinite(table.cells[:, c]), np.inf, np.nan)
                    place = np.searchsorted(distinct, table.cells[there, c])
                    decoded[there] = (own.distinct[::-1] if turned else own.distinct)[place]
                    # Without ties every column fits every other, so that order has to tell.
                    tied = min(1.0, 2 * float((own.counts > 1).mean()))
                    score = 0.5 * share * (0.2 + 0.8 * tied) - 0.02 * turned
                    found.append(Pair(c, j, decoded, 1e-9 * float(np.ptp(own.distinct)), score))
    return found


def _without_filling(values: Values) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The stored values, and those without the one that stands most often: what fills gaps."""
    yield values.distinct, values.counts
    top = int(values.counts.argmax())
    if values.counts[top] > 1:
        keep = np.arange(len(values.counts)) != top
        yield values.distinct[keep], values.counts[keep]


__all__ = ["IDENTIFYING", "Budget", "Pair", "Values", "map_columns", "read_values"]
