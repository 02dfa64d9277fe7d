"""What a policy may limit: names of metrics, and where in an audit their numbers stand."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from privaudit.contracts import REQUIRED_ACCESS, Access
from privaudit.errors import PrivauditError
from privaudit.facts import Group, Metric, ReasonCode, Setting
from privaudit.policy.suggest import suggest
from privaudit.results import Estimate, Failed, Finding, GroupResult, Outcome, Skipped, Subject
from privaudit.stats import catalogue

Kind = Literal["risk", "claim", "use"]
Place = Literal["outcomes", "claim", "utility", "fidelity"]
Better = Literal["low", "high", "one", "zero"]

TRIED = (
    "attribute",
    "reconstruction",
    "inversion",
    "property",
    "extraction",
    "evasion",
    "poisoning",
    "synthetic",
)
"""Families whose evidence is attempts with a control."""

GUESSED = ("attribute", "reconstruction", "inversion", "property")
"""Families whose advantage is over a guess without the release; the others' is over their
control."""

TABLE_ATTACKS = {
    "singling_out": "singling_out",
    "linkability": "linkability",
    "attribute_inference": "synthetic_attribute_inference",
}
"""The three risks of WP216 -> the attack that tries each."""

COPIES = {
    "synthetic.exact_copies": "exact_copies_excess",
    "synthetic.near_copies": "near_copies_excess",
}
"""Risks of a synthetic table that are counted with its fidelity, not tried by an attack."""

COUNTED = {"exact_copies": "exact_copies_excess", "near_copies": "near_copies_excess"}
"""Share of patients with a copy, whose chance is that of others -> its excess over them."""

TAKEN_OFF = {"attack_minus_control": "control_rate", "attack_minus_guess": "guess_rate"}
"""Difference of rates -> the rate that was taken off the attack's."""

EVENED = Setting("unit", "record counts evened out")
"""Of `Finding.evened`, where they stand among a finding's other numbers."""

FIDELITY: dict[str, Better] = {
    "prevalence_gap": "zero",
    "column_distance": "low",
    "association_error": "low",
    "association_error_outcome": "low",
    "detection_auc": "low",
    "auroc_loss": "low",
    "auroc_synthetic": "high",
}
"""What of a table's fidelity a guard may be about. Distances to the closest record are no measure
of anything that a gate may decide ("The DCR Delusion", arXiv 2505.01524)."""

UTILITY: dict[str, Better] = {
    "auroc": "high",
    "auprc": "high",
    "calibration_slope": "one",
    "calibration_intercept": "zero",
    "kappa_linear": "high",
    "concordance": "high",
    "r2": "high",
    "c_index": "high",
    "prediction_slope": "one",
}
"""Of the measures of utility, those for which less is not simply better."""

UNTRIED = ("reconstruction", "inversion", "synthetic")
"""Families of which it is known without any attempt that they do not apply."""


@dataclass(frozen=True)
class PolicyMetric:
    """One name that a limit, a guard or a regression may use.

    estimates: names of the audit's metrics, the first that is there is read; takes: which setting
    must say at what it is read; family, attacks: whose findings; place: where its numbers stand.
    better: which way is good.
    """

    name: str
    kind: Kind
    place: Place = "outcomes"
    estimates: tuple[str, ...] = ()
    family: str = ""
    attacks: tuple[str, ...] = ()
    takes: Literal["", "fpr", "prior"] = ""
    better: Better = "low"

    def numbers(self, fpr: float | None, prior: float | None) -> tuple[Metric, ...]:
        """The audit's metrics that it reads at this false positive rate or prior."""
        rate = catalogue.PPV_FPR if self.takes == "prior" else fpr
        return tuple(Metric(name, rate, prior) for name in self.estimates)


