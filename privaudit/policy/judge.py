"""The rule by which an audit is judged: WITHIN, EXCEEDS, INCONCLUSIVE or NOT TESTED.

A risk is WITHIN a limit when even its upper bound is, EXCEEDS it when even its lower bound does,
and is otherwise INCONCLUSIVE. A bound that proves an epsilon has no upper side: such a limit is
REFUTED or NOT REFUTED, and never WITHIN. Lower bounds are adjusted over all blocking rules (Holm
1979); passing needs no correction, because every attack, group and rule must pass
(intersection-union; Berger 1982). A class of attack that applies to the release and that no rule
looked at leaves the whole undecided (`privaudit.policy.coverage`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from privaudit.errors import PrivauditError
from privaudit.facts import UNCONFIRMED, Caveat, CaveatCode, Param, Reason, ReasonCode
from privaudit.policy import judge_rule, metrics
from privaudit.policy.coverage import Used, as_received, judge_coverage, note_left_out
from privaudit.policy.faults import find_faults, join_faults
from privaudit.policy.few_people import doubt_few_people, has_few_people
from privaudit.policy.file import check_dates
from privaudit.policy.judge_number import (
    Cell,
    Move,
    decide,
    guard_cells,
    is_wrong_way,
    limit_cells,
    moves,
)
from privaudit.policy.judge_sites import doubt_sites, miss_sites
from privaudit.policy.judge_together import judge_together
from privaudit.policy.regress import judge_change, judge_without_baseline
from privaudit.policy.rules import Exemption, Guard, Limit, Policy
from privaudit.policy.strongest import doubt_blind, set_aside
from privaudit.policy.suggest import suggest
from privaudit.results import Audit, Subject
from privaudit.stats import onesided
from privaudit.stats.wrong_way import find_below_guess
from privaudit.verdicts import BROKEN, State, Verdict, Verdicts, Waiver

if TYPE_CHECKING:
    from privaudit.policy.baseline import Baseline

WITHIN, EXCEEDS, INCONCLUSIVE, FAILED = 0, 1, 3, 5
"""Exit codes that a judgement can have."""
NOT_AGAINST: tuple[State, ...] = ("WITHIN", "NOT REFUTED")
"""What stops no gate by itself; the second is no evidence of a low risk either."""

FLOORED = ("attribute", "reconstruction", "synthetic")
"""Families of attempts of which a release without a leak reads as its control does."""


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

    Args:
        policy: The limits.
        audit: What is judged.
        audit_sha256: Of audit.json's bytes, to be stored with the verdicts.
        baseline: The runs that regressions are measured against.
        candidates: Further runs of what is judged, with other seeds, for regressions alone.
        today: For dates of the policy and its waivers; now where it is None.

    Returns:
        Every verdict, the state of the whole and the exit code.

    Raises:
        PrivauditError: The policy does not stand on that day, or names what the audit does not
        know.
    """
    day = date.today() if today is None else today
    check_dates(policy, day)
    subjects = select_subjects(policy, audit)
    names = {subject.name for subject in subjects}
    received = tuple(as_received(policy, audit, subject) for subject in subjects)
    faults = join_faults(
        fault
        for one in (audit, *candidates)
        for fault in find_faults(one, [s for s in one.subjects if s.name in names])
    )
    failed = any(fault.severity == "defect" for fault in faults)
    cells = [cell for rule in policy.limits for cell in limit_cells(rule, audit, received)]
    cells += [cell for guard in policy.guards for cell in guard_cells(guard, received)]
    changed = moves(policy, (audit, *candidates), baseline)
    decide(policy, cells, changed)
    found: list[Verdict] = []
    rules: tuple[Limit | Guard, ...] = (*policy.limits, *policy.guards)
    for rule in rules:
        for subject in received:
            own = [c for c in cells if c.rule is rule and c.subject is subject]
            made = judge_rule.verdicts(policy, rule, subject, own)
            found += (*made, *miss_sites(audit, rule, subject, made))
    found, gaps, used = _cover(policy, received, found, cells, changed)
    found += judge_together(policy, audit, received)
    if baseline is None:
        found += [
            judge_without_baseline(rule, subject.name)
            for rule in policy.regressions
            for subject in subjects
        ]
    confidence = policy.statistics.confidence
    moved = [
        judge_change(one.rule, one.change, confidence=confidence, lower_confidence=1 - one.level)
        for one in changed
    ]
    if policy.statistics.positive_control == "required":
        moved = [
            doubt_blind((audit, *candidates), *one) for one in zip(changed, moved, strict=True)
        ]
    found += set_aside(list(zip(changed, moved, strict=True)), confidence)
    found += gaps
    reversed_ = {
        one.name for run in (audit, *candidates) for one in run.subjects if is_wrong_way(run, one)
    }
    found = [
        _doubt(one, ReasonCode.WRONG_WAY_ROUND) if one.subject in reversed_ else one
        for one in found
    ]
    lost = {
        one.name for run in (audit, *candidates) for one in run.subjects if find_below_guess(one)
    }
    found = [
        _doubt(one, ReasonCode.LOST_TO_GUESS, ("attribute",)) if one.subject in lost else one
        for one in found
    ]
    if any(caveat.code in UNCONFIRMED for run in (audit, *candidates) for caveat in run.caveats):
        found = [_doubt(one, ReasonCode.READING_UNCONFIRMED) for one in found]
    if any(map(has_few_people, (audit, *candidates))):
        found = [doubt_few_people(one) for one in found]
    noted = [caveat for run in (audit, *candidates) for caveat in run.caveats]
    if any(caveat.code is CaveatCode.ROWS_IN_ORDER for caveat in noted):
        found = [_doubt(one, ReasonCode.TABLE_IN_ORDER) for one in found]
    if any(caveat.code is CaveatCode.PEOPLE_NOT_NAMED for caveat in noted):
        found = [_doubt(one, ReasonCode.PEOPLE_NOT_NAMED, SPLIT_BY_PERSON) for one in found]
    if any(one.counted_by_sites for one in (audit, *candidates)):
        found = [doubt_sites(one) for one in found]
    policy = replace(policy, waivers=tuple(_name_level(one, found) for one in policy.waivers))
    found = [_waive(policy.waivers, one, day) for one in found]
    state, code = overall(policy, found, failed=failed)
    return Verdicts(
        run=audit.manifest.run,
        audit_sha256=audit_sha256,
        policy=_describe(policy, day),
        policy_sha256=policy.sha256,
        confidence=policy.statistics.confidence,
        state=state,
        code=code,
        verdicts=tuple(found),
        notes=(
            *faults,
            *_notes(policy, audit, subjects, found, day),
            *note_left_out(policy, used),
        ),
        untrained=tuple((lost.name, lost.reason) for lost in audit.untrained),
        unshown=find_unshown(found),
        baseline="" if baseline is None else baseline.name,
    )


