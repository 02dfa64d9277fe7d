"""What does a hospital gain by federating? Local-only, federated and pooled on Challenge 2012.

    python benchmarks/hospitals.py DATA [--splits 5] [--cache FOLDER]

DATA is a folder with set-a.tar.gz and Outcomes-a.txt. Two sets of hospitals: the four kinds of ICU,
and ten made-up ones with Dirichlet 0.1 shares of each outcome. Every way of training sees the
members of each split and is graded on the same non-members. "Any patient": each hospital's model on
all of them, averaged over hospitals (AUROC, and balanced accuracy with the decision at the members'
prevalence). "Own patients": each at its own hospital, for ICU types alone, since a hospital made by
outcome gives the outcome away. All three train the same
network (the public encoding, one hidden layer, plain gradient descent): local-only is a federation
of one, pooled a federation of one that holds everything. Means over the splits with 95 % intervals
by bootstrap over patients, paired between ways of training and splits.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.federated.encode import PublicEncoding
from pipelines.federated.kernel import Job, Plan, federate, streams
from pipelines.federated.local import Recipe
from pipelines.federated.network import FlatModel, Network
from pipelines.federated.sites import Dirichlet
from pipelines.methods.federated import Federated
from pipelines.tasks.mortality import Mortality
from privaudit.records import Records, Split
from privaudit.seeds import Seeds

WAYS = ("local only", "federated", "pooled")


def train(members: Records, rng: np.random.Generator) -> dict[str, dict[int, FlatModel]]:
    """For each way, the model that answers each hospital's patients."""
    method = Federated()
    encoding = PublicEncoding(members.columns)
    widths = (encoding.width, method.hidden, len(members.classes))
    x = encoding.encode(members)
    codes = np.unique(members.site)
    rows = [np.flatnonzero(members.site == code) for code in codes]
    seed = int(rng.integers(2**63))

    def solo(parts: list[np.ndarray], steps: int) -> list[FlatModel]:
        jobs = []
        for part in parts:
            own = streams(np.random.default_rng(seed))
            jobs.append(Job(x, members.y, (part,), Network(widths).start(own["start"]), own))
        plan = Plan(method.rounds, Recipe(steps, method.rows, method.rate), bound=None)
        return [
            FlatModel(encoding, widths, run.weights.astype(np.float32))
            for run in federate(plan, Network(widths), jobs)
        ]

    alone = solo(rows, method.steps)
    (whole,) = solo([np.arange(len(members))], method.steps * len(codes))
    together = method.fit(members, np.random.default_rng(seed)).model
    assert isinstance(together, FlatModel)
    return {
        "local only": dict(zip(codes.tolist(), alone, strict=True)),
        "federated": dict.fromkeys(codes.tolist(), together),
        "pooled": dict.fromkeys(codes.tolist(), whole),
    }


def auc(score: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(b,) AUROC under each of b weightings (b, n) of the rows; NaN where a class is missing."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=np.nan) != 0)
    positive = np.add.reduceat(weight[:, order] * (y[order] == 1), starts, axis=1)
    negative = np.add.reduceat(weight[:, order] * (y[order] == 0), starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return np.divide(
        (positive * below).sum(axis=1), pairs, out=np.full(len(weight), np.nan), where=pairs > 0
    )


def grade(
    models: dict[int, FlatModel], held: Records, cut: float, weight: np.ndarray
) -> np.ndarray:
    """(3, b) AUROC and balanced accuracy on any patient, mean AUROC of own patients."""
    anybody, accuracy, own = [], [], []
    sick, well = held.y == 1, held.y == 0
    known: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    for code, model in models.items():
        if id(model) not in known:
            score = model.predict_proba(held)[:, 1]
            hit = score >= cut
            found = (weight @ (hit & sick)) / (weight @ sick)
            spared = (weight @ (~hit & well)) / (weight @ well)
            known[id(model)] = score, auc(score, held.y, weight), (found + spared) / 2
        score, area, right = known[id(model)]
        anybody.append(area)
        accuracy.append(right)
        here = held.site == code
        own.append(auc(score[here], held.y[here], weight[:, here]))
    return np.stack(
        [np.mean(anybody, axis=0), np.mean(accuracy, axis=0), np.array(own).mean(axis=0)]
    )


def hospitals(records: Records, kind: str, seeds: Seeds) -> Records:
    """The records at their ICUs, or dealt to ten made-up hospitals."""
    if kind == "ICU types":
        return records
    parts = Dirichlet(0.1, 10).divide(records, seeds.rng("hospitals"))
    return replace(records, site=parts.holder(len(records)), sites=parts.names)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--entropy", type=int, default=2012)
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--cache", type=Path, help="where the parsed tables stay between runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        prepared = Mortality().prepare(
            options.data, options.cache or Path(passing), lambda what, share: None
        )
    seeds = Seeds(options.entropy)
    for kind in ("ICU types", "Dirichlet 0.1, ten hospitals"):
        records = hospitals(prepared.records, kind, seeds)
        patients = np.unique(records.patient)
        even = np.full(len(patients), 1 / len(patients))
        draws = seeds.rng("bootstrap").multinomial(len(patients), even, size=options.resamples)
        draws = np.concatenate([np.ones((1, len(patients))), draws])
        found = {way: [] for way in WAYS}  # type: dict[str, list[np.ndarray]]
        began = time.process_time()
        for index in range(options.splits):
            split = Split.assign(records, seeds.rng("split", index))
            held, cut = split.nonmembers, float(split.members.y.mean())
            weight = draws[:, np.searchsorted(patients, held.patient)]
            for way, models in train(split.members, seeds.rng("fit", index)).items():
                found[way].append(grade(models, held, cut, weight))
        share = [f"{records.y[records.site == c].mean():.0%}" for c in np.unique(records.site)]
        print(
            f"\n{kind}: deaths by hospital {' '.join(share)}; {options.splits} splits, "
            f"{time.process_time() - began:.0f} CPU s"
        )
        means = {way: np.mean(parts, axis=0) for way, parts in found.items()}
        measures = ["any patient, AUROC", "any patient, accuracy", "own patients, AUROC"]
        for i, measure in enumerate(measures if kind == "ICU types" else measures[:2]):
            for way in WAYS:
                print(f"{measure:21s} {way:11s} {_interval(means[way][i])}")
            for a, b in (("federated", "local only"), ("federated", "pooled")):
                print(f"{measure:21s} {a} - {b}: {_interval(means[a][i] - means[b][i], '+')}")
    return 0


def _interval(values: np.ndarray, sign: str = "") -> str:
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return f"{values[0]:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


if __name__ == "__main__":
    sys.exit(main())
