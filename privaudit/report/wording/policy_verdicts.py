"""Rules of a policy in words: what they allow, what was measured, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from privaudit.report import numbers as n
from privaudit.report.blocks import Badge
from privaudit.report.judged import applies
from privaudit.report.wording.classes import name_family
from privaudit.report.wording.knowledge import name_attack
from privaudit.report.wording.metrics import name_group, name_metric, name_setting
from privaudit.report.wording.questions import VERDICTS
from privaudit.report.wording.verdicts import explain_policy_metric, word_finding
from privaudit.verdicts import State, Verdict

INTRO = (
    "One card for each rule. The two bounds are one-sided: the true value lies above the lower and "
    "below the upper one, each at the policy’s confidence level. EXCEEDS means that even the lower "
    "bound is above the limit; WITHIN, that even the upper bound is below it and the attack "
    "detected a planted leak; everything between is INCONCLUSIVE. For a rule with a minimum, FALLS "
    "SHORT replaces EXCEEDS. An epsilon that an attack proves has no upper bound: its limit is "
    "REFUTED, or NOT REFUTED, which does not show that it is kept."
)
NO_RULES = "The policy holds no rule, so there is nothing to decide."
CARD = {
    "limit": "Limit",
    "severity": "If exceeded, it",
    "count": "Verdicts",
    "attack": "Attack",
    "group": "Group",
}
VERDICT_COLUMNS = ("Measured", "Lower bound", "Upper bound", "By guessing", "Verdict")
FALLS_SHORT = Badge("✕ FALLS SHORT", "exceeds")
NOT_ABOUT = Badge("· DOES NOT APPLY", "untested")
TESTED_AND_LIMITED = "tested, and held against a limit"
RUN, EVERYONE = "the run", "everyone"
MAX_NAMED = 40
SEVERITY = {"block": "blocks the release", "warn": "is a warning"}

_RATES = ("tpr", "ppv", "rate")
_POINTS = (
    "advantage",
    "over_control",
    "over_guess",
    "singling_out",
    "linkability",
    "inference",
    "exact_copies",
    "near_copies",
)
_CLAIMED = ("epsilon.claimed", "epsilon.delta")


def name_measure(v: Verdict) -> str:
    """A rule's measure: the family of attacks and the number, at what it is read."""
    if v.kind == "coverage":
        return name_family(v.metric)
    family = v.metric[: v.metric.find(".")]
    title = "Differential privacy" if v.metric in _CLAIMED else name_family(family)
    if v.number is not None:
        return f"{title}: {name_metric(replace(v.number, at=None))}"
    return f"{title}: {explain_policy_metric(v.metric)}"


def word_deciding(v: Verdict) -> str:
    """What was found, with the release that it is about."""
    text = word_finding(v, name_attack)
    return f"{v.subject}: {text[:1].lower()}{text[1:]}" if v.subject else text


def get_badge(v: Verdict) -> Badge:
    """The state by shape, word and colour; a waiver is printed with it and never replaces it."""
    if not applies(v):
        return NOT_ABOUT
    badge = FALLS_SHORT if v.state == "EXCEEDS" and v.at_least else VERDICTS[v.state]
    if v.waiver is None:
        return badge
    return Badge(f"{badge.text} (waived until {v.waiver.expires})", badge.state)


def word_measured(v: Verdict, value: float | None) -> str:
    """A number of this rule in the unit that a reader counts in."""
    if value is None:
        return "no guarantee" if v.metric in _CLAIMED else "not stated"
    ending = v.metric[v.metric.rfind(".") + 1 :]
    if ending in _RATES and v.kind != "regression":
        base = n.base_of(v.fpr) if v.fpr is not None else 100
        return f"{n.beside(value * base, v.limit * base)}{n.NBSP}in{n.NBSP}{base:,}"
    if ending in _POINTS or ending in _RATES:
        return f"{n.beside(value * 100, v.limit * 100)}{n.NBSP}in{n.NBSP}100"
    return n.beside(value, v.limit)


def word_place(v: Verdict) -> str:
    """Which model and group a verdict is about."""
    parts = [v.subject or RUN]
    return ", ".join(parts if v.group is None else [*parts, name_group(v.group)])


def word_line(v: Verdict) -> str:
    """The same in a list of verdicts; against a baseline, with the attack, which has its own."""
    attack = word_attack(v) if v.kind == "regression" else ""
    return f"{word_place(v)}, {attack}" if attack else word_place(v)


def word_attack(v: Verdict) -> str:
    """Which attack and series a verdict is about."""
    parts = (name_attack(v.attack) if v.attack else "", name_setting(v.setting))
    return ", ".join(part for part in parts if part)


def word_decided(v: Verdict) -> str:
    """Which model decides, what was measured there, and by which attack."""
    if v.value is None and v.metric not in _CLAIMED:
        return word_line(v)
    by = f", by {name_attack(v.attack)}" if v.attack else ""
    return f"{word_place(v)}: {word_measured(v, v.value)}{by}"


def word_limit(v: Verdict) -> str:
    """What the rule allows."""
    if v.kind == "coverage":
        return TESTED_AND_LIMITED
    limit = word_measured(v, v.limit)
    if v.kind == "regression":
        return f"worse than the baseline by at most {limit}"
    return f"{'at least' if v.at_least else 'at most'} {limit}"


def count_states(counts: Mapping[State, int], minimum: bool) -> str:
    """minimum: the rule asks for at least so much."""
    names = {"EXCEEDS": "FALLS SHORT"} if minimum else {}
    parts = [f"{count} {names.get(state, state)}" for state, count in counts.items() if count]
    return ", ".join(parts) or "none"


def word_waiver(v: Verdict) -> str:
    """Who accepted an exceeded limit, until when and why."""
    assert v.waiver is not None
    return (
        f"Waiver for {word_place(v)}: until {v.waiver.expires}, approved by "
        f"{v.waiver.approved_by}, because: {v.waiver.reason.rstrip('.')}. The limit stays "
        "exceeded: a waiver does not lower the risk."
    )


def caption_verdicts(rule: str) -> str:
    """The caption of a rule's verdicts."""
    return f"{rule}: verdicts, the worst first"


def word_more(state: str, names: Sequence[str]) -> str:
    """The verdicts that no table holds."""
    where = ", in verdicts.json" if len(names) > MAX_NAMED else ""
    more = f"; and {len(names) - MAX_NAMED} more" if where else ""
    return f"{state} ({len(names)}): {'; '.join(names[:MAX_NAMED])}{more}{where}."


def word_severity(name: str, applicable: bool) -> str:
    """What follows where the rule is exceeded."""
    return SEVERITY[name] if applicable else "is about other kinds of release"
