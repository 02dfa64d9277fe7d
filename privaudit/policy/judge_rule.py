"""From the numbers that a rule looks at to one verdict a subject and group, with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from privaudit.contracts import Access
from privaudit.facts import LOST_REFITS, Group, Param, Reason, ReasonCode
from privaudit.policy import metrics
from privaudit.policy.judge_number import Cell, bound_of, pick_reason
from privaudit.policy.metrics import PolicyMetric
from privaudit.policy.rules import Guard, Limit, Policy, ReleaseKind
from privaudit.policy.suggest import find_nearest
from privaudit.results import Subject
from privaudit.stats import onesided
from privaudit.verdicts import BROKEN, State, Verdict

MOST_TIMES = 50
"""More patients than this many times as many are not proposed."""

SHOWN: Mapping[ReleaseKind, Access] = {
    "internal": Access.ANSWERS,
    "partner": Access.WEIGHTS,
    "public-api": Access.ANSWERS,
    "open-weights": Access.WEIGHTS,
    "tre-egress": Access.WEIGHTS,
}
"""What a release of each kind lets its receivers do with a model."""


def verdicts(
    policy: Policy, rule: Limit | Guard, subject: Subject, cells: Sequence[Cell]
) -> list[Verdict]:
    """One verdict for everyone together, one for each group named, and warnings of others."""
    known = metrics.METRICS[rule.metric]
    if isinstance(rule, Limit) and known.kind == "claim":
        return [_judge_claim(policy, rule, subject)]
    plain = [cell for cell in cells if cell.reading.group is None]
    found = [_judge_cells(policy, rule, subject, plain)]
    for by in rule.by:
        inside = _by_group([c for c in cells if c.listed and _is_split_by(c, by)])
        if not inside:
            found.append(_miss_grouping(rule, known, subject, by))
        found += [_judge_cells(policy, rule, subject, own, group) for group, own in inside.items()]
    # Where everyone together exceeds, that its parts do too is no news.
    if found[0].state not in BROKEN:
        others = [c for c in cells if not c.listed and c.state in BROKEN]
        found += [
            _judge_cells(policy, rule, subject, own, group, listed=False)
            for group, own in _by_group(others).items()
        ]
    return found


def _is_split_by(cell: Cell, by: str) -> bool:
    return cell.reading.group is not None and cell.reading.group.by == by


def _by_group(cells: Sequence[Cell]) -> dict[Group, list[Cell]]:
    found: dict[Group, list[Cell]] = {}
    for cell in cells:
        if cell.reading.group is not None:
            found.setdefault(cell.reading.group, []).append(cell)
    return found


def about(rule: Limit | Guard, subject: Subject) -> dict[str, Any]:
    """What every verdict of a rule on a subject holds."""
    return {
        "rule": rule.id,
        "kind": "guard" if isinstance(rule, Guard) else "limit",
        "subject": subject.name,
        "metric": rule.metric,
        "severity": rule.severity,
        "limit": bound_of(rule),
        "at_least": isinstance(rule, Guard) and rule.min is not None,
        "fpr": rule.fpr if isinstance(rule, Limit) else None,
        "prior": rule.prior if isinstance(rule, Limit) else None,
    }


def _judge_cells(
    policy: Policy,
    rule: Limit | Guard,
    subject: Subject,
    cells: Sequence[Cell],
    group: Group | None = None,
    *,
    listed: bool = True,
) -> Verdict:
    """The verdict on one rule, subject and group, from all attacks and settings together."""
    known = metrics.METRICS[rule.metric]
    asked = rule.attacks if isinstance(rule, Limit) and listed else ()
    missing = tuple(name for name in asked if name not in {cell.reading.attack for cell in cells})
    unnamed: tuple[str, ...] = ()
    if isinstance(rule, Limit) and metrics.findings(subject, known, rule.attacks):
        unnamed = metrics.unnamed_settings(known, subject, rule.at, rule.attacks)
    lost = _find_lost_refits(subject, rule, known) if listed else None
    absent = bool(missing or lost or (unnamed and cells))
    state, cell = _decide_together(cells, absent, bool(asked))
    made = about(rule, subject)
    if not listed:
        made["severity"] = "warn"
    if cell is None and not missing and group is None and metrics.is_inapplicable(subject, known):
        # What a release does not give away cannot be attacked: stated, and not held against it.
        made["severity"] = "warn"
        reason = Reason(ReasonCode.NOT_APPLICABLE)
    elif lost is not None and state not in BROKEN:
        reason = lost
    elif missing and state == "INCONCLUSIVE":
        reason = Reason(ReasonCode.ATTACKS_MISSING, {"attacks": missing})
    elif unnamed and state in ("INCONCLUSIVE", "NOT TESTED"):
        reason = Reason(ReasonCode.SETTINGS_MISSING, {"settings": unnamed})
    elif cell is None:
        none_run = known.place == "outcomes"
        reason = Reason(ReasonCode.NO_ATTACK_RUN if none_run else ReasonCode.NUMBER_ABSENT)
    else:
        reason = _reason(policy, cell, cells, listed)
    if known.kind == "risk":
        attacks = rule.attacks if isinstance(rule, Limit) else ()
        blanks = metrics.blanks(subject, known, attacks)
        made["untested"] = tuple((one.attack, one.reason) for one in blanks)
    if cell is not None:
        made |= _numbers(cell)
        if reason.code in (
            ReasonCode.NEGATIVE_CONTROL_NOT_MADE,
            ReasonCode.POSITIVE_CONTROL_NOT_MADE,
        ):
            made["control"] = cell.missing_control
    return Verdict(**made, state=state, group=group, reason=reason)


def _find_lost_refits(subject: Subject, rule: Limit | Guard, known: PolicyMetric) -> Reason | None:
    """Why attacks that the rule is about had no shadow models although a recipe is known: what
    they would have found is not known, so that the others do not make the limit kept."""
    if known.kind != "risk":
        return None
    attacks = rule.attacks if isinstance(rule, Limit) else ()
    reasons = (one.reason for one in metrics.blanks(subject, known, attacks))
    return next((why for why in reasons if why.code in LOST_REFITS), None)


def _numbers(cell: Cell) -> dict[str, Any]:
    """What a verdict holds of the number that decided."""
    made: dict[str, Any] = {
        "attack": cell.reading.attack,
        "setting": cell.reading.setting,
        "lower": cell.lower,
        "upper": cell.upper,
    }
    # What a leak is shown by: less what a null of the same patients reads, where there is one.
    estimate = cell.corrected or cell.reading.estimate
    if estimate is not None:
        made |= {
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "chance": estimate.chance,
            "confidence": estimate.confidence,
            "number": estimate.metric,
            "n": dict(estimate.n),
        }
    return made


def _reason(policy: Policy, cell: Cell, cells: Sequence[Cell], listed: bool) -> Reason:
    """Why the cell that decided has its word, with what else there was to decide on."""
    if cell.refusal is not None:
        return cell.refusal
    weak = tuple(dict.fromkeys(one.reading.attack for one in cells if one.is_weak))
    every: Mapping[str, Param] = {
        "others": tuple(dict.fromkeys(c.reading.attack for c in cells if c.reading.attack)),
        "weak": weak,
        "adjusted": policy.statistics.correction == "holm",
        "listed": listed,
        "table": Access.TABLE in metrics.read_access(cell.subject.access),
        "least": policy.statistics.min_cell,
        "attacks": (cell.reading.attack,) if cell.reading.attack else (),
        "most": cell.most,
        "more": cell.more,
    }
    if cell.code is ReasonCode.LIMIT_INSIDE_BOUNDS:
        every = {"more": _patients_to_decide(policy, cell)}
    return pick_reason(cell.code, every)


def _patients_to_decide(policy: Policy, cell: Cell) -> float:
    """About how many more patients would decide; 0 where no realistic number would."""
    estimate = cell.reading.estimate
    if estimate is None or estimate.value is None or isinstance(cell.rule, Guard):
        return 0
    times = onesided.more(estimate, cell.limit, 1 - policy.statistics.confidence)
    if times is None or times > MOST_TIMES:
        return 0
    there = estimate.n.get("patients", estimate.n.get("attempts", 0))
    return max(1.0, (times - 1) * estimate.n.get("nonmember_patients", there))


def _decide_together(
    cells: Sequence[Cell], missing: bool, asked: bool
) -> tuple[State, Cell | None]:
    """The state of several numbers under one rule, and the number that decided.

    One that exceeds is enough, or one proof. To be within, or not refuted, all must be; an attack
    that nobody asked for by name and that lacks power is left aside while another has it. missing:
    something that the rule asks for is not there.
    """
    if not cells:
        return ("INCONCLUSIVE" if missing else "NOT TESTED"), None
    over = [cell for cell in cells if cell.state in BROKEN]
    if over:
        surest = max(over, key=_surest)
        return surest.state, surest
    held = [cell for cell in cells if cell.state in ("WITHIN", "NOT REFUTED")]
    weak = [cell for cell in cells if cell.is_weak]
    rest = [cell for cell in cells if cell not in held and cell not in weak]
    if rest or missing:
        if not rest:
            return "INCONCLUSIVE", _highest([*held, *weak])
        if all(cell.state == "NOT TESTED" for cell in cells):
            return "NOT TESTED", rest[0]
        tried = [cell for cell in rest if cell.state != "NOT TESTED"] or rest
        return "INCONCLUSIVE", _highest(tried)
    if held and not (asked and weak):
        highest = _highest(held)
        return highest.state, highest
    return "INCONCLUSIVE", _highest(weak)


def _surest(cell: Cell) -> float:
    """How far beyond the limit even the cautious bound lies."""
    bound = cell.upper if cell.at_least else cell.lower
    distance = 0.0 if bound is None else bound - cell.limit
    return -distance if cell.at_least else distance


def _highest(cells: Sequence[Cell]) -> Cell:
    """The cell that is furthest from being within."""

    def rank(cell: Cell) -> tuple[int, float]:
        if cell.at_least:
            return (0, 0.0) if cell.lower is None else (1, cell.limit - cell.lower)
        if cell.upper is not None:
            return 1, cell.upper - cell.limit
        value = cell.reading.estimate.value if cell.reading.estimate else None
        return (0, 0.0) if value is None else (1, value - cell.limit)

    return max(cells, key=rank)


def _judge_claim(policy: Policy, rule: Limit, subject: Subject) -> Verdict:
    """A rule about what is claimed: read off, not measured."""
    claim = subject.claim
    made = about(rule, subject)
    if claim.epsilon is None:
        return Verdict(**made, state="EXCEEDS", reason=Reason(ReasonCode.NO_GUARANTEE))
    value = claim.delta if rule.metric == "epsilon.delta" else claim.epsilon
    params: dict[str, Param] = {
        "epsilon": claim.epsilon,
        "delta": claim.delta,
        "unit": claim.unit,
        "access": _uncovered(policy, subject),
    }
    if claim.unit not in ("patient", "site"):
        code = ReasonCode.GUARANTEE_OF_ANOTHER_UNIT
    elif params["access"]:
        code = ReasonCode.GUARANTEE_NOT_COVERING
    else:
        code = ReasonCode.GUARANTEE_WITHIN if value <= rule.max else ReasonCode.GUARANTEE_ABOVE
        made |= {"lower": value, "upper": value}
    state: State = "WITHIN" if code is ReasonCode.GUARANTEE_WITHIN else "EXCEEDS"
    return Verdict(**made, state=state, value=value, reason=pick_reason(code, params))


def _uncovered(policy: Policy, subject: Subject) -> tuple[str, ...]:
    """What receivers of this kind of release can do with it that the guarantee does not cover."""
    covered = metrics.read_access(subject.claim.covers)
    if Access.WEIGHTS in covered:
        covered |= {Access.ANSWERS}
    receivers = {SHOWN[policy.context.release], Access.TABLE}
    bare = (receivers & metrics.read_access(subject.access)) - covered
    return tuple(sorted(access.name for access in bare))


def _miss_grouping(rule: Limit | Guard, known: PolicyMetric, subject: Subject, by: str) -> Verdict:
    """That a rule asks for groups that this audit does not have."""
    of_utility = (group.by for group in subject.utility_groups)
    there = tuple(dict.fromkeys((*metrics.groupings(subject), *of_utility)))
    params: dict[str, Param] = {"by": by, "known": there, "near": find_nearest(by, there)}
    made = about(rule, subject)
    if known.kind == "risk" and metrics.is_inapplicable(subject, known):
        made["severity"] = "warn"
    return Verdict(**made, state="NOT TESTED", reason=Reason(ReasonCode.NO_GROUPING, params))
