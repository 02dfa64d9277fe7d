"""Does the gate decide on real stays? Baseline and candidates on the same splits and seeds.

    python benchmarks/paired_gate.py DATA [--seeds 80] [--full 20] [--minutes 60] [--runs DIR]

DATA is a folder with set-a.tar.gz and Outcomes-a.txt (Challenge 2012). For each seed, five audits
of boosted trees (profile smoke; attacks threshold, rmia and
few_shadow_lira), on the same split and with shadow models of the same patients:

- `before`: depth 3, early stopping. The baseline.
- `unchanged`: the very same model, as `--like` makes it.
- `nudged`: a learning rate of .049 and not .05: what a change without consequence does.
- `deeper`: depth 10, 600 trees without early stopping. A model that leaks more.
- `reseeded`: as `before`, but every training, of shadow models too, draws other random numbers (and
  so other patients to stop by): the hardest thing to call unchanged.

The last two are made for the first `--full` seeds. With --runs, the runs are kept there.

The gate is `[[regression]] membership.auc, margin 0.02` and nothing else, over four seeds. Printed:
how many gates were green and red, of seeds that no other gate has and of any four; the same where
baseline and candidate have other seeds; and how long the runs of one candidate took.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.learners.boosted import Boosted
from privaudit.contracts import Model
from privaudit.engine.configure import Request, request
from privaudit.engine.profiles import profile
from privaudit.engine.run import run
from privaudit.evidence.account import account
from privaudit.facts import FAMILIES, Metric
from privaudit.policy import baseline, judge
from privaudit.policy.rules import LeftOut, Policy, Regression
from privaudit.records import Records
from privaudit.results import Audit, Finding
from privaudit.verdicts import Verdicts

ATTACKS = ("threshold", "rmia", "few_shadow_lira")
MARGIN = 0.02
SETTINGS = {
    "before": ("boosted.depth=3",),
    "unchanged": ("boosted.depth=3",),
    "nudged": ("boosted.depth=3", "boosted.rate=0.049"),
    "deeper": ("boosted.depth=10", "boosted.held_out=0"),
    "reseeded": ("boosted.depth=3",),
}
COSTLY = ("deeper", "reseeded")


@dataclass(frozen=True)
class Reseeded(Boosted):
    """The same trees from other random numbers."""

    def fit(self, records: Records, rng: np.random.Generator) -> Model:
        return super().fit(records, np.random.default_rng(int(rng.integers(2**63 - 1))))


def asked(kind: str, seed: int) -> Request:
    """What one audit asks for."""
    made = request(
        "mortality",
        profile("smoke"),
        seed=seed,
        methods=("baseline",),
        learners=("boosted",),
        attacks=ATTACKS,
        settings=SETTINGS[kind],
        command=f"paired_gate {kind}",
    )
    if kind != "reseeded":
        return made
    (entry,) = made.entries
    own: Any = entry.method
    method = replace(own, learner=Reseeded(**asdict(own.learner)))
    return replace(made, entries=(replace(entry, method=method),))


def audit(kind: str, seed: int, data: Path, out: Path) -> tuple[Audit, float]:
    """One audit, and the seconds it took."""
    began = time.perf_counter()
    wanted = asked(kind, seed)
    with account(out, wanted.command) as witness:
        # As `--like` does, candidates take nothing from the cache.
        finished = run(
            wanted, out=out, data=data, workers=1, witness=witness, fresh=kind != "before"
        )
        witness.finish(finished.folder, finished.code)
    return slim(finished.audit), time.perf_counter() - began


def slim(audit: Audit) -> Audit:
    """The audit without what no gate over pairs reads, so that thousands are quick."""
    (only,) = audit.subjects
    found = (one for one in only.outcomes if isinstance(one, Finding))
    outcomes = tuple(replace(one, groups=(), curves=()) for one in found)
    bare = replace(only, outcomes=outcomes, utility_groups=(), reliability=None)
    return replace(audit, subjects=(bare,), coverage=())


def policy(pairs: int) -> Policy:
    """One rule, and nothing else that could decide."""
    rule = Regression("worse", "membership.auc", MARGIN, candidate_seeds=pairs)
    others = tuple(LeftOut(family, "not the matter of this benchmark") for family in FAMILIES)
    return Policy("Benchmark", date(2100, 1, 1), regressions=(rule,), left_out=others)


def decide(before: list[Audit], after: list[Audit]) -> Verdicts:
    """The gate's answer."""
    held = baseline.create(before, who="benchmark", when="2026-01-01", reason="benchmark")
    return judge(policy(len(after)), after[0], baseline=held, candidates=after[1:])


