"""Reading CHARTEVENTS: our pass against `gzip -dc` and pandas chunks, on rows of the real demo.

    python benchmarks/chartevents.py FOLDER [--rows 30000000] [--part build|read|peers|all]
                                     [--source mimic-iii|mimic-iv]

Builds FOLDER/large by replicating the demo of MIMIC-III or MIMIC-IV with shifted ids, at gzip level
6, the level of the published file. Every contestant runs in a process of its own; peak memory and
CPU are what getrusage says about it. Delete FOLDER afterwards: it holds rows of the demo.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("PRIVAUDIT_DATA", ROOT.parent / "shared/data"))
SHIFT = {
    "subject_id": 100_000_000,
    "hadm_id": 100_000_000,
    "icustay_id": 1_000_000,
    "stay_id": 100_000_000,
    "row_id": 10**9,
    "labevent_id": 10**9,
}


@dataclass(frozen=True)
class Demo:
    """A demo to replicate: its tables below its folder, the events first."""

    folder: str
    events: str
    others: tuple[str, ...]

    @property
    def source(self) -> Any:
        from pipelines.sources.mimic3 import Mimic3
        from pipelines.sources.mimic4 import Mimic4

        return Mimic3 if self.folder == "mimic-iii-demo" else Mimic4


DEMOS = {
    "mimic-iii": Demo(
        "mimic-iii-demo",
        "CHARTEVENTS",
        ("PATIENTS", "ADMISSIONS", "ICUSTAYS", "LABEVENTS", "OUTPUTEVENTS"),
    ),
    "mimic-iv": Demo(
        "mimic-iv-demo",
        "icu/chartevents",
        ("hosp/patients", "hosp/admissions", "icu/icustays", "hosp/labevents", "icu/outputevents"),
    ),
}


def build(demo: Demo, folder: Path, rows: int) -> None:
    """A folder of tables with `rows` rows of events, the demo's patients over and over."""
    import polars as pl

    folder.mkdir(parents=True, exist_ok=True)
    copies = 0
    for name in (demo.events, *demo.others):
        source = pl.read_csv(DATA / demo.folder / f"{name}.csv.gz", infer_schema_length=0)
        source = source.rename({c: c.lower() for c in source.columns})
        if "storetime" in source.columns:  # the copy of MIMIC-IV's demo has none
            source = source.with_columns(pl.col("storetime").fill_null(pl.col("charttime")))
        copies = copies or -(-rows // len(source))
        left = rows if name == demo.events else len(source) * copies
        path = folder / f"{name.split('/')[-1]}.csv.gz"
        with gzip.open(path, "wb", compresslevel=6) as out:
            for k in range(copies):
                part = source.head(left).with_columns(
                    (pl.col(c).cast(pl.Int64) + k * SHIFT[c]).cast(pl.String)
                    for c in SHIFT
                    if c in source.columns
                )
                out.write(part.write_csv(include_header=not k).encode())
                left -= len(part)


def ours(demo: Demo, folder: Path, work: Path) -> dict[str, float]:
    """The pass of `pipelines.sources.sieve`, with the hospital's cohort, into an empty cache."""
    import polars as pl

    from pipelines.sources.codes import load
    from pipelines.sources.sieve import Sieve

    shutil.rmtree(work, ignore_errors=True)
    source, windows = _windows(demo, folder)
    start = time.perf_counter()
    sieve = Sieve(windows, work, load(source.codes()))
    path = sieve.run(source.tables()[0], lambda share: None)
    kept = pl.scan_parquet(path).select(pl.len()).collect().item()
    return {"seconds": time.perf_counter() - start, "kept": kept}


def _windows(demo: Demo, folder: Path) -> tuple[Any, Any]:
    from pipelines.sources import cohort, core

    source = demo.source(folder)
    return source, core._windows(cohort.join(core._shaped(source.core())), 48)


def whole(demo: Demo, folder: Path, work: Path) -> dict[str, float]:
    """The whole extract: three event tables, cohort, harmonised events."""
    shutil.rmtree(work, ignore_errors=True)
    start = time.perf_counter()
    read = demo.source(folder).extract(cache=work, progress=lambda what, share: None)
    return {"seconds": time.perf_counter() - start, "kept": len(read.events)}


def pandas(demo: Demo, folder: Path, work: Path) -> dict[str, float]:
    """The same filter in pandas, 2 million rows at a time, only the needed columns."""
    import pandas as pd

    from pipelines.sources.codes import load

    source, joined = _windows(demo, folder)
    windows = pd.DataFrame({c.name: c.to_numpy() for c in joined})
    ids = set(load(source.codes()).frame["code"].cast(int))
    start = time.perf_counter()
    kept = []
    chunks = pd.read_csv(
        folder / f"{demo.events.split('/')[-1]}.csv.gz",
        usecols=["subject_id", "itemid", "charttime", "storetime", "value", "valuenum"],
        dtype={"value": str, "charttime": str, "storetime": str},
        chunksize=2_000_000,
    )
    for chunk in chunks:
        chunk = chunk[chunk["itemid"].isin(ids)]
        chunk = chunk.merge(windows, left_on="subject_id", right_on="subject")
        at = pd.to_datetime(chunk["charttime"], format="%Y-%m-%d %H:%M:%S")
        kept.append(chunk[(at >= chunk["start"]) & (at < chunk["end"])])
    table = pd.concat(kept)
    work.mkdir(parents=True, exist_ok=True)
    return {"seconds": time.perf_counter() - start, "kept": len(table)}


def gunzip(demo: Demo, folder: Path, work: Path) -> dict[str, float]:
    """`gzip -dc` of the same file to nowhere."""
    start = time.perf_counter()
    subprocess.run(
        ["gzip", "-dc", str(folder / f"{demo.events.split('/')[-1]}.csv.gz")],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return {"seconds": time.perf_counter() - start, "kept": 0}


CONTESTANTS = {"ours": ours, "gzip": gunzip, "pandas": pandas, "whole": whole}


def measure(name: str, which: str, folder: Path, work: Path) -> dict[str, float]:
    """Wall time of the work itself, and CPU and peak memory of the process that did it."""
    command = [sys.executable, __file__, str(folder), "--child", name, "--work", str(work)]
    command += ["--source", which]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


def child(name: str, which: str, folder: Path, work: Path) -> None:
    found = CONTESTANTS[name](DEMOS[which], folder, work)
    who = resource.RUSAGE_CHILDREN if name == "gzip" else resource.RUSAGE_SELF
    usage = resource.getrusage(who)
    found |= {"cpu": usage.ru_utime + usage.ru_stime, "megabytes": usage.ru_maxrss / 1024}
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=30_000_000)
    parser.add_argument("--part", choices=("build", "read", "peers", "all"), default="all")
    parser.add_argument("--source", choices=tuple(DEMOS), default="mimic-iii")
    parser.add_argument("--child", choices=tuple(CONTESTANTS), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        return child(asked.child, asked.source, asked.folder, asked.work)
    demo = DEMOS[asked.source]
    if not (DATA / demo.folder).is_dir():
        raise SystemExit(
            f"The demo is not there: set PRIVAUDIT_DATA to the folder that holds {demo.folder} "
            "(https://physionet.org/content/mimiciii-demo/1.4/ or /mimic-iv-demo/2.2/)."
        )
    large, small = asked.folder / "large", asked.folder / "small"
    work = asked.folder / "work"
    if asked.part in ("build", "all"):
        build(demo, large, asked.rows)
        build(demo, small, max(1, asked.rows // 10))
    sizes = {large: asked.rows, small: max(1, asked.rows // 10)}
    runs: list[tuple[str, Path]] = []
    if asked.part in ("read", "all"):
        runs += [
            ("gzip", large),
            ("ours", large),
            ("ours", small),
            ("whole", large),
            ("whole", small),
        ]
    if asked.part in ("peers", "all"):
        runs += [("gzip", large), ("ours", large), ("pandas", large)]
    print(
        f"{'':8}{'rows':>12}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'kept':>12}{'wall / gzip':>13}"
    )
    base = 0.0
    for name, folder in runs:
        found = measure(name, asked.source, folder, work)
        base = found["seconds"] if name == "gzip" else base
        ratio = f"{found['seconds'] / base:13.2f}" if folder == large else ""
        print(
            f"{name:8}{sizes[folder]:12,}{found['seconds']:9.1f}{found['cpu']:9.1f}"
            f"{found['megabytes']:9.0f}{found['kept']:12,}{ratio}",
            flush=True,
        )
    return None


if __name__ == "__main__":
    main()
