"""Audit documents made by hand: one number a subject and attack, whatever a test needs it to be."""

from __future__ import annotations

from typing import Any

from privaudit.contracts import Access
from privaudit.facts import Metric, Reason, ReasonCode
from privaudit.results import (
    Audit,
    ClaimText,
    Data,
    Estimate,
    Finding,
    Manifest,
    Outcome,
    Pool,
    Skipped,
    Subject,
)

COMMITTED = "hmac-sha256:0123456789ab:" + "d" * 64


TPR = Metric("tpr", fpr=0.01)
FEW = Reason(ReasonCode.TOO_FEW_PATIENTS, {"least": 10})
ANSWERS = (Access.ANSWERS.name,)


def estimate(metric: Metric, value: float | None, half: float = 0.02) -> Estimate:
    if value is None:
        return Estimate(metric, None, refusal=FEW, chance=0.5)
    return Estimate(metric, value, value - half, value + half, 0.5, {"members": 1000})


def finding(attack: str, values: dict[Metric, float | None], **params: Any) -> Finding:
    estimates = tuple(estimate(metric, value) for metric, value in values.items())
    return Finding(attack, "membership", {"shadows": 8, **params}, ANSWERS, estimates)


def subject(name: str, outcomes: tuple[Outcome, ...], auroc: float = 0.8) -> Subject:
    return Subject(
        name=name,
        method="baseline",
        learner="mlp",
        description="A model.",
        params={},
        claim=ClaimText(None, 0.0, "patient", "add-remove", (), "no claim"),
        access=ANSWERS,
        utility=(
            estimate(Metric("auroc"), auroc),
            estimate(Metric("calibration_slope"), 1.0),
        ),
        utility_members=(),
        utility_groups=(),
        reliability=None,
        headline=None,
        outcomes=outcomes,
        controls=(),
        costs={},
    )


def audit(
    entropy: int = 0,
    tpr: float | None = 0.05,
    auc: float | None = 0.6,
    auroc: float = 0.8,
    names: tuple[str, ...] = ("baseline-mlp",),
    params: dict[str, Any] | None = None,
    task: str = "mortality",
    **manifest: Any,
) -> Audit:
    found = finding("lira", {Metric("auc"): auc, TPR: tpr}, **(params or {}))
    left = Skipped("fgsm", "evasion", Reason(ReasonCode.LACKS_ACCESS, {"access": ("WEIGHTS",)}))
    made: dict[str, Any] = {
        "run": f"run-{entropy}",
        "created": "2026-01-01T00:00:00+00:00",
        "version": "0.1",
        "python": "3.11",
        "platform": "Linux",
        "packages": {"numpy": "2.0"},
        "command": f"privaudit run {task}",
        "profile": "standard",
        "seed_commitment": f"sha256:{entropy:064x}",
        "confidence": 0.95,
        "records_fingerprint": COMMITTED,
        "seconds": 1.0,
        "cpu_seconds": 1.0,
        "peak_memory_bytes": 1,
        "refits": {"distinct": 8},
        "split_fingerprint": f"hmac-sha256:0123456789ab:{entropy:064x}",
        "statistics": "1",
    }
    pools = tuple(Pool(name, 500, 500, {}) for name in ("members", "nonmembers"))
    return Audit(
        manifest=Manifest(**{**made, **manifest}),
        data=Data("demo", False, task, "Mortality", "died", ("no", "yes"), 3, 0, 0, (), pools),
        subjects=tuple(subject(name, (found, left), auroc) for name in names),
        coverage=(),
    )
