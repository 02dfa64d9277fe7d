"""Observations of FHIR R4 as rows of events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from pipelines.sources import _fhir_files as fhir
from pipelines.sources._fhir_files import Resources, reference, wall_clock
from pipelines.sources.source import EventTable, Wanted
from privaudit.errors import PrivauditError

LOINC = "http://loinc.org"
SYSTEMS = (
    (LOINC, "://loinc.org"),
    (LOINC, "://loinc.org/"),
    (LOINC, "urn:oid:2.16.840.1.113883.6.1"),
    ("mimic-d-items", "mimic-d-items"),
    ("mimic-d-items", "mimic-chartevents-d-items"),
    ("mimic-d-items", "mimic-outputevents-d-items"),
    ("mimic-d-items", "mimic.mit.edu/CodeSystem/d-items"),
    ("mimic-d-labitems", "mimic-d-labitems"),
    ("mimic-d-labitems", "mimic.mit.edu/CodeSystem/d-labitems"),
)
"""The code systems of our map, and how exports end their names."""

UCUM = "http://unitsofmeasure.org"
_VOID = ("cancelled", "entered-in-error", "registered", "unknown")
_HEAD = 200_000


@dataclass(frozen=True, eq=False)
class Observations(EventTable):
    """Observations; every coding is looked at, and the first that is in the map counts.

    Components are read where the observation itself has no value under a code in the map.
    """

    files: Resources
    patients: pl.DataFrame
    in_universal_time: bool
    depends: tuple[object, ...]
    name: str = "Observation"

    @property
    def size(self) -> int:
        return self.files.size

    @property
    def mark(self) -> object:
        return (self.files.mark, *self.depends)

    def expected_rows(self) -> int:
        return self.files.expected_rows()

    def scan(self, careful: bool = False) -> pl.LazyFrame:
        return self.files.scan()

    def check(self) -> None:
        """PrivauditError where the times are dates alone."""
        if len(self._head) and not self._head["timed"].any():
            raise PrivauditError(
                f"{self.name}: dates without times",
                "a value can only be placed in the hours of a stay by its time",
                "export effectiveDateTime with hours and minutes",
            )

    @property
    def days_among_times(self) -> bool:
        """Whether some have a date alone; they are left out."""
        return not bool(self._head["timed"].all())

    @cached_property
    def _head(self) -> pl.DataFrame:
        """timed: whether each of the first observations has a time of day."""
        with self.trouble():
            head = self.scan().head(_HEAD).select(when=_when()).drop_nulls().collect()
        return head.select(timed=pl.col("when").str.contains("T"))

    def refuse_unreadable(self) -> None:
        """Called where a row is marked as bad: only the clock is."""
        raise PrivauditError(
            f"{self.name}: some times are in another clock than those of Encounter",
            "one is written in universal time and the other with the offset of the place, or their "
            "offsets differ by more than an hour: values would be hours off",
            "export both with the offset of the place",
        )

    def raw(self, rows: pl.LazyFrame, wanted: Wanted, careful: bool = False) -> pl.LazyFrame:
        codes = wanted.codes.select("system", "code").unique(maintain_order=True)
        keys = (codes["system"] + "|" + codes["code"]).to_list()
        patients = self.patients.filter(
            pl.col("number").is_in(wanted.subjects["subject"].implode())
        ).rename({"number": "subject"})
        west, east = pl.col("west") - fhir.SUMMER, pl.col("east") + fhir.SUMMER
        observed = (
            rows.filter(~pl.col("status").is_in(_VOID).fill_null(False))
            .with_columns(id=reference(pl.col("subject"), "Patient"), when=_when())
            .drop("subject")
            .join(patients.lazy(), on="id", how="inner")
            .with_columns(time=wall_clock(pl.col("when")))
            .filter(pl.col("time").is_not_null())
        )
        own, inner = _key(pl.col("code"), keys), pl.col("component").struct.field
        parts = (
            observed.with_columns(key=own)
            .with_columns(pl.when(~_says(pl.col("key"), pl.col)).then("component"))
            .explode("component")
            .with_columns(inside=_key(inner("code"), keys))
            .with_columns(pl.coalesce("inside", "key").alias("key"))
            .filter(pl.col("key").is_not_null())
        )
        inside = pl.col("inside").is_not_null()
        value, unit, text = (
            pl.when(inside).then(theirs).otherwise(ours)
            for ours, theirs in zip(_value(pl.col), _value(inner), strict=True)
        )

        def elsewhere(text: pl.Expr) -> pl.Expr:
            """Whether a time is not on the clock of the patient's encounters."""
            far = ~fhir.offset(text).is_between(west, east)
            return (fhir.universal(text) != self.in_universal_time) | far.fill_null(False)

        issued = pl.when(~elsewhere(pl.col("issued"))).then(wall_clock(pl.col("issued")))
        split = pl.col("key").str.splitn("|", 2)
        return parts.select(
            "subject",
            "time",
            system=split.struct.field("field_0"),
            code=split.struct.field("field_1"),
            value=value,
            unit=unit,
            text=text,
            known=issued,
            bad=elsewhere(pl.col("when")),
        )

    @contextmanager
    def trouble(self, unparsed: bool = False) -> Iterator[None]:
        with self.files.trouble():
            yield


def _when() -> pl.Expr:
    return pl.coalesce(
        "effectiveDateTime",
        "effectiveInstant",
        pl.col("effectivePeriod").struct.field("start"),
    )


def _key(concept: pl.Expr, keys: list[str]) -> pl.Expr:
    """system|code of the first coding that is in the map, the system spelled as there."""
    system, code = (pl.element().struct.field(c) for c in ("system", "code"))
    named = system
    for name, ends in SYSTEMS:
        named = pl.when(system.str.ends_with(ends)).then(pl.lit(name)).otherwise(named)
    found = concept.struct.field("coding").list.eval(named + "|" + code)
    known = found.list.eval(pl.when(pl.element().is_in(keys)).then(pl.element()))
    return known.list.drop_nulls().list.first()


def _says(key: pl.Expr, field: Callable[[str], pl.Expr]) -> pl.Expr:
    """Whether an observation has a value of its own, under a code in the map."""
    return key.is_not_null() & pl.any_horizontal(field(c).is_not_null() for c in fhir.VALUES[1:])


def _value(field: Callable[[str], pl.Expr]) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """Value, unit and text. "<0.01" is a text: a comparator makes the number a limit."""
    quantity, concept = field("valueQuantity").struct.field, field("valueCodeableConcept").struct
    number, comparator = quantity("value"), quantity("comparator")
    words = pl.coalesce(
        field("valueString"),
        concept.field("text"),
        concept.field("coding").list.first().struct.field("display"),
    )
    figure = words.str.strip_chars().cast(pl.Float64, strict=False)
    value = pl.coalesce(pl.when(comparator.is_null()).then(number), field("valueInteger"), figure)
    # a number is no word: whether a patient is intubated is told by words alone
    words = pl.when(figure.is_null()).then(words)
    unit = (
        pl.when(quantity("system") == UCUM)
        .then(quantity("code"))
        .otherwise(pl.coalesce(quantity("unit"), quantity("code")))
    )
    limit = pl.when(comparator.is_not_null()).then(comparator + number.cast(pl.String))
    return value, unit, pl.coalesce(limit, words)
