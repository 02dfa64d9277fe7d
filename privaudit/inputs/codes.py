"""Texts that were numbers in training: whether coding them in sorted order is what was done."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np

from privaudit.contracts import Model
from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode, Param
from privaudit.inputs.models.layout import Layout, Place, TextsAsNumbers
from privaudit.inputs.models.levels import sort_levels
from privaudit.inputs.models.open_model import bind
from privaudit.inputs.models.opened_model import Opened
from privaudit.inputs.other_readings import MAX_ROWS, find_layout, judge_reading
from privaudit.inputs.schema import TableSchema
from privaudit.records import Records, Split

SHUFFLES = 20
MAX_WAYS = 200
IRRELEVANT = 0.002
"""Answers that move less than this when codes are shuffled do not depend on them."""

BETTER = 3.0
"""Standard errors by which another way has a lower loss than the stated one, which then is
wrong."""

WORSE = 2.0
"""Standard errors by which half of the shuffled codes have to have a higher loss."""


@dataclass(frozen=True)
class Compared:
    """How a way of coding does beside others, on the members.

    fits: it reproduces the model's answers as well as any other way and better than shuffled codes;
    auroc: on the members; best: the way that does surely better, "" for none; best_auroc: its.
    """

    fits: bool
    auroc: float
    best: str = ""
    best_auroc: float = 0.5


def advise_codes(
    error: TextsAsNumbers,
    opened: Opened,
    schema: TableSchema,
    members: Records,
    *,
    answers: str,
    in_order: bool,
) -> PrivauditError:
    """The refusal of texts where numbers are read, with sorted codes as a remedy only where they
    reproduce the model's answers on the members.

    Args:
        error: The refusal without that remedy.
        opened: The model's file.
        schema: The schema, its classes in the order of the outputs.
        members: The training records.
        answers: As of `bind`.
        in_order: As of `bind`.
    """
    try:
        model = bind(opened, schema, encode="codes", answers=answers, in_order=in_order)
        found = compare_codes(model, members)
    except PrivauditError:
        return error
    if not found.fits:
        return error
    return PrivauditError(
        error.what,
        f"{error.because}; codes in sorted order fit it (AUROC on the members "
        f"{found.auroc:.3f}, no other order does better)",
        "say --encode codes if the texts were coded in sorted order, or give the table with the "
        "numbers of training",
    )


def refuse_other_codes(model: Model, members: Records) -> None:
    """Refuse a stated way of coding that another beats, or that does no better than shuffled codes.

    Raises:
        PrivauditError: The texts were not turned into these numbers.
    """
    found = compare_codes(model, members)
    if found.fits:
        return
    because = (
        f"with {found.best} the AUROC on the members is {found.best_auroc:.3f}, with the stated "
        f"way {found.auroc:.3f}"
        if found.best
        else f"the model's loss on its own members is no lower than with shuffled codes (AUROC "
        f"{found.auroc:.3f})"
    )
    raise PrivauditError(
        "texts that were not turned into numbers in the stated way",
        because,
        "give the table with the numbers that the model was trained on, or a pipeline that turns "
        "texts into numbers itself; if the way is right, show it with the owner's own "
        "probabilities (--expect)",
    )


def compare_codes(model: Model, members: Records) -> Compared:
    """Compare the codes that a model is handed with other ways of coding.

    Each way is judged by the model's log loss on its own members, by patient: training brought it
    down with the right codes and with no others.
    """
    some = members.take(slice(0, MAX_ROWS))
    layout = find_layout(model)
    own = judge_reading(model, some)
    worse, moved = [], []
    for k in range(SHUFFLES):
        other = judge_reading(model, some, _shuffle(layout, np.random.default_rng(k)))
        moved.append(float(np.abs(other.p - own.p).mean()))
        worse.append(own.beats(other))
    best, best_area = "", own.auroc
    for name, way in _other_ways(layout, some).items():
        other = judge_reading(model, some, way)
        if other.beats(own) > BETTER and other.auroc > best_area:
            best, best_area = name, other.auroc
    alone = [own.beats(judge_reading(model, some, way)) for way in _one_by_one(layout)]
    right = min(worse + alone) > -BETTER and float(np.median(worse)) > WORSE
    fits = not best and (max(moved) < IRRELEVANT or right)
    return Compared(fits, own.auroc, best, best_area)


def list_codes(layout: Layout, split: Split) -> list[Caveat]:
    """Which level was handed over as which code; no level of fewer than 10 patients is named."""
    pools = Records.concatenate([split.members, split.nonmembers, split.reference])
    found = []
    for place in layout.places:
        column = pools.columns[place.column]
        if not place.stated or not place.codes or not column.levels:
            continue
        x = pools.X[:, place.column]
        shown = [
            (code, level)
            for i, (level, code) in enumerate(zip(column.levels, place.codes, strict=True))
            if len(np.unique(pools.patient[x == i])) >= MIN_CELL
        ]
        params: dict[str, Param] = {
            "column": column.name,
            "levels": tuple(level for _, level in sorted(shown)),
            "codes": tuple(f"{code:g}" for code, _ in sorted(shown)),
            "hidden": len(column.levels) - len(shown),
            "least": MIN_CELL,
        }
        found.append(Caveat(CaveatCode.CODED_LEVELS, "note", params))
    return found


def _other_ways(layout: Layout, some: Records) -> dict[str, Layout]:
    """What else encoders do, each under the name that a message gives it."""
    if any(place.stated and place.level is not None for place in layout.places):
        dummies = [place for place in layout.places if place.level is not None]
        numbers = [place for place in layout.places if place.level is None]
        ways = {
            "the columns of levels after all others": Layout((*numbers, *dummies)),
            "the columns of levels before all others": Layout((*dummies, *numbers)),
        }
    else:
        ways = {
            "the levels in the schema's order": _recode(layout, some, _as_listed),
            "the levels in the order of their first appearance": _recode(layout, some, _by_rows),
            "the levels of the members alone in sorted order": _recode(layout, some, _of_members),
            "the levels by how often they occur": _recode(layout, some, _by_count),
            "missing values as a level of their own": _recode(layout, some, _with_missing),
            "missing values as -1": _map(layout, lambda place: replace(place, missing=-1.0)),
            "missing values as the first code, the others from 1": _map(
                layout, lambda p: replace(p, missing=0.0, codes=tuple(c + 1 for c in p.codes))
            ),
            "codes from 1": _map(layout, lambda p: replace(p, codes=tuple(c + 1 for c in p.codes))),
            "the numbers that the texts spell": _recode(layout, some, _as_spelled),
        }
    return {name: way for name, way in ways.items() if way != layout}


def _map(layout: Layout, change: Any) -> Layout:
    return Layout(tuple(change(place) if place.stated else place for place in layout.places))


def _recode(layout: Layout, some: Records, change: Any) -> Layout:
    def one(place: Place) -> Place:
        levels = some.columns[place.column].levels
        found = change(levels, some.X[:, place.column])
        return place if found is None else replace(place, codes=found[0], missing=found[1])

    return _map(layout, one)


_Codes = tuple[tuple[float, ...], float] | None


def _as_listed(levels: tuple[str, ...], x: np.ndarray) -> _Codes:
    return tuple(map(float, range(len(levels)))), np.nan


def _by_rows(levels: tuple[str, ...], x: np.ndarray) -> _Codes:
    seen = list(dict.fromkeys(x[~np.isnan(x)].astype(int).tolist()))
    order = [*seen, *(i for i in range(len(levels)) if i not in seen)]
    return tuple(float(order.index(i)) for i in range(len(levels))), np.nan


def _of_members(levels: tuple[str, ...], x: np.ndarray) -> _Codes:
    seen = set(x[~np.isnan(x)].astype(int).tolist())
    first = sort_levels([levels[i] for i in seen])
    rest = sort_levels([level for i, level in enumerate(levels) if i not in seen])
    at = {level: float(i) for i, level in enumerate((*first, *rest))}
    return tuple(at[level] for level in levels), np.nan


def _by_count(levels: tuple[str, ...], x: np.ndarray) -> _Codes:
    counts = np.bincount(x[~np.isnan(x)].astype(int), minlength=len(levels))
    order = list(np.argsort(-counts, kind="stable"))
    return tuple(float(order.index(i)) for i in range(len(levels))), np.nan


def _with_missing(levels: tuple[str, ...], x: np.ndarray) -> _Codes:
    if not np.isnan(x).any() or "nan" in levels:
        return None
    at = {level: float(i) for i, level in enumerate(sorted((*levels, "nan")))}
    return tuple(at[level] for level in levels), at["nan"]


def _as_spelled(levels: tuple[str, ...], x: np.ndarray) -> _Codes:
    found = []
    for level in levels:
        try:
            found.append(float(level.replace(",", ".").lstrip("<>≤≥~ ").rstrip("% ")))
        except ValueError:
            found.append(np.nan)
    return (tuple(found), np.nan) if np.isnan(found).mean() < 0.5 else None


def _shuffle(layout: Layout, rng: np.random.Generator) -> Layout:
    """The same codes, given to other levels of each column."""
    places = list(layout.places)
    for j, place in enumerate(places):
        if place.stated and place.codes:
            order = _move_all(len(place.codes), rng)
            places[j] = replace(place, codes=tuple(place.codes[i] for i in order))
    for column in {place.column for place in places if place.stated and place.level is not None}:
        at = [j for j, place in enumerate(places) if place.column == column]
        for j, i in zip(at, _move_all(len(at), rng), strict=True):
            places[j] = layout.places[at[i]]
    return Layout(tuple(places))


def _one_by_one(layout: Layout) -> Iterator[Layout]:
    """The same codes, given to other levels of one column at a time."""
    rng = np.random.default_rng(0)
    coded = [j for j, place in enumerate(layout.places) if place.stated and place.codes]
    for j in coded[: MAX_WAYS // 2]:
        place = layout.places[j]
        most = min(math.factorial(min(len(place.codes), 9)) - 1, MAX_WAYS // len(coded))
        if len(place.codes) <= 4:
            orders = list(permutations(range(len(place.codes))))[1 : most + 1]
        else:
            orders = [tuple(_move_all(len(place.codes), rng).tolist()) for _ in range(most)]
        for order in orders:
            places = list(layout.places)
            places[j] = replace(place, codes=tuple(place.codes[i] for i in order))
            yield Layout(tuple(places))


def _move_all(count: int, rng: np.random.Generator) -> np.ndarray:
    """A permutation that leaves not everything where it is."""
    order = rng.permutation(count)
    return np.roll(order, 1) if count > 1 and (order == np.arange(count)).all() else order


__all__ = ["Compared", "advise_codes", "compare_codes", "list_codes", "refuse_other_codes"]
