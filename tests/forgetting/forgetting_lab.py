"""Patients to be forgotten, retained and never known, and models of which the truth is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from privaudit.contracts import Method, Release
from privaudit.forgetting.audit import audit_unlearning
from privaudit.forgetting.bank import Tables, cut_margins, read_margins, train_bank
from privaudit.forgetting.imprint import Scale
from privaudit.forgetting.judge import Answers, Case, judge_with_refits
from privaudit.forgetting.results import Unlearning
from privaudit.records import Column, Records
from privaudit.seeds import Seeds
from privaudit.signals import margin


@dataclass(frozen=True, eq=False)
class Held:
    estimator: Any

    def predict_proba(self, records: Records) -> np.ndarray:
        found: np.ndarray = self.estimator.predict_proba(records.X)
        return found


@dataclass(frozen=True)
class Forest(Method):
    """Learns its training records almost by heart."""

    trees: int = 12

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        seed = int(rng.integers(2**31))
        made = RandomForestClassifier(self.trees, random_state=seed, n_jobs=1)
        return Release(model=Held(made.fit(members.X, members.y)))


@dataclass(frozen=True)
class Line(Method):
    """Knows next to nothing of any one record."""

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        return Release(model=Held(LogisticRegression(C=0.1).fit(members.X, members.y)))


@dataclass(frozen=True, eq=False)
class Fixed:
    """A model that answers as it is told to."""

    answers: Any

    def predict_proba(self, records: Records) -> np.ndarray:
        found: np.ndarray = self.answers(records)
        return found


def tables(
    seed: int = 0,
    *,
    forgotten: int = 50,
    retained: int = 320,
    strangers: int = 160,
    alike: bool = False,
) -> Tables:
    """Three pools at random; alike: the forgotten are patients like one another."""
    rng = np.random.default_rng(seed)
    n = forgotten + retained + strangers
    x = rng.normal(size=(n, 10)).astype(np.float32)
    y = (x[:, 0] + 0.7 * x[:, 1] + 0.8 * rng.logistic(size=n) > 0).astype(int)
    columns = tuple(Column(f"x{j}") for j in range(x.shape[1]))
    every = Records(columns, x, y, np.arange(n), np.zeros(n, dtype=int))
    order = np.argsort(-x[:, 5]) if alike else np.arange(n)
    rest = rng.permutation(order[forgotten:])
    parts = (rest[:retained], order[:forgotten], rest[retained:])
    return Tables(*(every.take(part) for part in parts))


def train(method: Method, *parts: Records, seed: int = 99) -> Any:
    """A model of these records."""
    return method.fit(Records.concatenate(list(parts)), np.random.default_rng(seed)).model


def relabel(records: Records) -> Records:
    return replace(records, y=1 - records.y)


@cache
def scale(seed: int = 0) -> Scale:
    """Refits of the forest for `tables(seed)`, trained once."""
    return Scale(train_bank(Forest(), tables(seed), refits=16, seeds=Seeds(seed)))


def judge(before: Any, after: Any, limit: float = 0.5, *, other_kind: bool = False) -> Unlearning:
    """The forest's answer on `tables(0)`."""
    held = tables(0)
    pools = {
        "forgotten": held.forgotten,
        "retained": held.retained,
        "strangers": held.strangers,
    }
    made = []
    for model in (before, after):
        proba = {role: model.predict_proba(part) for role, part in pools.items()}
        margins = {r: cut_margins(margin(proba[r], part.y)) for r, part in pools.items()}
        made.append(Answers(proba, margins))
    case = Case(pools, made[0], made[1], 0.95, limit, other_kind)
    assert len(scale().bank.asked) == len(held.forgotten) + len(held.strangers)
    first, second = (scale().read(read_margins(m, scale().bank.asked)) for m in (before, after))
    return judge_with_refits(case, scale(), first, second)


def audit(
    held: Tables,
    before: Any,
    after: Any,
    *,
    recipe: Method | None = None,
    seed: int = 0,
    limit: float = 0.5,
    refits: int = 16,
    has_features: bool = True,
) -> Unlearning:
    pools = {
        "forgotten": held.forgotten,
        "retained": held.retained,
        "strangers": held.strangers,
    }
    asked = [{role: m.predict_proba(part) for role, part in pools.items()} for m in (before, after)]
    return audit_unlearning(
        pools,
        asked[0],
        asked[1],
        recipe=recipe,
        has_features=has_features,
        refits=refits,
        limit=limit,
        confidence=0.95,
        seeds=Seeds(seed),
    )
