"""Membership by the explanations that are released beside an answer: attributions to features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._known_outsiders import deal
from privaudit.attacks._membership import ANY_OUTCOME, cut, finite, normal, resolution, spread
from privaudit.attacks._options import check_whole
from privaudit.contracts import Access, Attack, Fitted, Scores, Target
from privaudit.errors import PrivauditError
from privaudit.facts import Attacker
from privaudit.records import Records
from privaudit.signals import confidence

SMALL = 1e-9
"""Of the usual size of an attribution: what is smaller is none."""

FAR = 5.0
"""Standard deviations beyond which a summary is cut, so that one record does not decide."""


@dataclass(frozen=True)
class Explanations(Attack):
    """Learns on patients of known membership how the attributions of members look.

    Attributions, such as SHAP values, are read as a few numbers a record: size, variance, entropy,
    the share of the largest, their sum in the direction of what was recorded, and the answer
    itself. A logistic regression on these and their products learns who was trained on. The
    attacker knows the membership of some patients, and judges the others: patients are cut into
    folds, each judged by what was learnt on those before it, and the first by the answer alone.
    Judged by all the others, two folds would be compared twice, each time with the same deviation:
    intervals would be too narrow, and false alarms four times as many as stated. Scores are ranked
    within each fold, so that one fold's level is not compared with another's.

    folds: parts of the patients.
    That the variance of attributions tells membership: Shokri et al. 2021 (arXiv 1907.00164). That
    it does for many methods, and counterfactuals too: Ben Hmida et al. 2026 (arXiv 2601.03429) and
    Ezzeddine et al. 2026 (arXiv 2602.03611), both read in part.
    """

    folds: int = 10

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS, Access.EXPLANATIONS})
    family: ClassVar[Literal["membership"]] = "membership"
    outcomes: ClassVar = ANY_OUTCOME
    attacker: ClassVar[Attacker | None] = Attacker.KNOWN_MEMBERS

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        check_whole(self, folds=2)
        explainer = target.release.explanations
        if explainer is None:
            raise ValueError("this release has no explanations to read")
        audit, split = target.split.audit, target.split
        given = np.asarray(explainer.explain(audit), dtype=np.float64)
        if given.ndim != 2 or len(given) != len(audit) or not given.shape[1]:
            raise ValueError(f"attributions of shape {given.shape} for {len(audit)} records")
        seen = summarise(finite(given, "the explainer"), audit, _closeness(target))
        fold = np.concatenate(
            [
                deal(split.members.patient, self.folds, rng),
                deal(split.nonmembers.patient, self.folds, rng),
            ]
        )
        known, scores = split.is_member, np.zeros(len(audit))
        for one in range(self.folds):
            learn, judge = fold < one, np.flatnonzero(fold == one)
            if not one:
                scores[judge] = normal(seen[judge, -1])
                continue
            if len(np.unique(known[learn])) < 2:
                raise PrivauditError(
                    "too few patients whose membership is known",
                    "it learns on some of the members and non-members and judges the others",
                    "give more patients",
                )
            if len(judge):
                scores[judge] = normal(_learn(seen[learn], known[learn], seen[judge]))
        return cut(scores, target)


def summarise(given: np.ndarray, records: Records, closeness: np.ndarray) -> np.ndarray:
    """(n, 6) what is read of (n, d) attributions of records, and of how close their answers are.

    Of two classes the attributions are those of the last; their sum counts for what was recorded.
    """
    size = np.abs(given)
    usual = float(np.median(np.linalg.norm(given, axis=1))) or 1.0
    least = SMALL * usual
    total = size.sum(axis=1)
    share = size / np.maximum(total, least)[:, None]
    entropy = -(share * np.log(np.maximum(share, 1e-12))).sum(axis=1)
    towards = given.sum(axis=1)
    if records.outcome_kind == "class" and len(records.classes) == 2:
        towards = np.where(records.y == 1, towards, -towards)
    return np.column_stack(
        [
            np.log(np.linalg.norm(given, axis=1) + least),
            np.log(size.std(axis=1) + least),
            entropy,
            share.max(axis=1),
            towards / usual,
            closeness,
        ]
    )


def _closeness(target: Target) -> np.ndarray:
    kind = target.split.audit.outcome_kind
    signal = finite(np.asarray(target.margins, dtype=np.float64), "the released model")
    if kind == "class":
        edge = resolution(signal)
        return np.asarray(np.clip(signal, -edge, edge))
    return confidence(signal / spread(signal), kind)


def _learn(seen: np.ndarray, is_member: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """(m,) how surely each of the asked is a member."""
    from sklearn.linear_model import LogisticRegression

    centre, width = seen.mean(axis=0), seen.std(axis=0)
    width = np.where(width > 1e-9, width, 1.0)
    own, other = (_expand(np.clip((one - centre) / width, -FAR, FAR)) for one in (seen, asked))
    level = own.mean(axis=0)
    scale = np.where(own.std(axis=0) > 1e-9, own.std(axis=0), 1.0)
    model = LogisticRegression(C=0.1, max_iter=300).fit((own - level) / scale, is_member)
    return np.asarray(model.decision_function((other - level) / scale))


def _expand(values: np.ndarray) -> np.ndarray:
    """The columns, and all products of two of them."""
    first, second = np.triu_indices(values.shape[1])
    return np.column_stack([values, values[:, first] * values[:, second]])


__all__ = ["Explanations"]
