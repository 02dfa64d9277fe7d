"""Small audits and policies, written out number by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from privaudit.contracts import Access
from privaudit.facts import FAMILIES, Metric, Setting, note
from privaudit.policy.metrics import METRICS
from privaudit.policy.rules import LeftOut, Limit, Policy
from privaudit.results import (
    Audit,
    ClaimText,
    Control,
    Data,
    Estimate,
    Finding,
    GroupResult,
    Manifest,
    Outcome,
    Pool,
    Subject,
)

DAY = date(2026, 11, 21)
TPR = Metric("tpr", fpr=0.01)
ANSWERS = (Access.ANSWERS.name,)
SHADOWS = (Access.ANSWERS.name, Access.RERUN.name)
POOL = {
    "members": 1600,
    "nonmembers": 1600,
    "member_patients": 1600,
    "nonmember_patients": 1600,
}


def number(
    name: str | Metric = "auc",
    value: float | None = 0.5,
    low: float | None = None,
    high: float | None = None,
    **more: Any,
) -> Estimate:
    """An estimate; its interval half a hundredth (a tenth of a rate) wide each way unless given."""
    metric = Metric(name) if isinstance(name, str) else name
    if value is not None and low is None and high is None:
        half = 0.02 if metric.name == "auc" else 0.25 * value + 0.001
        low, high = max(0.0, value - half), min(1.0, value + half)
    chance = more.pop("chance", 0.5 if metric.name == "auc" else 0.01)
    return Estimate(metric, value, low, high, chance, more.pop("n", POOL), **more)


def member(attack: str = "lira", *estimates: Estimate, **more: Any) -> Finding:
    return Finding(attack, "membership", {}, SHADOWS, estimates or (number(),), **more)


def tried(
    attack: str,
    family: str,
    rates: dict[str | Setting, tuple[float, float]],
    n: int = 400,
) -> Finding:
    """Trials: a column or setting -> (advantage over the guess and the control, its half width)."""
    found = []
    for key, (gap, half) in rates.items():
        at = Setting("column", key) if isinstance(key, str) else key
        count = {"attempts": n, "patients": n}
        rate = 0.3 + gap
        found += [
            Estimate(Metric("attack_rate", at=at), rate, rate - half, rate + half, 0.3, count),
            *(
                Estimate(Metric(name, at=at), gap, gap - half, gap + half, 0.0, count)
                for name in ("attack_minus_control", "attack_minus_guess")
            ),
        ]
    return Finding(attack, family, {}, ANSWERS, tuple(found))


def controls(
    attack: str = "lira", positive: bool = True, negative: bool = True
) -> tuple[Control, ...]:
    return (
        Control("positive", attack, (number("auc", 0.8),), positive, note("planted")),
        Control("negative", attack, (number("auc", 0.5),), negative, note("null")),
    )


def subject(
    name: str = "model",
    outcomes: Sequence[Outcome] = (),
    checks: Sequence[Control] | None = None,
    **more: Any,
) -> Subject:
    outcomes = tuple(outcomes) or (member(),)
    if checks is None:
        ran = [o.attack for o in outcomes if isinstance(o, Finding) and o.family == "membership"]
        checks = [control for attack in ran for control in controls(attack)]
    base = Subject(
        name=name,
        method="baseline",
        learner="logreg",
        description="",
        params={},
        claim=ClaimText(None, 0.0, "patient", "add-remove", (), "no claim"),
        access=ANSWERS,
        utility=(number("auroc", 0.8, 0.77, 0.83, chance=0.5),),
        utility_members=(),
        utility_groups=(),
        reliability=None,
        headline=None,
        outcomes=outcomes,
        controls=tuple(checks),
        costs={},
    )
    return replace(base, **more)


def audit(*subjects: Subject, **more: Any) -> Audit:
    pools = tuple(Pool(name, 1600, 1600, {}) for name in ("members", "nonmembers"))
    manifest = Manifest(
        run="20261121T000000Z-toy-abc",
        created="2026-11-21T00:00:00+00:00",
        version="0.2.0",
        python="3.11",
        platform="Linux",
        packages={},
        command="",
        profile="smoke",
        seed_commitment=f"sha256:{1:064x}",
        confidence=0.95,
        records_fingerprint="0" * 64,
        seconds=1.0,
        cpu_seconds=1.0,
        peak_memory_bytes=1,
        refits={},
    )
    data = Data("toy", False, "toy", "Toy", "yes", ("no", "yes"), 3, 0, 0, (), pools)
    return replace(Audit(manifest, data, tuple(subjects), ()), **more)


def group(
    level: str, *estimates: Estimate, by: str = "sex", suppressed: bool = False
) -> GroupResult:
    return GroupResult(by, level, estimates, suppressed=suppressed)


def leave_out(rules: Sequence[Any]) -> tuple[LeftOut, ...]:
    """What lets a policy of these rules decide by them alone: no other class is asked for."""
    own = {METRICS[rule.metric].family for rule in rules}
    return tuple(LeftOut(f, "not the matter of this test") for f in FAMILIES if f not in own)


def policy(*rules: Any, **more: Any) -> Policy:
    """A policy of these rules; one limit of 0.6 on the AUC if none is given."""
    rules = rules or (Limit("auc", "membership.auc", 0.6),)
    kinds: dict[str, list[Any]] = {"limits": [], "guards": [], "regressions": []}
    for rule in rules:
        kinds[f"{type(rule).__name__.lower()}s"].append(rule)
    base = Policy(
        name="Toy policy",
        review_by=date(2027, 11, 21),
        approved_by="Dr. Who",
        sha256="f" * 64,
        left_out=leave_out(rules),
        **{kind: tuple(found) for kind, found in kinds.items()},
    )
    return replace(base, **more)


TOML = """\
schema = "privaudit.policy/1"
name = "Toy policy"
owner = "Data office"
approved_by = "Dr. Who"
approved_on = 2026-01-01
review_by = 2099-01-01

[context]
release = "public-api"

[[limit]]
id = "recognition"
metric = "membership.tpr"
fpr = 0.01
max = 0.05
by = ["sex"]

[[limit]]
id = "ranking"
metric = "membership.auc"
max = 0.6

[[guard]]
metric = "utility.auroc"
min = 0.7

[[not_tested]]
family = "attribute"
reason = "not the matter of this test"

[[not_tested]]
family = "evasion"
reason = "not the matter of this test"

[[not_tested]]
family = "inversion"
reason = "not the matter of this test"
"""
