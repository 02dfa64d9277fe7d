"""Are our CTGAN and TVAE faster than the package they come from, and as good?

    python benchmarks/ctgan_speed.py DATA [--epochs 100] [--streams 3] [--generators ctgan tvae]

DATA is a folder with set-a.tar.gz and Outcomes-a.txt. Both sides learn from the same members of an
audit's split, in the columns that the method `synthetic` keeps, on one thread: `package` as it
comes, `same` is our training with the package's settings, `default` ours with our own settings. The
package refuses missing values, so it is given medians in the gaps and a yes-or-no column for each
pattern of them, and its rows are put back together the same way. Printed: CPU seconds of fit and
sample; AUROC of a model trained on the synthetic table and asked on the non-members (TSTR; 0.5
where all its outcomes are one), with a 95 % interval over resampled streams and patients; the
outcome's prevalence; the share of missing values. Exits with 1 where ours is not faster, or where
its TSTR is below the package's beyond the interval.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from pipelines.generators._gaps import Gaps
from pipelines.generators._valid import Shape
from pipelines.generators.ctgan import PUBLISHED
from pipelines.learners.boosted import Boosted
from pipelines.learners.logreg import LogReg
from pipelines.methods.synthetic import Synthetic
from pipelines.tasks.mortality import Mortality
from privaudit.plugins import load
from privaudit.records import Records, Split
from privaudit.seeds import Seeds, borrowed_globals

LEARNERS = {"boosted": Boosted(), "logreg": LogReg()}


@dataclass(frozen=True, eq=False)
class Drawn:
    """A synthetic table and what it cost: CPU seconds."""

    table: Records
    fit: float
    sample: float


def package(name: str, epochs: int, records: Records, rng: np.random.Generator) -> Drawn:
    """The `ctgan` package as it comes."""
    import pandas as pd
    from ctgan import CTGAN, TVAE

    start = time.process_time()
    gaps = Gaps.of(records.columns, records.X)
    filled, flags = gaps.split(records.X)
    frame = pd.DataFrame(filled.astype(np.float64), columns=[c.name for c in records.columns])
    for i in range(flags.shape[1]):
        frame[f"flag{i}"] = flags[:, i]
    frame["y"] = records.y
    discrete = [c.name for c in records.columns if c.kind != "numeric"]
    discrete += [f"flag{i}" for i in range(flags.shape[1])] + ["y"]
    model = {"ctgan": CTGAN, "tvae": TVAE}[name](epochs=epochs, enable_gpu=False)
    with borrowed_globals(rng), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(frame, discrete)
        fitted = time.process_time()
        out = model.sample(len(records))
    d = len(records.columns)
    X = gaps.join(out.iloc[:, :d].to_numpy(dtype=np.float64), out.iloc[:, d:-1].to_numpy(bool))
    table = Shape.of(records).records(X, out["y"].to_numpy())
    return Drawn(table, fitted - start, time.process_time() - fitted)


def same(name: str, epochs: int, records: Records, rng: np.random.Generator) -> Drawn:
    """The generator of the same name, with the package's settings."""
    return ours({**(PUBLISHED if name == "ctgan" else {}), "epochs": epochs}, name, records, rng)


def default(name: str, epochs: int, records: Records, rng: np.random.Generator) -> Drawn:
    """The generator of the same name with its own defaults, whatever `epochs` says."""
    return ours({}, name, records, rng)


def ours(
    settings: dict[str, object], name: str, records: Records, rng: np.random.Generator
) -> Drawn:
    start = time.process_time()
    sampler = load("generators", name)(**settings).fit(records, rng)
    fitted = time.process_time()
    table = sampler.sample(len(records), rng)
    return Drawn(table, fitted - start, time.process_time() - fitted)


SIDES: dict[str, Callable[[str, int, Records, np.random.Generator], Drawn]] = {
    "package": package,
    "same": same,
    "default": default,
}


