"""How often a policy would block a clean model, miss a leaking one, or be unable to say, on runs
of a given size. For its owner, before it is adopted.

Runs are drawn that are like a finished one in everything but their numbers: as many patients,
attempts, attacks, subjects and groups. Each is judged by the rule itself.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from privaudit.facts import Metric, note
from privaudit.policy.judge import judge, select_subjects
from privaudit.policy.metrics import METRICS, TRIED
from privaudit.policy.rules import Limit, Policy
from privaudit.results import Audit, Control, Estimate, Finding, GroupResult, Outcome, Subject
from privaudit.stats import onesided
from privaudit.stats.auc import area as area_of
from privaudit.stats.catalogue import CATALOGUE, PPV_FPR
from privaudit.stats.membership import ppv
from privaudit.stats.rates import wilson

SHARED = 0.8
"""Correlation between the scores of two membership attacks on one patient, about what attacks on
the same answers have."""

TWICE = 2.0
"""A leaking model is this many times as far above chance as the limit allows."""

RESAMPLED = ("evasion", "poisoning", "epsilon")
"""Families without a state called clean: they read as in the run, with chance of its own."""

PASSING = {
    "positive": Estimate(Metric("auc"), 0.9, 0.88, 0.92, 0.5),
    "negative": Estimate(Metric("auc"), 0.5, 0.48, 0.52, 0.5),
}
"""What controls read as that pass."""

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

    leak: rule -> true value in the leaking models; skipped: rules that were not simulated; open:
    classes of attack that this run leaves untested or the policy unlimited, so that no run passes.
    """

    runs: int
    patients: tuple[int, int]
    gate: Mapping[Kind, Rates]
    rules: Mapping[str, Mapping[Kind, Rates]]
    leak: Mapping[str, float]
    skipped: tuple[str, ...]
    open: tuple[str, ...] = ()


def simulate(
    policy: Policy,
    audit: Audit,
    *,
    runs: int = 100,
    rng: np.random.Generator,
    progress: Progress = lambda share: None,
) -> Simulated:
    """Judge `runs` clean and as many leaking runs of this audit's sizes.

    Membership scores are normal, `SHARED` correlated between attacks, one record a patient; the
    AUC has the interval of an audit, rates at few false alarms that of its normal approximation.
    Attempts are independent. A leaking model is `TWICE` as far above chance as the limit in
    question. Every control passes. Regressions and waivers are left out.
    """
    plain = replace(policy, regressions=(), waivers=())
    subjects = select_subjects(policy, audit)
    made = replace(
        audit, subjects=tuple(_sound(subject) for subject in subjects), untrained=(), caveats=()
    )
    day = policy.review_by
    shifts = {rule.id: _shift(rule, subjects) for rule in policy.limits}
    strongest = max((s for s, _ in shifts.values() if s is not None), default=0.0)
    gate: dict[Kind, Counter[str]] = {"clean": Counter(), "leaking": Counter()}
    rules: dict[str, dict[Kind, Counter[str]]] = {
        rule.id: {"clean": Counter(), "leaking": Counter()} for rule in plain.rules
    }
    untested: dict[str, None] = {}
    done = 0
    for _ in range(runs):
        for kind in ("clean", "leaking"):
            shift = strongest if kind == "leaking" else 0.0
            drawn = replace(
                made, subjects=tuple(_draw(s, plain, shift, kind, rng) for s in made.subjects)
            )
            found = judge(plain, drawn, today=day)
            gate[kind][str(found.code)] += 1
            untested |= {v.metric: None for v in found.verdicts if v.kind == "coverage"}
            for rule in plain.rules:
                own = [
                    v for v in found.verdicts if v.rule == rule.id and v.severity == rule.severity
                ]
                rules[rule.id][kind][_worst([v.state for v in own])] += 1
            done += 1
            progress(done / (2 * runs))
    return Simulated(
        runs,
        _sizes(subjects),
        {kind: Rates(count, runs) for kind, count in gate.items()},
        {
            name: {kind: Rates(count, runs) for kind, count in found.items()}
            for name, found in rules.items()
        },
        {name: value for name, (_, value) in shifts.items() if value is not None},
        tuple(rule.id for rule in policy.regressions),
        tuple(untested),
    )


def _worst(states: Sequence[str]) -> str:
    order = ("EXCEEDS", "INCONCLUSIVE", "WITHIN", "NOT TESTED")
    return next((state for state in order if state in states), "NOT TESTED")


def _sizes(subjects: Sequence[Subject]) -> tuple[int, int]:
    found = [e.n for s in subjects for f in _membership(s) for e in f.estimates]
    return (
        max((n.get("member_patients", 0) for n in found), default=0),
        max((n.get("nonmember_patients", 0) for n in found), default=0),
    )


