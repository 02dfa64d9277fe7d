"""Baselines: made of several seeds, refused where they cannot be compared, and a gate that does
not cry wolf."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audits_lab import TPR, audit, estimate, finding

from privaudit.cli import main
from privaudit.errors import PrivauditError
from privaudit.facts import Metric, ReasonCode, Setting, note
from privaudit.policy import baseline
from privaudit.policy.change import Change
from privaudit.policy.regress import _find_step, changes, regress
from privaudit.policy.rules import Regression
from privaudit.report.wording.verdicts import word_finding, word_reason, word_remedy
from privaudit.results import Audit, Control, to_json

WHEN = "2026-01-02T00:00:00+00:00"


RULE = Regression("no-worse", "membership.tpr", 0.02, fpr=0.01)


def runs(values: list[float], start: int = 0, **more: Any) -> list[Audit]:
    more = {"created": "2026-01-03T00:00:00+00:00", **more}
    return [audit(start + i, tpr=value, **more) for i, value in enumerate(values)]


def made(values: list[float] | None = None, **more: Any) -> baseline.Baseline:
    more = {"created": "2026-01-01T00:00:00+00:00", **more}
    audits = runs(values or [0.050, 0.052, 0.048, 0.051, 0.049], **more)
    return baseline.create(audits, who="R. Officer", when=WHEN, reason="first release")


def test_a_baseline_keeps_every_number_and_reads_back_as_it_was() -> None:
    kept = made()
    assert baseline.parse(baseline.write(kept)) == kept
    values = [0.050, 0.052, 0.048, 0.051, 0.049]
    assert kept.values("baseline-mlp", "lira", TPR) == values
    assert kept.values("baseline-mlp", "", Metric("auroc")) == [0.8] * 5
    assert kept.basis.split == ""
    (step,) = kept.history
    assert (step.who, step.reason, len(step.runs)) == ("R. Officer", "first release", 5)
    assert baseline.warnings(kept) == ()
    assert "5 runs that are recommended" in baseline.warnings(made([0.05]))[0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"task": "readmission"}, "task"),
        ({"records_fingerprint": "hmac-sha256:0123456789ab:" + "e" * 64}, "data: other records"),
        ({"records_fingerprint": "hmac-sha256:ffffffffffff:" + "d" * 64}, "different keys"),
        ({"records_fingerprint": ""}, "not committed to"),
        ({"params": {"shadows": 64}}, "lira.shadows: 8"),
        ({"statistics": "2"}, "statistics: 1"),
        ({"profile": "smoke"}, "profile"),
        ({"confidence": 0.9}, "confidence: 0.95"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(PrivauditError, match=named.replace("(", r"\(")):
        regress(RULE, runs([0.05] * 3, **change), made())
    with pytest.raises(PrivauditError, match="not of one kind"):
        baseline.create([audit(0), audit(1, **change)], who="w", when=WHEN, reason="r")


def test_one_given_split_must_be_the_same_one() -> None:
    split = "hmac-sha256:0123456789ab:" + "5" * 64
    kept = made(split_fingerprint=split)
    assert kept.basis.split == split
    assert regress(RULE, runs([0.05] * 3, split_fingerprint=split), kept)[0].state == "WITHIN"
    with pytest.raises(PrivauditError, match="split"):
        regress(RULE, runs([0.05] * 3), kept)


def test_a_seed_counts_once_and_a_reason_is_asked_for() -> None:
    with pytest.raises(PrivauditError, match="one seed: run-3, run-3"):
        baseline.create([audit(3), audit(3)], who="w", when=WHEN, reason="r")
    with pytest.raises(PrivauditError, match="run-4, of seeds"):
        baseline.update(made(), [audit(4)], who="w", when=WHEN, reason="r")
    with pytest.raises(PrivauditError, match="without a reason"):
        baseline.update(made(), [audit(9)], who="w", when=WHEN, reason="  ")
    with pytest.raises(PrivauditError, match="candidate with one seed: run-8"):
        regress(RULE, [audit(8), audit(8), audit(9)], made())
    with pytest.raises(PrivauditError, match="no run"):
        baseline.create([], who="w", when=WHEN, reason="r")


def test_an_update_keeps_the_history() -> None:
    more = baseline.update(made(), [audit(9, tpr=0.06)], who="w", when=WHEN, reason="one more")
    assert (len(more.runs), [s.action for s in more.history]) == (6, ["create", "add"])
    other = [audit(i, params={"shadows": 64}) for i in range(5)]
    anew = baseline.update(more, other, who="w", when=WHEN, reason="more shadows", anew=True)
    assert [s.action for s in anew.history] == ["create", "add", "replace"]
    assert anew.basis.attacks["lira"]["shadows"] == 64
    assert len({s.basis_sha256 for s in anew.history}) == 2
    baseline.parse(baseline.write(anew))


def test_a_baseline_edited_by_hand_is_refused() -> None:
    text = baseline.write(made())
    for old, new in (
        ('"shadows": 8', '"shadows": 9'),
        ('"value": 0.8', '"value": "0.8"'),
        ('"history"', '"story"'),
        ("baseline/2", "baseline/7"),
        ("{", "["),
    ):
        with pytest.raises(PrivauditError, match="baseline with faults"):
            baseline.parse(text.replace(old, new, 1))
    old = text.replace("baseline/2", "baseline/1")
    with pytest.raises(PrivauditError, match=r"'privaudit\.baseline/1', and this version reads"):
        baseline.parse(old)


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ([0.050, 0.051, 0.052], "WITHIN"),
        ([0.010, 0.012, 0.011], "WITHIN"),
        ([0.150, 0.148, 0.155], "EXCEEDS"),
        ([0.069, 0.071, 0.072], "INCONCLUSIVE"),
    ],
)
def test_states(values: list[float], state: str) -> None:
    (verdict,) = regress(RULE, runs(values, start=20), made())
    assert verdict.state == state
    assert verdict.lower is not None
    assert verdict.upper is not None
    assert verdict.value is not None
    assert verdict.lower < verdict.value < verdict.upper
    assert verdict.n == {"baseline_runs": 5, "candidate_runs": 3}
    assert "on average of 5 run(s) of the baseline" in word_finding(verdict)
    assert word_reason(verdict)
    assert (verdict.kind, verdict.attack, verdict.number) == ("regression", "lira", TPR)


def test_too_few_runs_decide_nothing_and_say_how_many_are_missing() -> None:
    (one,) = regress(RULE, audit(7, tpr=0.9), made())
    assert one.state == "INCONCLUSIVE"
    assert one.reason.code is ReasonCode.TOO_FEW_CANDIDATE_RUNS
    assert "asks for 3" in word_reason(one)
    assert "2 more seed(s)" in word_remedy(one)
    (other,) = regress(RULE, runs([0.9] * 3, start=20), made([0.05]))
    assert other.state == "INCONCLUSIVE"
    assert other.reason.code is ReasonCode.TOO_FEW_BASELINE_RUNS
    assert "baseline update" in word_remedy(other)


def test_worse_is_lower_for_utility_and_further_from_one_for_a_slope() -> None:
    rule = replace(RULE, metric="utility.auroc", fpr=None)
    (found,) = regress(rule, runs([0.05] * 3, auroc=0.7), made())
    assert found.state == "EXCEEDS"
    assert found.value == pytest.approx(0.1)
    slope = Change("s", "", Metric("calibration_slope"), "one", (1.0, 1.02), (0.8, 0.8))
    assert slope.worse == pytest.approx(0.19)
    shift = Change("s", "", Metric("calibration_intercept"), "zero", (0.1, -0.1), (-0.3, -0.3))
    assert shift.worse == pytest.approx(0.2)


def test_what_only_one_side_has_is_not_tested() -> None:
    kept = made()
    renamed = runs([0.05] * 3, names=("baseline-lstm",))
    gone, new = regress(RULE, renamed, kept)
    assert [(v.state, v.subject) for v in (gone, new)] == [
        ("NOT TESTED", "baseline-mlp"),
        ("NOT TESTED", "baseline-lstm"),
    ]
    assert gone.reason.code is ReasonCode.ABSENT_FROM_CANDIDATE
    assert new.reason.code is ReasonCode.ABSENT_FROM_BASELINE
    (asked,) = regress(RULE, renamed, kept, subjects=("baseline-lstm",))
    assert (asked.state, asked.subject) == ("NOT TESTED", "baseline-lstm")
    (gone,) = regress(RULE, runs([0.05] * 3), kept, subjects=("baseline-lstm",))
    assert (gone.state, gone.subject) == ("NOT TESTED", "baseline-lstm")
    (none,) = regress(RULE, [audit(i, tpr=None) for i in range(3)], kept)
    assert none.state == "NOT TESTED"
    (missing,) = regress(replace(RULE, attacks=("rmia",)), runs([0.05] * 3), kept)
    assert missing.state == "NOT TESTED"
    # Named by the rule beside one that was run: its absence is no pass.
    both = regress(replace(RULE, attacks=("lira", "rmia")), runs([0.05] * 3), kept)
    assert [(v.attack, v.state) for v in both] == [("lira", "WITHIN"), ("rmia", "NOT TESTED")]


def test_an_attack_that_the_candidate_dropped_is_not_tested() -> None:
    def with_rmia(one: Audit) -> Audit:
        (subject,) = one.subjects
        more = (*subject.outcomes, finding("rmia", {TPR: 0.09}))
        return replace(one, subjects=(replace(subject, outcomes=more),))

    audits = [with_rmia(one) for one in runs([0.05, 0.051, 0.049])]
    kept = baseline.create(audits, who="w", when=WHEN, reason="r")
    found = regress(RULE, runs([0.05] * 3, start=20), kept)
    assert [(v.attack, v.state) for v in found] == [("lira", "WITHIN"), ("rmia", "NOT TESTED")]
    assert found[1].reason.code is ReasonCode.ABSENT_FROM_CANDIDATE
    assert kept.expected(replace(RULE, attacks=("rmia",))) == [("baseline-mlp", "rmia", TPR)]


def test_settings_of_an_attack_are_compared_one_by_one() -> None:
    odd = "race / ethnicity @ 1, had none"

    def leaking(seed: int, gap: float) -> Audit:
        one = audit(seed)
        numbers: dict[Metric, float | None] = {
            Metric("attack_minus_guess", at=Setting("column", name)): value
            for name, value in (("sex", 0.0), (odd, gap))
        }
        found = replace(finding("attribute", numbers), family="attribute")
        return replace(one, subjects=(replace(one.subjects[0], outcomes=(found,)),))

    audits = [leaking(seed, 0.001 * seed) for seed in range(5)]
    kept = baseline.create(audits, who="w", when=WHEN, reason="r")
    rule = Regression("attr", "attribute.advantage", 0.05)
    found = regress(rule, [leaking(seed, 0.3) for seed in (20, 21, 22)], kept)
    assert [(str(v.setting), v.state) for v in found] == [("sex", "WITHIN"), (odd, "EXCEEDS")]
    (one,) = regress(replace(rule, at=(odd,)), [leaking(s, 0.0) for s in (20, 21, 22)], kept)
    assert (str(one.setting), one.state) == (odd, "WITHIN")


def test_bounds_are_those_of_a_pooled_t_interval() -> None:
    from scipy import stats

    before, after = (0.50, 0.52, 0.49, 0.53, 0.51), (0.55, 0.56, 0.52)
    change = Change("s", "lira", Metric("auc"), "low", before, after)
    wanted = stats.ttest_ind(after, before, alternative="greater")
    assert change.p(0.0) == pytest.approx(wanted.pvalue)
    assert change.bound(0.95, "lower") == pytest.approx(wanted.confidence_interval(0.95).low)
    same = Change("s", "lira", Metric("auc"), "low", (0.5, 0.5), (0.5, 0.5))
    assert (same.p(0.0), same.bound(0.99, "upper")) == (1.0, 0.0)


def test_rounding_alone_does_not_show_that_nothing_changed() -> None:
    """0.5951 and 0.6049 are shared as 0.60: eight equal values, a leak larger by 0.0098."""
    assert _find_step((0.6,) * 8, 0.04) == 0.02
    assert _find_step((0.595, 0.6), 0.04) == 0.005
    assert _find_step((0.60321, 0.6), 0.04) == 0.0
    same = Change("s", "lira", Metric("auc"), "low", (0.6,) * 5, (0.6,) * 3, step=0.01)
    assert same.bound(0.95, "upper") == pytest.approx(0.01)
    assert same.bound(0.95, "lower") == pytest.approx(-0.01)
    apart = Change("s", "lira", Metric("auc"), "low", (0.58, 0.6, 0.62), (0.59, 0.61), step=0.01)
    without = replace(apart, step=0.0)
    assert apart.bound(0.95, "upper") == without.bound(0.95, "upper")


def test_an_unchanged_model_is_not_blocked() -> None:
    """Ten thousand unchanged models: seeds move the number with a standard deviation of half the
    margin."""
    rng = np.random.default_rng(7)
    draws = rng.normal(0.05, 0.01, size=(10_000, 8))
    states = []
    for row in draws:
        change = Change("s", "lira", Metric("auc"), "low", tuple(row[:5]), tuple(row[5:]))
        states.append(change.bound(0.95, "lower") > 0.02)
    assert np.mean(states) < 0.0005
    any_increase = draws[:, 5] > draws[:, 0]
    assert 0.48 < any_increase.mean() < 0.52


def test_changes_refuse_nothing_that_only_one_side_attacked() -> None:
    kept = made()
    more = replace(audit(30), subjects=(*audit(30).subjects, *audit(30, names=("x",)).subjects))
    found = changes(RULE, [more], kept)
    assert {c.subject: bool(c.missing) for c in found} == {"baseline-mlp": False, "x": True}


def _write(folder: Path, one: Audit) -> str:
    (folder / one.manifest.run / "shareable").mkdir(parents=True)
    path = folder / one.manifest.run / "shareable" / "audit.json"
    path.write_text(to_json(one), encoding="utf-8")
    return str(folder / one.manifest.run)


def test_the_command_creates_updates_and_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [_write(tmp_path, one) for one in runs([0.05, 0.06, 0.055])]
    file = str(tmp_path / "baseline.json")
    assert (
        main(
            ["baseline", "create", *names[:2], "--out", file, "--reason", "first", "--by", "A. B."]
        )
        == 0
    )
    out, err = capsys.readouterr()
    assert "2 of the 5 runs" in err
    assert "A. B.: create 2 run(s): first" in out
    assert main(["baseline", "create", *names, "--out", file, "--reason", "again"]) == 2
    assert "there already" in capsys.readouterr().err
    assert main(["baseline", "update", file, names[2], "--reason", "more"]) == 0
    capsys.readouterr()
    assert main(["baseline", "update", file, names[2], "--reason", "more"]) == 2
    assert "holds already" in capsys.readouterr().err
    assert main(["baseline", "show", file, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [step["action"] for step in told["history"]] == ["create", "add"]
    assert len(told["runs"]) == 3
    assert main(["baseline", "show", str(tmp_path / "none.json")]) == 2
    assert main(["baseline", "create", str(tmp_path / "none"), "--out", "x", "--reason", "y"]) == 2
    assert main(["baseline", "create", names[0], "--out", str(tmp_path / "y.json")]) == 2


def test_no_baseline_is_made_of_runs_that_failed_or_were_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers that a broken harness or an editor made larger let every candidate pass."""
    one, other = runs([0.05, 0.06])
    null = Control("negative", "lira", (estimate(Metric("auc"), 0.8),), False, note("null"))
    broken = replace(other, subjects=(replace(other.subjects[0], controls=(null,)),))
    end = ["--out", str(tmp_path / "b.json"), "--reason", "r"]
    names = [_write(tmp_path, part) for part in (one, broken)]
    assert main(["baseline", "create", *names, *end]) == 2
    assert "run-1, which failed" in capsys.readouterr().err
    (Path(names[0]) / "SHA256SUMS").write_text("0" * 64 + "  shareable/audit.json\n")
    assert main(["baseline", "create", names[0], *end]) == 2
    assert "run-0, whose evidence does not hold" in capsys.readouterr().err
    assert not (tmp_path / "b.json").exists()
