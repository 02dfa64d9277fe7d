"""A long table of measurements, binned into the series of records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from privaudit.disclosure.steps import count_up
from privaudit.disclosure_limits import name_count
from privaudit.errors import PrivauditError, spell
from privaudit.facts import Caveat, CaveatCode, Param
from privaudit.inputs.cell_text import clean_texts, to_numbers, to_patients, to_texts
from privaudit.inputs.series import SECONDS, SeriesSchema
from privaudit.inputs.table_file import open_table

if TYPE_CHECKING:
    import polars as pl

MAX_CELLS = 300_000_000
"""Cells of a series in memory, 16 bytes each while it is read."""

LARGEST = float(np.finfo(np.float32).max)

SLACK = 1e-9
"""A step's share by which a time may be rounded below the step that it begins."""

WHAT = "the series table"
_CLOCK = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
_ZONE = r"(?:Z|[+-][0-9]{2}:?[0-9]{2})$"
_FAULTS = {
    "record": ("have no record", "each measurement belongs to a record", "drop these rows"),
    "rounded": (
        "have a record that was rounded, so that two records may be one",
        "it passed through floating-point numbers, which hold no more than 15 digits",
        "write the record's column as whole numbers or as text",
    ),
    "time": ("have no time", "each measurement has one", "drop these rows"),
    "number": (
        "have a time that is no number",
        "the schema gives no time_unit, so times are numbers",
        "correct them, or give `start` and `time_unit` for dates and times",
    ),
    "clock": (
        "have a time that is no date with a time of day, as in 2026-11-30 08:15:00",
        "the schema gives a time_unit, so times are dates and times, all with a zone or none",
        "correct them, or leave time_unit out where times are numbers",
    ),
    "value": ("have a value that is no number", "a channel is measured in numbers", "correct them"),
    "large": (
        "have a value too large for a 32-bit number",
        "models read 32-bit numbers",
        "give the channel in a larger unit",
    ),
    "channel": ("have no channel", "each measurement is of one", "drop these rows"),
    "unknown": (
        "are of channels that the schema does not list",
        "every channel is read or left out by name",
        "add a [[series.channels]], or name them in left_out",
    ),
    "bounds": (
        "lie outside the bounds of their channel",
        "bounds are what is possible",
        "widen `bounds` of the channel, or correct the values",
    ),
    "strangers": (
        "are of records that the table of records lacks",
        "whose they are is not known",
        'give the rows of these records, or write records_unknown = "count" to leave them out',
    ),
    "twice": (
        "measure a channel again at a time that it has a value for",
        "which of them holds is not known",
        'keep one of each, or write duplicates = "mean"',
    ),
}
"""What messages say of rows of the long table: what they are, why that matters, what to do."""


