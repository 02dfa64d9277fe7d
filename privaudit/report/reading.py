"""What the numbers of an audit amount to, before a word is chosen: no text here, no layout."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from privaudit.facts import Attacker, Caveat, CaveatCode, Metric, Reason, ReasonCode
from privaudit.report.blocks import State
from privaudit.report.learning import get_unconfirmed_attacks, has_learning
from privaudit.results import (
    Audit,
    Control,
    Curve,
    Estimate,
    Failed,
    Finding,
    Outcome,
    Skipped,
    Subject,
)
from privaudit.stats.headline import control_state, is_drift

PRIMARY_FPR = 0.01
FALLBACK_FPR = 0.1
FPRS = (0.1, 0.01, 0.001)
AUC = Metric("auc")
EPSILON = ("epsilon_lower_bound", "epsilon_lower_bound_fdp")
MAX_DETAILED = 4
"""The most exposed models, so many, have a drawing and a paragraph of their own; tables hold
all."""


@dataclass(frozen=True)
class Reading:
    """One model's membership result.

    rate: true positive rate at `fpr`, the finest that could be stated of 1 % and 10 %. refused: the
    one at 1 %, where it could not be. detectable: the smallest rate that this audit would have
    detected. borrowed: the controls were run on another model. afterwards: the attack was chosen on
    the result.
    """

    state: State
    finding: Finding | None = None
    rate: Estimate | None = None
    fpr: float | None = None
    refused: Estimate | None = None
    auc: Estimate | None = None
    detectable: Estimate | None = None
    borrowed: bool = False
    afterwards: bool = False


def get(estimates: Iterable[Estimate], metric: Metric | str) -> Estimate | None:
    """The estimate of this metric, stated or refused. A name alone: read at nothing."""
    wanted = Metric(metric) if isinstance(metric, str) else metric
    return next((e for e in estimates if e.metric == wanted), None)


def get_stated(estimates: Iterable[Estimate], metric: Metric | str) -> Estimate | None:
    """The estimate of this metric, if it has a value."""
    found = get(estimates, metric)
    return found if found is not None and found.value is not None else None


def get_furthest(estimates: Iterable[Estimate], name: str) -> Estimate | None:
    """Of the estimates of one name, each at another class or cut, the one whose value is furthest
    from its perfect one; one without a value where none has any."""
    own = [e for e in estimates if e.metric.name == name]
    stated = [e for e in own if e.value is not None]
    if not stated:
        return own[0] if own else None
    return max(stated, key=lambda e: abs((e.value or 0.0) - (e.chance or 0.0)))


def get_ppv(estimates: Iterable[Estimate], prior: float) -> Estimate | None:
    """The positive predictive value where this share of those asked about are members."""
    return next((e for e in estimates if e.metric.name == "ppv" and e.metric.prior == prior), None)


def tpr_at(fpr: float) -> Metric:
    """The true positive rate at a false positive rate."""
    return Metric("tpr", fpr=fpr)


def exceeds_chance(e: Estimate | None) -> bool:
    """Whether the whole interval lies above what guessing gives."""
    return e is not None and e.low is not None and e.chance is not None and e.low > e.chance


def exceeds_null(finding: Finding, metric: Metric) -> bool:
    """Whether a number is above guessing by more than chance and, on a supplied split, by more than
    the same attack on models that never saw whom they are asked about."""
    known = finding.corrected or finding.estimates
    return exceeds_chance(get_stated(known, metric))


def is_compared(audit: Audit, finding: Finding) -> bool:
    """Whether nothing but a null of the same records can show that a find is a leak: nobody
    assigned membership at random."""
    return not audit.data.random_split and "TABLE" not in finding.access


def overlap(one: Estimate | None, two: Estimate | None) -> bool:
    """Whether two intervals touch; yes where one is not known."""
    if one is None or two is None:
        return True
    if one.low is None or one.high is None or two.low is None or two.high is None:
        return True
    return one.low <= two.high and two.low <= one.high


def get_findings(subject: Subject, family: str | None = None) -> list[Finding]:
    """Attacks with a result, of one family if it is named."""
    return [o for o in subject.outcomes if isinstance(o, Finding) and family in (None, o.family)]


def get_unresolved(subject: Subject) -> list[Skipped | Failed]:
    """Attacks without a result."""
    return [o for o in subject.outcomes if not isinstance(o, Finding)]


def is_unstated(o: Outcome) -> bool:
    """Whether it has no result because no hospital stated counts."""
    return isinstance(o, Skipped) and o.reason.code is ReasonCode.SITES_STATE_NOTHING


def get_families(subject: Subject) -> list[str]:
    """Families with a finding, membership first, the others as they came."""
    found = list(dict.fromkeys(f.family for f in get_findings(subject)))
    return sorted(found, key=lambda family: family != "membership")


def get_roc(finding: Finding) -> Curve | None:
    """The attack's ROC curve."""
    return next((c for c in finding.curves if c.kind == "roc" and c.x), None)


