"""Which generator for which use? Utility, prevalence, leakage and time on real stays.

    python benchmarks/generators.py [--data DIR] [--generators copula ctgan ...] [--keep DIR]
        [--smoke]

--data is a folder with PhysioNet/CinC Challenge 2012's set-a.tar.gz and Outcomes-a.txt; without it,
generated stays. Patients are assigned at random as in an audit: each generator learns from the
members, models of its table and of the members' are graded on the non-members. Membership is the
AUC of the `distance` and `domias` attacks, which hold the table and a third pool of patients; both
are printed, none is chosen. A DP generator is also asked at each epsilon of --epsilons.

Each generator's numbers are kept under --keep as soon as they are known and are not computed again
for the same settings and code; Ctrl-C loses one generator at most. --smoke: 400 patients, the quick
generators. Exits with 1 where copies of patients (`bootstrap`) read as no leak or independent
columns (`marginals`) as having utility.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from pipelines.methods.synthetic import Synthetic
from pipelines.tasks.mortality import Mortality
from privaudit import stats
from privaudit.contracts import Scores, Target
from privaudit.engine.version import code_of_package
from privaudit.errors import PrivauditError
from privaudit.fidelity.measure import fidelity
from privaudit.plugins import load, members
from privaudit.records import Records, Split
from privaudit.results import to_tree
from privaudit.seeds import Seeds

ATTACKS = ("distance", "domias")
QUICK = ("bootstrap", "copula", "marginals")
SHOWN = (
    "prevalence_synthetic",
    "column_distance",
    "association_error_outcome",
    "detection_auc",
    "exact_copies",
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--generators", nargs="+", choices=tuple(members("generators")))
    parser.add_argument("--epsilons", nargs="+", type=float, default=[1.0, 3.0])
    parser.add_argument("--patients", type=int, help="at most, drawn by lot")
    parser.add_argument("--keep", type=Path, default=Path("runs/generators"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true")
    asked = parser.parse_args()
    one_thread()
    records = prepared(asked.data, asked.keep / "cache")
    seeds = Seeds(asked.seed)
    most = asked.patients or (400 if asked.smoke else None)
    if most is not None:
        ids = np.unique(records.patient)
        some = seeds.rng("patients").permutation(ids)[:most]
        records = records.take(np.isin(records.patient, some))
    split = Split.assign(records, seeds.rng("split"))
    names = asked.generators or (QUICK if asked.smoke else tuple(members("generators")))
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        for label, generator in at_epsilons(name, asked.epsilons):
            numbers = once(asked.keep, label, generator, split, seeds)
            if numbers is not None:
                found[label] = numbers
    show(found, split)
    return judged(found)


def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def prepared(data: Path | None, cache: Path) -> Records:
    cache.mkdir(parents=True, exist_ok=True)
    return Mortality().prepare(data, cache, lambda *_: None).records


def at_epsilons(name: str, epsilons: list[float]) -> list[tuple[str, Any]]:
    """The generator as configured, or at each epsilon that it can guarantee."""
    kind: Any = load("generators", name)
    if "epsilon" not in {field.name for field in fields(kind)}:
        return [(name, kind())]
    return [(f"{name}@{e:g}", kind(epsilon=e)) for e in epsilons]


def once(
    keep: Path, label: str, generator: Any, split: Split, seeds: Seeds
) -> dict[str, Any] | None:
    """A generator's numbers, computed unless they are stored."""
    code = [
        code_of_package(p)
        for p in (
            "privaudit.fidelity",
            "privaudit.stats",
            "privaudit.attacks",
            "pipelines.generators",
        )
    ]
    parts = (repr(generator), split.audit.fingerprint, str(seeds.entropy), *code)
    path = keep / f"{label}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    print(f"{label} ...", file=sys.stderr, flush=True)
    try:
        numbers = measured(label, generator, split, seeds)
    except (PrivauditError, ImportError) as error:
        print(f"{label}: {error}", file=sys.stderr)
        return None
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=keep, suffix=".part", delete=False) as part:
        json.dump(numbers, part, allow_nan=False)
    os.replace(part.name, path)
    return numbers


