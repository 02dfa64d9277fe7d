"""The one reader of tables, CSV or Parquet, as records; and the writer of records as tables."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.errors import PrivauditError, spell
from privaudit.facts import Caveat
from privaudit.inputs.cell_faults import Faults
from privaudit.inputs.cell_text import NOT_RECORDED, clean_texts, to_labels
from privaudit.inputs.read_series import Keys, read_series
from privaudit.inputs.schema import TableSchema
from privaudit.inputs.series import require_person
from privaudit.inputs.table_file import Table, TableFile, open_table, write_atomically
from privaudit.records import Column, Records

if TYPE_CHECKING:
    import polars as pl

MAX_CELLS = 2_000_000_000
"""Cells of features in memory: 8 gigabytes."""

MAX_TEXT_CELLS = 300_000_000
"""Cells in memory as texts: about 10 gigabytes."""

MAX_GROUPS = 30
NO_OUTCOME = ("all",)
"""The classes of records without an outcome."""

_ROWS = "\0rows"


@dataclass(frozen=True, eq=False)
class Cells:
    """What was read of a table.

    X: (n, d) numbers and level codes, NaN where not recorded; y: (n,) int64 class codes, 0 where
    the schema has no outcome, or float64 where the outcome is a number; patient: (n,) int64;
    groups: name -> (n,) labels; rows: of the file, which are more than n where a sample was drawn.
    keys: what finds the series of the schema, None where it has none; series: (n, steps, channels)
    once `attach_series` has read them.
    """

    X: np.ndarray
    y: np.ndarray
    patient: np.ndarray
    groups: dict[str, np.ndarray]
    rows: int
    keys: Keys | None = None
    series: np.ndarray | None = None


def read_table(
    table: Table,
    schema: TableSchema,
    *,
    what: str = "table",
    patients: dict[str, int] | None = None,
    max_rows: int | None = None,
    rng: np.random.Generator | None = None,
) -> Records:
    """Read a table as records: features as numbers and level codes, NaN where not recorded.

    Without an outcome y is 0 for all and the one class is called "all".

    Args:
        table: A CSV or Parquet file, or a data frame.
        schema: What its columns are.
        what: What messages call it ("members": "the members table").
        patients: Names of patients -> their numbers, shared between the files of one audit, filled
            in here.
        max_rows: About how many rows to read, of patients drawn at random; None for all.
        rng: Draws the patients.

    Returns:
        The records.

    Raises:
        PrivauditError: A column is missing, a value has no place in the schema, an outcome or a
            patient is missing, or the file is no sound table.
    """
    cells = read_cells(table, schema, what=what, patients=patients, max_rows=max_rows, rng=rng)
    (cells,), _ = attach_series([cells], [what] if what != "table" else ())
    return to_records(cells, schema, what)


def attach_series(
    tables: Sequence[Cells], whats: Sequence[str] = ()
) -> tuple[list[Cells], tuple[Caveat, ...]]:
    """The same cells with the series of their schema, read in one pass for all tables, and what
    was left out of the series; as they are where the schema has none.

    Raises:
        PrivauditError: see `privaudit.inputs.read_series.read_series`.
    """
    keys = [one.keys for one in tables if one.keys is not None]
    if not keys:
        return list(tables), ()
    found, notes = read_series(keys, whats)
    return [replace(one, series=own) for one, own in zip(tables, found, strict=True)], notes


def read_cells(
    table: Table,
    schema: TableSchema,
    *,
    what: str = "table",
    patients: dict[str, int] | None = None,
    max_rows: int | None = None,
    rng: np.random.Generator | None = None,
    named_by: str = "the schema names them",
    dtype: type[np.floating[Any]] = np.float32,
) -> Cells:
    """Read and check a table's cells; arguments as of `read_table`.

    named_by: who says which columns there are, for messages; dtype: of X.
    """
    patients = {} if patients is None else patients
    with open_table(table, f"the {what} table" if what != "table" else "the table") as opened:
        _refuse_missing_columns(opened, schema, named_by)
        chosen = None
        if max_rows is not None:
            if rng is None:
                raise ValueError("a sample of the patients needs a generator")
            chosen = _draw_sample(opened, schema, max_rows, rng)
        return _read(opened, schema, patients, chosen, dtype)


def read_texts(
    table: Table,
    *,
    what: str = "table",
    needed: Sequence[str] = (),
    named_by: str,
    schema: TableSchema | None = None,
) -> pl.DataFrame:
    """Every column of a table as texts without blanks around them, null where not recorded.

    Nothing is rounded, bounded or left out: whoever looks for what tells patients apart needs the
    cells as they are.

    Args:
        table: A CSV or Parquet file, or a data frame.
        what: What messages call it.
        needed: Columns that have to be there.
        named_by: Who says so, for messages.
        schema: Says which further words mean not recorded; None for the usual ones.

    Returns:
        The columns in file order.

    Raises:
        PrivauditError: A column is missing, there are too many cells, or the file is no sound
            table.
    """
    import polars as pl

    with open_table(table, f"the {what} table" if what != "table" else "the table") as opened:
        refuse_missing_names(opened, needed, named_by)
        parts: list[pl.DataFrame] = []
        cells = 0
        for batch in opened.batches(opened.columns):
            cells += len(batch) * len(opened.columns)
            if cells > MAX_TEXT_CELLS:
                raise PrivauditError(
                    f"{opened.what} has more than {MAX_TEXT_CELLS:,} cells",
                    "all of them are held in memory as texts",
                    "leave out columns that are not released",
                )
            parts.append(batch)
    frame = pl.concat(parts) if parts else pl.DataFrame()
    if not len(frame):
        raise PrivauditError(
            f"{opened.what} has no rows", "there is nobody in it to audit", "give a table with rows"
        )
    words = [
        (*NOT_RECORDED, *(schema.get_spelling(name).missing if schema else ()))
        for name in frame.columns
    ]
    return pl.DataFrame(
        [clean_texts(frame[name], gone) for name, gone in zip(frame.columns, words, strict=True)]
    )


def to_records(cells: Cells, schema: TableSchema, what: str = "table") -> Records:
    """The cells as records of the schema; refuses columns of too many subgroups, and series that
    were not read."""
    if cells.keys is not None and cells.series is None:
        raise PrivauditError(
            "a schema with [series], where no series is read",
            "what a series gives away would be left out without a word",
            "give a schema without [series] here, of the other columns alone",
        )
    for name, labels in cells.groups.items():
        many = len(np.unique(labels))
        if many > MAX_GROUPS:
            raise PrivauditError(
                f"the group column {name!r} has {many:,} values in the {what} table",
                f"a subgroup table has at most {MAX_GROUPS} groups",
                "put its values into bands first, and name the column of bands",
            )
    return Records(
        schema.columns,
        cells.X,
        cells.y,
        cells.patient,
        np.zeros(len(cells.X), dtype=np.int64),
        groups=cells.groups,
        classes=schema.classes if schema.outcome else NO_OUTCOME,
        outcome_kind=schema.outcome_kind if schema.outcome else "class",
        ordered=schema.ordered,
        series=cells.series,
        channels=schema.series.columns if schema.series is not None else (),
    )


def write_table(records: Records, schema: TableSchema, path: Path | str) -> None:
    """Write records as CSV or Parquet (by the ending), values spelled as in the schema.

    Features in the schema's order, then the outcome; where the schema names patients, a column of
    made-up names, one a patient. The file appears complete or not at all.
    """
    import polars as pl

    path = Path(path)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise PrivauditError(
            f"a table to be written as {path.suffix or 'a file without ending'!r}",
            "tables are written as .csv or .parquet",
            "end the file's name in .csv or .parquet",
        )
    if [c.name for c in records.columns] != list(schema.names):
        raise PrivauditError(
            f"records of {len(records.columns)} columns for a schema of {len(schema.columns)}",
            "names and order have to agree",
            "write with the schema that the records were read with",
        )
    series = []
    if schema.patient:
        series.append(pl.Series(schema.patient, [f"p{i}" for i in records.patient.tolist()]))
    series += [_to_series(c, records.X[:, j]) for j, c in enumerate(schema.columns)]
    if schema.outcome and schema.outcome_kind != "class":
        series.append(pl.Series(schema.outcome, np.abs(records.y) if schema.event else records.y))
        if schema.event:
            series.append(pl.Series(schema.event, (records.y > 0).astype(np.int64)))
    elif schema.outcome:
        names = np.array(records.classes, dtype=object)
        series.append(pl.Series(schema.outcome, names[records.y].tolist(), dtype=pl.String))
    frame = pl.DataFrame(series)
    with write_atomically(path) as part:
        if path.suffix.lower() == ".csv":
            frame.write_csv(part)
        else:
            frame.write_parquet(part)


def _to_series(column: Column, values: np.ndarray) -> pl.Series:
    import polars as pl

    missing = np.isnan(values)
    if column.levels:
        texts = np.array(column.levels, dtype=object)[np.where(missing, 0, values).astype(np.int64)]
        texts[missing] = None
        return pl.Series(column.name, texts.tolist(), dtype=pl.String)
    if column.integer or column.kind == "binary":
        numbers = np.where(missing, 0, np.rint(values)).astype(np.int64)
        return pl.Series(column.name, numbers).set(pl.Series(missing), None)
    # The shortest spelling that is the same float32: 0.1, not 0.10000000149.
    return pl.Series(column.name, values.astype(np.float32)).fill_nan(None)


def _refuse_missing_columns(table: TableFile, schema: TableSchema, named_by: str) -> None:
    keys = () if schema.series is None else Keys(schema.series).columns
    needed = (*schema.names, *schema.groups, schema.outcome, schema.event, schema.patient, *keys)
    refuse_missing_names(table, needed, named_by)


def refuse_missing_names(table: TableFile, needed: Sequence[str], named_by: str) -> None:
    """Refuse a table that lacks one of these columns; "" is none."""
    present = set(table.columns)
    lacking = [name for name in dict.fromkeys(needed) if name and name not in present]
    if lacking:
        near = difflib.get_close_matches(lacking[0], table.columns, n=1)
        raise PrivauditError(
            f"{table.what} lacks {len(lacking)} of the columns: {list_names(lacking)}",
            f"{named_by}; {table.what} has {len(table.columns)} columns",
            f"did you mean {near[0]!r}?" if near else "give a table of the same columns",
        )


def list_names(names: Sequence[str], most: int = 5) -> str:
    """The first few names in quotes, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(map(repr, names[:most])) or "none") + more


