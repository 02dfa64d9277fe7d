"""A federated LSTM beside the same network in one place, and beside networks of summary columns.

AUROC on the half of the patients that was not trained on, over several halves, and CPU seconds.

    python benchmarks/federated_lstm.py                       # the embedded demo
    python benchmarks/federated_lstm.py --data challenge-2012 # PhysioNet/CinC Challenge 2012, set A
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from pipelines.federated.front import LSTM
from pipelines.federated.server import FedAdam
from pipelines.learners import lstm, mlp
from pipelines.methods.federated import Federated
from pipelines.methods.federated_private import FederatedPrivate
from pipelines.tasks.mortality import Mortality
from privaudit.records import Records
from privaudit.seeds import Seeds

WAYS: dict[str, Any] = {
    "mlp, one place": mlp.MLP(),
    "lstm, one place": lstm.LSTM(),
    "federated, summary columns": Federated(),
    "federated, LSTM": Federated(front=LSTM()),
    "federated, LSTM, rate .3": Federated(front=LSTM(), rate=0.3),
    "federated, LSTM, FedAdam": Federated(front=LSTM(), server=FedAdam()),
    "federated, LSTM, FedAdam, pool 2": Federated(front=LSTM(pool=2), server=FedAdam()),
    "private (epsilon 8), summary columns": FederatedPrivate(epsilon=8.0),
    "private (epsilon 8), LSTM": FederatedPrivate(epsilon=8.0, front=LSTM(8)),
}


def halve(records: Records, rng: np.random.Generator) -> tuple[Records, Records]:
    """The records of one half of the patients, and of the other."""
    ids = rng.permutation(np.unique(records.patient))
    first = np.isin(records.patient, ids[: len(ids) // 2])
    return records.take(first), records.take(~first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--halves", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        records = Mortality().prepare(asked.data, Path(cache), lambda *_: None).records
    print(f"{len(records)} rows, {len(np.unique(records.site))} sites, {asked.halves} halves")
    for name, way in WAYS.items():
        found, begin = [], time.process_time()
        for k in range(asked.halves):
            seeds = Seeds(k)
            members, others = halve(records, seeds.rng("halves"))
            made = way.fit(members, seeds.rng("fit"))
            model = getattr(made, "model", made)
            found.append(roc_auc_score(others.y, model.predict_proba(others)[:, 1]))
        spent = (time.process_time() - begin) / asked.halves
        low, high = min(found), max(found)
        print(f"{name:38s} {np.mean(found):.3f} ({low:.3f} to {high:.3f}) {spent:5.1f} s")


if __name__ == "__main__":
    main()
