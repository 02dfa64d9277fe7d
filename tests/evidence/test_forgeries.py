"""Each forgery is found, also those that take more than one run."""

from __future__ import annotations

import json
import secrets
import shutil
from dataclasses import replace
from pathlib import Path

import forging
import numpy as np
import pytest
from forgery_table import TABLE, Forgery, Tree, mix_scores, narrow, render_table, weaker_headline
from forging import change_json, edit
from sealed_lab import ask, make_run

from privaudit import commitments
from privaudit.engine.configure import Entry
from privaudit.evidence import Again, Verification, ledger, sign, statement, verify
from privaudit.evidence.vouch import vouch


def state(found: Verification, name: str) -> str:
    return next((one.state for one in found.checks if one.name == name), "not checked")


def check(run: Path) -> Verification:
    return verify(run, policy=run.parent / "policy.toml")


def test_the_untouched_run_holds(run: Path) -> None:
    found = check(run)
    assert (found.code, found.faults, found.unmade) == (0, (), ())
    left = {one.name for one in found.checks if one.state != "holds"}
    assert left == {"signature"}


@pytest.mark.parametrize("forgery", TABLE, ids=lambda one: one.what.replace(" ", "-"))
def test_a_forgery_is_found(run: Path, forgery: Forgery) -> None:
    """Without the key by what is quickly checked; with it by the check that is named."""
    policy = run.parent / "policy.toml"
    forgery.act(run)
    found = verify(run, policy=policy, numbers=False)
    assert found.code in (4, 6), found.checks
    if not forgery.keyed:
        assert state(found, forgery.check) == "fails"
        return
    if (run / statement.FILE).is_file():
        forging.forge_ledger(run)
    found = verify(run, policy=policy, numbers=forgery.check == "numbers")
    assert found.code == forgery.code, found.checks
    assert state(found, forgery.check) == ("fails" if forgery.code == 4 else "not checked")


def signed(run: Path) -> Path:
    key = run.parent / "officer.pem"
    sign.new_key(key)
    vouch(run, sign.private_key(key), numbers=False)
    return key.with_name("officer.pem.pub")


def test_signatures_that_are_gone_moved_or_another_s_are_found(run: Path) -> None:
    public = signed(run)
    assert verify(run, numbers=False, require=["signature"]).code == 0
    kept = run.parent / "kept"
    shutil.move(run / "signatures", kept)
    found = verify(run, numbers=False)
    assert any("and is gone" in fault for fault in found.faults)
    assert "signature" in found.required
    (run.parent / ledger.LEDGER).unlink()
    assert verify(run, numbers=False).code == 6
    assert verify(run, key=public, numbers=False, require=["signature"]).code == 4
    edit(run, narrow)
    shutil.move(kept, run / "signatures")
    assert state(verify(run, numbers=False), "signature") == "fails"


def test_a_signed_run_under_another_name_is_found(run: Path) -> None:
    public = signed(run)
    other = forging.rename(run, run.name.replace("toy", "best"))
    found = verify(other, key=public, numbers=False)
    assert state(found, "signature") == "holds"
    assert state(found, "statement") == "fails"


def test_a_run_with_a_fault_is_not_signed(run: Path) -> None:
    from privaudit.errors import PrivauditError

    key = run.parent / "officer.pem"
    sign.new_key(key)
    private = sign.private_key(key)
    shutil.move(run / "restricted", run.parent / "kept")
    with pytest.raises(PrivauditError, match="numbers could not be verified"):
        vouch(run, private)
    vouch(run, private, require=["files", "statement", "documents"])
    found = verify(run, require=["signature"])
    notes = next(one.notes for one in found.checks if one.name == "signature")
    assert any("not checked: claims, numbers" in note for note in notes)
    shutil.move(run.parent / "kept", run / "restricted")
    edit(run, narrow)
    with pytest.raises(PrivauditError, match="fault"):
        vouch(run, private)


@pytest.fixture(scope="module")
def guaranteed(tmp_path_factory: pytest.TempPathFactory, shelf: Path) -> Path:
    """A run of two methods with a guarantee, one of which states it before it is trained."""
    from toy_noisy import Noisy, Silent

    from privaudit.attacks.membership.threshold import Threshold

    out = tmp_path_factory.mktemp("guaranteed")
    shutil.copy(shelf / "policy.toml", out)
    entries = (Entry("noisy", "noisy", "", Noisy()), Entry("silent", "silent", "", Silent()))
    return make_run(out, replace(ask(), entries=entries, attacks={"threshold": Threshold()}))


