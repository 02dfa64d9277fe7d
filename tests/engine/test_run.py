"""A whole audit of toy parts: what it writes, what it keeps to itself, what it refuses to call
fine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from toy_audit import (
    CANARY,
    Blind,
    Broken,
    BrokenPlan,
    Cheat,
    Insulin,
    NeedsWeights,
    Noise,
    Refusing,
    Texts,
    ToyLearner,
    ToyTask,
    numbers,
    request,
)

from privaudit.attacks.membership.lira import Lira
from privaudit.attacks.membership.rmia import Rmia
from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import Attack
from privaudit.engine import measure
from privaudit.engine.events import Event
from privaudit.engine.folder import read, read_exact
from privaudit.engine.run import Finished, run
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode, Reason, ReasonCode, Setting
from privaudit.results import Audit, Failed, Finding, Skipped, from_json


def go(out: Path, attacks: dict[str, Attack] | None = None, **more: object) -> Finished:
    workers = more.pop("workers", 1)
    return run(request(attacks, **more), out=out, workers=workers)  # type: ignore[arg-type]


def codes(audit: Audit) -> list[CaveatCode]:
    return [caveat.code for caveat in audit.caveats]


def auc(audit: Audit, attack: str, subject: int = 0) -> float:
    (found,) = (o for o in audit.subjects[subject].outcomes if o.attack == attack)
    assert isinstance(found, Finding)
    value = found.estimates[0].value
    assert value is not None
    return value


def test_a_run_leaves_a_whole_folder_and_a_memoriser_is_found(tmp_path: Path) -> None:
    learners = {"plain": ToyLearner(), "recall": ToyLearner(memory=3.0)}
    events: list[Event] = []
    finished = run(
        request(learners=learners),
        out=tmp_path,
        workers=1,
        listen=events.append,
        report=lambda audit, folder: (folder / "report.html").write_text(audit.manifest.run),
    )
    assert finished.code == 0
    names = {p.name for p in finished.folder.iterdir()}
    assert names == {"manifest.json", "shareable", "restricted", "events.jsonl"}
    shareable = {p.name for p in (finished.folder / "shareable").iterdir()}
    assert shareable == {"audit.json", "curves.csv", "report.html"}
    assert (tmp_path / "latest").resolve() == finished.folder.resolve()
    assert read(tmp_path / "latest") == finished.audit
    assert {p.name for p in (finished.folder / "restricted").iterdir()} == {
        "README.md",
        "answers",
        "argv.txt",
        "audit.json",
        "flow.csv",
        "plan.json",
        "releases",
        "scores",
        "split.npz",
        "steps.json",
    }
    for folder in (finished.folder / "restricted", tmp_path / "restricted"):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert auc(finished.audit, "lira", 0) < 0.6
    assert auc(finished.audit, "lira", 1) > 0.9
    assert auc(finished.audit, "threshold", 1) > 0.8
    for subject in finished.audit.subjects:
        assert {(c.attack, c.kind) for c in subject.controls} == {
            (a, k) for a in ("lira", "threshold") for k in ("positive", "negative")
        }
        assert all(control.passed for control in subject.controls)
        assert subject.headline is not None
        assert subject.utility
        assert subject.utility_members
        assert subject.reliability is not None
        assert any(group.by == "sex" for o in subject.outcomes for group in o.groups)  # type: ignore[union-attr]
    stages = [event.stage for event in events if event.state == "end"]
    assert stages == ["prepare", "plan", "train", "attack", "measure", "write"]
    lines = (finished.folder / "events.jsonl").read_text().splitlines()
    assert len(lines) == len(events)
    assert json.loads(lines[0])["stage"] == "prepare"


def test_scores_and_split_kept_apart_agree_with_the_document(tmp_path: Path) -> None:
    finished = go(tmp_path, {"threshold": Threshold()})
    restricted = finished.folder / "restricted"
    split = np.load(restricted / "split.npz", allow_pickle=False)
    scores = np.load(restricted / "scores" / "toy-plain-threshold.npz", allow_pickle=False)
    assert CANARY in split["patient"]
    assert (split["pool"] == "members").sum() == len(scores["members"])
    one, zero = scores["members"], scores["nonmembers"]
    by_hand = (one[:, None] > zero).mean() + 0.5 * (one[:, None] == zero).mean()
    assert auc(read_exact(finished.folder), "threshold") == pytest.approx(by_hand)
    assert auc(finished.audit, "threshold") == pytest.approx(by_hand, abs=0.005)


def test_nothing_shareable_names_a_patient_and_small_counts_are_merged(tmp_path: Path) -> None:
    attacks = {"broken": Broken(), "threshold": Threshold()}
    finished = go(tmp_path, attacks)
    told = [p for p in finished.folder.rglob("*") if p.is_file() and "restricted" not in p.parts]
    assert {p.name for p in told} >= {"audit.json", "curves.csv", "events.jsonl", "manifest.json"}
    for path in told:
        assert str(CANARY)[:9] not in path.read_text(), path.name
        assert str(tmp_path) not in path.read_text(), path.name
    assert [row.excluded for row in finished.audit.data.flow] == [0, 40]
    exact = (finished.folder / "restricted" / "flow.csv").read_text()
    assert '"too short",3,640,640' in exact
    generated = go(tmp_path, attacks, task=ToyTask(real=False)).audit
    assert [row.excluded for row in generated.data.flow] == [0, 3, 40]
    assert codes(generated)[0] == CaveatCode.GENERATED_RECORDS


def test_an_attack_that_refuses_is_a_result_and_no_fault(tmp_path: Path) -> None:
    finished = go(tmp_path, {"refusing": Refusing(), "threshold": Threshold()})
    assert finished.code == 0
    subject = finished.audit.subjects[0]
    by_name = {o.attack: o for o in subject.outcomes}
    said = {"what": "nothing to infer", "because": "no column is sensitive", "fix": "mark one"}
    refused = Reason(ReasonCode.REFUSED, said)
    assert by_name["refusing"] == Skipped("refusing", "membership", refused)
    assert {control.attack for control in subject.controls} == {"threshold"}


def test_a_failed_attack_is_reported_without_data_and_fails_the_audit(tmp_path: Path) -> None:
    attacks = {
        "broken": Broken(),
        "lost": BrokenPlan(),
        "weights": NeedsWeights(),
        "noise": Noise(),
        "threshold": Threshold(),
    }
    finished = go(tmp_path, attacks)
    assert finished.code == 5
    by_name = {o.attack: o for o in finished.audit.subjects[0].outcomes}
    broken, lost, weights, noise = (by_name[n] for n in ("broken", "lost", "weights", "noise"))
    assert isinstance(broken, Failed)
    assert broken.reason.code == ReasonCode.FAILED
    assert str(broken.reason.params["error"]).startswith("ValueError in toy_audit.py")
    assert isinstance(lost, Failed)
    assert str(lost.reason.params["error"]).startswith("KeyError")
    assert isinstance(weights, Skipped)
    assert weights.reason == Reason(ReasonCode.LACKS_ACCESS, {"access": ("WEIGHTS",)})
    assert isinstance(noise, Finding)
    assert noise.caveats == (Caveat(CaveatCode.CONTROL_DESCRIBED, "note", {"control": "nothing"}),)
    assert [str(curve.metric) for curve in noise.curves] == ["attack_rate", "control_rate"]
    assert {(curve.kind, curve.unit) for curve in noise.curves} == {("budget", "sd")}
    assert noise.curves[0].x == (0.1, 0.2, 0.4)
    assert isinstance(by_name["threshold"], Finding)
    story = finished.folder / "restricted" / "failures" / "broken-on-toy-plain.txt"
    assert str(CANARY) in story.read_text()
    covered = {c.family: c for c in finished.audit.coverage}
    assert covered["membership"].state == "TESTED"
    assert covered["evasion"].state == "TESTED"
    assert covered["attribute"].state == "NOT TESTED"
    assert covered["attribute"].others == (
        ("broken", broken.reason),
        ("lost", lost.reason),
    )
    attacked = {"attack": "broken", "subject": "toy-plain", **broken.reason.params}
    assert Caveat(CaveatCode.ATTACK_FAILED, "defect", attacked) in finished.audit.caveats
    assert covered["poisoning"].state == "NOT TESTED"
    assert covered["synthetic"].state == "NOT APPLICABLE"


def test_column_names_that_look_like_budgets_give_no_curve(tmp_path: Path) -> None:
    finished = go(tmp_path, {"insulin": Insulin()})
    (found,) = finished.audit.subjects[0].outcomes
    assert isinstance(found, Finding)
    assert found.curves == ()
    at = {estimate.metric.at for estimate in found.estimates}
    assert at == {Setting("column", "24h insulin"), Setting("column", "48h insulin")}
    stored = finished.folder / "restricted" / "scores" / "toy-plain-insulin.npz"
    with np.load(stored, allow_pickle=False) as file:
        assert set(measure.evidence_of(dict(file))) == at


def test_series_named_by_texts_are_refused(tmp_path: Path) -> None:
    finished = go(tmp_path, {"texts": Texts()})
    assert finished.code == 5
    (failed,) = finished.audit.subjects[0].outcomes
    assert isinstance(failed, Failed)
    assert failed.reason.code == ReasonCode.REFUSED
    assert "Setting" in str(failed.reason.params["because"])


@pytest.mark.parametrize(
    ("attack", "kind"), [(Cheat(), "negative"), (Blind(), "positive")], ids=["cheat", "blind"]
)
def test_controls_catch_an_attack_that_cheats_or_finds_nothing(
    tmp_path: Path, attack: Attack, kind: str
) -> None:
    finished = go(tmp_path, {"suspect": attack, "threshold": Threshold()})
    failed = {(c.attack, c.kind) for c in finished.audit.subjects[0].controls if not c.passed}
    assert ("suspect", kind) in failed
    assert not any(name == "threshold" for name, _ in failed)
    assert finished.code == (5 if kind == "negative" else 0)
    (caveat,) = (c for c in finished.audit.caveats if c.params.get("attack") == "suspect")
    if kind == "negative":
        assert (caveat.code, caveat.severity) == (CaveatCode.CONTROL_FAILED, "defect")
        assert caveat.params["control"] == "negative"
    else:
        assert (caveat.code, caveat.severity) == (CaveatCode.PLANTED_LEAK_MISSED, "warning")


def test_a_model_on_which_every_attack_is_blind_is_inconclusive(tmp_path: Path) -> None:
    finished = go(tmp_path, {"suspect": Blind()})
    assert finished.code == 3
    assert CaveatCode.PLANTED_LEAK_MISSED in codes(finished.audit)


def test_same_entropy_same_numbers_whatever_the_jobs(tmp_path: Path) -> None:
    learners = {"plain": ToyLearner(), "recall": ToyLearner(memory=1.0)}
    one = go(tmp_path / "one", learners=learners)
    two = go(tmp_path / "two", learners=learners, workers=2)
    other = go(tmp_path / "other", learners=learners, seed=2)
    assert one.trained == two.trained == 16
    assert numbers(one.audit) == numbers(two.audit)
    assert numbers(one.audit) != numbers(other.audit)


def test_adding_an_attack_moves_no_other_number_and_shares_refits(tmp_path: Path) -> None:
    alone = go(tmp_path / "a", {"lira": Lira(shadows=8)})
    both = go(tmp_path / "b", {"lira": Lira(shadows=8), "rmia": Rmia(shadows=16)})
    assert (alone.trained, both.trained) == (8, 16)
    assert both.audit.manifest.refits == {
        "distinct": 16,
        "trained": 16,
        "reused": 0,
        "asked_for": 24,
    }

    def lira(audit: Audit) -> object:
        tree = numbers(audit)["subjects"][0]
        return (
            [o for o in tree["outcomes"] if o["attack"] == "lira"],
            [c for c in tree["controls"] if c["attack"] == "lira"],
            tree["utility"],
        )

    assert lira(alone.audit) == lira(both.audit)
    again = go(tmp_path / "a", {"lira": Lira(shadows=8), "rmia": Rmia(shadows=16)})
    assert (again.trained, again.reused) == (8, 8)
    assert numbers(again.audit) == numbers(both.audit)


def test_a_finished_run_is_found_again_and_damage_is_noticed(tmp_path: Path) -> None:
    first = go(tmp_path)
    second = go(tmp_path)
    assert (first.trained, first.reused) == (8, 0)
    assert (second.trained, second.reused) == (0, 8)
    assert numbers(first.audit) == numbers(second.audit)
    store = tmp_path / "restricted" / "store"
    (hit,) = list(store.glob("margins/*/*.npz"))[:1]
    whole = bytearray(hit.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    hit.write_bytes(bytes(whole))
    for finding in store.glob("findings/*/*.json"):
        finding.write_text(finding.read_text()[:-20])
    assert len(list(store.glob("findings/*/*.json"))) == 6
    third = go(tmp_path)
    assert (third.trained, third.reused) == (4, 4)
    assert numbers(first.audit) == numbers(third.audit)


def test_an_attack_added_later_is_given_refits_that_are_all_stored(tmp_path: Path) -> None:
    go(tmp_path, {"lira": Lira(shadows=8)})
    later = go(tmp_path, {"rmia": Rmia(shadows=8)})
    assert (later.trained, later.reused) == (0, 8)
    assert later.code == 0
    assert auc(later.audit, "rmia") > 0


def test_a_run_that_fails_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    def interrupted(audit: Audit, folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(request(), out=tmp_path, workers=1, report=interrupted)
    (left,) = (p for p in tmp_path.iterdir() if p.name not in ("restricted", ".gitignore"))
    assert {p.name for p in left.iterdir()} == {"events.jsonl", "restricted"}
    assert not (left / "restricted" / "tables").exists()
    with pytest.raises(PrivauditError, match="no finished run"):
        read(left)


def test_the_document_reads_back_as_written(tmp_path: Path) -> None:
    finished = go(tmp_path)
    text = (finished.folder / "shareable" / "audit.json").read_text()
    assert from_json(text) == finished.audit
    assert json.loads((finished.folder / "manifest.json").read_text())["entropy"] is None


def test_jobs_below_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PrivauditError, match="0 jobs"):
        go(tmp_path, workers=0)
