"""Models of an outcome that is a number: regressors of any library, asked for their predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.contracts import AnswersWithNumbers
from privaudit.errors import PrivauditError
from privaudit.inputs.models.layout import Frame, Layout, call, inputs
from privaudit.inputs.models.opened_model import failed_on_table, in_parts
from privaudit.inputs.models.trees_of_scikit_learn import (
    join_inputs,
    join_trees,
    read_estimator,
)
from privaudit.inputs.models.unread_trees import UnreadTrees
from privaudit.records import Records
from privaudit.trees import Trees

if TYPE_CHECKING:
    from privaudit.inputs.models.lightgbm_file import LightGBM
    from privaudit.inputs.models.onnx_graph import Onnx
    from privaudit.inputs.models.torch_module import TorchModel
    from privaudit.inputs.models.xgboost_file import XGBoost, XGBoostTrees

XGBOOST_TIMES = {"survival:cox": 1.0, "survival:aft": -1.0}
"""Objectives of a time to an event, and the sign that makes the answer higher where it is sooner:
the first answers with a hazard ratio, the second with a time."""

XGBOOST_NUMBERS = (
    *("reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:pseudohubererror"),
    *("reg:absoluteerror", "reg:quantileerror", "reg:logistic", "reg:gamma", "reg:tweedie"),
    "count:poisson",
)
"""Objectives of which XGBoost's own answer is the outcome in its unit, the link applied."""

LIGHTGBM_NUMBERS = (
    *("regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma"),
    *("tweedie", "cross_entropy"),
)
"""Objectives of which LightGBM's own answer is the outcome in its unit, the link applied."""


def read_numbers(answers: Any, rows: int, *, who: str = "the model") -> np.ndarray:
    """(rows,) float64 of what was answered, (n,) or (n, 1).

    Raises:
        PrivauditError: Another shape, several numbers a row, or what is no finite number.
    """
    if hasattr(answers, "detach"):
        answers = answers.detach().cpu().numpy()
    answers = getattr(answers, "to_numpy", lambda: answers)()
    try:
        found = np.asarray(answers, dtype=np.float64)
    except (TypeError, ValueError):
        raise PrivauditError(
            f"{who} answered with something that is no array of numbers",
            "one predicted number a row is needed",
            "wrap it so that it answers with an (n,) array",
        ) from None
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim == 2 and found.shape[1] > 1 and len(found) == rows:
        raise PrivauditError(
            f"{who} answered with {found.shape[1]} numbers a row, for an outcome that is one",
            "a model of several outcomes, or of classes, is not a model of this number",
            "audit one output at a time: wrap the model so that it answers with this outcome's "
            "column; if the numbers are probabilities of classes, say that the outcome is a class",
        )
    if found.shape != (rows,):
        raise PrivauditError(
            f"{who} answered with an array of shape {found.shape} for {rows:,} rows",
            "one predicted number a row is needed",
            "wrap it so that it answers row by row",
        )
    bad = int((~np.isfinite(found)).sum())
    if bad:
        raise PrivauditError(
            f"{who} answered {bad:,} of {rows:,} rows with what is no finite number",
            "a residual is a number; models that cannot read missing values answer so",
            "fill missing values in before the model, or give a pipeline that does",
        )
    return found


@dataclass(frozen=True, eq=False)
class NumberEstimator(AnswersWithNumbers):
    """A fitted regressor or a function, asked with a frame or a matrix as it was trained."""

    held: Any = field(repr=False)
    reads: Frame | Layout
    wide: bool = True

    def predict(self, records: Records) -> np.ndarray:
        """(n,): see `privaudit.contracts.Predictor`."""
        found = in_parts(self._ask, records)
        return -found if records.outcome_kind == "time" and self._tells_time else found

    @property
    def _tells_time(self) -> bool:
        """Whether it is one of scikit-survival's that predicts a time and not a risk."""
        last = self.held[-1] if hasattr(self.held, "steps") else self.held
        return getattr(last, "_predict_risk_score", True) is False

    def _ask(self, records: Records) -> np.ndarray:
        try:
            ask = getattr(self.held, "predict", self.held)
            found = call(ask, inputs(self.reads, records, self.wide))
        except PrivauditError:
            raise
        except Exception as error:
            raise failed_on_table(error) from error
        return read_numbers(found, len(records))


@dataclass(frozen=True, eq=False)
class NumberTreeEstimator(NumberEstimator):
    """The same, where the estimator holds trees."""

    def read_trees(self) -> Trees:
        """See `privaudit.contracts.HasTrees`."""
        return join_trees(read_estimator(self.held))

    def tree_inputs(self, records: Records) -> np.ndarray:
        """(n, inputs) float64."""
        return join_inputs(read_estimator(self.held), inputs(self.reads, records, self.wide))


