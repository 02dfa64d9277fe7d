"""What does it cost to audit a user-supplied model, beside sacroml's LiRA and ART?

    python benchmarks/own_model.py PEER_PYTHON [--family xgboost ...]

PEER_PYTHON: the interpreter of a virtual environment that holds sacroml 2.0.1, xgboost and
scikit-learn. One table (5,000 x 30, two classes, a tenth of the outcomes drawn at random), half of
it trained on; four models as a user fits them: `XGBClassifier` (100 trees),
`RandomForestClassifier` (100 trees), `MLPClassifier` (one layer of 64, 40 epochs, no
regularisation) and `LogisticRegression`. Each side fits the same model itself, on one thread, in a
process of its own:

- ours: `privaudit.audit(model, members=, nonmembers=)`, once with the attack `few_shadow_lira`
  alone and 8 models trained again, once with all five membership attacks and 16; checks, controls
  and intervals included;
- sacroml: LiRA online with 100 shadow models, variance per record;
- ART: `MembershipInferenceBlackBox` (a random forest on answers and outcomes), which is given half
  of members and non-members to learn from and judged on the other half.

CPU seconds are user and system time of the process and its children, less those of a process that
only imports, makes the table and fits the model, which a user has done before any audit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
FAMILIES = ("xgboost", "forest", "mlp", "logistic")

FIT = """
import json, sys, warnings
import numpy as np
warnings.simplefilter("ignore")
table, family, out, size = sys.argv[1:5]
data = np.load(table)
X, y, member = data["X"].astype(np.float64), data["y"], data["member"]
if family == "xgboost":
    from xgboost import XGBClassifier
    model = XGBClassifier(n_estimators=100, max_depth=6, learning_rate=0.3, n_jobs=1,
                          tree_method="hist", random_state=0)
elif family == "forest":
    from sklearn.ensemble import RandomForestClassifier
    model = RandomForestClassifier(100, n_jobs=1, random_state=0)
elif family == "mlp":
    from sklearn.neural_network import MLPClassifier
    X = (X - X.mean(0)) / X.std(0)
    model = MLPClassifier((64,), batch_size=64, learning_rate_init=0.002, max_iter=40, alpha=0.0,
                          tol=0.0, n_iter_no_change=1000, random_state=0)
else:
    from sklearn.linear_model import LogisticRegression
    model = LogisticRegression(max_iter=1000)
inside, held = (X[member], y[member]), (X[~member], y[~member])
model.fit(*inside)
"""

OURS = """
import privaudit
profile, *attacks = size.split("+")
found = privaudit.audit(model, members=inside, nonmembers=held, profile=profile, jobs=1,
                        attacks=attacks)
auc, tpr = found.estimate("auc"), found.estimate("tpr_at_fpr_0.01")
print("RESULT " + json.dumps({"auc": auc.value, "low": auc.low, "high": auc.high, "tpr": tpr.value,
                              "attack": found.headline.attack}))
"""

SACROML = """
from sacroml.attacks.likelihood_attack import LIRAAttack
from sacroml.attacks.target import Target
target = Target(model=model, X_train=inside[0], y_train=inside[1], X_test=held[0], y_test=held[1])
attack = LIRAAttack(output_dir=out, write_report=False, n_shadow_models=100, mode="online-carlini",
                    fix_variance=False)
attack.attack(target)
found = attack.attack_metrics[0]
print("RESULT " + json.dumps({"auc": float(found["AUC"]),
                              "tpr": float(np.interp(0.01, found["fpr"], found["tpr"])),
                              "attack": "lira 100"}))
"""

ART = """
from art.attacks.inference.membership_inference import MembershipInferenceBlackBox
from art.estimators.classification.scikitlearn import ScikitlearnClassifier
from art.estimators.classification import XGBoostClassifier
from sklearn.metrics import roc_auc_score, roc_curve
wrapped = (XGBoostClassifier(model=model, nb_features=X.shape[1], nb_classes=2)
           if family == "xgboost" else ScikitlearnClassifier(model))
attack = MembershipInferenceBlackBox(wrapped, attack_model_type="rf")
a, b = len(inside[0]) // 2, len(held[0]) // 2
attack.fit(inside[0][:a], inside[1][:a], held[0][:b], held[1][:b])
score = np.concatenate([attack.infer(X_, y_, probabilities=True).ravel()
                        for X_, y_ in ((inside[0][a:], inside[1][a:]), (held[0][b:], held[1][b:]))])
truth = np.r_[np.ones(len(inside[0]) - a), np.zeros(len(held[0]) - b)]
fpr, tpr, _ = roc_curve(truth, score)
print("RESULT " + json.dumps({"auc": float(roc_auc_score(truth, score)),
                              "tpr": float(np.interp(0.01, fpr, tpr)), "attack": "black box"}))
"""

ONE, ALL = "ours, few_shadow_lira", "ours, all five"
SIDES = {
    ONE: (OURS, "smoke+few_shadow_lira"),
    ALL: (OURS, "standard+threshold+shadow+lira+rmia+few_shadow_lira"),
    "sacroml": (SACROML, "-"),
    "ART": (ART, "-"),
}


def make(path: Path) -> None:
    from few_shadows import table

    records = table()
    member = np.random.default_rng(5).random(len(records)) < 0.5
    np.savez(path, X=records.X, y=records.y, member=member)


def timed(command: list[str]) -> tuple[float, list[dict]]:
    """CPU seconds of a process and its children, and the results it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **THREADS}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    lines = [line[7:] for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    return seconds, [json.loads(line) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("peer", help="python of an environment with sacroml 2.0.1")
    parser.add_argument("--family", action="append", choices=FAMILIES)
    parser.add_argument("--side", action="append", choices=tuple(SIDES))
    given = parser.parse_args()
    print(f"{'model':10} {'side':16} {'CPU s':>7} {'AUC':>22} {'TPR at 1 % FPR':>15}  attack")
    with tempfile.TemporaryDirectory() as scratch:
        table = Path(scratch) / "table.npz"
        make(table)
        for family in given.family or FAMILIES:
            spent: dict[str, float] = {}
            for side in given.side or SIDES:
                script, size = SIDES[side]
                python = given.peer if side == "sacroml" else sys.executable
                # sacroml goes on from shadow models that it finds in its folder, whatever they are
                # of.
                place = Path(scratch) / f"{family}-{side}".replace(" ", "-").replace(",", "")
                words = [str(table), family, str(place), size]
                idle, _ = timed([python, "-c", FIT, *words])
                total, (found,) = timed([python, "-c", FIT + script, *words])
                spent[side] = total - idle
                band = f" ({found['low']:.3f}-{found['high']:.3f})" if "low" in found else ""
                tpr = "not stated" if found["tpr"] is None else f"{found['tpr']:.1%}"
                print(
                    f"{family:10} {side:16} {spent[side]:7.1f} {found['auc']:.3f}{band:16} "
                    f"{tpr:>15}  "
                    f"{found['attack']}",
                    flush=True,
                )
            for side in (ONE, ALL):
                if side in spent and "sacroml" in spent:
                    print(
                        f"{'':10} sacroml costs {spent['sacroml'] / spent[side]:.1f} times {side}"
                    )


if __name__ == "__main__":
    main()
