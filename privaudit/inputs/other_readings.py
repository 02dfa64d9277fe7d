"""Other ways in which a table might have been handed to a model, judged on its own members.

Training brought the model's loss on its members down under the reading of training and under no
other. Where another reading does surely and clearly better, the one at hand is not that of
training, and whatever an attack finds under it says nothing of the model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from typing import Any

import numpy as np

from privaudit.contracts import Model
from privaudit.errors import PrivauditError, spell
from privaudit.facts import Caveat, CaveatCode
from privaudit.inputs.models.layout import Frame, Layout
from privaudit.inputs.other_series import change_series
from privaudit.records import Records
from privaudit.stats.auc import auc

MAX_ROWS = 1_000
"""Members with whom readings are compared."""

BETTER = 4.0
"""Standard errors by which the loss of another reading lies lower where it is surely better."""

CLEARLY = 0.03
"""And by how much its AUROC lies higher."""

GOOD = 0.8
"""An AUROC on the members that another reading has to reach: a model at chance may reach 0.7 with
numbers that it never saw."""

FITTING = 0.9
"""The same for one measurement in another unit: one strong column alone may reach 0.8 through a
network of any weights, while a model that remembers its members fits them nearly perfectly."""

WORSE = 2.0
"""Standard errors by which columns in disorder do worse where their order is the right one."""

SHUFFLES = 15
MAX_EXCHANGES = 60
STANDS_FOR_MISSING = (0, -1, -9, -99, -999, -9999, 999, 9999, 99999)
LEAST_FILLED = 0.02
"""The share of cells from which a value may stand for what was not recorded."""

FACTORS = (10, 100, 1000, 18.02, 88.42, 2.2046, 2.54, 365.25, 12, 24, 60, 7.5)
"""Between common units: of mass and length, of time, of pressure, of glucose and of creatinine."""
MAX_MEASURED = 20
"""Columns whose unit is tried."""

LEAST_SHARE = 1e-3
"""Probabilities are clipped here, so that no single record decides."""


@dataclass(frozen=True, eq=False)
class Judged:
    """How well a model fits some members under one reading. loss: (patients,) mean log loss."""

    p: np.ndarray
    loss: np.ndarray
    auroc: float

    def beats(self, other: Judged) -> float:
        """By how many standard errors its loss lies below another's, by patient."""
        difference = other.loss - self.loss
        error = float(difference.std(ddof=1)) / np.sqrt(len(difference))
        return float(difference.mean() / error) if error > 0 else 0.0


def judge_reading(model: Model, some: Records, layout: Layout | None = None) -> Judged:
    """How well a model fits records, read by its own layout or by another."""
    p = ask_by(model, layout, some)
    loss = -np.log(np.clip(p[np.arange(len(some)), some.y], LEAST_SHARE, 1.0))
    _, place = np.unique(some.patient, return_inverse=True)
    areas = [
        auc(p[some.y == k, k], p[some.y != k, k])
        for k in range(p.shape[1])
        if 0 < (some.y == k).sum() < len(some)
    ]
    by_patient = np.bincount(place, loss) / np.bincount(place)
    return Judged(p, by_patient, float(np.mean(areas)) if areas else 0.5)


def ask_by(model: Any, layout: Layout | None, some: Records) -> np.ndarray:
    """(n, classes) a model's answers where the table is laid out in another way."""
    model = model.asking_once() if hasattr(model, "asking_once") else model
    if layout is not None:
        own = find_layout(model)
        layout = layout if type(own) is Layout else replace(own, places=layout.places)
        name = "layout" if hasattr(model, "layout") else "reads"
        model = copy.copy(model)
        object.__setattr__(model, name, layout)
    found: np.ndarray = model.predict_proba(some)
    return found


def find_layout(model: Model) -> Layout:
    """How a model lays out a table as numbers.

    Raises:
        ValueError: It is handed something else.
    """
    found = getattr(model, "layout", None) or getattr(model, "reads", None)
    if not isinstance(found, Layout):
        raise ValueError("this model is handed no matrix")
    return found


