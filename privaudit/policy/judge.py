"""The rule by which an audit is judged: WITHIN, EXCEEDS, INCONCLUSIVE or NOT TESTED.

A risk is WITHIN a limit when even its upper bound is, EXCEEDS it when even its lower bound does, and is
otherwise INCONCLUSIVE. Lower bounds are adjusted over all blocking rules (Holm 1979); passing needs no
correction, because every attack, group and rule must pass (intersection-union; Berger 1982).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from privaudit.errors import PrivauditError
from privaudit.policy import metrics, ruling, sentences
from privaudit.policy.cells import decide, guard_cells, limit_cells, moves
from privaudit.policy.faults import faults
from privaudit.policy.file import Exemption, Guard, Limit, Policy, check_dates
from privaudit.policy.words import suggest
from privaudit.results import Audit, Subject
from privaudit.stats import onesided
from privaudit.verdicts import State, Verdict, Verdicts, Waiver

if TYPE_CHECKING:
    from privaudit.policy.baseline import Baseline

WITHIN, EXCEEDS, INCONCLUSIVE, FAILED = 0, 1, 3, 5
"""Exit codes that a judgement can have."""


def judge(
    policy: Policy,
    audit: Audit,
    *,
    audit_sha256: str = "",
    baseline: Baseline | None = None,
    candidates: Sequence[Audit] = (),
    today: date | None = None,
) -> Verdicts:
    """What an audit says of a policy's limits, rule by rule and subject by subject.

    audit_sha256: of audit.json's bytes, to be kept with the verdicts; baseline: the runs that
    regressions are measured against; candidates: further runs of what is judged, with other seeds, for
    regressions alone; today: for dates of the policy and its waivers, now unless told.
    Raises PrivauditError for a policy that does not stand on that day, and for names that the audit
    does not know.
    """
    day = date.today() if today is None else today
    check_dates(policy, day)
    subjects = chosen(policy, audit)
    failed, notes = faults(audit, subjects)
    cells = [cell for rule in policy.limits for cell in limit_cells(rule, audit, subjects)]
    cells += [cell for guard in policy.guards for cell in guard_cells(guard, subjects)]
    changed = moves(policy, (audit, *candidates), subjects, baseline)
    decide(policy, cells, changed)
    found: list[Verdict] = []
    rules: tuple[Limit | Guard, ...] = (*policy.limits, *policy.guards)
    for rule in rules:
        for subject in subjects:
            own = [c for c in cells if c.rule is rule and c.subject is subject]
            found += ruling.verdicts(policy, rule, subject, own)
    if baseline is None:
        found += [
            ruling.no_baseline(r, subject.name) for r in policy.regressions for subject in subjects
        ]
    found += [ruling.moved(policy, one) for one in changed]
    found = [_waive(policy.waivers, one, day) for one in found]
    state, code = overall(policy, found, failed=bool(failed))
    return Verdicts(
        run=audit.manifest.run,
        audit_sha256=audit_sha256,
        policy=_told(policy, day),
        policy_sha256=policy.sha256,
        confidence=policy.statistics.confidence,
        state=state,
        code=code,
        verdicts=tuple(found),
        notes=(*failed, *notes, *_notes(policy, audit, subjects, found, day)),
        baseline="" if baseline is None else baseline.name,
    )


def chosen(policy: Policy, audit: Audit) -> tuple[Subject, ...]:
    """The subjects to be judged: those that the policy names as to be released, else all."""
    wanted = policy.context.subjects
    if not wanted:
        return audit.subjects
    names = [subject.name for subject in audit.subjects]
    unmade = [one.name for one in audit.untrained]
    for name in wanted:
        if name in unmade:
            reason = next(one.reason for one in audit.untrained if one.name == name)
            raise PrivauditError(
                f"the subject {name!r} of the policy was not trained in this run",
                reason,
                "run the audit again, so that what is to be released is tested",
            )
    expect(policy, names)
    return tuple(subject for subject in audit.subjects if subject.name in wanted)


def expect(policy: Policy, names: Sequence[str]) -> None:
    """Refuse a policy that names a subject that is none of these: worth knowing before any is trained."""
    for name in policy.context.subjects:
        if name not in names:
            raise PrivauditError(
                f"no subject {name!r} in this run",
                f"subjects are: {', '.join(names) or 'none'}",
                suggest(name, names) or "name a subject of the run under [context] subjects",
            )


def overall(
    policy: Policy, verdicts: Sequence[Verdict], *, failed: bool = False
) -> tuple[State, int]:
    """The state of the whole and the exit code.

    The worst blocking verdict is the state, a waived one included; the code leaves waived ones out.
    Where nothing that blocks was tested on a subject, nothing was shown of it: inconclusive. A failed
    audit has code 5, whatever its numbers.
    """
    blocking = [v for v in verdicts if v.severity == "block"]
    open_ = [v for v in blocking if v.waiver is None]
    subjects = {v.subject for v in verdicts}
    shown = {v.subject for v in blocking if v.state != "NOT TESTED"}
    unshown = not shown or bool(subjects - shown - {""})
    if any(v.state == "EXCEEDS" for v in blocking):
        state: State = "EXCEEDS"
    elif not shown:
        state = "NOT TESTED"
    elif unshown or failed or any(v.state != "WITHIN" for v in blocking):
        state = "INCONCLUSIVE"
    else:
        state = "WITHIN"
    if failed:
        return state, FAILED
    if any(v.state == "EXCEEDS" for v in open_):
        return state, EXCEEDS
    if unshown or any(v.state != "WITHIN" for v in open_):
        return state, INCONCLUSIVE if policy.statistics.on_inconclusive == "fail" else WITHIN
    return state, WITHIN


def _waive(waivers: Sequence[Exemption], one: Verdict, day: date) -> Verdict:
    """The verdict with the waiver that covers it, if one does and still stands. The state stays."""
    if one.state == "WITHIN":
        return one
    for waiver in waivers:
        named = waiver.group in ("", one.group) and waiver.subject in ("", one.subject)
        if waiver.limit == one.rule and named and waiver.expires >= day:
            kept = Waiver(waiver.reason, waiver.approved_by, waiver.expires.isoformat())
            return replace(one, waiver=kept)
    return one


def _told(policy: Policy, day: date) -> Mapping[str, str]:
    """The policy's own words about itself, and the day on which it was applied."""
    return {
        "name": policy.name,
        "owner": policy.owner,
        "approved_by": policy.approved_by,
        "approved_on": "" if policy.approved_on is None else policy.approved_on.isoformat(),
        "review_by": policy.review_by.isoformat(),
        "criteria": policy.criteria,
        "release": policy.context.release,
        "unit": policy.context.unit,
        "judged_on": day.isoformat(),
        "on_inconclusive": policy.statistics.on_inconclusive,
    }


