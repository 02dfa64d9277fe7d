"""MEASUREMENT and OBSERVATION of the OMOP CDM as rows of events."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from pipelines.sources.columns import FileTable
from pipelines.sources.source import Wanted
from pipelines.sources.tables import typed, unreadable
from privaudit.errors import PrivauditError

UNITS = Path(__file__).with_name("omop_units.csv")
CONCEPT, SOURCE_VALUE, MIMIC = "concept", "source value", "mimic concept"
"""Systems of the code map: a standard concept, the source's own code, and a concept that MIMIC's
map uses in another sense."""

MIMIC_CONCEPTS = (3004249, 3012888, 3027598)
"""Blood pressures that are arterial in MIMIC's map and mostly the cuff's elsewhere."""

_OPERATORS = {4171756: "<", 4171754: "<=", 4172704: ">", 4171755: ">="}
_HEAD = 2_000_000
_FEW = 20
"""Rows of a concept from which midnight alone cannot be chance."""


def timed(time: pl.Expr) -> pl.Expr:
    """Whether a time says more than a day; null does not."""
    return ((time - time.dt.truncate("1d")) != pl.duration()).fill_null(False)


@dataclass(frozen=True, eq=False)
class OmopTable(FileTable):
    """Codes are concept ids; `measurement_source_value` where a hospital's own map names it.

    Units are read by unit_concept_id, and by unit_source_value where that is 0. Concepts that are
    dated by the day alone (at midnight in every one of 20 or more rows) are left out: within a
    stay, midnight would be before the value was known.
    """

    is_mimic: bool

    @property
    def mark(self) -> object:
        return (self.table.mark, self.is_mimic, hashlib.sha256(UNITS.read_bytes()).hexdigest())

    def check(self) -> None:
        """PrivauditError for a missing column, and for a table that has dates alone."""
        self.table.check()
        if self.filled and not self.has_times:
            raise PrivauditError(
                f"{self.name}: dates without times",
                f"every {self._time} that was looked at is empty or midnight: a value can only be "
                "placed in the hours of a stay by its time",
                f"fill {self._time} with times; an export that has days alone cannot be used",
            )

    @cached_property
    def filled(self) -> bool:
        """Whether the table has a row."""
        return self.table.filled

    @cached_property
    def has_times(self) -> bool:
        """Whether any row has a time of day."""
        rows, dated = self._days.select(pl.col("rows", "dated").sum()).row(0)
        return bool(rows > dated)

    @property
    def _time(self) -> str:
        return f"{self.name}_datetime"

    @property
    def _concept(self) -> str:
        return f"{self.name}_concept_id"

    @cached_property
    def _days(self) -> pl.DataFrame:
        """code, rows, dated (those at midnight or without a time), from the head of the table."""
        raw = self.table.scan(careful=True).head(_HEAD).select(self._concept, self._time)
        schema = raw.collect_schema()
        kinds = {self._concept: "id", self._time: "time"}
        with self.table.trouble():
            return (
                raw.select(typed(schema, kinds, careful=True))
                .group_by(code=pl.col(self._concept))
                .agg(rows=pl.len(), dated=(~timed(pl.col(self._time))).sum())
                .collect(engine="streaming")
            )

    @cached_property
    def days_alone(self) -> pl.Series:
        """The concepts that are dated by the day alone."""
        rows, dated = pl.col("rows"), pl.col("dated")
        return self._days.filter((rows >= _FEW) & (rows == dated))["code"].drop_nulls()

    def raw(self, rows: pl.LazyFrame, wanted: Wanted, careful: bool = False) -> pl.LazyFrame:
        kinds, schema = dict(self.table.kinds), rows.collect_schema()
        texts = {c: kind for c, kind in kinds.items() if kind == "text"}
        times = {c: kind for c, kind in kinds.items() if kind == "time"}
        plain = {c: kind for c, kind in kinds.items() if c not in texts and c not in times}
        concept, source = pl.col(self._concept), pl.col(f"{self.name}_source_value")
        by_system = {
            system: wanted.codes.filter(pl.col("system") == system)
            for system in (CONCEPT, SOURCE_VALUE, MIMIC)
        }
        ids, own = by_system[CONCEPT]["code"].cast(pl.Int64, strict=False), by_system[SOURCE_VALUE]
        differs = concept.is_in(MIMIC_CONCEPTS) if self.is_mimic else pl.lit(False)
        known = concept.is_in(ids.drop_nulls().implode()).fill_null(False)
        named = source.is_in(own["code"].implode()).fill_null(False)
        worded = wanted.codes.filter(pl.col("words"))["code"].implode()
        lazy = (
            rows.with_columns(typed(schema, {**plain, **texts}, careful))
            .filter(known | named, ~concept.is_in(self.days_alone.implode()).fill_null(False))
            .join(wanted.subjects.lazy(), left_on="person_id", right_on="subject", how="semi")
            .with_columns(
                typed(schema, times, careful),
                bad=pl.any_horizontal(unreadable(schema, c, "time", careful) for c in times),
                # the code of the source wins: only a hospital's own map names one
                code=pl.when(named).then(source).otherwise(concept.cast(pl.String)),
                system=pl.when(named)
                .then(pl.lit(SOURCE_VALUE))
                .when(differs)
                .then(pl.lit(MIMIC))
                .otherwise(pl.lit(CONCEPT)),
            )
        )
        number = pl.col("value_as_number")
        if "value_as_string" in kinds:
            value, text = number, pl.col("value_as_string")
        else:
            limit = pl.col("operator_concept_id").replace_strict(
                _OPERATORS, default=None, return_dtype=pl.String
            )
            value = pl.when(limit.is_null()).then(number)
            text = pl.coalesce(limit + number.cast(pl.String), "value_source_value")
        # a number is no word: whether a patient is intubated is told by words alone
        text = pl.when(text.cast(pl.Float64, strict=False).is_null()).then(text)
        return lazy.select(
            "system",
            "code",
            "bad",
            subject="person_id",
            time=self._time,
            value=value,
            unit=_unit(),
            text=pl.when(value.is_null() | pl.col("code").is_in(worded)).then(text),
            known=pl.lit(None, pl.Datetime("us")),
        ).filter(pl.col("time").is_not_null() | pl.col("bad"))


def _unit() -> pl.Expr:
    """The unit by its concept; "concept 1234" for one that we do not know, which no table has."""
    listed = pl.read_csv(UNITS, glob=False)
    concept = pl.col("unit_concept_id")
    by_concept = concept.replace_strict(
        listed["concept_id"], listed["unit"], default=None, return_dtype=pl.String
    )
    return (
        pl.when(concept.is_null() | (concept == 0))
        .then(pl.col("unit_source_value"))
        .otherwise(pl.coalesce(by_concept, pl.format("concept {}", concept)))
    )
