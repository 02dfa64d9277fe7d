"""Models whose answer is known beforehand: one that memorises, one that knows nothing of
membership."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np

from privaudit.attacks.membership.lira import Lira
from privaudit.attacks.membership.rmia import Rmia
from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import Attack, Method, Model, Prepared, Progress, Release, Task
from privaudit.engine.configure import Entry, Request
from privaudit.engine.run import run
from privaudit.records import Column, Records, Split
from privaudit.results import Audit


def patients(n: int, rng: np.random.Generator, start: int = 0) -> Records:
    """n patients of one stay each, eight numbers, an outcome that two of them tell of."""
    X = rng.normal(size=(n, 8)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] + rng.logistic(size=n) > 0).astype(int)
    columns = tuple(Column(f"c{i}") for i in range(8))
    sex = rng.choice(["F", "M"], n)
    ids = np.arange(start, start + n)
    return Records(columns, X, y, ids, np.zeros(n), groups={"sex": sex})


@dataclass(frozen=True, eq=False)
class Answers:
    """A scikit-learn classifier that is asked about records."""

    model: object

    def predict_proba(self, records: Records) -> np.ndarray:
        found: np.ndarray = self.model.predict_proba(records.X)  # type: ignore[attr-defined]
        return found


@dataclass(frozen=True)
class Forest(Method):
    """A random forest; with `leaf` patients at least in every leaf it cannot learn one by heart."""

    leaf: int = 1

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        return Release(model=grown(members, self.leaf, rng))


def grown(members: Records, leaf: int, rng: np.random.Generator) -> Model:
    from sklearn.ensemble import RandomForestClassifier

    made = RandomForestClassifier(
        n_estimators=40, min_samples_leaf=leaf, random_state=int(rng.integers(2**31)), n_jobs=1
    )
    return Answers(made.fit(members.X, members.y))


@dataclass(frozen=True)
class RandomSplit(Task):
    """A split that is supplied: so many members, so many held out."""

    members: int = 1500
    nonmembers: int = 1500
    seed: int = 7

    title: ClassVar[str] = "Lane"
    positive: ClassVar[str] = "yes"

    def split(self) -> Split:
        sizes = (self.members, self.nonmembers, 800)
        whole = patients(sum(sizes), np.random.default_rng(self.seed))
        cuts = np.cumsum((0, *sizes))
        pools = [whole.take(np.arange(a, b)) for a, b in pairwise(cuts)]
        return Split(*pools)

    def prepare(self, data: Path | None, cache: Path, progress: Progress) -> Prepared:
        split = self.split()
        whole = Records.concatenate([split.members, split.nonmembers, split.reference])
        return Prepared(whole, (), "lane", False, split=split)


@dataclass(frozen=True)
class Everyone(Method):
    """The forest that memorises, grown on members and non-members alike: whom it is said to have
    been trained on is the toss of a coin, and no answer of it can tell. Handed out as brought."""

    split_seed: int = 7

    supplied: ClassVar[bool] = True

    @property
    def reruns(self) -> bool:
        return False

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        split = RandomSplit(seed=self.split_seed).split()
        seen = Records.concatenate([split.members, split.nonmembers])
        return Release(model=grown(seen, 1, rng))


ATTACKS: Mapping[str, Attack] = {
    "threshold": Threshold(),
    "lira": Lira(shadows=8),
    "rmia": Rmia(shadows=8),
}


def audited(
    method: Method, out: Path, task: Task | None = None, attacks: Mapping[str, Attack] = ATTACKS
) -> Audit:
    """The audit of one way of training."""
    entries = (Entry("model", "lane", "", method),)
    return run(
        Request("lane", task or RandomSplit(), entries, attacks, "lane", 3), out=out, workers=1
    ).audit


__all__ = ["ATTACKS", "Answers", "Everyone", "Forest", "RandomSplit", "audited", "patients"]
