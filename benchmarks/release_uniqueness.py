"""Who is alone in the population: does the interval hold the truth; and counts beside pycanon.

    python benchmarks/release_uniqueness.py --data DIR [--draws 40] [--peer-python VENV/bin/python]
        [--out FILE]

DIR holds `finance/adult.data` (UCI Adult, 32,561 people) and
`uci-diabetes130/diabetic_data.parquet` (101,766 encounters of 71,518 patients). Each whole table is
a population, of which 50, 10 and 1 % are drawn many times; the interval of the share of the drawn
patients who are alone in the population, and of their average risk, is held against the truth. An
interval that misses it below would call a table worse than it is; one that misses it above, better.
Beside it, the point estimate of Zayatz 1991, as ARX has it: how far off a model of the population
may be. Then the smallest class and the least number of sensitive values of the whole tables beside
pycanon's, with the CPU of each, both from a frame in memory (ours counts every view there is).
Exits with 1 unless every set of columns is covered in 95 of 100 draws, less 2.5 deviations, and the
counts are the same. First, verdicts on 20 made-up tables of 100 and of 2,000 patients in which
nobody can be found, and on the same with one patient alone: all have to be right.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

import privaudit
from privaudit.deidentified.classes import pack, rank
from privaudit.deidentified.document import Missing
from privaudit.deidentified.measure import get_classes, measure
from privaudit.deidentified.population import estimate_population
from privaudit.deidentified.read import read_column, read_release
from privaudit.deidentified.sensitive import measure_sensitive

ADULT = (
    *("age", "workclass", "weight", "education", "years", "marital", "occupation", "relation"),
    *("race", "sex", "gain", "loss", "hours", "country", "income"),
)
SETS = {
    "adult": (
        ("age", "sex", "race", "marital"),
        ("age", "sex", "race", "marital", "occupation", "education", "country"),
        (
            *("age", "sex", "race", "marital", "occupation", "education", "country"),
            "hours",
            "weight",
        ),
    ),
    "diabetes": (
        ("age", "gender", "race"),
        ("age", "gender", "race", "diag_1", "time_in_hospital"),
        *(("age", "gender", "race", "diag_1", "diag_2", "time_in_hospital", "medical_specialty"),),
    ),
}
COARSE = {"adult": ("sex", "race"), "diabetes": ("age", "gender")}
"""Columns by which classes are large, for the counts beside the peer's."""
SENSITIVE = {"adult": "income", "diabetes": "diag_3"}
FRACTIONS = (0.5, 0.1, 0.01)
PEER = """
import json, sys, time
import pandas as pd
from pycanon import anonymity
frame = pd.read_parquet(sys.argv[1]); names = sys.argv[2].split(","); secret = sys.argv[3]
start = time.process_time()
k = anonymity.k_anonymity(frame, names)
spent = time.process_time() - start
start = time.process_time()
least = anonymity.l_diversity(frame, names, [secret])
print(json.dumps({"k": int(k), "l": int(least), "k_cpu": spent,
                  "l_cpu": time.process_time() - start}))
"""


def read(folder: Path) -> dict[str, pd.DataFrame]:
    adult = pd.read_csv(
        folder / "finance" / "adult.data", header=None, names=ADULT, skipinitialspace=True
    )
    encounters = pd.read_parquet(folder / "uci-diabetes130" / "diabetic_data.parquet")
    return {"adult": adult, "diabetes": encounters.drop_duplicates("patient_nbr")}


def estimate_zayatz(sizes: np.ndarray, population: int) -> float:
    """Share of a sample alone in its population, the population's class sizes being its own."""
    n = int(sizes.sum())
    size, count = np.unique(sizes, return_counts=True)
    share = count / len(sizes)
    chances = hypergeom.pmf(1, population, size, n)
    alone = float((sizes == 1).sum())
    if not alone:
        return 0.0
    return float(share[0] * n / population / (share @ chances)) * alone / n


def cover(
    classes: np.ndarray, fraction: float, draws: int, rng: np.random.Generator
) -> dict[str, Any]:
    """How often the truth lies below and above the interval, over draws of a fraction."""
    everybody = np.bincount(classes)
    n = round(fraction * len(classes))
    below, above = np.zeros(2), np.zeros(2)
    widths, points, truths, seconds = [], [], [], 0.0
    for _ in range(draws):
        counts = np.bincount(classes[rng.permutation(len(classes))[:n]], minlength=len(everybody))
        there = counts > 0
        truth = np.array(
            [
                ((counts == 1) & (everybody == 1)).sum() / n,
                (counts[there] / everybody[there]).sum() / n,
            ]
        )
        start = time.process_time()
        found = estimate_population(counts[there], len(classes), 0.95)
        seconds += time.process_time() - start
        low = np.array([found.unique.low, found.average.low])
        high = np.array([found.unique.high, found.average.high])
        below += truth < low - 1e-9
        above += truth > high + 1e-9
        widths.append(high - low)
        truths.append(truth)
        points.append([found.unique.value, estimate_zayatz(counts[there], len(classes))])
    return {
        "fraction": fraction,
        "n": n,
        "draws": draws,
        "covered": (1 - (below + above) / draws).tolist(),
        "too_high": (below / draws).tolist(),
        "too_low": (above / draws).tolist(),
        "width": np.mean(widths, axis=0).tolist(),
        "truth": np.mean(truths, axis=0).tolist(),
        "point": float(np.mean([p[0] for p in points])),
        "zayatz": float(np.mean([p[1] for p in points])),
        "cpu": seconds / draws,
    }


