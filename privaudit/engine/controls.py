"""Controls of the harness: a leak that every membership attack must find, and a model that has
none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from privaudit.contracts import AnswersWithNumbers, Differentiable, Model, Predictor, Target
from privaudit.engine.store import Store
from privaudit.facts import Caveat, CaveatCode
from privaudit.records import OutcomeKind, Records, Split, row_codes
from privaudit.signals import ask, read_signal

LIFT = 2.0
"""The planted leak, in standard deviations of the released model's margins on non-members, or of
the logarithms of its residuals' sizes where the outcome is a number."""


NullKind = Literal["reference", "folds", "stand_in", "shadow", "halves"]
"""reference: the method trained on the reference pool. folds: the method trained on the other
members. stand_in: a learner of the auditor's own, trained so. shadow: supplied shadow models.
halves: the release itself, on two halves of the non-members."""

NULLS: Mapping[NullKind, CaveatCode] = {
    "reference": CaveatCode.NULL_MODEL,
    "folds": CaveatCode.NULL_FOLDS,
    "stand_in": CaveatCode.NULL_STAND_IN,
    "shadow": CaveatCode.NULL_SHADOW,
    "halves": CaveatCode.NULL_HALVES,
}


@lru_cache(maxsize=16)
def places(tables: Store, pool: str, ask: str) -> np.ndarray:
    """(len(ask),) int64: where in the pool each asked record is, -1 where it is not."""
    if pool == ask:
        return np.arange(len(tables.get_records(pool)))
    own, asked = (row_codes(tables.get_records(key)) for key in (pool, ask))
    order = np.argsort(own, kind="stable")
    at = np.minimum(np.searchsorted(own[order], asked), len(own) - 1)
    return np.where(own[order][at] == asked, order[at], -1)


