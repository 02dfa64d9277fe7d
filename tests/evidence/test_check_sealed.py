"""What `check` by itself does not judge: runs renamed, linked, sealed again, or made bare."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import forging
import pytest
from forgery_table import remove
from forging import edit

from privaudit import commitments
from privaudit.cli import main
from privaudit.evidence import ledger, statement, sums

JUDGED = 5
"""Of the toy run, whose controls failed."""


def check(run: Path, *words: str, policy: Path | None = None) -> int:
    rules = policy or run.parent / "policy.toml"
    return main(["check", str(run), "--policy", str(rules), *words])


def soften(tree: forging.Tree) -> None:
    for subject in tree["subjects"]:
        for one in [*subject["outcomes"], *([subject["headline"]] if subject["headline"] else [])]:
            for number in one.get("estimates", []):
                if number["metric"]["name"] == "auc":
                    number.update(value=0.5, low=0.48, high=0.52)


def soften_shared(run: Path) -> None:
    path = run / "shareable" / "audit.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    soften(tree)
    path.write_text(json.dumps(tree, indent=1), encoding="utf-8")


def rename(run: Path) -> Path:
    edit(run, soften)
    return run.rename(run.with_name("better"))


def rename_in_the_document_too(run: Path) -> Path:
    edit(run, lambda tree: (soften(tree), tree["manifest"].update(run="better")))
    return run.rename(run.with_name("better"))


def remove_key(run: Path) -> Path:
    edit(run, soften)
    (run.parent / "restricted" / commitments.KEY).unlink()
    return run


def remove_ledger(run: Path) -> Path:
    edit(run, soften)
    (run.parent / ledger.LEDGER).unlink()
    return run


def make_bare(*names: str) -> Callable[[Path], Path]:
    def act(run: Path) -> Path:
        soften_shared(run)
        remove(*names)(run)
        return run

    return act


def list_anew(run: Path) -> Path:
    """The statement stays as the ledger holds it."""
    soften_shared(run)
    sums.write(run)
    return run


def append_an_end(run: Path) -> Path:
    """A line of the ledger that was written under no key."""
    edit(run, soften)
    made = sums.digest(run / statement.FILE)
    body = {"attempt": "a", "event": "resealed", "run": run.name, "statement": made}
    ledger._add(run.parent / ledger.LEDGER, b"0" * 32, body)
    return run


def put_in_another_folder(run: Path) -> Path:
    """Sealed elsewhere, and put here in the place of a run that this ledger holds."""
    edit(run, soften)
    elsewhere = run.parent.parent / "elsewhere"
    elsewhere.mkdir()
    shutil.move(run, elsewhere / run.name)
    run.symlink_to(elsewhere / run.name)
    return run


def point_latest_elsewhere(run: Path) -> Path:
    put_in_another_folder(run)
    latest = run.with_name("latest")
    latest.unlink(missing_ok=True)
    latest.symlink_to(run.parent.parent / "elsewhere" / run.name)
    return latest


@pytest.mark.parametrize(
    "forge",
    [
        *(rename, rename_in_the_document_too, remove_key, remove_ledger, list_anew, append_an_end),
        *(put_in_another_folder, point_latest_elsewhere),
        make_bare("SHA256SUMS"),
        make_bare("SHA256SUMS", "manifest.json"),
        make_bare("SHA256SUMS", "manifest.json", "events.jsonl", "statement.json", "restricted"),
    ],
)
def test_a_run_beside_its_ledger_is_judged_as_it_was_sealed(
    run: Path, forge: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(run) == JUDGED
    forged = forge(run)
    capsys.readouterr()
    assert check(forged) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert "evidence: " in err


@pytest.mark.parametrize("name", ["restricted", "manifest.json", "events.jsonl"])
def test_the_folder_of_a_run_needs_its_sums_wherever_it_lies(
    run: Path, tmp_path: Path, name: str
) -> None:
    policy = run.parent / "policy.toml"
    copy = tmp_path / "copy" / run.name
    shutil.copytree(run / "shareable", copy / "shareable")
    assert check(copy, policy=policy) == JUDGED
    where = run / name
    (shutil.copytree if where.is_dir() else shutil.copy)(where, copy / name)
    assert check(copy, policy=policy) == 4
    assert check(copy, "--unsealed", policy=policy) == JUDGED


def test_what_is_handed_on_is_judged_with_a_note(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = run.parent / "policy.toml"
    assert check(run.with_name("latest"), policy=policy) == JUDGED
    assert check(run / "shareable", policy=policy) == JUDGED
    assert "note" not in capsys.readouterr().err
    copy = tmp_path / "copy" / run.name
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("restricted"))
    assert check(copy, policy=policy) == JUDGED
    assert "who sealed this audit" in capsys.readouterr().err
    alone = tmp_path / "alone" / "audit.json"
    alone.parent.mkdir()
    shutil.copy(run / "shareable" / "audit.json", alone)
    assert check(alone, policy=policy) == JUDGED
    assert "no sums" in capsys.readouterr().err
    (copy / "manifest.json").unlink()
    sums.write(copy)
    assert check(copy, policy=policy) == 4
