"""Every number of an audit made again from what is stored under `restricted/`, and compared exactly.

No model is trained and no attack is run: the attacks' scores and the models' answers are there record
by record, the random streams follow from the entropy in the manifest, and the statistics are the
package's own. What cannot be made again from these is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from privaudit import stats
from privaudit.contracts import Claim, FlowStep, Scores
from privaudit.engine import controls, document, measure
from privaudit.engine import guarantees as promises
from privaudit.engine.subjects import HALVES
from privaudit.evidence.stored import Stored, Unreadable
from privaudit.records import Split
from privaudit.results import (
    Audit,
    ClaimText,
    Control,
    Estimate,
    Finding,
    Subject,
    from_tree,
    to_tree,
)
from privaudit.seeds import Seeds

NOT_DERIVED = (
    "which attack the headline quotes, where it was chosen on models trained again (their answers are "
    "kept in the store, not in the run); its numbers are made again",
    "costs and times, which were measured once",
    "curves' and caveats' wording, descriptions of methods and attacks, and what attacks said of "
    "themselves",
)
FIDELITY = (
    "likeness and usefulness of synthetic tables, for which models are trained on the table (run the "
    "same command again: the numbers are the same)"
)

Say = Callable[[str], None]


@dataclass
class Derived:
    """What came of it. numbers: how many were compared; faults: those that differ, each with its place;
    rounded: how many differ in the last digits alone; left: what was not made again."""

    numbers: int = 0
    rounded: int = 0
    faults: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def derive(run: Path, audit: Audit, *, rounding: float = 0.0, say: Say = lambda _: None) -> Derived:
    """Make every number again and compare. rounding: relative difference that is no fault, for numbers
    that another version of a numeric library made."""
    found = Derived(left=list(NOT_DERIVED))
    kept = Stored(run)
    try:
        split = kept.split
    except Unreadable as error:
        found.faults.append(f"restricted/split.npz: {error}; no number can be made again")
        return found
    compare = _Compare(found, rounding)
    _data(audit, split, run / "restricted" / "flow.csv", compare)
    for subject in audit.subjects:
        say(subject.name)
        _subject(subject, audit, kept, compare)
    _coverage(audit, compare)
    if any(subject.fidelity is not None for subject in audit.subjects):
        found.left.append(FIDELITY)
    return found


class _Compare:
    """Sets what was made again beside what is stored, number by number."""

    def __init__(self, found: Derived, rounding: float) -> None:
        self.found, self.rounding = found, rounding

    def __call__(self, where: str, stored: Any, made: Any) -> None:
        for place, one, other in _leaves(where, stored, made):
            self.found.numbers += 1
            if one == other:
                continue
            if isinstance(one, float) and isinstance(other, float):
                gap = abs(one - other)
                if gap <= self.rounding * max(1.0, abs(one), abs(other)):
                    self.found.rounded += 1
                    continue
            self.fault(f"{place}: {_shown(one)} is stored, {_shown(other)} is made again")

    def fault(self, text: str) -> None:
        self.found.faults.append(text)


def _leaves(where: str, one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in one.keys() | other.keys():
            yield from _leaves(f"{where}.{key}", one.get(key), other.get(key))
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            yield f"{where} (how many)", len(one), len(other)
        for index, (a, b) in enumerate(zip(one, other, strict=False)):
            name = a.get("name", index) if isinstance(a, Mapping) else index
            yield from _leaves(f"{where}.{name}", a, b)
    else:
        yield where, one, other


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _data(audit: Audit, split: Split, flow: Path, compare: _Compare) -> None:
    """Sizes and shares of the pools, and the cohort flow."""
    exact = not audit.data.real or "--exact-counts" in audit.manifest.command
    made = [
        document.pool(name, getattr(split, name), exact)
        for name in ("members", "nonmembers", "reference")
    ]
    compare("data.pools", to_tree(list(audit.data.pools)), to_tree(made))
    try:
        steps = _flow(flow)
    except (OSError, ValueError, KeyError, UnicodeDecodeError):
        compare.fault("restricted/flow.csv: missing or not readable")
        return
    shown = steps if exact else document.merge_small(steps)
    rows = [(s.excluded_stays, s.stays, s.patients) for s in shown]
    compare("data.flow", [(r.excluded, r.stays, r.patients) for r in audit.data.flow], rows)


def _flow(path: Path) -> tuple[FlowStep, ...]:
    import csv

    with open(path, encoding="utf-8", newline="") as file:
        return tuple(
            FlowStep(
                row["step"], int(row["excluded_stays"]), int(row["stays"]), int(row["patients"])
            )
            for row in csv.DictReader(file)
        )


def _claim(text: ClaimText) -> Claim:
    return Claim(epsilon=text.epsilon, delta=text.delta)


def _subject(subject: Subject, audit: Audit, kept: Stored, compare: _Compare) -> None:
    seeds, confidence = Seeds(audit.manifest.entropy), audit.manifest.confidence
    claim = _claim(subject.claim)
    scores: dict[str, Scores] = {}
    for found in subject.outcomes:
        if not isinstance(found, Finding):
            continue
        where = f"{subject.name}.{found.attack}"
        try:
            evidence = kept.evidence(subject.name, found.attack)
            rng = seeds.rng("stats", subject.name, found.attack, "subject")
            made = measure.judge(evidence, kept.split, confidence, rng, claim=claim)
        except Exception as error:
            compare.fault(f"{where}: its scores cannot be judged again ({_why(error)})")
            continue
        compare(f"{where}.estimates", to_tree(list(found.estimates)), made["estimates"])
        compare(f"{where}.curves", to_tree(list(found.curves)), made["curves"])
        _promise(where, subject, found, made["estimates"], compare)
        if isinstance(evidence, Scores) and found.family == "membership":
            scores[found.attack] = evidence
    for control in subject.controls:
        _control(control, subject, kept, seeds, confidence, compare)
    _use(subject, scores, audit, kept, compare)


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, Unreadable) else type(error).__name__


def _promise(
    where: str, subject: Subject, found: Finding, made: list[Any], compare: _Compare
) -> None:
    """Whether a broken promise is said to be broken, and no other."""
    from privaudit import plugins
    from privaudit.errors import PrivauditError

    try:
        needs = plugins.load("attacks", found.attack).needs  # type: ignore[attr-defined]
    except (PrivauditError, ImportError):
        return
    known = [from_tree(part, Estimate) for part in made]
    wanted = promises.caveats(subject.claim, known, needs)
    told = tuple(text for text in found.caveats if text.startswith(promises.DEFECT))
    compare(f"{where}.caveats", list(told), [t for t in wanted if t.startswith(promises.DEFECT)])


def _control(
    control: Control, subject: Subject, kept: Stored, seeds: Seeds, confidence: float,
    compare: _Compare,
) -> None:  # fmt: skip
    if not control.estimates:
        return
    where = f"{subject.name}.{control.attack}.{control.kind} control"
    negative = control.kind == "negative"
    judged = kept.split
    if negative and control.what == controls.HALVED:
        judged = controls.halves(kept.split, seeds.rng("halves"))
    try:
        made = measure.judge(
            kept.evidence(subject.name, control.attack, control.kind),
            judged,
            measure.null_confidence() if negative else confidence,
            seeds.rng("stats", subject.name, control.attack, control.kind),
            brief=True,
            claim=_claim(subject.claim),
        )
    except Exception as error:
        compare.fault(f"{where}: its scores cannot be judged again ({_why(error)})")
        return
    compare(f"{where}.estimates", to_tree(list(control.estimates)), made["estimates"])
    known = [from_tree(part, Estimate) for part in made["estimates"]]
    compare(f"{where}.passed", control.passed, stats.control_passed(control.kind, known))


def _use(
    subject: Subject, scores: Mapping[str, Scores], audit: Audit, kept: Stored, compare: _Compare,
) -> None:  # fmt: skip
    """Usefulness on both pools, groups, calibration, and the headline."""
    proba = None
    if subject.utility:
        try:
            proba = kept.answers(subject.name)
        except Unreadable as error:
            compare.fault(f"{subject.name}.utility: its answers cannot be read ({error})")
    told = subject.headline
    # A headline chosen on two halves is chosen again; one chosen on refits is taken as it stands.
    halved = told is not None and any(text.startswith(HALVES) for text in told.caveats)
    chosen = None if told is None or halved else told.attack
    seeds = Seeds(audit.manifest.entropy).child("measure", subject.name)
    try:
        made = measure.subject(proba, scores, chosen, kept.split, audit.manifest.confidence, seeds)
    except Exception as error:
        compare.fault(f"{subject.name}: its use cannot be measured again ({_why(error)})")
        return
    if proba is not None:
        for part in ("utility", "utility_members", "utility_groups"):
            compare(f"{subject.name}.{part}", to_tree(list(getattr(subject, part))), made[part])
        curve = None if subject.reliability is None else to_tree(subject.reliability)
        compare(f"{subject.name}.reliability", curve, made["reliability"])
    for found in subject.outcomes:
        if isinstance(found, Finding) and (found.groups or found.attack in made["groups"]):
            groups = made["groups"].get(found.attack, [])
            compare(f"{subject.name}.{found.attack}.groups", to_tree(list(found.groups)), groups)
    if told is None or told.attack not in scores:
        return
    best = made["strongest"]
    where = f"{subject.name}.headline"
    compare(f"{where}.attack", told.attack, best["attack"])
    known = best["estimates"]
    if known is None:
        own = next(o for o in subject.outcomes if o.attack == told.attack)
        known = to_tree(list(own.estimates)) if isinstance(own, Finding) else []
    compare(f"{where}.estimates", to_tree(list(told.estimates)), known)


def _coverage(audit: Audit, compare: _Compare) -> None:
    """Which classes of attack are said to be tested, by what was found."""
    for one in audit.coverage:
        found = sorted(
            {
                outcome.attack
                for subject in audit.subjects
                for outcome in subject.outcomes
                if isinstance(outcome, Finding) and outcome.family == one.family
            }
        )
        compare(f"coverage.{one.family}.attacks", list(one.attacks), found)
        compare(f"coverage.{one.family}.tested", one.state == "TESTED", bool(found))


__all__ = ["FIDELITY", "NOT_DERIVED", "Derived", "derive"]
