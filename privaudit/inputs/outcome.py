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
ORDERED = "ordered"
"""Said in place of a kind: a class, of several that are listed in an order."""


def check_outcome_kind(kind: str) -> OutcomeKind:
    """The kind of this name.

    Raises:
        PrivauditError: No kind of outcome has this name.
    """
    for known in OUTCOME_KINDS:
        if kind == known:
            return known
    if kind == ORDERED:
        raise PrivauditError(
            "a schema to be proposed for ordered classes",
            "their order is never guessed",
            "leave --outcome-kind out, put `classes` into their order in the schema, lowest first, "
            'remove `guessed = ["classes"]`, and write `ordered = true` beside them',
        )
    raise PrivauditError(
        f"outcome_kind {kind!r}",
        f"known are: {', '.join((*OUTCOME_KINDS, ORDERED))}",
        "say class where the outcome is one of several classes, number where it is a number such "
        "as a length of stay in days, time where it is a time to an event, ordered where it is one "
        "of several classes in an order",
    )


def read_outcome_kind(kind: str) -> tuple[OutcomeKind, bool]:
    """The kind of this name, and whether it is of classes in an order: "ordered" is a class.

    Raises:
        PrivauditError: No kind of outcome has this name.
    """
    return ("class", True) if kind == ORDERED else (check_outcome_kind(kind), False)


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


def fold_event(series: pl.Series) -> pl.Series:
    """A column of events with true and false, in any case, as 1 and 0."""
    import polars as pl

    if series.dtype != pl.String:
        return series
    words = {"true": "1", "false": "0", "yes": "1", "no": "0", "t": "1", "f": "0"}
    plain = series.str.strip_chars()
    return plain.str.to_lowercase().replace(words).alias(series.name)


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


def sign_times(time: np.ndarray, event: np.ndarray, what: str) -> np.ndarray:
    """(n,) times to an event, negative where it did not happen: what records hold.

    event: (n,) 1 or true where the event happened, 0 or false where the record was censored.

    Raises:
        PrivauditError: Times that are not above 0, or events that are neither.
    """
    strange = int((~np.isin(event, (0.0, 1.0))).sum())
    if strange:
        raise PrivauditError(
            f"{strange:,} records of {what} whose event is neither 0 nor 1",
            "1 says that the event happened at that time, 0 that the record was censored then",
            "code the event as 1 and 0, or true and false",
        )
    short = int((time <= 0).sum())
    if short:
        raise PrivauditError(
            f"{short:,} times of {what} that are not above 0",
            "a time to an event is how long a record was at risk",
            "drop these rows, or give the smallest time that can be told apart",
        )
    return np.where(event == 1.0, time, -time)


def pair_to_times(y: Any, what: str) -> np.ndarray:
    """(n,) signed times of a Python session, from (time, event) or an array with fields.

    An array with one field of booleans and one of numbers, as scikit-survival takes it, says which
    is which by their types; two columns of a matrix do not.

    Raises:
        PrivauditError: Anything else, or what `sign_times` refuses.
    """
    fields = getattr(getattr(y, "dtype", None), "names", None)
    if fields is not None and len(fields) == 2:
        kinds = {y.dtype[name].kind: name for name in fields}
        if set(kinds) in ({"b", "f"}, {"b", "i"}):
            (event,) = (y[name] for kind, name in kinds.items() if kind == "b")
            (time,) = (y[name] for kind, name in kinds.items() if kind != "b")
            return sign_times(array_to_numbers(time, what), array_to_numbers(event, what), what)
    if isinstance(y, tuple) and len(y) == 2 and len(y[0]) == len(y[1]):
        return sign_times(array_to_numbers(y[0], what), array_to_numbers(y[1], what), what)
    raise PrivauditError(
        f"{what}: outcomes that are no times with their events",
        "a time to an event comes with whether the event happened",
        "pass y=(time, event), two arrays of one length, or an array as scikit-survival takes it",
    )


__all__ = [
    "ORDERED",
    "OUTCOME_KINDS",
    "array_to_numbers",
    "check_outcome_kind",
    "fold_event",
    "pair_to_times",
    "read_outcome_kind",
    "series_to_numbers",
    "sign_times",
    "too_many_classes",
]
