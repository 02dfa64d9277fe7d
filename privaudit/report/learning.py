"""Which attacks learnt something beyond chance, that the headline does not say.

Every series that speaks of this release is compared with its control and, where there is one, with
a guess without the release, and must do better than both. Every membership attack counts too, by
its AUC and its rate at 1 % false positives, and every bound on epsilon: the headline quotes one of
them, chosen on half of the patients. The p-values are adjusted over all of them (Holm 1979), so
that many attacks make no find by luck. Attacks on the owner (the model itself, the make-up of all
patients) are adjusted by themselves, so that they take no power from those on patients. Evasion and
poisoning are about what a model can be made to do, and tell nothing of a patient: they never count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from privaudit.contracts import Access
from privaudit.disclosure_limits import MIN_CELL
from privaudit.facts import CaveatCode, Metric
from privaudit.results import Audit, Estimate, Finding, Subject
from privaudit.stats import onesided
from privaudit.stats.guarantees import check_guarantee, epsilon_bounds
from privaudit.stats.headline import control_state

LEARNT = ("attribute", "reconstruction", "inversion", "synthetic")
"""Families, other than membership, whose success means that something of a patient was learnt."""
OWNED = ("property", "extraction")
"""Families whose success means that something of the owner was: of the model, or of all patients
together."""
COMPARED = ("attack_minus_control", "attack_minus_guess")
COPIES = ("exact_copies_excess", "near_copies_excess")
TOLD_APART = (Metric("auc"), Metric("tpr", fpr=0.01))
"""What a membership attack is read by."""
NAMED = ("patients_at_risk", "patients_named")
"""What an average of membership may hide."""
ALPHA = 0.025
"""One side of the two-sided 95 % intervals that are shown."""

Standing = Literal["confirmed", "unconfirmed"]


@dataclass(frozen=True)
class Series:
    """One comparison: its attack, "" for duplicates, and the p-value of "no better than what it is
    compared with".

    unconfirmed: of a membership attack of which nothing shows how it reads where nothing leaks.
    """

    attack: str
    p: float
    standing: Standing = "confirmed"


def get_learning_attacks(subject: Subject, audit: Audit | None = None) -> list[str]:
    """Attacks that did better than their control and than the baseline, where both are known, or
    than guessing who was a member, by more than chance explains after correction, on this release
    as it is. audit: says whether pools differ, so that telling them apart shows nothing."""
    return [name for name in _get_finds(subject, audit) if name]


def get_unconfirmed_attacks(subject: Subject, audit: Audit | None = None) -> list[str]:
    """Membership attacks that did better than guessing by as much, where nothing shows that they
    read as guessing without a leak."""
    found = _adjust(_measure(subject, audit))
    return _order(subject, (one.attack for one in found if one.standing == "unconfirmed"))


def get_owner_attacks(subject: Subject) -> list[str]:
    """Attacks on the model itself, or on the make-up of all patients, that did better than their
    control and guess, after correction over such attacks."""
    return _order(subject, (one.attack for one in _adjust(_compare(subject, OWNED))))


def has_learning(subject: Subject, audit: Audit | None = None) -> bool:
    """Whether anything of a patient was found, duplicates of real records included."""
    return bool(_get_finds(subject, audit))


def count_tried(subject: Subject, audit: Audit | None = None) -> int:
    """How many series the correction is over."""
    return len(_measure(subject, audit))


def _get_finds(subject: Subject, audit: Audit | None) -> list[str]:
    """Attacks with a find, once each, "" for duplicates.

    A guarantee that is refuted is one at any rate: the bound on epsilon that decides is one number,
    fixed beforehand, and the page calls it a defect.
    """
    found = [one.attack for one in _adjust(_measure(subject, audit)) if one.standing == "confirmed"]
    return _order(subject, [*found, *_refute(subject)])


def _order(subject: Subject, names: Iterable[str]) -> list[str]:
    """Each name once, as its attack came."""
    order = [one.attack for one in subject.outcomes]
    return sorted(dict.fromkeys(names), key=lambda name: order.index(name) if name else -1)


def _adjust(series: list[Series]) -> list[Series]:
    """Those that are finds after Holm's correction."""
    tried = sorted(series, key=lambda one: one.p)
    found = []
    for step, one in enumerate(tried):
        if one.p > ALPHA / (len(tried) - step):
            break
        found.append(one)
    return found


def _measure(subject: Subject, audit: Audit | None) -> list[Series]:
    """Every comparison that speaks of a patient."""
    made = [*_tell_apart(subject, audit), *_compare(subject, LEARNT)]
    if subject.fidelity is not None:
        copies = [e for e in subject.fidelity.estimates if e.metric.name in COPIES]
        made += [Series("", _above_zero(e)) for e in copies if e.value is not None]
    return made


def _tell_apart(subject: Subject, audit: Audit | None) -> Iterator[Series]:
    """What says who was a member, or bounds how well anybody can say it."""
    shifted = audit is not None and bool(audit.data.distribution_shift)
    for one in _list_findings(subject):
        for e in one.estimates:
            if (p := _of_patients(e)) is not None:
                yield Series(one.attack, p)
        if shifted:
            continue
        if one.family == "epsilon":
            yield from (Series(one.attack, _above_zero(e)) for e in epsilon_bounds(one.estimates))
        if one.family == "membership":
            told, standing = _read_membership(one, subject, audit)
            for e in told:
                if e.metric in TOLD_APART and e.chance is not None:
                    yield Series(one.attack, _above(e, e.chance), standing)


def _read_membership(
    one: Finding, subject: Subject, audit: Audit | None
) -> tuple[tuple[Estimate, ...], Standing]:
    """The numbers of a membership attack that speak of the release, and not of the pools."""
    if "TABLE" in one.access or (audit is not None and audit.data.random_split):
        lost = any(
            c.kind == "negative" and c.attack == one.attack and control_state(c) == "not made"
            for c in subject.controls
        )
        return one.estimates, "unconfirmed" if lost else "confirmed"
    if one.corrected or audit is None:
        return one.corrected, "confirmed"
    return one.estimates, "unconfirmed"


def _compare(subject: Subject, families: tuple[str, ...]) -> list[Series]:
    """Attempts beside their control and their guess: the larger p-value of the two."""
    made = []
    for one in _list_findings(subject):
        if one.family not in families:
            continue
        there = {e.metric: e for e in one.estimates}
        for at in dict.fromkeys(e.metric.at for e in one.estimates if e.metric.name in COMPARED):
            if at is not None and at.counterfactual:
                continue
            beside = [there.get(Metric(name, at=at)) for name in COMPARED]
            values = [_above_zero(e) for e in beside if e is not None and e.value is not None]
            if values:
                made.append(Series(one.attack, max(values)))
    return made


def _refute(subject: Subject) -> list[str]:
    """Attacks whose bound on epsilon lies above what is claimed, whether or not they say so."""
    names = []
    for one in _list_findings(subject):
        codes = {caveat.code for caveat in one.caveats}
        if all(name in Access.__members__ for name in one.access):
            needs = [Access[name] for name in one.access]
            codes |= {c.code for c in check_guarantee(subject.claim, one.estimates, needs)}
        if CaveatCode.EPSILON_ABOVE_CLAIM in codes:
            names.append(one.attack)
    return names


def _list_findings(subject: Subject) -> list[Finding]:
    return [one for one in subject.outcomes if isinstance(one, Finding)]


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


__all__ = [
    "count_tried",
    "get_learning_attacks",
    "get_owner_attacks",
    "get_unconfirmed_attacks",
    "has_learning",
]
