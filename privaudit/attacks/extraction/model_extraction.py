"""Model extraction: a copy of the released model, made of its answers alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._options import check, check_whole
from privaudit.attacks._pools import draw
from privaudit.attacks.extraction._copies import (
    Encoding,
    Score,
    learn_classes,
    learn_scores,
    log_odds,
    mix_records,
    probe_columns,
    solve_additive,
)
from privaudit.contracts import Access, Attack, Fitted, Model, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import OutcomeKind, Records
from privaudit.signals import TINY, ask

CONTROL = "one's own model of recorded outcomes, or one answer for all, where no model is asked"
VALIDATION = 0.2
"""Share of the questions that copies are chosen on."""
NEAR = 0.1
"""Standard deviations of the model's answers by which a number may miss."""
EXACT = 1e-3
"""Probability, or standard deviations of a number, by which a solved answer may miss."""
LEAST = 20
"""Questions below which no copy is trained."""

RISK = "above the median risk or below"
SOLVED = "equations, answers to three decimals"


@dataclass(frozen=True)
class ModelExtraction(Attack):
    """Asks the model about records of the attacker's own and trains a copy on the answers.

    The questions are the attacker's records, and where the budget is larger, records mixed of them
    column by column. A ridge regression, boosted trees and a network learn the answers' log odds
    (the classes, where the model answers with nothing else); the one that agrees most with the
    model on the fifth of the questions that was kept back is the copy. Success: the copy names the
    class that the model names of a patient whom neither was trained on (fidelity, Jagielski et al.
    2020, arXiv 1909.01838, abstract and introduction), or for a number comes within a tenth of the
    standard deviation of the model's answers. Control: what is had without the answers, a model
    trained the same way on the recorded outcomes of the same records, or one answer for all,
    whichever agrees more on the questions kept back; guess: the answer most often given. So of a
    model whose answer never changes there is nothing to extract.

    Where one class is rare, nearly all patients are of the other: a second series asks whether
    copy and model agree on who is above the median risk. "equations": one question for each column,
    level and gap determines a model that is additive in them, as a logistic or linear regression is
    (Tramèr et al. 2016, arXiv 1609.02943, abstract and introduction; the scheme of questions here
    is our own); success is an answer equal to three decimals. budgets: numbers of questions. Tried
    on up to `patients` non-members. Series are not read.
    """

    budgets: tuple[int, ...] = (100, 400, 1600)
    patients: int = 2_000

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["extraction"]] = "extraction"
    outcomes: ClassVar[frozenset[OutcomeKind]] = frozenset({"class", "number"})

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        self._check()
        model, own = target.release.model, target.split.reference
        if model is None:
            raise ValueError("this release has no model to ask")
        tried = draw(target.split.nonmembers, self.patients, rng)
        game = Game(own, tried, Encoding.fit(own), ask(model, tried))
        questions = mix_records(own, max(self.budgets), rng)
        answers = ask(model, questions)
        state = int(rng.integers(2**31 - 1))
        found: dict[Setting, Trials] = {}
        for budget in sorted(set(self.budgets)):
            part = slice(0, budget)
            known = min(budget, len(own))
            for details, trials in game.steal(questions.take(part), answers[part], known, state):
                found[Setting("budget", float(budget), "queries", details)] = trials
        solved = game.solve(model, state)
        if solved is not None:
            found[Setting("variant", SOLVED)] = solved
        return found

    def _check(self) -> None:
        check_whole(self, patients=1)
        allowed = bool(self.budgets) and all(
            type(one) is int and one >= LEAST for one in self.budgets
        )
        check(self, "budgets", allowed, f"they are whole numbers of at least {LEAST} questions")


