"""Copies of a model: what somebody trains on a model's answers, or on recorded outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from privaudit.records import Column, Records

SMALLEST = 1e-4
"""Probabilities are cut here before their logarithm is learnt: a tree's answer of 0 is no -inf."""
PENALTIES = tuple(10.0**power for power in range(-3, 4))
TREES: dict[str, Any] = {
    "max_iter": 60,
    "max_leaf_nodes": 16,
    "max_bins": 63,
    "early_stopping": False,
}
SPLIT_ON = 150
"""Columns, of many, that each split of a tree chooses from: the time grows no further with them."""
MOST_OF_TREES = 8
"""Classes beyond which no boosted trees are grown, one ensemble for each."""

Score = Callable[[np.ndarray], np.ndarray]
"""(n, w) encoded records -> (n, k) scores, the largest for the class named; (n,) numbers."""


@dataclass(frozen=True, eq=False)
class Encoding:
    """Records as numbers without gaps, by what the attacker's own records show.

    Numbers are standardised and cut at 5 standard deviations, gaps filled with the median and
    flagged, categories one-hot; what never varies is left out. Series are not read.
    """

    columns: tuple[Column, ...]
    fill: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    kept: np.ndarray

    @classmethod
    def fit(cls, records: Records) -> Encoding:
        d = len(records.columns)
        fill = np.zeros(d)
        for j in range(d):
            seen = records.X[:, j][np.isfinite(records.X[:, j])]
            fill[j] = float(np.median(seen)) if len(seen) else 0.0
        bare = cls(records.columns, fill, np.zeros(1), np.ones(1), np.zeros(0, dtype=int))
        wide = bare._wide(records)
        spread = wide.std(axis=0)
        kept = np.flatnonzero(spread > 1e-9)
        return replace(bare, centre=wide.mean(axis=0)[kept], spread=spread[kept], kept=kept)

    def __call__(self, records: Records) -> np.ndarray:
        """(n, w) float64."""
        wide = self._wide(records)[:, self.kept]
        return np.asarray(np.clip((wide - self.centre) / self.spread, -5, 5))

    def _wide(self, records: Records) -> np.ndarray:
        x = records.X.astype(np.float64)
        gaps = np.isnan(x)
        numbers = [j for j, c in enumerate(self.columns) if c.kind != "category"]
        parts = [np.where(gaps, self.fill, x)[:, numbers], gaps.astype(np.float64)]
        for j, column in enumerate(self.columns):
            if column.kind == "category":
                parts.append((x[:, j, None] == np.arange(len(column.levels))).astype(float))
        return np.concatenate(parts, axis=1)


def log_odds(answers: np.ndarray) -> np.ndarray:
    """(n, k) centred log probabilities: the scores that a softmax would have made them of."""
    logs = np.log(np.clip(answers, SMALLEST, 1.0))
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))


def learn_scores(x: np.ndarray, wanted: np.ndarray, state: int) -> dict[str, Score]:
    """Library models of scores (n, k), or of numbers (n,), by name."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import RidgeCV
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.neural_network import MLPRegressor

    flat = wanted.ndim == 1
    k = 1 if flat else wanted.shape[1]
    # Two centred scores are each other's negative: one of them is learnt.
    target = wanted[:, None] if flat else wanted[:, 1:] if k == 2 else wanted
    centre, spread = target.mean(axis=0), target.std(axis=0)
    spread = np.where(spread > 1e-12, spread, 1.0)
    unit = (target - centre) / spread
    trees = HistGradientBoostingRegressor(**TREES, max_features=_share(x), random_state=state)
    models = {"linear": RidgeCV(alphas=PENALTIES), "network": _network(MLPRegressor, len(x), state)}
    if k <= MOST_OF_TREES:
        models["trees"] = MultiOutputRegressor(trees)
    found: dict[str, Score] = {}
    for name, model in models.items():
        fitted = _fit(model, x, unit if name != "network" else unit.squeeze())
        if fitted is None:
            continue

        def score(own: np.ndarray, model: object = fitted) -> np.ndarray:
            said = np.asarray(model.predict(own)).reshape(len(own), -1) * spread + centre  # type: ignore[attr-defined]
            if flat:
                return np.asarray(said[:, 0])
            return np.asarray(np.concatenate([-said, said], axis=1) if k == 2 else said)

        found[name] = score
    return found


def learn_classes(x: np.ndarray, labels: np.ndarray, k: int, state: int) -> dict[str, Score]:
    """Library classifiers of labels (n,), whose scores are log probabilities, by name."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    present = np.unique(labels)
    if len(present) < 2:
        only = np.full(k, np.log(SMALLEST))
        only[present] = 0.0
        return {"constant": lambda own: np.tile(only, (len(own), 1))}
    models = {
        "linear": LogisticRegression(C=1.0, max_iter=300),
        "network": _network(MLPClassifier, len(x), state),
    }
    if k <= MOST_OF_TREES:
        models["trees"] = HistGradientBoostingClassifier(
            **TREES, max_features=_share(x), random_state=state
        )
    found: dict[str, Score] = {}
    for name, model in models.items():
        fitted = _fit(model, x, labels)
        if fitted is None:
            continue

        def score(own: np.ndarray, model: object = fitted) -> np.ndarray:
            full = np.full((len(own), k), SMALLEST)
            full[:, present] = np.clip(model.predict_proba(own), SMALLEST, 1.0)  # type: ignore[attr-defined]
            return log_odds(full)

        found[name] = score
    return found


