"""An outcome that is a number, in a table or a session. Its kind is said, never guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.cell_text import to_numbers
from privaudit.records import OutcomeKind

if TYPE_CHECKING:
    import polars as pl

OUTCOME_KINDS: tuple[OutcomeKind, ...] = get_args(OutcomeKind)


def check_outcome_kind(kind: str) -> OutcomeKind:
    """The kind of this name.

    Raises:
        PrivauditError: No kind of outcome has this name.
    """
    for known in OUTCOME_KINDS:
        if kind == known:
            return known
    raise PrivauditError(
        f"outcome_kind {kind!r}",
        f"known are: {', '.join(OUTCOME_KINDS)}",
        "say class where the outcome is one of several classes, number where it is a number such "
        "as a length of stay in days",
    )


def too_many_classes(outcome: str, count: str, most: int) -> PrivauditError:
    """A refusal of an outcome of so many values, of which it was not said that it is a number."""
    return PrivauditError(
        f"the outcome {outcome!r} has {count} different values",
        f"an outcome that is a class has 2 to {most} of them; more are usually a number or an "
        "identifier, and which it is is not guessed",
        "if it is a number such as a length of stay, say outcome_kind = number; else name another "
        "outcome, or put its values into classes first",
    )


def series_to_numbers(series: pl.Series) -> tuple[np.ndarray, int, int]:
    """(n,) float64, NaN where there is no number; how many are missing; how many are no number."""
    found, bad, _ = to_numbers(series)
    return (
        found.cast(float).to_numpy().astype(np.float64),
        int(found.null_count()) - bad,
        bad,
    )


def array_to_numbers(y: Any, what: str) -> np.ndarray:
    """(n,) float64 outcomes of a Python session.

    Raises:
        PrivauditError: Missing outcomes, or what is no number.
    """
    import pandas as pd

    series = pd.Series(np.asarray(y, dtype=object).ravel())
    missing = int(series.isna().sum())
    if missing:
        raise PrivauditError(
            f"{missing:,} outcomes of {what} are missing",
            "an audit needs to know every outcome",
            "drop these rows",
        )
    plain = [isinstance(x, int | float | np.number | bool | np.bool_) for x in series]
    if not all(plain):
        raise PrivauditError(
            f"{plain.count(False):,} outcomes of {what} that are no number",
            "the outcome was said to be a number",
            "pass numbers as y, in the unit that the model was trained on",
        )
    found = series.to_numpy(dtype=np.float64)
    if not np.isfinite(found).all():
        raise PrivauditError(
            f"{int((~np.isfinite(found)).sum()):,} outcomes of {what} that are infinite",
            "no residual can be taken there",
            "drop these rows",
        )
    return found


__all__ = [
    "OUTCOME_KINDS",
    "array_to_numbers",
    "check_outcome_kind",
    "series_to_numbers",
    "too_many_classes",
]
