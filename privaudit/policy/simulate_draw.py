"""Numbers of a run drawn anew: of a model that leaks nothing, or as much as is asked for.

Membership scores are normal, `SHARED` correlated between attacks, one record a patient; the AUC has
the interval of an audit, rates at few false alarms that of its normal approximation. Attempts are
independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from privaudit.facts import Metric
from privaudit.policy.metrics import COPIES, METRICS, TRIED
from privaudit.policy.rules import Limit, Policy, Regression
from privaudit.results import Estimate, Finding, GroupResult, Outcome, Subject
from privaudit.stats import onesided
from privaudit.stats.auc import area as area_of
from privaudit.stats.catalogue import CATALOGUE, PATIENTS, PPV_FPR
from privaudit.stats.membership import ppv
from privaudit.stats.patient_risk import AT_RISK, draw_at_risk
from privaudit.stats.rates import wilson

SHARED = 0.8
"""Correlation between the scores of two membership attacks on one patient, about what attacks on
the same answers have."""

TWICE = 2.0
"""A leaking model is this many times as far above chance as the limit allows."""

RESAMPLED = ("evasion", "poisoning", "epsilon")
"""Families without a state called clean: they read as in the run, with chance of its own."""


@dataclass(frozen=True)
class Tried:
    """Attempts that succeed more often than a rule allows. most: its limit; is_rate: of the rate
    itself, and not of the advantage."""

    family: str
    attacks: tuple[str, ...]
    most: float
    is_rate: bool = False

    def gain(self, chance: float) -> float:
        """How much more often they succeed than by chance."""
        return TWICE * (max(self.most - chance, 0.005) if self.is_rate else self.most)


@dataclass(frozen=True)
class Leak:
    """What a model gives away. shift: the distance between members' and others' membership scores;
    tried, copies: attempts that succeed, and copies in a table, by the estimate's name; value: what
    the rule's own number then is."""

    shift: float = 0.0
    tried: tuple[Tried, ...] = ()
    copies: tuple[tuple[str, float], ...] = ()
    value: float | None = None


def leak_of(rule: Limit) -> Leak | None:
    """A model that leaks `TWICE` what a limit allows; None where no such model is defined: a claim
    is read off, and what an attack proves of epsilon follows from guesses that are not drawn."""
    from scipy.special import ndtri

    known = METRICS[rule.metric]
    if known.name == "membership.auc":
        value = min(0.999, 0.5 + TWICE * max(rule.max - 0.5, 0.005))
        return Leak(float(ndtri(value)) * math.sqrt(2), value=value)
    if known.name == "membership.tpr":
        assert rule.fpr is not None
        value = min(0.999, rule.fpr + TWICE * max(rule.max - rule.fpr, 0.1 * rule.fpr))
        return Leak(float(ndtri(value) - ndtri(rule.fpr)), value=value)
    if known.name == "membership.ppv":
        assert rule.prior is not None
        value = min(0.99, rule.prior + TWICE * max(rule.max - rule.prior, 0.1 * rule.prior))
        rate = min(0.999, value / (1 - value) * (1 - rule.prior) / rule.prior * PPV_FPR)
        return Leak(float(ndtri(rate) - ndtri(PPV_FPR)), value=value)
    if known.name in COPIES:
        return Leak(copies=((COPIES[known.name], TWICE * rule.max),), value=TWICE * rule.max)
    if known.family in TRIED:
        is_rate = known.estimates == ("attack_rate",)
        made = Tried(known.family, known.attacks, rule.max, is_rate)
        return Leak(tried=(made,), value=None if is_rate else TWICE * rule.max)
    return None


def join(leaks: Sequence[Leak]) -> Leak:
    """A model that leaks all of it."""
    return Leak(
        max((one.shift for one in leaks), default=0.0),
        tuple(part for one in leaks for part in one.tried),
        tuple(part for one in leaks for part in one.copies),
    )


def truth(family: str, attack: str, e: Estimate, leak: Leak) -> float:
    """What a number is on average in such a model; as in the run where nothing says."""
    from scipy.special import ndtr, ndtri

    assert e.value is not None
    if family == "membership":
        if e.metric.name == "auc":
            return float(ndtr(leak.shift / math.sqrt(2)))
        fpr = e.metric.fpr if e.metric.prior is None else PPV_FPR
        if fpr is None:
            return e.value
        rate = float(ndtr(leak.shift + ndtri(fpr)))
        return rate if e.metric.prior is None else ppv(rate, PPV_FPR, e.metric.prior)
    if not family:
        return next((most for name, most in leak.copies if name == e.metric.name), e.value)
    own = [one for one in leak.tried if one.family == family]
    own = [one for one in own if attack in (one.attacks or (attack,))]
    if family not in TRIED or (family in RESAMPLED and not own):
        return e.value
    chance = e.value if e.chance is None else e.chance
    if CATALOGUE[e.metric.name] == "difference":
        return max((one.gain(0.0 if not one.is_rate else chance) for one in own), default=0.0)
    if e.metric.name == "attack_rate":
        return min(1.0, chance + max((one.gain(chance) for one in own), default=0.0))
    return e.value