def _membership(subject: Subject) -> list[Finding]:
    return [o for o in subject.outcomes if isinstance(o, Finding) and o.family == "membership"]


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


def _shift(rule: Limit, subjects: Sequence[Subject]) -> tuple[float | None, float | None]:
    """The distance between members' and others' scores that makes a model leak TWICE what a rule
    allows, and the value that its metric then has."""
    from scipy.special import ndtri

    known = METRICS[rule.metric]
    if known.name == "membership.auc":
        value = min(0.999, 0.5 + TWICE * max(rule.max - 0.5, 0.005))
        return float(ndtri(value)) * math.sqrt(2), value
    if known.name == "membership.tpr":
        assert rule.fpr is not None
        value = min(0.999, rule.fpr + TWICE * max(rule.max - rule.fpr, 0.1 * rule.fpr))
        return float(ndtri(value) - ndtri(rule.fpr)), value
    if known.name == "membership.ppv":
        assert rule.prior is not None
        value = min(0.99, rule.prior + TWICE * max(rule.max - rule.prior, 0.1 * rule.prior))
        rate = min(0.999, value / (1 - value) * (1 - rule.prior) / rule.prior * PPV_FPR)
        return float(ndtri(rate) - ndtri(PPV_FPR)), value
    if known.family in TRIED and known.family not in RESAMPLED:
        return None, TWICE * rule.max
    return None, None


def _draw(
    subject: Subject, policy: Policy, shift: float, kind: Kind, rng: np.random.Generator
) -> Subject:
    """The subject with new numbers."""
    members = _membership(subject)
    sizes = _sizes([subject])
    drawn: dict[str, Finding] = {}
    if members and min(sizes) >= 2:
        common = rng.normal(size=sum(sizes))
        for finding in members:
            own = rng.normal(size=sum(sizes))
            scores = math.sqrt(SHARED) * common + math.sqrt(1 - SHARED) * own
            scores[: sizes[0]] += shift
            drawn[finding.attack] = _played(finding, scores, sizes, policy)
    outcomes: list[Outcome] = []
    for one in subject.outcomes:
        if not isinstance(one, Finding):
            outcomes.append(one)
        elif one.family == "membership":
            outcomes.append(drawn.get(one.attack, one))
        elif one.family in RESAMPLED:
            outcomes.append(replace(one, estimates=_noisy(one.estimates, rng)))
        else:
            outcomes.append(_tried(one, policy, kind, rng))
    fidelity = subject.fidelity
    if fidelity is not None:
        fidelity = replace(fidelity, estimates=_noisy(fidelity.estimates, rng))
    return replace(
        subject, outcomes=tuple(outcomes), utility=_noisy(subject.utility, rng), fidelity=fidelity
    )


def _played(
    finding: Finding, scores: np.ndarray, sizes: tuple[int, int], policy: Policy
) -> Finding:
    """A membership finding of these scores, for the metrics that the policy limits."""
    asked = _metrics(policy)
    ones, zeros = scores[: sizes[0]], scores[sizes[0] :]
    estimates = [
        _number(e, ones, zeros, zeros) if e.value is not None else e
        for e in finding.estimates
        if e.metric in asked
    ]
    groups = []
    for by in sorted({by for rule in policy.limits for by in rule.by}):
        at = [0, 0]
        for group in finding.groups:
            if group.by != by:
                continue
            counts = _group_sizes(group)
            if group.suppressed or counts is None:
                groups.append(group)
                continue
            a, b = (
                part[start : start + count]
                for part, start, count in zip((ones, zeros), at, counts, strict=True)
            )
            at = [start + count for start, count in zip(at, counts, strict=True)]
            redrawn = tuple(
                _number(e, a, b, zeros) if e.value is not None else e
                for e in group.estimates
                if e.metric in asked
            )
            groups.append(replace(group, estimates=redrawn))
    # A null without drift leaves the numbers as they are.
    corrected = tuple(estimates) if finding.corrected else ()
    return replace(
        finding, estimates=tuple(estimates), groups=tuple(groups), null=(), corrected=corrected
    )


def _metrics(policy: Policy) -> set[Metric]:
    """The audit's numbers of membership that the policy limits."""
    return {
        number
        for rule in policy.limits
        if METRICS[rule.metric].family == "membership"
        for number in METRICS[rule.metric].numbers(rule.fpr, rule.prior)
    }


def _group_sizes(group: GroupResult) -> tuple[int, int] | None:
    for e in group.estimates:
        if "member_patients" in e.n and "nonmember_patients" in e.n:
            return e.n["member_patients"], e.n["nonmember_patients"]
    return None


