"""What an expert does who holds a finished run and this package: edits every document, makes all
that is made of them again, and seals."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from privaudit import report, verdicts
from privaudit.disclosure import disclose
from privaudit.engine import measure
from privaudit.engine.folder import curves, manifest
from privaudit.evidence import ledger, seal, statement, sums
from privaudit.evidence.statement import canonical
from privaudit.evidence.stored import Stored
from privaudit.policy import judge
from privaudit.policy.file import parse
from privaudit.results import Audit, from_json, to_json
from privaudit.seeds import Seeds

Tree = dict[str, Any]


def edit(run: Path, change: Callable[[Tree], object]) -> None:
    """Change the exact document by `change`, a function of its tree, and make all else of it."""
    exact = run / "restricted" / "audit.json"
    tree = json.loads(exact.read_text(encoding="utf-8"))
    change(tree)
    forged = from_json(json.dumps(tree))
    exact.write_text(to_json(forged), encoding="utf-8")
    render(run, disclose(forged))


def render(run: Path, audit: Audit, policy: Path | None = None) -> None:
    """Write every shared file of an audit, judged by the policy beside the run, and seal it."""
    shared = run / "shareable"
    (shared / "audit.json").write_text(to_json(audit), encoding="utf-8")
    (run / "manifest.json").write_text(manifest(audit), encoding="utf-8")
    (shared / "curves.csv").write_text(curves(audit), encoding="utf-8")
    judged = None
    if (shared / "verdicts.json").is_file():
        digest = hashlib.sha256((shared / "audit.json").read_bytes()).hexdigest()
        rules = parse((policy or run.parent / "policy.toml").read_bytes())
        day = date.fromisoformat(audit.manifest.created[:10])
        judged = judge(rules, audit, audit_sha256=digest, today=day)
        (shared / "verdicts.json").write_text(verdicts.to_json(judged), encoding="utf-8")
    report.write(audit, shared, judged)
    seal(run)


def reseal_by_hand(run: Path, **auditor: str) -> None:
    """Make checksums and statement of the files as they are, without making any file again."""
    if (run / "restricted").is_dir():
        sums.write_restricted(run)
    files = sums.outer_files(run)
    path = run / statement.FILE
    tree = json.loads(path.read_bytes())
    tree["predicate"]["auditor"].update(auditor)
    tree["subject"] = [
        {"name": name, "digest": {"sha256": sums.digest(files[name])}}
        for name in sorted(files)
        if name != statement.FILE
    ]
    path.write_bytes(canonical(tree))
    sums.write(run)


def change_text(path: Path, old: str, new: str) -> None:
    """Replace a text that is there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def change_json(path: Path, change: Callable[[Any], object]) -> None:
    """Change a stored JSON value as privaudit writes it."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    change(tree)
    path.write_text(json.dumps(tree, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def outcome(subject: Tree, attack: str) -> Tree:
    """The outcome of one attack on a subject."""
    return next(one for one in subject["outcomes"] if one["attack"] == attack)


def drop_attacks(tree: Tree, names: Iterable[str]) -> None:
    """Leave out attacks as if they had not been asked for."""
    names = set(names)
    for subject in tree["subjects"]:
        for part in ("outcomes", "controls"):
            subject[part] = [one for one in subject[part] if one["attack"] not in names]
        left = [one for one in subject["outcomes"] if one["family"] == "membership"]
        only = {"code": "chosen_as_only", "severity": "note", "params": {}}
        subject["headline"] = {**left[0], "curves": [], "caveats": [only]} if left else None
    for row in tree["coverage"]:
        gone = [name for name in row["attacks"] if name in names]
        gone += [other[0] for other in row["others"] if other[0] in names]
        row["attacks"] = [name for name in row["attacks"] if name not in names]
        row["others"] = [other for other in row["others"] if other[0] not in names]
        row["not_requested"] = sorted([*row["not_requested"], *gone])
        if gone and not row["attacks"]:
            row["state"] = "NOT TESTED"
            row["reason"] = {"code": "not_requested", "params": {"attacks": row["not_requested"]}}
    tree["caveats"] = [c for c in tree["caveats"] if c["params"].get("attack") not in names]


def drop_files(run: Path, names: Iterable[str]) -> None:
    """Remove all that is stored of these attacks, and take them out of the plan and the steps."""
    names = tuple(names)
    for folder in ("scores", "failures"):
        for path in (run / "restricted" / folder).iterdir():
            parts = path.stem.split("-")
            if any(name in parts or path.stem.startswith(f"{name}-on-") for name in names):
                path.unlink()

    def narrow(tree: Tree) -> None:
        tree["attacks"] = {k: v for k, v in tree["attacks"].items() if k not in names}
        tree["steps"] = [step for step in tree["steps"] if step[1] not in names]

    change_json(run / "restricted" / "plan.json", narrow)


def drop_subject(tree: Tree, name: str) -> None:
    """Leave out a model as if it had not been trained."""
    tree["subjects"] = [one for one in tree["subjects"] if one["name"] != name]
    tree["caveats"] = [c for c in tree["caveats"] if c["params"].get("subject") != name]


def drop_subject_files(run: Path, name: str) -> None:
    """Remove all that is stored of a model, and take it out of the plan."""
    for path in list((run / "restricted").rglob(f"*{name}*")):
        path.unlink()

    def narrow(tree: Tree) -> None:
        del tree["subjects"][name]
        tree["steps"] = [step for step in tree["steps"] if step[0] != name]

    change_json(run / "restricted" / "plan.json", narrow)


def shuffle_scores(run: Path, subject: str, attack: str) -> None:
    """Mix the scores of members and others, and make every number of the attack from them: all
    that follows from the stored scores is right."""
    path = run / "restricted" / "scores" / f"{subject}-{attack}.npz"
    with np.load(path) as file:
        arrays = dict(file)
    both = np.random.default_rng(5).permutation(
        np.concatenate([arrays["members"], arrays["nonmembers"]])
    )
    cut = len(arrays["members"])
    arrays["members"], arrays["nonmembers"] = both[:cut], both[cut:]
    np.savez_compressed(path, **arrays)

    def change(tree: Tree) -> None:
        stored, entropy = Stored(run), tree["manifest"]["entropy"]
        own = next(one for one in tree["subjects"] if one["name"] == subject)
        found = outcome(own, attack)
        seeds, confidence = Seeds(entropy), tree["manifest"]["confidence"]
        rng = seeds.rng("stats", subject, attack, "subject")
        made = measure.judge(stored.evidence(subject, attack), stored.split, confidence, rng)
        found.update(estimates=made["estimates"], curves=made["curves"])
        scores = {
            one["attack"]: stored.evidence(subject, one["attack"])
            for one in own["outcomes"]
            if one["kind"] == "finding" and one["family"] == "membership"
        }
        proba = stored.answers(subject)
        chosen = own["headline"]["attack"] if own["headline"] else None
        by_refits = any(c["code"] == "chosen_on_refits" for c in own["headline"]["caveats"])
        body = measure.subject(
            proba,
            scores,  # type: ignore[arg-type]
            chosen if by_refits else None,
            stored.split,
            confidence,
            seeds.child("measure", subject),
        )
        for one in own["outcomes"]:
            if one["attack"] in body["groups"]:
                one["groups"] = body["groups"][one["attack"]]
        best = body["strongest"]
        head = outcome(own, best["attack"])
        known = head["estimates"] if best["estimates"] is None else best["estimates"]
        own["headline"] = {**head, "estimates": known, "curves": []} | {
            "caveats": own["headline"]["caveats"]
        }

    edit(run, change)


def forge_ledger(run: Path) -> None:
    """Write this run's seal into the ledger, as whoever holds the key can."""
    made = sums.digest(run / statement.FILE)
    ledger.note(run.parent, run.name, "resealed", statement=made)


def begin_ledger_anew(run: Path, key: bytes) -> None:
    """Write the lines of a ledger again under another key, as if there were no other run."""
    lines = (run.parent / ledger.LEDGER).read_bytes().splitlines()
    (run.parent / ledger.LEDGER).unlink()
    for line in lines:
        body = json.loads(line)
        kept = {k: v for k, v in body.items() if k not in ("at", "mac", "previous")}
        ledger._add(run.parent / ledger.LEDGER, key, kept)


def rename(run: Path, name: str) -> Path:
    """A copy of a run under another name, beside it."""
    other = run.with_name(name)
    shutil.copytree(run, other)
    return other
