"""Ranges of settings, checked by name: one message for all that is out of range."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import MISSING, dataclass, fields
from typing import Any

from privaudit.dp import accounting
from privaudit.errors import PrivauditError


@dataclass(frozen=True)
class Range:
    """The numbers that a setting may take.

    Args:
        low: The least number.
        high: The greatest number.
        low_open: Whether `low` itself is excluded.
        high_open: Whether `high` itself is excluded.
        whole: Whether only whole numbers are allowed.
    """

    low: float
    high: float = math.inf
    low_open: bool = False
    high_open: bool = True
    whole: bool = False

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, int | float):
            return False
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below and (not self.whole or value == int(value))

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        if self.high == math.inf:
            return (
                f"{kind} above {self.low:g}" if self.low_open else f"{kind}, {self.low:g} or more"
            )
        low = f"above {self.low:g}" if self.low_open else f"from {self.low:g}"
        high = f"below {self.high:g}" if self.high_open else f"at most {self.high:g}"
        return f"{kind} {low} and {high}"


def at_least(low: float, whole: bool = True) -> Range:
    """Numbers of `low` or more: whole ones unless `whole` is False."""
    return Range(low, whole=whole)


COUNT = at_least(1)
POSITIVE = Range(0, low_open=True)
NON_NEGATIVE = Range(0)
FRACTION = Range(0, 1, low_open=True)
"""Above 0 and below 1."""
SHARE = Range(0, 1, low_open=True, high_open=False)
"""Above 0, up to the whole."""


def check_settings(owner: Any, **ranges: Range) -> None:
    """Refuse settings out of range.

    Args:
        owner: A dataclass instance that holds the settings.
        **ranges: The range of each setting, by the setting's name. For a tuple (the widths of
            layers) it is the range of every part, of which there is at least one.

    Raises:
        PrivauditError: For the first setting that is out of range.
    """
    for name, allowed in ranges.items():
        value = getattr(owner, name)
        parts = value if isinstance(value, tuple) else (value,)
        if parts and all(part in allowed for part in parts):
            continue
        default = next((f.default for f in fields(owner) if f.name == name), MISSING)
        each = "each of its parts, at least one, is" if isinstance(value, tuple) else "it is"
        raise PrivauditError(
            f"{type(owner).__name__} with {name}={value!r}",
            f"{each} {allowed}",
            f"use {name}={default}" if default is not MISSING else f"choose another {name}",
        )


def require_package(package: str, because: str, extra: str) -> None:
    """Refuse what an optional package makes where it is not installed; nothing is imported.

    Args:
        because: What the package does.
        extra: The extra of privaudit that installs it.

    Raises:
        PrivauditError: From a ModuleNotFoundError of that name.
    """
    if importlib.util.find_spec(package) is None:
        raise PrivauditError(
            f"the package {package} is not installed", because, f"pip install 'privaudit[{extra}]'"
        ) from ModuleNotFoundError(f"No module named {package!r}", name=package)


def settle_delta(owner: Any, units: int) -> float:
    """The delta of a private training.

    Args:
        owner: What holds `epsilon` and `delta`; a delta of None stands for the largest power of ten
            that is at most 1 / (10 units).
        units: How many patients (or sites) are trained on.

    Raises:
        PrivauditError: For an (epsilon, delta) that guarantees nothing.
    """
    delta = accounting.usual_delta(units) if owner.delta is None else float(owner.delta)
    accounting.check(owner.epsilon, delta, units)
    return delta


__all__ = [
    "COUNT",
    "FRACTION",
    "NON_NEGATIVE",
    "POSITIVE",
    "SHARE",
    "Range",
    "at_least",
    "check_settings",
    "settle_delta",
]