def get_defect(subject: Subject) -> Caveat | None:
    """What shows that the model's guarantee does not hold; None where nothing shows it."""
    caveats = (c for f in get_findings(subject) for c in f.caveats)
    return next((c for c in caveats if c.severity == "defect"), None)


def get_bounds(subject: Subject) -> list[tuple[str, Estimate]]:
    """(attack, lower bound on epsilon), stated or refused."""
    return [
        (f.attack, e)
        for f in get_findings(subject, "epsilon")
        for e in f.estimates
        if e.metric.name in EPSILON
    ]


def on_all_patients(subject: Subject, r: Reading) -> Finding | None:
    """What the headline's attack found on all patients."""
    if r.finding is None or r.afterwards:
        return None
    same = [f for f in get_findings(subject, "membership") if f.attack == r.finding.attack]
    return same[0] if same else None


def get_weaker(subject: Subject, r: Reading) -> tuple[str, Estimate] | None:
    """The best AUC of somebody who holds similar patients only, where another's is quoted."""
    weak = Attacker.SIMILAR_PATIENTS
    if r.finding is None or r.finding.attacker in (weak, None):
        return None
    own = [f for f in get_findings(subject, "membership") if f.attacker is weak]
    known = [(f.attack, e) for f in own if (e := get_stated(f.estimates, AUC)) is not None]
    return max(known, key=lambda pair: pair[1].value or 0.0, default=None)


def rate_on_all(subject: Subject, r: Reading) -> Estimate | None:
    """Where the headline's half is too small for 1 %, the same attack's rate on all patients."""
    full = on_all_patients(subject, r)
    return (
        None if full is None or r.refused is None else get_stated(full.estimates, r.refused.metric)
    )


def is_halved(subject: Subject, r: Reading) -> bool:
    """Whether the headline rests on a half of the patients, so that each one missing means two."""
    full = on_all_patients(subject, r)
    if full is None or r.finding is None:
        return False
    return _count_held_out(r.finding) < _count_held_out(full)


def _count_held_out(finding: Finding) -> int:
    return max((e.n.get("nonmember_patients", 0) for e in finding.estimates), default=0)


def get_failed_controls(audit: Audit, kind: str) -> list[tuple[Subject, Control]]:
    """Controls whose number is not the one that it must be, with the model they were run on.

    A null of a supplied split that reads a difference between the pools is none of them.
    """
    return [
        (s, c)
        for s in audit.subjects
        for c in s.controls
        if c.kind == kind and control_state(c) == "failed" and not is_drift(c)
    ]


def get_controls_not_made(audit: Audit) -> list[tuple[Subject, Control]]:
    """Controls that could not be made, which is not the same as having failed."""
    return [(s, c) for s in audit.subjects for c in s.controls if is_not_made(c)]


def is_not_made(c: Control) -> bool:
    """Whether the control could not be made."""
    return control_state(c) == "not made"


def get_cause(c: Control) -> Reason | None:
    """Why a control was not made: its own reason, else that of the number which it lacks."""
    return c.error or next((e.refusal for e in c.estimates if e.value is None), None)


def _get_strongest(subject: Subject) -> tuple[Finding | None, bool]:
    """The headline, or, where none was made, the attack that reads highest, seen afterwards."""
    if subject.headline is not None:
        return subject.headline, False
    known = [(f, get_stated(f.estimates, AUC)) for f in get_findings(subject, "membership")]
    areas = [(e.value or 0.0, f) for f, e in known if e is not None]
    return (max(areas, key=lambda entry: entry[0])[1], True) if areas else (None, False)


