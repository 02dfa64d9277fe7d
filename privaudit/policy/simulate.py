"""How often a policy would block a clean model, miss a leaking one, or be unable to say, on runs
of a given size. For its owner, before it is adopted.

Runs are drawn that are like a finished one in everything but their numbers: as many patients,
attempts, attacks, subjects and groups. Each is judged by the rule itself; where the policy compares
with a baseline, a baseline and a candidate's runs on the same seeds are drawn beside it, and the
gate is the whole gate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from privaudit.facts import Metric, note
from privaudit.policy.baseline import SEEDS
from privaudit.policy.change import FEWEST
from privaudit.policy.judge import judge, select_subjects
from privaudit.policy.rules import Policy, Regression
from privaudit.policy.simulate_draw import TWICE, Leak, draw, find_sizes, join, leak_of
from privaudit.policy.simulate_pairs import draw_pairs
from privaudit.results import Audit, Control, Estimate, Finding, Outcome, Subject
from privaudit.verdicts import STATES, Verdicts

PASSING = {
    "positive": Estimate(Metric("auc"), 0.9, 0.88, 0.92, 0.5),
    "negative": Estimate(Metric("auc"), 0.5, 0.48, 0.52, 0.5),
}
"""What controls read as that pass."""

CLEAN = Leak()

Progress = Callable[[float], None]
Kind = Literal["clean", "leaking"]


@dataclass(frozen=True)
class Rates:
    """Of the simulated runs, how many had each state; for the whole gate by exit code."""

    states: Mapping[str, int]
    runs: int

    def share(self, *states: str) -> float:
        return sum(self.states.get(state, 0) for state in states) / self.runs if self.runs else 0.0


@dataclass(frozen=True)
class Simulated:
    """What became of the clean and of the leaking models: the whole gate, and rule by rule.

    rules: each against clean models, and against models that leak `TWICE` what this rule allows
    (a regression: that are worse than the baseline by `TWICE` the margin). gate: against clean
    models, and models that leak what every rule is simulated with. leak: rule -> true value in its
    leaking models, of a regression the change. skipped: rules without a leaking model, which are
    read off, or read as in the run. pairs: runs of the baseline and of the candidate, 0 where no
    rule compares. open: classes of attack that this run leaves untested or the policy unlimited, so
    that no run passes.
    """

    runs: int
    patients: tuple[int, int]
    gate: Mapping[Kind, Rates]
    rules: Mapping[str, Mapping[Kind, Rates]]
    leak: Mapping[str, float]
    skipped: tuple[str, ...]
    pairs: int = 0
    open: tuple[str, ...] = ()


def simulate(
    policy: Policy,
    audit: Audit,
    *,
    runs: int = 100,
    rng: np.random.Generator,
    progress: Progress = lambda share: None,
    pairs: int = SEEDS,
) -> Simulated:
    """Judge `runs` clean models, as many leaking ones for each rule, and as many that leak all of
    it.

    Every control passes, and waivers are left out. pairs: runs of the baseline and of the candidate
    on the same seeds, where a rule compares them; as many as it asks for at least.
    """
    plain = replace(policy, waivers=())
    subjects = select_subjects(policy, audit)
    made = replace(
        audit, subjects=tuple(_sound(subject) for subject in subjects), untrained=(), caveats=()
    )
    leaks = {rule.id: leak_of(rule) for rule in policy.limits}
    known = {name: leak for name, leak in leaks.items() if leak is not None}
    worse = {rule.id: rule for rule in policy.regressions}
    least = max((rule.candidate_seeds for rule in policy.regressions), default=0)
    count = max(pairs, least, FEWEST) if policy.regressions else 0
    gate: dict[Kind, Counter[str]] = {"clean": Counter(), "leaking": Counter()}
    rules: dict[str, dict[Kind, Counter[str]]] = {
        rule.id: {"clean": Counter(), "leaking": Counter()} for rule in plain.rules
    }
    untested: dict[str, None] = {}

    def answer(run: Audit, leak: Leak, rule: Regression | None = None) -> Verdicts:
        if not count:
            return judge(plain, run, today=policy.review_by)
        held, first, others = draw_pairs(run, leak, count, rng, rule)
        return judge(plain, first, today=policy.review_by, baseline=held, candidates=others)

    def play(leak: Leak, clean: Audit | None) -> Audit:
        kept: Sequence[Subject | None] = (
            [None] * len(made.subjects) if clean is None else clean.subjects
        )
        both = zip(made.subjects, kept, strict=True)
        return replace(
            made, subjects=tuple(draw(one, plain, leak, rng, other) for one, other in both)
        )

    for done in range(runs):
        clean = play(CLEAN, None)
        found = answer(clean, CLEAN)
        gate["clean"][str(found.code)] += 1
        untested |= {v.metric: None for v in found.verdicts if v.kind == "coverage"}
        for name in rules:
            rules[name]["clean"][_state(found, plain, name)] += 1
        for name, leak in known.items():
            found = answer(play(leak, clean), leak)
            rules[name]["leaking"][_state(found, plain, name)] += 1
        for name, rule in worse.items():
            found = answer(clean, CLEAN, rule)
            rules[name]["leaking"][_state(found, plain, name)] += 1
        every = join(list(known.values()))
        found = answer(play(every, clean), every, next(iter(worse.values()), None))
        gate["leaking"][str(found.code)] += 1
        progress((done + 1) / runs)
    values = {name: leak.value for name, leak in known.items() if leak.value is not None}
    return Simulated(
        runs,
        find_sizes(subjects),
        {kind: Rates(count, runs) for kind, count in gate.items()},
        {
            name: {kind: Rates(count, runs) for kind, count in found.items()}
            for name, found in rules.items()
        },
        values | {name: TWICE * rule.margin for name, rule in worse.items()},
        tuple(name for name in rules if name not in known and name not in worse),
        count,
        tuple(untested),
    )


def _state(found: Verdicts, policy: Policy, name: str) -> str:
    """The state of one rule: the worst of its verdicts that count as the rule does."""
    severity = next(rule.severity for rule in policy.rules if rule.id == name)
    states = {v.state for v in found.verdicts if v.rule == name and v.severity == severity}
    tried = [state for state in STATES if state != "NOT TESTED"]
    return next((state for state in tried if state in states), "NOT TESTED")


def _sound(subject: Subject) -> Subject:
    """The subject with passing controls, and without failed attacks and broken guarantees."""
    outcomes: list[Outcome] = []
    for one in subject.outcomes:
        if isinstance(one, Finding):
            outcomes.append(replace(one, caveats=(), curves=()))
        elif one.kind == "skipped":
            outcomes.append(one)
    kinds: tuple[Literal["positive", "negative"], ...] = ("positive", "negative")
    controls = [
        Control(kind, one.attack, (PASSING[kind],), True, note("simulated"))
        for one in outcomes
        if isinstance(one, Finding)
        for kind in kinds
        if one.family == "membership" or any(c.attack == one.attack for c in subject.controls)
    ]
    return replace(subject, outcomes=tuple(outcomes), controls=tuple(controls))


__all__ = ["PASSING", "Kind", "Rates", "Simulated", "simulate"]
