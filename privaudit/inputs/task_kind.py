"""What kind of task came, where it is one that cannot be audited as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError

ONE_BY_ONE = (
    "audit one outcome at a time: pass its column as y, and as the model a function that answers "
    "with that outcome's probabilities"
)


def refuse_other_kinds(X: Any, y: Any, name: str) -> None:
    """Refuse inputs and outcomes that are no table and no column, saying what they are.

    Args:
        X: The inputs as they came.
        y: The outcomes as they came.
        name: Which table they are.

    Raises:
        PrivauditError: A sparse matrix, inputs of another shape than (rows, columns), and outcomes
            of several columns or fields.
    """
    if hasattr(X, "tocsr") and hasattr(X, "toarray"):
        raise PrivauditError(
            f"{name}: X is a sparse matrix of {X.shape[0]:,} rows and {X.shape[1]:,} columns",
            "libraries differ in whether an empty cell is 0 or missing, so that the model might "
            "answer otherwise than it does for you",
            "pass X.toarray() and, where the model wants a sparse matrix, a function that converts "
            "what it is given and asks the model",
        )
    shape = getattr(X, "shape", None)
    if not hasattr(X, "columns") and shape is not None and len(shape) > 2:
        raise PrivauditError(
            f"{name}: X of shape {tuple(shape)}, such as a series or an image for each record",
            "a model of a table is audited, and a table is (rows, columns)",
            "for series pass series=(members, nonmembers), arrays of (n, steps, channels), with "
            "X=None where there is no table beside them; else audit the answers of the model to "
            "these records in place of the model",
        )
    _refuse_outcomes(y.detach().cpu().numpy() if hasattr(y, "detach") else np.asarray(y), name)


def _refuse_outcomes(y: np.ndarray, name: str) -> None:
    fields = y.dtype.names
    if fields:
        raise PrivauditError(
            f"{name}: y is a structured array of the fields {', '.join(fields)}, as outcomes of "
            "survival analysis are",
            "each record has one outcome here",
            "say outcome_kind='time' and pass y=(time, event), with a model that answers with a "
            "risk",
        )
    if y.ndim < 2 or y.shape[1] == 1:
        return
    rows, k = y.shape[0], y.shape[1]
    what = f"{name}: y of shape ({rows}, {k})" if y.ndim == 2 else f"{name}: y of shape {y.shape}"
    one_value = "each record has one outcome, a class"
    if y.ndim > 2 or y.dtype.kind not in "biuf":
        raise PrivauditError(f"{what}, several outcomes a record", one_value, ONE_BY_ONE)
    binary = bool(np.isin(y, (0, 1)).all())
    if binary and bool((y.sum(axis=1) == 1).all()):
        raise PrivauditError(
            f"{what}, one class of {k} in 0 and 1", one_value, "pass y.argmax(axis=1)"
        )
    if binary:
        raise PrivauditError(
            f"{what}, a multi-label task of {k} labels", one_value, "use privaudit.audit_labels"
        )
    if k == 2 and any(np.isin(y[:, j], (0, 1)).all() for j in range(2)):
        raise PrivauditError(
            f"{what}, a number and a yes or no, as outcomes of survival analysis are",
            one_value,
            "say outcome_kind='time' and pass y=(time, event), with a model that answers with a "
            "risk",
        )
    raise PrivauditError(f"{what}, a task of {k} outputs", one_value, ONE_BY_ONE)


def refuse_numbers_for_classes(outcomes: Sequence[np.ndarray], labels: Sequence[Any]) -> None:
    """Refuse outcomes that are measured numbers where the model knows classes.

    Raises:
        PrivauditError: There are many more different numbers than classes, or some with a fraction.
    """
    if not all(y.dtype.kind in "iuf" for y in outcomes):
        return
    values = np.unique(np.concatenate(outcomes))
    fractions = bool((values % 1 != 0).any())
    if not fractions and len(values) <= max(20, 2 * len(labels)):
        return
    raise PrivauditError(
        f"outcomes that are {len(values):,} different numbers, as of a regression (a length of "
        f"stay, say), for a model of {len(labels)} classes",
        "such a model answers with the probability of each class, and none of the numbers is one",
        "pass the classes that the model was trained on as y; for an outcome that is a number, "
        "audit the model that answers with the number",
    )


__all__ = ["refuse_numbers_for_classes", "refuse_other_kinds"]
