"""Members that are read the wrong way round: nothing about membership is within a limit."""

from __future__ import annotations

import numpy as np
import pytest
from policy_lab import DAY, TPR, audit, member, number, policy, subject, tried

from privaudit.contracts import Scores
from privaudit.engine.run import exit_code
from privaudit.facts import Caveat, CaveatCode, ReasonCode
from privaudit.policy import judge
from privaudit.policy.rules import Limit
from privaudit.report.wording.verdicts import word_reason, word_remedy
from privaudit.stats import estimates
from privaudit.stats.wrong_way import find_below_half

LOW = number("auc", 0.36, 0.34, 0.38)
WRONG = Caveat(
    CaveatCode.OUTCOMES_WRONG_WAY,
    params={
        "outcome": "died",
        "against": "",
        "auroc": 0.1,
        "low": 0.05,
        "high": 0.2,
        "confidence": 0.998,
    },
)
RATE = Limit("tpr", "membership.tpr", 0.05, fpr=0.01)


def test_an_auc_surely_below_one_half_is_not_within() -> None:
    found = judge(policy(), audit(subject(outcomes=[member("threshold", LOW)])), today=DAY)
    assert (found.state, found.code) == ("INCONCLUSIVE", 3)
    (one,) = found.verdicts
    assert one.reason.code is ReasonCode.WRONG_WAY_ROUND
    assert "wrong way round" in word_reason(one)
    assert "classes" in word_remedy(one)


def test_one_attack_the_wrong_way_round_spoils_what_others_find() -> None:
    good = member("lira", number("auc", 0.5), number(TPR, 0.01))
    bad = member("threshold", LOW, number(TPR, 0.01))
    asked = policy(RATE, Limit("auc", "membership.auc", 0.6, attacks=("lira",)))
    assert judge(asked, audit(subject(outcomes=[good])), today=DAY).state == "WITHIN"
    found = judge(asked, audit(subject(outcomes=[good, bad])), today=DAY)
    assert [one.state for one in found.verdicts] == ["INCONCLUSIVE", "INCONCLUSIVE"]
    assert found.code == 3


def test_outcomes_ranked_the_wrong_way_round_are_not_within() -> None:
    made = audit(subject(), caveats=(WRONG,))
    assert judge(policy(), audit(subject()), today=DAY).state == "WITHIN"
    assert judge(policy(), made, today=DAY).code == 3
    assert exit_code(made) == 3
    assert exit_code(audit(subject())) == 0


def test_what_exceeds_still_exceeds() -> None:
    leak = member("lira", number("auc", 0.9))
    made = audit(subject(outcomes=[leak, member("threshold", LOW)]), caveats=(WRONG,))
    assert judge(policy(), made, today=DAY).state == "EXCEEDS"


def test_other_families_are_judged_as_before() -> None:
    made = audit(subject(), caveats=(WRONG,))
    guard = Limit("claim", "epsilon.lower_bound", 8.0)
    found = judge(policy(guard, RATE), made, today=DAY)
    assert ReasonCode.WRONG_WAY_ROUND not in [
        one.reason.code for one in found.verdicts if one.metric == "epsilon.lower_bound"
    ]


@pytest.mark.parametrize("attacks", [1, 6])
def test_a_model_at_chance_is_hardly_ever_called_wrong(attacks: int) -> None:
    """False alarms stay near one in a thousand subjects, however many attacks there are."""
    rng = np.random.default_rng(1)
    ids = np.arange(120)
    wrong = 0
    for _ in range(300):
        outcomes = []
        for k in range(attacks):
            scores = Scores(rng.normal(size=120), rng.normal(size=120))
            found = estimates(
                scores, patients=(ids, ids + 500), confidence=0.95, rng=rng, names=("auc",)
            )
            outcomes.append(member(f"attack{k}", *found))
        wrong += bool(find_below_half(subject(outcomes=outcomes)))
    assert wrong <= 3


def test_a_score_turned_round_is_found() -> None:
    rng = np.random.default_rng(0)
    ids = np.arange(400)
    scores = Scores(rng.normal(-0.5, size=400), rng.normal(size=400))
    found = estimates(scores, patients=(ids, ids + 500), confidence=0.95, rng=rng, names=("auc",))
    (one,) = find_below_half(subject(outcomes=[member("threshold", *found)]))
    assert one.attack == "threshold"
    assert one.upper < 0.5
    assert one.confidence == pytest.approx(0.999)


@pytest.mark.parametrize(("gap", "state"), [(-0.3, "INCONCLUSIVE"), (-0.01, "WITHIN")])
def test_a_table_nearer_to_the_control_than_to_its_real_table_is_not_within(
    gap: float, state: str
) -> None:
    outcomes = [
        tried("singling_out", "synthetic", {"univariate": (0.0, 0.02)}),
        tried("linkability", "synthetic", {"1 nearest": (gap, 0.05)}),
        tried("synthetic_attribute_inference", "synthetic", {"age": (0.0, 0.02)}),
    ]
    asked = policy(Limit("table", "synthetic.over_control", 0.1))
    table = subject(outcomes=outcomes, checks=(), access=("TABLE",))
    found = judge(asked, audit(table), today=DAY)
    assert {one.state for one in found.verdicts} == {state}
    assert found.code == (0 if state == "WITHIN" else 3)


@pytest.mark.parametrize(
    ("gap", "half", "state"),
    [(-0.3, 0.05, "INCONCLUSIVE"), (-0.1, 0.09, "WITHIN"), (-0.01, 0.003, "WITHIN")],
)
def test_an_attack_that_loses_to_its_guess_is_no_protection(
    gap: float, half: float, state: str
) -> None:
    found = judge(
        policy(Limit("sex", "attribute.advantage", 0.1)),
        audit(subject(outcomes=[tried("attribute", "attribute", {"sex": (gap, half)})])),
        today=DAY,
    )
    (one,) = found.verdicts
    assert one.state == state
    if state == "INCONCLUSIVE":
        assert one.reason.code is ReasonCode.LOST_TO_GUESS
        assert "guess" in word_reason(one)
        assert "attribute.rule" in word_remedy(one)
