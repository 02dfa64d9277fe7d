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

from pipelines.sources import _mimic3_variables as variables
from pipelines.sources._mimic3_tables import NEEDED, Table, typed, unreadable
from privaudit.errors import PrivauditError

VERSION = 1
"""Raised whenever the meaning of a cached file changes, so that no stale one is used."""

_BEAT = 0.25


@dataclass(frozen=True, eq=False)
class Sieve:
    """What passes: the catalogue's items, in the windows of the stays, not marked as errors.

    Values of patients in two stays at once count for both. Rows join by patient and time, since
    many laboratory rows name no admission.

    Args: windows: Columns stay, subject_id, start, end (the rows' time is in [start, end)), known
        (the moment after which a stored value was not yet known).
    """

    windows: pl.DataFrame
    cache: Path

    def key(self, *parts: object) -> str:
        """A name for a cached result: it changes with the source, the filter and the version."""
        digest = hashlib.sha256(
            json.dumps([VERSION, variables.digest(), parts], default=str).encode()
        )
        digest.update(self.windows.hash_rows(seed=0).sort().to_numpy().tobytes())
        return digest.hexdigest()[:24]

    def path(self, table: Table) -> Path:
        """Where the rows of a table lie once sieved."""
        return self.cache / f"{table.name.lower()}-{self.key(table.name, table.mark)}.parquet"

    def run(self, table: Table, progress: Callable[[float], None]) -> Path:
        """Sieve a table into the cache, once; columns variables.RAW and `known`.

        Raises:
            PrivauditError: For a truncated or damaged file, a missing column, an empty table, an id
                that is no number and a time that is no date.
        """
        path = self.path(table)
        if not path.exists():
            table.check()
            if self._pass(table, path, careful=False, progress=progress):
                # a cell was not in the plain form: read again, trimming and trying other forms
                table.refuse_unreadable(table.scan(careful=True))
                self._pass(table, path, careful=True, progress=progress)
        progress(1.0)
        return path

    def _pass(
        self, table: Table, path: Path, careful: bool, progress: Callable[[float], None]
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
                raise table.empty()
            done = pl.scan_parquet(partial, glob=False)
            if done.select(pl.col("bad").any()).collect().item():
                return True
            partial.replace(path)
        return False

    def _sift(self, table: Table, raw: pl.LazyFrame, careful: bool) -> pl.LazyFrame:
        kinds = dict(NEEDED[table.name])
        schema = raw.collect_schema()
        times = {c: kind for c, kind in kinds.items() if kind == "time"}
        plain = {c: kind for c, kind in kinds.items() if kind != "time"}
        flag = next((c for c, kind in kinds.items() if kind == "flag"), None)
        number = next(c for c, kind in kinds.items() if kind == "number")
        text = "value" if kinds["value"] == "text" else None
        is_verbal = pl.col("itemid").is_in(variables.verbal_items())
        lazy = raw.with_columns(
            [e for e, c in zip(typed(schema, plain, careful), plain, strict=True) if c != text]
        ).filter(pl.col("itemid").is_in(variables.items(table.name)))
        if flag is not None:
            lazy = lazy.filter(~pl.col(flag))
        bad = pl.any_horizontal(unreadable(schema, c, "time", careful) for c in times)
        lazy = (
            lazy.join(self.windows.lazy(), on="subject_id", how="inner")
            .with_columns(typed(schema, times, careful), bad=bad)
            .filter(
                ((pl.col("charttime") >= pl.col("start")) & (pl.col("charttime") < pl.col("end")))
                | pl.col("bad")
            )
        )
        words = typed(schema, {"value": "text"}, careful)[0] if text else pl.lit(None, pl.String)
        stored = pl.col("storetime") if "storetime" in times else pl.col("charttime")
        hour = (pl.col("charttime") - pl.col("start")).dt.total_microseconds() / 3.6e9
        return lazy.select(
            stay="stay",
            hour=hour.cast(pl.Float32),
            itemid="itemid",
            value=pl.col(number),
            text=pl.when(is_verbal | pl.col(number).is_null()).then(words),
            known=(stored <= pl.col("known")).fill_null(False),
            bad="bad",
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


__all__ = ["VERSION", "Sieve", "private"]
