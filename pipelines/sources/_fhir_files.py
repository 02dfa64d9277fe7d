"""Files of a FHIR R4 bulk export: newline-delimited JSON, a resource a line, one type a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from privaudit.errors import PrivauditError

TYPES = ("Patient", "Encounter", "Location", "Observation")
FORMS = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")
_SAME = "give the export as the server wrote it, one resource a line"
_ROWS_A_BYTE = 1 / 900
"""Lines a byte of plain text, for the progress bar; packed files are about 15 times smaller."""
_PACKED = 15

SUMMER = 60
"""Minutes by which the clock of one place differs between summer and winter, at most."""

SHARED = 5
"""Records that one person may have by mistake; what more share is no identifier."""

_TEXT = pl.String()
_CONCEPT = pl.Struct({"coding": pl.List(pl.Struct({"system": _TEXT, "code": _TEXT}))})
_WORDS = pl.Struct({"coding": pl.List(pl.Struct({"display": _TEXT})), "text": _TEXT})
_REFERENCE = pl.Struct({"reference": _TEXT})
_PERIOD = pl.Struct({"start": _TEXT, "end": _TEXT})
_QUANTITY = pl.Struct(
    {"value": pl.Float64(), "comparator": _TEXT, "unit": _TEXT, "code": _TEXT, "system": _TEXT}
)
_VALUES: dict[str, pl.DataType] = {
    "code": _CONCEPT,
    "valueQuantity": _QUANTITY,
    "valueInteger": pl.Float64(),
    "valueString": _TEXT,
    "valueCodeableConcept": _WORDS,
}
VALUES = tuple(_VALUES)
"""The elements that an Observation and each of its components share."""

SCHEMAS: Mapping[str, Mapping[str, pl.DataType]] = {
    "Patient": {
        "id": _TEXT,
        "gender": _TEXT,
        "birthDate": _TEXT,
        "deceasedBoolean": pl.Boolean(),
        "deceasedDateTime": _TEXT,
        "identifier": pl.List(pl.Struct({"system": _TEXT, "value": _TEXT})),
        "link": pl.List(pl.Struct({"other": _REFERENCE})),
        "extension": pl.List(
            pl.Struct(
                {
                    "url": _TEXT,
                    "extension": pl.List(
                        pl.Struct(
                            {
                                "url": _TEXT,
                                "valueString": _TEXT,
                                "valueCoding": pl.Struct({"code": _TEXT, "display": _TEXT}),
                            }
                        )
                    ),
                }
            )
        ),
    },
    "Encounter": {
        "id": _TEXT,
        "status": _TEXT,
        "priority": _CONCEPT,
        "subject": _REFERENCE,
        "partOf": _REFERENCE,
        "period": _PERIOD,
        "identifier": pl.List(pl.Struct({"system": _TEXT})),
        "serviceProvider": _REFERENCE,
        "location": pl.List(pl.Struct({"location": _REFERENCE, "period": _PERIOD})),
        "hospitalization": pl.Struct({"dischargeDisposition": _CONCEPT}),
    },
    "Location": {"id": _TEXT, "name": _TEXT, "type": pl.List(_CONCEPT)},
    "Observation": {
        "status": _TEXT,
        "subject": _REFERENCE,
        "effectiveDateTime": _TEXT,
        "effectiveInstant": _TEXT,
        "effectivePeriod": pl.Struct({"start": _TEXT}),
        "issued": _TEXT,
        "component": pl.List(pl.Struct(_VALUES)),
        **_VALUES,
    },
}
"""What is read of each type; other elements are skipped."""


def find(folder: Path) -> dict[str, tuple[Path, ...]]:
    """The files of each type that is read, in order of their names.

    A file's type is the word at the start of its name: Patient.ndjson, Observation-2.ndjson.gz,
    3.Encounter.ndjson, MimicObservationLabevents.ndjson.gz.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        kind = _kind(path.name)
        if kind in TYPES and path.is_file():
            found.setdefault(kind, []).append(path)
    return {kind: tuple(found[kind]) for kind in TYPES if kind in found}


