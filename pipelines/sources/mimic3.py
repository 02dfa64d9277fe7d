"""MIMIC-III v1.4, the full database or its demo: from the folder of tables to an Extract."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipelines.sources import _mimic3_cohort as cohorts
from pipelines.sources import _mimic3_variables as variables
from pipelines.sources._event_filter import Sieve, private
from pipelines.sources._mimic3_cohort import Profile
from pipelines.sources._mimic3_tables import Table, find
from pipelines.sources.extract import Extract
from privaudit.errors import PrivauditError

SOURCE = "MIMIC-III"

FULL = {
    "PATIENTS": 46_520,
    "ADMISSIONS": 58_976,
    "ICUSTAYS": 61_532,
    "CHARTEVENTS": 330_712_483,
    "LABEVENTS": 27_854_055,
    "OUTPUTEVENTS": 4_349_218,
    "D_ITEMS": 12_487,
    "D_LABITEMS": 753,
}
"""Rows of each table of MIMIC-III v1.4 as published."""

DEMO = {"PATIENTS": 100, "ADMISSIONS": 129, "ICUSTAYS": 136}
_CORE = tuple(DEMO)
_EVENTS = ("CHARTEVENTS", "LABEVENTS", "OUTPUTEVENTS")
_BUCKET = 1_000_000
_READ = 0.95
_KINDS = {
    "full": "MIMIC-III v1.4, complete",
    "demo": "MIMIC-III Clinical Database Demo v1.4",
    "generated": "generated tables in the shape of MIMIC-III",
    "part": "a part of MIMIC-III",
}


@dataclass(frozen=True, eq=False)
class _Core:
    """The three small tables; field names are table names."""

    patients: pl.DataFrame
    admissions: pl.DataFrame
    icustays: pl.DataFrame

    @classmethod
    def read(cls, data: Path) -> _Core:
        return cls(*(Table.open(data, name).load() for name in _CORE))

    @property
    def rows(self) -> dict[str, int]:
        return {name.upper(): len(frame) for name, frame in vars(self).items()}

    @property
    def kind(self) -> str:
        """full, demo, generated or part: by the row counts, and by ids outside MIMIC-III's
        range."""
        ids = self.patients["subject_id"]
        if not ids.is_between(1, 99_999).any():
            return "generated"
        if self.rows == DEMO:
            return "demo"
        return "full" if all(FULL[name] == n for name, n in self.rows.items()) else "part"


def extract(
    data: Path,
    *,
    window: int = 48,
    cohort: Profile = "first_stay",
    as_known: bool = False,
    cache: Path,
    progress: Callable[[str, float], None],
    minimum_los: float | None = None,
) -> Extract:
    """The first `window` hours of ICU stays in MIMIC-III, harmonised, with outcomes and attrition.

    Args:
        data: A folder with PATIENTS, ADMISSIONS, ICUSTAYS, CHARTEVENTS, LABEVENTS and OUTPUTEVENTS
            as csv.gz, csv or Parquet, in upper or lower case.
        cohort: See `cohort.select`.
        minimum_los: Hours that the patient must have been in the ICU and alive, by default the
            window; a value is used only if charted in [INTIME, INTIME + window), before OUTTIME and
            not after death.
        as_known: Only values that were also stored by the end of the window.
        cache: Where the tables, once sieved, are kept (mode 0700).

    Raises:
        PrivauditError: For every fault of the source.

    Source: MIMIC-III, Johnson et al., Scientific Data 3:160035, 2016.
    """
    least = float(window) if minimum_los is None else float(minimum_los)
    _check(window, cohort, least)
    tables = {name: Table.open(data, name) for name in (*_CORE, *_EVENTS)}
    for table in tables.values():
        table.check()
    progress("reading ICUSTAYS, ADMISSIONS and PATIENTS", 0.0)
    core = _Core.read(data)
    joined = cohorts.join(core.patients, core.admissions, core.icustays)
    chosen = cohorts.select(joined, cohort, least)
    sieve = Sieve(_windows(joined, window), cache / "mimic-iii")
    lazy, counts = _events(sieve, [tables[n] for n in _EVENTS], as_known, progress)
    mine = lazy.filter(pl.col("stay").is_in(chosen.stays["stay"].implode()))
    events = mine.collect()
    if not events["stay"].is_sorted():
        events = events.sort("stay", maintain_order=True)
    if cohort == "benchmarks":
        chosen = cohorts.drop_unmeasured(chosen, events["stay"].unique())
    progress("MIMIC-III is read", 1.0)
    return Extract(
        stays=chosen.stays,
        events=events,
        variables=variables.variables(),
        flow=chosen.flow,
        window=window,
        source="generated demo" if core.kind == "generated" else SOURCE,
        real=core.kind != "generated",
        notes=(
            *_notes(core.kind, as_known, data),
            *_published(core.kind, cohort),
            *chosen.notes,
        ),
        facts={
            "folder": _KINDS[core.kind],
            "cohort": cohort,
            "window_hours": window,
            "minimum_icu_hours": least,
            "as_known": str(as_known).lower(),
            **{f"rows_{name}": n for name, n in core.rows.items()},
            **{f"values_{name}_in_all_adult_stays": n for name, n in counts.items()},
            "stays_without_events": len(chosen.stays) - events["stay"].n_unique(),
            "events": len(events),
            **chosen.facts,
        },
    )


def row_counts(
    data: Path, progress: Callable[[str, float], None] = lambda _what, _share: None
) -> dict[str, int]:
    """The rows of each known table present; every file is read to its end, so damage is found.

    About a minute for the whole of MIMIC-III on two cores; compare with FULL.
    """
    tables = [Table(name, paths[0]) for name, paths in find(data).items()]
    total, done, counts = sum(t.size for t in tables) or 1, 0, {}
    for table in tables:
        progress(f"counting {table.name}", done / total)
        counts[table.name] = table.rows()
        done += table.size
    progress("counted", 1.0)
    return counts


def describe(data: Path) -> str:
    """Whether a folder looks like the full v1.4, the demo, generated tables, or a part."""
    return _KINDS[_Core.read(data).kind]


def _check(window: int, cohort: str, least: float) -> None:
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
            "subject_id",
            stay="icustay_id",
            start="intime",
            end=pl.min_horizontal(known, "outtime", after_death),
            known=known,
        )
        .sort("stay")
    )


def _events(
    sieve: Sieve, tables: list[Table], as_known: bool, progress: Callable[[str, float], None]
) -> tuple[pl.LazyFrame, dict[str, int]]:
    """The harmonised events of every adult's stay, from the cache or from one pass a table."""
    total, done, raw = sum(table.size for table in tables), 0, []
    for table in tables:

        def report(share: float, table: Table = table, done: int = done) -> None:
            progress(f"reading {table.name}", _READ * min(1.0, (done + share * table.size) / total))

        raw.append(sieve.run(table, report))
        done += table.size
    name = f"events-{sieve.key([t.mark for t in tables], as_known)}"
    path, tally = (sieve.cache / f"{name}.{form}" for form in ("parquet", "tally.parquet"))
    if not (path.exists() and tally.exists()):
        _harmonise(sieve, raw, as_known, path, tally, progress)
    counts = pl.read_parquet(tally, glob=False).row(0, named=True)
    return pl.scan_parquet(path, glob=False), counts


