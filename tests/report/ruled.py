"""Verdicts made by hand, with every state, kind and ornament that a report must be able to show."""

from __future__ import annotations

from privaudit.facts import Caveat, CaveatCode, Group, Metric, Reason, ReasonCode
from privaudit.verdicts import State, Verdict, Verdicts, Waiver

POLICY = {
    "name": "Models to partners",
    "owner": "Data protection office",
    "approved_by": "Dr Weber",
    "approved_on": "2026-05-01",
    "review_by": "2027-05-01",
    "release": "partner",
    "unit": "patient",
}
WAIVER = Waiver("needed for the trial", "Dr Weber", "2027-01-31")
N = {"member_patients": 3236, "nonmember_patients": 3190}


REASONS = {
    "WITHIN": Reason(ReasonCode.WITHIN_BOUND, {"others": (), "weak": ()}),
    "EXCEEDS": Reason(
        ReasonCode.EXCEEDS_BOUND, {"adjusted": False, "others": (), "listed": True, "table": False}
    ),
    "INCONCLUSIVE": Reason(ReasonCode.LIMIT_INSIDE_BOUNDS, {"more": 410}),
    "NOT TESTED": Reason(ReasonCode.NO_ATTACK_RUN),
}


def limit(subject: str, state: State, value: float = 0.07, **changes: object) -> Verdict:
    given: dict[str, object] = {
        "rule": "membership",
        "kind": "limit",
        "subject": subject,
        "metric": "membership.tpr",
        "state": state,
        "severity": "block",
        "limit": 0.03,
        "reason": REASONS[state],
        "value": value,
        "low": value - 0.012,
        "high": value + 0.012,
        "lower": value - 0.01,
        "upper": value + 0.01,
        "chance": 0.01,
        "attack": "few_shadow_lira",
        "fpr": 0.01,
        "n": N,
        "number": Metric("tpr", fpr=0.01),
    }
    return Verdict(**{**given, **changes})  # type: ignore[arg-type]


def guard(subject: str, state: State = "WITHIN", **changes: object) -> Verdict:
    reached = Reason(ReasonCode.REACHES_MINIMUM)
    missed = Reason(ReasonCode.MISSES_MINIMUM, {"adjusted": False})
    given: dict[str, object] = {
        "rule": "useful",
        "kind": "guard",
        "metric": "utility.auroc",
        "limit": 0.8,
        "at_least": True,
        "severity": "warn",
        "chance": 0.5,
        "attack": "",
        "fpr": None,
        "reason": {"WITHIN": reached, "EXCEEDS": missed}.get(state, REASONS[state]),
        "number": Metric("auroc"),
    }
    return limit(subject, state, 0.85, **{**given, **changes})


def ruled(verdicts: tuple[Verdict, ...], state: State = "EXCEEDS", **changes: object) -> Verdicts:
    code = {"WITHIN": 0, "EXCEEDS": 1}.get(state, 3)
    given: dict[str, object] = {
        "run": "20261121-021500-mortality-7f3a",
        "audit_sha256": "a" * 64,
        "policy": POLICY,
        "policy_sha256": "b" * 64,
        "confidence": 0.95,
        "state": state,
        "code": code,
        "verdicts": verdicts,
    }
    return Verdicts(**{**given, **changes})  # type: ignore[arg-type]


def mixed(names: tuple[str, ...]) -> Verdicts:
    """One of each for up to four models, many groups of one, a waiver, a guard, a regression."""
    states: tuple[State, ...] = ("WITHIN", "EXCEEDS", "INCONCLUSIVE", "NOT TESTED")
    found = [limit(name, states[i % 4], 0.02 + 0.03 * i) for i, name in enumerate(names)]
    found += [guard(name) for name in names]
    if names:
        found.append(limit(names[0], "EXCEEDS", 0.09, group=Group("sex", "F"), waiver=WAIVER))
        found += [
            limit(
                names[0],
                "WITHIN",
                0.01,
                group=Group("unit", str(i)),
                rule="by unit",
                severity="warn",
            )
            for i in range(20)
        ]
        found.append(
            limit(
                names[0],
                "INCONCLUSIVE",
                0.01,
                rule="drift",
                kind="regression",
                metric="membership.auc",
                fpr=None,
                limit=0.02,
                number=Metric("auc"),
            )
        )
    return ruled(tuple(found), notes=(Caveat(CaveatCode.UNAPPROVED),))
