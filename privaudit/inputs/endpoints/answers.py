"""What a server's answers are: probabilities, rounded ones, labels or logits; never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from privaudit.errors import PrivauditError, spell
from privaudit.inputs.models.answers import SLACK, canonical, from_logits, probabilities

Kind = Literal["probabilities", "labels", "logits"]
KINDS: tuple[Kind, ...] = ("probabilities", "labels", "logits")

MOST_DECIMALS = 4
"""Decimals to which answers are taken for rounded; with more, rounding hides nothing."""

WHO = "the server"


def decide_kind(raw: list[Any], classes: Sequence[str]) -> Kind:
    """What the first answers are, where nobody states it.

    Args:
        raw: One value a row, or a list of several.
        classes: The classes of the outcome.

    Raises:
        PrivauditError: They may be two things.
    """
    if raw and all(isinstance(value, list) for value in raw):
        return "probabilities"
    known = {canonical(name) for name in classes}
    if all(isinstance(value, str | bool) for value in raw):
        return "labels"
    numbers = [value for value in raw if isinstance(value, int | float)]
    if len(numbers) < len(raw):
        raise strange_answer("neither numbers nor labels")
    if all(isinstance(value, int) for value in numbers) and {canonical(v) for v in numbers} <= (
        known | {str(i) for i in range(len(classes))}
    ):
        return "labels"
    if len(classes) == 2 and any(0 < value < 1 for value in numbers):
        return "probabilities"
    raise PrivauditError(
        "answers of one number a row that may be labels or probabilities",
        "0.0 and 1.0 are both",
        "say which they are: "
        + spell(
            "--answers labels, or --answers probabilities",
            "answers='labels' or answers='probabilities'",
        ),
    )


def read_answers(raw: list[Any], rows: int, classes: Sequence[str], kind: Kind) -> np.ndarray:
    """(rows, classes) float64 probabilities of what a server answered, row by row.

    A label is the probability 1 of its class. Rounded probabilities may miss a sum of 1 by what
    their decimals explain.

    Raises:
        PrivauditError: Another number of rows or classes, a value that is no finite number, a row
            that does not sum to 1, or a label that is no class.
    """
    if len(raw) != rows:
        raise PrivauditError(
            f"{WHO} answered {len(raw):,} rows, and {rows:,} were asked about",
            "which answer belongs to which row is then not known",
            "mend the server: one answer a row, in the order of the rows",
        )
    if kind == "labels":
        return _read_labels(raw, classes)
    found = _read_numbers(raw)
    if kind == "logits":
        if not np.isfinite(found).all():
            raise strange_answer("NaN or infinity")
        return from_logits(found, rows, len(classes))
    slack = SLACK
    if found.ndim == 2 and found.shape[1] > 1 and np.abs(found.sum(axis=1) - 1).max() > SLACK:
        decimals = count_decimals(found)
        if decimals is not None:
            if (found == 0).all(axis=1).any():
                raise strange_answer("a row of zeros alone")
            slack = found.shape[1] * 0.5 * 10.0**-decimals + 1e-9
    return probabilities(found, rows, len(classes), who=WHO, slack=slack)


def count_decimals(p: np.ndarray) -> int | None:
    """To how many decimals all of the probabilities are rounded; None for more than 4."""
    for decimals in range(MOST_DECIMALS + 1):
        if np.abs(p - np.round(p, decimals)).max(initial=0.0) <= 1e-6 * 10.0**-decimals:
            return decimals
    return None


def _read_numbers(raw: list[Any]) -> np.ndarray:
    widths = {len(value) if isinstance(value, list) else 0 for value in raw}
    if len(widths) > 1:
        raise strange_answer("rows of several lengths")
    flat = [part for value in raw for part in (value if isinstance(value, list) else [value])]
    if not all(isinstance(part, int | float) and not isinstance(part, bool) for part in flat):
        raise strange_answer("values that are no numbers")
    try:
        found = np.array(raw, dtype=np.float64)
    except OverflowError:
        raise strange_answer("a number too large to be one") from None
    if not np.isfinite(found).all():
        raise strange_answer("a number too large to be one")
    return found


def _read_labels(raw: list[Any], classes: Sequence[str]) -> np.ndarray:
    flat = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in raw]
    if not all(isinstance(value, str | int | float) for value in flat):
        raise strange_answer("values that are no labels")
    at = {canonical(name): j for j, name in enumerate(classes)}
    places = {"false": "0", "true": "1"}
    # A model may number its classes, in the order that was read or stated.
    numbered = {str(j): j for j in range(len(classes))}
    names = [canonical(value) for value in flat]
    by_name = set(names) <= set(at)
    codes = at if by_name else numbered
    if not by_name:
        names = [places.get(name, name) for name in names]
    unknown = sum(name not in codes for name in names)
    if unknown:
        raise PrivauditError(
            f"{WHO} answered {unknown:,} of {len(names):,} rows with a label that is no class of "
            "the outcome",
            f"the classes are: {', '.join(classes)}",
            "spell them in the table as the model does; if the answers are no labels, say so: "
            + spell("--answers probabilities", "answers='probabilities'"),
        )
    made = np.zeros((len(names), len(classes)))
    made[np.arange(len(names)), [codes[name] for name in names]] = 1.0
    return made


def strange_answer(what: str) -> PrivauditError:
    """An answer of another shape than what was asked for."""
    return PrivauditError(
        f"{WHO} answered with {what}",
        "one probability a class, or one label, is needed for each row",
        "say which output holds the probabilities: "
        + spell("--output NAME, or --answers KIND", "output= or answers="),
    )


__all__ = ["KINDS", "Kind", "count_decimals", "decide_kind", "read_answers", "strange_answer"]