def lower_claim(run: Path, name: str) -> None:
    """Epsilon 0.1 in the documents, and in what is stored of the model."""

    def lower(body: Tree) -> None:
        body["claim"]["epsilon"] = 0.1

    def change(tree: Tree) -> None:
        for subject in tree["subjects"]:
            if subject["name"] == name:
                lower(subject)

    change_json(run / "restricted" / "releases" / f"{name}.json", lower)
    edit(run, change)
    forging.forge_ledger(run)


def test_guarantees_are_made_again(guaranteed: Path, tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        shutil.copytree(guaranteed.parent, tmp_path / name, symlinks=True)
        return tmp_path / name / guaranteed.name

    found = check(copy("whole"))
    notes = next(one.notes for one in found.checks if one.name == "claims")
    assert (found.code, state(found, "claims")) == (6, "not checked")
    assert "not recomputed: claim of silent" in notes[0]
    assert verify(guaranteed, numbers=False, require=["files", "attempts"]).code == 0
    for name in ("noisy", "silent"):
        run = copy(name)
        lower_claim(run, name)
        found = check(run)
        assert (found.code, state(found, "claims")) == (4, "fails")
        assert any(fault.startswith(f"{name}.claim.epsilon: 0.1") for fault in found.faults)


@pytest.fixture(scope="module")
def tabled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run about a synthetic table."""
    import pandas as pd

    import privaudit

    rng = np.random.default_rng(0)

    def draw() -> pd.DataFrame:
        age, dose = rng.integers(18, 90, 200), rng.gamma(2, 1, 200).round(2)
        died = (age + rng.normal(0, 20, 200) > 60).astype(int)
        return pd.DataFrame({"age": age, "dose": dose, "died": died})

    real, control = draw(), draw()
    found = privaudit.audit_table(
        real,
        control,
        real.sample(200, replace=True, random_state=1),
        outcome="died",
        profile="smoke",
        attacks=["copies"],
        out=tmp_path_factory.mktemp("tabled"),
        jobs=1,
    )
    assert found.folder is not None
    return found.folder


@pytest.mark.parametrize("what", ["left out", "better", "with its file"])
def test_a_forged_likeness_of_a_table_is_found(tabled: Path, tmp_path: Path, what: str) -> None:
    shutil.copytree(tabled.parent, tmp_path / "runs", symlinks=True)
    run = tmp_path / "runs" / tabled.name
    assert verify(run).code == 0

    def change(tree: Tree) -> None:
        (subject,) = tree["subjects"]
        if what == "better":
            subject["fidelity"]["estimates"][0]["value"] = 0.5
        else:
            subject["fidelity"] = None

    if what == "with its file":
        (run / "restricted" / "fidelity" / "synthetic-table.json").unlink()
    edit(run, change)
    forging.forge_ledger(run)
    assert state(verify(run), "numbers") == "fails"


def test_a_weaker_headline_is_found_by_training_again(run: Path) -> None:
    edit(run, weaker_headline)
    forging.forge_ledger(run)
    assert check(run).code == 0
    found = verify(run, numbers=False, again=Again(None, request=ask()))
    assert any("toy-recall.headline.attack: 'threshold'" in fault for fault in found.faults)


def test_mixed_scores_are_found_by_training_again(run: Path) -> None:
    """By whoever has the data, though the forger wrote the ledger with the key."""
    again = Again(None, request=ask())
    found = verify(run, numbers=False, require=["retraining"], again=again)
    assert (found.code, found.faults) == (0, ())
    mix_scores(run)
    forging.forge_ledger(run)
    assert check(run).code == 0
    found = verify(run, require=["retraining"], again=again)
    assert (found.code, state(found, "retraining")) == (4, "fails")
    assert "restricted/scores/toy-recall-lira.npz: is not what training again makes" in found.faults
    few = verify(run, numbers=False, again=Again(1000, request=ask()))
    assert state(few, "retraining") == "fails"


def test_one_step_is_trained_again(run: Path) -> None:
    found = verify(run, numbers=False, again=Again(1, request=ask()))
    assert state(found, "retraining") == "holds"
    notes = next(one.notes for one in found.checks if one.name == "retraining")
    assert notes[0].startswith("1 of ")


def test_what_cannot_be_trained_again_is_not_called_right(run: Path, tabled: Path) -> None:
    from privaudit.commands._asked import SUPPLIED, ask_again
    from privaudit.engine.configure import Request

    other = replace(ask(), task=replace(ask().task, n=400))  # type: ignore[type-var]
    found = verify(run, numbers=False, again=Again(1, request=other))
    assert (found.code, state(found, "retraining")) == (6, "not checked")
    assert "the data are not those of the run" in found.checks[-1].notes[0]
    again = ask_again(tabled, None, None, 1)
    assert (again.request, again.why) == (None, SUPPLIED)
    assert verify(tabled, numbers=False, again=again).code == 6
    edit(run, lambda tree: tree["manifest"]["packages"].update(numpy="1.0"))
    found = verify(run, numbers=False, again=Again(1, request=ask()))
    assert state(found, "retraining") == "not checked"
    assert isinstance(ask(), Request)


def test_a_poisoned_cache_is_noticed(tmp_path: Path, shelf: Path) -> None:
    """Whoever writes into the cache without the key only has the step made again; with the key, it
    is in the list of steps, and found by training again."""
    from privaudit.engine.store import Store, derive_seal_key

    shutil.copy(shelf / "policy.toml", tmp_path)
    small = replace(
        ask(), entries=ask().entries[1:], attacks={"threshold": ask().attacks["threshold"]}
    )
    first = make_run(tmp_path, small)

    def poison(key: bytes) -> None:
        store = Store(str(tmp_path / "restricted" / "store"), derive_seal_key(key))
        for path in store.path("evidence", "x", "").parent.parent.glob("*/*.npz"):
            with np.load(path) as file:
                arrays = {name: file[name] for name in file.files if name != "seal"}
            arrays["members"] = arrays["members"][::-1].copy()
            store.put_arrays("evidence", path.stem, arrays)
        shutil.rmtree(tmp_path / "restricted" / "store" / "subjects")

    poison(secrets.token_bytes(32))
    second = make_run(tmp_path, small)
    scores = "restricted/scores/toy-recall-threshold.npz"
    assert (first / scores).read_bytes() == (second / scores).read_bytes()
    key = commitments.load_key(tmp_path)
    poison(key)
    third = make_run(tmp_path, small)
    assert (first / scores).read_bytes() != (third / scores).read_bytes()
    steps = json.loads((third / "restricted" / "steps.json").read_text(encoding="utf-8"))
    assert "threshold on toy-recall (subject)" in steps["from_cache"]
    tree = json.loads((third / "shareable" / "audit.json").read_text(encoding="utf-8"))
    assert tree["manifest"]["steps"]["from_cache"] == len(steps["from_cache"]) > 0
    found = verify(third, numbers=False, again=Again(None, request=small))
    assert state(found, "retraining") == "fails"


def test_the_page_holds_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "evidence.md"
    assert render_table() in page.read_text(encoding="utf-8")


def test_a_run_is_asked_for_again_by_its_own_command(run: Path) -> None:
    from privaudit.commands._asked import ask_again

    def ask_as(command: str) -> Again:
        path = run / "restricted" / "audit.json"
        change_json(path, lambda tree: tree["manifest"].update(command=command))
        return ask_again(run, 2, None, 1)

    smoke = "privaudit run mortality --profile smoke --learners logreg --attacks threshold"
    again = ask_as(f"{smoke} --set threshold.statistic=loss --confidence 0.9")
    assert again.request is None
    assert "cannot be given again here" in again.why
    again = ask_as(f"{smoke} --set logreg.C=2.0 --confidence 0.9")
    assert again.request is not None
    assert list(again.request.attacks) == ["threshold"]
    assert [entry.name for entry in again.request.entries] == ["baseline-logreg"]
    assert (again.request.confidence, again.request.seed) == (0.9, 1)
    assert "give them with --data" in ask_as(f"{smoke} --data DIR").why
    assert ask_as("privaudit run 'mortality").request is None