def gates(
    runs: dict[str, list[Audit]], pairs: int, most: int, rng: np.random.Generator
) -> dict[str, Counter[str]]:
    """States of gates made of these runs: of seeds that no other gate has (apart), of any choice of
    so many seeds (any), and of other seeds on either side (unpaired)."""
    found: dict[str, Counter[str]] = {}
    for kind in ("unchanged", "nudged", "deeper", "reseeded"):
        count = len(runs[kind])
        apart = [list(range(i, i + pairs)) for i in range(0, count - pairs + 1, pairs)]
        every = list(combinations(range(count), pairs))
        if len(every) > most:
            every = [every[i] for i in rng.choice(len(every), most, replace=False)]
        for name, chosen in (("apart", apart), ("any", every)):
            states = found.setdefault(f"{kind}, pairs, {name}", Counter())
            for seeds in chosen:
                states[decide(*([runs[k][i] for i in seeds] for k in ("before", kind))).state] += 1
        states = found.setdefault(f"{kind}, unpaired", Counter())
        for _ in range(most if count >= 2 * pairs else 0):
            dealt = rng.permutation(count)[: 2 * pairs]
            before = [runs["before"][i] for i in dealt[:pairs]]
            states[decide(before, [runs[kind][i] for i in dealt[pairs:]]).state] += 1
    return found


def read(audits: list[Audit], attack: str) -> np.ndarray:
    """(runs, 2): the AUC of an attack and half of its interval."""
    found = [
        (e.value, ((e.high or 0.0) - (e.low or 0.0)) / 2)
        for one in audits
        for outcome in one.subjects[0].outcomes
        if isinstance(outcome, Finding) and outcome.attack == attack
        for e in outcome.estimates
        if e.metric == Metric("auc")
    ]
    return np.array(found, dtype=float)


def differences(runs: dict[str, list[Audit]], kind: str) -> dict[str, list[float]]:
    """attack -> mean and standard deviation of the differences of AUCs inside pairs, that deviation
    in errors of one run, and the standard deviation between seeds."""
    found = {}
    for attack in ATTACKS:
        after = read(runs[kind], attack)
        before = read(runs["before"], attack)[: len(after)]
        moved, error = after[:, 0] - before[:, 0], before[:, 1].mean() / 1.96
        spread = float(moved.std(ddof=1))
        numbers = (float(moved.mean()), spread, spread / error, float(before[:, 0].std(ddof=1)))
        found[attack] = [round(number, 4) for number in numbers]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=80)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=600.0)
    parser.add_argument("--full", type=int, default=20)
    parser.add_argument("--gates", type=int, default=200, help="dependent ones, at most")
    parser.add_argument("--runs", type=Path)
    given = parser.parse_args()
    began, rng = time.perf_counter(), np.random.default_rng(20261130)
    runs: dict[str, list[Audit]] = {kind: [] for kind in SETTINGS}
    seconds: dict[str, list[float]] = {kind: [] for kind in SETTINGS}
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.runs or Path(scratch)
        for seed in range(1, given.seeds + 1):
            if time.perf_counter() - began > 60 * given.minutes:
                break
            for kind, done in runs.items():
                if kind in COSTLY and seed > given.full:
                    continue
                one, took = audit(kind, seed, given.data, folder)
                done.append(one)
                seconds[kind].append(took)
            print(f"seed {seed}: {time.perf_counter() - began:.0f} s", flush=True)
            if seed % given.pairs:
                continue
            found = gates(runs, given.pairs, given.gates, rng)
            for name, states in found.items():
                print(f"  {name:<24} {dict(states)}")
            for kind in ("nudged", "deeper", "reseeded"):
                print(f"  {kind}: {differences(runs, kind)}")
            took_all = {k: round(given.pairs * float(np.median(t))) for k, t in seconds.items()}
            print(f"  seconds of {given.pairs} runs, one process: {took_all}", flush=True)
    wanted = {"unchanged": "WITHIN", "nudged": "WITHIN", "deeper": "EXCEEDS"}
    made = {kind: found[f"{kind}, pairs, apart"] for kind in wanted}
    whole = all(made[k][state] >= 0.95 * sum(made[k].values()) for k, state in wanted.items())
    print("the gate decides" if whole else "NOT AS CLAIMED")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
