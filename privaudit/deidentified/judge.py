"""Risks against the limits given: within, exceeded, or not decided. No prose."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.deidentified.document import (
    DOUBTS,
    Attacker,
    Limits,
    Note,
    Risk,
    Rule,
    SensitiveRisk,
    State,
)

GUARD = 1e-9
"""Share of a limit by which a division may miss it: 1 / 5 is within a limit of 0.2."""
WORSE = (State.WITHIN, State.INCONCLUSIVE, State.EXCEEDS)


def judge(
    limits: Limits,
    risks: Sequence[Risk],
    sensitive: Sequence[SensitiveRisk],
    notes: Sequence[Note],
) -> tuple[State, tuple[Rule, ...]]:
    """The state of the table, and of each limit over every view of it: the worst decides.

    A doubt about the table (`DOUBTS`) keeps it from being within its limits; it hides no excess.
    """
    if not limits.any:
        return State.NO_LIMIT, ()
    rules: list[Rule] = []
    for name, limit, of in (
        ("max_risk", limits.max_risk, "max_risk"),
        ("min_k", None if limits.min_k is None else 1 / limits.min_k, "max_risk"),
        ("max_average_risk", limits.max_average_risk, "average_risk"),
        ("max_unique", limits.max_unique, "unique_share"),
    ):
        if limit is not None:
            stated = float(limits.min_k) if name == "min_k" and limits.min_k else limit
            rules.append(_judge_risks(name, stated, limit, of, limits.attacker, risks))
    if limits.max_disclosed is not None:
        rules.append(_judge_sensitive(limits.max_disclosed, sensitive))
    state = max((rule.state for rule in rules), key=WORSE.index)
    if state is State.WITHIN and any(note.code in DOUBTS for note in notes):
        state = State.INCONCLUSIVE
    return state, tuple(rules)


def _decide(low: float, high: float, limit: float) -> State:
    if low > limit * (1 + GUARD):
        return State.EXCEEDS
    return State.WITHIN if high <= limit * (1 + GUARD) else State.INCONCLUSIVE


def _judge_risks(
    name: str, stated: float, limit: float, of: str, attacker: Attacker, risks: Sequence[Risk]
) -> Rule:
    found: list[Rule] = []
    for risk in risks:
        one = risk.get(of) if risk.attacker is attacker else None
        if one is None:
            continue
        low = 0.0 if one.low is None else one.low
        high = 1.0 if one.high is None else one.high
        state = _decide(low, high, limit)
        found.append(Rule(name, stated, state, low, high, risk.known, risk.missing, risk.source))
    if not found:
        return Rule(name, stated, State.INCONCLUSIVE, 0.0, 1.0)
    return max(found, key=lambda rule: (WORSE.index(rule.state), rule.high))


def _judge_sensitive(limit: float, sensitive: Sequence[SensitiveRisk]) -> Rule:
    shares = [
        one.value
        for risk in sensitive
        for one in risk.estimates
        if one.metric.name == "disclosed_share" and one.value is not None
    ]
    # A column in which nothing is recorded gives nothing away, and nothing shows that it is right.
    if len(shares) < len(sensitive) or not shares:
        return Rule("max_disclosed", limit, State.INCONCLUSIVE, max(shares, default=0.0), 1.0)
    worst = max(shares)
    return Rule("max_disclosed", limit, _decide(worst, worst, limit), worst, worst)


__all__ = ["judge"]
