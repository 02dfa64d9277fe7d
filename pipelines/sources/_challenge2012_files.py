"""The patient files of a Challenge set: read as one text, parsed, put into units and ranges."""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import polars as pl

from pipelines.sources.extract import EVENTS
from privaudit.errors import PrivauditError

UNITS = {1: "CCU", 2: "CSRU", 3: "MICU", 4: "SICU"}
HEADER = b"Time,Parameter,Value"
LARGEST_FILE = 5_000_000
LARGEST_SET = 2_000_000_000
MARK = "@"
DATA = ("challenge2012_variables.csv", "challenge2012_fixes.csv")
COUNTS = ("other_files", "unnamed_values", "rescaled_values", "implausible_values", "duplicates")

Tick = Callable[[float], None]

_PATIENT = re.compile(r"(\d{1,18})\.txt")


def load(source: Path, counts: dict[str, int], tick: Tick) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row a stay (stay, age, sex, unit), and the harmonised events of all hours.

    Args:
        source: An archive `set-a.tar.gz` or a folder of patient files.
        counts: Added to, see COUNTS.
    """
    ids, lines = _lines(source, counts, tick)
    stays, values = _parse(lines, ids, source, counts)
    return stays, _harmonise(values, counts)


def catalogue() -> pl.DataFrame:
    """What the source calls each variable, what we call it, its unit and its public valid range."""
    return pl.read_csv(
        files("pipelines.sources").joinpath(DATA[0]).read_bytes(),
        schema_overrides={"valid_low": pl.Float64, "valid_high": pl.Float64},
    )


def _fixes() -> pl.DataFrame:
    return pl.read_csv(
        files("pipelines.sources").joinpath(DATA[1]).read_bytes(),
        schema_overrides=dict.fromkeys(("low", "high", "scale", "shift"), pl.Float64),
    )


def unreadable(path: Path, reason: str) -> PrivauditError:
    """The error for a file of the Challenge that is not as it was published."""
    return PrivauditError(
        f"{path.name} cannot be used",
        reason,
        "download the file again from https://physionet.org/content/challenge-2012/",
    )


def _lines(source: Path, counts: dict[str, int], tick: Tick) -> tuple[list[int], bytes]:
    """All patient files as one text, each after a line that marks its start."""
    ids: list[int] = []
    bodies: list[bytes] = []
    size = headless = 0
    for name, body in (_archive if source.is_file() else _folder)(source, tick):
        match = _PATIENT.fullmatch(name)
        if match is None:
            counts["other_files"] += 1
            continue
        head, _, rest = body.replace(b"\r\n", b"\n").partition(b"\n")
        headless += head.strip() != HEADER
        size += len(body)
        if len(body) > LARGEST_FILE or size > LARGEST_SET:
            raise unreadable(source, "it is far larger than a set of the Challenge can be")
        bodies += [f"{MARK},,{len(ids)}\n".encode(), rest, b"" if rest.endswith(b"\n") else b"\n"]
        ids.append(int(match[1]))
    if not ids:
        raise unreadable(source, "it holds no patient file (such as 132539.txt)")
    if headless:
        raise unreadable(source, f"{headless} files do not begin with {HEADER.decode()}")
    if twice := len(ids) - len(set(ids)):
        raise unreadable(source, f"{twice} patient files are there more than once")
    return ids, b"".join(bodies)


def _archive(path: Path, tick: Tick) -> Iterator[tuple[str, bytes]]:
    size = max(1, path.stat().st_size)
    try:
        with path.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|gz") as archive:
            for count, member in enumerate(archive):
                if member.isdir():
                    continue
                if not member.isfile() or member.size > LARGEST_FILE:
                    raise unreadable(path, "it holds links, devices or overlong files")
                file = archive.extractfile(member)
                yield os.path.basename(member.name), file.read() if file else b""
                if count % 200 == 0:
                    tick(min(1.0, raw.tell() / size))
    except (tarfile.TarError, EOFError, zlib.error, OSError):
        raise unreadable(path, "the archive is cut short or damaged") from None
    tick(1.0)


def _folder(path: Path, tick: Tick) -> Iterator[tuple[str, bytes]]:
    inside = sorted(path.iterdir())
    for count, file in enumerate(inside):
        if not file.is_file() or file.stat().st_size > LARGEST_FILE:
            raise unreadable(path, "it holds folders or overlong files")
        yield file.name, file.read_bytes()
        if count % 200 == 0:
            tick(count / len(inside))
    tick(1.0)


def _parse(
    lines: bytes, ids: list[int], path: Path, counts: dict[str, int]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row a stay, and one row a value (stay, hour, parameter, value), as the source has
    them."""
    try:
        # quote_char: a stray quotation mark must not swallow the lines after it.
        table = pl.read_csv(
            lines,
            has_header=False,
            schema=dict.fromkeys(("time", "parameter", "value"), pl.String),
            quote_char=None,
        )
    except pl.exceptions.PolarsError:
        raise unreadable(path, "its lines are not Time,Parameter,Value") from None
    marks = pl.col("time").eq_missing(MARK)
    blank = pl.all_horizontal(pl.all().is_null())
    table = table.filter(~blank).with_columns(
        file=pl.when(marks).then(pl.col("value")).forward_fill().cast(pl.Int64, strict=False)
    )
    if table.select(marks.sum()).item() != len(ids):
        raise unreadable(path, f"a time cannot be {MARK!r}")
    table = table.filter(~marks)
    named = pl.col("parameter").is_not_null() & (pl.col("parameter") != "")
    counts["unnamed_values"] += table.select((~named).sum()).item()
    variables = catalogue()
    known = ["RecordID", *variables["parameter"]]
    table = table.filter(named)
    if strange := table["parameter"].is_in(known).not_().sum():
        raise unreadable(
            path, f"{strange} values are of parameters that the Challenge does not have"
        )
    clock = pl.col("time").str.strip_chars().str.extract_groups(r"^(\d{1,4}):([0-5]\d)$")
    table = table.select(
        pl.Series("stay", ids, pl.Int64).gather(table["file"]),
        (
            clock.struct.field("1").cast(pl.Float32) + clock.struct.field("2").cast(pl.Float32) / 60
        ).alias("hour"),
        "parameter",
        pl.col("value").str.strip_chars().cast(pl.Float64, strict=False),
    )
    for column, what in (("hour", "times (HH:MM)"), ("value", "values")):
        if broken := table[column].null_count() + table[column].is_nan().sum():
            raise unreadable(path, f"{broken} {what} cannot be read")
    return _statics(table, ids, path, variables), table