def _kind(name: str) -> str | None:
    form = next((f for f in FORMS if name.lower().endswith(f)), None)
    if form is None:
        return None
    stem = re.sub(r"^[\d._-]+", "", name[: -len(form)]).removeprefix("Mimic")
    return next(
        (kind for kind in TYPES if re.match(rf"{kind}(?![a-z])", stem)),
        None,
    )


@dataclass(frozen=True)
class Resources:
    """All files of one type."""

    kind: str
    parts: tuple[Path, ...]

    @classmethod
    def open(cls, folder: Path, kind: str) -> Resources:
        """The files of a type, or an error that says what was looked for."""
        found = find(folder)
        if kind not in found:
            raise PrivauditError(
                f"no file of the type {kind}",
                f"looked for {kind}*.ndjson or .ndjson.gz; found files of "
                f"{', '.join(found) or 'none of the types that are read'}",
                "export Patient, Encounter, Location and Observation",
            )
        return cls(kind, found[kind])

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(part.stat().st_size for part in self.parts)

    @property
    def mark(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and time of change of every file: what a cached result depends on."""
        stats = [(part.name, part.stat()) for part in self.parts]
        return tuple((name, s.st_size, s.st_mtime_ns) for name, s in stats)

    def expected_rows(self) -> int:
        """A guess at the number of resources, from the sizes."""
        plain = sum(
            part.stat().st_size * (_PACKED if part.name.lower().endswith(".gz") else 1)
            for part in self.parts
        )
        return max(1, int(plain * _ROWS_A_BYTE))

    def scan(self) -> pl.LazyFrame:
        """The elements that are read, as a stream; resources of other types are left out."""
        lazy = pl.scan_ndjson(
            [_literal(part) for part in self.parts],
            schema={"resourceType": _TEXT, **SCHEMAS[self.kind]},
        )
        return lazy.filter(pl.col("resourceType") == self.kind).drop("resourceType")

    def rows(self) -> int:
        """How many resources there are; every file is read, so a damaged one is found out."""
        with self.trouble():
            return int(self.scan().select(pl.len()).collect(engine="streaming").item())

    def load(self, *columns: pl.Expr, **named: pl.Expr) -> pl.DataFrame:
        """Columns of all resources of a small type; one of them is id."""
        with self.trouble():
            frame = self.scan().select(*columns, **named).collect(engine="streaming")
        if frame.is_empty():
            raise PrivauditError(
                f"{self.kind}: no resource of this type",
                f"its {len(self.parts)} file(s) hold no line with this resourceType",
                _SAME,
            )
        keys = frame["id"]
        repeated = len(frame) - keys.n_unique() + int(keys.null_count() > 0)
        if repeated:
            raise PrivauditError(
                f"{self.kind}: {repeated:,} repeated or missing id(s)",
                "each resource has an id of its own, or stays would be counted twice",
                "export into an empty folder, once",
            )
        return frame

    @contextmanager
    def trouble(self) -> Iterator[None]:
        """Turn a reader's complaint, which may quote a resource, into one that holds none."""
        try:
            yield
        except (OSError, EOFError) as error:
            raise self._damaged(str(error)) from None
        except pl.exceptions.PolarsError as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, complaint: str) -> PrivauditError:
        known = {
            "unexpected end of file": "a compressed file ends too early: the copy is not whole",
            "No space left": "the disk that holds the cache is full",
            "Permission denied": "permission to read it was denied",
            "corrupt": "a compressed file is corrupt",
            "deflate": "a compressed file is corrupt",
            "parsing line": "a line is no JSON object",
            "JSON object": "a line is no JSON object",
            "cannot parse": "an element has another type than FHIR R4 gives it",
            "expected": "an element has another type than FHIR R4 gives it",
            "unexpected value": "an element has another type than FHIR R4 gives it",
        }
        reason = next((why for word, why in known.items() if word in complaint), "it is malformed")
        return PrivauditError(f"the files of the type {self.kind} cannot be read", reason, _SAME)


