"""Verdicts made by hand, with every state, kind and ornament that a report must be able to show."""

from __future__ import annotations

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


def limit(subject: str, state: State, value: float = 0.07, **changes: object) -> Verdict:
    given: dict[str, object] = {
        "rule": "membership",
        "kind": "limit",
        "subject": subject,
        "metric": "membership.tpr",
        "state": state,
        "severity": "block",
        "limit": 0.03,
        "value": value,
        "lower": value - 0.01,
        "upper": value + 0.01,
        "chance": 0.01,
        "attack": "few_shadow_lira",
        "fpr": 0.01,
        "n": N,
        "sentence": f"{subject}: about {value * 100:.1f} in 100 training patients are recognised "
        "while 1 in 100 others is wrongly named; guessing would recognise 1 in 100; your policy "
        "allows 3 in 100",
        "reason": "the lower bound lies above the limit",
        "remedy": "about 410 more held-out patients, or a coarser group",
    }
    return Verdict(**{**given, **changes})  # type: ignore[arg-type]


def guard(subject: str, state: State = "WITHIN") -> Verdict:
    return limit(
        subject, state, 0.85, rule="useful", kind="guard", metric="utility.auroc", limit=0.8,
        severity="warn", chance=0.5, attack="", fpr=None, sentence="AUROC 0.85",
    )  # fmt: skip


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
        found.append(limit(names[0], "EXCEEDS", 0.09, group="sex: F", waiver=WAIVER))
        found += [
            limit(names[0], "WITHIN", 0.01, group=f"unit: {i}", rule="by unit", severity="warn")
            for i in range(20)
        ]
        found.append(
            limit(names[0], "INCONCLUSIVE", 0.01, rule="drift", kind="regression",
                  metric="membership.auc", fpr=None, limit=0.02)
        )  # fmt: skip
    return ruled(tuple(found), notes=("One limit lies below what this many patients can show.",))
