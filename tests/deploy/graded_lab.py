"""Hospitals with models whose leak is known, for tests of grading and pooling."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipelines.deploy.terms import RunTerms
from privaudit.records import Column, Records, Split

COLUMNS = (
    Column("age", bounds=(18.0, 90.0)),
    Column("lab", bounds=(-4.0, 4.0)),
    Column("sex", "binary", sensitive=True),
)
TERMS = RunTerms("run", "mortality", "federated", ("a", "b", "c", "d"), seed=7)


def make_pool(n: int, start: int, rng: np.random.Generator, rate: float = 0.4) -> Records:
    """n patients of one record each."""
    x = np.column_stack(
        [rng.uniform(18, 90, n), rng.standard_normal(n), rng.integers(0, 2, n)]
    ).astype(np.float32)
    chance = 1 / (1 + np.exp(-(np.log(rate / (1 - rate)) + 1.5 * x[:, 1])))
    y = (rng.random(n) < chance).astype(np.int64)
    return Records(COLUMNS, x, y, np.arange(start, start + n), np.zeros(n, dtype=np.int64))


def make_split(
    n: int, rng: np.random.Generator, nonmembers: int = 0, reference: int = 0, rate: float = 0.4
) -> Split:
    """Pools of n members, as many held out, and 60 reference patients, unless told otherwise."""
    others, known = nonmembers or n, reference or 60
    pools = make_pool(n, 0, rng, rate), make_pool(others, n, rng, rate)
    return Split(*pools, make_pool(known, n + others, rng, rate))


@dataclass(frozen=True)
class Answers:
    """Predicts from the lab value, and is surer of the outcomes that it knows by heart."""

    known: frozenset[int] = frozenset()
    lift: float = 4.0
    log: list[int] = field(default_factory=list)

    def predict_proba(self, records: Records) -> np.ndarray:
        logit = 1.2 * records.X[:, 1].astype(np.float64)
        heart = np.isin(records.patient, list(self.known))
        logit += np.where(heart, self.lift * np.where(records.y == 1, 1.0, -1.0), 0.0)
        p = 1 / (1 + np.exp(-logit))
        return np.column_stack([1 - p, p])


def memorise(split: Split, lift: float = 4.0) -> Answers:
    """A model that knows every member by heart."""
    return Answers(frozenset(split.members.patient.tolist()), lift)
