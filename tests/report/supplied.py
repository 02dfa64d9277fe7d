"""Audits of every kind: models and tables made here, user-supplied ones, and answers alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sample import ANSWERS, NO_CLAIM, every, sample, subject

from privaudit.facts import Caveat, CaveatCode, Metric
from privaudit.results import Audit, ColumnFit, Estimate, Fidelity, Finding, Subject, Utility

TABLE, FILE = "TABLE", "FILE"
AREA = {"auc": 0.519, "low": 0.49, "high": 0.54, "confidence": 0.95}
SHIFT = Caveat(CaveatCode.DISTRIBUTION_SHIFT, "warning", {**AREA, "columns": ("age",)})
NO_SHIFT = Caveat(CaveatCode.NO_DISTRIBUTION_SHIFT, "note", AREA)


def rate(name: str, value: float, half: float = 0.02, chance: float | None = None) -> Estimate:
    n = {"members": 1000, "member_patients": 1000}
    return Estimate(Metric(name), value, max(0.0, value - half), value + half, chance, n)


def fidelity(copies: float = 0.0) -> Fidelity:
    column = ColumnFit(
        "age", "numeric", ("below 65", "65 and over"), (0.5, 0.5), (0.4, 0.6), 0.1, 0.02
    )
    auroc = (rate("auroc", 0.74),)
    return Fidelity(
        1000,
        (
            rate("prevalence_synthetic", 0.12, chance=0.11),
            rate("column_distance", 0.1, chance=0.02),
            rate("exact_copies", copies, chance=0.0),
            Estimate(Metric("exact_copies_excess"), copies, copies - 0.01, copies + 0.01),
        ),
        (column,),
        (Utility("logreg", auroc, (rate("auroc", 0.8),), rate("auroc_loss", 0.06)),),
    )


def table(name: str, shift: float, copies: float = 0.0, model: bool = True) -> Subject:
    made = subject("mlp", 0.75, 0.9, shift, ())
    singled = Finding(
        "singling_out",
        "synthetic",
        {},
        (TABLE,),
        (
            rate("attack_rate", 0.3),
            rate("control_rate", 0.1),
            rate("attack_minus_control", 0.2),
            rate("guess_rate", 0.02),
            rate("attack_minus_guess", 0.28),
        ),
    )
    return replace(
        made,
        name=name,
        method="synthetic",
        learner="",
        params={"generator": "Copula"},
        access=(ANSWERS, TABLE, FILE) if model else (TABLE,),
        utility=made.utility if model else (),
        utility_members=(),
        outcomes=(*made.outcomes, singled),
        fidelity=fidelity(copies),
    )


def own(shift: float, form: str = "XGBoost") -> Subject:
    made = subject("mlp", 0.84, 0.9, shift, ())
    if form == "probabilities":
        made = replace(made, outcomes=tuple(o for o in made.outcomes if o.attack == "threshold"))
    return replace(
        made,
        name="own-model",
        method="own",
        learner="",
        params={"form": form, "recipe": ""},
        access=(ANSWERS,),
        claim=NO_CLAIM,
    )


def audit(*subjects: Subject, **data: Any) -> Audit:
    base = sample()
    return replace(base, subjects=subjects, untrained=(), data=replace(base.data, **data))


GIVEN: dict[str, Any] = {
    "random_split": False,
    "real": True,
    "source": "tables given",
    "task": "own",
    "title": "died",
}
AUDITS = {
    "own": audit(own(0.5), **GIVEN, notes=(NO_SHIFT,)),
    "answers": audit(own(0.5, "probabilities"), **GIVEN),
    "shifted": audit(own(0.5), **GIVEN, distribution_shift=SHIFT),
    "table": audit(
        table("synthetic-table", 0.0, model=False),
        **{**GIVEN, "task": "table", "title": "A synthetic table beside the real one"},
    ),
    "tables": audit(table("synthetic-copula", 0.0), table("synthetic-bootstrap", 2.0, 0.6)),
    "mixed": audit(*sample().subjects[:2], table("synthetic-bootstrap", 2.0, 0.6)),
    "many": audit(*every().subjects, *(table(f"synthetic-{i}", 0.1 * i) for i in range(5))),
}
