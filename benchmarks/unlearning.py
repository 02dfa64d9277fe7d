"""Does `audit-unlearning` find what was not forgotten, and nothing where all was?

    python benchmarks/unlearning.py [--worlds 10] [--learners forest mlp boosted logistic]
        [--forgotten 60] [--retained 500] [--strangers 250] [--refits 16] [--limit 0.25] [--seed 0]

Generated patients whose outcome follows from two of twelve columns. In every world a model is
trained on the retained and the forgotten, and then: trained again without the forgotten; not
changed; with half and with a tenth of them left in; trained on their reversed outcomes; and, for
the network, fine-tuned for 25 passes on their reversed outcomes, from the model before. Printed:
how often each is found, not found (exit code 0) and inconclusive, the mean imprint, and beside it
what plain membership inference reads: the AUC of the model's margin, forgotten against strangers.
Exits with 1 where models trained again are found more than 1 time in 10 or a model that was not
changed is ever called forgotten.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from privaudit.contracts import Method, Release
from privaudit.forgetting.audit import audit_unlearning
from privaudit.records import Column, Records
from privaudit.seeds import Seeds
from privaudit.signals import margin
from privaudit.stats.auc import auc

LEARNERS: dict[str, Callable[[int], Any]] = {
    "forest": lambda seed: RandomForestClassifier(40, random_state=seed, n_jobs=1),
    "boosted": lambda seed: GradientBoostingClassifier(
        n_estimators=100, max_depth=4, subsample=0.8, random_state=seed
    ),
    "mlp": lambda seed: MLPClassifier(
        (32,), max_iter=60, learning_rate_init=0.01, random_state=seed
    ),
    "logistic": lambda seed: LogisticRegression(max_iter=300),
}


@dataclass(frozen=True, eq=False)
class Held:
    """A fitted estimator as a model."""

    estimator: Any

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, 2)."""
        found: np.ndarray = self.estimator.predict_proba(records.X)
        return found


@dataclass(frozen=True)
class Recipe(Method):
    """One of `LEARNERS`. Fitted again on the same rows with the same seed, the first is given."""

    name: str
    kept: dict[tuple[int, bytes], Release] = field(default_factory=dict, repr=False, compare=False)

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        seed = int(rng.integers(2**31))
        rows = hashlib.sha256(members.X.tobytes() + members.y.tobytes()).digest()
        if (seed, rows) not in self.kept:
            made = LEARNERS[self.name](seed)
            self.kept[seed, rows] = Release(model=Held(made.fit(members.X, members.y)))
        return self.kept[seed, rows]


def draw(sizes: tuple[int, int, int], rng: np.random.Generator) -> dict[str, Records]:
    """Patients of the three roles."""
    n = sum(sizes)
    x = rng.normal(size=(n, 12)).astype(np.float32)
    y = (x[:, 0] + 0.7 * x[:, 1] + 0.8 * rng.logistic(size=n) > 0).astype(int)
    columns = tuple(Column(f"x{j}") for j in range(12))
    every = Records(columns, x, y, np.arange(n), np.zeros(n, dtype=int))
    ends = np.cumsum(sizes)
    return {
        "forgotten": every.take(slice(0, ends[0])),
        "retained": every.take(slice(ends[0], ends[1])),
        "strangers": every.take(slice(ends[1], ends[2])),
    }


def relabel(records: Records) -> Records:
    """Every outcome reversed."""
    return replace(records, y=1 - records.y)


def make_models(name: str, pools: dict[str, Records], seed: int) -> dict[str, Any]:
    """The model before, and every model after."""

    def train(number: int, *more: Records) -> Any:
        rows = Records.concatenate([pools["retained"], *more])
        return Recipe(name).fit(rows, np.random.default_rng([seed, number])).model

    gone = pools["forgotten"]
    before = train(0, gone)
    found = {
        "before": before,
        "trained again": train(1),
        "not changed": before,
        "trained with all of them": train(2, gone),
        "half left in": train(3, gone.take(slice(0, len(gone) // 2))),
        "a tenth left in": train(4, gone.take(slice(0, len(gone) // 10))),
        "reversed outcomes": train(5, relabel(gone)),
    }
    if name == "mlp":
        tuned = copy.deepcopy(before.estimator)
        for _ in range(25):
            tuned.partial_fit(gone.X, 1 - gone.y)
        found["fine-tuned away"] = Held(tuned)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=10)
    parser.add_argument("--learners", nargs="*", default=list(LEARNERS))
    parser.add_argument("--forgotten", type=int, default=60)
    parser.add_argument("--retained", type=int, default=500)
    parser.add_argument("--strangers", type=int, default=250)
    parser.add_argument("--refits", type=int, default=16)
    parser.add_argument("--limit", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    sizes = (chosen.forgotten, chosen.retained, chosen.strangers)
    sound = True
    for name in chosen.learners:
        rows: dict[str, list[tuple[str, float, float, float]]] = {}
        begin = time.process_time()
        for world in range(chosen.worlds):
            recipe = Recipe(name)
            pools = draw(sizes, np.random.default_rng([chosen.seed, world]))
            models = make_models(name, pools, chosen.seed * 1000 + world)
            before = models.pop("before")
            asked = {k: before.predict_proba(p) for k, p in pools.items()}
            for what, after in models.items():
                answers = {k: after.predict_proba(p) for k, p in pools.items()}
                found = audit_unlearning(
                    pools,
                    asked,
                    answers,
                    recipe=recipe,
                    has_features=True,
                    refits=chosen.refits,
                    limit=chosen.limit,
                    confidence=0.95,
                    # The same refits for every model of a world, and so the same numbers.
                    seeds=Seeds(world),
                )
                plain = [margin(answers[k], pools[k].y) for k in ("forgotten", "strangers")]
                assert found.imprint_after is not None
                reach = float("nan") if found.detectable is None else found.detectable
                value = found.imprint_after.value
                rows.setdefault(what, []).append((found.answer.value, value, auc(*plain), reach))
        print(f"\n{name}: {(time.process_time() - begin) / chosen.worlds:.1f} CPU s a world")
        print(
            "| model after | found | not found | inconclusive | imprint | detectable | plain AUC |"
        )
        print("|---|---|---|---|---|---|---|")
        for what, made in rows.items():
            said = [one[0] for one in made]
            means = [float(np.mean([one[i] for one in made])) for i in (1, 3, 2)]
            counts = [said.count(k) for k in ("found", "not_found", "inconclusive")]
            cells = [*map(str, counts), *(f"{mean:.2f}" for mean in means)]
            print(f"| {what} | {' | '.join(cells)} |", flush=True)
        again = [one[0] for one in rows["trained again"]]
        sound &= again.count("found") <= max(1, chosen.worlds // 10)
        sound &= all(one[0] == "found" for one in rows["not changed"])
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
