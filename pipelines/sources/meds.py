"""MEDS, the Medical Event Data Standard: 0.0.1, and 0.3 and later.

MIMIC-IV as its published converter writes it is read by our own code map; datasets of other codes
by a map of the hospital's own, as long as they have the events ICU_ADMISSION, ICU_DISCHARGE,
HOSPITAL_ADMISSION, HOSPITAL_DISCHARGE and MEDS_BIRTH.

Source: https://medical-event-data-standard.github.io.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from pipelines.sources import _meds_stays
from pipelines.sources.features import UNITS
from pipelines.sources.mimic4 import NEEDED
from pipelines.sources.source import RAW, Core, EventTable, TableSource, Wanted
from pipelines.sources.tables import Table
from privaudit.errors import PrivauditError

_NAMES = {
    "subject": ("subject_id", "patient_id"),
    "time": ("time", "timestamp"),
    "code": ("code",),
    "value": ("numeric_value", "value"),
    "text": ("text_value",),
    "unit": ("unit",),
}
"""The columns, as 0.3 and as earlier versions call them."""

_ANCHORS = ("LAB//220045//bpm", "ICU_ADMISSION//Medical Intensive Care Unit (MICU)")
"""Codes of MIMIC-IV (a heart rate, a unit): it is known by them where no metadata name it."""
_SUBJECTS = (
    "A subject of this dataset is taken for one person. If its conversion made subjects of stays "
    "in hospital, one person may stand among those trained on and those not, and leaks are "
    "understated."
)
_HOSPITAL_STAYS = ("eicu",)
"""Datasets whose subject is a stay in hospital."""


class Meds(TableSource):
    """A folder with data/**/*.parquet and metadata, or with event files side by side."""

    name: ClassVar[str] = "meds"
    title: ClassVar[str] = "MEDS"
    looked_for: ClassVar[str] = "data/**/*.parquet with the columns subject_id, time, code (MEDS)"
    store_times: ClassVar[bool] = False
    words: ClassVar[Mapping[str, str]] = {
        "stays": "ICU stays: events ICU_ADMISSION",
        "linked": "within a day of a stay in hospital",
        "outcome": "The outcome is the place of discharge of the stay in hospital, not MEDS_DEATH, "
        "which may be long after.",
        "whole": "the whole dataset",
    }

    @classmethod
    def recognise(cls, folder: Path) -> bool:
        return next(_files(folder), None) is not None

    @cached_property
    def table(self) -> MedsTable:
        """Its only table."""
        files = sorted(_files(self.folder))
        _refuse_others(self.folder, files)
        return MedsTable(files)

    def tables(self) -> Sequence[EventTable]:
        return [self.table]

    @cached_property
    def dataset(self) -> str:
        """What the metadata call the dataset; empty where they do not."""
        try:
            text = (self.folder / "metadata" / "dataset.json").read_text("utf-8")
            return str(json.loads(text).get("dataset_name") or "")
        except (OSError, ValueError, AttributeError):
            return ""

    @property
    def is_mimic(self) -> bool:
        """Whether codes are those of MIMIC-IV: by name, or else by two of the codes."""
        if self.dataset:
            return re.search(r"mimic[^a-z0-9]*(iv|4)", self.dataset, re.IGNORECASE) is not None
        return set(_ANCHORS) <= set(self.table.distinct["stored"])

    def codes(self) -> Path:
        name = "codes_meds.csv" if self.is_mimic else "codes_meds_other.csv"
        return Path(__file__).with_name(name)

    def core(self) -> Core:
        if any(word in self.dataset.lower() for word in _HOSPITAL_STAYS):
            raise PrivauditError(
                "a MEDS dataset whose subjects are stays in hospital",
                "one person could stand among those trained on and those not, and a leak would be "
                "understated",
                "read the source itself (eICU-CRD), which knows the person",
            )
        events = self.table.where_and_who()
        _need(events)
        persons = _meds_stays.people(events)
        hospital = _meds_stays.admissions(events, persons)
        return Core(
            patients=persons.select(
                "patient", sex=pl.col("sex").str.slice(0, 1).str.to_uppercase(), dod="died_at"
            ),
            admissions=hospital,
            icustays=_meds_stays.icustays(events, persons, hospital),
            sites=UNITS,
            source="MIMIC-IV in MEDS" if self.is_mimic else self.title,
            notes=(
                *(() if self.is_mimic else (_SUBJECTS,)),
                "MEDS has no ids of stays: each admission event is paired with the discharge "
                "event that follows, and a stay in intensive care with the stay in hospital in "
                "which it begins. Some converters time laboratory results when they were stored.",
            ),
            facts={"folder": "MEDS, codes of MIMIC-IV" if self.is_mimic else "MEDS, other codes"},
        )

    def check(self) -> Mapping[str, str]:
        """The rows, read to their end."""
        return {
            "source": "MEDS, codes of MIMIC-IV" if self.is_mimic else "MEDS, other codes",
            "events": f"{self.table.expected_rows():,}",
            "codes": f"{len(self.table.distinct):,}",
        }


class MedsTable(EventTable):
    """The events of all files of a dataset."""

    name = "events"

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        self._checked = Table("events", files[0], origin="the dataset")

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.files)

    @property
    def mark(self) -> object:
        stats = [(path.name, path.stat()) for path in self.files]
        return [(name, s.st_size, s.st_mtime_ns) for name, s in stats]

    def expected_rows(self) -> int:
        with self.trouble():
            return int(self.scan().select(pl.len()).collect(engine="streaming").item())

    def scan(self, careful: bool = False) -> pl.LazyFrame:
        parts = [_renamed(path) for path in self.files]
        return pl.concat(parts) if len(parts) > 1 else parts[0]

    @contextmanager
    def trouble(self, unparsed: bool = False) -> Iterator[None]:
        with self._checked.trouble(unparsed):
            yield

    @cached_property
    def distinct(self) -> pl.DataFrame:
        """Column stored: every code of the dataset."""
        with self.trouble():
            lazy = self.scan().select(stored="code").unique()
            return lazy.collect(engine="streaming").drop_nulls().sort("stored")

    def where_and_who(self) -> pl.DataFrame:
        """The events that say where a subject was and who it is; subject, time and code."""
        code = pl.col("stored")
        wanted = pl.any_horizontal(
            (code == p) | code.str.starts_with(f"{p}//") for p in _meds_stays.PREFIXES
        )
        stored = self.distinct.filter(wanted)["stored"]
        with self.trouble():
            return (
                self.scan()
                .filter(pl.col("code").is_in(stored.implode()))
                .select("subject", "time", "code")
                .unique()
                .collect(engine="streaming")
                .sort("subject", "time", "code")
            )

    def raw(self, rows: pl.LazyFrame, wanted: Wanted, careful: bool = False) -> pl.LazyFrame:
        match = self._matches(wanted.codes)
        needs_words = pl.col("words") | pl.col("value").is_null()
        said = pl.col("text").str.strip_chars()
        return (
            rows.filter(pl.col("code").is_in(match["stored"].implode()))
            .join(wanted.subjects.lazy(), on="subject", how="semi")
            .join(match.lazy(), left_on="code", right_on="stored")
            .with_columns(
                code=pl.col("known_code"),
                unit=pl.coalesce("unit_told", "unit"),
                text=pl.when(needs_words & (said != "")).then(said),
                known=pl.lit(None),
            )
            .select(
                *(pl.col(c).cast(kind) for c, kind in RAW.items()), bad=pl.col("time").is_null()
            )
            # An event without a time is a property of the subject.
            .filter(~pl.col("bad"))
        )

    def _matches(self, codes: pl.DataFrame) -> pl.DataFrame:
        """stored -> system, known_code, words, unit_told: a stored code is one of the map, whole or
        with its unit as the last part; the longer match counts."""
        known = codes.rename({"code": "known_code"})
        stored = self.distinct.with_columns(
            head=pl.col("stored").str.replace(r"^(.*)//.*$", "$1"),
            last=pl.col("stored").str.extract(r"^.*//(.*)$"),
        )
        whole = stored.join(known, left_on="stored", right_on="known_code").select(
            "stored", "system", "words", known_code="stored", unit_told=pl.lit(None, pl.String)
        )
        last = pl.col("last")
        by_head = (
            stored.join(whole, on="stored", how="anti")
            .filter(last.is_not_null())
            .join(known, left_on="head", right_on="known_code")
            .select(
                "stored",
                "system",
                "words",
                known_code="head",
                unit_told=pl.when(~last.is_in(["UNK", ""])).then(last),
            )
        )
        return pl.concat([whole, by_head])


def _files(folder: Path) -> Iterator[Path]:
    """The event files: below data, or those in the folder that have the columns."""
    return (p for p in _candidates(folder) if _has_events(p))


def _candidates(folder: Path) -> Iterator[Path]:
    """The Parquet files that may hold events; hidden ones, which some systems leave, are none."""
    data = _shards(folder)
    if data is not None:
        found = data.rglob("*.parquet")
    else:
        found = (p for p in folder.glob("*.parquet") if p.stem.lower() not in NEEDED)
    return (p for p in found if p.is_file() and not p.name.startswith("."))


def _shards(folder: Path) -> Path | None:
    return next((p for p in folder.iterdir() if p.is_dir() and p.name == "data"), None)


def _refuse_others(folder: Path, files: Sequence[Path]) -> None:
    """PrivauditError for a shard that would be left out, and with it its subjects, and for columns
    of another kind than MEDS gives them: keys and times would be read as something else."""
    others = set(_candidates(folder)) - set(files)
    damaged = sum(not _is_parquet(path) for path in others)
    if damaged:
        raise PrivauditError(
            f"events: {damaged:,} of {len(others) + len(files):,} Parquet files cannot be read",
            "they are cut off or damaged, or may not be read: their subjects would be missing",
            "copy the dataset again",
        )
    if others and _shards(folder) is not None:
        raise PrivauditError(
            f"events: {len(others):,} Parquet files below data are no events",
            "they have no subject_id, time and code: if they are shards, their subjects would be "
            "missing",
            "keep the shards alone below data",
        )
    for path in files:
        columns = _columns(path)
        subject, time = columns["subject"], columns["time"]
        if not (subject[1].is_integer() and isinstance(time[1], (pl.Datetime, pl.Null))):
            raise PrivauditError(
                f"events: {subject[0]} or {time[0]} is of another kind than MEDS gives it",
                "a subject is a whole number and a time is a timestamp: as something else two "
                "subjects could become one, or a time another",
                "write both as the schema of MEDS says",
            )


def _has_events(path: Path) -> bool:
    columns = _columns(path)
    return all(name in columns for name in ("subject", "time", "code"))


def _is_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            pl.read_parquet_schema(file)
    except (OSError, pl.exceptions.PolarsError):
        return False
    return True


def _columns(path: Path) -> dict[str, tuple[str, Any]]:
    """Ours -> the file's name of a column, and its kind; nothing for a file that is no Parquet."""
    try:
        with path.open("rb") as file:
            schema = pl.read_parquet_schema(file)
    except (OSError, pl.exceptions.PolarsError):
        return {}
    found = {}
    for ours, names in _NAMES.items():
        name = next((n for n in names if n in schema), None)
        if name is not None:
            found[ours] = (name, schema[name])
    return found


