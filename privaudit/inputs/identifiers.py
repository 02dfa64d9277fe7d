"""What a column's name and the shape of its cells say about it: identifiers, what is sensitive.

The names and patterns are in `identifiers.toml`.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


@cache
def _pattern(key: str) -> re.Pattern[str]:
    return re.compile(rf"(^|_)({'|'.join(_tables()[key])})($|_)")


def normalise(name: str) -> str:
    """A column's name in lower case with underscores: patientName is patient_name."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


@cache
def cell_shapes() -> tuple[tuple[str, str], ...]:
    """(what it is, the pattern of a complete cell) for identifiers that show in their cells."""
    return tuple((shape["what"], "|".join(shape["cell"])) for shape in _tables()["shape"])


def _find(table: str, name: str) -> dict[str, Any] | None:
    plain = normalise(name)
    entries: list[dict[str, Any]] = _tables()[table]
    return next((one for one in entries if re.fullmatch("|".join(one["names"]), plain)), None)


def find_identifier(name: str) -> str:
    """What of the safe harbour's list a column of this name may hold; "" for nothing."""
    found = _find("identifier", name)
    return "" if found is None else str(found["what"])


def find_range(name: str) -> tuple[float, float] | None:
    """The range that is possible of a well known measurement of this name."""
    found = _find("range", name)
    return None if found is None else (float(found["bounds"][0]), float(found["bounds"][1]))


def is_sensitive(name: str) -> bool:
    """Whether a column of this name is worth inferring about a patient."""
    return bool(_pattern("sensitive_words").search(normalise(name)))


def is_fixed(name: str) -> bool:
    """Whether what a column of this name holds cannot be changed about a patient."""
    return bool(_pattern("fixed_words").search(normalise(name)))


def is_outcome(name: str) -> bool:
    """Whether a column of this name is likely the outcome."""
    return normalise(name) in _tables()["outcome"]


def find_outcome_proxy(name: str) -> bool:
    """Whether a column of this name is known only with or after an outcome such as death."""
    return bool(re.fullmatch("|".join(_tables()["outcome_proxy"]), normalise(name)))


def find_patient(names: tuple[str, ...]) -> str:
    """The column that names patients, by the name that says so best; "" for none."""
    by_name = {normalise(name): name for name in reversed(names)}
    return next((by_name[word] for word in _tables()["patient"] if word in by_name), "")


__all__ = [
    "cell_shapes",
    "find_identifier",
    "find_outcome_proxy",
    "find_patient",
    "find_range",
    "is_fixed",
    "is_outcome",
    "is_sensitive",
    "normalise",
]
