"""PhysioNet/CinC Challenge 2012: real ICU stays, the first 48 hours, open to everybody.

One text file a stay (`Time,Parameter,Value`) in `set-a.tar.gz` or a folder `set-a/`, outcomes in
`Outcomes-a.txt`; sets b and c are read the same way where they are present. Values are put into the
units and the valid ranges of `challenge2012_variables.csv`, after the unit errors that this source
is known for (`challenge2012_fixes.csv`) are undone.

Source: Silva et al., "Predicting in-hospital mortality of ICU patients: the PhysioNet/Computing in
Cardiology Challenge 2012", CinC 2012; https://physionet.org/content/challenge-2012/1.0.0/.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import ClassVar, Literal, cast

import polars as pl

from pipelines.sources._challenge2012_files import COUNTS, DATA, catalogue, load, unreadable
from pipelines.sources.extract import STAYS, Extract
from pipelines.sources.features import UNITS
from pipelines.sources.source import Profile, Source
from privaudit.contracts import FlowStep, Progress
from privaudit.errors import PrivauditError
from privaudit.records import Column

SOURCE = "PhysioNet/CinC Challenge 2012"
HOURS = 48

_OUTCOMES = {"RecordID": pl.Int64, "Length_of_stay": pl.Float32, "In-hospital_death": pl.Int8}


@dataclass(frozen=True)
class _Set:
    """One of the Challenge's sets: where its patient files and its outcomes are."""

    letter: str
    files: Path
    outcomes: Path


class Challenge2012(Source):
    """Sets a, b and c of the Challenge, each with its outcomes."""

    name: ClassVar[str] = "challenge-2012"
    title: ClassVar[str] = SOURCE
    looked_for: ClassVar[str] = "set-a with Outcomes-a.txt (Challenge 2012)"

    @classmethod
    def recognise(cls, folder: Path) -> bool:
        names = {p.name.lower() for p in folder.iterdir()}
        sets = [s for s in "abc" if names & {f"set-{s}", f"set-{s}.tar.gz", f"set-{s}.zip"}]
        return bool(sets) or any(f"outcomes-{s}.txt" in names for s in "abc")

    def extract(
        self,
        *,
        window: int = HOURS,
        cohort: Profile = "first_stay",
        as_known: bool = False,
        cache: Path,
        progress: Progress,
        codes: Path | None = None,
        minimum_los: float | None = None,
    ) -> Extract:
        if as_known:
            raise PrivauditError(
                "as_known=True on the Challenge 2012",
                "it does not say when a value was charted, only when it was measured",
                "leave as_known out, or use MIMIC-III",
            )
        if cohort == "benchmarks":
            raise PrivauditError(
                "the benchmarks cohort on the Challenge 2012",
                "its rules speak of transfers and of stays in one admission, which the Challenge "
                "lacks",
                "leave cohort out, or use MIMIC-III",
            )
        if codes is not None:
            raise PrivauditError(
                "a code map for the Challenge 2012",
                "its parameters are fixed and have names of their own",
                "leave codes out",
            )
        return extract(self.folder, window=window, cache=cache, progress=progress)

    def check(self) -> Mapping[str, str]:
        return {"source": SOURCE}


