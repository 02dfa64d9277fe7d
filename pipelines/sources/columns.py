"""Tables of events with one column a field: MIMIC, OMOP, and most exports of a hospital."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from pipelines.sources.shapes import RAW, EventTable, Wanted
from pipelines.sources.tables import Table, typed, unreadable


@dataclass(frozen=True)
class Fields:
    """Which column holds which field of RAW; None where the table has no such column.

    Args:
        known: The column of the time of storage; give that of `time` where the table has none and
            the time stands for it.
        texts: Columns of words, the first that is filled counts.
        error: A flag; rows on which it is set are left out.
    """

    subject: str
    time: str
    code: str
    value: str
    unit: str | None = None
    known: str | None = None
    texts: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, eq=False)
class FileTable(EventTable):
    """A table of events that is one `Table` on disk; subclasses say how its rows become RAW."""

    table: Table

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.table.name

    @property
    def size(self) -> int:
        return self.table.size

    @property
    def mark(self) -> object:
        return self.table.mark

    def check(self) -> None:
        self.table.check()

    def expected_rows(self) -> int:
        return self.table.expected_rows()

    def scan(self, careful: bool = False) -> pl.LazyFrame:
        return self.table.scan(careful)

    def refuse_unreadable(self) -> None:
        self.table.refuse_unreadable(self.table.scan(careful=True))

    @contextmanager
    def trouble(self, unparsed: bool = False) -> Iterator[None]:
        with self.table.trouble(unparsed):
            yield


@dataclass(frozen=True, eq=False)
class ColumnTable(FileTable):
    """A `Table` whose columns are the fields of RAW.

    Args:
        system: What RAW.system says.
    """

    fields: Fields
    system: str

    def raw(self, rows: pl.LazyFrame, wanted: Wanted, careful: bool = False) -> pl.LazyFrame:
        f, kinds = self.fields, dict(self.table.kinds)
        schema = rows.collect_schema()
        times = {c: kind for c, kind in kinds.items() if kind == "time"}
        plain = {c: kind for c, kind in kinds.items() if kind not in ("time", "text")}
        mine = wanted.codes.filter(pl.col("system") == self.system)
        dtype = pl.Int64 if kinds[f.code] == "id" else pl.String
        ids, worded = mine["code"], mine.filter(pl.col("words"))["code"]
        code = pl.col(f.code) if dtype == pl.Int64 else pl.col(f.code).str.strip_chars()
        lazy = rows.with_columns(typed(schema, plain, careful)).filter(
            code.is_in(_as(ids, dtype).implode())
        )
        if f.error is not None:
            lazy = lazy.filter(~pl.col(f.error))
        # Dates are parsed for patients with a stay alone: that is the dearest step.
        lazy = lazy.join(
            wanted.subjects.lazy(), left_on=f.subject, right_on="subject", how="semi"
        ).with_columns(
            typed(schema, times, careful),
            bad=pl.any_horizontal(unreadable(schema, c, "time", careful) for c in times),
        )
        words = pl.coalesce(typed(schema, dict.fromkeys(f.texts, "text"), careful) or [_NONE])
        needs_words = code.is_in(_as(worded, dtype).implode()) | pl.col(f.value).is_null()
        unit = typed(schema, {f.unit: "text"}, careful)[0] if f.unit else _NONE
        named = {
            "subject": pl.col(f.subject),
            "time": pl.col(f.time),
            "system": pl.lit(self.system),
            "code": code.cast(pl.String),
            "value": pl.col(f.value),
            "unit": unit,
            "text": pl.when(needs_words).then(words),
            "known": pl.col(f.known) if f.known else pl.lit(None),
        }
        return lazy.select(
            *(named[c].cast(dtype).alias(c) for c, dtype in RAW.items()), pl.col("bad")
        )


_NONE = pl.lit(None, pl.String)


def _as(codes: pl.Series, dtype: type[pl.DataType]) -> pl.Series:
    """Codes as the table holds them; one that is no number cannot stand in a column of numbers."""
    return codes.cast(dtype, strict=False).drop_nulls()
