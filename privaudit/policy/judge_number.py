"""Every number that a rule looks at, with its bounds and its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from privaudit.facts import REASON_PARAMS, CaveatCode, Param, Reason, ReasonCode
from privaudit.policy import metrics
from privaudit.policy.drift import find_corrected, find_drift
from privaudit.policy.metrics import PolicyMetric, Reading
from privaudit.policy.rules import Guard, Limit, Policy, Regression
from privaudit.results import Audit, Control, Estimate, Finding, Subject
from privaudit.stats import onesided
from privaudit.stats.catalogue import MEMBERSHIP, PPV_FPR
from privaudit.stats.headline import control_state, is_drift
from privaudit.stats.wrong_way import find_below_control, find_below_half
from privaudit.verdicts import State

if TYPE_CHECKING:
    from privaudit.policy.baseline import Baseline
    from privaudit.policy.change import Change

WEAK = (
    ReasonCode.LACKS_POWER,
    ReasonCode.NO_POSITIVE_CONTROL,
    ReasonCode.POSITIVE_CONTROL_NOT_MADE,
)
"""Why a low value of an attack is no evidence of a low risk."""

VOIDING = (
    ReasonCode.NEGATIVE_CONTROL_FAILED,
    ReasonCode.DISTRIBUTION_SHIFTED,
    ReasonCode.SCORE_DRIFTED,
    ReasonCode.NULL_NOT_COMPARED,
)
"""Why no value of an attack means what it should; one that is corrected by a null means something
still where it is high."""

MOST_ALLOWED = 0.5
"""Most that a limit may be of what an attack could gain at all, for keeping to it to say
anything."""


@dataclass
class Cell:
    """One number that a rule looks at, and what becomes of it.

    listed: whether the policy names its group; control: what the attack's controls lack, None for
    nothing. level: at which the adjusted bound was taken; p: of "keeps to the limit"; state, code:
    the word and why; refusal: why the number is not stated; missing_control: why that control was
    not made. more, most: what some reasons tell. corrected: the number less what the same attack
    reads of a null on the same patients, where nobody assigned membership at random. evened: the
    number with the number of records evened out, none where every patient has one record.
    """

    rule: Limit | Guard
    known: PolicyMetric
    subject: Subject
    reading: Reading
    listed: bool = True
    control: ReasonCode | None = None
    corrected: Estimate | None = None
    evened: tuple[Estimate | None, ...] = ()
    level: float = 0.05
    p: float = 1.0
    state: State = "INCONCLUSIVE"
    code: ReasonCode = ReasonCode.LIMIT_INSIDE_BOUNDS
    refusal: Reason | None = None
    missing_control: Reason | None = None
    lower: float | None = None
    upper: float | None = None
    more: int = 0
    most: float = 0.0

    @property
    def bounds(self) -> onesided.Bounds | None:
        return None if self.reading.estimate is None else onesided.bounds(self.reading.estimate)

    @property
    def lower_bounds(self) -> onesided.Bounds | None:
        """Of what a leak is shown by: the corrected number, where there is one."""
        return self.bounds if self.corrected is None else onesided.bounds(self.corrected)

    def upper_bound(self, level: float) -> float | None:
        """What the number keeps below: as it is, corrected, and with the number of records evened
        out; None where one of these is unknown."""
        numbers = [self.bounds, *([] if self.corrected is None else [self.lower_bounds])]
        numbers += [None if one is None else onesided.bounds(one) for one in self.evened]
        found = [None if one is None else one.upper(level) for one in numbers]
        known = [one for one in found if one is not None]
        return max(known) if len(known) == len(found) else None

    @property
    def at_least(self) -> bool:
        """Whether the rule asks for at least something (a guard with a minimum)."""
        return isinstance(self.rule, Guard) and self.rule.min is not None

    @property
    def limit(self) -> float:
        return bound_of(self.rule)

    @property
    def is_weak(self) -> bool:
        return self.code in WEAK

    def settle(self, state: State, code: ReasonCode) -> None:
        self.state, self.code = state, code


def pick_reason(code: ReasonCode, known: Mapping[str, Param]) -> Reason:
    """The reason of this code, with those of the known parameters that it carries."""
    return Reason(code, {name: known[name] for name in REASON_PARAMS.get(code, ())})


def bound_of(rule: Limit | Guard) -> float:
    """The number that a limit or a guard allows."""
    found = rule.max if isinstance(rule, Limit) or rule.min is None else rule.min
    assert found is not None
    return found


@dataclass
class Move:
    """A change against the baseline, as one of the numbers that are judged together."""

    rule: Regression
    change: Change
    p: float
    level: float = 0.05


def moves(policy: Policy, audits: Sequence[Audit], baseline: Baseline | None) -> list[Move]:
    """Every change that a regression rule is about: of the subjects that the policy names, else of
    all that the runs or the baseline have."""
    if baseline is None or not policy.regressions:
        return []
    from privaudit.policy.change import FEWEST
    from privaudit.policy.regress import changes

    found = []
    for rule in policy.regressions:
        for change in changes(rule, audits, baseline, policy.context.subjects):
            known = not change.missing and len(change.before) >= FEWEST and bool(change.after)
            found.append(Move(rule, change, change.p(rule.margin) if known else 1.0))
    return found


def limit_cells(rule: Limit, audit: Audit, subjects: Sequence[Subject]) -> list[Cell]:
    """Every number that a limit is about, groups that the policy does not name included."""
    known = metrics.METRICS[rule.metric]
    if known.kind == "claim":
        return []
    found = []
    for subject in subjects:
        plain = metrics.readings(
            known, subject, fpr=rule.fpr, prior=rule.prior, at=rule.at, attacks=rule.attacks
        )
        found += [Cell(rule, known, subject, reading) for reading in plain]
        if known.family != "membership":
            continue
        # Groups that nobody named beforehand are looked at too, and may only warn.
        # What one attack alone measures is measured of everyone together.
        unnamed = () if known.attacks else metrics.groupings(subject)
        for by in dict.fromkeys((*unnamed, *rule.by)):
            inside = metrics.group_readings(
                known, subject, by, fpr=rule.fpr, prior=rule.prior, attacks=rule.attacks
            )
            found += [Cell(rule, known, subject, one, listed=by in rule.by) for one in inside]
    for cell in found:
        cell.corrected = find_corrected(cell.subject, cell.reading)
        cell.evened = _find_evened(cell)
        cell.control = _control(cell, audit)
    return found


def _find_evened(cell: Cell) -> tuple[Estimate | None, ...]:
    """The number with the number of records evened out, where the attack has such numbers."""
    estimate, attack = cell.reading.estimate, cell.reading.attack
    own = [one for one in cell.subject.outcomes if one.attack == attack]
    stated = [e for one in own if isinstance(one, Finding) for e in one.evened]
    is_read = estimate is not None and estimate.metric.name in MEMBERSHIP
    if not stated or not is_read or cell.reading.group is not None or estimate is None:
        return ()
    return (next((one for one in stated if one.metric == estimate.metric), None),)


def guard_cells(rule: Guard, subjects: Sequence[Subject]) -> list[Cell]:
    """Every number that a guard is about."""
    known = metrics.METRICS[rule.metric]
    return [
        Cell(rule, known, subject, reading)
        for subject in subjects
        for reading in (
            *metrics.readings(known, subject),
            *(one for by in rule.by for one in metrics.group_readings(known, subject, by)),
        )
    ]


def _control(cell: Cell, audit: Audit) -> ReasonCode | None:
    """What the controls of this attack on this subject lack; None for nothing.

    A negative control that failed or was not made comes first: it takes the meaning from whatever
    was found. A positive one takes it from whatever was not.
    """
    attack = cell.reading.attack
    if not attack:
        # Copies are counted by no attack, but set against a control as attacks are.
        shifted = cell.known.family == "synthetic" and audit.data.distribution_shift is not None
        return ReasonCode.DISTRIBUTION_SHIFTED if shifted else None
    own = [c for c in cell.subject.controls if c.attack == attack]
    null = [control for control in own if control.kind == "negative"]
    planted = [control for control in own if control.kind == "positive"]
    stated = _stated_of_controls(audit, attack, cell.subject.name)
    broken = [control for control in null if not is_drift(control)]
    if _fails(broken) or (CaveatCode.CONTROL_FAILED, "negative") in stated:
        return ReasonCode.NEGATIVE_CONTROL_FAILED
    drift = find_drift(audit, cell.subject, cell.reading, cell.known.family, null)
    if drift is not None:
        return drift
    if lost := _not_made(null):
        cell.missing_control = _why_not_made(lost[0])
        return ReasonCode.NEGATIVE_CONTROL_NOT_MADE
    if (CaveatCode.CONTROL_NOT_MADE, "negative") in stated:
        return ReasonCode.NEGATIVE_CONTROL_NOT_MADE
    lack, cell.missing_control = _find_lack(audit, cell.subject, attack, cell.known.family)
    bare = cell.known.family == "membership" and not null
    return ReasonCode.NO_NEGATIVE_CONTROL if lack is None and planted and bare else lack


def _find_lack(
    audit: Audit, subject: Subject, attack: str, family: str
) -> tuple[ReasonCode | None, Reason | None]:
    """Why what an attack did not find is no evidence of a low risk, None where it is, and why its
    positive control was not made."""
    if family == "property":
        # Its models see a fraction of the patients, and a model of more tells more of them.
        return ReasonCode.SMALLER_TRAINING_SETS, None
    planted = [c for c in subject.controls if (c.attack, c.kind) == (attack, "positive")]
    stated = _stated_of_controls(audit, attack, subject.name)
    if _fails(planted) or (CaveatCode.PLANTED_LEAK_MISSED, "positive") in stated:
        return ReasonCode.LACKS_POWER, None
    if lost := _not_made(planted):
        return ReasonCode.POSITIVE_CONTROL_NOT_MADE, _why_not_made(lost[0])
    if stated:
        return ReasonCode.POSITIVE_CONTROL_NOT_MADE, None
    if planted:
        return None, None
    # Families whose attacks have no planted leak anywhere are judged without.
    planting = {
        one.family
        for other in audit.subjects
        for control in other.controls
        for one in other.outcomes
        if isinstance(one, Finding) and one.attack == control.attack
    }
    wanted = family in {"membership", *planting}
    return (ReasonCode.NO_POSITIVE_CONTROL if wanted else None), None


def find_blind(
    audits: Sequence[Audit], change: Change, family: str
) -> tuple[ReasonCode, Reason | None] | None:
    """Why some run of a candidate would not show that an attack finds more; None where all would.

    What an attack reads of a candidate is no evidence that it leaks no more, where the attack finds
    not even a leak that was planted in it.
    """
    for audit in audits:
        for subject in audit.subjects:
            if change.attack and subject.name == change.subject:
                code, why = _find_lack(audit, subject, change.attack, family)
                if code is not None:
                    return code, why
    return None


def is_wrong_way(audit: Audit, subject: Subject) -> bool:
    """Whether the model ranks its own members' outcomes, or an attack ranks members, surely the
    wrong way round: then nothing about membership or a synthetic table can be within a limit."""
    stated = any(caveat.code is CaveatCode.OUTCOMES_WRONG_WAY for caveat in audit.caveats)
    return stated or bool(find_below_half(subject) or find_below_control(subject))


def _fails(controls: Sequence[Control]) -> bool:
    return any(control_state(control) == "failed" for control in controls)


def _not_made(controls: Sequence[Control]) -> list[Control]:
    return [control for control in controls if control_state(control) == "not made"]


def _why_not_made(control: Control) -> Reason | None:
    refusals = (e.refusal for e in control.estimates if e.metric.name == "auc")
    return control.error or next(refusals, None)


def _stated_of_controls(audit: Audit, attack: str, subject: str) -> set[tuple[CaveatCode, Param]]:
    """What the audit as a whole states of an attack's controls, whatever the subject holds."""
    codes = (
        CaveatCode.CONTROL_FAILED,
        CaveatCode.CONTROL_NOT_MADE,
        CaveatCode.PLANTED_LEAK_MISSED,
    )
    return {
        (caveat.code, caveat.params.get("control", "positive"))
        for caveat in audit.caveats
        if caveat.code in codes
        and (caveat.params["attack"], caveat.params["subject"]) == (attack, subject)
    }


