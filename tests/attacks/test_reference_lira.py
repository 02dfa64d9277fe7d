"""The attacker who holds similar patients alone: no candidate is trained on, yet much is found."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from membership_lab import Trees, table
from sklearn.ensemble import RandomForestClassifier

from privaudit.attacks.membership.few_shadow_lira import FewShadowLira
from privaudit.attacks.membership.reference_lira import FEWEST, ReferenceLira
from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import Attack, Fitted, Method, Release, Scores, Target
from privaudit.errors import PrivauditError
from privaudit.facts import Attacker
from privaudit.records import Records, Split
from privaudit.seeds import Seeds
from privaudit.signals import ask, read_signal
from privaudit.stats.auc import auc


@dataclass(frozen=True)
class Pruned(Method):
    """Trees with leaves of a few records: they remember some of what they saw."""

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        forest = RandomForestClassifier(
            15, min_samples_leaf=3, random_state=int(rng.integers(2**31))
        )
        return Release(model=Trees(forest.fit(members.X, members.y)))


FOREST = Pruned()


def world(seed: int, n: int = 200, reference: int = 240) -> Split:
    rng = np.random.default_rng(seed)
    size = 2 * n + reference
    X = rng.normal(size=(size, 8))
    y = (3.0 * X[:, 0] - 3.0 * X[:, 1] + rng.logistic(size=size) > 0).astype(int)
    pool = table(X, y)
    cuts = slice(0, n), slice(n, 2 * n), slice(2 * n, None)
    return Split(*(pool.take(cut) for cut in cuts))


def run(attack: Attack, target: Target) -> Scores:
    made = []
    for refit in attack.refits(target, Seeds(3)):
        model = refit.method.fit(refit.train, np.random.default_rng(len(made))).model
        assert model is not None
        made.append(Fitted(refit.included, read_signal(ask(model, refit.ask), refit.ask)))
    return attack.run(target, made, np.random.default_rng(0))


def area(scores: Scores) -> float:
    return auc(scores.members, scores.nonmembers)


def test_between_the_threshold_and_who_holds_the_candidates() -> None:
    found = {name: [] for name in ("threshold", "similar", "candidates")}
    for seed in range(2):
        split = world(seed)
        target = Target(FOREST.fit(split.members, np.random.default_rng(seed)), split, FOREST)
        found["threshold"].append(area(run(Threshold(), target)))
        found["similar"].append(area(run(ReferenceLira(8), target)))
        found["candidates"].append(area(run(FewShadowLira(8), target)))
    weak, middle, strong = (float(np.mean(found[name])) for name in found)
    assert middle > weak + 0.03
    assert strong > middle


def test_no_candidate_is_trained_on_and_what_is_asked_for_shows_it() -> None:
    split = world(0)
    target = Target(FOREST.fit(split.members, np.random.default_rng(0)), split, FOREST)
    refits = ReferenceLira(8).refits(target, Seeds(1))
    assert len(refits) == 8
    for one, other in zip(refits[::2], refits[1::2], strict=True):
        assert one.pool is split.reference
        assert not (one.included & other.included).any()
        assert (one.included | other.included).all()
        assert len(one.ask) == len(split.reference) + len(split.audit)
    assert ReferenceLira.attacker is Attacker.SIMILAR_PATIENTS
    assert FewShadowLira.attacker is Attacker.CANDIDATES
    assert Threshold.attacker is Attacker.RELEASE_ALONE


def test_a_model_that_saw_none_reads_as_chance() -> None:
    areas = []
    for seed in range(4):
        split = world(seed, n=120, reference=80)
        other = world(seed + 100, n=120).members
        target = Target(FOREST.fit(other, np.random.default_rng(seed)), split, FOREST)
        areas.append(area(run(ReferenceLira(8), target)))
    assert abs(np.mean(areas) - 0.5) < 4 * 0.037 / np.sqrt(4)


def test_what_is_too_little_is_refused() -> None:
    split = world(0)
    few = replace(split, reference=split.reference.take(slice(0, FEWEST - 1)))
    target = Target(FOREST.fit(split.members, np.random.default_rng(0)), few, FOREST)
    assert ReferenceLira(8).refits(target, Seeds(0)) == ()
    with pytest.raises(PrivauditError, match="fewer than 20 patients"):
        ReferenceLira(8).run(target, [], np.random.default_rng(0))
    own = split.reference
    rare = replace(own, y=np.arange(len(own)) // (len(own) - 1))
    target = replace(target, split=replace(split, reference=rare))
    with pytest.raises(PrivauditError, match="one outcome alone"):
        ReferenceLira(8).run(target, [], np.random.default_rng(0))
    with pytest.raises(PrivauditError, match="8 at a time"):
        ReferenceLira(7).refits(replace(target, split=split), Seeds(0))
