"""Who reads two documents of nearly the same patients subtracts one from the other: there must not
be two."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_audit import ToyTask, request

from privaudit.attacks.membership.threshold import Threshold
from privaudit.cli import main
from privaudit.engine.run import run
from privaudit.errors import PrivauditError
from privaudit.facts import CaveatCode

N = 1200
RNG = np.random.default_rng(5)
RISK = RNG.beta(2, 4, N)
DIED = RNG.random(N) < RISK
P = np.round(np.clip(RISK + 0.05 * RNG.normal(size=N), 0.01, 0.99), 6)
MEMBER = np.arange(N) % 2 == 0
UNIT = np.where(np.arange(N) % 15 == 0, "burns", np.where(np.arange(N) % 3, "surgery", "medicine"))
VICTIM = int(np.flatnonzero(MEMBER & DIED & (UNIT == "burns"))[0])
EVERYBODY = np.arange(N)


POLICY = """
schema = "privaudit.policy/1"
name = "every unit"
review_by = 2999-01-31
[context]
release = "internal"
[statistics]
positive_control = "optional"
[[limit]]
id = "auc"
metric = "membership.auc"
max = 0.9
by = ["unit"]
[[not_tested]]
family = "attribute"
reason = "predictions alone"
[[not_tested]]
family = "evasion"
reason = "predictions alone"
[[not_tested]]
family = "inversion"
reason = "predictions alone"
[[not_tested]]
family = "membership"
attacks = ["lira", "rmia", "shadow", "few_shadow_lira"]
reason = "predictions alone"
"""


def audit(folder: Path, people: np.ndarray, *more: str, p: np.ndarray = P) -> int:
    """Audit a table of these patients as a user does."""
    table = folder / "table.csv"
    with open(table, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "died", "member", "unit", "p_1"])
        for i in people.tolist():
            writer.writerow([f"P{i}", int(DIED[i]), int(MEMBER[i]), UNIT[i], p[i]])
    asked = ["audit", "--predictions", str(table), "--outcome", "died", "--member", "member"]
    asked += ["--patient", "id", "--groups", "unit", "--profile", "smoke", "--jobs", "1"]
    return main([*asked, "--out", str(folder / "runs"), *more])


@dataclass(frozen=True)
class Gone:
    """What two documents say of the patient whom the second one lacks."""

    is_member: bool
    died: bool
    unit: str
    risk: float


def subtract(documents: Sequence[dict[str, Any]]) -> Gone | None:
    """The attack on two documents: sizes of pools and groups, and sums of squared errors."""
    if len(documents) < 2:
        return None
    counts, groups, errors = [], [], []
    for one in documents:
        (pool,) = (pool for pool in one["data"]["pools"] if pool["name"] == "members")
        counts.append((pool["stays"], round(pool["stays"] * pool["rates"]["1"])))
        (subject,) = one["subjects"]
        (found,) = subject["outcomes"]
        groups.append(
            {
                group["level"]: group["estimates"][0]["n"]["member_patients"]
                for group in found["groups"]
            }
        )
        (brier,) = (e for e in subject["utility_members"] if e["metric"]["name"] == "brier")
        errors.append(brier["value"] * brier["n"]["records"])
    (before, dead), (after, left) = counts
    changed = [level for level in groups[0] if groups[0][level] != groups[1][level]]
    if (before - after, len(changed)) != (1, 1):
        return None
    error = (errors[0] - errors[1]) ** 0.5
    died = dead - left == 1
    return Gone(True, died, changed[0], 1 - error if died else error)


def read(folder: Path, pattern: str) -> list[dict[str, Any]]:
    # Names tell runs of one second apart by chance alone.
    paths = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def shared_files(folder: Path) -> list[Path]:
    """Everything of a folder of runs that does not lie in a restricted folder."""
    files = (path for path in (folder / "runs").rglob("*") if path.is_file())
    return [path for path in files if "restricted" not in path.relative_to(folder).parts]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    assert audit(folder, EVERYBODY) == 0
    return folder


def copy(first: Path, tmp_path: Path) -> Path:
    shutil.copytree(first, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def test_the_exact_documents_give_the_patient_away_and_what_is_shared_does_not(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy(first, tmp_path)
    before = {path: path.read_bytes() for path in shared_files(folder)}
    assert audit(folder, np.delete(EVERYBODY, VICTIM), "--allow-near-cohort") == 0
    out, err = capsys.readouterr()
    assert "must not be shared" in err
    assert "restricted/unshared/report.html" in out
    exact = read(folder, "runs/2*/restricted/audit.json")
    found = subtract(exact)
    assert found is not None
    assert (found.is_member, found.died, found.unit) == (True, True, "burns")
    assert found.risk == pytest.approx(P[VICTIM], abs=1e-6)
    assert CaveatCode.NEAR_COHORT in [caveat["code"] for caveat in exact[1]["caveats"]]

    assert subtract(read(folder, "runs/2*/shareable/audit.json")) is None
    after = {path: path.read_bytes() for path in shared_files(folder)}
    new = [path for path in after if path not in before]
    assert new == []
    moved = [path.name for path in after if after[path] != before[path]]
    assert moved == ["attempts.jsonl"]
    (run,) = {path.parent.parent for path in folder.glob("runs/2*/restricted/unshared")}
    assert main(["verify", str(run)]) == 4
    assert main(["report", str(run)]) == 2
    assert main(["compare", str(run), str(run)]) == 2
    assert "nothing to be shared" in capsys.readouterr().err


@pytest.mark.parametrize("deleted", [False, True], ids=["", "the first run deleted"])
def test_a_second_audit_without_one_patient_is_refused_before_it_begins(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], deleted: bool
) -> None:
    folder = copy(first, tmp_path)
    (run,) = folder.glob("runs/2*")
    if deleted:
        shutil.rmtree(run)
    assert audit(folder, np.delete(EVERYBODY, VICTIM)) == 2
    out, err = capsys.readouterr()
    assert (out, [*folder.glob("runs/2*")]) == ("", [] if deleted else [run])
    assert "fewer than 10 patients" in err
    assert "10 or more patients differ" in err
    assert f"P{VICTIM}" not in err
    assert "burns" not in err
    lines = (folder / "runs" / "attempts.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["event"] for line in lines[-2:]] == ["started", "ended"]


def test_another_model_of_the_same_patients_but_one_is_refused_and_of_the_same_is_not(
    first: Path, tmp_path: Path
) -> None:
    folder = copy(first, tmp_path)
    other = np.round(np.clip(P + 0.02, 0.01, 0.99), 6)
    assert audit(folder, np.delete(EVERYBODY, VICTIM), p=other) == 2
    assert audit(folder, EVERYBODY, p=other) == 0
    assert len(read(folder, "runs/2*/shareable/audit.json")) == 2


def test_ten_fewer_of_whom_one_is_of_a_subgroup_hide_the_subgroups(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy(first, tmp_path)
    others = np.flatnonzero(MEMBER & (UNIT == "surgery"))[:12]
    people = np.delete(EVERYBODY, [VICTIM, *others])
    policy = folder / "policy.toml"
    policy.write_text(POLICY, encoding="utf-8")
    assert audit(folder, EVERYBODY, "--policy", str(policy)) == 0
    # A group whose number is withheld is not judged, and so nothing passes.
    assert audit(folder, people, "--policy", str(policy)) == 3
    assert "The subgroups by unit are not shown" in capsys.readouterr().err
    *_, second = read(folder, "runs/2*/shareable/audit.json")
    (subject,) = second["subjects"]
    groups = [*subject["utility_groups"], *subject["outcomes"][0]["groups"]]
    groups += (subject["headline"] or {}).get("groups", [])
    assert {group["by"] for group in groups} == {"unit"}
    assert [group["estimates"] for group in groups] == [[] for _ in groups]
    exact = read(folder, "runs/2*/restricted/audit.json")[-1]
    made = str(folder / "runs" / exact["manifest"]["run"])
    assert main(["verify", made, "--policy", str(policy)]) == 0
    assert any(group["estimates"] for group in exact["subjects"][0]["utility_groups"])


def test_models_trained_for_each_audit_are_no_excuse(tmp_path: Path) -> None:
    asked = {"attacks": {"threshold": Threshold()}}
    for seed in (1, 2):
        run(request(**asked, seed=seed), out=tmp_path, workers=1)
    for n in (599, 591):
        with pytest.raises(PrivauditError, match="fewer than 10 patients"):
            run(request(**asked, seed=3, task=ToyTask(n)), out=tmp_path, workers=1)
    assert len([*tmp_path.glob("2*")]) == 2
    run(request(**asked, seed=3, task=ToyTask(590)), out=tmp_path, workers=1)
    # That records are open is only said of them: what is shared of closed ones may be near.
    again = request(**asked, seed=3, task=ToyTask(595), exact_counts=True)
    with pytest.raises(PrivauditError, match="fewer than 10 patients"):
        run(again, out=tmp_path, workers=1)
    run(request(**asked, seed=3, task=ToyTask(596, real=False)), out=tmp_path, workers=1)
    assert len([*tmp_path.glob("2*/shareable/audit.json")]) == 4