def decide(policy: Policy, cells: Sequence[Cell], moved: Sequence[Move] = ()) -> None:
    """Give every cell its bounds and its state, and its place in the adjustment."""
    alpha = 1 - policy.statistics.confidence
    families: dict[tuple[str, bool], list[Cell | Move]] = {}
    for move in moved:
        families.setdefault((move.rule.severity, False), []).append(move)
    for cell in cells:
        estimate, bounds = cell.reading.estimate, cell.bounds
        if bounds is None or estimate is None:
            continue
        severity = str(cell.rule.severity) if cell.listed else "unlisted"
        shown = cell.lower_bounds
        cell.p = 1.0
        if cell.at_least:
            cell.p = bounds.below(cell.limit)
        elif shown is not None:
            cell.p = shown.above(cell.limit)
        # Proofs about epsilon come adjusted over many guesses already, and stand among themselves.
        families.setdefault((severity, onesided.proof(estimate)), []).append(cell)
    for family in families.values():
        _adjust(family, policy.statistics.correction == "holm", alpha)
    for cell in cells:
        _set_state(policy, cell, alpha)


def _adjust(family: Sequence[Cell | Move], holm: bool, alpha: float) -> None:
    """The level at which each cell's bound against its limit is taken (Holm's step-down)."""
    if not holm:
        for cell in family:
            cell.level = alpha
        return
    count, stopped = len(family), 0.0
    for step, cell in enumerate(sorted(family, key=lambda one: one.p)):
        level = alpha / (count - step)
        if not stopped and cell.p > level:
            stopped = level
        cell.level = stopped or level


