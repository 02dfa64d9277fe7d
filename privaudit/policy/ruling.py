"""From the numbers that a rule looks at to one verdict a subject and group, with its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from privaudit.policy import metrics, sentences
from privaudit.policy.cells import Cell, Move
from privaudit.policy.file import Guard, Limit, Policy, Regression
from privaudit.policy.metrics import Metric
from privaudit.policy.words import suggest
from privaudit.results import Failed, Subject
from privaudit.verdicts import State, Verdict


def verdicts(
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
        blanks=tuple(
            f"{one.attack}: {one.error if isinstance(one, Failed) else one.reason}"
            for one in metrics.blanks(subject, known, asked)
            if known.kind == "risk"
        ),
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
        return "EXCEEDS", max(over, key=_surest)
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


def _surest(cell: Cell) -> float:
    """How far beyond the limit even the cautious bound lies."""
    bound = cell.upper if cell.falls else cell.lower
    distance = 0.0 if bound is None else bound - cell.limit
    return -distance if cell.falls else distance


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


def moved(policy: Policy, one: Move) -> Verdict:
    from privaudit.policy.regress import decide

    confidence = policy.statistics.confidence
    return decide(one.rule, one.change, confidence=confidence, lower_confidence=1 - one.level)


def no_baseline(rule: Regression, subject: str) -> Verdict:
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


__all__ = ["moved", "no_baseline", "verdicts"]
