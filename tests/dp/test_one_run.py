"""The one-run audit as an attack: real models, real coins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from privaudit import plugins, stats
from privaudit.attacks.membership.few_shadow_lira import FewShadowLira
from privaudit.attacks.membership.one_run import OneRun, alike
from privaudit.contracts import Fitted, Release, Target
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds
from privaudit.signals import margin


def records(n: int = 800, stays: int = 1, d: int = 12) -> Records:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(n, d)).astype(np.float32)
    y = (x[:, 0] + 1.5 * rng.normal(size=n) > 0).astype(int)
    columns = tuple(Column(f"x{i}", bounds=(-5.0, 5.0)) for i in range(d))
    return Records(columns, x, y, np.arange(n) // stays, np.zeros(n, dtype=int))


@dataclass(frozen=True, eq=False)
class Memory:
    """Answers that give away membership of one record in `share`, by name."""

    known: np.ndarray
    share: float

    def predict_proba(self, records: Records) -> np.ndarray:
        named = (records.patient[:, None] == self.known[None]).any(axis=1)
        lucky = (records.patient % 100) < 100 * self.share
        p = np.where(named & lucky, 0.99, 0.6)
        out = np.empty((len(records), 2))
        out[np.arange(len(records)), records.y] = p
        out[np.arange(len(records)), 1 - records.y] = 1 - p
        return out


def bound(target: Target, refits=(), shadows: int = 0, seed: int = 0) -> list[float]:
    attack = OneRun(shadows)
    evidence = attack.run(target, refits, Seeds(seed).rng("run"))
    assert evidence.randomised
    patients = (target.split.members.patient, target.split.nonmembers.patient)
    rng = np.random.default_rng(seed)
    return [e.value for e in stats.lower_bounds(evidence, patients=patients, rng=rng)]


def test_a_model_that_remembers_is_caught_at_any_reasonable_promise() -> None:
    split = Split.assign(records(stays=2), Seeds(1).rng("split"))
    model = Memory(np.unique(split.members.patient), 0.5)
    assert min(bound(Target(Release(model=model), split))) > 2.0


def test_a_model_of_other_people_proves_nothing() -> None:
    split = Split.assign(records(), Seeds(1).rng("split"))
    learner = plugins.load("learners", "boosted")()
    alarms = 0
    for k in range(12):
        model = learner.fit(split.reference, Seeds(k).rng("fit"))
        fresh = Split.assign(split.audit, Seeds(k).rng("again"), reference=0.05)
        alarms += max(bound(Target(Release(model=model), fresh), seed=k)) > 0
    assert alarms <= 2


def test_reference_models_sharpen_it_and_stay_honest() -> None:
    """Refits prove more about an overfit forest, and nothing about one that saw none of them."""
    from sklearn.ensemble import RandomForestClassifier

    @dataclass(frozen=True, eq=False)
    class Forest:
        trees: object

        def predict_proba(self, records: Records) -> np.ndarray:
            return np.clip(self.trees.predict_proba(records.X), 0.004, 0.996)

    def fit(part: Records, k: int) -> Forest:
        return Forest(RandomForestClassifier(30, random_state=k).fit(part.X, part.y))

    split = Split.assign(records(), Seeds(2).rng("split"))
    method = plugins.load("methods", "baseline")()
    leaky = Target(Release(model=fit(split.members, 0)), split, method)
    blind = Target(Release(model=fit(split.reference, 0)), split, method)
    asked = OneRun(8).refits(leaky, Seeds(3))
    assert [r.key for r in asked] == [r.key for r in OneRun(8).refits(blind, Seeds(3))]
    fitted = []
    for k, refit in enumerate(asked):
        answers = fit(refit.train, k + 1).predict_proba(refit.ask)
        fitted.append(Fitted(refit.included, margin(answers, refit.ask.y)))
    # Scored as the strongest attack is, which chooses its rule without the assignment.
    strongest = FewShadowLira(8).run(leaky, fitted, Seeds(0).rng("run"))
    own = OneRun(8).run(leaky, fitted, Seeds(0).rng("run"))
    assert np.array_equal(own.members, strongest.members)
    assert np.array_equal(own.nonmembers, strongest.nonmembers)
    assert (own.randomised, own.combine) == (True, "add")
    with_them = bound(leaky, fitted, 8)
    assert min(with_them) > 2.0
    assert min(with_them) > min(bound(leaky)) - 0.05
    assert max(bound(blind, fitted, 8)) < 0.3


@pytest.mark.slow
def test_a_planted_broken_dp_sgd_is_caught_and_the_correct_one_is_not() -> None:
    """Noise 10 times too small, on 1,500 patients whose outcomes can only be learnt by heart."""
    from pipelines.methods.dp_sgd import DPSGD

    @dataclass(frozen=True)
    class Broken(DPSGD):
        def _noise(self, sigma: float) -> float:
            return sigma / 10

    rng = np.random.default_rng(0)
    n, d = 1500, 1200
    x = np.clip(rng.normal(size=(n, d)), -4, 4).astype(np.float32)
    columns = tuple(Column(f"x{i}", bounds=(-4.0, 4.0)) for i in range(d))
    pool = Records(columns, x, rng.integers(0, 2, n), np.arange(n), np.zeros(n))
    for seed in (1, 2):
        split = Split.assign(pool, Seeds(seed).rng("split"), reference=0.02)
        found = {}
        for kind in (Broken, DPSGD):
            method = kind(epsilon=1.0, hidden=0, sampling=0.5, steps=40, rate=0.003)
            release = method.fit(split.members, Seeds(seed).rng("fit"))
            target = Target(release, split, method)
            asked = OneRun(8).refits(target, Seeds(seed))
            streams = [Seeds(seed).rng("refit", k) for k in range(len(asked))]
            again = method.fit_many([r.train for r in asked], streams)
            fitted = [
                Fitted(r.included, margin(a.model.predict_proba(r.ask), r.ask.y))
                for r, a in zip(asked, again, strict=True)
            ]
            found[kind] = bound(target, fitted, 8)
        assert max(found[Broken]) > 1.0
        assert max(found[DPSGD]) < 1.0


def test_scores_of_one_outcome_are_centred_so_that_stays_do_not_count() -> None:
    found = alike(np.array([1.0, 3.0, 10.0, 30.0, 5.0]), np.array([0, 0, 1, 1, 2]))
    assert found == pytest.approx([-1, 1, -1, 1, 0])


def test_refusals() -> None:
    split = Split.assign(records(60), Seeds(1).rng("split"))
    target = Target(Release(model=Memory(np.array([1]), 1.0)), split)
    assert OneRun().refits(target, Seeds(0)) == ()
    with pytest.raises(PrivauditError, match="way of training is unknown"):
        OneRun(16).refits(target, Seeds(0))
    with pytest.raises(PrivauditError, match="shadows=5"):
        OneRun(5).refits(target, Seeds(0))
