"""What the numbers of an audit amount to, before a word is chosen: no text here, no layout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from privaudit.report.blocks import State
from privaudit.report.numbers import amount, budget, fpr_of, stem
from privaudit.results import (
    Audit,
    Control,
    Estimate,
    Failed,
    Finding,
    GroupResult,
    Skipped,
    Subject,
)

PRIMARY = 0.01
FALLBACK = 0.1


@dataclass(frozen=True)
class Reading:
    """One model's membership result.

    rate: the share recognised at `fpr` false alarms, the finest one that could be stated among 1 in
    100 and 1 in 10. refused: the one at 1 in 100, where it could not be. least: the smallest rate
    that this audit would have seen. borrowed: the controls were run on another model.
    """

    state: State
    finding: Finding | None
    rate: Estimate | None
    fpr: float | None
    refused: Estimate | None
    auc: Estimate | None
    least: Estimate | None
    controls: tuple[Control, ...]
    borrowed: bool
    afterwards: bool


def get(estimates: Iterable[Estimate], name: str) -> Estimate | None:
    """The estimate of this name, stated or refused."""
    return next((e for e in estimates if e.name == name), None)


def stated(estimates: Iterable[Estimate], name: str) -> Estimate | None:
    """The estimate of this name, if it has a value."""
    found = get(estimates, name)
    return found if found is not None and found.value is not None else None


def rate_at(estimates: Iterable[Estimate], fpr: float, prefix: str = "tpr") -> Estimate | None:
    """The share recognised at this false positive rate, stated or refused."""
    return next(
        (e for e in estimates if e.name.startswith(f"{prefix}_at_fpr_") and fpr_of(e.name) == fpr),
        None,
    )


def on_all(subject: Subject, r: Reading) -> Estimate | None:
    """Where the headline's half is too small for 1 in 100, the same attack's rate on all patients."""
    full = same_attack(subject, r)
    return None if full is None or r.refused is None else stated(full.estimates, r.refused.name)


def halved(subject: Subject, r: Reading) -> bool:
    """Whether the headline rests on a half of the patients, so that each one missing means two."""
    full = same_attack(subject, r)
    if full is None or r.finding is None:
        return False
    return _held_out(r.finding) < _held_out(full)


def same_attack(subject: Subject, r: Reading) -> Finding | None:
    """What the headline's attack found on all patients."""
    if r.finding is None or r.afterwards:
        return None
    same = [f for f in findings(subject, "membership") if f.attack == r.finding.attack]
    return same[0] if same else None


def _held_out(finding: Finding) -> int:
    return max((e.n.get("nonmember_patients", 0) for e in finding.estimates), default=0)


def findings(subject: Subject, family: str | None = None) -> list[Finding]:
    """What was found, by family if one is named."""
    return [o for o in subject.outcomes if isinstance(o, Finding) and family in (None, o.family)]


DEFECT = "defect: "
"""How the engine begins a caveat that says a promise is broken."""


def broken_promise(subject: Subject) -> str:
    """What shows that the model's promise does not hold; nothing where nothing shows it."""
    told = (c for f in findings(subject) for c in f.caveats if c.startswith(DEFECT))
    return next((c.removeprefix(DEFECT) for c in told), "")


def bounds(subject: Subject) -> list[tuple[str, Estimate]]:
    """(attack, lower bound on epsilon), stated or refused."""
    return [
        (f.attack, e)
        for f in findings(subject, "epsilon")
        for e in f.estimates
        if e.name.startswith("epsilon_lower_bound")
    ]


def blanks(subject: Subject) -> list[Skipped | Failed]:
    """Attacks without a finding."""
    return [o for o in subject.outcomes if not isinstance(o, Finding)]


def families(subject: Subject) -> list[str]:
    """Families with a finding, membership first, the others as they came."""
    found = list(dict.fromkeys(f.family for f in findings(subject)))
    return sorted(found, key=lambda family: family != "membership")


def excess(e: Estimate | None) -> bool:
    """Whether the whole interval lies above what guessing gives."""
    return e is not None and e.low is not None and e.chance is not None and e.low > e.chance


