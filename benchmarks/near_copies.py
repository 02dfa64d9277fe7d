"""Near copies in a table with missing values: linkability, ours beside anonymeter in the same run.

    python benchmarks/near_copies.py --peer-python VENV/bin/python [--rows 2000] [--copied 0.3]
        [--missing 0 0.02 0.1 0.3] [--repeats 3] [--out FILE]

A table of independent columns in which `copied` of the training patients stand with their numbers
moved by 2 % of a standard deviation; both look for patients whose two halves meet at one synthetic
record. anonymeter (pip install anonymeter==1.1.0) is run as a subprocess, from an environment of
its own. Both get the same columns for each holder and the same patients. Two kinds of gaps: "own",
real and synthetic records each miss cells by themselves, as with a generator that models missing
values apart; "kept", a copy misses what its patient misses. Printed for each share of missing
cells: attack, control and their difference, ours with its interval. Exits with 1 unless ours stays
within 10 % of its value without missing values, up to 10 % missing of kind "own" and throughout of
kind "kept".
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from privaudit import stats
from privaudit.attacks.synthetic.linkability import Linkability
from privaudit.contracts import Release, Target
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds

WITHIN = 0.1
NUMBERS, CODES = 20, 10
PEER = """
import json, sys
import numpy as np, pandas as pd
from anonymeter.evaluators import LinkabilityEvaluator
folder, first, second = sys.argv[1], sys.argv[2].split(","), sys.argv[3].split(",")
np.random.seed(0)
def read(name):
    kept = np.load(f"{folder}/{name}.npy")
    frame = pd.DataFrame({f"n{i}": kept[:, i] for i in range(20)})
    for i in range(10):
        column = kept[:, 20 + i]
        texts = [None if np.isnan(v) else f"l{int(v)}" for v in column]
        frame[f"c{i}"] = pd.Series(texts, dtype=object)
    return frame
real, control, synthetic = (read(n) for n in ("members", "others", "table"))
n = min(len(real), len(control))
found = LinkabilityEvaluator(real, synthetic, aux_cols=(first, second), n_attacks=n,
                             n_neighbors=1, control=control).evaluate(n_jobs=1)
print(json.dumps([found._attack_links.count_links(1) / n, found._control_links.count_links(1) / n]))
"""


def people(rows: int, rng: np.random.Generator) -> np.ndarray:
    """Correlated numbers and categories of one hidden state each."""
    z = rng.normal(size=(rows, 3))
    numbers = z @ rng.normal(size=(3, NUMBERS)) + rng.normal(size=(rows, NUMBERS))
    codes = np.digitize(z[:, np.arange(CODES) % 3] + rng.normal(size=(rows, CODES)), [-1, 0, 1])
    return np.concatenate([numbers, codes], axis=1)


def records(x: np.ndarray, first: int = 0) -> Records:
    columns = [Column(f"n{i}") for i in range(NUMBERS)]
    columns += [
        Column(f"c{i}", kind="category", levels=("l0", "l1", "l2", "l3")) for i in range(CODES)
    ]
    n = len(x)
    return Records(
        tuple(columns), x, np.zeros(n), np.arange(first, first + n), np.zeros(n), classes=("all",)
    )


def game(
    rows: int, copied: float, missing: float, own: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Members, non-members, the attacker's own and the synthetic table."""
    whole = people(3 * rows, rng)
    members = whole[:rows]
    table = np.column_stack([column[rng.integers(0, rows, rows)] for column in members.T])
    numeric = slice(0, NUMBERS)
    table[:, numeric] += 0.1 * rng.normal(size=(rows, NUMBERS))
    chosen = rng.permutation(rows)[: round(copied * rows)]
    table[: len(chosen)] = members[chosen]
    moved = 0.02 * members[:, numeric].std(axis=0) * rng.normal(size=(len(chosen), NUMBERS))
    table[: len(chosen), numeric] += moved
    gaps = rng.random(whole.shape) < missing
    holes = rng.random(table.shape) < missing
    if not own:
        holes[: len(chosen)] = gaps[chosen]
    whole[gaps], table[holes] = np.nan, np.nan
    return members, whole[rows : 2 * rows], whole[2 * rows :], table


