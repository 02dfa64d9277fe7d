"""Reading CHARTEVENTS: our pass against `gzip -dc` and pandas chunks, on rows of the real demo.

    python benchmarks/chartevents.py FOLDER [--rows 30000000] [--part build|read|peers|all]

Builds FOLDER/mimic/CHARTEVENTS.csv.gz by replicating the MIMIC-III demo with shifted ids, at gzip
level 6, the level of the published file. Every contestant runs in a process of its own; peak memory
and CPU are what getrusage says about it. Delete FOLDER afterwards: it holds rows of the demo.
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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMO = Path(os.environ.get("PRIVAUDIT_DATA", ROOT.parent / "shared/data")) / "mimic-iii-demo"
SMALL = ("PATIENTS", "ADMISSIONS", "ICUSTAYS", "LABEVENTS", "OUTPUTEVENTS")
SHIFT = {"SUBJECT_ID": 100_000, "HADM_ID": 1_000_000, "ICUSTAY_ID": 1_000_000, "ROW_ID": 10**9}


def build(folder: Path, rows: int) -> None:
    """A folder of tables with `rows` rows of CHARTEVENTS, the demo's patients over and over."""
    import polars as pl

    folder.mkdir(parents=True, exist_ok=True)
    rows_of = {}
    for name in (*SMALL, "CHARTEVENTS"):
        source = pl.read_csv(DEMO / f"{name}.csv.gz", infer_schema_length=0)
        source = source.rename({c: c.upper() for c in source.columns})
        copies = -(-rows // rows_of.setdefault("CHARTEVENTS", 758_355))
        left = rows if name == "CHARTEVENTS" else len(source) * copies
        with gzip.open(folder / f"{name}.csv.gz", "wb", compresslevel=6) as out:
            for k in range(copies):
                part = source.head(left).with_columns(
                    (pl.col(c).cast(pl.Int64) + k * SHIFT[c]).cast(pl.String)
                    for c in SHIFT
                    if c in source.columns
                )
                out.write(part.write_csv(include_header=not k).encode())
                left -= len(part)


def ours(folder: Path, work: Path) -> dict[str, float]:
    """The pass of `pipelines.sources._event_filter`, with the hospital's cohort, into an empty
    cache."""
    from pipelines.sources import mimic3
    from pipelines.sources._event_filter import Sieve
    from pipelines.sources._mimic3_tables import Table

    shutil.rmtree(work, ignore_errors=True)
    core = mimic3._Core.read(folder)
    joined = mimic3.cohorts.join(core.patients, core.admissions, core.icustays)
    start = time.perf_counter()
    sieve = Sieve(mimic3._windows(joined, 48), work)
    path = sieve.run(Table.open(folder, "CHARTEVENTS"), lambda share: None)
    import polars as pl

    kept = pl.scan_parquet(path).select(pl.len()).collect().item()
    return {"seconds": time.perf_counter() - start, "kept": kept}


def whole(folder: Path, work: Path) -> dict[str, float]:
    """The whole extract: three event tables, cohort, harmonised events."""
    from pipelines.sources import mimic3

    shutil.rmtree(work, ignore_errors=True)
    start = time.perf_counter()
    read = mimic3.extract(folder, cache=work, progress=lambda what, share: None)
    return {"seconds": time.perf_counter() - start, "kept": len(read.events)}


def pandas(folder: Path, work: Path) -> dict[str, float]:
    """The same filter in pandas, 2 million rows at a time, only the needed columns."""
    import pandas as pd

    from pipelines.sources import _mimic3_variables as variables
    from pipelines.sources import mimic3

    core = mimic3._Core.read(folder)
    joined = mimic3.cohorts.join(core.patients, core.admissions, core.icustays)
    windows = pd.DataFrame({c.name: c.to_numpy() for c in mimic3._windows(joined, 48)})
    ids = set(variables.items("CHARTEVENTS"))
    start = time.perf_counter()
    kept = []
    chunks = pd.read_csv(
        folder / "CHARTEVENTS.csv.gz",
        usecols=["SUBJECT_ID", "ITEMID", "CHARTTIME", "STORETIME", "VALUE", "VALUENUM", "ERROR"],
        dtype={"VALUE": str, "CHARTTIME": str, "STORETIME": str},
        chunksize=2_000_000,
    )
    for chunk in chunks:
        chunk = chunk[chunk["ITEMID"].isin(ids) & (chunk["ERROR"] != 1)]
        chunk = chunk.merge(windows, left_on="SUBJECT_ID", right_on="subject_id")
        at = pd.to_datetime(chunk["CHARTTIME"], format="%Y-%m-%d %H:%M:%S")
        kept.append(chunk[(at >= chunk["start"]) & (at < chunk["end"])])
    table = pd.concat(kept)
    work.mkdir(parents=True, exist_ok=True)
    return {"seconds": time.perf_counter() - start, "kept": len(table)}


def gunzip(folder: Path, work: Path) -> dict[str, float]:
    """`gzip -dc` of the same file to nowhere."""
    start = time.perf_counter()
    subprocess.run(
        ["gzip", "-dc", str(folder / "CHARTEVENTS.csv.gz")], stdout=subprocess.DEVNULL, check=True
    )
    return {"seconds": time.perf_counter() - start, "kept": 0}


CONTESTANTS = {"ours": ours, "gzip": gunzip, "pandas": pandas, "whole": whole}


def measure(name: str, folder: Path, work: Path) -> dict[str, float]:
    """Wall time of the work itself, and CPU and peak memory of the process that did it."""
    command = [sys.executable, __file__, str(folder), "--child", name, "--work", str(work)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


def child(name: str, folder: Path, work: Path) -> None:
    found = CONTESTANTS[name](folder, work)
    who = resource.RUSAGE_CHILDREN if name == "gzip" else resource.RUSAGE_SELF
    usage = resource.getrusage(who)
    found |= {"cpu": usage.ru_utime + usage.ru_stime, "megabytes": usage.ru_maxrss / 1024}
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=30_000_000)
    parser.add_argument("--part", choices=("build", "read", "peers", "all"), default="all")
    parser.add_argument("--child", choices=tuple(CONTESTANTS), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        return child(asked.child, asked.folder, asked.work)
    if not DEMO.is_dir():
        raise SystemExit(
            "The MIMIC-III demo is not there: set PRIVAUDIT_DATA to the folder that holds "
            "mimic-iii-demo (https://physionet.org/content/mimiciii-demo/1.4/)."
        )
    large, small = asked.folder / "large", asked.folder / "small"
    work = asked.folder / "work"
    if asked.part in ("build", "all"):
        build(large, asked.rows)
        build(small, max(1, asked.rows // 10))
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
        found = measure(name, folder, work)
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
