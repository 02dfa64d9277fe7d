"""What a year later must still be found: flipped bits, changed numbers, wrong keys."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from forging import edit
from toy_audit import CANARY

from privaudit.cli import main
from privaudit.errors import PrivauditError
from privaudit.evidence import Verification, seal, seals, sign, statement, sums, verify
from privaudit.evidence.vouch import vouch
from privaudit.results import from_json


def states(found: Verification) -> dict[str, str]:
    return {check.name: check.state for check in found.checks}


def signed(run: Path) -> list[str]:
    return [fault for one in sign.signatures(run) for fault in one.faults]


def _outcome(subject: dict, attack: str) -> dict:  # type: ignore[type-arg]
    return next(one for one in subject["outcomes"] if one["attack"] == attack)


def test_a_sealed_run_verifies_whole(run: Path, copied: Path) -> None:
    key = copied / "officer.pem"
    sign.new_key(key)
    vouch(run, sign.private_key(key), policy=copied / "policy.toml")
    found = verify(run, key=key.with_name("officer.pem.pub"), policy=copied / "policy.toml")
    assert (found.faults, found.unmade, found.code) == ((), (), 0)
    assert states(found) == dict.fromkeys(
        [
            *("files", "statement", "signature", "documents", "numbers", "claims", "verdicts"),
            "attempts",
        ],
        "holds",
    )
    numbers = next(check for check in found.checks if check.name == "numbers")
    assert int(numbers.notes[0].split()[0]) > 1500
    assert any("not recomputed" in note for note in numbers.notes)


def test_one_flipped_bit_in_any_file_is_found(run: Path, copied: Path) -> None:
    key = copied / "officer.pem"
    sign.new_key(key)
    vouch(run, sign.private_key(key), numbers=False)
    rng = np.random.default_rng(1)
    files = [path for path in sorted(run.rglob("*")) if path.is_file()]
    assert len(files) > 25
    for path in files:
        whole = path.read_bytes()
        places = {0, 8 * len(whole) - 1, *rng.integers(8 * len(whole), size=3).tolist()}
        for place in places:
            spoiled = bytearray(whole)
            spoiled[place // 8] ^= 1 << place % 8
            path.write_bytes(bytes(spoiled))
            assert sums.check(run) or signed(run), f"bit {place} of {path.name}"
        assert verify(run, numbers=False).code == 4, path.name
        path.write_bytes(whole)
    assert verify(run, numbers=False).faults == ()


def test_every_bit_of_the_small_files_counts(run: Path) -> None:
    """The list itself, whose text could be read in more than one way."""
    for name in ("SHA256SUMS", "restricted/SHA256SUMS"):
        path = run / name
        whole = path.read_bytes()
        for place in range(0, 8 * len(whole), 211):
            spoiled = bytearray(whole)
            spoiled[place // 8] ^= 1 << place % 8
            path.write_bytes(bytes(spoiled))
            assert sums.check(run), f"bit {place} of {name}"
        path.write_bytes(whole)


def test_lost_and_added_files_and_links_are_named(run: Path) -> None:
    (run / "shareable" / "report.md").unlink()
    (run / "shareable" / "other.md").write_text("x", encoding="utf-8")
    score = sorted((run / "restricted" / "scores").iterdir())[0]
    score.rename(score.with_name("moved.npz"))
    link = run / "shareable" / "curves.csv"
    kept = run.parent / "curves.csv"
    link.rename(kept)
    link.symlink_to(kept)
    told = sums.check(run)
    assert [t.split(": ", 1) for t in told] == [
        ["shareable/curves.csv", "a link, which proves nothing of where it points"],
        ["shareable/other.md", "not there when the run was sealed"],
        ["shareable/report.md", "missing"],
        ["restricted/scores/moved.npz", "not there when the run was sealed"],
        [f"restricted/scores/{score.name}", "missing"],
    ]


def test_the_sums_are_those_of_sha256sum(run: Path) -> None:
    for folder in (run, run / "restricted"):
        done = subprocess.run(
            ["sha256sum", "-c", "--strict", "SHA256SUMS"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


def test_numbers_changed_and_sealed_again_are_found_from_the_scores(run: Path) -> None:
    def better(tree: dict) -> None:  # type: ignore[type-arg]
        found = tree["subjects"][1]["outcomes"]
        lira = next(o for o in found if o["attack"] == "lira")
        lira["estimates"][0]["value"] = 0.501

    edit(run, better)
    found = verify(run)
    assert (
        states(found)["files"]
        == states(found)["statement"]
        == states(found)["documents"]
        == "holds"
    )
    assert states(found)["numbers"] == "fails"
    assert any("toy-recall.lira.estimates.auc.value: 0.501 is stored" in f for f in found.faults)


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("utility", lambda s: s["utility"][0].update(high=0.99)),
        ("control", lambda s: s["controls"][0].update(passed=not s["controls"][0]["passed"])),
        ("groups", lambda s: s["utility_groups"][0]["estimates"][0].update(value=0.123)),
        ("headline", lambda s: s["headline"]["estimates"][0].update(low=0.1)),
        ("reliability", lambda s: s["reliability"]["y"].__setitem__(0, 0.5)),
        ("noise", lambda s: _outcome(s, "noise")["curves"][0]["y"].__setitem__(0, 0.9)),
    ],
)
def test_every_kind_of_number_is_made_again(run: Path, where: str, change: object) -> None:
    edit(run, lambda tree: change(tree["subjects"][0]))  # type: ignore[operator]
    told = [f for f in verify(run).faults if where in f]
    assert told, where


def test_hidden_coverage_and_pools_are_found(run: Path) -> None:
    def hide(tree: dict) -> None:  # type: ignore[type-arg]
        tree["data"]["pools"][0]["patients"] += 1
        tested = next(c for c in tree["coverage"] if c["family"] == "attribute")
        tested["state"] = "TESTED"

    edit(run, hide)
    told = verify(run).faults
    assert any(f.startswith("data.pools.members.patients") for f in told)
    assert any(f.startswith("coverage.attribute.state") for f in told)


def test_a_hidden_attack_or_caveat_is_found(run: Path) -> None:
    def hide(tree: dict) -> None:  # type: ignore[type-arg]
        one = tree["subjects"][1]
        one["outcomes"] = [o for o in one["outcomes"] if o["attack"] != "threshold"]
        one["controls"] = [c for c in one["controls"] if c["attack"] != "threshold"]
        tree["caveats"] = [c for c in tree["caveats"] if c["severity"] != "defect"]

    edit(run, hide)
    found = verify(run).faults
    assert "restricted/scores/toy-recall-threshold.npz: no finding reports it" in found
    assert any(fault.startswith("caveats") for fault in found)


def test_a_broken_guarantee_cannot_be_left_unstated(run: Path) -> None:
    """A claim that the stored scores contradict, in a document that states no defect."""

    def claim(tree: dict) -> None:  # type: ignore[type-arg]
        unit = {"unit": "patient", "neighbours": "add-remove"}
        covers = {"covers": ["ANSWERS", "WEIGHTS", "RERUN"]}
        tree["subjects"][1]["claim"] |= {"epsilon": 0.01, **unit, **covers}

    edit(run, claim)
    assert any("one_run.caveats" in fault for fault in verify(run).faults)


def test_a_control_without_a_number_has_not_passed(run: Path) -> None:
    def empty(tree: dict) -> None:  # type: ignore[type-arg]
        tree["subjects"][0]["controls"][0] |= {"estimates": [], "passed": True}

    edit(run, empty)
    assert any("passed is stored, without a number" in fault for fault in verify(run).faults)


def test_a_report_changed_and_sealed_again_is_found(run: Path) -> None:
    path = run / "shareable" / "report.md"
    path.write_text(path.read_text(encoding="utf-8") + "No risk.", encoding="utf-8")
    seal(run)
    faults = verify(run, numbers=False).faults
    assert "shareable/report.md: is not what the audit document makes" in faults


def test_a_document_of_another_schema_is_refused(run: Path) -> None:
    path = run / "shareable" / "audit.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(tree | {"schema": "privaudit/1"}), encoding="utf-8")
    faults = verify(run, numbers=False).faults
    assert "shareable/audit.json: a document with schema 'privaudit/1'" in faults
    assert main(["report", str(run)]) == 2


def test_changed_scores_sealed_again_no_longer_give_the_numbers(run: Path) -> None:
    path = next((run / "restricted" / "scores").glob("toy-recall-lira.npz"))
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files}
    kept["members"] = kept["nonmembers"][: len(kept["members"])].copy()
    np.savez_compressed(path, **kept)
    seal(run)
    assert states(verify(run))["numbers"] == "fails"


def test_a_forged_verdict_is_found(run: Path, copied: Path) -> None:
    path = run / "shareable" / "verdicts.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    first = tree["verdicts"][0]
    first["state"] = "WITHIN" if first["state"] != "WITHIN" else "EXCEEDS"
    path.write_text(json.dumps(tree, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    from privaudit import report

    audit = from_json((run / "shareable" / "audit.json").read_text(encoding="utf-8"))
    report.write(audit, run / "shareable", seals.read_verdicts(run))
    seal(run)
    found = verify(run, policy=copied / "policy.toml", numbers=False)
    assert states(found)["verdicts"] == "fails"
    assert any("recognition" in fault for fault in found.faults)
    bounds = json.loads(path.read_text(encoding="utf-8"))
    bounds["verdicts"][0] = {**tree["verdicts"][0], "upper": 0.0001}
    path.write_text(json.dumps(bounds, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    told = verify(run, policy=copied / "policy.toml", numbers=False).faults
    assert any("0.0001) is stored" in fault for fault in told)
    other = copied / "other.toml"
    other.write_text(
        (copied / "policy.toml").read_text(encoding="utf-8").replace("0.3", "0.9"), encoding="utf-8"
    )
    told = verify(run, policy=other, numbers=False).faults
    assert any("is not the one that the run was judged by" in fault for fault in told)


def test_an_expired_policy_still_verifies_what_it_judged(run: Path, copied: Path) -> None:
    """The policy's review has passed since: it stood on the day of the run."""
    policy = copied / "policy.toml"
    text = policy.read_text(encoding="utf-8")
    audit = from_json((run / "shareable" / "audit.json").read_text(encoding="utf-8"))
    old = text.replace("2099-01-01", audit.manifest.created[:10])
    policy.write_text(old, encoding="utf-8")
    from datetime import date

    from privaudit import report, verdicts
    from privaudit.policy import judge
    from privaudit.policy.file import parse

    rules = parse(old.encode())
    digest = sums.digest(run / "shareable" / "audit.json")
    made = judge(
        rules, audit, audit_sha256=digest, today=date.fromisoformat(audit.manifest.created[:10])
    )
    (run / "shareable" / "verdicts.json").write_text(verdicts.to_json(made), encoding="utf-8")
    report.write(audit, run / "shareable", made)
    seal(run)
    assert states(verify(run, policy=policy, numbers=False))["verdicts"] == "holds"


