"""A schema whose guesses, made from a sample, are widened to the tables that it is used for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from privaudit.inputs.cell_text import to_numbers
from privaudit.inputs.column_seen import Seen
from privaudit.inputs.infer_schema import list_plain, round_bounds
from privaudit.inputs.schema import TableSchema, read_schema
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


__all__ = ["fit_guesses", "read_fitted_schema"]