@dataclass(frozen=True, eq=False)
class Game:
    """What the attacker holds (own), and the records (tried) on which copies are held against the
    model's answers (truth), which the attacker has not asked for. without: what was trained on
    recorded outcomes, by how many of the questions have one."""

    own: Records
    tried: Records
    encode: Encoding
    truth: np.ndarray
    without: dict[int, dict[str, Score]] = field(default_factory=dict)

    @property
    def is_number(self) -> bool:
        return self.truth.ndim == 1

    def steal(
        self, questions: Records, answers: np.ndarray, known: int, state: int
    ) -> Iterator[tuple[tuple[str, ...], Trials]]:
        """Trials of the copy trained on these answers, by series; the first `known` questions are
        records with a recorded outcome."""
        if not np.isfinite(answers).all() or not np.isfinite(self.truth).all():
            raise PrivauditError(
                "a model that answers some questions with no number",
                "a copy cannot be held against such an answer",
                "check the model for overflow, or for missing values that it cannot read",
            )
        x = self.encode(questions)
        kept_back = np.zeros(len(x), dtype=bool)
        kept_back[:: round(1 / VALIDATION)] = True
        own = ~kept_back & (np.arange(len(x)) < known)
        tried = self.encode(self.tried)
        if self.is_number:
            copies = learn_scores(x[~kept_back], answers[~kept_back], state)
            rivals = self._without(
                known, lambda: learn_scores(x[own], questions.y[own].astype(float), state)
            )
            near = NEAR * float(answers.std())
            constant = float(np.median(answers))
            judged = Numbers(answers[kept_back], self.truth, constant, near)
            yield (), judged.trials(copies, rivals, x[kept_back], tried, self.tried.patient)
            return
        hard = bool((answers.max(axis=1) >= 1.0).all())
        named, k = answers.argmax(axis=1), answers.shape[1]
        if hard:
            copies = learn_classes(x[~kept_back], named[~kept_back], k, state)
        else:
            copies = learn_scores(x[~kept_back], log_odds(answers[~kept_back]), state)
        rivals = self._without(known, lambda: learn_classes(x[own], questions.y[own], k, state))
        constant = int(np.bincount(named, minlength=k).argmax())
        classes = Classes(named[kept_back], self.truth.argmax(axis=1), constant)
        yield (), classes.trials(copies, rivals, x[kept_back], tried, self.tried.patient)
        risk = answers[:, 1] if k == 2 else None
        if risk is None or hard:
            return
        middle = float(np.median(risk))
        if min((risk > middle).mean(), (risk < middle).mean()) < 0.25:
            return
        sides = Sides(risk[kept_back] > middle, self.truth[:, 1] > middle, middle)
        moved = {name: _move_median(one, x, middle) for name, one in rivals.items()}
        yield (RISK,), sides.trials(copies, moved, x[kept_back], tried, self.tried.patient)

    def _without(self, known: int, learn: Callable[[], dict[str, Score]]) -> dict[str, Score]:
        if known not in self.without:
            self.without[known] = learn()
        return self.without[known]

    def solve(self, model: Model, state: int) -> Trials | None:
        """Trials of an additive model solved from one question a column; None where the answers
        are classes alone."""
        asked, changed = probe_columns(self.own)
        answers = ask(model, asked)
        if self.is_number:
            said = solve_additive(asked, changed, answers)(self.tried)
            near = EXACT * float(ask(model, self.own).std())
            right = np.abs(said - self.truth) <= near
            constant = np.full(len(said), float(answers[0]))
            control = np.abs(constant - self.truth) <= near
        else:
            if (answers.max(axis=1) >= 1.0).all():
                return None
            logs = np.log(np.clip(answers, TINY, 1.0))
            solved = solve_additive(asked, changed, logs)(self.tried)
            solved = np.exp(solved - solved.max(axis=1, keepdims=True))
            solved /= solved.sum(axis=1, keepdims=True)
            right = np.abs(solved - self.truth).max(axis=1) <= EXACT
            control = np.abs(answers[0] - self.truth).max(axis=1) <= EXACT
        return Trials(
            right.astype(float),
            control.astype(float),
            control.astype(float),
            "one answer for all {people}",
            self.tried.patient,
        )


def _move_median(score: Score, x: np.ndarray, risk: float) -> Score:
    """Scores of two classes whose median risk of the records x is this one: a rival knows who is
    above its own median, whatever the model's is."""
    own = score(x)
    risk = min(max(risk, TINY), 1 - 1e-12)
    by = float(np.log(risk / (1 - risk)) - np.median(own[:, 1] - own[:, 0]))
    return lambda asked: np.asarray(score(asked) + np.array([0.0, by]))


@dataclass(frozen=True, eq=False)
class Classes:
    """Whether scores name the class that the model names.

    kept: (v,) what the model said of the questions kept back; truth: (n,) of the patients tried;
    constant: what it said most often.
    """

    kept: np.ndarray
    truth: np.ndarray
    constant: float

    def agrees(self, scores: np.ndarray, said: np.ndarray) -> np.ndarray:
        """(n,) bool, of scores of the records that the model said `said` of."""
        return np.asarray(scores.argmax(axis=1) == said)

    def agrees_always(self, said: np.ndarray) -> np.ndarray:
        """(n,) bool: the same of one answer for all."""
        return np.asarray(said == self.constant)

    def trials(
        self,
        copies: dict[str, Score],
        rivals: dict[str, Score],
        kept: np.ndarray,
        tried: np.ndarray,
        patients: np.ndarray,
    ) -> Trials:
        """Of the copy, and of the rival without answers, that agree most on the questions kept
        back."""

        def pick(scores: dict[str, Score]) -> tuple[float, Score | None]:
            rated = [
                (float(self.agrees(one(kept), self.kept).mean()), one) for one in scores.values()
            ]
            return max(rated, key=lambda pair: pair[0], default=(-1.0, None))

        guess = self.agrees_always(self.truth)
        always = float(self.agrees_always(self.kept).mean())
        _, copy = pick(copies)
        rate, rival = pick(rivals)
        success = guess if copy is None else self.agrees(copy(tried), self.truth)
        control = guess
        if rival is not None and rate > always:
            control = self.agrees(rival(tried), self.truth)
        return Trials(
            success.astype(float),
            control.astype(float),
            guess.astype(float),
            CONTROL,
            patients,
        )


@dataclass(frozen=True, eq=False)
class Sides(Classes):
    """Whether scores of two classes lie on the model's side of its median risk, `constant`."""

    def agrees(self, scores: np.ndarray, said: np.ndarray) -> np.ndarray:
        from scipy.special import expit

        risk = expit(scores[:, 1] - scores[:, 0])
        return np.asarray((risk > self.constant) == said)

    def agrees_always(self, said: np.ndarray) -> np.ndarray:
        return np.asarray(said == (self.kept.mean() > 0.5))


@dataclass(frozen=True, eq=False)
class Numbers(Classes):
    """Whether numbers come within `near` of the model's."""

    near: float = 0.0

    def agrees(self, scores: np.ndarray, said: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(scores - said) <= self.near)

    def agrees_always(self, said: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(self.constant - said) <= self.near)


__all__ = ["ModelExtraction"]
