"""What verdicts amount to, before a word is chosen: which one decides, and how rules stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from privaudit.verdicts import State, Verdict, Verdicts

ORDER: tuple[State, ...] = ("EXCEEDS", "INCONCLUSIVE", "NOT TESTED", "WITHIN")


@dataclass(frozen=True)
class Rule:
    """One rule of the policy with every verdict under it, the one that decides first."""

    name: str
    state: State
    severity: str
    verdicts: tuple[Verdict, ...]

    @property
    def first(self) -> Verdict:
        return self.verdicts[0]

    @property
    def applies(self) -> bool:
        """Whether it is about any release of this run."""
        return applies(self.first)

    def count(self, state: State) -> int:
        return sum(v.state == state and applies(v) for v in self.verdicts)


def applies(v: Verdict) -> bool:
    """Whether the rule is about this release at all: a judge says so where it is not."""
    return not (v.state == "NOT TESTED" and v.reason.startswith("Does not apply"))


def closeness(v: Verdict) -> float:
    """How near a verdict is to its limit, or how far beyond; larger is worse."""
    bound = v.value if v.state == "EXCEEDS" else v.lower if v.kind == "guard" else v.upper
    if bound is None:
        bound = v.value
    if bound is None:
        return float("-inf")
    return v.limit - bound if v.kind == "guard" else bound - v.limit


def worst_first(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Verdicts by state, those under a waiver after the others, then by nearness to the limit."""

    def key(v: Verdict) -> tuple[bool, int, bool, float, str, str]:
        waived = v.waiver is not None
        return (not applies(v), ORDER.index(v.state), waived, -closeness(v), v.subject, v.group)

    return tuple(sorted(verdicts, key=key))


def rules(verdicts: Verdicts) -> tuple[Rule, ...]:
    """The policy's rules: blocking ones first, within them those that stand worst."""
    named: dict[str, list[Verdict]] = {}
    for v in verdicts.verdicts:
        named.setdefault(v.rule, []).append(v)
    found = []
    for name, under in named.items():
        ordered = worst_first(under)
        severity = "block" if any(v.severity == "block" for v in under) else "warn"
        found.append(Rule(name, ordered[0].state, severity, ordered))

    def key(r: Rule) -> tuple[bool, bool, int]:
        return (not r.applies, r.severity != "block", ORDER.index(r.state))

    return tuple(sorted(found, key=key))


def decisive(verdicts: Verdicts) -> Verdict | None:
    """The verdict that the whole rests on: blocking before warning, in the overall state, the worst."""
    ordered = sorted(
        worst_first(verdicts.verdicts),
        key=lambda v: (v.state != verdicts.state, v.severity != "block", v.waiver is not None),
    )
    risks = [v for v in ordered if v.kind == "limit" and v.state == verdicts.state]
    if verdicts.state == "WITHIN" and risks:
        return risks[0]
    return ordered[0] if ordered else None


FAILED = 5
"""The exit code of an audit that failed: nothing is kept there, whatever its numbers."""


@dataclass(frozen=True)
class Standing:
    """How releases stand to the rules that can stop one, each under the worst that holds of it.

    broken: breaks one, waived or not; kept: within all that apply; undecided: one could not be decided,
    or none was tested; unjudged: the policy does not speak of it.
    """

    broken: tuple[str, ...]
    kept: tuple[str, ...]
    undecided: tuple[str, ...]
    unjudged: tuple[str, ...]


def standing(verdicts: Verdicts, names: Sequence[str]) -> Standing:
    """Where each release of the run stands, in the run's order."""
    found: dict[str, list[str]] = {"broken": [], "kept": [], "undecided": [], "unjudged": []}
    judged = {v.subject for v in verdicts.verdicts}
    for name in names:
        states = {
            v.state
            for v in verdicts.verdicts
            if v.subject == name and v.severity == "block" and applies(v)
        }
        if name not in judged:
            found["unjudged"].append(name)
        elif "EXCEEDS" in states:
            found["broken"].append(name)
        elif states == {"WITHIN"} and verdicts.code != FAILED:
            found["kept"].append(name)
        else:
            found["undecided"].append(name)
    return Standing(**{state: tuple(who) for state, who in found.items()})


def stopping(verdicts: Verdicts) -> tuple[int, int]:
    """Of the rules that can stop a release and apply to one here: how many are broken, and how many
    there are."""
    under = [
        [v.state for v in rule.verdicts if v.severity == "block" and applies(v)]
        for rule in rules(verdicts)
    ]
    known = [states for states in under if states]
    return sum("EXCEEDS" in states for states in known), len(known)


__all__ = [
    "FAILED",
    "ORDER",
    "Rule",
    "Standing",
    "applies",
    "closeness",
    "decisive",
    "rules",
    "standing",
    "stopping",
    "worst_first",
]
