"""Whether a model was trained on more or on fewer patients of a group, told from its answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

TINY = 1e-6

TESTS = ("divergence", "classifier", "loss")
"""In the order in which they are preferred where they do equally well."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What models answer to the same questions.

    values: (k, q), each model's probability of the recorded outcome, or its residuals in units of
    their spread where the outcome is a number; are_probabilities: which of the two.
    """

    values: np.ndarray
    are_probabilities: bool

    def take(self, rows: np.ndarray) -> Answers:
        return Answers(self.values[rows], self.are_probabilities)

    @cached_property
    def divergence(self) -> np.ndarray:
        """(k, k) mean divergence of the answers of model i (row) from those of model j."""
        values = self.values
        if not self.are_probabilities:
            return np.asarray(((values[:, None] - values[None]) ** 2).mean(axis=2) / 2)
        p = np.clip(values, TINY, 1 - TINY)
        own = (p * np.log(p) + (1 - p) * np.log1p(-p)).mean(axis=1)
        cross = (p @ np.log(p).T + (1 - p) @ np.log1p(-p).T) / p.shape[1]
        return np.asarray(own[:, None] - cross)

    @cached_property
    def loss(self) -> np.ndarray:
        """(k,) mean loss of each model."""
        if not self.are_probabilities:
            return np.asarray((self.values**2).mean(axis=1))
        return np.asarray(-np.log(np.clip(self.values, TINY, 1.0)).mean(axis=1))


def guess_labels(answers: Answers, labels: np.ndarray) -> np.ndarray:
    """(k,) in {0, 0.5, 1}: how far each model's label is told right by tests fitted on the others.

    labels: (k,) bool, as many True as False, in pairs 2j, 2j + 1 of one each. A model and its
    partner are both left out, so that what is left is balanced, and the test is chosen by leaving
    out pairs of what is left. 0.5: the test cannot tell, and whoever must say tosses a coin.
    """
    right = np.full(len(labels), 0.5)
    for held in pairs(len(labels)):
        rest = np.setdiff1d(np.arange(len(labels)), held)
        said = run_test(choose_test(answers, labels, rest), answers, labels, rest, held)
        right[held] = np.where(labels[held], said, 1 - said)
    return right


def choose_test(answers: Answers, labels: np.ndarray, known: np.ndarray) -> str:
    """The test that does best on models of known label, each pair left out in turn."""
    if len(known) < 4:
        return TESTS[0]
    score = dict.fromkeys(TESTS, 0.0)
    for held in (known[part] for part in pairs(len(known))):
        rest = np.setdiff1d(known, held)
        for test in TESTS:
            said = run_test(test, answers, labels, rest, held)
            score[test] += float(np.where(labels[held], said, 1 - said).sum())
    return max(TESTS, key=lambda test: score[test])


def run_test(
    test: str, answers: Answers, labels: np.ndarray, known: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """(m,) in {0, 0.5, 1}: whether each asked model has the label True."""
    high, low = known[labels[known]], known[~labels[known]]
    if test == "divergence":
        # Each pair of known models votes for the one whose answers the asked model's are nearer to.
        apart = answers.divergence[np.ix_(low, asked)][:, None]
        apart = apart - answers.divergence[np.ix_(high, asked)][None]
        score = np.sign(apart).mean(axis=(0, 1))
    elif test == "loss":
        one, other = answers.loss[low].mean(), answers.loss[high].mean()
        score = (answers.loss[asked] - (one + other) / 2) * (other - one)
    else:
        score = _classify(answers.values, labels, known, asked)
    return np.asarray((np.sign(score) + 1) / 2)


def _classify(
    values: np.ndarray, labels: np.ndarray, known: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """Scores of a ridge classifier of the answers, above 0 for True.

    In its dual form, as there are far more answers than models; this runs hundreds of times.
    """
    own = values[known]
    centre, spread = own.mean(axis=0), own.std(axis=0)
    kept = spread > 1e-9
    if not kept.any():
        return np.zeros(len(asked))
    x, new = ((values[rows][:, kept] - centre[kept]) / spread[kept] for rows in (known, asked))
    weights = np.linalg.solve(x @ x.T + kept.sum() * np.eye(len(x)), np.where(labels[known], 1, -1))
    return np.asarray(new @ x.T @ weights)


def pairs(count: int) -> list[np.ndarray]:
    """Places 2j and 2j + 1 of `count`."""
    return [np.array([place, place + 1]) for place in range(0, count, 2)]
