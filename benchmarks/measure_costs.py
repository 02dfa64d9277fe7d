"""Make privaudit/engine/costs.csv, the cost table of `privaudit plan`, from finished runs.

    privaudit run mortality --profile smoke --methods all --jobs 2 --out measured/all
    privaudit run mortality --jobs 2 --out measured/standard
    privaudit run length_of_stay --profile smoke --jobs 2 --out measured/classes
    python benchmarks/measure_costs.py --jobs 2 measured/*/latest

Reads what the run directories hold: seconds of each fit and attack, the length of the stages, the
peak memory. Of several measurements of one job the median counts. Run it on a quiet machine, the
same as the audits: its speed is measured too.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from statistics import median
from typing import Any

from privaudit.contracts import Access
from privaudit.engine.forecast import calibrate, work_of

COLUMNS = ("job", "name", "subject", "value", "work", "access")
FITTED = ("epochs", "rounds")
"""Settings that the time of a fit is proportional to."""

Key = tuple[str, str, str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--jobs", type=int, required=True, help="of the runs")
    parser.add_argument("--out", type=Path, default=Path("privaudit/engine/costs.csv"))
    asked = parser.parse_args()
    found: dict[Key, list[float]] = {
        ("calibration", "", "", 1.0): [min(calibrate() for _ in range(10))]
    }
    shown: dict[str, str] = {}
    for run in asked.runs:
        audit = json.loads((run / "shareable" / "audit.json").read_text(encoding="utf-8"))
        lines = (run / "events.jsonl").read_text(encoding="utf-8").splitlines()
        for key, value, access in measurements(audit, [json.loads(n) for n in lines], asked.jobs):
            found.setdefault(key, []).append(value)
            shown[key[2]] = access or shown.get(key[2], "")
    with open(asked.out, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for key in sorted(found):
            job, name, subject, work = key
            access = shown[subject] if job == "fit" else ""
            value = f"{median(found[key]):.4g}"
            writer.writerow([job, name, subject, value, f"{work:.6g}", access])


def measurements(audit: Any, events: list[Any], jobs: int) -> list[tuple[Key, float, str]]:
    """Every cost that one run tells, with what a fit's release shows."""
    pools = {pool["name"]: pool["stays"] for pool in audit["data"]["pools"]}
    rows = pools["members"] + pools["nonmembers"]
    made = audit["manifest"]
    memory = made["peak_memory_bytes"] / (jobs + 1)
    found = [(("memory", made["run"], "", 1.0), memory, "")]
    for subject in audit["subjects"]:
        # NAME@EPSILON costs what NAME costs; the names are those of the command line.
        name = subject["name"].partition("@")[0]
        given = sorted(subject["params"].items(), key=lambda pair: -pair[0].count("."))
        sizes = {key.rpartition(".")[2]: value for key, value in given}
        work = work_of({n: float(sizes[n]) for n in FITTED if n in sizes}, pools["members"])
        work *= max(1.0, len(audit["data"]["classes"]) / 2)
        access = " ".join(sorted(Access(text).name for text in subject["access"]))
        found.append((("fit", "", name, work), subject["costs"]["fit_cpu_seconds"], access))
        for one in subject["outcomes"]:
            if one["kind"] == "finding":
                numbers = {n: v for n, v in one["params"].items() if type(v) in (int, float)}
                key = ("attack", one["attack"], name, work_of(numbers, rows))
                found.append((key, one["seconds"], ""))
    for event in events:
        if event["state"] == "end" and event["stage"] in ("measure", "compare") and event["total"]:
            seconds = jobs * event["seconds"] / event["total"]
            found.append(((event["stage"], "", "", rows / 1000), seconds, ""))
    return found


if __name__ == "__main__":
    main()
