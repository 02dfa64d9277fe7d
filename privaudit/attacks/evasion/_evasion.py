"""What every evasion attack shares: whom it tries, what may change, when a record is misjudged."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._constraints import Cells, Scale, limits, movable
from privaudit.attacks._options import check_whole
from privaudit.attacks.evasion._possible import Box, Point, possible
from privaudit.contracts import Access, Attack, Fitted, Model, Ranked, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import Records

BUDGETS = (0.05, 0.1, 0.25, 0.5, 1.0)
"""Largest change of any value, in standard deviations of its column in the reference pool."""

LEVELS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""The same for pictures, in steps of 1/255 of the range of a pixel (Goodfellow et al. 2015, Madry
et al. 2018)."""
SHADES = 255
"""Steps of a pixel of 8 bits."""

NOISE = "random noise of the same budget"

Craft = Callable[[float], Records]
"""The records after an attack within a budget."""


@dataclass(frozen=True, eq=False)
class Field:
    """The records tried, and what of them may change.

    A direction is an (n, size) array in standard deviations: first the columns of X that may move,
    then the hours of every channel that may move, hour by hour. spread, spread_series: 0 for what
    does not move. cut: for two classes the probability from which the model says yes; None for
    more, where the likeliest class is the answer.
    """

    model: Model
    records: Records
    spread: np.ndarray
    spread_series: np.ndarray
    cut: float | None
    scale: Scale

    @classmethod
    def of(cls, target: Target, records: int) -> Field:
        """`records` of the non-members, the same for every attack and release of one split."""
        model = target.release.model
        if model is None:
            raise ValueError("this release has no model to ask")
        pool, reference = target.split.nonmembers, target.split.reference
        seed = np.frombuffer(bytes.fromhex(pool.fingerprint), dtype=np.uint32).tolist()
        order = np.random.default_rng(np.random.SeedSequence(seed)).permutation(len(pool))
        sample = pool.take(np.sort(order[:records]))
        if pool.image is not None:
            return cls._of_pictures(model, sample, reference)
        may = np.array([movable(column) for column in pool.columns])
        may_series = np.array([movable(column) for column in pool.channels], dtype=bool)
        hours = np.empty((1, 0))
        if reference.series is not None:
            hours = reference.series.reshape(-1, len(reference.channels))
        spread = np.where(may, _spread(reference.X), 0.0)
        spread_series = np.where(may_series, _spread(hours), 0.0)
        reads_x, reads_series = _reads(model, sample, spread, spread_series)
        if reads_x or reads_series:
            spread, spread_series = spread * reads_x, spread_series * reads_series
        scale = Scale.of(pool.columns, reference.X)
        field = cls(model, sample, spread, spread_series, _cut(model, reference), scale)
        if not field.size:
            raise PrivauditError(
                "no column that an attacker may change",
                "every column is immutable, coded, counted or constant in the reference pool",
                "mark the columns that a patient or a device can change as mutable",
            )
        return field

    @classmethod
    def _of_pictures(cls, model: Model, sample: Records, reference: Records) -> Field:
        """Every pixel may change, within the range that all pixels share."""
        bounds = [column.bounds for column in sample.columns]
        if any(bound is None or bound != bounds[0] for bound in bounds) or bounds[0] is None:
            raise PrivauditError(
                "pixels whose range is not stated, or is not the same for all",
                "a budget is a number of steps of 1/255 of that range",
                "give every pixel the same bounds, 0 to 1 or 0 to 255",
            )
        low, high = (np.full(sample.X.shape[1], end, dtype=np.float64) for end in bounds[0])
        whole = np.array([column.integer for column in sample.columns])
        scale = Scale(whole, low, high)
        return cls(
            model,
            sample,
            (high - low) / SHADES,
            np.zeros(len(sample.channels)),
            _cut(model, reference),
            scale,
        )

    @property
    def budgets(self) -> tuple[float, ...]:
        """The budgets that are tried, in units of `spread`."""
        return BUDGETS if self.records.image is None else LEVELS

    @property
    def unit(self) -> str:
        """What a budget counts."""
        return "sd" if self.records.image is None else f"/{SHADES}"

    @cached_property
    def columns(self) -> np.ndarray:
        return np.flatnonzero(self.spread > 0)

    @cached_property
    def channels(self) -> np.ndarray:
        return np.flatnonzero(self.spread_series > 0)

    @property
    def hours(self) -> int:
        return 0 if self.records.series is None else self.records.series.shape[1]

    @property
    def size(self) -> int:
        return len(self.columns) + self.hours * len(self.channels)

    @cached_property
    def present(self) -> np.ndarray:
        """(n, size) bool: what was measured, and so can change."""
        result: np.ndarray = np.isfinite(self.flat(self.records.X, self.records.series))
        return result

    @cached_property
    def wrong(self) -> np.ndarray:
        """(n,) bool: misjudged before any change."""
        return self.misjudged(self.records)

    def flat(self, x: np.ndarray, series: np.ndarray | None) -> np.ndarray:
        """(n, size) of what may change, from arrays shaped like X and series."""
        parts = [x[:, self.columns]]
        if series is not None:
            parts.append(series[:, :, self.channels].reshape(len(x), -1))
        return np.concatenate(parts, axis=1)

    @cached_property
    def scales(self) -> np.ndarray:
        """(size,): the standard deviation of each value that may change."""
        hours = np.tile(self.spread_series[self.channels], self.hours)
        return np.concatenate([self.spread[self.columns], hours])

    @cached_property
    def start(self) -> Point:
        """The records as they are; no series where none of it may move."""
        series = self.records.series if len(self.channels) else None
        return Point(
            self.records.X.astype(np.float64),
            None if series is None else series.astype(np.float64),
        )

    @cached_property
    def cells(self) -> Cells:
        """Summaries of a variable that hang together."""
        return Cells.of(self.records, self.spread, self.scale)

    def box(self, budget: float) -> Box:
        """The possible patients within so many standard deviations of the records."""
        low, high = limits(self.records, self.spread, budget, self.scale)
        was = self.start.series
        if was is None:
            return Box(self.start, Point(low, None), Point(high, None), self.cells)
        bounds = [channel.bounds or (-np.inf, np.inf) for channel in self.records.channels]
        least, most = np.array(bounds, dtype=np.float32).reshape(-1, 2).T
        reach = budget * self.spread_series
        lower = np.maximum(was - reach, np.minimum(was, least))
        upper = np.minimum(was + reach, np.maximum(was, most))
        return Box(self.start, Point(low, lower), Point(high, upper), self.cells)

    def slopes(self, direction: np.ndarray) -> Point:
        """A direction in standard deviations, as slopes for values in their own units."""
        cut = len(self.columns)
        x = np.zeros((len(direction), self.records.X.shape[1]))
        x[:, self.columns] = direction[:, :cut] / self.spread[self.columns]
        if self.records.series is None or not len(self.channels):
            return Point(x, None)
        series = np.zeros((len(direction), *self.records.series.shape[1:]))
        hours = direction[:, cut:].reshape(len(direction), self.hours, len(self.channels))
        series[:, :, self.channels] = hours / self.spread_series[self.channels]
        return Point(x, series)

    def possible(self, at: Point, rows: np.ndarray | None = None) -> Records:
        """Records of these values, as float32 like any other, and each a possible patient.

        rows: only these records, whose values are given. A variable that rounding left impossible
        is as it was.
        """
        sample, cells = self.records, self.cells
        if rows is not None:
            sample, cells = sample.take(rows), cells.rows_of(rows, len(sample))
        x = at.x.astype(np.float32)
        lost = ~possible(cells, sample.X, x)
        for row, places in zip(cells.rows[lost], cells.places[lost], strict=True):
            x[row, places[places >= 0]] = sample.X[row, places[places >= 0]]
        if at.series is None:
            return replace(sample, X=x)
        return replace(sample, X=x, series=at.series.astype(np.float32))

    def ask(self, records: Records) -> np.ndarray:
        """(n, k): the model's answers."""
        return np.asarray(self.model.predict_proba(records), dtype=np.float64)

    def misjudged(self, records: Records) -> np.ndarray:
        """(n,) bool: the model's decision differs from the outcome."""
        return self.decide(self.ask(records), records.y)

    def decide(self, proba: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(n,) bool: these answers are wrong for these outcomes."""
        if self.cut is None:
            result: np.ndarray = proba.argmax(axis=1) != y
            return result
        misjudged: np.ndarray = (proba[:, 1] > self.cut) != (y == 1)
        return misjudged


def _spread(x: np.ndarray) -> np.ndarray:
    """(d,) standard deviations of what was measured; 0 where fewer than two values were."""
    x = np.asarray(x, dtype=np.float64)
    seen = np.isfinite(x)
    n = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, x, 0).sum(axis=0) / n
    result: np.ndarray = np.sqrt((np.where(seen, x - mean, 0) ** 2).sum(axis=0) / n)
    return result


def _reads(
    model: Model, sample: Records, spread: np.ndarray, spread_series: np.ndarray
) -> tuple[bool, bool]:
    """Whether an answer changes when X, or the series, moves: what is not read is not attacked."""
    before = np.asarray(model.predict_proba(sample))

    def differs(*changed: Records) -> bool:
        return any(not np.array_equal(before, model.predict_proba(part)) for part in changed)

    of_x = differs(*(replace(sample, X=sample.X + sign * spread) for sign in (1, -1)))
    if sample.series is None or not spread_series.any():
        return of_x, False
    series = [sample.series + sign * spread_series for sign in (1, -1)]
    return of_x, differs(*(replace(sample, series=part) for part in series))


def _cut(model: Model, reference: Records) -> float | None:
    """The probability above which as many of the reference pool are flagged as have the outcome.

    At 0.5 a model of a rare outcome says no to all, and no attack could be told from none.
    """
    if len(reference.classes) != 2:
        return None
    p = np.asarray(model.predict_proba(reference))[:, 1]
    cut = float(np.quantile(p, 1 - float((reference.y == 1).mean()), method="higher"))
    # Of a model that is entirely sure of many: these, and not nobody.
    below = p[p < cut]
    return float(below.max()) if not (p > cut).any() and len(below) else cut


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread, where it is loaded, and back after."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch is not None else 0
    try:
        if torch is not None:
            torch.set_num_threads(1)
        yield
    finally:
        if torch is not None:
            torch.set_num_threads(before)


@dataclass(frozen=True)
class Evasion(Attack):
    """Small changes of a patient's record that change the prediction, at each of `BUDGETS` or, of
    pictures, of `LEVELS`.

    Success: misjudged after the attack; control: after random noise that moves every value up or
    down as far as the budget and the other values of a possible patient allow; guess: before any
    change. records: how many non-members are tried.
    """

    records: int = 300

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["evasion"]] = "evasion"

    @abstractmethod
    def craft(self, field: Field, rng: np.random.Generator) -> Craft:
        """The attack on these records."""

    def check(self) -> None:
        """Refuse settings that make no attack."""
        check_whole(self, records=1)

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        self.check()
        field = Field.of(target, self.records)
        return trials(field, self.craft(field, rng), rng)


def trials(field: Field, craft: Craft, rng: np.random.Generator) -> dict[Setting, Trials]:
    """Each budget's trials: misjudged after the attack, after noise, and before any change."""
    found = {}
    y, unchanged = field.records.y, field.ask(field.records)
    guess = field.decide(unchanged, y).astype(float)
    with one_thread():
        for budget in field.budgets:
            attacked = field.ask(craft(budget))
            signs = rng.choice([-1.0, 1.0], size=field.present.shape)
            noise = field.box(budget).push(field.slopes(signs), field.start)
            shaken = field.ask(field.possible(noise))
            patients = field.records.patient.copy()
            found[Setting("budget", budget, field.unit)] = Trials(
                field.decide(attacked, y).astype(float),
                field.decide(shaken, y).astype(float),
                guess,
                NOISE,
                patients,
                ranked=Ranked(y, attacked, shaken, unchanged),
            )
    return found
