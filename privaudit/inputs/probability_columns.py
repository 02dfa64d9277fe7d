"""Which columns of a table hold a model's probabilities, and of which class each is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.class_order import UNSTATED, StatedOrder
from privaudit.inputs.models.answers import canonical
from privaudit.inputs.read_table import list_names

PROBABILITY_NAMES = (
    *("p", "prob", "probability", "proba", "score", "prediction", "predicted", "y_prob", "y_pred"),
    "risk",
)
_WORDS = tuple(
    sorted({*(re.sub("_", "", word) for word in PROBABILITY_NAMES), "pr", "pred", "yproba"})
)


@dataclass(frozen=True)
class ProbabilityColumns:
    """The columns, and the place of each one's class.

    named: the columns' own names say which class each is, so that no order is needed.
    """

    names: tuple[str, ...]
    at: tuple[int, ...]
    named: bool

    def fill(self, X: np.ndarray, classes: int) -> np.ndarray:
        """(n, classes): the columns (n, len(names)) where they belong; of two classes, the other's
        is the rest."""
        out = np.full((len(X), classes), np.nan)
        out[:, list(self.at)] = X
        if len(self.at) == 1 and classes == 2:
            out[:, 1 - self.at[0]] = 1.0 - X[:, 0]
        return out


def find_columns(
    given: tuple[str, ...],
    rest: Sequence[str],
    classes: Sequence[str],
    stated: StatedOrder = UNSTATED,
) -> ProbabilityColumns:
    """Find the columns of probabilities: by the classes' names in theirs, else by their place.

    Args:
        given: The columns that the user names, in order; none to look for them.
        rest: All columns that may be meant.
        classes: The classes, in the order of the outputs where it is known.
        stated: What the user states of that order.

    Raises:
        PrivauditError: No or several columns fit, or their names contradict the statement.
    """
    found = _of_given(given, rest, classes) if given else _search(rest, classes)
    last = found.at == (len(classes) - 1,)
    in_order = found.at == tuple(range(len(classes)))
    many = len(found.at) > 1
    against = (stated.classes and many and given and not in_order) or (
        bool(stated) and not many and not last
    )
    if found.named and against:
        own = ", ".join(classes[c] for c in found.at)
        raise PrivauditError(
            f"the columns {', '.join(found.names)} name the classes {own}",
            f"the order stated is {', '.join(classes)}",
            "leave the statement out, or rename the columns",
        )
    return found


def _of_given(
    given: tuple[str, ...], rest: Sequence[str], classes: Sequence[str]
) -> ProbabilityColumns:
    absent = [name for name in given if name not in rest]
    if absent or len(given) not in (1, len(classes)) or (len(given) == 1 and len(classes) > 2):
        raise PrivauditError(
            f"probabilities in {','.join(given)}",
            f"needed is one column (of the class {classes[-1]!r}) or {len(classes)}, one a class "
            f"({', '.join(classes)}); columns left are: {list_names(rest)}",
            "name the columns that hold probabilities",
        )
    named = [_class_of(name, classes, bare=True) for name in given]
    known = [c for c in named if c is not None]
    if len(known) == len(given) and len(set(known)) == len(known):
        return ProbabilityColumns(given, tuple(known), named=True)
    if known:
        raise PrivauditError(
            f"of the columns {', '.join(given)} some name a class and others do not",
            f"the classes are: {', '.join(classes)}",
            "rename the columns so that all name their class, or none does",
        )
    at = (len(classes) - 1,) if len(given) == 1 else tuple(range(len(classes)))
    return ProbabilityColumns(given, at, named=False)


def _search(rest: Sequence[str], classes: Sequence[str]) -> ProbabilityColumns:
    looking = [name for name in rest if _looks_like_probability(name)]
    for bare in (False, True):
        of = {name: _class_of(name, classes, bare=bare) for name in rest}
        per_class = [[name for name, c in of.items() if c == k] for k in range(len(classes))]
        strangers = [name for name in looking if of[name] is None]
        if all(len(found) == 1 for found in per_class) and not _are_numbers(strangers):
            return ProbabilityColumns(
                tuple(found[0] for found in per_class), tuple(range(len(classes))), named=True
            )
        single = [name for found in per_class for name in found]
        if not bare and len(classes) == 2 and len(single) == 1 and looking == single:
            place = of[single[0]]
            return ProbabilityColumns((single[0],), (0 if place is None else place,), named=True)
    numbered = {_number(name): name for name in looking if _number(name) is not None}
    if set(numbered) == set(range(len(classes))) and len(numbered) == len(looking):
        names = tuple(numbered[k] for k in range(len(classes)))
        return ProbabilityColumns(names, tuple(range(len(classes))), named=False)
    plain = [name for name in looking if name.strip().lower() in PROBABILITY_NAMES]
    if len(classes) == 2 and len(looking) == 1 and plain:
        return ProbabilityColumns((plain[0],), (1,), named=False)
    raise PrivauditError(
        f"{len(looking) or 'no'} columns look like probabilities: {list_names(looking)}",
        f"expected is one called {', '.join(PROBABILITY_NAMES[:4])}, or one a class "
        f"(p_{classes[0]}, ...)",
        "name them: --probabilities A,B",
    )


def _class_of(column: str, classes: Sequence[str], *, bare: bool) -> int | None:
    """The place of the class that a column's name names beside a word for probability."""
    if column.strip().lower() in PROBABILITY_NAMES:
        return None
    text = _plain(column)
    found = []
    for c, name in enumerate(classes):
        own = {_plain(name), _plain(canonical(name))} - {""}
        forms = {f"{word}{one}" for word in _WORDS for one in own}
        forms |= {f"{one}{word}" for word in _WORDS for one in own if not one.isdigit()}
        if text in forms or (bare and text in own):
            found.append(c)
    return found[0] if len(found) == 1 else None


def _looks_like_probability(column: str) -> bool:
    text = column.strip().lower()
    word = re.match(r"[a-z]+", text)
    marked = re.match(r"(y_)?([a-z]+?)[_.=( ]", text)
    return (
        text in PROBABILITY_NAMES
        or (marked is not None and marked.group(2) in _WORDS)
        or (word is not None and word.group(0) in _WORDS and _number(column) is not None)
    )


def _number(column: str) -> int | None:
    """The number at the end of a name such as `proba_1`."""
    found = re.fullmatch(r"(?:y_)?[a-z]+[_.=( ]*(\d+)\)?", column.strip().lower())
    return int(found.group(1)) if found else None


def _are_numbers(names: Sequence[str]) -> bool:
    return any(_number(name) is not None for name in names)


def _plain(text: str) -> str:
    return re.sub(r"[^0-9a-z]+", "", text.lower())


__all__ = ["PROBABILITY_NAMES", "ProbabilityColumns", "find_columns"]
