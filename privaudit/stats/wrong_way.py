"""Attacks that rank training patients surely below held-out ones: something was read the wrong way.

Training makes a model surer of its own records or leaves it as sure; an AUC that lies surely below
one half says that members and non-members, the classes, or the files were exchanged, and a low
number is then no evidence of a low risk.
"""

from __future__ import annotations

from dataclasses import dataclass

from privaudit.facts import Family
from privaudit.results import Finding, Subject
from privaudit.stats import onesided

LEVEL = 0.001
"""The chance of a false alarm of each attack, whatever else was tried: were it shared out over the
attacks, one more of them could turn the alarm off."""

BELOW_CONTROL = 0.02
"""A success that is surely lower than the control's, but by less than this, is no exchange."""


@dataclass(frozen=True)
class BelowHalf:
    """One attack whose AUC lies below one half even by its upper bound. confidence: one-sided."""

    attack: str
    auc: float
    upper: float
    confidence: float


def find_below_half(subject: Subject) -> tuple[BelowHalf, ...]:
    """The membership attacks on a subject whose AUC lies surely below one half.

    Args:
        subject: The subject, with the estimates of its attacks.

    Returns:
        One entry an attack, in the document's order; none where nothing is the wrong way round.
    """
    stated = [
        (one.attack, estimate)
        for one in subject.outcomes
        if isinstance(one, Finding) and one.family == "membership"
        for estimate in one.estimates
        if estimate.metric.name == "auc"
        and estimate.value is not None
        # Another release than this one proves nothing of how this one was read.
        and not (estimate.metric.at is not None and estimate.metric.at.counterfactual)
    ]
    found = []
    for attack, estimate in stated:
        bounds = onesided.bounds(estimate)
        upper = None if bounds is None else bounds.upper(LEVEL)
        if upper is not None and upper < 0.5 and estimate.value is not None:
            found.append(BelowHalf(attack, estimate.value, upper, 1 - LEVEL))
    return tuple(found)


def find_below_control(subject: Subject) -> tuple[str, ...]:
    """The attacks on a synthetic table that succeed surely less often on the patients whose table
    it was made from than on the control, as where the two were exchanged.

    Args:
        subject: The subject, with the estimates of its attacks.

    Returns:
        The attacks' names, in the document's order; none where nothing is the wrong way round.
    """
    return _find_below(subject, "synthetic", "attack_minus_control")


def find_below_guess(subject: Subject) -> tuple[str, ...]:
    """The attacks on attributes that name surely fewer values than a guess without the release.

    Whoever makes such an attack knows the guess as well and could have named it: the attack misread
    the model, and how little it found is no evidence of how little there is.

    Args:
        subject: The subject, with the estimates of its attacks.

    Returns:
        The attacks' names, in the document's order; none where no attack lost to its guess.
    """
    return _find_below(subject, "attribute", "attack_minus_guess")


def _find_below(subject: Subject, family: Family, name: str) -> tuple[str, ...]:
    """The attacks of a family of which this difference lies surely below 0."""
    stated = [
        (one.attack, bounds)
        for one in subject.outcomes
        if isinstance(one, Finding) and one.family == family
        for estimate in one.estimates
        if estimate.metric.name == name
        and not (estimate.metric.at is not None and estimate.metric.at.counterfactual)
        and (bounds := onesided.bounds(estimate)) is not None
    ]
    below = [attack for attack, bounds in stated if (bounds.upper(LEVEL) or 0.0) < -BELOW_CONTROL]
    return tuple(dict.fromkeys(below))


__all__ = ["LEVEL", "BelowHalf", "find_below_control", "find_below_guess", "find_below_half"]
