"""Numbers that must not move unless `STATISTICS` is raised: gates compare them across versions.

If this fails because an estimate was meant to move: raise `privaudit.stats.version.STATISTICS`, say
so under "Estimates that change" in the CHANGELOG, and write the file anew with `python
tests/stats/test_stats_version.py`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from privaudit import stats
from privaudit.contracts import Scores, Trials
from privaudit.facts import Setting
from privaudit.results import to_tree
from privaudit.stats.version import STATISTICS

GOLDEN = Path(__file__).parent / "golden" / "statistics.json"


def numbers() -> dict[str, Any]:
    """Every kind of estimate on evidence from a fixed stream."""
    rng = np.random.default_rng(11)
    ids = (np.arange(1300) // 2, 10_000 + np.arange(1250))
    scores = Scores(rng.normal(0.4, 1, 1300), np.round(rng.normal(0, 1, 1250), 1))
    coin = Scores(scores.members, scores.nonmembers, randomised=True)
    y = (rng.random(900) < 0.3).astype(int)
    p = 1 / (1 + np.exp(-(rng.normal(0, 1, 900) + y - 1)))
    proba, who = np.column_stack([1 - p, p]), np.arange(900) // 2
    sex = (rng.choice(["F", "M"], 1300), rng.choice(["F", "M"], 1250))
    trials = Trials(
        rng.random(200) < 0.4,
        rng.random(200) < 0.3,
        rng.random(200) < 0.25,
        patients=np.arange(200) // 2,
    )

    def stream() -> np.random.Generator:
        return np.random.default_rng(5)

    return {
        "membership": to_tree(stats.estimates(scores, patients=ids, rng=stream())),
        "epsilon": to_tree(stats.estimates(coin, patients=ids, rng=stream()))[-2:],
        "roc": to_tree(stats.roc(scores, patients=ids, rng=stream())),
        "groups": to_tree(
            stats.score_groups(scores, patients=ids, groups={"sex": sex}, rng=stream())
        ),
        "trials": to_tree(stats.estimates({Setting("budget", 1.0, "sd"): trials}, rng=stream())),
        "utility": to_tree(stats.utility(proba, y, patients=who, rng=stream())),
        "utility_groups": to_tree(
            stats.utility_groups(
                proba, y, patients=who, groups={"half": np.where(who < 200, "a", "b")}
            )
        ),
        "reliability": to_tree(stats.reliability(proba, y, patients=who)),
        "strongest": to_tree(stats.strongest({"a": scores}, patients=ids, rng=stream())[1]),
    }


def leaves(tree: Any, where: str = "") -> dict[str, Any]:
    if isinstance(tree, dict):
        parts = tree.items()
    elif isinstance(tree, list | tuple):
        parts = enumerate(tree)
    else:
        return {where: tree}
    return {k: v for key, part in parts for k, v in leaves(part, f"{where}.{key}").items()}


def test_numbers_stay_while_their_version_does() -> None:
    kept = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert kept["statistics"] == STATISTICS, "raised: write the golden numbers anew (see above)"
    wanted, made = leaves(kept["numbers"]), leaves(json.loads(json.dumps(numbers())))
    assert wanted.keys() == made.keys()
    moved = [
        where
        for where, value in wanted.items()
        if not (
            value == made[where]
            or (
                isinstance(value, float)
                and isinstance(made[where], float)
                and math.isclose(value, made[where], rel_tol=1e-9, abs_tol=1e-12)
            )
        )
    ]
    assert not moved, f"estimates moved under statistics {STATISTICS}: {moved[:5]}"


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    body = {"statistics": STATISTICS, "numbers": numbers()}
    GOLDEN.write_text(json.dumps(body, indent=1, sort_keys=True) + "\n", encoding="utf-8")
