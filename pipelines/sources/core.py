"""From any source to an Extract: cohort, one pass a table, units, windows, cache."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from pipelines.sources import cohort as cohorts
from pipelines.sources import medians, variables
from pipelines.sources.codes import Codes, load
from pipelines.sources.extract import Extract
from pipelines.sources.shapes import (
    ADMISSIONS,
    ICUSTAYS,
    PATIENTS,
    Core,
    EventTable,
    Profile,
    Progress,
    Tables,
)
from pipelines.sources.sieve import Sieve, private
from privaudit.errors import PrivauditError

OTHER_SITES = "other"
LEAST_PATIENTS = 20
"""A site of fewer patients is named by no report and trains no model: it is joined with others."""

_BUCKET = 1_000_000
_READ = 0.95
_UNSAID = ("no_unit", "unknown_unit")


@dataclass(frozen=True, eq=False)
class _Reading:
    """What the event tables are read with."""

    source: Tables
    sieve: Sieve
    tables: Sequence[EventTable]
    as_known: bool
    progress: Progress


def extract(
    source: Tables,
    *,
    window: int = 48,
    cohort: Profile = "first_stay",
    as_known: bool = False,
    cache: Path,
    progress: Progress,
    codes: Path | None = None,
    minimum_los: float | None = None,
) -> Extract:
    """The first `window` hours of ICU stays of a source, harmonised, with outcomes and attrition.

    Args:
        cohort: See `cohort.select`.
        minimum_los: Hours that the patient must have been in the ICU and alive, by default the
            window; a value is used only if charted in [intime, intime + window), before outtime and
            not after death. What is measured once, on arrival (height, admission weight), counts
            from 24 hours before where the window has none.
        as_known: Only values that were also stored by the end of the window.
        cache: Where the tables, once sieved, are kept (mode 0700).
        codes: A hospital's own code map, read on top of the source's.

    Raises:
        PrivauditError: For every fault of the source, and for what it cannot say.
    """
    least = float(window) if minimum_los is None else float(minimum_los)
    _check(source, window, cohort, as_known, least)
    mapped = load(source.codes(), codes, source.name, source.own_systems)
    if mapped.frame.is_empty():
        raise PrivauditError(
            f"no code of this {source.title} is known",
            "it is not from a database whose codes were checked against their meaning",
            "give a code map of your own with --set task.codes=FILE.csv (docs/data.md)",
        )
    tables = source.tables()
    for table in tables:
        table.check()
    progress(f"reading the stays of {source.title}", 0.0)
    core = _shaped(source.core())
    _refuse_days(source, core)
    joined = cohorts.join(core)
    if not source.readmissions:
        joined = joined.with_columns(readmitted=pl.lit(None, pl.Int8))
    chosen = cohorts.select(joined, cohort, least, source.words)
    sieve = Sieve(_windows(joined, window), cache / source.name, mapped)
    lazy, counts = _events(_Reading(source, sieve, tables, as_known, progress))
    mine = lazy.filter(pl.col("stay").is_in(chosen.stays["stay"].implode()))
    events = mine.collect(engine="streaming")
    if not events["stay"].is_sorted():
        events = events.sort("stay", maintain_order=True)
    if cohort == "benchmarks":
        chosen = cohorts.drop_unmeasured(chosen, events["stay"].unique())
    progress(f"{source.title} is read", 1.0)
    rows = {name: len(getattr(core, name)) for name in ("patients", "admissions", "icustays")}
    found = Extract(
        stays=chosen.stays,
        events=events,
        variables=variables.variables(),
        sites=core.sites or _sites(chosen.stays),
        flow=chosen.flow,
        window=window,
        source=core.source or source.title,
        real=core.real,
        notes=(
            *core.notes,
            *((" ".join((_AS_KNOWN, *source.known_notes)),) if as_known else ()),
            *_left_out(counts),
            *source.published(cohort, core),
            *chosen.notes,
        ),
        facts={
            **core.facts,
            "cohort": cohort,
            "window_hours": window,
            "minimum_icu_hours": least,
            "as_known": str(as_known).lower(),
            **({"own_code_map": mapped.digest[:12]} if codes else {}),
            **{f"rows_{name.upper()}": n for name, n in rows.items()},
            **{
                f"values_{name}_in_all_adult_stays": n
                for name, n in counts.items()
                if n or name not in _UNSAID
            },
            "stays_without_events": len(chosen.stays) - events["stay"].n_unique(),
            "events": len(events),
            **chosen.facts,
        },
    )
    return replace(found, notes=(*found.notes, *medians.notes(found)))


_AS_KNOWN = "Only values stored by the end of the window are used."


def _left_out(counts: dict[str, int]) -> tuple[str, ...]:
    lost = sum(counts.get(name, 0) for name in _UNSAID)
    if not lost:
        return ()
    return (
        "Values were left out because their unit is not recorded or not known for their variable: "
        "a unit is never guessed. A code map of your own can name it.",
    )


def _shaped(core: Core) -> Core:
    """The frames with exactly the columns and kinds of `source`."""
    frames = {
        name: getattr(core, name).select(pl.col(c).cast(kind) for c, kind in kinds.items())
        for name, kinds in (
            ("patients", PATIENTS),
            ("admissions", ADMISSIONS),
            ("icustays", ICUSTAYS),
        )
    }
    return Core(
        **frames,
        sites=core.sites,
        source=core.source,
        real=core.real,
        notes=core.notes,
        facts=core.facts,
    )


def _refuse_days(source: Tables, core: Core) -> None:
    times = core.icustays.select(pl.col("intime", "outtime").dt.time() == pl.time(0, 0, 0))
    if len(times) and times.select(pl.all_horizontal(pl.all().all())).item():
        raise PrivauditError(
            f"{source.title} here gives days and no times of day",
            f"all of its {len(times):,} ICU stays begin and end at midnight: hours since admission "
            "cannot be counted",
            "use a source with times of day",
        )


def _sites(stays: pl.DataFrame) -> tuple[str, ...]:
    """The sites of enough patients, in order of their names, then what joins the others."""
    counts = stays.drop_nulls("site").group_by("site").agg(pl.col("patient").n_unique())
    large = counts.filter(pl.col("patient") >= LEAST_PATIENTS)["site"].sort().to_list()
    return (*(name for name in large if name != OTHER_SITES), OTHER_SITES)


def _check(source: Tables, window: int, cohort: str, as_known: bool, least: float) -> None:
    if not 1 <= window <= 24 * 30:
        raise PrivauditError(
            f"a window of {window} hours",
            "it is a whole number of hours from 1 to 720",
            "use 48 for mortality as it is usually studied",
        )
    if cohort not in ("first_stay", "all_stays", "benchmarks"):
        raise PrivauditError(
            f"a cohort named {cohort!r}",
            "the cohorts are first_stay, all_stays and benchmarks",
            "use first_stay unless you compare with published work",
        )
    if cohort not in source.cohorts:
        raise PrivauditError(
            f"the {cohort} cohort on {source.title}",
            "its rules speak of what this source does not record in the same way",
            f"use {' or '.join(source.cohorts)}",
        )
    if as_known and not source.store_times:
        raise PrivauditError(
            f"as_known=True on {source.title}",
            "it does not say when a value was stored, only when it was measured",
            "leave as_known out",
        )
    if not math.isfinite(least) or least < 0:
        raise PrivauditError(
            f"a minimum stay of {least} hours",
            "it is a number of hours, 0 or more",
            "leave it out to require the whole window",
        )


def _windows(joined: pl.DataFrame, window: int) -> pl.DataFrame:
    """[start, end) of every adult's stay: all cohorts and tasks share one pass over the tables."""
    known = pl.col("intime") + pl.duration(hours=pl.lit(window))
    after_death = pl.col("death") + pl.duration(seconds=1)
    return (
        joined.filter(pl.col("adult").fill_null(False))
        .select(
            "stay",
            "subject",
            start="intime",
            end=pl.min_horizontal(known, "outtime", after_death),
            known=known,
        )
        .sort("stay")
    )