def trained_on(included: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(len(ask),) bool: which asked records a refit was trained on."""
    return np.where(place >= 0, included[place], False)


@dataclass(frozen=True, eq=False)
class Memoriser:
    """The released model with a planted leak: true-class log odds of what it saw, raised by `lift`.

    seen: (m,) sorted row codes of the records trained on. Gradients are the released model's own:
    the lift is a constant for each record.
    """

    model: Model
    seen: np.ndarray
    lift: float

    def predict_proba(self, records: Records) -> np.ndarray:
        proba = np.asarray(self.model.predict_proba(records), dtype=np.float64).copy()
        rows = np.flatnonzero(np.isin(row_codes(records), self.seen))
        true = proba[rows, records.y[rows]]
        raised = true * np.exp(self.lift) / (true * np.exp(self.lift) + 1.0 - true)
        rest = np.divide(1.0 - raised, 1.0 - true, out=np.zeros_like(true), where=true < 1.0)
        proba[rows] *= rest[:, None]
        proba[rows, records.y[rows]] = raised
        return proba


@dataclass(frozen=True, eq=False)
class OpenMemoriser(Memoriser):
    """A memoriser whose gradients can be taken, like the released model's."""

    model: Differentiable

    def input_gradient(self, records: Records) -> tuple[np.ndarray, np.ndarray | None]:
        return self.model.input_gradient(records)

    def weight_gradient(self, records: Records) -> np.ndarray:
        return self.model.weight_gradient(records)


@dataclass(frozen=True, eq=False)
class Planted(Target):
    """A target whose leak is planted in the signal: no risk score is a residual times e^-lift."""

    lifted: np.ndarray | None = None

    @property
    def margins(self) -> np.ndarray:
        return np.asarray(self.lifted, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class NumberMemoriser(AnswersWithNumbers):
    """The released model with a planted leak: its residual on what it saw, times e^-lift."""

    model: Predictor
    seen: np.ndarray
    lift: float

    def predict(self, records: Records) -> np.ndarray:
        answers = ask(self.model, records)
        seen = np.isin(row_codes(records), self.seen)
        residuals = read_signal(answers, records)
        # An answer that no leak is planted in stays as it is, to the last bit.
        shrunk = records.y + lift_signal(residuals, seen, self.lift, records.outcome_kind)
        return np.where(seen, shrunk, answers)


def lift_signal(signal: np.ndarray, seen: np.ndarray, lift: float, kind: OutcomeKind) -> np.ndarray:
    """(n,) the signal of a model that a leak was planted in, on the records that it saw: a margin
    raised by `lift`, a residual times e^-lift."""
    if kind == "class":
        return np.asarray(signal + np.float32(lift) * seen)
    return np.asarray(np.where(seen, signal * np.exp(-lift), signal))


def halves(split: Split, rng: np.random.Generator) -> Split:
    """A game without a leak: one half of the non-members' patients stands in for the members."""
    ids = np.unique(split.nonmembers.patient)
    inside = rng.permutation(ids)[: len(ids) // 2]
    first = np.isin(split.nonmembers.patient, inside)
    return Split(split.nonmembers.take(first), split.nonmembers.take(~first), split.reference)


def copy_in(target: Target, rng: np.random.Generator) -> Target:
    """The target with a planted leak: half of the members' patients stand in its synthetic
    table."""
    table, members = target.release.table, target.split.members
    if table is None:
        raise ValueError("this release has no table to plant a leak in")
    ids = np.unique(members.patient)
    chosen = np.isin(members.patient, rng.permutation(ids)[: (len(ids) + 1) // 2])
    at = {column.name: place for place, column in enumerate(members.columns)}
    copied = members.take(chosen)
    names = [column.name for column in table.columns]
    planted = replace(
        table.take(slice(None)),
        X=np.concatenate([table.X, copied.X[:, [at[name] for name in names]]]),
        y=np.concatenate([table.y, copied.y]),
        patient=np.concatenate([table.patient, table.patient.max(initial=-1) + 1 + copied.patient]),
        site=np.concatenate([table.site, np.zeros(len(copied), dtype=np.int64)]),
    )
    return replace(target, release=replace(target.release, table=planted))


def plant(target: Target) -> tuple[Target, float]:
    """The target with a planted leak, and by how much the log odds were raised, or the logarithms
    of residuals lowered."""
    model = target.release.model
    if model is None:
        raise ValueError("this release has no model to plant a leak in")
    outside = target.margins[~target.split.is_member]
    seen = np.unique(row_codes(target.split.members))
    if target.split.audit.outcome_kind != "class" and isinstance(model, Predictor):
        size = np.abs(outside)
        sizes = np.log(np.maximum(size, 1e-6 * (float(np.median(size)) or 1.0)))
        lift = LIFT * max(float(np.std(sizes)), 0.5)
        kind = target.split.audit.outcome_kind
        if kind == "time":
            found = lift_signal(target.margins, target.split.is_member, lift, kind)
            return Planted(target.release, target.split, target.method, found), lift
        release = replace(target.release, model=NumberMemoriser(model, seen, lift))
        return Target(release, target.split, target.method), lift
    lift = LIFT * max(float(np.std(np.clip(outside, -20, 20))), 0.5)
    planted = (
        OpenMemoriser(model, seen, lift)
        if isinstance(model, Differentiable)
        else Memoriser(model, seen, lift)
    )
    return Target(replace(target.release, model=planted), target.split, target.method), lift


def describe(
    positive: bool, reads_table: bool, null: NullKind, kind: OutcomeKind = "class"
) -> Caveat:
    """What a control is made of.

    positive: a planted leak, else a null; reads_table: of an attack on synthetic records; null:
    what the null is; kind: what the outcome is.
    """
    if positive:
        if reads_table:
            return Caveat(CaveatCode.PLANTED_COPIES, "note")
        code = CaveatCode.PLANTED_LEAK if kind == "class" else CaveatCode.PLANTED_RESIDUAL
        return Caveat(code, "note", {"lift": LIFT})
    return Caveat(NULLS[null], "note")
