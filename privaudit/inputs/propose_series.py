"""A first [series] section from a long table, for a person to check."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError
from privaudit.inputs import identifiers
from privaudit.inputs.cell_text import to_numbers, to_patients, to_texts
from privaudit.inputs.infer_schema import round_bounds
from privaudit.inputs.read_series import MAX_CELLS, WHAT
from privaudit.inputs.series import Channel, SeriesSchema, require_person
from privaudit.inputs.table_file import Table, TableFile, open_table

if TYPE_CHECKING:
    import polars as pl

MAX_CHANNELS = 500
"""More different texts are no names of channels."""

MAX_PROPOSED_STEPS = 100
_TIMES = ("time", "t", "hour", "hours", "minute", "minutes", "second", "seconds", "offset", "step")
_CHANNELS = ("channel", "sensor", "variable", "signal", "item", "code", "measure", "c")
_VALUES = ("value", "reading", "measurement", "result", "v")


def propose_series(
    long: Path, tables: Sequence[Table], *, patient: str = "", out: Path | None = None
) -> tuple[SeriesSchema, tuple[str, ...]]:
    """Propose the section for a long table of numeric times, with notes. No note quotes a value.

    No channel is named that fewer than 10 people have, and bounds follow what at least 10 reach.

    Args:
        long: The long table.
        tables: The tables of records, that share a schema.
        patient: The column that names people, guessed by its name if not given.
        out: The schema's file, from which the long table is named; None for this folder.

    Raises:
        PrivauditError: The columns cannot be told apart, or nothing can be joined.
    """
    import polars as pl

    with open_table(long, WHAT) as opened:
        parts = []
        people = pl.DataFrame()
        for table in tables:
            with open_table(table, "the table") as static:
                record = _find_record(opened, static)
                who = patient or identifiers.find_patient(static.columns)
                require_person(who)
                people = pl.concat([people, _read_people(static, record, who)])
        time, channel, value = _find_roles(opened, record)
        names: dict[str, int] = {}
        for batch in opened.batches((record, time, channel, value)):
            parts.append(_read_batch(batch, (record, time, channel, value), names))
        rows = pl.concat(parts)
    known = people.with_columns(record=pl.Series(to_patients(people["record"], names)[0]))
    joined = rows.join(known.unique("record"), on="record", how="inner").drop_nulls()
    if not len(joined):
        raise PrivauditError(
            "a series table of other records than the table's, or without numbers",
            f"they are joined by {record!r}; times and values are numbers",
            "give the tables that belong together; for dates and times write [series] by hand, "
            "with `start` and `time_unit`",
        )
    channels, few = _propose_channels(joined)
    every, steps = _propose_steps(joined)
    folder = Path() if out is None else out.parent
    found = SeriesSchema(
        file=os.path.relpath(long, folder),
        record=record,
        time=time,
        channel=channel,
        value=value,
        every=every,
        steps=steps,
        channels=channels,
    )
    notes = [
        "[series]: record, time, channel and value were told apart by their names and cells",
        "[series]: `every` and `steps` were read off the times, whose unit is not known; set both "
        "to what a model is to read",
        "[series]: the bounds of the channels were read off the values: no guarantee of epsilon "
        "rests on them; set what is possible, and remove `guessed`",
    ]
    if few:
        notes.append(
            "[series]: channels that fewer than 10 people have are not named; list them, or name "
            "them in left_out"
        )
    return found, tuple(notes)


def _find_record(long: TableFile, static: TableFile) -> str:
    """The column that both tables have, and that no two rows of the table of records share."""
    shared = [name for name in static.columns if name in long.columns]
    for name in shared:
        seen = 0
        names: dict[str, int] = {}
        for batch in static.batches([name]):
            seen += len(batch)
            to_patients(batch[name], names)
        if len(names) == seen:
            return name
    raise PrivauditError(
        "no column of both tables that names the record",
        f"{len(shared)} columns are in both, and in each of them rows of the table of records "
        "share a value",
        "give both tables a column with a name of its own for each record",
    )


def _read_people(static: TableFile, record: str, who: str) -> pl.DataFrame:
    import polars as pl

    parts = [
        pl.DataFrame({"record": to_texts(batch[record]), "person": to_texts(batch[who])})
        for batch in static.batches(list(dict.fromkeys((record, who))))
    ]
    return pl.concat(parts)


def _find_roles(long: TableFile, record: str) -> tuple[str, str, str]:
    """The columns of time, channel and value by their names; one by being what is left."""
    left = [name for name in long.columns if name != record]
    found = []
    for words in (_TIMES, _CHANNELS, _VALUES):
        plain = {identifiers.normalise(name): name for name in reversed(left)}
        name = next((plain[word] for word in words if word in plain), "")
        found.append(name)
        left = [one for one in left if one != name]
    if found.count("") == 1 and len(left) == 1:
        found[found.index("")] = left[0]
    if not all(found):
        raise PrivauditError(
            "a series table whose columns cannot be told apart",
            "it holds a record, a time, a channel and a value, told by names such as time, channel "
            "and value",
            "rename them, or write the section [series] by hand",
        )
    return found[0], found[1], found[2]


def _read_batch(
    batch: pl.DataFrame, roles: tuple[str, str, str, str], names: dict[str, int]
) -> pl.DataFrame:
    import polars as pl

    record, time, channel, value = roles
    return pl.DataFrame(
        {
            "record": to_patients(batch[record], names)[0],
            "time": to_numbers(batch[time])[0],
            "channel": to_texts(batch[channel]).cast(pl.Categorical),
            "value": to_numbers(batch[value])[0],
        }
    )


def _propose_channels(joined: pl.DataFrame) -> tuple[tuple[Channel, ...], bool]:
    """Channels that at least 10 people have, with what so many reach; whether there are others."""
    import polars as pl

    own = joined.group_by("channel", "person").agg(
        low=pl.col("value").min(), high=pl.col("value").max()
    )
    told = (
        own.group_by("channel")
        .agg(
            people=pl.len(),
            low=pl.col("low").sort().slice(MIN_CELL - 1, 1).first(),
            high=pl.col("high").sort(descending=True).slice(MIN_CELL - 1, 1).first(),
        )
        .with_columns(pl.col("channel").cast(pl.String))
        .sort("channel")
    )
    many = told.filter(pl.col("people") >= MIN_CELL)
    if not len(many) or len(told) > MAX_CHANNELS:
        raise PrivauditError(
            "a series table without channels that at least 10 people have"
            if len(told) <= MAX_CHANNELS
            else f"a series table of more than {MAX_CHANNELS} channels",
            "a channel is measured of many people, and what fewer have is not named",
            "write the section [series] by hand",
        )
    found = tuple(
        Channel(name, bounds=round_bounds(low, high), guessed=("bounds",))
        for name, low, high in many.select("channel", "low", "high").rows()
    )
    return found, len(many) < len(told)


def _propose_steps(joined: pl.DataFrame) -> tuple[float, int]:
    """The length of a step and their number: about the usual gap, and no more than 100 steps."""
    import polars as pl

    ordered = joined.sort("record", "channel", "time")
    gap = ordered.select(pl.col("time").diff().over("record", "channel").alias("gap"))
    usual = gap.filter(pl.col("gap") > 0)["gap"].median()
    last = joined.group_by("record").agg(pl.col("time").max())["time"].quantile(0.95)
    span = max(float(last or 0.0), 1e-9)
    records = joined["record"].n_unique() * joined["channel"].n_unique()
    most = max(1, min(MAX_PROPOSED_STEPS, MAX_CELLS // records))
    every = max(float(usual or span), span / most)  # type: ignore[arg-type]
    power = 10.0 ** math.floor(math.log10(every))
    every = float(f"{math.ceil(every / power * 10 - 1e-9) / 10 * power:.6g}")
    return every, max(1, math.ceil(span / every + 1e-9))


__all__ = ["propose_series"]