def _read(
    table: TableFile,
    schema: TableSchema,
    numbers: dict[str, int],
    chosen: np.ndarray | None,
    dtype: type[np.floating[Any]],
) -> Cells:
    """chosen: (rows of the file,) bool, which rows to read; None for all."""
    keys = None if schema.series is None else Keys(schema.series)
    wanted = [*schema.names, *schema.groups, schema.outcome, schema.event, schema.patient]
    wanted += [] if keys is None else keys.columns
    if keys is not None:
        require_person(schema.patient)
    wanted = [name for name in dict.fromkeys(wanted) if name]
    blocks: list[np.ndarray] = []
    outcomes: list[np.ndarray] = []
    patients: list[np.ndarray] = []
    groups: dict[str, list[np.ndarray]] = {name: [] for name in schema.groups}
    faults = Faults(table.what)
    rows = size = 0
    for batch in table.batches(wanted):
        first, rows = rows, rows + len(batch)
        if keys is not None:
            keys.add(batch, None if chosen is None else chosen[first:rows])
        if chosen is not None:
            batch = batch.filter(chosen[first:rows])
        if not len(batch):
            continue
        size += len(batch)
        if size * len(schema.columns) > MAX_CELLS:
            raise PrivauditError(
                f"{table.what} has more than {size:,} rows of {len(schema.columns):,} columns",
                f"at most {MAX_CELLS:,} cells are held in memory",
                spell("read a sample of its patients (--sample)", "pass a sample of its patients"),
            )
        block = np.empty((len(batch), len(schema.columns)), dtype=dtype)
        for j, column in enumerate(schema.columns):
            block[:, j] = faults.read_column(batch[column.name], column, schema)
        blocks.append(block)
        if schema.outcome:
            read = faults.read_outcome(batch[schema.outcome], schema)
            if schema.event:
                read = faults.read_events(read, batch[schema.event], schema)
            outcomes.append(read)
        if schema.patient:
            patients.append(faults.read_patients(batch[schema.patient], numbers))
        for name, parts in groups.items():
            parts.append(to_labels(batch[name], schema.get_spelling(name)))
    if not size:
        raise PrivauditError(
            f"{table.what} has no rows", "there is nobody in it to audit", "give a table with rows"
        )
    faults.refuse(schema)
    if schema.patient:
        patient = np.concatenate(patients)
    else:
        first = numbers.get(_ROWS, 0)
        numbers[_ROWS] = first + size
        patient = np.arange(first, first + size)
    return Cells(
        _stack(blocks),
        np.concatenate(outcomes) if schema.outcome else np.zeros(size, dtype=np.int64),
        patient,
        {name: np.concatenate(parts) for name, parts in groups.items()},
        rows,
        keys,
    )


