"""Do our server rules give FLamby's published accuracies on its four heart-disease hospitals?

    python benchmarks/fed_heart.py DATA [--seeds 42 43 44 45 46]

DATA holds processed.{cleveland,hungarian,switzerland,va}.data (UCI Heart Disease, CC BY 4.0). The
protocol is FLamby's (Ogier du Terrail et al. 2022, NeurIPS Datasets and Benchmarks, table of
Fed-Heart-Disease): rows complete in the ten columns that all hospitals record, two of them one-hot;
a stratified 66/34 split per hospital (random_state 43); standardised by the training rows of each
hospital, or of all for pooled training and for the pooled test set; a logistic model; batches of 4;
15 rounds of 100 local steps; tau 1e-8. Metric: accuracy at 0.5 on all test rows. Exits with 1 where
a strategy is further than 0.01 from the published pooled column.

Two outputs behind a softmax are one logistic output of twice the rate, so local and server rates
and tau are halved: the difference of the two outputs then moves exactly as FLamby's single one.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.federated.kernel import Job, Plan, federate, streams
from pipelines.federated.local import Recipe
from pipelines.federated.network import Network
from pipelines.federated.server import FedAdam, FedAvg, FedYogi, Server
from privaudit.seeds import Seeds

CENTRES = ("cleveland", "hungarian", "switzerland", "va")
UNRECORDED = [10, 11, 12]
LEVELS = [2, 6]


@dataclass(frozen=True, eq=False)
class Heart:
    """Both parts of every hospital: y (n,), centre (n,), and (n, w) inputs standardised by hospital
    (own) and by all together (pooled)."""

    own: np.ndarray
    pooled: np.ndarray
    y: np.ndarray
    centre: np.ndarray
    train: np.ndarray


def read(folder: Path) -> Heart:
    """The four hospitals by FLamby's steps."""
    from sklearn.model_selection import train_test_split

    tables, centre, train = [], [], []
    for code, name in enumerate(CENTRES):
        table = pd.read_csv(folder / f"processed.{name}.data", header=None, na_values="?")
        table = table.drop(columns=UNRECORDED).dropna()
        sick = (table[13] > 0).astype(int)
        chosen, _ = train_test_split(
            np.arange(len(table)),
            train_size=0.66,
            test_size=0.34,
            random_state=43,
            shuffle=True,
            stratify=sick if sick.value_counts().min() > 2 else None,
        )
        tables.append(table)
        centre += [code] * len(table)
        train.append(np.isin(np.arange(len(table)), chosen))
    whole = pd.concat(tables, ignore_index=True)
    y = (whole[13] > 0).to_numpy().astype(np.int64)
    x = pd.get_dummies(whole.drop(columns=13), columns=LEVELS, drop_first=True).to_numpy(
        dtype=np.float64
    )
    where, learn = np.array(centre), np.concatenate(train)
    own = np.empty(x.shape, dtype=np.float32)
    for code in range(len(CENTRES)):
        here = where == code
        own[here] = standard(x[here], x[here & learn])
    return Heart(own, standard(x, x[learn]), y, where, learn)


def standard(x: np.ndarray, by: np.ndarray) -> np.ndarray:
    """x in standard deviations from the mean of `by`, float32; a constant column as FLamby has
    it."""
    return ((x - by.mean(axis=0)) / (by.std(axis=0, ddof=1) + 1e-9)).astype(np.float32)


def linear_start(width: int, seed: int) -> np.ndarray:
    """torch.nn.Linear's start of one output under FLamby's seed, shared between our two."""
    import torch

    generator, limit = torch.Generator().manual_seed(seed), width**-0.5
    one = torch.empty(1, width).uniform_(-limit, limit, generator=generator).numpy()[0]
    bias = torch.empty(1).uniform_(-limit, limit, generator=generator).numpy()
    return np.concatenate([-one / 2, one / 2, -bias / 2, bias / 2]).astype(np.float32)


