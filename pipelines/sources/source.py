"""What a source of ICU data gives: three small frames, tables of events, and what it cannot say.

A source is one file: a subclass of `TableSource` that recognises its folder by file names, brings
its own tables into the shapes of `shapes`, and names its event tables and its codes. Everything
that follows (cohort rules, flow, one streaming pass a table, units, windows, cache) is shared:
`pipelines.sources.core.extract`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pipelines.sources.core import extract
from pipelines.sources.extract import Extract
from pipelines.sources.shapes import (
    ADMISSIONS,
    ICUSTAYS,
    PATIENTS,
    RAW,
    Core,
    EventTable,
    Profile,
    Progress,
    Wanted,
)


class Source(ABC):
    """A kind of folder. Register it in `recognise.SOURCES`; the order there is that of asking."""

    name: ClassVar[str]
    """The short name: "mimic-iv"."""
    title: ClassVar[str]
    """What the report calls it: "MIMIC-IV"."""
    looked_for: ClassVar[str]
    """Half a sentence for refusals: the files by which it is recognised."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @abstractmethod
    def recognise(cls, folder: Path) -> bool:
        """Whether the folder is one, by file names alone; nothing is opened."""

    @classmethod  # noqa: B027 - most sources have nothing to add
    def refuse(cls, folder: Path) -> None:
        """PrivauditError where the folder is nearly one and it is known what is wrong."""

    @abstractmethod
    def extract(
        self,
        *,
        window: int,
        cohort: Profile,
        as_known: bool,
        cache: Path,
        progress: Progress,
        codes: Path | None = None,
        minimum_los: float | None = None,
    ) -> Extract:
        """The first `window` hours of the stays of a cohort, harmonised, with outcomes and flow."""

    @abstractmethod
    def check(self) -> Mapping[str, str]:
        """What the folder holds, for `privaudit doctor`; damaged files are found."""


class TableSource(Source):
    """A source that is read through `core.extract`."""

    store_times: ClassVar[bool]
    """Whether `known` is recorded at all: `as_known` is refused where it is not."""
    readmissions: ClassVar[bool] = True
    """Whether one clock runs across the hospital stays of a patient."""
    known_notes: ClassVar[tuple[str, ...]] = ()
    """What `as_known` cannot promise here, for the report."""
    cohorts: ClassVar[tuple[Profile, ...]] = ("first_stay", "all_stays")
    item_units: ClassVar[bool] = False
    """Whether the unit of the code map also replaces a recorded unit that is not known (MIMIC-III
    alone, whose recorded units are free text); elsewhere such a row is left out and counted."""
    own_systems: ClassVar[tuple[str, ...] | None] = ()
    """Systems that a hospital's own code map may name beside those of ours; None for any."""
    words: ClassVar[Mapping[str, str]] = {}
    """How the source spells what flow steps and messages name (`cohort.WORDS`)."""

    @abstractmethod
    def core(self) -> Core:
        """Reads the small tables.

        Raises:
            PrivauditError: For repeated or missing keys and for whatever cannot be read.
        """

    @abstractmethod
    def tables(self) -> Sequence[EventTable]:
        """The event tables, in a fixed order."""

    @abstractmethod
    def codes(self) -> Path:
        """The code map: a CSV of variable, system, code, unit, before, convert (`codes.load`)."""

    def published(self, cohort: Profile, core: Core) -> tuple[str, ...]:
        """Notes on how the cohort compares with published ones."""
        return ()

    def extract(
        self,
        *,
        window: int = 48,
        cohort: Profile = "first_stay",
        as_known: bool = False,
        cache: Path,
        progress: Progress,
        codes: Path | None = None,
        minimum_los: float | None = None,
    ) -> Extract:
        return extract(
            self,
            window=window,
            cohort=cohort,
            as_known=as_known,
            cache=cache,
            progress=progress,
            codes=codes,
            minimum_los=minimum_los,
        )

    def check(self) -> Mapping[str, str]:
        return {"source": self.core().source or self.title}


__all__ = [
    "ADMISSIONS",
    "ICUSTAYS",
    "PATIENTS",
    "RAW",
    "Core",
    "EventTable",
    "Profile",
    "Progress",
    "Source",
    "TableSource",
    "Wanted",
]
