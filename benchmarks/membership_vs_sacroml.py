"""What does a membership audit cost, beside sacroml's LiRA with 100 shadow models?

    python benchmarks/membership_vs_sacroml.py PEER_PYTHON

PEER_PYTHON: the interpreter of a virtual environment that holds sacroml 2.0.1, xgboost and
scikit-learn. Both sides attack models of one family on one table (5,000 x 30, two classes, a tenth
of the outcomes drawn by lot), half of it trained on, on one thread each:

- XGBoost: 100 trees of depth 6, learning rate 0.3, least weight 1. sacroml: `XGBClassifier`, ours:
  `MemorisingTrees`, which is `pipelines.learners.boosted.Boosted` without early stopping (64 bins).
- MLP: one hidden layer of 64, Adam at 0.002, minibatches of 64, 40 epochs, no regularisation.
  sacroml: scikit-learn's `MLPClassifier` on standardised columns, ours: `MemorisingMLP`, which is
  `pipelines.learners.mlp.MLP` without early stopping.

sacroml runs its LiRA online with 100 shadow models, variance per record and, in a second row that
reuses nothing, global. Ours is the whole membership audit: the target, 16 refits, all five attacks,
and every estimate with its interval. Every side is a process of its own; CPU seconds are user and
system time of it and its children, imports and making the table included.
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

PEER = """
import json, sys
import numpy as np
from sacroml.attacks.likelihood_attack import LIRAAttack
from sacroml.attacks.target import Target
table, family, fixed, out = sys.argv[1:5]
data = np.load(table)
X, y, member = data["X"], data["y"], data["member"]
if family == "boosted":
    from xgboost import XGBClassifier
    model = XGBClassifier(n_estimators=100, max_depth=6, learning_rate=0.3, min_child_weight=1,
                          n_jobs=1, tree_method="hist", random_state=0)
else:
    import torch, warnings
    from sklearn.neural_network import MLPClassifier
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    X = (X - X.mean(0)) / X.std(0)
    model = MLPClassifier((64,), batch_size=64, learning_rate_init=0.002, max_iter=40, alpha=0.0,
                          tol=0.0, n_iter_no_change=1000, random_state=0)
model.fit(X[member], y[member])
target = Target(model=model, X_train=X[member], y_train=y[member],
                X_test=X[~member], y_test=y[~member])
attack = LIRAAttack(output_dir=out, write_report=False, n_shadow_models=100,
                    mode="online-carlini", fix_variance=fixed == "global")
attack.attack(target)
found = attack.attack_metrics[0]
tpr = float(np.interp(0.01, found["fpr"], found["tpr"]))
print("RESULT " + json.dumps({"auc": float(found["AUC"]), "tpr": tpr}))
"""


def make(path: Path) -> None:
    from few_shadows import table

    records = table()
    member = np.random.default_rng(5).random(len(records)) < 0.5
    np.savez(path, X=records.X, y=records.y, member=member)


def audit(path: Path, family: str) -> None:
    """Our side, in a process of its own: prints one line a number."""
    from few_shadows import MEMORISING_MLP, MEMORISING_TREES, plain

    from pipelines.methods.baseline import Baseline
    from privaudit.attacks.membership.few_shadow_lira import FewShadowLira
    from privaudit.attacks.membership.lira import Lira
    from privaudit.attacks.membership.rmia import Rmia
    from privaudit.attacks.membership.shadow import Shadow
    from privaudit.attacks.membership.threshold import Threshold
    from privaudit.contracts import Fitted, Target
    from privaudit.records import Split
    from privaudit.seeds import Seeds
    from privaudit.signals import margin
    from privaudit.stats import estimates

    seeds = Seeds(9)
    with np.load(path) as data:
        member = data["member"]
        # The attacker's pool, which no membership attack reads, is one made-up record.
        records = plain(
            np.vstack([data["X"], np.zeros((1, data["X"].shape[1]))]), np.append(data["y"], 0)
        )
    rows = np.arange(len(member))
    split = Split(
        records.take(rows[member]), records.take(rows[~member]), records.take([len(member)])
    )
    method = Baseline(MEMORISING_TREES if family == "boosted" else MEMORISING_MLP)
    target = Target(method.fit(split.members, seeds.rng("target")), split, method)
    attacks = [Threshold(), Shadow(), Lira(), Rmia(), FewShadowLira()]
    jobs = attacks[-1].refits(target, seeds)
    fitted: list[Fitted] = []
    for first in range(0, len(jobs), method.batch):
        group = jobs[first : first + method.batch]
        rngs = [seeds.rng("refit", job.name) for job in group]
        for job, release in zip(
            group, method.fit_many([job.train for job in group], rngs), strict=True
        ):
            assert release.model is not None
            proba = release.model.predict_proba(job.ask)
            fitted.append(Fitted(job.included, margin(proba, job.ask.y).astype(np.float32)))
    patients = (split.members.patient, split.nonmembers.patient)
    for attack in attacks:
        name = type(attack).__name__.lower()
        scores = attack.run(target, fitted if attack.refits(target, seeds) else (), seeds.rng(name))
        found = {
            str(e.metric): (e.value, e.low, e.high)
            for e in estimates(
                scores, patients=patients, confidence=0.95, rng=seeds.rng("estimates", name)
            )
        }
        line = {"attack": name, "auc": found["auc"], "tpr": found["tpr_at_fpr_0.01"]}
        print("RESULT " + json.dumps(line))


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
    parser.add_argument("--ours", choices=("boosted", "mlp"), help=argparse.SUPPRESS)
    parser.add_argument("--family", action="append", choices=("boosted", "mlp"))
    given = parser.parse_args()
    if given.ours:
        audit(Path(given.peer), given.ours)
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "table.npz"
        make(data)
        script = Path(folder) / "peer.py"
        script.write_text(PEER)
        for family in given.family or ("boosted", "mlp"):
            print(
                f"\n## {family}\n\n| who | CPU s | AUC (95 %) | TPR at 1 % FPR |\n|---|---|---|---|"
            )
            costs = []
            for variance in ("record", "global"):
                out = Path(folder) / f"{family}-{variance}"
                cost, (found,) = timed(
                    [given.peer, str(script), str(data), family, variance, str(out)]
                )
                costs.append(cost)
                print(
                    f"| sacroml LiRA online, {variance} variance, 100 shadows | {cost:.1f} "
                    f"| {found['auc']:.3f} | {found['tpr']:.3f} |",
                    flush=True,
                )
            ours, rows = timed([sys.executable, __file__, str(data), "--ours", family])
            print(f"| our audit: 16 shadows, 5 attacks, estimates | {ours:.1f} | | |")
            for row in rows:
                cells = [
                    "refused" if value is None else f"{value:.3f} ({low:.3f} to {high:.3f})"
                    for value, low, high in (row["auc"], row["tpr"])
                ]
                print(f"| - {row['attack']} | | {cells[0]} | {cells[1]} |")
            print(
                f"\nratio of CPU time: {min(costs) / ours:.1f} (the peer's cheaper run over ours)"
            )


if __name__ == "__main__":
    main()
