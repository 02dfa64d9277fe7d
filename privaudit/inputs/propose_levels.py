"""Which levels of a column a proposed schema may name: none that fewer than ten patients have."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError
from privaudit.inputs.cell_text import OTHER, to_boolean
from privaudit.inputs.column_seen import Seen
from privaudit.inputs.date_text import is_date
from privaudit.inputs.number_text import is_code, parse_number

_NEGATIVE = (
    *("no", "n", "false", "f", "alive", "survived", "negative", "neg", "control", "healthy"),
    *("absent", "none"),
)
_POSITIVE = (
    *("yes", "y", "true", "t", "dead", "died", "deceased", "expired", "positive", "pos", "case"),
    *("sick", "ill", "present", "event"),
)
"""Names of classes that say no more than that there is an outcome, however few have it."""

_PAIRS = (
    *(("false", "true"), ("no", "yes"), ("off", "on"), ("non", "oui"), ("no", "sí"), ("no", "si")),
    ("falso", "vero"),
)
"""What false and true are called together; single letters may be anything else."""


@dataclass(frozen=True)
class ProposedLevels:
    """The levels of a category, and what was put together as `(other)`."""

    levels: tuple[str, ...]
    dated: bool = False
    rare: bool = False


def propose_levels(seen: Seen, *, list_rare: bool = False, pooled: bool = False) -> ProposedLevels:
    """The levels of a category: those of fewer than 10 patients, and dates, become `(other)`.

    Args:
        seen: The column.
        list_rare: List rare levels too, as a model may know them.
        pooled: For a schema that is handed on: `(other)` stands for 10 patients or for all there
            are, so that where one level alone is rare the next smallest joins it. An audit, which
            hands no schema on, reads levels apart as far as it can.
    """
    levels = dict(seen.levels)
    dated = {level for level in levels if is_date(level)}
    rare = set() if list_rare else seen.find_rare() - dated
    hidden = dated | rare
    if pooled:
        hidden = seen.complete(hidden)
    elif len(hidden) == len(levels):
        hidden = dated if len(dated) < len(levels) else set()
    if not hidden:
        return ProposedLevels(order_levels(levels))
    named = [level for level in levels if level not in hidden and level != OTHER]
    return ProposedLevels((*order_levels(named), OTHER), bool(dated), rare <= hidden and bool(rare))


def propose_booleans(seen: Seen) -> tuple[str, ...] | None:
    """False and true as the levels of a binary column for a schema that is handed on.

    The answer is the same whether or not a few patients have the other value; () where the column
    has 0 and 1 or booleans; None where it is none, or not without naming a level of a few patients.
    """
    levels = set() if seen.many else set(seen.levels)
    said = {to_boolean(level) for level in levels}
    if not levels or None in said or (levels <= {"0", "1"} and not seen.booleans):
        return None
    held = {level: (len(seen.holders[level]), seen.levels[level]) for level in levels}
    sides = {
        value: set().union(*(seen.holders[x] for x in levels if to_boolean(x) is value))
        for value in (False, True)
    }
    if seen.booleans or min(map(len, sides.values())) >= MIN_CELL:
        return spell_booleans(seen)
    common = max(levels, key=held.__getitem__)
    pair = next((pair for pair in _PAIRS if common.lower() in pair), None)
    if pair is None or held[common][0] < MIN_CELL:
        return None
    spell = str.upper if common.isupper() else str.title if common.istitle() else str.lower
    return spell(pair[0]), spell(pair[1])


def spell_booleans(seen: Seen) -> tuple[str, ...]:
    """False and true as the first table spells them; empty where it has 0 and 1 or booleans."""
    for place, own in sorted(seen.tables.items()):
        if not own:
            continue
        if place in seen.booleans or set(own) <= {"0", "1"}:
            return ()
        said = [
            max(
                (x for x in own if to_boolean(x) is value),
                key=lambda x: (len(seen.holders[x]), own[x]),
                default="",
            )
            for value in (False, True)
        ]
        if all(said):
            return said[0], said[1]
    return ()


def refuse_rare_names(seen: Seen) -> None:
    """Refuse an outcome with a class of a few patients whose name says more than that it is one.

    Raises:
        PrivauditError: For such a class. Nothing is said where the classes are called by numbers
            from 0 to 19, or by words such as no and yes, alive and dead.
    """
    rare = [level for level in seen.levels if len(seen.holders[level]) < MIN_CELL]
    public = {*_NEGATIVE, *_POSITIVE, *map(str, range(20))}
    named = [level for level in rare if level.strip().lower() not in public]
    if named:
        raise PrivauditError(
            f"the outcome {seen.name!r} has {len(named)} classes of fewer than {MIN_CELL} patients",
            "every class is named in what is written, and the name alone would give these patients "
            "away",
            "join them with another class, or call the classes by numbers 0, 1, 2; where they are "
            "public knowledge, list them in a schema that you write yourself",
        )


def order_levels(levels: Collection[str]) -> tuple[str, ...]:
    """Plain numbers by size; texts as pandas and scikit-learn sort them."""
    numbers = [None if is_code(level) else parse_number(level) for level in levels]
    if None in numbers:
        return tuple(sorted(levels))
    return tuple(sorted(levels, key=float))


def order_classes(levels: Collection[str]) -> tuple[str, ...]:
    """As levels, but of two words the one that denies first: the last is taken for the event."""
    return tuple(sorted(order_levels(levels), key=lambda x: x.lower() not in _NEGATIVE))


__all__ = [
    "ProposedLevels",
    "order_classes",
    "order_levels",
    "propose_booleans",
    "propose_levels",
    "refuse_rare_names",
    "spell_booleans",
]
