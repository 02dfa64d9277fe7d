"""Forgeries of a finished, sealed run, each made as an expert would, and each found.

`TABLE` is the list: what is forged, by which check it is found, and whether that is so too where
the forger holds the key of the folder of runs and writes the new seal into the ledger.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import forging
import numpy as np
import pytest
from conftest import ask, make_run
from forging import change_json, change_text, edit, outcome, reseal_by_hand

from privaudit import commitments
from privaudit.engine.configure import Entry
from privaudit.evidence import Again, Verification, ledger, seal, sign, statement, verify
from privaudit.evidence.vouch import vouch

STRONG = ("lira", "one_run", "cheat")
Tree = dict[str, Any]


def tree_edit(change: Callable[[Tree], object]) -> Callable[[Path], None]:
    return lambda run: edit(run, change)


def subjects(change: Callable[[Tree], object]) -> Callable[[Path], None]:
    """Change every subject of the documents."""
    return tree_edit(lambda tree: [change(subject) for subject in tree["subjects"]])


def drop_attacks_everywhere(run: Path) -> None:
    forging.drop_files(run, STRONG)
    edit(run, lambda tree: forging.drop_attacks(tree, STRONG))


def drop_subject_everywhere(run: Path) -> None:
    forging.drop_subject_files(run, "toy-recall")
    edit(run, lambda tree: forging.drop_subject(tree, "toy-recall"))


def hide_failure(run: Path) -> None:
    for path in (run / "restricted" / "failures").glob("broken-*"):
        path.unlink()
    edit(run, lambda tree: forging.drop_attacks(tree, ["broken"]))


def narrow(tree: Tree) -> None:
    for one in outcome(tree["subjects"][1], "lira")["estimates"]:
        if one["low"] is not None and one["high"] is not None:
            one["high"] = one["low"] + 0.9 * (one["high"] - one["low"])


def weaker_headline(tree: Tree) -> None:
    for subject in tree["subjects"]:
        found = outcome(subject, "threshold")
        subject["headline"] = {**found, "curves": [], "caveats": subject["headline"]["caveats"]}


def raise_utility(subject: Tree) -> None:
    for one in subject["utility"]:
        if one["metric"]["name"] == "auroc":
            one.update(value=0.99, low=0.98, high=1.0)


def pass_controls(subject: Tree) -> None:
    for one in subject["controls"]:
        one["passed"] = True


def move_curve(tree: Tree) -> None:
    curve = outcome(tree["subjects"][1], "lira")["curves"][0]
    curve["y"] = [y / 2 for y in curve["y"]]


def more_shadows(subject: Tree) -> None:
    outcome(subject, "lira")["params"]["shadows"] = 256


def claim(subject: Tree) -> None:
    unit = {"unit": "patient", "neighbours": "add-remove", "covers": ["ANSWERS"]}
    subject["claim"] = {"epsilon": 3.0, "delta": 1e-5, "basis": "PLD, Gaussian noise", **unit}


def claim_everywhere(run: Path) -> None:
    edit(run, lambda tree: [claim(subject) for subject in tree["subjects"]])
    for subject in ("toy-plain", "toy-recall"):
        path = run / "restricted" / "releases" / f"{subject}.json"
        change_json(path, lambda body: claim(body))
    seal(run)


def change_entropy(tree: Tree) -> None:
    tree["manifest"].update(entropy=tree["manifest"]["entropy"] + 1)


def silence(tree: Tree) -> None:
    tree["caveats"] = []
    for subject in tree["subjects"]:
        for one in subject["outcomes"]:
            one.update(caveats=[]) if one["kind"] == "finding" else None


def cheaper(subject: Tree) -> None:
    subject["costs"] = {name: cost / 10 for name, cost in subject["costs"].items()}


def forge_report(run: Path) -> None:
    for name in ("report.html", "report.md"):
        change_text(run / "shareable" / name, "EXCEEDS", "WITHIN")
    reseal_by_hand(run)


def forge_report_of_other_code(run: Path) -> None:
    for name in ("report.html", "report.md"):
        change_text(run / "shareable" / name, "EXCEEDS", "WITHIN")
    reseal_by_hand(run, rendering="0" * 16)


def forge_shared_alone(run: Path) -> None:
    """The exact document stays as it was."""
    from privaudit.results import from_json

    path = run / "shareable" / "audit.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    for one in outcome(tree["subjects"][1], "lira")["estimates"]:
        if one["metric"]["name"] == "auc":
            one.update(value=0.5, low=0.45, high=0.55)
    forging.render(run, from_json(json.dumps(tree)))


def forge_curves(run: Path) -> None:
    path = run / "shareable" / "curves.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "lira" not in line), encoding="utf-8")
    reseal_by_hand(run)


def forge_bom(run: Path) -> None:
    change_text(run / "shareable" / "bom.json", "no privacy guarantee", "epsilon 1.0")
    reseal_by_hand(run)


def forge_manifest(run: Path) -> None:
    change_text(run / "manifest.json", '"started": 1', '"started": 0')
    reseal_by_hand(run)


def add_certificate(run: Path) -> None:
    (run / "shareable" / "certificate.pdf").write_bytes(b"%PDF-1.7 This model is anonymous.")
    reseal_by_hand(run)


def add_pdf(run: Path) -> None:
    (run / "shareable" / "report.pdf").write_bytes(b"%PDF-1.7 No leak was found.")
    reseal_by_hand(run)


def flip_verdict(run: Path) -> None:
    from privaudit import report
    from privaudit.engine.folder import read
    from privaudit.evidence.seals import read_verdicts

    def within(tree: Tree) -> None:
        tree.update(state="WITHIN", code=0)
        for one in tree["verdicts"]:
            one["state"] = "WITHIN"

    change_json(run / "shareable" / "verdicts.json", within)
    report.write(read(run), run / "shareable", read_verdicts(run))
    seal(run)


def judge_by_laxer_policy(run: Path) -> None:
    from privaudit.engine.folder import read

    lax = run.parent / "lax.toml"
    text = (run.parent / "policy.toml").read_text(encoding="utf-8")
    lax.write_text(text.replace("max = 0.3", "max = 1.0"), encoding="utf-8")
    forging.render(run, read(run), lax)


def drop_verdicts(run: Path) -> None:
    from privaudit.engine.folder import read

    (run / "shareable" / "verdicts.json").unlink()
    forging.render(run, read(run))


def remove(*names: str) -> Callable[[Path], None]:
    def act(run: Path) -> None:
        for name in names:
            path = run / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return act


def ledger_lines(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    def act(run: Path) -> None:
        path = run.parent / ledger.LEDGER
        path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))

    return act


def cut_ledger(run: Path) -> None:
    """A later attempt that failed is taken out again."""
    with ledger.attempt(run.parent, "privaudit run toy") as one:
        one.saw("other-run", "toy", "hmac-sha256:0123456789ab:" + "a" * 64)
        one.end("other-run", 1)
    ledger_lines(lambda lines: lines[:-3])(run)


def grow_ledger_after_a_cut(run: Path) -> None:
    """Lines that were added since do not heal it."""
    cut_ledger(run)
    with ledger.attempt(run.parent, "privaudit run toy") as one:
        one.end("", 2)


def begin_ledger_anew(run: Path) -> None:
    forging.begin_ledger_anew(run, secrets.token_bytes(32))


def begin_all_anew(run: Path) -> None:
    """Another key in its place, and every line under it."""
    key = secrets.token_bytes(32)
    (run.parent / "restricted" / commitments.KEY).write_bytes(key)
    (run.parent / "restricted" / ledger.HEAD).unlink()
    forging.begin_ledger_anew(run, key)


def attempts_away(tree: Tree) -> None:
    tree["manifest"].update(attempts=None)


def forge_steps(run: Path) -> None:
    change_json(run / "restricted" / "steps.json", lambda tree: tree.update(made=[]))
    seal(run)


def add_scores(run: Path) -> None:
    """Stored evidence that no finding reports, under a name that is no archive."""
    folder = run / "restricted" / "scores"
    shutil.copy(folder / "toy-recall-lira.npz", folder / "toy-recall-lira.npz.bak")
    seal(run)


def mix_scores(run: Path) -> None:
    forging.shuffle_scores(run, "toy-recall", "lira")


@dataclass(frozen=True)
class Forgery:
    """One way to forge a run. check: that finds it; keyed: also if the forger holds the key; code:
    of `verify`, 6 where a check can no longer be made."""

    what: str
    act: Callable[[Path], None]
    check: str
    keyed: bool
    code: int = 4


TABLE = (
    Forgery(
        "the strongest attacks left out of the documents",
        tree_edit(lambda t: forging.drop_attacks(t, STRONG)),
        "numbers",
        True,
    ),
    Forgery(
        "the strongest attacks left out, with their scores and their place in the plan",
        drop_attacks_everywhere,
        "attempts",
        False,
    ),
    Forgery(
        "a model left out of the documents",
        tree_edit(lambda t: forging.drop_subject(t, "toy-recall")),
        "numbers",
        True,
    ),
    Forgery(
        "a model left out, with all that is stored of it",
        drop_subject_everywhere,
        "attempts",
        False,
    ),
    Forgery("an attack that failed left out, with its trace", hide_failure, "numbers", True),
    Forgery("the controls left out", subjects(lambda s: s.update(controls=[])), "numbers", True),
    Forgery("controls that failed stated to have passed", subjects(pass_controls), "numbers", True),
    Forgery(
        "the groups of every attack left out",
        subjects(lambda s: [o.update(groups=[]) for o in s["outcomes"] if "groups" in o]),
        "numbers",
        True,
    ),
    Forgery(
        "the utility by group left out",
        subjects(lambda s: s.update(utility_groups=[])),
        "numbers",
        True,
    ),
    Forgery("a utility raised", subjects(raise_utility), "numbers", True),
    Forgery("an interval narrowed", tree_edit(narrow), "numbers", True),
    Forgery("a curve lowered", tree_edit(move_curve), "numbers", True),
    Forgery("a weaker attack as headline", tree_edit(weaker_headline), "attempts", False),
    Forgery("more shadow models stated than were trained", subjects(more_shadows), "numbers", True),
    Forgery("caveats and defects left out", tree_edit(silence), "numbers", True),
    Forgery("lower costs of training", subjects(cheaper), "numbers", True),
    Forgery("a guarantee that nobody gave", subjects(claim), "claims", True),
    Forgery("the same, in what is stored of the model too", claim_everywhere, "claims", True),
    Forgery(
        "another version of the statistics, so that no number is made again",
        tree_edit(lambda t: t["manifest"].update(statistics="0")),
        "numbers",
        True,
    ),
    Forgery("another secret of the random streams", tree_edit(change_entropy), "numbers", True),
    Forgery("a number changed in the shared document alone", forge_shared_alone, "numbers", True),
    Forgery("evidence hidden under another name", add_scores, "numbers", True),
    Forgery("the list of cached steps emptied", forge_steps, "numbers", True),
    Forgery("scores mixed, and every number made of them", mix_scores, "attempts", False),
    Forgery(
        "fewer attempts stated",
        tree_edit(lambda t: t["manifest"]["attempts"].update(requests=0)),
        "attempts",
        True,
    ),
    Forgery("no attempts stated", tree_edit(attempts_away), "attempts", True),
    Forgery(
        "a line of the ledger changed",
        ledger_lines(lambda lines: [lines[0].replace(b"toy", b"joy"), *lines[1:]]),
        "attempts",
        True,
    ),
    Forgery("a later attempt cut out of the ledger", cut_ledger, "attempts", True),
    Forgery("the same, and lines added since", grow_ledger_after_a_cut, "attempts", True),
    Forgery("a ledger begun afresh under another key", begin_ledger_anew, "attempts", True),
    Forgery("key and ledger begun afresh", begin_all_anew, "numbers", True),
    Forgery(
        "the ledger removed", lambda run: (run.parent / ledger.LEDGER).unlink(), "attempts", True, 6
    ),
    Forgery("the report's words changed", forge_report, "documents", True),
    Forgery(
        "the same, with a statement that names other code",
        forge_report_of_other_code,
        "documents",
        True,
        6,
    ),
    Forgery("an attack left out of curves.csv", forge_curves, "documents", True),
    Forgery("a guarantee in the bill of materials", forge_bom, "documents", True),
    Forgery("manifest.json changed", forge_manifest, "documents", True),
    Forgery("a certificate put beside the report", add_certificate, "documents", True),
    Forgery("a report.pdf of another content", add_pdf, "attempts", False),
    Forgery("a verdict changed, in the report too", flip_verdict, "verdicts", True),
    Forgery("judged by a laxer policy", judge_by_laxer_policy, "verdicts", True),
    Forgery("the verdicts removed", drop_verdicts, "attempts", False),
    Forgery("the restricted part removed", remove("restricted"), "numbers", True, 6),
    Forgery("the checksums removed", remove("SHA256SUMS"), "files", True),
    Forgery("the statement removed", remove("statement.json"), "statement", True),
)


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
    assert (found.code, state(found, "claims")) == (0, "not checked")
    assert "not recomputed: claim of silent" in notes[0]
    assert verify(guaranteed, numbers=False, require=["claims"]).code == 6
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


def render_table() -> str:
    """The forgeries as a table for the documentation."""
    rows = ["| forged | found by | by a forger with the key |", "|---|---|---|"]
    for one in TABLE:
        how = one.check if one.code == 4 else f"{one.check}: not checked, exit code 6"
        keyed = "found" if one.keyed else "not found"
        rows.append(f"| {one.what} | {how} | {keyed} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(render_table())