def _renamed(path: Path) -> pl.LazyFrame:
    """subject, time, code, value, text, unit of one file; what it lacks is null."""
    columns = _columns(path)
    kinds = {
        "subject": pl.Int64(),
        "time": pl.Datetime("us"),
        "code": pl.String(),
        "value": pl.Float64(),
        "text": pl.String(),
        "unit": pl.String(),
    }
    picked = []
    for ours, kind in kinds.items():
        name, stored = columns.get(ours, ("", None))
        column = pl.col(name) if name else pl.lit(None)
        if isinstance(stored, pl.Datetime) and stored.time_zone:
            column = column.dt.replace_time_zone(None)
        picked.append(column.cast(kind, strict=False).alias(ours))
    return pl.scan_parquet(path, glob=False).select(picked)


def _need(events: pl.DataFrame) -> None:
    present = set(events["code"].cast(pl.String).str.replace("//.*", "").unique())
    needed = ("ICU_ADMISSION", "ICU_DISCHARGE", "HOSPITAL_ADMISSION", "HOSPITAL_DISCHARGE")
    missing = [name for name in (*needed, "MEDS_BIRTH") if name not in present]
    if missing:
        raise PrivauditError(
            "this MEDS dataset does not say who was in intensive care when",
            f"it has no event {', '.join(missing)}",
            "write these events in its conversion, or read the source itself",
        )


__all__ = ["Meds"]
