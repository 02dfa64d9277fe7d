"""Is a candidate worse than the baseline by more than a margin? Non-inferiority over seeds.

Each run trains, splits and attacks anew, so the spread between seeds holds every source of chance. The
mean of the candidate's runs less that of the baseline's has a Student t interval with the spread
pooled over both (Schuirmann 1987, one side of the two; margin fixed beforehand). EXCEEDS where the
lower bound is above the margin, WITHIN where the upper one is at most the margin, else INCONCLUSIVE. Where one
split was given and is the same in every run, the spread is that of training alone, and the answer is about these records.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from privaudit.errors import PrivauditError
from privaudit.policy import alike
from privaudit.policy.metrics import Better, estimate_names, metric, readings
from privaudit.results import Audit, Subject
from privaudit.verdicts import State, Verdict

if TYPE_CHECKING:
    from privaudit.policy.baseline import Baseline

FEWEST = 2
"""Below this many runs of the baseline nothing is known about the spread between seeds."""


class Rule(Protocol):
    """What a regression rule says; `privaudit.policy.file.Regression` is one."""

    @property
    def id(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def margin(self) -> float: ...
    @property
    def fpr(self) -> float | None: ...
    @property
    def prior(self) -> float | None: ...
    @property
    def at(self) -> tuple[str, ...]: ...
    @property
    def attacks(self) -> tuple[str, ...]: ...
    @property
    def candidate_seeds(self) -> int: ...
    @property
    def severity(self) -> Literal["block", "warn"]: ...


@dataclass(frozen=True)
class Change:
    """One number of one subject in the baseline's runs (before) and in the candidate's (after).

    better: which way is good. missing: why nothing can be said; before and after may then be empty.
    """

    subject: str
    attack: str
    setting: str
    name: str
    better: Better
    before: tuple[float, ...]
    after: tuple[float, ...]
    missing: str = ""

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

        half = float(stdtrit(self.freedom, confidence)) * self.error
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
    rule: Rule, audits: Audit | Sequence[Audit], baseline: Baseline, subjects: Sequence[str] = ()
) -> tuple[Change, ...]:
    """Every number that the rule is about, of the subjects named (or of all), before and after.

    audits: the candidate's runs, which differ in their seed alone. Raises PrivauditError where they
    must not be compared with the baseline. A subject or number that only one side has is there with
    `missing`.
    """
    runs = [audits] if isinstance(audits, Audit) else list(audits)
    alike.comparable(baseline.basis, runs)
    _once(runs)
    known = metric(rule.metric)
    found: dict[tuple[str, str, str, str], list[float]] = {}
    for audit in runs:
        for subject in audit.subjects:
            if subjects and subject.name not in subjects:
                continue
            for one in readings(
                known, subject, fpr=rule.fpr, prior=rule.prior, at=rule.at, attacks=rule.attacks
            ):
                name = "" if one.estimate is None else one.estimate.name
                values = found.setdefault((subject.name, one.attack, one.setting, name), [])
                if one.estimate is not None and one.estimate.value is not None:
                    values.append(one.estimate.value)
    made = []
    for (who, attack, setting, name), after in found.items():
        before = baseline.values(who, attack, name)
        missing = ""
        if not after:
            missing = "the candidate's runs state no value"
        elif not before:
            missing = "the baseline's runs state no value"
        made.append(
            Change(who, attack, setting, name, known.better, tuple(before), tuple(after), missing)
        )
    names = estimate_names(known, rule.fpr, rule.prior)
    told = {who for who, *_ in found}
    for who in _silent(runs, told, subjects, baseline):
        reason = "no run of the candidate tests it by the attacks that the rule names"
        made.append(Change(who, "", "", names[0], known.better, (), (), reason))
    return tuple(made)


def _once(runs: Sequence[Audit]) -> None:
    seeds = [audit.manifest.entropy for audit in runs]
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise PrivauditError(
            f"several runs of the candidate with the seed {', '.join(map(str, twice))}",
            "a seed counted twice makes numbers look steadier than they are",
            "name one run of each seed",
        )


def _silent(
    runs: Sequence[Audit], told: set[str], subjects: Sequence[str], baseline: Baseline
) -> list[str]:
    """Subjects that the rule is about and that no run says anything of."""
    own: list[Subject] = [subject for audit in runs for subject in audit.subjects]
    if subjects:
        wanted = list(subjects)
    else:
        wanted = [s.name for s in own] or sorted(
            {n.subject for r in baseline.runs for n in r.numbers}
        )
    return [who for who in dict.fromkeys(wanted) if who not in told]


def decide(
    rule: Rule, change: Change, *, confidence: float = 0.95, lower_confidence: float | None = None
) -> Verdict:
    """The verdict on one change. lower_confidence: of the bound that blocks, where it is adjusted over
    several blocking rules."""
    known = metric(rule.metric)
    label = change.attack + (f" @ {change.setting}" if change.setting else "")
    base = {
        "rule": rule.id, "kind": "regression", "subject": change.subject, "metric": rule.metric,
        "severity": rule.severity, "limit": rule.margin, "chance": 0.0, "attack": label, "fpr": rule.fpr,
        "n": {"baseline_runs": len(change.before), "candidate_runs": len(change.after)},
    }  # fmt: skip
    if change.missing:
        return Verdict(
            **base, state="NOT TESTED",  # type: ignore[arg-type]
            sentence=f"{known.says}: not compared with the baseline",
            reason=change.missing, remedy="run the attacks that the rule names, in both",
        )  # fmt: skip
    short = _short(rule, change)
    if short is not None:
        return Verdict(
            **base, state="INCONCLUSIVE", value=change.worse, sentence=_sentence(change, known.says),  # type: ignore[arg-type]
            reason=short[0], remedy=short[1],
        )  # fmt: skip
    lower = change.bound(lower_confidence or confidence, "lower")
    upper = change.bound(confidence, "upper")
    state: State = "INCONCLUSIVE"
    reason = f"the margin lies between the bounds: seeds move this number by {_spread(change)} from run to run"
    remedy = f"about {_more(rule, change, confidence)} more runs with other seeds on each side would decide it"
    if lower > rule.margin:
        state, remedy = (
            "EXCEEDS",
            "find what changed in the model; a baseline is not there to be moved",
        )
        reason = (
            f"even the lower bound ({_signed(lower)}) is above the margin ({_plain(rule.margin)})"
        )
    elif upper <= rule.margin:
        state, remedy = "WITHIN", ""
        reason = (
            f"even the upper bound ({_signed(upper)}) is within the margin ({_plain(rule.margin)})"
        )
    return Verdict(
        **base, state=state, value=change.worse, lower=lower, upper=upper,  # type: ignore[arg-type]
        sentence=_sentence(change, known.says), reason=reason, remedy=remedy,
    )  # fmt: skip


def regress(
    rule: Rule,
    audits: Audit | Sequence[Audit],
    baseline: Baseline,
    *,
    confidence: float = 0.95,
    lower_confidence: float | None = None,
    subjects: Sequence[str] = (),
) -> tuple[Verdict, ...]:
    """One verdict for every number that the rule is about: is the candidate worse by more than the margin?"""
    return tuple(
        decide(rule, change, confidence=confidence, lower_confidence=lower_confidence)
        for change in changes(rule, audits, baseline, subjects)
    )


def _short(rule: Rule, change: Change) -> tuple[str, str] | None:
    """Why there are too few runs to decide, and what to do."""
    if len(change.before) < FEWEST:
        return (
            f"the baseline has {len(change.before)} run: nothing is known of how seeds move this number",
            "add runs with other seeds: privaudit baseline update BASELINE RUN... --reason TEXT",
        )
    wanted = max(1, rule.candidate_seeds)
    if len(change.after) < wanted:
        return (
            f"{len(change.after)} run(s) of the candidate where the rule asks for {wanted}: one training "
            "may read a little more or less by chance",
            f"run the candidate with {wanted - len(change.after)} more seed(s) and name every run with --candidate",
        )
    return None


def _more(rule: Rule, change: Change, confidence: float) -> int:
    """Runs to add on each side so that the interval would exclude the margin if the means stay."""
    from scipy.special import stdtrit

    gap = abs(change.worse - rule.margin)
    one, other = len(change.before), len(change.after)
    spread = change.error / math.sqrt(1 / one + 1 / other)
    for extra in range(1, 200):
        half = float(stdtrit(change.freedom + 2 * extra, confidence)) * spread
        if half * math.sqrt(1 / (one + extra) + 1 / (other + extra)) <= gap:
            return extra
    return 200


def _sentence(change: Change, says: str) -> str:
    before, after = _mean(change.before), _mean(change.after)
    return (
        f"{says}: {_plain(before)} on average of {len(change.before)} runs of the baseline, "
        f"{_plain(after)} of {len(change.after)} run(s) of the candidate"
    )


def _spread(change: Change) -> str:
    one, other = len(change.before), len(change.after)
    return _plain(change.error / math.sqrt(1 / one + 1 / other))


def _plain(value: float) -> str:
    return f"{value:.3g}" if abs(value) >= 0.001 or value == 0 else f"{value:.1g}"


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{_plain(abs(value))}"


__all__ = ["FEWEST", "Change", "Rule", "changes", "decide", "regress"]
