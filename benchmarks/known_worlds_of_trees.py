"""Worlds of what a finished model gives away by itself: its trees, its answers, its explanations.

Each is a function of a seed that makes a target; `known_worlds.py` says which attack has which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from privaudit.contracts import Model, Release, Target
from privaudit.inputs.explanations import RecordedExplanations
from privaudit.inputs.models.in_process import open_live
from privaudit.inputs.models.opened_model import Binding
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds

Make = Callable[[int], Target]


def numbers(n: int, rng: np.random.Generator) -> Records:
    """Eight numbers that hang together a little; two tell something of an outcome of one in six."""
    x = rng.normal(size=(n, 8)) + 0.7 * rng.normal(size=(n, 1))
    score = x[:, 0] + x[:, 1] + 2 * rng.normal(size=n)
    y = (score > np.quantile(score, 5 / 6)).astype(int)
    columns = tuple(Column(f"x{i}", bounds=(-8.0, 8.0)) for i in range(8))
    return Records(columns, x, y, np.arange(n), np.zeros(n), classes=("0", "1"))


def yes_or_no(n: int, rng: np.random.Generator) -> Records:
    """Eight answers of yes or no; two tell something of the outcome."""
    x = (rng.random((n, 8)) < 0.5).astype(np.float32)
    y = (x[:, 0] + x[:, 1] + rng.normal(size=n) > 1).astype(int)
    columns = tuple(Column(f"x{i}", "binary") for i in range(8))
    return Records(columns, x, y, np.arange(n), np.zeros(n), classes=("0", "1"))


def hand_out(held: Any, trained_on: Records, split: Split) -> Target:
    """An estimator of scikit-learn, fitted on these records, as a user hands it out."""
    held.fit(trained_on.X.astype(np.float64), trained_on.y)
    binding = Binding(trained_on.columns, trained_on.classes)
    return Target(Release(model=open_live(held).bind(binding)), split)


def _forest(seed: int, **settings: Any) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_jobs=1, random_state=seed, **settings)


def leaves(least: int) -> Make:
    """A forest whose leaves hold so many records at the least."""

    def made(seed: int) -> Target:
        rng = Seeds(seed).rng("leaves")
        split = Split.assign(numbers(2000, rng), rng)
        return hand_out(
            _forest(seed, n_estimators=20, min_samples_leaf=least), split.members, split
        )

    return made


def small_forest(own: bool) -> Make:
    """A forest of 40 records without bootstrap samples, of the members or of others."""

    def made(seed: int) -> Target:
        whole = yes_or_no(440, Seeds(seed).rng("few"))
        cuts = (slice(0, 40), slice(40, 200), slice(200, 400), slice(400, 440))
        members, others, reference, strangers = (whole.take(cut) for cut in cuts)
        split = Split(members, others, reference)
        held = _forest(seed, n_estimators=60, bootstrap=False)
        return hand_out(held, members if own else strangers, split)

    return made


def grown_tree(own: bool) -> Make:
    """A tree grown to leaves of one outcome, on the members or on others."""

    def made(seed: int) -> Target:
        from sklearn.tree import DecisionTreeClassifier

        rng = Seeds(seed).rng("grown")
        split = Split.assign(numbers(2500, rng), rng)
        strangers = numbers(1000, rng)
        held = DecisionTreeClassifier(random_state=seed)
        return hand_out(held, split.members if own else strangers, split)

    return made


@dataclass(frozen=True, eq=False)
class Nearest:
    """Surer of an outcome the nearer a record is to one of that outcome which it has seen."""

    seen: Records

    def predict_proba(self, records: Records) -> np.ndarray:
        mine, theirs = (one.X.astype(np.float64) for one in (records, self.seen))
        apart = (mine**2).sum(1)[:, None] + (theirs**2).sum(1) - 2 * mine @ theirs.T
        near = [apart[:, self.seen.y == c].min(axis=1).clip(0) for c in (0, 1)]
        no, yes = (np.exp(-one / 4) for one in near)
        p = 0.5 + 0.49 * (yes - no)
        return np.column_stack([1 - p, p])


def asked(make: Callable[[Records, int], Model]) -> Make:
    """A model that can be asked, by what makes it of the members."""

    def made(seed: int) -> Target:
        rng = Seeds(seed).rng("asked")
        split = Split.assign(numbers(1500, rng), rng)
        return Target(Release(model=make(split.members, seed)), split)

    return made


def explained(even: float) -> Make:
    """Attributions that sum to the answer's log odds, of members more even by so much."""

    def made(seed: int) -> Target:
        rng = Seeds(seed).rng("explained")
        split = Split.assign(numbers(1200, rng), rng)
        audit = split.audit
        share = rng.dirichlet(np.ones(8), len(audit))
        more = np.where(split.is_member, even, 0.0)[:, None]
        given = audit.X[:, :1] * ((1 - more) * share + more / 8)
        shown = RecordedExplanations.of(audit, given)
        return Target(Release(model=First(), explanations=shown), split)

    return made


@dataclass(frozen=True, eq=False)
class First:
    """Answers by the first column alone."""

    def predict_proba(self, records: Records) -> np.ndarray:
        p = 1 / (1 + np.exp(-records.X[:, 0].astype(float)))
        return np.column_stack([1 - p, p])