def refuse_other_reading(
    model: Model, members: Records, *, by_order: bool, rows: int = MAX_ROWS
) -> list[Caveat]:
    """Refuse a table that was scaled, filled in or ordered otherwise for training.

    Args:
        model: The model as it reads the table.
        members: Its training records.
        by_order: The columns are read in the table's order, as the model names none.
        rows: Members with whom readings are compared.

    Returns:
        A caveat where nothing shows that the order of the columns is the right one.

    Raises:
        PrivauditError: Another reading fits the model surely and clearly better.
    """
    some = members.take(slice(0, rows))
    own = judge_reading(model, some)
    model = _free_numbers(model, some)
    best, name = own, ""
    ways = chain(
        ((GOOD, *one) for one in _change_numbers(some)),
        ((FITTING, *one) for one in _change_units(some)),
        ((GOOD, *one) for one in change_series(some)),
    )
    for good, what, changed in ways:
        if own.auroc + CLEARLY > 1.0:
            break
        other = _try(model, changed)
        if other is not None and other.auroc >= good:
            best, name = _choose(best, name, what, other, own)
    orders = _other_orders(_name_inputs(model, some)) if by_order else ()
    doubtful = False
    for what, order in orders:
        other = _try_order(model, some, order)
        best, name = _choose(best, name, what, other, own)
        doubtful |= other is not None and other.beats(own) >= BETTER
    if name:
        raise PrivauditError(
            f"a table that the model reads better with {name}",
            f"its AUROC on its own members is then {best.auroc:.3f}, and {own.auroc:.3f} with the "
            "table as given: this is likely not what it was trained on",
            "give the table as the model was trained on it, or the model with its preparation as "
            "one pipeline; if all is right, show it with the owner's own probabilities "
            f"({spell('--expect', 'expect=')})",
        )
    if by_order and len(_name_inputs(model, some)) > 1 and np.ptp(own.p, axis=0).max() > 0:
        lead = [
            own.beats(one)
            for k in range(SHUFFLES)
            if (one := _try_order(model, some, _shuffle(_name_inputs(model, some), k))) is not None
        ]
        if doubtful or (lead and float(np.median(lead)) < WORSE):
            return [Caveat(CaveatCode.COLUMN_ORDER_UNCONFIRMED, params={"auroc": own.auroc})]
    return []


def _choose(
    best: Judged, name: str, what: str, other: Judged | None, own: Judged
) -> tuple[Judged, str]:
    # Classes in the wrong order are another fault, and no reason to doubt the columns.
    least = max(GOOD, max(own.auroc, 1 - own.auroc) + CLEARLY)
    if other is None or other.auroc < least or other.beats(own) < BETTER:
        return best, name
    return (other, what) if other.auroc > best.auroc else (best, name)


def _try(model: Model, some: Records, layout: Layout | None = None) -> Judged | None:
    """None where the model does not accept the reading."""
    try:
        return judge_reading(model, some, layout)
    except PrivauditError:
        return None


def _change_numbers(some: Records) -> Iterator[tuple[str, Records]]:
    """The table with its numbers scaled, or its missing numbers filled in."""
    at = [j for j, column in enumerate(some.columns) if not column.levels]
    if not at:
        return
    X = some.X[:, at].astype(np.float64)
    there = ~np.isnan(X)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, X, 0).sum(axis=0) / count
    spread = np.sqrt(np.where(there, (X - mean) ** 2, 0).sum(axis=0) / count)
    low = np.where(there, X, np.inf).min(axis=0, initial=np.inf)
    high = np.where(there, X, -np.inf).max(axis=0, initial=-np.inf)
    low, reach = np.where(there.any(axis=0), (low, high - low), 0.0)
    scaled = (X - mean) / np.where(spread > 0, spread, 1)
    ways = {
        "numbers scaled to mean 0 and standard deviation 1": scaled,
        "numbers scaled to between 0 and 1": (X - low) / np.where(reach > 0, reach, 1),
    }
    if not there.all():
        ways |= {
            "scaled numbers and missing ones as the mean": np.where(there, scaled, 0.0),
            "missing numbers as 0": np.where(there, X, 0.0),
            "missing numbers as the mean": np.where(there, X, mean),
            "missing numbers as -1": np.where(there, X, -1.0),
        }
    for value in STANDS_FOR_MISSING:
        stands = np.equal(X, value)
        if float(stands.mean()) >= LEAST_FILLED:
            ways[f"cells of {value:g} as missing"] = np.where(stands, np.nan, X)
    if there.all():
        filled = _find_filled(X)
        if filled.any():
            ways["the commonest value of a column as missing"] = np.where(filled, np.nan, X)
    for name, changed in ways.items():
        found = some.X.copy()
        found[:, at] = changed
        yield name, replace(some, X=found)