def extract(data: Path, *, window: int = HOURS, cache: Path, progress: Progress) -> Extract:
    """Every stay of the Challenge sets found in a folder, with its first `window` hours.

    Archives are read in memory; nothing of theirs is written to disk but the harmonised values, in
    a folder of mode 0700 under `cache`, from which the next call reads. los_days is the stay in
    HOSPITAL from the admission to the unit, in whole days: the source does not say when the patient
    left the unit.

    Args:
        data: A folder with `set-a.tar.gz` or `set-a/`, and `Outcomes-a.txt` (the archive is taken
            where both are there: they hold the same).

    Raises:
        PrivauditError: For every fault of the files.
    """
    if not 1 <= window <= HOURS:
        raise PrivauditError(
            f"a window of {window} hours",
            f"the Challenge holds the first {HOURS} hours of each stay: from 1 to {HOURS}",
            "use 24 or 48",
        )
    sets = _sets(data)
    outcomes = pl.concat([_read_outcomes(part.outcomes) for part in sets])
    statics, events, counts = _read_once(sets, cache, progress)
    _match(statics["stay"], outcomes["stay"])
    stays = (
        statics.join(outcomes, on="stay", how="left", maintain_order="left")
        .with_columns(
            patient=pl.col("stay"),
            site=pl.col("unit"),
            **{name: pl.lit(None, kind) for name, kind in STAYS.items() if name in _UNKNOWN},
        )
        .select(pl.col(name).cast(kind) for name, kind in STAYS.items())
    )
    events = events.filter((pl.col("hour") >= 0) & (pl.col("hour") < window))
    letters = ", ".join(part.letter.upper() for part in sets)
    silent = len(stays) - events["stay"].n_unique()
    return Extract(
        stays=stays,
        events=events,
        variables=variables(),
        sites=UNITS,
        flow=(FlowStep(f"stays of Challenge set {letters}", 0, len(stays), len(stays)),),
        window=window,
        source=SOURCE,
        real=True,
        notes=_notes(letters, counts),
        facts={
            "sets": letters,
            "los_days": "hospital stay from admission to the unit, whole days",
            "stays_without_measurements": silent,
            **counts,
        },
    )


_UNKNOWN = ("admission_type", "ethnicity", "insurance", "readmitted")


def variables() -> tuple[Column, ...]:
    """The measured variables in the order of `challenge2012_variables.csv`, with public valid
    ranges."""
    rows = catalogue().filter(pl.col("kind") != "static").iter_rows(named=True)
    return tuple(
        Column(
            name=row["variable"],
            kind=cast(Literal["numeric", "binary"], row["kind"]),
            bounds=(row["valid_low"], row["valid_high"]),
            unit=row["unit"] or "",
            variable=row["variable"],
        )
        for row in rows
    )


def _notes(letters: str, counts: dict[str, int]) -> tuple[str, ...]:
    notes = [
        "The Challenge does not say which stays are of one patient: each stay counts as a patient "
        "of its own.",
        f"Set {letters} of the Challenge is public: whoever trains on all of it has no secret "
        "members. "
        "The split used here is assigned at random anew.",
    ]
    if counts["other_files"]:
        notes.append("Files in the sets that are no patient files were left out.")
    if counts["unnamed_values"]:
        notes.append("Values that name no parameter were left out.")
    return tuple(notes)


def _sets(data: Path) -> list[_Set]:
    found = []
    for letter in "abc":
        archive, folder = data / f"set-{letter}.tar.gz", data / f"set-{letter}"
        source = archive if archive.is_file() else folder if folder.is_dir() else None
        outcomes = data / f"Outcomes-{letter}.txt"
        if source is None:
            continue
        if not outcomes.is_file():
            raise PrivauditError(
                f"{source.name} without {outcomes.name}",
                "without outcomes there is nothing to learn",
                f"put {outcomes.name} of the Challenge beside it",
            )
        found.append(_Set(letter, source, outcomes))
    if not found:
        raise PrivauditError(
            "no Challenge 2012 set in this folder",
            "it must hold set-a.tar.gz (or the folder set-a) and Outcomes-a.txt",
            "download them from https://physionet.org/content/challenge-2012/",
        )
    return found


def _read_outcomes(path: Path) -> pl.DataFrame:
    try:
        # Bytes, since polars reads `*` and `[` in a path as a pattern.
        table = pl.read_csv(path.read_bytes(), infer_schema=False)
    except (pl.exceptions.PolarsError, OSError):
        raise unreadable(path, "it is not a table of comma-separated values") from None
    table = table.rename({name: name.strip() for name in table.columns})
    if missing := [name for name in _OUTCOMES if name not in table.columns]:
        raise unreadable(path, f"it lacks the columns {', '.join(missing)}")
    table = table.select(
        pl.col(name).str.strip_chars().cast(kind, strict=False) for name, kind in _OUTCOMES.items()
    )
    if broken := sum(table.null_count().row(0)):
        raise unreadable(path, f"{broken} of its values are no numbers")
    if wrong := table["In-hospital_death"].is_in([0, 1]).not_().sum():
        raise unreadable(path, f"{wrong} outcomes are neither 0 nor 1")
    if twice := len(table) - table["RecordID"].n_unique():
        raise unreadable(path, f"{twice} stays have a second outcome")
    days = pl.col("Length_of_stay")
    return table.select(
        stay="RecordID", died="In-hospital_death", los_days=pl.when(days >= 0).then(days)
    )


