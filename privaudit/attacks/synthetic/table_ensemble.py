"""Membership by several attacks on a table together, weighed on shadow generators' tables."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._empirical_bayes import Sums, fit
from privaudit.attacks._focal_points import Focus, find_focus, score_counts
from privaudit.attacks._half_samples import GROUP, check_count, half_samples
from privaudit.attacks._membership import cut, normal, stacked
from privaudit.attacks._table_scores import score_density, score_distance, score_likelihood
from privaudit.attacks._tables import TableAttack, table_of
from privaudit.contracts import Access, Fitted, Refit, Scores, TableReader, Target
from privaudit.facts import Attacker
from privaudit.records import Records
from privaudit.seeds import Seeds

PAIR = 2
"""Refits that complement each other, left out together: one gives away who was in the other."""


@dataclass(frozen=True, eq=False, repr=False)
class Signals(TableReader):
    """What the combined attacks say of a table. own: the attacker's own records; focus: what the
    generator measures, where that is known."""

    own: Records
    focus: Focus | None = None

    def read(self, table: Records, records: Records) -> np.ndarray:
        """(4, n) float64."""
        alike = (score_distance, score_density, score_likelihood)
        found = [score(records, table, self.own) for score in alike]
        return np.stack([*found, score_counts(records, table, self.own, self.focus)])

    def __repr__(self) -> str:
        digest = hashlib.sha256(repr(self.focus).encode()).hexdigest()
        return f"Signals({self.own.fingerprint}, {digest})"


@dataclass(frozen=True)
class TableEnsemble(TableAttack):
    """Weighs `distance`, `domias`, `gen_lra` and `mama_mia` by what they find on shadow generators.

    Where the recipe is known, generators are trained again on halves of the candidates, and each
    attack reads every table: whom that was made from is known. Of each attack two things are used,
    its score, and how much better it fits tables made with the record than tables made without it
    (empirical Bayes, as `shadow_generator`), both as normal scores of their ranks. A logistic
    regression learns from the shadow tables how these tell who was trained on; a table's own ratio
    is made without it and its complement. The released table has no part in it: the weights are
    applied to it as they are. Without the recipe the score is the mean of the attacks' normal
    scores. shadows: a multiple of 8, or 0 for the mean alone.
    The recipe of the winners of MIDST (SaTML 2025, black box), and of Ward, Lin, Wang and Cheng
    2025 (arXiv 2509.05350), who combine without shadow models.
    """

    shadows: int = GROUP

    family: ClassVar[Literal["membership"]] = "membership"
    attacker: ClassVar[Attacker | None] = Attacker.CANDIDATES

    @property
    def helped_by(self) -> frozenset[Access]:
        return frozenset({Access.RERUN} if self.shadows else ())

    def made_by(self, used: frozenset[Access]) -> Attacker:
        """Without shadow generators the attacker needs no candidates."""
        known = Access.RERUN in used
        return Attacker.CANDIDATES if known else Attacker.SIMILAR_PATIENTS

    def refits(self, target: Target, seeds: Seeds) -> Sequence[Refit]:
        if not self.shadows or target.method is None or not target.method.reruns:
            return ()
        focus = find_focus(target, seeds.rng("focal points"))
        method = target.method.read_table(Signals(target.split.reference, focus))
        if method is None:
            return ()
        check_count(self.shadows)
        return half_samples(Target(target.release, target.split, method), self.shadows, seeds)

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        if type(self.shadows) is not int or self.shadows:
            check_count(self.shadows)
        split, table = target.split, table_of(target)
        signals = Signals(split.reference, find_focus(target, rng))
        asked = signals.read(table, split.audit)
        if not refits:
            return cut(np.mean([normal(one) for one in asked], axis=0), target, "largest")
        banks = [
            stacked(
                [Fitted(one.included, one.margins[at]) for one in refits],
                signal,
                "a shadow generator",
            )
            for at, signal in enumerate(asked)
        ]
        return cut(combine_signals(asked, banks), target, "largest")


Bank = tuple[np.ndarray, np.ndarray]
"""One signal of every shadow table, (k, n), and which table was made with which record, (k, n)."""


def combine_signals(asked: np.ndarray, banks: Sequence[Bank]) -> np.ndarray:
    """(n,) log odds of having been trained on. asked: (s, n) signals of the released table."""
    from sklearn.linear_model import LogisticRegression

    included = banks[0][1]
    rows, labels = [], []
    for place in range(len(included)):
        pair = np.arange(len(included)) // PAIR == place // PAIR
        rest = [(shadows[~pair], inside[~pair]) for shadows, inside in banks]
        rows.append(_describe(np.stack([shadows[place] for shadows, _ in banks]), rest))
        labels.append(included[place])
    learner = LogisticRegression(C=1.0, max_iter=200)
    learner.fit(np.concatenate(rows), np.concatenate(labels))
    odds: np.ndarray = learner.decision_function(_describe(asked, banks))
    return odds


def _describe(asked: np.ndarray, banks: Sequence[Bank]) -> np.ndarray:
    """(n, 2 s): each signal, and its ratio by the shadow tables, as normal scores."""
    ratios = [fit(Sums.of(*bank)).ratio(one) for one, bank in zip(asked, banks, strict=True)]
    return np.stack([normal(part) for part in (*asked, *ratios)], axis=1)


__all__ = ["TableEnsemble"]
