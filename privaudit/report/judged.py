"""What verdicts amount to, before a word is chosen: which one decides, and the state of each
rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from privaudit.facts import ReasonCode
from privaudit.verdicts import (
    BROKEN,
    OF_WHOLE,
    STATES,
    State,
    Verdict,
    Verdicts,
)


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
    """Whether the rule is about this release at all."""
    return not (v.state == "NOT TESTED" and v.reason.code is ReasonCode.NOT_APPLICABLE)


def is_rule(v: Verdict) -> bool:
    """Whether it applies a rule of the policy, and does not state a class that no rule tested."""
    return v.kind != "coverage"


def measure_closeness(v: Verdict) -> float:
    """How near a verdict is to its limit, or how far beyond; larger is worse."""
    bound = v.value if v.state in BROKEN else v.lower if v.at_least else v.upper
    if bound is None:
        bound = v.value
    if bound is None:
        return float("-inf")
    return v.limit - bound if v.at_least else bound - v.limit


def sort_worst_first(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Verdicts by state, those under a waiver after the others, then by nearness to the limit."""

    def key(v: Verdict) -> tuple[bool, int, bool, float, str, str]:
        waived = v.waiver is not None
        name = "" if v.group is None else f"{v.group.by} {v.group.level}"
        return (
            not applies(v),
            STATES.index(v.state),
            waived,
            -measure_closeness(v),
            v.subject,
            name,
        )

    return tuple(sorted(verdicts, key=key))


def group_by_rule(verdicts: Verdicts) -> tuple[Rule, ...]:
    """The policy's rules: blocking ones first, within them the worst."""
    named: dict[str, list[Verdict]] = {}
    for v in verdicts.verdicts:
        named.setdefault(v.rule, []).append(v)
    found = []
    for name, under in named.items():
        ordered = sort_worst_first(under)
        severity = "block" if any(v.severity == "block" for v in under) else "warn"
        found.append(Rule(name, ordered[0].state, severity, ordered))

    def key(r: Rule) -> tuple[bool, bool, int]:
        return (not r.applies, r.severity != "block", STATES.index(r.state))

    return tuple(sorted(found, key=key))


def decides(v: Verdict, verdicts: Verdicts) -> bool:
    """Whether the whole has its state by verdicts of this one's."""
    return OF_WHOLE.get(v.state, v.state) == verdicts.state


def get_decisive(verdicts: Verdicts) -> Verdict | None:
    """The verdict that the whole rests on: blocking before warning, in the overall state, the
    worst."""
    ordered = sorted(
        sort_worst_first(verdicts.verdicts),
        key=lambda v: (not decides(v, verdicts), v.severity != "block", v.waiver is not None),
    )
    risks = [v for v in ordered if v.kind == "limit" and decides(v, verdicts)]
    if verdicts.state == "WITHIN" and risks:
        return risks[0]
    return ordered[0] if ordered else None


AUDIT_FAILED = 5
"""The exit code of an audit that failed: nothing is within a limit there, whatever its numbers."""


@dataclass(frozen=True)
class Standing:
    """How releases stand to the rules that can stop one, each under the worst that holds of it.

    exceeding: exceeds one, waived or not; within: within all that apply; undecided: one could not
    be decided, or none was tested; unjudged: no rule of the policy names it.
    """

    exceeding: tuple[str, ...]
    within: tuple[str, ...]
    undecided: tuple[str, ...]
    unjudged: tuple[str, ...]


def get_standing(verdicts: Verdicts, names: Sequence[str]) -> Standing:
    """The state of each release of the run, in the run's order."""
    found: dict[str, list[str]] = {"exceeding": [], "within": [], "undecided": [], "unjudged": []}
    judged = {v.subject for v in verdicts.verdicts}
    for name in names:
        states = {
            v.state
            for v in verdicts.verdicts
            if v.subject == name and v.severity == "block" and applies(v)
        }
        if name not in judged:
            found["unjudged"].append(name)
        elif states & BROKEN:
            found["exceeding"].append(name)
        elif (
            states - {"NOT REFUTED"} == {"WITHIN"}
            and name not in verdicts.unshown
            and verdicts.code != AUDIT_FAILED
        ):
            found["within"].append(name)
        else:
            found["undecided"].append(name)
    return Standing(**{state: tuple(who) for state, who in found.items()})


def count_broken(verdicts: Verdicts) -> tuple[int, int]:
    """Of the blocking rules that apply to a release here: how many are exceeded, of how many."""
    under = [
        [v.state for v in rule.verdicts if v.severity == "block" and applies(v) and is_rule(v)]
        for rule in group_by_rule(verdicts)
    ]
    known = [states for states in under if states]
    return sum(not BROKEN.isdisjoint(states) for states in known), len(known)