def measured(label: str, generator: Any, split: Split, seeds: Seeds) -> dict[str, Any]:
    """Draw a table, compare it, and attack it."""
    start = time.process_time()
    method = Synthetic(generator=generator)
    release = method.fit(split.members, seeds.rng("fit", label))
    seconds = time.process_time() - start
    assert release.table is not None
    kinds: dict[str, Any] = {name: load("learners", name) for name in members("learners")}
    learners = {name: kind() for name, kind in kinds.items() if kind.reads == "table"}
    start = time.process_time()
    like = fidelity(release.table, split, learners=learners, seeds=seeds.child("fidelity"))
    compared = time.process_time() - start
    target = Target(replace(release, model=None), split, method)
    risks: dict[str, Any] = {}
    for name in ATTACKS:
        scores = load("attacks", name)().run(target, (), seeds.rng("attack", name))
        assert isinstance(scores, Scores)
        ids = (split.members.patient, split.nonmembers.patient)
        (auc,) = stats.estimates(scores, patients=ids, rng=seeds.rng("auc", name), names=("auc",))
        risks[name] = to_tree(auc)
    return {
        "seconds": seconds,
        "compared": compared,
        "epsilon": release.claim.epsilon,
        "estimates": {str(e.metric): to_tree(e) for e in like.estimates},
        "utility": {
            u.learner: {
                side: to_tree(next(e for e in part if str(e.metric) == "auroc"))
                for side, part in (("real", u.real), ("synthetic", u.synthetic))
            }
            | {"loss": to_tree(u.loss)}
            for u in like.utility
        },
        "risks": risks,
    }


def text(tree: dict[str, Any] | None, digits: int = 3) -> str:
    if tree is None or tree["value"] is None:
        return "-"
    value, low, high = tree["value"], tree["low"], tree["high"]
    if low is None or high is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def show(found: dict[str, dict[str, Any]], split: Split) -> None:
    """One row a generator, in Markdown."""
    if not found:
        return
    print(
        f"{len(split.members)} members, {len(split.nonmembers)} non-members, outcome in "
        f"{(split.members.y == 1).mean():.1%} of members; 95 % intervals"
    )
    judges = list(next(iter(found.values()))["utility"])
    heads = [
        "generator",
        *(f"TSTR AUROC {j}" for j in judges),
        *(f"{a} AUC" for a in ATTACKS),
        *SHOWN,
        "CPU s",
    ]
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    first = next(iter(found.values()))
    real = [text(first["utility"][j]["real"]) for j in judges]
    print("| " + " | ".join(["(real)", *real, *[""] * (len(heads) - 1 - len(real))]) + " |")
    for label, numbers in found.items():
        cells = [label]
        cells += [text(numbers["utility"].get(j, {}).get("synthetic")) for j in judges]
        cells += [text(numbers["risks"][a]) for a in ATTACKS]
        cells += [text(numbers["estimates"].get(name)) for name in SHOWN]
        print("| " + " | ".join([*cells, f"{numbers['seconds']:.1f}"]) + " |")


def judged(found: dict[str, dict[str, Any]]) -> int:
    """1 where the two ends of the scale do not read as they must."""
    code = 0
    if "bootstrap" in found and not found["bootstrap"]["risks"]["distance"]["low"] > 0.5:
        print("exact duplicates of patients read as no leak", file=sys.stderr)
        code = 1
    if "marginals" in found:
        numbers = found["marginals"]
        useful = min(u["synthetic"]["low"] for u in numbers["utility"].values())
        leaks = (
            numbers["risks"]["distance"]["low"] > 0.5 and numbers["risks"]["domias"]["low"] > 0.5
        )
        if useful > 0.6 or leaks:
            print("independent columns read as having utility, or as leaking", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
