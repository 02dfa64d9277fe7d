"""The shapes that every source of ICU data is brought into before anything is shared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import polars as pl

Profile = Literal["first_stay", "all_stays", "benchmarks"]
Progress = Callable[[str, float], None]
_TIME = pl.Datetime("us")

RAW: Mapping[str, pl.DataType] = {
    "subject": pl.Int64(),
    "time": _TIME,
    "system": pl.String(),
    "code": pl.String(),
    "value": pl.Float64(),
    "unit": pl.String(),
    "text": pl.String(),
    "known": _TIME,
}
"""One row an event as charted.

subject: what joins events with stays (`ICUSTAYS`). time: the wall clock, without a zone. system,
code: what was measured, as in the code map. unit: as recorded, null where none is. text: the words
of a verbal response, or a result that is no number ("<0.01"). known: when it was stored; null where
that was not recorded, and then `as_known` leaves the row out. A source that has a better stand-in
(the time itself) writes it here and says so in its notes."""

PATIENTS: Mapping[str, pl.DataType] = {"patient": pl.Int64(), "sex": pl.String(), "dod": _TIME}
"""sex: F or M. dod: date of death, whenever; null where unknown."""

ADMISSIONS: Mapping[str, pl.DataType] = {
    "patient": pl.Int64(),
    "admission": pl.Int64(),
    "admittime": _TIME,
    "dischtime": _TIME,
    "deathtime": _TIME,
    "died": pl.Int8(),
    "admission_type": pl.String(),
    "insurance": pl.String(),
    "ethnicity": pl.String(),
    "charted": pl.Boolean(),
}
"""One row a stay in hospital. died: in this hospital stay; null where not recorded. admission_type:
elective, urgent, emergency or other. charted: whether charted data exist; wholly null where the
source has no such mark, and then no cohort step asks for it."""

ICUSTAYS: Mapping[str, pl.DataType] = {
    "patient": pl.Int64(),
    "admission": pl.Int64(),
    "stay": pl.Int64(),
    "subject": pl.Int64(),
    "site": pl.String(),
    "unit": pl.String(),
    "intime": _TIME,
    "outtime": _TIME,
    "age": pl.Float64(),
    "adult": pl.Boolean(),
    "moved": pl.Boolean(),
    "neonatal": pl.Boolean(),
}
"""One row a stay in intensive care.

subject: the key that joins the stay with its events: the patient, or the stay itself where a source
files events by stay (eICU). site: what a federation takes for one hospital. unit: one of
`features.UNITS`, null where unknown. age: years at admission to the unit, over 89 as the source has
it. adult: 18 or more. moved: between units or wards, for the benchmarks cohort alone. moved and
neonatal are wholly null where the source does not say: then no step asks for them. The first stay
of a patient is the one of the earliest intime: a source without a clock that runs across hospital
stays gives intimes in the order that it knows."""


@dataclass(frozen=True, eq=False)
class Core:
    """The three small frames of a source (columns as above) and what was noticed in reading them.

    Args:
        sites: The names of the sites, in a fixed order, where they are public knowledge; empty to
            take those of the stays, with small ones joined.
        source: What the report calls the data, if not the source's title ("generated demo").
        real: False for generated data.
        facts: For the report's table of facts, before the cohort's own.
    """

    patients: pl.DataFrame
    admissions: pl.DataFrame
    icustays: pl.DataFrame
    sites: tuple[str, ...] = ()
    source: str = ""
    real: bool = True
    notes: tuple[str, ...] = ()
    facts: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is read of an event table.

    Args:
        codes: Columns system, code: every pair of the code map.
        subjects: Column subject: those with a stay. A table may leave other rows in.
    """

    codes: pl.DataFrame
    subjects: pl.DataFrame


class EventTable(ABC):
    """One table of events on disk. `columns.ColumnTable` reads csv, csv.gz and Parquet."""

    name: str

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes on disk, for the progress bar."""

    @property
    @abstractmethod
    def mark(self) -> object:
        """What a cached result depends on: name, size and time of change of every file."""

    @abstractmethod
    def scan(self, careful: bool = False) -> pl.LazyFrame:
        """The rows as they are stored, only the columns that `raw` needs, as a stream."""

    @abstractmethod
    def raw(self, rows: pl.LazyFrame, wanted: Wanted, careful: bool = False) -> pl.LazyFrame:
        """Columns RAW and `bad`, from the rows of `scan`: only wanted codes; errors left out.

        bad (bool): a cell that is filled could not be read in its plain form. Where one is, the
        table is read a second time with careful=True (trimming, other forms of a date).
        """

    @abstractmethod
    def expected_rows(self) -> int:
        """A guess at the number of rows, for the progress bar."""

    def check(self) -> None:  # noqa: B027 - most sources have nothing to add
        """PrivauditError for a missing column, before anything long begins."""

    def refuse_unreadable(self) -> None:  # noqa: B027
        """PrivauditError for cells that no form fits; called before the careful pass."""

    @contextmanager
    def trouble(self, unparsed: bool = False) -> Iterator[None]:
        """Turns a reader's complaint, which may quote a row, into one that holds none.

        Args:
            unparsed: Let the complaint about a cell that cannot be parsed through.
        """
        yield


class Tables(Protocol):
    """What `core.extract` asks of a source; `source.TableSource` says what each part means."""

    name: ClassVar[str]
    title: ClassVar[str]
    store_times: ClassVar[bool]
    known_notes: ClassVar[tuple[str, ...]]
    cohorts: ClassVar[tuple[Profile, ...]]
    item_units: ClassVar[bool]
    readmissions: ClassVar[bool]
    own_systems: ClassVar[tuple[str, ...] | None]
    words: ClassVar[Mapping[str, str]]

    def core(self) -> Core: ...

    def tables(self) -> Sequence[EventTable]: ...

    def codes(self) -> Path: ...

    def published(self, cohort: Profile, core: Core) -> tuple[str, ...]: ...
