"""Which bounds, levels and classes of a schema somebody called public, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from privaudit.errors import PrivauditError
from privaudit.inputs import identifiers
from privaudit.inputs.cell_text import place_booleans
from privaudit.inputs.infer_schema import list_plain, propose_schema
from privaudit.inputs.propose_series import propose_series
from privaudit.inputs.schema import TableSchema
from privaudit.inputs.table_file import Table
from privaudit.records import Column

ALL = "all"
"""In place of a column's name: every column was checked."""


def find_unchecked(
    schema: TableSchema, table: Table, checked: Sequence[str] = ()
) -> tuple[str, ...]:
    """What was read off the data and not called public since: no guarantee covers it.

    A column is not checked while the schema marks anything of it as `guessed`, nor, whatever the
    marks say, while its bounds or levels are those that `propose_schema` reads off the table,
    unless they are what is possible of a measurement of its name. The same holds of the outcome's
    classes; 0 and 1, no and yes are public.

    Args:
        schema: The schema given.
        table: The private table.
        checked: Names of columns, or of the outcome, that are public knowledge as they are; `all`
            for every one.

    Returns:
        Names of columns, and of the outcome, that are not checked.

    Raises:
        PrivauditError: For names of no column.
    """
    channels = () if schema.series is None else schema.series.channels
    known = {*schema.names, schema.outcome, *(one.name for one in channels)} - {""}
    named = {name for text in checked for name in ([text] if text in known else text.split(","))}
    named = {name.strip() for name in named}
    unknown = sorted(named - known - {ALL})
    if unknown:
        raise PrivauditError(
            f"--checked names no column of the schema: {list_plain(unknown)}",
            "it says of columns, by name, that what the schema states of them is public knowledge",
            f"name columns of the schema, or {ALL!r}",
        )
    unsure = [] if ALL in named else [n for n in _find_unsure(schema, table) if n not in named]
    return tuple(unsure)


def refuse_unchecked(schema: TableSchema, table: Table, checked: Sequence[str]) -> None:
    """Refuse a guarantee over what `find_unchecked` finds.

    Args:
        schema: The schema given.
        table: The private table.
        checked: As of `find_unchecked`.

    Raises:
        PrivauditError: For columns that are not checked, by name, and for names of no column.
    """
    unsure = find_unchecked(schema, table, checked)
    if unsure:
        raise PrivauditError(
            "a schema that may state what was read off the table (bounds, levels, kinds or "
            f"classes) of {len(unsure)} columns: {list_plain(unsure)}",
            "a guarantee would not cover what this shows of the patients at the extremes, and of "
            "those who alone have a level",
            "for each of them put in what is possible and remove `guessed`; where what stands "
            f"there is public knowledge as it is, say so by name: --checked {unsure[0]!r}, once "
            f"for each column, or --checked {ALL}",
        )


def _find_unsure(schema: TableSchema, table: Table) -> list[str]:
    """Names of columns, and of the outcome, that state what was read off the table or may."""
    plans = [_propose(schema, table, pooled=pooled) for pooled in (False, True)]
    unsure = []
    for column in schema.columns:
        marks = set(schema.guessed.get(column.name, ()))
        if column.bounds is not None and column.bounds == identifiers.find_range(column.name):
            marks.discard("bounds")
        own = [one for plan in plans if plan for one in plan.columns if one.name == column.name]
        # Where no schema can be proposed, nobody can tell what was read off the table.
        unknown = not any(plans) and bool(column.bounds or column.levels)
        if marks or unknown or any(_is_read_off(column, one) for one in own):
            unsure.append(column.name)
    if schema.classes and not place_booleans(schema.classes):
        same = any(plan and set(plan.classes) == set(schema.classes) for plan in plans)
        if same or schema.is_guessed(schema.outcome, "classes"):
            unsure.append(schema.outcome)
    return [*unsure, *_find_unsure_channels(schema, table)]


def _find_unsure_channels(schema: TableSchema, table: Table) -> list[str]:
    """Names of channels whose bounds were read off the series or may have been; one without bounds
    states nothing, and a method that reads it guarantees nothing."""
    if schema.series is None:
        return []
    try:
        proposed, _ = propose_series(Path(schema.series.file), [table], patient=schema.patient)
    except PrivauditError:
        proposed = schema.series
    read_off = {one.name: one.bounds for one in proposed.channels}
    return [
        one.name
        for one in schema.series.channels
        if one.bounds is not None
        and one.bounds != identifiers.find_range(one.name)
        and (bool(one.guessed) or one.bounds == read_off.get(one.name))
    ]


def _propose(schema: TableSchema, table: Table, *, pooled: bool) -> TableSchema | None:
    """What would be proposed from the table, None where nothing would be."""
    try:
        found, _ = propose_schema(
            table,
            outcome=schema.outcome,
            patient=schema.patient,
            unclear="propose",
            pooled=pooled,
            series=schema.series,
        )
    except PrivauditError:
        return None
    return found


def _is_read_off(column: Column, proposed: Column) -> bool:
    if column.bounds is not None and column.bounds == proposed.bounds:
        return column.bounds != identifiers.find_range(column.name)
    same = bool(column.levels) and set(column.levels) == set(proposed.levels)
    return same and not place_booleans(column.levels)


__all__ = ["ALL", "find_unchecked", "refuse_unchecked"]
