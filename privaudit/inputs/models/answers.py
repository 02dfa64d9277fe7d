"""What a model answers, made probabilities of the schema's classes, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError, spell
from privaudit.inputs.number_text import is_code, parse_number

SLACK = 1e-5
"""How far float32 rounding may take a row's sum from 1. More would be room to hide an answer in:
rows are divided by their sums before they are judged."""

WRITTEN_SLACK = 1e-3
"""The same where probabilities were written down, with some three decimals."""


def probabilities(
    answers: Any, rows: int, classes: int, *, who: str = "the model", slack: float = SLACK
) -> np.ndarray:
    """(rows, classes) float64, rows sum to 1, of what was answered.

    One number a row, (n,) or (n, 1), is the probability of the last of two classes. PrivauditError
    for NaN, values outside [0, 1], rows whose sums differ from 1 by more than `slack`, and another
    number of classes.
    """
    try:
        p = np.asarray(answers, dtype=np.float64)
    except (TypeError, ValueError):
        raise PrivauditError(
            f"{who} answered with something that is no array of numbers",
            "probabilities are needed, one a class and row",
            "wrap it so that it answers with an (n, k) array",
        ) from None
    if p.ndim == 2 and p.shape[1] == 1:
        p = p[:, 0]
    if p.ndim not in (1, 2) or len(p) != rows:
        raise PrivauditError(
            f"{who} answered with an array of shape {p.shape} for {rows:,} rows",
            f"(n, {classes}), or (n,) for two classes, is needed",
            "wrap it so that it answers row by row",
        )
    missing = int(np.isnan(p).reshape(rows, -1).any(axis=1).sum())
    if missing:
        raise PrivauditError(
            f"{who} answered NaN for {missing:,} of {rows:,} rows",
            "a probability is a number; models that cannot read missing values answer so",
            "fill missing values in before the model, or give a pipeline that does",
        )
    outside = int(((p < -1e-6) | (p > 1 + 1e-6)).reshape(rows, -1).any(axis=1).sum())
    if outside:
        raise PrivauditError(
            f"{who} answered outside [0, 1] for {outside:,} of {rows:,} rows",
            "probabilities lie in [0, 1]; logits, scores and regressions do not",
            "if these are logits say "
            + spell("--answers logits", "answers='logits'")
            + ", else give a model that answers with probabilities",
        )
    p = np.clip(p, 0.0, 1.0)
    if p.ndim == 1:
        p = np.column_stack([1.0 - p, p])
    if p.shape[1] != classes:
        raise PrivauditError(
            f"{who} knows {p.shape[1]} classes and the outcome has {classes}",
            "each class of the outcome needs its probability",
            spell(
                "list in the schema's `classes` every class that the model was trained on, in its "
                "order",
                "pass classes=[...]: every class that the model was trained on, in its order",
            ),
        )
    sums = p.sum(axis=1)
    if np.abs(sums - 1).max(initial=0) > slack:
        raise PrivauditError(
            f"{who} answered with rows that do not sum to 1 "
            f"({int((np.abs(sums - 1) > slack).sum()):,} of {rows:,})",
            "the classes exclude each other",
            "give softmax probabilities, or one model a class",
        )
    result: np.ndarray = p / sums[:, None]
    return result


def from_logits(answers: Any, rows: int, classes: int) -> np.ndarray:
    """Probabilities of logits: the sigmoid of one number a row, the softmax of several.

    In float64, so that sure answers keep their order.
    """
    z = np.asarray(answers, dtype=np.float64)
    if z.ndim == 2 and z.shape[1] == 1:
        z = z[:, 0]
    if not np.isfinite(z).all():
        return probabilities(np.where(np.isfinite(z), 0.5, np.nan), rows, classes)
    if z.ndim == 1:
        z = np.column_stack([np.zeros(len(z)), z])
    z = z - z.max(axis=1, keepdims=True)
    e = np.exp(z)
    return probabilities(e / e.sum(axis=1, keepdims=True), rows, classes)


def canonical(label: Any) -> str:
    """A class label as compared: 1, 1.0 and "1" are one; so are True and "true"."""
    if isinstance(label, bool | np.bool_):
        return "true" if label else "false"
    if isinstance(label, bytes):
        label = label.decode("utf-8", "replace")
    text = str(label).strip()
    number = None if is_code(text) else parse_number(text)
    if number is None:
        return text.lower() if text.lower() in ("true", "false") else text
    return str(int(number)) if number.is_integer() else repr(number)


def order_classes(labels: Sequence[Any], classes: Sequence[str]) -> np.ndarray:
    """(len(classes),) where each class of the schema is among the model's labels."""
    own = {canonical(label): i for i, label in enumerate(labels)}
    if set(own) == {"0", "1"} and {canonical(c) for c in classes} == {"false", "true"}:
        own = {"false": own["0"], "true": own["1"]}
    if set(own) == {"false", "true"} and {canonical(c) for c in classes} == {"0", "1"}:
        own = {"0": own["false"], "1": own["true"]}
    unknown = [name for name in classes if canonical(name) not in own]
    if unknown or len(own) != len(classes):
        raise PrivauditError(
            f"the model knows {len(own)} outcomes and the table has {len(classes)}, "
            f"{len(unknown)} of them unknown to it",
            f"the model was trained on: {', '.join(map(str, labels))}; the table's are: "
            f"{', '.join(classes)}",
            spell(
                "spell outcomes as in training (--outcome, or `classes` in the schema)",
                "pass outcomes as in training",
            ),
        )
    return np.array([own[canonical(name)] for name in classes])


__all__ = ["SLACK", "WRITTEN_SLACK", "canonical", "from_logits", "order_classes", "probabilities"]
