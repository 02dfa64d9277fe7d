"""Whether a document reports what was asked for, no more and no less, and what is stored of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from privaudit.contracts import Access
from privaudit.engine import planned
from privaudit.engine.planned import Planned
from privaudit.evidence.compare import Compare
from privaudit.evidence.structure import REFUSALS, asks_for_refits, find_failure
from privaudit.facts import SERIES_BLIND_ATTACKS, CaveatCode, ReasonCode
from privaudit.results import Audit, Finding, Skipped, Subject, to_tree
from privaudit.words import Words

STORED = ("scores", "answers", "releases", "fidelity")
"""Folders of `restricted/` whose files are known by what the document reports."""
SHADOWS = "shadows"


def check_plan(audit: Audit, restricted: Path, compare: Compare) -> None:
    """Compare subjects, attacks, controls and settings with the plan that was stored first."""
    try:
        _, plan = planned.read(restricted / planned.FILE)
    except (OSError, ValueError):
        compare.fault(f"restricted/{planned.FILE}: missing or not readable")
        return
    made = audit.manifest
    asked = {
        "run": made.run,
        "task": audit.data.task,
        "command": made.command,
        "profile": made.profile,
        "confidence": made.confidence,
        "exact_counts": made.exact_counts,
    }
    compare("plan", asked, plan.asked)
    there = [*(one.name for one in audit.subjects), *(one.name for one in audit.untrained)]
    wanted = [*plan.subjects, *plan.untrained]
    for name in sorted(set(there) ^ set(wanted)):
        kind = "was not planned" if name in there else "was planned, and is not reported"
        compare.fault(f"{name:.60}: {kind}")
    for subject in audit.subjects:
        _check_subject(subject, plan, compare)
    _check_steps(audit, plan, restricted, compare)


def _check_subject(subject: Subject, plan: Planned, compare: Compare) -> None:
    own = {"method": subject.method, "learner": subject.learner, "params": subject.params}
    compare(f"{subject.name}.plan", own, plan.subjects.get(subject.name))
    there = {one.attack for one in subject.outcomes}
    for name in sorted(there ^ plan.attacks.keys()):
        kind = "was not planned" if name in there else "was planned, and is not reported"
        compare.fault(f"{subject.name}.{name}: {kind}")
    for one in subject.outcomes:
        if isinstance(one, Finding):
            where = f"{subject.name}.{one.attack}.params"
            compare(where, one.params, plan.attacks.get(one.attack))
            if (subject.name, one.attack, "subject") not in plan.steps:
                compare.fault(f"{subject.name}.{one.attack}: was not planned")
    for control in subject.controls:
        if (subject.name, control.attack, control.kind) not in plan.steps:
            compare.fault(f"{subject.name}.{control.attack}.{control.kind} control: not planned")


def _check_steps(audit: Audit, plan: Planned, restricted: Path, compare: Compare) -> None:
    """Which steps were made, and which were taken from the cache."""
    tree = read_json(restricted / "steps.json")
    try:
        made, cached = list(tree["made"]), list(tree["from_cache"])
    except (KeyError, TypeError):
        compare.fault("restricted/steps.json: missing or not readable")
        return
    counts = {"made": len(made), "from_cache": len(cached)}
    compare("manifest.steps", audit.manifest.steps, counts)
    for subject in audit.subjects:
        for one in subject.outcomes:
            label = f"{one.attack} on {subject.name} (subject)"
            if isinstance(one, Finding) and label not in made and label not in cached:
                compare.fault(f"restricted/steps.json: does not name {label}")
            elif isinstance(one, Skipped) and one.reason.code in REFUSALS:
                step = (subject.name, one.attack, "subject")
                early = None if plan.refused is None else step in plan.refused
                begun = label in made or label in cached
                _check_refusal(subject, one, restricted, compare, begun, early)


def _check_refusal(
    subject: Subject,
    skipped: Skipped,
    restricted: Path,
    compare: Compare,
    begun: bool,
    early: bool | None,
) -> None:
    """Whether an attack refused, as far as what was stored at the time tells.

    begun: it is among the steps of the run; early: the plan has that it refused before.
    """
    where = f"{subject.name}.{skipped.attack}"
    if early:
        if begun:
            compare.fault(f"{where}: refused before it was begun, and restricted/steps.json has it")
        return
    if not begun and early is not None:
        compare.fault(f"{where}: refused, and the plan has no such refusal")
        return
    try:
        trace = find_failure(restricted, subject, skipped.attack).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        if begun or not asks_for_refits(skipped.attack):
            compare.fault(f"{where}: refused, and restricted/failures holds no trace of it")
        return
    words = skipped.reason.params.get("what")
    if skipped.reason.code is ReasonCode.REFUSED and str(words) not in trace:
        compare.fault(f"{where}: refused for another reason than restricted/failures holds")


def check_stored(audit: Audit, restricted: Path, compare: Compare) -> None:
    """Compare what is stored of each release and synthetic table with the document, both ways, and
    the names of all stored files with what it reports."""
    wanted: dict[str, set[str]] = {folder: set() for folder in STORED}
    for subject in audit.subjects:
        wanted["releases"].add(f"{subject.name}.json")
        _check_release(subject, audit.data.words, restricted, compare)
        if subject.fidelity is not None:
            wanted["fidelity"].add(f"{subject.name}.json")
            body = read_json(restricted / "fidelity" / f"{subject.name}.json")
            compare(f"{subject.name}.fidelity", subject.fidelity, body)
        wanted["scores"] |= set(_scores_of(subject))
        if Access.ANSWERS.name in subject.access:
            wanted["answers"].add(f"{subject.name}.npz")
    for folder, names in wanted.items():
        there = _list_names(restricted / folder)
        for name in sorted(there - names):
            compare.fault(f"restricted/{folder}/{name}: no finding reports it")
        for name in sorted(names - there):
            compare.fault(f"restricted/{folder}/{name}: missing, and the document reports it")
    _check_shadows(audit, _list_names(restricted / SHADOWS), compare)


def _list_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _check_shadows(audit: Audit, there: set[str], compare: Compare) -> None:
    """Supplied shadow models: of subjects alone, and of each whose controls were made of them."""
    for name in sorted(there - {f"{one.name}.npz" for one in audit.subjects}):
        compare.fault(f"restricted/{SHADOWS}/{name}: no subject of this name is reported")
    for subject in audit.subjects:
        used = any(one.made.code is CaveatCode.NULL_SHADOW for one in subject.controls)
        if used and f"{subject.name}.npz" not in there:
            compare.fault(f"restricted/{SHADOWS}/{subject.name}.npz: missing")


def _check_release(subject: Subject, words: Words, restricted: Path, compare: Compare) -> None:
    body = read_json(restricted / "releases" / f"{subject.name}.json")
    if not isinstance(body, dict):
        return
    for part in ("claim", "access", "costs", "trust", "notes"):
        # What is stored has places for the task's nouns, which a document has filled.
        stored = _fill_texts(body.get(part), words)
        compare(f"{subject.name}.{part}", to_tree(getattr(subject, part)), stored)
    # Of `attribute` it depends on the channels, which are not stored.
    for one in subject.outcomes:
        if isinstance(one, Finding) and one.attack in set(SERIES_BLIND_ATTACKS) - {"attribute"}:
            where = f"{subject.name}.{one.attack}: looks at columns alone"
            compare(where, one.is_blind, bool(body.get("reads_series", False)))


def _fill_texts(value: Any, words: Words) -> Any:
    if isinstance(value, str):
        return words.fill(value)
    if isinstance(value, list):
        return [_fill_texts(one, words) for one in value]
    if isinstance(value, dict):
        return {name: _fill_texts(one, words) for name, one in value.items()}
    return value


def _scores_of(subject: Subject) -> Iterator[str]:
    for one in subject.outcomes:
        if isinstance(one, Finding):
            yield f"{subject.name}-{one.attack}.npz"
    for control in subject.controls:
        if control.estimates:
            yield f"{subject.name}-{control.attack}-{control.kind}.npz"


def read_json(path: Path) -> Any:
    """A stored JSON value; None where there is none that can be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


__all__ = ["check_plan", "check_stored", "read_json"]
