"""Singling out, linkability and inference beside anonymeter, where anonymeter is right.

    python benchmarks/synthetic_vs_anonymeter.py --peer-python VENV/bin/python [--rows 10000]
        [--attempts 500] [--out FILE]

No missing values, and equal numbers of training and control patients: there the two should say the
same. Its own test data, Adult, is not shipped with the package; the table here is of Adult's shape
(6 numbers, 8 categories and the income), drawn from a seed. Three synthetic tables: copies (the
peer's own test case: a table attacked with itself), a tenth of copies among independent columns,
and an unseen table. anonymeter 1.1.0 runs as a subprocess from an environment of its own, one
thread. Same columns for each holder, the same secret, numbers on the scale of what both tables
span. Its naive guess of inference is misaligned by index and not compared. Exits with 1 unless at
most one in ten pairs of 95 % intervals of attack or control rates are apart, and linkability and
inference each take a third of the CPU time or less.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from privaudit import stats
from privaudit.attacks.synthetic.linkability import Linkability
from privaudit.attacks.synthetic.singling_out import SinglingOut
from privaudit.attacks.synthetic.synthetic_attribute_inference import SyntheticAttributeInference
from privaudit.contracts import Release, Target, Trials
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds

FASTER, APART = 3.0, 0.1
LEVELS = (9, 16, 7, 15, 6, 5, 2, 42, 2)
NUMBERS = 6
PEER = """
import json, sys, time
import numpy as np, pandas as pd
from anonymeter.evaluators import InferenceEvaluator, LinkabilityEvaluator, SinglingOutEvaluator
folder, attempts = sys.argv[1], int(sys.argv[2])
first, second, secret = (a.split(",") for a in sys.argv[3:])
np.random.seed(0)
def read(name):
    kept = np.load(f"{folder}/{name}.npy")
    frame = pd.DataFrame({f"n{i}": kept[:, i] for i in range(6)})
    for i in range(kept.shape[1] - 6):
        frame[f"c{i}"] = np.array([f"l{int(v)}" for v in kept[:, 6 + i]], dtype=object)
    return frame
real, control, synthetic = (read(n) for n in ("members", "others", "table"))
small = [f.head(50) for f in (real, control, synthetic)]
sides = (first, second)
LinkabilityEvaluator(small[0], small[2], aux_cols=sides, n_attacks=10,
                     control=small[1]).evaluate(n_jobs=1)
found, n = {}, attempts
def timed(name, make):
    start = time.process_time()
    got = make()
    found[name] = [got._n_success / n, got._n_control / n, time.process_time() - start]
start = time.process_time()
got = LinkabilityEvaluator(real, synthetic, aux_cols=sides, n_attacks=n,
                           control=control).evaluate(n_jobs=1)
links = [got._attack_links.count_links(1) / n, got._control_links.count_links(1) / n]
found["linkability"] = [*links, time.process_time() - start]
aux = [c for c in real.columns if c != secret[0]]
timed("inference", lambda: InferenceEvaluator(
    real, synthetic, aux_cols=aux, secret=secret[0], regression=False, n_attacks=n, control=control
).evaluate(n_jobs=1))
for mode in ("univariate", "multivariate"):
    timed(mode, lambda: SinglingOutEvaluator(
        real, synthetic, n_attacks=n, n_cols=3, control=control, max_attempts=20000, seed=1
    ).evaluate(mode=mode))
print(json.dumps(found))
"""


def people(rows: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers and categories that hang together."""
    z = rng.normal(size=(rows, 4))
    mix = Seeds(5).rng("mix").normal(size=(4, NUMBERS))
    numbers = np.round((z @ mix + rng.normal(size=(rows, NUMBERS))) * 10.0 + 40.0, 1)
    codes = []
    for i, k in enumerate(LEVELS):
        edges = np.quantile(
            Seeds(5).rng("edges", i).normal(size=4000) * 1.5, np.linspace(0, 1, k + 1)[1:-1] ** 0.7
        )
        codes.append(np.digitize(z[:, i % 4] + rng.normal(size=rows), edges))
    return np.column_stack([numbers, *codes])


def records(x: np.ndarray, first: int = 0) -> Records:
    columns = [Column(f"n{i}") for i in range(NUMBERS)]
    columns += [
        Column(f"c{i}", kind="category", levels=tuple(f"l{v}" for v in range(k)))
        for i, k in enumerate(LEVELS)
    ]
    n = len(x)
    return Records(
        tuple(columns), x, np.zeros(n), np.arange(first, first + n), np.zeros(n), classes=("all",)
    )


