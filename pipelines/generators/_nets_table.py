"""A mixed table as the numbers that a network reads and writes: scalars and picks of one among
several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np

from pipelines.generators._nets_modes import MODES, WIDE, Modes
from pipelines.generators._pooled import (
    POOL,
    Steps,
    count_patients,
    count_units,
    pool_records,
    round_shares,
    steps,
    weigh,
)
from pipelines.generators._saved import SavedGenerator, damaged
from pipelines.generators._valid import Shape
from privaudit.contracts import Claim
from privaudit.errors import PrivauditError
from privaudit.records import Records

LEAST_ROWS = 20
MOST_LEVELS = 1000
KNOTS = np.concatenate([[0.005], np.arange(0.01, 1.0, 0.01), [0.995]])
"""Shares of the values below the knots of a number's scale: its extremes are nobody's to keep."""

LEVEL, FLAG, MODE = 0, 1, 2
"""What a pick is made among: levels of a column, missing or measured, modes of a number."""


@dataclass(frozen=True, eq=False)
class Codes:
    """Rows as a network reads them. scalars: (n, s) float32; picks: (n, p) int16, -1 = not
    measured; patient: (n,) whose they are, None of drawn ones."""

    scalars: np.ndarray
    picks: np.ndarray
    patient: np.ndarray | None = None

    def take(self, rows: np.ndarray | slice) -> Codes:
        return Codes(self.scalars[rows], self.picks[rows])

    @classmethod
    def concatenate(cls, parts: Sequence[Codes]) -> Codes:
        scalars = np.concatenate([part.scalars for part in parts])
        return cls(scalars, np.concatenate([part.picks for part in parts]))


@dataclass(frozen=True, eq=False)
class Table:
    """How columns, the outcome y as the last one, become scalars and picks, and back.

    Columns that are missing in the same rows share one pick, missing or measured, and have no value
    where they are missing: a network is neither shown nor asked one. A `measured` column that says
    the same is that pick, and a count that is 0 there is left out there too.

    Args:
        numbers: (s,), the columns that scalars stand for.
        scale: "modes" (where in its mode a value lies, with a pick of the mode) or "ranks" (which
            share of the values lies below it, in [0, 1]).
        kind, ref, width: (p,), each pick: levels of column ref, flag ref, or modes of number ref,
            sorted by width.
        levels: (p, widest), the values of a column's levels, NaN for one that means missing.
        flag: (d + 1,), the flag that says whether a column was measured, or -1.
        off: Its value where it was not.
        repeats: The flag that a column repeats, or -1.
        fixed, constant: Whether a column has one value where measured, and which.
        prevalence: The share of each class that occurred.
    """

    shape: Shape
    scale: Literal["modes", "ranks"]
    numbers: np.ndarray
    modes: Modes
    knots: np.ndarray
    kind: np.ndarray
    ref: np.ndarray
    width: np.ndarray
    levels: np.ndarray
    flag: np.ndarray
    off: np.ndarray
    repeats: np.ndarray
    fixed: np.ndarray
    constant: np.ndarray
    prevalence: np.ndarray

    @classmethod
    def fit(
        cls, records: Records, rng: np.random.Generator, scale: Literal["modes", "ranks"]
    ) -> tuple[Table, Codes]:
        """The table's shape, learnt from these rows, and the rows in it.

        What fewer than ten patients decide is taken back first (`pool_records`), so that neither
        the shape nor the training sees it; there may be fewer rows then.

        Raises:
            PrivauditError: For fewer than LEAST_ROWS rows and for columns of too many levels.
        """
        from pipelines.learners._prepare import check_levels

        if len(records) < LEAST_ROWS:
            raise PrivauditError(
                f"fewer than {LEAST_ROWS} records for a neural generator",
                "networks learn nothing of a table from so few rows, and a few hundred are needed "
                "for something useful",
                "use the generator copula or marginals, or more records",
            )
        check_levels(records, range(len(records.columns)))
        _check_levels(records)
        plan = _Plan(pool_records(records, clip=True))
        for j in range(len(records.columns) + 1):
            plan.add(j)
        table = plan.table(scale)
        return table, table._encode(plan, rng)

    @property
    def start(self) -> np.ndarray:
        """(p,), where each pick begins among the encoded columns; scalars come first."""
        return len(self.numbers) + np.cumsum(self.width) - self.width

    @property
    def dim(self) -> int:
        """Encoded columns: scalars, then the options of every pick."""
        return len(self.numbers) + int(self.width.sum())

    @property
    def groups(self) -> tuple[tuple[int, int, int], ...]:
        """(first encoded column, picks, options), for each run of picks of as many options."""
        widths, first, count = np.unique(self.width, return_index=True, return_counts=True)
        start = self.start
        return tuple(
            (int(start[i]), int(m), int(w)) for w, i, m in zip(widths, first, count, strict=True)
        )

    @property
    def flags(self) -> np.ndarray:
        """(flags,), the pick that is each flag, by the flag's number."""
        places = np.flatnonzero(self.kind == FLAG)
        return places[np.argsort(self.ref[places])]

    @property
    def hidden_by(self) -> tuple[np.ndarray, np.ndarray]:
        """(s,) and (p,): the flag without which a scalar or a pick has no value, or -1."""
        scalar = self.flag[self.numbers]
        column = np.where(self.kind == LEVEL, self.ref, 0)
        if len(self.numbers):
            of_mode = self.numbers[np.where(self.kind == MODE, self.ref, 0)]
            column = np.where(self.kind == MODE, of_mode, column)
        pick = np.where(self.kind == FLAG, -1, self.flag[column])
        return scalar, pick

    @property
    def outcome(self) -> int:
        """The pick that is the outcome y, or -1 where only one class occurred."""
        found = np.flatnonzero((self.kind == LEVEL) & (self.ref == len(self.shape.columns)))
        return int(found[0]) if len(found) else -1

    def decode(self, codes: Codes) -> Records:
        """Valid records from scalars and picks: each a patient of its own."""
        n, d = len(codes.picks), len(self.shape.columns)
        out = np.where(self.fixed, self.constant, np.nan)[None].repeat(n, axis=0)
        for p in np.flatnonzero(self.kind == LEVEL):
            out[:, self.ref[p]] = self.levels[p, codes.picks[:, p]]
        scalars = codes.scalars.astype(np.float64)
        if self.scale == "modes":
            for p in np.flatnonzero(self.kind == MODE):
                i, k = self.ref[p], codes.picks[:, p]
                spread, centre = self.modes.spread[i, k], self.modes.centre[i, k]
                out[:, self.numbers[i]] = np.clip(scalars[:, i], -1, 1) * WIDE * spread + centre
        else:
            for i, j in enumerate(self.numbers):
                out[:, j] = np.interp(scalars[:, i], KNOTS, self.knots[i])
        measured = codes.picks[:, self.flags] == 1
        for j in np.flatnonzero(self.flag >= 0):
            out[~measured[:, self.flag[j]], j] = self.off[j]
        for j in np.flatnonzero(self.repeats >= 0):
            out[:, j] = measured[:, self.repeats[j]]
        return self.shape.records(out[:, :d], out[:, d])

    def _encode(self, plan: _Plan, rng: np.random.Generator) -> Codes:
        n = plan.rows
        scalars = np.zeros((n, len(self.numbers)), dtype=np.float32)
        picks = np.full((n, len(self.width)), -1, dtype=np.int16)
        for p, (kind, i) in enumerate(zip(self.kind, self.ref, strict=True)):
            if kind == FLAG:
                picks[:, p] = ~plan.missing[i]
            elif kind == LEVEL:
                seen = plan.seen(i)
                picks[seen, p] = _place(plan.column(i)[seen], self.levels[p, : self.width[p]])
            else:
                seen = plan.seen(self.numbers[i])
                values = plan.column(self.numbers[i])[seen].astype(np.float64)
                chosen = self.modes.pick(i, values, rng)
                picks[seen, p] = chosen
                scalars[seen, i] = self.modes.place(i, values, chosen)
        if self.scale == "ranks":
            for i, j in enumerate(self.numbers):
                seen = plan.seen(j)
                values = plan.column(j)[seen].astype(np.float64)
                scalars[seen, i] = _rank(values, self.knots[i])
        return Codes(scalars, picks, plan.records.patient)

    def arrays(self) -> dict[str, np.ndarray]:
        """What a saved generator keeps of it: no row, and no more numbers for more rows."""
        modes = {"centre": self.modes.centre, "spread": self.modes.spread}
        own = [p.name for p in fields(self) if p.name not in ("shape", "scale", "modes")]
        return modes | {"count": self.modes.count} | {name: getattr(self, name) for name in own}

    @classmethod
    def of(cls, saved: SavedGenerator) -> Table:
        """What `arrays` gave; PrivauditError where its parts do not fit together."""
        d = len(saved.shape.columns) + 1
        scale = saved.facts.get("scale")
        if scale not in ("modes", "ranks"):
            raise damaged("its header names no scale")
        numbers = _whole(saved, "numbers", (None,), 0, d)
        s, modal = len(numbers), scale == "modes"
        width = _whole(saved, "width", (None,), 1, max(MOST_LEVELS, MODES) + 2)
        p = len(width)
        count = _whole(saved, "count", (s if modal else 0,), 1, MODES + 1)
        kind = _whole(saved, "kind", (p,), 0, 3)
        flags = int((kind == FLAG).sum())
        ref = _whole(saved, "ref", (p,), 0, max(d, s, flags))
        levels = saved.array("levels", 2, shape=(p, None)).astype(np.float64)
        table = cls(
            saved.shape,
            "modes" if modal else "ranks",
            numbers,
            Modes(
                saved.array("centre", 2, shape=(s if modal else 0, MODES)).astype(np.float64),
                saved.array("spread", 2, shape=(s if modal else 0, MODES)).astype(np.float64),
                count,
                np.zeros((s if modal else 0, MODES)),
            ),
            saved.array("knots", 2, shape=(0 if modal else s, len(KNOTS))).astype(np.float64),
            kind,
            ref,
            width,
            levels,
            _whole(saved, "flag", (d,), -1, flags),
            saved.array("off", 1, shape=(d,)).astype(np.float64),
            _whole(saved, "repeats", (d,), -1, flags),
            saved.array("fixed", 1, shape=(d,)).astype(bool),
            saved.array("constant", 1, shape=(d,)).astype(np.float64),
            saved.array("prevalence", 1).astype(np.float64),
        )
        table._check(flags)
        return table

    def _check(self, flags: int) -> None:
        d, s = len(self.shape.columns) + 1, len(self.numbers)
        limit = np.array([d, flags, s])[self.kind]
        widest = np.where(
            self.kind == MODE,
            0 if not len(self.modes.count) else MODES,
            np.where(self.kind == FLAG, 2, self.levels.shape[1]),
        )
        if (
            (self.ref >= limit).any()
            or (self.width > widest).any()
            or (np.diff(self.width) < 0).any()
            or not np.array_equal(np.sort(self.ref[self.kind == FLAG]), np.arange(flags))
        ):
            raise damaged("its picks do not fit its columns")
        y = d - 1
        known = np.zeros(d, dtype=bool)
        known[self.numbers] = True
        known[self.ref[self.kind == LEVEL]] = True
        if not (known | self.fixed | (self.repeats >= 0)).all() or self.flag[y] >= 0:
            raise damaged("it does not say how every column is drawn")
        classes = 1 if self.outcome < 0 else int(self.width[self.outcome])
        whole = abs(self.prevalence.sum() - 1.0) < 1e-6
        if len(self.prevalence) != classes or not whole or not (self.prevalence > 0).all():
            raise damaged("its shares of the outcome are none")


