"""A key in the place of another, and a ledger put back, are found by what was noted elsewhere."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path

import forging
import pytest

from privaudit import commitments
from privaudit.cli import main
from privaudit.evidence import ledger, verify


def note(run: Path) -> tuple[str, str]:
    """The mark and the head that verify prints."""
    notes = next(one.notes for one in verify(run, numbers=False).checks if one.name == "attempts")
    found = re.search(r"key ([0-9a-f]{12}), last line of attempts.jsonl ([0-9a-f]{64})", str(notes))
    assert found is not None
    return found[1], found[2]


def check(run: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    capsys.readouterr()
    asked = ["verify", str(run), "--quick", "--require", "attempts", "--json", *words]
    code = main(asked)
    checks = json.loads(capsys.readouterr().out)["checks"]
    return code, next(one["faults"] for one in checks if one["name"] == "attempts")


def test_what_was_noted_holds(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark, head = note(run)
    with ledger.attempt(run.parent, "privaudit run toy") as one:
        one.end("", 2)
    assert check(run, "--key-mark", mark, "--head", head, capsys=capsys) == (0, [])
    assert note(run)[0] == mark
    assert note(run)[1] != head


def test_another_key_is_found_by_its_mark(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark, _ = note(run)
    key = secrets.token_bytes(32)
    (run.parent / "restricted" / commitments.KEY).write_bytes(key)
    (run.parent / "restricted" / ledger.HEAD).unlink()
    forging.begin_ledger_anew(run, key)
    code, faults = check(run, "--key-mark", mark, capsys=capsys)
    assert code == 4
    assert any(commitments.mark(key) in fault and mark in fault for fault in faults)


def test_a_document_under_another_key_is_found(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the key is not beside the run."""
    mark, _ = note(run)
    (run.parent / "restricted" / commitments.KEY).unlink()
    assert check(run, "--key-mark", mark, capsys=capsys) == (6, [])
    assert check(run, "--key-mark", "0" * 12, capsys=capsys)[0] == 4


def test_a_ledger_put_back_is_found_by_its_head(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, last = run.parent / ledger.LEDGER, run.parent / "restricted" / ledger.HEAD
    kept = lines.read_bytes(), last.read_bytes()
    with ledger.attempt(run.parent, "privaudit run toy") as one:
        one.saw("other-run", "toy", "hmac-sha256:0123456789ab:" + "a" * 64)
        one.end("other-run", 1)
    _, head = note(run)
    lines.write_bytes(kept[0])
    last.write_bytes(kept[1])
    assert check(run, capsys=capsys) == (0, [])
    code, faults = check(run, "--head", head, capsys=capsys)
    assert (code, len(faults)) == (4, 1)
    lines.unlink()
    assert check(run, "--head", head, capsys=capsys)[0] == 4


@pytest.mark.parametrize("words", [("--key-mark", "x"), ("--head", "A" * 64)])
def test_what_is_no_mark_is_refused(run: Path, words: tuple[str, str]) -> None:
    assert main(["verify", str(run), "--quick", *words]) == 2
