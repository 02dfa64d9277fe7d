"""Does an audit of a deployed model read what the audit of its file reads, and what does it ask?

    python benchmarks/endpoint.py [SERVER_PYTHON] [--rows 1200] [--attacks threshold,quantile]

SERVER_PYTHON: the interpreter of a virtual environment with mlserver and mlserver-sklearn (1.7.1),
and the scikit-learn of this one. A random forest is trained on a made-up ward, saved with joblib,
served on the loopback, and audited twice under the same key and seed: from its file, and over the
Open Inference Protocol. Printed are the AUC of every membership attack of both with its interval,
and the rows that the server was asked about, new and in all. Without SERVER_PYTHON, or where
mlserver is not installed there, the benchmark says so and ends.

Measured on 2026-11-30 with the defaults and mlserver 1.7.1: threshold 0.680 (0.640 to 0.715) and
quantile 0.815 (0.785 to 0.845), both from the file and deployed; 2,883 rows asked about, 2,700 of
them new.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd

NUMBERS = ["age", "lactate", "heart"]


def ward(rows: int, seed: int, first: int) -> pd.DataFrame:
    """Two rows a patient, with an outcome that depends on the numbers."""
    rng = np.random.default_rng(seed)
    age, heart = rng.integers(18, 90, rows), rng.normal(85, 15, rows).round(1)
    lactate = rng.gamma(2.0, 1.0, rows).round(2)
    risk = 0.04 * (age - 60) + 0.7 * (lactate - 2) - 0.5
    died = (rng.random(rows) < 1 / (1 + np.exp(-risk))).astype(int)
    who = first + np.arange(rows) // 2
    return pd.DataFrame(
        {"subject_id": who, "age": age, "lactate": lactate, "heart": heart, "died": died}
    )


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(python: Path, home: Path) -> tuple[subprocess.Popen[bytes], str]:
    """mlserver with the model at `home`, once it answers."""
    ports = [free_port() for _ in range(3)]
    settings = dict(zip(("http_port", "grpc_port", "metrics_port"), ports, strict=True))
    settings |= {"host": "127.0.0.1", "parallel_workers": 0, "debug": False}
    (home / "settings.json").write_text(json.dumps(settings))
    inputs = [{"name": "predict", "datatype": "FP64", "shape": [-1, len(NUMBERS)]}]
    model = {
        "name": "forest",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "inputs": inputs,
        "parameters": {"uri": "./forest.joblib", "version": "1"},
    }
    (home / "model-settings.json").write_text(json.dumps(model))
    command = [str(python.parent / "mlserver"), "start", str(home)]
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{ports[0]}/v2/models/forest"
    for _ in range(600):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=1):
                return server, url
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    server.terminate()
    raise SystemExit((home / "server.log").read_text()[-2000:])


def audit(home: Path, attacks: str, *model: str) -> dict[str, tuple[float, float, float]]:
    """The AUC of each membership attack, with its interval."""
    from privaudit.results import Finding, from_json

    command = [sys.executable, "-m", "privaudit", "audit", *model, "--members", "members.csv"]
    command += ["--nonmembers", "heldout.csv", "--outcome", "died", "--patient", "subject_id"]
    command += ["--profile", "smoke", "--attacks", attacks, "--seed", "1", "--jobs", "1"]
    environment = {**os.environ, "PRIVAUDIT_KEY": str(home / "key"), "OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--json"], cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    print(f"  {time.perf_counter() - started:.0f} s wall; {done.stderr.splitlines()[-1]}")
    found = from_json((home / json.loads(done.stdout)["audit"]).read_text())
    return {
        one.attack: (known.value, known.low, known.high)
        for one in found.subjects[0].outcomes
        if isinstance(one, Finding)
        for known in one.estimates
        if known.metric.name == "auc" and known.low is not None and known.high is not None
    }


def main() -> None:
    """Print both audits side by side."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("python", nargs="?", type=Path)
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--attacks", default="threshold,quantile")
    given = parser.parse_args()
    if given.python is None or not (given.python.parent / "mlserver").exists():
        print("skipped: name the interpreter of an environment that holds mlserver")
        return
    import joblib
    from sklearn.ensemble import RandomForestClassifier

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "key").write_bytes(os.urandom(32))
        members, heldout = ward(given.rows, 1, 0), ward(given.rows, 2, 10**6)
        members.to_csv(home / "members.csv", index=False)
        heldout.to_csv(home / "heldout.csv", index=False)
        forest = RandomForestClassifier(60, max_depth=9, random_state=0, n_jobs=1)
        joblib.dump(forest.fit(members[NUMBERS].to_numpy(), members.died), home / "forest.joblib")
        print("from its file")
        file = ("--model", "forest.joblib", "--trust-pickle", "--estimator", "none")
        local = audit(home, given.attacks, *file, "--out", "local")
        server, url = start(given.python, home)
        try:
            print("deployed")
            remote = audit(home, given.attacks, "--model", url, "--out", "remote")
        finally:
            server.terminate()
            server.wait()
    for name, (value, low, high) in sorted(remote.items()):
        own = local[name]
        print(
            f"{name:<14} file {own[0]:.3f} ({own[1]:.3f} to {own[2]:.3f})   "
            f"deployed {value:.3f} ({low:.3f} to {high:.3f})"
        )


if __name__ == "__main__":
    main()
