"""The code map: which codes of a source are which variable, in which unit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from pipelines.sources import units
from privaudit.errors import PrivauditError

COLUMNS = ("variable", "system", "code", "unit", "before", "convert")
"""variable: one of `variables.csv`; empty in a hospital's own map to leave a code of ours out.
unit: that of the code where a row records none. before: hours before admission to the unit from
which a value counts where the window has none, for what is measured once, on arrival. convert:
negate (an amount to be subtracted) or percent_above_1 (a fraction, or a percentage where it is
above 1)."""

CONVERSIONS = ("", "negate", "percent_above_1")
_LONGEST = 72
_NEEDED = ("variable", "code")
_FIX = (
    "write a CSV with the columns variable, code and, where needed, system, unit, before and "
    "convert; docs/data.md has an example"
)


@dataclass(frozen=True, eq=False)
class Codes:
    """A code map, checked.

    Args:
        frame: COLUMNS and `row` (Int32, its number), one row a (system, code).
    """

    frame: pl.DataFrame

    @cached_property
    def digest(self) -> str:
        """sha256 of everything that a harmonised value depends on."""
        rows = self.frame.write_csv().encode()
        return hashlib.sha256(rows + units.digest().encode()).hexdigest()

    @property
    def wanted(self) -> pl.DataFrame:
        """Columns system, code and `words`: whether the text of its rows is read."""
        return self.frame.select("system", "code", words=pl.col("variable") == units.VERBAL)


def load(
    ours: Path,
    own: Path | None = None,
    system: str = "",
    more: tuple[str, ...] | None = (),
) -> Codes:
    """A source's code map, with a hospital's own read on top of it.

    A row of the own map replaces ours of the same system and code. Where ours has one system, the
    own map may leave the system out.

    Args:
        system: What the own map's codes are where ours is empty.
        more: Systems that the own map may name beside those of ours; None for any.

    Raises:
        PrivauditError: For an own map that cannot be read or names what is not known. No cell of
            the file is quoted but the names of columns, variables and conversions.
    """
    base = _read(ours)
    if own is None:
        return Codes(base.with_row_index("row").with_columns(pl.col("row").cast(pl.Int32)))
    added = _checked(_read_own(own), base["system"].unique().to_list() or [system], more)
    joined = pl.concat([base.join(added, on=["system", "code"], how="anti"), added])
    joined = joined.filter(pl.col("variable") != "")
    if joined.is_empty():
        raise PrivauditError("a code map without codes", "every row leaves a code out", _FIX)
    return Codes(joined.with_row_index("row").with_columns(pl.col("row").cast(pl.Int32)))


def _read(path: Path) -> pl.DataFrame:
    return _shaped(pl.read_csv(path, infer_schema=False, glob=False))


def _shaped(frame: pl.DataFrame) -> pl.DataFrame:
    given = frame.with_columns(
        pl.lit(None, pl.String).alias(c) for c in COLUMNS if c not in frame.columns
    )
    return (
        given.select(pl.col(c).str.strip_chars().fill_null("") for c in COLUMNS if c != "before")
        .with_columns(before=given["before"].str.strip_chars().cast(pl.Float64, strict=False))
        .select(COLUMNS)
    )


def _read_own(path: Path) -> pl.DataFrame:
    if path.is_dir():
        raise PrivauditError("the code map is a folder", "it is one CSV", "give the file")
    try:
        frame = pl.read_csv(path, infer_schema=False, glob=False)
    except OSError as error:
        raise PrivauditError(
            "the code map cannot be opened",
            f"the system reports: {error.strerror or 'no such file'}",
            "check the path after task.codes=",
        ) from None
    except pl.exceptions.PolarsError:
        raise PrivauditError(
            "the code map cannot be read", "it is no CSV with a header and rows", _FIX
        ) from None
    names = {c: c.strip().lower() for c in frame.columns}
    # Polars gives the second column of a name this ending.
    twice = any("_duplicated_" in name for name in names)
    if twice or len(set(names.values())) < len(names):
        raise PrivauditError("the code map has two columns of one name", "which counts?", _FIX)
    frame = frame.rename(names)
    missing = [c for c in _NEEDED if c not in frame.columns]
    if missing:
        raise PrivauditError(
            f"the code map has no column {' and no column '.join(missing)}",
            f"its columns are read by name; {len(frame.columns)} were found",
            _FIX,
        )
    if frame.is_empty():
        raise PrivauditError("the code map is empty", "it has a header and no row", _FIX)
    if "before" in frame.columns:
        hours = frame["before"].str.strip_chars()
        number = hours.cast(pl.Float64, strict=False)
        strange = ((hours != "") & ~number.is_between(0, _LONGEST).fill_null(False)).sum()
        _refuse(int(strange or 0), "hours before admission", f"they are 0 to {_LONGEST}")
    return _shaped(frame)


def _checked(own: pl.DataFrame, systems: list[str], more: tuple[str, ...] | None) -> pl.DataFrame:
    if len(systems) == 1:
        own = own.with_columns(
            system=pl.when(pl.col("system") == "").then(pl.lit(systems[0])).otherwise("system")
        )
    known = units.names()
    _refuse(
        int((own["code"] == "").sum()), "rows without a code", "a row maps one code of the source"
    )
    named = (own["system"] != "") if more is None else own["system"].is_in([*systems, *more])
    _refuse(
        int((~named).sum()),
        "rows without a system"
        if more is None
        else "rows of a system that the source does not have",
        f"its systems are {', '.join(sorted([*systems, *(more or ())]))}",
    )
    _refuse(
        int((~own["variable"].is_in([*known, ""])).sum()),
        "rows of a variable that is not known",
        f"known are {', '.join(known)}",
    )
    _refuse(
        int((~own["convert"].is_in(CONVERSIONS)).sum()),
        "rows with an unknown conversion",
        f"known are {', '.join(CONVERSIONS[1:])}",
    )
    twice = len(own) - own.select("system", "code").n_unique()
    _refuse(twice, "codes that come twice", "one code is one variable")
    used = own.filter(pl.col("variable") != "")
    read = used.with_columns(recorded=units.spelling(pl.col("unit"))).join(
        units.table(), on=["variable", "recorded"], how="left"
    )
    lost = read.filter((pl.col("unit") != "") & pl.col("times").is_null())
    _refuse(
        len(lost),
        "rows with a unit that is not known for their variable",
        f"concerned are {', '.join(sorted(set(lost['variable'])))}; a unit is never guessed",
    )
    return own


def _refuse(count: int, what: str, because: str) -> None:
    if count:
        raise PrivauditError(f"the code map: {count} {what}", because, _FIX)
