"""One streaming pass over an event table: only the rows that a window of an ICU stay can use
remain."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipelines.sources.codes import Codes
from pipelines.sources.shapes import EventTable, Wanted
from privaudit.errors import PrivauditError

VERSION = 3
"""Raised whenever the meaning of a cached file changes, so that no stale one is used."""

_BEAT = 0.25
_ENOUGH = 20
"""Values that are not all timed at midnight by chance."""


@dataclass(frozen=True, eq=False)
class Sieve:
    """What passes: the codes of the map, in the windows of the stays, not marked as errors.

    Values of patients in two stays at once count for both. Rows join by subject and time, since
    many laboratory rows name no admission.

    Args:
        windows: Columns stay, subject, start, end (the rows' time is in [start, end)), known (the
            moment after which a stored value was not yet known). What is measured once, on arrival,
            passes from `Codes.before` hours before start, at hour 0 and marked `early`.
    """

    windows: pl.DataFrame
    cache: Path
    codes: Codes

    def key(self, *parts: object) -> str:
        """A name for a cached result: it changes with the source, the filter and the version."""
        digest = hashlib.sha256(
            json.dumps([VERSION, self.codes.digest, parts], default=str).encode()
        )
        digest.update(self.windows.hash_rows(seed=0).sort().to_numpy().tobytes())
        return digest.hexdigest()[:24]

    def path(self, table: EventTable) -> Path:
        """Where the rows of a table lie once sieved."""
        return self.cache / f"{table.name.lower()}-{self.key(table.name, table.mark)}.parquet"

    def run(self, table: EventTable, progress: Callable[[float], None]) -> Path:
        """Sieve a table into the cache, once; columns variables.CHARTED, `known` and `bad`.

        Raises:
            PrivauditError: For a truncated or damaged file, a missing column, an empty table, an id
                that is no number and a time that is no date.
        """
        path = self.path(table)
        if not path.exists():
            table.check()
            if self._pass(table, path, careful=False, progress=progress):
                # a cell was not in the plain form: read again, trimming and trying other forms
                table.refuse_unreadable()
                self._pass(table, path, careful=True, progress=progress)
        progress(1.0)
        return path

    def _pass(
        self, table: EventTable, path: Path, careful: bool, progress: Callable[[float], None]
    ) -> bool:
        """Write the rows; true where a cell could not be read, and then nothing is written."""
        rows: list[int] = []
        raw = table.scan(careful).map_batches(
            _count(rows),
            streamable=True,
            predicate_pushdown=False,
            projection_pushdown=False,
            slice_pushdown=False,
        )
        expected = max(1, table.expected_rows())
        with private(path) as partial:
            lazy = self._sift(table, raw, careful)
            outcome = _in_background(
                lambda: lazy.sink_parquet(partial, compression="zstd", engine="streaming"),
                lambda: progress(min(0.99, sum(rows) / expected)),
            )
            try:
                with table.trouble(unparsed=not careful):
                    outcome()
            except pl.exceptions.PolarsError:
                return True
            if not sum(rows):
                raise empty(table)
            done = pl.scan_parquet(partial, glob=False)
            if done.select(pl.col("bad").any()).collect().item():
                return True
            _refuse_days(table, done)
            partial.replace(path)
        return False

    def _sift(self, table: EventTable, rows: pl.LazyFrame, careful: bool) -> pl.LazyFrame:
        wanted = Wanted(self.codes.wanted, self.windows.select("subject").unique())
        early = pl.col("start") - pl.duration(hours=pl.col("before").fill_null(0))
        inside = (pl.col("time") >= early) & (pl.col("time") < pl.col("end"))
        hour = (pl.col("time") - pl.col("start")).dt.total_microseconds() / 3.6e9
        mine = self.codes.frame.select("system", "code", "row", "before")
        return (
            table.raw(rows, wanted, careful)
            .join(mine.lazy(), on=["system", "code"], how="inner")
            .join(self.windows.lazy(), on="subject", how="inner", suffix="_end")
            .filter(inside | pl.col("bad"))
            .select(
                stay="stay",
                hour=pl.max_horizontal(hour, 0.0).cast(pl.Float32),
                early=(pl.col("time") < pl.col("start")).fill_null(False),
                row="row",
                value="value",
                unit="unit",
                text="text",
                known=(pl.col("known") <= pl.col("known_end")).fill_null(False),
                dated=pl.col("time").dt.time() == pl.time(0, 0, 0),
                bad="bad",
            )
        )


def _refuse_days(table: EventTable, done: pl.LazyFrame) -> None:
    """A value known by its day alone may be from after the window, or from before the stay."""
    rows, dated = done.select(pl.len(), pl.col("dated").sum()).collect().row(0)
    if rows >= _ENOUGH and dated == rows:
        raise PrivauditError(
            f"{table.name} gives days and no times of day",
            f"all of its {rows:,} values in the windows are timed at midnight: which of them came "
            "before the end of a window cannot be told",
            "use a source with times of day",
        )


def empty(table: EventTable) -> PrivauditError:
    """The error for a table without rows."""
    return PrivauditError(
        f"{table.name} is empty",
        "it holds no row",
        "copy the file again and check it against its checksum",
    )


@contextmanager
def private(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, readable by its owner alone; gone afterwards if not
    renamed."""
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        os.close(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
    except OSError as error:
        raise PrivauditError(
            "the cache folder cannot be written",
            f"the system reports: {error.strerror}",
            "name a cache folder that you may write to, on a disk with 2 GB free",
        ) from None
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _count(rows: list[int]) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def passing(batch: pl.DataFrame) -> pl.DataFrame:
        rows.append(len(batch))
        return batch

    return passing


def _in_background(work: Callable[[], object], beat: Callable[[], None]) -> Callable[[], None]:
    """Do `work` in a thread while `beat` is called; returns what re-raises the work's error.

    A daemon thread: an interrupt in the foreground ends the process without waiting for the table.
    """
    failure: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_BEAT)
        beat()

    def outcome() -> None:
        if failure:
            raise failure[0]

    return outcome
