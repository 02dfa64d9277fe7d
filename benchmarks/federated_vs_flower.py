"""Our federated loop beside Flower's simulation engine: 10 clients, 20 rounds, the same network.

    python benchmarks/federated_vs_flower.py PEER_PYTHON [--data DATA] [--cache FOLDER]

PEER_PYTHON: the interpreter of an environment with flwr[simulation] and torch. Both train from the
same start on the same clients (Dirichlet 1 over the embedded demo's members, or Challenge 2012's in
DATA) with the same steps, batch and rate; only the order of rows differs. Prints wall seconds,
their ratio and both AUROC on the non-members; exits with 1 unless we are five times faster and the
AUROC differ by at most 0.01.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pipelines.federated.encode import PublicEncoding
from pipelines.federated.kernel import streams
from pipelines.federated.network import Network
from pipelines.federated.sites import Dirichlet
from pipelines.methods.federated import Federated
from pipelines.tasks.mortality import Mortality
from privaudit.records import Split
from privaudit.seeds import Seeds

HERE = Path(__file__).parent


def main() -> int:
    from sklearn.metrics import roc_auc_score

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("peer", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        records = (
            Mortality()
            .prepare(options.data, options.cache or Path(passing), lambda what, share: None)
            .records
        )
    seeds = Seeds(20)
    split = Split.assign(records, seeds.rng("split"))
    method = Federated(sites=Dirichlet(1.0, 10), bound=None)
    import torch  # noqa: F401  (loaded before the clock starts, as in the peer)

    begin = time.perf_counter()
    release = method.fit(split.members, seeds.rng("fit"))
    ours = time.perf_counter() - begin
    assert release.model is not None
    answers = release.model.predict_proba(split.nonmembers)[:, 1]

    own, encoding = streams(seeds.rng("fit")), PublicEncoding(records.columns)
    parts = method.sites.divide(split.members, own["sites"])
    widths = (encoding.width, method.hidden, 2)
    with tempfile.TemporaryDirectory() as folder:
        sent, back = Path(folder, "in.npz"), Path(folder, "out.npz")
        np.savez(
            sent,
            x=encoding.encode(split.members),
            y=split.members.y,
            holder=parts.holder(len(split.members)),
            test=encoding.encode(split.nonmembers),
            start=Network(widths).start(own["start"]),
            hidden=method.hidden,
            rounds=method.rounds,
            steps=method.steps,
            batch=method.rows,
            rate=method.rate,
        )
        began = time.perf_counter()
        quiet = {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
        done = subprocess.run(
            [options.peer, "-m", "flower_peer", back],
            env={**os.environ, **quiet, "PEER_INPUT": str(sent), "PYTHONPATH": str(HERE)},
            capture_output=True,
            text=True,
            check=False,
        )
        whole = time.perf_counter() - began
        if done.returncode or not back.exists():
            print(done.stderr[-3000:])
            return 2
        peer = dict(np.load(back))
    theirs = float(peer["seconds"])
    y = split.nonmembers.y
    areas = [roc_auc_score(y, p) for p in (answers, peer["p"])]
    print(f"{len(split.members)} rows x {encoding.width} inputs, 10 clients x 20 rounds")
    print(f"ours                 {ours:6.2f} s   AUROC {areas[0]:.4f}")
    print(
        f"Flower {peer['version']} on Ray {theirs:6.2f} s   AUROC {areas[1]:.4f} "
        f"(with start-up {whole:.1f} s)"
    )
    print(f"ratio {theirs / ours:.1f}, AUROC difference {areas[0] - areas[1]:+.4f}")
    return 0 if theirs > 5 * ours and abs(areas[0] - areas[1]) <= 0.01 else 1


if __name__ == "__main__":
    sys.exit(main())
