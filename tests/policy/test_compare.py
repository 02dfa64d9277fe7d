"""Comparisons of two runs: paired where they can be, plain about it where not, refused where they
say nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from audits_lab import ANSWERS, FEW, TPR, audit

from privaudit.cli import main
from privaudit.contracts import Scores, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import BoundMethod, Metric, Setting
from privaudit.policy.compare import compare
from privaudit.records import Records, Split
from privaudit.results import Audit, Estimate, Finding, to_json

N = 300
SEX = Setting("column", "sex")


def pools() -> Split:
    def pool(start: int, n: int) -> Records:
        y = np.arange(n) % 2
        return Records((), np.zeros((n, 0)), y, start + np.arange(n), np.zeros(n))

    return Split(pool(0, N), pool(N, N), pool(2 * N, 10))


class Kept:
    """Scores of one attack and answers, in memory."""

    def __init__(self, seed: int, shift: float) -> None:
        common, rng = np.random.default_rng(0), np.random.default_rng(seed)
        noise = common.normal(size=2 * N) + 0.3 * rng.normal(size=2 * N)
        self.scores = Scores(noise[:N] + shift, noise[N:])
        p = 1 / (1 + np.exp(-(common.normal(size=2 * N) + 0.2 * rng.normal(size=2 * N))))
        self.proba = np.column_stack([1 - p, p])
        self.split = pools()
        success = (common.random(N) < 0.4).astype(float)
        self.trials = Trials(success, 0 * success, patients=np.arange(N))

    def evidence(self, subject: str, attack: str) -> Scores | dict[Setting, Trials]:
        if attack == "gone":
            raise OSError
        return {SEX: self.trials} if attack == "attribute" else self.scores

    def answers(self, subject: str) -> np.ndarray:
        return self.proba


def test_from_stored_intervals_where_no_records_are_there() -> None:
    found = compare(audit(0, auc=0.60), audit(1, auc=0.70), why="other splits")
    assert (found.paired, found.why) == (False, "other splits")
    row = next(r for r in found.rows if r.metric == Metric("auc"))
    assert (row.first, row.second, row.paired) == (0.6, 0.7, False)
    assert row.bound is BoundMethod.MOVER
    assert row.value == pytest.approx(0.1)
    # Rounded outwards to the first digit of half the interval's width, 0.028.
    assert (row.low, row.high) == (0.07, 0.13)
    names = {str(r.metric) for r in found.rows}
    assert names == {"auroc", "calibration_slope", "auc", "tpr_at_fpr_0.01"}


def test_record_by_record_where_they_are() -> None:
    found = compare(audit(0), audit(0), (Kept(1, 0.2), Kept(2, 0.6)))
    rows = {str(row.metric): row for row in found.rows}
    assert found.paired
    for name in ("auc", "tpr_at_fpr_0.01", "auroc"):
        assert rows[name].paired, name
        low, value, high = rows[name].low, rows[name].value, rows[name].high
        assert low is not None
        assert value is not None
        assert high is not None
        assert low <= value <= high
    assert rows["auc"].low is not None
    assert rows["auc"].low > 0
    assert not rows["calibration_slope"].paired


def test_trials_are_paired_by_patient() -> None:
    one = audit(0)
    estimates = tuple(
        Estimate(Metric(name, at=SEX), 0.4, 0.3, 0.5)
        for name in ("attack_rate", "attack_minus_control")
    )
    found = Finding("attribute", "attribute", {}, ANSWERS, estimates)
    gone = replace(found, attack="gone")
    held = replace(one, subjects=(replace(one.subjects[0], outcomes=(found, gone)),))
    rows = [r for r in compare(held, held, (Kept(1, 0), Kept(2, 0))).rows if r.attack]
    assert [(r.attack, r.paired) for r in rows] == [
        ("attribute", True),
        ("attribute", True),
        ("gone", False),
        ("gone", False),
    ]
    assert rows[0].value == 0


def test_what_says_nothing_is_refused_and_what_differs_is_named() -> None:
    for change in ({"task": "readmission"}, {"confidence": 0.9}):
        with pytest.raises(PrivauditError, match="different"):
            compare(audit(0), audit(1, **change))  # type: ignore[arg-type]
    other = audit(1, params={"shadows": 64}, statistics="2", profile="smoke")
    told = " ".join(compare(audit(0), other).notes)
    for part in ("lira.shadows: 8 (run-0), 64 (run-1)", "statistics", "profile"):
        assert part in told
    assert "of two equal models" in told


def test_subjects_and_numbers_that_one_run_lacks() -> None:
    found = compare(audit(0, names=("a", "b")), audit(1, names=("b", "c"), tpr=None))
    assert (found.only_first, found.only_second) == (("a",), ("c",))
    lost = next(r for r in found.rows if r.metric == TPR)
    assert (lost.subject, lost.value, lost.refusal) == ("b", None, FEW)
    assert "nothing to compare" in compare(audit(0, names=("a",)), audit(1, names=("c",))).notes[-1]


def _write(folder: Path, one: Audit, seed: int = 0, split: bool = True) -> str:
    (folder / "shareable").mkdir(parents=True)
    (folder / "shareable" / "audit.json").write_text(to_json(one), encoding="utf-8")
    if split:
        kept, pool = Kept(seed, 0.2 * seed), pools()
        (folder / "restricted" / "scores").mkdir(parents=True)
        parts = [pool.members, pool.nonmembers, pool.reference]
        np.savez(
            folder / "restricted" / "split.npz",
            pool=np.repeat(["members", "nonmembers", "reference"], [N, N, 10]),
            patient=np.concatenate([p.patient for p in parts]),
            outcome=np.concatenate([p.y for p in parts]),
            site=np.zeros(2 * N + 10, dtype=int),
            sites=np.array(["all"]),
            classes=np.array(["no", "yes"]),
        )
        np.savez(
            folder / "restricted" / "scores" / "baseline-mlp-lira.npz",
            members=kept.scores.members,
            nonmembers=kept.scores.nonmembers,
            randomised=np.array(False),
            combine=np.array("add"),
        )
    return str(folder)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = _write(tmp_path / "one", audit(0), 1)
    other = _write(tmp_path / "other", audit(0), 3)
    bare = _write(tmp_path / "bare", audit(1), split=False)
    assert main(["compare", one, other]) == 0
    out = capsys.readouterr().out
    assert "both runs were made on the same split" in out
    assert ", paired" in out
    assert main(["compare", one, bare, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert not told["paired"]
    assert "missing" in told["why"]
    assert main(["compare", one, str(tmp_path / "none")]) == 2
    (tmp_path / "other" / "restricted" / "split.npz").write_bytes(b"PK\x03\x04 cut short")
    assert main(["compare", one, other]) == 0
    assert "not readable" in capsys.readouterr().out