def controls_of(audit: Audit, subject: Subject) -> tuple[tuple[Control, ...], bool]:
    """The model's own controls, or where it has none those of the other models."""
    if subject.controls:
        return subject.controls, False
    others = tuple(c for s in audit.subjects for c in s.controls)
    return others, bool(others)


def failed_controls(audit: Audit, kind: str) -> list[tuple[Subject, Control]]:
    """Controls that gave a number, and not the one they must; with the model they were run on."""
    return [
        (s, c)
        for s in audit.subjects
        for c in s.controls
        if c.kind == kind and not c.passed and not is_broken(c)
    ]


def broken_controls(audit: Audit) -> list[tuple[Subject, Control]]:
    """Controls that gave no number at all."""
    return [(s, c) for s in audit.subjects for c in s.controls if not c.passed and is_broken(c)]


def is_broken(c: Control) -> bool:
    """Whether the control could not be run, which is not the same as having failed."""
    return all(e.value is None for e in c.estimates)


def _strongest(subject: Subject) -> tuple[Finding | None, bool]:
    """The headline, or, where none was made, the attack that reads highest, seen afterwards."""
    if subject.headline is not None:
        return subject.headline, False
    played = [f for f in findings(subject, "membership") if stated(f.estimates, "auc")]
    if not played:
        return None, False
    return max(played, key=lambda f: get(f.estimates, "auc").value or 0), True  # type: ignore[union-attr]


def read(audit: Audit, subject: Subject) -> Reading:
    """The reading of one model. Never better than its controls and its size allow."""
    finding, afterwards = _strongest(subject)
    controls, borrowed = controls_of(audit, subject)
    if finding is None:
        return Reading("untested", None, None, None, None, None, None, controls, borrowed, False)
    wanted = rate_at(finding.estimates, PRIMARY)
    coarse = rate_at(finding.estimates, FALLBACK)
    rate = next((e for e in (wanted, coarse) if e is not None and e.value is not None), None)
    fpr = fpr_of(rate.name) if rate is not None else None
    auc = stated(finding.estimates, "auc")
    least = rate_at(finding.estimates, fpr, "detectable_tpr") if fpr is not None else None
    refused = wanted if wanted is not None and wanted.value is None else None
    return Reading(
        _state(audit, controls, finding, rate, auc, refused),
        finding,
        rate,
        fpr,
        refused,
        auc,
        least if least is not None and least.value is not None else None,
        controls,
        borrowed,
        afterwards,
    )


def _state(
    audit: Audit,
    controls: Sequence[Control],
    finding: Finding,
    rate: Estimate | None,
    auc: Estimate | None,
    refused: Estimate | None,
) -> State:
    if failed_controls(audit, "negative"):
        return "invalid"
    if audit.data.distribution_shift:
        return "unfair"
    if excess(rate) or excess(auc):
        return "found"
    if refused is not None or rate is None:
        return "small"
    positive = [c for c in controls if c.kind == "positive"]
    own = [c for c in positive if c.attack == finding.attack] or positive
    return "unseen" if own and all(c.passed for c in own) else "weak"


LEARNT = ("attribute", "reconstruction", "synthetic")
"""Families, other than membership, whose success means that something of a patient was learnt."""


def beyond(subject: Subject) -> list[str]:
    """Attacks of these families that did better than their control and than guessing, where both are
    known, by more than chance explains."""
    found = []
    for f in findings(subject):
        gaps = [
            [e for e in (b.gap, b.gain) if e is not None and e.low is not None] for b in budgets(f)
        ]
        if f.family in LEARNT and any(g and all((e.low or 0) > 0 for e in g) for g in gaps):
            found.append(f.attack)
    return list(dict.fromkeys(found))


def copied(subject: Subject) -> bool:
    """Whether real records stand in the released table, more than chance explains."""
    if subject.fidelity is None:
        return False
    e = get(subject.fidelity.estimates, "exact_copies_excess")
    return e is not None and e.low is not None and e.low > 0


FEW = 4
"""Up to so many models are told one by one; of more, each table holds them all, and these are told."""
TOLD, CROWD = 3, 20
"""Of more than `CROWD` one less is told, so that the page stays light enough to mail."""