def count(frame: pd.DataFrame, columns: tuple[str, ...], secret: str, peer: str) -> dict[str, Any]:
    """The smallest class and the least number of sensitive values, ours and the peer's."""
    kept = frame[[*columns, secret]].reset_index(drop=True)
    kept = kept.astype("string").fillna("none given")
    start = time.process_time()
    table = read_release(kept, columns, patient="")
    done = measure(
        table,
        tolerances={},
        missing=(Missing.VALUE,),
        register=None,
        population=None,
        confidence=0.95,
    )
    ours = {"k": int(done.k.min()), "k_cpu": time.process_time() - start}
    start = time.process_time()
    risk = measure_sensitive(table, get_classes(table)[1], read_column(table.frame[secret]), 0.95)
    ours |= {"l": risk.least_values, "l_cpu": time.process_time() - start}
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        kept.astype(object).to_parquet(file.name)
        run = [peer, "-c", PEER, file.name, ",".join(columns), secret]
        answer = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    return {"ours": ours, "peer": json.loads(answer.splitlines()[-1])}


def count_alarms(patients: int, tables: int) -> dict[str, int]:
    """Verdicts under k = 5 of tables in which nobody can be found, and of the same with one patient
    of an age that nobody else has."""
    states: Counter[str] = Counter()
    for seed in range(tables):
        rng = np.random.default_rng(seed)
        clean = pd.DataFrame(
            {
                "age_band": rng.choice(["18-44", "45-64", "65+"], patients),
                "sex": rng.choice(["f", "m"], patients),
                "creatinine": rng.gamma(2, 0.5, patients).round(2),
                "diagnosis": rng.choice(list("abcdef"), patients),
                "ward": rng.choice(list("ABC"), patients),
                "days": rng.poisson(5, patients),
            }
        )
        leaky = clean.copy()
        leaky.loc[0, "age_band"] = "90+"
        for kind, frame in (("clean", clean), ("leaky", leaky)):
            found = privaudit.audit_release(
                frame,
                ["age_band", "sex"],
                sensitive=["diagnosis"],
                min_k=5,
                max_disclosed=0.05,
                seed=seed,
            )
            states[f"{kind}: {found.state}"] += 1
    return dict(states)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--peer-python")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    results: dict[str, Any] = {"coverage": {}, "counts": {}}
    fine = True
    for patients in (100, 2000):
        states = count_alarms(patients, 20)
        results[f"verdicts of {patients} patients"] = states
        fine &= states == {"clean: WITHIN": 20, "leaky: EXCEEDS": 20}
        print(f"{patients} patients: {states}", flush=True)
    least = 0.95 - 2.5 * (0.95 * 0.05 / asked.draws) ** 0.5
    for name, frame in read(asked.data).items():
        for columns in SETS[name]:
            codes = [pd.factorize(frame[c].astype(str))[0].astype(np.int64) for c in columns]
            classes = rank(pack(codes, len(frame)))
            key = f"{name}: {', '.join(columns)}"
            found = [cover(classes, fraction, asked.draws, rng) for fraction in FRACTIONS]
            results["coverage"][key] = found
            for one in found:
                fine &= min(one["covered"]) >= least
                print(
                    f"{key} at {one['fraction']:.0%}: covered "
                    f"{one['covered'][0]:.0%} and {one['covered'][1]:.0%}, too low "
                    f"{one['too_low'][0]:.0%} and {one['too_low'][1]:.0%}; truth "
                    f"{one['truth'][0]:.3f}, width {one['width'][0]:.3f}, point "
                    f"{one['point']:.3f}, Zayatz {one['zayatz']:.3f}; average risk "
                    f"{one['truth'][1]:.3f}, width {one['width'][1]:.3f}; {one['cpu']:.2f} s CPU",
                    flush=True,
                )
        for columns in (COARSE[name], *SETS[name]):
            if asked.peer_python:
                key = f"{name}: {', '.join(columns)}"
                both = count(frame, columns, SENSITIVE[name], asked.peer_python)
                results["counts"][key] = both
                same = all(both["ours"][x] == both["peer"][x] for x in ("k", "l"))
                fine &= same
                print(f"{key}: {both}", flush=True)
    if asked.out:
        asked.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