def _harmonise(
    sieve: Sieve,
    raw: list[Path],
    as_known: bool,
    path: Path,
    tally: Path,
    progress: Callable[[str, float], None],
) -> None:
    """Harmonise a bucket of stays at a time, so that memory does not grow with the hospital."""
    lazy = pl.concat([pl.scan_parquet(p, glob=False) for p in raw])
    rows = int(lazy.select(pl.len()).collect(engine="streaming").item())
    buckets = 1 + rows // _BUCKET
    stays = sieve.windows["stay"].sort()
    counts: dict[str, int] = {}
    with private(path) as partial, private(tally) as partial_tally:
        parts: list[Path] = []
        try:
            for i in range(buckets):
                progress("harmonising units", _READ + (1 - _READ) * i / buckets)
                some = stays[i * len(stays) // buckets : (i + 1) * len(stays) // buckets]
                here = lazy.filter(pl.col("stay").is_in(some.implode()))
                frame = here.collect(engine="streaming")
                known = frame.filter(pl.col("known")) if as_known else frame
                events, found = variables.harmonise(known.drop("known", "bad"))
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


def _published(kind: str, cohort: Profile) -> tuple[str, ...]:
    """How the cohort compares with the published one, where it should be the same."""
    if kind != "full" or cohort != "benchmarks":
        return ()
    return (
        "mimic3-benchmarks counts 42,276 stays of adults and 21,139 with 48 hours and a measured "
        "variable. It looks at fewer variables and computes ages in another way, so small "
        "differences from the cohort flow here are expected.",
    )


def _notes(kind: str, as_known: bool, data: Path) -> tuple[str, ...]:
    notes = []
    if kind == "demo":
        notes.append(
            "The MIMIC-III demo has 100 patients, all of whom have died since: it shows that the "
            "reader works and cannot grade a model or an attack."
        )
    elif kind == "part":
        notes.append(
            "The tables do not have the row counts of MIMIC-III v1.4: this is a part or another "
            "version, and results are not comparable with published ones."
        )
    elif kind == "generated":
        notes.append("Generated data: no number here is a result about MIMIC-III or any patient.")
    if as_known:
        notes.append(
            "Only values stored by the end of the window are used. LABEVENTS has no STORETIME: its "
            "values count from CHARTTIME, when the specimen was taken."
        )
    twice = [name for name, paths in find(data).items() if len(paths) > 1]
    if twice:
        notes.append(
            f"{', '.join(twice)} lie in the folder in more than one form; csv.gz was preferred to "
            "csv, and csv to Parquet."
        )
    return tuple(notes)


__all__ = ["FULL", "describe", "extract", "row_counts"]
