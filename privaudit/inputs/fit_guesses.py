"""A schema whose guesses, made from a sample, are widened to the tables that it is used for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from privaudit.inputs.cell_text import OTHER, to_numbers
from privaudit.inputs.column_seen import Seen
from privaudit.inputs.infer_schema import (
    list_plain,
    name_patients,
    propose_schema,
    round_bounds,
)
from privaudit.inputs.number_text import normalise_number
from privaudit.inputs.schema import Guess, TableSchema, read_schema
from privaudit.inputs.table_file import Table, open_table
from privaudit.records import Column


def read_fitted_schema(
    path: Path, tables: Sequence[Table], whats: Sequence[str] = ()
) -> tuple[TableSchema, list[str]]:
    """Read a schema's file and widen its guesses to these tables.

    Args:
        path: The file.
        tables: The tables that the schema is used for.
        whats: What messages call them.

    Returns:
        The schema, and a note of what was widened.
    """
    return fit_guesses(read_schema(path), tables, whats)


def fit_guesses(
    schema: TableSchema, tables: Sequence[Table], whats: Sequence[str] = ()
) -> tuple[TableSchema, list[str]]:
    """Widen bounds, whole numbers and 0 or 1 that were guessed from a sample to these tables.

    Args:
        schema: The schema; what it does not call guessed stays.
        tables: The tables that it is used for.
        whats: What messages call them.

    Returns:
        The schema, and a note of what was widened.
    """
    guessed = [c for c in schema.columns if not c.levels and schema.guessed.get(c.name)]
    if not guessed:
        return schema, []
    seen = {column.name: Seen(column.name) for column in guessed}
    for place, table in enumerate(tables):
        with open_table(table, whats[place] if whats else "the table") as opened:
            present = [column.name for column in guessed if column.name in opened.columns]
            for batch in opened.batches(present) if present else ():
                for name in present:
                    _add(seen[name], batch[name], schema)
    widened = {column.name: _widen(column, seen[column.name], schema) for column in guessed}
    changed = [column.name for column in guessed if widened[column.name] != column]
    if not changed:
        return schema, []
    note = (
        "what the schema guessed from a sample (bounds, whole numbers, 0 or 1) does not hold in "
        f"these tables and was widened: {list_plain(changed)}"
    )
    columns = tuple(widened.get(column.name, column) for column in schema.columns)
    return replace(schema, columns=columns), [note]


def _add(seen: Seen, series: Any, schema: TableSchema) -> None:
    binary = schema.is_guessed(seen.name, "kind")
    numbers = to_numbers(series, schema.get_spelling(seen.name), binary=binary)[0].drop_nulls()
    if len(numbers):
        seen.add_numbers(numbers)


def _widen(column: Column, seen: Seen, schema: TableSchema) -> Column:
    if not seen.distinct:
        return column
    if column.kind == "binary":
        if not schema.is_guessed(column.name, "kind") or seen.distinct <= {0.0, 1.0}:
            return column
        bounds = round_bounds(seen.low, seen.high)
        return replace(column, kind="numeric", bounds=bounds, integer=seen.integer)
    if schema.is_guessed(column.name, "integer") and column.integer and not seen.integer:
        column = replace(column, integer=False)
    if schema.is_guessed(column.name, "bounds") and column.bounds is not None:
        low, high = column.bounds
        wider = round_bounds(min(low, seen.low), max(high, seen.high))
        column = replace(
            column,
            bounds=(
                low if seen.low >= low else wider[0],
                high if seen.high <= high else wider[1],
            ),
        )
    return column


def fit_pooled(schema: TableSchema, table: Table) -> tuple[TableSchema, list[str]]:
    """Fit what was guessed to a table, by what at least 10 of its patients have, and no fewer.

    Bounds are widened to what so many reach, whole numbers and 0 or 1 given up where so many break
    them, and levels that fewer have become `(other)`. What is not called guessed stays.

    Args:
        schema: The schema.
        table: The table that it is used for.

    Returns:
        The schema, and a note of what was changed.
    """
    if not schema.guessed:
        return schema, []
    # Of the features alone: the classes are those of the schema, however few people have one.
    proposed, _ = propose_schema(
        table,
        patient=schema.patient,
        unclear="propose",
        pooled=True,
        series=schema.series,
    )
    own = {column.name: column for column in proposed.columns}
    named = _name_levels(schema, table)
    columns = tuple(
        _fit(
            replace(column, levels=named.get(column.name, column.levels)),
            own.get(column.name),
            schema.guessed.get(column.name, ()),
        )
        for column in schema.columns
    )
    changed = [c.name for c, old in zip(columns, schema.columns, strict=True) if c != old]
    if not changed:
        return schema, []
    note = (
        "what the schema guessed (bounds, whole numbers, 0 or 1, levels) was fitted to what at "
        f"least 10 patients of this table have: {list_plain(changed)}"
    )
    return replace(schema, columns=columns), [note]


def _name_levels(schema: TableSchema, table: Table) -> dict[str, tuple[str, ...]]:
    """The guessed levels of each category without those of a few patients, which are `(other)`."""
    seen = {
        column.name: Seen(column.name)
        for column in schema.columns
        if column.levels and schema.is_guessed(column.name, "levels")
    }
    with open_table(table, "the table") as opened:
        wanted = [name for name in dict.fromkeys((*seen, schema.patient)) if name in opened.columns]
        rows = 0
        for batch in opened.batches(wanted) if seen else ():
            who = name_patients(batch, schema.patient, rows)
            rows += len(batch)
            for name in seen.keys() & set(batch.columns):
                seen[name].add(batch[name], 0, who)
    found = {}
    for column in schema.columns:
        if column.name not in seen:
            continue
        known = seen[column.name]
        shown = set(known.levels) - known.complete(known.find_rare())
        kept = [x for x in column.levels if x != OTHER and normalise_number(x) in shown]
        if len(kept) < len(column.levels):
            found[column.name] = (*kept, OTHER)
    return found


def _fit(column: Column, own: Column | None, guessed: Sequence[Guess]) -> Column:
    """own: the same column as it would be proposed; None where it would be left aside."""
    if own is None or own.kind != "numeric":
        return column
    if column.kind == "binary" and "kind" in guessed and not column.levels:
        return replace(column, kind="numeric", bounds=own.bounds, integer=own.integer)
    if "integer" in guessed:
        column = replace(column, integer=column.integer and own.integer)
    if "bounds" in guessed and column.bounds is not None and own.bounds is not None:
        (low, high), (least, most) = column.bounds, own.bounds
        column = replace(column, bounds=(min(low, least), max(high, most)))
    return column


__all__ = ["fit_guesses", "fit_pooled", "read_fitted_schema"]
