"""Assemble the audit document from finished steps, with small cells taken out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from privaudit.contracts import Access, FlowStep, Prepared
from privaudit.records import Records, Split
from privaudit.results import (
    Coverage,
    Data,
    Finding,
    FlowRow,
    GroupResult,
    Outcome,
    Pool,
    Subject,
    from_tree,
)

SMALLEST = 10
"""No count of fewer patients or stays than this leaves, nor one that subtraction gives away."""

CLASSES = (
    ("membership", "Membership inference: was this person's record trained on?"),
    ("attribute", "Attribute inference: does the model give away a recorded characteristic?"),
    ("reconstruction", "Reconstruction: records, labels or keys from what training exchanges"),
    ("evasion", "Evasion: small changes of the input that turn the answer"),
    ("poisoning", "Poisoning: records or updates that a malicious client plants in training"),
    ("synthetic", "Attacks on synthetic records: singling out, linkage, inference"),
    ("epsilon", "Empirical epsilon: a lower bound on the privacy loss"),
)


def merge_small(flow: Sequence[FlowStep]) -> tuple[FlowStep, ...]:
    """The cohort flow without small counts: a step that leaves out 1 to 9 stays or patients is told
    together with the next one (the last, with the one before), until 10 or none are left out."""
    kept: list[FlowStep] = []
    waiting: list[FlowStep] = []
    for step in flow:
        waiting.append(step)
        if not _small(waiting, kept):
            kept.append(_joined(waiting))
            waiting = []
    while waiting and kept:
        waiting.insert(0, kept.pop())
        if not _small(waiting, kept):
            kept.append(_joined(waiting))
            waiting = []
    return tuple(kept) if not waiting else (_joined(waiting),)


def _small(steps: Sequence[FlowStep], kept: Sequence[FlowStep]) -> bool:
    """Whether these steps, told as one after those kept, give away a count of 1 to 9."""
    gaps = [sum(step.excluded_stays for step in steps)]
    if kept:
        gaps += [kept[-1].stays - steps[-1].stays, kept[-1].patients - steps[-1].patients]
    return any(0 < gap < SMALLEST for gap in gaps)


def _joined(steps: Sequence[FlowStep]) -> FlowStep:
    if len(steps) == 1:
        return steps[0]
    excluded = sum(step.excluded_stays for step in steps)
    name = "; ".join(step.step for step in steps)
    if 0 < excluded < SMALLEST:
        return FlowStep(f"{name} (told together; fewer than {SMALLEST} were left out)", 0,
                        steps[-1].stays, steps[-1].patients)  # fmt: skip
    return FlowStep(f"{name} (told together)", excluded, steps[-1].stays, steps[-1].patients)


def pool(name: str, records: Records, exact: bool) -> Pool:
    """One pool in aggregates; class shares are left out where a class has 1 to 9 patients."""
    sizes = [
        len(np.unique(records.patient[records.y == code])) for code in range(len(records.classes))
    ]
    rates = {}
    if exact or not any(0 < size < SMALLEST for size in sizes):
        rates = {
            label: float(np.mean(records.y == code)) for code, label in enumerate(records.classes)
        }
    return Pool(name, len(np.unique(records.patient)), len(records), rates)


def data(
    task: str, title: str, positive: str, prepared: Prepared, split: Split, exact: bool
) -> Data:
    """What the models were trained on. exact: print small counts too (open or generated data)."""
    exact = exact or not prepared.real
    flow = prepared.flow if exact else merge_small(prepared.flow)
    records = prepared.records
    return Data(
        source=prepared.source,
        real=prepared.real,
        task=task,
        title=title,
        positive=positive,
        classes=tuple(records.classes),
        columns=len(records.columns),
        channels=len(records.channels),
        hours=0 if records.series is None else int(records.series.shape[1]),
        flow=tuple(FlowRow(s.step, s.excluded_stays, s.stays, s.patients) for s in flow),
        pools=tuple(
            pool(name, getattr(split, name), exact)
            for name in ("members", "nonmembers", "reference")
        ),
        notes=tuple(prepared.notes),
        facts={
            name: fact
            for name, fact in prepared.facts.items()
            if exact or not isinstance(fact, int) or not 0 < fact < SMALLEST
        },
        distribution_shift=prepared.distribution_shift,
        random_split=prepared.split is None,
    )


def params(part: Any, prefix: str = "") -> dict[str, str]:
    """Every setting of a method or attack and of what it is made of, as texts."""
    found: dict[str, str] = {}
    if not is_dataclass(part):
        return found
    for field in fields(part):
        value = getattr(part, field.name)
        if value is None:
            continue
        if is_dataclass(value):
            found[f"{prefix}{field.name}"] = type(value).__name__
            found |= params(value, f"{prefix}{field.name}.")
        else:
            found[f"{prefix}{field.name}"] = value if isinstance(value, str) else repr(value)
    return found


def plain(part: Any) -> dict[str, str | int | float | bool]:
    """An attack's settings, numbers kept as numbers."""
    texts = params(part)
    found: dict[str, str | int | float | bool] = dict(texts)
    for name in texts:
        value = getattr(part, name, None)
        if isinstance(value, int | float | str):
            found[name] = value
    return found


