"""Steps of a run trained again from the data, and their evidence compared with what is stored.

All else that is verified follows from stored scores; here the scores themselves are made again, by
the engine's own plan, in an empty cache. Which steps is drawn afresh, so that nobody who wrote the
run could know.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from privaudit import commitments
from privaudit.engine import document
from privaudit.engine.configure import Request
from privaudit.engine.guarantees import leave_out_guarantees
from privaudit.engine.plan import Plan, Step, plan
from privaudit.engine.planned import FILE, read
from privaudit.engine.rare_names import join_rare_names
from privaudit.engine.run import (
    add_distribution_shift,
    assign_split,
    caveats,
    find_few_people,
    fingerprint,
    prepare_bench,
)
from privaudit.engine.store import Store
from privaudit.engine.subjects import subject as make_subject
from privaudit.engine.version import PACKAGES
from privaudit.engine.work import Work
from privaudit.errors import PrivauditError
from privaudit.evidence import ledger, planned
from privaudit.evidence.checks import Check, conclude, leave
from privaudit.evidence.compare import Compare, Derived
from privaudit.evidence.numbers import find_moved
from privaudit.evidence.stored import Stored, Unreadable, load
from privaudit.records import Split
from privaudit.restricted import NAME, PLANNED, hold
from privaudit.results import Audit, Finding, to_tree

ALL = None
"""As a number of steps."""
TIMED = ("seconds", "costs")
"""What differs between two trainings of the same model."""


@dataclass(frozen=True)
class Again:
    """What to train again.

    Args:
        steps: How many attacks and controls, drawn at random; None for all of them, and for every
            other part of the document.
        data: The folder of source tables, None where the run needs none.
        request: What the run was asked for, made anew; None where it cannot be.
        why: Why it cannot be, and what to do instead.
        workers: Processes of one thread each.
    """

    steps: int | None
    data: Path | None = None
    request: Request | None = None
    why: str = ""
    workers: int = 1


def check_retraining(run: Path, exact: Audit, again: Again) -> Check:
    """Train steps of a run again and compare. exact: its document in full."""
    if again.request is None:
        return leave("retraining", again.why)
    moved = find_moved(exact, PACKAGES)
    if moved:
        # Whoever can change evidence can name other versions: then nothing was shown.
        why = f"other versions of libraries may train other models: {', '.join(moved)}"
        return leave("retraining", why)
    request = replace(again.request, entropy=exact.manifest.entropy or 0)
    found = Derived()
    try:
        with _scratch(run.parent) as place:
            note, other = _retrain(run, exact, request, again, place, Compare(found, 0.0))
    except PrivauditError as error:
        return leave("retraining", f"it cannot be trained again: {error.what}")
    if other:
        return leave("retraining", other, found.faults)
    return conclude("retraining", found.faults, (note,))


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """A folder for records and models' answers, which goes with the command."""
    if (out / NAME).is_dir():
        with hold(out / NAME / f"{PLANNED}{secrets.token_hex(4)}") as place:
            yield place
    else:
        with tempfile.TemporaryDirectory(prefix="privaudit-verify-") as folder:
            yield Path(folder)


def _retrain(
    run: Path, exact: Audit, request: Request, again: Again, place: Path, compare: Compare
) -> tuple[str, str]:
    """What was trained again; why nothing was, empty where something was."""
    prepared = join_rare_names(
        request.task.prepare(again.data, place / "cache", lambda what, share: None)
    )
    request = leave_out_guarantees(request, prepared)
    split = assign_split(prepared, request)
    key = ledger.find_key(run.parent)
    if key is not None:
        # Earlier versions committed to the rows in their order.
        tables = (prepared.records.content, prepared.records.fingerprint)
        own_data = {commitments.commit(key, one) for one in tables}
        if exact.manifest.records_fingerprint not in own_data:
            return "", "the data are not those of the run: give the same folder with --data"
        own = commitments.commit(key, fingerprint(split))
        compare("manifest.split_fingerprint", exact.manifest.split_fingerprint, own)
    _compare_split(run, split, compare)
    supplied = prepared.split is not None
    asked = plan(request, split, supplied=supplied)
    _compare_plan(run, asked, compare)
    stores = Store(str(place / "store")), Store(str(place / "tables"))
    bench = prepare_bench(request, split, *stores, supplied=supplied)
    names = _stored_steps(exact)
    steps = [s for s in asked.steps if (s.entry.name, s.attack_name, s.variant) in names]
    if again.steps is not ALL:
        drawn = secrets.SystemRandom().sample(steps, min(again.steps, len(steps)))
        request, asked = _narrow(request, asked, drawn)
        work = Work(request, bench, asked, again.workers, lambda event: None, None)
        work.repeat()
        _compare_evidence(run, work, drawn, compare)
        labels = ", ".join(sorted(f"{s.attack_name} on {s.entry.name}" for s in drawn))
        note = f"{len(drawn)} of {len(steps)} attacks and controls were made again: {labels}"
        return note, ""
    work = Work(request, bench, asked, again.workers, lambda event: None, None)
    work.do()
    _compare_evidence(run, work, steps, compare)
    _compare_document(exact, work, prepared, split, compare)
    return f"all {len(steps)} attacks and controls were made again, and the document of them", ""


