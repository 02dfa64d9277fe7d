"""Signs that a file holds records by its nature, whether or not they were read."""

from __future__ import annotations

import numpy as np

from privaudit.attacks.reconstruction._column_maps import IDENTIFYING
from privaudit.attacks.reconstruction._row_tables import LEAST_ROWS, WIDEST
from privaudit.inputs.artefacts.pickled_arrays import Content

HOLDERS = frozenset(
    {
        # Attributes of scikit-learn's estimators: rows, or what was made of each.
        *("_fit_X", "X_fit_", "X_train_", "X_", "_X", "training_data_", "training_data"),
        *("support_vectors_", "component_indices_", "core_sample_indices_"),
        *("cluster_centers_indices_", "embedding_", "X_transformed_fit_"),
        *("x_scores_", "_x_scores", "y_scores_", "_y_scores"),
        *("KDTree", "KDTree32", "KDTree64", "BallTree", "BallTree32", "BallTree64"),
        # Operators and attributes of ONNX.
        *("SVMClassifier", "SVMRegressor", "support_vectors", "CDist"),
    }
)
"""Names that stand in files which hold training records."""


def expect_share(content: Content, n: int, width: int) -> float:
    """Share of n records of so many columns that a file seems to hold.

    Of a kind that keeps records by the longest of its tables; all where a table has one row a
    record.
    """
    tables = [one for one in content.arrays if one.dtype.kind == "f" and _is_table(one.shape)]
    # Columns sorted each by itself are quantiles, and hold no row.
    tables = [one for one in tables if not (np.diff(one, axis=0) >= 0).all()]
    if any(n in one.shape and _varies(one if len(one) == n else one.T) for one in tables):
        return 1.0
    if not HOLDERS & content.words:
        return 0.0
    flat = [len(one) // width for one in content.arrays if one.dtype.kind == "f" and one.ndim == 1]
    rows = max([len(one) for one in tables] + flat, default=0)
    return min(1.0, rows / max(1, n)) if rows >= LEAST_ROWS else 0.0


def count_alike(cells: np.ndarray, others: np.ndarray) -> float:
    """Share of records (n, d) of which another (m, d) has every cell: whom no row tells of."""
    known = {row.tobytes() for row in np.nan_to_num(others, nan=np.inf)}
    alike = [row.tobytes() in known for row in np.nan_to_num(cells, nan=np.inf)]
    return float(np.mean(alike)) if alike else 1.0


def _is_table(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and min(shape) >= 2 and min(shape) <= WIDEST


def _varies(table: np.ndarray) -> bool:
    """Whether two columns tell records apart, as an outcome's two probabilities need not."""
    few = table[:, :WIDEST]
    wide = [len(np.unique(column[np.isfinite(column)])) >= IDENTIFYING for column in few.T]
    return sum(wide) >= 2


__all__ = ["count_alike", "expect_share"]