def test_a_run_handed_on_without_restricted_says_what_was_not_looked_at(
    run: Path, copied: Path
) -> None:
    shutil.rmtree(run / "restricted")
    (copied / "attempts.jsonl").unlink()
    found = verify(run)
    assert found.faults == ()
    assert states(found)["numbers"] == "not checked"
    assert states(found)["attempts"] == "not checked"
    assert found.code == 6
    assert verify(run, require=["files", "statement", "documents"]).code == 0
    notes = " ".join(note for check in found.checks for note in check.notes)
    assert "restricted/ is not here" in notes


def test_numbers_of_other_statistics_are_not_verified(run: Path) -> None:
    """Else whoever changes a number would write another version beside it."""
    edit(run, lambda tree: tree["manifest"].update(statistics="0"))
    found = verify(run)
    assert (states(found)["numbers"], found.code) == ("fails", 4)
    assert any("no number was verified" in fault for fault in found.faults)


LACKS = {"code": "lacks_access", "params": {"access": ["WEIGHTS"]}}


def _move(tree: dict, attack: str, family: str) -> None:  # type: ignore[type-arg]
    """File an attack under another family, consistently."""
    for subject in tree["subjects"]:
        _outcome(subject, attack)["family"] = family
    for row in tree["coverage"]:
        row["attacks"] = [name for name in row["attacks"] if name != attack]
        if row["family"] == family:
            row["attacks"] = sorted([*row["attacks"], attack])
        row["state"] = "TESTED" if row["attacks"] else row["state"]