def _notes(
    policy: Policy,
    audit: Audit,
    subjects: Sequence[Subject],
    found: Sequence[Verdict],
    day: date,
) -> tuple[str, ...]:
    notes = []
    if not policy.approved_by:
        notes.append(sentences.UNAPPROVED)
    aside = [s.name for s in audit.subjects if s not in subjects]
    if aside:
        notes.append(sentences.aside(aside))
    for waiver in policy.waivers:
        if waiver.expires < day:
            notes.append(sentences.expired(waiver))
        elif not any(_covers(waiver, one) for one in found):
            notes.append(sentences.idle(waiver))
    alpha = 1 - policy.statistics.confidence
    for rule in policy.limits:
        told = _floor(rule, subjects, alpha)
        if told is not None:
            notes.append(sentences.floor(rule, *told))
    if policy.context.release == "open-weights" and not any(
        "epsilon." in r.metric for r in policy.limits
    ):
        notes.append(sentences.OPEN)
    return tuple(notes)


def _covers(waiver: Exemption, one: Verdict) -> bool:
    return (
        waiver.limit == one.rule
        and waiver.group in ("", one.group)
        and waiver.subject in ("", one.subject)
    )


def _floor(rule: Limit, subjects: Sequence[Subject], alpha: float) -> tuple[float, int] | None:
    """The least limit that a model without a leak keeps to 4 times in 5, where the rule's lies below."""
    known = metrics.METRICS[rule.metric]
    if known.family != "membership":
        return None
    worst: tuple[float, int] | None = None
    for subject in subjects:
        for reading in metrics.readings(known, subject, fpr=rule.fpr, prior=rule.prior):
            estimate = reading.estimate
            if estimate is None or estimate.value is None or estimate.chance is None:
                continue
            pools = estimate.n.get("member_patients", 0), estimate.n.get("nonmember_patients", 0)
            least = onesided.floor(estimate.name, estimate.chance, pools, alpha)
            if least is not None and rule.max < least and (worst is None or least > worst[0]):
                worst = least, pools[1]
    return worst


__all__ = ["chosen", "expect", "judge", "overall"]