def _set_state(policy: Policy, cell: Cell, alpha: float) -> None:
    """The word for one cell."""
    reading, estimate, rules = cell.reading, cell.reading.estimate, policy.statistics
    if reading.suppressed or _is_small(estimate, rules.min_cell, reading):
        return cell.settle("NOT TESTED", ReasonCode.SUPPRESSED)
    if estimate is None:
        return cell.settle("NOT TESTED", ReasonCode.NUMBER_ABSENT)
    if estimate.value is None:
        cell.refusal = estimate.refusal
        return cell.settle("INCONCLUSIVE", ReasonCode.NUMBER_ABSENT)
    bounds = cell.bounds
    if bounds is None:
        return cell.settle("INCONCLUSIVE", ReasonCode.NO_INTERVAL)
    if cell.at_least:
        cell.lower, cell.upper = bounds.lower(alpha), bounds.upper(cell.level)
    else:
        shown = cell.lower_bounds
        cell.lower = None if shown is None else shown.lower(cell.level)
        cell.upper = cell.upper_bound(alpha)
    required = rules.positive_control == "required"
    if cell.control in VOIDING and (cell.corrected is None or _is_void(cell)):
        return cell.settle("INCONCLUSIVE", cell.control)
    cell.more = _false_positives(cell, rules.min_false_positives)
    if cell.more:
        return cell.settle("INCONCLUSIVE", ReasonCode.TOO_FEW_FALSE_POSITIVES)
    if cell.at_least:
        worse = cell.upper is not None and cell.upper < cell.limit
        better = cell.lower is not None and cell.lower >= cell.limit
    else:
        worse = cell.lower is not None and cell.lower > cell.limit
        better = _is_within(cell, alpha)
    proof = onesided.proof(estimate)
    if worse and cell.control is ReasonCode.NEGATIVE_CONTROL_NOT_MADE:
        # Nothing shows that the attack reads as chance where nothing leaks.
        cell.settle("INCONCLUSIVE", cell.control)
    elif worse and proof:
        cell.settle("REFUTED", ReasonCode.PROVED_ABOVE)
    elif worse:
        chance = estimate.chance
        if reading.group and chance is not None and (cell.lower or 0.0) <= chance > cell.limit:
            # A group whose own non-members are named as often is not recognised, only atypical.
            return cell.settle("INCONCLUSIVE", ReasonCode.GROUP_ATYPICAL)
        cell.settle(
            "EXCEEDS", ReasonCode.MISSES_MINIMUM if cell.at_least else ReasonCode.EXCEEDS_BOUND
        )
    elif cell.control in VOIDING:
        # Drift may hide a leak as well as feign one: nothing is within a limit, nor near it.
        cell.settle("INCONCLUSIVE", cell.control)
    elif better and (ceiling := find_ceiling(cell)) is not None:
        cell.most = ceiling
        cell.settle("INCONCLUSIVE", ReasonCode.LIMIT_ABOVE_CEILING)
    elif better and cell.control is not None and (required or cell.control not in WEAK):
        cell.settle("INCONCLUSIVE", cell.control)
    elif better and _is_blind(cell):
        cell.settle("NOT TESTED", ReasonCode.SERIES_NOT_READ)
    elif better and proof:
        cell.settle("NOT REFUTED", ReasonCode.NOT_PROVED_ABOVE)
    elif better:
        cell.settle(
            "WITHIN", ReasonCode.REACHES_MINIMUM if cell.at_least else ReasonCode.WITHIN_BOUND
        )
    return None


