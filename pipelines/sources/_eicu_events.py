"""Event tables of eICU: minutes since admission to the unit, filed by stay."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from pipelines.sources import units
from pipelines.sources.columns import FileTable
from pipelines.sources.source import RAW, Wanted
from pipelines.sources.tables import typed

STAY = "patientunitstayid"
OUTPUT = "flowsheet|Flowsheet Cell Labels|I&O|Output (ml)|"
"""How the paths of amounts that left the body begin; what follows is the code."""


@dataclass(frozen=True)
class Shape:
    """Which columns hold what.

    Args:
        offset: Minutes since admission to the unit; None for what is known on admission.
        codes: Columns whose names are the codes, each with a value; or
        code: columns of text that together, joined by "|", are the code.
        value: A column of numbers, or of text with numbers in it.
        prefix: Text with which the code must begin, and which is cut off.
        other_unit: A second record of the unit. Where one is a mass and the other an amount of
            substance, nobody knows which the value is in, and the two together are no known unit.
    """

    offset: str | None
    codes: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    value: str = ""
    text: str | None = None
    unit: str | None = None
    prefix: str = ""
    other_unit: str | None = None


SHAPES = {
    "vitalPeriodic": Shape(
        "observationoffset",
        codes=(
            "temperature",
            "sao2",
            "heartrate",
            "respiration",
            "systemicsystolic",
            "systemicdiastolic",
            "systemicmean",
        ),
    ),
    "vitalAperiodic": Shape(
        "observationoffset",
        codes=("noninvasivesystolic", "noninvasivediastolic", "noninvasivemean"),
    ),
    "lab": Shape(
        "labresultoffset",
        code=("labname",),
        value="labresult",
        text="labresulttext",
        unit="labmeasurenamesystem",
        other_unit="labmeasurenameinterface",
    ),
    "nurseCharting": Shape(
        "nursingchartoffset",
        code=("nursingchartcelltypevallabel", "nursingchartcelltypevalname"),
        value="nursingchartvalue",
        text="nursingchartvalue",
    ),
    "respiratoryCharting": Shape(
        "respchartoffset", code=("respchartvaluelabel",), value="respchartvalue"
    ),
    "intakeOutput": Shape(
        "intakeoutputoffset", code=("cellpath",), value="cellvaluenumeric", prefix=OUTPUT
    ),
    "patient": Shape(None, codes=("admissionheight", "admissionweight")),
}


@dataclass(frozen=True, eq=False)
class EicuTable(FileTable):
    """One table, with its stays' clocks.

    Args:
        clocks: Columns subject, intime: one row a stay.
    """

    shape: Shape
    clocks: pl.DataFrame

    def raw(self, rows: pl.LazyFrame, wanted: Wanted, careful: bool = False) -> pl.LazyFrame:
        shape = self.shape
        codes = wanted.codes.filter(pl.col("system") == self.name)
        stays = self.clocks.join(wanted.subjects, on="subject", how="semi").lazy()
        minutes = pl.col(shape.offset) if shape.offset else pl.lit(0, pl.Int64)
        mine = (
            rows.with_columns(typed(rows.collect_schema(), self.table.kinds, careful))
            .with_columns(minutes=minutes)
            .drop_nulls("minutes")
            .join(stays, left_on=STAY, right_on="subject", how="inner")
        )
        kept = self._wide(mine, codes) if shape.codes else self._long(mine, codes)
        return kept.with_columns(
            subject=pl.col(STAY),
            time=pl.col("intime") + pl.duration(minutes=pl.col("minutes")),
            system=pl.lit(self.name),
            known=pl.lit(None),
        ).select(*(pl.col(c).cast(dtype) for c, dtype in RAW.items()), bad=pl.lit(False))

    def _wide(self, rows: pl.LazyFrame, codes: pl.DataFrame) -> pl.LazyFrame:
        named = set(codes["code"])
        columns = [c for c in self.shape.codes if c in named]
        return (
            rows.unpivot(
                columns, index=[STAY, "minutes", "intime"], variable_name="code", value_name="value"
            )
            .drop_nulls("value")
            .with_columns(unit=pl.lit(None, pl.String), text=pl.lit(None, pl.String))
        )

    def _long(self, rows: pl.LazyFrame, codes: pl.DataFrame) -> pl.LazyFrame:
        shape, kinds = self.shape, self.table.kinds
        code = pl.concat_str(shape.code, separator="|")
        if shape.prefix:
            code = pl.when(code.str.starts_with(shape.prefix)).then(
                code.str.strip_prefix(shape.prefix)
            )
        value = pl.col(shape.value)
        if kinds[shape.value] == "text":
            value = value.str.strip_suffix("%").str.strip_chars().cast(pl.Float64, strict=False)
        words = pl.col(shape.text) if shape.text else pl.lit(None, pl.String)
        return (
            rows.with_columns(code=code)
            .filter(pl.col("code").is_in(codes["code"].implode()))
            .with_columns(value=value)
            .with_columns(
                # a number is no word: whether a patient is intubated is said in words alone
                text=pl.when(pl.col("value").is_null()).then(words),
                unit=_unit(shape),
            )
        )


_MASS = r"^(?:[munpkµ]|mc)?g(?:m|rams?)?(?:/|%)"
_AMOUNT = r"^(?:[munpµ]|mc)?(?:mol|eq)s?/"


def _unit(shape: Shape) -> pl.Expr:
    if shape.unit is None:
        return pl.lit(None, pl.String)
    unit = pl.col(shape.unit)
    if shape.other_unit is None:
        return unit
    ours, theirs = (units.spelling(pl.col(c)) for c in (shape.unit, shape.other_unit))
    apart = pl.any_horizontal(
        one.str.contains(_MASS) & other.str.contains(_AMOUNT)
        for one, other in ((ours, theirs), (theirs, ours))
    )
    said = pl.format("{} or {}", shape.unit, shape.other_unit)
    return pl.when(apart.fill_null(False)).then(said).otherwise(unit)