def theirs(
    python: str, held: tuple[tuple[str, ...], ...], **tables: np.ndarray
) -> tuple[float, float]:
    """The peer's share of links among members and among non-members."""
    with tempfile.TemporaryDirectory() as folder:
        for name, part in tables.items():
            np.save(f"{folder}/{name}.npy", part.astype(np.float32).astype(np.float64))
        script = Path(folder) / "peer.py"
        script.write_text(PEER, encoding="utf-8")
        done = subprocess.run(
            [python, str(script), folder, *(",".join(side) for side in held)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        )
        if done.returncode:
            sys.exit(f"the peer failed:\n{done.stderr[-2000:]}")
        attack, control = json.loads(done.stdout.strip().splitlines()[-1])
        return attack, control


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer-python", help="interpreter of an environment with anonymeter 1.1.0")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--copied", type=float, default=0.3)
    parser.add_argument("--missing", type=float, nargs="+", default=[0.0, 0.02, 0.1, 0.3])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if not given.peer_python or not Path(given.peer_python).exists():
        print("name the peer: --peer-python VENV/bin/python, made by `python -m venv VENV` and")
        print("`VENV/bin/python -m pip install anonymeter==1.1.0`")
        return 2
    names = [c.name for c in records(np.zeros((0, NUMBERS + CODES))).columns]
    held = (tuple(names[::2]), tuple(names[1::2]))
    attack = Linkability(patients=given.rows, neighbours=1, first=held[0], second=held[1])
    print(
        f"{given.copied:.0%} of {given.rows:,} training patients near-copied, {given.repeats} "
        "repeats"
    )
    rows, good = [], True
    for kind in ("own", "kept"):
        print(f"\ngaps: {kind}")
        print(
            "missing  ours: attack control difference (95 %)      anonymeter: attack control "
            "difference"
        )
        base = 0.0
        for missing in given.missing:
            got = []
            for repeat in range(given.repeats):
                rng = Seeds(repeat).rng("near copies", str(missing), kind)
                members, others, known, table = game(
                    given.rows, given.copied, missing, kind == "own", rng
                )
                pools = [records(x, i * given.rows) for i, x in enumerate((members, others, known))]
                target = Target(Release(table=records(table)), Split(*pools))
                series = attack.run(target, (), rng)
                (trials,) = (part for setting, part in series.items() if setting.value == 1)
                difference = {str(e.metric): e for e in stats.trials(trials)}[
                    "attack_minus_control"
                ]
                peer = theirs(given.peer_python, held, members=members, others=others, table=table)
                got.append(
                    [
                        trials.success.mean(),
                        trials.control.mean(),
                        difference.low,
                        difference.high,
                        *peer,
                    ]
                )
            a, c, low, high, pa, pc = (float(v) for v in np.mean(got, axis=0))
            base = base or a - c
            rows.append(
                {
                    "gaps": kind,
                    "missing": missing,
                    "ours": a - c,
                    "low": low,
                    "high": high,
                    "attack": a,
                    "control": c,
                    "peer": pa - pc,
                    "peer_attack": pa,
                    "peer_control": pc,
                    "kept": (a - c) / base,
                }
            )
            if kind == "kept" or missing <= 0.1:
                good = good and (a - c) >= (1 - WITHIN) * base
            print(
                f"{missing:7.0%} {a:13.3f} {c:7.3f} {a - c:6.3f} ({low:.3f} to {high:.3f}) "
                f"{(a - c) / base:5.0%}"
                f"{pa:18.3f} {pc:7.3f} {pa - pc:10.3f}",
                flush=True,
            )
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
