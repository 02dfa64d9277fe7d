"""Which aggregate withstands which malicious client? Challenge 2012, ten unlike hospitals.

    python benchmarks/byzantine.py DATA [--repeats 5] [--clients 10] [--malicious 3]
        [--alpha 0.1 | --units]
        [--rounds 20] [--aggregates NAME ...] [--attacks NAME ...] [--out FILE]

DATA is a folder with set-a.tar.gz and Outcomes-a.txt. 30 % of the patients are held out. Every
repeat deals the others to hospitals anew (Dirichlet shares of each outcome) and trains from a new
start, the same for every aggregate and attack. Printed: held-out AUROC, mean with its 95 % t
interval over repeats, and the paired change from the same training without malicious clients. Exits
with 1 unless the sign flip takes at least 0.05 from the mean while a robust aggregate loses at most
0.05 and stays 0.05 above it, NaN updates take at most 0.05 from the mean, and inflated counts at
most 0.05 (the update itself is honest).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from pipelines.federated.sites import ByUnit, Dirichlet, Sites
from pipelines.methods.federated import Federated
from pipelines.tasks.mortality import Mortality
from privaudit.attacks.federated import _malicious_clients as act
from privaudit.contracts import Malicious, Release
from privaudit.records import Records
from privaudit.seeds import Seeds

COLLAPSE, HOLD = 0.05, 0.05
REQUIRED = ("sign flip x10", "not a number", "inflated counts")


def attacks(f: int) -> dict[str, Malicious | None]:
    """Every malicious client, f of them; None is the clean training."""
    return {
        "none": None,
        "sign flip x1": act.SignFlip(f, 1.0),
        "sign flip x10": act.SignFlip(f, 10.0),
        "inner product": act.InnerProduct(f),
        "a little is enough": act.LittleIsEnough(f),
        "gaussian": act.Gaussian(f),
        "mimic": act.Mimic(f),
        "label flip": act.LabelFlip(f),
        "backdoor": act.Trojan(f, scale=3.0),
        "absent": act.Absent(f),
        "not a number": act.NaNUpdate(f),
        "inflated counts": act.InflatedCounts(f),
    }


def auroc(score: np.ndarray, y: np.ndarray) -> float:
    """Area under the ROC curve, ties counted half."""
    rank = stats.rankdata(score)
    yes = int((y == 1).sum())
    return float((rank[y == 1].sum() - yes * (yes + 1) / 2) / (yes * (len(y) - yes)))


def graded(release: Release, test: Records) -> float:
    """Held-out AUROC of a release."""
    assert release.model is not None
    return auroc(release.model.predict_proba(test)[:, 1], test.y)


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % t interval over repeats."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return mean, mean - float(half), mean + float(half)


def held_out(records: Records, seeds: Seeds) -> tuple[Records, Records]:
    """70 % of the patients to train on, 30 % to grade on."""
    ids = np.unique(records.patient)
    own = seeds.rng("held out").permutation(ids)[: round(0.7 * len(ids))]
    inside = np.isin(records.patient, own)
    return records.take(inside), records.take(~inside)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--malicious", type=int, default=3)
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--units", action="store_true", help="the ICU types as four hospitals")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--aggregates", nargs="*")
    parser.add_argument("--attacks", nargs="*", help="beside none; the verdict needs them all")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()

    with tempfile.TemporaryDirectory() as cache:
        task = Mortality()
        records = task.prepare(chosen.data, Path(cache), lambda what, share: None).records
    seeds = Seeds(2012)
    train, test = held_out(records, seeds)
    sites: Sites = ByUnit() if chosen.units else Dirichlet(chosen.alpha, chosen.clients)
    start = Federated(rounds=chosen.rounds, sites=sites)
    informed = replace(start, malicious=act.SignFlip(chosen.malicious))
    # Krum needs 2 f + 3 hospitals, more than the ICU types are.
    hospitals = len(sites.divide(train, seeds.rng("count")).rows)
    aggregates = {
        name: method
        for name, method in informed.alternatives.items()
        if name in (chosen.aggregates or informed.alternatives)
        and isinstance(method, Federated)
        and method.aggregate.fewest <= hospitals
    }
    print(
        f"{len(train)} stays to train on, {len(test)} held out ({(test.y == 1).mean():.1%} died); "
        f"hospitals: {sites!r}, {chosen.malicious} malicious, "
        f"{chosen.rounds} rounds, {chosen.repeats} repeats\n"
    )
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, method in aggregates.items():
        found[name] = {}
        for attack, malicious in attacks(chosen.malicious).items():
            if chosen.attacks and attack not in {"none", *chosen.attacks}:
                continue
            begin = time.process_time()
            poisoned = replace(method, malicious=malicious)
            rngs = [seeds.rng("repeat", r) for r in range(chosen.repeats)]
            releases = poisoned.fit_many([train] * chosen.repeats, rngs)
            found[name][attack] = np.array([graded(release, test) for release in releases])
            spent = time.process_time() - begin
            mean, low, high = interval(found[name][attack])
            change = interval(found[name][attack] - found[name]["none"])
            refused = np.mean([r.costs["refused_updates"] for r in releases])
            print(
                f"{name:25s} {attack:19s} {mean:.3f} ({low:.3f} to {high:.3f})   change "
                f"{change[0]:+.3f} ({change[1]:+.3f} to {change[2]:+.3f})   refused {refused:4.0f}"
                f"   {spent / chosen.repeats:.1f} CPU s a fit",
                flush=True,
            )
    table(found)
    if chosen.out:
        chosen.out.write_text(
            json.dumps({n: {a: v.tolist() for a, v in row.items()} for n, row in found.items()})
        )
    return 0 if chosen.attacks else verdict(found)


def table(found: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Mean held-out AUROC, aggregates down, attacks across, as a Markdown table."""
    names = list(next(iter(found.values())))
    print(f"\n| aggregate | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for aggregate, row in found.items():
        print(f"| {aggregate} | {' | '.join(f'{row[n].mean():.3f}' for n in names)} |")


def verdict(found: Mapping[str, Mapping[str, np.ndarray]]) -> int:
    """0 where the mean collapses under a sign flip and a robust aggregate and the gate hold."""
    lost = {
        name: {attack: float(np.mean(row["none"] - row[attack])) for attack in REQUIRED}
        for name, row in found.items()
    }
    robust = [name for name in lost if name != "mean"]
    checks = {}
    if "mean" in lost:
        checks["the sign flip collapses the mean"] = lost["mean"]["sign flip x10"] >= COLLAPSE
        checks["NaN is stopped at the gate"] = lost["mean"]["not a number"] <= HOLD
        checks["inflated counts give no more than an honest weight"] = (
            lost["mean"]["inflated counts"] <= HOLD
        )
    if robust and "mean" in found:
        checks["a robust aggregate holds against the sign flip"] = any(
            lost[name]["sign flip x10"] <= HOLD
            and np.mean(found[name]["sign flip x10"] - found["mean"]["sign flip x10"]) >= COLLAPSE
            for name in robust
        )
    print()
    for what, passed in checks.items():
        print(f"{'ok  ' if passed else 'FAIL'}  {what}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
