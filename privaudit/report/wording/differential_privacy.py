"""Differential privacy: guarantees and empirical lower bounds."""

from __future__ import annotations

import math

from privaudit.report import numbers as n
from privaudit.report.blocks import Badge
from privaudit.report.wording.metrics import name_metric
from privaudit.report.wording.nouns import name_unit, w
from privaudit.report.wording.reasons_and_caveats import word_reason
from privaudit.results import ClaimText, Estimate

INTRO = (
    "A differential-privacy guarantee is a property of the training procedure, proved and not "
    "measured. An attack can only show that epsilon is at least some value. A lower bound below "
    "the claimed epsilon does not prove the guarantee; a bound above it refutes it. Each card "
    "states what NIST SP 800-226 asks of a claim: unit, neighbouring data, epsilon and delta, "
    "mechanism, accountant, what is covered, and beside it the empirical lower bounds."
)
BADGES: dict[str, Badge] = {
    "refuted": Badge("✕ Refuted", "invalid"),
    "not refuted": Badge("○ Not refuted", "undetected"),
    "not comparable": Badge("◇ Not comparable", "small"),
    "not tested": Badge("– Not tested", "untested"),
}
FACTS = {
    "budget": "Epsilon and delta",
    "odds": "In odds",
    "unit": "Unit of protection",
    "neighbours": "Neighbouring data",
    "covers": "Covers",
    "open": "Does not cover",
    "mechanism": "Mechanism",
    "basis": "Accountant and its inputs",
    "bound": "Empirical lower bound on epsilon",
    "utility": "Utility (AUROC)",
    "risk": "Strongest membership attack (AUC)",
}
NEIGHBOURS = {
    "add-remove": "one {unit} is added or removed",
    "replace": "one {unit} is replaced by another",
}
NO_BOUND = "no such attack was run on this release"
COVERS_NOTHING = "nothing stated"
CAPTION = "Guarantees, empirical lower bounds, utility and risk"
COLUMNS = ("Claimed epsilon", "Lower bound, by attack", "Utility (AUROC)", "Membership AUC")
UNCLAIMED, NOT_STATED, NOT_TESTED = "none", "not stated", "not tested"
EPSILON_AXIS = "Claimed epsilon (left is stronger)"
AUC_AXIS = "AUC"
MARKS = "Filled: utility (AUROC). Hollow: strongest membership attack (AUC)."


def word_odds(c: ClaimText) -> str:
    """The guarantee as the factor by which an attacker's odds may grow."""
    grown = math.exp(min(c.epsilon or 0.0, 50.0))
    size = f"{n.significant(grown, 2)}-fold" if grown < 1e6 else "more than a million-fold"
    return (
        f"an attacker’s odds about one {name_unit(c.unit)} grow at most {size}, whatever else is "
        "known"
    )


def word_neighbours(c: ClaimText) -> str:
    """What may differ between two data sets that the guarantee compares."""
    return NEIGHBOURS.get(c.neighbours, c.neighbours).replace("{unit}", name_unit(c.unit))


def word_unit(c: ClaimText) -> str:
    """Whom the guarantee is about."""
    more = {
        "record": f"; {w.a_person} with several records is protected less",
        "site": f"; a whole {w.site}",
    }
    return f"one {name_unit(c.unit)}{more.get(c.unit, '')}"


def word_bound_beside(bound: float, epsilon: float | None) -> str:
    """A lower bound; one above what is claimed is never printed as what is claimed."""
    return n.significant(bound) if epsilon is None else n.beside(bound, epsilon)


def word_lower_bound(attack: str, e: Estimate, epsilon: float | None) -> str:
    """A lower bound by one attack beside what is claimed, with its method."""
    if e.value is None:
        return f"{attack}: not stated, {word_reason(e.refusal)}"
    return f"{word_bound_beside(e.value, epsilon)} ({attack}, {name_metric(e.metric)})"


def title_chart(best: str, epsilon: float, e: Estimate, without: Estimate | None) -> str:
    """The most useful release with a guarantee."""
    text = (
        f"With a guarantee, {best} at epsilon {n.claimed(epsilon)} is the most useful: AUROC "
        f"{n.estimate_text(e)}"
    )
    if without is None:
        return f"{text}."
    return f"{text}; the best model without one, {n.estimate_text(without)}."
