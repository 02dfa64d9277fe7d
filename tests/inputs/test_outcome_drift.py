"""Outcomes that drift between supplied pools: no leak where none is, a leak where one is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import privaudit
from privaudit.contracts import Model, Release, Scores
from privaudit.engine import nulls
from privaudit.engine.folder import read_exact
from privaudit.evidence.derive import derive
from privaudit.facts import Attacker, CaveatCode, Metric
from privaudit.findings import Findings
from privaudit.records import Column, Records, Split
from privaudit.results import Estimate, Finding
from privaudit.signals import margin
from privaudit.stats import against_null

AUC = Metric("auc")


def world(rng: np.random.Generator, n: int, flip: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(n, 10) features and (n,) outcomes, a share `flip` of them recorded the wrong way."""
    X = rng.normal(size=(n, 10)).astype(np.float32)
    y = X @ np.array([2, -1.6, 1.2, 1, 0, 0, 0, 0, 0, 0]) + rng.logistic(size=n) > 1
    return X, np.where(rng.random(n) < flip, ~y, y).astype(int)


def regression() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


def forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(20, random_state=0)


def audit(model: Any, members: Any, nonmembers: Any, **more: Any) -> Findings:
    call = {"attacks": ("threshold",), "profile": "smoke", "jobs": 1, "seed": 1, **more}
    return privaudit.audit(model, members=members, nonmembers=nonmembers, **call)


def threshold(found: Findings) -> Finding:
    (one,) = [o for o in found.subject.outcomes if o.attack == "threshold"]
    assert isinstance(one, Finding)
    return one


def bounds(one: Finding, part: str) -> tuple[float, float]:
    (auc,) = [e for e in getattr(one, part) if e.metric == AUC]
    assert auc.low is not None
    assert auc.high is not None
    return auc.low, auc.high


def test_drift_in_outcomes_alone_is_no_leak() -> None:
    """The model never saw a member, and one in four outcomes of non-members is wrong."""
    rng = np.random.default_rng(5)
    model = regression().fit(*world(rng, 600))
    found = audit(model, world(rng, 600), world(rng, 800, 0.25), estimator=False)
    one = threshold(found)
    assert bounds(one, "estimates")[0] > 0.5
    assert bounds(one, "null")[0] > 0.5
    low, high = bounds(one, "corrected")
    assert low < 0.51
    assert high < 0.55
    (null,) = [c for c in found.subject.controls if c.kind == "negative"]
    assert null.made.code is CaveatCode.NULL_STAND_IN
    assert any(c.code is CaveatCode.SCORE_DRIFT for c in found.audit.caveats) != null.passed
    assert not any(c.code is CaveatCode.CONTROL_FAILED for c in found.audit.caveats)


def test_a_leak_is_found_under_drift_and_verified(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    members = world(rng, 400)
    found = audit(forest().fit(*members), members, world(rng, 500, 0.2), out=tmp_path)
    one = threshold(found)
    assert bounds(one, "corrected")[0] > 0.6
    made = {c.made.code for c in found.subject.controls if c.kind == "negative"}
    assert made == {CaveatCode.NULL_FOLDS}
    run = next(tmp_path.glob("2*"))
    exact = read_exact(run)
    assert derive(run, exact).faults == []
    (subject,) = exact.subjects
    (own,) = [o for o in subject.outcomes if isinstance(o, Finding)]
    forged = {
        "null": replace(own, null=own.corrected),
        "corrected": replace(own, corrected=own.estimates[:1]),
        "attacker": replace(own, attacker=Attacker.SIMILAR_PATIENTS),
    }
    for part, finding in forged.items():
        changed = replace(exact, subjects=(replace(subject, outcomes=(finding,)),))
        assert any(f"threshold.{part}" in fault for fault in derive(run, changed).faults), part


def test_a_leak_that_drift_hides_is_found() -> None:
    """The members' outcomes are the wrong ones, so that held-out patients are easier."""
    rng = np.random.default_rng(7)
    members = world(rng, 400, 0.3)
    found = audit(regression().fit(*members), members, world(rng, 500))
    one = threshold(found)
    assert bounds(one, "estimates")[1] < 0.5
    assert bounds(one, "corrected")[0] > 0.45


def left(model: Any, split: Split, models: Sequence[Model], parts: nulls.Parts) -> Estimate:
    """What is left of the threshold attack's AUC."""
    scores = []
    for one in (model, parts.join(split, models)):
        margins = margin(one.predict_proba(split.audit), split.audit.y)
        scores.append(Scores(margins[split.is_member], margins[~split.is_member]))
    people = split.members.patient, split.nonmembers.patient
    rng = np.random.default_rng(0)
    found = against_null.correct(*scores, patients=people, confidence=0.95, rng=rng)
    return next(e for e in found if e.metric == AUC)


@dataclass(frozen=True)
class Asked:
    """An estimator asked about records."""

    held: Any

    def predict_proba(self, records: Records) -> np.ndarray:
        return self.held.predict_proba(records.X)


def pool(X: np.ndarray, y: np.ndarray, first: int) -> Records:
    columns = tuple(Column(f"x{j}") for j in range(X.shape[1]))
    return Records(columns, X, y, first + np.arange(len(X)), np.zeros(len(X)))


@pytest.mark.slow
def test_false_alarms_and_misses_over_many_worlds() -> None:
    """10 worlds with a tenth of the held-out outcomes wrong: at most one false alarm, no miss."""
    alarms, missed = 0, 0
    for seed in range(10):
        rng = np.random.default_rng([seed, 13])
        sides = world(rng, 1000), world(rng, 1200, 0.1), world(rng, 50)
        split = Split(*(pool(*side, 10_000 * place) for place, side in enumerate(sides)))
        parts = nulls.Parts.cut(split, rng)
        unseen = Asked(regression().fit(*world(rng, 1000)))
        models = nulls.fit_stand_in(split, Release(model=unseen), parts, rng)
        low = left(unseen, split, models, parts).low
        assert low is not None
        alarms += low > 0.5
        leaking = Asked(forest().fit(*sides[0]))
        tables = nulls.trainings(split, parts)
        others = [Asked(forest().fit(table.X, table.y)) for table in tables]
        low = left(leaking, split, others, parts).low
        assert low is not None
        missed += low < 0.6
    assert alarms <= 1
    assert missed == 0
