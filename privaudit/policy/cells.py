"""Every number that a rule looks at, with its bounds and its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from privaudit.policy import metrics
from privaudit.policy.file import Guard, Limit, Policy, Regression
from privaudit.policy.metrics import Metric, Reading
from privaudit.results import Audit, Control, Estimate, Finding, Subject
from privaudit.stats import onesided
from privaudit.stats.catalogue import PPV_FPR
from privaudit.verdicts import State

if TYPE_CHECKING:
    from privaudit.policy.baseline import Baseline
    from privaudit.policy.regress import Change


@dataclass
class Cell:
    """One number that a rule looks at, and what becomes of it.

    level: at which the adjusted bound was taken; p: of "keeps to the limit"; state, why: the word, and
    the key of its reason. weak: a low value of this attack speaks for nothing.
    """

    rule: Limit | Guard
    known: Metric
    subject: Subject
    reading: Reading
    listed: bool = True
    control: str = ""
    level: float = 0.05
    p: float = 1.0
    state: State = "INCONCLUSIVE"
    why: str = "crosses"
    lower: float | None = None
    upper: float | None = None
    facts: dict[str, float | int | str] = field(default_factory=dict)

    @property
    def bounds(self) -> onesided.Bounds | None:
        return None if self.reading.estimate is None else onesided.bounds(self.reading.estimate)

    @property
    def falls(self) -> bool:
        """Whether the rule asks for at least something (a guard with a minimum)."""
        return isinstance(self.rule, Guard) and self.rule.min is not None

    @property
    def limit(self) -> float:
        if isinstance(self.rule, Guard):
            found = self.rule.min if self.rule.min is not None else self.rule.max
            assert found is not None
            return found
        return self.rule.max


@dataclass
class Move:
    """A change against the baseline, as one of the numbers that are judged together."""

    rule: Regression
    change: Change
    p: float
    level: float = 0.05


def moves(
    policy: Policy,
    audits: Sequence[Audit],
    subjects: Sequence[Subject],
    baseline: Baseline | None,
) -> list[Move]:
    """Every change that a regression rule is about."""
    if baseline is None or not policy.regressions:
        return []
    from privaudit.policy.regress import FEWEST, changes

    names = [subject.name for subject in subjects]
    found = []
    for rule in policy.regressions:
        for change in changes(rule, audits, baseline, names):
            told = not change.missing and len(change.before) >= FEWEST and bool(change.after)
            found.append(Move(rule, change, change.p(rule.margin) if told else 1.0))
    return found


def limit_cells(rule: Limit, audit: Audit, subjects: Sequence[Subject]) -> list[Cell]:
    known = metrics.METRICS[rule.metric]
    if known.kind == "claim":
        return []
    found = []
    at = {"fpr": rule.fpr, "prior": rule.prior}
    for subject in subjects:
        plain = metrics.readings(known, subject, **at, at=rule.at, attacks=rule.attacks)
        found += [Cell(rule, known, subject, reading) for reading in plain]
        if known.family != "membership":
            continue
        # Groups that nobody named beforehand are looked at too, and may only warn.
        for by in sorted({*rule.by, *metrics.groupings(subject)}):
            found += [
                Cell(rule, known, subject, reading, listed=by in rule.by)
                for reading in metrics.group_readings(
                    known, subject, by, **at, attacks=rule.attacks
                )
            ]
    for cell in found:
        cell.control = _control(cell, audit)
    return found


def guard_cells(rule: Guard, subjects: Sequence[Subject]) -> list[Cell]:
    known = metrics.METRICS[rule.metric]
    return [
        Cell(rule, known, subject, reading)
        for subject in subjects
        for reading in (
            *metrics.readings(known, subject),
            *(one for by in rule.by for one in metrics.group_readings(known, subject, by)),
        )
    ]


def _control(cell: Cell, audit: Audit) -> str:
    """What the controls of this attack on this subject say: "", "leaks", "unfair", "missed" or "none"."""
    if not cell.reading.attack:
        return ""
    own = [c for c in cell.subject.controls if c.attack == cell.reading.attack]
    if any(_leaks(control) for control in own):
        return "leaks"
    if cell.known.family == "membership" and audit.data.distribution_shift:
        return "unfair"
    planted = [control for control in own if control.kind == "positive"]
    if planted:
        return "" if all(control.passed for control in planted) else "missed"
    # Families whose attacks have no planted leak anywhere are judged without.
    planting = {
        one.family
        for subject in audit.subjects
        for control in subject.controls
        for one in subject.outcomes
        if isinstance(one, Finding) and one.attack == control.attack
    }
    return "none" if cell.known.family in {"membership", *planting} else ""


def _leaks(control: Control) -> bool:
    return not control.passed and control.kind == "negative"


def decide(policy: Policy, cells: Sequence[Cell], moved: Sequence[Move] = ()) -> None:
    """Give every cell its bounds and its state, and its place in the adjustment."""
    alpha = 1 - policy.statistics.confidence
    families: dict[str, list[Cell | Move]] = {}
    for move in moved:
        families.setdefault(move.rule.severity, []).append(move)
    for cell in cells:
        estimate, bounds = cell.reading.estimate, cell.bounds
        if bounds is None or estimate is None:
            continue
        name = str(cell.rule.severity) if cell.listed else "unlisted"
        # Proofs about epsilon come adjusted over many guesses already, and stand among themselves.
        name += " proof" if onesided.proof(estimate) else ""
        cell.p = bounds.below(cell.limit) if cell.falls else bounds.above(cell.limit)
        families.setdefault(name, []).append(cell)
    for family in families.values():
        _holm(family, alpha if policy.statistics.correction == "holm" else None, alpha)
    for cell in cells:
        _state(policy, cell, alpha)


def _holm(family: Sequence[Cell | Move], adjusted: float | None, alpha: float) -> None:
    """The level at which each cell's bound against its limit is taken (Holm's step-down)."""
    if adjusted is None:
        for cell in family:
            cell.level = alpha
        return
    count, stopped = len(family), 0.0
    for step, cell in enumerate(sorted(family, key=lambda one: one.p)):
        level = adjusted / (count - step)
        if not stopped and cell.p > level:
            stopped = level
        cell.level = stopped or level


def _state(policy: Policy, cell: Cell, alpha: float) -> None:
    """The word for one cell."""
    reading, estimate, rules = cell.reading, cell.reading.estimate, policy.statistics
    if reading.suppressed or _small(estimate, rules.min_cell, reading):
        cell.state, cell.why = "NOT TESTED", "suppressed"
        return
    if estimate is None or estimate.value is None:
        cell.why = "refused" if estimate is not None else "absent"
        cell.state = "INCONCLUSIVE" if estimate is not None else "NOT TESTED"
        cell.facts["refusal"] = (estimate.refusal or "") if estimate is not None else ""
        return
    bounds = cell.bounds
    if bounds is None:
        cell.why = "no_interval"
        return
    if cell.falls:
        cell.lower, cell.upper = bounds.lower(alpha), bounds.upper(cell.level)
    else:
        cell.lower, cell.upper = bounds.lower(cell.level), bounds.upper(alpha)
    if cell.control in ("leaks", "unfair"):
        cell.why = cell.control
        return
    more = _false_positives(cell, rules.min_false_positives)
    if more:
        cell.why, cell.facts["more"] = "resolution", more
        return
    if cell.falls:
        worse = cell.upper is not None and cell.upper < cell.limit
        better = cell.lower is not None and cell.lower >= cell.limit
    else:
        worse = cell.lower is not None and cell.lower > cell.limit
        better = _better(cell, alpha)
    if worse:
        chance = estimate.chance
        if reading.group and chance is not None and (cell.lower or 0.0) <= chance > cell.limit:
            # A group whose own non-members are named as often is not recognised, only atypical.
            cell.why = "atypical"
            return
        cell.state, cell.why = "EXCEEDS", "falls" if cell.falls else "exceeds"
    elif better:
        if rules.positive_control == "required" and cell.control in ("missed", "none"):
            cell.why = "power" if cell.control == "missed" else "no_control"
            return
        cell.state, cell.why = "WITHIN", "keeps" if cell.falls else "within"


def _better(cell: Cell, alpha: float) -> bool:
    """Whether the upper bound keeps to the limit; for a proof, whether one above it was possible."""
    estimate = cell.reading.estimate
    assert estimate is not None
    assert estimate.value is not None
    if onesided.proof(estimate):
        coins = estimate.n.get("member_patients", 0) + estimate.n.get("nonmember_patients", 0)
        most = onesided.provable(coins, alpha)
        if estimate.value <= cell.limit and most <= cell.limit:
            cell.why, cell.facts["most"] = "unprovable", most
        return estimate.value <= cell.limit < most
    return cell.upper is not None and cell.upper <= cell.limit


def _small(estimate: Estimate | None, least: int, reading: Reading) -> bool:
    counts = {} if estimate is None else estimate.n
    patients = [n for key, n in counts.items() if "patients" in key]
    return bool(reading.group) and bool(patients) and min(patients) < least


def _false_positives(cell: Cell, least: int) -> int:
    """How many more held-out patients the false positive rate needs; 0 where there are enough."""
    estimate = cell.reading.estimate
    fpr = PPV_FPR if cell.known.takes == "prior" else getattr(cell.rule, "fpr", None)
    if fpr is None or estimate is None or cell.reading.group:
        return 0
    held_out = estimate.n.get("nonmember_patients")
    if held_out is None:
        return 0
    return max(0, -int(-(least / fpr - 1e-6) // 1) - held_out)


__all__ = ["Cell", "Move", "decide", "guard_cells", "limit_cells", "moves"]