def draw(
    subject: Subject,
    policy: Policy,
    leak: Leak,
    rng: np.random.Generator,
    clean: Subject | None = None,
) -> Subject:
    """The subject with new numbers. clean: one that was drawn before and leaks nothing, of which
    whatever does not leak here is kept."""
    members = membership(subject)
    sizes = find_sizes([subject])
    drawn: dict[str, Finding] = {}
    if members and min(sizes) >= 2 and (clean is None or leak.shift):
        common = rng.normal(size=sum(sizes))
        for finding in members:
            own = rng.normal(size=sum(sizes))
            scores = math.sqrt(SHARED) * common + math.sqrt(1 - SHARED) * own
            scores[: sizes[0]] += leak.shift
            played = _played(finding, scores, sizes, policy)
            drawn[finding.attack] = replace(
                played,
                estimates=tuple(
                    _draw_at_risk(e, played, leak.shift, rng) for e in played.estimates
                ),
            )
    kept = {} if clean is None else {(o.attack, o.family): o for o in clean.outcomes}
    outcomes: list[Outcome] = []
    for one in subject.outcomes:
        before = kept.get((one.attack, one.family))
        if not isinstance(one, Finding):
            outcomes.append(one)
        elif one.family == "membership":
            outcomes.append(drawn.get(one.attack, one if before is None else before))
        elif before is not None and one.family not in {part.family for part in leak.tried}:
            outcomes.append(before)
        elif one.family in RESAMPLED and one.family not in {part.family for part in leak.tried}:
            outcomes.append(replace(one, estimates=_noisy(one.estimates, rng)))
        else:
            outcomes.append(_tried(one, leak, rng))
    if clean is not None and not leak.copies:
        return replace(clean, outcomes=tuple(outcomes))
    fidelity = subject.fidelity
    if fidelity is not None:
        copied = dict(leak.copies)
        noisy = _noisy(fidelity.estimates, rng)
        moved = tuple(
            _move(drawn, copied[e.metric.name] - e.value)
            if e.value is not None and e.metric.name in copied
            else drawn
            for e, drawn in zip(fidelity.estimates, noisy, strict=True)
        )
        fidelity = replace(fidelity, estimates=moved)
    return replace(
        subject, outcomes=tuple(outcomes), utility=_noisy(subject.utility, rng), fidelity=fidelity
    )


def _move(e: Estimate, by: float) -> Estimate:
    """The estimate and its interval moved."""
    ends = [None if x is None else min(1.0, max(-1.0, x + by)) for x in (e.value, e.low, e.high)]
    return replace(e, value=ends[0], low=ends[1], high=ends[2])


def membership(subject: Subject) -> list[Finding]:
    """Its findings of membership inference."""
    return [o for o in subject.outcomes if isinstance(o, Finding) and o.family == "membership"]


def find_sizes(subjects: Sequence[Subject]) -> tuple[int, int]:
    """Patients among members and non-members, the most that any number rests on."""
    found = [e.n for s in subjects for f in membership(s) for e in f.estimates]
    return (
        max((n.get("member_patients", 0) for n in found), default=0),
        max((n.get("nonmember_patients", 0) for n in found), default=0),
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
        finding,
        estimates=tuple(estimates),
        groups=tuple(groups),
        null=(),
        corrected=corrected,
        evened=(),
    )


def _metrics(policy: Policy) -> set[Metric]:
    """The audit's numbers of membership that the policy limits or compares."""
    rules: tuple[Limit | Regression, ...] = (*policy.limits, *policy.regressions)
    return {
        number
        for rule in rules
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
    if min(len(ones), len(zeros)) < 2 or e.metric.name in PATIENTS:
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


def _draw_at_risk(
    e: Estimate, finding: Finding, shift: float, rng: np.random.Generator
) -> Estimate:
    """The share of patients at risk anew, every patient being told apart alike; others as they
    are."""
    from scipy.special import ndtr

    refits = finding.params.get("shadows")
    if e.metric != AT_RISK or e.value is None or not isinstance(refits, int):
        return e
    return draw_at_risk(e, float(ndtr(shift / math.sqrt(2))), refits, rng)


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


def _tried(finding: Finding, leak: Leak, rng: np.random.Generator) -> Finding:
    """Attempts anew, with intervals as wide as the run's: no better than chance, or as much better
    as the model leaks."""
    made = []
    for e in finding.estimates:
        if e.value is None or e.low is None or e.high is None:
            made.append(e)
            continue
        middle = truth(finding.family, finding.attack, e, leak)
        down, up = e.value - e.low, e.high - e.value
        error = rng.normal() / 1.96
        value = middle + error * (up if error < 0 else down)
        least = -1.0 if CATALOGUE[e.metric.name] == "difference" else 0.0
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


__all__ = [
    "SHARED",
    "TWICE",
    "Leak",
    "draw",
    "find_sizes",
    "join",
    "leak_of",
    "membership",
    "truth",
]