def _all() -> dict[str, PolicyMetric]:
    found = [
        PolicyMetric("membership.auc", "risk", "outcomes", ("auc",), "membership"),
        PolicyMetric("membership.tpr", "risk", "outcomes", ("tpr",), "membership", takes="fpr"),
        PolicyMetric("membership.ppv", "risk", "outcomes", ("ppv",), "membership", takes="prior"),
    ]
    found.append(
        PolicyMetric(
            "membership.patients_at_risk",
            "risk",
            "outcomes",
            ("patients_at_risk",),
            "membership",
            attacks=("patient_risk",),
        )
    )
    control, guess = "attack_minus_control", "attack_minus_guess"
    for family in TRIED:
        over = (guess, control) if family in GUESSED else (control,)
        found += [
            PolicyMetric(f"{family}.{measure}", "risk", "outcomes", estimates, family)
            for measure, estimates in (
                ("rate", ("attack_rate",)),
                ("advantage", over),
                ("over_control", (control,)),
                ("over_guess", (guess,)),
            )
        ]
    found += [
        PolicyMetric(
            f"synthetic.{risk}", "risk", "outcomes", (control,), "synthetic", attacks=(attack,)
        )
        for risk, attack in TABLE_ATTACKS.items()
    ]
    found += [
        PolicyMetric(name, "risk", "fidelity", (estimate,), "synthetic")
        for name, estimate in COPIES.items()
    ]
    bounds = ("epsilon_lower_bound", "epsilon_lower_bound_fdp")
    found += [
        PolicyMetric("epsilon.claimed", "claim", "claim", family="epsilon"),
        PolicyMetric("epsilon.delta", "claim", "claim", family="epsilon"),
        PolicyMetric("epsilon.lower_bound", "risk", "outcomes", bounds, "epsilon"),
    ]
    found += [
        PolicyMetric(f"utility.{name}", "use", "utility", (name,), better=UTILITY.get(name, "low"))
        for name in (
            *catalogue.UTILITY,
            *catalogue.UTILITY_OF_ORDER,
            *catalogue.UTILITY_OF_NUMBERS,
            *catalogue.UTILITY_OF_TIMES,
        )
    ]
    found += [
        PolicyMetric(f"fidelity.{name}", "use", "fidelity", (name,), better=better)
        for name, better in FIDELITY.items()
    ]
    return {metric.name: metric for metric in found}


METRICS = _all()


def find_metric(name: str, where: str = "") -> PolicyMetric:
    """The metric of this name; an unknown one is refused with what it may have been meant to be."""
    if name in METRICS:
        return METRICS[name]
    families = sorted({known.family or known.place for known in METRICS.values()})
    raise PrivauditError(
        f"no metric {name!r}{f' in {where}' if where else ''}",
        f"metrics are named family.measure, of: {', '.join(families)}",
        suggest(name, METRICS) or "see `privaudit policy metrics`",
    )


@dataclass(frozen=True)
class Reading:
    """One number of one subject that a metric is about.

    attack: "" where none made it; setting: which series of the attack; group: None for everyone
    together. suppressed: a group too small to be shown. beside: of a difference, the rate that was
    taken off: of the control or of the guess.
    """

    attack: str
    estimate: Estimate | None
    setting: Setting | None = None
    group: Group | None = None
    suppressed: bool = False
    beside: float | None = None


def findings(subject: Subject, known: PolicyMetric, attacks: Sequence[str] = ()) -> list[Finding]:
    """Findings of the metric's family, of these attacks alone where some are named."""
    return [one for one in _outcomes(subject, known, attacks) if isinstance(one, Finding)]


def blanks(
    subject: Subject, known: PolicyMetric, attacks: Sequence[str] = ()
) -> list[Skipped | Failed]:
    """Attacks of the metric's family that found nothing: skipped, or failed with an error."""
    return [one for one in _outcomes(subject, known, attacks) if not isinstance(one, Finding)]


def _outcomes(
    subject: Subject, known: PolicyMetric, attacks: Sequence[str]
) -> Iterator[Finding | Skipped | Failed]:
    for one in subject.outcomes:
        asked = (not known.attacks or one.attack in known.attacks) and (
            not attacks or one.attack in attacks
        )
        if one.family == known.family and asked:
            yield one