def _cover(
    policy: Policy,
    subjects: Sequence[Subject],
    found: Sequence[Verdict],
    cells: Sequence[Cell],
    changed: Sequence[Move],
) -> tuple[list[Verdict], list[Verdict], list[Used]]:
    """The verdicts of the rules as they came, those on classes of attack, and what was excused."""
    kept: list[Verdict] = []
    gaps: list[Verdict] = []
    used: list[Used] = []
    for subject in subjects:
        own = [one for one in found if one.subject == subject.name]
        looked = [cell for cell in cells if cell.subject is subject]
        compared = {one.change.attack for one in changed if one.change.subject == subject.name}
        made = judge_coverage(policy, subject, own, looked, compared)
        for part, more in zip((kept, gaps, used), made, strict=True):
            part.extend(more)  # type: ignore[attr-defined]
    order = {rule.id: place for place, rule in enumerate(policy.rules)}
    return sorted(kept, key=lambda one: order[one.rule]), gaps, used


def select_subjects(policy: Policy, audit: Audit) -> tuple[Subject, ...]:
    """The subjects to be judged: those that the policy names as to be released, else all."""
    wanted = policy.context.subjects
    if not wanted:
        return audit.subjects
    for lost in audit.untrained:
        if lost.name in wanted:
            why = "; ".join(str(value) for value in lost.reason.params.values())
            raise PrivauditError(
                f"the subject {lost.name!r} of the policy was not trained in this run",
                f"the run states the reason {lost.reason.code}{f': {why}' if why else ''}",
                "run the audit again, so that what is to be released is tested",
            )
    expect_subjects(policy, [subject.name for subject in audit.subjects])
    return tuple(subject for subject in audit.subjects if subject.name in wanted)