def read_membership(audit: Audit, subject: Subject) -> Reading:
    """The reading of one model. Never better than its controls and its size allow."""
    finding, afterwards = _get_strongest(subject)
    controls = subject.controls or tuple(c for s in audit.subjects for c in s.controls)
    borrowed = bool(controls) and not subject.controls
    if finding is None:
        found = has_learning(subject, audit) and not audit.data.distribution_shift
        return Reading("learnt" if found else "untested", borrowed=borrowed)
    wanted = get(finding.estimates, tpr_at(PRIMARY_FPR))
    coarse = get(finding.estimates, tpr_at(FALLBACK_FPR))
    rate = next((e for e in (wanted, coarse) if e is not None and e.value is not None), None)
    fpr = rate.metric.fpr if rate is not None else None
    auc = get_stated(finding.estimates, AUC)
    refused = wanted if wanted is not None and wanted.value is None else None
    return Reading(
        _get_state(audit, subject, controls, finding, rate, auc, refused),
        finding,
        rate,
        fpr,
        refused,
        auc,
        get_stated(finding.estimates, Metric("detectable_tpr", fpr=fpr)),
        borrowed,
        afterwards,
    )


def get_wrong_way(audit: Audit, subject: Subject) -> list[Caveat]:
    """Why members of this subject are read the wrong way round."""
    return [
        caveat
        for caveat in audit.caveats
        if caveat.code is CaveatCode.OUTCOMES_WRONG_WAY
        or (
            caveat.code is CaveatCode.AUC_BELOW_HALF
            and caveat.params.get("subject") == subject.name
        )
    ]


def _get_state(
    audit: Audit,
    subject: Subject,
    controls: tuple[Control, ...],
    finding: Finding,
    rate: Estimate | None,
    auc: Estimate | None,
    refused: Estimate | None,
) -> State:
    if get_failed_controls(audit, "negative"):
        return "invalid"
    own_null = [c for c in controls if c.kind == "negative" and c.attack == finding.attack]
    drifted = bool(audit.data.distribution_shift) or any(map(is_drift, own_null))
    found = exceeds_chance(rate) or exceeds_chance(auc)
    if finding.corrected and is_compared(audit, finding):
        numbers = [AUC, *([] if rate is None else [rate.metric])]
        if any(exceeds_null(finding, metric) for metric in numbers):
            return "detected"
        drifted |= found
    if drifted:
        return "shifted"
    if found and not finding.corrected and is_compared(audit, finding):
        return "unconfirmed"
    if found:
        # A find means little where nothing shows that the attack reads as chance without a leak.
        return "unconfirmed" if any(map(is_not_made, own_null)) else "detected"
    if get_wrong_way(audit, subject):
        return "reversed"
    if has_learning(subject, audit):
        return "learnt"
    if get_unconfirmed_attacks(subject, audit):
        return "unconfirmed"
    if refused is not None or rate is None:
        return "small"
    positive = [c for c in controls if c.kind == "positive"]
    own = [c for c in positive if c.attack == finding.attack] or positive
    sound = own and all(control_state(c) == "passed" for c in own)
    if not sound or any(map(is_not_made, own_null)):
        return "underpowered"
    return "stated" if audit.counted_by_sites else "undetected"


def rank_by_exposure(audit: Audit) -> list[int]:
    """Models by what they give away, most first; those without a membership result are left out.

    By the rate at 1 % where all that leak can state it, else by the AUC, which all can.
    """
    readings = [read_membership(audit, s) for s in audit.subjects]
    known = [i for i, r in enumerate(readings) if r.finding is not None]
    leaky = [r for r in readings if r.finding is not None and r.state == "detected"]
    rated = all(r.fpr == PRIMARY_FPR for r in leaky)
    first: dict[State, int] = {"invalid": 0, "detected": 0, "learnt": 0, "undetected": 2}

    def key(i: int) -> tuple[int, float, float, int]:
        r = readings[i]
        rate = r.rate.value if rated and r.rate is not None and r.fpr == PRIMARY_FPR else None
        area = r.auc.value if r.auc is not None else None
        return (first.get(r.state, 1), -(rate or 0.0), -(area or 0.0), i)

    return sorted(known, key=key)


def get_detailed(audit: Audit) -> list[int]:
    """The models with a drawing and a paragraph of their own, in the audit's order."""
    ranked = rank_by_exposure(audit)
    rest = [i for i in range(len(audit.subjects)) if i not in ranked]
    return sorted([*ranked, *rest][:MAX_DETAILED])
