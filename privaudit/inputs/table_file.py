"""CSV and Parquet files as batches of rows, read without trusting them."""

from __future__ import annotations

import csv
import gzip
import io
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    import polars as pl

MOST_COLUMNS = 6_000
"""A wider table is refused: every attack would need minutes a step and gigabytes of memory."""

MOST_ROWS = 200_000_000
MOST_BYTES = 64 << 30
"""Of a compressed table once unpacked."""

BOMB_RATIO = 300
"""Tables compress 3- to 50-fold; what unpacks to more than this is made to fill a disk."""

HEADER_BYTES = 4 << 20
CELLS = 4_000_000
"""Cells a batch: bounds the memory of reading."""

TEXTS = (".csv", ".tsv", ".txt")
PARQUETS = (".parquet", ".pq")


@dataclass(frozen=True)
class Source:
    """A table on disk, opened. what: how messages call it ("the members table"), never its path."""

    path: Path
    what: str
    format: Literal["csv", "parquet"]
    columns: tuple[str, ...]
    separator: str = ","

    def batches(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """These columns in file order of rows; those of a CSV are texts, empty ones null."""
        width = max(len(columns), 1) if self.format == "parquet" else len(self.columns)
        rows = max(1_000, min(100_000, CELLS // width))
        with faults(self.what):
            yield from (
                self.lazy()
                .select(columns)
                .collect_batches(chunk_size=rows, maintain_order=True, engine="streaming")
            )

    def lazy(self) -> pl.LazyFrame:
        import polars as pl

        if self.format == "parquet":
            return pl.scan_parquet(self.path)
        return pl.scan_csv(
            self.path, separator=self.separator, has_header=False, skip_rows=1,
            new_columns=list(self.columns), schema=dict.fromkeys(self.columns, pl.String),
            encoding="utf8",
        )  # fmt: skip


@contextmanager
def source(path: Path | str, what: str) -> Iterator[Source]:
    """Open a table; a compressed one is unpacked, up to a limit, into a private folder that is removed.

    PrivauditError for what is no table, is cut short, is empty, names a column twice, or has more
    than 6,000 columns.
    """
    path = Path(path)
    _readable(path, what)
    suffixes = [s.lower() for s in path.suffixes[-2:]]
    last = suffixes[-1] if suffixes else ""
    if last == ".gz" and (len(suffixes) < 2 or suffixes[-2] in TEXTS):
        with tempfile.TemporaryDirectory(prefix="privaudit-") as scratch:
            plain = Path(scratch) / "table.csv"
            _unpack(path, plain, what)
            yield _csv(plain, what)
    elif last in PARQUETS:
        yield _parquet(path, what)
    elif last in TEXTS:
        yield _csv(path, what)
    else:
        raise PrivauditError(
            f"{what} is a file of type {last or 'without an ending'!r}",
            "tables are read as CSV (.csv, .tsv, .csv.gz) or Parquet (.parquet)",
            "save it as one of these",
        )


def _readable(path: Path, what: str) -> None:
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
    allowed = min(MOST_BYTES, free // 2)
    written = 0
    try:
        with gzip.open(path) as source, plain.open("wb") as out:
            while block := source.read(1 << 20):
                written += len(block)
                if written > allowed or (written > 64 << 20 and written > BOMB_RATIO * packed):
                    raise PrivauditError(
                        f"{what} of {packed:,} bytes unpacks to more than {written - 1:,}",
                        f"at most {BOMB_RATIO} times its size and {allowed:,} bytes are unpacked: "
                        "a small archive can be made to fill a disk",
                        "unpack it yourself, look at it, and give the CSV file",
                    )
                out.write(block)
    except (OSError, EOFError, zlib.error):
        raise PrivauditError(
            f"{what} cannot be unpacked",
            "it is damaged or cut short",
            "copy it again from where it came",
        ) from None


def _csv(path: Path, what: str) -> Source:
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    if b"\0" in start[:4096]:
        raise PrivauditError(
            f"{what} holds binary data",
            "a CSV file is text in UTF-8",
            "save it as CSV in UTF-8, or as Parquet",
        )
    try:
        text = start.decode("utf-8-sig", errors="strict" if len(start) < HEADER_BYTES else "ignore")
    except UnicodeDecodeError:
        raise _encoding(what) from None
    header = text.split("\n", 1)[0]
    separator = max(",;\t|", key=lambda mark: (header.count(mark), mark == ","))
    lines = io.StringIO(text, newline="")
    try:
        names = next(csv.reader(lines, delimiter=separator), [])
    except csv.Error:
        names = []
    if not any(name.strip() for name in names):
        raise PrivauditError(
            f"{what} has no header", "its first line names the columns", "add a header line"
        )
    columns = tuple(name.strip() for name in names)
    _names(columns, what)
    if len(start) < HEADER_BYTES and not any(line.strip() for line in lines):
        raise _empty(what)
    return Source(path, what, "csv", columns, separator)


def _parquet(path: Path, what: str) -> Source:
    import polars as pl

    with faults(what):
        scan = pl.scan_parquet(path)
        schema = scan.collect_schema()
        rows = scan.select(pl.len()).collect().item()
    _names(tuple(schema), what)
    if not rows:
        raise _empty(what)
    if rows > MOST_ROWS:
        raise PrivauditError(
            f"{what} says it has {rows:,} rows",
            f"at most {MOST_ROWS:,} are read: a small file can claim any number",
            "give a sample of its patients",
        )
    nested = [name for name, kind in schema.items() if kind.is_nested() or kind == pl.Object]
    if nested:
        raise PrivauditError(
            f"{what} has {len(nested)} columns of lists or structures, first {nested[0]!r}",
            "a cell of a table is one number or one text",
            "flatten or drop them",
        )
    return Source(path, what, "parquet", tuple(schema))


def _names(columns: tuple[str, ...], what: str) -> None:
    if len(columns) > MOST_COLUMNS:
        raise PrivauditError(
            f"{what} has {len(columns):,} columns",
            f"at most {MOST_COLUMNS:,} are read: beyond that one step of an attack takes minutes "
            "and gigabytes of memory",
            "keep the columns that the model reads",
        )
    if not all(columns):
        raise PrivauditError(
            f"{what} has {sum(not name for name in columns)} columns without a name",
            "columns are told apart by name",
            "name every column in the header",
        )
    if len(set(columns)) != len(columns):
        twice = sorted({name for name in columns if columns.count(name) > 1})
        raise PrivauditError(
            f"{what} names {len(twice)} columns twice: {', '.join(map(repr, twice[:5]))}",
            "columns are told apart by name",
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
def faults(what: str) -> Iterator[None]:
    """A damaged file's error without what the library quotes of it."""
    import polars as pl

    try:
        yield
    except pl.exceptions.PolarsError as error:
        said = str(error)
        if "utf-8" in said.lower() or "utf8" in said.lower():
            raise _encoding(what) from None
        if "more fields" in said:
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
def appear(path: Path) -> Iterator[Path]:
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