@dataclass(eq=False)
class Keys:
    """What joins one table of records with the series.

    record: the texts of all its rows; kept: which of these were read; start: of the rows read, the
    column of time 0, none where times count from 0.
    """

    series: SeriesSchema
    record: list[pl.Series] = field(default_factory=list)
    kept: list[np.ndarray] = field(default_factory=list)
    start: list[pl.Series] = field(default_factory=list)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the table of records that are needed."""
        return tuple(name for name in (self.series.record, self.series.start) if name)

    def add(self, batch: pl.DataFrame, kept: np.ndarray | None) -> None:
        """A run of rows; kept: which of them are read, None for all."""
        mask = np.ones(len(batch), dtype=bool) if kept is None else kept
        self.record.append(batch[self.series.record])
        self.kept.append(mask)
        if self.series.start:
            self.start.append(batch[self.series.start].filter(mask))


def read_series(
    keys: Sequence[Keys], whats: Sequence[str] = ()
) -> tuple[list[np.ndarray], tuple[Caveat, ...]]:
    """Read the long table once, for all tables of records that it belongs to.

    Each value is in the step that its time lies in, the mean where there are several, NaN where
    none is; the table is read in runs, and no more of it is held than the series themselves.

    Args:
        keys: Of each table of records; all of one schema.
        whats: What messages call these tables.

    Returns:
        (n, steps, channels) float32 of each table's rows that were read, in their order, and what
        was left out.

    Raises:
        PrivauditError: Records that are missing or twice, and rows of the long table that cannot be
            placed. No message names a record or quotes a value.
    """
    series = keys[0].series
    names: dict[str, int] = {}
    place, sizes = _place_records(keys, names, whats)
    total = sum(sizes)
    if total * series.steps * len(series.channels) > MAX_CELLS:
        raise PrivauditError(
            f"series of {series.steps:,} steps and {len(series.channels)} channels for {total:,} "
            "records",
            f"at most {MAX_CELLS:,} cells are held in memory",
            spell(
                "take longer steps, or read a sample of the people (--sample)",
                "take longer steps, or fewer people",
            ),
        )
    bins = _Bins(series, total)
    start = _read_starts(keys, bins.zones)
    with open_table(Path(series.file), WHAT) as opened:
        wanted = (series.record, series.time, series.channel, series.value)
        lacking = [name for name in wanted if name not in opened.columns]
        if lacking:
            raise PrivauditError(
                f"{WHAT} lacks {len(lacking)} columns: {', '.join(map(repr, lacking))}",
                f"the schema's [series] names them; {WHAT} has {len(opened.columns)} columns",
                "name the columns as the file does",
            )
        for batch in opened.batches(wanted):
            bins.add(batch, names, place, start)
    values = bins.finish()
    notes = bins.notes(values, whats)
    return np.split(values, np.cumsum(sizes)[:-1]), notes


def _place_records(
    keys: Sequence[Keys], names: dict[str, int], whats: Sequence[str]
) -> tuple[np.ndarray, list[int]]:
    """(records of all tables,) the row of each among those read, -1 for one that was not; and how
    many each table has. names: filled with record -> its place in the first."""
    import polars as pl

    places: list[np.ndarray] = []
    sizes: list[int] = []
    for i, one in enumerate(keys):
        what = f"the {whats[i]} table" if whats else "the table"
        known, (codes, missing, rounded) = len(names), to_patients(pl.concat(one.record), names)
        column = one.series.record
        twice = len(codes) - (len(names) - known)
        for count, fault in ((missing, "name no record"), (rounded, "were rounded")):
            if count:
                raise PrivauditError(
                    f"{name_count(count)} cells of {column!r} in {what} {fault}",
                    "the series of each row is found by its record",
                    "fill the column in, as whole numbers or as text",
                )
        if twice:
            raise PrivauditError(
                f"{name_count(twice)} rows of {what} have a record of another row",
                f"each row has a record of its own in {column!r}, by which its series is found",
                "give one row for each record; a person may have several records",
            )
        kept = np.concatenate(one.kept)
        places.append(np.where(kept, np.cumsum(kept) - 1 + sum(sizes), -1))
        sizes.append(int(kept.sum()))
    return np.concatenate(places), sizes


def _read_starts(keys: Sequence[Keys], zones: set[bool]) -> np.ndarray | None:
    """(records read,) time 0 of each: a number, or microseconds of a date and time."""
    import polars as pl

    series = keys[0].series
    if not series.start:
        return None
    cells = pl.concat([part for one in keys for part in one.start])
    found, bad = _read_times(cells, series, zones)
    missing = int(found.is_null().sum()) - bad
    for count, fault in ((bad, "are no time as the schema says it"), (missing, "are missing")):
        if count:
            raise PrivauditError(
                f"{name_count(count)} cells of {series.start!r} {fault}",
                "the times of a series count from there",
                "correct these rows, or drop them",
            )
    return found.to_numpy().astype(np.float64)


def _read_times(cells: pl.Series, series: SeriesSchema, zones: set[bool]) -> tuple[pl.Series, int]:
    """Times as float64, microseconds of dates and times, null where not recorded; and how many
    cells are no time. zones: filled with whether dates and times come with a zone."""
    import polars as pl

    kind = cells.dtype
    if not series.time_unit and not kind.is_temporal():
        found, bad, _ = to_numbers(cells)
        return found, bad
    if series.time_unit and isinstance(kind, pl.Datetime):
        zones.add(kind.time_zone is not None)
        return cells.dt.timestamp("us").cast(pl.Float64), 0
    if not series.time_unit or kind.is_numeric() or kind.is_temporal():
        return pl.Series([None] * len(cells), dtype=pl.Float64), len(cells) - cells.null_count()
    texts = clean_texts(cells)
    zoned = texts.str.contains(_CLOCK + _ZONE).fill_null(False)
    plain = texts.str.contains(_CLOCK + "$").fill_null(False)
    zones |= {aware for aware, some in ((True, zoned), (False, plain)) if some.any()}
    whole = texts.str.replace("T", " ").str.replace(r"( [0-9]{2}:[0-9]{2})(Z|[+-]|$)", "$1:00$2")
    whole = whole.str.replace("Z$", "+0000").str.replace(r"([+-][0-9]{2}):([0-9]{2})$", "$1$2")
    form = "%Y-%m-%d %H:%M:%S%.f"
    made = [
        whole.set(~some, None).str.to_datetime(how, strict=False).dt.timestamp("us")
        for some, how in ((plain, form), (zoned, form + "%z"))
        if some.any()
    ]
    micros = pl.Series([None] * len(cells), dtype=pl.Int64)
    for one in made:
        micros = micros.zip_with(one.is_null(), one)
    found = micros.cast(pl.Float64)
    return found, int((texts.is_not_null() & found.is_null()).sum())


class _Bins:
    """Sums and counts of each cell, and what was met on the way."""

    def __init__(self, series: SeriesSchema, rows: int) -> None:
        self.series, self.rows = series, rows
        cells = rows * series.steps * len(series.channels)
        self.total = np.zeros(cells)
        self.count = np.zeros(cells, dtype=np.int32)
        self.faults = dict.fromkeys(_FAULTS, 0)
        self.early = self.late = self.left_out = self.strangers = 0
        self.seen: list[np.ndarray] = []
        self.zones: set[bool] = set()
        listed = [*(one.name for one in series.channels), *series.left_out]
        self.codes = {name: i for i, name in enumerate(listed)}

    def add(
        self,
        batch: pl.DataFrame,
        names: dict[str, int],
        place: np.ndarray,
        start: np.ndarray | None,
    ) -> None:
        """A run of rows of the long table."""
        series = self.series
        codes, missing, rounded = to_patients(batch[series.record], names)
        known, nameless = codes < len(place), codes == names.get("", -1)
        # Names met here for the first time are of records that the other table lacks.
        while len(names) > len(place):
            names.popitem()
        channel = self._read_channels(batch[series.channel])
        listed = (channel >= 0) & (channel < len(series.channels))
        times, bad_times = _read_times(batch[series.time], series, self.zones)
        numbers, bad_values, _ = to_numbers(batch[series.value])
        time, value = times.to_numpy(), numbers.to_numpy()
        self.faults["record"] += missing
        self.faults["rounded"] += rounded
        self.faults["clock" if series.time_unit else "number"] += bad_times
        self.faults["time"] += int(np.isnan(time).sum()) - bad_times
        self.faults["value"] += bad_values
        self.left_out += int((channel >= len(series.channels)).sum())
        self.strangers += int((listed & ~known & ~nameless).sum())
        row = np.where(known, place[np.where(known, codes, 0)], -1)
        with np.errstate(invalid="ignore"):
            self.faults["large"] += int((listed & (np.abs(value) > LARGEST)).sum())
        use = (row >= 0) & listed & np.isfinite(time) & np.isfinite(value)
        row, channel, time, value = row[use], channel[use], time[use], value[use]
        if start is not None:
            time = time - start[row]
        if series.time_unit:
            time = time / (1e6 * SECONDS[series.time_unit])
        self._check_bounds(channel, value)
        if series.duplicates == "refuse":
            self.seen.append(_digest(row, channel, time))
        step = np.floor(time / series.every + SLACK)
        self.early += int((step < 0).sum())
        self.late += int((step >= series.steps).sum())
        inside = (step >= 0) & (step < series.steps)
        width = len(series.channels)
        at = (row * series.steps + np.where(inside, step, 0).astype(np.int64)) * width + channel
        order, first = np.unique(at[inside], return_inverse=True)
        self.total[order] += np.bincount(first, value[inside], len(order))
        self.count[order] += np.bincount(first, minlength=len(order)).astype(np.int32)

    def _read_channels(self, cells: pl.Series) -> np.ndarray:
        """(n,) the place of each cell's channel in the list, -1 for none."""
        import polars as pl

        texts = to_texts(cells)
        blank = (texts.is_null() | (texts == "")).fill_null(True)
        found = texts.replace_strict(
            list(self.codes), list(self.codes.values()), default=-1, return_dtype=pl.Int64
        )
        self.faults["channel"] += int(blank.sum())
        self.faults["unknown"] += int(((found < 0) & ~blank).sum())
        return found.to_numpy()

    def _check_bounds(self, channel: np.ndarray, value: np.ndarray) -> None:
        wide = [one.column.bounds or (-np.inf, np.inf) for one in self.series.channels]
        low, high = (np.array([pair[end] for pair in wide])[channel] for end in (0, 1))
        slack = 1e-6 * np.maximum(np.abs(value), 1e-30)
        self.faults["bounds"] += int(((value < low - slack) | (value > high + slack)).sum())

    def finish(self) -> np.ndarray:
        """(rows, steps, channels) float32, NaN where nothing was measured; faults are refused."""
        if self.series.records_unknown == "refuse":
            self.faults["strangers"] = self.strangers
        if self.seen:
            every = np.sort(np.concatenate(self.seen))
            self.faults["twice"] = int((every[1:] == every[:-1]).sum())
            self.seen = []
        if len(self.zones) > 1:
            raise PrivauditError(
                "dates and times of which some have a zone and others have none",
                "how far the two are apart is not known",
                f"write the times of {WHAT} and `start` all with a zone, or all without",
            )
        _refuse({kind: count for kind, count in self.faults.items() if count})
        shape = (self.rows, self.series.steps, len(self.series.channels))
        with np.errstate(invalid="ignore"):
            np.divide(self.total, self.count, out=self.total)
        return self.total.astype(np.float32).reshape(shape)

    def notes(self, values: np.ndarray, whats: Sequence[str]) -> tuple[Caveat, ...]:
        """What was left out; refuses records without a measurement where none may be."""
        without = int((~np.isfinite(values).any(axis=(1, 2))).sum())
        if without == len(values):
            raise PrivauditError(
                "a series table without a measurement inside the steps of any record",
                f"{self.series.steps:,} steps of {self.series.every:g} begin at time 0",
                "check `every`, `steps` and the unit of the times",
            )
        if without and self.series.records_without == "refuse":
            raise PrivauditError(
                f"{name_count(without)} records without a measurement inside the steps",
                "whether nothing was measured, or the record is spelled otherwise in the two "
                "tables, is not known",
                'give their series, or write records_without = "allow"',
            )
        counts = {
            "early": self.early,
            "late": self.late,
            "channels": self.left_out,
            "strangers": self.strangers,
            "without": without,
        }
        told: dict[str, Param] = {k: count_up(n) for k, n in counts.items()}
        if not any(told.values()):
            return ()
        return (Caveat(CaveatCode.SERIES_LEFT_OUT, "note", told),)


def _digest(row: np.ndarray, channel: np.ndarray, time: np.ndarray) -> np.ndarray:
    """(n,) uint64 that tells a record's channel and time from every other."""
    import polars as pl

    frame = pl.DataFrame({"row": row, "channel": channel, "time": time + 0.0})
    return frame.hash_rows(seed=20261130).to_numpy()


def _refuse(faults: dict[str, int]) -> None:
    """One error that names every fault."""
    if not faults:
        return
    said = [f"{name_count(count)} rows {_FAULTS[kind][0]}" for kind, count in faults.items()]
    because = dict.fromkeys(_FAULTS[kind][1] for kind in faults)
    fix = dict.fromkeys(_FAULTS[kind][2] for kind in faults)
    raise PrivauditError(f"faults in {WHAT}: {'; '.join(said)}", "; ".join(because), "; ".join(fix))


__all__ = ["Keys", "read_series"]