def _change_units(some: Records) -> Iterator[tuple[str, Records]]:
    """The table with one measurement in another unit."""
    at = [j for j, column in enumerate(some.columns) if column.kind == "numeric"]
    for j in at[:MAX_MEASURED]:
        name = some.columns[j].name
        x = some.X[:, j].astype(np.float64)
        units = {f"{name!r} multiplied by {one:g}": x * one for one in FACTORS}
        units |= {f"{name!r} divided by {one:g}": x / one for one in FACTORS}
        units |= {f"{name!r} in Celsius": (x - 32) / 1.8, f"{name!r} in Fahrenheit": x * 1.8 + 32}
        for what, changed in units.items():
            found = some.X.copy()
            found[:, j] = changed
            yield what, replace(some, X=found)


def _find_filled(X: np.ndarray) -> np.ndarray:
    """Cells that hold a value so much commoner than its neighbours that missing ones were likely
    filled in with it."""
    found = np.zeros(X.shape, dtype=bool)
    for j, x in enumerate(X.T):
        values, counts = np.unique(x, return_counts=True)
        top = int(counts.argmax())
        if len(values) > 20 and counts[top] >= max(LEAST_FILLED * len(x), 5 * np.median(counts)):
            found[:, j] = x == values[top]
    return found


def _free_numbers(model: Any, some: Records) -> Any:
    """The model, handed numbers as floats whatever type they had: other readings have fractions."""
    reads = getattr(model, "reads", None)
    if not isinstance(reads, Frame):
        return model
    numbers = {column.name for column in some.columns if not column.levels}
    model = copy.copy(model)
    kinds = {
        name: kind
        for name, kind in reads.kinds.items()
        if name not in numbers or kind in ("category", "encoded")
    }
    array = "float64" if reads.array and len(numbers) == len(some.columns) else reads.array
    object.__setattr__(model, "reads", replace(reads, kinds=kinds, array=array))
    return model


def _is_laid_out(model: Any) -> bool:
    return any(isinstance(getattr(model, name, None), Layout) for name in ("layout", "reads"))


def _name_inputs(model: Model, some: Records) -> list[str]:
    """The inputs that may stand in another order: of a matrix all, of a frame none with texts."""
    if _is_laid_out(model):
        return [some.columns[place.column].name for place in find_layout(model).places]
    if any(column.levels for column in some.columns):
        return []
    return [column.name for column in some.columns]


def _try_order(model: Model, some: Records, order: Sequence[int]) -> Judged | None:
    if not _is_laid_out(model):
        return _try(model, replace(some, X=np.ascontiguousarray(some.X[:, list(order)])))
    places = find_layout(model).places
    return _try(model, some, Layout(tuple(places[j] for j in order)))


def _other_orders(names: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    """The inputs in other orders: by name, reversed, and each two exchanged."""
    places = list(range(len(names)))
    if len(places) < 2:
        return
    by_name = sorted(places, key=lambda j: (names[j], j))
    yield "its columns in alphabetical order", by_name
    yield "its columns in reverse order", places[::-1]
    yield "its last column first", [*places[-1:], *places[:-1]]
    yield "its first column last", [*places[1:], *places[:1]]
    pairs = list(combinations(places, 2))
    if len(pairs) > MAX_EXCHANGES:
        chosen = np.random.default_rng(0).choice(len(pairs), MAX_EXCHANGES, replace=False)
        pairs = [pairs[i] for i in chosen]
    for i, j in pairs:
        changed = list(places)
        changed[i], changed[j] = places[j], places[i]
        yield f"its columns {names[i]!r} and {names[j]!r} exchanged", changed


def _shuffle(names: Sequence[str], seed: int) -> list[int]:
    found: list[int] = np.random.default_rng(seed).permutation(len(names)).tolist()
    return found


__all__ = ["Judged", "ask_by", "find_layout", "judge_reading", "refuse_other_reading"]
