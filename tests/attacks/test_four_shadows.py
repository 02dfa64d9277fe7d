"""Four shadow models: two complementary pairs, the fewest that have a variance on either side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from membership_lab import World, fitted, game, halves
from sklearn.tree import DecisionTreeClassifier

from privaudit.attacks._half_samples import GROUP, check_count
from privaudit.attacks._shadow_rules import UNCHOSEN, best
from privaudit.attacks.membership.few_shadow_lira import FewShadowLira
from privaudit.attacks.membership.lira import Lira
from privaudit.attacks.membership.patient_risk import PatientRisk
from privaudit.attacks.membership.rmia import Rmia
from privaudit.attacks.membership.shadow import Shadow
from privaudit.cli import main
from privaudit.contracts import Attack
from privaudit.engine.folder import read_exact
from privaudit.errors import PrivauditError
from privaudit.evidence.derive import derive
from privaudit.facts import CaveatCode
from privaudit.inputs.models.in_process import pickle_by_value
from privaudit.seeds import Seeds
from privaudit.stats.auc import auc


@pytest.mark.parametrize("attack", [Lira(4), Rmia(4), FewShadowLira(4), Shadow(4, rows=400)])
def test_two_complementary_pairs_are_enough(attack: Attack) -> None:
    """A leak is found with 4 shadow models; nothing is found where there is none."""
    rng = np.random.default_rng(4)
    n = 600
    y = rng.integers(0, 2, n)
    leaks, nulls = [], []
    for _ in range(3):
        world = World.draw(n, rng, 2.0)
        included = halves(n, 4, rng)
        shadows = fitted(world.answer(included, rng), included)
        for saw, areas in ((np.arange(n) < n // 2, leaks), (np.zeros(n, dtype=bool), nulls)):
            scores = attack.run(game(world.answer(saw, rng), y), shadows, rng)
            areas.append(auc(scores.members, scores.nonmembers))
    assert np.mean(leaks) > 0.65
    assert abs(np.mean(nulls) - 0.5) < 4 * np.sqrt(1 / 6 / (n // 2) / 3)


def test_four_are_asked_for_and_refused_where_they_say_nothing() -> None:
    rng = np.random.default_rng(0)
    target = game(rng.normal(size=40), rng.integers(0, 2, 40))
    four = FewShadowLira(4).refits(target, Seeds(3))
    assert [r.key for r in four] == [r.key for r in FewShadowLira(8).refits(target, Seeds(3))[:4]]
    for refused in (PatientRisk(4), Lira(4, variance="record")):
        with pytest.raises(PrivauditError, match="shadows=4"):
            refused.refits(target, Seeds(0))
    with pytest.raises(PrivauditError, match="shadows=4"):
        check_count(4, fewest=GROUP)


def test_with_four_there_is_none_to_choose_the_rule_by() -> None:
    rng = np.random.default_rng(1)
    included = halves(80, 4, rng)
    assert best(rng.normal(size=(4, 80)), included) == UNCHOSEN
    included = halves(80, 8, rng)
    shadows = World.draw(80, rng).answer(included, rng)
    assert best(shadows, included) in ("curves", "rmia", "mean")


@pytest.mark.slow
def test_an_audit_with_four_runs_through_and_is_verified(tmp_path: Path) -> None:
    """The headline is chosen on halves of the patients, as no refit can be set aside."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 4))
    y = (X[:, 0] + rng.normal(size=240) > 0).astype(int)
    tables = [
        pl.DataFrame(X[part], schema=[f"x{j}" for j in range(4)]).with_columns(
            pl.Series("died", y[part])
        )
        for part in (slice(0, 100), slice(100, 240))
    ]
    raw = pickle_by_value(DecisionTreeClassifier(random_state=0).fit(X[:100], y[:100]))
    assert raw is not None
    (tmp_path / "model.pkl").write_bytes(raw)
    for name, frame in zip(("members", "others"), tables, strict=True):
        frame.write_csv(tmp_path / f"{name}.csv")
    words = [
        *("audit", "--model", str(tmp_path / "model.pkl"), "--trust-pickle", "--jobs", "1"),
        *("--members", str(tmp_path / "members.csv"), "--nonmembers", str(tmp_path / "others.csv")),
        *("--outcome", "died", "--attacks", "few_shadow_lira,rmia", "--profile", "smoke"),
        *("--set", "few_shadow_lira.shadows=4", "--set", "rmia.shadows=4"),
        *("--out", str(tmp_path / "out")),
    ]
    assert main(words) == 0
    run = next((tmp_path / "out").glob("2*"))
    exact = read_exact(run)
    assert derive(run, exact).faults == []
    (subject,) = exact.subjects
    assert subject.headline is not None
    assert {c.code for c in subject.headline.caveats} >= {CaveatCode.CHOSEN_ON_HALVES}
