"""One subject of the document from its finished steps: what was found, what did not apply, what broke."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from privaudit import stats
from privaudit.contracts import Access
from privaudit.engine import controls, document, jobs
from privaudit.engine import guarantees as promises
from privaudit.engine.configure import Entry
from privaudit.engine.plan import Step, retrained
from privaudit.engine.work import Work, access_of
from privaudit.errors import PrivauditError
from privaudit.results import (
    ClaimText,
    Control,
    Curve,
    Estimate,
    Failed,
    Fidelity,
    Finding,
    Outcome,
    Skipped,
    Subject,
    from_tree,
)

HALVES = "chosen as the strongest on one half of the patients, estimated on the other half"
POSED = (
    "chosen as the strongest on models trained again, whose training patients are known, and "
    "measured on this model and all patients"
)


def subject(work: Work, entry: Entry) -> Subject:
    """One subject of the document."""
    fit = next(f for f in work.plan.fits if f.entry is entry and f.variant == "subject")
    facts = work.store.get_json("facts", fit.key)
    body = work.measured[entry.name]
    own = [step for step in work.plan.steps if step.entry.name == entry.name]
    outcomes = tuple(outcome(work, step, facts, body) for step in own if step.variant == "subject")
    names = [Access[name] for name in facts["access"]]
    likeness = work.store.get_json("fidelity", work.likeness(fit))
    if likeness is None and Access.TABLE in names:
        raise LookupError("a synthetic table's fidelity that should be kept is not")
    reliability = body["reliability"]
    return Subject(
        name=entry.name,
        method=entry.method_name,
        learner=entry.learner_name,
        description=document.described(entry.method),
        params=document.params(entry.method),
        claim=from_tree(facts["claim"], ClaimText),
        access=tuple(name.value for name in names),
        utility=estimates(body["utility"]),
        utility_members=estimates(body["utility_members"]),
        utility_groups=document.groups(body["utility_groups"]),
        reliability=None if reliability is None else from_tree(reliability, Curve),
        headline=headline(body, outcomes),
        outcomes=outcomes,
        controls=tuple(c for step in own if (c := control(work, step, facts)) is not None),
        costs=facts["costs"],
        trust=tuple((row[0], row[1], row[2]) for row in facts["trust"]),
        notes=tuple(facts["notes"]),
        fidelity=None if likeness is None else from_tree(likeness, Fidelity),
    )


def outcome(work: Work, step: Step, facts: Any, body: Any) -> Outcome:
    name, family = step.attack_name, step.attack.family
    reason = jobs.lacks(step.attack, access_of(facts, step.entry))
    if reason is not None:
        return Skipped(name, family, reason)
    if isinstance(step.broken, PrivauditError):
        return Skipped(name, family, f"{step.broken.what}; {step.broken.because}")
    if refused(work, step):
        return Skipped(name, family, work.faults[step.key].text)
    if step.broken is not None or step.key in work.faults:
        fault = work.faults.get(step.key) or jobs.fault_of(step.broken or Exception())
        return Failed(name, family, fault.text)
    found = work.store.get_json("findings", step.key)
    shown = access_of(facts, step.entry)
    known = estimates(found["estimates"])
    promise = from_tree(facts["claim"], ClaimText)
    return Finding(
        attack=name,
        family=family,
        params=document.plain(step.attack),
        access=tuple(need.value for need in sorted(step.attack.uses(shown), key=str)),
        estimates=known,
        curves=tuple(from_tree(curve, Curve) for curve in found["curves"]),
        groups=document.groups(body["groups"].get(name, [])),
        caveats=(*found["notes"], *promises.caveats(promise, known, step.attack.needs)),
        seconds=found["seconds"],
    )


def refused(work: Work, step: Step) -> bool:
    """Whether the attack said that it cannot be made on this release."""
    fault = work.faults.get(step.key)
    return fault is not None and isinstance(fault.own, jobs.Refusal)


def control(work: Work, step: Step, facts: Any) -> Control | None:
    access = access_of(facts, step.entry)
    if step.variant == "subject" or step.broken or jobs.lacks(step.attack, access):
        return None
    name = step.entry.name, step.attack_name, "subject"
    own = (s for s in work.plan.steps if (s.entry.name, s.attack_name, s.variant) == name)
    if any(refused(work, s) for s in own):
        return None
    kind = "positive" if step.variant == "positive" else "negative"
    fault = work.faults.get(step.key) or work.faults.get(work.fit(step).key)
    found = None if fault else work.store.get_json("findings", step.key)
    if found is None:
        why = fault.text if fault else "its null model was not trained"
        return Control(kind, step.attack_name, (), False, f"the control broke: {why}")  # type: ignore[arg-type]
    known = estimates(found["estimates"])
    what = told(step)
    return Control(kind, step.attack_name, known, stats.control_passed(kind, known), what)  # type: ignore[arg-type]


def told(step: Step) -> str:
    """What a control was made of."""
    if step.variant == "positive":
        copied = Access.TABLE in step.attack.needs
        return controls.COPIED if copied else controls.PLANTED.format(lift=controls.LIFT)
    return controls.NULL if retrained(step.entry.method) else controls.HALVED


def estimates(tree: Iterable[Any]) -> tuple[Estimate, ...]:
    return tuple(from_tree(part, Estimate) for part in tree)


def headline(body: Any, outcomes: Sequence[Outcome]) -> Finding | None:
    """The strongest membership attack, and how it was chosen without favour."""
    best = body["strongest"]
    for one in outcomes:
        if best is not None and isinstance(one, Finding) and one.attack == best["attack"]:
            if best["estimates"] is not None:
                return replace(
                    one, estimates=estimates(best["estimates"]), curves=(), caveats=(HALVES,)
                )
            alone = sum(isinstance(o, Finding) and o.family == one.family for o in outcomes) == 1
            how = "the one membership attack that gave a result" if alone else POSED
            return replace(one, curves=(), caveats=(how,))
    return None
