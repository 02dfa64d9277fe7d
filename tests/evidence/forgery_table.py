"""Forgeries of a finished, sealed run, each made as an expert would.

`TABLE` is the list: what is forged, by which check it is found, and whether that is so too where
the forger holds the key of the folder of runs and writes the new seal into the ledger.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forging
from forging import change_json, change_text, edit, outcome, reseal_by_hand

from privaudit import commitments
from privaudit.evidence import ledger, seal

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
    Forgery(
        "a later attempt cut out of the ledger, its head left as it was",
        cut_ledger,
        "attempts",
        True,
    ),
    Forgery("the same, and lines added since", grow_ledger_after_a_cut, "attempts", True),
    Forgery("a ledger begun afresh under another key", begin_ledger_anew, "attempts", True),
    Forgery(
        "key and ledger begun afresh, the numbers left as they were",
        begin_all_anew,
        "numbers",
        True,
    ),
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
