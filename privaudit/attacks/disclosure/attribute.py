"""Attribute inference: learning a sensitive value with the model better than without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

CONTROL = "the same attack on {people} outside the training data"
TINY = 1e-12
PATIENTS = 20_000
"""Patients of either pool that are tried at most: each costs as many answers as the column has
values, and so many are asked within minutes (docs/design/025-patients-of-tables.md)."""
ASKED = 50_000
"""Records that the model is asked about in one call, so that memory stays flat."""
OWN = 2_000
"""Own records at most on which an attacker looks how a model's answers differ between values."""
MOST_WEIGHT = 10.0
"""Most that a log likelihood is multiplied with: of a model that hardly reads the column, nearly
all of a difference is noise (docs/design/030-evasion-under-constraints.md)."""


@dataclass(frozen=True)
class Attribute(Attack):
    """Guesses a patient's sensitive value from the rest of the record, the outcome and the model.

    Every possible value is put into the record and the model asked each time; `posterior` names the
    value that makes the true outcome likeliest, weighed by how probable an imputer without the
    model finds it (Fredrikson et al. 2014, section 3.2; Jayaraman and Evans 2022, section 4, arXiv
    2209.01292), with the outcome counted once and answers weighed by what is usual for this model
    (see `Reader`); `confidence` asks only the model: a value with which it is right, the surest
    one, or the one with which it is least sure of being right in its wrong answer (CSMIA, Mehnaz et
    al. 2022, section 4.2). One series a sensitive column. Success: share of members whose value is
    named; guess: the imputer alone, which knows the outcome, on the same members; control: the same
    attack on non-members, so that what any model of this disease would teach is not taken for a
    leak of the training records. Of a patient with several records the attacker stands by the guess
    of the one on which the model says most beyond the imputer (`told`): one of many guesses is
    right by chance. All records of up to `patients` patients are asked about; those whose value is
    missing are left out. A numeric column is cut into `bins` of equal width between its public
    bounds; without bounds it is left
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
    pictures: ClassVar[bool] = False

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
            reader = Reader.fit(model, known, j, values, self.bins, usual, rng)
            named, sure, guessed = reader.name(tried.records, self.rule)
            found[Setting("column", column.name)] = tried.trials(
                named == truth, guessed == truth, CONTROL, "surest", sure
            )
        if not found:
            raise PrivauditError(
                "no sensitive column to infer",
                "an attribute attack needs a column marked sensitive, of known levels or bounds, "
                "with values among members and non-members",
                "mark such columns with sensitive=True in the schema",
            )
        return found


@dataclass(frozen=True, eq=False)
class Reader:
    """How an attacker reads a model's answers about one column.

    What is known without the model is an imputer's probability of each value v, with the outcome
    (`guess`) or without it (`prior`). The model's likelihood of the outcome is multiplied with the
    prior alone, else the outcome would count twice. Where the answers hold less of the outcome than
    the imputers do, down to a model that ignores the column, the rest is taken from the guess:
    log P(v) = (1 - held) log guess + held log prior + weight * log likelihood. held: the slope, in
    [0, 1], of the model's log likelihoods on those of the imputers, guess / prior. weight: an
    overfit model differs little between values, but surely in the right direction on the records
    that it was trained on; the usual difference on records that it never saw counts as one nat.
    Both are read off the attacker's own records, of which the model was trained on none.
    """

    model: Model
    column: int
    values: np.ndarray
    guess: Imputer
    prior: Imputer
    held: float
    weight: float
    usual: float

    @classmethod
    def fit(
        cls,
        model: Model,
        known: Records,
        column: int,
        values: np.ndarray,
        bins: int,
        usual: float,
        rng: np.random.Generator,
    ) -> Reader:
        """known: the attacker's own records, with a value in this column each."""
        labels = code(known.columns[column], known.X[:, column], bins)
        guess = Imputer.fit(known, labels, len(values), column, rng)
        prior = Imputer.fit(known, labels, len(values), column, rng, outcome=False)
        plain = cls(model, column, values, guess, prior, 0.0, 1.0, usual)
        own = known.take(slice(0, OWN))
        likely = _centred(np.concatenate([p.likely for p in plain.parts(own)]))
        implied = _centred(np.log(guess(own)) - np.log(prior(own)))
        size = float((implied**2).sum())
        held = float(np.clip((implied * likely).sum() / size, 0.0, 1.0)) if size > TINY else 0.0
        # Twice the mean deviation: the difference, where there are two values.
        usually = float(np.median(2 * np.abs(likely).mean(axis=1)))
        weight = float(np.clip(1 / max(usually, TINY), 1.0, MOST_WEIGHT))
        return replace(plain, held=held, weight=weight)

    def name(
        self, records: Records, rule: Literal["posterior", "confidence"]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(n,) the value named, (n,) how much the model says beyond the guess, (n,) the guess."""
        found = []
        for part in self.parts(records):
            guess = np.log(self.guess(part.records))
            prior = np.log(self.prior(part.records))
            base = (1 - self.held) * guess + self.held * prior
            moved = base + self.weight * part.likely
            named = (moved if rule == "posterior" else part.confidence).argmax(axis=1)
            found.append((named, told(moved - guess, np.exp(guess)), guess.argmax(axis=1)))
        named, sure, guessed = (np.concatenate(each) for each in zip(*found, strict=True))
        return named, sure, guessed

    def parts(self, records: Records) -> Iterator[Answers]:
        """The model's answers to so many records at a time that memory stays flat."""
        step = max(1, ASKED // len(self.values))
        for start in range(0, len(records), step):
            own = records.take(slice(start, start + step))
            yield Answers(own, ask(self.model, own, self.column, self.values), self.usual)


@dataclass(frozen=True, eq=False)
class Answers:
    """A model's answers about records with every value in turn: (n, k, classes), or (n, k)."""

    records: Records
    answers: np.ndarray
    usual: float

    @property
    def likely(self) -> np.ndarray:
        """(n, k) log likelihood of what was recorded, by value."""
        y = self.records.y
        if self.answers.ndim == 2:
            return np.asarray(-np.abs(self.answers - y[:, None]) / self.usual)
        logs: np.ndarray = np.log(np.maximum(self.answers[np.arange(len(y)), :, y], TINY))
        return logs

    @property
    def confidence(self) -> np.ndarray:
        """(n, k) whose largest is the value that the confidence alone names."""
        y = self.records.y
        if self.answers.ndim == 2:
            return self.likely
        top = self.answers.max(axis=2)
        right = self.answers.argmax(axis=2) == y[:, None]
        wrong = np.where(right.any(axis=1)[:, None], 0.0, -top)
        result: np.ndarray = np.where(right, 1 + top, wrong)
        return result


def _centred(likely: np.ndarray) -> np.ndarray:
    result: np.ndarray = likely - likely.mean(axis=1, keepdims=True)
    return result


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


def _draw(pool: Records, column: int, most: int, rng: np.random.Generator) -> Records:
    return draw(pool.take(np.isfinite(pool.X[:, column])), most, rng)


__all__ = ["Attribute"]