def weighted_auc(score: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(b,) AUROC under each of b weightings of the rows, (b, n). Ties count half."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=np.nan) != 0)
    positive = np.add.reduceat(weight[:, order] * (y[order] == 1), starts, axis=1)
    negative = np.add.reduceat(weight[:, order] * (y[order] == 0), starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    return (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))


def spread(areas: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    """Mean over streams of (streams, 1 + resamples) areas, and its interval over streams and
    patients."""
    streams, resamples = areas.shape[0], areas.shape[1] - 1
    chosen = rng.integers(streams, size=(streams, resamples))
    means = areas[chosen, 1 + np.arange(resamples)].mean(axis=0)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(areas[:, 0].mean()), float(low), float(high)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--streams", type=int, default=3)
    parser.add_argument("--generators", nargs="*", default=["ctgan", "tvae"])
    parser.add_argument("--statistics", nargs="*", default=["last"])
    parser.add_argument("--entropy", type=int, default=2012)
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--cache", type=Path, help="where the parsed tables stay between runs")
    options = parser.parse_args()
    import ctgan  # noqa: F401  imported before the clock starts, for both sides
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as passing:
        prepared = Mortality().prepare(
            options.data, options.cache or Path(passing), lambda what, share: None
        )
    seeds = Seeds(options.entropy)
    split = Split.assign(prepared.records, seeds.rng("split"))
    narrow = Synthetic(statistics=tuple(options.statistics)).narrow
    members, held = narrow(split.members), narrow(split.nonmembers)
    held = replace(held, site=np.zeros(len(held), dtype=np.int64), sites=("all",))
    patients, row = np.unique(held.patient, return_inverse=True)
    draws = seeds.rng("bootstrap").multinomial(
        len(patients), np.full(len(patients), 1 / len(patients)), size=options.resamples
    )
    weight = np.concatenate([np.ones((1, len(patients))), draws])[:, row]
    print(f"{len(members)} members, {len(held)} non-members, {members.X.shape[1]} columns")
    for learner, made in LEARNERS.items():
        model = made.fit(members, seeds.rng("real", learner))
        area = weighted_auc(model.predict_proba(held)[:, 1], held.y, weight)
        low, high = np.quantile(area[1:], [0.025, 0.975])
        print(f"trained on real records, {learner}: {area[0]:.3f} ({low:.3f} to {high:.3f})")
    short = False
    for name in options.generators:
        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        areas: dict[tuple[str, str], list[np.ndarray]] = {}
        for stream in range(options.streams):
            for side, make in SIDES.items():
                drawn = make(name, options.epochs, members, seeds.rng(name, side, stream))
                seconds[side].append(drawn.fit + drawn.sample)
                printed = []
                for learner, made in LEARNERS.items():
                    score = np.zeros(
                        len(held)
                    )  # Of a table with one outcome nobody learns anything.
                    if len(np.unique(drawn.table.y)) > 1:
                        model = made.fit(drawn.table, seeds.rng(name, side, stream, learner))
                        score = model.predict_proba(held)[:, 1]
                    areas.setdefault((side, learner), []).append(
                        weighted_auc(score, held.y, weight)
                    )
                    printed.append(f"{learner} {areas[side, learner][-1][0]:.3f}")
                print(
                    f"{name} {side:8s} stream {stream}: fit {drawn.fit:6.1f} s, "
                    f"sample {drawn.sample:5.2f} s, TSTR {', '.join(printed)}, prevalence "
                    f"{members.y.mean():.3f} -> {drawn.table.y.mean():.3f}, missing "
                    f"{np.isnan(members.X).mean():.3f} -> {np.isnan(drawn.table.X).mean():.3f}",
                    flush=True,
                )
        for side in list(SIDES)[1:]:
            ratio = np.sum(seconds["package"]) / np.sum(seconds[side])
            print(f"{name}: the package takes {ratio:.1f} times the CPU seconds of ours, {side}")
            short |= side == "same" and ratio < 1
        for learner in LEARNERS:
            rng = seeds.rng("spread", name, learner)
            theirs = np.array(areas["package", learner])
            for side in SIDES:
                own = np.array(areas[side, learner])
                mean, low, high = spread(own, rng)
                print(f"  {learner}, {side}: {mean:.3f} ({low:.3f} to {high:.3f})")
                if side != "package":
                    gap = spread(own - theirs, rng)
                    print(f"    less package: {gap[0]:+.3f} ({gap[1]:+.3f} to {gap[2]:+.3f})")
                    short |= gap[2] < 0
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
