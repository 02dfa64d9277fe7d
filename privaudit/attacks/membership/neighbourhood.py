"""Membership without shadow models: is the model surer of the record than of records beside it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._membership import ANY_OUTCOME, cut, finite, resolution, spread
from privaudit.attacks._options import check, check_whole
from privaudit.contracts import Access, Attack, Fitted, Parted, Scores, Target
from privaudit.facts import Attacker
from privaudit.records import OutcomeKind, Records
from privaudit.signals import ask, read_signal

STRIDES = (0.5, 1.0, 1.5)
"""Steps of one record after another, in units of `step`: models differ in how near they fit."""


@dataclass(frozen=True)
class Neighbourhood(Attack):
    """Asks the model about records beside the patient's, with the patient's outcome.

    A record that was not trained on lies in the tail of high losses as often as those around it;
    one that was fitted closely has left the tail alone. So the score is by how much the signal
    exceeds its mean over probes: the record with noise on its numbers and some of its levels
    exchanged. What tells membership is what is peculiar to the record: how hard such records are
    cancels. Nothing is fitted, and of other patients only the spread of each column is used.

    probes: how many records beside it are asked about. step: the noise, in standard deviations of
    each number; also the share of levels that are exchanged for another patient's.
    Jayaraman et al. 2021 (arXiv 2005.10881), Merlin, with the mean in place of a count; Mattern et
    al. 2023 (arXiv 2305.18462); that those at risk leave the tail of high losses: Dodd et al. 2025
    (arXiv 2510.19773), read in part.
    """

    probes: int = 18
    step: float = 0.2

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["membership"]] = "membership"
    outcomes: ClassVar[frozenset[OutcomeKind]] = ANY_OUTCOME
    attacker: ClassVar[Attacker | None] = Attacker.RELEASE_ALONE

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        check_whole(self, probes=1)
        check(self, "step", 0.0 < self.step <= 1.0, "it is above 0 and at most 1")
        model = target.release.model
        if model is None:
            raise ValueError("this release has no model to ask")
        audit = target.split.audit
        beside = model.beside(audit) if isinstance(model, Parted) else model
        probes = np.empty((self.probes, len(audit)))
        for place in range(self.probes):
            step = min(1.0, self.step * STRIDES[place % len(STRIDES)])
            moved = move(audit, target.split.reference, step, rng)
            probes[place] = read_signal(ask(beside, moved), moved)
        asked = finite(np.asarray(target.margins, dtype=np.float64), "the released model")
        finite(probes, "the released model")
        if audit.outcome_kind == "class":
            edge = resolution(asked, probes)
            asked, probes = np.clip(asked, -edge, edge), np.clip(probes, -edge, edge)
        else:
            unit = spread(probes)
            asked, probes = (-np.log(np.abs(one) / unit + 0.01) for one in (asked, probes))
        return cut(asked - probes.mean(axis=0), target)


def move(records: Records, own: Records, step: float, rng: np.random.Generator) -> Records:
    """The records with noise of `step` standard deviations on each number, and that share of
    levels exchanged for another patient's. own: records that spread and levels are taken from.

    Values stay within a column's stated bounds, whole where it holds whole numbers, and missing
    where they are.
    """
    X = records.X.astype(np.float64)
    noise = step * _deviation(own.X.astype(np.float64)) * rng.standard_normal(X.shape)
    for place, column in enumerate(records.columns):
        there = own.X[:, place]
        there = there[np.isfinite(there)]
        if column.kind != "numeric" or _has_two_values(there):
            X[:, place] = _exchange(X[:, place], there, step, rng)
            continue
        X[:, place] += noise[:, place]
        if column.integer:
            X[:, place] = np.round(X[:, place])
        if column.bounds is not None:
            X[:, place] = np.clip(X[:, place], *column.bounds)
    series = records.series
    if series is not None and own.series is not None:
        # One shift for all hours: noise of each hour alone would average out.
        flat = own.series.reshape(-1, own.series.shape[-1]).astype(np.float64)
        shift = step * _deviation(flat) * rng.standard_normal((len(series), 1, series.shape[-1]))
        series = series + shift.astype(np.float32)
    return replace(records, X=X.astype(np.float32), series=series)


def _exchange(
    values: np.ndarray, there: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """That share of the values exchanged for some of those that occur, missing ones left."""
    if not len(there):
        return values
    drawn = (rng.random(len(values)) < share) & np.isfinite(values)
    return np.where(drawn, there[rng.integers(len(there), size=len(values))], values)


def _has_two_values(values: np.ndarray) -> bool:
    """Whether a number takes two values at most, so that one between them is none."""
    return bool(len(values)) and bool(np.isin(values, (values.min(), values.max())).all())


def _deviation(values: np.ndarray) -> np.ndarray:
    """Standard deviation of each column of (n, d) over what was measured, 0 where nothing was."""
    there = np.isfinite(values)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, values, 0.0).sum(axis=0) / count
    away = np.where(there, values - mean, 0.0)
    return np.asarray(np.sqrt((away**2).sum(axis=0) / count))


__all__ = ["Neighbourhood"]
