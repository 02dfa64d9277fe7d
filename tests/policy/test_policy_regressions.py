"""Regressions within a judgement: adjusted with the other rules, waived, and read from the
policy's path."""

from dataclasses import replace
from pathlib import Path

import pytest
from policy_lab import DAY, TOML, audit, member, number, policy, subject

from privaudit.cli import main
from privaudit.errors import PrivauditError
from privaudit.policy import baseline, judge
from privaudit.policy.baseline import Baseline
from privaudit.policy.rules import Limit, Regression
from privaudit.results import Audit, to_json

RULE = Regression("worse", "membership.auc", 0.02, candidate_seeds=3)
AUC = Limit("auc", "membership.auc", 0.9)


def run(auc: float, seed: int) -> Audit:
    made = audit(subject(outcomes=[member("lira", number("auc", auc))]))
    manifest = replace(made.manifest, seed_commitment=f"sha256:{seed:064x}", run=f"run-{seed}")
    return replace(made, manifest=manifest)


def accepted() -> Baseline:
    values = (0.600, 0.604, 0.596, 0.602, 0.598)
    runs = [run(value, seed) for seed, value in enumerate(values)]
    return baseline.create(runs, who="Dr. Who", when="2026-11-01", reason="first release")


@pytest.mark.parametrize(
    ("values", "state", "code"),
    [
        ((0.601, 0.603, 0.598), "WITHIN", 0),
        ((0.70, 0.71, 0.69), "EXCEEDS", 1),
        ((0.60, 0.64, 0.61), "INCONCLUSIVE", 3),
    ],
)
def test_non_inferiority_by_a_margin(values: tuple[float, ...], state: str, code: int) -> None:
    first, *others = (run(value, 10 + i) for i, value in enumerate(values))
    found = judge(policy(AUC, RULE), first, baseline=accepted(), candidates=others, today=DAY)
    moved = found.verdicts[-1]
    assert (moved.kind, moved.state, found.code) == ("regression", state, code)
    assert found.baseline == accepted().name
    assert moved.attack == "lira"


def test_one_run_of_the_candidate_cannot_say() -> None:
    found = judge(policy(AUC, RULE), run(0.6, 10), baseline=accepted(), today=DAY)
    assert (found.verdicts[-1].state, found.code) == ("INCONCLUSIVE", 3)


def test_a_regression_is_judged_together_with_other_rules() -> None:
    """Its bound moves down as more blocking rules stand beside it."""
    runs = [run(value, 10 + i) for i, value in enumerate((0.63, 0.634, 0.627))]
    lone = judge(policy(RULE), runs[0], baseline=accepted(), candidates=runs[1:], today=DAY)
    many = [Limit(f"l{i}", "membership.auc", 0.99) for i in range(30)]
    crowd = judge(policy(*many, RULE), runs[0], baseline=accepted(), candidates=runs[1:], today=DAY)
    one, other = lone.verdicts[-1], crowd.verdicts[-1]
    assert one.lower is not None
    assert other.lower is not None
    assert other.lower < one.lower
    assert other.upper == one.upper


def test_a_baseline_of_other_data_is_refused() -> None:
    other = run(0.6, 10)
    other = replace(other, data=replace(other.data, task="another"))
    with pytest.raises(PrivauditError):
        judge(policy(AUC, RULE), other, baseline=accepted(), today=DAY)


def test_runs_that_no_rule_looks_at_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "policy.toml").write_text(TOML)
    for name, value in (("clean", 0.5), ("leaky", 0.95)):
        (tmp_path / f"{name}.json").write_text(to_json(run(value, 1)))
    words = [str(tmp_path / "clean.json"), "--policy", str(tmp_path / "policy.toml")]
    assert main(["check", *words, "--candidate", str(tmp_path / "leaky.json")]) == 2
    assert "--candidate with a policy that has no [[regression]]" in capsys.readouterr().err
    (tmp_path / "baseline.json").write_text(baseline.write(accepted()))
    assert main(["check", *words, "--baseline", str(tmp_path / "baseline.json")]) == 2
    assert "--baseline with a policy that has no [[regression]]" in capsys.readouterr().err


def test_check_finds_the_baseline_that_the_policy_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = '\n[[regression]]\nmetric = "membership.auc"\nmargin = 0.02\n'
    text = TOML.replace('by = ["sex"]\n', "").replace("max = 0.6", "max = 0.9")
    text = text.replace("membership.tpr", "membership.auc")
    text = text.replace("fpr = 0.01\nmax = 0.05", "max = 0.9")
    (tmp_path / "policy.toml").write_text(text + rule)
    for i, value in enumerate((0.601, 0.603, 0.598)):
        (tmp_path / f"{i}.json").write_text(to_json(run(value, 10 + i)))
    words = ["check", str(tmp_path / "0.json"), "--policy", str(tmp_path / "policy.toml")]
    assert main(words) == 3
    assert "No baseline was given" in capsys.readouterr().out
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "baseline.json").write_text(baseline.write(accepted()))
    given = ["--baseline", str(tmp_path / "kept" / "baseline.json")]
    more = [w for i in (1, 2) for w in ("--candidate", str(tmp_path / f"{i}.json"))]
    assert main([*words, *given, *more]) == 0
    named = (tmp_path / "policy.toml").read_text() + 'baseline = "kept/baseline.json"\n'
    (tmp_path / "policy.toml").write_text(named)
    assert main([*words, *more]) == 0
    second = (
        named + rule.replace("[[regression]]", '[[regression]]\nid = "second"') + 'baseline = "b"\n'
    )
    (tmp_path / "policy.toml").write_text(second)
    capsys.readouterr()
    assert main([*words, *more]) == 2
    assert "2 baselines in the policy" in capsys.readouterr().err