def read_access(names: Iterable[str]) -> frozenset[Access]:
    """What these names of `contracts.Access` stand for; an unknown one is refused, never left
    out."""
    found = set()
    for name in names:
        if name not in Access.__members__:
            raise PrivauditError(
                f"an audit that speaks of the access {name!r}",
                f"kinds of access are: {', '.join(Access.__members__)}",
                "give an audit.json as `privaudit run` wrote it, not edited",
            )
        found.add(Access[name])
    return frozenset(found)


def is_inapplicable(subject: Subject, known: PolicyMetric) -> bool:
    """Whether no attack of the family can be made on this release at all, for what it gives away.

    That the attacks asked for need more than the release gives away does not count: others of the
    family need less. Nor does one that only lacks the auditor's privilege to train again.
    """
    required = REQUIRED_ACCESS.get(known.family)
    if required is None or required & read_access(subject.access):
        return False
    own = [one for one in subject.outcomes if one.family == known.family]
    if not all(isinstance(one, Skipped) for one in own):
        return False
    lacking = all(required & _read_lacking(one) for one in own)
    return known.family in UNTRIED or (bool(own) and lacking)


def _read_lacking(one: Outcome) -> frozenset[Access]:
    """What an attack was skipped for the want of."""
    if not isinstance(one, Skipped) or one.reason.code is not ReasonCode.LACKS_ACCESS:
        return frozenset()
    lacking = one.reason.params["access"]
    return read_access(lacking if isinstance(lacking, tuple) else ())


def list_numbers(finding: Finding) -> tuple[Estimate, ...]:
    """Its numbers, and at `EVENED` those with the number of records evened out."""
    more = (replace(one, metric=replace(one.metric, at=EVENED)) for one in finding.evened)
    return (*finding.estimates, *more)


def readings(
    known: PolicyMetric,
    subject: Subject,
    *,
    fpr: float | None = None,
    prior: float | None = None,
    at: Sequence[str] = (),
    attacks: Sequence[str] = (),
    evened: bool = False,
) -> list[Reading]:
    """Every number of everyone together that the metric is about, one an attack and setting.

    evened: with those at `EVENED` as numbers of their own. A finding or a series of one that lacks
    the number is there without an estimate, so that nothing is read as if it had not been looked
    for.
    """
    if known.place != "outcomes":
        return _select(_estimates(known, subject), known)
    made = []
    for one in findings(subject, known, attacks):
        stated = list_numbers(one) if evened else one.estimates
        there = {estimate.metric: estimate for estimate in stated}
        chosen = select_numbers(known, list(there), fpr=fpr, prior=prior, at=at)
        own = [
            Reading(
                one.attack, there[metric], metric.at, beside=_beside(there[metric], one.estimates)
            )
            for metric in chosen
        ]
        if known.family != "epsilon":
            held = {metric.at for metric in chosen}
            asked = choose_settings([metric.at for metric in there], at)
            own += [Reading(one.attack, None, setting) for setting in asked if setting not in held]
        if not own and not (at and there):
            own = [Reading(one.attack, None)]
        made += own
    return made


def select_numbers(
    known: PolicyMetric,
    there: Sequence[Metric],
    *,
    fpr: float | None,
    prior: float | None,
    at: Sequence[str],
) -> list[Metric]:
    """Those of one attack's numbers that the metric is about, one a setting."""
    wanted = known.numbers(fpr, prior)
    if known.family == "epsilon":
        # Two proofs of the same thing: the sharper one, fixed beforehand, so that it need not be
        # adjusted for the other.
        return [metric for metric in reversed(wanted) if metric in there][:1]
    found: list[Metric] = []
    for setting in choose_settings([metric.at for metric in there], at):
        named = [replace(metric, at=setting) for metric in wanted]
        found += [metric for metric in named if metric in there][:1]
    return found


