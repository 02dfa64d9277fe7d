"""CPU seconds of refits: batched networks against scikit-learn's, and a whole audit's worth.

    OMP_NUM_THREADS=1 python benchmarks/learner_speed.py [--models 16] [--repeats 3]

A table of 5,000 x 30 (two Gaussian classes, ten informative columns, 10 % of labels flipped), of
which every model is trained on a half. Prints, as the median over repeats that alternate between
the two: K networks trained as one program against K x scikit-learn's MLPClassifier of the same
hidden width, minibatch and number of epochs, neither with dropout nor with early stopping; then
what the target and K refits cost with the families' own defaults.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import sklearn
import torch
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from pipelines.learners.boosted import Boosted
from pipelines.learners.logreg import LogReg
from pipelines.learners.mlp import MLP
from privaudit.contracts import Learner, Model
from privaudit.records import Column, Records
from privaudit.seeds import Seeds


def table(n: int, d: int) -> Records:
    X, y = make_classification(
        n, d, n_informative=10, n_redundant=5, flip_y=0.1, class_sep=0.7, random_state=0
    )
    columns = tuple(Column(f"c{j}") for j in range(d))
    return Records(columns, X, y, patient=np.arange(n), site=np.zeros(n))


def cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def refit(learner: Learner, tables: list[Records]) -> list[Model]:
    """The tables in runs of the family's own batch, as the engine cuts them."""
    streams = [Seeds(1).rng("refit", k) for k in range(len(tables))]
    size = learner.batch
    cuts = range(0, len(tables), size)
    return [m for i in cuts for m in learner.fit_many(tables[i : i + size], streams[i : i + size])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    given = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(1)

    records = table(5000, 30)
    orders = [Seeds(2).rng("half", k).permutation(5000) for k in range(given.models)]
    halves = [records.take(order[:2500]) for order in orders]
    rests = [records.take(order[2500:]) for order in orders]
    ours = MLP(epochs=given.epochs, held_out=0, patience=given.epochs, rows=64, dropout=0.0)
    print(f"torch {torch.__version__}, scikit-learn {sklearn.__version__}, one thread, CPU seconds")

    def peers() -> list[MLPClassifier]:
        return [
            MLPClassifier(
                ours.hidden,
                batch_size=ours.rows,
                max_iter=given.epochs,
                n_iter_no_change=1000,
                learning_rate_init=ours.rate,
                random_state=k,
            ).fit(half.X, half.y)
            for k, half in enumerate(halves)
        ]

    refit(MLP(epochs=1), halves[:1])  # imports, not training
    took: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(given.repeats):
        with threadpool_limits(1):
            took["peer"].append(cpu(peers))
        took["ours"].append(cpu(lambda: refit(ours, halves)))
    with threadpool_limits(1):
        theirs = [
            roc_auc_score(r.y, m.predict_proba(r.X)[:, 1])
            for m, r in zip(peers(), rests, strict=True)
        ]
    own = [
        roc_auc_score(r.y, m.predict_proba(r)[:, 1])
        for m, r in zip(refit(ours, halves), rests, strict=True)
    ]
    middle = {name: statistics.median(seconds) for name, seconds in took.items()}
    print(
        f"{given.models} networks, hidden {ours.hidden}, {given.epochs} epochs of 2,500 x 30: "
        f"scikit-learn {middle['peer']:.2f} (AUROC {np.mean(theirs):.3f}), "
        f"one program {middle['ours']:.2f} (AUROC {np.mean(own):.3f}), "
        f"ratio {middle['peer'] / middle['ours']:.2f}"
    )
    for size in (1, 4, 8, 16):
        some = halves[:size]
        alone = statistics.median(
            cpu(lambda some=some: ours.fit_many(some, [Seeds(1).rng(k) for k in range(len(some))]))
            for _ in range(given.repeats)
        )
        print(f"  {size:2d} in one program: {alone / size:.3f} a network")

    print(f"target + {given.models} refits on halves, defaults:")
    for learner in (LogReg(), MLP(), Boosted()):
        refit(learner, halves[:1])
        every = [*halves, halves[0]]
        seconds = statistics.median(
            cpu(lambda family=learner, every=every: refit(family, every))
            for _ in range(given.repeats)
        )
        scores = [
            roc_auc_score(r.y, m.predict_proba(r)[:, 1])
            for m, r in zip(refit(learner, halves), rests, strict=True)
        ]
        print(f"  {type(learner).__name__:8s} {seconds:5.2f} s, AUROC {np.mean(scores):.3f}")


if __name__ == "__main__":
    main()
