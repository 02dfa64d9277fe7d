"""CSV and Parquet files as batches of rows, read without trusting them."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from privaudit.errors import PrivauditError
from privaudit.inputs.cell_text import array_to_series
from privaudit.inputs.check_parquet import check_parquet
from privaudit.inputs.parquet_footer import FREE_BYTES, MAX_RATIO, BadThrift

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    Table = Path | str | pd.DataFrame | pl.DataFrame
else:
    Table = object

MAX_COLUMNS = 6_000
"""A wider table is refused: every attack would need minutes a step and gigabytes of memory."""

MAX_ROWS = 200_000_000
MAX_UNPACKED_BYTES = 64 << 30
"""Of a compressed table once unpacked."""

MAX_UNPACKING_RATIO = MAX_RATIO
"""Tables compress 3- to 50-fold; what unpacks to more than this is made to fill a disk."""

MAX_LINE_BYTES = 64 << 20
"""Of a table that is unpacked: a line is held in memory whole."""

HEADER_BYTES = 4 << 20
BATCH_CELLS = 4_000_000
"""Cells a batch: bounds the memory of reading."""

SAMPLED_LINES = 200
"""Lines by which the separator is found."""

INDEX = "Unnamed: 0"
"""The name of a first column without one."""

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")


@dataclass(frozen=True)
class TableFile:
    """A table on disk, opened. what: how messages call it ("the members table"), never its path."""

    path: Path
    what: str
    format: Literal["csv", "parquet", "frame"]
    columns: tuple[str, ...]
    separator: str = ","
    frame: pl.DataFrame | None = field(default=None, repr=False)

    def batches(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """These columns in file order of rows; those of a CSV are texts, empty ones null."""
        import polars as pl

        width = len(self.columns) if self.format == "csv" else max(len(columns), 1)
        rows = max(1_000, min(100_000, BATCH_CELLS // width))
        with translate_errors(self.what):
            yield from (
                self.lazy()
                # By name: polars takes `*` and `^...$` in plain texts for patterns.
                .select(pl.selectors.by_name(*columns))
                .collect_batches(chunk_size=rows, maintain_order=True, engine="streaming")
            )

    def lazy(self) -> pl.LazyFrame:
        """The table as polars scans it."""
        import polars as pl

        if self.frame is not None:
            return self.frame.lazy()
        # A complete path, and no glob: polars reads `~`, `*`, `[` and `s3:` as more than a name.
        path = self.path.absolute()
        if self.format == "parquet":
            return pl.scan_parquet(path, glob=False, hive_partitioning=False)
        return pl.scan_csv(
            path,
            glob=False,
            separator=self.separator,
            has_header=False,
            skip_rows=1,
            new_columns=list(self.columns),
            schema=dict.fromkeys(self.columns, pl.String),
            encoding="utf8",
        )


@contextmanager
def open_table(table: Table, what: str) -> Iterator[TableFile]:
    """Open a table; a compressed one is unpacked, up to a limit, into a folder that is removed.

    Args:
        table: A CSV or Parquet file, or a data frame of this session.
        what: What messages call it.

    Raises:
        PrivauditError: What is no table, is cut short, is empty, names a column twice, or has more
            than 6,000 columns.
    """
    if not isinstance(table, Path | str):
        yield _open_frame(table, what)
        return
    path = Path(table)
    _refuse_unreadable(path, what)
    suffixes = [s.lower() for s in path.suffixes[-2:]]
    last = suffixes[-1] if suffixes else ""
    if last == ".gz" and (len(suffixes) < 2 or suffixes[-2] in CSV_SUFFIXES):
        with tempfile.TemporaryDirectory(prefix="privaudit-") as scratch:
            plain = Path(scratch) / "table.csv"
            _unpack(path, plain, what)
            yield _open_csv(plain, what)
    elif last in PARQUET_SUFFIXES:
        yield _open_parquet(path, what)
    elif last in CSV_SUFFIXES:
        yield _open_csv(path, what)
    else:
        raise PrivauditError(
            f"{what} is a file of type {last or 'without an ending'!r}",
            "tables are read as CSV (.csv, .tsv, .csv.gz) or Parquet (.parquet)",
            "save it as one of these",
        )


def _refuse_unreadable(path: Path, what: str) -> None:
    try:
        if not path.is_file():
            raise PrivauditError(
                f"{what} is not there" if not path.exists() else f"{what} is not a file",
                "a table is one CSV or Parquet file",
                "check the path given",
            )
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise PrivauditError(
            f"{what} cannot be opened: {error.strerror}",
            "it has to be read",
            "give yourself the right to read it",
        ) from None
    if not start:
        raise PrivauditError(
            f"{what} is empty", "there is not even a header in it", "give a table with rows"
        )
    if start[:2] == b"PK":
        raise PrivauditError(
            f"{what} is a zip archive",
            "archives are not unpacked: a small one can be made to fill a disk",
            "unpack it yourself and give the CSV or Parquet file in it",
        )


def _unpack(path: Path, plain: Path, what: str) -> None:
    packed = path.stat().st_size
    free = shutil.disk_usage(plain.parent).free
    allowed = min(MAX_UNPACKED_BYTES, free // 2)
    written = line = 0
    try:
        plain.touch(mode=0o600)
        with gzip.open(path) as packed_file, plain.open("wb") as out:
            while block := packed_file.read(1 << 20):
                written += len(block)
                if written > allowed or (
                    written > FREE_BYTES and written > MAX_UNPACKING_RATIO * packed
                ):
                    raise PrivauditError(
                        f"{what} of {packed:,} bytes unpacks to more than {written - 1:,}",
                        f"at most {MAX_UNPACKING_RATIO} times its size and {allowed:,} bytes are "
                        "unpacked: "
                        "a small archive can be made to fill a disk",
                        "unpack it yourself, look at it, and give the CSV file",
                    )
                last = block.rfind(b"\n")
                line = line + len(block) if last < 0 else len(block) - last - 1
                if line > MAX_LINE_BYTES:
                    raise _too_long(what)
                out.write(block)
    except (OSError, EOFError, zlib.error):
        raise PrivauditError(
            f"{what} cannot be unpacked",
            "it is damaged or cut short",
            "copy it again from where it came",
        ) from None


def _too_long(what: str) -> PrivauditError:
    return PrivauditError(
        f"{what} has a line of more than {MAX_LINE_BYTES:,} bytes",
        "a line is one row, and is held in memory whole",
        "save it with a row on each line, or as Parquet",
    )


def _open_csv(path: Path, what: str) -> TableFile:
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    if b"\0" in start[:4096]:
        raise PrivauditError(
            f"{what} holds binary data or is in UTF-16",
            "a CSV file is text in UTF-8",
            "save it as CSV in UTF-8, or as Parquet",
        )
    try:
        text = start.decode("utf-8-sig", errors="strict" if len(start) < HEADER_BYTES else "ignore")
    except UnicodeDecodeError:
        raise _encoding(what) from None
    if "\r" in text and "\n" not in text:
        raise PrivauditError(
            f"the lines of {what} end as those of old Macintosh computers",
            "they would be read as one line",
            "save it with line ends of Windows or Unix",
        )
    if len(start) == HEADER_BYTES and "\n" not in text:
        raise PrivauditError(
            f"{what} has a header of more than {HEADER_BYTES:,} bytes",
            "its first line names the columns",
            "save it with a row on each line, or as Parquet",
        )
    separator = _find_separator(text)
    try:
        sampled = _split_lines(text, separator, complete=len(start) < HEADER_BYTES)
        names = sampled[0] if sampled else []
    except csv.Error:
        sampled, names = [], []
    if not any(name.strip() for name in names):
        raise PrivauditError(
            f"{what} has no header", "its first line names the columns", "add a header line"
        )
    if names[0].strip().lower() == "sep=":
        raise PrivauditError(
            f"{what} begins with a line for Excel that names the separator",
            "the first line of a table names its columns",
            "delete the line sep=",
        )
    _refuse_longer_rows(sampled, what)
    columns = tuple(name.strip() for name in names)
    if not columns[0] and len(columns) > 1:
        # As pandas calls it: R and pandas write the number of each row under no name.
        columns = (INDEX, *columns[1:])
    _check_names(columns, what)
    if len(start) < HEADER_BYTES and len(sampled) < 2:
        raise _empty(what)
    return TableFile(path, what, "csv", columns, separator)


def _find_separator(text: str) -> str:
    """The separator that cuts the first lines into equally many cells, the more the better.

    Where none does, the one that cuts the header into most cells.
    """
    best, rank = ",", (False, 1)
    for mark in ",;\t|":
        try:
            sampled = _split_lines(text, mark, complete=False)
        except csv.Error:
            continue
        sizes = [len(cells) for cells in sampled]
        found = (len(set(sizes)) == 1, sizes[0] if sizes else 0)
        if sizes and sizes[0] > 1 and found > rank:
            best, rank = mark, found
    return best


def _split_lines(text: str, separator: str, *, complete: bool) -> list[list[str]]:
    """The header and the first lines as cells, without blank lines; the last may be cut off."""
    cells = islice(csv.reader(io.StringIO(text, newline=""), delimiter=separator), SAMPLED_LINES)
    found = [line for line in cells if line]
    if complete or len(found) < 3:
        return found
    return found[:-1]


def _refuse_longer_rows(sampled: Sequence[Sequence[str]], what: str) -> None:
    names, rows = sampled[0], sampled[1:]
    if not rows or any(len(row) != len(names) + 1 for row in rows):
        return
    if all(not row[-1].strip() for row in rows):
        raise PrivauditError(
            f"the rows of {what} end with a separator that the header lacks",
            "every row has one cell more than there are names",
            "save it without the separator at the end of the rows, or as Parquet",
        )
    raise PrivauditError(
        f"the rows of {what} have one cell more than the header names",
        "R writes row names so, without a name for their column",
        "save it without row names, or name every column in the header",
    )


def _open_parquet(path: Path, what: str) -> TableFile:
    import polars as pl

    _refuse_false_footer(path, what)
    with translate_errors(what):
        scan = pl.scan_parquet(path.absolute(), glob=False, hive_partitioning=False)
        schema = scan.collect_schema()
        rows = scan.select(pl.len()).collect().item()
    _check_names(tuple(schema), what)
    if not rows:
        raise _empty(what)
    if rows > MAX_ROWS:
        raise _too_many_rows(rows, what)
    _refuse_nested(schema, what)
    return TableFile(path, what, "parquet", tuple(schema))


def _refuse_false_footer(path: Path, what: str) -> None:
    """Refuse what a Parquet file declares before its library sets memory aside for it."""
    try:
        footer = check_parquet(path, what)
    except (OSError, BadThrift):
        raise _damaged(what) from None
    if footer.nested:
        raise _nested(what)
    _refuse_width(footer.columns, what)
    if footer.rows > MAX_ROWS:
        raise _too_many_rows(footer.rows, what)


def _too_many_rows(rows: int, what: str) -> PrivauditError:
    return PrivauditError(
        f"{what} says it has {rows:,} rows",
        f"at most {MAX_ROWS:,} are read: a small file can claim any number",
        "give a sample of its patients",
    )


def _nested(what: str) -> PrivauditError:
    return PrivauditError(
        f"{what} has columns of lists or structures",
        "a cell of a table is one number or one text",
        "flatten or drop them",
    )


def _refuse_nested(schema: pl.Schema, what: str) -> None:
    import polars as pl

    nested = [name for name, kind in schema.items() if kind.is_nested() or kind == pl.Object]
    if nested:
        raise PrivauditError(
            f"{what} has {len(nested)} columns of lists or structures, first {nested[0]!r}",
            "a cell of a table is one number or one text",
            "flatten or drop them",
        )


def _open_frame(table: Any, what: str) -> TableFile:
    """A pandas or polars frame, its cells as a CSV file would hold them."""
    import polars as pl

    if not hasattr(table, "columns") or not hasattr(table, "shape"):
        raise PrivauditError(
            f"{what} of type {type(table).__name__}",
            "a table is a CSV or Parquet file, or a data frame",
            "give a path, or a pandas or polars data frame",
        )
    columns = tuple(str(name).strip() for name in table.columns)
    _check_names(columns, what)
    if not len(table):
        raise _empty(what)
    if isinstance(table, pl.DataFrame):
        frame = table.rename(dict(zip(table.columns, columns, strict=True)))
        _refuse_nested(frame.schema, what)
    else:
        # Through texts no number of a patient is rounded.
        frame = pl.DataFrame(
            [array_to_series(name, table.iloc[:, j]) for j, name in enumerate(columns)]
        )
    return TableFile(Path(), what, "frame", columns, frame=frame)


def _refuse_width(columns: int, what: str) -> None:
    if columns > MAX_COLUMNS:
        raise PrivauditError(
            f"{what} has {columns:,} columns",
            f"at most {MAX_COLUMNS:,} are read: beyond that one step of an attack takes minutes "
            "and gigabytes of memory",
            "keep the columns that the model reads",
        )


def _check_names(columns: tuple[str, ...], what: str) -> None:
    _refuse_width(len(columns), what)
    if not all(columns):
        raise PrivauditError(
            f"{what} has {sum(not name for name in columns)} columns without a name",
            "columns are matched by name",
            "name every column in the header",
        )
    if len(set(columns)) != len(columns):
        twice = sorted({name for name in columns if columns.count(name) > 1})
        raise PrivauditError(
            f"{what} names {len(twice)} columns twice: {', '.join(map(repr, twice[:5]))}",
            "columns are matched by name",
            "rename or drop one of each",
        )


def _empty(what: str) -> PrivauditError:
    return PrivauditError(
        f"{what} has no rows", "there is nobody in it to audit", "give a table with rows"
    )


def _encoding(what: str) -> PrivauditError:
    return PrivauditError(
        f"{what} is not in UTF-8",
        "letters beyond ASCII would be read wrongly",
        "save it as CSV in UTF-8, or as Parquet",
    )


@contextmanager
def translate_errors(what: str) -> Iterator[None]:
    """A damaged file's error without what the library quotes of it."""
    import polars as pl

    try:
        yield
    except pl.exceptions.PolarsError as error:
        text = str(error).lower()
        if "utf-8" in text or "utf8" in text:
            raise _encoding(what) from None
        sizes = re.search(r"\((\d+) != (\d+) in file\)", text)
        if sizes and int(sizes[2]) < int(sizes[1]):
            raise PrivauditError(
                f"the first row of {what} has fewer cells than the header names",
                "a blank line or a line of text after the header is no row",
                "delete it, or save it as Parquet",
            ) from None
        if "more fields" in text or sizes:
            raise PrivauditError(
                f"{what} has rows of more cells than the header names",
                "a cell would be read as another column's",
                "quote cells that hold the separator, or save it as Parquet",
            ) from None
        raise _damaged(what) from None
    except (OSError, ValueError, OverflowError):
        raise _damaged(what) from None
    except BaseException as error:
        # A parser's panic on a malformed file is raised outside Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise _damaged(what) from None


def _damaged(what: str) -> PrivauditError:
    return PrivauditError(
        f"{what} cannot be read to its end",
        "it is damaged, cut short, or not of the type that its ending says",
        "copy it again from where it came, or save it again",
    )


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, which becomes `path` when all went well."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-", suffix=path.suffix)
    except OSError as error:
        raise PrivauditError(
            f"a file cannot be written there: {error.strerror}",
            "its folder does not allow it",
            "write to another folder",
        ) from None
    os.close(handle)
    part = Path(name)
    try:
        yield part
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


__all__ = ["INDEX", "Table", "TableFile", "open_table", "write_atomically"]
