"""Tables as people have them: csv, csv.gz or Parquet, their names in upper or lower case."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import polars as pl

from privaudit.errors import PrivauditError

FORMS = (".csv.gz", ".csv", ".parquet")
_TIMES = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")
EXACT = 2.0**53
"""Whole numbers up to here are exact as floating point; an id beyond it is read as digits alone."""
KINDS = ("id", "number", "time", "flag", "text")

Kinds = Mapping[str, str]
"""The columns of a table that are read, in lower case, and the kind of each (KINDS). Every other
column is skipped unparsed."""


def columns(resource: str) -> dict[str, dict[str, str]]:
    """The tables of a source and their columns' kinds, from a CSV beside this file."""
    found: dict[str, dict[str, str]] = {}
    text = files("pipelines.sources").joinpath(resource).read_text("utf-8")
    for row in csv.DictReader(text.splitlines()):
        found.setdefault(row["table"], {})[row["column"]] = row["kind"]
    return found


def find(folders: Path | Sequence[Path], known: Iterable[str]) -> dict[str, tuple[Path, ...]]:
    """The files of each known table in the folders, csv.gz first, then csv; names in any case."""
    spelled = {name.lower(): name for name in known}
    found: dict[str, list[tuple[int, str, Path]]] = {}
    for folder in [folders] if isinstance(folders, Path) else folders:
        for path in folder.iterdir():
            name = path.name.lower()
            for rank, form in enumerate(FORMS):
                table = spelled.get(name.removesuffix(form))
                if name.endswith(form) and table and (path.is_file() or form == ".parquet"):
                    found.setdefault(table, []).append((rank, path.name, path))
    return {t: tuple(p for _, _, p in sorted(found[t])) for t in spelled.values() if t in found}


def in_two_forms(found: Mapping[str, Sequence[Path]]) -> tuple[str, ...]:
    """A note that names the tables which lie in a folder more than once; empty without any."""
    twice = [name for name, paths in found.items() if len(paths) > 1]
    if not twice:
        return ()
    return (
        f"{', '.join(twice)} lie in the folder in more than one form; csv.gz was preferred to csv, "
        "and csv to Parquet.",
    )