def described(part: Any) -> str:
    """The first docstring line of a method, then of the learner in it."""
    lines = [(inspect.getdoc(type(part)) or "").split("\n", 1)[0]]
    if is_dataclass(part):
        lines += [described(v) for f in fields(part) if is_dataclass(v := getattr(part, f.name))]
    return " ".join(line for line in lines if line)


def groups(tree: Any) -> tuple[GroupResult, ...]:
    return tuple(from_tree(part, GroupResult) for part in tree)


def coverage(
    subjects: Sequence[Subject], families: Mapping[str, str], asked: set[str]
) -> tuple[Coverage, ...]:
    """Every class of attack, tested or not, with the reason.

    families: every attack there is -> its family; asked: the attacks that this run was to make.
    """
    outcomes = [outcome for subject in subjects for outcome in subject.outcomes]
    return tuple(
        _covered(family, title, outcomes, subjects, families, asked) for family, title in CLASSES
    )


def _covered(
    family: str,
    title: str,
    outcomes: Sequence[Outcome],
    subjects: Sequence[Subject],
    families: Mapping[str, str],
    asked: set[str],
) -> Coverage:
    own = [outcome for outcome in outcomes if outcome.family == family]
    found = sorted({o.attack for o in own if o.kind == "finding"})
    if found:
        rest = sorted({o.attack for o in own if o.kind != "finding"} - set(found))
        left = sorted(n for n, f in families.items() if f == family and n not in asked)
        parts = [f"by {', '.join(found)}"]
        if rest:
            parts.append(f"not by {', '.join(rest)}, which did not apply or broke")
        if left:
            parts.append(f"not asked for: {', '.join(left)}")
        return Coverage(family, title, "TESTED", tuple(found), "; ".join(parts))
    reasons = sorted({f"{o.attack}: {o.reason}" for o in own if o.kind == "skipped"})
    broken = sorted({f"{o.attack} broke: {o.error}" for o in own if o.kind == "failed"})
    if broken:
        return Coverage(family, title, "NOT TESTED", (), "; ".join(broken + reasons))
    if reasons:
        return Coverage(family, title, "NOT APPLICABLE", (), "; ".join(reasons))
    tables = any(Access.TABLE.value in s.access for s in subjects)
    if family == "synthetic" and subjects and not tables:
        return Coverage(
            family, title, "NOT APPLICABLE", (), "no subject releases synthetic records"
        )
    built = sorted(name for name, f in families.items() if f == family)
    if built and not subjects:
        return Coverage(family, title, "NOT TESTED", (), "no model was trained")
    if built:
        return Coverage(
            family, title, "NOT TESTED", (), f"this run was asked to leave out: {', '.join(built)}"
        )
    if family == "epsilon" and not any(s.claim.epsilon is not None for s in subjects):
        reason = "not built yet in this version; no subject promises an epsilon"
        return Coverage(family, title, "NOT TESTED", (), reason)
    return Coverage(family, title, "NOT TESTED", (), "not built yet in this version")


def strongest(subject: Any, outcomes: Sequence[Outcome]) -> str | None:
    """The attack that the headline is about, among those that found something."""
    name = None if subject is None else subject.get("attack")
    return name if any(isinstance(o, Finding) and o.attack == name for o in outcomes) else None
