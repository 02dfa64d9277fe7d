"""Attribute inference: learning a sensitive value with the model better than without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._membership import spread
from privaudit.attacks._options import check_choice, check_whole
from privaudit.attacks._pools import Tried, draw
from privaudit.attacks.disclosure._imputer import Imputer
from privaudit.contracts import Access, Attack, Fitted, Model, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import Column, OutcomeKind, Records
from privaudit.signals import ask as ask_model

CONTROL = "the same attack on patients outside the training data"
TINY = 1e-12
PATIENTS = 20_000
"""Patients of either pool that are tried at most: each costs as many answers as the column has
values, and so many are asked within minutes (docs/design/025-patients-of-tables.md)."""
ASKED = 50_000
"""Records that the model is asked about in one call, so that memory stays flat."""


@dataclass(frozen=True)
class Attribute(Attack):
    """Guesses a patient's sensitive value from the rest of the record, the outcome and the model.

    Every possible value is put into the record and the model asked each time; `posterior` names the
    value that makes the true outcome likeliest, weighed by how probable an imputer without the
    model finds it (Fredrikson et al. 2014, section 3.2; Jayaraman and Evans 2022, section 4, arXiv
    2209.01292); `confidence` asks only the model: a value with which it is right, the surest one,
    or the one with which it is least sure of being right in its wrong answer (CSMIA, Mehnaz et al.
    2022, section 4.2). One series a sensitive column. Success: share of members whose value is
    named; guess: the imputer alone on the same members; control: the same attack on non-members, so
    that what any model of this disease would teach is not taken for a leak of the training records.
    Of a patient with several records the attacker stands by the guess of the one on which the model
    says most beyond the imputer (`told`): one of many guesses is right by chance. All records of up
    to `patients` patients are asked about; those whose value is missing are left out. A numeric
    column is cut into `bins` of equal width between its public bounds; without bounds it is left
    out. Where the outcome is a number, it is the likelier the nearer the prediction is, under a
    Laplace law with the model's usual error on the attacker's own records, as Fredrikson et al. did
    for doses.
    """

    patients: int = PATIENTS
    rule: Literal["posterior", "confidence"] = "posterior"
    bins: int = 4

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["attribute"]] = "attribute"
    outcomes: ClassVar[frozenset[OutcomeKind]] = frozenset({"class", "number"})

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        check_whole(self, patients=1, bins=2)
        check_choice(self, "rule", "posterior", "confidence")
        model = target.release.model
        if model is None:
            raise ValueError("this release has no model to ask")
        split = target.split
        usual = 1.0
        if split.reference.outcome_kind != "class":
            usual = spread(ask_model(model, split.reference) - split.reference.y)
        found = {}
        for j, column in enumerate(split.members.columns):
            values = options(column, self.bins)
            if not column.sensitive or len(values) < 2:
                continue
            pools = (split.members, split.nonmembers)
            tried = Tried(*(_draw(pool, j, self.patients, rng) for pool in pools))
            if not len(tried.members) or not len(tried.others):
                continue
            truth = code(column, tried.records.X[:, j], self.bins)
            known = split.reference.take(np.isfinite(split.reference.X[:, j]))
            labels = code(column, known.X[:, j], self.bins)
            prior = Imputer.fit(known, labels, len(values), j, rng)(tried.records)
            named, sure = self._name(model, tried.records, j, values, prior, usual)
            found[Setting("column", column.name)] = tried.trials(
                named == truth, prior.argmax(axis=1) == truth, CONTROL, "surest", sure
            )
        if not found:
            raise PrivauditError(
                "no sensitive column to infer",
                "an attribute attack needs a column marked sensitive, of known levels or bounds, "
                "with values among members and non-members",
                "mark such columns with sensitive=True in the schema",
            )
        return found

    def _name(
        self,
        model: Model,
        records: Records,
        column: int,
        values: np.ndarray,
        prior: np.ndarray,
        usual: float,
    ) -> tuple[np.ndarray, np.ndarray]:
        """(n,) the value named, and (n,) how much the model says beyond the imputer."""
        named, sure = [], []
        step = max(1, ASKED // len(values))
        for start in range(0, len(records), step):
            part = slice(start, start + step)
            own, expected = records.take(part), prior[part]
            answers = ask(model, own, column, values)
            if answers.ndim == 2:
                named.append(decide_by_number(answers, own.y, expected, self.rule, usual))
                likely = -np.abs(answers - own.y[:, None]) / usual
            else:
                named.append(decide(answers, own.y, expected, self.rule))
                likely = np.log(np.maximum(answers[np.arange(len(own)), :, own.y], TINY))
            sure.append(told(likely, expected))
        return np.concatenate(named), np.concatenate(sure)


def told(likely: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """(n,) how far the values' probabilities are moved from an imputer's (n, k) by the model's log
    likelihoods of them (n, k): Kullback and Leibler's divergence."""
    moved = np.log(prior) + likely
    moved -= moved.max(axis=1, keepdims=True)
    moved -= np.log(np.exp(moved).sum(axis=1, keepdims=True))
    found: np.ndarray = (np.exp(moved) * (moved - np.log(prior))).sum(axis=1)
    return found


