"""Does the gate decide on real stays? Baseline and candidates on the same splits and seeds.

    python benchmarks/paired_gate.py DATA [--gates 20] [--pairs 4] [--minutes 60] [--out FILE]

DATA is a folder with set-a.tar.gz and Outcomes-a.txt (Challenge 2012). For each gate, four new
seeds; for each seed, three audits of boosted trees (profile smoke; attacks threshold, rmia and
few_shadow_lira), on the same split and with shadow models of the same patients:

- `before`: depth 3, early stopping. The baseline.
- `reseeded`: the same model, whose every training, of shadow models too, draws other random
  numbers: what a change without consequence does. The very same model would read the same.
- `deeper`: depth 10, 600 trees without early stopping. A model that leaks more.

The gate is `[[regression]] membership.auc, margin 0.02` and nothing else. Printed: how many gates
were green and red, the same where runs of other seeds are compared (unpaired: the baseline of one
gate with the candidates of the next), and how long the runs of one candidate took.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.learners.boosted import Boosted
from privaudit.contracts import Model
from privaudit.engine.configure import Request, request
from privaudit.engine.profiles import profile
from privaudit.engine.run import run
from privaudit.evidence.account import account
from privaudit.facts import FAMILIES
from privaudit.policy import baseline, judge
from privaudit.policy.rules import LeftOut, Policy, Regression
from privaudit.records import Records
from privaudit.results import Audit
from privaudit.verdicts import Verdicts

ATTACKS = ("threshold", "rmia", "few_shadow_lira")
MARGIN = 0.02
SETTINGS = {
    "before": ("boosted.depth=3",),
    "reseeded": ("boosted.depth=3",),
    "deeper": ("boosted.depth=10", "boosted.held_out=0"),
}


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
        finished = run(wanted, out=out, data=data, workers=1, witness=witness)
        witness.finish(finished.folder, finished.code)
    return finished.audit, time.perf_counter() - began


def policy(pairs: int) -> Policy:
    """One rule, and nothing else that could decide."""
    rule = Regression("worse", "membership.auc", MARGIN, candidate_seeds=pairs)
    others = tuple(LeftOut(family, "not the matter of this benchmark") for family in FAMILIES)
    return Policy("Benchmark", date(2100, 1, 1), regressions=(rule,), left_out=others)


def decide(before: list[Audit], after: list[Audit]) -> Verdicts:
    """The gate's answer."""
    held = baseline.create(before, who="benchmark", when="2026-01-01", reason="benchmark")
    return judge(policy(len(after)), after[0], baseline=held, candidates=after[1:])


def tell(made: Verdicts) -> dict[str, Any]:
    """Every regression verdict of an answer, in numbers."""
    return {
        "state": made.state,
        "code": made.code,
        "attacks": {
            v.attack: [v.state, v.severity, v.value, v.lower, v.upper]
            for v in made.verdicts
            if v.kind == "regression"
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--gates", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=600.0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    began = time.perf_counter()
    runs: dict[str, list[list[Audit]]] = {kind: [] for kind in SETTINGS}
    seconds: dict[str, list[float]] = {kind: [] for kind in SETTINGS}
    answers: dict[str, Counter[str]] = {}
    lines = []

    def note(name: str, made: Verdicts) -> None:
        answers.setdefault(name, Counter())[made.state] += 1
        lines.append({"gate": name, **tell(made)})

    with tempfile.TemporaryDirectory() as folder:
        for gate in range(given.gates):
            if time.perf_counter() - began > 60 * given.minutes:
                break
            seeds = range(gate * given.pairs + 1, (gate + 1) * given.pairs + 1)
            for kind, done in runs.items():
                found = [audit(kind, seed, given.data, Path(folder)) for seed in seeds]
                done.append([one for one, _ in found])
                seconds[kind].append(sum(took for _, took in found))
            for kind in ("reseeded", "deeper"):
                note(f"{kind}, paired", decide(runs["before"][-1], runs[kind][-1]))
                if gate:
                    note(f"{kind}, unpaired", decide(runs["before"][-2], runs[kind][-1]))
            for name, states in answers.items():
                print(f"after {gate + 1} gates  {name:<20} {dict(states)}", flush=True)
            took = {kind: round(float(np.median(found))) for kind, found in seconds.items()}
            print(f"  median seconds of {given.pairs} runs: {took}", flush=True)
            if given.out is not None:
                given.out.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")
    green, red = answers["reseeded, paired"], answers["deeper, paired"]
    count = sum(green.values())
    whole = green["WITHIN"] >= 0.95 * count and red["EXCEEDS"] >= 0.95 * count
    print("the gate decides" if whole else "NOT AS CLAIMED")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
