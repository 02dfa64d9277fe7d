"""The peers of `table_attacks.py`: two rebuilt from published code, anonymeter as it comes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

import numpy as np

from privaudit.contracts import Scores, Target


def encode(target: Target) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Audit, table and reference as the peer's preprocessor makes them, scaled by the table."""
    parts = target.split.audit, target.release.table, target.split.reference
    out: list[list[np.ndarray]] = [[], [], []]
    for j, column in enumerate(target.split.members.columns):
        values = [p.X[:, j].astype(np.float64) for p in parts if p is not None]
        if column.kind == "category":
            for level in range(len(column.levels)):
                for part, v in zip(out, values, strict=True):
                    part.append((v == level).astype(np.float64))
            continue
        seen = values[1][np.isfinite(values[1])]
        centre, spread = (seen.mean(), seen.std()) if len(seen) else (0.0, 1.0)
        for part, v in zip(out, values, strict=True):
            part.append(np.where(np.isnan(v), 0.0, (v - centre) / (spread or 1.0)))
    a, b, c = (np.stack(part, axis=1) for part in out)
    return a, b, c


def log_kernels(asked: np.ndarray, known: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """(n, m) log Gaussian kernels with the covariance that scipy's density of `fitted` has."""
    n, d = fitted.shape
    factor = (n * (d + 2) / 4.0) ** (-1.0 / (d + 4))
    # Where columns repeat each other scipy refuses; a thousandth of the variance is added.
    covariance = np.cov(fitted.T) + 1e-3 * np.eye(d)
    root = np.linalg.inv(np.linalg.cholesky(covariance * factor**2))
    a, b = asked @ root.T, known @ root.T
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2.0 * a @ b.T
    return -0.5 * np.maximum(squares, 0.0) + np.log(np.abs(np.diag(root))).sum()


def gaussian_domias(target: Target) -> Scores:
    asked, table, own = encode(target)
    dense, usual = (
        np.logaddexp.reduce(log_kernels(asked, part, part), axis=1) - np.log(len(part))
        for part in (table, own)
    )
    return as_scores(dense - usual, target)


def gaussian_gen_lra(target: Target) -> Scores:
    asked, table, own = encode(target)
    known = np.logaddexp.reduce(log_kernels(table, own, own), axis=1)
    gain = log_kernels(asked, table, own) - known
    away = (asked**2).sum(axis=1)[:, None] + (table**2).sum(axis=1) - 2.0 * asked @ table.T
    near = np.argpartition(away, min(200, len(table) - 1), axis=1)[:, :200]
    ratio = np.logaddexp(0.0, np.take_along_axis(gain, near, axis=1)).sum(axis=1)
    return as_scores(ratio, target)


def as_scores(scores: np.ndarray, target: Target) -> Scores:
    inside = target.split.is_member
    return Scores(scores[inside], scores[~inside])


ANONYMETER = """
import json, sys
import numpy as np, pandas as pd
from anonymeter.evaluators import InferenceEvaluator, LinkabilityEvaluator, SinglingOutEvaluator
folder, seed = sys.argv[1], int(sys.argv[2])
np.random.seed(seed)
kept = np.load(folder + "/tables.npz")
words = kept["words"]
def read(name):
    x = kept[name]
    return pd.DataFrame({
        f"c{j}": np.array([f"l{v:g}" for v in x[:, j]], dtype=object) if words[j] else x[:, j]
        for j in range(x.shape[1])
    })
real, control, synthetic = (read(n) for n in ("members", "others", "table"))
names, n = list(real.columns), min(500, len(real), len(control))
found = {}
def rates(name, one):
    found[name] = [one._n_success / n, one._n_control / n]
for mode in ("univariate", "multivariate"):
    one = SinglingOutEvaluator(real, synthetic, n_attacks=n, n_cols=3, control=control,
                               max_attempts=20000, seed=seed)
    rates("singling out, " + mode, one.evaluate(mode=mode))
links = LinkabilityEvaluator(real, synthetic, aux_cols=(names[:-1:2], names[1:-1:2]), n_attacks=n,
                             control=control).evaluate(n_jobs=1)
found["linkability"] = [links._attack_links.count_links(1) / n,
                        links._control_links.count_links(1) / n]
rates("inference of the outcome", InferenceEvaluator(
    real, synthetic, aux_cols=names[:-1], secret=names[-1], regression=False, n_attacks=n,
    control=control).evaluate(n_jobs=1))
print(json.dumps(found))
"""


def anonymeter(python: str, target: Target, seed: int) -> dict[str, list[float]]:
    """Of each risk that anonymeter measures, the rates of attack and of control."""
    table = target.release.table
    assert table is not None
    parts = {"members": target.split.members, "others": target.split.nonmembers, "table": table}
    words = [column.kind == "category" for column in table.columns]
    filled = {}
    for name, part in parts.items():
        x = np.column_stack([part.X.astype(np.float64), part.y])
        middle = np.nan_to_num(np.nanmean(x, axis=0))
        filled[name] = np.where(np.isnan(x), middle, x)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/tables.npz", words=np.array([*words, True]), **filled)
        done = subprocess.run(
            [python, "-c", ANONYMETER, folder, str(seed)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **threads, "PYTHONWARNINGS": "ignore"},
        )
    if done.returncode:
        sys.exit(f"the peer failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))