def federated(heart: Heart, server: Server, rate: float, seed: int) -> np.ndarray:
    """(w + 1,) the logistic model after 15 rounds."""
    learn = np.flatnonzero(heart.train)
    own = streams(Seeds(seed).rng("fed_heart"))
    rows = tuple(np.flatnonzero(heart.centre[learn] == c) for c in range(len(CENTRES)))
    start = linear_start(heart.own.shape[1], seed)
    widths = (heart.own.shape[1], 2)
    assert Network(widths).size == len(start)
    plan = Plan(15, Recipe(steps=100, batch=4, rate=rate / 2), server, bound=None)
    job = Job(heart.own[learn], heart.y[learn], rows, start, own)
    (run,) = federate(plan, Network(widths), [job])
    w = heart.own.shape[1]
    return np.append(run.weights[w : 2 * w] - run.weights[:w], run.weights[-1] - run.weights[-2])


def adam(heart: Heart, inputs: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """(w + 1,) the logistic model after 50 epochs of Adam on these rows: pooled, or one
    hospital."""
    import torch

    rng = Seeds(seed).rng("fed_heart adam")
    start = linear_start(heart.own.shape[1], seed)
    w = heart.own.shape[1]
    weights = torch.from_numpy(np.append(2 * start[w : 2 * w], 2 * start[-1])).requires_grad_()
    step = torch.optim.Adam([weights], lr=1e-3)
    x, y = torch.from_numpy(inputs[rows]), torch.from_numpy(heart.y[rows]).float()
    for _ in range(50):
        order = torch.from_numpy(rng.permutation(len(rows)))
        for batch in order.split(4):
            logit = x[batch] @ weights[:-1] + weights[-1]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, y[batch])
            step.zero_grad()
            loss.backward()
            step.step()
    return weights.detach().numpy()


def accuracies(heart: Heart, model: np.ndarray) -> list[float]:
    """On all test rows, then hospital by hospital."""
    pooled, own = (
        ((x @ model[:-1] + model[-1] > 0) == (heart.y == 1))[~heart.train]
        for x in (heart.pooled, heart.own)
    )
    centre = heart.centre[~heart.train]
    return [float(pooled.mean()), *(float(own[centre == c].mean()) for c in range(len(CENTRES)))]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[42, 43, 44, 45, 46])
    options = parser.parse_args()
    heart = read(options.data)
    learn = np.flatnonzero(heart.train)
    print(f"{len(heart.y)} rows, {len(learn)} for training, {heart.own.shape[1]} inputs")
    half = {"beta1": 0.9, "beta2": 0.999, "tau": 1e-8 / 2}
    strategies = {
        "FedAvg": (0.748, lambda s: federated(heart, FedAvg(), 1e-3, s)),
        "FedAdam": (0.779, lambda s: federated(heart, FedAdam(1e-2 / 2, **half), 1e-2, s)),
        "FedYogi": (0.779, lambda s: federated(heart, FedYogi(1e-2 / 2, **half), 10**-2.5, s)),
        "pooled": (0.795, lambda s: adam(heart, heart.pooled, learn, s)),
        "local 0": (0.784, lambda s: adam(heart, heart.own, learn[heart.centre[learn] == 0], s)),
    }
    far = 0
    print(f"{'':9s} published   all  (sd over seeds)   by hospital")
    for name, (published, train) in strategies.items():
        found = np.array([accuracies(heart, train(seed)) for seed in options.seeds])
        mean = found.mean(axis=0)
        near = abs(mean[0] - published) <= 0.01 + 1e-9
        far += not near
        hospitals = " ".join(f"{value:.3f}" for value in mean[1:])
        print(
            f"{name:9s} {published:.3f}      {mean[0]:.3f} ({found[:, 0].std():.3f})        "
            f"{hospitals}   {'within 0.01' if near else 'NOT within 0.01'}"
        )
    return 1 if far else 0


if __name__ == "__main__":
    sys.exit(main())