def _share(x: np.ndarray) -> float:
    return float(min(1.0, SPLIT_ON / max(x.shape[1], 1)))


def _network(kind: Callable[..., object], n: int, state: int) -> object:
    return kind(
        hidden_layer_sizes=(32,),
        learning_rate_init=0.01,
        batch_size=min(200, n),
        max_iter=80,
        tol=1e-5,
        random_state=state,
    )


def _fit(model: object, x: np.ndarray, wanted: np.ndarray) -> object | None:
    """The fitted model; None where its training ran into numbers that are none."""
    import warnings

    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), warnings.catch_warnings():
        # That a network stopped before it converged is no news: another copy may do better.
        warnings.simplefilter("ignore")
        try:
            return model.fit(x, wanted)  # type: ignore[attr-defined,no-any-return]
        except (ValueError, FloatingPointError):
            return None


def mix_records(own: Records, count: int, rng: np.random.Generator) -> Records:
    """`count` records for questions: own ones, then ones of which half of the columns come from
    other own records, each column from one of its own."""
    n = len(own)
    first = rng.permutation(n)[: min(n, count)]
    if count <= n:
        return own.take(first)
    more = own.take(rng.integers(0, n, count - n))
    x = more.X.copy()
    for j in range(x.shape[1]):
        moved = rng.random(len(x)) < 0.5
        x[moved, j] = own.X[rng.integers(0, n, int(moved.sum())), j]
    return Records.concatenate([own.take(first), replace(more, X=x)])


def probe_columns(own: Records) -> tuple[Records, Sequence[tuple[int, float]]]:
    """The usual record, then the usual record with one column changed: one question for each number
    and level, and for a gap where the attacker's own records have one.

    Returns:
        The questions, and for each after the first the column and the value put into it.
    """
    base = np.zeros(len(own.columns), dtype=np.float32)
    changed: list[tuple[int, float]] = []
    for j, column in enumerate(own.columns):
        values = own.X[:, j]
        seen = values[np.isfinite(values)]
        if not len(seen):
            base[j] = np.nan
            continue
        if column.kind == "numeric":
            base[j], other = np.quantile(seen, [0.5, 0.75])
            if other == base[j]:
                other = seen.max() if seen.max() > base[j] else seen.min()
            changed += [(j, float(other))] if other != base[j] else []
        else:
            codes, counts = np.unique(seen, return_counts=True)
            base[j] = codes[counts.argmax()]
            levels = range(len(column.levels)) if column.kind == "category" else (0, 1)
            changed += [(j, float(level)) for level in levels if level != base[j]]
        if len(seen) < len(values):
            changed.append((j, float("nan")))
    x = np.tile(base, (1 + len(changed), 1))
    for row, (j, value) in enumerate(changed, 1):
        x[row, j] = value
    usual = own.take(np.zeros(len(x), dtype=np.int64))
    return replace(usual, X=x), changed


def solve_additive(
    asked: Records, changed: Sequence[tuple[int, float]], answers: np.ndarray
) -> Callable[[Records], np.ndarray]:
    """The additive model that gives these answers (scores or numbers), linear in every number.

    asked, changed: as `probe_columns` makes them; answers: (n, ...) to them.
    """
    base, first = asked.X[0].astype(np.float64), answers[0]

    def predict(records: Records) -> np.ndarray:
        x = records.X.astype(np.float64)
        total = np.repeat(first[None], len(x), axis=0).astype(np.float64)
        for (j, value), answer in zip(changed, answers[1:], strict=True):
            effect = answer - first
            if np.isnan(value):
                share = np.isnan(x[:, j]).astype(float)
            elif records.columns[j].kind == "numeric":
                share = np.where(np.isnan(x[:, j]), 0.0, (x[:, j] - base[j]) / (value - base[j]))
            else:
                share = (x[:, j] == value).astype(float)
            total += share.reshape(-1, *([1] * (total.ndim - 1))) * effect
        return total

    return predict
