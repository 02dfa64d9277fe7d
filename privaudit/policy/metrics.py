"""What a policy may limit: names of metrics, and where in an audit their numbers stand."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from privaudit.contracts import Access
from privaudit.errors import PrivauditError
from privaudit.policy.words import suggest
from privaudit.results import Estimate, Failed, Finding, GroupResult, Skipped, Subject
from privaudit.stats import catalogue

Kind = Literal["risk", "claim", "use"]
Better = Literal["low", "high", "one", "zero"]

TRIED = ("attribute", "reconstruction", "evasion", "poisoning", "synthetic")
"""Families whose evidence is attempts with a control."""

GUESSED = ("attribute", "reconstruction")
"""Families whose advantage is over a guess without the release; the others' is over their control."""

TABLE_ATTACKS = {
    "singling_out": "singling_out",
    "linkability": "linkability",
    "inference": "synthetic_attribute_inference",
}
"""The three risks of WP216 -> the attack that tries each."""

COPIES = {
    "synthetic.exact_copies": (
        "exact_copies_excess",
        "how many more of the records learnt from than of others stand in the table",
    ),
    "synthetic.near_copies": (
        "near_copies_excess",
        "how many more of the records learnt from than of others nearly stand in the table",
    ),
}
"""Risks of a synthetic table that are counted with its fidelity, not tried by an attack."""

USEFUL: dict[str, Better] = {
    "prevalence_gap": "zero",
    "column_distance": "low",
    "association_error": "low",
    "association_error_outcome": "low",
    "detection_auc": "low",
    "auroc_loss": "low",
    "auroc_synthetic": "high",
}
"""What of a table's fidelity a guard may be about. Distances to the closest record are no measure of
anything that a gate may decide ("The DCR Delusion", arXiv 2505.01524)."""

GIVEN = {
    "synthetic": (Access.TABLE,),
    "reconstruction": (Access.UPDATES, Access.CIPHER, Access.CUT, Access.FILE),
}
"""What a release must give away, one of these at least, for a family to apply to it at all."""

UNGIVEN = "which this release does not allow"
"""How the reason ends for which the engine leaves out an attack that lacks access."""

AUDITORS = "train again the same way on other records"
"""The one access that an attack may lack because of the auditor, not because of the release."""


@dataclass(frozen=True)
class Metric:
    """One name that a limit, a guard or a regression may use.

    estimates: names in the audit, the first that is there is read; takes: which setting must say at what
    it is read; family, attacks: whose findings. better: which way is good.
    """

    name: str
    kind: Kind
    says: str
    estimates: tuple[str, ...] = ()
    family: str = ""
    attacks: tuple[str, ...] = ()
    takes: Literal["", "fpr", "prior"] = ""
    better: Better = "low"


