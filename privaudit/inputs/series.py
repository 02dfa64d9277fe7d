"""What a long table of measurements is: the section [series] of a schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from privaudit.errors import PrivauditError
from privaudit.records import Column

TimeUnit = Literal["", "seconds", "minutes", "hours", "days"]
SECONDS = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}

MAX_STEPS = 100_000
"""More steps a record are a unit of time that was mistaken for another."""


@dataclass(frozen=True)
class Channel:
    """A table [[series.channels]] of the file: one thing that is measured again and again."""

    name: str = field(metadata={"description": "The channel as the long table spells it."})
    bounds: tuple[float, float] | None = field(
        default=None, metadata={"description": "What is possible, [least, most]."}
    )
    unit: str = field(default="", metadata={"description": "The unit of the values."})
    sensitive: bool = field(
        default=False, metadata={"description": "Whether it is worth inferring about a person."}
    )
    mutable: bool = field(
        default=True, metadata={"description": "Whether an attacker may change it."}
    )
    guessed: tuple[Literal["bounds"], ...] = field(
        default=(), metadata={"description": "What was read off a sample; remove what you checked."}
    )

    @property
    def column(self) -> Column:
        """The channel of records. Bounds that were read off the data are not public knowledge, and
        are not handed on as if they were."""
        bounds = None if self.guessed else self.bounds
        return Column(
            self.name,
            bounds=bounds,
            sensitive=self.sensitive,
            mutable=self.mutable,
            unit=self.unit,
        )


@dataclass(frozen=True)
class SeriesSchema:
    """Which columns of a long table hold the record, the time, the channel and the value.

    Args:
        file: The long table, CSV or Parquet; in a schema's file as seen from that file's folder.
        record: The column that names the record, in the long table and in the other one alike.
        time: When it was measured: a number, or with `time_unit` a date and time.
        channel: What was measured.
        value: The number that was measured.
        every: How long a step is, in the unit of `time`.
        steps: How many steps a record has; the series begins at 0.
        channels: The channels that are read.
        start: A column of the other table that is time 0 of its record; "" where times count from 0
            already.
        time_unit: Where times are dates and times, the unit in which they count from `start`.
        left_out: Channels of the file that are not read.
        records_without: Whether a record of the other table may have no measurement.
        records_unknown: Whether measurements of records that the other table lacks are refused or
            left out and counted.
        duplicates: Whether a channel that was measured twice at one time is refused, or both enter
            the mean.
    """

    file: str = field(metadata={"description": "The long table, seen from the schema's folder."})
    record: str = field(metadata={"description": "The record's column, in both tables."})
    time: str = field(metadata={"description": "The column of times."})
    channel: str = field(metadata={"description": "The column that names what was measured."})
    value: str = field(metadata={"description": "The column of what was measured."})
    every: float = field(metadata={"description": "The length of a step, in the time's unit."})
    steps: int = field(metadata={"description": "How many steps a record has."})
    channels: tuple[Channel, ...] = field(metadata={"description": "The channels that are read."})
    start: str = field(
        default="", metadata={"description": "The other table's column of each record's time 0."}
    )
    time_unit: TimeUnit = field(
        default="",
        metadata={"description": "Of dates and times: the unit in which they count from start."},
    )
    left_out: tuple[str, ...] = field(
        default=(), metadata={"description": "Channels of the file that are not read."}
    )
    records_without: Literal["refuse", "allow"] = field(
        default="refuse", metadata={"description": "Records without a measurement."}
    )
    records_unknown: Literal["refuse", "count"] = field(
        default="refuse", metadata={"description": "Measurements of records that are no row."}
    )
    duplicates: Literal["refuse", "mean"] = field(
        default="refuse", metadata={"description": "A channel measured twice at one time."}
    )

    def check(self) -> None:
        """Refuse a column that is missing or has two roles, no step or channel, a channel described
        twice, and dates and times without their start."""
        roles = (self.record, self.time, self.channel, self.value)
        twice = [name for name, count in Counter(roles).items() if count > 1]
        listed = Counter([*(one.name for one in self.channels), *self.left_out])
        bad = [one.name for one in self.channels if one.bounds and one.bounds[0] > one.bounds[1]]
        faults = (
            (not all(roles) or not self.file, "file, record, time, channel and value are named"),
            (bool(twice), "record, time, channel and value are four columns"),
            (not 0 < self.every < float("inf"), "`every` is the length of a step, above 0"),
            (not 1 <= self.steps <= MAX_STEPS, f"`steps` is a number from 1 to {MAX_STEPS:,}"),
            (not self.channels, "a [[series.channels]] for each channel that is read"),
            (max(listed.values(), default=0) > 1 or "" in listed, "each channel is listed once"),
            (bool(bad), "`bounds` are [least, most]: the least comes first"),
            (
                bool(self.time_unit) and not self.start,
                "`start` names the column from which dates and times count",
            ),
            (
                self.start in roles,
                "`start` is a column of its own in the table of records",
            ),
        )
        for found, needed in faults:
            if found:
                raise _fault(needed)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The channels as records describe them."""
        return tuple(one.column for one in self.channels)


def _fault(needed: str) -> PrivauditError:
    return PrivauditError(
        "a schema with a fault at [series]",
        f"needed there: {needed}",
        "correct it, or propose one with: privaudit schema TABLE --series LONG_TABLE",
    )


def refuse_series_roles(
    series: SeriesSchema, names: tuple[str, ...], roles: dict[str, str]
) -> None:
    """Refuse a record's or a start's column that has another role in the table of records.

    The record's column may be the patient's, where each person has one record.
    """
    for own, column in (("record", series.record), ("start", series.start)):
        taken = ["a feature"] if column and column in names else []
        taken += [
            f"the {role}"
            for role, name in roles.items()
            if column and name == column and (own, role) != ("record", "patient")
        ]
        if taken:
            raise PrivauditError(
                f"the {own} {column!r} of [series] is also {taken[0]}",
                "it belongs to the series, and no model reads it",
                "list it under `ignored`, or name another column",
            )


def require_person(patient: str) -> None:
    """Refuse series without a column that says whose they are."""
    if not patient:
        raise PrivauditError(
            "series without a column that names the person",
            "the windows of one person are alike, and taken for people of their own they make a "
            "number look certain that is not",
            "name the column: patient in the schema's [table], or --patient COLUMN",
        )


def format_series(series: SeriesSchema, to_toml: Callable[[Any], str]) -> list[str]:
    """The lines of the section."""
    default = SeriesSchema("", "", "", "", "", 1.0, 1, ())
    needed = ("file", "record", "time", "channel", "value", "every", "steps")
    optional = [one.name for one in fields(series) if one.name not in (*needed, "channels")]
    lines = ["", "[series]"]
    lines += [f"{key} = {to_toml(getattr(series, key))}" for key in needed]
    lines += [
        f"{key} = {to_toml(getattr(series, key))}"
        for key in optional
        if getattr(series, key) != getattr(default, key)
    ]
    plain = Channel("")
    for one in series.channels:
        lines += ["", "[[series.channels]]", f"name = {to_toml(one.name)}"]
        lines += [
            f"{key} = {to_toml(getattr(one, key))}"
            for key in ("bounds", "unit", "sensitive", "mutable", "guessed")
            if getattr(one, key) != getattr(plain, key)
        ]
    return lines


__all__ = [
    "SECONDS",
    "Channel",
    "SeriesSchema",
    "format_series",
    "refuse_series_roles",
    "require_person",
]