def group_readings(
    known: PolicyMetric,
    subject: Subject,
    by: str,
    *,
    fpr: float | None = None,
    prior: float | None = None,
    attacks: Sequence[str] = (),
) -> list[Reading]:
    """The same of each subgroup, for metrics that are measured in groups."""
    wanted = known.numbers(fpr, prior)
    parts: list[tuple[str, tuple[GroupResult, ...]]]
    if known.place == "utility":
        parts = [("", subject.utility_groups)]
    elif known.place == "fidelity":
        parts = [("", subject.fidelity.groups if subject.fidelity is not None else ())]
    else:
        parts = [(found.attack, found.groups) for found in findings(subject, known, attacks)]
    found = []
    for attack, groups in parts:
        for one in groups:
            if one.by != by:
                continue
            if known.place == "outcomes":
                own = [Reading(attack, _first(one.estimates, wanted))]
            else:
                # A group without the number is there without an estimate.
                own = _select(one.estimates, known) or [Reading("", None)]
            level = Group(one.by, one.level)
            found += [replace(r, group=level, suppressed=one.suppressed) for r in own]
    return found


def groupings(subject: Subject) -> tuple[str, ...]:
    """What the subject's findings were split by, in the audit's order."""
    found = [one for one in subject.outcomes if isinstance(one, Finding)]
    return tuple(dict.fromkeys(group.by for one in found for group in one.groups))


def choose_settings(settings: Sequence[Setting | None], at: Sequence[str]) -> list[Setting | None]:
    """Those series of an attack that `at` names, else every one that speaks of this release.

    A poisoning attack is tried under other aggregators too, and a key recovery as if more had been
    given away: those speak of other releases (`Setting.counterfactual`), and count only where they
    are named.
    """
    there = list(dict.fromkeys(settings))
    if not at:
        return [one for one in there if one is None or not one.counterfactual]
    named = {one for text in at for one in named_settings(there, text)}
    return [one for one in there if one in named]


def named_settings(there: Sequence[Setting | None], text: str) -> list[Setting]:
    """The settings that a text of `at` names: the one that is exactly so, else as a pattern (* and
    ?, and nothing else)."""
    shown = [one for one in there if one is not None]
    exact = [one for one in shown if str(one) == text]
    pattern = text.replace("[", "[[]")
    return exact or [one for one in shown if fnmatch.fnmatchcase(str(one), pattern)]


def unnamed_settings(
    known: PolicyMetric, subject: Subject, at: Sequence[str], attacks: Sequence[str]
) -> tuple[str, ...]:
    """Texts of `at` that name no series of any finding: what a rule asks for and was not
    measured."""
    there = [e.metric.at for one in findings(subject, known, attacks) for e in one.estimates]
    return tuple(text for text in at if not named_settings(there, text))


def _estimates(known: PolicyMetric, subject: Subject) -> tuple[Estimate, ...]:
    if known.place == "utility":
        return subject.utility
    return subject.fidelity.estimates if subject.fidelity is not None else ()


def _select(estimates: Iterable[Estimate], known: PolicyMetric) -> list[Reading]:
    """Every number of this name that belongs to no attack: one, or one a class or cut, of which
    each must hold."""
    stated = tuple(estimates)
    return [
        Reading("", one, one.metric.at, beside=_beside(one, stated))
        for one in stated
        if one.metric.name in known.estimates
    ]


def _first(estimates: Iterable[Estimate], wanted: Sequence[Metric]) -> Estimate | None:
    by_metric = {estimate.metric: estimate for estimate in estimates}
    return next((by_metric[metric] for metric in wanted if metric in by_metric), None)


def _beside(difference: Estimate, stated: Iterable[Estimate]) -> float | None:
    """The rate that was taken off another for this difference, where it is one and both stand."""
    own, at = difference.metric.name, difference.metric.at
    if own in TAKEN_OFF:
        wanted = Metric(TAKEN_OFF[own], at=at)
        return next((one.value for one in stated if one.metric == wanted), None)
    counted = {excess: Metric(name) for name, excess in COUNTED.items()}
    return next((one.chance for one in stated if one.metric == counted.get(own)), None)
