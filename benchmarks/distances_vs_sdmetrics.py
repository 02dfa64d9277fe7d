"""Distance to the closest record, beside SDMetrics in the same run: 5,000 x 30 mixed columns.

    python benchmarks/distances_vs_sdmetrics.py --peer-python VENV/bin/python [--rows 5000]
        [--columns 30] [--missing 0.0] [--out FILE]

The peer (pip install sdmetrics==0.32.0) lives in an environment of its own, for it pins other
versions; its interpreter is run as a subprocess, one thread each. Printed: CPU seconds of both,
their ratio, and the largest difference of any record's distance. Exits with 1 unless ours takes 20
times less and the distances agree to 1e-6.
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

import numpy as np

from privaudit.fidelity.distance import nearest
from privaudit.records import Column, Records
from privaudit.seeds import Seeds

RATIO, AGREE = 20.0, 1e-6
PEER = """
import sys, time
import numpy as np, pandas as pd
from sdmetrics.single_table.privacy.dcr_utils import calculate_dcr
folder = sys.argv[1]
tables = []
for name in ("synthetic", "real"):
    kept = np.load(f"{folder}/{name}.npz")
    table = {f"n{i}": column for i, column in enumerate(kept["numbers"])}
    table |= {f"c{i}": pd.Series(column).where(column >= 0).astype(object)
              for i, column in enumerate(kept["codes"])}
    tables.append(pd.DataFrame(table))
columns = {n: {"sdtype": "numerical" if n[0] == "n" else "categorical"} for n in tables[0].columns}
start = time.process_time()
found = calculate_dcr(tables[0], tables[1], {"columns": columns})
print(time.process_time() - start)
np.save(f"{folder}/peer.npy", found.to_numpy(dtype=float))
"""


def table(rows: int, numbers: int, codes: int, missing: float, rng: np.random.Generator) -> Records:
    """Half of the columns numbers, the others categories of two to nine levels."""
    levels = [2 + i % 8 for i in range(codes)]
    x = np.concatenate(
        [
            rng.normal(size=(rows, numbers)) * 10.0 ** rng.integers(-1, 3, numbers),
            np.column_stack([rng.integers(0, k, rows) for k in levels]),
        ],
        axis=1,
    )
    x[rng.random(x.shape) < missing] = np.nan
    columns = [Column(f"n{i}") for i in range(numbers)]
    columns += [
        Column(f"c{i}", kind="category", levels=tuple(f"l{v}" for v in range(k)))
        for i, k in enumerate(levels)
    ]
    return Records(
        tuple(columns), x, np.zeros(rows), np.arange(rows), np.zeros(rows), classes=("all",)
    )


def peer(python: str, synthetic: Records, real: Records, numbers: int) -> tuple[np.ndarray, float]:
    """The peer's distances and CPU seconds, from a subprocess."""
    with tempfile.TemporaryDirectory() as folder:
        for name, part in (("synthetic", synthetic), ("real", real)):
            x = part.X.astype(np.float64)
            codes = np.nan_to_num(x[:, numbers:], nan=-1).astype(int)
            np.savez(f"{folder}/{name}.npz", numbers=x[:, :numbers].T, codes=codes.T)
        script = Path(folder) / "peer.py"
        script.write_text(PEER, encoding="utf-8")
        done = subprocess.run(
            [python, str(script), folder],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        )
        if done.returncode:
            sys.exit(f"the peer failed:\n{done.stderr[-2000:]}")
        return np.load(f"{folder}/peer.npy"), float(done.stdout.split()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer-python", help="interpreter of an environment with sdmetrics 0.32.0")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--columns", type=int, default=30)
    parser.add_argument("--missing", type=float, default=0.0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if not given.peer_python or not Path(given.peer_python).exists():
        print("name the peer: --peer-python VENV/bin/python, made by `python -m venv VENV` and")
        print("`VENV/bin/python -m pip install sdmetrics==0.32.0`")
        return 2
    numbers = given.columns // 2
    codes = given.columns - numbers
    seeds = Seeds(7)
    real, synthetic = (
        table(given.rows, numbers, codes, given.missing, seeds.rng(name))
        for name in ("real", "synthetic")
    )
    x = real.X.astype(np.float64)
    # The peer's scale: what the real table spans.
    ranges = {f"n{i}": (np.nanmin(x[:, i]), np.nanmax(x[:, i])) for i in range(numbers)}
    start = time.process_time()
    ours = nearest(synthetic, real, ranges=ranges)[0][:, 0]
    own = time.process_time() - start
    theirs, other = peer(given.peer_python, synthetic, real, numbers)
    apart = float(np.abs(ours - theirs).max())
    found = {
        "rows": given.rows,
        "columns": given.columns,
        "missing": given.missing,
        "cpu_ours": own,
        "cpu_sdmetrics": other,
        "ratio": other / own,
        "largest_difference": apart,
    }
    print(
        f"{given.rows:,} x {given.rows:,} records, {given.columns} columns, {given.missing:.0%} "
        "missing"
    )
    print(f"ours {own:.2f} CPU s, SDMetrics {other:.1f} CPU s: {other / own:.0f} times less")
    print(
        f"largest difference of a distance: {apart:.1e} (distances {ours.min():.3f} to "
        f"{ours.max():.3f})"
    )
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if other >= RATIO * own and apart <= AGREE else 1


if __name__ == "__main__":
    sys.exit(main())