@dataclass(frozen=True)
class Table:
    """One table on disk.

    Args:
        name: As messages spell it; column names follow its case.
        kinds: The columns that are read.
        origin: Whose table it is, for messages: "MIMIC-III v1.4".
        optional: Columns that may be absent; they are null then.
    """

    name: str
    path: Path
    kinds: Kinds = field(default_factory=dict, hash=False)
    origin: str = "the source"
    optional: frozenset[str] = frozenset()

    @classmethod
    def open(
        cls,
        folders: Path | Sequence[Path],
        name: str,
        kinds: Mapping[str, Kinds],
        origin: str,
        optional: Iterable[str] = (),
    ) -> Table:
        """The table of this name, or a clear error that says what was looked for.

        Args:
            kinds: The columns of every table of the source, by the table's name.
        """
        found = find(folders, kinds)
        if name not in found:
            raise PrivauditError(
                f"no table {name} among the files",
                f"looked for {name}.csv.gz, {name}.csv or {name}.parquet in upper or lower case; "
                f"found {', '.join(found) or 'none of the tables'}",
                f"put {name} beside the other tables of {origin}",
            )
        return cls(name, found[name][0], kinds[name], origin, frozenset(optional))

    def shown(self, column: str) -> str:
        """A column's name as messages spell it."""
        return column.upper() if self.name.isupper() else column

    @property
    def _advice(self) -> str:
        return f"use {self.name} of {self.origin} as it is distributed"

    @cached_property
    def parts(self) -> tuple[Path, ...]:
        """The files that hold the rows: one, or the parts of a Parquet folder."""
        if self.path.is_dir():
            parts = tuple(sorted(self.path.rglob("*.parquet")))
            if not parts:
                raise PrivauditError(
                    f"{self.name}: an empty Parquet folder",
                    "it holds no *.parquet file",
                    "write the table again, or put the csv.gz file in its place",
                )
            return parts
        return (self.path,)

    @property
    def size(self) -> int:
        """Size on disk."""
        return sum(part.stat().st_size for part in self.parts)

    @property
    def mark(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and time of change of every part: what a cached result depends on."""
        stats = [(part.name, part.stat()) for part in self.parts]
        return tuple((name, s.st_size, s.st_mtime_ns) for name, s in stats)

    @property
    def is_parquet(self) -> bool:
        return self.path.name.lower().endswith(".parquet")

    @cached_property
    def header(self) -> dict[str, str]:
        """Column names in the file's order: lower case -> as written."""
        if self.is_parquet:
            with self.trouble(), self.parts[0].open("rb") as file:
                names = list(pl.read_parquet_schema(file))
        else:
            head, _ = self._head(1 << 16)
            if not head.strip():
                raise self.empty()
            text = head.decode("utf-8-sig", errors="replace")
            names = next(csv.reader(io.StringIO(text), delimiter=self._separator), [])
        lower = {name.strip().lower(): name for name in names}
        if len(lower) < len(names):
            raise PrivauditError(
                f"{self.name}: two columns of one name",
                f"the header has {len(names)} columns and {len(lower)} different names",
                self._advice,
            )
        return lower

    def check(self) -> None:
        """Refuse a table that lacks a needed column, or a plain CSV that is cut off."""
        missing = [c for c in self.kinds if c not in self.header and c not in self.optional]
        if missing:
            # Only names that are known: where there is no header, the first row stands there.
            there = [self.shown(c) for c in self.kinds if c in self.header]
            raise PrivauditError(
                f"{self.name} has no column {', '.join(map(self.shown, missing))}",
                f"of the columns that are read, its {len(self.header)} have "
                f"{', '.join(there) or 'none; is the first row a header?'}",
                f"use {self.name} of {self.origin} with all its columns",
            )
        if not self.is_parquet and self._head(2)[0] and not self._is_gzip:
            self._check_tail()

    def scan(self, careful: bool = False) -> pl.LazyFrame:
        """The needed columns, lower-cased, as a stream; numbers are parsed unless `careful`."""
        picked = [
            (pl.col(self.header[c]) if c in self.header else pl.lit(None, pl.String)).alias(c)
            for c in self.kinds
        ]
        if self.is_parquet:
            return self._scan_parts().select(picked)
        types = {"id": pl.Int64, "number": pl.Float64}
        schema: dict[str, type[pl.DataType]] = {
            name: pl.String if careful else types.get(self.kinds.get(lower, ""), pl.String)
            for lower, name in self.header.items()
        }
        # lossy: some exports hold Latin-1 bytes in free text that nobody here reads
        lazy = pl.scan_csv(
            self.path,
            schema=schema,
            infer_schema=False,
            encoding="utf8-lossy",
            glob=False,
            separator=self._separator,
        )
        return lazy.select(picked) if self.kinds else lazy

    def rows(self) -> int:
        """How many rows the table has; the whole file is read, so a damaged one is found out."""
        self.check()
        with self.trouble():
            lazy = self._scan_parts() if self.is_parquet else self.scan(careful=True)
            return int(lazy.select(pl.len()).collect(engine="streaming").item())

    def _scan_parts(self) -> pl.LazyFrame:
        return pl.scan_parquet(list(self.parts), glob=False)

    def load(self) -> pl.DataFrame:
        """A small table whole, typed, texts trimmed; every unreadable number or date is an
        error."""
        self.check()
        with self.trouble():
            frame = self.scan(careful=True).collect(engine="streaming")
        if frame.is_empty():
            raise self.empty()
        self.refuse_unreadable(frame.lazy())
        return frame.select(typed(frame.schema, self.kinds, careful=True))

    @property
    def filled(self) -> bool:
        """Whether it has a row."""
        with self.trouble():
            return len(self.scan(careful=True).head(1).collect()) > 0

    def refuse_unreadable(self, raw: pl.LazyFrame, kinds: Kinds | None = None) -> None:
        """Raise if an id is no whole number or a date is no date; says how many, never which.

        Args:
            kinds: The columns that are looked at, by default all.
        """
        kinds = self.kinds if kinds is None else kinds
        schema = raw.collect_schema()
        checked = [c for c, kind in kinds.items() if kind in ("id", "time")]
        if not checked:
            return
        marks = [unreadable(schema, c, kinds[c], careful=True).sum().alias(c) for c in checked]
        with self.trouble():
            counts = raw.select(marks).collect(engine="streaming").row(0, named=True)
        for column, count in counts.items():
            if count:
                time = kinds[column] == "time"
                raise PrivauditError(
                    f"{self.name}.{self.shown(column)}: {count:,} unreadable "
                    f"{'date(s)' if time else 'number(s)'}",
                    "a date reads like 2101-02-03 04:05:06" if time else "ids are whole numbers",
                    f"export the table again, or {self._advice}",
                )

    def expected_rows(self) -> int:
        """A guess at the number of rows from the start of the file, for a progress bar."""
        if self.is_parquet:
            with self.trouble():
                return int(self._scan_parts().select(pl.len()).collect().item())
        head, packed = self._head(1 << 20)
        return int(max(1, head.count(b"\n")) * max(1.0, self.size / max(1, packed)))

    @contextmanager
    def trouble(self, unparsed: bool = False) -> Iterator[None]:
        """Turn a reader's complaint, which may quote a row, into one that holds none.

        Args:
            unparsed: Let the complaint about a cell that cannot be parsed through, for a caller
                that will read again more carefully.
        """
        try:
            yield
        except pl.exceptions.NoDataError:
            raise self.empty() from None
        except (OSError, EOFError, zlib.error) as error:
            raise self._damaged(str(error)) from None
        except pl.exceptions.PolarsError as error:
            if unparsed and "could not parse" in str(error):
                raise
            raise self._damaged(str(error)) from None

    def empty(self) -> PrivauditError:
        """The error for a table without rows."""
        return PrivauditError(
            f"{self.name} is empty",
            "it holds no row",
            "copy the file again and check it against its checksum",
        )

    def _damaged(self, complaint: str) -> PrivauditError:
        if "No space left" in complaint:
            return PrivauditError(
                "the disk that holds the cache is full",
                f"the rows of {self.name} that are needed did not fit",
                "free 2 GB there, or name a cache folder on another disk",
            )
        known = {
            "unexpected end of file": "the compressed stream ends too early: the copy is not whole",
            "end-of-stream": "the compressed stream ends too early: the copy is not whole",
            "CRC check": "the checksum of the compressed stream does not agree",
            "checksum": "the checksum of the compressed stream does not agree",
            "corrupt": "the compressed stream is corrupt",
            "invalid block": "the compressed stream is corrupt",
            "properly escaped": "a quotation mark is opened and not closed",
            "more fields": "a row has more fields than the header",
            "Permission denied": "permission to read it was denied",
        }
        reason = next((why for word, why in known.items() if word in complaint), "it is malformed")
        return PrivauditError(
            f"{self.name} cannot be read to its end",
            reason,
            "copy the file again and check it against its checksum",
        )

    @cached_property
    def _separator(self) -> str:
        """A tab where the header has tabs and no comma, as in exports of OMOP's vocabulary."""
        first = self._head(1 << 16)[0].partition(b"\n")[0]
        return "\t" if b"\t" in first and b"," not in first else ","

    @property
    def _is_gzip(self) -> bool:
        with self.path.open("rb") as file:
            return file.read(2) == b"\x1f\x8b"

    def _head(self, size: int) -> tuple[bytes, int]:
        """The first `size` bytes of text, and how many bytes on disk held them."""
        with self.trouble(), self.path.open("rb") as file:
            if not self._is_gzip:
                head = file.read(size)
                return head, len(head)
            with gzip.open(file) as text:
                head = text.read(size)
            return head, min(file.tell(), self.size)

    def _check_tail(self) -> None:
        with self.path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(max(0, size - (1 << 16)))
            last = file.read().rpartition(b"\n")[2]
        line = last.decode("utf-8", errors="replace")
        fields = next(csv.reader([line], delimiter=self._separator), [])
        if last.strip() and len(fields) < len(self.header):
            raise self._damaged("unexpected end of file")


def typed(
    schema: Mapping[str, pl.DataType], kinds: Mapping[str, str], careful: bool
) -> list[pl.Expr]:
    """Expressions that give each raw column its kind: id, number, time, flag (bool) or text."""
    return [_read(schema[c], c, kind, careful).alias(c) for c, kind in kinds.items()]


def unreadable(schema: Mapping[str, pl.DataType], column: str, kind: str, careful: bool) -> pl.Expr:
    """Whether a cell holds something that is not of its kind."""
    raw = pl.col(column)
    filled = raw.str.strip_chars() != "" if schema[column] == pl.String else raw.is_not_null()
    return (filled & _read(schema[column], column, kind, careful).is_null()).fill_null(False)


def _read(dtype: pl.DataType, column: str, kind: str, careful: bool) -> pl.Expr:
    raw = pl.col(column)
    string = dtype == pl.String
    text = raw.str.strip_chars() if string else raw.cast(pl.String).str.strip_chars()
    if kind == "text":
        return pl.when(text != "").then(text)
    if kind == "flag":
        return (
            text.is_in(["1", "1.0"]) if string else raw.cast(pl.Float64, strict=False) == 1
        ).fill_null(False)
    if kind == "time":
        return _read_time(dtype, raw, careful)
    if kind == "number":
        return (text if string else raw).cast(pl.Float64, strict=False)
    if dtype.is_integer():
        return raw.cast(pl.Int64)
    number = (text if string else raw).cast(pl.Float64, strict=False)
    whole = (number == number.round()) & (number.abs() <= EXACT)
    rounded = pl.when(whole).then(number).cast(pl.Int64, strict=False)
    return pl.coalesce(text.cast(pl.Int64, strict=False), rounded) if string else rounded


def _read_time(dtype: pl.DataType, raw: pl.Expr, careful: bool) -> pl.Expr:
    if isinstance(dtype, pl.Datetime):
        return raw.dt.replace_time_zone(None).cast(pl.Datetime("us"))
    if dtype != pl.String:
        return raw.cast(pl.Datetime("us"), strict=False)
    if not careful:
        return raw.str.to_datetime(_TIMES[0], time_unit="us", strict=False)
    text = raw.str.strip_chars().str.replace(r"(\.\d+)?( ?(UTC|Z))?$", "")
    return pl.coalesce(text.str.to_datetime(f, time_unit="us", strict=False) for f in _TIMES)
