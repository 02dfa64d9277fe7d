"""A baseline and a candidate's runs on the same seeds, drawn around one run: what a rule on
regressions is judged by.

A seed moves every number of a model by its split; what is left inside a pair comes of the training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from privaudit.disclosure import steps
from privaudit.disclosure.coarsen import ATTACKS, HELD_OUT, RANKED
from privaudit.facts import Metric
from privaudit.policy import baseline
from privaudit.policy.baseline import Baseline
from privaudit.policy.metrics import METRICS, Better
from privaudit.policy.rules import Regression
from privaudit.policy.simulate_draw import SHARED, TWICE, Leak, truth
from privaudit.results import Audit, Estimate, Finding, Outcome, Subject
from privaudit.stats.rates import quantile

DIFFER = 1.4
"""Standard deviation of the differences inside pairs, in errors of one run. Boosted trees on
Challenge 2012 (`benchmarks/paired_gate.py`): 1.3 to 1.4 after a change without consequence, 2.4
where every training draws other random numbers, which no pair needs to."""

KEY = "hmac-sha256:000000000000:"
WHEN = "2000-01-01T00:00:00+00:00"


def draw_pairs(
    run: Audit,
    leak: Leak,
    count: int,
    rng: np.random.Generator,
    worse: Regression | None = None,
) -> tuple[Baseline, Audit, list[Audit]]:
    """The baseline, the candidate's first run and its others.

    Args:
        run: Drawn for a model that leaks this: the candidate's first run.
        leak: What the candidate leaks; the model of the baseline leaks nothing.
        count: Pairs.
        rng: Of the draws.
        worse: A rule whose number is in the candidate worse by `TWICE` its margin, beside that.
    """
    held: list[Audit] = []
    made: list[Audit] = []
    for index in range(count):
        sides = [_Pair(leak, worse, index == 0, rng).redraw(one) for one in run.subjects]
        for runs, place in ((held, 0), (made, 1)):
            audit = replace(run, subjects=tuple(side[place] for side in sides))
            runs.append(_name(audit, index, "after" if place else "before"))
    base = baseline.create(held, who="simulated", when=WHEN, reason="simulated")
    return base, made[0], made[1:]


class _Pair:
    """Draws the two runs of one seed: a subject in the baseline's and in the candidate's."""

    def __init__(
        self, leak: Leak, worse: Regression | None, first: bool, rng: np.random.Generator
    ) -> None:
        self.leak, self.worse, self.first, self.rng = leak, worse, first, rng
        self.common = float(rng.normal())

    def redraw(self, subject: Subject) -> tuple[Subject, Subject]:
        parts: list[list[Outcome]] = [[], []]
        for one in subject.outcomes:
            if not isinstance(one, Finding):
                sides: tuple[Outcome, Outcome] = (one, one)
            else:
                drawn = self._draw(one.family, one.attack, one.estimates)
                sides = replace(one, estimates=drawn[0]), replace(one, estimates=drawn[1])
            for part, side in zip(parts, sides, strict=True):
                part.append(side)
        utility = self._draw("", "", subject.utility)
        made = [
            replace(subject, outcomes=tuple(part), utility=numbers)
            for part, numbers in zip(parts, utility, strict=True)
        ]
        if subject.fidelity is not None:
            fits = self._draw("", "", subject.fidelity.estimates)
            made = [
                replace(one, fidelity=replace(subject.fidelity, estimates=numbers))
                for one, numbers in zip(made, fits, strict=True)
            ]
        return made[0], made[1]

    def _draw(
        self, family: str, attack: str, estimates: Sequence[Estimate]
    ) -> tuple[tuple[Estimate, ...], tuple[Estimate, ...]]:
        drawn = [self._number(family, attack, e) for e in estimates]
        return tuple(one for one, _ in drawn), tuple(other for _, other in drawn)

    def _number(self, family: str, attack: str, e: Estimate) -> tuple[Estimate, Estimate]:
        if e.value is None or e.low is None or e.high is None:
            return e, e
        half = (e.high - e.low) / 2
        error = half / quantile(e.confidence)
        before, after = truth(family, attack, e, Leak()), truth(family, attack, e, self.leak)
        own = math.sqrt(SHARED) * self.common + math.sqrt(1 - SHARED) * float(self.rng.normal())
        if self.first and error > 0:
            # The run itself: its pair is drawn beside it.
            own = (e.value - after) / error
        alike = 1 - DIFFER**2 / 2
        mate = alike * own + math.sqrt(1 - alike**2) * float(self.rng.normal())
        moved = _moved(self.worse, family, attack, e.metric)
        share = HELD_OUT if e.metric.name in RANKED or not attack else ATTACKS
        step = steps.step_below(half * share) if half > 0 else 0.0
        return _set(e, before + error * mate, step), _set(e, after + error * own + moved, step)


def _moved(worse: Regression | None, family: str, attack: str, metric: Metric) -> float:
    """By how much a rule's number is moved so that it is worse by `TWICE` the margin."""
    if worse is None:
        return 0.0
    known = METRICS[worse.metric]
    own = known.family == family and attack in (worse.attacks or known.attacks or (attack,))
    plain = replace(metric, at=None)
    if not own or plain not in known.numbers(worse.fpr, worse.prior):
        return 0.0
    return way(known.better) * TWICE * worse.margin


def way(better: Better) -> float:
    """The sign of what is worse; above for numbers that should be 0 or 1."""
    return -1.0 if better == "high" else 1.0


def _set(e: Estimate, value: float, step: float) -> Estimate:
    assert e.value is not None
    assert e.low is not None
    assert e.high is not None
    value = steps.nearest(value, step) if step else value
    return replace(e, value=value, low=e.low + value - e.value, high=e.high + value - e.value)


def _name(audit: Audit, index: int, side: str) -> Audit:
    """A run of its own, of this seed."""
    manifest = replace(
        audit.manifest,
        run=f"{side}-{index}",
        seed_commitment=f"sha256:{index:064x}",
        split_fingerprint=f"{KEY}{index:064x}",
        records_fingerprint=f"{KEY}{0:064x}",
    )
    return replace(audit, manifest=manifest)


__all__ = ["DIFFER", "draw_pairs"]
