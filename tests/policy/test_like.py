"""`--like`: the seeds of a baseline found under the key, and the gate's answer in one command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
import pytest
from audits_lab import audit

from privaudit import commitments
from privaudit.cli import main
from privaudit.commands._like import TRIED, _expect, find_seeds, take_over
from privaudit.errors import PrivauditError
from privaudit.policy import baseline
from privaudit.policy.baseline import Baseline
from privaudit.results import Audit, to_json
from privaudit.seeds import commit_to, derive_entropy

WHEN = "2026-01-02T00:00:00+00:00"


@pytest.fixture
def key(tmp_path: Path) -> bytes:
    return commitments.load_key(tmp_path / "runs")


def run(key: bytes, seed: int | None) -> Audit:
    return audit(
        0 if seed is None else seed,
        seed_commitment=commit_to(derive_entropy(key, seed)),
        split_fingerprint=commitments.commit(key, f"split of {seed}"),
        records_fingerprint=commitments.commit(key, "records"),
    )


def held(key: bytes, *seeds: int | None) -> Baseline:
    runs = [run(key, seed) for seed in seeds]
    return baseline.create(runs, who="w", when=WHEN, reason="r")


def test_seeds_are_found_under_the_key_in_the_baselines_order(tmp_path: Path, key: bytes) -> None:
    assert find_seeds(held(key, 3, 1, None, 977), tmp_path / "runs") == [3, 1, None, 977]


def test_a_large_seed_is_read_from_the_folders_own_runs(tmp_path: Path, key: bytes) -> None:
    large = TRIED * 1000
    made = held(key, 1, large)
    with pytest.raises(PrivauditError, match=f"not known here: run-{large}"):
        find_seeds(made, tmp_path / "runs")
    one = replace(run(key, large), manifest=replace(run(key, large).manifest, seed=large))
    folder = tmp_path / "runs" / "x" / "restricted"
    folder.mkdir(parents=True)
    (folder / "audit.json").write_text(to_json(one))
    assert find_seeds(made, tmp_path / "runs") == [1, large]


def test_another_key_is_refused_with_what_to_do(
    tmp_path: Path, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = held(key, 1, 2)
    (tmp_path / "other").write_bytes(bytes(32))
    monkeypatch.setenv(commitments.GIVEN, str(tmp_path / "other"))
    with pytest.raises(PrivauditError, match="made under another key") as error:
        find_seeds(made, tmp_path / "elsewhere")
    assert commitments.GIVEN in error.value.fix
    assert not (tmp_path / "elsewhere").exists()


def test_other_records_and_another_split_are_refused_before_anything_is_trained(
    key: bytes,
) -> None:
    made = held(key, 1, 2)
    records, split = (commitments.commit(key, text) for text in ("records", "split of 1"))
    look = _expect(made, made.runs[0])
    look(records, split)
    with pytest.raises(PrivauditError, match="other records"):
        look(commitments.commit(key, "others"), split)
    with pytest.raises(PrivauditError, match="another split"):
        look(records, commitments.commit(key, "split of 2"))


def test_profile_attacks_and_confidence_are_the_baselines_unless_given(key: bytes) -> None:
    made = held(key, 1, 2)
    options = {"seed": None, "profile": "standard", "attacks": None, "confidence": 0.95}

    @click.command()
    @click.option("--profile", default="smoke")
    @click.option("--attacks")
    @click.option("--confidence", default=0.5)
    def command(**found: object) -> None:
        came.append(take_over({**options, **found}, made))

    came: list[dict[str, object]] = []
    command.main([], standalone_mode=False)
    command.main(["--attacks", "rmia", "--profile", "thorough"], standalone_mode=False)
    # What did not apply is asked for again: what does not apply is then stated as before.
    assert (came[0]["attacks"], came[0]["profile"]) == ("fgsm,lira", "standard")
    assert (came[1]["attacks"], came[1]["profile"]) == ("rmia", "thorough")
    assert came[0]["confidence"] == 0.95
    with pytest.raises(PrivauditError, match="--seed together with --like"):
        take_over({**options, "seed": 3}, made)


def test_what_cannot_be_like_a_baseline_costs_nothing(
    tmp_path: Path, key: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = str(tmp_path / "b.json"), str(tmp_path / "runs")
    Path(path).write_text(baseline.write(held(key, 1, 2)))
    common = ["--learners", "logreg", "--attacks", "threshold", "--out", out]
    assert main(["run", "readmission", "--like", path, *common]) == 2
    assert "task: mortality (baseline), readmission (candidate)" in capsys.readouterr().err
    assert main(["run", "mortality", "--pairs", "3", *common]) == 2
    assert "--pairs without --like" in capsys.readouterr().err
    assert main(["init", str(tmp_path / "p")]) == 0
    words = ["run", "mortality", "--like", path, *common]
    assert main([*words, "--policy", str(tmp_path / "p" / "policy.toml")]) == 2
    assert "--like with a policy that has no [[regression]]" in capsys.readouterr().err
    assert not list(Path(out).glob("2*"))


def test_create_tells_a_task_from_finished_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end = ["--out", str(tmp_path / "b.json"), "--reason", "r"]
    assert main(["baseline", "create", "mortalty", "--seeds", "3", *end]) == 2
    assert "did you mean 'mortality'" in capsys.readouterr().err
    (tmp_path / "run").mkdir()
    assert main(["baseline", "create", str(tmp_path / "run"), "--seeds", "3", *end]) == 2
    assert "options about runs to make (seeds) with finished runs" in capsys.readouterr().err
    assert main(["baseline", "create", "mortality", *end[:3], " "]) == 2
    assert "without a reason" in capsys.readouterr().err


@pytest.mark.slow
def test_one_command_makes_the_baseline_and_one_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    parts = ["--learners", "logreg"]
    words = ["baseline", "create", "mortality", "--seeds", "2", "--profile", "smoke", *parts]
    words += ["--attacks", "threshold,rmia", "--out", "b.json", "--reason", "in use"]
    assert main(words) == 0
    kept = baseline.read(Path("b.json"))
    assert len(kept.runs) == 2
    assert all(one.split for one in kept.runs)
    rules = ['schema = "privaudit.policy/1"', 'name = "p"', "review_by = 2100-01-01"]
    rules += ["[[regression]]", 'metric = "membership.auc"', "margin = 0.02"]
    rules += ["candidate_seeds = 2"]
    for family in ("attribute", "evasion", "inversion", "reconstruction"):
        rules += ["[[not_tested]]", f'family = "{family}"', 'reason = "x"']
    Path("policy.toml").write_text("\n".join(rules))
    capsys.readouterr()
    like = ["run", "mortality", *parts, "--like", "b.json", "--policy", "policy.toml"]
    assert main(like) == 0
    out, err = capsys.readouterr()
    assert "WITHIN  regression membership.auc / baseline-logreg / rmia" in out
    assert "run 2 of 2" in err
    # A candidate that drops the attack that leaks; the same by `check`.
    assert main([*like, "--set", "logreg.C=100", "--attacks", "threshold", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], len(told["runs"])) == ("INCONCLUSIVE", 2)
    first, last = (str(Path(one["audit"]).parents[1]) for one in told["runs"])
    check = ["check", last, "--candidate", first, "--policy", "policy.toml"]
    assert main([*check, "--baseline", "b.json"]) == 3
    out, _ = capsys.readouterr()
    assert "NOT TESTED  regression membership.auc / baseline-logreg / rmia" in out
    # Other records are found out before anything is trained on them.
    there = len(list(Path("runs").glob("2*")))
    assert main([*like, "--window", "48", "--cohort", "all_stays"]) == 2
    assert "data: other records" in capsys.readouterr().err
    assert len(list(Path("runs").glob("2*"))) == there
