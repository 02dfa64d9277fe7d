"""Membership without shadow models: is the model surer of the record than such records warrant?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._known_outsiders import Known, screen, trees
from privaudit.attacks._membership import ANY_OUTCOME, cut, finite, resolution, spread
from privaudit.attacks._options import check_whole
from privaudit.contracts import Access, Attack, Fitted, Scores, Target
from privaudit.facts import Attacker
from privaudit.records import OutcomeKind
from privaudit.signals import confidence, margin

INNER = 2
"""Parts of what is learnt from: an answer expected of a record comes from the other part."""


@dataclass(frozen=True)
class Quantile(Attack):
    """Compares the answer with the answers expected of a model that was not trained on the record.

    On patients who are known not to be members, boosted trees learn how the released model answers:
    mean and variance of the signal given the record and its outcome. The score is by how many
    standard deviations the answer exceeds that mean. A model of the attacker's own, trained on the
    same patients to predict the outcome, says how difficult a record is and is one more input. No
    patient is judged by what was learnt on them, and members are judged as non-members are:
    `privaudit.attacks._known_outsiders`. Nothing of how the model was trained is needed.

    folds: parts of the patients; each is judged by what was learnt on the others. rounds: of
    boosting.
    Bertran et al. 2023 (arXiv 2307.03694), with a Gaussian in place of one quantile a level; the
    own model after Watson et al. 2022 (arXiv 2111.08440).
    """

    folds: int = 2
    rounds: int = 25

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["membership"]] = "membership"
    outcomes: ClassVar[frozenset[OutcomeKind]] = ANY_OUTCOME
    attacker: ClassVar[Attacker | None] = Attacker.KNOWN_OUTSIDERS

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        check_whole(self, folds=2, rounds=1)
        kind = target.split.audit.outcome_kind
        known = Known.of(target, self.folds, rng)
        signal = finite(known.signal, "the released model")
        if kind == "class":
            edge = resolution(signal)
            signal = np.clip(signal, -edge, edge)
        else:
            # A residual's size varies over orders of magnitude, and its logarithm does not.
            size = np.abs(signal)
            unit = spread(signal[known.outside])
            signal = -np.log(size / unit + 0.01)
        scores = np.zeros(known.n)
        for learn, judge in known.parts(rng):
            scores[judge] = self._exceed(known, signal, learn, judge, kind, rng)
        return cut(scores, target)

    def _exceed(
        self,
        known: Known,
        signal: np.ndarray,
        learn: np.ndarray,
        judge: np.ndarray,
        kind: OutcomeKind,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """(len(judge),) by how many standard deviations each signal exceeds the expected one."""
        wanted, outcome = signal[learn], known.outcome[learn]
        if np.ptp(wanted) == 0:
            return np.asarray(signal[judge] - wanted[0])
        columns = screen(known.inputs[learn], outcome, wanted)
        own, asked = known.inputs[learn][:, columns], known.inputs[judge][:, columns]
        part = rng.permutation(len(learn)) % INNER
        state = int(rng.integers(2**31))
        own_difficulty, asked_difficulty = self._difficulty(
            own, outcome, asked, known.outcome[judge], part, kind, state
        )
        own = np.column_stack([own, outcome, own_difficulty])
        asked = np.column_stack([asked, known.outcome[judge], asked_difficulty])
        residual, expected = np.zeros(len(learn)), np.zeros(len(judge))
        for one in range(INNER):
            rest, here = part != one, part == one
            model = trees("number", self.rounds, state).fit(own[rest], wanted[rest])
            residual[here] = wanted[here] - model.predict(own[here])
            expected += model.predict(asked) / INNER
        usual = float((residual**2).mean())
        if usual == 0.0:
            return np.asarray(signal[judge] - expected)
        logs = np.log(residual**2 + 1e-2 * usual)
        width = trees("number", self.rounds, state).fit(own, logs).predict(asked)
        return np.asarray((signal[judge] - expected) / np.exp(0.5 * width))

    def _difficulty(
        self,
        own: np.ndarray,
        outcome: np.ndarray,
        asked: np.ndarray,
        asked_outcome: np.ndarray,
        part: np.ndarray,
        kind: OutcomeKind,
        state: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """How close models of the attacker's own come to what was recorded, of the records learnt
        from, each by a model that did not see it, and of the records asked about."""
        found, other = np.zeros(len(own)), np.zeros(len(asked))
        for one in range(INNER):
            rest, here = part != one, part == one
            if kind == "class":
                if len(np.unique(outcome[rest])) < 2:
                    continue
                model = trees("class", self.rounds, state).fit(own[rest], outcome[rest])
                found[here] = _margins(model, own[here], outcome[here])
                other += _margins(model, asked, asked_outcome) / INNER
            else:
                # Of a time that was censored the size is a bound, and still the best guess.
                model = trees("number", self.rounds, state).fit(own[rest], np.abs(outcome[rest]))
                found[here] = model.predict(own[here]) - np.abs(outcome[here])
                other += (model.predict(asked) - np.abs(asked_outcome)) / INNER
        if kind == "class":
            return found, other
        return confidence(found, kind), confidence(other, kind)


def _margins(model: object, inputs: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """(n,) true-class margins; of a class that the model did not see, that of a thousandth."""
    seen = np.asarray(model.classes_)  # type: ignore[attr-defined]
    proba = np.asarray(model.predict_proba(inputs), dtype=np.float64)  # type: ignore[attr-defined]
    at = np.minimum(np.searchsorted(seen, outcome), len(seen) - 1)
    found = margin(proba, at)
    return np.where(seen[at] == outcome, found, -7.0)


__all__ = ["Quantile"]
