"""The controls lane: models whose answer is known, judged by a starter policy.

pytest -m "slow or not slow" tests/lanes/test_lane_controls.py
"""

from datetime import date
from pathlib import Path

import pytest
from lane_lab import Everyone, Forest, RandomSplit, audited

from privaudit.attacks.membership.threshold import Threshold
from privaudit.engine.folder import read
from privaudit.facts import ReasonCode
from privaudit.policy import judge
from privaudit.policy.file import parse
from privaudit.policy.rules import RELEASES, Policy
from privaudit.policy.starters import starter
from privaudit.verdicts import Verdict, Verdicts

pytestmark = pytest.mark.slow
DAY = date(2027, 1, 1)


def policy(release: str) -> Policy:
    return parse(starter(release, DAY).encode())


def membership(made: Verdicts) -> list[Verdict]:
    return [
        v for v in made.verdicts if v.metric.startswith("membership.") and v.severity == "block"
    ]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_a_model_that_memorises_exceeds_everywhere(tmp_path: Path) -> None:
    made = audited(Forest(), tmp_path)
    for release in RELEASES:
        found = judge(policy(release), made, today=DAY)
        assert (found.state, found.code) == ("EXCEEDS", 1)
        assert {v.state for v in membership(found)} == {"EXCEEDS"}


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_membership_never_exceeds(seed: int, tmp_path: Path) -> None:
    """The same forest, having seen members and non-members alike."""
    made = audited(Everyone(seed), tmp_path, RandomSplit(seed=seed), {"threshold": Threshold()})
    for release in RELEASES:
        found = judge(policy(release), made, today=DAY)
        # Weights may only be given out with a guarantee, and this model has none.
        assert found.code in ((1,) if release == "open-weights" else (0, 3))
        exceeds = [v.metric for v in found.verdicts if v.state == "EXCEEDS"]
        assert set(exceeds) <= {"epsilon.claimed"}


def test_a_guarantee_of_epsilon_1_never_exceeds(tmp_path: Path) -> None:
    from privaudit.cli import main

    words = "run mortality --profile smoke --methods dp_linear@1,dp_output@1 --learners logreg "
    words += "--attacks membership,epsilon --jobs 1 --out"
    assert main([*words.split(), str(tmp_path)]) == 0
    made = read(tmp_path / "latest")
    assert len(made.subjects) == 2
    for release in RELEASES:
        found = judge(policy(release), made, today=DAY)
        assert found.code in (0, 3), found.notes
        assert not [v for v in found.verdicts if v.state == "EXCEEDS" and v.kind == "limit"]
        assert all(v.state == "WITHIN" for v in found.verdicts if v.metric == "epsilon.claimed")


def test_a_tiny_hold_out_is_inconclusive_and_says_how_many_more(tmp_path: Path) -> None:
    made = audited(Forest(100), tmp_path, RandomSplit(600, 60))
    found = judge(policy("internal"), made, today=DAY)
    assert (found.state, found.code) == ("INCONCLUSIVE", 3)
    rate = next(v for v in found.verdicts if v.metric == "membership.tpr")
    assert rate.state == "INCONCLUSIVE"
    assert rate.reason.code is ReasonCode.TOO_FEW_HELD_OUT
    assert rate.reason.params["more"] == 940
