"""Seconds to read the leaves of 100,000 records in 100 trees, and what they state.

    python benchmarks/leaf_facts.py --rows 100000 --trees 100

Prints one line a library: seconds to train, to read the file, and for the whole attack.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from privaudit import stats
from privaudit.attacks.inversion.leaf_facts import LeafFacts
from privaudit.contracts import HasTrees, Release, Target
from privaudit.inputs.models.in_process import open_live
from privaudit.inputs.models.opened_model import Binding
from privaudit.records import Column, Records, Split


def make_records(rows: int) -> Records:
    """Twenty numbers, two of which tell something of the outcome."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 20)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] + 2 * rng.normal(size=rows) > 2).astype(int)
    columns = tuple(Column(f"x{i}", bounds=(-6.0, 6.0)) for i in range(20))
    who, site = np.arange(rows), np.zeros(rows, dtype=int)
    return Records(columns, x, y, who, site, classes=("0", "1"))


def make_estimators(trees: int) -> dict[str, Any]:
    from lightgbm import LGBMClassifier
    from sklearn.ensemble import RandomForestClassifier
    from xgboost import XGBClassifier

    return {
        "xgboost": XGBClassifier(n_estimators=trees, max_depth=6, n_jobs=1),
        "lightgbm": LGBMClassifier(n_estimators=trees, n_jobs=1, verbose=-1),
        "scikit-learn": RandomForestClassifier(
            trees, min_samples_leaf=20, n_jobs=1, random_state=0
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="records of either pool together")
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--only", default="", help="one library")
    given = parser.parse_args()
    split = Split.assign(make_records(given.rows), np.random.default_rng(1))
    members = split.members
    print(f"{len(split.audit):,} records tried, {given.trees} trees")
    for name, held in make_estimators(given.trees).items():
        if given.only not in ("", name):
            continue
        start = time.perf_counter()
        held.fit(members.X.astype(np.float64), members.y)
        trained = time.perf_counter()
        model = open_live(held).bind(Binding(members.columns, members.classes))
        assert isinstance(model, HasTrees)
        nodes = len(model.read_trees().left)
        read = time.perf_counter()
        found = LeafFacts().run(Target(Release(model=model), split), (), np.random.default_rng(2))
        done = time.perf_counter()
        print(
            f"{name}: trained in {trained - start:.1f} s, {nodes:,} nodes read in "
            f"{read - trained:.1f} s, attack {done - read:.1f} s"
        )
        for at, trials in found.items():
            rates = {e.metric.name: e for e in stats.trials(trials)}
            over = rates["attack_minus_guess"]
            print(
                f"  {at}: {rates['attack_rate'].value:.4f}, over the guess "
                f"{over.value:.4f} ({over.low:.4f} to {over.high:.4f})"
            )


if __name__ == "__main__":
    main()