def _match(stays: pl.Series, outcomes: pl.Series) -> None:
    without = stays.is_in(outcomes.implode()).not_().sum()
    unseen = outcomes.is_in(stays.implode()).not_().sum()
    if without or unseen:
        raise PrivauditError(
            f"{without} stays without an outcome, {unseen} outcomes without a stay",
            "patient files and outcomes of a set must be of the same stays; a part was lost on the "
            "way",
            "download both again, and take them from the same set",
        )


def _read_once(
    sets: list[_Set], cache: Path, progress: Progress
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]:
    """Statics, events and counts: from the cache, or read now and left there."""
    stored = cache / f"challenge-2012-{_key(sets)}"
    if not stored.is_dir():
        statics, events, counts = _read(sets, progress)
        fresh: Path | None = None
        try:
            cache.mkdir(parents=True, exist_ok=True)
            # mkdtemp makes the folder with mode 0700, and the rename keeps it.
            fresh = Path(tempfile.mkdtemp(prefix=".challenge-", dir=cache))
            statics.write_parquet(fresh / "stays.parquet")
            events.write_parquet(fresh / "events.parquet", compression="zstd")
            pl.DataFrame([counts]).write_parquet(fresh / "counts.parquet")
            fresh.rename(stored)
        except OSError as error:
            # Another run may have put the same tables there in the meantime.
            if not stored.is_dir():
                raise PrivauditError(
                    f"the cache cannot be written: {error.strerror or 'the disk refused'}",
                    "tables are read once and kept there for the next run",
                    "free some space, or give another folder as the cache",
                ) from None
        finally:
            if fresh is not None:
                shutil.rmtree(fresh, ignore_errors=True)
        return statics, events, counts
    progress("reading the Challenge from the cache", 0.0)
    try:
        tables = [
            pl.read_parquet(stored / f"{name}.parquet", glob=False)
            for name in ("stays", "events", "counts")
        ]
    except (pl.exceptions.PolarsError, OSError):
        raise PrivauditError(
            f"the cached tables in {stored.name} cannot be read",
            "they were damaged after they were written",
            "delete this folder from the cache; the next run writes it anew",
        ) from None
    progress("reading the Challenge from the cache", 1.0)
    return tables[0], tables[1], tables[2].row(0, named=True)


def _key(sets: list[_Set]) -> str:
    """What the cached tables depend on: every file's name, size and time, and this pipeline."""
    digest = hashlib.sha256()
    for name in (*DATA, "challenge2012.py", "_challenge2012_files.py"):
        digest.update(files("pipelines.sources").joinpath(name).read_bytes())
    for part in sets:
        inside = sorted(part.files.iterdir()) if part.files.is_dir() else [part.files]
        for path in inside:
            stat = path.stat()
            digest.update(f"{part.letter} {path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _read(
    sets: list[_Set], progress: Progress
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]:
    statics, events = [], []
    counts = dict.fromkeys(COUNTS, 0)
    for part in sets:
        stays, values = load(part.files, counts, partial(progress, f"reading {part.files.name}"))
        statics.append(stays)
        events.append(values)
    stays, measured = pl.concat(statics).sort("stay"), pl.concat(events)
    if twice := len(stays) - stays["stay"].n_unique():
        raise PrivauditError(
            f"{twice} stays come more than once",
            "every stay has one file, in one set",
            "unpack the sets again into an empty folder",
        )
    return stays, measured, counts


__all__ = ["Challenge2012"]