def _all() -> dict[str, Metric]:
    found = [
        Metric(
            "membership.auc",
            "risk",
            "chance that a training record scores above a held-out one",
            ("auc",),
            "membership",
        ),
        Metric(
            "membership.tpr",
            "risk",
            "share of training records recognised at a false positive rate",
            ("tpr_at_fpr_{fpr:g}",),
            "membership",
            takes="fpr",
        ),
        Metric(
            "membership.ppv",
            "risk",
            "chance that a named record is a member, at 1 % false alarms and a prior",
            ("ppv_at_prior_{prior:g}",),
            "membership",
            takes="prior",
        ),
    ]
    control, guess = "attack_minus_control", "attack_minus_guess"
    for family in TRIED:
        over = (guess, control) if family in GUESSED else (control,)
        found += [
            Metric(f"{family}.rate", "risk", "share of attempts that succeed", ("attack_rate",), family),
            Metric(
                f"{family}.advantage",
                "risk",
                "how much more often the attack succeeds than "
                + ("a guess without the release" if family in GUESSED else "its control"),
                over,
                family,
            ),
            Metric(
                f"{family}.over_control",
                "risk",
                "how much more often the attack succeeds than its control",
                (control,),
                family,
            ),
            Metric(
                f"{family}.over_guess",
                "risk",
                "how much more often the attack succeeds than a guess without the release",
                (guess,),
                family,
            ),
        ]  # fmt: skip
    found += [
        Metric(
            f"synthetic.{risk}",
            "risk",
            f"how much more often {risk.replace('_', ' ')} succeeds than its control",
            (control,),
            "synthetic",
            (attack,),
        )
        for risk, attack in TABLE_ATTACKS.items()
    ]
    found += [
        Metric(name, "risk", says, (estimate,), "synthetic")
        for name, (estimate, says) in COPIES.items()
    ]
    found += [
        Metric("epsilon.claimed", "claim", "the epsilon that is promised"),
        Metric("epsilon.delta", "claim", "the delta that is promised"),
        Metric(
            "epsilon.lower_bound",
            "risk",
            "the least epsilon that an attack proves",
            ("epsilon_lower_bound", "epsilon_lower_bound_fdp"),
            "epsilon",
        ),
    ]
    ways: dict[str, Better] = {
        "auroc": "high",
        "auprc": "high",
        "calibration_slope": "one",
        "calibration_intercept": "zero",
    }
    found += [
        Metric(f"utility.{name}", "use", says, (name,), better=ways.get(name, "low"))
        for name, says in catalogue.UTILITY.items()
    ]
    found += [
        Metric(f"fidelity.{name}", "use", catalogue.FIDELITY[name], (name,), better=better)
        for name, better in USEFUL.items()
    ]
    return {metric.name: metric for metric in found}


METRICS = _all()


def metric(name: str, where: str = "") -> Metric:
    """The metric of this name; an unknown one is refused with what it may have been meant to be."""
    if name in METRICS:
        return METRICS[name]
    families = sorted({known.partition(".")[0] for known in METRICS})
    raise PrivauditError(
        f"no metric {name!r}{f' in {where}' if where else ''}",
        f"metrics are named family.measure, of: {', '.join(families)}",
        suggest(name, METRICS) or "see `privaudit policy metrics`",
    )


def estimate_names(known: Metric, fpr: float | None, prior: float | None) -> tuple[str, ...]:
    """Names in the audit of this metric at this false positive rate or prior."""
    return tuple(name.format(fpr=fpr, prior=prior) for name in known.estimates)


@dataclass(frozen=True)
class Reading:
    """One number of one subject that a metric is about.

    setting: what follows `@` in the estimate's name (a sensitive column, a budget); group: "sex: F",
    empty for everyone together. suppressed: a group too small to be shown.
    """

    attack: str
    estimate: Estimate | None
    setting: str = ""
    group: str = ""
    suppressed: bool = False


def findings(subject: Subject, known: Metric, attacks: Sequence[str] = ()) -> list[Finding]:
    """Findings of the metric's family, of these attacks alone where some are named."""
    return [
        one
        for one in subject.outcomes
        if isinstance(one, Finding)
        and one.family == known.family
        and (not known.attacks or one.attack in known.attacks)
        and (not attacks or one.attack in attacks)
    ]


def blanks(subject: Subject, known: Metric, attacks: Sequence[str] = ()) -> list[Skipped | Failed]:
    """Attacks of the metric's family that found nothing because they were skipped or broke."""
    return [
        one
        for one in subject.outcomes
        if not isinstance(one, Finding)
        and one.family == known.family
        and (not known.attacks or one.attack in known.attacks)
        and (not attacks or one.attack in attacks)
    ]


def inapplicable(subject: Subject, known: Metric) -> bool:
    """Whether no attack of the family can be made on this release at all, for what it gives away.

    An attack that only lacks the auditor's privilege to train again does apply: it was not run.
    """
    wanted = GIVEN.get(known.family)
    if wanted is not None and not {access.value for access in wanted} & set(subject.access):
        return not any(isinstance(one, Failed) for one in blanks(subject, known))
    left = blanks(subject, known)
    return bool(left) and all(isinstance(one, Skipped) and _ungiven(one.reason) for one in left)


