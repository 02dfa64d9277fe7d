"""`privaudit report`: the same page from a finished run, with a policy, as PDF, and never with
verdicts of something else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from ruled import limit, ruled
from sample import sample

from privaudit import cli, verdicts
from privaudit.results import to_json

POLICY = """
schema = "privaudit.policy/1"
name = "Models to partners"
owner = "Data protection office"
review_by = 2099-01-01

[context]
release = "partner"

[[limit]]
id = "membership"
metric = "membership.tpr"
fpr = 0.01
max = 0.03
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    shareable = tmp_path / "run" / "shareable"
    shareable.mkdir(parents=True)
    audit = replace(sample(), subjects=sample().subjects[:2])
    (shareable / "audit.json").write_text(to_json(audit), encoding="utf-8")
    return tmp_path / "run"


def digest(run: Path) -> str:
    return hashlib.sha256((run / "shareable" / "audit.json").read_bytes()).hexdigest()


def test_without_a_policy_there_is_no_verdict(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", str(run)]) == 0
    page = Path(capsys.readouterr().out.strip()).read_text(encoding="utf-8")
    assert "NO VERDICT" in page
    assert not (run / "shareable" / "verdicts.json").exists()


def test_a_policy_judges_and_leaves_its_verdicts_beside(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY, encoding="utf-8")
    assert cli.main(["report", str(run), "--policy", str(policy), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    page = Path(told["report"]).read_bytes()
    kept = verdicts.from_json((run / "shareable" / "verdicts.json").read_text(encoding="utf-8"))
    assert kept.audit_sha256 == digest(run)
    assert told["verdict"] == kept.state
    assert kept.state.encode() in page
    assert b"Models to partners" in page
    assert cli.main(["report", str(run)]) == 0
    assert Path(told["report"]).read_bytes() == page


def test_verdicts_of_another_audit_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = ruled((limit("baseline-mlp", "WITHIN"),), "WITHIN")
    (run / "shareable" / "verdicts.json").write_text(verdicts.to_json(other), encoding="utf-8")
    assert cli.main(["report", str(run)]) == 2
    assert "another audit.json" in capsys.readouterr().err
    assert not (run / "shareable" / "report.html").exists()


def test_verdicts_that_belong_are_shown(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ruled((limit("baseline-mlp", "WITHIN", 0.01),), "WITHIN", audit_sha256=digest(run))
    (run / "shareable" / "verdicts.json").write_text(verdicts.to_json(own), encoding="utf-8")
    assert cli.main(["report", str(run)]) == 0
    page = Path(capsys.readouterr().out.strip()).read_text(encoding="utf-8")
    assert "○ WITHIN" in page


def test_a_policy_that_cannot_be_read_writes_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("schema = ", encoding="utf-8")
    assert cli.main(["report", str(run), "--policy", str(policy)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "do this:" in err
    assert sorted(p.name for p in (run / "shareable").iterdir()) == ["audit.json"]
