"""Why an estimator could not be trained again, without its own message, which may quote cells."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

KNOWN: tuple[tuple[str, str], ...] = (
    (
        r"eval_set|validation (data|set)|early.?stopping|valid_sets",
        "it stops early on validation data, which only its first training was handed",
    ),
    (
        r"not fitted|NotFittedError|must be fitted|call .?fit",
        "a part of it has to be fitted before, and was not handed to this training",
    ),
    (
        r"could not convert string|invalid literal for|dtype.*(object|string)|categorical_feature",
        "it cannot read the texts of this table",
    ),
    (
        r"contains NaN|missing values|\bNaN\b|Input .* infinity",
        "it cannot read missing values",
    ),
    (
        r"feature.?names|columns are missing|not in index|not found in axis|No column",
        "it asks for columns that the table does not have, or has by another name",
    ),
    (
        r"n_splits=\d+ cannot be greater|least populated class|members in each class|only one class"
        r"|number of classes|greater than one|unknown label|Invalid classes",
        "a class has too few of these records for it",
    ),
    (
        r"required positional argument|unexpected keyword|takes \d+ positional",
        "its `fit` asks for more than records and outcomes",
    ),
    (
        r"has no attribute '(iloc|loc|columns|values|assign|select_dtypes|to_numpy)'"
        r"|only supported for pandas|string is not supported for|Specifying the columns",
        "it expects a data frame and was handed an array, or the other way round",
    ),
    (r"[Ss]ingular|positive definite|not converge", "its equations have no solution here"),
    (r"n_features|features, but|shape mismatch", "it expects another number of columns"),
)
"""What messages of libraries are about (their texts are matched, never shown)."""


def explain_failure(error: BaseException) -> str:
    """What happened, as a clause: of what kind the error is, or where it came from."""
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    text = f"{type(error).__name__}: {error}"
    for pattern, meaning in KNOWN:
        if re.search(pattern, text):
            return meaning
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return f"it ended with a {type(error).__name__}"
    last = frames[-1]
    place = f"{last.name} ({Path(last.filename).name}, line {last.lineno})"
    return f"it ended with a {type(error).__name__} in {place}"


__all__ = ["explain_failure"]
