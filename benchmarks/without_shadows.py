"""How much is found of a model that nobody can train again, beside the quantile attack of sacroml?

    python benchmarks/without_shadows.py [PEER_PYTHON] [--family xgboost ...] [--targets 20]
        [--challenge FOLDER [--rows 3900]]

PEER_PYTHON: the interpreter of a virtual environment that holds sacroml 2.0.1, xgboost and
scikit-learn; without it the peer's side is left out. One table (5,000 x 30, two classes, a tenth of
the outcomes drawn at random), for each target another random half of it trained on; the four models
of `benchmarks/own_model.py`. Nothing is known of how they were trained. With --challenge the table
is in-hospital death in the PhysioNet/CinC Challenge 2012, on which no setting of an attack was
chosen; gaps are filled with its medians, since two of the models take none.

- ours: `threshold`, `quantile` and `neighbourhood`, each with the attacker's tenth of the table as
  its reference patients, judged on all others;
- the peer's `QMIAAttack` as it comes: its quantile regression is fitted on all held-out rows, and
  judged on the same rows ("as it reads itself");
- the peer's again, fitted on a half of the held-out rows, and judged on the other half and the
  members ("honest split"), its own margins from its own model;
- the loss tail of Dodd et al. 2025 (arXiv 2510.19773): of the non-members, how many are told at a
  threshold that tells 1 % of the members wrongly. It is a number of a model and no score of a
  patient: an estimate of what the likelihood ratio with shadow models would find, for nothing.

Printed: true positive rate at 1 % false positives and AUC, means over targets with 95 % intervals
(of other targets on the same table), the ratio to the threshold paired by target, and CPU seconds
of one attack on one target in one thread.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import subprocess
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from few_shadows import challenge, plain, power, table
from own_model import FAMILIES, THREADS
from sklearn.metrics import roc_auc_score

from privaudit.attacks.membership.neighbourhood import Neighbourhood
from privaudit.attacks.membership.quantile import Quantile
from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import Attack, Release, Target
from privaudit.records import Records, Split

OURS: dict[str, Attack] = {
    "threshold": Threshold(),
    "quantile": Quantile(),
    "neighbourhood": Neighbourhood(),
}

HEAD = """
import logging, sys, time, warnings
from typing import Any
import numpy as np
warnings.simplefilter("ignore")
"""
PEER = """
from sacroml.attacks import utils
from sacroml.attacks.qmia_attack import QMIAAttack
from sacroml.attacks.target import Target
logging.disable(logging.CRITICAL)
place, family, out, seed = sys.argv[1:5]
data = np.load(place)
X, y, members, others = data["X"], data["y"], data["members"], data["others"]
model = fit_model(family, X[members], y[members], int(seed))

def attack(learn):
    target = Target(model=model, X_train=X[members], y_train=y[members],
                    X_test=X[learn], y_test=y[learn])
    made = QMIAAttack(output_dir=out, write_report=False, report_individual=True)
    start = time.process_time()
    made.attack(target)
    return made, time.process_time() - start

whole, cpu = attack(others)
own = np.array(whole.attack_metrics[0]["individual"]["margin"])
half = np.random.default_rng(int(seed)).permutation(len(others)) % 2 == 0
honest, _ = attack(others[half])
rest = others[~half]
judged = np.concatenate([members, rest])
proba = model.predict_proba(X[judged])
scores = utils.qmia_hinge_score(proba, y[judged])
margins = scores - honest.quantile_model.predict(np.column_stack([X[judged], y[judged]]))
np.savez(out + "/found.npz", own=own, members=len(members), honest=margins, cpu=cpu)
"""


@dataclass(frozen=True, eq=False)
class Asked:
    """A model of scikit-learn's kind, asked about records."""

    model: Any

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, 2): see `privaudit.contracts.Model`."""
        return np.asarray(self.model.predict_proba(records.X.astype(np.float64)))


def fit_model(family: str, X: np.ndarray, y: np.ndarray, seed: int) -> Any:
    """The models of `benchmarks/own_model.py`."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model: Any
    if family == "xgboost":
        from xgboost import XGBClassifier

        model = XGBClassifier(
            n_estimators=100,
            max_depth=6,
            learning_rate=0.3,
            n_jobs=1,
            tree_method="hist",
            random_state=seed,
        )
    elif family == "forest":
        from sklearn.ensemble import RandomForestClassifier

        model = RandomForestClassifier(100, n_jobs=1, random_state=seed)
    elif family == "mlp":
        net = MLPClassifier(
            (64,),
            batch_size=64,
            learning_rate_init=0.002,
            max_iter=40,
            alpha=0.0,
            tol=0.0,
            n_iter_no_change=1000,
            random_state=seed,
        )
        model = make_pipeline(StandardScaler(), net)
    else:
        model = LogisticRegression(max_iter=1000)
    with warnings.catch_warnings(action="ignore"):
        return model.fit(X, y)


