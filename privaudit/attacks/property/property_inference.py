"""Property inference: what a model gives away of the make-up of its training set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._membership import finite, resolution, spread
from privaudit.attacks._options import check, check_whole
from privaudit.attacks._pools import draw_rows
from privaudit.attacks.property._share_tests import Answers, guess_labels
from privaudit.attacks.property._training_sets import Property, find_properties
from privaudit.contracts import Access, Attack, Fitted, Refit, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import OutcomeKind, Records
from privaudit.seeds import Seeds
from privaudit.signals import ask, read_signal

CONTROL = "the same attack between models trained with one share"
NAMINGS = 5
"""How often models of one share are given two names at random."""


@dataclass(frozen=True)
class PropertyInference(Attack):
    """Tells from a model's answers whether many or few of its training patients are of a group.

    Of each sensitive column one group is tried: patients with the value 1, with the level that is
    nearest to half of all, or in the upper half of the public bounds. The audit patients are dealt
    to `sets` training sets that share no patient; in one half of the sets the group has four times
    the share that it has in the other (20 % and 80 % of a group of one half). One model is trained
    on each, the same way as the released one, and asked about up to `asked` of the attacker's own
    records. Of each pair of models in turn the attacker says which share each had, by what the
    other models taught: which of these the answers diverge from less (Kullback and Leibler), a
    ridge classifier of the answers, or the mean loss, whichever tells the others apart best. So no
    patient, and no model, is on both sides of a trial. Success: the share is told right; guess: a
    coin; control: the same attack where models of one share are given two names at random.

    The sets are far smaller than the released model's own, and the larger a training set, the more
    its model tells of it: a high number is a leak, a low one is no evidence that there is none, and
    a policy never reads it so. sets: 8 or a multiple; columns: those to try in place of the
    sensitive ones; most: columns tried at most. The test of divergences after Suri and Evans 2022
    (arXiv 2109.06024; abstract and introduction) and their published code; the classifier of models
    after the idea of Ateniese et al. 2015 (arXiv 1306.4447) and Ganju et al. 2018 (abstracts), of
    answers in place of what a model is made of.
    """

    sets: int = 16
    asked: int = 400
    columns: tuple[str, ...] = ()
    most: int = 4

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS, Access.RERUN})
    family: ClassVar[Literal["property"]] = "property"
    outcomes: ClassVar[frozenset[OutcomeKind]] = frozenset({"class", "number"})

    def refits(self, target: Target, seeds: Seeds) -> Sequence[Refit]:
        method, audit = target.method, target.split.audit
        self._check(audit)
        if method is None or method.shadows:
            return ()
        questions = self._questions(target)
        found = []
        for one in self._properties(target):
            name = str(one.setting.value)
            masks = one.deal(audit, seeds.rng("training sets", name))
            found += [
                Refit(method, audit, mask, questions, f"property {name} {place}")
                for place, mask in enumerate(masks)
            ]
        return found

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        self._check(target.split.audit)
        if not refits:
            raise _refuse(target)
        model, questions = target.release.model, self._questions(target)
        if model is None:
            raise ValueError("this release has no model to ask")
        released = finite(read_signal(ask(model, questions), questions), "the released model")
        given = list(refits)
        found = {}
        for one in self._properties(target):
            own, given = given[: one.sets], given[one.sets :]
            signals = finite(np.array([fit.margins for fit in own], dtype=float), "a shadow model")
            answers = _read(signals, released, questions.outcome_kind)
            success = guess_labels(answers, np.arange(one.sets) % 2 == 1)
            control = _control(answers, rng)
            guess = np.full(one.sets, 0.5)
            found[one.setting] = Trials(success, control, guess, CONTROL)
        if given:
            raise ValueError(f"{len(given)} refits more than training sets")
        return found

    def _properties(self, target: Target) -> list[Property]:
        return list(find_properties(target.split.audit, self.columns, self.most, self.sets))

    def _questions(self, target: Target) -> Records:
        """The attacker's own records that every model is asked about."""
        own = target.split.reference
        seed = np.frombuffer(bytes.fromhex(own.fingerprint), dtype=np.uint32).tolist()
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        return own.take(draw_rows(own, self.asked, rng)[: self.asked])

    def _check(self, audit: Records) -> None:
        check_whole(self, sets=8, asked=1, most=1)
        check(self, "sets", self.sets % 8 == 0, "models are trained 8 at a time: 8, 16, 24, ...")
        unknown = set(self.columns) - {column.name for column in audit.columns}
        check(self, "columns", not unknown, "it names columns of the table")


def _read(signals: np.ndarray, released: np.ndarray, kind: OutcomeKind) -> Answers:
    """Answers that tests can compare, saturated ones at the edge of what the models resolve."""
    if kind != "class":
        return Answers(signals / spread(signals), False)
    from scipy.special import expit

    edge = resolution(signals, released)
    return Answers(expit(np.clip(signals, -edge, edge)), True)


def _control(answers: Answers, rng: np.random.Generator) -> np.ndarray:
    """(k,) how far names that were given at random, within one share, are told right, on average
    over several givings."""
    right = np.zeros(len(answers.values))
    for _ in range(NAMINGS):
        for share in (0, 1):
            own = rng.permutation(np.arange(share, len(right), 2))
            right[own] += guess_labels(answers.take(own), np.arange(len(own)) % 2 == 1)
    return right / NAMINGS


def _refuse(target: Target) -> PrivauditError:
    if target.method is not None and target.method.shadows:
        return PrivauditError(
            "supplied shadow models",
            "this attacker trains their own, on training sets of a chosen make-up",
            "state the unfitted estimator instead, or leave this attack out",
        )
    return PrivauditError(
        "no sensitive column whose share can be varied",
        "eight training sets are drawn from the audit patients, half with four times the share of "
        "the other half, each with patients of two outcomes",
        "mark a column sensitive in the schema, name one with property_inference.columns, or give "
        "more patients",
    )


__all__ = ["PropertyInference"]