def ranked(audit: Audit, readings: Sequence[Reading]) -> list[int]:
    """Releases by what they give away, most first; those without a membership result are left out.

    By the rate at 1 in 100 false alarms where all that leak can state it, else by the AUC, which all can.
    """
    known = [i for i, r in enumerate(readings) if r.finding is not None]
    rated = all(r.fpr == PRIMARY for r in readings if r.finding is not None and r.state == "found")
    order: dict[State, int] = {
        "invalid": 0,
        "found": 0,
        "unfair": 1,
        "small": 1,
        "weak": 1,
        "unseen": 2,
    }

    def key(i: int) -> tuple[int, float, float, int]:
        r = readings[i]
        rate = r.rate.value if rated and r.rate is not None and r.fpr == PRIMARY else None
        area = r.auc.value if r.auc is not None and r.auc.value is not None else 0.0
        return (order.get(r.state, 3), -(rate or 0.0), -area, i)

    return sorted(known, key=key)


def told(audit: Audit) -> list[int]:
    """The models worth a drawing and a paragraph of their own, in the audit's order."""
    if len(audit.subjects) <= FEW:
        return list(range(len(audit.subjects)))
    return sorted(
        ranked(audit, [read(audit, s) for s in audit.subjects])[
            : TOLD - (len(audit.subjects) > CROWD)
        ]
    )


def middle(sizes: Iterable[str]) -> str:
    """The budget quoted: the middle one of those tried, so that neither end is picked for effect."""
    ladder = sorted(set(sizes), key=lambda size: (amount(size), size))
    return ladder[len(ladder) // 2]


@dataclass(frozen=True)
class Budget:
    """One attack at one budget: its rate, its control's, and the difference."""

    size: str
    attack: Estimate | None
    control: Estimate | None
    gap: Estimate | None
    guess: Estimate | None
    gain: Estimate | None


def budgets(finding: Finding) -> list[Budget]:
    """Trials by budget, smallest first; one entry with no size where there are no budgets."""
    sizes = sorted({budget(e.name) for e in finding.estimates}, key=lambda b: (amount(b), b))
    found = []
    for size in sizes:
        at = {stem(e.name): e for e in finding.estimates if budget(e.name) == size}
        entry = Budget(
            size,
            at.get("attack_rate"),
            at.get("control_rate"),
            at.get("attack_minus_control"),
            at.get("guess_rate"),
            at.get("attack_minus_guess"),
        )
        if entry.attack or entry.gap or entry.control:
            found.append(entry)
    return found


KNOWN = (
    "auc",
    "detectable_auc",
    "attack_rate",
    "control_rate",
    "attack_minus_control",
    "guess_rate",
    "attack_minus_guess",
)


def others(finding: Finding) -> list[Estimate]:
    """Estimates that no table of the report knows by name."""
    return [e for e in finding.estimates if stem(e.name) not in KNOWN and fpr_of(e.name) is None]


def grouped(subject: Subject) -> Finding | None:
    """The finding whose groups are shown: the headline's attack on all patients, else the headline
    itself, else the strongest attack that has groups."""
    split = [f for f in findings(subject, "membership") if f.groups]
    head = subject.headline
    if head is not None:
        own = [f for f in split if f.attack == head.attack]
        if own or head.groups:
            return own[0] if own else head
    return max(split, key=lambda f: getattr(get(f.estimates, "auc"), "value", 0) or 0, default=None)


def group_measure(groups: Sequence[GroupResult]) -> tuple[str, ...]:
    """What is shown of the groups: first what they are ordered by, then a rate if most can state it.

    The AUC leads where it is known, because that is what the groups' p-values are about.
    """
    shown = [g for g in groups if not g.suppressed]
    seen = dict.fromkeys(e.name for g in shown for e in g.estimates)
    counts = {name: sum(stated(g.estimates, name) is not None for g in shown) for name in seen}
    if not any(counts.values()):
        return ()
    lead = "auc" if counts.get("auc") else max(counts, key=lambda name: counts[name])
    rates = (f"tpr_at_fpr_{PRIMARY:g}", f"tpr_at_fpr_{FALLBACK:g}")
    enough = [name for name in rates if counts.get(name, 0) >= 0.75 * len(shown)]
    return (lead, *(name for name in enough[:1] if name != lead))
