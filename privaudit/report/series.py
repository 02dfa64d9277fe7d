"""Attempts by setting, and results by group: which of them are shown, before a word is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_high

from privaudit.facts import Metric, Setting
from privaudit.report.reading import (
    AUC,
    EPSILON,
    FALLBACK_FPR,
    PRIMARY_FPR,
    get,
    get_findings,
    get_stated,
    tpr_at,
)
from privaudit.results import Estimate, Finding, GroupResult, Subject

TRIALS = ("attack_rate", "control_rate", "attack_minus_control", "guess_rate", "attack_minus_guess")
RANKED = ("auroc_attacked", "auroc_shaken", "auroc_unchanged", "auroc_fall")
TABULATED = (*TRIALS, *RANKED, *EPSILON, "auc", "detectable_auc", "tpr", "detectable_tpr", "ppv")
"""Metrics that a table of their own shows."""
ALPHA = 0.05


@dataclass(frozen=True)
class Series:
    """One attack at one setting: its success, its control's, the baseline's, and the
    differences."""

    setting: Setting | None
    attack: Estimate | None = None
    control: Estimate | None = None
    gap: Estimate | None = None
    guess: Estimate | None = None
    gain: Estimate | None = None

    @property
    def counterfactual(self) -> bool:
        """Whether it speaks of another release than this one."""
        return self.setting is not None and self.setting.counterfactual

    @property
    def size(self) -> float | None:
        """The budget; None where the setting is none."""
        value = None if self.setting is None else self.setting.value
        return value if isinstance(value, float | int) else None


def get_series(finding: Finding) -> list[Series]:
    """The attempts by setting, sizes in ascending order, others as they came."""
    return make_series(finding.estimates)


def make_series(estimates: tuple[Estimate, ...]) -> list[Series]:
    """These numbers by setting, in the same order."""
    settings = dict.fromkeys(e.metric.at for e in estimates if e.metric.name in TRIALS)
    found = []
    for at in settings:
        numbers = [get(estimates, Metric(name, at=at)) for name in TRIALS]
        found.append(Series(at, *numbers))
    return sorted(found, key=lambda s: 0.0 if s.size is None else s.size)


def get_ranking(finding: Finding) -> list[tuple[float, tuple[Estimate, ...]]]:
    """How well changed records are ranked, as in `RANKED`, by the size of the change."""
    found = []
    for t in get_series(finding):
        numbers = [get(finding.estimates, Metric(name, at=t.setting)) for name in RANKED]
        stated = [e for e in numbers if e is not None]
        if t.size is not None and len(stated) == len(RANKED):
            found.append((t.size, tuple(stated)))
    return found


def get_unit(findings: Sequence[Finding]) -> str:
    """What the budgets of these findings count; standard deviations where nothing is stated."""
    units = (e.metric.at.unit for f in findings for e in f.estimates if e.metric.at is not None)
    return next((unit for unit in units if unit), "sd")


def get_all_series(
    subjects: Sequence[Subject], family: str
) -> list[tuple[Subject, Finding, Series]]:
    """Every series of a family, model by model and attack by attack."""
    return [(s, f, t) for s in subjects for f in get_findings(s, family) for t in get_series(f)]


def is_against_absence(s: Series) -> bool:
    """Whether its control is the training without the malicious hospitals' records."""
    return s.setting is not None and s.setting.kind == "absent"


def measure_gain(s: Series) -> float:
    """How much more the attack does than what it is compared with."""
    rate = _value(s.attack)
    beside = [e.value for e in (s.control, s.guess) if e is not None and e.value is not None]
    return float("-inf") if rate is None else rate - max(beside, default=0.0)


def _value(e: Estimate | None) -> float | None:
    return None if e is None else e.value


def get_middle_size(series: Sequence[Series]) -> float | None:
    """The budget quoted: the middle one of those tried, so that neither end is chosen for
    effect."""
    sizes = {s.size for s in series if s.size is not None}
    return median_high(sizes) if sizes else None


def has_exact_duplicates(subject: Subject) -> bool:
    """Whether the released table holds more real records than chance explains."""
    if subject.fidelity is None:
        return False
    e = get(subject.fidelity.estimates, "exact_copies_excess")
    return e is not None and e.low is not None and e.low > 0


def get_other_estimates(finding: Finding) -> list[Estimate]:
    """Estimates that no table of their own shows."""
    return [e for e in finding.estimates if e.metric.name not in TABULATED]


# --- groups ---------------------------------------------------------------------------------


def get_grouped(subject: Subject) -> Finding | None:
    """The finding whose groups are shown: the headline's attack on all patients, else the headline
    itself, else the strongest attack that has groups."""
    split = [f for f in get_findings(subject, "membership") if f.groups]
    head = subject.headline
    if head is not None:
        own = [f for f in split if f.attack == head.attack]
        if own or head.groups:
            return own[0] if own else head
    return max(split, key=lambda f: _value(get(f.estimates, AUC)) or 0.0, default=None)


def get_group_metrics(groups: Sequence[GroupResult]) -> tuple[Metric, ...]:
    """What is shown of the groups: first what they are ordered by, then a rate if most can state
    it.

    The AUC leads where it is known, because that is what the groups' p-values are about.
    """
    shown = [g for g in groups if not g.suppressed]
    seen = dict.fromkeys(e.metric for g in shown for e in g.estimates)
    counts = {m: sum(get_stated(g.estimates, m) is not None for g in shown) for m in seen}
    if not any(counts.values()):
        return ()
    lead = AUC if counts.get(AUC) else max(counts, key=lambda m: counts[m])
    rates = (tpr_at(PRIMARY_FPR), tpr_at(FALLBACK_FPR))
    enough = [m for m in rates if counts.get(m, 0) >= 0.75 * len(shown)]
    return (lead, *(m for m in enough[:1] if m != lead))


def rank_groups(
    groups: Sequence[GroupResult], metric: Metric
) -> list[tuple[GroupResult, Estimate]]:
    """Groups with this number, most affected first."""
    shown = [g for g in groups if not g.suppressed]
    known = [(g, e) for g in shown if (e := get_stated(g.estimates, metric)) is not None]
    return sorted(known, key=lambda entry: (-(entry[1].value or 0), entry[0].by, entry[0].level))


def differs_from_rest(group: GroupResult) -> bool:
    """Whether a group differs from the rest by more than chance explains."""
    return group.p_adjusted is not None and group.p_adjusted <= ALPHA