def _skip(tree: dict, attack: str, reason: dict) -> None:  # type: ignore[type-arg]
    """Turn an attack's findings into attacks that do not apply."""
    for subject in tree["subjects"]:
        subject["controls"] = [one for one in subject["controls"] if one["attack"] != attack]
        for index, one in enumerate(subject["outcomes"]):
            if one["attack"] == attack:
                made = {"attack": attack, "family": one["family"], "kind": "skipped"}
                subject["outcomes"][index] = made | {"reason": reason}


def _invent(tree: dict, attack: str, family: str) -> None:  # type: ignore[type-arg]
    made = {"attack": attack, "family": family, "kind": "skipped", "reason": LACKS}
    for subject in tree["subjects"]:
        subject["outcomes"].append(made)


REFUSED = {"code": "refused", "params": {"what": "none", "because": "none", "fix": "none"}}


def _skip_wrongly(tree: dict) -> None:  # type: ignore[type-arg]
    """An attack that lacks access to weights, skipped for another reason."""
    _invent(tree, "fgsm", "evasion")
    for subject in tree["subjects"]:
        _outcome(subject, "fgsm")["reason"] = REFUSED


def _repeat(tree: dict, attack: str) -> None:  # type: ignore[type-arg]
    for subject in tree["subjects"]:
        subject["outcomes"].append(_outcome(subject, attack))