def independent(members: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every column drawn for itself."""
    n = len(members)
    return np.column_stack([column[rng.integers(0, n, n)] for column in members.T])


def theirs(python: str, attempts: int, sides: list[str], **tables: np.ndarray) -> dict[str, Any]:
    """Of each attack, the peer's success, control and CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        for name, part in tables.items():
            np.save(f"{folder}/{name}.npy", part.astype(np.float32).astype(np.float64))
        script = Path(folder) / "peer.py"
        script.write_text(PEER, encoding="utf-8")
        threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
        done = subprocess.run(
            [python, str(script), folder, str(attempts), *sides],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **threads, "PYTHONWARNINGS": "ignore"},
        )
        if done.returncode:
            sys.exit(f"the peer failed:\n{done.stderr[-2000:]}")
        return json.loads(done.stdout.strip().splitlines()[-1])


def ours(
    target: Target, attempts: int, held: tuple[tuple[str, ...], ...], secret: str
) -> dict[str, Any]:
    """The same of ours."""
    found: dict[str, Any] = {}

    def timed(attack: Any, keys: dict[str, str]) -> None:
        start = time.process_time()
        found_series = attack.run(target, (), Seeds(2).rng("run"))
        evidence: dict[Any, Trials] = {s.value: part for s, part in found_series.items()}
        spent = time.process_time() - start
        for key, name in keys.items():
            trials = evidence[key]
            found[name] = [float(trials.success.mean()), float(trials.control.mean()), spent]

    timed(
        Linkability(patients=attempts, neighbours=1, first=held[0], second=held[1], tails=0.0),
        {1: "linkability"},
    )
    timed(
        SyntheticAttributeInference(patients=attempts, secrets=(secret,), tails=0.0),
        {secret: "inference"},
    )
    timed(SinglingOut(attempts=attempts), {m: m for m in ("univariate", "multivariate")})
    return found


def interval(rate: float, n: int) -> tuple[float, float]:
    """95 % interval of a share of n attempts, as the report states it."""
    hits = np.arange(n) < round(rate * n)
    estimates = stats.trials(Trials(hits.astype(float), hits.astype(float), patients=np.arange(n)))
    low, high = estimates[0].low, estimates[0].high
    assert low is not None
    assert high is not None
    return low, high


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer-python", help="interpreter of an environment with anonymeter 1.1.0")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--attempts", type=int, default=500)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if not given.peer_python or not Path(given.peer_python).exists():
        print("name the peer: --peer-python VENV/bin/python, made by `python -m venv VENV` and")
        print("`VENV/bin/python -m pip install anonymeter==1.1.0`")
        return 2
    n, rng = given.rows, Seeds(1).rng("tables")
    names = [f"n{i}" for i in range(NUMBERS)] + [f"c{i}" for i in range(len(LEVELS))]
    held, secret = (tuple(names[::2]), tuple(names[1::2])), "c1"
    members, others, own = (people(n, rng) for _ in range(3))
    tenth = independent(members, rng)
    tenth[: n // 10] = members[rng.permutation(n)[: n // 10]]
    tables = {"copies": members, "a tenth of copies": tenth, "unseen": people(n, rng)}
    rows, apart, pairs = [], 0, 0
    spent = {"linkability": [0.0, 0.0], "inference": [0.0, 0.0]}
    for title, table in tables.items():
        pools = [records(x, i * n) for i, x in enumerate((members, others, own))]
        a = ours(Target(Release(table=records(table)), Split(*pools)), given.attempts, held, secret)
        b = theirs(
            given.peer_python,
            given.attempts,
            [*(",".join(h) for h in held), secret],
            members=members,
            others=others,
            table=table,
        )
        print(f"\n{title}: {n:,} records, {len(names)} columns, {given.attempts} attempts")
        print(
            "                     ours: attack (95 %)          control  CPU s   peer: attack "
            "control  CPU s"
        )
        for name in a:
            low, high = interval(a[name][0], given.attempts)
            for i in (0, 1):
                one, two = (interval(x[name][i], given.attempts) for x in (a, b))
                far = one[0] > two[1] or two[0] > one[1]
                apart, pairs = apart + far, pairs + 1
            if name in spent:
                spent[name][0] += a[name][2]
                spent[name][1] += b[name][2]
            rows.append({"table": title, "attack": name, "ours": a[name], "peer": b[name]})
            print(
                f"{name:>16} {a[name][0]:12.3f} ({low:.3f} to {high:.3f}) {a[name][1]:9.3f} "
                f"{a[name][2]:6.2f}"
                f"{b[name][0]:14.3f} {b[name][1]:7.3f} {b[name][2]:6.2f}",
                flush=True,
            )
    print(f"\n{apart} of {pairs} pairs of 95 % intervals are apart")
    quick = {name: other / own_ for name, (own_, other) in spent.items()}
    print("; ".join(f"{name}: {ratio:.1f} times less CPU time" for name, ratio in quick.items()))
    if given.out:
        given.out.write_text(
            json.dumps({"rows": rows, "ratio": quick}, indent=1) + "\n", encoding="utf-8"
        )
    return 0 if apart <= APART * pairs and min(quick.values()) >= FASTER else 1


if __name__ == "__main__":
    sys.exit(main())
