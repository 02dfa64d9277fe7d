"""The rule by which an audit is judged: WITHIN, EXCEEDS, INCONCLUSIVE or NOT TESTED.

A risk is WITHIN a limit when even its upper bound is, EXCEEDS it when even its lower bound does, and is
otherwise INCONCLUSIVE. Lower bounds are adjusted over all blocking rules (Holm 1979); passing needs no
correction, because every attack, group and rule must pass (intersection-union; Berger 1982).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

from privaudit.errors import PrivauditError
from privaudit.policy import metrics, sentences
from privaudit.policy.faults import faults
from privaudit.policy.file import Exemption, Guard, Limit, Policy, Regression, check_dates
from privaudit.policy.metrics import Metric, Reading
from privaudit.policy.words import suggest
from privaudit.results import Audit, Control, Finding, Subject
from privaudit.stats import onesided
from privaudit.stats.catalogue import PPV_FPR
from privaudit.verdicts import State, Verdict, Verdicts, Waiver

if TYPE_CHECKING:
    from privaudit.policy.baseline import Baseline
    from privaudit.policy.regress import Change

WITHIN, EXCEEDS, INCONCLUSIVE, FAILED = 0, 1, 3, 5
"""Exit codes that a judgement can have."""


@dataclass
class Cell:
    """One number that a rule looks at, and what becomes of it.

    level: at which the adjusted bound was taken; p: of "keeps to the limit"; state, why: the word, and
    the key of its reason. weak: a low value of this attack speaks for nothing.
    """

    rule: Limit | Guard
    known: Metric
    subject: Subject
    reading: Reading
    listed: bool = True
    control: str = ""
    level: float = 0.05
    p: float = 1.0
    state: State = "INCONCLUSIVE"
    why: str = "crosses"
    lower: float | None = None
    upper: float | None = None
    facts: dict[str, float | int | str] = field(default_factory=dict)

    @property
    def bounds(self) -> onesided.Bounds | None:
        return None if self.reading.estimate is None else onesided.bounds(self.reading.estimate)

    @property
    def falls(self) -> bool:
        """Whether the rule asks for at least something (a guard with a minimum)."""
        return isinstance(self.rule, Guard) and self.rule.min is not None

    @property
    def limit(self) -> float:
        if isinstance(self.rule, Guard):
            found = self.rule.min if self.rule.min is not None else self.rule.max
            assert found is not None
            return found
        return self.rule.max


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
    cells = [cell for rule in policy.limits for cell in _limit_cells(rule, audit, subjects)]
    cells += [cell for guard in policy.guards for cell in _guard_cells(guard, subjects)]
    moves = _moves(policy, (audit, *candidates), subjects, baseline)
    _decide(policy, cells, moves)
    found: list[Verdict] = []
    rules: tuple[Limit | Guard, ...] = (*policy.limits, *policy.guards)
    for rule in rules:
        for subject in subjects:
            own = [c for c in cells if c.rule is rule and c.subject is subject]
            found += _verdicts(policy, rule, subject, own)
    if baseline is None:
        found += [_no_baseline(r, subject.name) for r in policy.regressions for subject in subjects]
    found += [_moved(policy, one) for one in moves]
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
        if name not in names:
            raise PrivauditError(
                f"no subject {name!r} in this run",
                f"subjects are: {', '.join(names) or 'none'}",
                suggest(name, names) or "name a subject of the run under [context] subjects",
            )
    return tuple(subject for subject in audit.subjects if subject.name in wanted)


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


def _limit_cells(rule: Limit, audit: Audit, subjects: Sequence[Subject]) -> list[Cell]:
    known = metrics.METRICS[rule.metric]
    if known.kind == "claim":
        return []
    found = []
    at = {"fpr": rule.fpr, "prior": rule.prior}
    for subject in subjects:
        plain = metrics.readings(known, subject, **at, at=rule.at, attacks=rule.attacks)
        found += [Cell(rule, known, subject, reading) for reading in plain]
        if known.family != "membership":
            continue
        # Groups that nobody named beforehand are looked at too, and may only warn.
        for by in sorted({*rule.by, *metrics.groupings(subject)}):
            found += [
                Cell(rule, known, subject, reading, listed=by in rule.by)
                for reading in metrics.group_readings(
                    known, subject, by, **at, attacks=rule.attacks
                )
            ]
    for cell in found:
        cell.control = _control(cell, audit)
    return found


def _guard_cells(rule: Guard, subjects: Sequence[Subject]) -> list[Cell]:
    known = metrics.METRICS[rule.metric]
    return [
        Cell(rule, known, subject, reading)
        for subject in subjects
        for reading in (
            *metrics.readings(known, subject),
            *(one for by in rule.by for one in metrics.group_readings(known, subject, by)),
        )
    ]


def _control(cell: Cell, audit: Audit) -> str:
    """What the controls of this attack on this subject say: "", "leaks", "missed" or "none"."""
    own = [c for c in cell.subject.controls if c.attack == cell.reading.attack]
    if any(_leaks(control) for control in own):
        return "leaks"
    planted = [control for control in own if control.kind == "positive"]
    if planted:
        return "" if all(control.passed for control in planted) else "missed"
    # Families whose attacks have no planted leak anywhere are judged without.
    planting = {
        one.family
        for subject in audit.subjects
        for control in subject.controls
        for one in subject.outcomes
        if isinstance(one, Finding) and one.attack == control.attack
    }
    return "none" if cell.known.family in {"membership", *planting} else ""


def _leaks(control: Control) -> bool:
    return not control.passed and control.kind == "negative"


def _decide(policy: Policy, cells: Sequence[Cell], moves: Sequence[Move] = ()) -> None:
    """Give every cell its bounds and its state, and its place in the adjustment."""
    alpha = 1 - policy.statistics.confidence
    families: dict[str, list[Cell | Move]] = {}
    for move in moves:
        families.setdefault(move.rule.severity, []).append(move)
    for cell in cells:
        estimate, bounds = cell.reading.estimate, cell.bounds
        if bounds is None or estimate is None:
            continue
        name = str(cell.rule.severity) if cell.listed else "unlisted"
        # Proofs about epsilon come adjusted over many guesses already, and stand among themselves.
        name += " proof" if onesided.proof(estimate) else ""
        cell.p = bounds.below(cell.limit) if cell.falls else bounds.above(cell.limit)
        families.setdefault(name, []).append(cell)
    for family in families.values():
        _holm(family, alpha if policy.statistics.correction == "holm" else None, alpha)
    for cell in cells:
        _state(policy, cell, alpha)


def _holm(family: Sequence[Cell | Move], adjusted: float | None, alpha: float) -> None:
    """The level at which each cell's bound against its limit is taken (Holm's step-down)."""
    if adjusted is None:
        for cell in family:
            cell.level = alpha
        return
    count, stopped = len(family), 0.0
    for step, cell in enumerate(sorted(family, key=lambda one: one.p)):
        level = adjusted / (count - step)
        if not stopped and cell.p > level:
            stopped = level
        cell.level = stopped or level


def _state(policy: Policy, cell: Cell, alpha: float) -> None:
    """The word for one cell."""
    reading, estimate, rules = cell.reading, cell.reading.estimate, policy.statistics
    if reading.suppressed or _small(estimate, rules.min_cell, reading):
        cell.state, cell.why = "NOT TESTED", "suppressed"
        return
    if estimate is None or estimate.value is None:
        cell.why = "refused" if estimate is not None else "absent"
        cell.state = "INCONCLUSIVE" if estimate is not None else "NOT TESTED"
        cell.facts["refusal"] = (estimate.refusal or "") if estimate is not None else ""
        return
    bounds = cell.bounds
    if bounds is None:
        cell.why = "no_interval"
        return
    if cell.falls:
        cell.lower, cell.upper = bounds.lower(alpha), bounds.upper(cell.level)
    else:
        cell.lower, cell.upper = bounds.lower(cell.level), bounds.upper(alpha)
    if cell.control == "leaks":
        cell.why = "leaks"
        return
    more = _false_positives(cell, rules.min_false_positives)
    if more:
        cell.why, cell.facts["more"] = "resolution", more
        return
    if cell.falls:
        worse = cell.upper is not None and cell.upper < cell.limit
        better = cell.lower is not None and cell.lower >= cell.limit
    else:
        worse = cell.lower is not None and cell.lower > cell.limit
        better = _better(cell, alpha)
    if worse:
        chance = estimate.chance
        if reading.group and chance is not None and (cell.lower or 0.0) <= chance > cell.limit:
            # A group whose own non-members are named as often is not recognised, only atypical.
            cell.why = "atypical"
            return
        cell.state, cell.why = "EXCEEDS", "falls" if cell.falls else "exceeds"
    elif better:
        if rules.positive_control == "required" and cell.control in ("missed", "none"):
            cell.why = "power" if cell.control == "missed" else "no_control"
            return
        cell.state, cell.why = "WITHIN", "keeps" if cell.falls else "within"


def _better(cell: Cell, alpha: float) -> bool:
    """Whether the upper bound keeps to the limit; for a proof, whether one above it was possible."""
    estimate = cell.reading.estimate
    assert estimate is not None
    assert estimate.value is not None
    if onesided.proof(estimate):
        coins = estimate.n.get("member_patients", 0) + estimate.n.get("nonmember_patients", 0)
        most = onesided.provable(coins, alpha)
        if estimate.value <= cell.limit and most <= cell.limit:
            cell.why, cell.facts["most"] = "unprovable", most
        return estimate.value <= cell.limit < most
    return cell.upper is not None and cell.upper <= cell.limit


def _small(estimate: object, least: int, reading: Reading) -> bool:
    counts = getattr(estimate, "n", {})
    patients = [n for key, n in counts.items() if "patients" in key]
    return bool(reading.group) and bool(patients) and min(patients) < least


def _false_positives(cell: Cell, least: int) -> int:
    """How many more held-out patients the false positive rate needs; 0 where there are enough."""
    estimate = cell.reading.estimate
    fpr = PPV_FPR if cell.known.takes == "prior" else getattr(cell.rule, "fpr", None)
    if fpr is None or estimate is None or cell.reading.group:
        return 0
    held_out = estimate.n.get("nonmember_patients")
    if held_out is None:
        return 0
    return max(0, -int(-(least / fpr - 1e-6) // 1) - held_out)


def _verdicts(
    policy: Policy, rule: Limit | Guard, subject: Subject, cells: Sequence[Cell]
) -> list[Verdict]:
    """One verdict for everyone together, one for each group named, and warnings of others."""
    known = metrics.METRICS[rule.metric]
    if isinstance(rule, Limit) and known.kind == "claim":
        return [_claim(policy, rule, subject)]
    plain = [cell for cell in cells if not cell.reading.group]
    found = [_one(policy, rule, known, subject, plain)]
    for by in rule.by:
        inside = [c for c in cells if c.listed and c.reading.group.startswith(f"{by}: ")]
        if not inside:
            found.append(_ungrouped(policy, rule, known, subject, by))
        for group in dict.fromkeys(cell.reading.group for cell in inside):
            own = [cell for cell in inside if cell.reading.group == group]
            found.append(_one(policy, rule, known, subject, own, group))
    # Where everyone together exceeds, that its parts do too is no news.
    news = found[0].state != "EXCEEDS"
    others = [c for c in cells if news and not c.listed and c.state == "EXCEEDS"]
    for group in dict.fromkeys(cell.reading.group for cell in others):
        own = [cell for cell in others if cell.reading.group == group]
        made = _one(policy, rule, known, subject, own, group, unlisted=True)
        found.append(replace(made, severity="warn"))
    return found


def _one(
    policy: Policy,
    rule: Limit | Guard,
    known: Metric,
    subject: Subject,
    cells: Sequence[Cell],
    group: str = "",
    *,
    unlisted: bool = False,
) -> Verdict:
    """The verdict on one rule, subject and group, from all attacks and settings together."""
    asked = rule.attacks if isinstance(rule, Limit) else ()
    missing = [name for name in asked if name not in {cell.reading.attack for cell in cells}]
    missing = [] if unlisted else missing
    state, cell = _together(cells, missing, bool(asked))
    severity = rule.severity
    if not cells and not missing and not group:
        why = "untried"
        if known.kind == "risk" and metrics.inapplicable(subject, known):
            # What a release does not give away cannot be attacked: told, and not held against it.
            why, severity = "inapplicable", "warn"
    else:
        why = "missing" if missing and state == "INCONCLUSIVE" else cell.why if cell else "untried"
    limit = cell.limit if cell else _bound(rule)
    estimate = cell.reading.estimate if cell else None
    told = sentences.Told(
        policy=policy,
        rule=rule,
        known=known,
        subject=subject,
        why=why,
        state=state,
        limit=limit,
        group=group,
        attack=cell.reading.attack if cell else "",
        setting=cell.reading.setting if cell else "",
        estimate=estimate,
        lower=cell.lower if cell else None,
        upper=cell.upper if cell else None,
        missing=tuple(missing),
        others=tuple(dict.fromkeys(c.reading.attack for c in cells if c.reading.attack)),
        weak=tuple(
            dict.fromkeys(c.reading.attack for c in cells if c.why in ("power", "no_control"))
        ),
        facts=cell.facts if cell else {},
        unlisted=unlisted,
    )
    return Verdict(
        rule=rule.id,
        kind="guard" if isinstance(rule, Guard) else "limit",
        subject=subject.name,
        metric=rule.metric,
        state=state,
        severity=severity,
        limit=limit,
        value=estimate.value if estimate else None,
        lower=cell.lower if cell else None,
        upper=cell.upper if cell else None,
        chance=estimate.chance if estimate else None,
        attack=cell.reading.attack if cell else "",
        setting=cell.reading.setting if cell else "",
        group=group,
        fpr=getattr(rule, "fpr", None),
        n=dict(estimate.n) if estimate else {},
        sentence=sentences.sentence(told),
        reason=sentences.reason(told),
        remedy=sentences.remedy(told),
    )


def _bound(rule: Limit | Guard) -> float:
    found = rule.max if isinstance(rule, Limit) or rule.min is None else rule.min
    assert found is not None
    return found


def _together(
    cells: Sequence[Cell], missing: Sequence[str], asked: bool
) -> tuple[State, Cell | None]:
    """The state of several numbers under one rule, and the number that decided.

    One that exceeds is enough. To be within, all must be; an attack that nobody asked for by name and that
    lacks power is left aside while another has it.
    """
    if not cells:
        return ("INCONCLUSIVE" if missing else "NOT TESTED"), None
    over = [cell for cell in cells if cell.state == "EXCEEDS"]
    if over:
        return "EXCEEDS", min(over, key=lambda one: one.p)
    held = [cell for cell in cells if cell.state == "WITHIN"]
    weak = [cell for cell in cells if cell.why in ("power", "no_control")]
    rest = [cell for cell in cells if cell not in held and cell not in weak]
    if rest or missing:
        if not rest:
            return "INCONCLUSIVE", _highest([*held, *weak])
        if all(cell.state == "NOT TESTED" for cell in cells):
            return "NOT TESTED", rest[0]
        tried = [cell for cell in rest if cell.state != "NOT TESTED"] or rest
        return "INCONCLUSIVE", _highest(tried)
    if held and not (asked and weak):
        return "WITHIN", _highest(held)
    return "INCONCLUSIVE", _highest(weak)


def _highest(cells: Sequence[Cell]) -> Cell:
    """The cell that is furthest from being within."""

    def rank(cell: Cell) -> tuple[int, float]:
        if cell.falls:
            return (0, 0.0) if cell.lower is None else (1, cell.limit - cell.lower)
        if cell.upper is not None:
            return 1, cell.upper - cell.limit
        value = cell.reading.estimate.value if cell.reading.estimate else None
        return (0, 0.0) if value is None else (1, value - cell.limit)

    return max(cells, key=rank)


def _claim(policy: Policy, rule: Limit, subject: Subject) -> Verdict:
    """A rule about what is promised: read off, not measured."""
    claim = subject.claim
    told = sentences.claim(policy, rule, subject)
    value = claim.delta if rule.metric == "epsilon.delta" else claim.epsilon
    promised = claim.epsilon is not None and not told.gap
    kept = promised and value is not None and value <= rule.max
    return Verdict(
        rule=rule.id,
        kind="limit",
        subject=subject.name,
        metric=rule.metric,
        state="WITHIN" if kept else "EXCEEDS",
        severity=rule.severity,
        limit=rule.max,
        value=value if claim.epsilon is not None else None,
        lower=value if promised else None,
        upper=value if promised else None,
        sentence=told.sentence,
        reason=told.reason(kept),
        remedy="" if kept else told.remedy,
    )


def _ungrouped(
    policy: Policy, rule: Limit | Guard, known: Metric, subject: Subject, by: str
) -> Verdict:
    there = sorted(metrics.groupings(subject) | {group.by for group in subject.utility_groups})
    inapplicable = known.kind == "risk" and metrics.inapplicable(subject, known)
    return Verdict(
        rule=rule.id,
        kind="guard" if isinstance(rule, Guard) else "limit",
        subject=subject.name,
        metric=rule.metric,
        state="NOT TESTED",
        severity="warn" if inapplicable else rule.severity,
        limit=_bound(rule),
        group=by,
        fpr=getattr(rule, "fpr", None),
        sentence=sentences.no_grouping(by, subject.name),
        reason=sentences.groupings_there(there),
        remedy=suggest(by, there) or sentences.NAME_GROUPING,
    )


@dataclass
class Move:
    """A change against the baseline, as one of the numbers that are judged together."""

    rule: Regression
    change: Change
    p: float
    level: float = 0.05


def _moves(
    policy: Policy,
    audits: Sequence[Audit],
    subjects: Sequence[Subject],
    baseline: Baseline | None,
) -> list[Move]:
    """Every change that a regression rule is about."""
    if baseline is None or not policy.regressions:
        return []
    from privaudit.policy.regress import FEWEST, changes

    names = [subject.name for subject in subjects]
    found = []
    for rule in policy.regressions:
        for change in changes(rule, audits, baseline, names):
            told = not change.missing and len(change.before) >= FEWEST and bool(change.after)
            found.append(Move(rule, change, change.p(rule.margin) if told else 1.0))
    return found


def _moved(policy: Policy, one: Move) -> Verdict:
    from privaudit.policy.regress import decide

    confidence = policy.statistics.confidence
    return decide(one.rule, one.change, confidence=confidence, lower_confidence=1 - one.level)


def _no_baseline(rule: Regression, subject: str) -> Verdict:
    return Verdict(
        rule=rule.id,
        kind="regression",
        subject=subject,
        metric=rule.metric,
        state="NOT TESTED",
        severity=rule.severity,
        limit=rule.margin,
        fpr=rule.fpr,
        sentence=sentences.no_baseline(rule.metric, subject),
        reason=sentences.NO_BASELINE,
        remedy=sentences.GIVE_BASELINE,
    )


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


__all__ = ["Cell", "chosen", "judge", "overall"]
