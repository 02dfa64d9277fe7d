"""Cells of a synthetic table in columns that no attack looks at: identifiers, dates, texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from privaudit.errors import PrivauditError
from privaudit.inputs.cell_text import clean_texts, fold
from privaudit.inputs.infer_schema import LONG_TEXT, list_plain, propose_schema
from privaudit.inputs.schema import TableSchema
from privaudit.inputs.table_file import Table, open_table

if TYPE_CHECKING:
    import polars as pl

MIN_COPIED = 10
"""Fewer different values that only the real table shares are no finding, unless one is a text of
many words: nobody writes such a one twice."""

BY_CHANCE = 1e-4
"""How often a column made without the real cells would be called copied, at most."""


def refuse_copied_cells(
    real: Table, control: Table, synthetic: Table, schema: TableSchema
) -> list[str]:
    """Refuse a synthetic table that repeats real cells where no attack looks.

    Values that the real table alone has are compared with those that the control alone has: of
    a table made without the cells of the real patients, about as large a share of each occurs.

    Args:
        real: The real table.
        control: The control.
        synthetic: The synthetic table.
        schema: What is compared, and which columns are left aside.

    Returns:
        A note of the columns that nobody looks at.

    Raises:
        PrivauditError: The real table's own values occur beyond chance, or a column is left aside
            that attacks can read.
    """
    with open_table(synthetic, "the synthetic table") as opened:
        read = {*schema.names, schema.outcome}
        names = [name for name in opened.columns if name not in read]
    if not names:
        return []
    _refuse_readable(real, control, schema, names)
    made = _find_cells(synthetic, names)
    own, others = (_find_cells(table, names, once=True) for table in (real, control))
    copied = [
        name
        for name in names
        if not _is_counter(made[name])
        and _are_copied(_fold(made[name]), _fold(own[name]), _fold(others[name]))
    ]
    if copied:
        raise PrivauditError(
            f"a synthetic table that repeats cells of the real one in columns that no attack looks "
            f"at: {list_plain(copied)}",
            "identifiers, dates and free text are left aside, so that no number of the audit would "
            "show what they give away; values that the real table alone has occur there beyond "
            "chance, compared with those that the control alone has",
            "drop these columns from the synthetic table, in what is handed out too",
        )
    return [f"No attack looks at these columns of the synthetic table: {list_plain(names)}"]


def _refuse_readable(
    real: Table, control: Table, schema: TableSchema, names: Sequence[str]
) -> None:
    """Refuse columns that the schema leaves aside although they are measurements or levels."""
    aside = [name for name in names if name in schema.ignored]
    if not aside:
        return
    proposed, _ = propose_schema(
        [real, control], outcome=schema.outcome, patient=schema.patient, unclear="propose"
    )
    readable = [name for name in aside if name in proposed.names]
    if readable:
        raise PrivauditError(
            f"a synthetic table with columns that the schema leaves aside although attacks can "
            f"read them: {list_plain(readable)}",
            "what is handed out would hold columns of which nobody looked whether they are those "
            "of real patients",
            "describe each as a [[column]] of the schema, or drop it from the synthetic table, in "
            "what is handed out too",
        )


def _find_cells(table: Table, names: Sequence[str], *, once: bool = False) -> dict[str, pl.Series]:
    """The recorded cells of each column as texts, in order or each different one once."""
    import polars as pl

    found: dict[str, list[pl.Series]] = {name: [] for name in names}
    with open_table(table, "the table") as opened:
        present = [name for name in names if name in opened.columns]
        for batch in opened.batches(present) if present else ():
            for name in present:
                texts = clean_texts(batch[name]).drop_nulls()
                texts = texts.str.replace(r"^(-?[0-9]+)\.0+$", "$1")
                found[name].append(texts.unique() if once else texts)
                if once and len(found[name]) > 8:
                    found[name] = [pl.concat(found[name]).unique()]
    return {
        name: pl.concat(parts) if parts else pl.Series(name, [], dtype=pl.String)
        for name, parts in found.items()
    }


def _fold(texts: pl.Series) -> set[str]:
    """The different cells; of a date, its numbers in whatever order they are written."""
    found = set()
    for text in texts.unique().to_list():
        numbers = sorted(int(part) for part in re.findall(r"[0-9]{1,9}", text))
        parts = [str(number) for number in numbers if number]
        dated = len(numbers) >= 3 and len(text) < LONG_TEXT
        found.add(" ".join(parts) if dated else fold(text))
    return found


def _is_counter(texts: pl.Series) -> bool:
    """Whether the cells number the rows, or the made-up patients, from 0 or 1."""
    import polars as pl

    ends = texts.str.extract(r"^p?(0|[1-9][0-9]{0,14})$").cast(pl.Int64)
    if not len(ends) or ends.null_count():
        return False
    steps = ends.diff().drop_nulls()
    return int(ends[0]) in (0, 1) and bool(steps.is_in([0, 1]).all())


def _are_copied(made: set[str], own: set[str], others: set[str]) -> bool:
    from scipy.stats import binom

    kept, strange = own - others, others - own
    hits, misses = len(made & kept), len(made & strange)
    if _any_long(made & kept) and not _any_long(made & strange):
        return True
    if hits < MIN_COPIED or not kept:
        return False
    if not others:
        return True
    share = len(kept) / (len(kept) + len(strange))
    return bool(binom.sf(hits - 1, hits + misses, share) < BY_CHANCE)


def _any_long(cells: set[str]) -> bool:
    return any(len(cell) >= LONG_TEXT for cell in cells)


__all__ = ["refuse_copied_cells"]
