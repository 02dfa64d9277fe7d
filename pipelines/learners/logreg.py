"""Logistic regression: one weight a column, ridge-penalised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.learners._prepare import Table, check_outcomes
from privaudit.contracts import Learner, Model
from privaudit.records import Records


@dataclass(frozen=True)
class LogReg(Learner):
    """Ridge-penalised (multinomial) logistic regression on imputed, standardised columns.

    Uses no randomness.

    Args:
        C: Inverse strength of the penalty, as scikit-learn has it.
        iterations: The most that lbfgs takes.

    Source: scikit-learn's LogisticRegression; le Cessie and van Houwelingen 1992, Applied
    Statistics 41(1).
    """

    C: float = 0.01
    iterations: int = 1000

    def fit(self, records: Records, rng: np.random.Generator) -> Model:
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        check_outcomes(records)
        table = Table.fit(records)
        with threadpool_limits(1):
            found = LogisticRegression(C=self.C, max_iter=self.iterations).fit(
                table(records).astype(np.float64), records.y
            )
        k = len(records.classes)
        weights, bias = np.zeros((table.width, k)), np.zeros(k)
        # One weight vector for two classes says the same as (-w/2, w/2), the penalised softmax
        # form.
        binary = len(found.classes_) == 2
        coef = np.vstack([-found.coef_, found.coef_]) / 2 if binary else found.coef_
        cut = (
            np.concatenate([-found.intercept_, found.intercept_]) / 2
            if binary
            else found.intercept_
        )
        weights[:, found.classes_] = coef.T
        bias[:] = cut.min() - np.log(2 * len(records))
        bias[found.classes_] = cut
        return Linear(table, weights, bias)


@dataclass(frozen=True, eq=False)
class Linear:
    """A softmax over linear scores; holds no training row. `Differentiable`.

    A class that training never showed keeps zero weights and a bias below every other class by the
    log of twice the training rows.

    Args:
        weights: (width, k).
        bias: (k,).
    """

    table: Table
    weights: np.ndarray
    bias: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, k) float64, rows sum to 1."""
        return self._answer(self.table(records))

    def input_gradient(self, records: Records) -> tuple[np.ndarray, np.ndarray | None]:
        """Gradient of each record's log loss for X, in its own units; no series is read."""
        residual = self._residual(records, self.table(records))
        none = None if records.series is None else np.zeros(records.series.shape)
        return self.table.pull_back(records, residual @ self.weights.T), none

    def weight_gradient(self, records: Records) -> np.ndarray:
        """(n, (width + 1) k): for the weights, row by row, then for the bias."""
        values = self.table(records)
        residual = self._residual(records, values)
        outer = values[:, :, None] * residual[:, None, :]
        return np.concatenate([outer.reshape(len(values), -1), residual], axis=1)

    def _answer(self, values: np.ndarray) -> np.ndarray:
        from scipy.special import softmax

        return softmax(values @ self.weights + self.bias, axis=1)

    def _residual(self, records: Records, values: np.ndarray) -> np.ndarray:
        residual = self._answer(values)
        residual[np.arange(len(values)), records.y] -= 1
        return residual


__all__ = ["LogReg"]