@dataclass(eq=False)
class _Plan:
    """What kind of a column each one is, as far as the rows show."""

    records: Records
    missing: list[np.ndarray] = field(default_factory=list)
    flag: dict[int, int] = field(default_factory=dict)
    off: dict[int, float] = field(default_factory=dict)
    repeats: dict[int, int] = field(default_factory=dict)
    fixed: dict[int, float] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    levels: dict[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        gaps: dict[bytes, int] = {}
        shared: dict[bytes, int] = {}
        keys: dict[int, bytes] = {}
        d = len(self.records.columns)
        for j in range(d):
            gap = np.isnan(self.records.X[:, j])
            if gap.any() and not gap.all():
                keys[j] = np.packbits(gap).tobytes()
                shared[keys[j]] = shared.get(keys[j], 0) + 1
        for j, key in keys.items():
            # A category that is missing in a way of its own has "missing" as one more level.
            alone = self.records.columns[j].kind != "numeric" and shared[key] == 1
            if alone:
                continue
            if key not in gaps:
                gaps[key] = len(self.missing)
                self.missing.append(np.isnan(self.records.X[:, j]))
            self.flag[j], self.off[j] = gaps[key], np.nan
        self._find_repeats(gaps)

    def _find_repeats(self, gaps: Mapping[bytes, int]) -> None:
        by_variable = {
            self.records.columns[j].variable: flag
            for j, flag in self.flag.items()
            if self.records.columns[j].variable
        }
        for j, column in enumerate(self.records.columns):
            x = self.records.X[:, j]
            if j in self.flag or np.isnan(x).any():
                continue
            key = np.packbits(x != 1).tobytes()
            if column.kind == "binary" and key in gaps and ((x == 0) | (x == 1)).all():
                self.repeats[j] = gaps[key]
            flag = by_variable.get(column.variable)
            if column.statistic == "count" and flag is not None:
                gap = self.missing[flag]
                if np.array_equal(x == 0, gap):
                    self.flag[j], self.off[j] = flag, 0.0

    @property
    def rows(self) -> int:
        return len(self.records)

    def column(self, j: int) -> np.ndarray:
        return self.records.y if j == len(self.records.columns) else self.records.X[:, j]

    def seen(self, j: int) -> np.ndarray:
        """(n,) bool, the rows in which column j has a value of its own."""
        return ~self.missing[self.flag[j]] if j in self.flag else np.ones(self.rows, dtype=bool)

    def add(self, j: int) -> None:
        """Decide how column j is encoded."""
        if j in self.repeats:
            return
        values = self.column(j)[self.seen(j)]
        distinct = np.unique(values.astype(np.float64))  # NaN, where it is a level, once and last
        numeric = j < len(self.records.columns) and self.records.columns[j].kind == "numeric"
        if len(distinct) < 2:
            self.fixed[j] = float(distinct[0]) if len(distinct) else np.nan
        elif numeric and len(distinct) > 2:
            self.numbers.append(j)
        else:
            self.levels[j] = distinct

    def table(self, scale: Literal["modes", "ranks"]) -> Table:
        d = len(self.records.columns) + 1
        found = [self.steps(j) for j in self.numbers]
        # A round number of values: modes that rest on as many as there are rows state how many.
        size = count_units(POOL * self.rows)
        modes = Modes.fit([x.expand(size) for x in found if scale == "modes"])
        knots = np.array([_knots(x) for x in found if scale == "ranks"])
        spans = [(LEVEL, j, len(levels)) for j, levels in self.levels.items()]
        spans += [(FLAG, i, 2) for i in range(len(self.missing))]
        spans += [(MODE, i, int(k)) for i, k in enumerate(modes.count)]
        spans.sort(key=lambda span: span[2])
        kind, ref, width = np.array(spans, dtype=np.int64).reshape(-1, 3).T
        levels = np.zeros((len(spans), max((len(v) for v in self.levels.values()), default=2)))
        for p, (what, j, w) in enumerate(spans):
            if what == LEVEL:
                levels[p, :w] = self.levels[j]
        return Table(
            Shape.of(self.records),
            scale,
            np.array(self.numbers, dtype=np.int64),
            modes,
            knots.reshape(-1, len(KNOTS)),
            kind,
            ref,
            width,
            levels,
            _dense(self.flag, d, -1),
            _dense(self.off, d, np.nan),
            _dense(self.repeats, d, -1),
            _dense(dict.fromkeys(self.fixed, True), d, False),
            _dense(self.fixed, d, np.nan),
            self.shares,
        )

    @property
    def shares(self) -> np.ndarray:
        """The rounded share of each class that occurs, no patient being more than a tenth of
        one."""
        y, patient = self.records.y, self.records.patient
        counts = np.array([weigh(patient[y == c]) for c in np.unique(y)])
        return round_shares(counts, count_patients(patient))

    def steps(self, j: int) -> Steps:
        """The distribution of a number."""
        who = np.unique(self.records.patient, return_inverse=True)[1]
        return steps(self.column(j)[self.seen(j)], who[self.seen(j)])


def _check_levels(records: Records) -> None:
    for j, column in enumerate(records.columns):
        levels = 0 if column.kind == "numeric" else len(np.unique(records.X[:, j]))
        if levels > MOST_LEVELS:
            raise PrivauditError(
                f"column {column.name!r} with {levels} levels",
                f"a network learns nothing of a category with more than {MOST_LEVELS} levels: such "
                "a column is an id or free text",
                "leave the column out of the schema, or group its levels",
            )


def _knots(found: Steps) -> np.ndarray:
    """The values at the shares KNOTS."""
    share = np.where(found.shared, found.begin, (found.begin + found.end) / 2)
    last = np.where(found.shared, found.end, share)
    return np.interp(KNOTS, np.stack([share, last], axis=1).ravel(), np.repeat(found.value, 2))


def _dense(sparse: Mapping[int, Any], d: int, rest: Any) -> np.ndarray:
    out = np.full(d, rest)
    for j, value in sparse.items():
        out[j] = value
    return out


def _place(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(n,), which level each value is; NaN, where it is a level, is the last."""
    found = np.searchsorted(levels, values.astype(np.float64))
    return np.minimum(found, len(levels) - 1)


def _rank(values: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """(n,) in [0, 1], the share of values below; the middle of it where many values are equal."""
    low = np.interp(values, *_steps(knots, first=True))
    high = np.interp(values, *_steps(knots, first=False))
    return (low + high) / 2


def _steps(knots: np.ndarray, first: bool) -> tuple[np.ndarray, np.ndarray]:
    distinct, at = np.unique(knots, return_index=True)
    if not first:
        at = len(knots) - 1 - np.unique(knots[::-1], return_index=True)[1]
    return distinct, KNOTS[at]


def _whole(
    saved: SavedGenerator, name: str, shape: tuple[int | None, ...], least: int, high: int
) -> np.ndarray:
    """An array of whole numbers in [least, high)."""
    found = saved.array(name, len(shape), shape=shape)
    if found.dtype.kind not in "iu" or (
        len(found) and (found.min() < least or found.max() >= high)
    ):
        raise damaged(f"its array {name!r} holds other numbers than it may")
    return found.astype(np.int64)


def as_saved(
    table: Table, claim: Claim, notes: tuple[str, ...], weights: Mapping[str, np.ndarray]
) -> SavedGenerator:
    """The saved form of a table and a network's weights."""
    return SavedGenerator(
        table.shape, claim, notes, {"scale": table.scale}, {**table.arrays(), **weights}
    )
