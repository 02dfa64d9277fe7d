"""What an outsider with records of their own would guess for a missing value, without the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from privaudit.records import Column, Records

FEWEST = 20
"""With fewer own records than this, or one value among them, the most frequent is guessed."""
COLUMNS = 60
"""Most columns the classifier reads, the most informative: more cost time and add noise."""


@dataclass(frozen=True, eq=False)
class Imputer:
    """Probability of each value of one column, from the other columns and the outcome.

    Mean of a logistic regression and of boosted trees, fitted on the attacker's own records, mixed
    with one record's worth of every value so that none is impossible. The outcome is among the
    predictors where it is a guess's, because the attack knows it as well: what is won over this
    guess comes from the model. It is not where a model's likelihood of the outcome is to be
    multiplied with it. Jayaraman and Evans 2022 (arXiv 2209.01292), section 4.1.
    """

    shares: np.ndarray
    models: tuple[Any, ...]
    present: np.ndarray
    weight: float
    view: _View

    @classmethod
    def fit(
        cls,
        records: Records,
        labels: np.ndarray,
        k: int,
        column: int,
        rng: np.random.Generator,
        *,
        outcome: bool = True,
    ) -> Imputer:
        """labels: (n,) codes 0..k-1 of `column`, which is itself not read; nor is the outcome
        where `outcome` is False."""
        counts = np.bincount(labels, minlength=k)
        n = len(labels)
        shares = (counts + 1) / (n + k)
        present = np.flatnonzero(counts)
        view = _View.fit(records, labels, column, outcome)
        models: tuple[Any, ...] = ()
        if n >= FEWEST and len(present) > 1:
            models = _classifiers(view(records), labels, int(rng.integers(2**31 - 1)))
        return cls(shares, models, present, n / (n + k), view)

    def __call__(self, records: Records) -> np.ndarray:
        """(n, k) float64, rows sum to 1, none 0."""
        out = np.repeat(self.shares[None], len(records), axis=0)
        if not self.models:
            return out
        from threadpoolctl import threadpool_limits

        x = self.view(records)
        with threadpool_limits(1):
            answers = np.mean([model.predict_proba(x) for model in self.models], axis=0)
        full = np.zeros(out.shape)
        full[:, self.present] = answers
        result: np.ndarray = self.weight * full + (1 - self.weight) / out.shape[1]
        return result


@dataclass(frozen=True, eq=False)
class _View:
    """Other columns as numbers without gaps: median, missing flags, one-hot; and the outcome."""

    column: int
    columns: tuple[Column, ...]
    classes: int
    outcome: bool
    fill: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    chosen: np.ndarray

    @classmethod
    def fit(cls, records: Records, labels: np.ndarray, column: int, outcome: bool) -> _View:
        d = len(records.columns)
        fill = np.zeros(d)
        for j in range(d):
            seen = records.X[:, j][np.isfinite(records.X[:, j])]
            fill[j] = float(np.median(seen)) if len(seen) else 0.0
        classes = len(records.classes)
        empty = np.zeros(0), np.ones(0), np.arange(0)
        view = cls(column, records.columns, classes, outcome, fill, *empty)
        wide = view._wide(records)
        centre, spread = wide.mean(axis=0), wide.std(axis=0)
        order = np.argsort(-_explained(wide, labels), kind="stable")
        chosen = np.sort(order[:COLUMNS])
        chosen = chosen[spread[chosen] > 0]
        return replace(view, centre=centre[chosen], spread=spread[chosen], chosen=chosen)

    def __call__(self, records: Records) -> np.ndarray:
        result: np.ndarray = np.clip(
            (self._wide(records)[:, self.chosen] - self.centre) / self.spread, -5, 5
        )
        return result

    def _wide(self, records: Records) -> np.ndarray:
        x = records.X.astype(np.float64)
        gaps = np.isnan(x)
        parts = []
        if self.outcome:
            parts = [np.eye(self.classes)[records.y] if self.classes else records.y[:, None]]
        numbers = self._others(("numeric", "binary"))
        parts.append(np.where(gaps, self.fill, x)[:, numbers])
        parts.append(gaps[:, self._others(("numeric", "binary", "category"))].astype(np.float64))
        for j in self._others(("category",)):
            parts.append((x[:, j, None] == np.arange(len(self.columns[j].levels))).astype(float))
        return np.concatenate(parts, axis=1)

    def _others(self, kinds: Sequence[str]) -> list[int]:
        return [j for j, c in enumerate(self.columns) if c.kind in kinds and j != self.column]


def _explained(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(w,) between-group share of each column's variance."""
    x = x - x.mean(axis=0)
    between = np.zeros(x.shape[1])
    for code in np.unique(labels):
        rows = x[labels == code]
        between += len(rows) * rows.mean(axis=0) ** 2
    total = (x**2).sum(axis=0)
    result: np.ndarray = np.divide(between, total, out=np.zeros_like(total), where=total > 1e-12)
    return result


def _classifiers(x: np.ndarray, labels: np.ndarray, state: int) -> tuple[Any, ...]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    if not x.shape[1]:
        return ()
    # Few, shallow trees: a guess that is too sure would be a weaker baseline.
    trees = HistGradientBoostingClassifier(
        max_iter=40, max_leaf_nodes=8, learning_rate=0.1, early_stopping=False, random_state=state
    )
    with threadpool_limits(1):
        return (
            LogisticRegression(C=0.05, max_iter=500).fit(x, labels),
            trees.fit(x, labels),
        )
