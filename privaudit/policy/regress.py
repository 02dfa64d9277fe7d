"""Is a candidate worse than the baseline by more than a margin? Non-inferiority over seeds.

Each run trains, splits and attacks anew, so the spread between seeds holds every source of chance.
The mean of the candidate's runs less that of the baseline's has a Student t interval with the
spread pooled over both (Schuirmann 1987, one side of the two; margin fixed beforehand). EXCEEDS
where the lower bound is above the margin, WITHIN where the upper one is at most the margin, else
INCONCLUSIVE. Where one split was supplied and is the same in every run, the spread is that of
training alone, and the answer is about these records.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from privaudit.disclosure import steps
from privaudit.disclosure.coarsen import ATTACKS
from privaudit.errors import PrivauditError
from privaudit.facts import Metric, Param, Reason, ReasonCode
from privaudit.policy import alike
from privaudit.policy.metrics import Better, find_metric, findings, named_settings, readings
from privaudit.policy.rules import Regression
from privaudit.results import Audit, Estimate
from privaudit.verdicts import State, Verdict

if TYPE_CHECKING:
    from privaudit.policy.baseline import Baseline

FEWEST = 2
"""Below this many runs of the baseline nothing is known about the spread between seeds."""

MOST_RUNS = 200
"""No more further runs than this are proposed."""


@dataclass(frozen=True)
class Change:
    """One number of one subject in the baseline's runs (before) and in the candidate's (after).

    number: which number of the audit, None where no run has it; better: which way is good. missing:
    why nothing is known of it; before and after may then be empty. lacking: runs of the candidate
    without the number. step: what the values are rounded to in documents that are shared.
    """

    subject: str
    attack: str
    number: Metric | None
    better: Better
    before: tuple[float, ...]
    after: tuple[float, ...]
    missing: ReasonCode | None = None
    lacking: int = 0
    step: float = 0.0

    @property
    def worse(self) -> float:
        """How much worse the candidate is on average; negative: better."""
        return _mean(self._badness(self.after)) - _mean(self._badness(self.before))

    @property
    def error(self) -> float:
        """Standard error of `worse`, the spread between seeds pooled over both."""
        one, other = self._badness(self.before), self._badness(self.after)
        total = sum(sum((v - _mean(part)) ** 2 for v in part) for part in (one, other))
        return math.sqrt(total / self.freedom * (1 / len(one) + 1 / len(other)))

    @property
    def spread(self) -> float:
        """Standard deviation between seeds, pooled over both."""
        return self.error / math.sqrt(1 / len(self.before) + 1 / len(self.after))

    @property
    def freedom(self) -> int:
        return len(self.before) + len(self.after) - 2

    def _badness(self, values: Sequence[float]) -> list[float]:
        how = {"low": 1.0, "high": -1.0}
        if self.better in how:
            return [how[self.better] * v for v in values]
        return [abs(v - (1.0 if self.better == "one" else 0.0)) for v in values]

    def bound(self, confidence: float, side: Literal["lower", "upper"]) -> float:
        """The one-sided bound on `worse`."""
        from scipy.special import stdtrit

        # Where seeds differ by less than what was rounded off, all runs may be off the same way.
        hidden = max(0.0, self.step - 2 * self.spread)
        half = float(stdtrit(self.freedom, confidence)) * self.error + hidden
        return self.worse - half if side == "lower" else self.worse + half

    def p(self, margin: float) -> float:
        """Chance of a candidate this much worse if it were worse by the margin and no more."""
        from scipy.special import stdtr

        if self.error == 0:
            return 0.0 if self.worse > margin else 1.0
        return float(stdtr(self.freedom, -(self.worse - margin) / self.error))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def changes(
    rule: Regression,
    audits: Audit | Sequence[Audit],
    baseline: Baseline,
    subjects: Sequence[str] = (),
) -> tuple[Change, ...]:
    """Every number that the rule is about, before and after.

    Args:
        rule: The regression rule.
        audits: The candidate's runs, which differ in their seed alone.
        baseline: The runs that it is compared with.
        subjects: Subjects that the rule is about; all of the runs where it is empty.

    Returns:
        A change for each number. What only one side has, or what the rule names and no run of the
        candidate has, is there with `missing`; so is an attack of the baseline that no run of the
        candidate made, whether the rule names it or not.

    Raises:
        PrivauditError: The runs must not be compared with the baseline.
    """
    runs = [audits] if isinstance(audits, Audit) else list(audits)
    alike.check_comparable(baseline.basis, runs)
    _check_seeds(runs)
    known = find_metric(rule.metric)
    own = [(run, subject) for run, audit in enumerate(runs) for subject in audit.subjects]
    wanted = list(dict.fromkeys(subjects or [subject.name for _, subject in own]))
    wanted = wanted or sorted({n.subject for run in baseline.runs for n in run.numbers})
    found: dict[tuple[str, str, Metric], list[float]] = {
        key: [] for key in baseline.expected(rule) if key[0] in wanted
    }
    # What the baseline tried and the candidate did not run is stated, whatever the rule names.
    ran = {(subject.name, one.attack) for _, subject in own for one in findings(subject, known)}
    for key in baseline.expected(replace(rule, attacks=())):
        if key[0] in wanted and key[:2] not in ran:
            found.setdefault(key, [])
    holding: dict[tuple[str, str, Metric], set[int]] = {}
    halves: dict[tuple[str, str, Metric], float] = {}
    for run, subject in own:
        if subject.name not in wanted:
            continue
        for one in readings(
            known, subject, fpr=rule.fpr, prior=rule.prior, at=rule.at, attacks=rule.attacks
        ):
            if one.estimate is None:
                continue
            key = (subject.name, one.attack, one.estimate.metric)
            values = found.setdefault(key, [])
            if one.estimate.value is not None:
                values.append(one.estimate.value)
                holding.setdefault(key, set()).add(run)
                halves[key] = max(halves.get(key, 0.0), _half(one.estimate))
    made = []
    for key, after in found.items():
        who, attack, number = key
        before = baseline.values(who, attack, number)
        missing = None if before else ReasonCode.ABSENT_FROM_BASELINE
        missing = missing if after else ReasonCode.ABSENT_FROM_CANDIDATE
        pair, lacking = (tuple(before), tuple(after)), len(runs) - len(holding.get(key, ()))
        step = _find_step((*before, *after), halves.get(key, 0.0))
        made.append(Change(who, attack, number, known.better, *pair, missing, lacking, step))
    heard = {(change.subject, attack) for change in made for attack in (change.attack, "")}
    named = (rule.attacks if known.place == "outcomes" else ()) or ("",)
    blank = [(who, attack) for who in wanted for attack in named if (who, attack) not in heard]
    for who in wanted:
        settings = [c.number.at for c in made if c.subject == who and c.number is not None]
        unnamed = any(not named_settings(settings, text) for text in rule.at)
        if unnamed and known.place == "outcomes" and (who, "") not in blank:
            blank.append((who, ""))
    absent = ReasonCode.ABSENT_FROM_CANDIDATE
    made += [Change(who, attack, None, known.better, (), (), absent) for who, attack in blank]
    return tuple(made)


def _half(estimate: Estimate) -> float:
    low, high = estimate.low, estimate.high
    return 0.0 if low is None or high is None else (high - low) / 2


def _find_step(values: Sequence[float], half: float) -> float:
    """The largest step that documents round to by an interval of this half, and all values are
    multiples of; 0 where they are not rounded."""
    size = half * ATTACKS
    for _ in range(8):
        if size <= 0:
            break
        step = steps.step_below(size)
        if all(abs(value - steps.nearest(value, step)) < 1e-9 for value in values):
            return step
        size = 0.99 * step
    return 0.0


def _check_seeds(runs: Sequence[Audit]) -> None:
    twice = alike.runs_of_one_seed(runs)
    if twice:
        raise PrivauditError(
            f"runs of the candidate with one seed: {', '.join(twice)}",
            "a seed counted twice makes numbers look steadier than they are",
            "name one run of each seed",
        )


def judge_change(
    rule: Regression,
    change: Change,
    *,
    confidence: float = 0.95,
    lower_confidence: float | None = None,
) -> Verdict:
    """The verdict on one change. lower_confidence: of the bound that blocks, where it is adjusted
    over several blocking rules."""
    made = _about(rule, change.subject) | {
        "chance": 0.0,
        "attack": change.attack,
        "setting": None if change.number is None else change.number.at,
        "number": change.number,
        "n": {"baseline_runs": len(change.before), "candidate_runs": len(change.after)},
    }
    if change.missing is not None:
        return Verdict(**made, state="NOT TESTED", reason=Reason(change.missing))
    made["value"] = change.worse
    means: dict[str, Param] = {"before": _mean(change.before), "after": _mean(change.after)}
    wanted = max(1, rule.candidate_seeds)
    if len(change.before) < FEWEST:
        reason = Reason(ReasonCode.TOO_FEW_BASELINE_RUNS, means)
        return Verdict(**made, state="INCONCLUSIVE", reason=reason)
    if len(change.after) < wanted:
        reason = Reason(ReasonCode.TOO_FEW_CANDIDATE_RUNS, {**means, "wanted": wanted})
        return Verdict(**made, state="INCONCLUSIVE", reason=reason)
    lower = change.bound(lower_confidence or confidence, "lower")
    upper = change.bound(confidence, "upper")
    state: State
    if lower > rule.margin:
        state, reason = "EXCEEDS", Reason(ReasonCode.WORSE_THAN_MARGIN, means)
    elif change.lacking:
        state, params = "INCONCLUSIVE", {**means, "lacking": change.lacking}
        reason = Reason(ReasonCode.CANDIDATE_RUNS_LACK_NUMBER, params)
    elif upper <= rule.margin:
        state, reason = "WITHIN", Reason(ReasonCode.NO_WORSE_THAN_MARGIN, means)
    else:
        further = {"spread": change.spread, "more": _more_runs(rule, change, confidence)}
        state = "INCONCLUSIVE"
        reason = Reason(ReasonCode.MARGIN_INSIDE_BOUNDS, {**means, **further})
    return Verdict(**made, state=state, lower=lower, upper=upper, reason=reason)


def judge_without_baseline(rule: Regression, subject: str) -> Verdict:
    """That a rule about a baseline was judged without one."""
    made = _about(rule, subject)
    return Verdict(**made, state="NOT TESTED", reason=Reason(ReasonCode.NO_BASELINE))


def _about(rule: Regression, subject: str) -> dict[str, Any]:
    return {
        "rule": rule.id,
        "kind": "regression",
        "subject": subject,
        "metric": rule.metric,
        "severity": rule.severity,
        "limit": rule.margin,
        "fpr": rule.fpr,
        "prior": rule.prior,
    }


def _more_runs(rule: Regression, change: Change, confidence: float) -> int:
    """Runs to add on each side so that the interval would exclude the margin if the means stay."""
    from scipy.special import stdtrit

    gap = abs(change.worse - rule.margin)
    one, other, spread = len(change.before), len(change.after), change.spread
    for extra in range(1, MOST_RUNS):
        half = float(stdtrit(change.freedom + 2 * extra, confidence)) * spread
        if half * math.sqrt(1 / (one + extra) + 1 / (other + extra)) <= gap:
            return extra
    return MOST_RUNS


def regress(
    rule: Regression,
    audits: Audit | Sequence[Audit],
    baseline: Baseline,
    *,
    confidence: float = 0.95,
    lower_confidence: float | None = None,
    subjects: Sequence[str] = (),
) -> tuple[Verdict, ...]:
    """One verdict for every number that the rule is about: is the candidate worse by more than the
    margin?"""
    return tuple(
        judge_change(rule, change, confidence=confidence, lower_confidence=lower_confidence)
        for change in changes(rule, audits, baseline, subjects)
    )
