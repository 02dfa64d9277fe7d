"""Training records rebuilt from forests, beside the published numbers of DRAFT.

    python benchmarks/draft.py --data adult.data --rows 100 --trees 100 --seconds 600
    python benchmarks/draft.py --data adult.data --bagging --seconds 3600

Ferry et al. 2024 (arXiv 2402.19232) publish, for UCI Adult in 20 binary columns, 100 rows and 100
trees of full depth: without bagging an error of .000 in 196 s, with bagging .117 in 12,462 s, a
random table .253; on 16 threads of another machine. Their table is made binary by hand and not
described in full: here numbers are cut at their medians and categories of few levels are one-hot,
so that columns are near theirs and not the same. The error is the mean share of cells that differ
after the pairing of rows in which fewest do.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import pandas as pd

from privaudit.attacks.inversion._rebuild import measure_error, rebuild
from privaudit.inputs.models.trees_of_scikit_learn import join_trees, read_estimator
from privaudit.trees import Trees

NAMES = (
    *("age", "workclass", "fnlwgt", "education", "education_num", "marital", "occupation"),
    *("relationship", "race", "sex", "gain", "loss", "hours", "country", "income"),
)


def read_adult(path: str) -> tuple[np.ndarray, np.ndarray]:
    """(n, 20) zeros and ones, (n,) whether the income is large."""
    table = pd.read_csv(path, names=NAMES, skipinitialspace=True)
    made: dict[str, Any] = {
        "age": table["age"] > table["age"].median(),
        "education": table["education_num"] > table["education_num"].median(),
        "bachelor": table["education_num"] >= 13,
        "gain": table["gain"] > 0,
        "loss": table["loss"] > 0,
        "hours": table["hours"] > 40,
        "part time": table["hours"] < 35,
        "sex": table["sex"] == "Male",
        "white": table["race"] == "White",
        "black": table["race"] == "Black",
        "native": table["country"] == "United-States",
        "private": table["workclass"] == "Private",
        "public": table["workclass"].str.contains("gov"),
        "self": table["workclass"].str.startswith("Self"),
    }
    for level in ("Married-civ-spouse", "Never-married", "Divorced"):
        made[level] = table["marital"] == level
    for level in ("Craft-repair", "Prof-specialty", "Exec-managerial"):
        made[level] = table["occupation"] == level
    x = pd.DataFrame(made).to_numpy(dtype=np.float64)
    return x, (table["income"].str.startswith(">")).to_numpy(dtype=int)


def grow(x: np.ndarray, y: np.ndarray, given: argparse.Namespace, seed: int) -> Trees:
    """A forest, of full depth where none is asked for."""
    from sklearn.ensemble import RandomForestClassifier

    held = RandomForestClassifier(
        given.trees, max_depth=given.depth or None, bootstrap=given.bagging, random_state=seed
    )
    return join_trees(read_estimator(held.fit(x, y)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="adult.data of UCI Adult")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--depth", type=int, default=0, help="0 for full depth")
    parser.add_argument("--bagging", action="store_true")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    x, y = read_adult(given.data)
    for seed in range(given.seeds):
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(x))[: given.rows]
        own, outcome = x[rows], y[rows]
        trees = grow(own, outcome, given, seed)
        start = time.perf_counter()
        found = rebuild(trees, given.seconds, given.workers, seed)
        spent = time.perf_counter() - start
        random = np.mean([measure_error(rng.integers(0, 2, own.shape), own) for _ in range(10)])
        other = x[rng.permutation(len(x))[: given.rows]]
        text = f"seed {seed}: {found.state} in {spent:.1f} s"
        if found.low is not None:
            text += f", error {measure_error((found.low > 0).astype(float), own):.3f}"
        print(f"{text} (random table {random:.3f}, other people {measure_error(other, own):.3f})")


if __name__ == "__main__":
    main()