def _events(reading: _Reading) -> tuple[pl.LazyFrame, dict[str, int]]:
    """The harmonised events of every adult's stay, from the cache or from one pass a table."""
    sieve, tables, progress = reading.sieve, reading.tables, reading.progress
    total, done, raw = sum(table.size for table in tables) or 1, 0, []
    for table in tables:

        def report(share: float, table: EventTable = table, done: int = done) -> None:
            progress(f"reading {table.name}", _READ * min(1.0, (done + share * table.size) / total))

        raw.append(sieve.run(table, report))
        done += table.size
    name = f"events-{sieve.key([t.mark for t in tables], reading.as_known)}"
    path, tally = (sieve.cache / f"{name}.{form}" for form in ("parquet", "tally.parquet"))
    if not (path.exists() and tally.exists()):
        _harmonise(reading, raw, path, tally)
    counts = pl.read_parquet(tally, glob=False).row(0, named=True)
    return pl.scan_parquet(path, glob=False), counts


def _harmonise(reading: _Reading, raw: list[Path], path: Path, tally: Path) -> None:
    """Harmonise a bucket of stays at a time, so that memory does not grow with the hospital."""
    lazy = pl.concat([pl.scan_parquet(p, glob=False) for p in raw])
    rows = int(lazy.select(pl.len()).collect(engine="streaming").item())
    buckets = 1 + rows // _BUCKET
    stays = reading.sieve.windows["stay"].sort()
    codes: Codes = reading.sieve.codes
    counts: dict[str, int] = {}
    with private(path) as partial, private(tally) as partial_tally:
        parts: list[Path] = []
        try:
            for i in range(buckets):
                reading.progress("harmonising units", _READ + (1 - _READ) * i / buckets)
                some = stays[i * len(stays) // buckets : (i + 1) * len(stays) // buckets]
                here = lazy.filter(pl.col("stay").is_in(some.implode()))
                frame = here.collect(engine="streaming")
                known = frame.filter(pl.col("known")) if reading.as_known else frame
                events, found = variables.harmonise(
                    known.drop("known", "bad", "dated"), codes, reading.source.item_units
                )
                if reading.source.store_times:
                    found["stored_after_the_window"] = int((~frame["known"]).sum())
                counts = {k: counts.get(k, 0) + n for k, n in found.items()}
                parts.append(partial.with_name(f"{partial.name}.{i}"))
                events.write_parquet(parts[-1], compression="zstd")
            pl.scan_parquet(parts, glob=False).sink_parquet(
                partial, compression="zstd", maintain_order=True, engine="streaming"
            )
        finally:
            for part in parts:
                part.unlink(missing_ok=True)
        pl.DataFrame([counts]).write_parquet(partial_tally)
        partial.replace(path)
        partial_tally.replace(tally)
