"""Each site alone: outcomes that a site never saw, and what may be said of a small site."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.learners.boosted import Boosted
from pipelines.learners.logreg import LogReg
from pipelines.learners.mlp import MLP
from pipelines.methods.federated import Federated
from pipelines.methods.local_only import UNSEEN, LocalOnly
from privaudit.contracts import Learner, Release
from privaudit.facts import Caveat, CaveatCode
from privaudit.records import Column, Records

SITES = ("north", "south", "Clinic Smith")
CLASSES = ("home", "ward", "surgery", "other")


def specialists(n: int = 600, seed: int = 0) -> Records:
    """Four outcomes that two numbers tell apart; `south` sees three of them, one of them twice."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    centre = np.array([[-2.0, -2.0], [2.0, -2.0], [-2.0, 2.0], [2.0, 2.0]])
    X = centre[y] + rng.normal(size=(n, 2)) * 0.7
    site = rng.integers(0, 2, n)
    site[:8] = 2
    keep = (site != 1) | (y < 2)
    keep[np.flatnonzero((site == 1) & (y == 2))[:2]] = True
    columns = (Column("one", bounds=(-9, 9)), Column("two", bounds=(-9, 9)))
    whole = Records(columns, X, y, np.arange(n), site, classes=CLASSES, sites=SITES)
    return whole.take(keep)


def texts(release: Release) -> str:
    return " ".join(str(note) for note in release.notes)


@pytest.mark.parametrize("learner", [LogReg(), MLP(hidden=(8,)), Boosted(trees=10)])
def test_a_site_that_saw_some_outcomes_answers_in_their_own_columns(learner: Learner) -> None:
    records = specialists()
    release = LocalOnly(learner).fit(records, np.random.default_rng(1))
    assert release.model is not None
    there = records.take((records.site == 1) & (records.y < 2))
    proba = release.model.predict_proba(there)
    assert proba.shape == (len(there), 4)
    assert np.allclose(proba.sum(axis=1), 1)
    assert (proba.argmax(axis=1) == there.y).mean() > 0.9
    assert (proba[:, 3] < 2 * UNSEEN).all()


def test_a_site_with_every_outcome_is_trained_as_before() -> None:
    records = specialists()
    release = LocalOnly().fit(records, np.random.default_rng(1))
    assert release.model is not None
    there = records.take(records.site == 0)
    right = release.model.predict_proba(there).argmax(axis=1) == there.y
    assert right.mean() > 0.9


def test_the_sites_own_models_can_be_asked_about_everybody() -> None:
    records = specialists()
    release = LocalOnly().fit(records, np.random.default_rng(1))
    own = release.model.by_site  # type: ignore[union-attr]
    assert sorted(own) == [0, 1, 2]
    every = records.take(records.site == 0)
    best = own[0].predict_proba(every).argmax(axis=1) == every.y
    poor = own[1].predict_proba(every).argmax(axis=1) == every.y
    assert best.mean() > 0.9
    # It knows two of four outcomes.
    assert 0.4 < poor.mean() < 0.6


def test_no_note_names_a_site_that_is_small_or_lacks_an_outcome() -> None:
    records = specialists()
    alone = LocalOnly().fit(records, np.random.default_rng(1))
    rule = Caveat(CaveatCode.SITES_TRAIN_ALONE, "note", {"least": 5})
    assert rule in alone.notes
    assert any("Clinic Smith" in note for note in alone.restricted_notes)
    one = records.take((records.site != 2) | (records.y == 0))
    joint = Federated(rounds=1).fit(one, np.random.default_rng(1))
    assert any("Clinic Smith" in note for note in joint.restricted_notes)
    for release in (alone, joint):
        assert not any(site in texts(release) for site in SITES)


def test_what_is_said_of_training_alone_does_not_hang_on_the_records() -> None:
    """A note that stands where a site cannot train, and else not, would tell of its patients."""
    records = specialists()
    large = records.take(records.site == 0)
    halved = replace(large, site=np.arange(len(large)) % 2, sites=SITES[:2])
    made = [LocalOnly().fit(table, np.random.default_rng(1)) for table in (records, halved)]
    assert made[0].notes == made[1].notes
    assert made[0].restricted_notes
    assert not made[1].restricted_notes
