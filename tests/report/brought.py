"""Audits of every kind: models and tables made here, brought ones, and answers alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sample import ANSWERS, NO_CLAIM, every, sample, subject

from privaudit.report.notes import ACCESS
from privaudit.results import Audit, ColumnFit, Estimate, Fidelity, Finding, Subject, Utility

TABLE, FILE = ACCESS["TABLE"][0], ACCESS["FILE"][0]
UNFAIR = "Members and held-out records differ, most by age; a membership number is worthless here."
DRIFT = "pools told apart without the model, AUC"


def rate(name: str, value: float, half: float = 0.02, chance: float | None = None) -> Estimate:
    n = {"members": 1000, "member_patients": 1000}
    return Estimate(name, value, max(0.0, value - half), value + half, chance, n, 0.95, "Wilson")


def likeness(copies: float = 0.0) -> Fidelity:
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
            Estimate("exact_copies_excess", copies, copies - 0.01, copies + 0.01),
        ),
        (column,),
        (Utility("logreg", auroc, (rate("auroc", 0.8),), rate("auroc_loss", 0.06)),),
    )


def table(name: str, shift: float, copies: float = 0.0, model: bool = True) -> Subject:
    made = subject("mlp", 0.75, 0.9, shift, ())
    singled = Finding(
        "singling_out", "synthetic", {}, (TABLE,),
        (
            rate("attack_rate", 0.3), rate("control_rate", 0.1), rate("attack_minus_control", 0.2),
            rate("guess_rate", 0.02), rate("attack_minus_guess", 0.28),
        ),
    )  # fmt: skip
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
        fidelity=likeness(copies),
    )


def own(shift: float, form: str = "XGBoost") -> Subject:
    made = subject("mlp", 0.84, 0.9, shift, ())
    if form == "probabilities":
        made = replace(made, outcomes=tuple(o for o in made.outcomes if o.attack == "threshold"))
    return replace(
        made, name="own-model", method="own", learner="", params={"form": form, "recipe": ""},
        access=(ANSWERS,), claim=NO_CLAIM,
    )  # fmt: skip


def audit(*subjects: Subject, **data: Any) -> Audit:
    base = sample()
    return replace(base, subjects=subjects, untrained=(), data=replace(base.data, **data))


GIVEN: dict[str, Any] = {
    "tossed": False, "real": True, "source": "tables given", "task": "own", "title": "died",
}  # fmt: skip
AUDITS = {
    "own": audit(own(0.5), **GIVEN, facts={DRIFT: 0.519}),
    "answers": audit(own(0.5, "probabilities"), **GIVEN),
    "unfair": audit(own(0.5), **GIVEN, distribution_shift=UNFAIR, facts={DRIFT: 0.795}),
    "table": audit(
        table("synthetic-table", 0.0, model=False),
        **{**GIVEN, "task": "table", "title": "A synthetic table beside the real one"},
    ),
    "tables": audit(table("synthetic-copula", 0.0), table("synthetic-bootstrap", 2.0, 0.6)),
    "mixed": audit(*sample().subjects[:2], table("synthetic-bootstrap", 2.0, 0.6)),
    "many": audit(*every().subjects, *(table(f"synthetic-{i}", 0.1 * i) for i in range(5))),
}
