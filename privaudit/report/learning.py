"""Which attacks learnt something of the patients, beyond chance, that the headline does not say.

Every series that speaks of this release is compared with its control and, where there is one, with
a guess without the release, and must do better than both. Where a table is released every
membership attack counts too, by its AUC and its rate at 1 % false positives: the headline quotes
one of them, chosen on half of the patients. The p-values are adjusted over all of them (Holm 1979),
so that many attacks make no find by luck.
"""

from __future__ import annotations

from privaudit.disclosure_limits import MIN_CELL
from privaudit.facts import Metric
from privaudit.results import Audit, Estimate, Finding, Subject
from privaudit.stats import onesided

LEARNT = ("attribute", "reconstruction", "inversion", "synthetic")
"""Families, other than membership, whose success means that something of a patient was learnt."""
COMPARED = ("attack_minus_control", "attack_minus_guess")
COPIES = ("exact_copies_excess", "near_copies_excess")
TOLD_APART = (Metric("auc"), Metric("tpr", fpr=0.01))
"""What a membership attack is read by."""
NAMED = ("patients_at_risk", "patients_named")
"""What an average of membership may hide."""
ALPHA = 0.025
"""One side of the two-sided 95 % intervals that are shown."""


def get_learning_attacks(subject: Subject, audit: Audit | None = None) -> list[str]:
    """Attacks that did better than their control and than the baseline, where both are known, or
    than guessing who was a member, by more than chance explains after correction, on this release
    as it is. audit: says whether pools differ, so that telling them apart shows nothing."""
    return [name for name in _get_finds(subject, audit) if name]


def has_learning(subject: Subject, audit: Audit | None = None) -> bool:
    """Whether anything of this kind was found, duplicates of real records included."""
    return bool(_get_finds(subject, audit))


def count_tried(subject: Subject, audit: Audit | None = None) -> int:
    """How many series the correction is over."""
    return len(_measure(subject, audit))


def _get_finds(subject: Subject, audit: Audit | None) -> list[str]:
    """Attacks with a find, once each, "" for duplicates."""
    tried = sorted(_measure(subject, audit), key=lambda pair: pair[1])
    found = []
    for step, (name, p) in enumerate(tried):
        if p > ALPHA / (len(tried) - step):
            break
        found.append(name)
    order = [one.attack for one in subject.outcomes]
    return sorted(dict.fromkeys(found), key=lambda name: order.index(name) if name else -1)


def _measure(subject: Subject, audit: Audit | None) -> list[tuple[str, float]]:
    """(attack, p-value of "no better than its comparisons") of every series; "" for duplicates."""
    made: list[tuple[str, float]] = []
    for one in subject.outcomes:
        if not isinstance(one, Finding):
            continue
        made += [(one.attack, p) for e in one.estimates if (p := _of_patients(e)) is not None]
        if one.family == "membership" and "TABLE" in subject.access:
            told = [e for e in _told_apart(one, audit) if e.metric in TOLD_APART]
            made += [(one.attack, _above(e, e.chance)) for e in told if e.chance is not None]
        if one.family not in LEARNT:
            continue
        there = {e.metric: e for e in one.estimates}
        for at in dict.fromkeys(e.metric.at for e in one.estimates if e.metric.name in COMPARED):
            if at is not None and at.counterfactual:
                continue
            beside = [there.get(Metric(name, at=at)) for name in COMPARED]
            values = [_above_zero(e) for e in beside if e is not None and e.value is not None]
            if values:
                made.append((one.attack, max(values)))
    if subject.fidelity is not None:
        copies = [e for e in subject.fidelity.estimates if e.metric.name in COPIES]
        made += [("", _above_zero(e)) for e in copies if e.value is not None]
    return made


def _told_apart(one: Finding, audit: Audit | None) -> tuple[Estimate, ...]:
    """The numbers of a membership attack that speak of the release, and not of the pools."""
    if audit is not None and audit.data.distribution_shift:
        return ()
    if "TABLE" in one.access or (audit is not None and audit.data.random_split):
        return one.estimates
    return one.corrected


def _of_patients(e: Estimate) -> float | None:
    """The p-value of "no patient is told apart" by a number of patients judged one by one; None of
    another number. Ten and more of those named are none by chance: at most 5 % of them are."""
    if e.value is None or e.metric.name not in NAMED:
        return None
    if e.metric.name == "patients_at_risk":
        return _above_zero(e)
    return 0.0 if e.value * e.n.get("patients", 0) >= MIN_CELL else 1.0


def _above_zero(estimate: Estimate) -> float:
    return _above(estimate, 0.0)


def _above(estimate: Estimate, chance: float) -> float:
    known = onesided.bounds(estimate)
    return 1.0 if known is None else known.above(chance)


__all__ = ["count_tried", "get_learning_attacks", "has_learning"]