def _half(tree: dict) -> None:  # type: ignore[type-arg]
    """Planted leaks stated to be weaker than those that were found."""
    for control in tree["subjects"][0]["controls"]:
        if control["kind"] == "positive":
            control["made"]["params"]["lift"] /= 2


def _empty(tree: dict, *parts: str) -> None:  # type: ignore[type-arg]
    for subject in tree["subjects"]:
        subject.update({part: [] for part in parts})


def _forget(tree: dict, attack: str) -> None:  # type: ignore[type-arg]
    """An attack that failed, left out with all that is stated of it."""
    for subject in tree["subjects"]:
        subject["outcomes"] = [one for one in subject["outcomes"] if one["attack"] != attack]
    tree["caveats"] = [one for one in tree["caveats"] if one["params"].get("attack") != attack]


def _drop_controls(tree: dict, kind: str) -> None:  # type: ignore[type-arg]
    for one in tree["subjects"]:
        one["controls"] = [control for control in one["controls"] if control["kind"] != kind]


def _coverage(tree: dict, family: str) -> dict:  # type: ignore[type-arg]
    return next(row for row in tree["coverage"] if row["family"] == family)


@pytest.mark.parametrize(
    ("expected", "change"),
    [
        ("noise.family: attribute is stored", lambda t: _move(t, "noise", "attribute")),
        ("broken.family: evasion is stored", lambda t: _move(t, "broken", "evasion")),
        ("x: no attack of this name is installed", lambda t: _invent(t, "x", "evasion")),
        ("noise: skipped, and its access is no", lambda t: _skip(t, "noise", LACKS)),
        ("fgsm: skipped, and its access is no", lambda t: _skip_wrongly(t)),
        ("plain-noise.npz: no finding reports it", lambda t: _skip(t, "noise", LACKS)),
        ("noise: refused, and restricted/failures", lambda t: _skip(t, "noise", REFUSED)),
        ("lira.negative control: 0 instead of 1", lambda t: _drop_controls(t, "negative")),
        ("lira-positive.npz: no finding", lambda t: _drop_controls(t, "positive")),
        ("control: is not made as", lambda t: _half(t)),
        ("coverage.evasion.state", lambda t: _coverage(t, "evasion").update(state="NOT TESTED")),
        ("coverage.families", lambda t: t["coverage"].remove(_coverage(t, "evasion"))),
        (
            "coverage.poisoning.state",
            lambda t: _coverage(t, "poisoning").update(state="NOT APPLICABLE"),
        ),
        (
            "coverage.membership.not_requested",
            lambda t: _coverage(t, "membership").update(not_requested=[]),
        ),
        ("plain.utility (how many)", lambda t: _empty(t, "utility")),
        ("plain.headline.attack: None", lambda t: t["subjects"][0].update(headline=None)),
        ("plain.headline.attack", lambda t: t["subjects"][0]["headline"].update(attack="noise")),
        ("access.ANSWERS", lambda t: t["subjects"][0].update(access=["WEIGHTS"])),
        (
            "noise.access: is not what",
            lambda t: _outcome(t["subjects"][0], "noise").update(access=[]),
        ),
        ("broken-on-toy-plain.txt: no outcome reports it", lambda t: _forget(t, "broken")),
    ],
)
def test_what_stands_beside_the_numbers_is_derived_again(
    run: Path, expected: str, change: object
) -> None:
    edit(run, change)
    found = verify(run)
    assert found.code == 4
    assert any(expected in fault for fault in found.faults), found.faults


@pytest.mark.parametrize(
    "change", [lambda t: _move(t, "noise", "zzz"), lambda t: _repeat(t, "noise")]
)
def test_a_document_that_no_run_writes_is_not_read(run: Path, change: object) -> None:
    with pytest.raises(PrivauditError, match="document with faults"):
        edit(run, change)


