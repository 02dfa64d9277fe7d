"""One subject of the document from its finished steps: findings, attacks that do not apply, and
failures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from privaudit import stats
from privaudit.attacks._constraints import lacks_counts
from privaudit.contracts import Access, Attack, Mechanism
from privaudit.engine import controls, document, jobs, nulls
from privaudit.engine.configure import Entry
from privaudit.engine.plan import Step
from privaudit.engine.work import Work, access_of
from privaudit.errors import PrivauditError
from privaudit.facts import SERIES_BLIND_ATTACKS, Caveat, CaveatCode, Reason, ReasonCode
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
from privaudit.stats.guarantees import check_guarantee
from privaudit.words import Words


def subject(work: Work, entry: Entry, words: Words) -> Subject:
    """One subject of the document; the texts of its method use these words."""
    fit = next(f for f in work.plan.fits if f.entry is entry and f.variant == "subject")
    facts = work.store.get_json("facts", fit.key)
    body = work.measured[entry.name]
    own = [step for step in work.plan.steps if step.entry.name == entry.name]
    outcomes = tuple(
        _fill_outcome(outcome(work, step, facts, body), words)
        for step in own
        if step.variant == "subject"
    )
    names = [Access[name] for name in facts["access"]]
    claim = from_tree(facts["claim"], ClaimText)
    likeness = work.store.get_json("fidelity", work.fidelity_key(fit))
    if likeness is None and Access.TABLE in names:
        raise LookupError("a synthetic table's fidelity that should be stored is not")
    reliability = body["reliability"]
    return Subject(
        name=entry.name,
        method=entry.method_name,
        learner=entry.learner_name,
        description=document.describe(entry.method),
        params=document.params(entry.method),
        claim=replace(claim, basis=words.fill(claim.basis)),
        access=tuple(access.name for access in names),
        utility=estimates(body["utility"]),
        utility_members=estimates(body["utility_members"]),
        utility_groups=document.groups(body["utility_groups"]),
        utility_everybody=document.groups(body["utility_everybody"]),
        reliability=None if reliability is None else from_tree(reliability, Curve),
        headline=headline(body, outcomes),
        outcomes=outcomes,
        controls=tuple(c for step in own if (c := control(work, step, facts)) is not None),
        costs=facts["costs"],
        trust=tuple((words.fill(a), words.fill(b), words.fill(c)) for a, b, c in facts["trust"]),
        notes=tuple(_fill(one, words) for one in _caveats(facts["notes"])),
        fidelity=None if likeness is None else from_tree(likeness, Fidelity),
    )


def mechanisms(work: Work) -> dict[str, tuple[Mechanism, ...]]:
    """The noisy steps of every subject that was trained, by its name; none where none is known."""
    fits = [fit for fit in work.plan.fits if fit.variant == "subject"]
    found = {fit.entry.name: work.store.get_json("facts", fit.key) or {} for fit in fits}
    return {
        name: tuple(Mechanism(**step) for step in facts.get("mechanisms", ()))
        for name, facts in found.items()
    }


def outcome(work: Work, step: Step, facts: Any, body: Any) -> Outcome:
    """What became of one attack on one subject."""
    name, family = step.attack_name, step.attack.family
    access = access_of(facts, step.entry)
    lacking = work.lacks(step, access)
    if lacking is not None:
        why = step.entry.method.unretrained
        if why is not None and lacking.code is ReasonCode.NEEDS_RETRAINING:
            lacking = why
        return Skipped(name, family, lacking)
    fault = work.faults.get(step.key)
    if step.error is not None:
        fault = jobs.fault_of(step.error)
    if fault is not None:
        refused = isinstance(step.error, PrivauditError) or is_refused(work, step)
        refused |= _is_refit_refused(work, step)
        return (Skipped if refused else Failed)(name, family, fault.reason)
    found = work.store.get_json("findings", step.key)
    known = estimates(found["estimates"])
    claim = from_tree(facts["claim"], ClaimText)
    used = step.attack.uses(access)
    return Finding(
        attack=name,
        family=family,
        params=document.typed_params(step.attack),
        access=tuple(sorted(need.name for need in used)),
        estimates=known,
        curves=tuple(from_tree(curve, Curve) for curve in found["curves"]),
        groups=document.groups(body["groups"].get(name, [])),
        caveats=(
            *_caveats(found["caveats"]),
            *_drawn(work, step.attack),
            *_uncounted(work, step.attack),
            *_blind(work, step.attack_name, facts),
            *check_guarantee(claim, known, used),
        ),
        seconds=found["seconds"],
        by_record=estimates(found["by_record"]),
        evened=estimates(found.get("evened", ())),
        over_represented=document.groups(found.get("over_represented", [])),
        attacker=step.attack.made_by(used),
        null=estimates(body["null"].get(name, ())),
        corrected=estimates(body["corrected"].get(name, ())),
    )


def is_refused(work: Work, step: Step) -> bool:
    """Whether the attack stated that it cannot be made on this release."""
    fault = work.faults.get(step.key)
    return fault is not None and isinstance(fault.own, jobs.Refusal)


def _is_refit_refused(work: Work, step: Step) -> bool:
    """Whether a method stated that it cannot be trained on what the attack would train it on."""
    lost = (work.faults.get(key) for key in step.groups)
    return any(one is not None and one.reason.code is ReasonCode.REFUSED for one in lost)


def control(work: Work, step: Step, facts: Any) -> Control | None:
    """The control that this step is, None where it is none or its attack does not apply."""
    access = access_of(facts, step.entry)
    if step.variant == "subject" or step.error or work.lacks(step, access):
        return None
    name = step.entry.name, step.attack_name, "subject"
    own = (s for s in work.plan.steps if (s.entry.name, s.attack_name, s.variant) == name)
    if any(is_refused(work, s) for s in own):
        return None
    positive = step.variant == "positive"
    kind: Literal["positive", "negative"] = "positive" if positive else "negative"
    reads_table = Access.TABLE in step.attack.needs
    method = step.entry.method
    outcome_kind = work.bench.split.members.outcome_kind
    bench = work.bench
    null = nulls.null_kind(method, step.attack, bench.split, supplied=bench.supplied)
    made = controls.describe(positive, reads_table, null, outcome_kind)
    fault = work.faults.get(step.key) or work.faults.get(work.fit(step).key)
    found = None if fault else work.store.get_json("findings", step.key)
    if found is None:
        error = fault.reason if fault else Reason(ReasonCode.NULL_NOT_TRAINED)
        return Control(kind, step.attack_name, (), False, made, error)
    known = estimates(found["estimates"])
    return Control(kind, step.attack_name, known, stats.control_passed(kind, known), made)


def estimates(tree: Iterable[Any]) -> tuple[Estimate, ...]:
    return tuple(from_tree(part, Estimate) for part in tree)


def _drawn(work: Work, attack: Attack) -> tuple[Caveat, ...]:
    """That an attack on patients did not try all of them, and how many it tried at most."""
    most = getattr(attack, "patients", None)
    split = work.bench.split
    pools = (len(np.unique(pool.patient)) for pool in (split.members, split.nonmembers))
    if not isinstance(most, int) or max(pools) <= most:
        return ()
    return (Caveat(CaveatCode.PATIENTS_DRAWN, "note", {"patients": most}),)


def _uncounted(work: Work, attack: Attack) -> tuple[Caveat, ...]:
    """That an evasion attack could not keep to how many values a summary was made of."""
    if attack.family != "evasion" or not lacks_counts(work.bench.split.nonmembers.columns):
        return ()
    return (Caveat(CaveatCode.COUNTS_UNKNOWN, "note"),)


def _fill(one: Caveat, words: Words) -> Caveat:
    """A method's own note, or what an attack's control is, with the words of the task."""
    held = {CaveatCode.NOTE: "text", CaveatCode.CONTROL_DESCRIBED: "control"}.get(one.code)
    if held is None:
        return one
    return replace(one, params={held: words.fill(str(one.params[held]))})


def _fill_outcome(one: Outcome, words: Words) -> Outcome:
    if not isinstance(one, Finding):
        return one
    return replace(one, caveats=tuple(_fill(caveat, words) for caveat in one.caveats))


def _blind(work: Work, attack: str, facts: Any) -> tuple[Caveat, ...]:
    """That an attack looked at columns alone, of a model that reads series."""
    if attack not in SERIES_BLIND_ATTACKS or not facts.get("reads_series", False):
        return ()
    channels = work.bench.split.members.channels
    if attack == "attribute" and not any(channel.sensitive for channel in channels):
        # It infers what is marked as sensitive, and no channel is.
        return ()
    return (Caveat(CaveatCode.SERIES_NOT_READ),)


def _caveats(tree: Iterable[Any]) -> tuple[Caveat, ...]:
    return tuple(from_tree(part, Caveat) for part in tree)


def headline(body: Any, outcomes: Sequence[Outcome]) -> Finding | None:
    """The strongest membership attack, with how it was chosen as its one caveat."""
    best = body["strongest"]
    for one in outcomes:
        if best is not None and isinstance(one, Finding) and one.attack == best["attack"]:
            known, chosen = one.estimates, CaveatCode.CHOSEN_ON_REFITS
            if best["estimates"] is not None:
                known, chosen = estimates(best["estimates"]), CaveatCode.CHOSEN_ON_HALVES
            elif sum(isinstance(o, Finding) and o.family == one.family for o in outcomes) == 1:
                chosen = CaveatCode.CHOSEN_AS_ONLY
            return replace(one, estimates=known, curves=(), caveats=(Caveat(chosen, "note"),))
    return None