def _ungiven(reason: str) -> bool:
    start = "the attack must be able to "
    if not (reason.startswith(start) and reason.endswith(UNGIVEN)):
        return False
    return reason.removeprefix(start).removesuffix(f", {UNGIVEN}") != AUDITORS


def readings(
    known: Metric,
    subject: Subject,
    *,
    fpr: float | None = None,
    prior: float | None = None,
    at: Sequence[str] = (),
    attacks: Sequence[str] = (),
) -> list[Reading]:
    """Every number of everyone together that the metric is about, one an attack and setting."""
    names = estimate_names(known, fpr, prior)
    if known.kind == "use" or known.name in COPIES:
        parts = _used(known, subject)
        return [Reading("", _first(parts, names))] if _first(parts, names) else []
    if known.name == "epsilon.lower_bound":
        # Two proofs of the same thing: either may be the larger.
        return [
            Reading(found.attack, estimate)
            for found in findings(subject, known, attacks)
            for estimate in found.estimates
            if estimate.name in names
        ]
    return [
        Reading(found.attack, estimate, setting)
        for found in findings(subject, known, attacks)
        for setting, estimate in settings(found, names, at)
    ]


def group_readings(
    known: Metric,
    subject: Subject,
    by: str,
    *,
    fpr: float | None = None,
    prior: float | None = None,
    attacks: Sequence[str] = (),
) -> list[Reading]:
    """The same of each subgroup, for metrics that are measured in groups."""
    names = estimate_names(known, fpr, prior)
    parts: list[tuple[str, tuple[GroupResult, ...]]]
    if known.kind == "use":
        fidelity = subject.fidelity
        whose = fidelity.groups if known.name.startswith("fidelity.") and fidelity else ()
        parts = [("", subject.utility_groups if known.name.startswith("utility.") else whose)]
    else:
        parts = [(found.attack, found.groups) for found in findings(subject, known, attacks)]
    return [
        Reading(
            attack,
            _first(group.estimates, names),
            group=f"{group.by}: {group.level}",
            suppressed=group.suppressed,
        )
        for attack, groups in parts
        for group in groups
        if group.by == by
    ]


def groupings(subject: Subject) -> set[str]:
    """What the subject's membership findings were split by."""
    return {
        group.by for one in subject.outcomes if isinstance(one, Finding) for group in one.groups
    }


def settings(
    found: Finding, names: Sequence[str], at: Sequence[str]
) -> Iterator[tuple[str, Estimate]]:
    """(setting, estimate): those that `at` names (with * and ?), else every one that tells of this release.

    A poisoning attack is tried under other ways of averaging too, and a key recovery as if more had
    been given away: those tell of other releases, and count only where `at` names them.
    """
    keys = list(dict.fromkeys(e.name.partition("@")[2] for e in found.estimates))
    keys = [key for key in keys if key]
    first = keys[0].partition(" / ")[0] if keys else ""
    for key in keys or [""]:
        if at:
            if not any(fnmatch.fnmatchcase(key, pattern) for pattern in at):
                continue
        elif (" / " in key and key.partition(" / ")[0] != first) or ", had " in key:
            continue
        suffix = f"@{key}" if key else ""
        estimate = _first(found.estimates, [f"{name}{suffix}" for name in names])
        if estimate is not None:
            yield key, estimate


def _used(known: Metric, subject: Subject) -> tuple[Estimate, ...]:
    if known.name.startswith("utility."):
        return subject.utility
    return subject.fidelity.estimates if subject.fidelity is not None else ()


def _first(estimates: Iterable[Estimate], names: Sequence[str]) -> Estimate | None:
    by_name = {estimate.name: estimate for estimate in estimates}
    return next((by_name[name] for name in names if name in by_name), None)


__all__ = [
    "METRICS",
    "Metric",
    "Reading",
    "blanks",
    "findings",
    "group_readings",
    "groupings",
    "inapplicable",
    "metric",
    "readings",
    "settings",
]
