"""How often a gate is wrong: clean models blocked, leaking ones passed, bounds that miss.

    python benchmarks/verdicts.py            (about 6 minutes of one core; --runs 30 for a look)

Scores are normal, three attacks that share most of what they see, one stay a patient; every number
comes from the statistics of an audit, bootstrap included, and every verdict from the rule itself.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from datetime import date

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from privaudit.contracts import Scores
from privaudit.facts import FAMILIES, note
from privaudit.policy import judge
from privaudit.policy.file import build
from privaudit.policy.simulate import PASSING
from privaudit.results import (
    Audit,
    ClaimText,
    Control,
    Data,
    Estimate,
    Finding,
    Manifest,
    Subject,
)
from privaudit.stats import onesided
from privaudit.stats.membership import membership

RULES = [
    {"id": "1 % false alarms", "metric": "membership.tpr", "fpr": 0.01, "max": 0.03},
    {"id": "10 % false alarms", "metric": "membership.tpr", "fpr": 0.1, "max": 0.15},
    {"id": "ranking", "metric": "membership.auc", "max": 0.55},
]
NAMES = ("auc", "tpr_at_fpr_0.01", "tpr_at_fpr_0.1")
SEES = 0.5
"""Standard deviation of what each attack sees by itself; what all see has 1."""


def document(findings: list[Finding]) -> Audit:
    """An audit of one model with these findings and passing controls."""
    controls = tuple(
        Control(kind, one.attack, (number,), True, note("simulated"))  # type: ignore[arg-type]
        for one in findings
        for kind, number in PASSING.items()
    )
    claim = ClaimText(None, 0.0, "patient", "add-remove", (), "")
    one = Subject(
        "model", "", "", "", {}, claim, (), (), (), (), None, None, tuple(findings), controls, {}
    )
    made = Manifest("run", "2026-11-21", "", "", "", {}, "", "", 0, 0.95, "", 0.0, 0.0, 0, {})
    return Audit(made, Data("", False, "", "", "", (), 0, 0, 0, (), ()), (one,), ())


def played(n: int, shift: float, attacks: int, rng: np.random.Generator) -> list[Finding]:
    """Membership findings of n patients a side."""
    ids = np.arange(n), np.arange(n, 2 * n)
    shared = rng.normal(size=2 * n)
    shared[:n] += shift
    found = []
    for index in range(attacks):
        seen = shared + rng.normal(0, SEES, 2 * n)
        numbers = membership(
            Scores(seen[:n], seen[n:]), patients=ids, confidence=0.95, rng=rng, names=NAMES
        )
        found.append(Finding(f"a{index}", "membership", {}, ("ANSWERS", "RERUN"), numbers))
    return found


def truth(e: Estimate, shift: float) -> float:
    """The true value of a metric for this shift."""
    from scipy.special import ndtr, ndtri

    spread = np.sqrt(1 + SEES**2)
    if e.metric.fpr is None:
        return float(ndtr(shift / (spread * np.sqrt(2))))
    return float(ndtr(shift / spread + ndtri(e.metric.fpr)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--patients", type=int, default=1250)
    parser.add_argument("--seed", type=int, default=20261121)
    options = parser.parse_args()
    tree = {
        "schema": "privaudit.policy/1",
        "name": "benchmark",
        "review_by": "9999-12-31",
        "limit": RULES,
        "not_tested": [
            {"family": family, "reason": "not simulated"}
            for family in FAMILIES
            if family != "membership"
        ],
    }
    policy = build(tree)
    rng = np.random.default_rng(options.seed)
    words = {0: "passes", 1: "blocks", 3: "undecided"}
    print(
        f"{options.patients} patients a side, 3 attacks, limits 3 % at 1 %, 15 % at 10 %, AUC 0.55"
    )
    for name, shift, runs in (
        ("clean", 0.0, options.runs),
        ("leaking", 1.0, max(1, options.runs // 5)),
    ):
        begun, codes = time.perf_counter(), Counter[str]()
        missed: Counter[tuple[str, str]] = Counter()
        seen = 0
        for _ in range(runs):
            findings = played(options.patients, shift, 3, rng)
            codes[words[judge(policy, document(findings), today=date(2027, 1, 1)).code]] += 1
            for e in findings[0].estimates:
                known = onesided.bounds(e)
                if known is None:
                    continue
                low, high = known.lower(0.05), known.upper(0.05)
                missed[str(e.metric), "lower"] += low is not None and low > truth(e, shift)
                missed[str(e.metric), "upper"] += high is not None and high < truth(e, shift)
            seen += 1
        share = ", ".join(f"{word} {codes[word]}" for word in words.values())
        print(f"{name}: of {runs} models {share} ({time.perf_counter() - begun:.0f} s)")
        for e_name in NAMES:
            low, high = (missed[e_name, side] / seen for side in ("lower", "upper"))
            print(f"  {e_name}: one-sided 95 % bounds miss {low:.1%} (lower), {high:.1%} (upper)")


if __name__ == "__main__":
    main()