@dataclass(frozen=True, eq=False)
class NumberXGBoost(AnswersWithNumbers):
    """Boosted trees of a number; the objective's link is applied, as in training."""

    file: XGBoost
    sign: float = 1.0

    def predict(self, records: Records) -> np.ndarray:
        """(n,): see `privaudit.contracts.Predictor`."""
        return in_parts(self._ask, records)

    def _ask(self, records: Records) -> np.ndarray:
        found = self.file.loaded.inplace_predict(
            self.file.layout.matrix(records.X),
            predict_type="value",
            missing=np.nan,
            validate_features=False,
        )
        return self.sign * read_numbers(found, len(records))


@dataclass(frozen=True, eq=False)
class NumberXGBoostTrees(NumberXGBoost):
    """The same, of trees."""

    file: XGBoostTrees

    def read_trees(self) -> Trees:
        """See `privaudit.contracts.HasTrees`."""
        return self.file.read_trees()

    def tree_inputs(self, records: Records) -> np.ndarray:
        """(n, inputs) float32."""
        return self.file.tree_inputs(records)


@dataclass(frozen=True, eq=False)
class NumberLightGBM(AnswersWithNumbers):
    """Boosted trees of LightGBM of a number; the objective's link is applied, as in training."""

    file: LightGBM

    def predict(self, records: Records) -> np.ndarray:
        """(n,): see `privaudit.contracts.Predictor`."""
        return in_parts(self._ask, records)

    def _ask(self, records: Records) -> np.ndarray:
        X = self.file.layout.matrix(records.X).astype(np.float64)
        return read_numbers(self.file.loaded.predict(X, num_threads=1), len(records))

    def read_trees(self) -> Trees:
        """See `privaudit.contracts.HasTrees`."""
        return self.file.read_trees()

    def tree_inputs(self, records: Records) -> np.ndarray:
        """(n, inputs) float64."""
        return self.file.layout.matrix(records.X).astype(np.float64)


@dataclass(frozen=True, eq=False)
class NumberOnnx(AnswersWithNumbers):
    """A graph that answers with one number a row."""

    graph: Onnx

    def predict(self, records: Records) -> np.ndarray:
        """(n,): see `privaudit.contracts.Predictor`."""
        return in_parts(lambda part: read_numbers(self.graph.run(part), len(part)), records)


@dataclass(frozen=True, eq=False)
class NumberOnnxTrees(UnreadTrees, NumberOnnx):
    """The same, where the graph holds trees."""


@dataclass(frozen=True, eq=False)
class NumberTorch(AnswersWithNumbers):
    """A torch module that answers with one number a row."""

    network: TorchModel

    def predict(self, records: Records) -> np.ndarray:
        """(n,): see `privaudit.contracts.Predictor`."""
        return in_parts(
            lambda part: read_numbers(self.network.forward(part), len(part)), records, 16_384
        )


@dataclass(frozen=True, eq=False)
class RecordedNumbers(AnswersWithNumbers):
    """A model of which only its predictions for these records are known.

    The records hold each as two float32 columns that sum to it: see `split_numbers`.
    """

    def predict(self, records: Records) -> np.ndarray:
        """(n,): see `privaudit.contracts.Predictor`."""
        return np.asarray(records.X.astype(np.float64).sum(axis=1))


def split_numbers(numbers: np.ndarray) -> np.ndarray:
    """(n, 2) float32 that sum to (n,) float64: one float32 would blur an exact prediction."""
    coarse = numbers.astype(np.float32)
    return np.column_stack([coarse, (numbers - coarse).astype(np.float32)])


def not_a_regressor(form: str, what: str) -> PrivauditError:
    """A model of classes where the outcome is said to be a number."""
    return PrivauditError(
        f"{form} model {what}, for an outcome that is a number or a time",
        "it answers with something else, such as probabilities of classes",
        "say what the outcome is (outcome_kind: class, number or time), or give a model of it",
    )


def not_a_model_of_classes(kind: str) -> PrivauditError:
    """A model of a number where the outcome is taken for a class."""
    return PrivauditError(
        f"a {kind} without probabilities",
        "it predicts a number, and the outcome is taken for a class",
        "if the outcome is a number such as a length of stay, say outcome_kind = number; else give "
        "a classifier with probabilities (support vector machines: probability=True)",
    )


__all__ = [
    "LIGHTGBM_NUMBERS",
    "XGBOOST_NUMBERS",
    "XGBOOST_TIMES",
    "NumberEstimator",
    "NumberLightGBM",
    "NumberOnnx",
    "NumberOnnxTrees",
    "NumberTorch",
    "NumberTreeEstimator",
    "NumberXGBoost",
    "NumberXGBoostTrees",
    "RecordedNumbers",
    "not_a_model_of_classes",
    "not_a_regressor",
    "read_numbers",
    "split_numbers",
]