def options(column: Column, bins: int) -> np.ndarray:
    """(k,) values that may be put into the column: levels, or the middles of its bins."""
    if column.kind == "category":
        return np.arange(len(column.levels), dtype=np.float32)
    if column.kind == "binary":
        return np.array([0.0, 1.0], dtype=np.float32)
    if column.bounds is None or not column.bounds[1] > column.bounds[0]:
        return np.empty(0, dtype=np.float32)
    edges = np.linspace(*column.bounds, bins + 1)
    return ((edges[1:] + edges[:-1]) / 2).astype(np.float32)


def code(column: Column, values: np.ndarray, bins: int) -> np.ndarray:
    """(n,) which of `options` each value is, or lies nearest to."""
    choices = options(column, bins).astype(np.float64)
    result: np.ndarray = np.abs(values[:, None] - choices).argmin(axis=1)
    return result


def ask(model: Model, records: Records, column: int, values: np.ndarray) -> np.ndarray:
    """(n, k, classes): the answers with every value in turn, asked for in one call.

    (n, k) predictions where the outcome is a number.
    """
    n, k = len(records), len(values)
    many = records.take(np.repeat(np.arange(n), k))
    x = many.X.copy()
    x[:, column] = np.tile(values, n)
    answers = ask_model(model, replace(many, X=x))
    return answers.reshape(n, k) if answers.ndim == 1 else answers.reshape(n, k, -1)


def decide_by_number(
    predicted: np.ndarray,
    y: np.ndarray,
    prior: np.ndarray,
    rule: Literal["posterior", "confidence"],
    usual: float,
) -> np.ndarray:
    """(n,) the value named, from predictions (n, k), recorded numbers (n,), and the imputer's
    (n, k); usual: the model's usual error, in the outcome's unit."""
    likely = -np.abs(predicted - y[:, None]) / usual
    found: np.ndarray = (likely + (np.log(prior) if rule == "posterior" else 0.0)).argmax(axis=1)
    return found


def decide(
    answers: np.ndarray, y: np.ndarray, prior: np.ndarray, rule: Literal["posterior", "confidence"]
) -> np.ndarray:
    """(n,) the value named, from answers (n, k, classes), outcomes and the imputer's (n, k)."""
    n = len(y)
    likely = answers[np.arange(n), :, y]
    if rule == "posterior":
        result: np.ndarray = (np.log(np.maximum(likely, TINY)) + np.log(prior)).argmax(axis=1)
        return result
    top = answers.max(axis=2)
    right = answers.argmax(axis=2) == y[:, None]
    surest = np.where(right, top, -1.0).argmax(axis=1)
    guess: np.ndarray = np.where(right.any(axis=1), surest, top.argmin(axis=1))
    return guess


def _draw(pool: Records, column: int, most: int, rng: np.random.Generator) -> Records:
    return draw(pool.take(np.isfinite(pool.X[:, column])), most, rng)


__all__ = ["Attribute"]
