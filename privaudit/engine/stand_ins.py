"""Learners of the auditor's own, for a null where it is not known how the release was trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from privaudit.contracts import AnswersWithNumbers, Learner, Model
from privaudit.records import Records


def _inputs(records: Records) -> np.ndarray:
    """(n, d): the table, and the series hour by hour."""
    parts = [records.X]
    if records.series is not None:
        parts.append(records.series.reshape(len(records), -1))
    return np.concatenate(parts, axis=1)


def _named(records: Records) -> list[int]:
    """Columns whose values are codes of more than two levels."""
    return [j for j, column in enumerate(records.columns) if len(column.levels) > 2]


@dataclass(frozen=True, eq=False)
class StandIn:
    """A fitted stand-in. classes: how many there are; codes: those that it was trained on."""

    held: Any
    classes: int
    codes: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        found = np.zeros((len(records), self.classes))
        found[:, self.codes] = self.held.predict_proba(_inputs(records))
        return found


@dataclass(frozen=True, eq=False)
class StandInOfNumbers(AnswersWithNumbers):
    """A fitted stand-in that predicts a number."""

    held: Any

    def predict(self, records: Records) -> np.ndarray:
        """(n,): see `privaudit.contracts.Predictor`."""
        return np.asarray(self.held.predict(_inputs(records)), dtype=np.float64)


@dataclass(frozen=True)
class StandInLearner(Learner):
    """A learner of scikit-learn. trees: boosted trees, else a linear model; kind: of outcome."""

    trees: bool
    kind: str

    def fit(self, records: Records, rng: np.random.Generator) -> Model:
        """Train on these records."""
        import warnings

        held = self._trees(rng) if self.trees else self._linear(records)
        with warnings.catch_warnings(action="ignore"):
            held.fit(_inputs(records), records.y)
        if self.kind != "class":
            return StandInOfNumbers(held)
        return StandIn(held, len(records.classes), np.unique(records.y))

    def _trees(self, rng: np.random.Generator) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        kind: Any = (
            HistGradientBoostingClassifier
            if self.kind == "class"
            else HistGradientBoostingRegressor
        )
        seed = int(rng.integers(2**31))
        return kind(max_iter=60, learning_rate=0.1, early_stopping=False, random_state=seed)

    def _linear(self, records: Records) -> Any:
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        named = _named(records)
        width = _inputs(records).shape[1]
        plain = [j for j in range(width) if j not in named]
        numbers = make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
        )
        ready = ColumnTransformer(
            [("numbers", numbers, plain), ("levels", OneHotEncoder(handle_unknown="ignore"), named)]
        )
        last: Any = LogisticRegression(max_iter=500) if self.kind == "class" else Ridge()
        return make_pipeline(ready, last)


STAND_INS: dict[str, Callable[[str], StandInLearner]] = {
    "linear": lambda kind: StandInLearner(trees=False, kind=kind),
    "trees": lambda kind: StandInLearner(trees=True, kind=kind),
}
"""By name, made for a kind of outcome."""

__all__ = ["STAND_INS", "StandIn", "StandInLearner", "StandInOfNumbers"]