def _compare_split(run: Path, split: Split, compare: Compare) -> None:
    try:
        stored = Stored(run).split
    except Unreadable as error:
        compare.fault(f"restricted/split.npz: {error}")
        return
    for pool in ("members", "nonmembers", "reference"):
        own, other = getattr(stored, pool), getattr(split, pool)
        same = own.groups.keys() == other.groups.keys() and all(
            np.array_equal(own.groups[name], other.groups[name]) for name in own.groups
        )
        for part in ("patient", "y", "site"):
            same = same and np.array_equal(getattr(own, part), getattr(other, part))
        compare(f"split.{pool}", same, True)


def _compare_plan(run: Path, asked: Plan, compare: Compare) -> None:
    try:
        _, stored = read(run / NAME / FILE)
    except (OSError, ValueError):
        compare.fault("restricted/plan.json: missing or not readable")
        return
    made = {(step.entry.name, step.attack_name, step.variant) for step in asked.steps}
    for step in sorted(made ^ stored.steps):
        kind = "planned" if step in stored.steps else "not planned"
        compare.fault(f"{' / '.join(step):.100}: {kind}, against what the command asks for")


def _stored_steps(exact: Audit) -> set[tuple[str, str, str]]:
    """The attacks and controls that gave evidence."""
    found = set()
    for subject in exact.subjects:
        for one in subject.outcomes:
            if isinstance(one, Finding):
                found.add((subject.name, one.attack, "subject"))
        for control in subject.controls:
            if control.estimates:
                found.add((subject.name, control.attack, control.kind))
    return found


def _narrow(request: Request, asked: Plan, drawn: list[Step]) -> tuple[Request, Plan]:
    """The parts of a request and its plan that these steps take."""
    names = {step.entry.name for step in drawn}
    keys = {key for step in drawn for key in step.groups}
    fits = tuple(fit for fit in asked.fits if fit.entry.name in names)
    groups = {key: group for key, group in asked.groups.items() if key in keys}
    entries = tuple(entry for entry in request.entries if entry.name in names)
    return replace(request, entries=entries), Plan(fits, groups, tuple(drawn))


def _compare_evidence(run: Path, work: Work, steps: list[Step], compare: Compare) -> None:
    """Scores and trials of these steps, and answers and claims of their releases."""
    for step in steps:
        ending = "" if step.variant == "subject" else f"-{step.variant}"
        name = f"scores/{step.entry.name}-{step.attack_name}{ending}.npz"
        _compare_arrays(run, name, work.store.get_arrays("evidence", step.key), compare)
    for entry in {step.entry.name: step.entry for step in steps}.values():
        fit = next(f for f in work.plan.fits if f.entry is entry and f.variant == "subject")
        arrays = work.store.get_arrays("answers", fit.key)
        stored = run / NAME / "answers" / f"{entry.name}.npz"
        if arrays is not None or stored.is_file():
            _compare_arrays(run, f"answers/{entry.name}.npz", arrays, compare)
        facts = _without_times(work.store.get_json("facts", fit.key))
        known = planned.read_json(run / NAME / "releases" / f"{entry.name}.json")
        compare(f"{entry.name}.release", _without_times(known), facts)


def _compare_arrays(
    run: Path, name: str, made: Mapping[str, np.ndarray] | None, compare: Compare
) -> None:
    where = f"restricted/{name}"
    try:
        stored = load(run / NAME / name)
    except Unreadable as error:
        compare.fault(f"{where}: {error}")
        return
    compare.found.numbers += sum(array.size for array in stored.values())
    if made is None:
        compare.fault(f"{where}: is stored, and training again gave none")
    elif stored.keys() != made.keys() or not all(_same(stored[n], made[n]) for n in stored):
        compare.fault(f"{where}: is not what training again makes")


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """To the last bit."""
    return (
        one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    )


def _compare_document(
    exact: Audit, work: Work, prepared: Any, split: Split, compare: Compare
) -> None:
    """Every part of the document but times and the manifest."""
    words = prepared.words or work.request.task.words
    made = [
        add_distribution_shift(make_subject(work, entry, words), prepared.distribution_shift)
        for entry in work.entries
    ]
    trees = [_without_times(to_tree(part)) for part in exact.subjects]
    compare("subjects", trees, [_without_times(to_tree(part)) for part in made])
    request = work.request
    data = document.data(request.task_name, request.task, prepared, split)
    compare("data", exact.data, data)
    untrained = (*request.untrained, *work.untrained.values())
    compare("untrained", exact.untrained, untrained)
    stated = (*find_few_people(split), *caveats(prepared, made, untrained))
    compare("caveats", exact.caveats, stated)


def _without_times(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _without_times(part) for key, part in tree.items() if key not in TIMED}
    return [_without_times(part) for part in tree] if isinstance(tree, list | tuple) else tree


__all__ = ["ALL", "Again", "check_retraining"]
