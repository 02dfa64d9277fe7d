"""Two parts of a document compared value by value, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from privaudit.results import to_tree


@dataclass
class Derived:
    """What came of it.

    Args:
        numbers: How many were compared.
        rounded: How many differ in the last digits alone.
        faults: Those that differ, each with its place.
        left: What was not recomputed.
    """

    numbers: int = 0
    rounded: int = 0
    faults: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


class Compare:
    """Compares what is stored with what was recomputed, value by value."""

    def __init__(self, found: Derived, rounding: float) -> None:
        self.found, self.rounding = found, rounding

    def __call__(self, where: str, stored: Any, made: Any) -> None:
        """Compare all that lies in two parts of a document."""
        for place, one, other in _leaves(where, to_tree(stored), to_tree(made)):
            self.found.numbers += 1
            if one == other:
                continue
            if isinstance(one, float) and isinstance(other, float):
                gap = abs(one - other)
                if gap <= self.rounding * max(1.0, abs(one), abs(other)):
                    self.found.rounded += 1
                    continue
            self.fault(f"{place}: {one!r:.60} is stored, {other!r:.60} is recomputed")

    def fault(self, text: str) -> None:
        """State what is wrong beside a number."""
        self.found.faults.append(text)


def _leaves(where: str, one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted(one.keys() | other.keys()):
            yield from _leaves(f"{where}.{key}", one.get(key), other.get(key))
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            yield f"{where} (how many)", len(one), len(other)
        for index, (a, b) in enumerate(zip(one, other, strict=False)):
            yield from _leaves(f"{where}.{_name_of(a, index)}", a, b)
    else:
        yield where, one, other


def _name_of(part: Any, index: int) -> str:
    """How a person finds a part of a list: by its name or metric, else by its number."""
    metric = part.get("metric") if isinstance(part, Mapping) else None
    if isinstance(metric, Mapping):
        shown = [
            str(metric[key]) for key in ("name", "fpr", "prior") if metric.get(key) is not None
        ]
        at = metric.get("at")
        return " ".join([*shown, *([f"({at['value']})"] if isinstance(at, Mapping) else [])])
    return str(part.get("name", index)) if isinstance(part, Mapping) else str(index)


__all__ = ["Compare", "Derived"]
