"""Differential privacy: promises and bounds."""

from __future__ import annotations

import math

from privaudit.report import numbers as n
from privaudit.report.blocks import Badge
from privaudit.results import ClaimText, Estimate

PROMISES = (
    "A promise of differential privacy is a proof about the training, not a measurement. An attack "
    "can only show that epsilon is at least some value. A bound below the promise does not prove the "
    "promise; a bound above it proves it broken. Each card states what NIST SP 800-226 asks of a "
    "claim: unit, neighbouring data, epsilon and delta, mechanism, accountant, what is covered, and "
    "beside it what attacks could show."
)
PROMISE_BADGES: dict[str, Badge] = {
    "broken": Badge("✕ Broken", "invalid"),
    "unbroken": Badge("○ Not broken", "unseen"),
    "apart": Badge("◇ Not comparable", "small"),
    "untested": Badge("– Not tested", "untested"),
}
PROMISE_FACTS = {
    "epsilon": "Epsilon and delta",
    "odds": "In odds",
    "unit": "Whom it is about (unit)",
    "neighbours": "What may differ (neighbouring data)",
    "covers": "What it covers",
    "open": "What it does not cover",
    "mechanism": "Mechanism",
    "basis": "Accountant, and what went into it",
    "bound": "Epsilon is at least, by attack",
    "useful": "Usefulness (AUROC)",
    "risk": "Strongest membership attack (AUC)",
}
NEIGHBOURS = {
    "add-remove": "one {unit} is added or left out",
    "replace": "one {unit} is replaced by another",
}


def promise_size(c: ClaimText) -> str:
    delta = f", delta {n.significant(c.delta, 2)}" if c.delta else ", delta 0"
    return f"{n.significant(c.epsilon or 0.0)}{delta}"


def odds(c: ClaimText) -> str:
    """The promise as what it lets an attacker's odds grow by."""
    grown = math.exp(min(c.epsilon or 0.0, 50.0))
    size = f"{n.significant(grown, 2)}-fold" if grown < 1e6 else "more than a million-fold"
    return f"an attacker’s odds about one {c.unit} grow at most {size}, whatever else is known"


def neighbours(c: ClaimText) -> str:
    if c.neighbours not in NEIGHBOURS:
        return c.neighbours
    return NEIGHBOURS[c.neighbours].format(unit=c.unit)


def unit(c: ClaimText) -> str:
    more = {
        "record": "; a person with several records is less covered",
        "site": "; a whole hospital",
    }
    return f"one {c.unit}{more.get(c.unit, '')}"


def bound(attack: str, name: str, e: Estimate) -> str:
    how = {
        "epsilon_lower_bound": "counting right guesses",
        "epsilon_lower_bound_fdp": "by trade-off",
    }
    told = how.get(name, name.replace("_", " "))
    if e.value is None:
        return f"not stated ({told}): {e.refusal or 'no reason given'}"
    return f"{n.significant(e.value)} ({attack}, {told}, {n.share(e.confidence)} confidence)"


BOUND_NONE = "no attack of that kind was run on this model"
COVERS_NOTHING = "nothing named"
PROMISE_TABLE = "Promises and what came of them"
PROMISE_COLUMNS = (
    "Model",
    "Promised epsilon",
    "At least, by attack",
    "Usefulness (AUROC)",
    "Membership AUC",
)
UNPROMISED = "none"
PROMISE_X = "Promised epsilon (left is stronger)"
PROMISE_Y = "AUC"
PROMISE_MARKS = "Filled: usefulness (AUROC). Hollow: strongest membership attack (AUC)."


def promise_title(best: str, epsilon: float, e: Estimate, without: Estimate | None) -> str:
    text = f"With a promise, {best} at epsilon {n.significant(epsilon)} is the most useful: AUROC {n.estimate_text(e)}"
    if without is None:
        return f"{text}."
    return f"{text}; the best model without one, {n.estimate_text(without)}."