def _number(e: Estimate, ones: np.ndarray, zeros: np.ndarray, everyone: np.ndarray) -> Estimate:
    """The estimate anew. everyone: the non-members that set the threshold."""
    if min(len(ones), len(zeros)) < 2:
        return e
    if e.metric.name == "auc":
        ids = np.arange(len(ones) + len(zeros))
        found = area_of(ones, zeros, ids[: len(ones)], ids[len(ones) :])
        low, high, _ = found.interval(e.confidence)
        return replace(e, value=found.value, low=low, high=high)
    prior, fpr = e.metric.prior, e.metric.fpr
    if prior is not None:
        value, low, high = (ppv(x, PPV_FPR, prior) for x in _rate(PPV_FPR, ones, everyone, e))
        return replace(e, value=value, low=low, high=high)
    assert fpr is not None
    value, low, high = _rate(fpr, ones, everyone, e)
    chance = e.chance if zeros is everyone else float((zeros > _cut(fpr, everyone)).mean())
    return replace(e, value=value, low=low, high=high, chance=chance)


def _cut(fpr: float, zeros: np.ndarray) -> float:
    named = max(1, int(fpr * len(zeros)))
    return float(np.partition(zeros, -named - 1)[-named - 1] if named < len(zeros) else zeros.min())


def _rate(
    fpr: float, ones: np.ndarray, zeros: np.ndarray, e: Estimate
) -> tuple[float, float, float]:
    """The share of `ones` above the threshold, with the interval that its normal approximation has.

    The error is that of an estimated threshold between two normal distributions of equal spread,
    as in `privaudit.stats.thresholds.detectable`, on the logit scale, joined with Wilson's
    interval.
    """
    from scipy.special import expit, logit, ndtri

    from privaudit.stats.rates import quantile

    share = float((ones > _cut(fpr, zeros)).mean())
    low, high = wilson(share, len(ones), e.confidence)
    if not 0 < share < 1:
        return share, low, high
    edge = float(ndtri(fpr))
    slope = math.exp((edge**2 - float(ndtri(share)) ** 2) / 2)
    error = math.sqrt(share * (1 - share) / len(ones) + slope**2 * fpr * (1 - fpr) / len(zeros))
    half = quantile(e.confidence) * error / (share * (1 - share))
    centre = float(logit(share))
    return (share, min(low, float(expit(centre - half))), max(high, float(expit(centre + half))))


def _tried(finding: Finding, policy: Policy, kind: Kind, rng: np.random.Generator) -> Finding:
    """Attempts anew, with intervals as wide as the run's: no better than chance (clean), or better
    by TWICE what a rule allows."""
    most = [
        rule.max
        for rule in policy.limits
        if METRICS[rule.metric].family == finding.family
        and METRICS[rule.metric].estimates != ("attack_rate",)
        and finding.attack in (METRICS[rule.metric].attacks or (finding.attack,))
    ]
    gain = TWICE * max(most, default=0.0) if kind == "leaking" else 0.0
    made = []
    for e in finding.estimates:
        if e.value is None or e.low is None or e.high is None:
            made.append(e)
            continue
        difference = CATALOGUE[e.metric.name] == "difference"
        if difference:
            truth = gain
        elif e.metric.name == "attack_rate":
            truth = min(1.0, (e.value if e.chance is None else e.chance) + gain)
        else:
            truth = e.value
        down, up = e.value - e.low, e.high - e.value
        error = rng.normal() / 1.96
        value = truth + error * (up if error < 0 else down)
        least = -1.0 if difference else 0.0
        value, low, high = (min(1.0, max(least, x)) for x in (value, value - down, value + up))
        made.append(replace(e, value=value, low=low, high=high))
    return replace(finding, estimates=tuple(made))


def _noisy(estimates: Sequence[Estimate], rng: np.random.Generator) -> tuple[Estimate, ...]:
    """Each number at a random place within the spread that its interval speaks of, which moves
    along."""
    made = []
    for e in estimates:
        known = onesided.bounds(e)
        if known is None or onesided.proof(e) or e.low is None or e.high is None:
            made.append(e)
            continue
        level = float(rng.uniform(0.001, 0.999))
        value = known.upper(1 - level) if level > 0.5 else known.lower(level)
        value = e.value if value is None else value
        assert value is not None
        assert e.value is not None
        ends = (e.low + value - e.value, e.high + value - e.value)
        if min(e.low, e.value) >= 0 and e.high <= 1:
            ends = max(0.0, ends[0]), min(1.0, ends[1])
        made.append(replace(e, value=value, low=ends[0], high=ends[1]))
    return tuple(made)
