"""Limits that a clean model can keep to, for as many patients as there are."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from policy_lab import audit, member, number, policy, subject
from test_policy_commands import sized

from privaudit.cli import main
from privaudit.errors import PrivauditError
from privaudit.facts import Metric
from privaudit.policy.file import parse
from privaudit.policy.propose import Pools, joint_power, propose, wanted_patients
from privaudit.policy.rules import RELEASES, Limit
from privaudit.policy.simulate import simulate
from privaudit.policy.starters import starter
from privaudit.results import to_json

AUC, TPR = "membership.auc", "membership.tpr"


def limits(text: str) -> dict[str, Limit]:
    return {rule.metric: rule for rule in parse(text.encode()).limits}


def text(release: str) -> str:
    return starter(release, date(2027, 1, 31))


@pytest.mark.parametrize("release", RELEASES)
def test_few_patients_are_asked_coarser_questions_and_never_stricter_ones(release: str) -> None:
    plain = limits(text(release))
    few, many = (limits(propose(text(release), Pools(n, n))) for n in (300, 2500))
    assert few[TPR].fpr == 0.1
    assert many[TPR].fpr == plain[TPR].fpr == 0.01
    assert many[TPR].max >= plain[TPR].max
    assert few[AUC].max >= many[AUC].max >= plain[AUC].max
    # Nothing else of the starter moves.
    others = {name: rule for name, rule in plain.items() if name not in (AUC, TPR)}
    assert {name: few[name] for name in others} == others


@pytest.mark.parametrize("patients", [300, 1000])
def test_a_clean_model_passes_four_times_in_five_and_a_leak_does_not(patients: int) -> None:
    made = limits(propose(text("open-weights"), Pools(patients, patients, 6)))
    run = sized(patients, attacks=6)
    (only,) = run.subjects
    kept = tuple(one for one in only.outcomes if one.family == "membership")
    run = replace(run, subjects=(replace(only, outcomes=kept),))
    found = simulate(policy(made[TPR], made[AUC]), run, runs=40, rng=np.random.default_rng(4))
    assert found.gate["clean"].share("0") >= 0.7
    assert found.gate["clean"].share("1") == 0
    assert found.gate["leaking"].share("0") <= 0.05


def test_more_attacks_must_each_pass_more_often() -> None:
    assert joint_power(0.8, 1, 0.8) == pytest.approx(0.8)
    powers = [joint_power(0.8, count, 0.8) for count in (1, 2, 6, 20)]
    assert powers == sorted(powers)
    # Six independent ones would want .8 ** (1 / 6) each; correlated ones want less.
    assert 0.8 < powers[2] < 0.8 ** (1 / 6)


def test_the_starters_say_for_whom_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wanted_patients(text("open-weights")) > wanted_patients(text("internal")) >= 1000
    assert main(["init", str(tmp_path / "a"), "--release", "open-weights"]) == 0
    wanted = f"about {wanted_patients(text('open-weights')):,} held-out patients or more"
    assert wanted in capsys.readouterr().err
    assert wanted in (tmp_path / "a" / "policy.toml").read_text()


def test_init_takes_a_number_or_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "a"), "--patients", "400"]) == 0
    made = (tmp_path / "a" / "policy.toml").read_text()
    assert "400 training and 400 held-out patients" in made
    assert limits(made)[TPR].fpr == 0.1
    (tmp_path / "audit.json").write_text(to_json(sized(1600, attacks=3)))
    words = ["init", str(tmp_path / "b"), "--audit", str(tmp_path / "audit.json")]
    assert main(words) == 0
    made = (tmp_path / "b" / "policy.toml").read_text()
    assert "1,600 held-out patients" in made
    assert "3 attacks together" in made
    assert main([*words, "--patients", "400"]) == 2
    assert main(["init", str(tmp_path / "c"), "--patients", "99"]) == 2
    capsys.readouterr()


def test_a_run_without_membership_or_patients_is_refused() -> None:
    with pytest.raises(PrivauditError, match="without a number of membership"):
        Pools.of(audit(subject(outcomes=[replace(member(), family="evasion")])))
    few = dict.fromkeys(("members", "member_patients", "nonmember_patients"), 90)
    with pytest.raises(PrivauditError, match="90 held-out patients"):
        Pools.of(audit(subject(outcomes=[member("a", number(Metric("auc"), 0.5, n=few))])))
