"""How numbers that are not plain are written in tables: proposed for a person to check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from privaudit.disclosure_limits import MIN_CELL, name_count
from privaudit.errors import PrivauditError, spell
from privaudit.inputs.cell_text import NO_NUMBER
from privaudit.inputs.column_seen import Seen
from privaudit.inputs.number_text import PLAIN, WAYS, Form, Spelling, find_form

MAX_NAMED = 12


@dataclass
class Spellings:
    """What was found.

    table, spelled: how the table and single columns are read; how: by column, how many cells are no
    plain numbers and what they hold; unread: columns of which some cells are still no number so.
    """

    table: Spelling = PLAIN
    spelled: dict[str, Spelling] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)

    def describe_keys(self) -> str:
        """The keys of a schema that say so."""
        some = [self.table, *self.spelled.values()]
        keys = []
        if any(one.decimal for one in some):
            keys.append('decimal = ","')
        for key in ("thousands", "censored", "suffix", "missing"):
            value = next((getattr(one, key) for one in some if getattr(one, key)), "")
            if value:
                said = '["..."]' if key == "missing" else f'"{value}"'
                keys.append(f"{key} = {said}")
        return " and ".join(keys) or "as `missing` for words that stand for missing values"


def find_spellings(columns: Sequence[Seen], semicolons: bool = False) -> Spellings:
    """The likeliest way to read each column of numbers that are not all plain.

    semicolons: whether a table's cells are separated by semicolons, as where commas are decimal
    marks: then 192.208 is no plain number unless 1.5 or 0.75 shows what a point is.
    """
    found = Spellings()
    if semicolons and not any(one.surely_points for one in columns):
        for one in columns:
            if one.points and not one.shape:
                found.how[one.name] = "decimal points or thousands separators"
                found.spelled[one.name] = PLAIN
                found.unread.append(one.name)
    marked = [one for one in columns if one.is_marked and not one.shape and not one.is_boolean]
    points = any(one.points for one in columns if one.texts)
    commas = [one for one in marked if _has_commas(one)]
    if commas and not points:
        found.table = Spelling(decimal=",")
    for one in marked:
        ways = list(dict.fromkeys(way for form, way in WAYS.items() if one.forms[form]))
        found.how[one.name] = f"{name_count(one.bad)} of the cells: {', '.join(ways)}"
        spelling = _find_spelling(one, bool(commas) and not points, points)
        left = _find_words(one)
        spelling = replace(spelling, missing=tuple(sorted(left.listed)))
        explained = not left.more and not one.forms[Form.ODD] and not one.is_stray_code
        if one.forms[Form.SUFFIX] and not spelling.suffix:
            explained = False
        if one.forms[Form.COMMA_OR_THOUSANDS] and not (
            spelling.thousands or spelling.decimal or found.table.decimal
        ):
            explained = False
        found.spelled[one.name] = spelling
        if not explained:
            found.unread.append(one.name)
    return found


def _has_commas(seen: Seen) -> bool:
    return bool(seen.forms[Form.COMMA] or seen.forms[Form.THOUSANDS_POINT])


def _find_spelling(seen: Seen, comma_table: bool, points: bool) -> Spelling:
    forms = seen.forms
    decimal = "," if _has_commas(seen) and not comma_table else ""
    thousands = ""
    if forms[Form.THOUSANDS_POINT]:
        thousands = "."
    elif forms[Form.THOUSANDS_COMMA]:
        thousands = ","
    elif forms[Form.THOUSANDS_BLANK]:
        thousands = " "
    elif forms[Form.COMMA_OR_THOUSANDS] and points and not _has_commas(seen):
        thousands = ","
    return Spelling(
        decimal=decimal,  # type: ignore[arg-type]
        thousands=thousands,  # type: ignore[arg-type]
        censored="bound" if forms[Form.CENSORED] else "",
        suffix=(seen.suffix or "") if seen.has_suffix else "",
    )


@dataclass
class _Words:
    listed: list[str]
    more: bool


def _find_words(seen: Seen) -> _Words:
    """The words between a column's numbers that 10 patients have, and whether there are others:
    a word of fewer may be somebody's."""
    if seen.many:
        return _Words([], bool(seen.forms[Form.WORD]))
    words = [
        level
        for level in seen.levels
        if find_form(level) is Form.WORD and level.lower() not in NO_NUMBER
    ]
    listed = [level for level in words if len(seen.holders[level]) >= MIN_CELL]
    return _Words(listed, len(listed) < len(words))


def refuse_unclear(spellings: Spellings, respelled: Sequence[str]) -> None:
    """Raise one error that names every column that can be read in several ways."""
    if not spellings.how and not respelled:
        return
    said = [f"{name!r} ({how})" for name, how in spellings.how.items()]
    said += [f"{name!r} (levels that differ by case, blanks or zeros alone)" for name in respelled]
    more = f" and {len(said) - MAX_NAMED} more" if len(said) > MAX_NAMED else ""
    because, fixes = [], []
    if spellings.how:
        because.append(
            "numbers that are read as texts hide near-duplicates and leaks, and a wrong reading "
            "makes other numbers of them"
        )
        fixes.append(
            f"say in a schema how they are written ({spellings.describe_keys()}), or make a column "
            "of codes a category there"
            + spell(": `privaudit schema` proposes this for you to check", ", or pass numbers")
        )
    if respelled:
        because.append("two spellings of a value are read as two values")
        fixes.append("spell the levels alike in all tables, or list each in a schema")
    raise PrivauditError(
        f"{len(said)} column{'s' * (len(said) > 1)} that can be read in several ways: "
        f"{', '.join(said[:MAX_NAMED])}{more}",
        "; ".join(because),
        "; ".join(fixes),
    )


__all__ = ["Spellings", "find_spellings", "refuse_unclear"]
