"""Two runs side by side: every shared number of every shared subject, with the interval of the
difference.

Where both runs were made on the same split and its scores can be read, the difference is taken
record by record, which needs far fewer patients to be sure; else from the two stored intervals.
Which it was stands beside every number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from privaudit.contracts import Scores, Trials
from privaudit.disclosure import steps
from privaudit.disclosure.coarsen import ATTACKS
from privaudit.errors import PrivauditError
from privaudit.facts import BoundMethod, Metric, Reason, ReasonCode, Setting
from privaudit.policy import alike
from privaudit.records import Split
from privaudit.results import Audit, Estimate, Finding, Subject
from privaudit.seeds import Seeds
from privaudit.stats import differences as between
from privaudit.stats.trial_patients import as_patients

Evidence = Scores | Trials | Mapping[Setting, Trials] | dict[Setting | None, Trials]

DERIVED = ("detectable_auc", "detectable_tpr", "ppv")
"""Numbers that follow from sizes or from another number, and are not compared."""


Paired = tuple[between.Bounds, BoundMethod] | None
"""A difference taken record by record, and how its interval was made; None where it cannot be."""


class Records(Protocol):
    """What a run stores record by record; `privaudit.evidence.stored.Stored` is one."""

    @property
    def split(self) -> Split: ...
    def evidence(self, subject: str, attack: str, variant: str = "") -> Evidence: ...
    def answers(self, subject: str) -> np.ndarray: ...


@dataclass(frozen=True)
class Difference:
    """One number in both runs.

    value, low, high: second minus first; bound: how the interval was made; paired: record by
    record. refusal: why there is no difference, or none with an interval.
    """

    subject: str
    attack: str
    metric: Metric
    first: float | None
    second: float | None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    paired: bool = False
    bound: BoundMethod | None = None
    refusal: Reason | None = None


@dataclass(frozen=True)
class Comparison:
    """Every shared number. paired: whether any could be; why: why not, or what made it possible;
    notes: what a reader must know; only_first, only_second: subjects that one run alone has."""

    first: str
    second: str
    confidence: float
    paired: bool
    why: str
    notes: tuple[str, ...]
    rows: tuple[Difference, ...]
    only_first: tuple[str, ...] = ()
    only_second: tuple[str, ...] = ()


def compare(
    first: Audit, second: Audit, stored: tuple[Records, Records] | None = None, *, why: str = ""
) -> Comparison:
    """The second run against the first.

    Args:
        first: The run to compare with.
        second: The run that is compared.
        stored: Their records, where both were made on one split.
        why: Why they could be compared record by record or not, for the reader.

    Returns:
        Every shared number of every shared subject.

    Raises:
        PrivauditError: The runs are of different tasks or confidence.
    """
    _refuse(first, second)
    names = (first.manifest.run, second.manifest.run)
    unlike = alike.differences(alike.basis([first]), alike.basis([second]), names)
    one = {subject.name: subject for subject in first.subjects}
    other = {subject.name: subject for subject in second.subjects}
    level = first.manifest.confidence
    rows: list[Difference] = []
    for name in one:
        if name in other:
            rows += _Pairs(one[name], other[name], stored, level).rows()
    bounds = [(row.low, row.high) for row in rows]
    sure = [(low, high) for low, high in bounds if low is not None and high is not None]
    clear = sum(low > 0 or high < 0 for low, high in sure)
    notes = [f"made in different ways: {difference}" for difference in unlike]
    if sure:
        notes.append(
            f"{clear} of {len(sure)} intervals leave out 0; of {len(sure)} of two equal models "
            f"about {(1 - level) * len(sure):.2g} do so by chance (each interval is for itself, "
            f"{level:.0%})"
        )
    if not (set(one) & set(other)):
        notes.append("no subject is in both runs: there is nothing to compare")
    return Comparison(
        first=names[0],
        second=names[1],
        confidence=level,
        paired=any(row.paired for row in rows),
        why=why,
        notes=tuple(notes),
        rows=tuple(rows),
        only_first=tuple(sorted(set(one) - set(other))),
        only_second=tuple(sorted(set(other) - set(one))),
    )


def _refuse(first: Audit, second: Audit) -> None:
    for what, one, other in (
        ("task", first.data.task, second.data.task),
        ("outcome", ", ".join(first.data.classes), ", ".join(second.data.classes)),
        ("confidence", f"{first.manifest.confidence:g}", f"{second.manifest.confidence:g}"),
    ):
        if one != other:
            raise PrivauditError(
                f"runs of different {what}: {one} and {other}",
                "a difference of their numbers would say nothing about the models",
                f"compare runs of one {what}",
            )


class _Pairs:
    """The numbers of one subject in both runs."""

    def __init__(
        self,
        first: Subject,
        second: Subject,
        stored: tuple[Records, Records] | None,
        confidence: float,
    ) -> None:
        self.first, self.second, self.stored, self.confidence = first, second, stored, confidence
        self.seeds = Seeds(0).child("compare", first.name)

    def rows(self) -> Iterator[Difference]:
        yield from self._numbers("", self.first.utility, self.second.utility)
        found = {o.attack: o for o in self.second.outcomes if isinstance(o, Finding)}
        for outcome in self.first.outcomes:
            if isinstance(outcome, Finding) and outcome.attack in found:
                yield from self._numbers(
                    outcome.attack, outcome.estimates, found[outcome.attack].estimates
                )
        if self.first.fidelity is not None and self.second.fidelity is not None:
            yield from self._numbers(
                "", self.first.fidelity.estimates, self.second.fidelity.estimates, fit=True
            )

    def _numbers(
        self, attack: str, first: Sequence[Estimate], second: Sequence[Estimate], fit: bool = False
    ) -> Iterator[Difference]:
        others = {estimate.metric: estimate for estimate in second}
        evidence = None if fit else self._evidence(attack)
        for one in first:
            other = others.get(one.metric)
            if other is None or one.metric.name in DERIVED:
                continue
            base = (self.first.name, attack, one.metric, one.value, other.value)
            if one.value is None or other.value is None:
                refusal = one.refusal or other.refusal or Reason(ReasonCode.NUMBER_ABSENT)
                yield Difference(*base, refusal=refusal)
                continue
            found = None if evidence is None else self._paired(evidence, one.metric)
            if found is not None:
                rounded = round_to_interval(*found[0])
                yield Difference(*base, *rounded, paired=True, bound=found[1])
            else:
                yield _apart(base, one, other)

    def _evidence(self, attack: str) -> tuple[object, object] | None:
        """Evidence (or answers, where no attack is named) of both runs; None where either cannot
        be read."""
        if self.stored is None:
            return None
        try:
            if not attack:
                return (
                    self.stored[0].answers(self.first.name),
                    self.stored[1].answers(self.second.name),
                )
            return (
                self.stored[0].evidence(self.first.name, attack),
                self.stored[1].evidence(self.second.name, attack),
            )
        except Exception:
            # A file that is missing or damaged: the stored intervals are there still.
            return None

    def _paired(self, evidence: tuple[object, object], metric: Metric) -> Paired:
        one, other = evidence
        if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
            return self._answers(one, other, metric)
        if isinstance(one, Scores) and isinstance(other, Scores):
            return self._scores(one, other, metric)
        if not isinstance(one, dict) or not isinstance(other, dict):
            return None
        if metric.at not in one or metric.at not in other:
            return None
        return self._trials(one[metric.at], other[metric.at], metric)

    def _split(self) -> Split:
        assert self.stored is not None
        return self.stored[0].split

    def _scores(self, one: Scores, other: Scores, metric: Metric) -> Paired:
        split = self._split()
        ids = (split.members.patient, split.nonmembers.patient)
        sizes = (len(ids[0]), len(ids[1]))
        if any((len(s.members), len(s.nonmembers)) != sizes for s in (one, other)):
            return None
        if metric.name == "auc":
            found = between.area(one, other, ids, self.confidence)
            return None if found is None else (found, BoundMethod.PAIRED_DELONG)
        if metric.name == "tpr" and metric.fpr is not None:
            rng = self.seeds.rng("tpr", str(metric))
            found = between.recognised(one, other, metric.fpr, ids, self.confidence, rng)
            return found, BoundMethod.PAIRED_BOOTSTRAP_NEWCOMBE
        return None

    def _trials(self, one: Trials, other: Trials, metric: Metric) -> Paired:
        if not _alike(one, other):
            return None
        one, other = as_patients(one), as_patients(other)
        ids = one.patients if one.patients is not None else np.arange(len(one.success))
        shares = {"attack_rate": "success", "control_rate": "control", "guess_rate": "guess"}
        if metric.name in shares:
            if metric.name == "control_rate" and one.control_patients is not None:
                return None
            part = shares[metric.name]
            a, b = (np.asarray(getattr(t, part), dtype=float) for t in (one, other))
            if len(a) != len(ids):
                return None
            return between.shares(a, b, ids, self.confidence), BoundMethod.NEWCOMBE_PAIRED
        gains = {"attack_minus_control": "control", "attack_minus_guess": "guess"}
        over = gains.get(metric.name)
        if over is None:
            return None
        own = len(ids) if over == "guess" or one.control_patients is None else len(one.control)
        if any(len(getattr(t, over)) != own for t in (one, other)):
            return None
        found = between.gains(one, other, over, ids, self.confidence)
        return None if found is None else (found, BoundMethod.PAIRED_MEAN)

    def _answers(self, one: np.ndarray, other: np.ndarray, metric: Metric) -> Paired:
        split = self._split()
        cut, y, ids = len(split.members), split.nonmembers.y, split.nonmembers.patient
        if one.shape != other.shape or len(one) != cut + len(y):
            return None
        a, b = one[cut:], other[cut:]
        if one.ndim == 1:
            if metric.name != "mae":
                return None
            found = between.mean(np.abs(a - y), np.abs(b - y), ids, self.confidence)
            return None if found is None else (found, BoundMethod.PAIRED_MEAN)
        if metric.name == "auroc":
            found = between.auroc(a, b, y, ids, self.confidence)
            return None if found is None else (found, BoundMethod.PAIRED_DELONG)
        if metric.name == "auprc":
            rng = self.seeds.rng("auprc")
            first, second = between.precision(a, y), between.precision(b, y)
            found = between.drawn(first, second, ids, self.confidence, rng)
            return found, BoundMethod.PAIRED_BOOTSTRAP
        if metric.name in ("brier", "log_loss", "mean_miss"):
            parts = [between.losses(p, y, metric.name) for p in (a, b)]
            found = between.mean(parts[0], parts[1], ids, self.confidence)
            return None if found is None else (found, BoundMethod.PAIRED_MEAN)
        return None


def _alike(one: Trials, other: Trials) -> bool:
    """Whether two attacks tried the same records in the same order."""
    if len(one.success) != len(other.success) or len(one.control) != len(other.control):
        return False
    if (one.guess is None) != (other.guess is None) or one.rows != other.rows:
        return False
    return _same(one.patients, other.patients) and _same(
        one.control_patients, other.control_patients
    )


def _same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    if one is None or other is None:
        return one is None and other is None
    return bool(np.array_equal(one, other))


def _apart(
    base: tuple[str, str, Metric, float | None, float | None], one: Estimate, other: Estimate
) -> Difference:
    assert one.value is not None
    assert other.value is not None
    if one.low is None or one.high is None or other.low is None or other.high is None:
        gap = other.value - one.value
        return Difference(*base, value=gap, refusal=Reason(ReasonCode.NO_INTERVAL))
    found = between.apart((one.value, one.low, one.high), (other.value, other.low, other.high))
    return Difference(*base, *round_to_interval(*found), bound=BoundMethod.MOVER)


def round_to_interval(value: float, low: float, high: float) -> between.Bounds:
    """A difference and its interval as coarse as a document's own numbers, the bounds outwards."""
    half = (high - low) / 2
    if not (math.isfinite(half) and half > 0):
        return value, low, high
    step = steps.step_below(half * ATTACKS)
    return steps.nearest(value, step), steps.down(low, step), steps.up(high, step)