def test_attempts_left_out_or_changed_are_found(run: Path) -> None:
    edit(run, lambda tree: tree["manifest"]["attempts"].update(requests=7))
    assert "not those that the ledger held" in " ".join(verify(run, numbers=False).faults)
    edit(run, lambda tree: tree["manifest"].update(attempts=None))
    assert "the run states no attempts" in " ".join(verify(run, numbers=False).faults)


def test_a_run_that_was_cut_short_says_so(run: Path, tmp_path: Path) -> None:
    (run / "SHA256SUMS").unlink()
    assert "cut short before it was sealed" in verify(run, numbers=False).faults[0]
    shutil.rmtree(run / "shareable")
    found = verify(run)
    assert states(found) == {"files": "fails", "audit": "fails"}
    with pytest.raises(PrivauditError, match="not finished"):
        seal(run)
    with pytest.raises(PrivauditError, match="no run at"):
        verify(tmp_path / "nothing")


def test_files_that_are_no_files_of_ours_do_no_harm(run: Path) -> None:
    (run / "restricted" / "split.npz").write_bytes(b"PK\x03\x04" + b"\0" * 40)
    (run / "statement.json").write_bytes(b'{"_type": [')
    (run / "shareable" / "verdicts.json").write_bytes(b"\xff\xfe")
    found = verify(run)
    assert found.code == 4
    assert any("split.npz" in fault for fault in found.faults)


def test_sealing_twice_gives_the_same_bytes_and_takes_no_time(run: Path) -> None:
    import time

    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    start = time.perf_counter()
    seal(run)
    assert time.perf_counter() - start < 1
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_resealed_refuses_to_cover_up(run: Path) -> None:
    with seals.resealed(run):
        (run / "shareable" / "report.md").write_text("again", encoding="utf-8")
    assert sums.check(run) == ()
    (run / "shareable" / "report.md").unlink()
    with seals.resealed(run, ["shareable/report.md"]):
        (run / "shareable" / "report.md").write_text("again", encoding="utf-8")
    (run / "events.jsonl").write_text("forged", encoding="utf-8")
    with (
        pytest.raises(PrivauditError, match="not as it was sealed"),
        seals.resealed(run, ["shareable/report.md"]),
    ):
        raise AssertionError("never")


def test_what_may_leave_holds_no_patient(run: Path) -> None:
    for path in run.rglob("*"):
        if path.is_file() and "restricted" not in path.parts:
            assert str(CANARY)[:12].encode() not in path.read_bytes(), path.name


def test_the_command(run: Path, copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged = ["--policy", str(copied / "policy.toml")]
    assert main(["verify", str(run), "--quick", "--json", *judged]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["code"], told["checks"][0]["state"]) == (0, "holds")
    assert main(["verify", str(run), "--quick"]) == 6
    assert "not verified: verdicts required, and not checked" in capsys.readouterr().out
    assert main(["verify", str(run), "--quick", "--require", "files,numbers"]) == 6
    assert main(["verify", str(run), "--quick", "--require", "files,statement"]) == 0
    assert "not checked: signature, numbers" in capsys.readouterr().out
    assert main(["verify", str(run), "--require", "everything"]) == 2
    assert main(["verify", str(run), "--retrain", "0"]) == 2
    assert main(["verify", str(run), "--data", "x"]) == 2
    capsys.readouterr()
    (run / "events.jsonl").write_text("", encoding="utf-8")
    assert main(["verify", str(run / "shareable"), "--quick"]) == 4
    out = capsys.readouterr().out
    assert "fault: events.jsonl: changed since the run was sealed" in out
    assert "do not rely on it" in out
    assert main(["verify", str(copied / "none")]) == 2
    assert main(["verify", str(run), "--key", str(copied / "none.pub")]) == 2
    assert main(["verify", str(run), "--policy", str(copied / "none.toml")]) == 2


def test_the_statement_names_every_file(run: Path) -> None:
    named, _ = statement.read(run / "statement.json")
    assert "restricted/SHA256SUMS" in named
    assert not [
        name for name in named if name.startswith("restricted/") and name != "restricted/SHA256SUMS"
    ]
    tree = json.loads((run / "statement.json").read_bytes())
    assert tree["_type"] == "https://in-toto.io/Statement/v1"
    assert tree["predicate"]["attempts"]["started"] == 1
    assert tree["predicate"]["verdict"]["policy"] == "Toy policy"
