"""Which bounds, levels and classes of a schema somebody called public, column by column."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from privaudit.errors import PrivauditError
from privaudit.inputs import identifiers
from privaudit.inputs.cell_text import OTHER, place_booleans
from privaudit.inputs.column_seen import Seen
from privaudit.inputs.infer_schema import list_plain, name_patients, propose_schema
from privaudit.inputs.propose_series import propose_series
from privaudit.inputs.schema import TableSchema
from privaudit.inputs.table_file import Table, open_table
from privaudit.records import Column

ALL = "all"
"""In place of a column's name: every column was checked."""


def find_unchecked(
    schema: TableSchema, table: Table, checked: Sequence[str] = ()
) -> tuple[str, ...]:
    """What was read off the data and not called public since: no guarantee covers it.

    A column is not checked while the schema marks anything of it as `guessed`, nor, whatever the
    marks say, while one of its bounds is what `propose_schema` reads off the table or what fewer
    than 10 people of it reach, unless that is 0 or what is possible of a measurement of its name;
    nor while it lists no level but those that the table has. The same holds of the outcome's
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
    extremes = _find_extremes(schema, table)
    unsure = []
    for column in schema.columns:
        marks = set(schema.guessed.get(column.name, ()))
        if column.bounds is not None and column.bounds == identifiers.find_range(column.name):
            marks.discard("bounds")
        own = [one for plan in plans if plan for one in plan.columns if one.name == column.name]
        # Where no schema can be proposed, nobody can tell what was read off the table.
        unknown = not any(plans) and bool(column.bounds or column.levels)
        seen = _holds(column.name, column.bounds, extremes.get(column.name, ()))
        if marks or unknown or seen or any(_is_read_off(column, one) for one in own):
            unsure.append(column.name)
    if schema.classes and not place_booleans(schema.classes):
        same = any(plan is None or set(plan.classes) >= set(schema.classes) for plan in plans)
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
        and (
            bool(one.guessed)
            or one.bounds == read_off.get(one.name)
            or _holds(one.name, one.bounds, read_off.get(one.name) or ())
        )
    ]


def _propose(schema: TableSchema, table: Table, *, pooled: bool) -> TableSchema | None:
    """What would be proposed from the table, None where nothing would be."""
    try:
        found, _ = propose_schema(
            table,
            outcome=schema.outcome,
            patient=schema.patient,
            unclear="propose",
            list_rare=not pooled,
            pooled=pooled,
            series=schema.series,
        )
    except PrivauditError:
        return None
    return found


def _find_extremes(schema: TableSchema, table: Table) -> dict[str, tuple[float, ...]]:
    """Of each column with bounds, the least and the greatest number where fewer than 10 people have
    it."""
    seen = {column.name: Seen(column.name) for column in schema.columns if column.bounds}
    with open_table(table, "the table") as opened:
        names = [name for name in (*seen, schema.patient) if name in opened.columns]
        rows = 0
        for batch in opened.batches(names) if names else ():
            who = name_patients(batch, schema.patient, rows)
            rows += len(batch)
            for name in seen.keys() & set(names):
                seen[name].read_as(schema.get_spelling(name), batch[name], who)
    shared = {name: one.pooled or () for name, one in seen.items()}
    return {
        name: tuple(end for end in (one.low, one.high) if end not in shared[name])
        for name, one in seen.items()
    }


def _holds(name: str, bounds: tuple[float, float] | None, ends: Collection[float]) -> bool:
    """Whether a bound is one of these, and neither 0 nor what is possible of a measurement of this
    name."""
    public = {0.0, *(identifiers.find_range(name) or ())}
    return any(end in ends and end not in public for end in bounds or ())


def _is_read_off(column: Column, proposed: Column) -> bool:
    if column.bounds is not None and column.bounds == proposed.bounds:
        return column.bounds != identifiers.find_range(column.name)
    if _holds(column.name, column.bounds, proposed.bounds or ()):
        return True
    # A list of which every level occurs may be that of the table, put together in another way.
    same = bool(column.levels) and {*column.levels} <= {*proposed.levels, OTHER}
    return same and not place_booleans(column.levels)


__all__ = ["ALL", "find_unchecked", "refuse_unchecked"]