Row = tuple[float, float, float]
"""True positive rate at 1 % false positives, AUC, CPU seconds."""


def rate(scores: np.ndarray, member: np.ndarray, cpu: float) -> Row:
    return power(scores, member), float(roc_auc_score(member, scores)), cpu


def attack_ours(family: str, records: Records, seed: int) -> tuple[dict[str, Row], Split]:
    split = Split.assign(records, np.random.default_rng([27, seed]), reference=0.1)
    X = split.members.X.astype(np.float64)
    target = Target(Release(model=Asked(fit_model(family, X, split.members.y, seed))), split)
    found = {}
    for name, attack in OURS.items():
        start = time.process_time()
        evidence: Any = attack.run(target, (), np.random.default_rng([28, seed]))
        cpu = time.process_time() - start
        scores = np.concatenate([evidence.members, evidence.nonmembers])
        found[name] = rate(scores, split.is_member, cpu)
    # Told as no member, at 1 % of the members told so wrongly: the loss attack from its other end.
    found["loss tail (no score)"] = (power(-target.margins, ~split.is_member), np.nan, 0.0)
    return found, split


def attack_peer(peer: str, family: str, split: Split, seed: int, scratch: Path) -> dict[str, Row]:
    audit = split.audit
    place, out = scratch / "table.npz", scratch / "peer"
    out.mkdir(exist_ok=True)
    rows = np.arange(len(audit))
    np.savez(
        place,
        X=audit.X.astype(np.float64),
        y=audit.y,
        members=rows[split.is_member],
        others=rows[~split.is_member],
    )
    script = f"{HEAD}\n{inspect.getsource(fit_model)}\n{PEER}"
    done = subprocess.run(
        [peer, "-c", script, str(place), family, str(out), str(seed)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **THREADS},
    )
    if done.returncode:
        raise SystemExit(f"the peer ended with {done.returncode}:\n{done.stderr[-2000:]}")
    with np.load(out / "found.npz") as found:
        count, cpu = int(found["members"]), float(found["cpu"])
        own, honest = found["own"], found["honest"]
    return {
        "sacroml QMIA, as it reads itself": rate(own, np.arange(len(own)) < count, cpu),
        "sacroml QMIA, honest split": rate(honest, np.arange(len(honest)) < count, cpu),
    }


def show(family: str, rows: dict[str, list[Row]]) -> None:
    from scipy.stats import t

    print(f"\n## {family}: {len(rows['threshold'])} targets\n")
    print("| attack | TPR at 1 % FPR, percent | ratio to threshold | AUC | CPU s |")
    print("|---|---|---|---|---|")
    base = np.array(rows["threshold"])[:, 0]
    for name, values in rows.items():
        made = np.array(values)
        n = len(made)
        wide = t.ppf(0.975, n - 1) / np.sqrt(n) if n > 1 else np.nan
        mean, half = 100 * made[:, 0].mean(), 100 * made[:, 0].std(ddof=1) * wide
        ratio = made[:, 0].mean() / base.mean()
        off = np.std(made[:, 0] - ratio * base, ddof=1) / base.mean() * wide
        area = "-" if np.isnan(made[:, 1]).all() else f"{made[:, 1].mean():.3f}"
        print(
            f"| {name} | {mean:.2f} ({mean - half:.2f} to {mean + half:.2f}) "
            f"| {ratio:.2f} ({ratio - off:.2f} to {ratio + off:.2f}) "
            f"| {area} | {made[:, 2].mean():.2f} |",
            flush=True,
        )


def challenge_2012(folder: Path, rows: int) -> Records:
    """Stays of one a patient, gaps filled, at most so many."""
    found = challenge(folder)()
    own = np.random.default_rng(26).permutation(len(found))[:rows]
    X = found.X[own].astype(np.float64)
    middle = np.nan_to_num(np.nanmedian(X, axis=0))
    return plain(np.where(np.isnan(X), middle, X).astype(np.float32), found.y[own])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("peer", nargs="?", help="python of an environment with sacroml 2.0.1")
    parser.add_argument("--family", action="append", choices=FAMILIES)
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--store", type=Path, help="a JSON file for all rows")
    parser.add_argument("--challenge", type=Path, help="the folder of Challenge 2012")
    parser.add_argument("--rows", type=int, default=3900)
    given = parser.parse_args()
    os.environ.update(THREADS)
    records = challenge_2012(given.challenge, given.rows) if given.challenge else table()
    stored: dict[str, dict[str, list[Row]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for family in given.family or FAMILIES:
            rows: dict[str, list[Row]] = {}
            for seed in range(given.targets):
                found, split = attack_ours(family, records, seed)
                if given.peer:
                    found |= attack_peer(given.peer, family, split, seed, Path(scratch))
                for name, row in found.items():
                    rows.setdefault(name, []).append(row)
            show(family, rows)
            stored[family] = rows
    if given.store:
        given.store.write_text(json.dumps(stored), encoding="utf-8")


if __name__ == "__main__":
    main()
