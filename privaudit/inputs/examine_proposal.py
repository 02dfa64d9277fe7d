"""Which proposed features give the outcome or the patient away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs import identifiers
from privaudit.inputs.checks import find_identifying_columns, find_outcome_columns
from privaudit.inputs.infer_schema import list_plain
from privaudit.inputs.read_table import read_table
from privaudit.inputs.schema import TableSchema
from privaudit.inputs.table_file import Table

EXAMINED_ROWS = 20_000


def examine_proposal(schema: TableSchema, tables: Sequence[Table]) -> tuple[str, ...]:
    """Notes on features that may hold the outcome by another name, or identify a person.

    Args:
        schema: The schema proposed.
        tables: The tables that it was proposed from; a part of the first is read.

    Returns:
        The notes.
    """
    notes = []
    named = [name for name in schema.names if identifiers.find_outcome_proxy(name)]
    if schema.outcome and named:
        notes.append(
            "by its name, known only with or after the outcome, so that a model must not read it: "
            + list_plain(named)
        )
    shown, identifying = _read_examined(schema, tables[0])
    shown = [name for name in shown if name not in named]
    if shown:
        notes.append(
            f"predicts the outcome nearly perfectly by itself and may hold it by another name: "
            f"{list_plain(shown)}"
        )
    if identifying:
        notes.append(
            f"may identify a person (many or only different values): {list_plain(identifying)}"
        )
    return tuple(notes)


def _read_examined(schema: TableSchema, table: Table) -> tuple[list[str], list[str]]:
    """Names of features that predict the outcome, and of those that identify."""
    if not schema.columns:
        return [], []
    alone = replace(schema, groups=(), series=None)
    try:
        rng = np.random.default_rng(0)
        records = read_table(table, alone, max_rows=EXAMINED_ROWS, rng=rng)
    except PrivauditError:
        # What cannot be read yet is noted by the proposal itself.
        return [], []
    found = find_outcome_columns(records) if schema.outcome else []
    identifying = [
        name
        for caveat in find_identifying_columns(records)
        for name in caveat.params["columns"]  # type: ignore[union-attr]
    ]
    return [str(caveat.params["column"]) for caveat in found], identifying


__all__ = ["examine_proposal"]
