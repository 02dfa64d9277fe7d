"""The membership signal: how close a model's answer is to what was recorded of a patient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.residuals import pair_residuals

if TYPE_CHECKING:
    from privaudit.contracts import Model
    from privaudit.records import OutcomeKind, Records

TINY = 1e-300
"""Probabilities are clipped here in float64, so that saturated answers stay finite."""


def ask(model: Model, records: Records) -> np.ndarray:
    """What the model answers: (n, k) probabilities, or (n,) numbers where the outcome is one.

    Raises:
        PrivauditError: A model of classes where the outcome is a number.
    """
    if records.outcome_kind == "class":
        return np.asarray(model.predict_proba(records), dtype=np.float64)
    predict = getattr(model, "predict", None)
    if predict is None:
        raise PrivauditError(
            "a model that answers with probabilities, for an outcome that is a number",
            "a residual is a predicted number less the recorded one",
            "give a model that predicts numbers, or say that the outcome is a class",
        )
    return np.asarray(predict(records), dtype=np.float64)


def read_signal(answers: np.ndarray, records: Records) -> np.ndarray:
    """(n,) float64: what every membership attack reads of a model's answers on these records.

    The true-class margin for classes; for a number the residual, predicted less recorded, with its
    sign and in the outcome's unit. Over models trained the same way, a record's residual is nearly
    Gaussian, which its absolute value and the logarithm of that are not: LiRA with residuals finds
    as much or more on forests, boosted trees and networks (docs/design/016-other-outcomes.md).
    For a time to an event, how often the risk ranks the record too high, less too low.
    """
    if records.outcome_kind == "class":
        return margin(answers, records.y)
    if records.outcome_kind == "time":
        return pair_residuals(np.asarray(answers, dtype=np.float64), records.y)
    return np.asarray(np.asarray(answers, dtype=np.float64) - records.y)


def confidence(signal: np.ndarray, kind: OutcomeKind) -> np.ndarray:
    """(n,) the signal as an order: the higher, the closer the answer is to what was recorded."""
    return signal if kind == "class" else -np.abs(signal)


def margin(proba: np.ndarray, y: np.ndarray) -> np.ndarray:
    """True-class margin log(p_y / (1 - p_y)) in float64.

    proba: (n, k), rows sum to 1; y: (n,) class codes; returns (n,) finite. 1 - p_y is summed from
    the other classes, which keeps the order of answers that are nearly sure. Carlini et al. 2022
    (arXiv 2112.03570), section IV.C.
    """
    proba = np.asarray(proba, dtype=np.float64)
    rows = np.arange(len(y))
    others = proba.copy()
    others[rows, y] = 0.0
    true = np.clip(proba[rows, y], TINY, 1.0)
    rest = np.clip(others.sum(axis=1), TINY, 1.0)
    return np.asarray(np.log(true) - np.log(rest))