def _stack(blocks: list[np.ndarray]) -> np.ndarray:
    """One array of all; each block is released once copied, so memory never holds two tables."""
    rows = sum(len(block) for block in blocks)
    stacked = np.empty((rows, blocks[0].shape[1]), dtype=blocks[0].dtype)
    at = 0
    blocks.reverse()
    while blocks:
        block = blocks.pop()
        stacked[at : at + len(block)] = block
        at += len(block)
    return stacked


def _draw_sample(
    table: TableFile, schema: TableSchema, max_rows: int, rng: np.random.Generator
) -> np.ndarray | None:
    """(rows,) bool: about `max_rows` rows, of patients drawn at random; None where all fit."""
    if schema.patient:
        names: dict[str, int] = {}
        faults = Faults(table.what)
        parts = [
            faults.read_patients(batch[schema.patient], names)
            for batch in table.batches([schema.patient])
        ]
        faults.refuse(schema)
        patient = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
    else:
        name = schema.outcome or schema.names[0]
        patient = np.arange(sum(len(batch) for batch in table.batches([name])))
    if len(patient) <= max_rows:
        return None
    counts = np.bincount(patient)
    order = rng.permutation(len(counts))
    inside = np.cumsum(counts[order]) <= max_rows
    inside[0] = True
    drawn = np.zeros(len(counts), dtype=bool)
    drawn[order[inside]] = True
    return drawn[patient]


__all__ = [
    *("Cells", "attach_series", "list_names", "read_cells", "read_table", "read_texts"),
    *("to_records", "write_table"),
]
