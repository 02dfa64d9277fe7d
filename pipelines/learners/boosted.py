"""Gradient-boosted trees (XGBoost), missing values read as they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.learners._prepare import (
    check_columns,
    check_levels,
    check_outcomes,
    hold_out,
    one_hot,
)
from privaudit.contracts import Learner, Model
from privaudit.records import Column, Records

if TYPE_CHECKING:
    import xgboost

    from privaudit.trees import Trees as FlatTrees


@dataclass(frozen=True)
class Boosted(Learner):
    """Boosted decision trees by XGBoost's histogram method, on one thread, with early stopping.

    Args:
        depth, rate, lightest: Greatest depth of a tree, learning rate, least sum of second
            derivatives in a leaf.
        columns, rows: Share of the columns and rows that each tree sees.
        bins: Of the histograms.
        trees, patience: The most trees, and how many without a better validation loss.
        held_out: Share of the training patients kept for early stopping, 0 for none.

    Source: Chen and Guestrin 2016 (arXiv 1603.02754), sections 2-3.
    """

    depth: int = 4
    rate: float = 0.05
    lightest: float = 5.0
    columns: float = 0.5
    rows: float = 0.8
    bins: int = 64
    trees: int = 600
    patience: int = 40
    held_out: float = 0.1

    def fit(self, records: Records, rng: np.random.Generator) -> Model:
        import xgboost

        check_outcomes(records)
        check_levels(records, range(len(records.columns)))
        held = hold_out(records, self.held_out, rng)
        k = len(records.classes)
        values = _values(records)
        learn = xgboost.QuantileDMatrix(
            values[~held], label=records.y[~held], max_bin=self.bins, nthread=1
        )
        stopping: dict[str, Any] = {}
        if held.any():
            check = xgboost.QuantileDMatrix(
                values[held], label=records.y[held], max_bin=self.bins, nthread=1, ref=learn
            )
            stopping = {
                "evals": [(check, "held_out")],
                "early_stopping_rounds": self.patience,
                "verbose_eval": False,
            }
        several = {"objective": "multi:softprob", "num_class": k, "eval_metric": "mlogloss"}
        parameters: dict[str, Any] = {
            "max_depth": self.depth,
            "eta": self.rate,
            "min_child_weight": self.lightest,
            "colsample_bytree": self.columns,
            "subsample": self.rows,
            "max_bin": self.bins,
            "tree_method": "hist",
            "nthread": 1,
            "seed": int(rng.integers(2**31 - 1)),
            "verbosity": 0,
            **(several if k > 2 else {"objective": "binary:logistic", "eval_metric": "logloss"}),
        }
        booster = xgboost.train(parameters, learn, num_boost_round=self.trees, **stopping)
        if stopping:
            booster = booster[: booster.best_iteration + 1]
        return Trees(records.columns, k, bytes(booster.save_raw("ubj")))


@dataclass(frozen=True, eq=False)
class Trees:
    """Boosted trees in XGBoost's own format. Not differentiable."""

    columns: tuple[Column, ...]
    classes: int
    saved: bytes

    @cached_property
    def booster(self) -> xgboost.Booster:
        import xgboost

        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(self.saved))
        booster.set_param({"nthread": 1})
        return booster

    def __getstate__(self) -> dict[str, Any]:
        return {"columns": self.columns, "classes": self.classes, "saved": self.saved}

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, k) float64 from raw scores, so that sure answers keep their order."""
        from scipy.special import softmax

        check_columns(records, self.columns)
        check_levels(records, range(len(self.columns)))
        if not len(records):
            return np.empty((0, self.classes))
        score = self.booster.inplace_predict(_values(records), predict_type="margin")
        score = np.asarray(score, dtype=np.float64).reshape(len(records), -1)
        if self.classes == 2:
            score = np.concatenate([-score / 2, score / 2], axis=1)
        return softmax(score, axis=1)

    def read_trees(self) -> FlatTrees:
        """See `privaudit.contracts.HasTrees`."""
        from privaudit.inputs.models.trees_of_xgboost import read_xgboost

        return read_xgboost(self.saved)

    def tree_inputs(self, records: Records) -> np.ndarray:
        """(n, inputs) float32."""
        return _values(records)


def _values(records: Records) -> np.ndarray:
    """Numbers as they are, NaN where missing, and one column for each level of a category."""
    kinds = np.array([c.kind == "category" for c in records.columns], dtype=bool)
    categories = np.flatnonzero(kinds).tolist()
    if not categories:
        return records.X
    levels = np.empty((len(records), sum(len(records.columns[j].levels) for j in categories)))
    one_hot(records, categories, levels)
    return np.concatenate([records.X[:, ~kinds], levels.astype(np.float32)], axis=1)


__all__ = ["Boosted"]