def expect_subjects(policy: Policy, names: Sequence[str]) -> None:
    """Refuse a policy that names a subject that is none of these, before any is trained."""
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
    Where nothing that blocks was tested on a subject, or no more than that a limit is not refuted,
    nothing was shown of it: inconclusive. A failed audit has code 5, whatever its numbers.
    """
    blocking = [v for v in verdicts if v.severity == "block"]
    open_ = [v for v in blocking if v.waiver is None]
    subjects = {v.subject for v in verdicts}
    shown = {v.subject for v in blocking if v.state != "NOT TESTED" and v.kind != "coverage"}
    unshown = not shown or bool(subjects - shown - {""}) or bool(find_unshown(verdicts))
    if any(v.state in BROKEN for v in blocking):
        state: State = "EXCEEDS"
    elif not shown:
        state = "NOT TESTED"
    elif unshown or failed or any(v.state not in NOT_AGAINST for v in blocking):
        state = "INCONCLUSIVE"
    else:
        state = "WITHIN"
    if failed:
        return state, FAILED
    if any(v.state in BROKEN for v in open_):
        return state, EXCEEDS
    if unshown or any(v.state not in NOT_AGAINST for v in open_):
        return state, INCONCLUSIVE if policy.statistics.on_inconclusive == "fail" else WITHIN
    return state, WITHIN


def find_unshown(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """Subjects of which a blocking limit is not refuted and nothing shows a risk to be within one.

    That nothing was proved is no evidence of a low risk. Another limit, or the margin of a risk,
    must be WITHIN, or waived by somebody who answers for it; a utility says nothing of a risk, nor
    does the delta of a guarantee, whatever its epsilon.
    """
    found = [v for v in verdicts if v.severity == "block"]
    shown = {
        v.subject for v in found if (v.state == "WITHIN" or v.waiver is not None) and _is_of_risk(v)
    }
    bare = (v.subject for v in found if v.state == "NOT REFUTED" or _is_proof_compared(v))
    return tuple(dict.fromkeys(name for name in bare if name not in shown))


def _is_of_risk(one: Verdict) -> bool:
    metric = metrics.METRICS.get(one.metric)
    says = metric is not None and metric.kind != "use" and one.metric != "epsilon.delta"
    return one.kind != "coverage" and says and not _is_proof_compared(one)


def _is_proof_compared(one: Verdict) -> bool:
    """Whether it is about what attacks prove before and after, which has no upper bound either."""
    return one.kind == "regression" and one.metric == "epsilon.lower_bound"


SPLIT_BY_PERSON = ("membership", "attribute", "inversion", "reconstruction", "synthetic")
"""Families of which a number compares people who were trained on with others."""


def _doubt(
    one: Verdict, code: ReasonCode, families: Sequence[str] = ("membership", "synthetic")
) -> Verdict:
    """The verdict where the model may be asked, or tables compared, wrongly: no risk of these
    families, by default membership and a synthetic table, is then within a limit."""
    metric = metrics.METRICS.get(one.metric)
    if one.state != "WITHIN" or metric is None or metric.family not in families:
        return one
    return replace(one, state="INCONCLUSIVE", reason=Reason(code))


def _waive(waivers: Sequence[Exemption], one: Verdict, day: date) -> Verdict:
    """The verdict with the waiver that covers it, if one does and still stands. The state stays."""
    if one.state in NOT_AGAINST:
        return one
    for waiver in waivers:
        if _covers(waiver, one) and waiver.expires >= day:
            held = Waiver(waiver.reason, waiver.approved_by, waiver.expires.isoformat())
            return replace(one, waiver=held)
    return one


def _name_level(waiver: Exemption, found: Sequence[Verdict]) -> Exemption:
    """The waiver with its group's level as this run writes it: 1 for 1.0, where one level alone is
    that number and none is written as the policy has it."""
    group = waiver.group
    if group is None:
        return waiver
    levels = {v.group.level for v in found if v.group is not None and v.group.by == group.by}
    number = _read_number(group.level)
    same = [level for level in levels if number is not None and _read_number(level) == number]
    if group.level in levels or len(same) != 1:
        return waiver
    return replace(waiver, group=replace(group, level=same[0]))


def _read_number(text: str) -> float | None:
    """A plain decimal number; nothing else, so that no other text is taken for one."""
    return float(text) if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text) else None


def _covers(waiver: Exemption, one: Verdict) -> bool:
    return (
        waiver.limit == one.rule
        and waiver.group in (None, one.group)
        and waiver.subject in ("", one.subject)
    )


def _describe(policy: Policy, day: date) -> Mapping[str, str]:
    """What the policy states of itself, and the day on which it was applied."""
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
    policy: Policy, audit: Audit, subjects: Sequence[Subject], found: Sequence[Verdict], day: date
) -> Iterator[Caveat]:
    """What a reader of the verdicts must know of the policy."""
    if not policy.approved_by:
        yield Caveat(CaveatCode.UNAPPROVED)
    aside = tuple(s.name for s in audit.subjects if s not in subjects)
    if aside:
        yield Caveat(CaveatCode.NOT_JUDGED, "note", {"subjects": aside})
    for waiver in policy.waivers:
        if waiver.expires < day:
            yield expired(waiver)
        elif not any(_covers(waiver, one) for one in found):
            yield Caveat(CaveatCode.WAIVER_IDLE, "warning", {"rule": waiver.limit})
    alpha = 1 - policy.statistics.confidence
    for rule in policy.limits:
        least, patients = _floor(rule, subjects, alpha)
        if rule.max < least:
            params: dict[str, Param] = {
                "rule": rule.id,
                "limit": rule.max,
                "least": least,
                "patients": patients,
            }
            yield Caveat(CaveatCode.LIMIT_BELOW_RESOLUTION, "warning", params)
    guarantees = any(metrics.METRICS[r.metric].family == "epsilon" for r in policy.limits)
    if policy.context.release == "open-weights" and not guarantees:
        yield Caveat(CaveatCode.NO_GUARANTEE_REQUIRED)


def expired(waiver: Exemption) -> Caveat:
    """That a waiver no longer waives anything."""
    group = waiver.group
    params = {
        "rule": waiver.limit,
        "by": "" if group is None else group.by,
        "level": "" if group is None else group.level,
        "approved_by": waiver.approved_by,
        "expires": waiver.expires.isoformat(),
    }
    return Caveat(CaveatCode.WAIVER_EXPIRED, "warning", params)


def _floor(rule: Limit, subjects: Sequence[Subject], alpha: float) -> tuple[float, int]:
    """The least limit that a release without a leak keeps to 4 times in 5, for the number of which
    most is asked, and how many patients or attempts it rests on; 0 where none is known."""
    known = metrics.METRICS[rule.metric]
    worst = 0.0, 0
    for subject in subjects:
        found = metrics.readings(
            known, subject, fpr=rule.fpr, prior=rule.prior, at=rule.at, attacks=rule.attacks
        )
        for reading in found:
            estimate = reading.estimate
            if estimate is None or estimate.value is None:
                continue
            if known.family == "membership":
                sizes = ("member_patients", "nonmember_patients")
                pools = estimate.n.get(sizes[0], 0), estimate.n.get(sizes[1], 0)
                chance = estimate.chance
                least = (
                    None
                    if chance is None
                    else onesided.floor(estimate.metric, chance, pools, alpha)
                )
                behind = pools[1]
            elif known.family in FLOORED:
                least = onesided.floor_of_trials(estimate, reading.beside, alpha, len(found))
                behind = estimate.n.get("patients", estimate.n.get("attempts", 0))
            else:
                continue
            if least is not None and rule.max < least and least > worst[0]:
                worst = least, behind
    return worst