def _literal(path: Path) -> str:
    """A path in which the signs of a pattern mean themselves.

    This reader takes every path for a pattern, and "a[b]" would be the files of a folder "ab".
    """
    return re.sub(r"([\[\]*?])", r"[\1]", str(path))


def wall_clock(text: pl.Expr) -> pl.Expr:
    """The time on the clock where it was written: an offset is dropped, not applied.

    A date without a time is null: it cannot be placed in a stay. Fractions of a second are
    dropped.
    """
    return text.str.slice(0, 19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)


def universal(text: pl.Expr) -> pl.Expr:
    """Whether a time is written in universal time (Z), which is nobody's wall clock."""
    return text.str.ends_with("Z")


def offset(text: pl.Expr) -> pl.Expr:
    """Minutes east of universal time at which a time is written; null where it does not say."""
    east = text.str.extract(r"T.*([+-])\d\d:?\d\d$")
    hours, minutes = (
        text.str.extract(r"T.*[+-](\d\d):?(\d\d)$", i).cast(pl.Int32, strict=False) for i in (1, 2)
    )
    size = hours * 60 + minutes
    return (
        pl.when(universal(text))
        .then(pl.lit(0, pl.Int32))
        .otherwise(pl.when(east == "-").then(-size).otherwise(size))
    )


def reference(field: pl.Expr, kind: str) -> pl.Expr:
    """The id in a reference of FHIR: relative, absolute, or urn:uuid."""
    text = field.struct.field("reference")
    return text.str.extract(rf"(?:^|/){kind}/([^/]+)").fill_null(
        text.str.extract(r"^urn:uuid:(.+)$")
    )


def first_code(concept: pl.Expr) -> pl.Expr:
    """The code of the first coding of a concept."""
    return concept.struct.field("coding").list.first().struct.field("code")


def numbered(ids: pl.Series) -> pl.DataFrame:
    """Columns id and number: ids in order, numbered from 1."""
    ordered = ids.unique().sort()
    return pl.DataFrame(
        {"id": ordered, "number": pl.Series(range(1, len(ordered) + 1), dtype=pl.Int64)}
    )


def joined(numbers: pl.DataFrame, links: pl.DataFrame) -> pl.DataFrame:
    """The numbers, with one for all ids that links connect: the least of theirs.

    Args:
        links: Columns id, other; ids that have no number are left out.
    """
    ways = pl.concat([links, links.select(id="other", other="id")]).drop_nulls()
    while True:
        near = (
            ways.join(numbers.rename({"id": "other"}), on="other")
            .group_by("id")
            .agg(near=pl.col("number").min())
        )
        least = numbers.join(near, on="id", how="left", maintain_order="left").select(
            "id", number=pl.min_horizontal("number", "near")
        )
        if least.equals(numbers):
            return numbers
        numbers = least


def sharing(identifiers: pl.DataFrame) -> pl.DataFrame:
    """Columns id, other: resources that have an identifier of one system in common.

    An identifier of more than SHARED resources is a stand-in ("unknown") and says nothing.

    Args:
        identifiers: Columns id and identifier, as in Patient.
    """
    each = (
        identifiers.explode("identifier")
        .select(
            "id",
            system=pl.col("identifier").struct.field("system").str.strip_chars(),
            value=pl.col("identifier").struct.field("value").str.strip_chars(),
        )
        .filter(pl.col("system") != "", pl.col("value") != "")
        .unique()
    )
    same = each.with_columns(many=pl.len().over("system", "value"))
    return same.filter(pl.col("many").is_between(2, SHARED)).select(
        "id", other=pl.col("id").min().over("system", "value")
    )


def left_of(frame: pl.DataFrame, column: str, numbers: pl.DataFrame, name: str) -> pl.DataFrame:
    """The frame with the numbers of the ids in a column; null where an id is not known."""
    return frame.join(
        numbers.rename({"id": column, "number": name}), on=column, how="left", maintain_order="left"
    )


def all_of(kinds: Sequence[str], folder: Path) -> dict[str, Resources]:
    """The resources of several types."""
    return {kind: Resources.open(folder, kind) for kind in kinds}
