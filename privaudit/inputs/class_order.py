"""Which output of a model belongs to which class: read, self-evident or stated, never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np

from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError
from privaudit.inputs.models.answers import canonical
from privaudit.inputs.schema import TableSchema
from privaudit.stats.auc import auc

MAX_LISTED_ORDERS = 6
"""Orders whose AUROC a refusal lists: all of up to three classes."""


@dataclass(frozen=True)
class StatedOrder:
    """What the user states of the outcomes.

    Args:
        classes: The classes in the order of the model's outputs; none where that is not stated.
        event: The class whose probability the one number, or the last of two, is; "" likewise.
    """

    classes: tuple[str, ...] = ()
    event: str = ""

    def __bool__(self) -> bool:
        return bool(self.classes or self.event)


UNSTATED = StatedOrder()
"""Nothing is stated."""


@dataclass(frozen=True)
class ClassOrder:
    """How a model's outputs are given to classes.

    Args:
        classes: The outcome's classes; where nothing else is said, in the order of the outputs.
        by_label: The model names its outputs, and each class is found by its name.
        known: The order is read, self-evident or stated; nothing may be concluded where it is not.
    """

    classes: tuple[str, ...]
    by_label: bool = False
    known: bool = True


def find_order(
    classes: Sequence[str], labels: Sequence[Any] | None, stated: StatedOrder = UNSTATED
) -> ClassOrder:
    """Say how a model's outputs belong to the classes of the outcome.

    Args:
        classes: The outcome's classes as the tables spell them.
        labels: The model's own names of its outputs, None where it has none.
        stated: What the user states.

    Returns:
        The order; one that is not `known` has to be refused once its AUROC can be stated.

    Raises:
        PrivauditError: A statement that names other classes, or contradicts the model.
    """
    given = read_statement(classes, stated)
    if labels is not None and _are_names(labels, classes):
        if given is not None and stated.classes and not _agrees(given, labels):
            raise PrivauditError(
                f"classes stated in the order {', '.join(given)}",
                f"the model itself names its outputs: {', '.join(map(str, labels))}",
                "leave the statement out, or give the model that it is about",
            )
        return ClassOrder(tuple(given or classes), by_label=True)
    if labels is not None and not _are_numbered(labels):
        # Names of other classes: binding by name says which are unknown.
        return ClassOrder(tuple(classes), by_label=True)
    if given is not None:
        return ClassOrder(given)
    evident = order_evidently(classes)
    return ClassOrder(evident or tuple(classes), known=evident is not None)


def settle_order(
    schema: TableSchema, order: ClassOrder, stated: StatedOrder, *, asked: bool
) -> TableSchema:
    """The schema with its classes in the order of the model's outputs, and said to be ordered where
    somebody listed them so.

    Args:
        schema: What the columns are.
        order: How the model's outputs are given to classes.
        stated: What the user says of that.
        asked: Whether the user says that the classes are ordered.

    Raises:
        PrivauditError: Classes that are said to be ordered, in an order that nobody stated, or in
            another one than that of the outputs.
    """
    if schema.ordered and order.classes != schema.classes:
        raise PrivauditError(
            f"ordered classes {', '.join(schema.classes)}, and outputs in the order "
            f"{', '.join(order.classes)}",
            "the place in the list is both the class's code and its place in the order",
            "give a model whose outputs are in the order of the classes or that names its classes, "
            "or remove `ordered`",
        )
    schema = replace(schema, classes=order.classes)
    if schema.ordered or not asked:
        return schema
    if not stated.classes:
        raise PrivauditError(
            "classes said to be ordered, and not listed",
            "their order is never guessed",
            "list them, lowest first: --classes A,B,..., or in a schema with `ordered = true`",
        )
    rest = {name: what for name, what in schema.guessed.items() if name != schema.outcome}
    return replace(schema, ordered=True, guessed=rest)


def read_statement(classes: Sequence[str], stated: StatedOrder) -> tuple[str, ...] | None:
    """The classes in the order that the user states, spelled as in the tables; None for none.

    Raises:
        PrivauditError: Two statements, a class left out, named twice or unknown.
    """
    if not stated:
        return None
    known = {canonical(name): name for name in classes}
    if stated.classes and stated.event:
        raise PrivauditError(
            "both the order of the classes and the event are stated",
            "the last of two classes is the event, so one of them says everything",
            "state one of them",
        )
    if stated.event:
        if len(classes) != 2:
            raise PrivauditError(
                f"an event stated of {len(classes)} classes",
                "one event tells the order of two classes alone",
                "state the order of all classes",
            )
        event = known.get(canonical(stated.event))
        if event is None:
            raise _unknown_class(stated.event, classes)
        return (*(name for name in classes if name != event), event)
    keys = [canonical(name) for name in stated.classes]
    for name, key in zip(stated.classes, keys, strict=True):
        if keys.count(key) > 1:
            raise PrivauditError(
                f"the class {name!r} is stated twice",
                "each output of the model is one class",
                "state each class once",
            )
    lacking = [name for key, name in known.items() if key not in keys]
    if lacking:
        strange = [name for name, key in zip(stated.classes, keys, strict=True) if key not in known]
        if strange:
            raise _unknown_class(strange[0], classes)
        raise PrivauditError(
            f"{len(lacking)} classes of the outcome are not in the order stated",
            f"the outcome's classes are: {', '.join(classes)}",
            "state all of them, in the order of the model's outputs",
        )
    return tuple(known.get(key, name) for name, key in zip(stated.classes, keys, strict=True))


def refuse_order_of_numbers(stated: StatedOrder) -> None:
    """Refuse a statement on classes where the outcome is none."""
    if stated:
        raise PrivauditError(
            "an order of classes, or an event, for an outcome that is no class",
            "a number or a time has no classes, so that what was stated would say nothing",
            "leave it out, or say that the outcome is a class",
        )


def order_evidently(classes: Sequence[str]) -> tuple[str, ...] | None:
    """The classes by their numbers 0 to k-1, or false before true; None for any others."""
    keys = {canonical(name): name for name in classes}
    for order in ([str(i) for i in range(len(classes))], ["false", "true"]):
        if set(keys) == set(order) and len(keys) == len(classes):
            return tuple(keys[key] for key in order)
    return None


def refuse_unknown_order(
    answers: np.ndarray, y: np.ndarray, classes: Sequence[str], *, who: str, fix: str
) -> PrivauditError:
    """The refusal of outputs that nobody gave to classes, with the AUROC under each order.

    Args:
        answers: (n, k) probabilities of the training records in the order of the outputs.
        y: (n,) their recorded outcomes, as places in `classes`.
        classes: The k classes.
        who: What answered, for the message.
        fix: How the order is stated here.
    """
    counts = np.bincount(y, minlength=len(classes))
    # The name of a class that a handful of patients have would give them away.
    classes = [
        n if c >= MIN_CELL else f"class {i}"
        for i, (n, c) in enumerate(zip(classes, counts, strict=True))
    ]
    area = np.full((len(classes), len(classes)), np.nan)
    for c in range(len(classes)):
        own = y == c
        if own.any() and not own.all():
            area[:, c] = [auc(answers[own, j], answers[~own, j]) for j in range(len(classes))]
    listed = "; ".join(
        f"{float(np.nanmean([area[j, c] for j, c in enumerate(order)])):.3f} for "
        f"{','.join(classes[c] for c in order)}"
        for order in _choose_orders(area, classes)
    )
    return PrivauditError(
        f"which of the {len(classes)} classes each output of {who} belongs to is not known",
        f"neither the file nor the names {', '.join(classes)} say it, and a guess may hide a leak; "
        f"the AUROC on the members would be {listed}",
        fix,
    )


def _choose_orders(area: np.ndarray, classes: Sequence[str]) -> list[tuple[int, ...]]:
    """All orders of few classes; else by name, as listed, and the one that fits best."""
    from scipy.optimize import linear_sum_assignment

    count = len(classes)
    if count <= 3:
        return list(permutations(range(count)))[:MAX_LISTED_ORDERS]
    by_name = tuple(sorted(range(count), key=lambda c: classes[c]))
    outputs, best = linear_sum_assignment(-np.nan_to_num(area, nan=0.5))
    fits = tuple(int(best[list(outputs).index(j)]) for j in range(count))
    return list(dict.fromkeys((by_name, tuple(range(count)), fits)))


def _are_names(labels: Sequence[Any], classes: Sequence[str]) -> bool:
    """Whether the model's labels name the outcome's classes."""
    own = {canonical(label) for label in labels}
    here = {canonical(name) for name in classes}
    pairs = ({"0", "1"}, {"false", "true"})
    return here <= own or (own in pairs and here in pairs)


def _are_numbered(labels: Sequence[Any]) -> bool:
    """Whether the labels are 0 to k-1, as an encoder numbers classes of any name."""
    own = [canonical(label) for label in labels]
    return own == [str(i) for i in range(len(own))] or own == ["false", "true"]


def _agrees(given: Sequence[str], labels: Sequence[Any]) -> bool:
    own, here = [canonical(label) for label in labels], [canonical(name) for name in given]
    fold = {"false": "0", "true": "1"}
    return own == here or [fold.get(k, k) for k in own] == [fold.get(k, k) for k in here]


def _unknown_class(name: str, classes: Sequence[str]) -> PrivauditError:
    return PrivauditError(
        f"no class {name!r}",
        f"the outcome's classes are: {', '.join(classes)}",
        "spell it as the table does",
    )


__all__ = [
    "UNSTATED",
    "ClassOrder",
    "StatedOrder",
    "find_order",
    "order_evidently",
    "read_statement",
    "refuse_order_of_numbers",
    "refuse_unknown_order",
    "settle_order",
]
