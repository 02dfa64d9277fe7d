"""Is a patient with several encounters one unit? Two models of uci-diabetes130.

    python benchmarks/diabetes.py [--data DIR] [--jobs 2]

101,766 encounters of 71,518 patients (Strack et al. 2014). Half of the patients, drawn at random,
are trained on; the rest are held out. Readmission within 30 days is the outcome. Both models are
audited from files as `privaudit audit` does, with `patient_nbr` as the unit and the models trained
again. Printed: seconds, memory, the headline, and the note that sets record-level beside
patient-level answers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

TEXTS = ["race", "gender", "age", "insulin", "change", "diabetesMed", "max_glu_serum", "A1Cresult"]
NUMBERS = [
    "time_in_hospital",
    "num_lab_procedures",
    "num_procedures",
    "num_medications",
    "number_outpatient",
    "number_emergency",
    "number_inpatient",
    "number_diagnoses",
]

RECIPES = """
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from xgboost import XGBClassifier

TEXTS, NUMBERS = {texts!r}, {numbers!r}


def xgboost():
    return XGBClassifier(n_estimators=200, max_depth=6, learning_rate=0.2, n_jobs=1)


def logistic():
    return make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), TEXTS), (StandardScaler(), NUMBERS)
        ),
        LogisticRegression(max_iter=500),
    )
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    usual = Path(
        os.environ.get("PRIVAUDIT_DATA", Path(__file__).parents[1].parent / "shared" / "data")
    )
    parser.add_argument("--data", type=Path, default=usual)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    frame = pd.read_parquet(given.data / "uci-diabetes130" / "diabetic_data.parquet")
    frame = frame.assign(readmitted=(frame.readmitted == "<30").astype(int))
    frame = frame.replace("?", np.nan)
    frame[NUMBERS] = frame[NUMBERS].apply(pd.to_numeric)
    frame = frame[["patient_nbr", *TEXTS, *NUMBERS, "readmitted"]]
    patients = frame.patient_nbr.unique()
    inside = frame.patient_nbr.isin(patients[np.random.default_rng(0).random(len(patients)) < 0.5])
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        (home / "recipes.py").write_text(RECIPES.format(texts=TEXTS, numbers=NUMBERS))
        sys.path.insert(0, scratch)
        frame[inside].to_parquet(home / "members.parquet")
        frame[~inside].to_parquet(home / "heldout.parquet")
        whole = 0.0
        for name in ("xgboost", "logistic"):
            model = fit(home, name, frame[inside])
            start = time.perf_counter()
            audit = ask(home, name, model, given.jobs)
            seconds = time.perf_counter() - start
            whole += seconds
            print_numbers(name, seconds, audit)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        print(
            f"both audits: {whole:.0f} s on {given.jobs} processes, {peak:.1f} GB at most in one "
            "process"
        )


def fit(home: Path, name: str, members: pd.DataFrame) -> str:
    """The user's own model, saved; XGBoost reads one-hot columns, the pipeline the frame itself."""
    import skops.io
    from recipes import logistic, xgboost

    if name == "xgboost":
        X = pd.get_dummies(members[TEXTS + NUMBERS]).astype(float)
        # XGBoost allows no brackets and no < in the names of features.
        X.columns = [c.replace("[", "(").replace("]", ")").replace("<", "lt ") for c in X.columns]
        xgboost().fit(X, members.readmitted).save_model(home / "xgboost.json")
        return "xgboost.json"
    skops.io.dump(
        logistic().fit(members[TEXTS + NUMBERS], members.readmitted), home / "logistic.skops"
    )
    return "logistic.skops"


def ask(home: Path, name: str, model: str, jobs: int) -> dict:
    command = [
        sys.executable,
        "-m",
        "privaudit.cli",
        "audit",
        "--model",
        model,
        "--members",
        "members.parquet",
        "--nonmembers",
        "heldout.parquet",
        "--target",
        "readmitted",
        "--patient",
        "patient_nbr",
        "--groups",
        "gender,race",
        "--jobs",
        str(jobs),
        "--json",
        "--exact-counts",
        "--attacks",
        "membership",
        "--sample",
        "20000",
        "--out",
        f"runs-{name}",
        *(["--estimator", "recipes:xgboost"] if name == "xgboost" else []),
    ]
    done = subprocess.run(
        command,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr[-3000:])
    return json.loads((home / json.loads(done.stdout)["audit"]).read_text())


def print_numbers(name: str, seconds: float, audit: dict) -> None:
    (one,) = audit["subjects"]
    best = one["headline"]
    numbers = {key(e["metric"]): e for e in best["estimates"]}
    print(f"{name}: {seconds:.0f} s")
    for metric in ("auc", "tpr_at_fpr_0.01"):
        estimate = numbers[metric]
        value, low, high = estimate["value"], estimate["low"], estimate["high"]
        text = "not stated" if value is None else f"{value:.4f} ({low:.4f} to {high:.4f})"
        print(f"  {best['attack']} {metric}: {text}")
    for caveat in audit["caveats"]:
        print(f"  {caveat['code']}: {caveat['params']}")


def key(metric: dict) -> str:
    """The metric's name and the false positive rate it is read at."""
    return (
        metric["name"]
        if metric.get("fpr") is None
        else f"{metric['name']}_at_fpr_{metric['fpr']:g}"
    )


if __name__ == "__main__":
    main()