def _is_blind(cell: Cell) -> bool:
    """Whether the attack looked at columns alone, of a model that reads series."""
    own = (one for one in cell.subject.outcomes if one.attack == cell.reading.attack)
    return any(isinstance(one, Finding) and one.is_blind for one in own)


def find_ceiling(cell: Cell) -> float | None:
    """The most by which an attack could exceed its control or a guess, where the limit is more than
    half of it: a release that gives most of a rare value away would keep to such a rule."""
    if cell.reading.beside is None or cell.at_least:
        return None
    ceiling = 1 - cell.reading.beside
    return ceiling if MOST_ALLOWED * ceiling <= cell.limit + 1e-9 else None


def _is_void(cell: Cell) -> bool:
    """Whether not even a high corrected number means anything: the harness itself leaks."""
    return cell.control is ReasonCode.NEGATIVE_CONTROL_FAILED


def _is_within(cell: Cell, alpha: float) -> bool:
    """Whether the upper bound keeps to the limit; for a proof, whether one above it was
    possible."""
    estimate = cell.reading.estimate
    assert estimate is not None
    assert estimate.value is not None
    if not onesided.proof(estimate):
        return cell.upper is not None and cell.upper <= cell.limit
    assigned = estimate.n.get("member_patients", 0) + estimate.n.get("nonmember_patients", 0)
    most = onesided.provable(assigned, alpha)
    if estimate.value <= cell.limit and most <= cell.limit:
        cell.code, cell.most = ReasonCode.NOTHING_PROVABLE, most
    proved = onesided.most_proved(estimate)
    return proved is not None and proved <= cell.limit < most


def _is_small(estimate: Estimate | None, least: int, reading: Reading) -> bool:
    counts = {} if estimate is None else estimate.n
    patients = [n for key, n in counts.items() if "patients" in key]
    return bool(reading.group) and bool(patients) and min(patients) < least


def _false_positives(cell: Cell, least: int) -> int:
    """How many more held-out patients the false positive rate needs; 0 where there are enough."""
    estimate = cell.reading.estimate
    fpr = PPV_FPR if cell.known.takes == "prior" else getattr(cell.rule, "fpr", None)
    if fpr is None or estimate is None or cell.reading.group:
        return 0
    # A count that is not stated is not enough.
    return max(0, -int(-(least / fpr - 1e-6) // 1) - estimate.n.get("nonmember_patients", 0))
