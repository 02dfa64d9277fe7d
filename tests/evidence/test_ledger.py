"""The ledger of attempts, commitments, canonical JSON and the bill of materials."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
from toy_audit import CANARY

from privaudit import commitments
from privaudit.cli import main
from privaudit.engine.folder import read
from privaudit.errors import PrivauditError
from privaudit.evidence import bom, ledger, seal, verify
from privaudit.evidence.statement import canonical

DATA = "hmac-sha256:0123456789ab:" + "a" * 64


def once(out: Path, seed: int, code: int = 0, data: str = DATA) -> ledger.Attempts:
    with ledger.attempt(out, "privaudit run toy --profile smoke") as one:
        counted = one.saw(f"run-{seed}", "toy", data)
        one.end(f"run-{seed}", code)
    return counted


def test_repeats_until_one_passes_show(tmp_path: Path) -> None:
    once(tmp_path, 0, 1)
    once(tmp_path, 1, 1)
    once(tmp_path, 7, 0, DATA.replace("a", "b"))
    found = once(tmp_path, 2, 0)
    assert (found.started, found.finished, found.requests) == (3, 2, 1)
    assert found.outcomes == {"1": 2}
    book = ledger.read(tmp_path)
    assert book.faults == ()
    assert found.head in {entry.sha256 for entry in book.entries}
    assert book.count("toy", DATA).outcomes == {"0": 1, "1": 2}


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        (PrivauditError("a", "b", "c"), "refused", 2),
        (KeyboardInterrupt(), "interrupted", 130),
        (RuntimeError("x"), "failed with an error", 70),
    ],
)
def test_how_it_ended_is_noted_also_when_it_did_not(
    tmp_path: Path, error: BaseException, outcome: str, code: int
) -> None:
    def stop() -> None:
        with ledger.attempt(tmp_path, "privaudit run toy") as one:
            one.saw("run", "toy", DATA)
            raise error

    with pytest.raises(type(error)):
        stop()
    last = ledger.read(tmp_path).entries[-1]
    assert (last.event, last.outcome, last.code) == ("ended", outcome, code)


def test_a_changed_lost_or_added_line_breaks_the_chain(tmp_path: Path) -> None:
    for seed in range(3):
        once(tmp_path, seed)
    path = tmp_path / ledger.LEDGER
    lines = path.read_bytes().splitlines(keepends=True)
    spoiled = {
        "changed": [lines[0].replace(b"smoke", b"Smoke"), *lines[1:]],
        "lost": [lines[0], *lines[2:]],
        "added": [lines[0], lines[0], *lines[1:]],
        "swapped": [lines[1], lines[0], *lines[2:]],
        "no entry": [b"{}\n", *lines],
        "garbled": [b"\xff\n", *lines],
    }
    for what, parts in spoiled.items():
        path.write_bytes(b"".join(parts))
        assert ledger.read(tmp_path).faults, what
    path.write_bytes(b"".join(lines))
    assert ledger.read(tmp_path).faults == ()


def test_a_line_cut_short_is_told_and_the_chain_goes_on(tmp_path: Path) -> None:
    once(tmp_path, 0)
    path = tmp_path / ledger.LEDGER
    path.write_bytes(path.read_bytes() + b'{"at": "20')
    assert "cut short" in ledger.read(tmp_path).faults[0]
    once(tmp_path, 1)
    assert ledger.read(tmp_path).faults == (f"{ledger.LEDGER}: line 4 is no entry",)


def test_a_ledger_begun_afresh_is_found(run: Path, copied: Path) -> None:
    assert verify(run, numbers=False).faults == ()
    (copied / ledger.LEDGER).unlink()
    once(copied, 0)
    told = verify(run, numbers=False).faults
    assert f"{ledger.LEDGER}: does not hold what it held when this run was made" in told
    assert any("was cut or begun afresh" in fault for fault in told)


def _many(out: Path) -> None:
    for seed in range(10):
        once(out, seed)


def test_processes_do_not_lose_each_others_lines(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_many, args=(tmp_path,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    book = ledger.read(tmp_path)
    assert (len(book.entries), book.faults) == (60, ())


def test_it_holds_no_path_and_no_patient(copied: Path) -> None:
    text = (copied / ledger.LEDGER).read_text(encoding="utf-8")
    assert str(CANARY)[:12] not in text
    assert "/" not in text.replace("privaudit/", "")
    with pytest.raises(ValueError, match="commitment"), ledger.attempt(copied, "x") as one:
        one.saw("run", "toy", "/data/patients.csv")
    assert ledger.read(copied / "nothing").entries == ()


def test_a_ledger_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with (
        pytest.raises(PrivauditError, match="cannot be written"),
        ledger.attempt(tmp_path / "file", "x"),
    ):
        raise AssertionError("never")


def test_commitments_tell_nothing_without_the_key(tmp_path: Path) -> None:
    key = commitments.load_key(tmp_path)
    assert key == commitments.load_key(tmp_path)
    path = tmp_path / "restricted" / commitments.KEY
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    one, other = commitments.commit(key, "a"), commitments.commit(key, "b")
    assert commitments.same(one, commitments.commit(key, "a")) is True
    assert commitments.same(one, other) is False
    assert commitments.same(one, commitments.commit(b"k" * 32, "a")) is None
    assert commitments.same("", "") is None
    assert one.split(":")[2] != commitments.commit(b"k" * 32, "a").split(":")[2]
    path.write_bytes(b"short")
    with pytest.raises(PrivauditError, match="5 bytes"):
        commitments.load_key(tmp_path)


def test_canonical_json() -> None:
    # RFC 8785, section 3.2.2 and 3.2.3.
    tree = {"numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 1e-27], "b": None, "a": "\u20ac$\n"}
    wanted = '{"a":"€$\\n","b":null,"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27]}'
    assert canonical(tree) == wanted.encode()
    for bad in (float("nan"), 2**60, {1: 2}):
        with pytest.raises(ValueError, match="canonical"):
            canonical(bad)


def test_the_bill_of_materials_is_made_of_the_audit_alone(run: Path) -> None:
    audit = read(run)
    text = (run / "shareable" / "bom.json").read_text(encoding="utf-8")
    assert text == bom.render(audit)
    tree = json.loads(text)
    assert (tree["bomFormat"], tree["specVersion"]) == ("CycloneDX", "1.6")
    models = [c for c in tree["components"] if c["type"] == "machine-learning-model"]
    assert [m["name"] for m in models] == ["toy-plain", "toy-recall"]
    metrics = models[0]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert {"type", "value", "slice"} <= metrics[0].keys()
    assert any(m["type"] == "lira: auc" and "confidenceInterval" in m for m in metrics)
    refs = [c["bom-ref"] for c in tree["components"]]
    assert len(refs) == len(set(refs))
    assert {d for part in tree["dependencies"] for d in part["dependsOn"]} <= set(refs)
    libraries = {c["name"]: c["version"] for c in tree["components"] if c["type"] == "library"}
    provided = {c["name"] for c in tree["components"] if "hashes" in c}
    assert provided == {one.name for one in audit.manifest.plugins}
    assert libraries == dict(audit.manifest.packages)


def test_lines_that_only_look_like_entries_are_faults(tmp_path: Path) -> None:
    once(tmp_path, 0)
    path = tmp_path / ledger.LEDGER
    whole = path.read_bytes()
    first = json.loads(whole.splitlines()[0])
    for change in ({"at": 5}, {"mac": None}, {"mac": "é"}, {"code": "0"}, {"more": "x"}):
        line = json.dumps({**first, **change}, sort_keys=True).encode()
        path.write_bytes(line + b"\n" + whole)
        assert ledger.read(tmp_path).faults, change
    path.write_bytes(b"[" * 100_000 + b"\n")
    assert ledger.read(tmp_path).faults


def test_without_the_key_nobody_can_add_a_line(tmp_path: Path) -> None:
    once(tmp_path, 0)
    path = tmp_path / ledger.LEDGER
    whole = path.read_bytes()
    ledger._add(path, b"k" * 32, {"attempt": "x", "event": "ended", "run": "run-0"})
    assert any("not written under the key" in fault for fault in ledger.read(tmp_path).faults)
    path.write_bytes(whole)
    (tmp_path / "restricted" / commitments.KEY).unlink()
    book = ledger.read(tmp_path)
    assert (book.keyed, book.faults) == (False, ())


def test_a_gate_does_not_judge_a_run_that_was_sealed_again(
    run: Path, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = ["check", str(run), "--policy", str(copied / "policy.toml")]
    assert main(judge) != 4
    path = run / "shareable" / "report.md"
    path.write_text("No risk.", encoding="utf-8")
    seal(run)
    assert main(judge) == 4
    assert "sealed again by other means" in capsys.readouterr().err
    assert main(["report", str(run)]) == 2


def test_a_report_written_again_by_privaudit_is_noted(run: Path, copied: Path) -> None:
    assert main(["report", str(run), "--policy", str(copied / "policy.toml")]) == 0
    found = verify(run, policy=copied / "policy.toml", numbers=False)
    assert found.code == 0
    notes = next(one.notes for one in found.checks if one.name == "attempts")
    assert "the run's report was written again 1 time(s)" in notes