def _statics(
    table: pl.DataFrame, ids: list[int], path: Path, variables: pl.DataFrame
) -> pl.DataFrame:
    fixed = variables.filter(pl.col("kind") == "static")
    stays = pl.DataFrame({"stay": ids}, schema={"stay": pl.Int64})
    for parameter in ("RecordID", *fixed["parameter"]):
        rows = table.filter(pl.col("parameter") == parameter)
        held = rows["stay"].n_unique()
        if len(rows) != len(ids) or held != len(ids):
            raise unreadable(
                path,
                f"every stay needs one {parameter}: {len(ids) - held} stays have none, and "
                f"{len(rows) - held} lines repeat it",
            )
        stays = stays.join(rows.select("stay", pl.col("value").alias(parameter)), on="stay")
    if strangers := (stays["RecordID"] != stays["stay"]).sum():
        raise unreadable(path, f"{strangers} files hold the stay of another file name")
    unit = pl.col("ICUType").replace_strict({float(k): v for k, v in UNITS.items()}, default=None)
    stays = stays.with_columns(unit=unit)
    if wrong := stays["unit"].null_count():
        raise unreadable(path, f"{wrong} stays have an ICUType outside 1 to {len(UNITS)}")
    age = fixed.row(by_predicate=pl.col("parameter") == "Age", named=True)
    return stays.select(
        "stay",
        age=pl.when(pl.col("Age").is_between(age["valid_low"], age["valid_high"])).then("Age"),
        sex=pl.col("Gender").replace_strict({0.0: "F", 1.0: "M"}, default=None),
        unit="unit",
    )


def _harmonise(table: pl.DataFrame, counts: dict[str, int]) -> pl.DataFrame:
    """Values in the catalogue's units and ranges; the median where a moment has several."""
    variables = catalogue().filter(pl.col("kind") != "static")
    value, parameter = pl.col("value"), pl.col("parameter")
    mended, touched = value, pl.lit(False)
    for fix in _fixes().iter_rows(named=True):
        hit = (parameter == fix["parameter"]) & value.is_between(fix["low"], fix["high"])
        mended = pl.when(hit).then(value * fix["scale"] + fix["shift"]).otherwise(mended)
        touched = touched | hit
    measured = (
        table.with_columns(mended.alias("value"), touched.alias("touched"))
        .join(variables.select("parameter", "variable", "valid_low", "valid_high"), on="parameter")
        .with_columns(valid=value.is_between(pl.col("valid_low"), pl.col("valid_high")))
    )
    counts["rescaled_values"] += int(measured["touched"].sum())
    # -1 is how this source writes "missing" for the descriptors: no fault of the value.
    absent = parameter.is_in(["Height", "Weight"]) & (value == -1)
    counts["implausible_values"] += measured.select((~pl.col("valid") & ~absent).sum()).item()
    measured = measured.filter("valid")
    moments = ["stay", "hour", "variable"]
    single = measured.group_by(moments).agg(value.median().cast(pl.Float32))
    counts["duplicates"] += len(measured) - len(single)
    return single.select(pl.col(name).cast(kind) for name, kind in EVENTS.items()).sort(
        "stay", "variable", "hour"
    )
