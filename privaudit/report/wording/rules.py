"""Rules of a policy in words: what they allow, what was measured, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from privaudit.report import numbers as n
from privaudit.report.blocks import Badge
from privaudit.report.notes import label
from privaudit.report.wording.officer import SEVERITY, VERDICTS, labelled, where
from privaudit.report.wording.words import capital
from privaudit.verdicts import State, Verdict, Waiver

RULES = (
    "One card a rule. The two bounds are one-sided: the true value lies above the lower and below the "
    "upper one, each with the policy’s confidence. EXCEEDS means that even the lower bound is beyond "
    "the limit; WITHIN, that even the upper bound is inside it and the attack found a leak planted "
    "on purpose; everything between is INCONCLUSIVE. Where a rule asks for at least so much, FALLS "
    "SHORT stands for EXCEEDS."
)
NO_RULES = "The policy holds no rule, so there is nothing to judge."
CARD = {
    "limit": "Allows",
    "severity": "If broken, it",
    "count": "Verdicts",
    "attack": "Attack",
    "group": "Group",
}
VERDICT_COLUMNS = ("Measured", "Lower bound", "Upper bound", "By guessing", "Verdict")
FALLS_SHORT = Badge("✕ FALLS SHORT", "exceeds")
NOT_ABOUT = Badge("· DOES NOT APPLY", "untested")
NAMED = 40
RUN, EVERYONE = "the run", "everyone"

_RATES = ("tpr", "ppv", "rate")
_POINTS = (
    "advantage", "over_control", "over_guess", "singling_out", "linkability", "inference",
    "exact_copies", "near_copies",
)  # fmt: skip

_PROMISED = ("epsilon.claimed", "epsilon.delta")

_METRICS = {
    "membership.tpr": "training patients recognised",
    "membership.auc": "AUC of membership attacks",
    "membership.ppv": "share of namings that are right",
    "attribute.rate": "hidden values guessed rightly",
    "attribute.advantage": "hidden values guessed, more than without the model",
    "reconstruction.rate": "records rebuilt",
    "reconstruction.advantage": "records rebuilt, more than without the release",
    "evasion.rate": "answers turned by small changes",
    "evasion.advantage": "answers turned, more than by random changes",
    "poisoning.rate": "answers spoilt by a malicious hospital",
    "poisoning.advantage": "answers spoilt, more than without a malicious hospital",
    "synthetic.singling_out": "patients singled out in the synthetic table, more than the control",
    "synthetic.linkability": "records linked by the synthetic table, more than the control",
    "synthetic.inference": "values inferred from the synthetic table, more than the control",
    "synthetic.exact_copies": "records copied word for word, more than of other patients",
    "synthetic.near_copies": "records copied but for a few cells, more than of other patients",
    "synthetic.rate": "attempts on the synthetic table that succeed",
    "synthetic.advantage": "attempts on the synthetic table that succeed, more than the control",
    "fidelity.prevalence_gap": "share of the outcome, synthetic less real",
    "fidelity.column_distance": "columns apart from the real ones",
    "fidelity.association_error": "relations between columns off",
    "fidelity.association_error_outcome": "relations with the outcome off",
    "fidelity.detection_auc": "synthetic rows told from real ones (AUC)",
    "fidelity.auroc_loss": "AUROC lost by learning from the synthetic table",
    "fidelity.auroc_synthetic": "AUROC of what learns from the synthetic table",
    "utility.auprc": "usefulness (AUPRC)",
    "utility.log_loss": "log loss",
    "utility.calibration_intercept": "calibration intercept",
    "epsilon.claimed": "promised epsilon",
    "epsilon.delta": "promised delta",
    "epsilon.lower_bound": "epsilon at least, as attacks show it",
    "utility.auroc": "usefulness (AUROC)",
    "utility.brier": "Brier score",
    "utility.calibration_slope": "calibration slope",
}


def metric(v: Verdict) -> str:
    """A rule's measure in words."""
    text = _METRICS.get(v.metric) or v.metric.replace("_", " ").replace(".", ": ")
    return f"{text} at {n.one_in(v.fpr)} false alarms" if v.fpr is not None else text


def verdict_badge(v: Verdict) -> Badge:
    """The state by shape and word, with its waiver: too little of what is asked for is no excess."""
    badge = FALLS_SHORT if v.state == "EXCEEDS" and floor(v) else VERDICTS[v.state]
    return badge if v.waiver is None else waived_badge(badge, v.waiver)


def floor(v: Verdict) -> bool:
    """Whether the rule asks for at least so much; a judge says so where a guard is a ceiling."""
    return v.kind == "guard" and "asks for at most " not in v.sentence


def measured(v: Verdict, value: float | None) -> str:
    """A number of this rule in the unit that a reader counts in."""
    if value is None:
        return "nothing promised" if v.metric in _PROMISED else "not stated"
    what = v.metric.rpartition(".")[2]
    if what in _RATES and v.kind != "regression":
        base = n.base_of(v.fpr) if v.fpr is not None else 100
        return f"{n.significant(value * base)}{n.NBSP}in{n.NBSP}{base:,}"
    if what in _POINTS or what in _RATES:
        return f"{n.significant(value * 100)}{n.NBSP}in{n.NBSP}100"
    return n.significant(value)


def decided(v: Verdict) -> str:
    """Which model decides, what was measured there, and by which attack."""
    if v.value is None and v.metric not in _PROMISED:
        return where(v)
    by = f", by {label(v.attack)}" if v.attack else ""
    return f"{where(v)}: {measured(v, v.value)}{by}"


def limit(v: Verdict) -> str:
    """What the rule allows."""
    word = "worse than before by at most" if v.kind == "regression" else "at most"
    word = "at least" if floor(v) else word
    return f"{word} {measured(v, v.limit)}"


def counts(states: Mapping[State, int], asks: bool = False) -> str:
    """asks: the rule asks for at least so much."""
    short = {"EXCEEDS": "FALLS SHORT"} if asks else {}
    told = [f"{count} {short.get(state, state)}" for state, count in states.items() if count]
    return ", ".join(told) or "none"


def because(v: Verdict) -> str:
    """Why this state, and what would change it."""
    reason = f"Why: {labelled(v.reason).rstrip('.')}." if v.reason else ""
    remedy = f" What would change this: {v.remedy.rstrip('.')}." if v.remedy else ""
    return (reason + remedy).strip()


def waiver_of(model: str, group: str, w: Waiver) -> str:
    about = ", ".join(part for part in (model or RUN, group) if part)
    return (
        f"Waiver for {about}: until {w.expires}, answered for by {w.approved_by}, because: "
        f"{w.reason.rstrip('.')}. The limit stays exceeded; somebody has taken that upon themselves."
    )


def waived_badge(badge: Badge, w: Waiver) -> Badge:
    return Badge(f"{badge.text} (waived until {w.expires})", badge.state)


def verdicts_caption(rule: str) -> str:
    return f"{capital(rule)}: verdicts, the worst first"


def more_verdicts(state: str, names: Sequence[str]) -> str:
    """The verdicts that no table holds."""
    told = "; ".join(names[:NAMED])
    rest = f"; and {len(names) - NAMED} more, in verdicts.json" if len(names) > NAMED else ""
    return f"{state} ({len(names)}): {told}{rest}."


def severity(name: str, applies: bool) -> str:
    return SEVERITY[name] if applies else "is about other kinds of release"
